# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host's sysfs says of GPUs with coherent memory."""

from __future__ import annotations

import dataclasses
import os
import re

NVIDIA = '0x10de'
DISPLAY = '0x03'            # how a GPU's class begins (PCI Code and ID, 1.4)
DRIVER = 'nvgrace_gpu_vfio_pci'
ADDRESS = re.compile(r'[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]')
MIB, GIB = 1 << 20, 1 << 30
DEVICES = 'bus/pci/devices'
NODES = 'devices/system/node'
EGM = 'class/egm'
IOMMUFD = 'class/misc/iommu/dev'
MEMORY_BAR = 4              # that nvgrace-gpu makes of the memory
MOST_NUMBERS = 1 << 16      # of a list: more is a mistake


@dataclasses.dataclass(frozen=True)
class Model:
    """A range of NVIDIA's device ids."""
    ids: tuple[range, ...]
    name: str
    bars: dict              # sizes of what the guest sees beside the memory
    own: tuple              # those of the device itself, which sysfs has
    # By device id
    memory: dict = dataclasses.field(default_factory=dict)
    names: dict = dataclasses.field(default_factory=dict)


# The ranges are those of NVIDIA's driver; the ids with a memory, those of
# Linux' drivers/vfio/pci/nvgrace-gpu/main.c in 6.18, and NVIDIA's data sheets.
# The BARs were seen in guests, but for GB300's BAR 2, which is inferred.
# nvgrace-gpu makes BAR 2 of Grace Hopper, for what is mapped uncached.
CXL = Model((range(0x3041, 0x3042), range(0x307f, 0x3080)), 'Vera Rubin',
            {}, ())
MODELS = (
    Model((range(0x2340, 0x2380),), 'Grace Hopper',
          {0: 16 * MIB, 2: 2 * GIB}, (0, 1),
          {0x2342: 96 * GIB, 0x2345: 96 * GIB, 0x2348: 144 * GIB},
          {0x2342: 'GH200 120GB', 0x2345: 'GH200 480GB',
           0x2348: 'GH200 144G HBM3e'}),
    Model((range(0x2940, 0x2980),), 'GB200',
          {0: 64 * MIB, 2: 256 * GIB}, (0, 1, 2, 3), {0x2941: 192 * GIB}),
    Model((range(0x31c0, 0x3200), range(0x31a1, 0x31a2)), 'GB300',
          {0: 64 * MIB, 2: 512 * GIB}, (0, 1, 2, 3), {0x31c2: 288 * GIB}),
    CXL)


class Mistake(Exception):
    """One line that says what is wrong, and what to do."""


def power_of_two(size):
    """The least one that has room for the size."""
    return 1 << (size - 1).bit_length()


@dataclasses.dataclass(frozen=True)
class Gpu:
    address: str
    name: str
    driver: str | None
    node: int | None        # the host's node with CPUs that it is near
    memory: int | None      # bytes
    has_iommu: bool         # an IOMMU group
    egm: str                # /dev's name of its Extended GPU Memory, or ''
    smmu: str = ''          # the host's that it is behind, if that is known
    others: int = 0         # bytes of its BARs beside that of the memory
    is_cxl: bool = False

    @property
    def reserve(self):
        """Bytes that its root port reserves for all that it shows in the guest.

        Linux 6.1 and 6.12 assign no BAR if one doesn't fit.  It is given in
        GiB.
        """
        return max(GIB, power_of_two(self.others + power_of_two(self.memory)))


@dataclasses.dataclass(frozen=True)
class Egm:
    """Extended GPU Memory: a socket's memory that the host lends to guests."""
    name: str               # in /dev
    size: int | None
    gpus: frozenset         # their addresses


def node_list(text):
    """The numbers of a list as the kernel prints it, such as 0-1,4."""
    numbers = []
    for part in filter(None, text.split(',')):
        first, _, last = part.partition('-')
        first, last = int(first), int(last or first)
        if last - first > MOST_NUMBERS:
            raise ValueError
        numbers += range(first, last + 1)
    return numbers


