#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest tests: a real guest finds its GPUs' nodes and onlines their memory."""

import argparse
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

import guest                        # noqa: E402
import machine                      # noqa: E402
import report                       # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    """A check that fails, with its reason."""


def same(what, have, want):
    if have != want:
        raise Failure(f'{what}:\nhave {have}\nwant {want}')


# --- checks of a booted guest: each gets its report -----------------------

def log_lines(nodes):
    def check(found):
        """the kernel's log has exactly the lines of the empty nodes"""
        same('hotplug lines', found.srat_lines,
             [f'ACPI: SRAT: Node {node} PXM {node} '
              '[mem 0x00000000-0xffffffffffffffff] hotplug'
              for node in nodes])
    return check


def srat_bytes(nodes):
    def check(found):
        """SRAT: boot memory, then an empty entry per node, ascending"""
        entries = report.srat_memory(found.tables['SRAT'])
        boot = [entry for entry in entries if entry.length]
        same('domains of memory at boot',
             [entry.domain for entry in boot], [0, 1])
        same('entries after it (bytes, domain, base, length, flags)',
             [(entry.entry_bytes, entry.domain, entry.base, entry.length,
               entry.flags) for entry in entries[len(boot):]],
             [(40, node, 0, 0, 3) for node in nodes])
    return check


def properties(*ranges):
    def check(found):
        """the kernel reads all four properties of each GPU"""
        same('properties', [gpu.properties for gpu in found.gpus],
             [{'dev-mem-pxm-start': start, 'dev-mem-pxm-count': count,
               'nvidia,gpu-mem-pxm-start': start,
               'nvidia,gpu-mem-pxm-count': count}
              for start, count in ranges])
    return check


def paths(*patterns):
    def check(found):
        """each GPU has its ACPI node under its own bridge"""
        have = [gpu.path for gpu in found.gpus]
        if len(have) != len(patterns) or not all(
                map(re.fullmatch, patterns, have)):
            raise Failure(f'ACPI paths:\nhave {have}\nwant {patterns}')
        if len(set(have)) != len(have):
            raise Failure(f'two GPUs share an ACPI path: {have}')
    return check


def node_map(*ranges):
    def check(found):
        """each proximity domain is the node of the same number"""
        same('domain to node', [gpu.nodes for gpu in found.gpus],
             [{node: node for node in range(start, start + count)}
              for start, count in ranges])
    return check


def memory(nodes, with_memory):
    def check(found):
        """a GPU's memory is online in its first node, none in the others"""
        # Counted in online memory blocks: MemTotal would be less where the
        # kernel keeps some for itself.
        same('MB online', {node: found.online_mb(node) for node in nodes},
             {node: 1024 if node in with_memory else 0 for node in nodes})
    return check


def numactl(with_memory):
    def check(found):
        """numactl -H shows the memory"""
        sizes = re.findall(r'(?m)^node \d+ size: .*', found.numactl)
        for node in with_memory:
            line = f'node {node} size: 1024 MB'
            if line not in sizes:
                raise Failure(f'no line "{line}", but {sizes}')
    return check


BOOTS = (
    ('one-gpu', machine.Machine(), (
        log_lines(range(2, 10)),
        srat_bytes(range(2, 10)),
        paths(r'\\_SB_\.PCI0\.S20_'),
        properties((2, 8)),
        node_map((2, 8)),
        memory(range(2, 10), {2}),
        numactl({2}))),
    ('two-gpus', machine.Machine(gpus=2, nodes=7), (
        log_lines(range(2, 16)),
        srat_bytes(range(2, 16)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_'),
        properties((2, 7), (9, 7)),
        node_map((2, 7), (9, 7)),
        memory(range(2, 16), {2, 9}),
        numactl({2, 9}))),
    ('two-gpus-below-pxb', machine.Machine(gpus=2, nodes=7, below_pxb=True), (
        paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
        properties((2, 7), (9, 7)),
        memory(range(2, 16), {2, 9}))),
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


# --- TAP ------------------------------------------------------------------

class Tap:
    def __init__(self, count):
        self.number = self.failures = 0
        print(f'TAP version 13\n1..{count}', flush=True)

    def diagnose(self, text):
        for line in str(text).splitlines():
            print(f'# {line}', flush=True)

    def point(self, name, check, *args):
        """One test: ok unless the check raises."""
        self.number += 1
        failure = None
        try:
            check(*args)
        except (Failure, guest.BootError, machine.MachineError) as error:
            failure = str(error)
        # Whatever a broken report makes a check raise is a failed check.
        except Exception as error:  # pylint: disable=broad-except
            failure = f'{type(error).__name__}: {error}'
        print(f'{"not ok" if failure else "ok"} {self.number} - {name}',
              flush=True)
        if failure:
            self.failures += 1
            self.diagnose(failure)
        return not failure


def test_boot(tap, args, name, vm, checks):
    out = os.path.join(args.out, name)
    found = report.Report()
    failures_before = tap.failures

    def boot():
        """the guest reports and powers off"""
        nonlocal found
        vm.check()
        guest.boot(vm.command(args.qemu, args.guest), out)
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
