# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the tables and figures beside the GPUs' own: SRAT, HMAT, SLIT."""

import re

import report
from checks import Failure, same
from performance import (ACCESS_BANDWIDTH, ACCESS_LATENCY, INITIATOR_VALID,
                         MEMORY_HIERARCHY, Locality, MemoryAttributes,
                         hmat_structures)

# Linux tells what it reads.  All else that it says of the HMAT is a complaint,
# such as "failed to reserve ... in pxm", "Ignoring: Invalid table", "Memory
# Domain missing from SRAT" or "Unexpected locality header length".
HMAT_CALM = re.compile(
    r'ACPI: HMAT 0x.*'                              # the list of tables
    r'|acpi/hmat: Memory Flags:.* Domain:\d+'
    r'|acpi/hmat: Locality: Flags:.*'
    r'|acpi/hmat: +Initiator-Target\[\d+-\d+\]:\d+ (nsec|MB/s)')


def plug_range(node, nodes):
    def check(found):
        """the range for memory devices is one node's entry, the rest empty"""
        entries = [entry for entry in report.srat_memory(found.tables['SRAT'])
                   if entry.flags == report.SRAT_EMPTY_FLAGS]
        # One of each node, ascending: Linux counts its nodes in this order
        same('nodes', [entry.domain for entry in entries], list(nodes))
        ranges = [entry for entry in entries if not entry.is_empty_node()]
        same('node of the range', [entry.domain for entry in ranges], [node])
        first, last = ranges[0].base, ranges[0].base + ranges[0].length - 1
        lines = {each: report.hotplug_line(each) for each in nodes}
        lines[node] = (f'ACPI: SRAT: Node {node} PXM {node} '
                       f'[mem {first:#010x}-{last:#010x}] hotplug')
        same('hotplug lines', found.srat_lines, list(lines.values()))
    return check


def hmat_accepted(found):
    """the kernel's HMAT code, which reads the SRAT too, has no complaint"""
    same('complaints', [line for line in found.hmat_lines
                        if not HMAT_CALM.fullmatch(line)], [])


def hmat_table(performance, boot_nodes):
    def check(found):
        """HMAT: attributes of boot memory only, all values as given"""
        attributes, localities = hmat_structures(found.tables['HMAT'])
        same('attributes', attributes,
             [MemoryAttributes(INITIATOR_VALID, node, node)
              for node in boot_nodes])
        initiators = tuple(range(len(performance.latency_ns)))
        targets = tuple(range(len(performance.latency_ns[0])))
        same('localities', localities, [
            Locality(MEMORY_HIERARCHY, ACCESS_LATENCY, initiators, targets,
                     tuple(tuple(1000 * ns for ns in row)
                           for row in performance.latency_ns)),
            Locality(MEMORY_HIERARCHY, ACCESS_BANDWIDTH, initiators, targets,
                     performance.bandwidth_mb)])
    return check


def hmat_read(performance):
    def check(found):
        """the kernel reads the HMAT's values as given"""
        lines = [f'{source}-{target}]:{value} {unit}'
                 for unit, rows in (('nsec', performance.latency_ns),
                                    ('MB/s', performance.bandwidth_mb))
                 for source, row in enumerate(rows)
                 for target, value in enumerate(row)]
        same('values', [line.split('[')[1] for line in found.hmat_lines
                        if 'Initiator-Target' in line], lines)
    return check


def best_initiators(best):
    def check(found):
        """sysfs has each node's best initiator, its latency and bandwidth"""
        same('initiators', {node: found.initiators.get(node)
                            for node in best},
             {node: {f'node{initiator}': None,
                     'read_latency': ns, 'write_latency': ns,
                     'read_bandwidth': mb, 'write_bandwidth': mb}
              for node, (initiator, ns, mb) in best.items()})
    return check


def distances(rows):
    def check(found):
        """numactl -H shows the distances"""
        have = re.findall(r'(?m)^ +(\d+): +([ \d]+?) *$', found.numactl)
        if not have:
            raise Failure(f'no distances in: {found.numactl}')
        same('distances', {int(node): tuple(map(int, row.split()))
                           for node, row in have}, dict(enumerate(rows)))
    return check
