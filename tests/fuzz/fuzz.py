#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random machines with objects for nodes of devices, right and wrong ones.

QEMU must either refuse a machine with one clear line, or start it and give it
the tables that the documents promise, through all that then happens to it.
Prints TAP: a case for each batch of machines.
"""

import argparse
import hashlib
import multiprocessing
import random
import shlex
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from case import Case
from qemu import Emulator

BATCH = 50
MAX_FAILURES = 10       # that are told in full
OPTIONS = {'aarch64': '--qemu', 'x86_64': '--pc-qemu'}


Job = tuple[list[Emulator], str, int, float]


def run_case(job: Job) -> tuple[str, Counter]:
    emulators, seed, number, seconds = job
    case = None
    try:
        case = Case(seed, number, emulators)
        problem = case.run(seconds)
    except Exception:
        problem = f'the fuzzer itself fails:\n{traceback.format_exc()}'
    if problem:
        options = [word for emulator in emulators
                   for word in (OPTIONS[emulator.arch], emulator.binary)]
        again = shlex.join([sys.argv[0], *options, '--seed', seed,
                            '--first', str(number), '--count', '1'])
        command = case.command_line() if case else '(nothing)'
        problem = (f'seed {seed}, machine {number}: {problem}\n'
                   f'QEMU was started with:\n{command}\nagain: {again}')
    return problem, case.counts if case else Counter()


def comment(text: str) -> None:
    print('\n'.join('# ' + line for line in text.splitlines()), flush=True)


def tell_counts(counts: Counter, seconds: float) -> None:
    comment(f'{counts["accepted"]} accepted, {counts["refused"]} refused '
            f'({counts["refused after preconfig"]} after preconfig), '
            f'{counts["tables checked"]} times tables checked, '
            f'{seconds:.0f} seconds')
    for prefix in ('fault ', 'step '):
        names = sorted(name for name in counts if name.startswith(prefix))
        comment(f'{prefix.strip()}s: ' + ', '.join(
            f'{name.removeprefix(prefix)} {counts[name]}' for name in names))


def tree_seed() -> str:
    """The same for as long as the fuzzer is the same"""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).resolve().parent.glob('*.py')):
        digest.update(path.read_bytes())
    return str(int(digest.hexdigest()[:8], 16))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', help='the QEMU to test, for aarch64')
    parser.add_argument('--pc-qemu', help='the one for x86_64; with both half '
                        'of the machines are PCs')
    parser.add_argument('--count', type=int, default=300,
                        help='how many machines (%(default)s)')
    parser.add_argument('--seed', help='a number or word (random); "tree": a '
                        'hash of the fuzzer, as in make check')
    parser.add_argument('--first', type=int, default=0,
                        help='the number of the first machine (%(default)s)')
    parser.add_argument('--jobs', type=int, default=1,
                        help='how many at a time (%(default)s)')
    parser.add_argument('--deadline', type=float, default=60,
                        help='seconds for a machine (%(default)s)')
    parser.add_argument('--show', action='store_true',
                        help='print the command lines, start nothing')
    args = parser.parse_args()
    if not args.qemu and not args.pc_qemu:
        parser.error('give --qemu, --pc-qemu or both')
    return args


def main() -> int:
    args = parse()
    seed = args.seed or str(random.SystemRandom().randrange(10 ** 9))
    if seed == 'tree':
        seed = tree_seed()
    numbers = range(args.first, args.first + args.count)
    emulators = [Emulator.of(binary, arch) for binary, arch in
                 ((args.qemu, 'aarch64'), (args.pc_qemu, 'x86_64')) if binary]
    if args.show:
        for number in numbers:
            print(Case(seed, number, emulators).command_line())
        return 0

    batches = (len(numbers) + BATCH - 1) // BATCH
    print(f'TAP version 13\n1..{batches}')
    comment(f'seed {seed}')
    for emulator in emulators:
        comment(f'{emulator.binary}: {emulator.version}')

    start = time.monotonic()
    counts: Counter[str] = Counter()
    failures = 0
    with multiprocessing.Pool(args.jobs) as pool:
        results = pool.imap(run_case, [(emulators, seed, number, args.deadline)
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
