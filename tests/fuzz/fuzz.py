#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random machines with nvidia-gpu-mem-acpi objects, right and wrong ones.

QEMU must either refuse a machine with one clear line, or start it and give it
the tables that the documents promise, through all that then happens to it.
Prints TAP: a case for each batch of machines.
"""

import argparse
import multiprocessing
import random
import shlex
import subprocess
import sys
import time
import traceback
from collections import Counter

from case import Case

BATCH = 50
MAX_FAILURES = 10       # that are told in full


def run_case(job: tuple[str, str, int, float]) -> tuple[str, Counter]:
    binary, seed, number, seconds = job
    case = None
    try:
        case = Case(seed, number)
        problem = case.run(binary, seconds)
    except Exception:
        problem = f'the fuzzer itself fails:\n{traceback.format_exc()}'
    if problem:
        again = shlex.join([sys.argv[0], '--qemu', binary, '--seed', seed,
                            '--first', str(number), '--count', '1'])
        command = case.command_line(binary) if case else '(nothing)'
        problem = (f'seed {seed}, machine {number}: {problem}\n'
                   f'QEMU was started with:\n{command}\nagain: {again}')
    return problem, case.counts if case else Counter()


def comment(text: str) -> None:
    print('\n'.join('# ' + line for line in text.splitlines()), flush=True)


def tell_counts(counts: Counter, seconds: float) -> None:
    comment(f'{counts["accepted"]} accepted, {counts["refused"]} refused '
            f'({counts["refused by QMP"]} by QMP before they started), '
            f'{counts["tables checked"]} times tables checked, '
            f'{seconds:.0f} seconds')
    for prefix in ('fault ', 'step '):
        names = sorted(name for name in counts if name.startswith(prefix))
        comment(f'{prefix.strip()}s: ' + ', '.join(
            f'{name.removeprefix(prefix)} {counts[name]}' for name in names))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, help='the QEMU to test')
    parser.add_argument('--count', type=int, default=300,
                        help='how many machines (%(default)s)')
    parser.add_argument('--seed', help='a number or word (random)')
    parser.add_argument('--first', type=int, default=0,
                        help='the number of the first machine (%(default)s)')
    parser.add_argument('--jobs', type=int, default=1,
                        help='how many at a time (%(default)s)')
    parser.add_argument('--deadline', type=float, default=60,
                        help='seconds for a machine (%(default)s)')
    parser.add_argument('--show', action='store_true',
                        help='print the command lines, start nothing')
    return parser.parse_args()


def main() -> int:
    args = parse()
    seed = args.seed or str(random.SystemRandom().randrange(10 ** 9))
    numbers = range(args.first, args.first + args.count)
    if args.show:
        for number in numbers:
            print(Case(seed, number).command_line(args.qemu))
        return 0

    batches = (len(numbers) + BATCH - 1) // BATCH
    print(f'TAP version 13\n1..{batches}')
    comment(f'seed {seed}')
    try:
        version = subprocess.run([args.qemu, '--version'], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f'Bail out! {error}')
        return 1
    comment(version.splitlines()[0])

    start = time.monotonic()
    counts: Counter[str] = Counter()
    failures = 0
    with multiprocessing.Pool(args.jobs) as pool:
        results = pool.imap(run_case, [(args.qemu, seed, number, args.deadline)
                                       for number in numbers])
        for batch in range(batches):
            failed = 0
            part = numbers[batch * BATCH:(batch + 1) * BATCH]
            for _ in part:
                problem, case_counts = next(results)
                counts += case_counts
                if problem:
                    failed += 1
                    if failures + failed <= MAX_FAILURES:
                        comment(problem)
            print(f'{"not ok" if failed else "ok"} {batch + 1} '
                  f'machines {part[0]} to {part[-1]}', flush=True)
            failures += failed
    if failures:
        comment(f'{failures} of {len(numbers)} machines failed')
    tell_counts(counts, time.monotonic() - start)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
