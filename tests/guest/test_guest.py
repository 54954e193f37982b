#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest tests: a real guest has its GPUs' and other memory in its nodes."""

import argparse
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

import guest                        # noqa: E402
import machine                      # noqa: E402
import report                       # noqa: E402
from checks import (                # noqa: E402
    Failure, drawing, log_lines, memory, node_map, numactl, paths, properties,
    same, srat_bytes, topology)
from memory_devices import MemoryDevice     # noqa: E402
from numa_checks import (           # noqa: E402
    distances, hmat_accepted, hmat_read, hmat_table, initiators, plug_range)
from performance import Performance         # noqa: E402
from tap import Tap                 # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


# Nodes 2 and 3 are near CPU node 0, nodes 4 and 5 near CPU node 1.
DISTANCES = (
    (10, 20, 40, 41, 80, 81),
    (20, 10, 82, 83, 42, 43),
    (40, 82, 10, 11, 90, 91),
    (41, 83, 11, 10, 92, 93),
    (80, 42, 90, 92, 10, 12),
    (81, 43, 91, 93, 12, 10))
PERFORMANCE = Performance(
    latency_ns=((100, 150, 250, 250, 410, 410),
                (150, 100, 420, 420, 260, 260)),
    bandwidth_mb=((409600, 102400, 307200, 307200, 51200, 51200),
                  (102400, 409600, 53248, 53248, 204800, 204800)))

BOOTS = (
    ('one-gpu', machine.Machine(), (
        log_lines(range(2, 10)),
        srat_bytes(range(2, 10)),
        paths(r'\\_SB_\.PCI0\.S20_'),
        properties((2, 8)),
        node_map((2, 8)),
        memory(range(2, 10), {2: 1024}),
        numactl({2: 1024}),
        topology(range(2, 10), {2: 1024}),
        drawing(range(2, 10), {2: 1024}))),
    ('two-gpus', machine.Machine(gpus=2, nodes=7), (
        log_lines(range(2, 16)),
        srat_bytes(range(2, 16)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_'),
        properties((2, 7), (9, 7)),
        node_map((2, 7), (9, 7)),
        memory(range(2, 16), {2: 1024, 9: 1024}),
        numactl({2: 1024, 9: 1024}))),
    ('two-gpus-below-pxb', machine.Machine(gpus=2, nodes=7, below_pxb=True), (
        paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
        properties((2, 7), (9, 7)),
        memory(range(2, 16), {2: 1024, 9: 1024}),
        topology(range(2, 16), {2: 1024, 9: 1024}),
        drawing(range(2, 16), {2: 1024, 9: 1024}))),
    # The highest node that is no GPU's has the range, but none of the memory
    ('memory-devices', machine.Machine(
        nodes=4, spare_nodes=4, devices=(
            MemoryDevice('pc-dimm', node=2, mb=512),
            MemoryDevice('pc-dimm', node=3, mb=256, while_running=True),
            MemoryDevice('virtio-mem-pci', node=4, mb=384))), (
        plug_range(5, nodes=range(2, 10)),
        properties((6, 4)),
        node_map((6, 4)),
        memory(range(2, 10), {2: 512, 3: 256, 4: 384, 6: 1024}),
        numactl({2: 512, 3: 256, 4: 384, 6: 1024}),
        hmat_accepted)),
    ('hmat-and-distances', machine.Machine(
        gpus=2, nodes=2, distances=DISTANCES, performance=PERFORMANCE), (
        log_lines(range(2, 6)),
        srat_bytes(range(2, 6)),
        properties((2, 2), (4, 2)),
        memory(range(2, 6), {2: 1024, 4: 1024}),
        hmat_accepted,
        hmat_table(PERFORMANCE, boot_nodes=(0, 1)),
        hmat_read(PERFORMANCE),
        initiators({2: (0, 250, 307200), 4: (1, 260, 204800)}),
        distances(DISTANCES))),
)


# --- checks of run.py that need no guest ----------------------------------

def refused(gpus, nodes, way_out):
    """run.py refuses so many nodes with the reason, and starts nothing."""
    def check(args):
        out = os.path.join(args.out, f'refused-{gpus}-{nodes}')
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, 'run.py'),
             '--qemu', args.qemu, '--guest', args.guest, '--out', out,
             '--gpus', str(gpus), '--nodes', str(nodes)],
            text=True, capture_output=True, timeout=60, check=False)
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

def test_boot(tap, args, name, vm, checks):
    out = os.path.join(args.out, name)
    found = report.Report()
    failures_before = tap.failures

    def boot():
        """the guest reports and powers off"""
        nonlocal found
        vm.check()
        guest.boot(vm.command(args.qemu, args.guest), out,
                   hot_plug=vm.hot_plug())
        found = report.parse(guest.read_log(out))
        if found.failed:
            raise Failure('\n'.join(found.failed))

    def complete(found):
        """nothing that "make run" asks for is missing"""
        same('missing', report.missing(found, vm), [])

    booted = tap.point(f'{name}: {boot.__doc__}', boot)
    for check in (*checks, complete):
        def checked(check=check):
            if not booted:
                raise Failure('the guest did not boot')
            check(found)
        tap.point(f'{name}: {check.__doc__}', checked)
    if tap.failures > failures_before:
        for gpu in found.gpus:
            for message in gpu.messages:
                tap.diagnose(f'the driver on {gpu.address}: {message}')
        tap.diagnose(f'the end of {os.path.join(out, guest.LOG)}:')
        for line in guest.log_tail(out):
            tap.diagnose(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets a directory of logs per boot')
    args = parser.parse_args()

    tap = Tap(len(REFUSALS) + sum(2 + len(checks) for _, _, checks in BOOTS))
    for gpus, nodes, way_out in REFUSALS:
        tap.point(f'GPUS={gpus} NODES={nodes} is refused with the reason',
                  refused(gpus, nodes, way_out), args)
    for name, vm, checks in BOOTS:
        test_boot(tap, args, name, vm, checks)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
