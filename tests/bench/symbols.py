# SPDX-License-Identifier: GPL-2.0-or-later
"""Which functions are in which source file, by the symbols of its object file.

Callgrind names functions by the same symbols, also where QEMU has no debug
information to name their files.
"""

import collections
import glob
import os
import subprocess


def functions(path: str) -> list[str]:
    """Of an object file, or of a program"""
    nm = subprocess.run(['nm', '--defined-only', path], check=True, text=True,
                        stdout=subprocess.PIPE).stdout
    return [name for _, kind, name in map(str.split, nm.splitlines())
            if kind in 'Tt']


def of_sources(qemu: str, sources: tuple[str, ...]) -> set[str]:
    """Of source files, given by their path in QEMU's tree"""
    build = os.path.dirname(os.path.realpath(qemu))
    names: set[str] = set()
    for source in sources:
        pattern = f'*.p/{source.replace("/", "_")}.o'
        objects = glob.glob(os.path.join(glob.escape(build), pattern))
        if not objects:
            raise ValueError(f'{build}: no object file {pattern}: give a QEMU '
                             'in the folder in which make has built it')
        for path in objects:
            names.update(functions(path))
    return names


def shared(qemu: str) -> set[str]:
    """Names that more than one function of the program has: helpers that a
    header gives to many files, and others that are local to their file"""
    return {name for name, count in
            collections.Counter(functions(qemu)).items() if count > 1}
