#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of "make install" and "make uninstall", with a guest in between."""

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import installed_guest              # noqa: E402
import machine                      # noqa: E402
import planned                      # noqa: E402
import qapi_shape                   # noqa: E402
from checks import Failure, same    # noqa: E402
from tap import Tap                 # noqa: E402

PROGRAM = 'bin/qemu-system-aarch64'
RECORD = 'share/qemu/nvidia-gpu-mem-acpi.installed'
DESCRIPTORS = 'share/qemu/firmware'
FIRMWARE = {                # what it is for the guest tests: what it is here
    'AAVMF_CODE.fd': 'share/qemu/edk2-aarch64-code.fd',
    'AAVMF_VARS.fd': 'share/qemu/edk2-arm-vars.fd'}
LICENSES = 'share/qemu/edk2-licenses.txt'
# Of an older version of this project, and of somebody else
OUTDATED = 'share/qemu/of-an-older-version'
FOREIGN = ('bin/foreign', 'share/qemu/foreign')
LATER = 'share/doc/qemu/later'
CHECK_GUEST = 'share/qemu-gpu-mem/gpu-mem-check-guest'

OBJECT = 'nvidia-gpu-mem-acpi'
OBJECTS = (OBJECT, 'dev-mem-pxm-acpi')
PROPERTIES = 'DevMemPxmAcpiProperties'
PAGES = (
    ('share/doc/qemu/system/devices/nvidia-gpu-mem-acpi.html', OBJECT),
    ('share/doc/qemu/interop/qemu-qmp-ref.html', PROPERTIES),
    ('share/man/man1/qemu.1', OBJECT),
    ('share/man/man1/qemu-gpu-mem.1', OBJECT),
    ('share/man/man1/qemu-img.1', 'qcow2'),
    ('share/man/man1/qemu-system-aarch64.1', OBJECT),
    ('share/man/man7/qemu-qmp-ref.7', PROPERTIES))

GUIDE = 'share/doc/qemu/guide'
# In the tree's guide/; the index links to them
GUIDE_FILES = ('one-gpu.xml', 'two-gpus.xml', 'four-gpus.sh')
# Its path, empty within a page, and its place there
LOCAL_LINK = re.compile(r'(?:href|src)="([^":#?]*)(?:#([^"]*))?["?]')

SECONDS = 300               # for a program that only installs or answers


class Install:
    """An installation below a scratch folder, of the name of its case."""

    def __init__(self, args, case, prefix=None, destdir=''):
        self.args, self.case = args, case
        self.scratch = os.path.join(args.out, case)
        self.destdir = destdir and os.path.join(self.scratch, destdir)
        self.given = prefix and [os.path.join(self.scratch, prefix)] or []
        self.prefix = (self.given or [configured_prefix(args.build)])[0]
        self.there_already = os.path.exists(f'{self.prefix}/{RECORD}')
        self.before = {}

    def prepare(self):
        """Where a prefix is shared, others have files already."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)
        if not self.destdir:
            for name in FOREIGN:
                write(self.path(name), 'foreign\n')
        self.before = contents(self.scratch)

    def path(self, name):
        return f'{self.destdir}{self.prefix}/{name}'

    def _run(self, script, *arguments):
        """The exit status of a script, and what it says."""
        done = subprocess.run(
            [os.path.join(TOP, 'scripts', 'package', script), *arguments,
             *self.given],
            env=dict(os.environ, DESTDIR=self.destdir), umask=0o077,
            stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
        return done.returncode, done.stdout

    def install(self):
        return self._run('install-qemu', self.args.build, self.args.guest)

    def uninstall(self):
        return self._run('uninstall-qemu', self.args.build)

    def ask(self, *arguments):
        """What the installed QEMU says."""
        done = subprocess.run([self.path(PROGRAM), *arguments], text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              timeout=SECONDS, check=False)
        if done.returncode:
            raise Failure(f'exit status {done.returncode}: {done.stdout}')
        return done.stdout


def configured_prefix(build):
    with open(os.path.join(build, 'qemu.options')) as file:
        return re.search(r'--prefix=(\S+)', file.read())[1]


def contents(folder):
    """All that is in a folder, with what would tell that it was touched."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            state = [os.lstat(path).st_mode]
            if os.path.islink(path):
                state.append(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, 'rb') as file:
                    state.append(hashlib.sha256(file.read()).hexdigest())
            found[os.path.relpath(path, folder)] = state
    return found


