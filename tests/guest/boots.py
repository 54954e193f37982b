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
    best_initiators, distances, hmat_accepted, hmat_read, hmat_table,
    plug_range)
from objects import GENERAL_TYPE
from performance import Performance
from places import CXL_PORT, PXB, ROOT_BUS, ROOT_PORT, SWITCH


@dataclasses.dataclass(frozen=True)
class Boot:
    name: str
    vm: Machine
    checks: tuple
    every_kernel: bool = False      # not only that of the host's own Debian
    same_hmat_as: Machine | None = None     # byte for byte
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


def initiators(arch):
    """Generic initiators in each place that a GPU can have."""
    return Boot('initiators', Machine(
        arch=arch, gpus=3, nodes=4, places=(ROOT_BUS, ROOT_PORT, SWITCH),
        options=('generic-initiator=on',) * 3), (
        log_lines(range(2, 14)),
        srat_bytes(range(2, 14)),
        *initiator_checks(range(2, 6), range(6, 10), range(10, 14)),
        properties((2, 4), (6, 4), (10, 4)),
        node_map((2, 4), (6, 4), (10, 4)),
        memory(range(2, 14), {2: 1024, 6: 1024, 10: 1024}),
        numactl({2: 1024, 6: 1024, 10: 1024})),
        every_kernel=True)


def below_pxb(arch, *checks, options=('', ''), further=''):
    """The first GPU has initiators, the second has none.

    Linux counts the nodes of initiators before those of memory: so the first nodes
    have to be those.
    """
    first, second = options
    return Boot('two-gpus-below-pxb', Machine(
        arch=arch, gpus=2, nodes=7, places=(PXB, PXB), further=further,
        options=(f'generic-initiator=on{first}',
                 f'generic-initiator=off{second}')), (
        paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
        *initiator_checks(range(2, 9), ()),
        node_map((2, 7), (9, 7)),
        numa_nodes(0, 1),
        memory(range(2, 16), {2: 1024, 9: 1024}),
        *checks),
        every_kernel=True)


ONE_GPU = Machine(partitions=8, further='partitions,topology')
ONE_GPU_MB = dict.fromkeys(range(2, 10), 128)
# Debian's arm64 kernel has room for 7 nodes each, beside those with CPUs
TWO_GPUS = Machine(gpus=2, nodes=7, partitions=4, further='patterns')
TWO_GPUS_MB = dict.fromkeys((*range(2, 6), *range(9, 13)), 256)

VIRT_BOOTS = (
    Boot('one-gpu', ONE_GPU, (
        log_lines(range(2, 10)),
        srat_bytes(range(2, 10)),
        paths(r'\\_SB_\.PCI0\.S20_'),
        properties((2, 8)),
        node_map((2, 8)),
        partitions_change(ONE_GPU),
        memory(range(2, 10), ONE_GPU_MB),
        numactl(ONE_GPU_MB),
        topology(range(2, 10), ONE_GPU_MB),
        drawing(range(2, 10), ONE_GPU_MB)),
        every_kernel=True),
    Boot('two-gpus', TWO_GPUS, (
        log_lines(range(2, 16)),
        srat_bytes(range(2, 16)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_'),
        properties((2, 7), (9, 7)),
        node_map((2, 7), (9, 7)),
        patterns(TWO_GPUS),
        memory(range(2, 16), TWO_GPUS_MB),
        numactl(TWO_GPUS_MB)),
        every_kernel=True),
    below_pxb(
        ARM64,
        egm_properties((2, 7, 0), (9, 7, 1)),
        topology(range(2, 16), {2: 1024, 9: 1024}),
        drawing(range(2, 16), {2: 1024, 9: 1024}),
        options=(',egm-node=0', ',egm-node=1'), further='iomem,topology'),
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
        best_initiators({2: (0, 250, 307200), 4: (1, 260, 204800)}),
        distances(DISTANCES))),
    Boot('hmat-of-initiators', hmat_of_initiators(
        options=('generic-initiator=on',)), (
        *initiator_checks(range(2, 4)),
        hmat_accepted,
        hmat_table(INITIATOR_PERFORMANCE, boot_nodes=(0, 1)),
        hmat_read(INITIATOR_PERFORMANCE),
        best_initiators({2: (2, 60, 819200), 3: (3, 60, 819200)})),
        # That of QEMU's own objects for the same initiators
        same_hmat_as=hmat_of_initiators(initiator_objects=True)),
    Boot('below-cxl-port', Machine(
        nodes=4, partitions=4, places=(CXL_PORT,),
        options=('generic-initiator=on',)), (
        paths(r'\\_SB_\.PC80\.S00_\.S00_'),
        *initiator_checks(range(2, 6)),
        properties((2, 4)),
        node_map((2, 4)),
        numa_nodes(0),
        memory(range(2, 6), dict.fromkeys(range(2, 6), 256)))),
    initiators(ARM64),
    general_object(ARM64),
    peers_objects(ARM64, nodes=7),
)

TWO_GPUS_OF_PC = Machine(
    arch=AMD64, gpus=2, nodes=8, places=(ROOT_BUS, ROOT_PORT), partitions=8,
    further='partitions,patterns,topology')
TWO_GPUS_OF_PC_MB = dict.fromkeys(range(2, 18), 128)

# Linux on x86 has an empty node in sysfs only once it has memory: what hwloc sees is
# only reported
PC_BOOTS = (
    Boot('two-gpus', TWO_GPUS_OF_PC, (
        log_lines(range(2, 18)),
        srat_bytes(range(2, 18)),
        paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PCI0\.S28_\.S00_'),
        properties((2, 8), (10, 8)),
        node_map((2, 8), (10, 8)),
        partitions_change(TWO_GPUS_OF_PC),
        patterns(TWO_GPUS_OF_PC),
        memory(range(2, 18), TWO_GPUS_OF_PC_MB),
        numactl(TWO_GPUS_OF_PC_MB)),
        every_kernel=True),
    initiators(AMD64),
    below_pxb(AMD64),
    general_object(AMD64),
    peers_objects(AMD64, nodes=8),
)

BOOTS = {ARM64: VIRT_BOOTS, AMD64: PC_BOOTS}
