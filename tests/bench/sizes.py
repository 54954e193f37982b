# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the tables and the command line are."""

from boards import VIRT
from figures import Sizes
from guest import Guest
from qemu import Failure, Qemu
from tables import read_tables
from variants import Variant, arguments

DEADLINE = 60


def length(args: list[str]) -> int:
    return sum(1 + len(arg) for arg in args)


def measure(qemu: str, variant: Variant, gpus: int) -> Sizes:
    args = arguments(variant, gpus)
    with Qemu(qemu, [*args, '-qmp', 'stdio'], DEADLINE) as machine:
        if not machine.start():
            raise Failure(f'QEMU refuses {args}: {machine.printed()}')
        tables = read_tables(Guest(machine, VIRT))
        machine.quit()
    return Sizes(len(tables['SRAT']), len(tables['DSDT']), length(args),
                 length(variant.object_args(gpus)))
