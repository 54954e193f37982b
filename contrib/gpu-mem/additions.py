# SPDX-License-Identifier: GPL-2.0-or-later
"""What a libvirt domain is given for its GPUs."""

import dataclasses

from guest import OBJECT, Guest, number
from host import DRIVER, GIB, Mistake
from plan import BUSES, FIRST_BUS, check_total, plan
from removal import OURS, had, strip
from xml_text import QEMU, RECORD, Element

# libvirt's versions: the first that passes through what another driver than
# vfio-pci has, binds that driver itself, and knows cells without memory
OLDEST, BINDS_SINCE, CELLS_SINCE = (9, 7), (10, 0), (12, 0)
OTHER_QEMU = ('', '/usr/bin/qemu-system-aarch64')   # without the object
DEFAULT_DISTANCE = 20       # between two nodes, QEMU's and libvirt's


# --- choosing ---

def _chosen(guest, host, asked, memory):
    """Each <hostdev> that is asked for or has an object, with its GPU."""
    found = [_bound(hostdev, host.gpu(hostdev.source, memory))
             for hostdev in guest.hostdevs
             if hostdev.source in asked or hostdev.alias in guest.objects]
    taken = {*guest.with_cpus}
    for hostdev, _ in found:
        nodes = {*(hostdev.nodes or ())}
        if [one.source for one, _ in found].count(hostdev.source) > 1:
            raise Mistake(f'{hostdev.source} is in two <hostdev>: take one out')
        if hostdev.alias and not hostdev.alias.startswith('ua-'):
            raise Mistake(
                f'{hostdev.source}: libvirt drops the alias {hostdev.alias}: '
                f'call it ua-{hostdev.alias}, or take it out')
        if not nodes <= {*guest.nodes}:
            raise Mistake(f'{hostdev.source} has nodes that the domain has not: '
                          'give it a <cell> for each, or leave them out')
        if nodes & taken:
            raise Mistake(f'{hostdev.source} has nodes that have CPUs, or are '
                          "another GPU's: give it nodes of its own")
        taken |= nodes
    return found


def _bound(hostdev, gpu):
    """The GPU with the driver that libvirt binds, if the domain says so."""
    if hostdev.element.get('managed') == 'yes' and (
            hostdev.element.first('driver').get('model') == DRIVER):
        gpu = dataclasses.replace(gpu, driver=DRIVER)
    return hostdev, gpu


def _asked(guest, host, names):
    """The addresses of what the user names; without a name of all GPUs.

    What isn't there on the host is among them: it may be a GPU.
    """
    known = {gpu.address for gpu in host.gpus()}
    if not names:
        yield from (hostdev.source for hostdev in guest.hostdevs
                    if hostdev.source in known or not host.has(hostdev.source))
    for name in names:
        found = [hostdev.source for hostdev in guest.hostdevs
                 if name in (hostdev.alias, hostdev.source)]
        if not found:
            raise Mistake(f'--hostdev {name}: no <hostdev> of a PCI device has '
                          'this alias or address')
        yield from found


# --- adding ---

def _take(numbers, what):
    try:
        return next(numbers)
    except StopIteration:
        raise Mistake(f'no {what} is left for a GPU: choose fewer by '
                      '--hostdev') from None


