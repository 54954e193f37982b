# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines and objects QEMU must refuse, and with which words.

Where something is wrong in several ways, QEMU tells one of them: which one is
not promised.
"""

import dataclasses
import re

from machine import (INITIATOR, MAX_NODES, PORT, Device, Kind, Machine,
                     NodeObject)


@dataclasses.dataclass
class Fault:
    kind: str
    pattern: str        # of the message, without the program's name
    hint: bool = True   # on the command line lines with the way out follow

    def __str__(self) -> str:
        return re.sub(r'\\(.)', r'\1', self.pattern)


def fault(kind: str, obj: NodeObject, fact: str, hint: bool = True) -> Fault:
    return Fault(kind, re.escape(f"{obj.type.name} object '{obj.id}': {fact}"),
                 hint)


def size_text(mib: int) -> str:
    return f'{mib >> 10} GiB' if mib >= 1 << 10 else f'{mib} MiB'


def owned_text(node: int, owner: NodeObject) -> str:
    return (f"node={node}: object '{owner.id}' has this node for the memory "
            'of its device')


def object_faults(obj: NodeObject) -> list[Fault]:
    """What is wrong with it on any machine"""
    faults = []
    nodes = sorted(obj.nodes)
    if not obj.is_owner():
        if nodes[0] >= MAX_NODES:
            faults.append(fault('beyond_qemu', obj, f'node={nodes[0]}: QEMU '
                                f'knows the nodes 0-{MAX_NODES - 1}', False))
        return faults
    if not nodes:
        faults.append(fault('empty_set', obj, 'nodeset: it is empty'))
        return faults
    for node in {node for node in nodes if node >= MAX_NODES}:
        faults.append(Fault('beyond_qemu', 'nodeset: QEMU knows the nodes '
                            f'0-{MAX_NODES - 1}, not {node}', False))
    holes = set(range(nodes[0], min(nodes[-1], MAX_NODES))) - set(nodes)
    if holes:
        faults.append(fault('hole', obj, f'nodeset: node {min(holes)} is '
                            f'missing between {nodes[0]} and {nodes[-1]}'))
    return faults


def completion_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    """What is seen before there are devices; the other objects came first"""
    faults = object_faults(obj)
    if not machine.has_tables:
        what = 'does not support this object' if obj.is_owner() else \
            'has no NUMA nodes'
        faults.append(fault('no_tables', obj, f'machine {machine.name} {what}',
                            False))
    for other in machine.owners():
        if other is obj or obj in machine.objects and \
                machine.objects.index(obj) < machine.objects.index(other):
            continue
        shared = set(other.nodes) & set(obj.nodes)
        if not obj.is_owner():
            if shared and (obj.type is PORT or other.initiator):
                faults.append(fault('owned_node', obj,
                                    owned_text(obj.nodes[0], other)))
            continue
        if other.device == obj.device:
            faults.append(fault('shared_device', obj, f'devid={obj.device}: '
                                f"object '{other.id}' is for this device too"))
        for number in shared:
            faults.append(fault(
                'shared_node', obj, f"nodeset: object '{other.id}' has node "
                f'{number} too'))
    return faults


def device_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    device = machine.devices.get(obj.device)
    if machine.incoming and obj.type is not PORT:
        return []
    if obj.type is PORT:
        if not device or device.driver != 'pxb-cxl':
            return [fault('no_bus', obj, f'pci-bus={obj.device}: there is no '
                          'such pxb-cxl-bus', False)]
    elif obj.type is INITIATOR:
        if not (device and device.is_pci()):
            return [fault('unknown_device', obj, f'pci-dev={obj.device}: '
                          'there is no such pci-device', False)]
    elif not device:
        return [fault('unknown_device', obj, f'devid={obj.device}: there is '
                      'no such device')]
    elif not device.is_pci():
        return [fault('not_pci', obj, f'devid={obj.device}: this '
                      f'{device.driver} is not a PCI device', False)]
    elif device.kind != Kind.ENDPOINT:
        return [fault('bridge', obj, f'devid={obj.device}: this '
                      f'{device.driver} is a PCI bridge')]
    return []


def node_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    faults = []
    count = len(machine.nodes)
    if not obj.is_owner():
        number = obj.nodes[0]
        if number >= count:
            return [fault('no_such_node', obj, f'node={number}: there is no '
                          'such NUMA node', False)]
        return []
    text = 'nodeset: '
    if max(obj.nodes) >= count:
        unknown = max(min(obj.nodes), count)
        faults.append(fault('no_such_node', obj, text + 'the machine has no '
                            f'node {unknown}'))
    for number in obj.nodes:
        node = machine.nodes[number] if number < count else None
        if node and node.mib:
            faults.append(fault('node_with_memory', obj, text + f'node '
                                f'{number} has memory '
                                f'({size_text(node.mib)})'))
        if node and node.cpus:
            faults.append(fault('node_with_cpus', obj, text +
                                f'node {number} has CPUs'))
        if number in machine.plugged_nodes():
            faults.append(fault('memory_device', obj, text +
                                f'node {number} has a memory device'))
        if number in machine.nodes_of(PORT):
            faults.append(fault('node_of_port', obj, text + f'node {number} '
                                'belongs to an acpi-generic-port'))
        if obj.initiator and number in machine.nodes_of(INITIATOR):
            faults.append(fault('node_of_initiator', obj, 'generic-initiator='
                                f'on: node {number} belongs to an '
                                'acpi-generic-initiator already'))
    return faults


def egm_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    node, count = obj.egm_node, len(machine.nodes)
    if node is None or not count:
        return []
    fact = ''
    if not machine.board.egm:
        fact = 'this machine can have the memory of a node in several pieces'
    elif node >= count or not machine.nodes[node].mib:
        fact = 'there is no such node with memory'
    elif node in machine.plugged_nodes():
        fact = 'this node has a memory device'
    return [fault('egm_node', obj, f'egm-node={node}: {fact}')] if fact else []


def ready_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    """Why an object that completes doesn't fit the machine"""
    faults = (device_faults(machine, obj) + node_faults(machine, obj) +
              egm_faults(machine, obj))
    if not machine.acpi and obj.is_owner():
        faults.append(fault('no_tables', obj, f'machine {machine.name} has '
                            'been started with acpi=off'))
    return faults


