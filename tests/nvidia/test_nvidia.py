#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""NVIDIA's driver, as Debian has it, finds the nodes of each GPU.

The GPUs are stand-ins with a GH200's ids.  That is enough for the driver up to
575: it looks for the nodes before it looks for the hardware.
"""

import argparse
import dataclasses
import os
import re
import signal
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'guest'))

import guest                        # noqa: E402
import report                       # noqa: E402
from checks import same             # noqa: E402
from machine import Machine         # noqa: E402
from places import PXB, ROOT_BUS, ROOT_PORT     # noqa: E402
from tap import Tap                 # noqa: E402

DRIVER = '550'      # the one that finds these nodes: others differ
GH200 = ('-global', 'gpu-mem-testdev.vendor-id=0x10de',
         '-global', 'gpu-mem-testdev.device-id=0x2342')
# busybox' insmod tries a second time: the first is what comes before this
FAILED = 'None of the NVIDIA devices were initialized'


@dataclasses.dataclass(frozen=True)
class Boot:
    name: str
    vm: Machine
    # What each GPU is, and the nodes that the driver finds for it
    gpus: dict[str, list[int]]
    extra: tuple[str, ...] = ()     # of QEMU's arguments


def everywhere(name, option):
    """Three GPUs, each at another place and with nodes of its own."""
    return Boot(name, Machine(gpus=3, nodes=4, options=(option,) * 3,
                              places=(ROOT_BUS, ROOT_PORT, PXB)),
                {ROOT_BUS: [2, 3, 4, 5], ROOT_PORT: [6, 7, 8, 9],
                 PXB: [10, 11, 12, 13]})


def another_gpu(name, slot):
    return ('-object', f'memory-backend-ram,id=hbm-{name},size=128M',
            '-device', f'gpu-mem-testdev,id={name},memdev=hbm-{name},'
            f'bus=pcie.0,addr={slot:#x}')


BOOTS = (
    everywhere('initiators-off', 'generic-initiator=off'),
    # The driver says nothing of Extended GPU Memory until it has hardware
    everywhere('initiators-and-egm', 'generic-initiator=on,egm-node=0'),
    Boot('14-nodes', Machine(nodes=14), {ROOT_BUS: list(range(2, 16))}),
    # The last three are at 00:10.0 and what follows
    Boot('controls',
         Machine(nodes=8, places=(ROOT_PORT,), initiator_objects=True),
         {'8 acpi-generic-initiator, root port': [],
          'acpi-generic-initiator, root bus': [],
          'no object': [], 'one node': [11]},
         ('-numa', 'node,nodeid=10', '-numa', 'node,nodeid=11',
          *another_gpu('initiator', 0x10), *another_gpu('nothing', 0x11),
          *another_gpu('one', 0x12),
          '-object', 'acpi-generic-initiator,id=gi,pci-dev=initiator,node=10',
          '-object', 'nvidia-gpu-mem-acpi,id=mem,devid=one,nodeset=11')),
)


def nodes_of(log, address):
    """Those that the driver prints.

    None if it prints neither these nor that it has none, or both.
    """
    said = re.findall(rf'NVRM: GPU {re.escape(address)}: (.*)', log)
    nodes = [int(found[1]) for line in said if (found := re.fullmatch(
        r'\s*NVRM: GPU memory NUMA node: (\d+)', line))]
    gave_up = 'Cannot get coherent link info.' in said
    return None if gave_up == bool(nodes) else nodes


def test_boot(tap, args, boot):
    with open(os.path.join(args.guest, 'version')) as file:
        version = file.read().strip()
    kernel = '.'.join(version.split('.')[:2])
    out = os.path.join(args.out, kernel, boot.name)
    found, log = report.Report(), ''
    failures_before = tap.failures

    def probes():
        """the driver probes each GPU"""
        nonlocal found, log
        boot.vm.check(args.guest)
        guest.boot(boot.vm.command(args.qemu, args.guest, out,
                                   (*GH200, *boot.extra)),
                   boot.vm.arch.milestones, out)
        log = guest.read_log(out)
        found = report.parse(log)
        log = log.partition(FAILED)[0]
        same('kernel', found.kernel, version)
        with open(os.path.join(args.guest, 'nvidia.ko'), 'rb') as file:
            same('driver', re.findall(rb'\0version=(\d+)\.', file.read()),
                 [DRIVER.encode()])
        same('GPUs', len(found.gpus), len(boot.gpus))
        same('probed', log.count('NVRM: probing 0x10de 0x2342'), len(boot.gpus))

    def finds(index, nodes):
        same('nodes', nodes_of(log, found.gpus[index].address), nodes)

    title = f'{kernel} {boot.name}'
    tap.point(f'{title}: {probes.__doc__}', probes)
    for index, (name, nodes) in enumerate(boot.gpus.items()):
        tap.point(f'{title}, {name}: the driver finds '
                  f'{report.node_list(nodes)}', finds, index, nodes)
    if tap.failures > failures_before:
        tap.diagnose(f'the end of {os.path.join(out, guest.LOG)}:')
        for line in guest.log_tail(out, 120):
            tap.diagnose(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-nvidia made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets a directory of logs per boot')
    args = parser.parse_args()

    tap = Tap(sum(1 + len(boot.gpus) for boot in BOOTS))
    for boot in BOOTS:
        test_boot(tap, args, boot)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
