# SPDX-License-Identifier: GPL-2.0-or-later
"""Random objects of the series, right ones and each kind of wrong one."""

import json
import random

import model
from machine import MAX_NODES, OBJECT_TYPE, Device, GpuObject, Kind, Machine


def nodes_text(nodes: list[int], rng: random.Random) -> str:
    """Such as nodeset=4-5,nodeset=3"""
    runs: list[list[int]] = []
    for node in nodes:
        if runs and runs[-1][-1] == node - 1 and rng.random() < 0.9:
            runs[-1].append(node)
        else:
            runs.append([node])
    number = hex if rng.random() < 0.1 else str
    return ','.join(
        f'nodeset={number(run[0])}-{number(run[-1])}' if len(run) > 1 else
        f'nodeset={number(run[0])}' for run in runs)


def set_text(obj: GpuObject, rng: random.Random) -> GpuObject:
    if not obj.nodes or rng.random() < 0.4:
        obj.text = json.dumps(obj.properties())
    else:
        devid = obj.devid.replace(',', ',,')
        parts = [f'id={obj.id}', f'devid={devid}', nodes_text(obj.nodes, rng)]
        parts += [f'{name}={value}' for name, value in obj.options().items()]
        rng.shuffle(parts)
        obj.text = ','.join([OBJECT_TYPE, *parts])
    return obj


