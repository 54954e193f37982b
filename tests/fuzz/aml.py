# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of a DSDT.

Reads as much AML (ACPI 6.5, 20 ACPI Machine Language) as it takes to get from
one Device to the next: what is in a method or a field is passed over.
"""

import dataclasses
import uuid

from qemu import Failure

HEADER_LENGTH = 36
PROPERTIES_UUID = uuid.UUID('daffd814-6eba-4d8c-8a91-bc9bbf4aa301')

NAME, STRING, SCOPE, BUFFER, PACKAGE, VAR_PACKAGE, METHOD, EXTENDED = \
    0x08, 0x0d, 0x10, 0x11, 0x12, 0x13, 0x14, 0x5b
CONSTANTS = {0x00: 0, 0x01: 1, 0xff: (1 << 64) - 1}
INTEGER_BYTES = {0x0a: 1, 0x0b: 2, 0x0c: 4, 0x0e: 8}
MUTEX, REGION, FIELD, DEVICE, PROCESSOR = 0x01, 0x80, 0x81, 0x82, 0x83
PREDEFINED = '\\', '\\_SB', '\\_GPE'


@dataclasses.dataclass
class DsdtDevice:
    path: str
    address: int | None = None
    properties: dict[str, int] | None = None


class Reader:
    def __init__(self, table: bytes):
        self.table = table
        self.at = HEADER_LENGTH
        self.devices: dict[str, DsdtDevice] = {}

    def wrong(self, what: str) -> Failure:
        return Failure(f'DSDT: at byte {self.at}: {what}')

    def take(self, count: int) -> bytes:
        data = self.table[self.at:self.at + count]
        if len(data) < count:
            raise self.wrong('it ends too early')
        self.at += count
        return data

    def byte(self) -> int:
        return self.take(1)[0]

    def end(self) -> int:
        """PkgLength: where the object ends"""
        start = self.at
        lead = self.byte()
        more = self.take(lead >> 6)
        length = lead & 0x3f
        if more:
            length = lead & 0x0f | int.from_bytes(more, 'little') << 4
        if start + length > len(self.table):
            raise self.wrong('an object is longer than the table')
        return start + length

    def path(self, scope: str) -> str:
        """NameString, made absolute"""
        first = self.byte()
        if first == ord('\\'):
            scope = '\\'
            first = self.byte()
        count = 1
        if first == 0x2e:
            count = 2
        elif first == 0x2f:
            count = self.byte()
        elif first == 0x00:
            count = 0
        else:
            self.at -= 1
        for _ in range(count):
            segment = self.take(4).decode('latin-1')
            if not all(c.isupper() or c.isdigit() or c == '_'
                       for c in segment):
                raise self.wrong(f'the name {segment!r}')
            segment = segment.rstrip('_') or '_'
            scope += segment if scope == '\\' else '.' + segment
        return scope

    def integer(self) -> int:
        op = self.byte()
        if op in CONSTANTS:
            return CONSTANTS[op]
        if op in INTEGER_BYTES:
            return int.from_bytes(self.take(INTEGER_BYTES[op]), 'little')
        raise self.wrong(f'opcode {op:#x} as an integer')

    def string(self) -> str:
        if self.byte() != STRING:
            raise self.wrong('no string')
        stop = self.table.index(0, self.at)
        text = self.take(stop - self.at).decode('latin-1')
        self.byte()
        return text

    def package(self, elements: int | None = None) -> tuple[int, int]:
        """Where it ends, and how many elements it has"""
        if self.byte() != PACKAGE:
            raise self.wrong('no package')
        end, count = self.end(), self.byte()
        if elements not in (None, count):
            raise self.wrong(f'a package of {count}')
        return end, count

    def device_properties(self) -> dict[str, int]:
        """6.2.5 _DSD, with one UUID and integers only"""
        properties: dict[str, int] = {}
        whole, _ = self.package(2)
        if self.byte() != BUFFER:
            raise self.wrong('no UUID')
        self.end()
        if self.take(self.integer()) != PROPERTIES_UUID.bytes_le:
            raise self.wrong('another UUID')
        end, count = self.package()
        for _ in range(count):
            pair, _ = self.package(2)
            name = self.string()
            if name in properties:
                raise self.wrong(f'{name} twice')
            properties[name] = self.integer()
            if self.at != pair:
                raise self.wrong('a property of another length')
        if not self.at == end == whole:
            raise self.wrong('a _DSD of another length')
        return properties

    def pass_value(self) -> None:
        op = self.table[self.at]
        if op == STRING:
            self.string()
        elif op in (BUFFER, PACKAGE, VAR_PACKAGE):
            self.byte()
            self.at = self.end()
        else:
            self.integer()

    def name(self, scope: str) -> None:
        path = self.path(scope)
        device = self.devices.get(scope)
        if device and path == scope + '._ADR':
            if device.address is not None:
                raise self.wrong(f'{path} twice')
            device.address = self.integer()
        elif device and path == scope + '._DSD':
            if device.properties is not None:
                raise self.wrong(f'{path} twice')
            device.properties = self.device_properties()
        else:
            self.pass_value()

    def extended(self, scope: str) -> None:
        op = self.byte()
        if op == DEVICE:
            end = self.end()
            path = self.path(scope)
            if path in self.devices:
                raise self.wrong(f'Device ({path}) is declared twice')
            self.devices[path] = DsdtDevice(path)
            self.terms(end, path)
        elif op in (FIELD, PROCESSOR):
            self.at = self.end()
        elif op == REGION:
            self.path(scope)
            self.byte()
            self.integer()
            self.integer()
        elif op == MUTEX:
            self.path(scope)
            self.byte()
        else:
            raise self.wrong(f'extended opcode {op:#x} in {scope}')

    def terms(self, end: int, scope: str) -> None:
        while self.at < end:
            op = self.byte()
            if op == SCOPE:
                inner = self.end()
                path = self.path(scope)
                # A single name that is not of the scope is searched for upwards
                path = {f'{scope}.{name[1:]}': name
                        for name in PREDEFINED}.get(path, path)
                if path not in PREDEFINED and path not in self.devices:
                    raise self.wrong(f'Scope ({path}) comes before its Device')
                self.terms(inner, path)
            elif op == NAME:
                self.name(scope)
            elif op == METHOD:
                self.at = self.end()
            elif op == EXTENDED:
                self.extended(scope)
            else:
                raise self.wrong(f'opcode {op:#x} in {scope}')
        if self.at != end:
            raise self.wrong(f'{scope} ends elsewhere')


def read_devices(table: bytes) -> dict[str, DsdtDevice]:
    reader = Reader(table)
    reader.terms(len(table), '\\')
    return reader.devices