def same_contents(folder, before):
    """Nothing has come, gone or changed; says what has, if not."""
    now = contents(folder)
    same('come, gone or changed',
         sorted(name for name in now.keys() | before.keys()
                if now.get(name) != before.get(name)), [])


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)


def installs(it):
    """it installs, and says where the program is"""
    status, said = it.install()
    same('exit status and last line', (status, said.splitlines()[-1:]),
         (0, [it.path(PROGRAM)]))


def keeps_others(it):
    """what was there is as it was"""
    now = contents(it.scratch)
    same('gone or changed', [name for name, state in it.before.items()
                             if now.get(name) != state], [])


def nothing_elsewhere(it):
    """there is nothing in the prefix itself"""
    same(f'{RECORD} below {it.prefix}',
         os.path.exists(f'{it.prefix}/{RECORD}'), it.there_already)


def readable(it):
    """every user may read it, whatever the umask was"""
    private = [name for name, (mode, *_) in contents(it.scratch).items()
               if name not in it.before and mode & 0o044 != 0o044]
    same('not for every user', private, [])
    same('mode of the program', os.stat(it.path(PROGRAM)).st_mode & 0o777,
         0o755)


def has_objects(it):
    """-object help lists the objects"""
    objects = it.ask('-object', 'help').split()
    same('missing', [name for name in OBJECTS if name not in objects], [])


def searches_its_data(it):
    """-L help names the data that was installed with it"""
    folders = [os.path.realpath(line)
               for line in it.ask('-L', 'help').splitlines()]
    data = os.path.realpath(it.path('share/qemu'))
    if data not in folders:
        raise Failure(f'{data} is not among {folders}')


