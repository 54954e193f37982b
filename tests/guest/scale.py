# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of the size and the shape of real deployments."""

import dataclasses

import planned
from arch import AMD64
from boots import Boot
from checks import (
    all_bars, gpu_without_bars, iommu_groups, log_lines, memory, memory_bars,
    node_map, numa_nodes, numactl, paths, properties, srat_bytes)
from documented import documented
from machine import CPU_NODES, Machine
from memory_checks import patterns
from numa_checks import (
    best_initiators, distances, hmat_accepted, hmat_table)
from performance import Performance
from places import PXB, ROOT_BUS, ROOT_PORT, SAME_PXB
from report import MIB

KIB = 1 << 10
GIB = 1024      # in MB


def boot(name, *checks, nodes=8, partitions=8, every_kernel=False, **options):
    """All GPUs have memory in their nodes, and the checks besides."""
    vm = Machine(nodes=nodes, partitions=partitions, **options)
    ranges = [(vm.gpu_nodes(gpu)[0], nodes) for gpu in range(vm.gpus)]
    mb = {node: mb for node, mb in vm.memory().items()
          if node in vm.empty_nodes()}
    if vm.uncached_mb:
        checks = memory_bars({2: vm.uncached_mb, 4: vm.gpu_mb}), *checks
    if 'patterns' in vm.further:
        checks = patterns(vm), *checks
    return Boot(name, vm, (
        log_lines(vm.empty_nodes()),
        srat_bytes(vm.empty_nodes()),
        properties(*ranges),
        node_map(*ranges),
        memory(vm.empty_nodes(), mb),
        numactl(mb),
        *checks),
        every_kernel=every_kernel)


# --- four GPUs in 34 nodes, as KubeVirt makes them -------------------------

GPUS = 4
NODES = CPU_NODES + 8 * GPUS
DISTANCES = planned.distances()


