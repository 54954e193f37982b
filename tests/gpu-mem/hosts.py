#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees of sysfs as hosts with such GPUs have them: hosts.py NAME FOLDER.

Each says where its numbers are from, or that it is made up.  Links to SMMUs and
groups have made-up numbers throughout.
"""

from __future__ import annotations

import dataclasses
import os
import sys

DEVICES = 'bus/pci/devices'
NODES = 'devices/system/node'
DRIVER = 'nvgrace_gpu_vfio_pci'
MIB, GIB = 1 << 20, 1 << 30


@dataclasses.dataclass
class Card:
    """A PCI device near a node."""
    address: str
    device: str
    node: int
    smmu: int | str = ''            # of its link; none if it is ''
    driver: str = DRIVER
    group: bool = True
    vendor: str = '0x10de'
    kind: str = '0x030200'          # its class
    bars: dict = dataclasses.field(default_factory=dict)    # sizes
    links: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Tree:
    source: str
    cards: list
    sockets: int = 1
    gpus: int = 1                   # for each socket, with nodes of their own
    # Distances: to the near socket, to another, between sockets, and between
    # nodes of one GPU and of two
    near: int = 80
    far: int = 120
    cpus: int = 40
    within: int = 11
    among: int = 40
    nodes: int = 8                  # of each GPU
    first: tuple = ()               # node of each GPU, if they have not as many
    files: dict = dataclasses.field(default_factory=dict)
    links: dict = dataclasses.field(default_factory=dict)

    def distance(self, one, other):
        """Nodes of sockets come first, then those of the GPUs."""
        low, high = sorted((one, other))
        if one == other:
            return 10
        if high < self.sockets:
            return self.cpus
        gpu = self.gpu(high)
        if low < self.sockets:
            return self.near if gpu // self.gpus == low else self.far
        return self.within if gpu == self.gpu(low) else self.among

    def gpu(self, node):
        """The number of the one that has it."""
        if self.first:
            return sum(node >= first for first in self.first) - 1
        return (node - self.sockets) // self.nodes

    def total(self):
        return self.sockets * (1 + self.gpus * self.nodes)

    def build(self, root):
        files = {f'{NODES}/online': f'0-{self.total() - 1}',
                 f'{NODES}/has_cpu': _range(0, self.sockets),
                 f'{NODES}/has_generic_initiator':
                 _range(self.sockets, self.total())}
        for node in range(self.total()):
            files[f'{NODES}/node{node}/distance'] = ' '.join(
                str(self.distance(node, other))
                for other in range(self.total()))
            files[f'{NODES}/node{node}/cpulist'] = (
                f'{72 * node}-{72 * node + 71}' if node < self.sockets else '')
        links = dict(self.links)
        for number, card in enumerate(self.cards):
            at = f'{DEVICES}/{card.address}'
            files.update({f'{at}/vendor': card.vendor, f'{at}/class': card.kind,
                          f'{at}/device': card.device,
                          f'{at}/numa_node': str(card.node)})
            if card.bars:
                files[f'{at}/resource'] = '\n'.join(
                    _resource(card.bars.get(bar, 0)) for bar in range(6))
            links.update({f'{at}/{name}': to
                          for name, to in card.links.items()})
            if card.driver:
                links[f'{at}/driver'] = f'../../drivers/{card.driver}'
            if card.group:
                links[f'{at}/iommu_group'] = (
                    f'../../../kernel/iommu_groups/{number}')
            if card.smmu != '':
                links[f'{at}/iommu'] = (f'../../arm-smmu-v3.{card.smmu}.auto/'
                                        f'iommu/smmu3.{card.smmu}')
        os.makedirs(os.path.join(root, DEVICES))
        for name, text in {**files, **self.files}.items():
            with open(_made(root, name), 'w') as file:
                file.write(f'{text}\n')
        for name, to in links.items():
            os.symlink(to, _made(root, name))


def _made(root, name):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _range(first, beyond):
    return '' if first == beyond else (
        f'{first}-{beyond - 1}' if beyond - first > 1 else str(first))


def _resource(size):
    start = 0x600000000000 if size else 0
    return f'{start:#018x} {start + max(size, 1) - 1:#018x} 0x000000000014220c'


IOMMUFD = {'class/misc/iommu/dev': '10:126'}
TRAY = ('0008:01:00.0', '0009:01:00.0', '0018:01:00.0', '0019:01:00.0')
GB200_BARS = {0: 64 * MIB, 2: 256 * GIB}


def gpus(addresses, device, for_each_socket=1, bars=None, **options):
    """A host SMMU each, if nothing else is said."""
    return [Card(address, device, index // for_each_socket,
                 **{'smmu': index, **options}, bars=bars or {})
            for index, address in enumerate(addresses)]


def tray(source, device='0x2941', bars=None, **options):
    return Tree(source, gpus(TRAY, device, 2, bars), sockets=2, gpus=2,
                **{'files': IOMMUFD, **options})


def egm_files(size, form, owners):
    """OWNERS has the GPUs of each /dev/egmN, from 4 on."""
    files, links = dict(IOMMUFD), {}
    for number, addresses in enumerate(owners, 4):
        files[f'class/egm/egm{number}/egm_size'] = size
        if form == 'file':
            files[f'class/egm/egm{number}/gpu_devices'] = '\n'.join(addresses)
        else:
            links.update({f'class/egm/egm{number}/{address}':
                          f'../../../{DEVICES}/{address}'
                          for address in addresses})
    return {'files': files, 'links': links}


def kata(source, count, device='0x2941', sockets=1, **options):
    """GPUs at addresses as kata writes them."""
    addresses = [f'{domain}:06:00.0' for domain in
                 ('0008', '0009', '0010', '0011')][:count]
    each = count // sockets
    shared = options.pop('shared', 1)
    cards = gpus(addresses, device, each)
    for index, card in enumerate(cards):
        card.smmu = index // shared
    return Tree(source, cards, sockets=sockets, gpus=each,
                **{'files': IOMMUFD, **options})


GB200 = ('numactl -H and lspci of a GB200 tray: TensorRT-LLM\'s blog on expert '
         'parallelism, vllm pull request 39361, ai-cloud-validation pull '
         'request 445')
KATA = 'addresses and SMMUs of kata\'s runtime-rs ARCHITECTURE.md, shape '
OLD = gpus(TRAY, '0x2941', 2)
for _index, _card in enumerate(OLD[:3]):
    _egm = f'egm{4 + _index // 2}'
    _card.links = {_egm: f'../../../class/egm/{_egm}'}

HOSTS = {
    'gh200': Tree(
        'a GH200: 255 between its nodes was seen; the address was not',
        gpus(['0009:01:00.0'], '0x2342'), within=255, files=IOMMUFD),
    'gh200-2': Tree(
        'two GH200: made up of the numbers of one, and of a GB200 tray',
        gpus(['0009:01:00.0', '0019:01:00.0'], '0x2342'), sockets=2,
        within=255, files=IOMMUFD),
    'gh200-4': Tree(
        'four GH200: 36 nodes, 4-11 to 28-35, were seen; the rest is made up',
        gpus([f'00{n}9:01:00.0' for n in range(4)], '0x2342'), sockets=4,
        within=255, files=IOMMUFD),
    'gb200': tray(GB200 + '; BARs from a trace of QEMU (dri-devel, November '
                  '2025)', bars=GB200_BARS),
    'gb300': tray('a GB300 tray: a GB200\'s distances; BAR 2 is inferred',
                  '0x31c2'),
    'egm-file': tray(
        GB200 + '; EGM as KubeVirt\'s Grace-Environment-Setup.md shows it',
        **egm_files('0x6fc0000000', 'file', (TRAY[:2], TRAY[2:]))),
    'egm-links': tray(
        GB200 + '; EGM as the patches for mainline of February 2026 show it',
        **egm_files('0x6fc0000000', 'links', (TRAY[:2], TRAY[2:]))),
    'egm-old': Tree(
        GB200 + '; EGM as NV-Kernels pull request 119 shows it; that the last '
        'GPU has none is made up', OLD, sockets=2, gpus=2, files=IOMMUFD),
    'station': Tree(
        'a GB300 and an RTX PRO 4000 in one machine: NemoClaw issue 12072; '
        'distances of a GB200 tray',
        [Card('0001:01:00.0', '0x2bb4', 0, 0, 'nvidia', kind='0x030000'),
         Card('0009:01:00.0', '0x31c2', 0, 1)], files=IOMMUFD),
    'l40s': Tree(
        'made up: a GH200 and an L40S near one node',
        [*gpus(['0009:01:00.0'], '0x2342'),
         Card('0002:01:00.0', '0x26b9', 0, 1, 'nvidia')], within=255,
        files=IOMMUFD),
    'vfs': Tree(
        'made up: a GH200 with 7 virtual functions',
        [*gpus(['0009:01:00.0'], '0x2342'), *(
            Card(f'0009:01:00.{n}', '0x2342', 0, 0, 'vfio-pci',
                 links={'physfn': '../0009:01:00.0'}) for n in range(1, 8))],
        within=255, files=IOMMUFD),
    'nic': Tree('made up: a GH200 and a network card, both of them initiators',
                [*gpus(['0009:01:00.0'], '0x2342'),
                 Card('0000:03:00.0', '0x1021', 0, 1, 'mlx5_core',
                      vendor='0x15b3', kind='0x020000')],
                within=255, files={**IOMMUFD,
                                   f'{NODES}/has_generic_initiator': '0-8'}),
    'own-nodes': Tree(
        'made up: a GB200 tray whose firmware gives each GPU a node of its own',
        [Card(address, '0x2941', node, index) for index, (address, node) in
         enumerate(zip(TRAY, (26, 10, 18, 2)))], sockets=2, gpus=2,
        files=IOMMUFD),
    'alike': Tree(
        'made up: two GPUs near one node, all nodes of which are alike',
        gpus(TRAY[:2], '0x2342', 2), gpus=2, within=255, among=255,
        files=IOMMUFD),
    'alike-own': Tree(
        'made up: the same, and each GPU has a node of its own',
        [Card(address, '0x2342', node, number) for number, (address, node) in
         enumerate(zip(TRAY, (1, 9)))], gpus=2, within=255, among=255,
        files=IOMMUFD),
    'uneven': Tree(
        'made up: two GPUs near one node, that have not as many nodes',
        gpus(TRAY[:2], '0x2941', 2), gpus=2, first=(1, 7), files=IOMMUFD),
    'one-of-two': Tree(
        'made up: a GPU near a node with the nodes of two',
        gpus(TRAY[:1], '0x2941'), gpus=2, files=IOMMUFD),
    'old-kernel': Tree(
        'made up: two GPUs whose driver is not bound, on a kernel that shows '
        'neither group nor SMMU before that',
        gpus(TRAY[:2], '0x2941', 2, smmu='', driver='', group=False), gpus=2),
    'other-members': Tree(
        'made up: GPUs of NVIDIA\'s ranges that nvgrace-gpu does not name, and '
        'one with a BAR 2 of 64 GiB',
        [Card('0009:01:00.0', '0x2940', 0, 0, bars={0: 64 * MIB, 2: 64 * GIB}),
         Card('0019:01:00.0', '0x31a1', 0, 1)], gpus=2, files=IOMMUFD),
    'vera': Tree('made up: a Vera Rubin',
                 [Card('0009:01:00.0', '0x3041', 0, 0, 'vfio-pci')]),
    'no-gpu': Tree('made up: a card of another vendor, without NUMA nodes of '
                   'devices', [Card('0000:01:00.0', '0x1111', -1, '', '',
                                    vendor='0x1234', kind='0x030000')], gpus=0),
    'kata-1': kata(KATA + '1', 1),
    'kata-2': kata(KATA + '2', 4),
    'kata-3': kata(KATA + '3', 4, shared=2),
    'kata-6': kata(
        KATA + '6', 4, '0x2342', 4, within=255, **egm_files(
            hex(56896 * MIB), 'file', [[f'{domain}:06:00.0'] for domain in
                                       ('0008', '0009', '0010', '0011')])),
    'kata-7': kata(
        KATA + '7', 4, sockets=2, shared=2, **egm_files(
            hex(56896 * MIB), 'file', [
                [f'{domain}:06:00.0' for domain in domains]
                for domains in (('0008', '0009'), ('0010', '0011'))])),
}


if __name__ == '__main__':
    HOSTS[sys.argv[1]].build(sys.argv[2])
