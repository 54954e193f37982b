# SPDX-License-Identifier: GPL-2.0-or-later
"""What a libvirt domain has: its nodes, its PCI buses and its GPUs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from typing import Any, Callable

from host import Mistake, node_list
from xml_text import QEMU, Element, Text

OBJECT = 'nvidia-gpu-mem-acpi'
UNITS = {'': 0, 'K': 10, 'M': 20, 'G': 30, 'T': 40, 'P': 50, 'E': 60}
DIRECTION = '"virsh dumpxml --inactive --security-info" prints'


def number(text, what):
    """As libvirt reads it: 16, 0x10 or 020."""
    text = text.strip()
    if not re.fullmatch(r'0x[0-9a-f]+|0[0-7]*|[1-9]\d*', text, re.IGNORECASE):
        raise Mistake(f"{what} is '{text}': write a number there")
    return int(text, 8 if re.match('0[0-7]', text) else 0)


def size(text, unit, what):
    """Bytes of a size such as 2T or 2TiB; UNIT is what one without has."""
    found = re.fullmatch(r'(0x[\da-f]+|\d+)\s*(?:([KMGTPE])(i?B)?|B|bytes)?',
                         text.strip(), re.IGNORECASE)
    if found and found[0] == found[1]:
        found = re.fullmatch(r'(\w+) (?:([KMGTPE])(i?B)?|B|bytes)?',
                             f'{found[1]} {unit}', re.IGNORECASE)
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


def _reserved(one):
    return number(one.get('value'), 'value of a <property>')


def nodes_of(parts, what):
    """Of what a list of nodes is made of, such as 2-5 and 6."""
    text = ','.join(parts)
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
        """What each key is given, as a list; the first may lack its name."""
        try:
            if self.value.startswith('{'):
                return {key: [*map(str, isinstance(value, list) and value
                                   or [value])]
                        for key, value in json.loads(self.value).items()}
        except (ValueError, RecursionError):
            raise Mistake(f'{self} is no JSON: write it as QEMU takes '
                          'it') from None
        keys = {}
        for index, part in enumerate(re.split('(?<!,),(?!,)', self.value)):
            key, has_value, value = part.partition('=')
            if not index and not has_value:
                key, value = first, part
            keys.setdefault(key, []).append(value)
        return keys

    def get(self, key):
        return self.keys('type').get(key, [''])[0]

    def number(self, key):
        return number(self.get(key), f'{key} of {self}')

    def write(self, text):
        self.elements[1].set['value'] = text

    def item(self):
        return Item(self.value, list(self.elements), self.write)


@dataclasses.dataclass
class Item:
    """Something that this program may have written, as it stands there."""
    value: Any                      # what JSON can have
    elements: list[Element]         # to be taken out
    write: Callable | None = None   # changes it to another value
    remove: Callable | None = None  # takes it out, if not by the elements


@dataclasses.dataclass
class Hostdev:
    element: Element
    source: str             # its address on the host
    alias: str
    placed: bool            # has an address in the guest
    bus: int | None         # of that


class Guest:
    def __init__(self, data):
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
        self.nodes = consecutive([*ids, *self.node_arguments], 0, 'the domain')
        # libvirt gives node 0 all CPUs if no cell has any
        self.with_cpus = sorted(
            [node for node, cell in self.cells.items() if cell.get('cpus')] +
            [node for node, argument in self.node_arguments.items()
             if 'cpus' in argument.keys('type')]) or [0]
        self.object_arguments = {
            argument.get('devid'): argument for argument in self.arguments
            if argument.keys('qom-type').get('qom-type') == [OBJECT]}
        # Of each devid: the object's id and nodes
        self.objects = {
            devid: (argument.get('id'), nodes_of(argument.keys('').get(
                'nodeset', []), str(argument)))
            for devid, argument in self.object_arguments.items()}
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
                          f'{DIRECTION}')
        if self.root.get('id'):
            raise Mistake(f'this is a running domain: give what {DIRECTION}')
        kind = self.root.first('os', 'type')
        arch = kind.get('arch', 'aarch64')
        self.machine = kind.get('machine', 'virt')
        if arch != 'aarch64' or not re.fullmatch('virt(-.*)?', self.machine):
            raise Mistake(f'its machine is {arch} {self.machine}: GPUs with '
                          'coherent memory need aarch64 virt')

    # --- arguments of QEMU ---

    def _arguments(self):
        words = iter(self.root.all(f'{QEMU} commandline', f'{QEMU} arg'))
        for option in words:
            name = re.sub('^--', '-', option.get('value'))
            if name in ('-numa', '-object', '-device', '-machine', '-M'):
                value = next(words, None)
                if value is None:
                    raise Mistake(f'{name} has no value: write it, or take the '
                                  'argument out')
                yield Argument(name, value.get('value'), (option, value))

    def numa(self, kind):
        return (argument for argument in self.arguments
                if argument.option == '-numa' and argument.get('type') == kind)

    # --- NUMA nodes ---

    def host_nodes(self, host):
        """Of each cell with CPUs the host's node that it stands for, or None.

        And those for which that is only assumed.
        """
        bound = {number(one.get('cellid'), 'cellid of a <memnode>'):
                 one.get('nodeset')
                 for one in self.root.all('numatune', 'memnode')}
        memory = self.root.first('numatune', 'memory').get('nodeset')
        found = {}
        for node in self.with_cpus:
            names = bound.get(node, memory)
            found[node] = (int(names) if names.isdecimal()
                           and int(names) in host.nodes() else
                           self._pinned_to(node, host))
        left = iter([node for node in host.cpu_nodes()
                     if node not in {*found.values()}])
        return {node: next(left, None) if of_host is None else of_host
                for node, of_host in found.items()}, [
                    node for node, of_host in found.items() if of_host is None]

    def _pinned_to(self, node, host):
        """The host's node to which all CPUs of a cell are pinned, or None."""
        vcpus = self.root.first('vcpu')
        pins = {one.get('vcpu'): one.get('cpuset')
                for one in self.root.all('cputune', 'vcpupin')}
        try:
            cpus = node_list(self.cells[node].get('cpus')
                             if node in self.cells else '') or range(
                                 number(vcpus.text, '<vcpu>'))
            used = {cpu for vcpu in cpus for cpu in node_list(
                pins.get(str(vcpu)) or vcpus.get('cpuset')) or [-1]}
        except ValueError:      # such as 0-3,^2
            return None
        return next((of_host for of_host in host.cpu_nodes()
                     if used <= {*host.cpus(of_host)}), None)

    def distances(self):
        """The kind of each, its nodes in order, elements, value, and writer."""
        for node, cell in self.cells.items():
            for one in cell.all('distances', 'sibling'):
                other = number(one.get('id'), 'id of a <sibling>')
                if other != node:
                    yield ('sibling', tuple(sorted((node, other))), [one],
                           number(one.get('value'), 'value of a <sibling>'),
                           functools.partial(one.set.__setitem__, 'value'))
        for one in self.numa('dist'):
            src, dst, value = map(one.number, ('src', 'dst', 'val'))
            yield ('dist', tuple(sorted((src, dst))), list(one.elements), value,
                   lambda new, one=one: one.write(
                       re.sub(r'val=\d+', f'val={new}', one.value)))

    def references(self, but):
        """Nodes that something names, each with what does.

        BUT has the identities of elements that don't count.
        """
        found = [(one.get('cellid'), one) for one in
                 self.root.all('numatune', 'memnode')]
        for device in self.root.first('devices').children:
            if id(device) not in but:
                found += [(one.text, device)
                          for one in device.all('target', 'node')]
        found = [(number(node, f'the node of a <{one.name}>'), f'<{one.name}>')
                 for node, one in found]
        for one in self.root.all('devices', 'hostdev', 'acpi'):
            try:
                found += ((node, '<acpi>')
                          for node in node_list(one.get('nodeset')))
            except ValueError:
                pass            # it is for libvirt to say
        for devid, (name, nodes) in self.objects.items():
            if id(self.object_arguments[devid].elements[0]) not in but:
                found += ((node, f'object {name}') for node in nodes)
        return found

    # --- PCI ---

    def _hostdev(self, element):
        source = element.first('source', 'address')
        return Hostdev(
            element, '{:04x}:{:02x}:{:02x}.{:x}'.format(*(
                number(source.get(key, '0'), f'{key} of a <source>')
                for key in ('domain', 'bus', 'slot', 'function'))),
            self.alias(element), element.first('address').get('type') == 'pci',
            self.bus_of(element))

    @staticmethod
    def alias(device):
        return device.first('alias').get('name')

    @staticmethod
    def bus_of(device):
        place = device.first('address')
        if place.get('type') == 'pci' and place.get('bus'):
            return number(place.get('bus'), 'bus of an <address>')
        return None

    def free_indexes(self):
        """Of controllers; libvirt makes those that an address names."""
        used = {0, *self.controllers, *map(
            self.bus_of, self.root.first('devices').children)}
        return (index for index in range(1, 256) if index not in used)

    def slots(self, bus):
        """Those that are in use."""
        return {self._address(one)[1] for one in
                self.root.first('devices').children if self.bus_of(one) == bus}

    def free_buses(self, first, step):
        """Numbers of host bridges, each with room for its ports' buses."""
        used = set()
        for index, one in self.controllers.items():
            if text := one.first('target').get('busNr'):
                bus = number(text, 'busNr of a <target>')
                used.update(range(bus, bus + 1 + sum(
                    index in self.above(other) for other in self.controllers)))
        return (bus for bus in range(first, 254, step)
                if not used & {bus, bus + 1})

    def above(self, index):
        """The controllers between one and the root."""
        found = [index]
        while found[-1] in self.controllers and (
                above := self.bus_of(self.controllers[found[-1]])) in (
                    {*self.controllers} - {*found}):
            found.append(above)
        return found[1:]

    def bridge_above(self, bus):
        """The index of the host bridge that a bus is below, or None."""
        return next((index for index in (bus, *self.above(bus))
                     if index in self.controllers
                     and self.controllers[index].get('model')
                     == 'pcie-expander-bus'), None)

    def names(self, index):
        """Of a controller: libvirt's own, and its alias."""
        alias = self.alias(self.controllers.get(index, Element('')))
        return {f'pci.{index}', alias} - {''}

    def reserve(self, bus):
        """The bytes that the domain reserves for BARs at the port of a bus."""
        return next((_reserved(one) for alias, one, _ in self._reserves()
                     if alias in self.names(bus)), 0)

    def _reserves(self):
        for device in self.root.all(f'{QEMU} override', f'{QEMU} device'):
            found = device.all(f'{QEMU} frontend', f'{QEMU} property')
            for one in found:
                if one.get('name') == 'pref64-reserve':
                    yield device.get('alias'), one, (
                        device if len(found) == 1 else one)

    def window(self):
        """The bytes for BARs that the domain gives, or None."""
        if hole := self._root_hole():
            return size(hole.text, hole.get('unit', 'KiB'), '<pcihole64>')
        given = [size(value, '', str(argument))
                 for argument, value in self._window_arguments()]
        return given[-1] if given else None

    def _root_hole(self):
        root = self.controllers.get(0)
        return root and root.find('pcihole64')

    def _window_arguments(self):
        for argument in self.arguments:
            if argument.option in ('-machine', '-M'):
                for value in argument.keys('type').get('highmem-mmio-size', []):
                    yield argument, value

    # --- what this program may have written ---

    def items(self):
        """All that is of a kind that this program writes, by its name."""
        return dict(itertools.chain(
            self._nodes(), self._distances(), self._bars(), self._buses(),
            self._gpus()))

    def _nodes(self):
        for node, cell in self.cells.items():
            yield f'cell {node}', Item(
                self._cell(cell), [cell],
                functools.partial(self._write_cell, cell))
        for node, argument in self.node_arguments.items():
            yield f'node {node}', argument.item()

    @staticmethod
    def _cell(cell):
        """All but its distances, in one unit."""
        value = {**cell.attributes, 'memory': size(
            cell.get('memory', '0'), cell.get('unit', 'KiB'),
            'memory of a <cell>')}
        if names := {one.name for one in cell.children} - {'distances'}:
            value['children'] = sorted(names)
        return {name: value[name]
                for name in sorted({*value} - {'id', 'unit'})}

    @staticmethod
    def _write_cell(cell, value):
        cell.set.update(cpus=value['cpus'], memory=value['memory'] >> 10,
                        unit='KiB')

    def _distances(self):
        found = {}
        for kind, (src, dst), elements, value, write in self.distances():
            found.setdefault(f'{kind} {src}-{dst}', []).append(
                (elements, value, write))
        for name, all_ in found.items():
            values = [value for _, value, _ in all_]
            # libvirt writes a <sibling> for each direction
            one = len(values) == 1 or name.startswith('sibling') and (
                len({*values}) == 1)
            yield name, Item(
                values[0] if one else values,
                [element for elements, _, _ in all_ for element in elements],
                lambda new, all_=all_: [write(new) for _, _, write in all_])

    def _bars(self):
        if hole := self._root_hole():
            yield 'hole', Item(
                self.window(), [hole],
                functools.partial(self._write_hole, hole))
        for argument, value in self._window_arguments():
            alone = len(argument.keys('type')) == 1
            yield 'window', Item(
                size(value, '', str(argument)) if alone else argument.value,
                list(argument.elements), lambda new, argument=argument:
                argument.write(f'highmem-mmio-size={new >> 30}G'))
        for alias, one, element in self._reserves():
            yield f'reserve {alias}', Item(
                _reserved(one), [element],
                functools.partial(one.set.__setitem__, 'value'))

    @staticmethod
    def _write_hole(hole, value):
        hole.set['unit'], hole.new_text = 'KiB', value >> 10

    def _buses(self):
        for index, one in self.controllers.items():
            name, target = self.alias(one), one.first('target')
            if index == 0:
                yield 'root', Item(sorted(
                    child.name for child in one.children
                    if child.name != 'pcihole64'), [one])
            elif one.get('model') == 'pcie-expander-bus' and name:
                node = target.find('node')
                yield f'bridge {name}', Item(
                    {'index': index, 'bus': target.get('busNr') and number(
                        target.get('busNr'), 'busNr of a <target>'),
                     'node': node and number(node.text, '<node>')}, [one],
                    functools.partial(self._write_bridge, target, node))
            elif one.get('model') == 'pcie-root-port' and name:
                yield f'port {name}', Item(
                    {'index': index, 'address': self._address(one)}, [one],
                    functools.partial(self._write_port, one))
        for one in self.root.all('devices', 'iommu'):
            driver = one.first('driver')
            if bus := driver.get('pciBus'):
                yield f'smmu {number(bus, "pciBus of an <iommu>")}', Item(
                    {name: value for name, value in driver.attributes.items()
                     if name != 'pciBus'}, [one], driver.set.update)

    @staticmethod
    def _write_bridge(target, node, value):
        if node and value['node'] is not None:
            node.new_text = value['node']
        elif node:
            node.gone = True
        elif value['node'] is not None:
            target.added.append(Element('node', text=value['node']))

    def _write_port(self, port, value):
        self._write_address(port.first('address'), value['address'])

    @staticmethod
    def _address(device):
        place = device.first('address')
        return [number(place.get(name, '0'), f'{name} of an <address>')
                for name in ('bus', 'slot', 'function')]

    def _gpus(self):
        for hostdev in self.hostdevs:
            if alias := hostdev.element.find('alias'):
                yield f'alias {hostdev.source}', Item(hostdev.alias, [alias])
            place = hostdev.element.first('address')
            if place.get('type') == 'pci':
                yield f'address {hostdev.source}', Item(
                    self._address(hostdev.element), [place],
                    functools.partial(self._write_address, place))
            driver = hostdev.element.first('driver')
            if driver.get('iommufd'):
                yield f'iommufd {hostdev.source}', Item(
                    driver.get('iommufd'),
                    [driver] if len(driver.attributes) == 1 else [],
                    remove=lambda driver=driver:
                    driver.set.update(iommufd=None))
        for devid, argument in self.object_arguments.items():
            yield f'object {devid}', argument.item()

    @staticmethod
    def _write_address(place, value):
        place.set.update(zip(('bus', 'slot', 'function'), (
            f'{value[0]:#04x}', f'{value[1]:#04x}', f'{value[2]:#x}')))
