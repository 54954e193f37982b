# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine consists of, and the command line that describes it."""

import dataclasses
import enum
import random

from boards import VIRT, Board

MAX_NODES = 128


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
    bus: str = ''                       # behind it, where it isn't its id
    properties: str = ''
    memory_node: int | None = None      # of a memory device
    hot_pluggable: bool = False

    @property
    def devfn(self) -> int:
        return self.slot << 3 | self.function

    def is_pci(self) -> bool:
        return self.kind != Kind.NOT_PCI

    def is_built_in(self) -> bool:
        return bool(self.bus)

    def path(self) -> list['Device']:
        """From the root bus down."""
        above = self.parent
        if not above or above.kind == Kind.HOST_BRIDGE:
            return [self]
        return above.path() + [self]

    def expander(self) -> 'Device | None':
        """The host bridge that it is below, if it isn't the machine's own"""
        return self.path()[0].parent

    def bus_number(self) -> int:
        """Of the bus that it is on"""
        if not self.parent:
            return 0
        return self.parent.bus_nr or self.parent.secondary

    def arguments(self, root_bus: str = '') -> dict[str, str]:
        arguments = {'driver': self.driver, 'id': self.id}
        if self.is_pci():
            if self.parent:
                arguments['bus'] = self.parent.bus or self.parent.id
            elif root_bus:
                arguments['bus'] = root_bus
            if not self.auto_address:
                arguments['addr'] = f'{self.slot:x}.{self.function:x}'
            if self.multifunction:
                arguments['multifunction'] = 'on'
        if self.bus_nr:
            arguments['bus_nr'] = str(self.bus_nr)
        for pair in filter(None, self.properties.split(',')):
            name, _, value = pair.partition('=')
            arguments[name] = value
        return arguments


@dataclasses.dataclass(frozen=True)
class ObjectType:
    """names: what the names of the properties of the device begin with"""
    name: str
    device: str                 # its property
    nodes: str                  # the same
    names: tuple[str, ...] = ()


NVIDIA = ObjectType('nvidia-gpu-mem-acpi', 'devid', 'nodeset',
                    ('dev-mem-pxm', 'nvidia,gpu-mem-pxm'))
GENERAL = ObjectType('dev-mem-pxm-acpi', 'devid', 'nodeset', ('dev-mem-pxm',))
INITIATOR = ObjectType('acpi-generic-initiator', 'pci-dev', 'node')
PORT = ObjectType('acpi-generic-port', 'pci-bus', 'node')


@dataclasses.dataclass(eq=False)
class NodeObject:
    """An object of the series, or one of its peers, which have one node.
    garbage: a pattern of what QEMU's option parser says of it."""
    type: ObjectType
    id: str
    device: str
    nodes: list[int]            # as given
    initiator: bool | None = None   # None: not given
    egm_node: int | None = None     # the same
    text: str = ''              # of -object; '': by QMP
    garbage: str = ''

    def is_owner(self) -> bool:
        """Are its nodes for the memory of its device, and for nothing else?"""
        return bool(self.type.names)

    def is_initiator(self) -> bool:
        return self.type is INITIATOR or bool(self.initiator)

    def is_json(self) -> bool:
        return self.text.startswith('{')

    def properties(self) -> dict:
        nodes = self.nodes if self.is_owner() else self.nodes[0]
        given = {'qom-type': self.type.name, 'id': self.id,
                 self.type.device: self.device, self.type.nodes: nodes}
        if self.initiator is not None:
            given['generic-initiator'] = self.initiator
        if self.egm_node is not None:
            given['egm-node'] = self.egm_node
        return given


@dataclasses.dataclass
class Machine:
    board: Board = VIRT
    name: str = ''                      # in messages
    newest: bool = True                 # its type is the newest of the QEMU
    nodes: list[Node] = dataclasses.field(default_factory=list)
    devices: dict[str, Device] = dataclasses.field(default_factory=dict)
    # In the order in which they are created
    objects: list[NodeObject] = dataclasses.field(default_factory=list)
    backends: list[str] = dataclasses.field(default_factory=list)
    distances: dict[tuple[int, int], int] = \
        dataclasses.field(default_factory=dict)
    # Of HMAT: initiator and target
    latencies: set[tuple[int, int]] = dataclasses.field(default_factory=set)
    mib: int = 0
    max_mib: int = 0
    per_socket: int = 1                 # CPUs
    has_tables: bool = True             # its type is made for the objects
    acpi: bool = True
    hmat: bool = False
    preconfig: bool = False
    incoming: bool = False
    acpi_hotplug: bool = False
    numa_options: list[list[str]] = dataclasses.field(default_factory=list)
    # Options in the order in which they must stay, one list each
    option_groups: list[list[list[str]]] = \
        dataclasses.field(default_factory=list)

    def children(self, parent: Device | None) -> list[Device]:
        return [dev for dev in self.devices.values()
                if dev.is_pci() and dev.parent is parent]

    def owners(self) -> list[NodeObject]:
        return [obj for obj in self.objects if obj.is_owner()]

    def nodes_of(self, *types: ObjectType) -> set[int]:
        return {node for obj in self.objects if obj.type in types
                for node in obj.nodes}

    def owned_nodes(self) -> set[int]:
        return self.nodes_of(NVIDIA, GENERAL)

    def memory_devices(self) -> list[Device]:
        return [dev for dev in self.devices.values()
                if dev.memory_node is not None]

    def plugged_nodes(self) -> set[int]:
        return {dev.memory_node for dev in self.memory_devices()}

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
