# SPDX-License-Identifier: GPL-2.0-or-later
"""ACPI tables as firmware would read them, and those that tell of NUMA.

Sections are of ACPI 6.5.
"""

import dataclasses
import struct

from guest import Guest
from machine import INITIATOR, PORT
from model import Affinity, MemoryEntry
from qemu import Failure

HEADER_LENGTH = 36


def read_tables(guest: Guest) -> dict[str, bytes]:
    """By signature; of several with one signature the first"""
    # First, as edk2 does: QEMU builds the tables anew when one of their files
    # is read, and fw_cfg's directory has their new size only from then on.
    # SeaBIOS keeps the old one: a PC with dozens of bridges loses tables.
    guest.read_file('etc/table-loader')
    data = guest.read_file('etc/acpi/tables')
    tables: dict[str, bytes] = {}
    at = 0
    while at + HEADER_LENGTH <= len(data):
        length = int.from_bytes(data[at + 4:at + 8], 'little')
        if not HEADER_LENGTH <= length <= len(data) - at:
            break
        tables.setdefault(data[at:at + 4].decode('latin-1'),
                          data[at:at + length])
        at += length
    return tables


@dataclasses.dataclass
class Srat:
    cpus: dict[int, int] = dataclasses.field(default_factory=dict)
    affinities: list[Affinity] = dataclasses.field(default_factory=list)
    memory: list[MemoryEntry] = dataclasses.field(default_factory=list)


def read_affinity(kind: int, body: bytes) -> Affinity:
    """Of a PCI device in segment 0, or of a CXL host bridge"""
    zero, handle, node, start, bus, devfn, rest, flags, zeros = \
        struct.unpack('<BBI2sBB12sII', body)
    if (zero, flags, zeros) == (0, 1, 0):
        if (kind, handle, start, rest) == (5, 1, bytes(2), bytes(12)):
            return Affinity(node, INITIATOR.name, (bus, devfn))
        name, uid, zeros = struct.unpack('<8sII', body[6:22])
        if (kind, handle, name, zeros) == (6, 0, b'ACPI0016', 0):
            return Affinity(node, PORT.name, (uid,))
    raise Failure(f'SRAT: type {kind} is {body.hex()}')


def read_srat(table: bytes) -> Srat:
    """5.2.16 System Resource Affinity Table: first the CPUs, then initiators
    and ports, then memory"""
    srat = Srat()
    at = HEADER_LENGTH + 12
    while at < len(table):
        kind, length = table[at], table[at + 1]
        body = table[at + 2:at + length]
        late = srat.memory
        if kind == 1 and length == 40:      # 5.2.16.2 Memory Affinity
            node, _, base, size, _, flags, _ = struct.unpack('<IHQQIIQ', body)
            srat.memory.append(MemoryEntry(node, base, size, flags))
            late = None
        elif kind in (5, 6) and length == 32:   # 5.2.16.6, 5.2.16.7
            srat.affinities.append(read_affinity(kind, body))
        elif kind == 0 and length == 16:    # 5.2.16.1 Local APIC Affinity
            low, apic, _, _, high, _ = struct.unpack('<BBIB3sI', body)
            srat.cpus[apic] = low | int.from_bytes(high, 'little') << 8
            late = late or srat.affinities
        elif kind == 2 and length == 24:    # 5.2.16.3 Local x2APIC Affinity
            _, node, apic, _, _, _ = struct.unpack('<HIIIII', body)
            srat.cpus[apic] = node
            late = late or srat.affinities
        elif kind == 3 and length == 18:    # 5.2.16.4 GICC Affinity
            node, uid, flags, _ = struct.unpack('<IIII', body)
            srat.cpus[uid] = node
            late = late or srat.affinities
        else:
            raise Failure(f'SRAT: type {kind} with {length} bytes')
        if late:
            raise Failure(f'SRAT: type {kind} comes late')
        at += length
    return srat


def read_slit(table: bytes) -> list[bytes]:
    """5.2.17 System Locality Information Table: a row for each node"""
    count = int.from_bytes(table[36:44], 'little')
    if len(table) != 44 + count * count:
        raise Failure(f'SLIT: {count} nodes in {len(table)} bytes')
    return [table[44 + row * count:44 + (row + 1) * count]
            for row in range(count)]


@dataclasses.dataclass
class Hmat:
    memory: list[int] = dataclasses.field(default_factory=list)
    # One for each structure
    initiators: list[list[int]] = dataclasses.field(default_factory=list)
    # From which node to which
    latencies: set[tuple[int, int]] = dataclasses.field(default_factory=set)


def read_hmat(table: bytes) -> Hmat:
    """5.2.28 Heterogeneous Memory Attribute Table"""
    hmat = Hmat()
    at = HEADER_LENGTH + 4
    while at < len(table):
        kind, _, length = struct.unpack_from('<HHI', table, at)
        if not 8 <= length <= len(table) - at:
            raise Failure(f'HMAT: type {kind} with {length} bytes')
        if kind == 0:       # 5.2.28.3 Memory Proximity Domain Attributes
            hmat.memory.append(struct.unpack_from('<I', table, at + 16)[0])
        elif kind == 1:     # 5.2.28.4 Latency and Bandwidth Information
            rows, columns = struct.unpack_from('<II', table, at + 12)
            if length != 32 + 4 * rows + 4 * columns + 2 * rows * columns:
                raise Failure(f'HMAT: {rows} and {columns} nodes, {length} '
                              'bytes')
            nodes = struct.unpack_from(f'<{rows + columns}I', table, at + 32)
            values = struct.unpack_from(f'<{rows * columns}H', table,
                                        at + 32 + 4 * (rows + columns))
            hmat.initiators.append(list(nodes[:rows]))
            hmat.latencies |= {
                (nodes[number // columns], nodes[rows + number % columns])
                for number, value in enumerate(values) if value}
        at += length
    return hmat
