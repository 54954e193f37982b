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
    bus: int | None         # of its host bridge, if it gets one

    @property
    def has_egm(self):
        return bool(self.gpu.egm) and self.near is not None

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
    def room(self):
        """Bytes for all BARs.

        The firmware aligns each bridge to its size, so that what lies between
        takes as much as one more.
        """
        reserves = [place.reserve for place in self.places]
        return power_of_two(sum(reserves) + max(reserves))

    @property
    def window(self):
        """The same; None if QEMU has room for them anyhow."""
        return self.room if self.room > WINDOW else None


def check_total(total, what, ways):
    if total > MAX_NODES:
        raise Mistake(f'{what} are {total}, but QEMU has {MAX_NODES}: take '
                      f'fewer by {ways}')


def plan(host, wanted, cpu_nodes, first, nodes):
    """For a guest that has the nodes before FIRST.

    CPU_NODES has those with CPUs, each with the host's that it stands for, or
    None.  WANTED has the GPUs in their order, each with its nodes and the number
    of its bus.  One without nodes gets as many as NODES says.
    """
    notes, places = [], []
    for gpu, own, bus in wanted:
        near = next((node for node, stands_for in cpu_nodes.items()
                     if stands_for is not None and stands_for == gpu.node), None)
        notes += _missing(gpu, near)
        if own is None:
            own = range(first, first + nodes)
            first += nodes
        places.append(Place(gpu, own, near, bus))
    if first > DEBIAN_NODES:
        notes.insert(0, f"the guest has {first} nodes: Debian's arm64 kernels "
                     f'know {DEBIAN_NODES}, and ignore all if there are more; '
                     'take another kernel, or fewer by --nodes')
    return Plan(places, _distances(host, places, cpu_nodes, notes), notes)


def _missing(gpu, near):
    if gpu.driver != DRIVER:
        yield (f'{gpu.address}: its driver is {gpu.driver or "none"}; '
               f'{DRIVER} shows the memory')
    if not gpu.has_iommu:
        yield (f'{gpu.address} has no IOMMU group: switch the IOMMU on in the '
               "host's firmware")
    if gpu.node is None:
        yield f'{gpu.address}: which node it is near is not known'
    elif near is None:
        yield (f"{gpu.address} is near the host's node {gpu.node}: none of the "
               "guest's nodes with CPUs stands for that")


def _distances(host, places, cpu_nodes, notes):
    """Those of the host's nodes that the guest's stand for."""
    stand_for = {node: of_host for node, of_host in cpu_nodes.items()
                 if of_host is not None}
    if len(stand_for) < len(cpu_nodes):
        notes.append(f'no distances: {len(cpu_nodes)} nodes of the guest have '
                     f'CPUs, and {len(stand_for)} of the host')
        return {}
    for place in places:
        of_memory = host.memory_nodes(place.gpu)
        if len(of_memory) < len(place.nodes):
            notes.append(
                f'no distances: of the {len(place.nodes)} nodes of '
                f'{place.gpu.address} only {len(of_memory)} are known on the host')
            return {}
        stand_for.update(zip(place.nodes, of_memory))
    # Two of the guest's nodes may stand for one of the host's
    return {(src, dst): 10 if src == dst else max(
                11, host.distance(stand_for[src], stand_for[dst]))
            for src in stand_for for dst in stand_for}
