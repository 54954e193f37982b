# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest needs for its GPUs: nodes, distances, and room for BARs."""

import dataclasses

from host import DRIVER, GIB, Gpu, Mistake

MAX_NODES = 128             # of QEMU
DEBIAN_NODES = 16           # of Debian's arm64 kernels
FIRST_BUS, BUSES = 0x80, 8  # of the host bridges, each a GPU's own
# The BAR for what is mapped uncached, as nvgrace-gpu makes it
UNCACHED = GIB
WINDOW = 512 * GIB          # for all BARs, if nothing else is given


def power_of_two(size):
    """The least one that has room for the size."""
    return 1 << (size - 1).bit_length()


@dataclasses.dataclass(frozen=True)
class Place:
    """Of one GPU in the guest."""
    gpu: Gpu
    nodes: range
    near: int | None        # the guest's node with CPUs
    bus: int                # of its host bridge

    @property
    def reserve(self):
        """Bytes of its root port's bus: both BARs, a power of two."""
        return power_of_two(power_of_two(self.gpu.memory) + UNCACHED)


@dataclasses.dataclass
class Plan:
    places: list[Place]
    distances: dict         # (src, dst): value, of all pairs, or empty
    notes: list[str]        # what is missing, or not known

    @property
    def window(self):
        """Bytes for all BARs; None if QEMU has room for them anyhow.

        The firmware aligns each bridge to its size, so that what lies between
        takes as much as one more.
        """
        reserves = [place.reserve for place in self.places]
        size = power_of_two(sum(reserves) + max(reserves))
        return size if size > WINDOW else None


def plan(host, gpus, cpu_nodes, nodes):
    """For a guest whose first CPU_NODES nodes have CPUs, as the host's first.

    Each GPU has NODES nodes, in this order.
    """
    total = cpu_nodes + nodes * len(gpus)
    if total > MAX_NODES:
        raise Mistake(f'{cpu_nodes} nodes with CPUs and {nodes} for each of '
                      f'{len(gpus)} are {total}, but QEMU has {MAX_NODES}: '
                      'take fewer by --cpu-nodes or --nodes')
    near_host, notes, places = host.cpu_nodes()[:cpu_nodes], [], []
    if total > DEBIAN_NODES:
        notes.append(f"the guest's kernel must know {total} nodes "
                     f"(CONFIG_NODES_SHIFT); Debian's knows {DEBIAN_NODES}")
    for index, gpu in enumerate(gpus):
        near = near_host.index(gpu.node) if gpu.node in near_host else None
        notes += _missing(gpu, near)
        first = cpu_nodes + nodes * index
        places.append(Place(gpu, range(first, first + nodes), near,
                            FIRST_BUS + BUSES * index))
    return Plan(places, _distances(host, places, near_host, cpu_nodes, notes),
                notes)


def _missing(gpu, near):
    if gpu.driver != DRIVER:
        yield (f'{gpu.address}: its driver is {gpu.driver or "none"}; '
               f'{DRIVER} shows the memory')
    if not gpu.has_iommu:
        yield (f'{gpu.address} has no IOMMU group: switch the IOMMU on in the '
               "host's firmware")
    if near is None:
        yield (f"{gpu.address}: which of the guest's nodes it is near is not "
               'known')


def _distances(host, places, near_host, cpu_nodes, notes):
    """Those of the host's nodes that the guest's stand for."""
    if len(near_host) < cpu_nodes:
        notes.append(f'no distances: {cpu_nodes} nodes of the guest have CPUs, '
                     f'and {len(near_host)} of the host')
        return {}
    stand_for = dict(enumerate(near_host))
    for place in places:
        of_memory = host.memory_nodes(place.gpu)
        if len(of_memory) < len(place.nodes):
            notes.append(f"no distances: the host's nodes of the memory of "
                         f'{place.gpu.address} are not known')
            return {}
        stand_for.update(zip(place.nodes, of_memory))
    return {(src, dst): host.distance(stand_for[src], stand_for[dst])
            for src in stand_for for dst in stand_for}
