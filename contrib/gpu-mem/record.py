# SPDX-License-Identifier: GPL-2.0-or-later
"""What this program wrote into a domain, as <metadata> records it.

It is JSON: the options, what was written with its value, and what was empty
before something was put into it.  Before version 2 it was a few attributes.
"""

from __future__ import annotations

import dataclasses
import json

from guest import number, size
from host import Mistake, node_list
from xml_text import RECORD, Element

OURS = 'ua-gpu-mem-'        # how our names begin; libvirt keeps those with ua-
PAIRS = ('sibling', 'dist')     # what is recorded by its value


def _is_count(value):
    return type(value) is int and value > 0


def _is_version(value):
    return type(value) is list and [*map(type, value)] == [int, int]


def _is_true(value):
    return value is True


OPTIONS = {'nodes': _is_count, 'gpu-mem': _is_count, 'libvirt': _is_version,
           'qemu-version': _is_version, 'no-iommufd': _is_true,
           'no-smmu': _is_true}


@dataclasses.dataclass
class Record:
    element: Element | None = None
    options: dict = dataclasses.field(default_factory=dict)
    values: dict = dataclasses.field(default_factory=dict)
    found_empty: list = dataclasses.field(default_factory=list)

    def text(self):
        packed = {}
        for name, value in self.values.items():
            kind, _, pair = name.partition(' ')
            if kind in PAIRS and isinstance(value, int):
                packed.setdefault(kind, {}).setdefault(str(value), [])
                packed[kind][str(value)].append(pair)
            else:
                packed[name] = value
        for kind in {*PAIRS} & {*packed}:
            packed[kind] = {value: ' '.join(pairs)
                            for value, pairs in packed[kind].items()}
        made = {'options': self.options, 'written': packed}
        if self.found_empty:
            made['empty'] = self.found_empty
        return json.dumps(made)

    def is_as(self, element):
        return json.loads(self.text()) == json.loads(element.text)


def read(guest, have):
    element = guest.root.find('metadata', f'{RECORD} added')
    if element is None:
        return Record()
    try:
        if not element.text.strip():
            return Record(element, {},
                          dict(_of_attributes(guest, have, element)))
        made = json.loads(element.text)
        values = dict(made['written'])
        for kind in PAIRS:
            values.update({f'{kind} {pair}': int(value)
                           for value, pairs in values.pop(kind, {}).items()
                           for pair in pairs.split()})
        _check(made['options'], made.get('empty', []))
        return Record(element, made['options'], values, made.get('empty', []))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Mistake('what is recorded in <metadata> was changed: take '
                      '<gpu-mem:added> out, and what it is about') from None


def _check(options, empty):
    for name, value in options.items():
        if not OPTIONS[name](value):
            raise ValueError
    for name, attributes, text in empty:
        if not isinstance(attributes, dict) or not isinstance(name + text, str):
            raise ValueError


def is_as_written(name, have, written):
    if name.startswith('smmu'):
        # libvirt may add what it takes
        return isinstance(written, dict) and written.items() <= have.items()
    return have == written


class Known:
    """What a domain has of the kinds that this program writes, and whose it is.

    What is recorded, and is still as it was written, is ours.
    """

    def __init__(self, guest):
        self.items = guest.items()
        self.record = read(guest, self.items)
        written = self.record.values
        there = [name for name in written if name in self.items]
        self.ours = {name for name in there
                     if is_as_written(name, self.value(name), written[name])}
        self.changed = [name for name in there if name not in self.ours]

    def __contains__(self, name):
        return name in self.items

    def value(self, name):
        return self.items[name].value

    def users(self, *kinds):
        """What is the user's of some kinds: the rest of its names."""
        return {rest for name in {*self.items} - self.ours
                for kind, _, rest in [name.partition(' ')] if kind in kinds}

    def texts(self):
        """All that may have names of ours in it."""
        return ' '.join([*self.items, *(str(item.value)
                                        for item in self.items.values())])

    def move(self, source):
        """Take over where the user has placed a device."""
        self.ours.add(f'address {source}')
        self.record.values.setdefault(f'moved {source}',
                                      self.value(f'address {source}'))


def whole(guest):
    """The only cell: all CPUs, and all memory but that of memory devices."""
    memory = guest.root.find('memory')
    if memory is None:
        raise Mistake('the domain has no <memory>: give it one')
    vcpu = guest.root.find('vcpu')
    count = 1 if vcpu is None else number(vcpu.text, '<vcpu>')
    plugged = [one for device in guest.root.all('devices', 'memory')
               for one in device.all('target', 'size')]
    left = (_bytes(memory) - sum(map(_bytes, plugged))) >> 10 << 10
    if count < 1 or left < 1:
        raise Mistake('a node for all CPUs and memory would have none: give '
                      'the domain a <vcpu>, and <memory> beside that of '
                      'devices')
    return {'cpus': f'0-{count - 1}', 'memory': left}


def _bytes(element):
    return size(element.text, element.get('unit', 'KiB'), f'<{element.name}>')


def _of_attributes(guest, have, element):
    """What version 1 recorded; what has a name was known by that."""
    nodes = node_list(element.get('nodes'))
    for node in nodes:
        yield f'cell {node}', {'memory': 0} if node else whole(guest)
        yield f'node {node}', f'node,nodeid={node}'
    for one in element.get('distances').split():
        pair, _, value = one.partition('=')
        yield from ((f'{kind} {pair}', int(value)) for kind in PAIRS)
    if element.get('window'):
        yield from ((kind, int(element.get('window')))
                    for kind in ('hole', 'window'))
    if element.get('root'):
        yield 'root', []
    ports = {index for index, one in guest.controllers.items()
             if guest.alias(one).startswith(OURS)}
    for name, item in have.items():
        kind, _, rest = name.partition(' ')
        object_id = guest.objects[rest][0] if kind == 'object' else ''
        if (rest.startswith(OURS) if kind in ('bridge', 'port', 'reserve') else
                item.value.startswith(OURS) if kind == 'alias' else
                item.value[0] in ports if kind == 'address' else
                object_id.startswith(OURS) if kind == 'object' else
                {*nodes} & {*map(int, rest.split('-'))} if kind in PAIRS else
                False):
            yield name, item.value
