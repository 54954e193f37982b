# SPDX-License-Identifier: GPL-2.0-or-later
"""Latency and bandwidth between nodes: QEMU's options and the HMAT."""

import dataclasses
import struct

HMAT_STRUCTURES = 40        # behind the header and four reserved bytes
HMAT_ATTRIBUTES = 0
HMAT_LOCALITY = 1
INITIATOR_VALID = 0x1
ACCESS_LATENCY, ACCESS_BANDWIDTH = 0, 3
MEMORY_HIERARCHY = 0


@dataclasses.dataclass(frozen=True)
class Performance:
    """Of each initiator, node 0 first: its values for every node."""
    latency_ns: tuple[tuple[int, ...], ...]
    bandwidth_mb: tuple[tuple[int, ...], ...]

    def best_initiator(self, node, cpu_nodes):
        """QEMU takes one with CPUs only, here the first ones."""
        return min(range(cpu_nodes),
                   key=lambda initiator: self.latency_ns[initiator][node])

    def command_line(self):
        args = []
        for data_type, option, unit, rows in (
                ('access-latency', 'latency', '', self.latency_ns),
                ('access-bandwidth', 'bandwidth', 'M', self.bandwidth_mb)):
            for initiator, row in enumerate(rows):
                for target, value in enumerate(row):
                    args += ['-numa', f'hmat-lb,initiator={initiator},'
                             f'target={target},hierarchy=memory,'
                             f'data-type={data_type},{option}={value}{unit}']
        return args


def distance_args(rows):
    return [arg for src, row in enumerate(rows)
            for dst, value in enumerate(row)
            for arg in ('-numa', f'dist,src={src},dst={dst},val={value}')]


# --- the HMAT, ACPI 6.5 section 5.2.29 ------------------------------------

@dataclasses.dataclass
class MemoryAttributes:
    """A Memory Proximity Domain Attributes structure."""
    flags: int
    initiator: int
    memory: int


@dataclasses.dataclass
class Locality:
    """A System Locality Latency and Bandwidth Information structure."""
    hierarchy: int
    data_type: int
    initiators: tuple[int, ...]
    targets: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]   # in ps or MB/s


def _locality(structure):
    hierarchy, data_type, initiators, targets, unit = struct.unpack_from(
        '<8xBB2xII4xQ', structure)
    domains = struct.unpack_from(f'<{initiators + targets}I', structure, 32)
    values = struct.unpack_from(f'<{initiators * targets}H', structure,
                                32 + 4 * len(domains))
    return Locality(
        hierarchy, data_type, domains[:initiators], domains[initiators:],
        tuple(tuple(unit * value for value in values[at:at + targets])
              for at in range(0, len(values), targets)))


def hmat_structures(table):
    """The MemoryAttributes and the Localities of a HMAT."""
    attributes, localities, at = [], [], HMAT_STRUCTURES
    while at + 8 <= len(table):
        kind, size = struct.unpack_from('<H2xI', table, at)
        if size < 8 or at + size > len(table):
            raise ValueError(f'HMAT structure at byte {at} has length {size}')
        structure = table[at:at + size]
        if kind == HMAT_ATTRIBUTES:
            attributes.append(MemoryAttributes(
                *struct.unpack_from('<8xH2xII', structure)))
        elif kind == HMAT_LOCALITY:
            localities.append(_locality(structure))
        at += size
    return attributes, localities
