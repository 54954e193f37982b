# SPDX-License-Identifier: GPL-2.0-or-later
"""Are the tables of a machine those that the model predicts?"""

import dataclasses

import model
import tables
from aml import read_devices
from boards import MIB
from machine import Machine
from qemu import Failure


def compare(what: str, have, want) -> None:
    """Of lists only what differs is told."""
    if have != want:
        if isinstance(have, list) and isinstance(want, list):
            while have and want and have[0] == want[0]:
                have, want = have[1:], want[1:]
            while have and want and have[-1] == want[-1]:
                have, want = have[:-1], want[:-1]
        raise Failure(f'{what}:\n  is      {have}\n  must be {want}')


def without_range(machine: Machine,
                  entry: model.MemoryEntry) -> model.MemoryEntry:
    """With base and size made ANY if they can be those for DIMMs"""
    ram_end = machine.board.ram_base + machine.mib * MIB
    if entry.flags & model.HOT_PLUGGABLE and entry.base >= ram_end and \
            entry.size >= (machine.max_mib - machine.mib) * MIB > 0:
        return dataclasses.replace(entry, base=model.ANY, size=model.ANY)
    return entry


def check_srat(machine: Machine, table: bytes) -> None:
    srat = tables.read_srat(table)
    compare('SRAT: memory', [without_range(machine, entry)
                             for entry in srat.memory],
            model.srat_memory(machine))
    compare('SRAT: nodes of the CPUs', srat.cpus, model.cpu_nodes(machine))
    compare('SRAT: generic initiators and ports', srat.affinities,
            model.affinities(machine))


def check_dsdt(machine: Machine, table: bytes) -> None:
    devices = read_devices(table)
    addresses = model.addresses(machine)
    bridges = model.bridges_on_the_way(machine)
    want = model.properties(machine)

    compare('DSDT: the devices with properties',
            {path: dev.properties for path, dev in devices.items()
             if dev.properties is not None}, want)
    seen = set()
    virtual = model.virtual_function_parents(machine)
    for path, dev in devices.items():
        parent = path.rpartition('.')[0]
        if dev.address is None:
            if path in addresses:
                raise Failure(f'DSDT: {path} has no _ADR')
            continue
        if (parent, dev.address) in seen:
            raise Failure(f'DSDT: {path} has the _ADR of another')
        seen.add((parent, dev.address))
        # What QEMU names below PCI0 is its own affair, but it must be there
        by_qemu = path.startswith('\\_SB.PCI0.')
        if path == '\\_SB.PCI0.S00':
            compare(f'DSDT: _ADR of {path}', dev.address, 0)
        elif by_qemu and parent in virtual and dev.address >> 16 >= 16:
            pass
        elif by_qemu and path not in addresses and \
                not machine.board.ram_base:
            pass                # a PC names its own, and slots for hot-plug
        elif path not in addresses or not (by_qemu or path in want or
                                           path in bridges):
            raise Failure(f'DSDT: there is a device too many, {path}')
        else:
            compare(f'DSDT: _ADR of {path}', dev.address, addresses[path])
    for path in bridges - devices.keys():
        raise Failure(f'DSDT: there is no {path}')


def check_distances(machine: Machine, found: dict[str, bytes]) -> None:
    if machine.distances:
        count = len(machine.nodes)
        want = [bytes(10 if src == dst else machine.distances[src, dst]
                      for dst in range(count)) for src in range(count)]
        compare('SLIT', tables.read_slit(found['SLIT']), want)
    if machine.hmat:
        hmat = tables.read_hmat(found['HMAT'])
        initiators = model.hmat_initiators(machine)
        compare('HMAT: nodes with attributes', hmat.memory,
                [node.number for node in machine.nodes if node.mib])
        compare('HMAT: initiators', hmat.initiators,
                [initiators] if machine.latencies else [])
        compare('HMAT: latencies', hmat.latencies,
                {pair for pair in machine.latencies if pair[0] in initiators})


def check_tables(machine: Machine, found: dict[str, bytes]) -> None:
    if not machine.acpi:
        compare('tables with acpi=off', sorted(found), [])
        return
    compare('which of the tables there are',
            [name in found for name in ('DSDT', 'SRAT', 'SLIT', 'HMAT')],
            [True, bool(machine.nodes), bool(machine.distances),
             machine.hmat])
    check_dsdt(machine, found['DSDT'])
    if machine.nodes:
        check_srat(machine, found['SRAT'])
        check_distances(machine, found)