def finds_firmware(it):
    """QEMU finds the firmware by its name alone"""
    name = os.path.basename(FIRMWARE['AAVMF_CODE.fd'])
    qemu = subprocess.run(
        [it.path(PROGRAM), '-machine', 'virt', '-nodefaults', '-S',
         '-display', 'none', '-monitor', 'stdio', '-bios', name],
        input='quit\n', text=True, timeout=SECONDS, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if qemu.returncode or '(qemu)' not in qemu.stdout:
        raise Failure(f'exit status {qemu.returncode}: {qemu.stdout}')


def describes_firmware(it):
    """the firmware's descriptor has the shape of docs/interop/firmware.json"""
    paths = glob.glob(it.path(f'{DESCRIPTORS}/*'))
    same('number of descriptors', len(paths), 1)
    with open(paths[0]) as file:
        descriptor = json.load(file)
    schema = qapi_shape.load(os.path.join(it.args.build, 'base'),
                             'docs/interop/firmware.json')
    qapi_shape.check(schema.lookup_type('Firmware'), descriptor, 'descriptor')
    mapping = descriptor['mapping']
    names = [mapping[part]['filename']
             for part in ('executable', 'nvram-template')]
    same('files', names,
         [f'{it.prefix}/{name}' for name in FIRMWARE.values()])


def has_firmware(it):
    """the firmware is the guest's, with its licenses"""
    for ours, installed in FIRMWARE.items():
        with (open(os.path.join(it.args.guest, ours), 'rb') as wanted,
              open(it.path(installed), 'rb') as file):
            if wanted.read() != file.read():
                raise Failure(f'{it.path(installed)} is not {ours}')
    with open(it.path(LICENSES)) as file:
        if 'BSD-2-Clause-Patent' not in file.read():
            raise Failure(f'{LICENSES} does not name the license of EDK2')


def documents(it):
    """HTML, manual pages and QMP reference tell of the object"""
    for page, word in PAGES:
        with open(it.path(page)) as file:
            # roff writes a dash so
            if word not in file.read().replace('\\-', '-'):
                raise Failure(f'{page} does not name {word}')


def linked(page):
    """The files that a page links to; each has the place that is named."""
    files = []
    with open(page) as file:
        links = LOCAL_LINK.findall(file.read())
    for path, place in links:
        files.append(os.path.normpath(os.path.join(os.path.dirname(page), path))
                     if path else page)
        if not os.path.isfile(files[-1]):
            raise Failure(f'{page} links to {path}, which is not there')
        if place:
            with open(files[-1]) as file:
                if f'id="{place}"' not in file.read():
                    raise Failure(f'{page} links to {path}#{place}, but {path} '
                                  'has no such place')
    return files


def guide(it):
    """what the guide links to is there, QEMU's pages and the files of its index"""
    for page in glob.glob(it.path(f'{GUIDE}/*.html')):
        linked(page)
    files = {os.path.basename(path): path
             for path in linked(it.path(f'{GUIDE}/index.html'))}
    same('files that the index lacks',
         [name for name in GUIDE_FILES if name not in files], [])
    for name in GUIDE_FILES:
        with (open(files[name]) as file,
              open(os.path.join(TOP, 'guide', name)) as wanted):
            same(name, file.read(), wanted.read())


def plans(it):
    """qemu-gpu-mem shows the GPU of a saved host"""
    said = subprocess.run(
        [it.path('bin/qemu-gpu-mem'), 'show', '--sysfs', planned.sysfs('gh200')],
        text=True, stdout=subprocess.PIPE, check=True).stdout
    same('first word', said.split()[0], '0009:01:00.0')


def checks_guest(it):
    """what is to be copied into a guest runs by itself"""
    said = subprocess.run([it.path(CHECK_GUEST), '--root', it.args.out],
                          text=True, stdout=subprocess.PIPE, check=False).stdout
    same('first words', said.split(':')[0], 'to do')


def boots(it):
    """a guest of the installed QEMU and firmware has the GPU's memory"""
    out = os.path.join(it.args.out, 'boot')
    files = os.path.join(it.args.out, 'guest')
    installed_guest.make_folder(files, it.args.guest, {
        name: it.path(installed) for name, installed in FIRMWARE.items()})
    vm = machine.Machine()
    installed_guest.boot(vm.command(it.path(PROGRAM), files, out), vm, out)


def replaces_older(it):
    """installed again, it takes away what the new version has no longer"""
    write(it.path(OUTDATED), 'outdated\n')
    with open(it.path(RECORD), 'a') as record:
        record.write(f'{it.prefix}/{OUTDATED}\n')
    before = contents(it.scratch).keys()
    installs(it)
    same('what went', before ^ contents(it.scratch).keys(),
         {os.path.relpath(it.path(OUTDATED), it.scratch)})


def refuses_foreign(it):
    """a file of somebody else is named, and nothing is installed"""
    path = it.path(LICENSES)
    write(path, 'foreign\n')
    before = contents(it.scratch)
    status, said = it.install()
    same('exit status', status, 1)
    if f'{path} is there and not of this project' not in said:
        raise Failure(f'it says: {said}')
    same_contents(it.scratch, before)
    os.remove(path)


def uninstalls(it):
    """uninstalled, all is as it was before"""
    status, said = it.uninstall()
    same('exit status', (status, said if status else ''), (0, ''))
    same_contents(it.scratch, it.before)


def spares_later(it):
    """uninstalled, it leaves a file that has come since, and its folders"""
    installs(it)
    write(it.path(LATER), 'foreign\n')
    same('exit status', it.uninstall()[0], 0)
    wanted, path = [], os.path.relpath(it.path(LATER), it.scratch)
    while path:
        wanted.append(path)
        path = os.path.dirname(path)
    same('what is left', sorted(contents(it.scratch)), sorted(wanted))


def refuses_uninstall(it):
    """what is not installed can't be uninstalled"""
    status, said = it.uninstall()
    same('exit status', status, 1)
    if f'{it.path(RECORD)} is missing' not in said:
        raise Failure(f'it says: {said}')


AS_INSTALLED = (readable, has_objects, searches_its_data, finds_firmware,
                describes_firmware, has_firmware, documents, guide, plans,
                checks_guest)
SHARED = (refuses_foreign, installs, keeps_others, *AS_INSTALLED, boots,
          replaces_older, uninstalls, refuses_uninstall)
STAGED = (installs, nothing_elsewhere, *AS_INSTALLED, uninstalls, spares_later)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True, metavar='DIR',
                        help='with QEMU and the documents')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='where it is installed')
    args = parser.parse_args()
    for name in ('build', 'guest', 'out'):
        setattr(args, name, os.path.abspath(getattr(args, name)))

    cases = (
        (Install(args, 'PREFIX', prefix='a prefix'), SHARED),
        (Install(args, 'DESTDIR', destdir='a stage'), STAGED))
    tap = Tap(sum(len(checks) for _, checks in cases))
    for it, checks in cases:
        it.prepare()
        for check in checks:
            tap.point(f'{it.case}: {check.__doc__}', check, it)
    if tap.failures:
        for log in ('stage.log', 'install.log'):
            with open(os.path.join(args.build, 'log', log)) as file:
                tap.diagnose(f'the end of {log}:')
                tap.diagnose(''.join(file.readlines()[-20:]))
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
