# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU from its start to the answer of its first QMP command."""

import json
import os
import socket
import subprocess
import time

from qemu import Ended, Failure, Line, status_text

DEADLINE = 300      # seconds; valgrind takes 3, alone on a machine
# The same for all who run this: it takes part in the instructions
ENVIRONMENT = {
    'LC_ALL': 'C', 'PATH': os.environ['PATH'],
    # Without fastbins glibc doesn't tidy up the whole heap at a moment of its
    # choice, which charges some 270,000 instructions to whoever allocates then
    'GLIBC_TUNABLES': 'glibc.malloc.mxfast=0'}


def answer(line: Line) -> dict:
    while True:
        reply = json.loads(line.receive())
        if 'event' not in reply:
            return reply


def ask(line: Line, command: str) -> None:
    line.send(json.dumps({'execute': command}).encode() + b'\n')
    reply = answer(line)
    if 'return' not in reply:
        raise Failure(f'{command}: {reply}')


def start(command: list[str], log: str, **further: str) -> float:
    """Seconds to the answer.  What QEMU says besides goes to the log.

    further are variables of its environment besides.
    """
    ours, theirs = socket.socketpair()
    with ours, open(log, 'w+b') as output:
        line = Line(ours, time.monotonic() + DEADLINE)
        with theirs:
            before = time.monotonic()
            process = subprocess.Popen([*command, '-qmp', 'stdio'],
                                       stdin=theirs, stdout=theirs,
                                       stderr=output,
                                       env=ENVIRONMENT | further)
        try:
            answer(line)                    # the greeting
            ask(line, 'qmp_capabilities')
            ask(line, 'query-status')
            seconds = time.monotonic() - before
            ask(line, 'quit')
            status = process.wait(DEADLINE)
        except Ended:
            status = process.wait(DEADLINE)
            raise Failure(f'QEMU ended before it answered: '
                          f'{status_text(status)}: see {log}') from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if status:
        raise Failure(f'QEMU: {status_text(status)}: see {log}')
    return seconds
