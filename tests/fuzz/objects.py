# SPDX-License-Identifier: GPL-2.0-or-later
"""Random objects of the series and its peers, right ones and each kind of
wrong one."""

import json
import random

import faults
from machine import (GENERAL, INITIATOR, MAX_NODES, NVIDIA, PORT, Device, Kind,
                     Machine, NodeObject, ObjectType)


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


def set_text(obj: NodeObject, rng: random.Random) -> NodeObject:
    given = obj.properties()
    if not obj.nodes or rng.random() < 0.4:
        obj.text = json.dumps(given)
        return obj
    given[obj.type.device] = obj.device.replace(',', ',,')
    if obj.initiator is not None:
        given['generic-initiator'] = 'on' if obj.initiator else 'off'
    del given['qom-type']
    parts = [f'{name}={value}' for name, value in given.items()
             if name != 'nodeset']
    if obj.is_owner():
        parts.append(nodes_text(obj.nodes, rng))
    rng.shuffle(parts)
    obj.text = ','.join([obj.type.name, *parts])
    return obj


class Objects:
    """What is yet free for an object of this machine"""

    def __init__(self, machine: Machine, rng: random.Random, prefix: str):
        self.machine = machine
        self.rng = rng
        self.prefix = prefix
        self.numbers = 0

    def new(self, device: str, nodes: list[int],
            type: ObjectType | None = None) -> NodeObject:
        """For the memory of a device, unless a type is given"""
        self.numbers += 1
        return NodeObject(
            type or self.rng.choice((NVIDIA, NVIDIA, GENERAL)),
            f'{self.prefix}{self.numbers}', device, nodes)

    def devices(self, *kinds: Kind) -> list[Device]:
        return [dev for dev in self.machine.devices.values()
                if dev.kind in kinds]

    def free_devices(self) -> list[Device]:
        taken = {obj.device for obj in self.machine.owners()}
        return [dev for dev in self.devices(Kind.ENDPOINT)
                if dev.id not in taken]

    def free_nodes(self) -> list[int]:
        machine = self.machine
        taken = machine.owned_nodes() | machine.nodes_of(PORT)
        taken |= machine.plugged_nodes()
        return [node.number for node in machine.nodes
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

    def valid(self) -> NodeObject | None:
        """None where the machine has no occasion for one"""
        kind = self.rng.random()
        if kind < 0.7:
            return self.valid_owner()
        return self.valid_initiator() if kind < 0.9 else self.valid_port()

    def valid_owner(self) -> NodeObject | None:
        devices, nodes = self.free_devices(), self.some_nodes()
        if not devices or not nodes:
            return None
        # Many below one bridge are more telling than one here, one there
        taken = {obj.device for obj in self.machine.owners()}
        tops = {dev.path()[0] for dev in self.devices(Kind.ENDPOINT)
                if dev.id in taken}
        near = [dev for dev in devices if dev.path()[0] in tops]
        if near and self.rng.random() < 0.5:
            devices = near
        obj = self.new(self.rng.choice(devices).id, nodes)
        values = [None, False]
        if not self.machine.nodes_of(INITIATOR) & set(nodes):
            values += [True, True, True]
        obj.initiator = self.rng.choice(values)
        plugged = self.machine.plugged_nodes()
        boot_only = [node.number for node in self.machine.nodes
                     if node.mib and node.number not in plugged]
        if self.machine.board.egm and obj.type is NVIDIA and boot_only and \
                self.rng.random() < 0.4:
            obj.egm_node = self.rng.choice(boot_only)
        return obj

    def valid_initiator(self) -> NodeObject | None:
        """Of any PCI device, but few are of bridges"""
        owned = {node for obj in self.machine.owners() if obj.initiator
                 for node in obj.nodes}
        devices = self.devices(Kind.ENDPOINT)
        if not devices or self.rng.random() < 0.1:
            devices = [dev for dev in self.machine.devices.values()
                       if dev.is_pci() and not dev.is_built_in()]
        return self.valid_peer(INITIATOR, devices, owned)

    def valid_port(self) -> NodeObject | None:
        return self.valid_peer(PORT, self.buses(), self.machine.owned_nodes())

    def valid_peer(self, type: ObjectType, devices: list[Device],
                   taken: set[int]) -> NodeObject | None:
        nodes = [node.number for node in self.machine.nodes
                 if node.number not in taken]
        if not devices or not nodes:
            return None
        return self.new(self.rng.choice(devices).id, [self.rng.choice(nodes)],
                        type)

    def buses(self) -> list[Device]:
        """Those that a port can be"""
        return [dev for dev in self.devices(Kind.HOST_BRIDGE)
                if dev.driver == 'pxb-cxl']

    def any_device(self) -> str:
        devices = self.free_devices()
        return self.rng.choice(devices).id if devices else 'nothing'

    def any_nodes(self) -> list[int]:
        return self.some_nodes() or [1]

    # The faults: each returns an object, or None where the machine has no
    # occasion for it

    def unknown_device(self):
        names = ['', 'gpu', 'DEV1', '%s%n%s', 'x' * 300, 'pcie.0', 'GPU \u00fc',
                 '\\_SB.PCI0', 'a,b', 'mem1', '/machine/peripheral/dev1']
        names += [f'/machine/peripheral/{dev.id}'
                  for dev in self.devices(Kind.ENDPOINT)[:3]]
        names += self.machine.backends[:3]
        return self.new(self.rng.choice(names), self.any_nodes())

    def bridge(self):
        bridges = self.devices(Kind.PORT, Kind.SWITCH, Kind.BRIDGE,
                               Kind.HOST_BRIDGE)
        bridges = [dev for dev in bridges if not dev.is_built_in()]
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
        return self.stretched_to(sorted(self.machine.nodes_of(PORT)))

    def node_of_initiator(self):
        obj = self.stretched_to(sorted(self.machine.nodes_of(INITIATOR) &
                                       set(self.free_nodes())))
        if obj:
            obj.initiator = True
        return obj

    def egm_node(self):
        """A node that can't be it, on PCs any"""
        obj = self.valid_owner()
        if obj and obj.type is NVIDIA:
            count = len(self.machine.nodes)
            plugged = self.machine.plugged_nodes()
            wrong = [node.number for node in self.machine.nodes
                     if not (self.machine.board.egm and node.mib) or
                     node.number in plugged]
            obj.egm_node = self.rng.choice(
                [*wrong, count, MAX_NODES, (1 << 32) - 1])
            return obj
        return None

    def memory_device(self):
        return self.stretched_to([dev.memory_node for dev in
                                  self.machine.memory_devices()])

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

    def empty_set(self):
        return self.new(self.any_device(), [])

    def shared_node(self):
        others = [obj for obj in self.machine.owners() if obj.nodes]
        if not others:
            return None
        nodes = self.rng.choice(others).nodes
        return self.stretched_to(nodes + [min(nodes), max(nodes)])

    def shared_device(self):
        others = self.machine.owners()
        return others and self.new(self.rng.choice(others).device,
                                   self.any_nodes())

    def same_id(self):
        taken = [other.id for other in self.machine.objects]
        taken += self.machine.backends
        if not taken:
            return None
        obj = self.new(self.any_device(), self.any_nodes())
        obj.id = self.rng.choice(taken)
        return obj

    # Those of the peers

    def any_peer(self):
        """A right one, if there is any"""
        type = self.rng.choice((INITIATOR, PORT))
        obj = self.valid_port() if type is PORT else self.valid_initiator()
        return obj or self.new('nothing', [0], type)

    def peer_beyond_qemu(self):
        obj = self.any_peer()
        obj.nodes = [self.rng.choice((MAX_NODES, 200, 65536, (1 << 32) - 1))]
        return obj

    def peer_no_such_node(self):
        obj = self.any_peer()
        obj.nodes = [self.rng.choice((len(self.machine.nodes),
                                      MAX_NODES - 1))]
        return obj

    def peer_unknown_device(self):
        obj = self.any_peer()
        names = ['', 'nothing', 'pcie.0', '%s', '/machine', '/', 'x' * 300]
        names += [dev.id for dev in self.devices(Kind.NOT_PCI,
                                                 Kind.HOST_BRIDGE)]
        names += [other.id for other in self.machine.objects]
        obj.device = self.rng.choice(names)
        return obj

    def peer_owned_node(self):
        obj = self.any_peer()
        obj.nodes = [self.rng.choice(sorted(self.machine.owned_nodes()) or
                                     [0])]
        return obj

    def garbage(self):
        obj = self.new(self.any_device(), self.any_nodes())
        node = obj.nodes[0]
        name = obj.type.name
        start = f'{name},id={obj.id},devid={obj.device}'
        json_start = (f'{{"qom-type":"{name}","id":"{obj.id}",'
                      f'"devid":"{obj.device}"')
        number = "Parameter 'nodeset' expects"
        too_big = 'expects uint32_t'
        peers = [(f'{type.name},id={obj.id},{type.device}=x', type)
                 for type in (INITIATOR, PORT)]
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
            (f'{name},id={obj.id},nodeset={node}',
             "Parameter 'devid' is missing"),
            (f'{start},nodeset={node},size=1G', "Invalid parameter 'size'"),
            (f'{start},nodeset={node},pxm=0', "Invalid parameter 'pxm'"),
            (f'{start},nodeset={node},egm-node=x',
             "Parameter 'egm-node' expects" if obj.type is NVIDIA else
             "Invalid parameter 'egm-node'"),
            (f'{start},nodeset={node},generic-initiator=auto',
             "Parameter 'generic-initiator' expects"),
            (f'{start},nodeset={node},generic-initiator=',
             "Parameter 'generic-initiator' expects"),
            (f'{json_start},"nodeset":[{node}],"generic-initiator":"on"}}',
             'expected: boolean'),
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
            *((text, "Parameter 'node' is missing") for text, _ in peers),
            *((f'{text},node=-1', 'expects') for text, _ in peers),
            *((f'{text},node=x', "Parameter 'node' expects")
              for text, _ in peers),
            *((f'{type.name},id={obj.id},node=0',
               f"Parameter '{type.device}' is missing") for _, type in peers),
        ))
        return obj

    def no_tables(self):
        """A right object for a machine without ACPI tables"""
        obj = self.valid_owner()
        if obj:
            self.machine.acpi = False
        return obj

    def faulty(self, kinds: tuple[str, ...]) -> tuple[str, NodeObject]:
        """A fault that the machine has an occasion for"""
        for kind in self.rng.sample(kinds, len(kinds)):
            obj = getattr(self, kind)()
            if obj and (obj.garbage or kind in ('same_id', 'no_tables') or
                        faults.running_faults(self.machine, obj)):
                return kind, obj
        raise AssertionError('no fault fits')