class _Additions:
    def __init__(self, guest, made, cells):
        """CELLS is whether libvirt knows cells without memory."""
        self._guest, self._made, self._root = guest, made, guest.root
        self._record, self._by_arguments = {}, not cells
        # Cells that come after nodes which are arguments would leave a hole
        self._in_cells = cells and not guest.node_arguments
        self._cells = dict(guest.cells)
        self._gpu_nodes = {node for place in made.places
                           for node in place.nodes}
        self._nodes = range(max(len(guest.nodes), *(
            place.nodes.stop for place in made.places)))
        self._indexes = guest.free_indexes()

    @staticmethod
    def _within(parent, name):
        """The element with this name, a new one if there is none."""
        found = parent.find(name)
        if not found:
            found = Element(name)
            parent.added.append(found)
        return found

    def _argument(self, option, value):
        self._within(self._root, f'{QEMU} commandline').added += [
            Element(f'{QEMU} arg', {'value': word}) for word in (option, value)]

    def add(self, hostdevs):
        self._add_nodes()
        if self._in_cells:
            self._add_siblings()
        else:
            self._add_distance_arguments()
        self._add_window()
        for index, hostdev in enumerate(hostdevs):
            if hostdev:
                self._add_gpu(index, hostdev, self._made.places[index])
        if any(one.added for one in self._root.walk()):
            self._within(self._root, 'metadata').added.append(
                Element(f'{RECORD} added', self._record))

    # --- nodes and their distances ---

    def _add_nodes(self):
        new = self._nodes[len(self._guest.nodes):]
        for node in new:
            if node == 0:
                self._add_cell(node, self._whole())
            elif self._in_cells:
                self._add_cell(node, {'memory': 0})
            else:
                self._argument('-numa', f'node,nodeid={node}')
        if new:
            self._record['nodes'] = f'{new[0]}-{new[-1]}'

    def _add_cell(self, node, attributes):
        self._cells[node] = Element('cell', {'id': node, **attributes})
        self._within(self._within(self._root, 'cpu'), 'numa').added.append(
            self._cells[node])

    def _whole(self):
        """Of the only cell: all CPUs, and all memory."""
        memory = self._root.find('memory')
        if memory is None:
            raise Mistake('the domain has no <memory>: give it one')
        cpus = self._root.find('vcpu')
        count = 1 if cpus is None else number(cpus.text, '<vcpu>')
        return {'cpus': f'0-{count - 1}',
                'memory': number(memory.text, '<memory>'),
                'unit': memory.get('unit', 'KiB')}

    def _missing_distances(self):
        """Pairs that the user gave no distance, and the host's if it is known."""
        given = {pair for _, pair, _ in self._guest.distances()}
        for pair in given:
            if not {*pair} <= {*self._guest.nodes}:
                raise Mistake('the domain gives a distance between {} and {}: it '
                              'has no such nodes'.format(*pair))
        for dst in self._nodes:
            for src in range(dst):
                known = not given or {src, dst} & self._gpu_nodes
                if (src, dst) not in given:
                    yield (src, dst), (self._made.distances.get((src, dst))
                                       if known else None)

    def _note_distance(self, pair, value):
        if not {*pair} - {*self._guest.nodes}:
            self._record['distances'] = ' '.join(filter(None, (
                self._record.get('distances'), '{}-{}={}'.format(*pair, value))))

    def _add_siblings(self):
        """libvirt takes one for both directions, and 20 where there is none."""
        for (src, dst), value in self._missing_distances():
            if value not in (None, DEFAULT_DISTANCE):
                self._within(self._cells[dst], 'distances').added.append(
                    Element('sibling', {'id': src, 'value': value}))
                self._note_distance((src, dst), value)

    def _add_distance_arguments(self):
        """QEMU wants all pairs, or none; libvirt gives those of its cells."""
        missing = dict(self._missing_distances())
        given = {(pair, value) for _, pair, value in self._guest.distances()}
        if not given and not {*missing.values()} - {None, DEFAULT_DISTANCE}:
            return
        by_libvirt = any(cell.all('distances', 'sibling')
                         for cell in self._guest.cells.values())
        # If they differ for the two directions of a pair, it wants both of all
        directions = 2 if len(given) > len(dict(given)) else 1
        for pair, value in missing.items():
            if by_libvirt and not {*pair} - {*self._guest.cells}:
                continue
            value = value or DEFAULT_DISTANCE
            for src, dst in (pair, pair[::-1])[:directions]:
                self._argument('-numa', f'dist,src={src},dst={dst},val={value}')
            self._note_distance(pair, value)

    # --- PCI ---

    def _add_window(self):
        given = self._guest.window()
        if given is not None and given < self._made.room:
            self._made.notes.append(
                f'the window for BARs is {given // GIB}G, but these GPUs need '
                f'{self._made.room // GIB}G: take it out, or make it that large')
        if given is not None or not self._made.window:
            return
        self._record['window'] = self._made.window
        if self._by_arguments:
            self._argument('-machine', 'highmem-mmio-size='
                           f'{self._made.window // GIB}G')
            return
        self._pcie_root().added.append(Element(
            'pcihole64', {'unit': 'KiB'}, text=self._made.window >> 10))

    def _pcie_root(self):
        """libvirt would add it too, but after our controllers."""
        controllers = self._guest.controllers
        if 0 not in controllers:
            self._record['root'] = 'yes'
            controllers[0] = self._add_controller(0, 'pcie-root')
        return controllers[0]

    def _add_controller(self, index, model, *children):
        made = Element('controller', {'type': 'pci', 'index': index,
                                      'model': model}, children)
        self._root.find('devices').added.append(made)
        return made

    def _add_gpu(self, index, hostdev, place):
        alias = hostdev.alias or f'{OURS}gpu{index}'
        if not hostdev.alias:
            hostdev.element.added.append(Element('alias', {'name': alias}))
        if place.bus is not None:
            bus = self._add_port(index, place)
            hostdev.element.added.append(self._address(bus))
        elif not self._guest.has_reserve(hostdev.bus):
            self._made.notes.append(
                f'{hostdev.source} keeps its place in the guest, which has no '
                'room reserved for its memory (pref64-reserve): take the '
                "<address type='pci'> out, which is not that of <source>, and it "
                'gets a port near its node')
        if hostdev.alias not in self._guest.objects:
            self._argument('-object', f'{OBJECT},id={OURS}mem{index},devid='
                           f'{alias},nodeset={place.nodes[0]}-{place.nodes[-1]}')

    @staticmethod
    def _address(bus):
        return Element('address', {'type': 'pci', 'bus': f'{bus:#04x}',
                                   'slot': '0x00'})

    def _add_port(self, index, place):
        """A host bridge near the GPU's node, and a port with room on it."""
        self._pcie_root()
        near = [] if place.near is None else [Element('node', text=place.near)]
        pxb, port = (_take(self._indexes, 'index of a controller')
                     for _ in range(2))
        self._add_controller(
            pxb, 'pcie-expander-bus', Element('target', {'busNr': place.bus}, near),
            Element('alias', {'name': f'{OURS}pxb{index}'}))
        self._add_controller(
            port, 'pcie-root-port',
            Element('alias', {'name': f'{OURS}port{index}'}), self._address(pxb))
        self._within(self._root, f'{QEMU} override').added.append(Element(
            f'{QEMU} device', {'alias': f'{OURS}port{index}'},
            [Element(f'{QEMU} frontend', {}, [Element(
                f'{QEMU} property', {'name': 'pref64-reserve',
                                     'type': 'unsigned',
                                     'value': place.reserve})])]))
        return port


