# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines that have the tables, and all in which they differ."""

import dataclasses

MIB = 1 << 20
GIB = 1 << 30
END = 1 << 60


@dataclasses.dataclass(frozen=True)
class Board:
    type: str                   # of -machine
    stem: str                   # what its versioned names begin with
    arguments: tuple[str, ...]
    root_bus: str
    root_slots: range           # those that have no device of its own
    express: bool               # the root bus is a PCI Express one
    expanders: dict[str, str]   # their drivers: how the DSDT names them
    expander_numbers: range     # of bus_nr
    bridges: tuple[str, ...]
    plug_bridge: str            # one that can be plugged in
    not_pci: tuple[str, ...]
    ram_base: int
    ram_split: tuple[int, int]  # from which size on, where: the rest is at 4G
    max_cpus: int
    access: tuple[str, str]     # how qtest reads and writes its registers
    fw_cfg: int                 # the register of its DMA
    scratch: int                # in guest RAM
    config: int                 # PCI configuration space, or its first port
    eject: int = 0              # ports of PCI hot-plug by ACPI
    egm: bool = False           # a node's memory is in one piece
    dimms: bool = False         # can be plugged in without a firmware
    options: tuple[str, ...] = ()   # of -machine, and they change no table


VIRT = Board(
    'virt', 'virt-', ('-cpu', 'cortex-a57'), 'pcie.0', range(1, 32), True,
    {'pxb-pcie': 'PC'}, range(1, 256),
    ('pcie-pci-bridge', 'pci-bridge', 'i82801b11-bridge'), 'pcie-pci-bridge',
    ('virtio-rng-device', 'nvme-subsys'), 1 * GIB, (END, END), 8,
    ('read', 'write'), 0x09020010, 1 * GIB, 0x4010000000,
    egm=True, options=('iommu=smmuv3',))
PC = Board(
    'pc', 'pc-i440fx-',
    ('-bios', 'bios', '-global', 'apic-common.vapic=off'), 'pci.0', range(2, 32), False,
    {'pxb': 'PC'}, range(1, 256),
    ('pci-bridge', 'i82801b11-bridge'), 'pci-bridge',
    ('isa-debug-exit', 'nvme-subsys'), 0, (0xe0000000, 0xc0000000), 8,
    ('in', 'out'), 0x514, 0x10000, 0xcf8, 0xae00,
    dimms=True)
Q35 = dataclasses.replace(
    VIRT, type='q35', stem='pc-q35-', arguments=PC.arguments,
    root_slots=range(1, 31),
    expanders={'pxb-pcie': 'PC', 'pxb-cxl': 'CL'},
    expander_numbers=range(256), not_pci=PC.not_pci,
    ram_base=0, ram_split=(0xb0000000, 0x80000000), max_cpus=288,
    access=PC.access, fw_cfg=PC.fw_cfg, scratch=PC.scratch, config=PC.config,
    eject=0xcc0, egm=False, dimms=True, options=())
# Host bridges of CXL, there since 10.2, are named as all others
VIRT_CXL = dataclasses.replace(VIRT, expanders=VIRT.expanders | {'pxb-cxl': 'PC'})
# Each a machine that knows nothing of the objects
OTHERS = {'aarch64': (('none',), ('raspi3b', '-cpu', 'cortex-a53')),
          'x86_64': (('none',), ('microvm',))}
# Each has types of its own; those older than the newest of a QEMU describe
# fewer empty nodes
VERSIONS = ('9.2', '10.0', '10.1', '10.2', '11.0', '11.1')
LOW_HOLE = 640 << 10, 1 * MIB       # of a PC


def number(version: str) -> list[int]:
    return [int(part) for part in version.split('.')]


def boards(arch: str, version: str) -> tuple[Board, ...]:
    """Of a QEMU of this version"""
    if arch == 'x86_64':
        return Q35, Q35, PC
    return (VIRT_CXL if number(version) >= number('10.2') else VIRT,)


def ram_areas(board: Board, size: int) -> list[tuple[int, int, int]]:
    """From and to which byte of RAM, at which address"""
    if board.ram_base:
        return [(0, size, board.ram_base)]
    limit, split = board.ram_split
    split = split if size >= limit else END
    return [(0, LOW_HOLE[0], 0), (LOW_HOLE[1], split, LOW_HOLE[1]),
            (split, END, 4 * GIB)]


def cpu_name(board: Board, cpu: int, per_socket: int) -> int:
    """What the SRAT calls it: UID, or APIC ID"""
    if board.ram_base:
        return cpu
    socket, core = divmod(cpu, per_socket)
    return socket << (per_socket - 1).bit_length() | core