def near(initiator, target):
    """Whether the target is this CPU node, or a node of a GPU near it."""
    return initiator == (target if target < CPU_NODES else
                         (target - CPU_NODES) // 8 * CPU_NODES // GPUS)


# All values differ
PERFORMANCE = Performance(
    latency_ns=tuple(tuple((100 if near(src, dst) else 400) + 2 * dst + src
                           for dst in range(NODES))
                     for src in range(CPU_NODES)),
    bandwidth_mb=tuple(tuple(1024 * ((200 if near(src, dst) else 100)
                                     - 2 * dst - src)
                             for dst in range(NODES))
                       for src in range(CPU_NODES)))
BEST = {node: next((src, PERFORMANCE.latency_ns[src][node],
                    PERFORMANCE.bandwidth_mb[src][node])
                   for src in range(CPU_NODES) if near(src, node))
        for node in range(NODES)}


def four_gpus(name, *checks, **options):
    return boot(
        name,
        paths(*(rf'\\_SB_\.PC{bus}\.S00_\.S00_'
                for bus in (80, 90, 'A0', 'B0'))),
        numa_nodes(0, 0, 1, 1),
        distances(DISTANCES),
        hmat_accepted,
        hmat_table(PERFORMANCE, boot_nodes=range(CPU_NODES)),
        best_initiators(BEST),
        *checks,
        gpus=GPUS, gpu_mb=128 * GIB, uncached_mb=GIB, places=(PXB,) * GPUS,
        port_options=('io-reserve=0', 'pref64-reserve=1T'), mmio='8T',
        distances=DISTANCES,
        performance=PERFORMANCE, further='patterns', **options)


def as_documented(boot):
    return dataclasses.replace(
        boot, checks=(*boot.checks, documented(boot.vm)))


SERVERS = (
    as_documented(four_gpus('four-gpus')),
    four_gpus('four-gpus-smmu', iommu_groups, smmu=True),
    # Only what the plan says: no distances, no size of the window
    boot('four-gpus-planned',
         paths(*(rf'\\_SB_\.PC{bus}\.S00_\.S00_'
                 for bus in (80, 88, 90, 98))),
         numa_nodes(0, 0, 1, 1),
         distances(DISTANCES),
         gpus=GPUS, gpu_mb=128 * GIB, uncached_mb=GIB, planned='gb200',
         further='patterns'),
    boot('shared-pxb',
         paths(r'\\_SB_\.PCI0\.S20_', r'\\_SB_\.PC90\.S00_\.S00_',
               r'\\_SB_\.PC90\.S08_\.S00_'),
         numa_nodes(-1, 0, 0),
         gpus=3, gpu_mb=128 * GIB, uncached_mb=GIB,
         places=(ROOT_BUS, PXB, SAME_PXB), port_options=('io-reserve=0',),
         mmio='4T', further='patterns'),
    boot('fourteen-gpus', gpus=14, gpu_mb=16 * GIB,
         places=(ROOT_PORT,) * 14),
)

# --- with kernels that don't find room for both BARs by themselves --------

# A GH200 in the least window
RESERVE = (
    boot('reserve', paths(r'\\_SB_\.PC80\.S00_\.S00_'),
         nodes=8, gpu_mb=128 * GIB, uncached_mb=2 * GIB, node_mb=2 * GIB,
         places=(PXB,), port_options=('io-reserve=0', 'pref64-reserve=256G'),
         mmio='512G', every_kernel=True),
)

# --- all BARs of real GPUs, with no more room than is planned --------------

# In MB; a GB200's were seen in guests, and BAR 2 of a GB300 is inferred
BARS = {'gb200': {0: 64, 2: 256 * GIB, 4: 256 * GIB},
        'gb300': {0: 64, 2: 512 * GIB, 4: 512 * GIB}}
# Ports as libvirt makes them: a disk's, a network card's, and two empty ones
OTHERS = (
    *(arg for port in range(4) for arg in (
        '-device',
        f'pcie-root-port,id=port{port},bus=pcie.0,chassis={port + 1}')),
    '-blockdev', 'null-co,node-name=disk,size=1048576,read-zeroes=on',
    '-device', 'virtio-blk-pci,bus=port0,drive=disk',
    '-netdev', 'hubport,id=net,hubid=0',
    '-device', 'virtio-net-pci,bus=port1,netdev=net,romfile=')
PORT, VIRTIO = {0: 4 * KIB}, {1: 4 * KIB, 4: 16 * KIB}


def functions(gpus, mb):
    """The stand-in's BAR 0 is small: a second function has a GPU's."""
    yield from ('-global', 'gpu-mem-testdev.multifunction=on')
    for gpu in range(gpus):
        yield from (
            '-object', f'memory-backend-ram,id=bar{gpu},size={mb}M', '-device',
            f'ivshmem-plain,memdev=bar{gpu},bus=gpu-port{gpu},addr=0.1')


def planned_boot(name, host, gpus, *checks, others=(), **options):
    """The driver adds no memory: for sizes like these, that takes long."""
    mb = BARS[host]
    vm = Machine(gpus=gpus, nodes=1, partitions=0, planned=host,
                 gpu_mb=mb[4], uncached_mb=mb[2],
                 others=(*OTHERS, *functions(gpus, mb[0]), *others))
    return Boot(name, vm, checks or (
        all_bars(*[PORT] * (4 + gpus), VIRTIO, VIRTIO,
                 *[{0: 256 * KIB, 2: mb[2] * MIB, 4: mb[4] * MIB}] * gpus,
                 *[{0: 256, 2: mb[0] * MIB}] * gpus),),
        **options)


PLANNED = (
    *(planned_boot(f'{host}-{gpus}-planned', host, gpus, every_kernel=True)
      for host in BARS for gpus in (1, GPUS)),
    # Half of the window: Linux 7.3 has room for all, 6.1 and 6.12 don't
    planned_boot('gb200-4-half', 'gb200', GPUS, gpu_without_bars,
                 others=('-machine', 'highmem-mmio-size=4T'), whole=False),
)

# --- as many as QEMU has nodes for ----------------------------------------

PCS = (
    boot('fifteen-gpus', arch=AMD64, gpus=15, further='topology'),
)

SCALE = {'servers': SERVERS, 'reserve': RESERVE, 'planned': PLANNED,
         'pcs': PCS}