class Host:
    """What is below ROOT: /sys, or a copy of what this reads of it."""

    def __init__(self, root):
        self.root, self._rows, self._egms = root, {}, None
        for name in (DEVICES, NODES):
            if not os.path.isdir(self._path(name)):
                raise Mistake(f'{root} is no sysfs, for it has no {name}: give '
                              '--sysfs /sys, or a copy of it')

    def _path(self, *names):
        return os.path.join(self.root, *names)

    def _read(self, *names):
        """The text of a file; empty where there is none."""
        try:
            with open(self._path(*names), encoding='utf-8',
                      errors='replace') as file:
                return file.read().strip()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return ''

    def _parsed(self, parse, *names):
        text = self._read(*names)
        try:
            return parse(text)
        except ValueError:
            raise Mistake(f'{self._path(*names)} is not understood: '
                          f'{text[:40]!r}') from None

    def _link(self, *names):
        """The last part of what a link points to; empty where there is none.

        A copy of sysfs may have files in their place.
        """
        path = self._path(*names)
        return os.path.basename(os.readlink(path) if os.path.islink(path)
                                else self._read(*names))

    def _names(self, *names):
        path = self._path(*names)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    # --- GPUs ---

    def _model(self, address):
        """Of a GPU with coherent memory; no virtual function is one."""
        vendor, kind = (self._read(DEVICES, address, name)
                        for name in ('vendor', 'class'))
        if vendor != NVIDIA or not kind.startswith(DISPLAY) or (
                self._link(DEVICES, address, 'physfn')):
            return None
        device = self._id(address)
        return next((model for model in MODELS
                     if any(device in ids for ids in model.ids)), None)

    def _id(self, address):
        return self._parsed(lambda text: int(text, 16), DEVICES, address,
                            'device')

    def _addresses(self):
        return [address for address in self._names(DEVICES)
                if self._model(address)]

    def gpus(self):
        """All whose model is known, by address."""
        return [self._gpu(address, None) for address in self._addresses()]

    def has(self, address):
        return bool(self._read(DEVICES, address, 'vendor'))

    def gpu(self, address, memory=None):
        """The one at an address, with the bytes of memory that a user gives."""
        if not ADDRESS.fullmatch(address):
            raise Mistake(f'{address} is no address: write it as 0009:01:00.0')
        if not self.has(address):
            raise Mistake(f'{address}: this host has no such PCI device; '
                          '"qemu-gpu-mem show" lists its GPUs')
        found = self._gpu(address, memory)
        if found.memory:
            return found
        if found.is_cxl:
            raise Mistake(f'{address} is a CXL device, which vfio passes '
                          'through only with patches that Linux has not merged')
        raise Mistake(
            f'{address} is not known to be a GPU with coherent memory; '
            'if it is one, give the size of the memory by --gpu-mem')

    def _gpu(self, address, memory):
        model, device = self._model(address), self._id(address)
        memory = memory or (model.memory.get(device) if model else None)
        return Gpu(
            address, model.names.get(device, model.name) if model
            else f'{device:#06x}',
            self._link(DEVICES, address, 'driver') or None,
            self._near(address), memory,
            bool(self._link(DEVICES, address, 'iommu_group')),
            next((egm.name for egm in self.egms() if address in egm.gpus), ''),
            self._link(DEVICES, address, 'iommu'),
            sum(self._bars(address, model).values()), model is CXL)

    def _bars(self, address, model):
        """The sizes of all but the memory's."""
        def sizes(text):
            regions = [[int(word, 16) for word in line.split()]
                       for line in text.splitlines()]
            return {bar: power_of_two(end - start + 1) for bar, (start, end, _)
                    in enumerate(regions[:MEMORY_BAR]) if end > start}

        bars = self._parsed(sizes, DEVICES, address, 'resource')
        if not model:
            return bars
        return {**model.bars, **{bar: bars[bar] for bar in model.own
                                 if bar in bars}}

    def _numa_node(self, address):
        return self._parsed(lambda text: int(text or -1), DEVICES, address,
                            'numa_node')

    def _near(self, address):
        """The node with CPUs that a device is near, or None."""
        node = self._numa_node(address)
        if node in self._initiators():
            return self._nearest(node)
        return node if node >= 0 else None

    def egms(self):
        """As NVIDIA's kernels show it.

        /sys/class/egm/egmN has a file with the GPUs' addresses (NV-Kernels,
        pull request 559) or a link for each (as sent for mainline); older ones
        have a link egmN in each GPU's own folder (pull request 119).
        """
        if self._egms is None:
            found = {name: {*self._read(EGM, name, 'gpu_devices').split(),
                            *filter(ADDRESS.fullmatch, self._names(EGM, name))}
                     for name in self._names(EGM)}
            for address in self._addresses():
                for name in self._names(DEVICES, address):
                    if re.fullmatch(r'egm\d+', name):
                        found.setdefault(name, set()).add(address)
            self._egms = [
                Egm(name, self._parsed(
                    lambda text: int(text, 16) if text else None, EGM, name,
                    'egm_size'), frozenset(gpus))
                for name, gpus in sorted(found.items())]
        return self._egms

    def has_iommufd(self):
        return bool(self._read(IOMMUFD)) or (
            self.root == '/sys' and os.path.exists('/dev/iommu'))

    # --- NUMA nodes ---

    def nodes(self):
        return self._parsed(node_list, NODES, 'online')

    def cpu_nodes(self):
        return self._parsed(node_list, NODES, 'has_cpu')

    def cpus(self, node):
        return self._parsed(node_list, NODES, f'node{node}', 'cpulist')

    def _initiators(self):
        cpu_nodes = self.cpu_nodes()
        return [node for node in self._parsed(node_list, NODES,
                                              'has_generic_initiator')
                if node not in cpu_nodes]

    def distance(self, src, dst):
        if src not in self._rows:
            self._rows[src] = dict(zip(self.nodes(), self._parsed(
                lambda text: list(map(int, text.split())),
                NODES, f'node{src}', 'distance')))
        if dst not in self._rows[src]:
            raise Mistake(f'{NODES}/node{src} gives no distance to node {dst}')
        return self._rows[src][dst]

    def memory_nodes(self, gpu):
        """The host's nodes of a GPU's memory, as far as sysfs tells.

        They are initiators near the same node with CPUs.  Where several GPUs
        are near that, they form sets, which are the GPUs' in the order of
        addresses.  None are known if that is not certain.
        """
        sharing = [address for address in self._addresses()
                   if self._near(address) == gpu.node]
        if gpu.node is None or gpu.address not in sharing:
            return []
        near = [node for node in self._initiators()
                if self._nearest(node) == gpu.node]
        sets, own = self._sets(near), self._numa_node(gpu.address)
        if own in near:
            of_all = [self._numa_node(address) for address in sharing]
            mine = next(one for one in sets if own in one)
            return mine if sum(node in mine for node in of_all) == 1 else []
        if len(sharing) == 1:
            return near
        if len(sets) != len(sharing) or len({*map(len, sets)}) != 1:
            return []
        return sets[sharing.index(gpu.address)]

    def _nearest(self, node):
        """The node with CPUs that is nearest; None if two are."""
        ordered = sorted((self.distance(node, cpus), cpus)
                         for cpus in self.cpu_nodes() if cpus != node)
        nearest = [cpus for distance, cpus in ordered
                   if distance == ordered[0][0]]
        return nearest[0] if len(nearest) == 1 else None

    def _sets(self, nodes):
        """Nodes that are joined by the least distance among them."""
        least = min((self.distance(src, dst) for src in nodes for dst in nodes
                     if src < dst), default=0)
        sets = []
        for node in nodes:
            joined = [one for one in sets
                      if any(self.distance(node, other) == least
                             for other in one)]
            sets = [one for one in sets if one not in joined]
            sets.append(sorted([node, *sum(joined, [])]))
        return sorted(sets)
