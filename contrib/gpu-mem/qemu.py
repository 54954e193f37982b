# SPDX-License-Identifier: GPL-2.0-or-later
"""What a QEMU can do for a GPU beside its nodes: IOMMUFD and an SMMU."""

from __future__ import annotations

import dataclasses
import re
import subprocess

from host import Mistake

SECONDS = 60                # until a program must have answered
# The first with IOMMUFD, an accelerated SMMU, and its command queues
IOMMUFD_SINCE, ACCEL_SINCE, CMDQV_SINCE = (9, 0), (11, 0), (11, 1)
# What a Grace guest is given by KubeVirt and kata; a QEMU with command queues
# takes all from the host's SMMU, if the machine type is as new
EXPLICIT = {'accel': 'on', 'ats': 'on', 'ril': 'off', 'oas': '48',
            'ssidsize': '20'}
AUTOMATIC = {'accel': 'on'}


@dataclasses.dataclass(frozen=True)
class Qemu:
    iommufd: bool
    accel: bool
    cmdqv: bool

    def smmu(self, machine):
        """The properties of an SMMU in a machine of this type."""
        is_new = machine == 'virt' or (
            (version := re.fullmatch(r'virt-(\d+)\.(\d+)', machine)) and
            tuple(map(int, version.groups())) >= CMDQV_SINCE)
        return AUTOMATIC if self.cmdqv and is_new else EXPLICIT


def of_version(version):
    return Qemu(version >= IOMMUFD_SINCE, version >= ACCEL_SINCE,
                version >= CMDQV_SINCE)


def output(*command):
    """What a program prints."""
    try:
        return subprocess.run(
            command, text=True, errors='replace', stdin=subprocess.DEVNULL,
            capture_output=True, timeout=SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Mistake(f'{command[0]} does not say what it can: '
                      f'{error}') from None


def ask(program):
    def properties(device):
        return re.findall(r'(?m)^\s+([\w-]+)=',
                          output(program, '-device', f'{device},help'))

    smmu = properties('arm-smmuv3')
    return Qemu('iommufd' in properties('vfio-pci'), 'accel' in smmu,
                'cmdqv' in smmu)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is written of the two, and what is to be said of that."""
    iommufd: bool
    smmu: dict | None       # its properties
    notes: list[str]


def shape(qemu, has_iommufd, without, no_iommufd='', no_smmu='',
          machine='virt'):
    """For a QEMU, None if it is not known, and a host.

    WITHOUT has what the user leaves out, NO_IOMMUFD and NO_SMMU are further
    reasons, MACHINE is the guest's machine type.
    """
    reason = ('give --qemu-version, for there is no QEMU to ask'
              if qemu is None else
              'this QEMU has no IOMMUFD' if not qemu.iommufd else
              'the host has no /dev/iommu' if not has_iommufd else no_iommufd)
    iommufd = not reason and 'iommufd' not in without
    if not reason:
        reason = no_smmu if qemu.accel else (
            'this QEMU has no accelerated SMMU (11.0 has it)')
    if without:
        return Shape(iommufd, None, [])
    if reason:
        lacks = 'no SMMU' if iommufd else 'neither IOMMUFD nor an SMMU'
        return Shape(iommufd, None, [f'{lacks} is written, so that the guest '
                                     f'has no ATS: {reason}'])
    return Shape(True, qemu.smmu(machine), [
        "the SMMU's command queues want the guest's memory in huge pages "
        '(512 MiB where pages have 64 KiB), or in EGM'] if qemu.cmdqv else [])