class Objects:
    """What is yet free for an object of this machine"""

    def __init__(self, machine: Machine, rng: random.Random, prefix: str):
        self.machine = machine
        self.rng = rng
        self.prefix = prefix
        self.numbers = 0

    def new(self, devid: str, nodes: list[int]) -> GpuObject:
        self.numbers += 1
        return GpuObject(f'{self.prefix}{self.numbers}', devid, nodes)

    def devices(self, *kinds: Kind) -> list[Device]:
        return [dev for dev in self.machine.devices.values()
                if dev.kind in kinds]

    def free_devices(self) -> list[Device]:
        taken = {obj.devid for obj in self.machine.objects}
        return [dev for dev in self.devices(Kind.ENDPOINT)
                if dev.id not in taken]

    def free_nodes(self) -> list[int]:
        taken = {node for obj in self.machine.objects for node in obj.nodes}
        taken |= set(self.machine.ports.values())
        return [node.number for node in self.machine.nodes
                if node.is_empty() and node.number not in taken]

    def some_nodes(self) -> list[int]:
        """A run of free nodes, or none"""
        free = self.free_nodes()
        if not free:
            return []
        first = self.rng.choice(free)
        count = self.rng.choice((1, 1, 2, 3, 8, 12))
        nodes = []
        while first + len(nodes) in free and len(nodes) < count:
            nodes.append(first + len(nodes))
        if self.rng.random() < 0.15:
            self.rng.shuffle(nodes)
        return nodes

    def set_options(self, obj: GpuObject) -> GpuObject:
        """Right ones, or none"""
        rng = self.rng
        taken = {node for node, _ in self.machine.initiators.values()}
        device = self.machine.devices.get(obj.devid)
        values = ['off', 'on', 'auto']
        if taken & set(obj.nodes):
            values = ['off', 'auto'] if device and device.devfn else ['off']
        if rng.random() < 0.6:
            obj.initiator = rng.choice(values)
        if self.machine.nodes and device and rng.random() < 0.3:
            near = device.expander_node()
            obj.pxm = rng.choice(self.machine.nodes).number \
                if near is None else near
        return obj

    def valid(self) -> GpuObject | None:
        devices, nodes = self.free_devices(), self.some_nodes()
        if not devices or not nodes:
            return None
        # Many below one bridge are more telling than one here, one there
        taken = {obj.devid for obj in self.machine.objects}
        tops = {dev.path()[0] for dev in self.devices(Kind.ENDPOINT)
                if dev.id in taken}
        near = [dev for dev in devices if dev.path()[0] in tops]
        if near and self.rng.random() < 0.5:
            devices = near
        return self.set_options(self.new(self.rng.choice(devices).id, nodes))

    def any_device(self) -> str:
        devices = self.free_devices()
        return self.rng.choice(devices).id if devices else 'nothing'

    def any_nodes(self) -> list[int]:
        return self.some_nodes() or [1]

    # The faults: each returns an object, or None where the machine has no
    # occasion for it

    def unknown_device(self):
        names = ['gpu', 'DEV1', '%s%n%s', 'x' * 300, 'pcie.0', 'GPU \u00fc',
                 '\\_SB.PCI0', 'a,b', 'mem1', '/machine/peripheral/dev1']
        names += [f'/machine/peripheral/{dev.id}'
                  for dev in self.devices(Kind.ENDPOINT)[:3]]
        names += self.machine.backends[:3]
        return self.new(self.rng.choice(names), self.any_nodes())

    def empty_device(self):
        return self.new('', self.any_nodes())

    def bridge(self):
        bridges = self.devices(Kind.PORT, Kind.SWITCH, Kind.BRIDGE,
                               Kind.HOST_BRIDGE)
        return bridges and self.new(self.rng.choice(bridges).id,
                                    self.any_nodes())

    def not_pci(self):
        others = self.devices(Kind.NOT_PCI)
        return others and self.new(self.rng.choice(others).id,
                                   self.any_nodes())

    def stretched_to(self, numbers: list[int]):
        """A run of nodes that has one of these at one of its ends"""
        if not numbers:
            return None
        target = self.rng.choice(numbers)
        nodes = [target]
        step = self.rng.choice((-1, 1))
        free = self.free_nodes()
        while target + step * len(nodes) in free and self.rng.random() < 0.7:
            nodes.append(target + step * len(nodes))
        return self.new(self.any_device(), sorted(nodes))

    def node_with_memory(self):
        return self.stretched_to([node.number for node in self.machine.nodes
                                  if node.mib])

    def node_with_cpus(self):
        return self.stretched_to([node.number for node in self.machine.nodes
                                  if node.cpus and not node.mib])

    def node_of_port(self):
        return self.stretched_to(list(self.machine.ports.values()))

    def node_of_initiator(self):
        nodes = {node for node, _ in self.machine.initiators.values()}
        obj = self.stretched_to(sorted(nodes & set(self.free_nodes())))
        if obj:
            device = self.machine.devices.get(obj.devid)
            obj.initiator = self.rng.choice(
                ('on', 'auto') if device and not device.devfn else ('on',))
        return obj

    def no_such_pxm(self):
        count = len(self.machine.nodes)
        obj = count and self.new(self.any_device(), self.any_nodes())
        if obj:
            obj.pxm = self.rng.choice((count, MAX_NODES, (1 << 32) - 1))
        return obj

    def other_pxm(self):
        devices = [dev for dev in self.free_devices()
                   if dev.expander_node() is not None]
        if not devices or len(self.machine.nodes) < 2:
            return None
        device = self.rng.choice(devices)
        obj = self.new(device.id, self.any_nodes())
        obj.pxm = self.rng.choice([node.number for node in self.machine.nodes
                                   if node.number != device.expander_node()])
        return obj

    def no_such_node(self):
        count = len(self.machine.nodes)
        if count == MAX_NODES:
            return None
        return self.stretched_to([count, min(count + 3, MAX_NODES - 1)])

    def no_numa(self):
        if self.machine.nodes:
            return None
        return self.new(self.any_device(), [self.rng.randrange(4)])

    def beyond_qemu(self):
        number = self.rng.choice((MAX_NODES, 255, 256, 65535, 65536,
                                  (1 << 32) - 1))
        return self.new(self.any_device(), [*self.any_nodes(), number])

    def hole(self):
        nodes = sorted(self.any_nodes())
        last = nodes[-1] + self.rng.randint(2, 9)
        return self.new(self.any_device(),
                        [*nodes, min(last, MAX_NODES - 1)])

    def twice(self):
        nodes = self.any_nodes()
        return self.new(self.any_device(), [*nodes, self.rng.choice(nodes)])

    def empty_set(self):
        return self.new(self.any_device(), [])

    def shared_node(self):
        others = [obj for obj in self.machine.objects if obj.nodes]
        if not others:
            return None
        nodes = self.rng.choice(others).nodes
        return self.stretched_to(nodes + [min(nodes), max(nodes)])

    def shared_device(self):
        others = self.machine.objects
        return others and self.new(self.rng.choice(others).devid,
                                   self.any_nodes())

    def same_id(self):
        taken = [other.id for other in self.machine.objects]
        taken += self.machine.backends
        if not taken:
            return None
        obj = self.new(self.any_device(), self.any_nodes())
        obj.id = self.rng.choice(taken)
        return obj

    def garbage(self):
        obj = self.new(self.any_device(), self.any_nodes())
        node = obj.nodes[0]
        start = f'{OBJECT_TYPE},id={obj.id},devid={obj.devid}'
        json_start = (f'{{"qom-type":"{OBJECT_TYPE}","id":"{obj.id}",'
                      f'"devid":"{obj.devid}"')
        number = "Parameter 'nodeset' expects"
        too_big = 'expects uint32_t'
        obj.text, obj.garbage = self.rng.choice((
            (f'{start},nodeset=', number),
            (f'{start},nodeset=abc', number),
            (f'{start},nodeset={node + 1}-{node}', number),
            (f'{start},nodeset={node}-', number),
            (f'{start},nodeset=-{node + 1}', number),
            (f'{start},nodeset={node}.5', number),
            (f'{start},nodeset={node}:{node + 1}', number),
            (f'{start},nodeset={node},nodeset=', number),
            (f'{start},nodeset=0-65536', number),
            (f'{start},nodeset=4294967296', too_big),
            (f'{start},nodeset=18446744073709551616', number),
            (f'{start}', "Parameter 'nodeset' is missing"),
            (f'{OBJECT_TYPE},id={obj.id},nodeset={node}',
             "Parameter 'devid' is missing"),
            (f'{start},nodeset={node},size=1G', "Invalid parameter 'size'"),
            (f'{start},nodeset={node},generic-initiator=yes',
             "does not accept value 'yes'"),
            (f'{start},nodeset={node},generic-initiator=',
             "does not accept value ''"),
            (f'{start},nodeset={node},pxm=near', "Parameter 'pxm' expects"),
            (f'{start},nodeset={node},pxm=-1', 'expects'),
            (f'{start},nodeset={node},pxm=4294967296', too_big),
            (f'{json_start},"nodeset":[{node}],"pxm":"0"}}',
             "Parameter 'pxm' expects"),
            (f'{json_start},"nodeset":[{node}],"generic-initiator":true}}',
             'expected: string'),
            (f'{json_start}}}', "Parameter 'nodeset' is missing"),
            (f'{json_start},"nodeset":"{node}"}}', 'expected: array'),
            (f'{json_start},"nodeset":{node}}}', 'expected: array'),
            (f'{json_start},"nodeset":null}}', 'expected: array'),
            (f'{json_start},"nodeset":["{node}"]}}', 'expect'),
            (f'{json_start},"nodeset":[{node}.5]}}', 'expects'),
            (f'{json_start},"nodeset":[-1]}}', 'expects'),
            (f'{json_start},"nodeset":[4294967296]}}', 'expects'),
            (f'{json_start},"nodeset":[[{node}]]}}', 'expect'),
            (f'{json_start},"nodeset":[{node}],"x":1}}', "'x' is unexpected"),
        ))
        return obj

    def no_tables(self):
        """A right object for a machine without ACPI tables"""
        obj = self.valid()
        if obj:
            self.machine.acpi = False
        return obj

    def faulty(self, kinds: tuple[str, ...]) -> tuple[str, GpuObject]:
        """A fault that the machine has an occasion for"""
        for kind in self.rng.sample(kinds, len(kinds)):
            obj = getattr(self, kind)()
            if obj and (obj.garbage or kind in ('same_id', 'no_tables') or
                        model.object_faults(obj) or
                        model.machine_faults(self.machine, obj)):
                return kind, obj
        raise AssertionError('no fault fits')


