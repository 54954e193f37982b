#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests, in TAP, of what "make check" says of its steps."""

import fcntl
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True      # the source directory stays clean
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

from checks import Failure, same    # noqa: E402
from tap import Tap                 # noqa: E402

ENDLESS = 10                # seconds that the step of this name is given
RUN_STEP, RUN_TESTS = (os.path.abspath(os.path.join(TOP, 'scripts', 'test', name))
                       for name in ('run-step', 'run-tests'))
# Of each step: its kind, its command in a shell, and what it needs
GOOD = {'built': ('build', 'echo this is built', ()),
        'fine': ('test', 'echo 1..2; echo ok 1 - one; echo ok 2 - two',
                 ('built',))}
# It works for a second, in a process that leaves its parent
BUSY = {'busy': ('test', 'echo 1..1; echo ok 1 - one; '
                 '( (ulimit -t 1; while :; do :; done) & ) | cat', ())}
SKIPPED = {'not-here': ('test', 'echo 1..1; echo "ok 1 - it # SKIP no hardware"',
                        ())}
BAD = {
    'no-build': ('build', 'echo the reason; exit 3', ()),
    'never': ('test', 'echo 1..1; echo ok 1', ('no-build',)),
    'one-of-two': ('test', 'echo 1..2; echo ok 1 - one; echo not ok 2 - two; exit 1',
                   ()),
    'crash': ('test', 'echo 1..1; echo ok 1 - one; kill -SEGV $$$$', ()),
    'half': ('test', 'echo 1..3; echo ok 1 - one', ()),
    'silent': ('test', 'exit 0', ()),
    'nothing': ('test', 'echo 1..0', ()),
    'why': ('test', 'echo 1..1; echo "ok 1 - it # SKIP"', ()),
    # It doesn't let itself be asked to end
    'endless': ('test', 'echo 1..1; echo ok 1 - one; trap "" TERM; echo $$$$ >pid; '
                'while :; do sleep 60; done', ()),
}


def prepare(build, steps):
    """Make it a build folder that has these steps."""
    open(os.path.join(build, '.nvidia-gpu-mem-acpi'), 'w').close()
    with open(os.path.join(build, 'build.ninja'), 'w') as file:
        file.write('rule step\n  command = $run\nbuild build.ninja: phony\n')
        for name, (kind, command, needs) in steps.items():
            file.write(
                f'build {name}: step | {" ".join(needs)}\n'
                f"  run = {RUN_STEP} {build}/results/{name} {kind} "
                f"{ENDLESS if name == 'endless' else 60} sh -c '{command}'\n")
        file.write(f'build check: phony {" ".join(steps)}\n')


def run_tests(build):
    """Exit status of run-tests, and what it says."""
    done = subprocess.run([RUN_TESTS, build], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def run(steps):
    """Exit status and lines of run-tests for these steps."""
    with tempfile.TemporaryDirectory() as build:
        prepare(build, steps)
        status, said = run_tests(build)
        if 'endless' in steps:
            with open(os.path.join(build, 'pid')) as file:
                if os.path.exists(f'/proc/{file.read().strip()}'):
                    raise Failure('a step that took too long still runs')
    return status, said.splitlines()


def good():
    status, lines = run(GOOD | SKIPPED)
    same('exit status and last line', (status, lines[-1]),
         (0, '2 passed, 0 failed, 1 skipped'))
    same('skipped', [line for line in lines if line.startswith('skipped:')],
         ['skipped: not-here: it: no hardware'])
    same('built', 'this is built' in lines, True)


def bad():
    status, lines = run(GOOD | BAD)
    same('exit status and last line', (status, lines[-1]),
         (1, '6 passed, 8 failed, 0 skipped'))
    same('failed', sorted(line for line in lines if line.startswith('failed:')), [
        'failed: crash: the program itself: exit status -11',
        f'failed: endless: the program itself: it took more than {ENDLESS} s',
        'failed: half: the program itself: it ran 1 cases, not 3',
        'failed: no-build: exit status 3; what needs it was not run',
        'failed: nothing: the program itself: it ran no case',
        'failed: one-of-two: two',
        'failed: silent: the program itself: it ran no case',
        'failed: why: it: skipped, and no reason given'])
    same('the reason', lines.count('the reason'), 1)


def costs():
    status, lines = run(GOOD | BUSY)
    same('exit status', status, 0)
    longest, all_of_it = lines[-3:-1]
    if not re.match(r'The longest steps: busy \d+ s \(CPU 1 s\), ', longest):
        raise Failure(longest)
    if not re.fullmatch(r'All of it: \d+ s, with [1-9]\d* s of CPU time', all_of_it):
        raise Failure(all_of_it)


def told_once():
    with tempfile.TemporaryDirectory() as folder:
        told = os.path.join(folder, 'told')
        # The shell that the step leaves takes a second to end
        subprocess.run(
            [RUN_STEP, os.path.join(folder, 'step'), 'test', '60', 'sh', '-c',
             f"(trap 'echo told >>{told}; sleep 1; exit' TERM; echo >{told}.ready; "
             f"while :; do sleep 1; done) & until [ -e {told}.ready ]; do :; done"],
            stdout=subprocess.DEVNULL, check=True)
        with open(told) as file:
            same('what it was told', file.read(), 'told\n')


def one_at_a_time():
    with tempfile.TemporaryDirectory() as build:
        prepare(build, {})
        with open(os.path.join(build, 'check.lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            same('a second', run_tests(build), (
                1, f'run-tests: another one tests in {build}: wait for its end\n'))


def main():
    tap = Tap(5)
    tap.point('what passes and what is skipped is counted', good)
    tap.point('each way to fail is told and counted', bad)
    tap.point('what is left of a step is told once to end', told_once)
    tap.point('two do not test in one build folder at a time', one_at_a_time)
    tap.point('it says what took the longest, and the CPU time', costs)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    main()
