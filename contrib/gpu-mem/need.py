# SPDX-License-Identifier: GPL-2.0-or-later
"""What a libvirt domain needs for its GPUs: names, each with its value.

The names are those of Guest.items().  What the user gave is not among them, and
what an earlier run wrote keeps its numbers.
"""

from __future__ import annotations

import itertools
import os
import re

from guest import OBJECT, nodes_of
from host import GIB, Mistake
from plan import (
    BUSES, FIRST_BUS, Place, check_total, near, plan, shared, taken_for)
from qemu import ask, of_version, shape
from record import OURS, PAIRS, whole

# libvirt's versions: the first with cells without memory, with
# <driver iommufd=''/>, and with <driver accel=''/> of an <iommu>
CELLS_SINCE, IOMMUFD_SINCE, SMMU_SINCE = (12, 0), (12, 1), (12, 7)
NODES = 8                   # of each GPU: one for each MIG partition
DEFAULT_DISTANCE = 20       # between two nodes, QEMU's and libvirt's


def numbers(nodes):
    """How a set of nodes is written."""
    nodes = sorted(nodes)
    if len(nodes) > 1 and nodes[-1] - nodes[0] == len(nodes) - 1:
        return f'{nodes[0]}-{nodes[-1]}'
    return ','.join(map(str, nodes))


