#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the paths that make and ./configure take, and of what is removed.

Each is tried on a copy of the tree, in a scratch folder with other files, which
must stay as they are.
"""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import shutil
import stat
import string
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(TOP, 'tests', 'guest'))

from checks import Failure, same    # noqa: E402
from tap import Tap                 # noqa: E402

TAKEN = '._+-/@'
MARKER = '.nvidia-gpu-mem-acpi'
RECORD = 'share/qemu/nvidia-gpu-mem-acpi.installed'
with open(os.path.join(TOP, 'Makefile')) as file:
    TARGETS = re.search(r'(?m)^\.PHONY:((?:.*\\\n)*.*)$',
                        file.read())[1].replace('\\', '').split()

# Names of folders, for each character that is not taken.  A shell makes some of
# them to one of BESIDE, or to the user's home.
BAD = ('work 2026', 'work\t2026', 'work\n2026', 'work\n', 'work #2026',
       'work ~', "work''-2026", 'work""-2026', 'work$x', 'work`x`2026',
       'work;2026', 'work*', 'work?2026', 'work[-]2026', 'work{-,+}2026',
       'work\\-2026', 'work&2026', 'work|2026', 'work<2026', 'work>2026',
       'work(2026)', 'work,2026', 'work=2026', 'work:2026',
       'work%2026', 'work!2026', 'work^2026', '#2026', '~', 'work\x7f2026')
BESIDE = ('work', '2026', 'work2026', 'work-2026')
GOOD = ('tree', f'wörk{TAKEN.replace("/", "")}2026')
# Of a prefix or of a folder for the series
QUOTES = 'a \'b\' "c" `touch d` $(touch d); touch d \\t #'
LATIN_1 = 'caf\udce9'        # is no UTF-8

# A build folder, without and with what "make clean" removes
KEPT = (MARKER, 'build.ninja', 'base/VERSION', 'cache/packages', 'qemu/program',
        'guest.qcow2', 'server.key', 'own.deb', 'stage-2026/notes', 'check-list')
BUILT = ('guest/vmlinuz', 'guest-new/vmlinuz', 'run/guest.log',
         'guest-test/log', 'log/base.log', 'docs/made', 'stage.abc123/bin/qemu',
         'results/guest.json',
         'deb/root', 'qemu-gpu-mem_1_arm64.deb', 'series/a/0001-a.patch',
         'check-series/failed', 'server/qemu/program', 'nvidia/nvidia.ko',
         'bench/report.md', 'arm64/qemu/program')

# The scripts that make something anew in the folders that they are given
IN_BUILD = ('scripts/base/apply-tree .', 'scripts/base/for-base .',
            'scripts/package/build-deb . guest',
            'scripts/package/configure-arm64 .', 'scripts/build/build-docs .',
            'scripts/base/fetch-base . 10.0', 'scripts/build/configure-clean . qemu',
            'scripts/package/install-qemu . guest',
            'tests/guest/build-guest guest cache',
            'tests/guest/build-kernel cache',
            'tests/guest/fetch-packages cache trixie arm64',
            'tests/gpu-mem/build-python . cache guest',
            'tests/nvidia/build-nvidia . cache guest',
            'tests/server/build-qemu .', 'tests/server/build-libvirt .',
            'tests/server/build-old . cache guest')


def write(path, text='precious\n'):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', errors='surrogateescape') as file:
        file.write(text)


def script(path, text):
    write(path, f'#!/bin/sh\n{text}\n')
    os.chmod(path, 0o755)


def contents(folder):
    """All that is in a folder, with what would tell that it was touched."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            state = os.lstat(path)
            found[os.path.relpath(path, folder)] = (
                state.st_mode, state.st_ino,
                None if stat.S_ISDIR(state.st_mode) else state.st_mtime_ns)
    return found


