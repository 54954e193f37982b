# SPDX-License-Identifier: GPL-2.0-or-later
"""One random machine: made, started, compared with the model."""

import os
import random
import re
import shlex
from collections import Counter

import model
from gpu_objects import add_latencies, add_objects, set_text
from life import Life
from machine import GpuObject, Machine
from numa_nodes import add_nodes
from pci_tree import add_devices
from qemu import COMMON, Ended, Failure, Qemu, status_text


class Case:
    def __init__(self, seed: str, number: int):
        self.number = number
        self.rng = random.Random(f'{seed}/{number}')
        self.counts: Counter[str] = Counter()
        self.machine = Machine()
        self.arguments = self.make()

    def make(self) -> list[str]:
        machine, rng = self.machine, self.rng
        if rng.random() < 0.01:
            return self.make_other()
        add_nodes(machine, rng)
        add_devices(machine, rng)
        add_objects(machine, rng)
        if not model.early_faults(machine) and not model.late_faults(machine):
            add_latencies(machine, rng)
        if not machine.objects and rng.random() < 0.15:
            machine.acpi = False
        options = [machine.type]
        if rng.random() < 0.15:
            options.append('iommu=smmuv3')
        if machine.hmat:
            options.append('hmat=on')
        if not machine.acpi:
            options.append('acpi=off')
        machine.option_groups.append([['-machine', ','.join(options)]])
        machine.option_groups.append(
            [['-object', obj.text] for obj in machine.objects])
        if rng.random() < 0.3:
            machine.option_groups.append([['-S']])
        machine.preconfig = rng.random() < 0.05
        if machine.preconfig:
            machine.option_groups.append([['--preconfig']])
        return COMMON + machine.arguments(rng)

    def make_other(self) -> list[str]:
        """A machine that knows nothing of the object"""
        machine = self.machine
        machine.type, options = self.rng.choice((
            ('none', []), ('raspi3b', ['-cpu', 'cortex-a53'])))
        nodes = list(range(self.rng.randint(1, 4)))
        obj = set_text(GpuObject('mem1', 'dev1', nodes), self.rng)
        machine.objects.append(obj)
        return COMMON + ['-machine', machine.type, *options,
                         '-object', obj.text]

    def command_line(self, binary: str) -> str:
        return shlex.join([binary, *self.arguments])

    def run(self, binary: str, seconds: float) -> str:
        """'' or what is wrong"""
        with Qemu(binary, self.arguments, seconds) as qemu:
            try:
                self.talk(qemu, os.path.basename(binary))
                return ''
            except Failure as failure:
                problem = str(failure)
            except Ended:
                problem = 'QEMU ended in the midst of a conversation: ' + \
                    status_text(qemu.wait())
            said = '\n'.join(qemu.log[2:])
            return (f'{problem}\nstderr:\n{qemu.printed()}' +
                    (f'QMP:\n{said}' if said else ''))

    def talk(self, qemu: Qemu, program: str) -> None:
        faults = model.early_faults(self.machine)
        if not faults and not self.machine.preconfig:
            faults = model.late_faults(self.machine)
        if not qemu.start():
            self.check_refusal(qemu.wait(), qemu.printed(), program, faults)
            return
        if faults:
            raise Failure('QEMU starts in spite of ' +
                          ', '.join(found.pattern for found in faults))
        life = Life(self.machine, qemu, self.rng)
        started = not self.machine.preconfig or life.preconfig()
        if started:
            life.run()
        qemu.quit()
        check_warnings(qemu.printed(), program, life.warnings)
        if started:
            self.counts['accepted'] += 1
        else:
            self.counts['refused'] += 1
            self.counts['refused by QMP'] += 1
        for name, count in life.counts.items():
            self.counts[name if ' ' in name else f'step {name}'] += count

    def check_refusal(self, status: int, text: str, program: str,
                      faults: list[model.Fault]) -> None:
        if status != 1:
            raise Failure(f'refused with {status_text(status)}')
        if not re.fullmatch(re.escape(program) + ': [^\n]+\n', text):
            raise Failure('refused with other than one line after the name '
                          'of the program')
        message = text.removeprefix(f'{program}: ').removesuffix('\n')
        for found in faults:
            if re.fullmatch(found.pattern, message):
                self.counts['refused'] += 1
                self.counts[f'fault {found.kind}'] += 1
                return
        raise Failure('refused, which must be ' + (
            'for one of\n  ' + '\n  '.join(found.pattern for found in faults)
            if faults else 'accepted'))


def check_warnings(text: str, program: str, patterns: list[str]) -> None:
    left = list(patterns)
    for line in text.splitlines():
        for pattern in left:
            if re.fullmatch(re.escape(program) + ': ' + pattern, line):
                left.remove(pattern)
                break
        else:
            raise Failure(f'an unexpected line on stderr: {line}')
    if left:
        raise Failure(f'a warning is missing: {left}')
