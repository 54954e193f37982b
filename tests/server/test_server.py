#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Server tests: an arm64 host with KVM passes its GPUs to guests.

The host is emulated, with an SMMU and Linux' own nvgrace-gpu; our QEMU for arm64 and
its guests run in it.
"""

import argparse
import os
import re
import shutil
import signal
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
for _folder in ('guest', 'gpu-mem', 'nvidia', 'libvirt'):
    sys.path.insert(0, os.path.join(HERE, os.pardir, _folder))

import guest                        # noqa: E402
import report                       # noqa: E402
import server                       # noqa: E402
from cases import ACCELERATED, BOOTS, DEATH, GPUS   # noqa: E402
from checks import Failure, Skip, same              # noqa: E402
from machine import has_accelerated_smmu            # noqa: E402
from tap import Tap                 # noqa: E402


def prepare(args, boot, out):
    """The folder of a boot, with the commands of its guests."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for inner in boot.inners():
        own = os.path.join(out, inner.name)
        os.mkdir(own)
        inner.prepare(own, args)


def no_accelerated_smmu():
    raise Skip('this QEMU has no accelerated SMMU (11.0 has it)')


def test_boot(tap, args, boot):
    out = os.path.join(args.out, boot.name)
    found = server.Report('', {}, [])
    failures_before = tap.failures

    def boots():
        """it boots, takes its steps and powers off"""
        nonlocal found
        prepare(args, boot, out)
        lines = []
        for step in boot.steps:
            lines += [step] if isinstance(step, str) else step.steps(
                os.path.join(out, step.name), args)
        try:
            server.run(args.files, GPUS, lines, out, canwbs=boot.accelerated,
                       host=boot.host)
        finally:
            found = server.parse(guest.read_log(out))
        with open(os.path.join(args.build, boot.host, 'version')) as file:
            same('kernel', found.kernel, file.read().strip())
        same('steps that failed', found.failed, list(boot.failed))

    tap.point(f'{boot.name}: {boots.__doc__}', boots)
    for check in boot.checks:
        tap.point(f'{boot.name}: {check.__doc__}', check, found)
    for inner in boot.inners():
        test_inner(tap, inner, found, out)
    if tap.failures > failures_before:
        show_log(tap, out, 60)


def test_inner(tap, inner, server_found, out):
    own = os.path.join(out, inner.name)
    logs = guest.read_log(own).split('@@ done')
    failures_before = tap.failures

    def passed_through():
        have = '\n'.join(server_found.steps.get(inner.name, []))
        if not re.fullmatch(inner.held, have):
            raise Failure(f'it holds {have or "nothing"}')

    tap.point(f'{inner.name}: QEMU holds what vfio has of the GPUs',
              passed_through)
    for number, title in enumerate(inner.titles()):
        log = logs[number] if number < len(logs) else ''
        found = report.parse(log)
        found.log, found.said = log, guest.read_stderr(own)
        found.memory_files = [
            gpu.memory_file(out) + ('.bar' if inner.in_bar else '')
            for gpu in inner.gpus]

        def ended(number=number, found=found):
            """the guest reports and powers off"""
            if number + 1 >= len(logs):
                raise Failure('the guest did not come to its end')
            same('steps that failed', found.failed, [])

        def died(log=log):
            """the guest dies when it first uses the memory; QEMU goes on"""
            said = guest.read_stderr(own)
            if not re.search(DEATH, said, re.DOTALL | re.MULTILINE):
                raise Failure(f'QEMU says {said or "nothing"}')
            same('the last step', re.findall('@@ begin (.*)', log)[-1:],
                 ['patterns'])

        end = died if inner.dies else ended
        tap.point(f'{title}: {end.__doc__}', end)
        for check in (*inner.checks, *(
                inner.last_checks if title == inner.titles()[-1] else ())):
            tap.point(f'{title}: {check.__doc__}', check, found)
        if inner.is_complete():
            tap.point(f'{title}: {complete.__doc__}', complete, found, inner)
    if tap.failures > failures_before:
        show_log(tap, own, 40)


def complete(found, inner):
    """nothing that "make run" asks for is missing"""
    same('missing', report.missing(found, inner.vm), [])


def show_log(tap, out, lines):
    tap.diagnose(f'the end of {os.path.join(out, guest.LOG)}:')
    for line in guest.log_tail(out, lines):
        tap.diagnose(line)
    said = guest.read_stderr(out)
    if said:
        tap.diagnose(f'QEMU says: {said}')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True, metavar='DIR',
                        type=os.path.abspath)
    parser.add_argument('--out', required=True, metavar='DIR',
                        type=os.path.abspath,
                        help='gets a folder of logs for each boot')
    parser.add_argument('boots', nargs='*', metavar='BOOT',
                        help='only these: '
                        + ', '.join(boot.name for boot in BOOTS))
    args = parser.parse_args()
    args.inner_qemu = os.path.realpath(
        os.path.join(args.build, 'server', 'qemu-system-aarch64'))
    args.files = server.Build(args.build)
    names = {boot.name for boot in BOOTS}
    if set(args.boots) - names:
        parser.error(f'the boots are {", ".join(sorted(names))}')
    boots = [boot for boot in BOOTS if boot.name in args.boots or not args.boots]

    lacking = [] if has_accelerated_smmu(args.files.qemu) else [ACCELERATED]
    tap = Tap(sum(1 if boot in lacking else boot.points() for boot in boots))
    for boot in boots:
        if boot in lacking:
            tap.point(boot.name, no_accelerated_smmu)
        else:
            test_boot(tap, args, boot)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