class Scratch:
    """A copy of the tree in a folder, and what is beside it."""

    def __init__(self, name='tree'):
        self._folder = tempfile.TemporaryDirectory()
        self.root = os.path.realpath(self._folder.name)
        self.tree = self.path('new', 'src')
        for folder in (*BESIDE, 'home'):
            write(self.path(folder, 'src', 'build', MARKER))
            write(self.path(folder, 'src', 'build', 'guest', 'vmlinuz'))
        shutil.copytree(os.path.join(TOP, 'scripts'),
                        os.path.join(self.tree, 'scripts'))
        for path in ('Makefile', 'configure',
                     *(line.split()[0] for line in IN_BUILD)):
            copy = os.path.join(self.tree, path)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(os.path.join(TOP, path), copy)
        # Whatever goes wrong, nothing is fetched or installed
        for stub in ('build/host-packages', 'base/private-apt'):
            script(os.path.join(self.tree, 'scripts', stub), 'exit 1')
        for path in (*KEPT, *BUILT):
            write(os.path.join(self.tree, 'build', path))
        self.move(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def move(self, name):
        """Give the folder that the tree is in another name."""
        os.rename(os.path.dirname(self.tree), self.path(name))
        self.tree = self.path(name, 'src')
        self.build = os.path.join(self.tree, 'build')
        self.forget()

    def configured(self):
        """As ./configure leaves it."""
        write(os.path.join(self.tree, 'config.mk'), f'BUILD := {self.build}\n')
        self.forget()

    def path(self, *names):
        return os.path.join(self.root, *names)

    def forget(self):
        self.before = contents(self.root)

    def touched(self, *expected):
        """Nothing is new, gone or changed since "forget" but these."""
        now = contents(self.root)
        same('new, gone or changed', sorted(
            name for name in now.keys() | self.before.keys()
            if now.get(name) != self.before.get(name) and
            not self.path(name).startswith(expected)), [])
        self.before = now

    def run(self, *command, cwd=None, **environ):
        """The exit status of a program, and what it says."""
        done = subprocess.run(
            command, cwd=cwd or self.tree, check=False, timeout=60,
            encoding='utf-8', errors='surrogateescape',
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={'PATH': f'{self.path("bin")}:{os.environ["PATH"]}',
                 'HOME': self.path('home'), **environ})
        return done.returncode, done.stdout

    def make(self, *arguments, **environ):
        """Without what a make around this test passes on."""
        return self.run('make', '--no-print-directory', '-C', self.tree,
                        *(word.replace('$', '$$') for word in arguments),
                        **environ)

    def configure(self, *arguments):
        return self.run('./configure', *arguments)

    def refuses(self, program, path, *runs, why=TAKEN):
        """Each run fails with one line that says so; nothing is touched."""
        status = 2 if program == self.make else 1
        path = re.sub('[\1-\37\177]', '?', path)
        faults = {}
        for run in runs:
            have, said = program(*run)
            lines = [line for line in said.splitlines()
                     if not line.startswith('make: *** [')]
            if have != status or len(lines) != 1 or path not in lines[0] or \
                    why not in lines[0]:
                faults[run] = have, said
        self.touched()
        same('not refused', faults, {})


def bad_tree(scratch, name):
    scratch.move(name)
    # With -k, a target that fails doesn't keep the next from being tried
    scratch.refuses(scratch.make, scratch.tree, ('-k', *TARGETS))
    scratch.refuses(scratch.configure, scratch.tree, ())


def bad_build(scratch, name):
    build = scratch.path(name, 'src', 'build')
    write(os.path.join(build, MARKER))
    scratch.forget()
    scratch.refuses(scratch.make, build, ('-k', *TARGETS, f'BUILD={build}'))


def bad_base(scratch, name):
    base = f'BASE=../{name}'
    scratch.refuses(scratch.make, base, ('-k', *TARGETS, base))


def options():
    """./configure refuses such a --build and --base, and makes nothing"""
    with Scratch() as scratch:
        for name in BAD[:4]:
            for option in f'--build=../{name}/new', f'--base=../{name}':
                scratch.refuses(scratch.configure, option, (option,))


def each_target():
    """no target, tried alone, takes a tree in a path with a space"""
    with Scratch('work 2026') as scratch:
        scratch.refuses(scratch.make, scratch.tree,
                        *((target,) for target in TARGETS))


def config_mk():
    """no target takes a BUILD with a space from config.mk"""
    with Scratch() as scratch:
        build = scratch.path('work 2026', 'src', 'build')
        write(os.path.join(scratch.tree, 'config.mk'), f'BUILD := {build}\n')
        scratch.forget()
        scratch.refuses(scratch.make, build, ('-k', *TARGETS))


def characters():
    """of ASCII, exactly letters, digits and ._+-/@ are taken, and UTF-8 is"""
    plain = f'{string.ascii_letters}{string.digits}äß€😀'
    with Scratch() as scratch:
        def taken(path):
            return scratch.run('scripts/build/plain-path', path)[0] == 0
        same('all others are taken', taken(plain), True)
        same('what is no UTF-8 is taken', taken(f'/{LATIN_1}'), False)
        same('taken', [char for char in map(chr, range(1, 128))
                       if char not in plain and taken(f'/x{char}y')],
             sorted(TAKEN))


def not_absolute():
    """no target takes a BUILD that is empty, / or relative"""
    with Scratch() as scratch:
        # So that a wrong Makefile removes nothing either, but is caught at it
        script(scratch.path('bin', 'rm'),
               f'echo "$@" >>{scratch.path("removed")}')
        scratch.forget()
        for build in '', '/', 'build', './build', '..', '-rf':
            build = f'BUILD={build}'
            scratch.refuses(scratch.make, f'{build}: ', ('-k', *TARGETS, build),
                            why='give the absolute path')
        for build in '//', '/tmp/..', scratch.root:
            scratch.refuses(scratch.make, f'{build} stays: ',
                            ('clean', f'BUILD={build}'), why=MARKER)


def good_tree(name):
    """make, make clean and make distclean do what they are for"""
    with Scratch(name) as scratch:
        scratch.configured()
        same('make -n', scratch.make('-n'),
             (0, f'scripts/build/build-qemu {scratch.build}\n'))
        # By CDPATH, cd would go to another folder than the tree's
        write(scratch.path('home', 'scripts', 'build', 'precious'))
        scratch.forget()
        same('exit status', scratch.make('clean', CDPATH=scratch.path('home'))[0],
             0)
        same('left', sorted(os.listdir(scratch.build)),
             sorted({path.split('/')[0] for path in KEPT}))
        scratch.touched(f'{scratch.build}/')
        same('exit status', scratch.make('distclean')[0], 0)
        same('left', [path for path in ('build', 'config.mk')
                      if os.path.exists(os.path.join(scratch.tree, path))], [])
        scratch.touched(scratch.build, os.path.join(scratch.tree, 'config.mk'))
        for target in 'clean', 'distclean':
            same('exit status of another', scratch.make(target)[0], 0)
        scratch.touched()


def other_base():
    """make distclean BASE=... removes only the build folder of that base"""
    with Scratch() as scratch:
        scratch.configured()
        for base, name in ('10.2', 'build-10.2'), ('../work/', 'build-work'):
            build = os.path.join(scratch.tree, name)
            write(os.path.join(build, MARKER))
            scratch.forget()
            same('exit status',
                 scratch.make('distclean', f'BASE={base}')[0], 0)
            same('is there', os.path.exists(build), False)
            scratch.touched(build)


def same_name():
    """no target takes a BASE where the build folder is of another of its name"""
    with Scratch() as scratch:
        ours, other = (scratch.path(folder, 'qemu') for folder in ('work', '2026'))
        for folder in ours, other:
            write(os.path.join(folder, 'VERSION'))
        build = os.path.join(scratch.tree, 'build-qemu')
        write(os.path.join(build, 'base.origin'), f'{ours}\n')
        write(os.path.join(build, MARKER))
        scratch.forget()
        same('its own', scratch.make('-n', 'clean', f'BASE={ours}')[0], 0)
        scratch.refuses(scratch.make, other, ('-k', *TARGETS, f'BASE={other}'),
                        why=f'is of {ours}')


def no_marker():
    """a BUILD without the marker stays, distclean removes only config.mk"""
    with Scratch() as scratch:
        os.remove(os.path.join(scratch.build, MARKER))
        scratch.configured()
        scratch.refuses(scratch.make, f'{scratch.build} stays: ', ('clean',),
                        why=MARKER)
        same('exit status', scratch.make('distclean')[0], 2)
        scratch.touched(os.path.join(scratch.tree, 'config.mk'))


def tree_in_build():
    """a BUILD that the tree is in stays"""
    with Scratch() as scratch:
        write(scratch.path(MARKER))
        os.symlink('.', scratch.path('link'))
        scratch.forget()
        for build in scratch.root, scratch.path('link'):
            scratch.refuses(scratch.make, f'{build} stays: ',
                            ('clean', f'BUILD={build}'),
                            ('distclean', f'BUILD={build}'),
                            why='this tree is in it')


def configure_elsewhere():
    """./configure makes no build folder of one with other files"""
    with Scratch() as scratch:
        home = scratch.path('home')
        option = f'--build={home}'
        scratch.refuses(scratch.configure, option, (option,), why='not ours')


def scripts_elsewhere():
    """a script that makes a folder anew refuses one in no build folder"""
    with Scratch() as scratch:
        folder = scratch.path('home')
        for path in ('base/VERSION', 'base.new/x', 'qemu/x', 'deb/x', 'stage.x',
                     'docs/made', 'cache/x', 'cache.new/x', 'cache.inputs',
                     'guest/version'):
            write(os.path.join(folder, path))
        scratch.forget()

        def run(line):
            name, *arguments = line.split()
            return scratch.run(os.path.join(scratch.tree, name), *arguments,
                               cwd=folder)
        scratch.refuses(run, '', *((line,) for line in IN_BUILD),
                        why='not in a build folder')


def arguments_arrive():
    """PREFIX, OUT and SERIES get to the scripts as they are"""
    with Scratch() as scratch:
        for path in pathlib.Path(scratch.tree, 'scripts').glob('*/*'):
            if path.name != 'plain-path':
                script(path, 'printf "%s\\n" "$@"')
        script(os.path.join(scratch.tree, 'tests/guest/build-guest'), '')
        for target, name in (('install', 'PREFIX'), ('uninstall', 'PREFIX'),
                             ('series', 'OUT'), ('check-series', 'SERIES')):
            status, said = scratch.make(target, f'{name}={QUOTES}')
            same(target, (status, QUOTES in said.splitlines()), (0, True))


def install(scratch, prefix, destdir=''):
    """What make uninstall is to remove, beside a file of somebody else."""
    for name in ('bin/qemu', RECORD, 'bin/foreign'):
        write(f'{destdir}{prefix}/{name}', ''.join(
            f'{prefix}/{line}\n' for line in ('bin/qemu', RECORD, 'bin/',
                                              'share/', 'share/qemu/')))
    scratch.forget()
    return [f'{destdir}{prefix}/{name}' for name in ('bin/qemu', 'share')]


def uninstall():
    """make uninstall removes what is recorded, whatever PREFIX is"""
    with Scratch() as scratch:
        for name, destdir in ((QUOTES, ''), (LATIN_1, ''),
                              (QUOTES, scratch.path(f'a stage: {QUOTES}'))):
            prefix = scratch.path(f'a prefix: {name}')
            ours = install(scratch, prefix, destdir)
            same('make', scratch.make('uninstall', f'PREFIX={prefix}',
                                      DESTDIR=destdir, LC_ALL='C.UTF-8'),
                 (0, f'Removed from {destdir}{prefix}\n'))
            same('left', [path for path in ours if os.path.exists(path)], [])
            scratch.touched(*ours)


def uninstall_elsewhere():
    """make uninstall removes nothing by the record of another folder"""
    with Scratch() as scratch:
        opt, stage = scratch.path('opt'), scratch.path('stage')
        install(scratch, opt)
        install(scratch, opt, stage)
        scratch.refuses(scratch.make, f'{stage}{opt}/{RECORD} ',
                        ('uninstall', f'PREFIX={stage}{opt}'),
                        why='another folder')
        # The record would name a file by the first of the two lines
        write(scratch.path('notes'))
        prefix = f'{scratch.path("notes")}\n2026'
        install(scratch, prefix)
        same('exit status', scratch.make('uninstall', f'PREFIX={prefix}')[0], 2)
        same('exit status', scratch.run('scripts/package/uninstall-qemu',
                                        scratch.build, prefix)[0], 1)
        scratch.touched()


def series_elsewhere():
    """make series replaces what an earlier one wrote, no other patches"""
    loader = importlib.machinery.SourceFileLoader(
        'make_series', os.path.join(TOP, 'scripts', 'series', 'make-series'))
    make_series = importlib.util.module_from_spec(
        importlib.util.spec_from_loader('make_series', loader))
    loader.exec_module(make_series)
    with Scratch() as scratch:
        def replace(out):
            write(scratch.path('series', 'b', '0001-b.patch'))
            make_series.replace(pathlib.Path(out),
                                pathlib.Path(scratch.path('series')))

        # An older one in a build folder has no marker of its own
        for out in scratch.path('out'), scratch.path('out'), \
                os.path.join(scratch.build, 'series'):
            replace(out)
            same('files', set(os.listdir(out)) - {MARKER}, {'b'})
        own = scratch.path('own')
        write(os.path.join(own, '0001-own.patch'))
        for out in own, scratch.build, scratch.path('home'):
            scratch.forget()
            try:
                replace(out)
            except make_series.SeriesError:
                scratch.touched(scratch.path('series'))
            else:
                raise Failure(f'{out} was taken')


def main():
    points = (options, each_target, config_mk, characters, not_absolute,
              other_base, same_name, no_marker, tree_in_build, configure_elsewhere,
              scripts_elsewhere,
              arguments_arrive, uninstall, uninstall_elsewhere,
              series_elsewhere)
    tap = Tap(3 * len(BAD) + len(GOOD) + len(points))
    for check, what in ((bad_build, 'make takes no BUILD in'),
                        (bad_base, 'make takes no BASE'),
                        (bad_tree, 'make and ./configure take no tree in')):
        with Scratch() as scratch:
            for name in BAD:
                # A # would end the name of the point
                shown = repr(name).replace('#', '\\x23')
                tap.point(f'{what} {shown}', check, scratch, name)
    for name in GOOD:
        tap.point(f'in {name!r}, {good_tree.__doc__}', good_tree, name)
    for check in points:
        tap.point(check.__doc__, check)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    main()
