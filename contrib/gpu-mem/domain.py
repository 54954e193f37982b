# SPDX-License-Identifier: GPL-2.0-or-later
"""What a libvirt domain is given for its GPUs, and how that is kept up to
date.

What the GPUs need is compared with what is there.  What an earlier run wrote,
and is still so, follows the need.  All else is the user's.
"""

from __future__ import annotations

import dataclasses
import re
import shutil

from guest import Guest
from host import DRIVER, Mistake
from need import SMMU_SINCE, Need, numbers
from qemu import output
from record import OURS, Known, Record, is_as_written
from writing import Writer
from xml_text import RECORD, Element

# libvirt's versions: the first that passes through what another driver than
# vfio-pci has, and that binds that driver itself
OLDEST, BINDS_SINCE = (9, 7), (10, 0)
OTHER_QEMU = ('', '/usr/bin/qemu-system-aarch64')   # without the object


def virsh_version():
    """What libvirt the machine has, or None."""
    found = shutil.which('virsh') and re.match(r'(\d+)\.(\d+)',
                                               output('virsh', '--version'))
    return found and tuple(map(int, found.groups()))


class Domain:
    def __init__(self, data):
        self.guest = Guest(data)
        self._known = Known(self.guest)
        self._record, self._ours = self._known.record, self._known.ours
        self._notes, self._need, self._writer = [], {}, Writer(self.guest)
        if self._known.changed:
            self._notes.append('changed since the last run, and so kept as it '
                               'is from now on: '
                               + ', '.join(self._known.changed))

    # --- the two things to do ---

    def remove(self):
        """Take out what earlier runs wrote."""
        if not self._record.element and OURS in self._known.texts():
            raise Mistake('<gpu-mem:added> is no longer in <metadata>: take '
                          f'out by hand what has a name with {OURS}, and the '
                          'nodes of GPUs')
        self._keep_nodes(range(0))
        return self._changed(None)

    def update(self, host, names, given, place):
        """Write what the GPUs need.

        GIVEN has the options that hold for later runs too, PLACE is whether
        GPUs that have an address are moved.
        """
        if self.guest.root.find('features', 'acpi') is None:
            raise Mistake('the domain has no <acpi/> in <features>: without it '
                          'the guest is told of no nodes')
        options = {**self._record.options, **given}
        version = self._version(host, options)
        chosen = self._chosen(host, names, options.get('gpu-mem'))
        if not chosen:
            if not self._record.element:
                raise Mistake(
                    'the domain has no <hostdev> that is known to be a GPU '
                    'with coherent memory; --hostdev and --gpu-mem take others')
            self._notes.append('the domain has no GPU any more: what was added '
                               'for GPUs is taken out')
            return self.remove()
        self._note_libvirt(chosen, version)
        need = Need(self.guest, self._known, host, chosen, options, version)
        self._need = need.find(place)
        self._notes += need.notes
        self._keep_nodes(need.nodes)
        return self._changed(options)

    def _changed(self, options):
        self._apply(options)
        return (self.guest.text.changed(self._record.found_empty),
                self._notes)

    def _version(self, host, options):
        version = options.get('libvirt')
        if version is None and host.root == '/sys':
            version = virsh_version()
        if version is None:
            version = SMMU_SINCE
            self._notes.append(
                'this is for libvirt {}.{}: if "virsh --version" says less, '
                'give it as --libvirt'.format(*version))
        if tuple(version) < OLDEST:
            raise Mistake("libvirt before 9.7 can't pass a GPU through with "
                          f'{DRIVER}: take a newer one, or "qemu-gpu-mem args"')
        return tuple(version)

    # --- choosing ---

    def _had(self):
        """The addresses of the GPUs that an earlier run gave something."""
        rests = {name.partition(' ')[2] for name in self._record.values}
        return {hostdev.source for hostdev in self.guest.hostdevs
                if hostdev.source in rests
                or f'object {hostdev.alias}' in self._record.values}

    def _asked(self, host, names):
        """The addresses of what the user names; without a name of all GPUs."""
        known = {gpu.address for gpu in host.gpus()}
        for hostdev in () if names else self.guest.hostdevs:
            if not host.has(hostdev.source):
                raise Mistake(
                    f'{hostdev.source}: this host has no such PCI device; if '
                    'it is no GPU, name those that are by --hostdev')
            if hostdev.source in known:
                yield hostdev.source
        for name in names:
            found = [hostdev.source for hostdev in self.guest.hostdevs
                     if name in (hostdev.alias, hostdev.source)]
            if not found:
                raise Mistake(f'--hostdev {name}: no <hostdev> of a PCI device '
                              'has this alias or address')
            yield from found

    def _chosen(self, host, names, memory):
        """Each <hostdev> that is asked for or has an object, with its GPU.

        And whether it is asked for.
        """
        asked = {*self._asked(host, names), *self._had()}
        found = [(hostdev, _bound(hostdev, host.gpu(hostdev.source, memory)),
                  hostdev.source in asked) for hostdev in self.guest.hostdevs
                 if hostdev.source in asked
                 or hostdev.alias in self.guest.objects]
        for hostdev, _, _ in found:
            if [one.source for one, _, _ in found].count(hostdev.source) > 1:
                raise Mistake(f'{hostdev.source} is in two <hostdev>: take one '
                              'out')
            if hostdev.alias and not re.fullmatch(r'ua-[\w.-]+', hostdev.alias):
                name = re.sub(r'[^\w.-]', '-', hostdev.alias)
                raise Mistake(
                    f'{hostdev.source}: libvirt drops the alias '
                    f'{hostdev.alias}: call it ua-{name.removeprefix("ua-")}, '
                    'or take it out')
        return found

    def _note_libvirt(self, chosen, version):
        guest = self.guest
        if guest.root.first('devices', 'emulator').text in OTHER_QEMU:
            self._notes.append(
                'its <emulator> must be a QEMU that has nvidia-gpu-mem-acpi')
        for hostdev, gpu, _ in chosen:
            if version < BINDS_SINCE and (
                    hostdev.element.get('managed') == 'yes'):
                self._notes.append(
                    f'{gpu.address}: libvirt before 10.0 binds vfio-pci: bind '
                    f"{DRIVER}, and write managed='no'")
            if gpu.egm:
                self._notes.append(
                    f'{gpu.address}: the host has EGM for it, /dev/{gpu.egm}, '
                    "which libvirt can't give a cell: "
                    '"qemu-gpu-mem args --egm" does')
        aliases = {one.alias for one in guest.hostdevs}
        for devid, (name, _) in guest.objects.items():
            if devid not in aliases and f'object {devid}' not in self._ours:
                self._notes.append(f'object {name}: no <hostdev> has the alias '
                                   f'{devid}')

    # --- what stays ---

    def _keep_nodes(self, gpu_nodes):
        """A node stays if a higher one does, or if something names it."""
        ours = {int(name.split()[1]) for name in self._ours
                if name.split()[0] in ('cell', 'node')}
        reasons = {node: f'node {node} stays' for node in self.guest.nodes
                   if node not in ours}
        written = {id(element) for name in self._ours
                   for element in self._known.items[name].elements}
        reasons.update((node, f'{what} names node {node}') for node, what
                       in self.guest.references(written) if node in ours)
        highest = max([*reasons, *gpu_nodes], default=-1)
        kept = {node for node in ours if node <= highest}
        for name in self._ours:
            kind, _, rest = name.partition(' ')
            if kind in ('cell', 'node') and int(rest) in kept and (
                    not {f'cell {rest}', f'node {rest}'} & {*self._need}):
                self._need[name] = self._known.value(name)
        if kept and not gpu_nodes:
            self._notes.append(f'of the nodes that were added {numbers(kept)} '
                               f'stay, for {reasons[highest]}')

    def _is_used(self, index):
        """Whether a device that stays is below a controller, or its SMMU."""
        smmu = self._known.items.get(f'smmu {index}')
        return smmu and not smmu.elements[0].gone or any(
            self.guest.bus_of(device) == index
            for device in self.guest.root.first('devices').children
            if not device.gone and device.first('address').get('bus'))

    # --- changing the text ---

    def _apply(self, options):
        """OPTIONS are None if nothing is to be recorded."""
        values = {}
        for name, value in self._need.items():
            if name not in self._known:
                self._writer.add(name, value)
            elif name not in self._ours:
                continue
            elif not is_as_written(name, self._known.value(name), value):
                if isinstance(value, type(self._known.value(name))):
                    self._known.items[name].write(value)
                else:
                    self._take_out(name)
                    self._writer.add(name, value)
            values[name] = value
            moved = f'moved {name.partition(" ")[2]}'
            if name.startswith('address') and moved in self._record.values:
                values[moved] = self._record.values[moved]
        # What is below something goes before it
        order = 'address port bridge root'
        for name in sorted(self._ours - {*self._need},
                           key=lambda name: order.find(name.split()[0])):
            if not self._take_out(name):
                values[name] = self._known.value(name)
        self._tidy()
        self._write_record(options, values)

    def _take_out(self, name):
        """Whether it could be."""
        item, (kind, _, rest) = self._known.items[name], name.partition(' ')
        if kind in ('port', 'bridge') and self._is_used(item.value['index']):
            return False
        if kind == 'alias' and f'object {item.value}' in (
                {*self._known.items} - self._ours):
            return False
        if kind == 'root' and any(not one.gone
                                  for one in item.elements[0].children):
            return False
        if kind == 'address' and f'moved {rest}' in self._record.values:
            item.write(self._record.values[f'moved {rest}'])
            return True
        for element in item.elements:
            element.gone = True
        if item.remove:
            item.remove()
        return True

    def _tidy(self):
        """libvirt also writes a cell's distance from itself."""
        for distances in self.guest.root.all('cpu', 'numa', 'cell',
                                             'distances'):
            if not distances.added and any(
                    one.gone for one in distances.children) and all(
                        one.gone or one.get('value') == '10'
                        for one in distances.children):
                for one in distances.children:
                    one.gone = True

    def _write_record(self, options, values):
        text, old = self.guest.text, self._record.element
        # Version 1 has attributes
        if old and (options is None or old.attributes):
            old.gone = True
        if options is None:
            return
        element = old
        if not old or old.gone:
            element = Element(f'{RECORD} added')
            self._writer.within(self.guest.root, 'metadata').added.append(
                element)
        empty = [*self._record.found_empty, *(
            [one.name, one.attributes, text.written(one)]
            for one in text.elements if one.added and not one.children and not (
                one.attributes and text.is_empty_tag(one)))]
        new = Record(old, options, values, empty)
        if element is not old:
            element.append(new.text())
        elif not new.is_as(element):
            element.new_text = new.text()


def _bound(hostdev, gpu):
    """The GPU with the driver that libvirt binds, if the domain says so."""
    if hostdev.element.get('managed') == 'yes' and (
            hostdev.element.first('driver').get('model') == DRIVER):
        gpu = dataclasses.replace(gpu, driver=DRIVER)
    return gpu
