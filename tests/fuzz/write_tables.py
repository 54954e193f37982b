#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the ACPI tables of a machine, as firmware would get them, to files."""

import argparse
import os
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

from boards import Q35, VIRT        # noqa: E402
from guest import Guest             # noqa: E402
from qemu import COMMON, Qemu       # noqa: E402
from tables import read_tables      # noqa: E402

SECONDS = 300       # QEMU starts in one; a busy machine is slow
CHECKSUM = 9        # of all bytes: the firmware writes it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--board', required=True, choices=('virt', 'q35'))
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets SIGNATURE.dat of each')
    parser.add_argument('args', nargs='*', metavar='-- QEMU_ARG')
    args = parser.parse_args()

    board = VIRT if args.board == 'virt' else Q35
    # With a firmware virt takes DIMMs
    with Qemu(args.qemu, [*COMMON, *board.arguments, '-bios', 'bios',
                          *args.args], SECONDS) as qemu:
        if not qemu.start():
            sys.exit(f'write_tables: {qemu.printed()}')
        tables = read_tables(Guest(qemu, board))
        qemu.quit()
    for signature, content in tables.items():
        table = bytearray(content)
        table[CHECKSUM] = 0
        table[CHECKSUM] = -sum(table) & 0xff
        with open(os.path.join(args.out, f'{signature}.dat'), 'wb') as file:
            file.write(table)


if __name__ == '__main__':
    main()
