# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables of a machine must hold.

It follows docs/system/devices/nvidia-gpu-mem-acpi.rst and guide/tables.rst, not the
code.
"""

import dataclasses

from boards import MIB, cpu_name, ram_areas
from machine import INITIATOR, PORT, Device, Kind, Machine, NodeObject

ENABLED = 1
HOT_PLUGGABLE = 2
ANY = -1            # a base or size that is QEMU's choice


@dataclasses.dataclass(frozen=True)
class MemoryEntry:
    node: int
    base: int
    size: int
    flags: int


@dataclasses.dataclass(frozen=True)
class Affinity:
    """Of a generic initiator or port"""
    node: int
    type: str
    handle: tuple[int, ...]     # bus and devfn, or UID


def is_gone(machine: Machine, obj: NodeObject) -> bool:
    """Has its device been unplugged?"""
    device = machine.devices.get(obj.device)
    if obj.type is INITIATOR:
        return not device or not device.is_pci()
    return not device or obj.is_owner() and device.kind != Kind.ENDPOINT


def hotplug_node(machine: Machine) -> int:
    """The highest one that isn't for the memory of a device"""
    return max({node.number for node in machine.nodes} - machine.owned_nodes())


def described_nodes(machine: Machine) -> set[int]:
    """Those that have an entry without memory"""
    owned = machine.owned_nodes()
    if not machine.newest:
        return owned
    generic = {found.node for found in affinities(machine)}
    return owned | {node.number for node in machine.nodes
                    if node.is_empty() and node.number not in generic}


def srat_memory(machine: Machine) -> list[MemoryEntry]:
    """In their order.  The range for DIMMs stands in the place of its node, if
    that is empty, or else at the end."""
    areas = ram_areas(machine.board, machine.mib * MIB)
    empty = described_nodes(machine)
    plug_range = MemoryEntry(hotplug_node(machine), ANY, ANY,
                             ENABLED | HOT_PLUGGABLE)
    has_range = machine.max_mib > 0
    entries = []
    start = 0
    for node in machine.nodes:
        end = start + node.mib * MIB
        for first, last, base in areas:
            size = min(end, last) - max(start, first)
            if size > 0:
                at = base + max(start, first) - first
                entries.append(MemoryEntry(node.number, at, size, ENABLED))
        start = end
        if node.number in empty:
            entry = MemoryEntry(node.number, 0, 0, ENABLED | HOT_PLUGGABLE)
            entries.append(plug_range if has_range and
                           node.number == plug_range.node else entry)
    if not machine.board.ram_base:
        # A PC has at least two more than it has nodes
        entries += [MemoryEntry(0, 0, 0, 0)] * (len(machine.nodes) + 2 -
                                                len(entries))
    if has_range and plug_range not in entries:
        entries.append(plug_range)
    return entries


def affinities(machine: Machine) -> list[Affinity]:
    """By ascending node; of a node initiators come first, and what was created
    first"""
    found = []
    for obj in machine.objects:
        if is_gone(machine, obj):
            continue
        device = machine.devices[obj.device]
        if obj.type is PORT:
            handle = (device.bus_nr,)
        elif obj.is_initiator():
            handle = device.bus_number(), device.devfn
        else:
            continue
        name = PORT.name if obj.type is PORT else INITIATOR.name
        found += [Affinity(node, name, handle) for node in obj.nodes]
    return sorted(found, key=lambda affinity: (affinity.node,
                                               affinity.type == PORT.name))


def hmat_initiators(machine: Machine) -> list[int]:
    return sorted({node.number for node in machine.nodes if node.cpus} |
                  {found.node for found in affinities(machine)
                   if found.type == INITIATOR.name})


def cpu_nodes(machine: Machine) -> dict[int, int]:
    return {cpu_name(machine.board, cpu, machine.per_socket): node.number
            for node in machine.nodes for cpu in node.cpus}


def acpi_path(machine: Machine, device: Device) -> str:
    root = 'PCI0'
    expander = device.expander()
    if expander:
        prefix = machine.board.expanders[expander.driver]
        root = f'{prefix}{expander.bus_nr:02X}'
    names = [f'S{hop.devfn:02X}' for hop in device.path()]
    return '.'.join(['\\_SB', root, *names])


def properties(machine: Machine) -> dict[str, dict[str, int]]:
    """By the path of the device in the DSDT"""
    found = {}
    for obj in machine.owners():
        if not is_gone(machine, obj):
            path = acpi_path(machine, machine.devices[obj.device])
            found[path] = {}
            for name in obj.type.names:
                found[path][f'{name}-start'] = min(obj.nodes)
                found[path][f'{name}-count'] = len(obj.nodes)
            if obj.egm_node is not None:
                below = sum(node.mib for node in machine.nodes[:obj.egm_node])
                found[path] |= {
                    'nvidia,egm-pxm': obj.egm_node,
                    'nvidia,egm-base-pa': machine.board.ram_base + below * MIB,
                    'nvidia,egm-size': machine.nodes[obj.egm_node].mib * MIB}
    return found


def addresses(machine: Machine) -> dict[str, int]:
    """_ADR of each PCI device, by its path"""
    return {acpi_path(machine, dev): dev.slot << 16 | dev.function
            for dev in machine.devices.values() if dev.is_pci()}


def bridges_on_the_way(machine: Machine) -> set[str]:
    """To the endpoints that have properties"""
    paths = set()
    for path in properties(machine):
        parts = path.split('.')
        paths |= {'.'.join(parts[:end]) for end in range(3, len(parts))}
    return paths


def virtual_function_parents(machine: Machine) -> set[str]:
    """Where an igb has virtual functions, in slots from 16 on"""
    return {acpi_path(machine, dev).rpartition('.')[0]
            for dev in machine.devices.values() if dev.driver == 'igb'}
