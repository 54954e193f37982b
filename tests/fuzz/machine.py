# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine consists of, and the command line that describes it."""

import dataclasses
import enum
import random

MIB = 1 << 20
MAX_NODES = 128
OBJECT_TYPE = 'nvidia-gpu-mem-acpi'


class Kind(enum.Enum):
    ENDPOINT = 'endpoint'
    PORT = 'port'               # the bus behind it has slot 0 only
    SWITCH = 'switch'           # the upstream port of one
    BRIDGE = 'bridge'           # a conventional bus behind it, without slot 0
    HOST_BRIDGE = 'host bridge'
    NOT_PCI = 'not PCI'


@dataclasses.dataclass
class Node:
    number: int
    mib: int = 0
    cpus: list[int] = dataclasses.field(default_factory=list)
    named_cpus: list[int] = dataclasses.field(default_factory=list)

    def is_empty(self) -> bool:
        return not self.mib and not self.cpus


@dataclasses.dataclass(eq=False)
class Device:
    id: str
    driver: str
    kind: Kind
    parent: 'Device | None' = None      # None: on the machine's own bus
    slot: int = 0
    function: int = 0
    multifunction: bool = False
    auto_address: bool = False          # QEMU finds the slot itself
    bus_nr: int = 0                     # of what is behind a host bridge
    secondary: int = 0                  # what the guest calls the bus behind it
    properties: str = ''
    hot_pluggable: bool = False

    @property
    def devfn(self) -> int:
        return self.slot << 3 | self.function

    def is_pci(self) -> bool:
        return self.kind != Kind.NOT_PCI

    def path(self) -> list['Device']:
        """From the root bus down."""
        above = self.parent
        if not above or above.kind == Kind.HOST_BRIDGE:
            return [self]
        return above.path() + [self]

    def root_name(self) -> str:
        top = self.path()[0].parent
        return f'PC{top.bus_nr:02X}' if top else 'PCI0'

    def bus_number(self) -> int:
        """Of the bus that it is on"""
        if not self.parent:
            return 0
        return self.parent.bus_nr or self.parent.secondary

    def expander_node(self) -> int | None:
        """The numa_node of the expander bridge that it is below"""
        top = self.path()[0].parent
        return int(top.properties.split('=')[1]) if top and top.properties \
            else None

    def acpi_path(self) -> str:
        names = [f'S{hop.devfn:02X}' for hop in self.path()]
        return '.'.join(['\\_SB', self.root_name(), *names])

    def arguments(self, name_root_bus: bool = True) -> dict[str, str]:
        arguments = {'driver': self.driver, 'id': self.id}
        if self.is_pci():
            if self.parent:
                arguments['bus'] = self.parent.id
            elif name_root_bus:
                arguments['bus'] = 'pcie.0'
            if not self.auto_address:
                arguments['addr'] = f'{self.slot:x}.{self.function:x}'
            if self.multifunction:
                arguments['multifunction'] = 'on'
        if self.kind == Kind.HOST_BRIDGE:
            arguments['bus_nr'] = str(self.bus_nr)
        for pair in filter(None, self.properties.split(',')):
            name, _, value = pair.partition('=')
            arguments[name] = value
        return arguments


@dataclasses.dataclass
class GpuObject:
    """An object of the series; garbage: a pattern of what QEMU's option parser
    says of it."""
    id: str
    devid: str
    nodes: list[int]            # as given
    text: str = ''              # of -object; '': by QMP
    garbage: str = ''
    initiator: str | None = None    # None: not given
    pxm: int | None = None

    def is_json(self) -> bool:
        return self.text.startswith('{')

    def properties(self) -> dict:
        return {'qom-type': OBJECT_TYPE, 'id': self.id, 'devid': self.devid,
                'nodeset': self.nodes, **self.options()}

    def options(self) -> dict:
        given = {'generic-initiator': self.initiator, 'pxm': self.pxm}
        return {name: value for name, value in given.items()
                if value is not None}


@dataclasses.dataclass
class Machine:
    type: str = 'virt'
    nodes: list[Node] = dataclasses.field(default_factory=list)
    devices: dict[str, Device] = dataclasses.field(default_factory=dict)
    objects: list[GpuObject] = dataclasses.field(default_factory=list)
    initiators: dict[str, tuple[int, str]] = \
        dataclasses.field(default_factory=dict)     # id: node, device
    ports: dict[str, int] = dataclasses.field(default_factory=dict)
    backends: list[str] = dataclasses.field(default_factory=list)
    distances: dict[tuple[int, int], int] = \
        dataclasses.field(default_factory=dict)
    mib: int = 0
    max_mib: int = 0
    acpi: bool = True
    hmat: bool = False
    preconfig: bool = False
    numa_options: list[list[str]] = dataclasses.field(default_factory=list)
    # Options in the order in which they must stay, one list each
    option_groups: list[list[str]] = dataclasses.field(default_factory=list)

    def children(self, parent: Device | None) -> list[Device]:
        return [dev for dev in self.devices.values()
                if dev.is_pci() and dev.parent is parent]

    def arguments(self, rng: random.Random) -> list[str]:
        """The groups merged in random order."""
        groups = [list(group) for group in self.option_groups if group]
        merged = []
        while groups:
            group = rng.choice(groups)
            merged += group.pop(0)
            if not group:
                groups.remove(group)
        return merged


def key_value(properties: dict[str, str]) -> str:
    """As for -device: the driver comes first, without its name."""
    rest = [f'{name}={value}' for name, value in properties.items()
            if name != 'driver']
    return ','.join([properties['driver'], *rest])
