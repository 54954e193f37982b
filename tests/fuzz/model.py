# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents promise: which objects are refused, and with which words,
and what is in the tables.

It follows docs/system/devices/nvidia-gpu-mem-acpi.rst, not the code.
"""

import dataclasses
import re

from machine import (MAX_NODES, MIB, OBJECT_TYPE, Device, GpuObject, Kind,
                     Machine)

PROPERTIES = ('dev-mem-pxm-start', 'dev-mem-pxm-count',
              'nvidia,gpu-mem-pxm-start', 'nvidia,gpu-mem-pxm-count')
RAM_BASE = 0x40000000
ENABLED = 1
HOT_PLUGGABLE = 2
ANY = -1            # a base or size that is QEMU's choice


@dataclasses.dataclass
class Fault:
    kind: str
    pattern: str        # of the whole message, without the program's name


def fault(kind: str, obj: GpuObject, *words: str) -> Fault:
    """The message names object, property, value and, after a semicolon, the
    way out."""
    start = f"{OBJECT_TYPE} object '{obj.id}': " + words[0]
    rest = ''.join('.*' + re.escape(word) for word in words[1:])
    return Fault(kind, re.escape(start) + rest + '.*; .+')


def nodeset_text(obj: GpuObject) -> str:
    first, last = min(obj.nodes), max(obj.nodes)
    return f'{first}' if first == last else f'{first}-{last}'


def object_faults(obj: GpuObject) -> list[Fault]:
    """What is wrong with it on any machine"""
    faults = []
    nodes = sorted(obj.nodes)
    if not obj.devid:
        faults.append(fault('empty_device', obj, 'devid: it is empty'))
    if not nodes:
        faults.append(fault('empty_set', obj, 'nodeset: it is empty'))
        return faults
    for node in {node for node in nodes if node >= MAX_NODES}:
        faults.append(fault('beyond_qemu', obj, 'nodeset: ', f', not {node}'))
    for node in {node for node in nodes if nodes.count(node) > 1}:
        faults.append(fault('twice', obj, f'nodeset: node {node} is given '
                            'twice'))
    holes = set(range(nodes[0], min(nodes[-1], MAX_NODES))) - set(nodes)
    if holes:
        faults.append(fault('hole', obj,
                            f'nodeset: node {min(holes)} is missing'))
    return faults


def is_initiator(obj: GpuObject, device: Device) -> bool:
    return obj.initiator == 'on' or \
        obj.initiator == 'auto' and device.devfn == 0


def initiator_nodes(machine: Machine) -> set[int]:
    """Those of acpi-generic-initiator objects"""
    return {node for node, _ in machine.initiators.values()}


def machine_faults(machine: Machine, obj: GpuObject) -> list[Fault]:
    """Why it doesn't fit the machine, other objects and all"""
    faults = []
    text = nodeset_text(obj)
    nodeset, devid = f'nodeset={text}: ', f'devid={obj.devid}: '
    count = len(machine.nodes)

    if machine.type != 'virt' or not machine.acpi:
        faults.append(fault('no_tables', obj, f'machine {machine.type}',
                            'ACPI tables'))
        if machine.type != 'virt':
            return faults

    device = machine.devices.get(obj.devid)
    if not device:
        faults.append(fault('unknown_device', obj, devid, 'no device'))
    elif not device.is_pci():
        faults.append(fault('not_pci', obj, devid, device.driver,
                            'is not a PCI device'))
    elif device.kind != Kind.ENDPOINT:
        faults.append(fault('bridge', obj, devid, device.driver,
                            'is a PCI bridge'))

    if not count:
        faults.append(fault('no_numa', obj, nodeset, 'no NUMA nodes'))
    elif max(obj.nodes) >= count:
        unknown = max(min(obj.nodes), count)
        faults.append(fault('no_such_node', obj, nodeset,
                            f'no node {unknown}, only 0-{count - 1}'))
    for number in obj.nodes:
        node = machine.nodes[number] if number < count else None
        if node and node.mib:
            faults.append(fault('node_with_memory', obj, nodeset,
                                f'node {number} has memory '
                                f'({node.mib} MiB)'))
        if node and node.cpus:
            faults.append(fault('node_with_cpus', obj, nodeset,
                                f'node {number} has CPUs'))
        if device and is_initiator(obj, device) and \
                number in initiator_nodes(machine):
            faults.append(fault('node_of_initiator', obj,
                                f'generic-initiator={obj.initiator}: ',
                                f'node {number} belongs to an '
                                'acpi-generic-initiator'))
        if number in machine.ports.values():
            faults.append(fault('node_of_port', obj, nodeset,
                                f'node {number} belongs to an '
                                'acpi-generic-port'))

    if obj.pxm is not None and count:
        near = device.expander_node() if device and device.is_pci() else None
        if obj.pxm >= count:
            faults.append(fault('no_such_pxm', obj, f'pxm={obj.pxm}: ',
                                f'no node {obj.pxm}, only 0-{count - 1}'))
        elif near not in (None, obj.pxm):
            faults.append(fault('other_pxm', obj, f'pxm={obj.pxm}: ',
                                f"device '{obj.devid}'",
                                f'numa_node={near}'))

    for other in machine.objects:
        if other is obj or other.garbage or object_faults(other):
            continue
        if other.devid == obj.devid:
            faults.append(fault('shared_device', obj, devid,
                                f"object '{other.id}' is for this device too"))
        for number in set(other.nodes) & set(obj.nodes):
            faults.append(fault('shared_node', obj, nodeset,
                                f"object '{other.id}' has node {number} too"))
    return faults


