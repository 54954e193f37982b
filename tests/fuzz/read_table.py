#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write an ACPI table of a machine, as firmware would get it, to a file."""

import argparse
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

from boards import Q35, VIRT        # noqa: E402
from guest import Guest             # noqa: E402
from qemu import COMMON, Qemu       # noqa: E402
from tables import read_tables      # noqa: E402

SECONDS = 60
CHECKSUM = 9        # of all bytes: the firmware writes it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--board', required=True, choices=('virt', 'q35'))
    parser.add_argument('--table', required=True, metavar='SIGNATURE')
    parser.add_argument('--out', required=True, metavar='FILE')
    parser.add_argument('args', nargs='*', metavar='-- QEMU_ARG')
    args = parser.parse_args()

    board = VIRT if args.board == 'virt' else Q35
    # With a firmware virt takes DIMMs
    with Qemu(args.qemu, [*COMMON, *board.arguments, '-bios', 'bios',
                          *args.args], SECONDS) as qemu:
        if not qemu.start():
            sys.exit(f'read_table: {qemu.printed()}')
        table = bytearray(read_tables(Guest(qemu, board))[args.table])
        qemu.quit()
    table[CHECKSUM] = 0
    table[CHECKSUM] = -sum(table) & 0xff
    with open(args.out, 'wb') as file:
        file.write(table)


if __name__ == '__main__':
    main()
