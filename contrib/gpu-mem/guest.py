# SPDX-License-Identifier: GPL-2.0-or-later
"""What a libvirt domain says of its nodes, its PCI buses and its GPUs."""

import dataclasses
import json
import re

from host import Mistake, node_list
from xml_text import QEMU, Element, Text

OBJECT = 'nvidia-gpu-mem-acpi'
UNITS = {'': 0, 'K': 10, 'M': 20, 'G': 30, 'T': 40, 'P': 50, 'E': 60}


def number(text, what):
    """As libvirt reads it: 16, 0x10 or 020."""
    text = text.strip()
    if not re.fullmatch(r'0x[0-9a-f]+|0[0-7]*|[1-9]\d*', text, re.IGNORECASE):
        raise Mistake(f"{what} is '{text}': write a number there")
    return int(text, 8 if re.match('0[0-7]', text) else 0)


def size(text, unit, what):
    """Bytes of a size such as 2T, or in a unit such as KiB.

    With iB as the unit, the text must have one.
    """
    found = re.fullmatch(r'(0x[\da-f]+|\d+)(?:([KMGTPE])(i?B)?|B|bytes)?',
                         text.strip() + unit, re.IGNORECASE)
    if not found:
        raise Mistake(f"{what} is '{text}': write a size there, such as 96G")
    return number(found[1], what) << UNITS[(found[2] or '').upper()]


def consecutive(numbers, first, what):
    """A range of nodes: neither QEMU's nor a GPU's have holes."""
    wanted = range(first, first + len(numbers))
    if list(wanted) != sorted(numbers):
        raise Mistake(f'{what} has the nodes {",".join(map(str, numbers))}: '
                      f'number them on from {first}, each once')
    return wanted


def nodes_of(parts, what):
    """Of what a list of nodes is made of, such as 2-5 and 6."""
    text = ','.join(map(str, parts))
    nodes = re.fullmatch(r'\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*',
                         text) and node_list(text)
    if not nodes:
        raise Mistake(f"{what} has the nodes '{text}': write them as 2-9")
    return consecutive(nodes, min(nodes), what)


@dataclasses.dataclass
class Argument:
    """An option of QEMU and its value, as they stand in the domain."""
    option: str
    value: str
    elements: tuple[Element, Element]

    def __str__(self):
        return f'{self.option} {self.value}'

    def keys(self, first):
        """What each key is given, as a list; the first one may lack its name."""
        try:
            if self.value.startswith('{'):
                return {key: value if isinstance(value, list) else [value]
                        for key, value in json.loads(self.value).items()}
        except ValueError:
            raise Mistake(f'{self} is no JSON: write it as QEMU takes '
                          'it') from None
        keys = {}
        for index, part in enumerate(re.split('(?<!,),(?!,)', self.value)):
            key, has_value, value = part.partition('=')
            if not index and not has_value:
                key, value = first, part
            keys.setdefault(key, []).append(value)
        return keys

    def number(self, key):
        return number(str(self.keys('type').get(key, [''])[0]),
                      f'{key} of {self}')


@dataclasses.dataclass
class Hostdev:
    element: Element
    source: str             # its address on the host
    alias: str
    placed: bool            # has an address in the guest
    bus: int | None         # of that
    nodes: range | None     # that are its own already


