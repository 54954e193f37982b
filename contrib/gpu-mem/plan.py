# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest needs for its GPUs: nodes, distances, and room for BARs."""

from __future__ import annotations

import dataclasses
import re

from host import DRIVER, GIB, Gpu, Mistake, power_of_two

MAX_NODES = 128             # of QEMU
DEBIAN_NODES = 16           # of Debian's arm64 kernels
FIRST_BUS, BUSES = 0x80, 8  # of the host bridges, with a bus for each port
LEAST_DISTANCE = 11         # between two nodes
WINDOW = 512 * GIB          # for all 64-bit BARs, if nothing else is given
OTHERS = 4 * GIB            # of it for devices that are no such GPUs


@dataclasses.dataclass(frozen=True)
class Place:
    """Of one GPU in the guest."""
    gpu: Gpu
    nodes: range
    near: int | None        # the guest's node with CPUs
    bridge: int | None      # the number of its host bridge, if it gets one


@dataclasses.dataclass
class Plan:
    places: list[Place]
    distances: dict         # (src, dst): value, of all pairs, or empty
    notes: list[str]        # what is missing, or not known

    @property
    def room(self):
        """Bytes of the window without which BARs have no place."""
        return sum(place.gpu.reserve for place in self.places)

    @property
    def window(self):
        """Bytes that leave room for other devices too.

        None if QEMU has that room anyhow.  QEMU takes powers of two.
        """
        window = power_of_two(self.room + OTHERS)
        return window if window > WINDOW else None


def check_total(total, what, ways):
    if total > MAX_NODES:
        raise Mistake(f'{what} are {total}, but QEMU has {MAX_NODES}: take '
                      f'fewer by {ways}')


def shared(gpu):
    """What GPUs that share a host bridge have in common: their SMMU."""
    return gpu.smmu or gpu.address


def near(gpu, cpu_nodes):
    """The guest's node that stands for the one that a GPU is near, or None."""
    return next((node for node, stands_for in cpu_nodes.items()
                 if stands_for is not None and stands_for == gpu.node), None)


def taken_for(nodes, way):
    """What is said where it is only assumed what a node stands for."""
    return ', '.join(f"node {node} is taken for the host's {of_host}"
                     for node, of_host in nodes.items()) + (
                         f': {way} says it if that is wrong')


def bridges(gpus):
    """The numbers of the GPUs' host bridges."""
    return [[*dict.fromkeys(map(shared, gpus))].index(shared(gpu))
            for gpu in gpus]


def plan(host, places, cpu_nodes):
    """For a guest's GPUs, all with their nodes.

    CPU_NODES has the nodes with CPUs, each with the host's that it stands for,
    or None.
    """
    total = max(place.nodes.stop for place in places)
    notes = [] if total <= DEBIAN_NODES else [
        f"the guest has {total} nodes: Debian's arm64 kernels know "
        f'{DEBIAN_NODES}, and ignore all if there are more; take another '
        'kernel, or fewer by --nodes']
    for place in places:
        notes += _missing(place)
    new = [place.gpu for place in places if place.bridge is not None]
    if len(new) > 1 and not all(gpu.smmu for gpu in new):
        notes.append('which of the GPUs share an SMMU is not known before '
                     'their drivers are bound: each gets a host bridge of its '
                     'own')
    return Plan(places, _distances(host, places, cpu_nodes, notes), notes)


def _missing(place):
    gpu = place.gpu
    if gpu.driver != DRIVER:
        yield (f'{gpu.address}: its driver is {gpu.driver or "none"}, and '
               f'{DRIVER} shows the memory: "qemu-gpu-mem show" says how to '
               'bind it')
    if not gpu.has_iommu:
        yield f'{gpu.address} has no IOMMU group: {iommu_advice(gpu)}'
    if gpu.node is None:
        yield f'{gpu.address}: which node it is near is not known'
    elif place.near is None:
        yield (f"{gpu.address} is near the host's node {gpu.node}: none of the "
               "guest's nodes with CPUs stands for that")


def driver_advice(gpu):
    return ('as root, virsh nodedev-detach pci_'
            f'{re.sub("[:.]", "_", gpu.address)} --driver {DRIVER}')


def iommu_advice(gpu):
    """Older kernels make the group when a driver is bound."""
    return ("switch the IOMMU on in the host's firmware" if gpu.driver else
            'bind its driver first')


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
                f'{place.gpu.address} only {len(of_memory)} are known on the '
                'host')
            return {}
        stand_for.update(zip(place.nodes, of_memory))
    # Two of the guest's nodes may stand for one of the host's
    return {(src, dst): 10 if src == dst else max(
                LEAST_DISTANCE, host.distance(stand_for[src], stand_for[dst]))
            for src in stand_for for dst in stand_for}
