# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest reports on its console, and what it should."""

import base64
import binascii
import dataclasses
import re
import struct

from objects import properties

MIB = 1 << 20
TABLES = ('SRAT', 'DSDT', 'HMAT')   # the last only where the machine has one
ACPI_HEADER = 36
SRAT_ENTRIES = 48
SRAT_MEMORY = 1
SRAT_MEMORY_BYTES = 40
SRAT_ENABLED = 0x1
SRAT_EMPTY_FLAGS = 0x3      # enabled, hot-pluggable
SRAT_INITIATOR = 5


@dataclasses.dataclass
class Gpu:
    address: str
    driver: str
    path: str
    numa_node: int
    place: str              # from its host bridge down: in the machine's order
    properties: dict[str, int] = dataclasses.field(default_factory=dict)
    nodes: dict[int, int] = dataclasses.field(default_factory=dict)
    # As nodes, by the SRAT's generic initiators of its address
    initiators: dict[int, int] = dataclasses.field(default_factory=dict)
    messages: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class NodeMemory:
    online_mb: int          # memory blocks that are online: exact
    total_kb: int           # the node's MemTotal: less what the kernel keeps


@dataclasses.dataclass
class MemoryAffinity:
    """A memory entry of the SRAT."""
    entry_bytes: int
    domain: int
    base: int
    length: int
    flags: int

    def is_empty_node(self):
        return (self.entry_bytes == SRAT_MEMORY_BYTES and self.base == 0 and
                self.length == 0 and self.flags == SRAT_EMPTY_FLAGS)


@dataclasses.dataclass
class InitiatorAffinity:
    """A generic initiator entry of the SRAT whose handle is a PCI one."""
    entry_bytes: int
    handle_type: int
    domain: int
    segment: int
    bus: int
    devfn: int
    flags: int


@dataclasses.dataclass
class Report:
    kernel: str = ''
    srat_lines: list[str] = dataclasses.field(default_factory=list)
    gpus: list[Gpu] = dataclasses.field(default_factory=list)
    # Of each PCI device: number and bytes of each BAR that has an address
    bars: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    memory: dict[int, NodeMemory] = dataclasses.field(default_factory=dict)
    numactl: str = ''
    topology: str = ''      # hwloc's XML
    hmat_lines: list[str] = dataclasses.field(default_factory=list)
    initiators: dict[int, dict[str, int | None]] = dataclasses.field(
        default_factory=dict)
    has_generic_initiator: str = ''     # as sysfs has it
    # The PCI devices of each group
    iommu_groups: dict[int, list[str]] = dataclasses.field(
        default_factory=dict)
    # Of each PCI device, such as identity
    iommu_types: dict[str, str] = dataclasses.field(default_factory=dict)
    memory_files: list[str] = dataclasses.field(default_factory=list)
    # First and last address of each range that was memory at boot
    boot_memory: list[tuple[int, int]] = dataclasses.field(
        default_factory=list)
    # The nodes with a pattern, which begins with a number of the boot's own
    patterns: list[int] = dataclasses.field(default_factory=list)
    boot_id: str = ''
    log: str = ''           # all of it
    said: str = ''          # by QEMU
    # Lines of
    splits: list[str] = dataclasses.field(default_factory=list)
    interrupts: list[str] = dataclasses.field(default_factory=list)
    dma: list[str] = dataclasses.field(default_factory=list)
    tables: dict[str, bytes] = dataclasses.field(default_factory=dict)
    failed: list[str] = dataclasses.field(default_factory=list)

    def hotplug_nodes(self):
        """The empty nodes by the kernel's log, in its order."""
        return [int(line.split()[3]) for line in self.srat_lines
                if line == hotplug_line(int(line.split()[3]))]

    def online_mb(self, node):
        """A node that the kernel doesn't list has no memory."""
        memory = self.memory.get(node)
        return memory.online_mb if memory else 0


