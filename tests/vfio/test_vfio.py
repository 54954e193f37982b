#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vfio tests: the GPU is a device that the host's vfio-pci passes through.

The host is an emulated PC with an IOMMU; our QEMU and its guests run in it.
"""

import argparse
import dataclasses
import os
import platform
import signal
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'guest'))

import guest                        # noqa: E402
import machine                      # noqa: E402
import outer                        # noqa: E402
import planned                      # noqa: E402
import report                       # noqa: E402
from checks import (                # noqa: E402
    Failure, log_lines, memory, node_map, numactl, paths, properties, same,
    srat_bytes)
from memory_checks import patterns  # noqa: E402
from places import PXB, ROOT_BUS    # noqa: E402
from tap import Tap                 # noqa: E402

NODE_MB = 256       # of RAM that vfio pins for each of a machine's nodes
# Of the models that the guest takes, one that is fast to emulate.  Time that
# instructions drive keeps a slow guest from being busy with its timer alone.
SPEED_ARGS = ('-cpu', 'cortex-a57', '-icount', 'shift=2,sleep=off')


@dataclasses.dataclass(frozen=True)
class Variant:
    name: str
    device: str
    path: str                   # a pattern of the GPU's in the DSDT
    place: str = ROOT_BUS
    further: str = ''           # what its guest reports besides

    def machine(self, host):
        return machine.Machine(gpu_devices=(f'{self.device},host={host}',),
                               places=(self.place,), node_mb=NODE_MB,
                               further=self.further)


VARIANTS = (
    Variant('vfio-pci', 'vfio-pci', r'\\_SB_\.PCI0\.S20_',
            further='patterns'),
    Variant('vfio-pci-nohotplug', 'vfio-pci-nohotplug',
            r'\\_SB_\.PCI0\.S20_'),
    Variant('vfio-pci-below-pxb', 'vfio-pci', r'\\_SB_\.PC80\..+',
            place=PXB),
)


PLANNER = f'/usr/bin/python3 -B {os.path.realpath(planned.PROGRAM)}'


def plan_command(qemu):
    """For the outer machine's shell: show its GPU, and give it to a QEMU."""
    host = outer.host_address(len(VARIANTS))
    return f'''{PLANNER} show
{{ echo info numa; echo quit; }} | {qemu} -machine virt,gic-version=3 \
    -nodefaults -display none -monitor stdio -S -cpu cortex-a57 -smp 2 \
    -m {NODE_MB}M -object memory-backend-ram,id=ram,size={NODE_MB}M \
    -numa node,memdev=ram,cpus=0-1 \
    $({PLANNER} args --cpu-nodes 1 {host})
'''


def guest_checks(variant):
    return (log_lines(range(2, 10)),
            srat_bytes(range(2, 10)),
            paths(variant.path),
            properties((2, 8)),
            node_map((2, 8)),
            memory(range(2, 10), {2: NODE_MB}),
            numactl({2: NODE_MB}),
            *([patterns(variant.machine(None))] if variant.further else []))


# --- checks of the outer machine: each gets its report --------------------

def has_iommu(found):
    """each device has an IOMMU group of its own"""
    groups = [device.group for device in found.devices.values()]
    if 'none' in groups or len(set(groups)) != len(VARIANTS) + 1:
        raise Failure(f'IOMMU groups: {groups}')


def bound(found):
    """each device is bound to vfio-pci"""
    same('drivers', {address: device.driver
                     for address, device in found.devices.items()},
         {outer.host_address(index): 'vfio-pci'
          for index in range(len(VARIANTS) + 1)})


def shown(found):
    """qemu-gpu-mem shows the GPU, and its driver"""
    lines = [f'{outer.host_address(len(VARIANTS))}  GH200 120GB',
             'driver: vfio-pci']
    same('missing', [line for line in lines
                     if line not in map(str.strip, found.plan)],
         [])


def planned_start(found):
    """QEMU starts with what qemu-gpu-mem prints for it, and has its nodes"""
    same('nodes', [line.strip() for line in found.plan if 'device:' in line],
         [f'node {node} device: gpu0' for node in range(1, 9)])


