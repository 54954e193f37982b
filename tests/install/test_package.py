#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of "make deb": its package in a clean Debian of this release."""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import apparmor                     # noqa: E402
import guest                        # noqa: E402
import installed_guest              # noqa: E402
import machine                      # noqa: E402
from checks import Failure, same    # noqa: E402
from debian_root import DebianRoot, reason_against      # noqa: E402
from tap import Tap                 # noqa: E402

NAME = 'qemu-gpu-mem'
PROGRAM = 'qemu-system-aarch64-gpu-mem'
PREFIX = f'/usr/lib/{NAME}'
FIRMWARE_FOLDER = '/usr/share/AAVMF/gpu-mem'
OURS = re.compile(rf'({PREFIX}|{FIRMWARE_FOLDER}|/usr/share/doc/{NAME})(/|$)'
                  rf'|/usr/bin/{PROGRAM}$|/usr/share/man/man1/{PROGRAM}\.1\.gz$'
                  r'|/usr/bin/qemu-gpu-mem$|/usr/share/man/man1/qemu-gpu-mem\.1\.gz$'
                  r'|/usr/share/qemu/firmware/70-edk2-aarch64-gpu-mem\.json$'
                  rf'|/etc/apparmor\.d/abstractions/libvirt-qemu\.d/{NAME}$')
FIRMWARE = {            # what it is for the guest tests: what the package has
    'AAVMF_CODE.fd': 'edk2-aarch64-code.fd',
    'AAVMF_VARS.fd': 'edk2-arm-vars.fd'}
EXAMPLES = f'/usr/share/doc/{NAME}/examples'
EXAMPLE = f'{EXAMPLES}/one-gpu.xml'
QEMU_IMG = f'{PREFIX}/bin/qemu-img'
# What a host needs, where the help of a program names it
FEATURES = (
    (f'{PROGRAM} -object memory-backend-ram,help', ('host-nodes',)),
    (f'{PROGRAM} -object help',
     ('nvidia-gpu-mem-acpi', 'dev-mem-pxm-acpi', 'iommufd', 'tls-creds-x509')),
    (f'{PROGRAM} -machine virt -netdev help',
     ('tap', 'user', 'vhost-user', 'vhost-vdpa')),
    (f'{PROGRAM} -machine virt -device help',
     ('vfio-pci-nohotplug', 'vhost-vsock-pci', 'vhost-scsi-pci',
      'vhost-user-fs-pci', 'virtio-9p-pci', 'tpm-tis-device',
      'usb-host', 'usb-redir')),
    (f'{PROGRAM} -machine virt -chardev help', ('spicevmc',)),
    (f'{QEMU_IMG} --help', ('qcow2', 'rbd', 'iscsi', 'nfs', 'ssh', 'https')))


class Package:
    def __init__(self, args):
        self.args = args
        self.build = os.path.abspath(args.build)
        self.out = os.path.abspath(args.out)
        self.deb = self._only()
        self.root = None
        self.before = set()

    def _only(self):
        names = [name for name in os.listdir(self.args.build)
                 if name.startswith(f'{NAME}_') and name.endswith('.deb')]
        same('number of packages', len(names), 1)
        return os.path.join(self.build, names[0])

    def path(self, name):
        """As it is called from outside."""
        return self.root.path + name

    def enter(self, *command):
        return self.root.enter(self.build, *command)

    def run(self, *command):
        return self.root.run(self.build, *command)

    def files(self):
        return self.root.files(self.build)

    def apt(self, *arguments):
        return self.run('apt-get', '-y', '--no-install-recommends',
                        *arguments)


def makes_root(it):
    """a clean Debian of this machine's release"""
    it.root = DebianRoot(os.path.join(it.out, 'root'),
                         os.path.join(TOP, 'scripts'))
    it.before = it.files()


def installs(it):
    """apt installs it, and finds all it depends on"""
    it.apt('install', it.deb)


def own_places(it):
    """all its files are in places of its own"""
    listed = it.run('dpkg', '-L', NAME).splitlines()
    folders = {'/.', *(path[:end.start()] for path in listed
                       for end in re.finditer('/', path))}
    same('elsewhere', [path for path in listed
                       if path not in folders and not OURS.match(path)], [])


def features(it):
    """the emulator and qemu-img have what a host needs"""
    missing = []
    for command, wanted in FEATURES:
        said = re.split(r'[\s",=]+', it.run(*command.split()))
        missing += [f'{command}: {word}' for word in wanted
                    if word not in said]
    same('missing', missing, [])


def default_machine(it):
    """a machine with its network card starts: all ROMs are there"""
    said = it.run('sh', '-c', f'echo quit | {PROGRAM} -machine virt -S '
                       '-display none -monitor stdio')
    if '(qemu)' not in said:
        raise Failure(said)