def same_ids(machine: Machine) -> list[tuple[bool, Fault]]:
    """Ids that two options give; true where QEMU's option parser sees it"""
    found = []
    for obj in machine.objects:
        others = [other for other in machine.objects
                  if other is not obj and other.id == obj.id]
        if others or obj.id in machine.backends:
            name = re.escape(f"'{obj.id}'")
            by_parser = not obj.is_json() and \
                all(not other.is_json() for other in others)
            found.append((by_parser, Fault('same_id', (
                f'-object .*: Duplicate ID {name} for object|'
                f'attempt to add duplicate property {name} to object .*'))))
    return found


def early_faults(machine: Machine) -> list[Fault]:
    """What QEMU sees in the options alone; it tells one of them"""
    given = machine.objects
    ids = same_ids(machine)
    faults = [found for by_parser, found in ids if by_parser]
    for obj in given:
        if obj.garbage:
            faults.append(Fault('garbage', re.escape(f'-object {obj.text}: ') +
                                '.*' + re.escape(obj.garbage) + '.*'))
    if faults:
        return faults
    faults = [found for _, found in ids]
    for obj in given:
        faults += object_faults(obj)
    return faults


def late_faults(machine: Machine) -> list[Fault]:
    """What QEMU sees when all devices are there; it tells one of them"""
    faults = []
    for obj in machine.objects:
        faults += machine_faults(machine, obj)
    return faults


@dataclasses.dataclass(frozen=True)
class MemoryEntry:
    node: int
    base: int
    size: int
    flags: int


def hotplug_node(machine: Machine) -> int:
    """The highest one, or if that is of an object, the next that is neither of
    one nor generic"""
    taken = {node for obj in machine.objects for node in obj.nodes}
    highest = max(node.number for node in machine.nodes)
    if highest in taken:
        taken |= initiator_nodes(machine) | set(machine.ports.values())
        return max((node.number for node in machine.nodes
                    if node.number not in taken), default=0)
    return highest


def srat_memory(machine: Machine) -> list[MemoryEntry]:
    """In their order.  The range for DIMMs stands in the place of its node, if
    that is empty, or else at the end."""
    entries = []
    base = RAM_BASE
    plug_node = hotplug_node(machine) if machine.max_mib else None
    plug_range = MemoryEntry(plug_node, ANY, ANY, ENABLED | HOT_PLUGGABLE)
    named = {node for obj in machine.objects for node in obj.nodes}
    generic = initiator_nodes(machine) | set(machine.ports.values())
    for node in machine.nodes:
        if node.mib:
            entries.append(MemoryEntry(node.number, base, node.mib * MIB,
                                       ENABLED))
            base += node.mib * MIB
        elif not node.cpus and (node.number in named or
                                node.number not in generic):
            if node.number == plug_node:
                entries.append(plug_range)
            else:
                entries.append(MemoryEntry(node.number, 0, 0,
                                           ENABLED | HOT_PLUGGABLE))
    if machine.max_mib and plug_range not in entries:
        entries.append(plug_range)
    return entries


@dataclasses.dataclass(frozen=True)
class Initiator:
    node: int
    bus: int
    devfn: int


def initiators(machine: Machine) -> list[Initiator]:
    """Those of the objects, by ascending node, but where a node has another"""
    found = []
    for obj in machine.objects:
        if obj in gone(machine):
            continue
        device = machine.devices[obj.devid]
        if is_initiator(obj, device):
            found += [Initiator(node, device.bus_number(), device.devfn)
                      for node in set(obj.nodes) - initiator_nodes(machine)]
    return sorted(found, key=lambda initiator: initiator.node)


def proximities(machine: Machine) -> dict[str, int]:
    """_PXM of the devices of objects, by the path"""
    return {machine.devices[obj.devid].acpi_path(): obj.pxm
            for obj in machine.objects
            if obj.pxm is not None and obj not in gone(machine)}


def cpu_nodes(machine: Machine) -> dict[int, int]:
    return {cpu: node.number for node in machine.nodes for cpu in node.cpus}


def gone(machine: Machine) -> list[GpuObject]:
    """The objects whose device has been unplugged"""
    return [obj for obj in machine.objects
            if obj.devid not in machine.devices or
            machine.devices[obj.devid].kind != Kind.ENDPOINT]


def gpu_properties(machine: Machine) -> dict[str, dict[str, int]]:
    """By the path of the device in the DSDT"""
    properties = {}
    for obj in machine.objects:
        if obj not in gone(machine):
            values = (min(obj.nodes), len(obj.nodes)) * 2
            path = machine.devices[obj.devid].acpi_path()
            properties[path] = dict(zip(PROPERTIES, values))
    return properties


def addresses(machine: Machine) -> dict[str, int]:
    """_ADR of each PCI device, by its path"""
    return {dev.acpi_path(): dev.slot << 16 | dev.function
            for dev in machine.devices.values() if dev.is_pci()}


def virtual_function_parents(machine: Machine) -> set[str]:
    """Where an igb has virtual functions, in slots from 16 on"""
    return {dev.acpi_path().rpartition('.')[0]
            for dev in machine.devices.values() if dev.driver == 'igb'}


def bridges_on_the_way(machine: Machine) -> set[str]:
    """To the endpoints that have properties"""
    paths = set()
    for path in gpu_properties(machine):
        parts = path.split('.')
        paths |= {'.'.join(parts[:end]) for end in range(3, len(parts))}
    return paths
