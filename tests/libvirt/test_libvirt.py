#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The documented libvirt domains, under a libvirt daemon of the test's own.

The machine's own libvirt gets those for libvirt 11, one of another Debian those
for libvirt 12.  Two more domains are made by qemu-gpu-mem.
"""

import argparse
import dataclasses
import difflib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True      # the source directory stays clean

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path += [os.path.join(TOP, 'tests', name) for name in ('guest', 'install')]

import guest                        # noqa: E402
import machine                      # noqa: E402
import planned                      # noqa: E402
import report                       # noqa: E402
from arch import ARM64              # noqa: E402
from checks import (                # noqa: E402
    Failure, Skip, log_lines, memory, node_map, numa_nodes, numactl, paths,
    properties, same, srat_bytes)
from console import Console         # noqa: E402
from daemon import Daemon           # noqa: E402
from debian_root import DebianRoot, reason_against      # noqa: E402
from domain import (                # noqa: E402
    BOOTED_PATHS, PATHS, Files, for_this_machine, with_paths,
    without_hardware)
from numa_checks import distances   # noqa: E402
from places import PXB              # noqa: E402
from tap import Tap                 # noqa: E402

STATE_WITHIN = 300      # seconds; libvirt hears of QEMU's end by itself
# A guest that is to run on has a shell.  It is idle once that has its prompt:
# only then is it sure to notice what is done to its devices.
SHELL = '/bin/sh'
PROMPT = b' # \x1b[6n'     # with the shell's question where the cursor is
LOG_TAIL = 40
# QEMU's versions with an SMMU that is accelerated, each by other properties
FOR_QEMU = ('11.0', '11.1')
# What "qemu-gpu-mem domain" adds, and libvirt does not
ADDED = ('gpu-mem-', '<cell ', '-numa', 'expander-bus', 'pref64-reserve')
# What libvirt before 12 can't read in the documents for "qemu-gpu-mem domain"
NEWER = re.compile(
    r"""(?x)\n *(?:<driver\ iommufd=.*|<acpi\ nodeset=.*|<pcihole64.*
        |<cell\ id="[2-9]".*) | <sibling\ id="[2-9]".*?</sibling>""")
# Debian's packages of the daemon, of virsh, and of what checks by the schema
PACKAGES = ('libvirt-daemon', 'libvirt-daemon-driver-qemu', 'libvirt-clients',
            'libxml2-utils')


def complete(vm):
    def check(found):
        """nothing that the guest should have is missing"""
        same('missing', report.missing(found, vm), [])
    return check


def near(bridges):
    def check(found):
        """each GPU's host bridge is near its socket (_PXM)"""
        # In AML: the name of a host bridge, what names it, Name (_PXM, n)
        same('nodes of the host bridges',
             {name.decode(): node[0] for name, node in re.findall(
                 rb'\x82[^\x82]{0,3}(PC[0-9A-F]{2})[^\x82]*?\x08_PXM\x0a?(.)',
                 found.tables['DSDT'], re.DOTALL)}, bridges)
    return check


@dataclasses.dataclass(frozen=True)
class Case:
    document: str
    vm: machine.Machine     # what the guest should come to have
    objects: dict[str, tuple[str, range]]       # id: devid, nodeset
    checks: tuple
    newer_checks: tuple = ()        # of what only the newer document has

    def path(self, older):
        return os.path.join(TOP, *(
            ('contrib', 'libvirt', f'{self.document}-11.xml') if older else
            ('guide', f'{self.document}.xml')))

    def text(self, older):
        with open(self.path(older)) as file:
            return file.read()

    def all_checks(self, older):
        return (*self.checks, *(() if older else self.newer_checks),
                complete(self.vm))


