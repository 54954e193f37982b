# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware and guest do, by the qtest protocol."""

import struct

from boards import Board
from qemu import Failure, Qemu

FW_CFG_DIRECTORY = 0x19
DMA_READ_SELECTED = 0xa             # read, of the item in the upper half
DATA = 0x1000                       # after the request
DIRECTORY_FILES = 64                # more than there are
FILE = struct.Struct('>IHH56s')

CAPABILITIES = 0x34
PCI_EXPRESS = 0x10                  # capability
SLOT_CONTROL = 0x18                 # in it: PCI_EXP_SLTCTL
POWER_INDICATOR_ON = 0x0100
POWER_OFF = 0x0700                  # power and its indicator off

# ACPI PCI hot-plug, see docs/specs/acpi_pci_hotplug.rst
EJECT_PENDING = 0x4
EJECT = 0x8
SELECT_BUS = 0x10


class Guest:
    def __init__(self, qemu: Qemu, board: Board):
        self.qemu = qemu
        self.board = board
        self.read, self.write = board.access

    # fw_cfg

    def dma_read(self, key: int, length: int) -> bytes:
        scratch = self.board.scratch
        request = struct.pack('>IIQ', key << 16 | DMA_READ_SELECTED, length,
                              scratch + DATA)
        self.qemu.write_memory(scratch, request)
        # Its lower half, in big endian, starts the transfer
        low = int.from_bytes(scratch.to_bytes(4, 'big'), 'little')
        self.qemu.ask(f'{self.write}l {self.board.fw_cfg:#x} 0',
                      f'{self.write}l {self.board.fw_cfg + 4:#x} {low:#x}')
        if self.qemu.read_memory(scratch, 4) != bytes(4):
            raise Failure('fw_cfg: the DMA failed')
        return self.qemu.read_memory(scratch + DATA, length)

    def read_file(self, name: str) -> bytes:
        """b'' if there is none"""
        directory = self.dma_read(FW_CFG_DIRECTORY,
                                  4 + DIRECTORY_FILES * FILE.size)
        count = int.from_bytes(directory[:4], 'big')
        if count > DIRECTORY_FILES:
            raise Failure(f'fw_cfg has {count} files')
        for number in range(count):
            size, key, _, text = FILE.unpack_from(directory,
                                                  4 + number * FILE.size)
            if text.rstrip(b'\0') == name.encode():
                return self.dma_read(key, size)
        return b''

    # PCI configuration space

    def config(self, bus: int, devfn: int, offset: int) -> int:
        """Where it is; on a PC a port, which is first made to stand for it"""
        start = self.board.config
        if start > 0xffff:
            return start + (bus << 20 | devfn << 12 | offset)
        number = 1 << 31 | bus << 16 | devfn << 8 | offset & ~3
        self.qemu.ask(f'outl {start:#x} {number:#x}')
        return start + 4 + (offset & 3)

    def read_config(self, bus: int, devfn: int, offset: int) -> int:
        at = self.config(bus, devfn, offset)
        return int(self.qemu.ask(f'{self.read}b {at:#x}')[0][0], 16)

    def write_config(self, bus: int, devfn: int, offset: int, value: int,
                     size: str = 'b') -> None:
        at = self.config(bus, devfn, offset)
        self.qemu.ask(f'{self.write}{size} {at:#x} {value:#x}')

    # Unplug, when the guest has been asked for it

    def power_off(self, devfn: int) -> None:
        """The slot of a port on the root bus"""
        at = self.read_config(0, devfn, CAPABILITIES)
        while at and self.read_config(0, devfn, at) != PCI_EXPRESS:
            at = self.read_config(0, devfn, at + 1)
        if not at:
            raise Failure(f'devfn {devfn:#x} is no PCI Express port')
        for value in POWER_INDICATOR_ON, POWER_OFF:
            self.write_config(0, devfn, at + SLOT_CONTROL, value, 'w')

    def eject(self) -> None:
        """By ACPI: the slot that says so, on whatever bus"""
        ports = self.board.eject
        for bus in range(256):
            _, reply = self.qemu.ask(f'outl {ports + SELECT_BUS:#x} {bus:#x}',
                                     f'inl {ports + EJECT_PENDING:#x}')
            slots = int(reply[0], 16)
            if slots:
                self.qemu.ask(f'outl {ports + EJECT:#x} {slots:#x}')
                return
        raise Failure('no slot is to be ejected')
