# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests that are booted, and what is checked in each."""

import dataclasses

from arch import AMD64, ARM64
from checks import (
    drawing, egm_properties, log_lines, memory, node_map, numa_nodes, numactl,
    paths, properties, srat_bytes, topology)
from initiator_checks import (
    before_memory, initiator_checks, srat_initiators, sysfs_initiators)
from machine import Machine
from memory_checks import partitions_change, patterns
from memory_devices import MemoryDevice
from numa_checks import (
    distances, hmat_accepted, hmat_read, hmat_table, initiators, plug_range)
from objects import GENERAL_TYPE
from performance import Performance
from places import PXB, ROOT_BUS, ROOT_PORT, SWITCH


@dataclasses.dataclass(frozen=True)
class Boot:
    name: str
    vm: Machine
    checks: tuple
    every_kernel: bool = False      # not only that of the host's own Debian
    same_hmat_as: str = ''          # an earlier boot, byte for byte
    whole: bool = True              # it has all that "make run" asks for


# Nodes 2 and 3 are near CPU node 0, nodes 4 and 5 near CPU node 1.
DISTANCES = (
    (10, 20, 40, 41, 80, 81),
    (20, 10, 82, 83, 42, 43),
    (40, 82, 10, 11, 90, 91),
    (41, 83, 11, 10, 92, 93),
    (80, 42, 90, 92, 10, 12),
    (81, 43, 91, 93, 12, 10))
PERFORMANCE = Performance(
    latency_ns=((100, 150, 250, 250, 410, 410),
                (150, 100, 420, 420, 260, 260)),
    bandwidth_mb=((409600, 102400, 307200, 307200, 51200, 51200),
                  (102400, 409600, 53248, 53248, 204800, 204800)))

# A GPU's two nodes are initiators too, each of them the best one for itself
INITIATOR_PERFORMANCE = Performance(
    latency_ns=((100, 150, 250, 250),
                (150, 100, 420, 420),
                (250, 420, 60, 90),
                (250, 420, 90, 60)),
    bandwidth_mb=((409600, 102400, 307200, 307200),
                  (102400, 409600, 53248, 53248),
                  (307200, 53248, 819200, 614400),
                  (307200, 53248, 614400, 819200)))


def hmat_of_initiators(**machine):
    return Machine(nodes=2, performance=INITIATOR_PERFORMANCE, **machine)


def peers_objects(arch, nodes):
    """Two GPUs with QEMU's own objects, named as libvirt does.

    Linux counts its nodes in the order of the SRAT.
    """
    domains = range(2 + 2 * nodes)
    rows = tuple(tuple(10 if src == dst else 20 + src + dst for dst in domains)
                 for src in domains)
    initiators = range(2, 2 + nodes), range(2 + nodes, 2 + 2 * nodes)
    return Boot('peers-objects', Machine(
        arch=arch, gpus=2, nodes=nodes, places=(ROOT_PORT, ROOT_PORT),
        initiator_objects=True, distances=rows), (
        srat_initiators(*initiators),
        before_memory,
        sysfs_initiators(*initiators),
        distances(rows)),
        every_kernel=True, whole=False)


def partitions(name, further, check, **options):
    """GPUs whose memory is in equal parts in their first nodes."""
    vm = Machine(further=further, **options)
    mb = {node: mb for node, mb in vm.memory().items()
          if node in vm.empty_nodes()}
    return Boot(name, vm, (
        check(vm),
        memory(vm.empty_nodes(), mb),
        numactl(mb)),
        every_kernel=True)


def general_object(arch):
    """A driver that reads the general names, where there are no others."""
    return Boot('general-object', Machine(
        arch=arch, gpus=2, nodes=4, places=(ROOT_BUS, ROOT_PORT),
        object_type=GENERAL_TYPE, options=('generic-initiator=on', '')), (
        srat_bytes(range(2, 10)),
        *initiator_checks(range(2, 6), ()),
        properties((2, 4), (6, 4), object_type=GENERAL_TYPE),
        node_map((2, 4), (6, 4)),
        memory(range(2, 10), {2: 1024, 6: 1024}),
        numactl({2: 1024, 6: 1024})),
        every_kernel=True)


def initiator_boots(arch):
    """Generic initiators in each place that a GPU can have."""
    return (
        Boot('initiators', Machine(
            arch=arch, gpus=3, nodes=4, places=(ROOT_BUS, ROOT_PORT, SWITCH),
            options=('generic-initiator=on',) * 3), (
            log_lines(range(2, 14)),
            srat_bytes(range(2, 14)),
            *initiator_checks(range(2, 6), range(6, 10), range(10, 14)),
            properties((2, 4), (6, 4), (10, 4)),
            node_map((2, 4), (6, 4), (10, 4)),
            memory(range(2, 14), {2: 1024, 6: 1024, 10: 1024}),
            numactl({2: 1024, 6: 1024, 10: 1024})),
            every_kernel=True),
        # Linux counts the nodes of initiators before those of memory: where
        # not all are both, those of the first GPU have to be
        Boot('initiators-below-pxb', Machine(
            arch=arch, gpus=2, nodes=7, places=(PXB, PXB),
            options=('generic-initiator=on', 'generic-initiator=off')), (
            paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
            *initiator_checks(range(2, 9), ()),
            node_map((2, 7), (9, 7)),
            numa_nodes(0, 1),
            memory(range(2, 16), {2: 1024, 9: 1024})),
            every_kernel=True),
    )


