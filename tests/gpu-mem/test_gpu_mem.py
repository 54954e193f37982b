#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of qemu-gpu-mem on saved sysfs trees.

A case is a pair of files in cases/: NAME.args, and NAME.out with the status and
what is said.  --update writes the second ones anew.
"""

import argparse
import difflib
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(TOP, 'tests', 'guest'))

from checks import same            # noqa: E402
from tap import Tap                 # noqa: E402

CASES = os.path.join(HERE, 'cases')
PROGRAM = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], text=True, cwd=CASES,
                          capture_output=True, check=False)


def arguments_of(name):
    with open(os.path.join(CASES, f'{name}.args')) as file:
        return shlex.split(file.read())


def said(name):
    done = run(*arguments_of(name))
    return f'status {done.returncode}\n{done.stderr}{done.stdout}'


def golden(name):
    path = os.path.join(CASES, f'{name}.out')
    with open(path) as file:
        wanted = file.read()
    same('differences', '\n'.join(difflib.unified_diff(
        wanted.splitlines(), said(name).splitlines(), path, 'said',
        lineterm='')), '')


def saves():
    """what "show --save" writes is shown as the original"""
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, 'sysfs.tar')
        run('show', '--sysfs', '../sysfs/four-gpus', '--save', saved)
        with tarfile.open(saved) as tar:
            tar.extractall(folder)
        same('shown', run('show', '--sysfs', folder).stdout,
             run('show', '--sysfs', '../sysfs/four-gpus').stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--update', action='store_true')
    args = parser.parse_args()
    names = sorted(name.removesuffix('.args') for name in os.listdir(CASES)
                   if name.endswith('.args'))
    if args.update:
        for name in names:
            with open(os.path.join(CASES, f'{name}.out'), 'w') as file:
                file.write(said(name))
        return 0
    tap = Tap(len(names) + 1)
    for name in names:
        tap.point(f'{name}: says what its file has', golden, name)
    tap.point(saves.__doc__, saves)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
