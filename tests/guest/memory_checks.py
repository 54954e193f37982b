# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the GPUs' memory: its partitions, and the bytes in it."""

import dataclasses
import os

from checks import Failure, same

PAGE = 4096
MIB = 1 << 20
PATTERN_BYTES = MIB         # that the guest writes in each node
FILE_KB = 2048              # what is in use while partitions change
ROUNDS = 3                  # if the guest is not told another number
REFUSED = (3, 16)


# --- what partitions the guest makes and takes away ------------------------

@dataclasses.dataclass
class Memory:
    """Of each node that is there: its kB, those of files; the file's MD5."""
    total_kb: dict[int, int]
    file_kb: dict[int, int]
    md5: str


@dataclasses.dataclass
class Split:
    before: Memory
    gpu: str
    partitions: int
    status: int
    after: Memory


def _memory(words):
    nodes = [tuple(map(int, node.split(':')))
             for node in words[1].rstrip(',').split(',')]
    return Memory({node: kb for node, kb, _ in nodes},
                  {node: kb for node, _, kb in nodes}, words[2])


def _splits(lines):
    """The guest's lines are "before", "split" and "after", again and again."""
    wanted = [line.split() for line in lines
              if line.startswith(('before ', 'split ', 'after '))]
    for at in range(0, len(wanted), 3):
        before, (_, gpu, partitions, status), after = wanted[at:at + 3]
        yield Split(_memory(before), gpu, int(partitions), int(status),
                    _memory(after))


def steps(first):
    """What each GPU is asked for in a round, beginning with "first"."""
    numbers = [1, 2, 4, 8][:first.bit_length()]
    return [*REFUSED, *reversed([0, *numbers[:-1]]), *numbers]


def partitions_change(vm, rounds=ROUNDS):
    def check(found):
        """partitions come and go, and what is in their memory stays"""
        have = list(_splits(found.splits))
        gpus = [gpu.address for gpu in found.gpus]
        same('splits asked for', [(split.gpu, split.partitions)
                                  for split in have],
             [(gpu, number) for number in steps(vm.partitions) * rounds
              for gpu in sorted(gpus)])
        now = {gpu: vm.partitions for gpu in gpus}
        for number, split in enumerate(have):
            what = f'split {number}: {split.gpu} in {split.partitions}'
            same(f'{what}: refused', bool(split.status),
                 split.partitions in REFUSED)
            if not split.status:
                now[split.gpu] = split.partitions
            want = {node: split.before.total_kb[node] for node in (0, 1)}
            for index, gpu in enumerate(gpus):
                for node in vm.gpu_nodes(index)[:now[gpu]]:
                    want[node] = 1024 * vm.partition_mb(now[gpu])
            same(f'{what}: kB of the nodes',
                 {node: kb for node, kb in split.after.total_kb.items()
                  if kb}, want)
            same(f'{what}: MD5 of the file in it',
                 split.after.md5, split.before.md5)
            _in_use(what, split)
    return check


def _in_use(what, split):
    """Before, the file was in each of the GPUs' nodes that had memory."""
    before = split.before.file_kb
    with_memory = [node for node, kb in split.before.total_kb.items()
                   if node > 1 and kb]
    for node in with_memory:
        if before[node] < FILE_KB // len(with_memory) // 2:
            raise Failure(f'{what}: node {node} was not in use: {before}')


# --- what the guest wrote in each node ------------------------------------

def _data(file):
    """Offset and bytes of the parts of a sparse file that are no holes."""
    end, at = file.seek(0, os.SEEK_END), 0
    while at < end:
        try:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:             # only a hole is left
            return
        at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        file.seek(start)
        yield start, file.read(at - start)


def _pages_with(file, pattern):
    """The offsets of the pages that have the pattern."""
    pages = set()
    for start, data in _data(file):
        at = data.find(pattern)
        while at >= 0:
            page = (start + at) // PAGE
            pages.add(page * PAGE)
            at = data.find(pattern, (page + 1) * PAGE - start)
    return pages


def patterns(vm, of=None):
    """OF: check only these GPUs; a later guest has overwritten the others'."""
    def check(found):
        """what the guest writes in a node is in that partition, no other"""
        nodes = [node for gpu in range(vm.gpus) for node in vm.gpu_memory(gpu)]
        same('nodes that were written', found.patterns, nodes)
        same('files of memory', len(found.memory_files), vm.gpus)
        size = vm.partition_mb() * MIB
        for index, path in enumerate(found.memory_files):
            if index not in (of or range(vm.gpus)):
                continue
            with open(path, 'rb') as file:
                for node in nodes:
                    gpu = next(gpu for gpu in found.gpus
                               if node in gpu.nodes.values())
                    pages = _pages_with(
                        file, f'{found.boot_id} GPU {gpu.address} node '
                        f'{node}\n'.encode())
                    part = node - vm.gpu_nodes(index)[0]
                    inside = {page for page in pages if
                              part * size <= page < (part + 1) * size}
                    same(f'pages of GPU {index} elsewhere with the pattern of '
                         f'node {node}', sorted(pages - inside)[:4], [])
                    same(f'pages of GPU {index} with the pattern of node '
                         f'{node}', len(inside), PATTERN_BYTES // PAGE
                         if node in vm.gpu_nodes(index) else 0)
    return check
