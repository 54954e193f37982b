# SPDX-License-Identifier: GPL-2.0-or-later
"""A clean Debian of the machine's own release, in a folder."""

import os
import shlex
import subprocess

from checks import Failure

SECONDS = 900           # for apt, on a slow mirror
# Mounts that go with the process that made them
ENTER = '''mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
root=$1
shift 2
exec chroot "$root" "$@"
'''


class DebianRoot:
    def __init__(self, path, scripts, shared):
        """PATH is made anew; inside, the folder SHARED has its own name."""
        self.path, self._shared = path, shared
        subprocess.run(['rm', '-rf', '--one-file-system', path], check=True)
        with open('/etc/os-release') as file:
            release = dict(line.rstrip().split('=', 1) for line in file)
        suite = release['VERSION_CODENAME'].strip('"')
        arch = self._output('dpkg', '--print-architecture')
        apt = f'{path}.apt'
        self._output(os.path.join(scripts, 'private-apt'), apt, 'deb',
                     f'{suite},{suite}-updates', arch)
        # Its package lists stay, so that apt in there needs no update
        self._output('mmdebstrap', '--mode=root', '--variant=apt',
                     '--skip=cleanup/apt', suite, path,
                     f'{apt}/sources.list')
        with open('/etc/resolv.conf') as have:
            self._write('etc/resolv.conf', have.read())

    def _write(self, name, text):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(text)

    @staticmethod
    def _output(*command):
        done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS, check=False)
        if done.returncode:
            raise Failure(f'{shlex.join(command)}: exit status '
                          f'{done.returncode}: {done.stdout[-2000:]}')
        return done.stdout.strip()

    def enter(self, *command):
        """The command that runs another one in there."""
        return ['unshare', '--mount', 'sh', '-ec', ENTER, 'enter', self.path,
                self._shared, *command]

    def run(self, *command):
        """What the command says; raises if it fails."""
        return self._output(*self.enter(
            'env', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C',
            'DEBIAN_FRONTEND=noninteractive', *command))

    def files(self):
        """Everything but what apt and dpkg keep for themselves."""
        own = ('./var/lib/dpkg', './var/lib/apt', './var/cache', './var/log',
               './proc', './dev', './tmp', f'.{self._shared}')
        prune = ' -o '.join(f'-path {shlex.quote(path)}' for path in own)
        return set(self._output(
            'sh', '-c', f'cd "$1" && find . \\( {prune} \\) -prune -o -print',
            'files', self.path).splitlines())
