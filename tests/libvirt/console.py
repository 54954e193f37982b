# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a guest whose QEMU is a child of libvirt's, not of ours."""

import select
import socket
import time

from checks import Failure


class Console:
    """QEMU connects to the socket that listens."""

    def __init__(self, listener):
        self._listener = listener
        listener.listen()

    def follow(self, log_path, deadline, until_seen=None):
        """Copy what the guest writes until QEMU closes its end.

        Or until the guest has written until_seen; it is not listened to from
        then on.
        """
        until, seen = time.monotonic() + deadline, b''
        with open(log_path, 'wb') as log:
            self._wait(self._listener, until, 'connection from QEMU', deadline)
            with self._listener.accept()[0] as qemu:
                while True:
                    self._wait(qemu, until, 'end of the guest', deadline)
                    data = qemu.recv(1 << 16)
                    if not data:
                        return
                    log.write(data)
                    log.flush()
                    seen += data
                    if until_seen and until_seen in seen:
                        return

    @staticmethod
    def _wait(stream: socket.socket, until, what, deadline):
        left = until - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise Failure(f'no {what} within {deadline} s')
