# SPDX-License-Identifier: GPL-2.0-or-later
"""The outer machine: an emulated PC with an IOMMU, in which our QEMU runs."""

import contextlib
import dataclasses
import os
import re
import select
import shlex
import subprocess
import time

import guest
from arch import AMD64, ARM64
from machine import TCG

RAM = '4G'                  # the inner machines' is pinned in it
COMMAND = 'qemu-command'
PLAN = 'plan-command'
POWER_OFF = 'power-off'
FIRST_SLOT = 4
PLANNED_IDS = 'vendor-id=0x10de,device-id=0x2342'       # of a GPU that is known
MAX_INNER = 3               # a PC has four serial ports, and the first is ours
KERNEL_ARGS = f'{AMD64.kernel_args} intel_iommu=on'
MILESTONES = (
    ('kernel', b'Linux version'),
    ('devices', b'@@ device '),
    ('end of the inner machines', b'@@ done'),
)
# Seconds in which one of the machines must come to its next milestone: some
# minutes are enough, as the whole takes seven.
PHASE = 900


@dataclasses.dataclass(frozen=True)
class Files:
    """Of the outer machine, by path."""
    qemu: str
    guest_dir: str          # what build-guest made for a PC: its firmware
    outer_dir: str          # what build-outer made


@dataclasses.dataclass(frozen=True)
class Inner:
    """A machine in the outer one: its command, and where its logs go."""
    command: list[str]
    out: str


@dataclasses.dataclass
class Device:
    driver: str
    group: str


@dataclasses.dataclass
class Run:
    """What the outer machine says of one inner machine's QEMU."""
    held: list[str] = dataclasses.field(default_factory=list)
    says: list[str] = dataclasses.field(default_factory=list)
    status: int | None = None


@dataclasses.dataclass
class Report:
    devices: dict[str, Device]
    runs: list[Run]
    plan: list[str]         # what the command for the last device prints


def host_address(index):
    """Where the outer machine has the device for an inner one."""
    return f'0000:00:{FIRST_SLOT + index:02x}.0'


def _port(index):
    return f'ttyS{index + 1}'


def parse(log, inner_count):
    devices = {found[1]: Device(found[2], found[3]) for found in
               re.finditer(r'(?m)^@@ device (\S+) (\S+) (\S+)$', log)}
    runs = [Run() for _ in range(inner_count)]
    for index, run in enumerate(runs):
        words = dict.fromkeys(('holds', 'says', 'ended'))
        for word in words:
            words[word] = re.findall(
                f'(?m)^@@ inner {_port(index)} {word} (.*)$', log)
        run.held, run.says = words['holds'], words['says']
        if words['ended']:
            run.status = int(words['ended'][0])
    return Report(devices, runs, re.findall('(?m)^@@ plan (.*)$', log))


# --- the consoles ---------------------------------------------------------

class Console:
    """A pipe that a serial port writes to, and its log."""

    def __init__(self, out, milestones):
        os.makedirs(out, exist_ok=True)
        self.name = os.path.basename(out)
        self._log = open(os.path.join(out, guest.LOG), 'wb')
        self._pending, self._unread = list(milestones), b''
        self._read_end, self._write_end = map(os.fdopen, os.pipe(), 'rw')

    def fileno(self):
        return self._read_end.fileno()

    def qemus_end(self):
        return self._write_end.fileno()

    def command_line(self):
        return ['-serial', f'file:/dev/fd/{self.qemus_end()}']

    def qemu_started(self):
        """Drop QEMU's end, so that ours shows when QEMU is gone."""
        self._write_end.close()

    def close(self):
        self.qemu_started()
        self._read_end.close()
        self._log.close()

    def awaited(self):
        return self._pending[0][0] if self._pending else POWER_OFF

    def read(self):
        """Whether it is still open, and whether it came to a milestone."""
        data = os.read(self.fileno(), 1 << 16)
        self._log.write(data)
        self._log.flush()
        self._unread += data
        progress = False
        while self._pending and self._pending[0][1] in self._unread:
            marker = self._pending.pop(0)[1]
            self._unread = self._unread.split(marker, 1)[1]
            progress = True
        return bool(data), progress


