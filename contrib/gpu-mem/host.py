# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host's sysfs says of GPUs with coherent memory."""

import dataclasses
import os
import re

NVIDIA = '0x10de'
DISPLAY = '0x03'            # how the class of a GPU begins (PCI Code and ID, 1.4)
DRIVER = 'nvgrace_gpu_vfio_pci'
ADDRESS = re.compile(r'[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]')
GIB = 1 << 30
DEVICES = 'bus/pci/devices'
NODES = 'devices/system/node'

# The device ids that Linux' drivers/vfio/pci/nvgrace-gpu/main.c has in 6.18, with
# the memory that NVIDIA's data sheets of GH200, GB200 and GB300 give
MODELS = {'0x2342': ('GH200 120GB', 96 * GIB),
          '0x2345': ('GH200 480GB', 96 * GIB),
          '0x2348': ('GH200 144G HBM3e', 144 * GIB),
          '0x2941': ('GB200', 192 * GIB),
          '0x31c2': ('GB300', 288 * GIB)}


class Mistake(Exception):
    """One line that says what is wrong, and what to do."""


@dataclasses.dataclass(frozen=True)
class Gpu:
    address: str
    name: str
    driver: str | None
    node: int | None        # the host's node that it is near
    memory: int             # bytes
    has_iommu: bool
    egm: str                # /dev's name of its Extended GPU Memory, or ''


def egm_links(folder):
    """The links that nvgrace-egm makes in a GPU's folder.

    It is a driver of NVIDIA's kernels: their pull request 119 shows them.
    """
    return (name for name in os.listdir(folder)
            if re.fullmatch(r'egm\d+', name))


def node_list(text):
    """The numbers of a list as the kernel prints it, such as 0-1,4."""
    numbers = []
    for part in filter(None, text.split(',')):
        first, _, last = part.partition('-')
        numbers += range(int(first), int(last or first) + 1)
    return numbers


class Host:
    """What is below ROOT: /sys, or a copy of what this reads of it."""

    def __init__(self, root):
        self._root = root
        for name in (DEVICES, NODES):
            if not os.path.isdir(self._path(name)):
                raise Mistake(f'{root} is no sysfs, for it has no {name}: give '
                              '--sysfs /sys, or a copy of it')

    def _path(self, *names):
        return os.path.join(self._root, *names)

    def _read(self, *names):
        """The text of a file; empty where there is none."""
        try:
            with open(self._path(*names)) as file:
                return file.read().strip()
        except OSError:
            return ''

    # --- GPUs ---

    def _nvidia_gpus(self):
        return [address for address in sorted(os.listdir(self._path(DEVICES)))
                if self._read(DEVICES, address, 'vendor') == NVIDIA
                and self._read(DEVICES, address, 'class').startswith(DISPLAY)]

    def gpus(self):
        """All whose model is known, by address."""
        return [self.gpu(address) for address in self._nvidia_gpus()
                if self._read(DEVICES, address, 'device') in MODELS]

    def has(self, address):
        return bool(self._read(DEVICES, address, 'vendor'))

    def gpu(self, address, memory=None):
        """The one at an address, with the bytes of memory that a user gives."""
        if not ADDRESS.fullmatch(address):
            raise Mistake(f'{address} is no address: write it as 0009:01:00.0')
        if not self.has(address):
            raise Mistake(f'{address}: this host has no such PCI device; '
                          '"qemu-gpu-mem show" lists its GPUs')
        device = self._read(DEVICES, address, 'device')
        name, known = MODELS.get(
            device if address in self._nvidia_gpus() else None, (device, None))
        if not (known if memory is None else memory):
            raise Mistake(
                f'{address} is not known to be a GPU with coherent memory; '
                'if it is one, give the size of the memory by --gpu-mem')
        driver = self._path(DEVICES, address, 'driver')
        return Gpu(
            address, name, os.path.basename(os.readlink(driver))
            if os.path.islink(driver) else None,
            self._node(address), memory or known,
            os.path.islink(self._path(DEVICES, address, 'iommu_group')),
            next(egm_links(self._path(DEVICES, address)), ''))

    def _node(self, address):
        node = int(self._read(DEVICES, address, 'numa_node') or -1)
        return node if node >= 0 else None

    # --- NUMA nodes ---

    def nodes(self):
        return node_list(self._read(NODES, 'online'))

    def cpu_nodes(self):
        return node_list(self._read(NODES, 'has_cpu'))

    def distance(self, src, dst):
        rows = dict(zip(self.nodes(), map(int, self._read(
            NODES, f'node{src}', 'distance').split())))
        if dst not in rows:
            raise Mistake(f'{NODES}/node{src} gives no distance to node {dst}')
        return rows[dst]

    def memory_nodes(self, gpu):
        """The host's nodes of a GPU's memory, as far as sysfs tells.

        They are the generic initiators that are nearest the GPU's own node.
        If other GPUs are near that node, each has an equal part of them, in
        the order of addresses; none if that is not certain.
        """
        if gpu.node is None:
            return []
        sharing = [address for address in self._nvidia_gpus()
                   if self._node(address) == gpu.node]
        near = [node for node in
                node_list(self._read(NODES, 'has_generic_initiator'))
                if self._nearest(node) == gpu.node]
        if gpu.address not in sharing or len(near) % len(sharing):
            return []
        if len(sharing) > 1 and not self._alike(near):
            return []
        share = len(near) // len(sharing)
        first = share * sharing.index(gpu.address)
        return near[first:first + share]

    def _nearest(self, node):
        """The node with CPUs that is nearest; None if two are."""
        ordered = sorted((self.distance(node, cpus), cpus)
                         for cpus in self.cpu_nodes() if cpus != node)
        nearest = [cpus for distance, cpus in ordered
                   if distance == ordered[0][0]]
        return nearest[0] if len(nearest) == 1 else None

    def _alike(self, nodes):
        """Whether it makes no difference which of the nodes is which."""
        among = {self.distance(src, dst) for src in nodes for dst in nodes
                 if src != dst}
        return len(among) < 2 and all(
            len({self.distance(src, dst) for src in nodes}) == 1
            for dst in set(self.nodes()) - set(nodes))