def _notes(guest, chosen, version):
    """What libvirt and QEMU must be, and what looks wrong."""
    if guest.root.first('devices', 'emulator').text in OTHER_QEMU:
        yield 'its <emulator> must be a QEMU that has nvidia-gpu-mem-acpi'
    for hostdev, gpu in chosen:
        if version < BINDS_SINCE and hostdev.element.get('managed') == 'yes':
            yield (f"{gpu.address}: libvirt before 10.0 binds vfio-pci: bind "
                   f"{DRIVER}, and write managed='no'")
    aliases = {one.alias for one in guest.hostdevs}
    for devid, (name, _) in guest.objects.items():
        if devid not in aliases:
            yield f'object {name}: no <hostdev> has the alias {devid}'


def apply(guest, host, names, memory, nodes, version):
    """The domain with all that its GPUs need, and notes."""
    if guest.root.find('features', 'acpi') is None:
        raise Mistake('the domain has no <acpi/> in <features>: without it the '
                      'guest is told of no nodes')
    notes = []
    if version is None:
        version = CELLS_SINCE
        notes.append('this is for libvirt 12: if "virsh --version" says less, '
                     'give it as --libvirt')
    if version < OLDEST:
        raise Mistake("libvirt before 9.7 can't pass a GPU through with "
                      f'{DRIVER}: take a newer one, or "qemu-gpu-mem args"')
    asked = {*_asked(guest, host, names), *had(guest)}
    data, before = strip(guest), guest.text.data
    guest = Guest(data, 'without those added for GPUs, the domain')
    chosen = _chosen(guest, host, asked, memory)
    if not chosen:
        if data != before:
            return data, ['the domain has no GPU any more: what was added for '
                          'GPUs is taken out']
        raise Mistake('the domain has no <hostdev> that is known to be a GPU '
                      'with coherent memory; --hostdev and --gpu-mem take others')
    first = len(guest.nodes) or 1
    new = sum(hostdev.nodes is None for hostdev, _ in chosen)
    check_total(first + nodes * new, f'{first} nodes of the domain and {nodes} '
                f'for each of {new} GPUs', '--nodes')
    buses = guest.free_buses(FIRST_BUS, BUSES)
    made = plan(host, [
        (gpu, hostdev.nodes, _take(buses, 'bus number')
         if hostdev.source in asked and not hostdev.placed else None)
        for hostdev, gpu in chosen], guest.host_nodes(host), first, nodes)
    additions = _Additions(guest, made, version >= CELLS_SINCE)
    additions.add([hostdev if hostdev.source in asked else None
                   for hostdev, _ in chosen])
    return guest.text.changed(), [*notes, *_notes(guest, chosen, version),
                                  *made.notes]
