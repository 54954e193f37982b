# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI tables of a machine, without a boot."""

import os
import subprocess
import sys

from arch import ARM64
from checks import Failure

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                       'fuzz', 'write_tables.py')


def write_tables(qemu, vm, args, out):
    """As SIGNATURE.dat in out, which is made; ARGS are the hardware's."""
    os.makedirs(out, exist_ok=True)
    done = subprocess.run(
        [sys.executable, PROGRAM, '--qemu', os.path.abspath(qemu),
         '--board', 'virt' if vm.arch is ARM64 else 'q35', '--out', out, '--',
         *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failure(done.stdout)


def read_table(out, signature):
    with open(os.path.join(out, f'{signature}.dat'), 'rb') as file:
        return file.read()
