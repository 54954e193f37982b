#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What ACPICA, the interpreter of Linux and FreeBSD, makes of our tables."""

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'guest'))

from acpi_tables import read_table, write_tables       # noqa: E402
from arch import AMD64, ARM64       # noqa: E402
import machine                      # noqa: E402
from boots import BOOTS             # noqa: E402
from checks import Failure, same    # noqa: E402
from objects import GENERAL_TYPE, NVIDIA_TYPE, properties     # noqa: E402
from report import srat_ranges      # noqa: E402
from run import disassemble         # noqa: E402
from tap import Tap                 # noqa: E402

GOLDEN = os.path.join(HERE, os.pardir, 'data', 'acpi')
# QEMU's own test of tables that have our objects, and what these name
GOLDEN_TABLES = {
    'aarch64/virt/DSDT.nvgpumem': ((3, 6),),
    'aarch64/virt/DSDT.nvgpumempxb': ((1, 4), (7, 1)),
    'x86/q35/DSDT.nvgpumem': ((2, 3), (5, 3))}
PROPERTY = re.compile(r'\[String\] Length \w+ = "([^"]+)"\s+'
                      r'\[Integer\] = (\w+)')
EGM_NODE = re.compile(r'egm-node=(\d+)')
JOBS = 4
COMPLAINT = re.compile(r'(?:Error|Warning|Remark) +\d+ -.*')


def output(*command, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=300,
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
    said = acpiexec(table, ';'.join(f'evaluate {path}' for path in paths))
    return [{name: int(value, 16) for name, value in PROPERTY.findall(one)}
            for one in said.split('\nEvaluating ')[1:]]


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


def wanted_properties(vm, srat):
    """Those of each GPU, in the order of their nodes."""
    ram = srat_ranges(srat)
    want = []
    for gpu in range(vm.gpus):
        nodes = vm.gpu_nodes(gpu)
        egm = EGM_NODE.search(vm.options[gpu]) if vm.options else None
        node = int(egm[1]) if egm else None
        want.append(properties(vm.object_type, nodes[0], len(nodes),
                               (node, *ram[node]) if egm else ()))
    return want


@dataclasses.dataclass
class Machine:
    """Its tables, with the objects and without."""
    name: str
    vm: machine.Machine
    qemu: str
    out: str

    def evaluates(self):
        """acpiexec evaluates each _DSD to the object's nodes"""
        shutil.rmtree(self.out, ignore_errors=True)
        out = os.path.join(self.out, 'objects')
        write_tables(self.qemu, self.vm, self._hardware(), out)
        same('properties',
             sorted(found_properties(os.path.join(out, 'DSDT.dat')), key=first),
             wanted_properties(self.vm, read_table(out, 'SRAT')))

    def compiles(self):
        """iasl has no complaint that it hasn't without the objects"""
        out = os.path.join(self.out, 'plain')
        write_tables(self.qemu, self.vm, without_objects(self._hardware()), out)
        same('further complaints', dict(
            complaints(os.path.join(self.out, 'objects', 'DSDT.dat')) -
            complaints(os.path.join(out, 'DSDT.dat'))), {})

    def _hardware(self):
        os.makedirs(self.out, exist_ok=True)
        return self.vm.hardware(self.out)

    def points(self):
        return self.evaluates, self.compiles


@dataclasses.dataclass
class Golden:
    """A golden table."""
    name: str
    ranges: tuple[tuple[int, int], ...]
    out: str

    def evaluates(self):
        """acpiexec evaluates each _DSD to the object's nodes"""
        os.makedirs(self.out, exist_ok=True)
        table = os.path.join(self.out, os.path.basename(self.name) + '.dat')
        shutil.copyfile(os.path.join(GOLDEN, self.name), table)
        same('properties', sorted(found_properties(table), key=first),
             [properties(NVIDIA_TYPE, *nodes) for nodes in self.ranges])

    def points(self):
        return (self.evaluates,)


def failures(subject):
    """What each point of it raises, or None."""
    found = []
    for point in subject.points():
        try:
            found.append(point())
        except Exception as error:  # pylint: disable=broad-except
            found.append(error)
    return found


def report_failure(error):
    if error:
        raise error


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH',
                        type=os.path.abspath)
    parser.add_argument('--pc-qemu', required=True, metavar='PATH',
                        type=os.path.abspath)
    parser.add_argument('--out', required=True, metavar='DIR',
                        type=os.path.abspath)
    args = parser.parse_args()

    subjects = [
        Machine(f'{arch.machine.split(",")[0]} {boot.name}', boot.vm, qemu,
                os.path.join(args.out, arch.name, boot.name))
        for arch, qemu in ((ARM64, args.qemu), (AMD64, args.pc_qemu))
        for boot in BOOTS[arch] if not boot.vm.initiator_objects
        and (not boot.vm.needs_cxl() or machine.has_cxl(qemu))]
    subjects += [
        Golden(name, ranges, os.path.join(args.out, os.path.dirname(name)))
        for name, ranges in GOLDEN_TABLES.items()]
    tap = Tap(sum(len(subject.points()) for subject in subjects))
    # At its end acpiexec waits for a second
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for subject, found in zip(subjects, pool.map(failures, subjects)):
            for point, error in zip(subject.points(), found):
                tap.point(f'{subject.name}: {point.__doc__}', report_failure,
                          error)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    main()