@dataclasses.dataclass(frozen=True)
class Planned(Case):
    """What "qemu-gpu-mem domain" makes of a document beside this file."""

    def path(self, older):
        return os.path.join(HERE, f'{self.document}.xml')

    def original(self, older):
        text = super().text(older)
        return NEWER.sub('', text) if older else text

    def text(self, older):
        return self.planned(self.original(older), older)

    def planned(self, text, older, *options):
        done = subprocess.run(
            [os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem'), 'domain',
             *([] if '--remove' in options else [
                 '--sysfs', planned.sysfs(),
                 '--libvirt', '9.7' if older else '12']), *options],
            input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise Failure(done.stderr)
        return done.stdout

    def all_checks(self, _):
        return self.checks


def two_sockets(src, dst, second=9, within=20):
    """The distances of two sockets, a GPU each, as nodes 0, 1, 2-8, 9-15.

    SECOND is the first node of the second GPU, WITHIN a distance of a GPU's nodes.
    """
    if src == dst:
        return 10
    low, high = sorted((src, dst))
    if high == 1:
        return 40
    if low > 1:
        return within
    return 80 if (high < second) == (low == 0) else 120


CASES = (
    Case('one-gpu', machine.Machine(),
         {'mem0': ('ua-nvgrace0', range(2, 10))}, (
             log_lines(range(2, 10)),
             srat_bytes(range(2, 10)),
             paths(r'\\_SB_\.PCI0\.S[0-9A-F]{2}_\.S00_'),
             properties((2, 8)),
             node_map((2, 8)),
             memory(range(2, 10), {2: 1024}),
             numactl({2: 1024}))),
    Case('two-gpus', machine.Machine(gpus=2, nodes=7, places=(PXB, PXB)),
         {'mem0': ('ua-nvgrace0', range(2, 9)),
          'mem1': ('ua-nvgrace1', range(9, 16))}, (
             log_lines(range(2, 16)),
             srat_bytes(range(2, 16)),
             paths(r'\\_SB_\.PC80\..+', r'\\_SB_\.PC90\..+'),
             near({'PC80': 0, 'PC90': 1}),
             numa_nodes(0, 1),
             properties((2, 7), (9, 7)),
             node_map((2, 7), (9, 7)),
             memory(range(2, 16), {2: 1024, 9: 1024}),
             numactl({2: 1024, 9: 1024})),
         (distances([tuple(two_sockets(src, dst) for dst in range(16))
                     for src in range(16)]),)),
)


def of_one_gpu(nodes, bridge, sockets, within):
    """Checks of a GPU below a host bridge near node 0.

    SOCKETS has the guest's nodes by the numbers of two_sockets().
    """
    first = nodes[0]
    return (paths(rf'\\_SB_\.{bridge}\..+'),
            near({bridge: 0}),
            numa_nodes(0),
            properties((first, 8)),
            node_map((first, 8)),
            memory(nodes, {first: 1024}),
            distances([tuple(two_sockets(src, dst, 10, within)
                             for dst in sockets)
                       for src in sockets]))


PLANNED = (
    Planned('plain', machine.Machine(),
            {'ua-gpu-mem-mem0': ('ua-gpu-mem-gpu0', range(1, 9))}, (
                log_lines(range(1, 9)),
                # Without the second socket
                *of_one_gpu(range(1, 9), 'PC80', (0, *range(2, 10)), 11))),
    Planned('kubevirt', machine.Machine(),
            {'ua-gpu-mem-mem0': ('ua-gpu-gpu0', range(2, 10))}, (
                srat_bytes(range(2, 10)),
                *of_one_gpu(range(2, 10), 'PC20', range(10), 11))),
)


# --- the documents as they stand ------------------------------------------

def schema(case, daemon):
    """libvirt's schema has no objection"""
    daemon.run('virt-xml-validate', daemon.copy(case.path(older=False)),
               'domain')


def planned_schema(case, daemon, out, version):
    """Of one with IOMMUFD and an SMMU, which this QEMU doesn't have."""
    path = os.path.join(out, f'{case.document}-for-{version}.xml')
    with open(path, 'w') as file:
        file.write(case.planned(case.original(False), False, '--libvirt', '12.8',
                                '--qemu-version', version))
    daemon.run('virt-xml-validate', daemon.copy(path), 'domain')


def in_readme(case):
    """README.md shows the same domain, with the package's paths"""
    with open(os.path.join(TOP, 'README.md')) as file:
        shown = re.search(r'(?ms)^### libvirt$.*?^```xml\n(.*?)^```$',
                          file.read())
    if not shown:
        raise Failure('README.md has no block of XML below "### libvirt"')
    packaged = subprocess.run(
        ['sed', '-f', os.path.join(TOP, 'contrib', 'debian', 'paths.sed'),
         case.path(older=False)], text=True, stdout=subprocess.PIPE,
        check=True).stdout
    def elements(text):
        return re.sub(r'>\s*<', '>\n<', text).splitlines()

    # Of the file all but the comment with its license
    differences = list(difflib.unified_diff(
        elements(packaged.split('-->\n', 1)[1]), elements(shown[1]),
        os.path.basename(case.path(older=False)), 'README.md', lineterm=''))
    same('differences', '\n'.join(differences), '')


# --- a domain under the daemon --------------------------------------------

class Domain:
    """Its steps in their order; each one's docstring names it."""

    @classmethod
    def points(cls, case, older):
        """What is tested of a case, and whether it is a step or a check."""
        return (*((step, True) for step in (cls.define, cls.start,
                                            cls.read_back, cls.boot)),
                *((check, False) for check in case.all_checks(older)),
                (cls.destroy, True), (cls.undefine, True))

    def __init__(self, daemon, files, older, case, out):
        listener, path = daemon.listen(f'console-{os.path.basename(out)}',
                                       socket.SOCK_STREAM)
        self._console = Console(listener)
        self._daemon, self._case, self._out = daemon, case, out
        self._files = dataclasses.replace(files, console=path)
        self._older = older
        self._text = case.text(older)
        self._name = re.search('<name>(.*?)</name>', self._text)[1]
        self.found = report.Report()
        os.makedirs(out, exist_ok=True)

    def define(self):
        """libvirt defines it"""
        memory_mb = sum(self._case.vm.memory().values())
        self._define(f'online_mb={memory_mb}')

    def _define(self, kernel_args, **how):
        text = for_this_machine(
            self._text, self._files, self._case.vm.gpus,
            f'{ARM64.kernel_args} {kernel_args}', **how)
        define(self._daemon, text, self._out)

    def start(self):
        """it starts, paused"""
        self._daemon.virsh('start', '--paused', self._name)
        same('state', self._state(), 'paused')
        if len(self._daemon.processes()) < 2:
            raise Failure('there is no process beside the daemon')

    def read_back(self):
        """its objects have the properties that the document gives them"""
        same('objects', {name: (self._property(name, 'devid'),
                                self._property(name, 'nodeset'))
                         for name in self._case.objects},
             {name: (devid, list(nodes))
              for name, (devid, nodes) in self._case.objects.items()})

    def boot(self):
        """the guest reports and powers off"""
        self._daemon.virsh('resume', self._name)
        self._console.follow(os.path.join(self._out, guest.LOG),
                             guest.DEADLINE)
        log = guest.read_log(self._out)
        if '@@ done' not in log:
            raise Failure('QEMU ended before the guest had reported')
        self.found = report.parse(log)
        self._await_shut_off()

    def destroy(self):
        """it starts once more and is destroyed"""
        self._daemon.virsh('start', '--paused', self._name)
        self._daemon.virsh('destroy', self._name)
        same('state', self._state(), 'shut off')

    def undefine(self):
        """it is undefined, with its firmware's variables"""
        variables = re.search('<nvram.*>(.*)</nvram>',
                              self._daemon.virsh('dumpxml', self._name))[1]
        if not os.path.exists(variables):
            raise Failure(f'{variables} was never there')
        self._daemon.virsh('undefine', '--nvram', self._name)
        if self._name in self._daemon.virsh('list', '--all', '--name').split():
            raise Failure(f'{self._name} is still defined')
        if os.path.exists(variables):
            raise Failure(f'{variables} is still there')

    def _state(self):
        return self._daemon.virsh('domstate', self._name)

    def _property(self, name, which):
        answer = self._daemon.virsh(
            'qemu-monitor-command', self._name,
            json.dumps({'execute': 'qom-get',
                        'arguments': {'path': f'/objects/{name}',
                                      'property': which}}))
        return json.loads(answer).get('return', answer)

    def _await_shut_off(self):
        """QEMU closes the console a moment before libvirt knows its end."""
        await_that(lambda: self._state() == 'shut off',
                   "the guest is off, but libvirt doesn't know it")


class PlannedDomain(Domain):
    """One that qemu-gpu-mem made; it does so again of what libvirt has."""

    @classmethod
    def points(cls, case, older):
        return ((cls.plan_again, True), *super().points(case, older))

    def plan_again(self):
        """planned again as libvirt writes it, it is the same, or as before"""
        first = self._defined(self._text)
        same('differences', '\n'.join(difflib.unified_diff(
            first.splitlines(), self._defined(self._case.planned(
                first, self._older)).splitlines(), 'once', 'twice', lineterm='')),
             '')
        left = self._case.planned(first, self._older, '--remove')
        original = self._case.original(self._older)
        same('left of it', [left.count(word) for word in ADDED],
             [original.count(word) for word in ADDED])
        self._daemon.virsh('undefine', '--nvram', self._name)

    def _defined(self, text):
        """How libvirt writes the domain."""
        if self._files.qemu not in text:
            text = without_hardware(text, self._files, ARM64.kernel_args)
        define(self._daemon, text, self._out)
        return self._daemon.virsh('dumpxml', '--inactive', self._name)


class DetachableDomain(Domain):
    """Its GPU is played by a device that libvirt can detach."""

    @classmethod
    def points(cls, *_):
        return tuple((step, True) for step in (
            cls.define, cls.start, cls.boot, cls.save_and_restore, cls.detach,
            cls.save_and_restore_without, cls.read_back, cls.destroy,
            cls.undefine))

    def define(self):
        """libvirt defines it"""
        self._define(f'rdinit={SHELL}', managed=True)

    def boot(self):
        """the guest comes up"""
        self._daemon.virsh('resume', self._name)
        self._console.follow(os.path.join(self._out, guest.LOG),
                             guest.DEADLINE, PROMPT)

    def save_and_restore(self):
        """it is saved and restored"""
        self._save_and_restore()
        same('warnings', self._warnings(), [])

    def detach(self):
        """its device is detached, and the guest lets it go"""
        self._daemon.virsh('detach-device-alias', self._name, self._devid())
        await_that(lambda: self._devid() not in self._devices(),
                   'the guest keeps the device')

    def save_and_restore_without(self):
        """it is saved and restored without the device, with a warning"""
        self._save_and_restore()
        warning = f'devid={self._devid()}: there is no such device'
        if not any(warning in line for line in self._warnings()):
            raise Failure(f'no warning with "{warning}": {self._warnings()}')

    def destroy(self):
        """it is destroyed"""
        self._daemon.virsh('destroy', self._name)
        same('state', self._state(), 'shut off')

    def _devid(self):
        ((devid, _),) = self._case.objects.values()
        return devid

    def _devices(self):
        """Of the domain's XML, what is before the arguments for QEMU."""
        return self._daemon.virsh('dumpxml', self._name).split(
            '<qemu:commandline>')[0]

    def _save_and_restore(self):
        state = self._daemon.path(f'{self._name}.state')
        try:
            self._daemon.virsh('save', self._name, state)
        except Failure as failure:
            # An argument of "migrate", which QEMU has dropped
            if "Parameter 'detach' is unexpected" in str(failure):
                raise Skip('this libvirt is too old to save a domain of QEMU '
                           '11') from None
            raise
        same('state', self._state(), 'shut off')
        self._daemon.virsh('restore', state)
        os.remove(state)
        same('state', self._state(), 'running')

    def _warnings(self):
        """What QEMU says of objects without effect."""
        return [line for path in self._daemon.logs()
                if os.path.basename(path) == f'{self._name}.log'
                for line in read_lines(path) if 'is without effect' in line]


class NoGpu:
    """The domain that any host can run, by the commands of README.md."""

    NAME = 'no-gpu'
    found = None

    @classmethod
    def points(cls, *_):
        return tuple((step, True) for step in (cls.define, cls.console,
                                               cls.undefine))

    def __init__(self, daemon, files, _, case, out):
        self._daemon, self._files = daemon, files
        self._vm, self._out = case.vm, out
        os.makedirs(out, exist_ok=True)

    def define(self):
        """libvirt defines it"""
        path = os.path.join(TOP, 'contrib', 'libvirt', f'{self.NAME}.xml')
        with open(path) as file:
            text = with_paths(file.read(), self._files, PATHS + BOOTED_PATHS)
        define(self._daemon, text, self._out)

    def console(self):
        """it starts, and on its console the guest reports and powers off"""
        said = self._daemon.virsh_on_terminal('start', self.NAME, '--console')
        with open(os.path.join(self._out, guest.LOG), 'w') as file:
            file.write(said)
        same('missing', report.missing(
            report.parse(guest.read_log(self._out)), self._vm), [])

    def undefine(self):
        """it is undefined, with its firmware's variables"""
        self._daemon.virsh('undefine', '--nvram', self.NAME)


def define(daemon, text, out):
    """Give libvirt the domain, and keep what it was given."""
    path = os.path.join(out, 'domain.xml')
    with open(path, 'w') as file:
        file.write(text)
    daemon.virsh('define', '--validate', daemon.copy(path))


def read_lines(path):
    with open(path, errors='replace') as file:
        return file.read().splitlines()


def await_that(happens, otherwise):
    until = time.monotonic() + STATE_WITHIN
    while not happens():
        if time.monotonic() > until:
            raise Failure(f'{otherwise} after {STATE_WITHIN} s')


def show_logs(tap, daemon, out=None):
    for path in [*daemon.logs(), *([os.path.join(out, guest.LOG)]
                                   if out else [])]:
        tap.diagnose(f'the end of {os.path.basename(path)}:')
        try:
            with open(path, errors='replace') as file:
                for line in file.read().splitlines()[-LOG_TAIL:]:
                    tap.diagnose(f'    {line}')
        except FileNotFoundError:
            tap.diagnose('    there is none')


# Its name, what it is, and the document that it is made of
DOMAINS = (*((case.document, Domain, case) for case in CASES),
           *((case.document, PlannedDomain, case) for case in PLANNED),
           ('detach', DetachableDomain, CASES[0]),
           ('no-gpu', NoGpu, CASES[0]))


def test_domain(tap, daemon, files, older, name, kind, case, out):
    failures_before = tap.failures
    domain = kind(daemon, files, older, case, out)
    ready = True        # all steps so far have passed
    for test, is_step in kind.points(case, older):
        def run(test=test, subject=domain if is_step else domain.found):
            if not ready:
                raise Failure('a step before this one failed')
            test(subject)
        passed = tap.point(f'{name}: {test.__doc__}', run)
        ready = ready and (passed or not is_step)
    if tap.failures > failures_before:
        show_logs(tap, daemon, out)


# --- the daemon -----------------------------------------------------------

def answers(daemon):
    """a daemon of our own answers"""
    daemon.start()
    daemon.virsh('list', '--all')
    print('#', daemon.run('libvirtd', '--version'))


def stops(daemon):
    """the daemon ends when it is told to, and nothing is left running"""
    daemon.stop()
    same('processes left', daemon.processes(), [])


def files_for(daemon, args):
    """The guest's files where the daemon's user can read them."""
    def of_guest(name):
        return daemon.copy(os.path.join(args.guest, name))
    return Files(qemu=daemon.copy_program(args.qemu),
                 firmware=of_guest('AAVMF_CODE.fd'),
                 variables=of_guest('AAVMF_VARS.fd'),
                 kernel=of_guest('vmlinuz'),
                 initrd=of_guest('initramfs.cpio.gz'),
                 console='')


def clean_up(daemon, out):
    """Keep the logs, and nothing else."""
    for path in daemon.logs():
        shutil.copyfile(path, os.path.join(out, os.path.basename(path)))
    daemon.clean_up()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets logs, and the other Debian')
    parser.add_argument('--suite', metavar='NAME',
                        help='of Debian, whose libvirt is taken')
    args = parser.parse_args()
    if args.suite and (reason := reason_against()):
        print('TAP version 13\n1..1\nok 1 - libvirt of Debian '
              f'{args.suite} # SKIP {reason}')
        return
    os.makedirs(args.out, exist_ok=True)

    root, older = None, not args.suite
    if args.suite:
        try:
            root = DebianRoot(os.path.join(args.out, 'root'),
                              os.path.join(TOP, 'scripts'), args.suite,
                              PACKAGES)
        except Failure as error:
            print(f'Bail out! {error}')
            sys.exit(1)
    tap = Tap((1 if older else len(CASES) + len(PLANNED) * len(FOR_QEMU)) + 2 +
              sum(len(kind.points(case, older)) for _, kind, case in DOMAINS))
    daemon = Daemon(root)
    try:
        if older:
            tap.point(f'{CASES[0].document}: {in_readme.__doc__}', in_readme,
                      CASES[0])
        else:
            for case in CASES:
                tap.point(f'{case.document}: {schema.__doc__}', schema, case,
                          daemon)
            for case, version in itertools.product(PLANNED, FOR_QEMU):
                tap.point(f'{case.document} for QEMU {version}: {schema.__doc__}',
                          planned_schema, case, daemon, args.out, version)
        if tap.point(answers.__doc__, answers, daemon):
            files = files_for(daemon, args)
            for name, kind, case in DOMAINS:
                test_domain(tap, daemon, files, older, name, kind, case,
                            os.path.join(args.out, name))
            tap.point(stops.__doc__, stops, daemon)
        else:
            show_logs(tap, daemon)
    except Failure as error:        # a file of the guest is missing
        print(f'Bail out! {error}')
        sys.exit(1)
    finally:
        clean_up(daemon, args.out)
    sys.exit(1 if tap.failures else 0)


if __name__ == '__main__':
    # So that all ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
