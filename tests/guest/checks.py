# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of a booted guest.  Each gets its report; its docstring names it."""

import os
import re
import struct
import tempfile
import xml.etree.ElementTree as ElementTree

import objects
import picture
import report
from objects import NVIDIA_TYPE


class Failure(Exception):
    """A check that fails, with its reason."""


class Skip(Exception):
    """A check that can't be made here, with its reason."""


def same(what, have, want):
    if have != want:
        raise Failure(f'{what}:\nhave {have}\nwant {want}')


def log_lines(nodes):
    def check(found):
        """the kernel's log has exactly the lines of the empty nodes"""
        same('hotplug lines', found.srat_lines,
             [f'ACPI: SRAT: Node {node} PXM {node} '
              '[mem 0x00000000-0xffffffffffffffff] hotplug'
              for node in nodes])
    return check


def srat_bytes(nodes):
    def check(found):
        """SRAT: boot memory, then an empty entry per node, ascending"""
        entries = report.srat_memory(found.tables['SRAT'])
        boot = [entry for entry in entries if entry.length]
        # A PC has a hole in it, below 1 MiB
        same('domains of memory at boot',
             list(dict.fromkeys(entry.domain for entry in boot)), [0, 1])
        same('entries after it (bytes, domain, base, length, flags)',
             [(entry.entry_bytes, entry.domain, entry.base, entry.length,
               entry.flags) for entry in entries[len(boot):]],
             [(40, node, 0, 0, 3) for node in nodes])
    return check


def properties(*ranges, object_type=NVIDIA_TYPE):
    def check(found):
        """the kernel reads the properties of each GPU, and no others"""
        same('properties', [gpu.properties for gpu in found.gpus],
             [objects.properties(object_type, start, count)
              for start, count in ranges])
    return check


def egm_properties(*gpus):
    def check(found):
        """each GPU learns too where the RAM of a node with CPUs is"""
        ram = report.srat_ranges(found.tables['SRAT'])
        for gpu, (start, count, node) in zip(found.gpus, gpus, strict=True):
            base, size = ram[node]
            same(f'properties of GPU {gpu.address}', gpu.properties,
                 objects.properties(NVIDIA_TYPE, start, count,
                                    (node, base, size)))
            same(f'bytes of node {node} that the kernel has', sum(
                max(0, min(last + 1, base + size) - max(first, base))
                for first, last in found.boot_memory), size)
    return check


def paths(*patterns):
    def check(found):
        """each GPU has its ACPI node under its own bridge"""
        have = [gpu.path for gpu in found.gpus]
        if len(have) != len(patterns) or not all(
                map(re.fullmatch, patterns, have)):
            raise Failure(f'ACPI paths:\nhave {have}\nwant {patterns}')
        if len(set(have)) != len(have):
            raise Failure(f'two GPUs share an ACPI path: {have}')
    return check


def numa_nodes(*nodes):
    def check(found):
        """the kernel takes each GPU's numa_node from its host bridge"""
        same('numa_node', [gpu.numa_node for gpu in found.gpus], list(nodes))
    return check


def memory_bars(mb):
    def check(found):
        """the BARs with memory have an address"""
        for gpu in found.gpus:
            same(f'BARs of GPU {gpu.address}',
                 {bar: found.bars[gpu.address].get(bar) for bar in mb},
                 {bar: size * report.MIB for bar, size in mb.items()})
    return check


def all_bars(*devices):
    def check(found):
        """every BAR of every PCI device has an address"""
        same('BARs (number, bytes) of the devices that have any',
             sorted(filter(None, found.bars.values()), key=str),
             sorted(devices, key=str))
    return check


def gpu_without_bars(found):
    """a GPU lacks its BARs with memory"""
    if all({2, 4} <= set(found.bars[gpu.address]) for gpu in found.gpus):
        raise Failure(f'all GPUs have theirs: {found.bars}')


def iommu_groups(found):
    """each GPU is alone in an IOMMU group"""
    groups = list(found.iommu_groups.values())
    for gpu in found.gpus:
        if [gpu.address] not in groups:
            raise Failure(f'GPU {gpu.address}: no group of its own in {groups}')


def node_map(*ranges):
    def check(found):
        """each proximity domain is the node of the same number"""
        same('domain to node', [gpu.nodes for gpu in found.gpus],
             [{node: node for node in range(start, start + count)}
              for start, count in ranges])
    return check


def memory(nodes, mb):
    def check(found):
        """the memory is online in the nodes given, none in the others"""
        # Counted in online memory blocks: MemTotal would be less where the
        # kernel keeps some for itself.
        same('MB online', {node: found.online_mb(node) for node in nodes},
             {node: mb.get(node, 0) for node in nodes})
    return check


def numactl(mb):
    def check(found):
        """numactl -H shows the memory"""
        sizes = re.findall(r'(?m)^node \d+ size: .*', found.numactl)
        for node in mb:
            line = f'node {node} size: {mb[node]} MB'
            if line not in sizes:
                raise Failure(f'no line "{line}", but {sizes}')
    return check


def topology(nodes, mb):
    def check(found):
        """hwloc in the guest sees each node, its CPUs and its memory"""
        things = list(ElementTree.fromstring(found.topology).iter('object'))
        have = {int(node.get('os_index')):
                (int(node.get('cpuset'), 16).bit_count(),
                 int(node.get('local_memory', 0)) // 1024)
                for node in things if node.get('type') == 'NUMANode'}
        want = {node: (2, found.memory[node].total_kb) for node in (0, 1)}
        want |= {node: (0, 1024 * mb.get(node, 0)) for node in nodes}
        same('nodes (CPUs, kB)', have, want)
        addresses = [thing.get('pci_busid') for thing in things]
        for gpu in found.gpus:
            if gpu.address not in addresses:
                raise Failure(f'no PCI device {gpu.address}')
    return check


def _png_size(data):
    """The width and height of a whole PNG."""
    if not (data.startswith(b'\x89PNG\r\n\x1a\n') and b'IEND' in data[-12:]):
        raise Failure('the PNG is none, or is cut off')
    return struct.unpack_from('>II', data, 16)


def drawing(nodes, mb):
    def check(found):
        """the topology is drawn as SVG and PNG, with the GPUs' names"""
        with tempfile.TemporaryDirectory() as out:
            same('what failed', picture.draw(out, found), [])
            svg = ElementTree.parse(os.path.join(out, picture.SVG)).getroot()
            with open(os.path.join(out, picture.PNG), 'rb') as file:
                width, height = _png_size(file.read())
        if width < 300 or height < 150:
            raise Failure(f'the PNG has {width} x {height} dots')
        same('what an SVG viewer scales by', svg.get('viewBox'),
             f'0 0 {svg.get("width")} {svg.get("height")}'.replace('px', ''))

        texts = [text.text for text in svg.findall('.//{*}text')]
        same('GPU nodes drawn',
             sorted(text for text in texts if text.startswith('GPU node ')),
             sorted(f'GPU node {node}' + (f' ({mb[node]}MB)' if node in mb
                                          else '') for node in nodes))
        for node in (0, 1):
            if not any(re.fullmatch(rf'NUMANode {node} \(\d+MB\)', text)
                       for text in texts):
                raise Failure(f'no CPU node {node} in {texts}')
        for gpu in found.gpus:
            if f'GPU {gpu.address.removeprefix("0000:")}' not in texts:
                raise Failure(f'no GPU {gpu.address} in {texts}')
    return check