class Need:
    def __init__(self, guest, known, host, chosen, options, version):
        """CHOSEN has each <hostdev>, its GPU, and whether it is asked for."""
        self._guest, self._known, self._host = guest, known, host
        self._chosen, self._options, self._version = chosen, options, version
        self._need, self.notes, self.nodes = {}, [], range(0)
        self._in_cells = version >= CELLS_SINCE and not known.users('node')
        self._users_nodes = {*map(int, known.users('cell', 'node'))}
        self._numbers = dict(self._number_all())
        self._indexes = guest.free_indexes()
        self._bus_numbers = guest.free_buses(FIRST_BUS, BUSES)

    def find(self, place):
        """PLACE is whether GPUs that have an address are moved."""
        cpu_nodes, assumed = self._guest.host_nodes(self._host)
        if assumed and len(self._host.cpu_nodes()) > 1:
            self.notes.append(taken_for(
                {node: cpu_nodes[node] for node in assumed},
                '<numatune> or <vcpupin>'))
        ranges = self._ranges(cpu_nodes)
        buses = self._buses(place, cpu_nodes)
        made = plan(self._host, [
            Place(gpu, ranges[hostdev.source], near(gpu, cpu_nodes),
                  buses.get(hostdev.source))
            for hostdev, gpu, _ in self._chosen], cpu_nodes)
        self.nodes = {node for nodes in ranges.values() for node in nodes}
        controllers, self._need = self._need, {}
        self._add_nodes(made.distances)
        self._add_window(made)
        if any(name.startswith('bridge') for name in controllers):
            self._add_root()
        self._need.update(controllers)
        shape_ = self._shape()
        self.notes += [*made.notes, *shape_.notes]
        for (hostdev, _, asked), one in zip(self._chosen, made.places):
            if asked:
                self._add_gpu(hostdev, one, shape_)
        return self._need

    # --- nodes and their distances ---

    def _ranges(self, cpu_nodes):
        """The nodes of each GPU."""
        count = self._options.get('nodes', NODES)
        found, taken = {}, {*cpu_nodes, *self._users_nodes}
        for hostdev, _, _ in self._chosen:
            own = self._own_nodes(hostdev)
            if own is None and hostdev.alias in self._guest.objects:
                last = self._guest.objects[hostdev.alias][1]
                own = last if len(last) == count and not (
                    {*last} & taken) else None
            elif own is not None:
                self._check_own(hostdev, own, cpu_nodes, found)
            if own is not None:
                found[hostdev.source] = own
                taken |= {*own}
        new = [hostdev.source for hostdev, _, _ in self._chosen
               if hostdev.source not in found]
        first = len(taken)
        check_total(first + count * len(new), f'{first} nodes of the domain '
                    f'and {count} for each of {len(new)} GPUs', '--nodes')
        for source in new:
            start = next(start for start in itertools.count()
                         if not taken & {*range(start, start + count)})
            found[source] = range(start, start + count)
            taken |= {*found[source]}
        check_total(max(taken) + 1, 'the nodes that the domain would have',
                    '--nodes')
        return found

    def _own_nodes(self, hostdev):
        """Those that the user gave it."""
        if hostdev.alias in self._known.users('object'):
            return self._guest.objects[hostdev.alias][1]
        given = hostdev.element.first('acpi').get('nodeset')
        what = f'<acpi> of {hostdev.source}'
        return nodes_of([given], what) if given else None

    def _check_own(self, hostdev, own, cpu_nodes, found):
        if not {*own} <= {*self._guest.nodes}:
            raise Mistake(f'{hostdev.source} has nodes that the domain has '
                          'not: give it a <cell> for each, or leave them out')
        if {*own} & {*cpu_nodes, *itertools.chain(*found.values())}:
            raise Mistake(f'{hostdev.source} has nodes that have CPUs, or are '
                          "another GPU's: give it nodes of its own")

    def _add_nodes(self, distances):
        nodes = range(max(*self._users_nodes, *self.nodes, 0) + 1)
        for node in nodes:
            if node in self._users_nodes:
                continue
            if node == 0:
                self._need['cell 0'] = whole(self._guest)
            elif self._in_cells:
                self._need[f'cell {node}'] = {'memory': 0}
            else:
                self._need[f'node {node}'] = f'node,nodeid={node}'
        missing = dict(self._missing_distances(distances, nodes))
        if self._in_cells:
            # libvirt takes one for both directions, and 20 where there is none
            self._need.update(
                (f'sibling {src}-{dst}', value)
                for (src, dst), value in missing.items()
                if value not in (None, DEFAULT_DISTANCE))
        else:
            self._add_distance_arguments(missing)

    def _given_distances(self):
        """Those of the user: pairs, each with its values."""
        given = {}
        users = {kind: self._known.users(kind) for kind in PAIRS}
        for kind, pair, _, value, _ in self._guest.distances():
            if '{}-{}'.format(*pair) in users[kind]:
                given.setdefault(pair, set()).add(value)
        return given

    def _missing_distances(self, distances, nodes):
        """Pairs that the user gave no distance, and the host's if known."""
        given = self._given_distances()
        for pair in given:
            if not {*pair} <= {*nodes}:
                raise Mistake('the domain gives a distance between {} and {}: '
                              'it has no such nodes'.format(*pair))
        for dst in nodes:
            for src in range(dst):
                known = not given or {src, dst} & self.nodes
                if (src, dst) not in given:
                    yield (src, dst), (distances.get((src, dst)) if known
                                       else None)

    def _add_distance_arguments(self, missing):
        """QEMU wants all pairs, or none; libvirt gives those of its cells."""
        given = self._given_distances()
        if not given and not {*missing.values()} - {None, DEFAULT_DISTANCE}:
            return
        by_libvirt = bool(self._known.users('sibling'))
        # If they differ for the two directions of a pair, it wants both of all
        both = any(len(values) > 1 for values in given.values())
        for (src, dst), value in missing.items():
            if by_libvirt and not {src, dst} - {*self._guest.cells}:
                continue
            value = value or DEFAULT_DISTANCE
            self._need[f'dist {src}-{dst}'] = [value, value] if both else value

    # --- PCI ---

    def _add_window(self, made):
        if self._known.users('hole', 'window'):
            given = self._guest.window()
            if given < made.room:
                self.notes.append(
                    f'the window for BARs is {given // GIB}G, but these GPUs '
                    f'need {made.room // GIB}G: take it out, or make it that '
                    'large')
        elif made.window and self._version < CELLS_SINCE:
            self._need['window'] = made.window
        elif made.window:
            self._add_root()
            self._need['hole'] = made.window

    def _add_root(self):
        """libvirt would add it too, but after our controllers."""
        if 0 not in self._guest.controllers or 'root' in self._known.ours:
            self._need['root'] = []

    def _buses(self, place, cpu_nodes):
        """The host bridge of each GPU that is asked for, if it has one.

        What is for us to give it is added to the need.
        """
        known, found, behind, ours = self._known, {}, {}, []
        for hostdev, gpu, asked in self._chosen:
            address = f'address {hostdev.source}'
            if asked and hostdev.placed and not place and (
                    address not in known.ours):
                self._note_place(hostdev)
                found[hostdev.source] = self._guest.bridge_above(hostdev.bus)
                behind.setdefault(shared(gpu), found[hostdev.source])
            elif asked:
                if hostdev.placed and address not in known.ours:
                    known.move(hostdev.source)
                ours.append((self._name('port', hostdev) not in known,
                             hostdev, gpu))
        # Those that have a port come first
        for _, hostdev, gpu in sorted(ours, key=lambda one: one[0]):
            port = self._name('port', hostdev)
            old = known.value(port) if port in known else {}
            bridge = behind.get(shared(gpu))
            if bridge is None or port in known.users('port'):
                bridge = self._guest.bridge_above(old.get('index'))
            if bridge is None:
                bridge = self._new_bridge(hostdev)
            self._keep_bridge(bridge, near(gpu, cpu_nodes))
            if old.get('address', [None])[0] != bridge:
                old = {'index': old.get('index') or self._free(
                    self._indexes, 'index of a controller'),
                       'address': [bridge, self._slot(bridge), 0]}
            self._need[port] = old
            self._need[f'address {hostdev.source}'] = [old['index'], 0, 0]
            found[hostdev.source] = behind[shared(gpu)] = bridge
        return found

    def _note_place(self, hostdev):
        if self._guest.bridge_above(hostdev.bus) is None:
            self.notes.append(
                f'{hostdev.source} keeps its place behind pcie.0, where it is '
                'near no node: --place moves it')
        elif not self._guest.reserve(hostdev.bus):
            self.notes.append(
                f'{hostdev.source} keeps its place in the guest, which has no '
                'room reserved for its memory (pref64-reserve): --place moves '
                'it to a port near its node')

    def _new_bridge(self, hostdev):
        name = self._name('bridge', hostdev)
        if name not in self._known:
            self._need[name] = {
                'index': self._free(self._indexes, 'index of a controller'),
                'bus': self._free(self._bus_numbers, 'bus number'),
                'node': None}
            return self._need[name]['index']
        return self._known.value(name)['index']

    def _keep_bridge(self, index, node):
        """One that is ours, or new, is near a node."""
        bridges = {name: self._known.value(name) for name in self._known.ours
                   if name.startswith('bridge')}
        bridges.update((name, value) for name, value in self._need.items()
                       if name.startswith('bridge'))
        self._need.update((name, {**value, 'node': node})
                          for name, value in bridges.items()
                          if value['index'] == index)

    def _slot(self, bridge):
        used = {value['address'][1] for name, value in self._need.items()
                if name.startswith('port') and value['address'][0] == bridge}
        return next(slot for slot in itertools.count()
                    if slot not in used | self._guest.slots(bridge))

    @staticmethod
    def _free(numbers, what):
        try:
            return next(numbers)
        except StopIteration:
            raise Mistake(f'no {what} is left for a GPU: choose fewer by '
                          '--hostdev') from None

    def _name(self, kind, hostdev):
        """Of what is ours, as Guest.items() calls it."""
        word = {'bridge': 'pxb'}.get(kind, kind)
        return f'{kind} {OURS}{word}{self._numbers[hostdev.source]}'

    def _number_all(self):
        """What the names for each GPU end with: as before, or what is free."""
        ours = re.compile(OURS + r'[a-z]+(\d+)')
        guest = self._guest
        free = (number for number in itertools.count() if str(number) not in
                {*ours.findall(self._known.texts())})
        for hostdev, _, _ in self._chosen:
            port = guest.controllers.get(hostdev.bus)
            found = ours.search(' '.join((
                hostdev.alias, guest.alias(port) if port else '',
                guest.objects.get(hostdev.alias, ('',))[0])))
            yield hostdev.source, int(found[1]) if found else next(free)

    # --- each GPU ---

    def _shape(self):
        options, host = self._options, self._host
        program = self._guest.root.first('devices', 'emulator').text
        qemu = None
        if version := options.get('qemu-version'):
            qemu = of_version(tuple(version))
        # What somebody else's file names is not run
        elif host.root == '/sys' and os.path.isabs(program) and (
                os.path.exists(program) and os.stat(program).st_uid == 0):
            try:
                qemu = ask(program)
            except Mistake as error:
                self.notes.append(str(error))
        plain = [one for one in self._guest.root.all('devices', 'iommu')
                 if not one.first('driver').get('pciBus')]
        without = {name for name in ('iommufd', 'smmu')
                   if options.get(f'no-{name}')}
        if plain and 'smmu' not in without:
            without |= {'smmu'}
            model = plain[0].get('model')
            self.notes.append(
                f"no SMMU: the domain has <iommu model='{model}'/> "
                'for the whole machine, which libvirt refuses beside one for '
                'each host bridge: take it out')
        return shape(qemu, host.has_iommufd(), without,
                     '' if self._version >= IOMMUFD_SINCE else
                     'libvirt before 12.1 has no IOMMUFD',
                     # As an argument it would come after the GPUs: too late
                     '' if self._version >= SMMU_SINCE else
                     'libvirt before 12.7 has no accelerated SMMU',
                     self._guest.machine)

    def _add_gpu(self, hostdev, one, shape_):
        guest, source = self._guest, hostdev.source
        number = self._numbers[source]
        alias = hostdev.alias or f'{OURS}gpu{number}'
        if not hostdev.alias or f'alias {source}' in self._known.ours:
            self._need[f'alias {source}'] = alias
        bus = self._need.get(f'address {source}', [hostdev.bus])[0]
        port = next((name for name, value in self._need.items()
                     if name.startswith('port') and value['index'] == bus),
                    f'port {guest.alias(guest.controllers[bus])}'
                    if bus in guest.controllers else '').partition(' ')[2]
        if port.startswith(OURS):
            self._need[f'reserve {port}'] = one.gpu.reserve
        if shape_.iommufd and guest.root.find('iommufd') is None:
            self._need[f'iommufd {source}'] = 'yes'
        if shape_.smmu and one.bridge is not None and not (
                hostdev.element.first('driver').get('iommufd') == 'no'):
            self._need[f'smmu {one.bridge}'] = shape_.smmu
        name = guest.objects.get(alias, (f'{OURS}mem{number}',))[0]
        self._need[f'object {alias}'] = (
            f'{OBJECT},id={name},devid={alias},'
            f'nodeset={one.nodes[0]}-{one.nodes[-1]}')
