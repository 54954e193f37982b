# SPDX-License-Identifier: GPL-2.0-or-later
"""A clean Debian in a folder."""

import os
import platform
import shlex
import subprocess

from checks import Failure

SECONDS = 900           # for apt, on a slow mirror
VALID = 'Acquire::Check-Valid-Until'
TAR = ('tar', '--numeric-owner', '--xattrs', '--xattrs-include=*')
# Mounts that go with the process that made them
ENTER = '''mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /sys "$1/sys"
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
root=$1
shift 2
exec chroot "$root" "$@"
'''


def reason_against():
    """Why there can't be one here, or None."""
    done = subprocess.run(['unshare', '--mount', 'true'], text=True,
                          stderr=subprocess.PIPE, check=False)
    return (f"another Debian can't be entered here: {done.stderr.strip()}"
            if done.returncode else None)


def _read(path):
    with open(path) as file:
        return file.read()


class DebianRoot:
    def __init__(self, path, scripts, suite=None, packages=()):
        """PATH is made anew, of the machine's own release or another suite.

        PATH.tar has it as it was made, for a day.
        """
        self.path = path = os.path.abspath(path)
        subprocess.run(['rm', '-rf', '--one-file-system', path], check=True)
        if not suite:
            codename = platform.freedesktop_os_release()['VERSION_CODENAME']
            suite = f'{codename},{codename}-updates'
        arch = self._output('dpkg', '--print-architecture')
        apt = f'{path}.apt'
        self._output(os.path.join(scripts, 'base', 'private-apt'), apt, 'deb',
                     suite, arch)
        # What the machine's own apt has for it; empty if nothing
        valid = self._output('apt-config', 'dump', VALID)
        self._make(f'{apt}/updated', [
            # With package lists that stay, so that apt in there needs no update
            'mmdebstrap', '--mode=root', '--variant=apt', '--skip=cleanup/apt',
            # It lasts no longer than a day
            '--dpkgopt=force-unsafe-io',
            *(f'--include={package}' for package in packages),
            *([f'--aptopt={valid}'] if valid else []),
            suite.split(',', maxsplit=1)[0], path, f'{apt}/sources.list'])
        self._write('etc/resolv.conf', _read('/etc/resolv.conf'))

    def _make(self, stamp, command):
        """Run the command that makes PATH, or unpack what it made since STAMP."""
        archive, made_by = f'{self.path}.tar', f'{self.path}.tar.command'
        line = shlex.join(command)
        if (os.path.exists(made_by) and _read(made_by) == line and
                os.path.getmtime(made_by) > os.path.getmtime(stamp)):
            os.mkdir(self.path)
            self._output(*TAR, '-C', self.path, '-xpf', archive)
            return
        self._output(*command)
        if os.path.exists(made_by):
            os.remove(made_by)
        # It gets the machine's own /dev
        self._output(*TAR, '-C', self.path, '--exclude=./dev/*', '-cf', archive,
                     '.')
        with open(made_by, 'w') as file:
            file.write(line)

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

    def enter(self, shared, *command):
        """The command that runs another one in there.

        The folder SHARED has its own name there.
        """
        return ['unshare', '--mount', 'sh', '-ec', ENTER, 'enter', self.path,
                shared, *command]

    def run(self, shared, *command):
        """What the command says; raises if it fails."""
        return self._output(*self.enter(
            shared, 'env', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C',
            'DEBIAN_FRONTEND=noninteractive', *command))

    def files(self, *besides):
        """All but the folders BESIDES, and what is apt's and dpkg's own."""
        own = ('./var/lib/dpkg', './var/lib/apt', './var/cache', './var/log',
               './proc', './dev', './sys', './tmp',
               *(f'.{folder}' for folder in besides))
        prune = ' -o '.join(f'-path {shlex.quote(path)}' for path in own)
        return set(self._output(
            'sh', '-c', f'cd "$1" && find . \\( {prune} \\) -prune -o -print',
            'files', self.path).splitlines())
