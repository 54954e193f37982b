# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a machine that runs: random QMP commands, each with what
must come of it."""

import random
import re
from collections import Counter

import model
import tables
from check import check_tables, compare
from gpu_objects import MACHINE_FAULTS, RUNTIME_FAULTS, Objects
from machine import MAX_NODES, OBJECT_TYPE, Device, GpuObject, Kind, Machine
from pci_tree import PLUGGABLE, SLOTS
from qemu import Failure, Qemu

ECAM = 0x4010000000
PCI_PRIMARY_BUS = 0x18
PCI_SECONDARY_BUS = 0x19
PCI_SUBORDINATE_BUS = 0x1a
PCI_CAPABILITIES = 0x34
PCI_EXPRESS = 0x10                  # capability
SLOT_CONTROL = 0x18                 # in it: PCI_EXP_SLTCTL
POWER_INDICATOR_ON = 0x0100
POWER_OFF = 0x0700                  # power and its indicator off


class Life:
    def __init__(self, machine: Machine, qemu: Qemu, rng: random.Random):
        self.machine = machine
        self.qemu = qemu
        self.rng = rng
        self.objects = Objects(machine, rng, 'late')
        self.counts: Counter[str] = Counter()
        self.warned: set[str] = set()           # ids of objects
        self.warnings: list[str] = []           # patterns
        self.tables: dict[str, bytes] = {}
        self.numbers = 0

    def run(self) -> None:
        self.number_some_buses()
        self.read_tables()
        if not self.machine.acpi or self.rng.random() < 0.3:
            return
        for _ in range(self.rng.randint(1, 10)):
            step = self.rng.choice(self.steps())
            if step():
                self.counts[step.__name__.removeprefix('step_')] += 1
        self.step_reset()

    def steps(self) -> list:
        often = [self.step_reset, self.step_plug] + [self.step_unplug] * 3
        return often + [getattr(self, name) for name in dir(self)
                        if name.startswith('step_')]

    def read_tables(self) -> None:
        """They are built when they are read for the first time after a
        reset"""
        self.tables = tables.read_tables(self.qemu)
        gone = {obj.id for obj in model.gone(self.machine)}
        for name in sorted(gone - self.warned):
            self.warnings.append(
                f"warning: {OBJECT_TYPE} object '{re.escape(name)}' is "
                'without effect: .*; .*')
        self.warned = gone
        check_tables(self.machine, self.tables)
        self.counts['tables checked'] += 1

    def preconfig(self) -> bool:
        """Objects that come before the devices do; False if the machine then
        doesn't start"""
        kinds = ('empty_set', 'hole', 'twice') + MACHINE_FAULTS
        for _ in range(self.rng.choice((0, 1, 2))):
            obj = self.objects.valid()
            if not obj or self.rng.random() < 0.3:
                _, obj = self.objects.faulty(kinds)
            self.add(obj, model.object_faults(obj))
        expected = model.late_faults(self.machine)
        check_reply('x-exit-preconfig',
                    self.qemu.command('x-exit-preconfig'), expected)
        return not expected

    def add(self, obj: GpuObject, expected: list[model.Fault]) -> None:
        reply = self.qemu.command('object-add', **obj.properties())
        check_reply('object-add', reply, expected)
        if not expected:
            self.machine.objects.append(obj)

    # The steps: each returns whether the machine has an occasion for it

    def step_reset(self) -> bool:
        self.qemu.must('system_reset')
        self.qemu.wait_event('RESET')
        for device in self.machine.devices.values():
            device.secondary = 0
        self.number_some_buses()
        self.read_tables()
        return True

    def number_some_buses(self) -> None:
        """As firmware does before it reads the tables; or it does not"""
        if self.rng.random() < 0.4:
            return
        roots = [(0, None)] + [
            (dev.bus_nr, dev) for dev in self.machine.devices.values()
            if dev.kind == Kind.HOST_BRIDGE]
        roots.sort(key=lambda root: root[0])
        for (number, root), after in zip(roots, roots[1:] + [(256, None)]):
            self.number_below(root, number, number + 1, after[0] - 1)

    def number_below(self, parent: Device | None, bus: int, free: int,
                     last: int) -> int:
        """The bridges on a bus; returns the first number that is yet free"""
        devices = self.machine.children(parent)
        if parent and parent.kind == Kind.PORT and \
                all(device.devfn for device in devices):
            # Without a function 0 the slot has no power
            return free
        for device in devices:
            if device.kind not in (Kind.PORT, Kind.SWITCH, Kind.BRIDGE) or \
                    free > last:
                continue
            device.secondary = free
            config = self.config_space(bus, device)
            for offset, number in ((PCI_PRIMARY_BUS, bus),
                                   (PCI_SECONDARY_BUS, free),
                                   (PCI_SUBORDINATE_BUS, last)):
                self.qemu.write_number('b', config + offset, number)
            free = self.number_below(device, free, free + 1, last)
            self.qemu.write_number('b', config + PCI_SUBORDINATE_BUS, free - 1)
        return free

    def config_space(self, bus: int, device: Device) -> int:
        return ECAM + (bus << 20 | device.devfn << 12)

    def step_same_tables(self) -> bool:
        """What the firmware has read stays until a reset"""
        if tables.read_tables(self.qemu) != self.tables:
            raise Failure('the tables have changed without a reset')
        return True

    def step_add_valid(self) -> bool:
        obj = self.objects.valid()
        if obj:
            self.add(obj, [])
        return bool(obj)

    def step_add_invalid(self) -> bool:
        kind, obj = self.objects.faulty(RUNTIME_FAULTS)
        if kind == 'same_id':
            name = re.escape(f"'{obj.id}'")
            expected = [model.Fault(kind, f'attempt to add duplicate property '
                                    f'{name} to object .*')]
        else:
            expected = model.object_faults(obj) or \
                model.machine_faults(self.machine, obj)
        self.add(obj, expected)
        return True

    def step_add_garbage(self) -> bool:
        obj = self.objects.new(self.objects.any_device(), [])
        properties = obj.properties()
        properties['nodeset'] = [0]
        name, values = self.rng.choice((
            ('nodeset', ('2-9', 2, None, {}, [-1], [1 << 32], ['2'], [[2]],
                         [2.5], [True])),
            ('generic-initiator', ('yes', '', True, 1, None, ['on'])),
            ('pxm', ('0', -1, 1 << 32, 0.5, None, [0], True))))
        properties[name] = self.rng.choice(values)
        reply = self.qemu.command('object-add', **properties)
        check_reply('object-add', reply,
                    [model.Fault('garbage', f'.*({name}|expects uint32).*')])
        return True

    def step_delete(self) -> bool:
        if not self.machine.objects:
            return False
        obj = self.rng.choice(self.machine.objects)
        self.qemu.must('object-del', id=obj.id)
        self.machine.objects.remove(obj)
        self.warned.discard(obj.id)
        return True

    def step_replace(self) -> bool:
        """Deleted and added with other nodes before the guest looks"""
        if not self.step_delete():
            return False
        return self.step_add_valid()

    def step_delete_unknown(self) -> bool:
        reply = self.qemu.command('object-del', id='nothing')
        check_reply('object-del', reply,
                    [model.Fault('unknown', "object 'nothing' not found")])
        return True

    def step_read_back(self) -> bool:
        if not self.machine.objects:
            return False
        obj = self.rng.choice(self.machine.objects)
        path = f'/objects/{obj.id}'
        pxm = MAX_NODES if obj.pxm is None else obj.pxm
        for name, want in (('devid', obj.devid),
                           ('nodeset', sorted(obj.nodes)),
                           ('generic-initiator', obj.initiator or 'off'),
                           ('pxm', pxm)):
            compare(f'qom-get {path} {name}',
                    self.qemu.must('qom-get', path=path, property=name), want)
        return True

    def step_change(self) -> bool:
        if not self.machine.objects:
            return False
        obj = self.rng.choice(self.machine.objects)
        name, value = self.rng.choice((('devid', 'dev1'), ('nodeset', [2]),
                                       ('generic-initiator', 'on'),
                                       ('pxm', 0)))
        reply = self.qemu.command('qom-set', path=f'/objects/{obj.id}',
                                  property=name, value=value)
        check_reply('qom-set', reply,
                    [model.fault('fixed', obj, f"{name} can't be changed")])
        return True

    def step_initiator(self) -> bool:
        """An acpi-generic-initiator comes or goes"""
        present = self.machine.initiators
        devices = self.objects.devices(Kind.ENDPOINT)
        if present and self.rng.random() < 0.5:
            name = self.rng.choice(sorted(present))
            self.qemu.must('object-del', id=name)
            del present[name]
        elif devices and self.machine.nodes:
            self.numbers += 1
            name = f'later{self.numbers}'
            device = self.rng.choice(devices).id
            node = self.rng.choice(self.machine.nodes).number
            self.qemu.must('object-add', qom_type='acpi-generic-initiator',
                           id=name, pci_dev=device, node=node)
            present[name] = node, device
        else:
            return False
        return True

    def step_port(self) -> bool:
        """An acpi-generic-port that is gone again before a reset, which QEMU
        would not live through"""
        free = self.objects.free_nodes()
        if not free:
            return False
        self.machine.ports['port'] = self.rng.choice(free)
        self.qemu.must('object-add', qom_type='acpi-generic-port', id='port',
                       pci_bus='none', node=self.machine.ports['port'])
        obj = self.objects.node_of_port()
        self.add(obj, model.machine_faults(self.machine, obj))
        self.qemu.must('object-del', id='port')
        del self.machine.ports['port']
        return True

    def hotplug_ports(self) -> list[Device]:
        """Those that take and give devices while the machine runs"""
        return [dev for dev in self.machine.devices.values()
                if dev.driver == 'pcie-root-port']

    def step_plug(self) -> bool:
        devices = self.machine.devices
        ports = [port for port in self.hotplug_ports()
                 if not self.machine.children(port)]
        bridges = [dev for dev in devices.values()
                   if dev.driver == 'pcie-pci-bridge' and dev.hot_pluggable]
        if not ports + bridges:
            return False
        parent = self.rng.choice(ports + bridges)
        free = set(SLOTS[parent.kind]) - {
            dev.slot for dev in self.machine.children(parent)}
        if not free:
            return False
        unplugged = [obj.devid for obj in self.machine.objects
                     if obj.devid not in devices]
        self.numbers += 1
        name = self.rng.choice(unplugged) if unplugged and \
            self.rng.random() < 0.8 else f'new{self.numbers}'
        if parent in ports and self.rng.random() < 0.25:
            device = Device(name, 'pcie-pci-bridge', Kind.BRIDGE)
        else:
            driver, properties = self.rng.choice(PLUGGABLE)
            device = Device(name, driver, Kind.ENDPOINT, properties=properties)
        device.hot_pluggable = True
        device.parent = parent
        device.slot = self.rng.choice(sorted(free))
        self.qemu.must('device_add', **device.arguments())
        devices[name] = device
        return True

    def step_unplug(self) -> bool:
        """By a guest that does what it is asked: it powers the slot off"""
        kept = {device for _, device in self.machine.initiators.values()}
        candidates = []
        for port in self.hotplug_ports():
            below = self.machine.children(port)
            # Only there is the configuration space without a firmware; a
            # bridge that is unplugged leaves a leak of QEMU's own
            if port.parent is None and below and \
                    all(dev.hot_pluggable and dev.kind == Kind.ENDPOINT and
                        dev.id not in kept and not self.dependents(dev)
                        for dev in below):
                candidates.append((port, below))
        if not candidates:
            return False
        # Those that an object is for are more telling
        named = {obj.devid for obj in self.machine.objects}
        candidates = [candidate for candidate in candidates
                      if any(dev.id in named for dev in candidate[1])] or \
            candidates
        port, below = self.rng.choice(candidates)
        first = min(below, key=lambda dev: dev.devfn)
        if first.devfn:
            return False
        self.qemu.must('device_del', id=first.id)
        self.power_off(port)
        for device in below:
            self.qemu.wait_event('DEVICE_DELETED', device=device.id)
            del self.machine.devices[device.id]
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.step_reset()
        return True

    def dependents(self, device: Device) -> list[Device]:
        return [dev for dev in self.machine.devices.values()
                if dev.parent is device or
                f'bus={device.id}.0' in dev.properties]

    def power_off(self, port: Device) -> None:
        qemu = self.qemu
        config = self.config_space(0, port)
        at = qemu.read_number('b', config + PCI_CAPABILITIES)
        while at and qemu.read_number('b', config + at) != PCI_EXPRESS:
            at = qemu.read_number('b', config + at + 1)
        if not at:
            raise Failure(f'{port.id} is no PCI Express port')
        control = config + at + SLOT_CONTROL
        qemu.write_number('w', control, POWER_INDICATOR_ON)
        qemu.write_number('w', control, POWER_OFF)


def check_reply(command: str, reply: dict, faults: list[model.Fault]) -> None:
    text = reply.get('error', {}).get('desc')
    if not faults:
        if text is not None:
            raise Failure(f'{command}: refused: {text}')
    elif text is None:
        raise Failure(f'{command}: accepted in spite of '
                      f'{[found.kind for found in faults]}')
    elif not any(re.fullmatch(found.pattern, text) for found in faults):
        raise Failure(f'{command}: {text}\n  must be one of ' +
                      '\n  '.join(found.pattern for found in faults))
