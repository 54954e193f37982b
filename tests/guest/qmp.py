# SPDX-License-Identifier: GPL-2.0-or-later
"""A monitor of QEMU that is driven through QMP."""

import json
import socket

ANSWER_WITHIN = 300     # seconds; a busy machine is slow


class QmpError(Exception):
    """QEMU refuses a command, or doesn't answer."""


class Qmp:
    """The pair of sockets needs no name, which could be too long."""

    def __init__(self):
        self._socket, self._qemus = socket.socketpair()
        self._socket.settimeout(ANSWER_WITHIN)
        self._stream = self._socket.makefile('rw')
        self._negotiated = False
        self.pass_fds = (self._qemus.fileno(),)
        self.command_line = [
            '-chardev', f'socket,id=guest-py,fd={self._qemus.fileno()}',
            '-qmp', 'chardev:guest-py']

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qemu_started()
        self._stream.close()
        self._socket.close()

    def qemu_started(self):
        """Drop QEMU's end, so that ours shows when QEMU is gone."""
        self._qemus.close()

    def execute(self, command, arguments=None):
        if not self._negotiated:
            self._negotiated = True
            self.execute('qmp_capabilities')
        try:
            json.dump({'execute': command, 'arguments': arguments or {}},
                      self._stream)
            self._stream.flush()
            for line in self._stream:
                answer = json.loads(line)
                if 'return' in answer:
                    return answer['return']
                if 'error' in answer:
                    raise QmpError(f'{command}: {answer["error"]["desc"]}')
                # The greeting, or an event
        except OSError as error:
            raise QmpError(f'{command}: no answer: {error}') from None
        raise QmpError(f'{command}: QEMU hung up')