OBJECT_FAULTS = ('empty_set', 'beyond_qemu', 'hole', 'same_id')
MACHINE_FAULTS = ('unknown_device', 'bridge', 'not_pci', 'node_with_memory',
                  'node_with_cpus', 'node_of_port', 'node_of_initiator',
                  'egm_node', 'memory_device', 'no_such_node', 'no_numa',
                  'shared_node', 'shared_device', 'peer_beyond_qemu',
                  'peer_no_such_node', 'peer_unknown_device', 'peer_owned_node')
# Few machines have an occasion for these
RARE_FAULTS = ('node_of_initiator', 'node_of_port', 'memory_device')
RUNTIME_FAULTS = OBJECT_FAULTS + 3 * MACHINE_FAULTS + 9 * RARE_FAULTS
FAULTS = RUNTIME_FAULTS + 3 * ('garbage', 'no_tables')


def add_latencies(machine: Machine, rng: random.Random) -> None:
    """From the nodes of objects that make them initiators"""
    for obj in machine.objects:
        node = rng.choice(obj.nodes)
        if machine.hmat and obj.is_initiator() and \
                (node, 0) not in machine.latencies:
            machine.latencies.add((node, 0))
            machine.numa_options.append([
                '-numa', f'hmat-lb,initiator={node},target=0,'
                'hierarchy=memory,data-type=access-latency,'
                f'latency={rng.randint(1, 200)}'])


def add_objects(machine: Machine, rng: random.Random) -> None:
    objects = Objects(machine, rng, 'mem')
    for _ in range(rng.choice((0, 1, 2, 3, 4, 6, 15))):
        obj = objects.valid()
        if obj:
            machine.objects.append(set_text(obj, rng))
    if machine.incoming and rng.random() < 0.7:
        obj = objects.unknown_device()
        machine.objects.append(set_text(obj, rng))

    for _ in range(rng.choices((0, 1, 2), (50, 43, 7))[0]):
        _, obj = objects.faulty(FAULTS)
        machine.objects.append(obj if obj.garbage else set_text(obj, rng))
    rng.shuffle(machine.objects)
