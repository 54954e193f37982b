# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a guest and follow its console."""

import glob
import os
import select
import shlex
import subprocess
import time

from qmp import Qmp, QmpError

DRIVER = 'driver'
# What the console of any guest shows when it gets there, in this order.
MILESTONES = (
    ('kernel', b'Linux version'),
    ('user space', b'@@ guest '),
    (DRIVER, b'@@ end driver '),
    ('report', b'@@ done'),
)
DEADLINE = 600
LOG = 'guest.log'
STDERR = 'qemu.stderr'
MEMORY = 'gpu{}.memory'     # a sparse file


class BootError(Exception):
    """The guest did not come to its end."""


def memory_file(out, gpu):
    """What has the memory of a GPU, as it was when the guest ended."""
    return os.path.abspath(os.path.join(out, MEMORY.format(gpu)))


def forget_memory(out):
    """The memory starts as zeroes, not as an earlier guest left it."""
    for file in glob.glob(memory_file(glob.escape(out), '*')):
        os.remove(file)


def _read(out, name):
    try:
        with open(os.path.join(out, name), errors='replace', newline='') as f:
            return f.read()
    except FileNotFoundError:
        return ''


def read_log(out):
    """What the guest wrote on its console."""
    return _read(out, LOG).replace('\r', '')


def log_tail(out, lines=40):
    return read_log(out).splitlines()[-lines:]


def read_stderr(out):
    return _read(out, STDERR).strip()


def _stop(qemu):
    if qemu.poll() is None:
        qemu.terminate()
        try:
            qemu.wait(5)
        except subprocess.TimeoutExpired:
            qemu.kill()
            qemu.wait()


def _follow(qemu, log, deadline, milestones, on_milestone):
    """Copy the console to the log until QEMU closes it."""
    started = time.monotonic()
    pending, unread = list(milestones), b''
    console = qemu.stdout.fileno()
    while True:
        left = started + deadline - time.monotonic()
        if left <= 0 or not select.select([console], [], [], left)[0]:
            awaited = pending[0][0] if pending else 'power-off'
            raise BootError(f'no {awaited} within {deadline} s')
        data = os.read(console, 1 << 16)
        if not data:
            break
        log.write(data)
        log.flush()
        unread += data
        while pending and pending[0][1] in unread:
            name, marker = pending.pop(0)
            unread = unread.split(marker, 1)[1]
            on_milestone(name, time.monotonic() - started)
    try:
        status = qemu.wait(max(1, started + deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise BootError('QEMU closed the console but did not end') from None
    if pending:
        raise BootError(f'QEMU ended (status {status}) before the guest came '
                        f'to "{pending[0][0]}"')
    if status:
        raise BootError(f'QEMU ended with status {status}')


def boot(command, milestones, out, deadline=DEADLINE,
         on_milestone=lambda name, t: None, hot_plug=()):
    """Run the command until the guest powers off.

    QMP gets the commands of hot_plug once the guest's driver is loaded.
    Leaves the console's output, QEMU's stderr and the command in out.
    """
    os.makedirs(out, exist_ok=True)
    forget_memory(out)
    with open(os.path.join(out, 'qemu-command'), 'w') as file:
        file.write(shlex.join(command) + '\n')
    with (open(os.path.join(out, LOG), 'wb') as log,
          open(os.path.join(out, STDERR), 'wb') as stderr, Qmp() as qmp):
        def reached(name, seconds):
            on_milestone(name, seconds)
            if name == DRIVER:
                for plug, arguments in hot_plug:
                    qmp.execute(plug, arguments)

        try:
            qemu = subprocess.Popen([*command, *qmp.command_line],
                                    stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=stderr,
                                    pass_fds=qmp.pass_fds)
        except OSError as error:
            raise BootError(f'QEMU does not start: {error}') from None
        qmp.qemu_started()
        with qemu:
            try:
                _follow(qemu, log, deadline, milestones, reached)
            except (BootError, QmpError) as error:
                said = read_stderr(out)
                if said:
                    error = f'{error}\nQEMU says: {said}'
                raise BootError(error) from None
            finally:
                _stop(qemu)
