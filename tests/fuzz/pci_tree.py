# SPDX-License-Identifier: GPL-2.0-or-later
"""Random devices: bridges nested in bridges, endpoints anywhere."""

import random

from machine import Device, Kind, Machine, key_value
from numa_nodes import add_backend

# What starts without a back end: driver, properties
PLUGGABLE = (
    ('pci-testdev', ''), ('edu', ''), ('virtio-rng-pci', ''),
    ('nvme', 'serial=1'), ('e1000e', 'romfile='), ('virtio-serial-pci', ''),
    ('virtio-keyboard-pci', ''), ('pvscsi', ''),
)
ENDPOINTS = PLUGGABLE + (
    ('qemu-xhci', ''),      # 10.2 does not tell when it has been unplugged
    ('virtio-net-pci', 'romfile='), ('e1000', 'romfile='),
    ('rtl8139', 'romfile='), ('nec-usb-xhci', ''), ('ich9-ahci', ''),
    ('lsi53c895a', ''), ('megasas', ''), ('virtio-scsi-pci', ''),
    ('secondary-vga', ''), ('ati-vga', 'romfile='), ('intel-hda', ''),
    ('sdhci-pci', ''), ('i6300esb', ''), ('pci-serial', ''), ('tpci200', ''),
    ('virtio-gpu-pci', ''), ('mptsas1068', ''),
    ('ufs', ''), ('usb-ehci', ''), ('pci-ohci', ''), ('tulip', 'romfile='),
    ('ne2k_pci', 'romfile='), ('pvpanic-pci', ''),
)
ONCE = (('virtio-balloon-pci', ''),)
PORTS = ('pcie-root-port', 'ioh3420')
SLOTS = {
    Kind.HOST_BRIDGE: range(32),
    Kind.PORT: range(1),
    Kind.SWITCH: range(32),
    Kind.BRIDGE: range(1, 32),
}


MEMORY_DEVICE_MIB = 16
MAX_MEMORY_DEVICES = 8          # fit into the smallest range for them


def slots_of(machine: Machine, parent: Device | None) -> range:
    return SLOTS[parent.kind] if parent else machine.board.root_slots