def planner(it):
    """qemu-gpu-mem reads this host's sysfs, and what is for a guest runs"""
    it.run('qemu-gpu-mem', 'show', '--save', '/tmp/sysfs.tar')
    if not os.path.getsize(it.path('/tmp/sysfs.tar')):
        raise Failure('it saved nothing')
    it.run(f'{EXAMPLES}/gpu-mem-check-guest', '--help')


def configuration(it):
    """its files of configuration are in /etc, as those of Debian's QEMU"""
    said = it.run('sh', '-c', f'{PREFIX}/libexec/qemu-bridge-helper --br=br0 '
                  '--fd=1 2>&1 || :')
    if '`/etc/qemu/bridge.conf' not in said:
        raise Failure(said)


def vnc_greeting(path):
    """A client that comes as far as the screen's size (RFC 6143, 7.1-7.3)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        stream = client.makefile('rwb')
        version = stream.read(12)
        stream.write(version)
        stream.flush()
        kinds = stream.read(stream.read(1)[0])
        stream.write(b'\1')         # no authentication
        stream.flush()
        result = stream.read(4)
        stream.write(b'\1')         # shared with others
        stream.flush()
        width, height = (int.from_bytes(stream.read(2), 'big')
                         for _ in range(2))
    same('protocol, security, result, screen',
         (version, 1 in kinds, result, width > 0, height > 0),
         (b'RFB 003.008\n', True, bytes(4), True, True))


def boots(it):
    """in its sandbox, with VNC and vhost-user, the guest has all memory"""
    out, files = (os.path.join(it.out, name) for name in ('boot', 'guest'))
    installed_guest.make_folder(files, it.args.guest, {
        name: it.path(f'{FIRMWARE_FOLDER}/{packaged}')
        for name, packaged in FIRMWARE.items()})
    # Sockets that are there already could not be made
    subprocess.run(['rm', '-rf', out], check=True)
    os.makedirs(out)
    disk, vnc = (os.path.join(out, name) for name in ('disk', 'vnc'))
    vm = machine.Machine()
    # So that the daemon sees the guest's memory
    command = [word.replace('memory-backend-ram,',
                            'memory-backend-memfd,share=on,')
               for word in vm.command(PROGRAM, files, out, (
                   '-sandbox', 'on,obsolete=deny,elevateprivileges=deny,'
                   'spawn=deny,resourcecontrol=deny',
                   '-vnc', f'unix:{vnc}',
                   '-chardev', f'socket,id=disk,path={disk}',
                   '-device', 'vhost-user-blk-pci,chardev=disk,num-queues=1'))]
    daemon = subprocess.Popen(it.enter(
        f'{PREFIX}/bin/qemu-storage-daemon',
        '--blockdev', 'null-co,node-name=disk,size=1048576,read-zeroes=on',
        '--export', 'vhost-user-blk,id=export,node-name=disk,'
        f'addr.type=unix,addr.path={disk}',
        '--chardev', 'stdio,id=qmp', '--monitor', 'chardev=qmp'),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def look(name, _):
        if name == guest.DRIVER:
            vnc_greeting(vnc)

    try:
        daemon.stdout.readline()    # its greeting: the export is there
        installed_guest.boot(it.enter(*command), vm, out, on_milestone=look)
    finally:
        daemon.terminate()
        daemon.communicate()


def confined(it):
    """libvirt's AppArmor profiles let it start the example, and that run"""
    it.apt('install', *apparmor.PACKAGES)
    apparmor.set_up(it)
    apparmor.libvirtd_profile(it, f'/usr/bin/{PROGRAM}')
    with open(it.path(EXAMPLE)) as file:
        # A domain of the type "kvm" would need this machine to have it
        domain = file.read().replace("type='kvm'", "type='qemu'")
    apparmor.guest_profile(
        it, domain,
        (f'/usr/bin/{PROGRAM}', f'{PREFIX}/bin/qemu-system-aarch64'),
        [f'{FIRMWARE_FOLDER}/{name}' for name in FIRMWARE.values()] +
        [f'{PREFIX}/share/qemu/keymaps/en-us'])


def upgrades(it):
    """installed once more over itself, it has the same files"""
    files = it.files()
    it.apt('install', '--reinstall', it.deb)
    same('come or gone', files ^ it.files(), set())


def purges(it):
    """purged, nothing of it is left"""
    it.apt('purge', NAME)
    same('left', sorted(path for path in it.files() - it.before
                        if OURS.match(path[1:]) or NAME in path), [])


POINTS = (makes_root, installs, own_places, features, default_machine,
          configuration, planner, boots, confined, upgrades, purges)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True, metavar='DIR',
                        help='with the package')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='where the other Debian is made')
    args = parser.parse_args()
    if reason := reason_against():
        print(f'TAP version 13\n1..1\nok 1 - the package # SKIP {reason}')
        return 0
    os.makedirs(args.out, exist_ok=True)
    it = Package(args)
    tap = Tap(len(POINTS))
    for point in POINTS:
        tap.point(point.__doc__, point, it)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