OBJECT_FAULTS = ('empty_device', 'empty_set', 'beyond_qemu', 'hole', 'twice',
                 'same_id')
MACHINE_FAULTS = ('unknown_device', 'bridge', 'not_pci', 'node_with_memory',
                  'node_with_cpus', 'node_of_port', 'node_of_initiator',
                  'no_such_node', 'no_numa', 'shared_node', 'shared_device',
                  'no_such_pxm', 'other_pxm')
# Few machines have an occasion for these
RARE_FAULTS = ('node_of_initiator', 'other_pxm')
RUNTIME_FAULTS = OBJECT_FAULTS + 3 * MACHINE_FAULTS + 9 * RARE_FAULTS
FAULTS = RUNTIME_FAULTS + 3 * ('garbage', 'no_tables')


def add_initiators(machine: Machine, objects: Objects) -> None:
    """acpi-generic-initiator objects, as it takes them"""
    rng = objects.rng
    devices = objects.devices(Kind.ENDPOINT)
    options = []
    for number in range(rng.choice((0, 0, 0, 1, 3))):
        if not machine.nodes or not devices:
            break
        node, device = rng.choice(machine.nodes).number, rng.choice(devices).id
        machine.initiators[f'gi{number}'] = node, device
        options.append(['-object', f'acpi-generic-initiator,id=gi{number},'
                        f'pci-dev={device},node={node}'])
    machine.option_groups.append(options)


def add_latencies(machine: Machine, rng: random.Random) -> None:
    """From the nodes of objects that make them initiators"""
    for obj in machine.objects:
        if machine.hmat and obj.initiator == 'on':
            machine.numa_options.append([
                '-numa', f'hmat-lb,initiator={rng.choice(obj.nodes)},target=0,'
                'hierarchy=memory,data-type=access-latency,'
                f'latency={rng.randint(1, 200)}'])


def add_objects(machine: Machine, rng: random.Random) -> list[str]:
    """Returns the kinds of the faults that were put in."""
    objects = Objects(machine, rng, 'mem')
    add_initiators(machine, objects)
    faults = rng.choices((0, 1, 2), (50, 43, 7))[0]
    kinds = []
    for _ in range(rng.choice((0, 1, 2, 3, 4, 6, 15))):
        obj = objects.valid()
        if obj:
            machine.objects.append(set_text(obj, rng))

    # A port on a machine without CXL ends QEMU unless our object does so first
    if faults and rng.random() < 0.08 and objects.free_nodes():
        node = rng.choice(objects.free_nodes())
        machine.ports['gp0'] = node
        machine.option_groups.append([[
            '-object', f'acpi-generic-port,id=gp0,pci-bus=none,node={node}']])
        machine.objects.append(set_text(objects.node_of_port(), rng))
        kinds.append('node_of_port')
        faults -= 1
    for _ in range(faults):
        kind, obj = objects.faulty(FAULTS)
        machine.objects.append(obj if obj.garbage else set_text(obj, rng))
        kinds.append(kind)

    rng.shuffle(machine.objects)
    return kinds