def _follow(consoles):
    """Until QEMU closes them all."""
    still_open = list(consoles)
    last = time.monotonic()
    while still_open:
        left = last + PHASE - time.monotonic()
        ready = left > 0 and select.select(still_open, [], [], left)[0]
        if not ready:
            awaited = ', '.join(f'{console.name}: {console.awaited()}'
                                for console in still_open)
            raise guest.BootError(
                f'no machine made progress within {PHASE} s; awaited: '
                f'{awaited}')
        for console in ready:
            is_open, progress = console.read()
            if progress:
                last = time.monotonic()
            if not is_open:
                still_open.remove(console)


# --- the machine ----------------------------------------------------------

def _command(files, inner, plan, device_mb, out):
    def file(name):
        return os.path.join(files.outer_dir, name).replace(',', ',,')

    # The inner QEMU maps its BARs for DMA where the guest has them: beyond
    # what the IOMMU has by default.
    args = [files.qemu, '-machine', AMD64.machine,
            '-accel', TCG, '-cpu', AMD64.cpu,
            '-smp', '1', '-m', RAM,
            *AMD64.firmware(lambda name: os.path.join(files.guest_dir, name)),
            '-nodefaults', '-no-reboot', '-display', 'none',
            '-device', 'intel-iommu,intremap=on,aw-bits=48',
            '-kernel', file('vmlinuz'), '-initrd', file('initramfs.cpio'),
            '-append', KERNEL_ARGS]
    for index, machine in enumerate(inner):
        command_file = os.path.join(machine.out, COMMAND)
        path = guest.memory_file(machine.out, 0).replace(',', ',,')
        args += ['-object', f'memory-backend-file,id=hbm{index},share=on,'
                 f'mem-path={path},size={device_mb}M',
                 '-device', f'gpu-mem-testdev,memdev=hbm{index},bus=pcie.0,'
                 f'addr={FIRST_SLOT + index:#x}',
                 '-fw_cfg', f'name=opt/inner/{_port(index)},file='
                 + command_file.replace(',', ',,')]
    with open(os.path.join(out, PLAN), 'w') as text:
        text.write(plan)
    return [*args, '-object', f'memory-backend-ram,id=hbm,size={device_mb}M',
            '-device', f'gpu-mem-testdev,memdev=hbm,{PLANNED_IDS},bus=pcie.0,'
            f'addr={FIRST_SLOT + len(inner):#x}', '-fw_cfg', 'name=opt/plan,'
            'file=' + os.path.join(out, PLAN).replace(',', ',,')]


def _run(command, consoles, stderr):
    try:
        qemu = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=stderr,
            pass_fds=[console.qemus_end() for console in consoles])
    except OSError as error:
        raise guest.BootError(f'QEMU does not start: {error}') from None
    with qemu:
        try:
            for console in consoles:
                console.qemu_started()
            _follow(consoles)
            status = qemu.wait(PHASE)
        except subprocess.TimeoutExpired:
            raise guest.BootError(
                'QEMU closed the consoles but did not end') from None
        finally:
            qemu.kill()
    if status or consoles[0].awaited() != POWER_OFF:
        raise guest.BootError(f'QEMU ended with status {status} while '
                              f'{consoles[0].awaited()} was awaited')


def _keep_command(command, out):
    with open(os.path.join(out, COMMAND), 'w') as file:
        file.write(shlex.join(command) + '\n')


def boot(files, inner, plan, device_mb, out):
    """Run the outer machine, and the inner ones in it, to its power-off.

    Each inner machine finds a device with so much memory at its host_address,
    and the shell command PLAN another one, of a GPU's ids, at the next.
    Leaves commands, consoles' output and QEMU's stderr in out and in the
    inner machines' own.
    """
    assert len(inner) <= MAX_INNER
    with contextlib.ExitStack() as opened:
        consoles = []
        for folder, milestones in ((out, MILESTONES), *(
                (machine.out, ARM64.milestones) for machine in inner)):
            consoles.append(Console(folder, milestones))
            opened.callback(consoles[-1].close)
            guest.forget_memory(folder)
        command = _command(files, inner, plan, device_mb, out)
        for console in consoles:
            command += console.command_line()
        _keep_command(command, out)
        for machine in inner:
            _keep_command(machine.command, machine.out)
        with open(os.path.join(out, guest.STDERR), 'wb') as stderr:
            _run(command, consoles, stderr)
