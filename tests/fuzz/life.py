# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a machine that runs: random QMP commands, each with what
must come of it."""

import random
import re
from collections import Counter

import faults
import tables
from boards import MIB
from check import check_tables, compare
from guest import Guest
from machine import Device, Kind, Machine, NodeObject
from model import is_gone
from numa_nodes import DIMM_SLOTS
from objects import MACHINE_FAULTS, RUNTIME_FAULTS, Objects
from pci_tree import (MAX_MEMORY_DEVICES, MEMORY_DEVICE_MIB, PLUGGABLE,
                      slots_of)
from qemu import Failure, Qemu

# PCI configuration space
PRIMARY_BUS = 0x18
SECONDARY_BUS = 0x19
SUBORDINATE_BUS = 0x1a


class Life:
    def __init__(self, machine: Machine, qemu: Qemu, rng: random.Random):
        self.machine = machine
        self.qemu = qemu
        self.guest = Guest(qemu, machine.board)
        self.rng = rng
        self.objects = Objects(machine, rng, 'late')
        self.counts: Counter[str] = Counter()
        self.warned: set[str] = set()           # ids of objects
        self.warnings: list[str] = []           # patterns
        self.tables: dict[str, bytes] = {}
        self.numbers = 0

    def run(self) -> None:
        self.tables_built()
        self.number_some_buses()
        self.read_tables()
        if self.rng.random() < 0.3:
            return
        for _ in range(self.rng.randint(1, 10)):
            step = self.rng.choice(self.steps())
            if step():
                self.counts[step.__name__.removeprefix('step_')] += 1
        self.step_reset()

    def steps(self) -> list:
        names = [name for name in dir(self) if name.startswith('step_')]
        often = ['step_reset', 'step_plug', 'step_add_valid'] + \
            ['step_unplug'] * 3
        if self.machine.incoming or not self.machine.acpi:
            # Devices stay as they are
            often = ['step_add_valid', 'step_reset']
            names = ['step_add_invalid', 'step_delete', 'step_read_back',
                     'step_change', 'step_same_tables']
        return [getattr(self, name) for name in often + names]

    def tables_built(self) -> None:
        """Of what is gone there is one warning until it is back"""
        gone = [obj for obj in self.machine.objects
                if self.machine.acpi and is_gone(self.machine, obj)]
        for obj in gone:
            if obj.id not in self.warned:
                why = f'devid={obj.device}: there is no such device' \
                    if obj.is_owner() else \
                    f'pci-dev={obj.device}: there is no such pci-device'
                self.warnings.append(re.escape(
                    f"warning: {obj.type.name} object '{obj.id}' is without "
                    f'effect: {why}'))
        self.warned = {obj.id for obj in gone}

    def read_tables(self) -> None:
        """They are built when they are read for the first time after a
        reset"""
        self.tables = tables.read_tables(self.guest)
        self.tables_built()
        check_tables(self.machine, self.tables)
        self.counts['tables checked'] += 1

    def preconfig(self) -> list[faults.Fault]:
        """Objects that come before the devices do; returns why the machine
        must not start then.  A refusal may end QEMU."""
        kinds = ('empty_set', 'hole') + MACHINE_FAULTS
        for _ in range(self.rng.choice((0, 1, 2))):
            obj = self.objects.valid()
            if not obj or self.rng.random() < 0.3:
                _, obj = self.objects.faulty(kinds)
            self.add(obj, faults.completion_faults(self.machine, obj))
            self.add_latency(obj)
            if self.rng.random() < 0.3:
                self.step_delete()
        return faults.late_faults(self.machine)

    def add(self, obj: NodeObject, expected: list[faults.Fault]) -> None:
        reply = self.qemu.command('object-add', **obj.properties())
        check_reply('object-add', reply, expected)
        if not expected:
            self.machine.objects.append(obj)

    def add_latency(self, obj: NodeObject) -> None:
        """As -numa hmat-lb; it stays when the object goes"""
        machine = self.machine
        if machine.hmat and obj in machine.objects and \
                obj.is_initiator() and obj.nodes[0] < len(machine.nodes) and \
                (obj.nodes[0], 0) not in machine.latencies:
            machine.latencies.add((obj.nodes[0], 0))
            self.qemu.must('set-numa-node', type='hmat-lb', target=0,
                           initiator=obj.nodes[0], hierarchy='memory',
                           latency=self.rng.randint(1, 200),
                           **{'data-type': 'access-latency'})

    # The steps: each returns whether the machine has an occasion for it

    def step_reset(self) -> bool:
        self.qemu.must('system_reset')
        self.after_reset()
        return True

    def after_reset(self) -> None:
        self.qemu.wait_event('RESET')
        for device in self.machine.devices.values():
            device.secondary = 0
        self.number_some_buses()
        self.read_tables()

    def number_some_buses(self) -> None:
        """As firmware does before it reads the tables; or it does not"""
        if self.rng.random() < 0.4:
            return
        roots = [(0, None)] + [
            (dev.bus_nr, dev) for dev in self.machine.devices.values()
            if dev.kind == Kind.HOST_BRIDGE and dev.bus_nr]
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
            for offset, number in ((PRIMARY_BUS, bus), (SECONDARY_BUS, free),
                                   (SUBORDINATE_BUS, last)):
                self.guest.write_config(bus, device.devfn, offset, number)
            free = self.number_below(device, free, free + 1, last)
            self.guest.write_config(bus, device.devfn, SUBORDINATE_BUS,
                                    free - 1)
        return free

    def step_same_tables(self) -> bool:
        """What the firmware has read stays until a reset"""
        if tables.read_tables(self.guest) != self.tables:
            raise Failure('the tables have changed without a reset')
        return True

    def step_add_valid(self) -> bool:
        obj = self.objects.valid()
        if obj:
            self.add(obj, faults.running_faults(self.machine, obj))
        return bool(obj)

    def step_add_invalid(self) -> bool:
        kind, obj = self.objects.faulty(RUNTIME_FAULTS)
        if kind == 'same_id':
            expected = [faults.same_id(obj)]
        else:
            expected = faults.running_faults(self.machine, obj)
        self.add(obj, expected)
        return True

    def step_add_garbage(self) -> bool:
        obj = self.objects.any_peer() if self.rng.random() < 0.3 else \
            self.objects.new(self.objects.any_device(), [0])
        numbers = (-1, 1 << 32, '2', [2], 2.5, True, None)
        names = {obj.type.device: (1, None, ['x'], {}), 'pxm': (0,)}
        if obj.is_owner():
            names['nodeset'] = ('2-9', 2, None, {}) + \
                tuple([number] for number in numbers)
            names['egm-node'] = ('x', -1, [0])
            names['generic-initiator'] = ('on', '', 1, None, [True], 'auto')
        else:
            names['node'] = numbers
        name = self.rng.choice(list(names))
        given = obj.properties()
        given[name] = self.rng.choice(names[name])
        reply = self.qemu.command('object-add', **given)
        check_reply('object-add', reply, [
            faults.Fault('garbage', f'.*({name}|expects uint32).*')])
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
                    [faults.Fault('unknown', "object 'nothing' not found")])
        return True

    def step_read_back(self) -> bool:
        if not self.machine.objects:
            return False
        obj = self.rng.choice(self.machine.objects)
        want = {obj.type.device: obj.device}
        if obj.is_owner():
            want['nodeset'] = sorted(obj.nodes)
            want['generic-initiator'] = bool(obj.initiator)
            if obj.egm_node is not None:
                want['egm-node'] = obj.egm_node
        else:
            want['node'] = obj.nodes[0]
        for name, value in want.items():
            compare(f'qom-get {obj.id} {name}',
                    self.qemu.must('qom-get', path=f'/objects/{obj.id}',
                                   property=name), value)
        return True

    def step_change(self) -> bool:
        if not self.machine.objects:
            return False
        obj = self.rng.choice(self.machine.objects)
        values = {obj.type.device: 'dev1'}
        if obj.is_owner():
            values |= {'nodeset': [2], 'generic-initiator': True}
        else:
            values['node'] = self.rng.choice((0, 2, 200))
        name = self.rng.choice(list(values))
        reply = self.qemu.command('qom-set', path=f'/objects/{obj.id}',
                                  property=name, value=values[name])
        check_reply('qom-set', reply,
                    [faults.Fault('fixed', f"cannot change property '{name}' "
                                  f'of {obj.type.name}')])
        return True

    def step_memory_device(self) -> bool:
        """A DIMM or virtio-mem, for any node"""
        machine, qemu, rng = self.machine, self.qemu, self.rng
        if not machine.max_mib or \
                len(machine.memory_devices()) >= MAX_MEMORY_DEVICES:
            return False
        places = self.free_places()
        dimms = [dev for dev in machine.devices.values()
                 if dev.driver == 'pc-dimm']
        self.numbers += 1
        if places and rng.random() < 0.5:
            device = Device(f'vmem{self.numbers}-late', 'virtio-mem-pci',
                            Kind.ENDPOINT)
            device.parent, device.slot = rng.choice(places)
            device.hot_pluggable = True
        elif machine.board.dimms and len(dimms) < DIMM_SLOTS:
            device = Device(f'dimm{self.numbers}', 'pc-dimm', Kind.NOT_PCI)
        else:
            return False
        refusing = machine.owned_nodes() | {
            obj.egm_node for obj in machine.owners()} - {None}
        device.memory_node = rng.choice(
            sorted(refusing) if refusing and rng.random() < 0.4 else
            [node.number for node in machine.nodes])
        backend = f'{device.id}-ram'
        qemu.must('object-add', **{'qom-type': 'memory-backend-ram'},
                  id=backend, size=MEMORY_DEVICE_MIB * MIB)
        expected = faults.memory_device_faults(machine, device)
        reply = qemu.command('device_add',
                             **device.arguments(machine.board.root_bus),
                             memdev=backend, node=device.memory_node)
        check_reply('device_add', reply, expected)
        if expected:
            qemu.must('object-del', id=backend)
        else:
            machine.devices[device.id] = device
        return True

    def plug_parents(self) -> list[Device | None]:
        """Where devices come and go while the machine runs; None is the root
        bus"""
        devices = list(self.machine.devices.values())
        if self.machine.board.express:
            return [dev for dev in devices if dev.driver == 'pcie-root-port']
        return [None, *(dev for dev in devices if dev.driver == 'pci-bridge'
                        and not dev.expander())]

    def free_places(self) -> list[tuple[Device | None, int]]:
        machine = self.machine
        plugged = [dev for dev in machine.devices.values()
                   if dev.kind == Kind.BRIDGE and dev.hot_pluggable]
        places = []
        for parent in dict.fromkeys(self.plug_parents() + plugged):
            taken = {dev.slot for dev in machine.children(parent)}
            places += [(parent, slot) for slot in slots_of(machine, parent)
                       if slot not in taken]
        return places

    def step_plug(self) -> bool:
        machine, rng = self.machine, self.rng
        places = self.free_places()
        if not places:
            return False
        parent = rng.choice(list(dict.fromkeys(
            parent for parent, _ in places)))
        self.numbers += 1
        unplugged = [obj.device for obj in machine.objects
                     if obj.device not in machine.devices]
        name = rng.choice(unplugged) if unplugged and rng.random() < 0.8 \
            else f'new{self.numbers}'
        given = {}
        if parent in self.plug_parents() and rng.random() < 0.25:
            device = Device(name, machine.board.plug_bridge, Kind.BRIDGE)
            if device.driver == 'pci-bridge':
                given = {'chassis_nr': 100 + self.numbers, 'shpc': True}
        else:
            driver, properties = rng.choice(PLUGGABLE)
            device = Device(name, driver, Kind.ENDPOINT, properties=properties)
        device.hot_pluggable = True
        device.parent = parent
        device.slot = rng.choice([slot for above, slot in places
                                  if above is parent])
        self.qemu.must('device_add', **given,
                       **device.arguments(machine.board.root_bus))
        machine.devices[name] = device
        return True

    def step_unplug(self) -> bool:
        """By a guest that does what it is asked"""
        machine, rng = self.machine, self.rng
        candidates = []
        for parent in self.plug_parents():
            # Only on the root bus is a port's configuration space without a
            # firmware; a bridge that is unplugged leaves a leak of QEMU's own
            if parent and (parent.parent or parent.kind == Kind.BRIDGE and
                           parent.hot_pluggable):
                continue
            slots: dict[int, list[Device]] = {}
            for device in machine.children(parent):
                slots.setdefault(device.slot, []).append(device)
            candidates += [
                (parent, below) for below in slots.values()
                if all(dev.hot_pluggable and dev.kind == Kind.ENDPOINT and
                       not self.dependents(dev) for dev in below) and
                any(not dev.function for dev in below)]
        # Those that an object is for are more telling
        named = {obj.device for obj in machine.objects}
        candidates = [candidate for candidate in candidates
                      if any(dev.id in named for dev in candidate[1])] or \
            candidates
        if not candidates:
            return False
        parent, below = rng.choice(candidates)
        first = min(below, key=lambda dev: dev.devfn)
        self.qemu.must('device_del', id=first.id)
        # QEMU ends by an assertion if a reset is what unplugs a virtio-mem
        by_reset = machine.acpi_hotplug and rng.random() < 0.3 and \
            all(dev.memory_node is None for dev in below)
        if by_reset:
            self.qemu.must('system_reset')
        elif machine.acpi_hotplug:
            self.guest.eject()
        else:
            self.guest.power_off(parent.devfn)
        for device in below:
            self.qemu.wait_event('DEVICE_DELETED', device=device.id)
            del machine.devices[device.id]
        if by_reset:
            self.after_reset()
        for _ in range(rng.choice((0, 0, 1, 2))):
            self.step_reset()
        return True

    def dependents(self, device: Device) -> list[Device]:
        return [dev for dev in self.machine.devices.values()
                if dev.parent is device or
                f'bus={device.id}.0' in dev.properties]


def check_reply(command: str, reply: dict,
                expected: list[faults.Fault]) -> None:
    text = reply.get('error', {}).get('desc')
    if not expected:
        if text is not None:
            raise Failure(f'{command}: refused: {text}')
    elif text is None:
        raise Failure(f'{command}: accepted in spite of '
                      f'{[found.kind for found in expected]}')
    elif not any(re.fullmatch(found.pattern, text) for found in expected):
        raise Failure(f'{command}: {text}\n  must be one of ' +
                      '\n  '.join(map(str, expected)))
