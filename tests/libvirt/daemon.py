# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt daemon of our own, apart from the host's.

A daemon that isn't root's serves a session, all of whose files lie where
XDG_* and HOME say: here in one folder.  So root gives it to "nobody".
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile

from checks import Failure

NOBODY = 65534
START_WITHIN = 240      # seconds; it first looks at all that the host has
ANSWER_WITHIN = 120
END_WITHIN = 60
IDLE_FOR = 120          # then it ends, also where nobody ends it
SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
HOMES = {'HOME': 'home', 'XDG_RUNTIME_DIR': 'run', 'XDG_CONFIG_HOME': 'config',
         'XDG_CACHE_HOME': 'cache', 'XDG_DATA_HOME': 'data'}


class Daemon:
    def __init__(self):
        # Not in the build folder: "nobody" may not be let in there, and the
        # path of a socket has at most 108 bytes.
        self.folder = tempfile.mkdtemp(prefix='libvirt-', dir='/var/tmp')
        self._process = None
        self._as_user = {}
        if os.geteuid() == 0:
            self._as_user = {'user': NOBODY, 'group': NOBODY,
                             'extra_groups': []}
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
        if self._as_user:
            os.chown(path, NOBODY, NOBODY)

    def copy(self, path):
        """A copy of a file where the daemon and QEMU can read it."""
        try:
            return shutil.copy(path, self.folder)
        except OSError as error:
            raise Failure(f'{path} is not to be had: {error}') from None

    def listen(self, name, kind):
        """A socket that the daemon's user can connect to, and its path."""
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(self.path(name))
        self.give(self.path(name))
        return listener, self.path(name)

    def start(self):
        program = shutil.which('libvirtd', path=SYSTEM_PATH)
        if not program or not shutil.which('virsh', path=SYSTEM_PATH):
            raise Failure('libvirtd or virsh is missing: install libvirt-'
                          'daemon, libvirt-daemon-driver-qemu and '
                          'libvirt-clients')
        ready, notify = self.listen('notify', socket.SOCK_DGRAM)
        with ready, open(self.path('libvirtd.log'), 'wb') as log:
            self._process = subprocess.Popen(
                [program, '--timeout', str(IDLE_FOR),
                 '--pid-file', self.path('libvirtd.pid')],
                env={**self._environ, 'NOTIFY_SOCKET': notify},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, start_new_session=True, **self._as_user)
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
        uri = 'qemu:///session?socket=' + self.path('run', 'libvirt',
                                                    'libvirt-sock')
        try:
            done = subprocess.run(
                ['virsh', '--quiet', '--connect', uri, *args],
                env=self._environ, stdin=subprocess.DEVNULL, text=True,
                capture_output=True, timeout=ANSWER_WITHIN, check=False,
                cwd=self.folder, **self._as_user)
        except subprocess.TimeoutExpired:
            raise Failure(f'virsh {args[0]}: no answer within '
                          f'{ANSWER_WITHIN} s') from None
        if done.returncode:
            raise Failure(f'virsh {args[0]}: {done.stderr.strip()}')
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
