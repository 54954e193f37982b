#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables of nvidia-gpu-mem-acpi cost, beside those of no object and
those of acpi-generic-initiator.

Leaves report.md and growth.svg in the output folder, and prints the report.
Exit status 1: a target is missed.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, '..', 'fuzz'))

import instructions                 # noqa: E402
import report                       # noqa: E402
import sizes                        # noqa: E402
import variants                     # noqa: E402
import wall                         # noqa: E402
from figures import Figures, Sizes, jobs     # noqa: E402
from instructions import Count, Job     # noqa: E402
from qemu import Failure            # noqa: E402

PAIRS = 5       # of guests


@contextlib.contextmanager
def step(name: str):
    print(f'{name} ... ', end='', file=sys.stderr, flush=True)
    before = time.monotonic()
    try:
        yield
    except BaseException:
        print('failed', file=sys.stderr)
        raise
    print(f'{time.monotonic() - before:.0f} s', file=sys.stderr)


def processor() -> str:
    """Its name, where Linux knows one"""
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.machine()


def about(qemu: str) -> str:
    version = subprocess.run([qemu, '--version'], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.splitlines()[0]
    return (f'{version.partition("(")[0].strip()}, on {os.cpu_count()} '
            f'processors ({processor()}), {time.strftime("%F")}')


def boot_guests(args: argparse.Namespace) -> dict[str, list[float]]:
    done = subprocess.run(
        [os.path.join(HERE, 'boots.py'), '--qemu', args.qemu,
         '--guest', args.guest, '--out', os.path.join(args.out, 'guest'),
         '--pairs', str(PAIRS)], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failure('a guest does not boot')
    return json.loads(done.stdout)


def measure_exactly(args: argparse.Namespace, work: str, todo: list[Job]
                    ) -> tuple[dict[Job, Count], dict[tuple[str, int], Sizes]]:
    """What work of others on the machine does not change"""
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    with step('Counting instructions'):
        counts = instructions.count_all(args.qemu, work, todo)
    with step('Reading tables'):
        lengths = {(job.variant.key, job.gpus):
                   sizes.measure(args.qemu, job.variant, job.gpus)
                   for job in todo if not (job.switches or job.run)}
    return counts, lengths


def measure_smallest(args: argparse.Namespace, work: str) -> str:
    """A list, in JSON, with an element for each variant and number of GPUs"""
    counts, lengths = measure_exactly(
        args, work, [Job(variant, gpus) for gpus in variants.FEW_GPUS
                     for variant in variants.VARIANTS])
    return json.dumps([{'variant': job.variant.key, 'gpus': job.gpus,
                        **dataclasses.asdict(count), **dataclasses.asdict(
                            lengths[job.variant.key, job.gpus])}
                       for job, count in counts.items()], indent=4)


def measure(args: argparse.Namespace, work: str) -> Figures:
    counts, lengths = measure_exactly(args, work, jobs())
    # These take time: nothing may run beside them
    with step('Starting QEMU'):
        seconds = wall.measure(args.qemu, work)
    with step('Booting guests'):
        boots = boot_guests(args)
    return Figures(about(args.qemu), counts, lengths, seconds, boots)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    extent = parser.add_mutually_exclusive_group(required=True)
    extent.add_argument('--guest', metavar='DIR', help='what build-guest made')
    extent.add_argument('--smallest', action='store_true',
                        help='print only the instructions and sizes of 1, 8 '
                        'and 15 GPUs, as JSON: for test_bench.py')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets the report')
    args = parser.parse_args()
    args.out = os.path.abspath(args.out)
    args.qemu = os.path.abspath(args.qemu)
    return args


def main() -> int:
    args = parse()
    work = os.path.join(args.out, 'work')
    try:
        if args.smallest:
            print(measure_smallest(args, work))
            return 0
        figures = measure(args, work)
    except (Failure, OSError, ValueError,
            subprocess.CalledProcessError) as error:
        sys.exit(f'bench: {error}')
    text = report.write(figures)
    for name, content in (('report.md', text),
                          ('growth.svg', report.draw(figures))):
        with open(os.path.join(args.out, name), 'w',
                  encoding='utf-8') as file:
            file.write(content)
    print(text)
    print(f'{args.out}: report.md, growth.svg')
    missed = [target.text for target in figures.targets() if not target.met]
    for text in missed:
        print(f'missed: {text}', file=sys.stderr)
    return 1 if missed else 0


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