def running_faults(machine: Machine, obj: NodeObject) -> list[Fault]:
    """Of an object that comes while the machine runs"""
    return completion_faults(machine, obj) or ready_faults(machine, obj)


def memory_device_faults(machine: Machine, device: Device) -> list[Fault]:
    node = device.memory_node
    texts = [owned_text(node, obj) for obj in machine.owners()
             if node in obj.nodes]
    if any(node == obj.egm_node for obj in machine.owners()):
        texts.append(f'node={node}: an object with egm-node={node} allows no '
                     'memory devices in this node')
    return [Fault('memory_device', re.escape(text)) for text in texts]


def parser_faults(machine: Machine) -> list[Fault]:
    """Of the text of options alone, and of ids that two of them give: the
    parser sees those that are not JSON"""
    faults = []
    for obj in machine.objects:
        if obj.garbage:
            faults.append(Fault('garbage', re.escape(f'-object {obj.text}: ') +
                                '.*' + re.escape(obj.garbage) + '.*'))
        others = [other for other in machine.objects
                  if other is not obj and other.id == obj.id]
        if (others or obj.id in machine.backends) and \
                not any(same.is_json() for same in [obj, *others]):
            faults.append(same_id(obj))
    return faults


def same_id(obj: NodeObject) -> Fault:
    name = re.escape(f"'{obj.id}'")
    return Fault('same_id', f'-object .*: Duplicate ID {name} for object|'
                 f'attempt to add duplicate property {name} to object .*',
                 False)


def early_faults(machine: Machine) -> list[Fault]:
    """What QEMU sees before it has devices"""
    faults = parser_faults(machine)
    if faults:
        return faults
    ids = [obj.id for obj in machine.objects] + machine.backends
    for obj in machine.objects:
        if ids.count(obj.id) > 1:
            faults.append(same_id(obj))
        faults += completion_faults(machine, obj)
    return faults


def late_faults(machine: Machine) -> list[Fault]:
    """What it sees when it makes the devices, and when all are there"""
    faults = []
    for device in machine.memory_devices():
        for found in memory_device_faults(machine, device):
            faults.append(dataclasses.replace(
                found, pattern='-device .*: ' + found.pattern))
    for obj in machine.objects:
        faults += ready_faults(machine, obj)
    return faults
