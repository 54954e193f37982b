# SPDX-License-Identifier: GPL-2.0-or-later
"""How each thing that a domain is given is written into it, by its kind."""

from guest import size
from host import GIB
from xml_text import QEMU, Element


class Writer:
    def __init__(self, guest):
        self._guest, self._cells, self._root = guest, {}, None

    def within(self, parent, name):
        """The element with this name, a new one if there is none."""
        found = parent.find(name)
        if not found:
            found = Element(name)
            parent.added.append(found)
        return found

    def _argument(self, option, value):
        self.within(self._guest.root, f'{QEMU} commandline').added += [
            Element(f'{QEMU} arg', {'value': word}) for word in (option, value)]

    def _device(self, element):
        self._guest.root.find('devices').added.append(element)

    def _controller(self, value, model, name, *children):
        self._device(Element('controller', {
            'type': 'pci', 'index': value['index'], 'model': model},
            [*children, Element('alias', {'name': name})]))

    def _hostdev(self, source):
        return next(one.element for one in self._guest.hostdevs
                    if one.source == source)

    def add(self, name, value):
        kind, _, rest = name.partition(' ')
        getattr(self, f'_add_{kind}')(rest, value)

    def _add_cell(self, node, value):
        if value['memory']:
            # In the unit that the domain has
            unit = self._guest.root.first('memory').get('unit', 'KiB')
            each = size('1', unit, '<memory>')
            unit, each = (unit, each) if not value['memory'] % each else (
                'KiB', 1024)
            value = {**value, 'memory': value['memory'] // each, 'unit': unit}
        self._cells[node] = Element('cell', {'id': node, **value})
        self.within(self.within(self._guest.root, 'cpu'), 'numa').added.append(
            self._cells[node])

    def _add_node(self, _, value):
        self._argument('-numa', value)

    def _add_sibling(self, pair, value):
        src, dst = pair.split('-')
        cell = self._cells.get(dst) or self._guest.cells[int(dst)]
        self.within(cell, 'distances').added.append(
            Element('sibling', {'id': src, 'value': value}))

    def _add_dist(self, pair, value):
        src, dst = pair.split('-')
        for each, (one, other) in zip(
                value if isinstance(value, list) else [value],
                ((src, dst), (dst, src))):
            self._argument('-numa', f'dist,src={one},dst={other},val={each}')

    def _add_root(self, _, __):
        self._root = Element('controller', {'type': 'pci', 'index': 0,
                                            'model': 'pcie-root'})
        self._device(self._root)

    def _add_hole(self, _, value):
        (self._root or self._guest.controllers[0]).added.append(
            Element('pcihole64', {'unit': 'KiB'}, text=value >> 10))

    def _add_window(self, _, value):
        self._argument('-machine', f'highmem-mmio-size={value // GIB}G')

    def _add_bridge(self, name, value):
        near = [] if value['node'] is None else [
            Element('node', text=value['node'])]
        self._controller(value, 'pcie-expander-bus', name,
                         Element('target', {'busNr': value['bus']}, near))

    def _add_port(self, name, value):
        self._controller(value, 'pcie-root-port', name)
        self._guest.root.find('devices').added[-1].children.append(
            _address(value['address']))

    def _add_reserve(self, name, value):
        self.within(self._guest.root, f'{QEMU} override').added.append(Element(
            f'{QEMU} device', {'alias': name}, [Element(
                f'{QEMU} frontend', {}, [Element(
                    f'{QEMU} property', {'name': 'pref64-reserve',
                                         'type': 'unsigned',
                                         'value': value})])]))

    def _add_alias(self, source, value):
        self._hostdev(source).added.append(Element('alias', {'name': value}))

    def _add_address(self, source, value):
        self._hostdev(source).added.append(_address(value))

    def _add_iommufd(self, source, value):
        hostdev = self._hostdev(source)
        if driver := hostdev.find('driver'):
            driver.set['iommufd'] = value
        else:
            # libvirt's schema wants it before <source>
            hostdev.leading.append(Element('driver', {'iommufd': value}))

    def _add_smmu(self, bus, value):
        self._device(Element('iommu', {'model': 'smmuv3'}, [
            Element('driver', {'pciBus': bus, **value})]))

    def _add_object(self, _, value):
        self._argument('-object', value)


def _address(value):
    bus, slot, _ = value
    return Element('address', {'type': 'pci', 'bus': f'{bus:#04x}',
                               'slot': f'{slot:#04x}'})
