#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What ACPICA, the interpreter of Linux and FreeBSD, makes of our tables."""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'guest'))

from arch import AMD64, ARM64       # noqa: E402
from boots import BOOTS             # noqa: E402
from checks import Failure, same    # noqa: E402
from objects import GENERAL_TYPE, NVIDIA_TYPE, properties     # noqa: E402
from report import srat_ranges      # noqa: E402
from run import disassemble         # noqa: E402
from tap import Tap                 # noqa: E402

READ_TABLE = os.path.join(HERE, os.pardir, 'fuzz', 'read_table.py')
GOLDEN = os.path.join(HERE, os.pardir, 'data', 'acpi')
# QEMU's own test of tables that have our objects, and what these name
GOLDEN_TABLES = {
    'aarch64/virt/DSDT.nvgpumem': ((3, 6),),
    'aarch64/virt/DSDT.nvgpumempxb': ((1, 4), (7, 1)),
    'x86/q35/DSDT.nvgpumem': ((2, 3), (5, 3))}
PROPERTY = re.compile(r'\[String\] Length \w+ = "([^"]+)"\s+'
                      r'\[Integer\] = (\w+)')
EGM_NODE = re.compile(r'egm-node=(\d+)')
COMPLAINT = re.compile(r'(?:Error|Warning|Remark) +\d+ -.*')


def output(*command, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=60,
                              check=False)
    except FileNotFoundError:
        raise Failure(f'{command[0]} is missing: install acpica-tools'
                      ) from None
    return done.stdout


# --- acpiexec -------------------------------------------------------------

def acpiexec(table, command):
    out, name = os.path.split(table)
    said = output('acpiexec', '-b', command, name, cwd=out)
    if 'successfully acquired and loaded' not in said:
        raise Failure(f'acpiexec does not load {table}:\n{said}')
    return said


def found_properties(table):
    """Those of each _DSD, by what evaluating it returns."""
    paths = re.findall(r'(\\\S+\._DSD) +Package', acpiexec(table, 'find _DSD'))
    return [{name: int(value, 16) for name, value in PROPERTY.findall(
        acpiexec(table, f'evaluate {path}'))} for path in paths]


def first(pairs):
    return pairs['dev-mem-pxm-start']


# --- iasl -----------------------------------------------------------------

def complaints(table):
    """Of a compiler that reads the disassembly: how often each."""
    out, name = os.path.split(os.path.splitext(table)[0])
    fault = disassemble(out, name)
    if fault:
        raise Failure(fault)
    said = output('iasl', '-p', 'again', f'{name}.dsl', cwd=out)
    if 'Compilation ' not in said:
        raise Failure(f'iasl does not compile {table}:\n{said}')
    # It points at columns
    return collections.Counter(re.sub(r'[\s^]+', ' ', complaint)
                               for complaint in COMPLAINT.findall(said))


# --- machines -------------------------------------------------------------

def without_objects(args):
    """The arguments but for our objects, and values of their initiators."""
    return [word for option, value in zip(args[::2], args[1::2], strict=True)
            if value.split(',')[0] not in (NVIDIA_TYPE, GENERAL_TYPE,
                                           'hmat-lb')
            for word in (option, value)]


def read_table(qemu, vm, args, table, path):
    """A table of a machine, in a new file."""
    board = 'virt' if vm.arch is ARM64 else 'q35'
    said = output(sys.executable, READ_TABLE, '--qemu', qemu,
                  '--board', board, '--table', table, '--out', path,
                  '--', *args, cwd=os.path.dirname(path))
    if not os.path.exists(path):
        raise Failure(said)


def wanted_properties(vm, srat):
    """Those of each GPU, in the order of their nodes."""
    with open(srat, 'rb') as file:
        ram = srat_ranges(file.read())
    want = []
    for gpu in range(vm.gpus):
        nodes = vm.gpu_nodes(gpu)
        egm = EGM_NODE.search(vm.options[gpu]) if vm.options else None
        node = int(egm[1]) if egm else None
        want.append(properties(vm.object_type, nodes[0], len(nodes),
                               (node, *ram[node]) if egm else ()))
    return want


def test_machine(tap, name, vm, qemu, out):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    args = vm.hardware(out)
    ours, plain, srat = (os.path.join(out, f'{each}.dat')
                         for each in ('objects', 'plain', 'srat'))

    def evaluates():
        """acpiexec evaluates each _DSD to the object's nodes"""
        read_table(qemu, vm, args, 'DSDT', ours)
        read_table(qemu, vm, args, 'SRAT', srat)
        same('properties', sorted(found_properties(ours), key=first),
             wanted_properties(vm, srat))

    def compiles():
        """iasl has no complaint that it hasn't without the objects"""
        read_table(qemu, vm, without_objects(args), 'DSDT', plain)
        same('further complaints', dict(complaints(ours) - complaints(plain)),
             {})

    for check in evaluates, compiles:
        tap.point(f'{name}: {check.__doc__}', check)


def test_golden(tap, name, ranges, out):
    os.makedirs(out, exist_ok=True)
    table = os.path.join(out, os.path.basename(name) + '.dat')

    def evaluates():
        """acpiexec evaluates each _DSD to the object's nodes"""
        shutil.copyfile(os.path.join(GOLDEN, name), table)
        same('properties', sorted(found_properties(table), key=first),
             [properties(NVIDIA_TYPE, *nodes) for nodes in ranges])

    tap.point(f'{name}: {evaluates.__doc__}', evaluates)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH',
                        type=os.path.abspath)
    parser.add_argument('--pc-qemu', required=True, metavar='PATH',
                        type=os.path.abspath)
    parser.add_argument('--out', required=True, metavar='DIR',
                        type=os.path.abspath)
    args = parser.parse_args()

    machines = {f'{arch.machine.split(",")[0]} {boot.name}': (boot.vm, qemu)
                for arch, qemu in ((ARM64, args.qemu), (AMD64, args.pc_qemu))
                for boot in BOOTS[arch] if not boot.vm.initiator_objects}
    tap = Tap(2 * len(machines) + len(GOLDEN_TABLES))
    for name, (vm, qemu) in machines.items():
        test_machine(tap, name, vm, qemu,
                     os.path.join(args.out, name.replace(' ', '-')))
    for name, ranges in GOLDEN_TABLES.items():
        test_golden(tap, name, ranges, os.path.join(args.out,
                                                    os.path.dirname(name)))
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    main()
