# SPDX-License-Identifier: GPL-2.0-or-later
"""ACPI tables as firmware would read them, and those that tell of NUMA.

Sections are of ACPI 6.5.
"""

import dataclasses
import struct

from model import Initiator, MemoryEntry
from qemu import Failure, Qemu

FW_CFG_DMA = 0x09020010
FW_CFG_DIRECTORY = 0x19
DMA_READ_SELECTED = 0xa             # read, of the item in the upper half
SCRATCH = 0x40000000                # in guest RAM: the request, then data
SCRATCH_DATA = SCRATCH + 0x1000
DIRECTORY_FILES = 64                # more than there are
FILE = struct.Struct('>IHH56s')
HEADER_LENGTH = 36


def dma_read(qemu: Qemu, key: int, length: int) -> bytes:
    request = struct.pack('>IIQ', key << 16 | DMA_READ_SELECTED, length,
                          SCRATCH_DATA)
    qemu.write_memory(SCRATCH, request)
    qemu.write_number('q', FW_CFG_DMA,
                      int.from_bytes(SCRATCH.to_bytes(8, 'big'), 'little'))
    if qemu.read_memory(SCRATCH, 4) != bytes(4):
        raise Failure('fw_cfg: the DMA failed')
    return qemu.read_memory(SCRATCH_DATA, length)


def read_file(qemu: Qemu, name: str) -> bytes:
    """b'' if there is none"""
    directory = dma_read(qemu, FW_CFG_DIRECTORY,
                         4 + DIRECTORY_FILES * FILE.size)
    count = int.from_bytes(directory[:4], 'big')
    if count > DIRECTORY_FILES:
        raise Failure(f'fw_cfg has {count} files')
    for number in range(count):
        size, key, _, text = FILE.unpack_from(directory,
                                              4 + number * FILE.size)
        if text.rstrip(b'\0') == name.encode():
            return dma_read(qemu, key, size)
    return b''


def read_tables(qemu: Qemu) -> dict[str, bytes]:
    """By signature; of several with one signature the first"""
    data = read_file(qemu, 'etc/acpi/tables')
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
    memory: list[MemoryEntry] = dataclasses.field(default_factory=list)
    cpus: dict[int, int] = dataclasses.field(default_factory=dict)
    # Before all memory, and after it
    first_initiators: list[Initiator] = \
        dataclasses.field(default_factory=list)
    last_initiators: list[Initiator] = \
        dataclasses.field(default_factory=list)


def read_initiator(body: bytes) -> Initiator:
    """With the handle of a PCI device in segment 0"""
    zero, handle, node, segment, bus, devfn, rest, flags, zeros = \
        struct.unpack('<BBIHBB12sII', body)
    if (zero, handle, segment, rest, flags, zeros) != \
            (0, 1, 0, bytes(12), 1, 0):
        raise Failure(f'SRAT: an initiator is {body.hex()}')
    return Initiator(node, bus, devfn)


def read_srat(table: bytes) -> Srat:
    """5.2.16 System Resource Affinity Table"""
    srat = Srat()
    at = HEADER_LENGTH + 12
    while at < len(table):
        kind, length = table[at], table[at + 1]
        body = table[at + 2:at + length]
        if kind == 1 and length == 40:      # 5.2.16.2 Memory Affinity
            node, _, base, size, _, flags, _ = struct.unpack('<IHQQIIQ', body)
            srat.memory.append(MemoryEntry(node, base, size, flags))
        elif kind == 3 and length == 18:    # 5.2.16.4 GICC Affinity
            node, uid, flags, _ = struct.unpack('<IIII', body)
            srat.cpus[uid] = node
        elif kind == 5 and length == 32:    # 5.2.16.6 Generic Initiator
            found = srat.last_initiators if srat.memory else \
                srat.first_initiators
            found.append(read_initiator(body))
        else:
            raise Failure(f'SRAT: type {kind} with {length} bytes')
        at += length
    return srat


def read_slit(table: bytes) -> list[bytes]:
    """5.2.17 System Locality Information Table: a row for each node"""
    count = int.from_bytes(table[36:44], 'little')
    if len(table) != 44 + count * count:
        raise Failure(f'SLIT: {count} nodes in {len(table)} bytes')
    return [table[44 + row * count:44 + (row + 1) * count]
            for row in range(count)]


def read_hmat_memory(table: bytes) -> list[int]:
    """5.2.28.3: the nodes with a Memory Proximity Domain Attributes entry"""
    nodes = []
    at = HEADER_LENGTH + 4
    while at < len(table):
        kind, _, length = struct.unpack_from('<HHI', table, at)
        if not 8 <= length <= len(table) - at:
            raise Failure(f'HMAT: type {kind} with {length} bytes')
        if kind == 0:
            nodes.append(struct.unpack_from('<I', table, at + 16)[0])
        at += length
    return nodes