class Guest:
    def __init__(self, data, what='the domain'):
        self.text = Text(data)
        self.root = self.text.root
        self._check_machine()
        self.arguments = list(self._arguments())
        if cpu := next(self.numa('cpu'), None):
            raise Mistake(f"{cpu}: give a node's CPUs as <cell cpus=''>")
        cells = self.root.all('cpu', 'numa', 'cell')
        ids = [number(cell.get('id', str(index)), 'id of a <cell>')
               for index, cell in enumerate(cells)]
        self.cells = dict(zip(ids, cells))
        self.node_arguments = {argument.number('nodeid'): argument
                               for argument in self.numa('node')}
        self.nodes = consecutive([*ids, *self.node_arguments], 0, what)
        # libvirt gives node 0 all CPUs if no cell has any
        self.with_cpus = sorted(
            [node for node, cell in self.cells.items() if cell.get('cpus')] +
            [node for node, argument in self.node_arguments.items()
             if 'cpus' in argument.keys('type')]) or [0]
        self.objects = self._objects()
        self.controllers = {
            number(one.get('index', '0'), 'index of a <controller>'): one
            for one in self.root.all('devices', 'controller')
            if one.get('type') == 'pci' and (
                one.get('index') or one.get('model') == 'pcie-root')}
        self.hostdevs = [self._hostdev(one) for one in
                         self.root.all('devices', 'hostdev')
                         if one.get('type') == 'pci'
                         # The guest doesn't get it
                         and one.first('address').get('type') != 'unassigned']

    def _check_machine(self):
        if self.root.name != 'domain':
            raise Mistake(f'<{self.root.name}> is no <domain>: give what '
                          '"virsh dumpxml --inactive --security-info" prints')
        kind = self.root.first('os', 'type')
        arch = kind.get('arch', 'aarch64')
        machine = kind.get('machine', 'virt')
        if arch != 'aarch64' or not re.fullmatch('virt(-.*)?', machine):
            raise Mistake(f'its machine is {arch} {machine}: GPUs with coherent '
                          'memory need aarch64 virt')

    # --- arguments of QEMU ---

    def _arguments(self):
        words = iter(self.root.all(f'{QEMU} commandline', f'{QEMU} arg'))
        for option in words:
            name = re.sub('^--', '-', option.get('value'))
            if name in ('-numa', '-object', '-machine', '-M'):
                value = next(words, Element('arg'))
                yield Argument(name, value.get('value'), (option, value))

    def numa(self, kind):
        return (argument for argument in self.arguments
                if argument.option == '-numa'
                and argument.keys('type').get('type') == [kind])

    def _objects(self):
        """Of each devid: the object's id and nodes."""
        found = {}
        for argument in self.arguments:
            keys = argument.keys('qom-type')
            if keys.get('qom-type') == [OBJECT]:
                found[str(keys.get('devid', [''])[0])] = (
                    str(keys.get('id', [''])[0]),
                    nodes_of(keys.get('nodeset', []), str(argument)))
        return found

    # --- NUMA nodes ---

    def host_nodes(self, host):
        """Of each cell with CPUs the host's node that it stands for, or None."""
        bound = {number(one.get('cellid'), 'cellid of a <memnode>'):
                 one.get('nodeset')
                 for one in self.root.all('numatune', 'memnode')}
        memory = self.root.first('numatune', 'memory').get('nodeset')
        found = {}
        for node in self.with_cpus:
            names = bound.get(node, memory)
            found[node] = (int(names) if names.isdecimal()
                           and int(names) in host.nodes() else None)
        left = (node for node in host.cpu_nodes()
                if node not in {*found.values()})
        return {node: next(left, None) if of_host is None else of_host
                for node, of_host in found.items()}

    def distances(self):
        """The elements of each, its two nodes in order, and its value."""
        for node, cell in self.cells.items():
            for one in cell.all('distances', 'sibling'):
                other = number(one.get('id'), 'id of a <sibling>')
                yield [one], tuple(sorted((node, other))), one.get('value')
        for argument in self.numa('dist'):
            src, dst, value = map(argument.number, ('src', 'dst', 'val'))
            yield argument.elements, tuple(sorted((src, dst))), str(value)

    # --- PCI ---

    def _hostdev(self, element):
        source, alias = element.first('source', 'address'), self.alias(element)
        own = element.first('acpi').get('nodeset')
        return Hostdev(
            element, '{:04x}:{:02x}:{:02x}.{:x}'.format(*(
                number(source.get(key, '0'), f'{key} of a <source>')
                for key in ('domain', 'bus', 'slot', 'function'))),
            alias, element.find('address') is not None, self._bus_of(element),
            self.objects[alias][1] if alias in self.objects else
            nodes_of([own], '<acpi> of a <hostdev>') if own else None)

    @staticmethod
    def alias(device):
        return device.first('alias').get('name')

    @staticmethod
    def _bus_of(device):
        place = device.first('address')
        if place.get('type') == 'pci' and place.get('bus'):
            return number(place.get('bus'), 'bus of an <address>')
        return None

    def free_indexes(self):
        """Of controllers; libvirt makes those that an address names."""
        used = {0, *self.controllers, *map(self._bus_of,
                                           self.root.find('devices').children)}
        return (index for index in range(1, 256) if index not in used)

    def free_buses(self, first, step):
        """Numbers of host bridges, each with room for one port's bus."""
        used = set()
        for index, one in self.controllers.items():
            if text := one.first('target').get('busNr'):
                bus = number(text, 'busNr of a <target>')
                used.update(range(bus, bus + 1 + sum(
                    index in self._above(other) for other in self.controllers)))
        return (bus for bus in range(first, 254, step)
                if not used & {bus, bus + 1})

    def _above(self, index):
        """The controllers between one and the root."""
        found = [index]
        while (above := self._bus_of(self.controllers[found[-1]])) in (
                {*self.controllers} - {*found}):
            found.append(above)
        return found[1:]

    def has_reserve(self, bus):
        """Whether the domain itself reserves room for the port of a bus."""
        port = self.controllers.get(bus)
        names = (f'pci.{bus}', port is not None and self.alias(port))
        return any(one.get('name') == 'pref64-reserve'
                   for device in self.root.all(f'{QEMU} override',
                                               f'{QEMU} device')
                   if device.get('alias') in names
                   for one in device.all(f'{QEMU} frontend',
                                         f'{QEMU} property'))

    def window(self):
        """The bytes for BARs that the domain gives, or None."""
        if hole := self.root_hole():
            return size(hole.text, hole.get('unit', 'KiB'), '<pcihole64>')
        given = [size(value, '', str(argument))
                 for argument, value in self.window_arguments()]
        return given[-1] if given else None

    def root_hole(self):
        root = self.controllers.get(0)
        return root and root.find('pcihole64')

    def window_arguments(self):
        for argument in self.arguments:
            if argument.option in ('-machine', '-M'):
                for value in argument.keys('type').get('highmem-mmio-size', []):
                    yield argument, value
