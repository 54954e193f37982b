# SPDX-License-Identifier: GPL-2.0-or-later
"""The architectures of guests: what of a machine depends on them."""

import dataclasses
import os
from collections.abc import Callable

import guest


@dataclasses.dataclass(frozen=True)
class Arch:
    name: str               # Debian's
    qemu: str               # the program
    machine: str
    cpu: str                # where it is emulated
    kernel_args: str
    # Arguments, of a function that makes a path of a file's name
    firmware: Callable[[Callable[[str], str]], list[str]]
    # What the console shows when the guest gets there, in this order
    milestones: tuple[tuple[str, bytes], ...]


# The level shows the SRAT lines; a panic ends QEMU, as it may not reboot.  The
# kernel logs a line for each node whenever one gets memory: with a hundred of
# them, 2 MB.
_KERNEL_ARGS = ('loglevel=7 panic=-1 log_buf_len=4M '
                'memhp_default_state=online_movable')


def _aavmf(file):
    return ['-drive',
            f'if=pflash,format=raw,readonly=on,file={file("AAVMF_CODE.fd")}',
            '-drive',
            f'if=pflash,format=raw,snapshot=on,file={file("AAVMF_VARS.fd")}']


def _seabios(file):
    # It and the ROMs that load the kernel are found by their names
    return ['-L', os.path.dirname(file('bios-256k.bin'))]


ARM64 = Arch(
    name='arm64', qemu='qemu-system-aarch64',
    machine='virt,gic-version=3', cpu='max,pauth=off',
    kernel_args=f'console=ttyAMA0 earlycon {_KERNEL_ARGS}',
    firmware=_aavmf,
    milestones=(('firmware', b'EFI'), *guest.MILESTONES))

# On a busy host the timer can miss the moment at which the kernel tests it,
# and then the kernel panics.
AMD64 = Arch(
    name='amd64', qemu='qemu-system-x86_64',
    machine='q35', cpu='max',
    kernel_args=f'console=ttyS0 no_timer_check {_KERNEL_ARGS}',
    firmware=_seabios,
    milestones=guest.MILESTONES)


def _read(guest_dir, name):
    with open(os.path.join(guest_dir, name)) as file:
        return file.read().strip()


def of_guest(guest_dir):
    """That of what build-guest made."""
    return {arch.name: arch for arch in (ARM64, AMD64)}[
        _read(guest_dir, 'arch')]


def nodes_shift(guest_dir):
    """The guest's kernel knows two to the power of this many nodes."""
    return int(_read(guest_dir, 'nodes_shift'))
