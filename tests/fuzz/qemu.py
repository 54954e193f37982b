# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU process, spoken to by QMP and by the qtest protocol, with a
deadline for all that it is asked."""

import base64
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

COMMON = ['-accel', 'qtest', '-display', 'none', '-nodefaults', '-qmp',
          'stdio']
BIOS_SIZE = 64 << 10
# What a QEMU with AddressSanitizer prints at its start, whatever it runs
SANITIZER_NOTE = re.compile(
    r"(?m)^==\d+==WARNING: ASan doesn't fully support makecontext.*\n")


class Failure(Exception):
    """QEMU did what it must not do."""


class Ended(Exception):
    """QEMU closed its monitor."""


@dataclasses.dataclass(frozen=True)
class Emulator:
    binary: str
    arch: str
    version: str        # of its newest machine types, such as 10.0

    @staticmethod
    def of(binary: str, arch: str) -> 'Emulator':
        text = subprocess.run([binary, '--version'], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        found = re.match(r'QEMU emulator version (\d+)\.(\d+)\.(\d+)', text)
        if not found:
            raise OSError(f'{binary} is no QEMU')
        major, minor, micro = map(int, found.groups())
        if micro >= 50:
            # A development version has the types of the next release
            major, minor = (major, minor + 1) if minor < 2 else (major + 1, 0)
        return Emulator(binary, arch, f'{major}.{minor}')


class Line:
    """A socket with a line for each message"""

    def __init__(self, sock: socket.socket, deadline: float):
        self.socket = sock
        self.deadline = deadline
        self.data = b''

    def wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Failure('hang: the deadline has passed')
        self.socket.settimeout(left)

    def send(self, data: bytes) -> None:
        self.wait()
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise Failure('hang: QEMU reads no command') from None
        except (BrokenPipeError, ConnectionResetError):
            raise Ended from None

    def receive(self) -> bytes:
        while b'\n' not in self.data:
            self.wait()
            try:
                more = self.socket.recv(1 << 18)
            except TimeoutError:
                raise Failure('hang: QEMU does not answer') from None
            except ConnectionResetError:
                more = b''
            if not more:
                raise Ended
            self.data += more
        line, _, self.data = self.data.partition(b'\n')
        return line


class Qemu:
    def __init__(self, binary: str, arguments: list[str], seconds: float):
        self.deadline = time.monotonic() + seconds
        self.events: list[dict] = []
        self.log: list[str] = []        # what was said by QMP
        self.qtest: Line | None = None
        self.errors = tempfile.TemporaryFile()
        self.folder = tempfile.TemporaryDirectory(prefix='fuzz-')
        path = os.path.join(self.folder.name, 'qtest')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        # PCs don't start without one, though it doesn't run
        with open(os.path.join(self.folder.name, 'bios'), 'wb') as bios:
            bios.truncate(BIOS_SIZE)
        self.listener.listen()
        ours, theirs = socket.socketpair()
        self.qmp = Line(ours, self.deadline)
        with theirs:
            self.process = subprocess.Popen(
                [os.path.abspath(binary), *arguments, '-qtest', f'unix:{path}',
                 '-qtest-log', '/dev/null'], cwd=self.folder.name,
                stdin=theirs, stdout=theirs, stderr=self.errors)

    def __enter__(self) -> 'Qemu':
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.qtest:
            self.qtest.socket.close()
        self.qmp.socket.close()
        self.listener.close()
        self.errors.close()
        self.folder.cleanup()

    def start(self) -> bool:
        """False if QEMU refuses its command line"""
        try:
            self.qmp.receive()
            self.command('qmp_capabilities')
        except Ended:
            return False
        self.listener.settimeout(max(0.1, self.deadline - time.monotonic()))
        try:
            self.qtest = Line(self.listener.accept()[0], self.deadline)
        except TimeoutError:
            raise Failure('hang: no qtest connection') from None
        return True

    def wait(self) -> int:
        """Its exit status"""
        try:
            return self.process.wait(max(0.1, self.deadline -
                                         time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure('hang: QEMU does not end') from None

    def printed(self) -> str:
        self.errors.seek(0)
        text = self.errors.read().decode(errors='replace')
        return SANITIZER_NOTE.sub('', text)

    def quit(self) -> None:
        try:
            self.command('quit')
        except Ended:
            pass
        status = self.wait()
        if status:
            raise Failure(f'quit: {status_text(status)}')

    # QMP

    def command(self, name: str, **arguments) -> dict:
        """The reply: with 'return' or with 'error'"""
        request = json.dumps({'execute': name, 'arguments': arguments})
        self.log.append(request)
        self.qmp.send(request.encode() + b'\n')
        while True:
            reply = json.loads(self.qmp.receive())
            if 'event' in reply:
                self.events.append(reply)
            else:
                self.log.append('    ' + json.dumps(reply))
                return reply

    def must(self, name: str, **arguments):
        reply = self.command(name, **arguments)
        if 'error' in reply:
            raise Failure(f'{name} {arguments}: {reply["error"]["desc"]}')
        return reply['return']

    def wait_event(self, name: str, **data) -> None:
        while True:
            for event in self.events:
                if event['event'] == name and \
                        data.items() <= event.get('data', {}).items():
                    self.events.remove(event)
                    return
            self.events.append(json.loads(self.qmp.receive()))

    # The guest's side

    def ask(self, *commands: str) -> list[list[str]]:
        self.qtest.send(''.join(c + '\n' for c in commands).encode())
        replies = []
        for command in commands:
            reply = self.qtest.receive().decode().split()
            if reply[:1] != ['OK']:
                raise Failure(f'qtest: {command[:60]}: {" ".join(reply)}')
            replies.append(reply[1:])
        return replies

    def write_memory(self, address: int, data: bytes) -> None:
        self.ask(f'write {address:#x} {len(data):#x} 0x{data.hex()}')

    def read_memory(self, address: int, length: int) -> bytes:
        text = self.ask(f'b64read {address:#x} {length:#x}')[0][0]
        return base64.b64decode(text)


def status_text(status: int) -> str:
    if status < 0:
        return f'ended by {signal.Signals(-status).name}'
    return f'exit status {status}'