VIRT_BOOTS = (
    Boot('one-gpu', Machine(), (
        log_lines(range(2, 10)),
        srat_bytes(range(2, 10)),
        paths(r'\\_SB_\.PCI0\.S20_'),
        properties((2, 8)),
        node_map((2, 8)),
        memory(range(2, 10), {2: 1024}),
        numactl({2: 1024}),
        topology(range(2, 10), {2: 1024}),
        drawing(range(2, 10), {2: 1024})),
        every_kernel=True),
    Boot('two-gpus', Machine(gpus=2, nodes=7), (
        log_lines(range(2, 16)),
        srat_bytes(range(2, 16)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_'),
        properties((2, 7), (9, 7)),
        node_map((2, 7), (9, 7)),
        memory(range(2, 16), {2: 1024, 9: 1024}),
        numactl({2: 1024, 9: 1024}))),
    Boot('two-gpus-below-pxb', Machine(
        gpus=2, nodes=7, places=(PXB, PXB), further='iomem',
        options=('egm-node=0', 'egm-node=1')), (
        paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
        egm_properties((2, 7, 0), (9, 7, 1)),
        memory(range(2, 16), {2: 1024, 9: 1024}),
        topology(range(2, 16), {2: 1024, 9: 1024}),
        drawing(range(2, 16), {2: 1024, 9: 1024}))),
    # The highest node that is no GPU's has the range, but none of the memory
    Boot('memory-devices', Machine(
        nodes=4, spare_nodes=4, devices=(
            MemoryDevice('pc-dimm', node=2, mb=512),
            MemoryDevice('pc-dimm', node=3, mb=256, while_running=True),
            MemoryDevice('virtio-mem-pci', node=4, mb=384))), (
        plug_range(5, nodes=range(2, 10)),
        properties((6, 4)),
        node_map((6, 4)),
        memory(range(2, 10), {2: 512, 3: 256, 4: 384, 6: 1024}),
        numactl({2: 512, 3: 256, 4: 384, 6: 1024}),
        hmat_accepted)),
    Boot('hmat-and-distances', Machine(
        gpus=2, nodes=2, distances=DISTANCES, performance=PERFORMANCE), (
        log_lines(range(2, 6)),
        srat_bytes(range(2, 6)),
        properties((2, 2), (4, 2)),
        memory(range(2, 6), {2: 1024, 4: 1024}),
        hmat_accepted,
        hmat_table(PERFORMANCE, boot_nodes=(0, 1)),
        hmat_read(PERFORMANCE),
        initiators({2: (0, 250, 307200), 4: (1, 260, 204800)}),
        distances(DISTANCES))),
    # QEMU's own objects for the same initiators make the same HMAT
    Boot('hmat-of-objects', hmat_of_initiators(initiator_objects=True), (
        hmat_accepted,
        hmat_table(INITIATOR_PERFORMANCE, boot_nodes=(0, 1))),
        whole=False),
    Boot('hmat-of-initiators', hmat_of_initiators(
        options=('generic-initiator=on',)), (
        *initiator_checks(range(2, 4)),
        hmat_accepted,
        hmat_table(INITIATOR_PERFORMANCE, boot_nodes=(0, 1)),
        hmat_read(INITIATOR_PERFORMANCE),
        initiators({2: (2, 60, 819200), 3: (3, 60, 819200)})),
        same_hmat_as='hmat-of-objects'),
    *initiator_boots(ARM64),
    general_object(ARM64),
    partitions('partitions-change', 'partitions', partitions_change,
               nodes=8, partitions=8),
    # Debian's kernel has room for 7 nodes each, beside those with CPUs
    partitions('patterns', 'patterns', patterns,
               gpus=2, nodes=7, partitions=4),
    peers_objects(ARM64, nodes=7),
)

# Linux on x86 has an empty node in sysfs only once it has memory
PC_BOOTS = (
    Boot('two-gpus', Machine(
        arch=AMD64, gpus=2, nodes=8, places=(ROOT_BUS, ROOT_PORT)), (
        log_lines(range(2, 18)),
        srat_bytes(range(2, 18)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_\.S00_'),
        properties((2, 8), (10, 8)),
        node_map((2, 8), (10, 8)),
        memory(range(2, 18), {2: 1024, 10: 1024}),
        numactl({2: 1024, 10: 1024})),
        every_kernel=True),
    *initiator_boots(AMD64),
    general_object(AMD64),
    partitions('partitions-change', 'partitions', partitions_change,
               arch=AMD64, gpus=2, nodes=8, partitions=8),
    partitions('patterns', 'patterns', patterns,
               arch=AMD64, gpus=2, nodes=8, partitions=8),
    peers_objects(AMD64, nodes=8),
)

BOOTS = {ARM64: VIRT_BOOTS, AMD64: PC_BOOTS}
