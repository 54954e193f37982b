# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt daemon of our own, apart from the host's.

A daemon that isn't root's serves a session, all of whose files lie where
XDG_* and HOME say: here in one folder.  So root gives it to "nobody".  It is
the libvirt of this machine, or of another Debian in a folder.
"""

import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from checks import Failure

NOBODY = 65534
START_WITHIN = 240      # seconds; it first looks at all that the host has
ANSWER_WITHIN = 300
GUEST_WITHIN = 600
END_WITHIN = 60
IDLE_FOR = 120          # then it ends, also where nobody ends it
SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
HOMES = {'HOME': 'home', 'XDG_RUNTIME_DIR': 'run', 'XDG_CONFIG_HOME': 'config',
         'XDG_CACHE_HOME': 'cache', 'XDG_DATA_HOME': 'data'}


class Daemon:
    def __init__(self, root=None):
        """ROOT is a debian_root.DebianRoot that has libvirt."""
        # Not in the build folder: "nobody" may not be let in there, and the
        # path of a socket has at most 108 bytes.
        self.folder = tempfile.mkdtemp(prefix='libvirt-', dir='/var/tmp')
        self._process = None
        self._root = root
        self._as_user = root.enter(self.folder) if root else []
        if os.geteuid() == 0:
            self._as_user += ['setpriv', f'--reuid={NOBODY}',
                              f'--regid={NOBODY}', '--clear-groups', '--']
        self._environ = {'PATH': SYSTEM_PATH, 'LC_ALL': 'C',
                         # A daemon that is gone is not started by virsh
                         'LIBVIRT_AUTOSTART': '0'}
        self.give(self.folder)
        for variable, name in HOMES.items():
            self._environ[variable] = self.path(name)
            os.mkdir(self.path(name), 0o700)
            self.give(self.path(name))
        self._configure()

    def _configure(self):
        """QEMU's messages go to a file, not through another daemon."""
        config = self.path('config', 'libvirt')
        os.mkdir(config)
        self.give(config)
        with open(os.path.join(config, 'qemu.conf'), 'w') as file:
            file.write('stdio_handler = "file"\n')

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def give(self, path):
        """To the user that the daemon runs as."""
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)

    def copy(self, path):
        """A copy of a file where the daemon and QEMU can read it."""
        try:
            return shutil.copy(path, self.folder)
        except OSError as error:
            raise Failure(f'{path} is not to be had: {error}') from None

    def copy_program(self, path):
        """A copy that runs there, with the libraries that it has here."""
        copy = self.copy(path)
        if not self._root:
            return copy
        libraries = self.path('libraries')
        os.mkdir(libraries)
        linked = subprocess.run(['ldd', path], text=True, check=False,
                                stdout=subprocess.PIPE).stdout
        loader = re.search(r'(?m)^\s*/.*?(ld-\S+)', linked)
        if not loader:
            raise Failure(f'ldd {path}: {linked}')
        for library in re.findall(r'/\S+', linked):
            shutil.copy(library, libraries)
        os.rename(copy, f'{copy}.elf')
        with open(copy, 'w') as script:
            script.write(f'#!/bin/sh\nexec {libraries}/{loader[1]} --library-path '
                         f'{libraries} {copy}.elf "$@"\n')
        os.chmod(copy, 0o755)
        return copy

    def listen(self, name, kind):
        """A socket that the daemon's user can connect to, and its path."""
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(self.path(name))
        self.give(self.path(name))
        return listener, self.path(name)

    def start(self):
        if not self._root and not (
                shutil.which('libvirtd', path=SYSTEM_PATH) and
                shutil.which('virsh', path=SYSTEM_PATH)):
            raise Failure('libvirtd or virsh is missing: install libvirt-'
                          'daemon, libvirt-daemon-driver-qemu and '
                          'libvirt-clients')
        ready, notify = self.listen('notify', socket.SOCK_DGRAM)
        with ready, open(self.path('libvirtd.log'), 'wb') as log:
            self._process = subprocess.Popen(
                [*self._as_user, 'libvirtd', '--timeout', str(IDLE_FOR),
                 '--pid-file', self.path('libvirtd.pid')],
                env={**self._environ, 'NOTIFY_SOCKET': notify},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, start_new_session=True)
            self._await(ready)

    def _await(self, ready):
        """Until the daemon says that it is there, or ends."""
        ended = os.pidfd_open(self._process.pid)
        try:
            which = select.select([ready, ended], [], [], START_WITHIN)[0]
        finally:
            os.close(ended)
        if ready not in which:
            raise Failure(f'libvirtd ended, status {self._process.wait()}'
                          if which else
                          f'libvirtd is not there within {START_WITHIN} s')

    def virsh(self, *args):
        """What the command prints."""
        return self.run(*self._virsh(), *args)

    def virsh_on_terminal(self, *args):
        """The same of a command that wants a terminal, as a guest's console."""
        ours, its = os.openpty()
        with subprocess.Popen([*self._as_user, *self._virsh(), *args],
                              env=self._environ, stdin=its, stdout=its,
                              stderr=its, cwd=self.folder) as process:
            os.close(its)
            try:
                return self._read_all(ours)
            finally:
                os.close(ours)
                process.kill()

    @staticmethod
    def _read_all(terminal):
        """What is written to a terminal until all who could have closed it."""
        said, until = b'', time.monotonic() + GUEST_WITHIN
        while select.select([terminal], [], [],
                            max(0, until - time.monotonic()))[0]:
            try:
                said += os.read(terminal, 1 << 16)
            except OSError:         # as Linux says so
                return said.decode(errors='replace')
        raise Failure(f'the terminal is open after {GUEST_WITHIN} s: '
                      f'{said[-1000:]}')

    def _virsh(self):
        return ['virsh', '--quiet', '--connect', 'qemu:///session?socket=' +
                self.path('run', 'libvirt', 'libvirt-sock')]

    def run(self, *command):
        """What a command prints that is beside the daemon's."""
        try:
            done = subprocess.run(
                [*self._as_user, *command],
                env=self._environ, stdin=subprocess.DEVNULL, text=True,
                capture_output=True, timeout=ANSWER_WITHIN, check=False,
                cwd=self.folder)
        except subprocess.TimeoutExpired:
            raise Failure(f'{shlex.join(command)}: no answer within '
                          f'{ANSWER_WITHIN} s') from None
        if done.returncode:
            raise Failure(f'{shlex.join(command)}: '
                          f'{done.stderr.strip() or done.stdout.strip()}')
        return done.stdout.strip()

    def stop(self):
        self._process.terminate()
        try:
            status = self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            raise Failure('libvirtd does not end within '
                          f'{END_WITHIN} s of SIGTERM') from None
        if status:
            raise Failure(f'libvirtd ended with status {status}')

    def processes(self):
        """The daemon and all that it started: they know its folder."""
        found, mark = [], os.fsencode(self.folder)
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                for name in ('cmdline', 'environ'):
                    with open(f'/proc/{pid}/{name}', 'rb') as file:
                        if mark in file.read():
                            found.append(int(pid))
                            break
            except OSError:
                pass                # it ended, or is another user's
        return found

    def logs(self):
        """The daemon's messages and QEMU's of each domain."""
        found = [self.path('libvirtd.log')]
        qemus = self.path('cache', 'libvirt', 'qemu', 'log')
        if os.path.isdir(qemus):
            found += [os.path.join(qemus, name)
                      for name in sorted(os.listdir(qemus))]
        return [path for path in found if os.path.exists(path)]

    def clean_up(self):
        """End what still runs, and forget all files."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self._process:
            self._process.wait()
        shutil.rmtree(self.folder)
