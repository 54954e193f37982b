# SPDX-License-Identifier: GPL-2.0-or-later
"""One random machine: made, started, compared with the model."""

import os
import random
import re
import shlex
from collections import Counter

import faults
from boards import OTHERS, VERSIONS, boards, number
from life import Life, check_reply
from machine import GENERAL, INITIATOR, NVIDIA, PORT, Machine, NodeObject
from numa_nodes import add_nodes
from objects import add_latencies, add_objects, set_text
from pci_tree import add_devices
from qemu import COMMON, Emulator, Ended, Failure, Qemu, status_text


NATIVE_HOTPLUG = 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'


class Case:
    def __init__(self, seed: str, number: int, emulators: list[Emulator]):
        self.number = number
        self.emulator = emulators[number % len(emulators)]
        self.rng = random.Random(f'{seed}/{number}')
        self.counts: Counter[str] = Counter()
        self.machine = Machine()
        self.arguments = COMMON + self.make()

    def make(self) -> list[str]:
        machine, rng = self.machine, self.rng
        if rng.random() < 0.01:
            return self.make_other()
        board = machine.board = rng.choice(
            boards(self.emulator.arch, self.emulator.version))
        add_nodes(machine, rng)
        add_devices(machine, rng)
        machine.incoming = rng.random() < 0.04
        add_objects(machine, rng)
        if not faults.early_faults(machine) and \
                not faults.late_faults(machine):
            add_latencies(machine, rng)
        if not machine.owners() and rng.random() < 0.15:
            machine.acpi = False
        options = [self.choose_type()]
        options += [option for option in board.options if rng.random() < 0.15]
        if any(dev.driver == 'pxb-cxl' for dev in machine.devices.values()):
            options.append('cxl=on')
        if machine.hmat:
            options.append('hmat=on')
        if not machine.acpi:
            options.append('acpi=off')
        machine.option_groups.append([['-machine', ','.join(options)]])
        machine.option_groups.append(
            [['-object', obj.text] for obj in machine.objects])
        machine.acpi_hotplug = bool(board.eject)
        if board.type == 'q35' and rng.random() < 0.3:
            machine.acpi_hotplug = False
            machine.option_groups.append([['-global', NATIVE_HOTPLUG]])
        if rng.random() < 0.3:
            machine.option_groups.append([['-S']])
        if machine.incoming:
            machine.option_groups.append([['-incoming', 'defer']])
        elif rng.random() < 0.05:
            machine.preconfig = True
            machine.option_groups.append([['--preconfig']])
        return [*board.arguments, *machine.arguments(rng)]

    def choose_type(self) -> str:
        """The newest by one of its names, or an older one"""
        machine, newest = self.machine, self.emulator.version
        older = [version for version in VERSIONS
                 if number(version) < number(newest)]
        version = self.rng.choice([newest] * 3 + older)
        machine.newest = version == newest
        machine.name = machine.board.stem + version
        if machine.newest and self.rng.random() < 0.7:
            return machine.board.type
        return machine.name

    def make_other(self) -> list[str]:
        """A machine that knows nothing of the objects"""
        machine, rng = self.machine, self.rng
        machine.name, *options = rng.choice(OTHERS[self.emulator.arch])
        machine.has_tables = False
        types = [NVIDIA, GENERAL]
        if machine.name != 'microvm':       # it may have nodes
            types += [INITIATOR, PORT]
        obj = NodeObject(rng.choice(types), 'mem1', 'dev1',
                         list(range(rng.randint(1, 4))))
        obj.nodes = obj.nodes if obj.is_owner() else obj.nodes[-1:]
        machine.objects.append(set_text(obj, rng))
        return ['-machine', machine.name, *options, '-object', obj.text]

    def command_line(self) -> str:
        return shlex.join([self.emulator.binary, *self.arguments])

    def run(self, seconds: float) -> str:
        """'' or what is wrong"""
        with Qemu(self.emulator.binary, self.arguments, seconds) as qemu:
            try:
                self.talk(qemu)
                return ''
            except Failure as failure:
                problem = str(failure)
            except Ended:
                problem = 'QEMU ended in the midst of a conversation: ' + \
                    status_text(qemu.wait())
            said = '\n'.join(qemu.log[2:])
            return (f'{problem}\nstderr:\n{qemu.printed()}' +
                    (f'QMP:\n{said}' if said else ''))

    def talk(self, qemu: Qemu) -> None:
        machine = self.machine
        expected = faults.early_faults(machine)
        if not expected and not machine.preconfig:
            expected = faults.late_faults(machine)
        if not qemu.start():
            self.check_refusal(qemu, expected)
            return
        if expected:
            raise Failure('QEMU starts in spite of ' +
                          ', '.join(map(str, expected)))
        life = Life(machine, qemu, self.rng)
        if machine.preconfig:
            expected = life.preconfig()
            try:
                check_reply('x-exit-preconfig',
                            qemu.command('x-exit-preconfig'), expected)
            except Ended:
                self.check_refusal(qemu, expected)
                self.counts['refused after preconfig'] += 1
                return
        if not expected:
            life.run()
        qemu.quit()
        check_warnings(qemu.printed(), self.program(), life.warnings)
        self.counts['refused' if expected else 'accepted'] += 1
        if expected:
            self.counts['refused after preconfig'] += 1
        for name, count in life.counts.items():
            self.counts[name if ' ' in name else f'step {name}'] += count

    def program(self) -> str:
        return os.path.basename(self.emulator.binary)

    def check_refusal(self, qemu: Qemu, expected: list[faults.Fault]) -> None:
        status = qemu.wait()
        if status != 1:
            raise Failure(f'refused with {status_text(status)}')
        lines = qemu.printed().splitlines()
        start = self.program() + ': '
        # QEMU before 11 leaves that out where a monitor command ends it
        if not lines or not (lines[0].startswith(start) or qemu.qtest):
            raise Failure('refused without the name of the program')
        for found in expected:
            if re.fullmatch(found.pattern, lines[0].removeprefix(start)):
                break
        else:
            raise Failure('refused, which must be ' + (
                'for one of\n  ' + '\n  '.join(map(str, expected))
                if expected else 'accepted'))
        hints = lines[1:]
        if found.hint != bool(hints) and found.kind != 'garbage' or \
                not all(re.fullmatch(r'[A-Z].*\.', line) for line in hints):
            raise Failure(f'the hints are {hints}')
        self.counts['refused'] += 1
        self.counts[f'fault {found.kind}'] += 1


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