OUTER_CHECKS = (has_iommu, bound, shown, planned_start)


# --- TAP ------------------------------------------------------------------

def show_log(tap, out, lines):
    tap.diagnose(f'the end of {os.path.join(out, guest.LOG)}:')
    for line in guest.log_tail(out, lines):
        tap.diagnose(line)


def test_outer(tap, args, inner):
    """The outer machine's report, as far as it came."""
    out = os.path.join(args.out, 'outer')

    def boot():
        """it boots, runs the inner machines and powers off"""
        outer.boot(outer.Files(args.outer_qemu, args.outer_guest, args.outer),
                   inner, plan_command(args.qemu), NODE_MB, out)

    tap.point(f'outer machine: {boot.__doc__}', boot)
    found = outer.parse(guest.read_log(out), len(inner))
    for check in OUTER_CHECKS:
        tap.point(f'outer machine: {check.__doc__}', check, found)
    return found


def test_inner(tap, index, variant, out, outer_found):
    host = outer.host_address(index)
    run = outer_found.runs[index]
    log = guest.read_log(out)
    found = report.parse(log)
    found.memory_files = [guest.memory_file(out, 0)]

    def passed_through():
        """QEMU holds the device's IOMMU group"""
        if host not in outer_found.devices:
            raise Failure(f'the outer machine did not report {host}')
        same('groups that it holds', run.held,
             [outer_found.devices[host].group])

    def ended():
        """the guest reports and powers off"""
        same("QEMU's exit status", run.status, 0)
        same('steps that failed in the guest', found.failed, [])
        if '@@ done' not in log:
            raise Failure('the guest did not come to its end')

    def complete(found):
        """nothing that "make run" asks for is missing"""
        same('missing', report.missing(found, variant.machine(host)), [])

    tap.point(f'{variant.name}: {passed_through.__doc__}', passed_through)
    tap.point(f'{variant.name}: {ended.__doc__}', ended)
    for check in (*guest_checks(variant), complete):
        tap.point(f'{variant.name}: {check.__doc__}', check, found)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH',
                        type=os.path.abspath)
    parser.add_argument('--guest', required=True, metavar='DIR',
                        type=os.path.abspath,
                        help='what tests/guest/build-guest made')
    parser.add_argument('--outer', required=True, metavar='DIR',
                        help='what build-outer made of both')
    parser.add_argument('--outer-qemu', required=True, metavar='PATH',
                        help='the QEMU of the outer machine, a PC')
    parser.add_argument('--outer-guest', required=True, metavar='DIR',
                        help='what tests/guest/build-guest made for a PC')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets a directory of logs per machine')
    return parser.parse_args()


def main():
    args = parse_args()
    if platform.machine() != 'x86_64':
        print('TAP version 13\n1..1\nok 1 - outer machine # SKIP QEMU here is '
              f'a program of {platform.machine()}, the outer machine a PC')
        return

    inner = []
    for index, variant in enumerate(VARIANTS):
        vm = variant.machine(outer.host_address(index))
        # Of two -cpu options the last one counts
        out = os.path.join(args.out, variant.name)
        inner.append(outer.Inner(
            vm.command(args.qemu, args.guest, out, SPEED_ARGS), out))

    tap = Tap(1 + len(OUTER_CHECKS) +
              sum(3 + len(guest_checks(variant)) for variant in VARIANTS))
    outer_found = test_outer(tap, args, inner)
    for index, variant in enumerate(VARIANTS):
        failures_before = tap.failures
        test_inner(tap, index, variant, inner[index].out, outer_found)
        if tap.failures > failures_before:
            show_log(tap, inner[index].out, 40)
    if tap.failures:
        show_log(tap, os.path.join(args.out, 'outer'), 80)
        said = guest.read_stderr(os.path.join(args.out, 'outer'))
        if said:
            tap.diagnose(f'QEMU says: {said}')
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