class Tree:
    def __init__(self, machine: Machine, rng: random.Random):
        self.machine = machine
        self.rng = rng
        self.numbers = 0
        self.bus_numbers = rng.sample(machine.board.expander_numbers[1:], 4)
        self.bus_numbers.insert(rng.randrange(5),
                                machine.board.expander_numbers[0])

    def new(self, prefix: str, driver: str, kind: Kind, **fields) -> Device:
        self.numbers += 1
        name = f'{prefix}{self.numbers}'
        return Device(name, driver, kind, **fields)

    def find_address(self, device: Device) -> bool:
        """A free function of the bus of device.parent"""
        rng = self.rng
        taken = {}
        for other in self.machine.children(device.parent):
            taken.setdefault(other.slot, []).append(other)
        slots = slots_of(self.machine, device.parent)
        shared = [slot for slot, others in taken.items()
                  if len(others) < 8 and all(o.multifunction for o in others)]
        free = [slot for slot in slots if slot not in taken]

        if shared and (not free or rng.random() < 0.4):
            device.slot = rng.choice(shared)
            used = {other.function for other in taken[device.slot]}
            device.function = rng.choice(sorted(set(range(8)) - used))
            device.multifunction = True
        elif free:
            device.slot = rng.choice(free)
            device.multifunction = rng.random() < 0.3
            if device.multifunction and rng.random() < 0.2:
                device.function = rng.randrange(8)
        else:
            return False
        return True

    def new_endpoint(self, parent: Device | None) -> Device:
        if self.machine.max_mib and self.machine.nodes and \
                len(self.machine.memory_devices()) < MAX_MEMORY_DEVICES and \
                self.rng.random() < 0.05:
            return self.new_virtio_mem()
        once = [model for model in ONCE
                if model[0] not in {d.driver for d in
                                    self.machine.devices.values()}]
        driver, properties = self.rng.choice(ENDPOINTS + tuple(once))
        if parent and parent.kind == Kind.PORT and self.rng.random() < 0.6:
            driver, properties = self.rng.choice(PLUGGABLE)
        if parent and parent.kind == Kind.PORT and \
                not self.machine.children(parent) and self.rng.random() < 0.1:
            # Its virtual functions take other slots
            driver, properties = 'igb', 'romfile='
        return self.new('dev', driver, Kind.ENDPOINT, properties=properties,
                        hot_pluggable=(driver, properties) in PLUGGABLE)

    def new_virtio_mem(self) -> Device:
        """An endpoint whose memory is in a node"""
        device = self.new('vmem', 'virtio-mem-pci', Kind.ENDPOINT,
                          hot_pluggable=True)
        add_backend(self.machine, f'{device.id}-ram', MEMORY_DEVICE_MIB)
        device.memory_node = self.rng.choice(self.machine.nodes).number
        device.properties = \
            f'memdev={device.id}-ram,node={device.memory_node}'
        return device

    def new_bridge(self, parent: Device | None) -> Device:
        rng, board = self.rng, self.machine.board
        kinds = [Kind.BRIDGE]
        weights = [2]
        if parent and parent.driver == 'pxb-cxl':
            return self.new_port('rp', 'cxl-rp')
        if parent and parent.kind == Kind.SWITCH:
            return self.new_port('down', 'xio3130-downstream')
        if board.express:
            kinds += [Kind.PORT, Kind.SWITCH]
            weights += [5, 2]
        if not parent and self.bus_numbers:
            kinds.append(Kind.HOST_BRIDGE)
            weights.append(3)
        kind = rng.choices(kinds, weights)[0]
        if kind == Kind.HOST_BRIDGE:
            device = self.new('pxb', rng.choice(sorted(board.expanders)), kind,
                              bus_nr=self.bus_numbers.pop())
            if self.machine.nodes and rng.random() < 0.3:
                node = rng.choice(self.machine.nodes).number
                device.properties = f'numa_node={node}'
        elif kind == Kind.PORT:
            device = self.new_port('port', rng.choice(PORTS))
        elif kind == Kind.SWITCH:
            device = self.new('up', 'x3130-upstream', kind)
        else:
            device = self.new('br', rng.choice(board.bridges), kind)
            if device.driver == 'pci-bridge':
                device.properties = f'chassis_nr={self.numbers}'
        return device

    def new_port(self, prefix: str, driver: str) -> Device:
        return self.new(prefix, driver, Kind.PORT,
                        properties=f'chassis={self.numbers + 1}')

    def grow(self, count: int) -> None:
        """PCI devices, each below any that is there already"""
        devices = self.machine.devices
        for _ in range(count):
            buses = [None] * 2 + [
                dev for dev in devices.values()
                if dev.kind in SLOTS and dev.driver != 'pxb']
            parent = self.rng.choice(buses)
            only_bridges = parent and parent.kind in (Kind.SWITCH,
                                                      Kind.HOST_BRIDGE)
            deep = parent and len(parent.path()) > 6
            if only_bridges or (not deep and self.rng.random() < 0.45):
                device = self.new_bridge(parent)
            else:
                device = self.new_endpoint(parent)
            device.parent = parent
            if self.find_address(device):
                devices[device.id] = device
                if device.driver == 'pxb':
                    # It has a bridge of its own, which its id is the bus of
                    bridge = Device(f'{device.id} bridge', 'pci-bridge',
                                    Kind.BRIDGE, device, bus=device.id)
                    devices[bridge.id] = bridge

    def add_others(self) -> None:
        """Devices that aren't on a PCI bus"""
        devices = self.machine.devices
        models = [(driver, '') for driver in self.machine.board.not_pci]
        for device in devices.values():
            if device.driver == 'virtio-serial-pci':
                models.append(('virtserialport', f'bus={device.id}.0'))
            elif device.driver == 'qemu-xhci':
                models.append(('usb-kbd', f'bus={device.id}.0'))
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            driver, properties = self.rng.choice(models)
            device = self.new('other', driver, Kind.NOT_PCI,
                              properties=properties)
            devices[device.id] = device
            if properties:
                models.remove((driver, properties))

    def order(self) -> list[Device]:
        """Random, but none before the one that it is plugged into.  Before
        there is a firmware other bridges have bus 0 too, and if one of them is
        there first, no expander bridge can have it."""
        waiting = [device for device in self.machine.devices.values()
                   if not device.is_built_in()]
        self.rng.shuffle(waiting)
        waiting.sort(key=lambda device: device.kind != Kind.HOST_BRIDGE or
                     device.bus_nr > 0)
        done: list[Device] = []
        while waiting:
            for device in waiting:
                host = device.arguments().get('bus', '').removesuffix('.0')
                if not any(other.id == host for other in waiting):
                    break
            waiting.remove(device)
            done.append(device)
        return done

    def leave_out_addresses(self, devices: list[Device]) -> None:
        """Where QEMU then takes a slot that no other is meant for"""
        for index, device in enumerate(devices):
            kind = device.parent.kind if device.parent else None
            if not device.is_pci() or device.multifunction or \
                    kind == Kind.BRIDGE or self.rng.random() < 0.6:
                continue
            there = {other.slot for other in devices[:index]
                     if other.is_pci() and other.parent is device.parent and
                     other.function == 0}
            first = min(set(slots_of(self.machine, device.parent)) - there)
            if not any(other is not device and other.slot == first for other in
                       self.machine.children(device.parent)):
                device.slot = first
                device.auto_address = True


def add_devices(machine: Machine, rng: random.Random) -> None:
    tree = Tree(machine, rng)
    tree.grow(rng.choices((0, rng.randint(1, 8), rng.randint(8, 25), 60),
                          (5, 50, 40, 5))[0])
    tree.add_others()
    devices = tree.order()
    tree.leave_out_addresses(devices)
    root_bus = machine.board.root_bus
    if rng.random() < 0.5 and not any(dev.kind == Kind.HOST_BRIDGE
                                      for dev in devices):
        root_bus = ''
    machine.option_groups.append(
        [['-device', key_value(dev.arguments(root_bus))] for dev in devices])
