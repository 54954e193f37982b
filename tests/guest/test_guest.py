#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest tests: a real guest has its GPUs' and other memory in its nodes."""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

import guest                        # noqa: E402
import report                       # noqa: E402
from acpi_tables import read_table, write_tables       # noqa: E402
from arch import ARM64, of_guest    # noqa: E402
from boots import BOOTS, Boot       # noqa: E402
from checks import Failure, Skip, same      # noqa: E402
from machine import has_cxl         # noqa: E402
from scale import SCALE             # noqa: E402
from tap import Tap                 # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


# --- checks of run.py that need no guest ----------------------------------

def refused(gpus, nodes, way_out):
    """run.py refuses so many nodes with the reason, and starts nothing."""
    def check(args):
        out = os.path.join(args.out, f'refused-{gpus}-{nodes}')
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, 'run.py'),
             '--qemu', args.qemu, '--guest', args.guest[0], '--out', out,
             '--gpus', str(gpus), '--nodes', str(nodes)],
            text=True, capture_output=True, timeout=300, check=False)
        same('exit status', done.returncode, 1)
        for words in ('16', 'CONFIG_NODES_SHIFT=4', way_out):
            if words not in done.stderr:
                raise Failure(f'"{words}" is not in: {done.stderr}')
        if os.path.exists(out):
            raise Failure(f'something was started: {out} is there')
    return check


REFUSALS = (
    (1, 15, 'the largest NODES for GPUS=1 is 14'),
    (2, 8, 'the largest NODES for GPUS=2 is 7'),
    (15, 1, 'at most 14 GPUs'),
)


# --- boots -----------------------------------------------------------------

@dataclasses.dataclass
class Pass:
    """All boots with one kernel."""
    guest_dir: str
    out: str
    boots: list[Boot]
    name: str               # of the kernel, such as 6.1
    version: str            # that the packages have

    def points(self):
        return sum(map(points, self.boots))


def passes(guests, every_boot, out):
    """One for each guest; the first has all boots."""
    for number, guest_dir in enumerate(guests):
        with open(os.path.join(guest_dir, 'version')) as file:
            version = file.read().strip()
        boots = [boot for boot in every_boot
                 if boot.every_kernel or number == 0]
        name = '.'.join(version.split('.')[:2])
        yield Pass(guest_dir, os.path.join(out, name), boots, name, version)


def points(boot):
    """How many a boot has: that it comes to its end, and its checks."""
    return 1 + len(boot.checks) + bool(boot.same_hmat_as) + boot.whole


def test_boot(tap, run, qemu, boot):
    out = os.path.join(run.out, boot.name)
    found = report.Report()
    failures_before = tap.failures

    def reports():
        """the guest reports and powers off"""
        nonlocal found
        boot.vm.check(run.guest_dir)
        guest.boot(boot.vm.command(qemu, run.guest_dir, out),
                   boot.vm.arch.milestones, out, hot_plug=boot.vm.hot_plug())
        found = report.parse(guest.read_log(out))
        found.memory_files = [guest.memory_file(out, gpu)
                              for gpu in range(boot.vm.gpus)]
        same('kernel', found.kernel, run.version)
        if found.failed and boot.whole:
            raise Failure('\n'.join(found.failed))

    def same_hmat(found):
        """the HMAT is, byte for byte, that of QEMU's own objects"""
        vm, tables = boot.same_hmat_as, os.path.join(out, 'same')
        write_tables(qemu, vm, vm.hardware(out), tables)
        same("HMAT, and that of QEMU's own objects", found.tables['HMAT'].hex(),
             read_table(tables, 'HMAT').hex())

    def complete(found):
        """nothing that "make run" asks for is missing"""
        same('missing', report.missing(found, boot.vm), [])

    title = f'{run.name} {boot.name}'
    booted = tap.point(f'{title}: {reports.__doc__}', reports)
    for check in (*boot.checks,
                  *([same_hmat] if boot.same_hmat_as else []),
                  *([complete] if boot.whole else [])):
        def checked(check=check):
            if not booted:
                raise Failure('the guest did not boot')
            check(found)
        tap.point(f'{title}: {check.__doc__}', checked)
    guest.forget_memory(out)
    if tap.failures > failures_before:
        for gpu in found.gpus:
            for message in gpu.messages:
                tap.diagnose(f'the driver on {gpu.address}: {message}')
        tap.diagnose(f'the end of {os.path.join(out, guest.LOG)}:')
        for line in guest.log_tail(out):
            tap.diagnose(line)


def no_cxl():
    raise Skip('virt has host bridges of CXL from QEMU 10.2 on')


def kernels(runs):
    """Linux 6.1 and 6.12 are among the kernels"""
    same('missing', {'6.1', '6.12'} - {run.name for run in runs}, set())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        action='append',
                        help='what build-guest made; a further one has '
                        'another kernel, and fewer boots')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets a directory of logs per boot')
    parser.add_argument('--scale', choices=SCALE, help='boot these large '
                        'machines instead of those of the architecture')
    args = parser.parse_args()

    arch = of_guest(args.guest[0])
    boots = SCALE[args.scale] if args.scale else BOOTS[arch]
    left_out = [boot for boot in boots
                if boot.vm.needs_cxl() and not has_cxl(args.qemu)]
    boots = [boot for boot in boots if boot not in left_out]
    runs = list(passes(args.guest, boots, args.out))
    refusals = REFUSALS if arch is ARM64 and not args.scale else ()
    both_kernels = any(boot.every_kernel for boot in boots)
    tap = Tap(both_kernels + len(refusals) + len(left_out) +
              sum(run.points() for run in runs))
    if both_kernels:
        tap.point(kernels.__doc__, kernels, runs)
    for gpus, nodes, way_out in refusals:
        tap.point(f'GPUS={gpus} NODES={nodes} is refused with the reason',
                  refused(gpus, nodes, way_out), args)
    for boot in left_out:
        tap.point(boot.name, no_cxl)
    for run in runs:
        for boot in run.boots:
            test_boot(tap, run, args.qemu, boot)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