def hotplug_line(node):
    """How the kernel's log shows an empty node that is its own domain."""
    return (f'ACPI: SRAT: Node {node} PXM {node} '
            '[mem 0x00000000-0xffffffffffffffff] hotplug')


def node_list(nodes):
    """2-9 and the like, for people."""
    parts = []
    for node in sorted(nodes):
        if parts and parts[-1][1] == node - 1:
            parts[-1][1] = node
        else:
            parts.append([node, node])
    return ','.join(str(a) if a == b else f'{a}-{b}'
                    for a, b in parts) or 'none'


def srat_entries(table):
    """Kind and bytes of each entry of a SRAT."""
    at = SRAT_ENTRIES
    while at + 2 <= len(table):
        kind, size = table[at], table[at + 1]
        if size < 2 or at + size > len(table):
            raise ValueError(f'SRAT entry at byte {at} has length {size}')
        yield kind, table[at:at + size]
        at += size


def srat_memory(table):
    """The memory entries of a SRAT that are enabled, in their order."""
    entries = []
    for kind, entry in srat_entries(table):
        if kind == SRAT_MEMORY:
            domain, base, length, flags = struct.unpack_from(
                '<2xI2xQQ4xI', entry)
            if flags & SRAT_ENABLED:
                entries.append(MemoryAffinity(len(entry), domain, base, length,
                                              flags))
    return entries


def srat_ranges(table):
    """Address and bytes of each domain whose memory is in one piece."""
    return {entry.domain: (entry.base, entry.length)
            for entry in srat_memory(table)}


def srat_initiators(table):
    """The generic initiator entries of a SRAT, in their order.

    ACPI 6.5, 5.2.16.6; the device handle is the one of table 5.65, a number
    of two bytes for the segment, then the bus, then slot and function.
    """
    return [InitiatorAffinity(len(entry),
                              *struct.unpack_from('<3xBIHBB12xI', entry))
            for kind, entry in srat_entries(table) if kind == SRAT_INITIATOR]


# --- from the console to a Report -----------------------------------------

def read_sections(lines):
    """The guest's sections by name, and those that failed."""
    sections, failed, name = {}, [], None
    for line in lines:
        words = line.split()
        if words[:2] == ['@@', 'begin']:
            name = words[2]
            sections[name] = []
        elif words[:2] == ['@@', 'end']:
            if words[3] != '0':
                failed.append(f'step {name} in the guest (status {words[3]})')
            name = None
        elif name:
            sections[name].append(line)
    return sections, failed


def _parse_driver(lines, gpus):
    by_address = {gpu.address: gpu for gpu in gpus}
    for line in lines:
        found = re.search(r'gpumem (\S+): (.*)', line)
        gpu = by_address.get(found[1]) if found else None
        if not gpu:
            continue
        gpu.messages.append(found[2])
        if value := re.fullmatch(r'(\S+) = (\d+)', found[2]):
            gpu.properties[value[1]] = int(value[2])
        elif node := re.fullmatch(r'pxm (\d+) -> node (\d+)', found[2]):
            gpu.nodes[int(node[1])] = int(node[2])
        elif node := re.fullmatch(r'initiator (\d+) -> node (\d+)', found[2]):
            gpu.initiators[int(node[1])] = int(node[2])


def _decode_table(name, lines, failed):
    try:
        table = base64.b64decode(''.join(lines), validate=True)
    except binascii.Error:
        table = b''
    if len(table) < ACPI_HEADER or sum(table) % 256:
        failed.append(f'table {name}: its checksum is wrong')
    return table


def parse(log):
    """A Report of the console's output, as far as that goes."""
    lines = log.splitlines()
    report = Report()
    sections, report.failed = read_sections(lines)
    for line in lines:
        if line.startswith('@@ guest '):
            report.kernel = line.split()[2]
    for line in sections.get('log', []):
        if found := re.search(r'ACPI: SRAT: Node \d+ .* hotplug$', line):
            report.srat_lines.append(found[0])
        if found := re.search(r'\] (.*hmat.*)', line, re.IGNORECASE):
            report.hmat_lines.append(found[1])
    for line in sections.get('gpus', []):
        address, driver, path, numa_node, place = line.split()
        report.gpus.append(Gpu(address, driver, path, int(numa_node), place))
    report.gpus.sort(key=lambda gpu: gpu.place)
    _parse_driver(sections.get('driver', []), report.gpus)
    for line in sections.get('nodes', []):
        node, online, total_kb = map(int, line.split())
        report.memory[node] = NodeMemory(online // MIB, total_kb)
    report.numactl = '\n'.join(sections.get('numactl', []))
    report.topology = '\n'.join(sections.get('topology', []))
    for line in sections.get('initiators', []):
        node, name, *value = line.split()
        report.initiators.setdefault(int(node), {})[name] = (
            int(value[0]) if value else None)
    for line in sections.get('bars', []):
        address, number, start, end = line.split()
        bars = report.bars.setdefault(address, {})
        if int(start, 16):
            bars[int(number)] = int(end, 16) - int(start, 16) + 1
    for line in sections.get('iommu_groups', []):
        group, address, kind = line.split()
        report.iommu_groups.setdefault(int(group), []).append(address)
        report.iommu_types[address] = kind
    report.has_generic_initiator = ''.join(
        sections.get('has_generic_initiator', []))
    for line in sections.get('iomem', []):
        first, last = line.split()
        report.boot_memory.append((int(first, 16), int(last, 16)))
    report.boot_id, *nodes = sections.get('patterns') or ['']
    report.patterns = list(map(int, nodes))
    report.splits = sections.get('partitions', [])
    report.interrupts = sections.get('interrupts', [])
    report.dma = sections.get('dma', [])
    for name in TABLES:
        if sections.get(name):
            report.tables[name] = _decode_table(name, sections[name],
                                                report.failed)
    return report


# --- what the report of a machine should say ------------------------------

def _missing_of_gpu(gpu, nodes, object_type):
    if gpu.path == 'none':
        yield f'GPU {gpu.address}: a node in the DSDT'
    for name, value in properties(object_type, nodes[0], len(nodes)).items():
        if gpu.properties.get(name) != value:
            yield (f'GPU {gpu.address}: {name} is '
                   f'{gpu.properties.get(name, "missing")}, not {value}')
    if gpu.nodes != {node: node for node in nodes}:
        yield (f'GPU {gpu.address}: pxm to node is {gpu.nodes or "unknown"}, '
               f'not {node_list(nodes)} each to itself')
    if gpu.driver == 'none':
        last = gpu.messages[-1] if gpu.messages else 'without a word'
        yield f'GPU {gpu.address}: the driver refused it: {last}'


def missing(report, machine):
    """Everything that keeps the report from being right, a line each."""
    lines = list(report.failed)
    for node in machine.empty_nodes():
        if (node != machine.plug_node() and
                report.srat_lines.count(hotplug_line(node)) != 1):
            lines.append(f'line in the log: {hotplug_line(node)}')
    if len(report.gpus) != machine.gpus:
        lines.append(f'GPUs: the guest has {len(report.gpus)}, '
                     f'not {machine.gpus}')
    for index, gpu in enumerate(report.gpus[:machine.gpus]):
        lines += _missing_of_gpu(gpu, machine.gpu_nodes(index),
                                 machine.object_type)

    expected = machine.memory()
    for node in sorted({*expected, *machine.empty_nodes(), *report.memory}):
        want, have = expected.get(node, 0), report.online_mb(node)
        if have != want:
            lines.append(f'memory of node {node}: {have} MB online, '
                         f'not {want} MB')
    lines += [f'table {name}' for name in ('SRAT', 'DSDT')
              if name not in report.tables]
    if not report.numactl:
        lines.append('output of numactl -H')
    return lines
