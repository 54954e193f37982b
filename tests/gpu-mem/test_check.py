#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of "qemu-gpu-mem check" and of gpu-mem-check-guest.

Each has a host or a guest with all that it takes, and what is said of that.  A
row changes one thing, and names the lines that go and those that come.
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import gzip
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SOURCE = os.path.join(TOP, 'contrib', 'gpu-mem')
sys.path.insert(0, SOURCE)

import check                        # noqa: E402
from guest import Guest             # noqa: E402
from host import CXL, MODELS, Host  # noqa: E402

# The tests have another module of this name
del sys.modules['guest']
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

from checks import same             # noqa: E402
from hosts import HOSTS             # noqa: E402
from tap import Tap                 # noqa: E402

GUEST_PROGRAM = os.path.join(SOURCE, 'gpu-mem-check-guest')


def _load(path):
    loader = importlib.machinery.SourceFileLoader('guest_program', path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


guest_program = _load(GUEST_PROGRAM)


def table(name):
    """One that our QEMU made."""
    with open(os.path.join(TOP, 'tests', 'data', 'acpi', name), 'rb') as file:
        return file.read()


class Link(str):
    """A file that is a link to this."""


def write(folder, files):
    """A tree of files, each with its text or bytes; None for those left out."""
    for name, content in files.items():
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            os.remove(path)
        if content is None:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, Link):
            os.symlink(content, path)
        else:
            with open(path, 'wb') as file:
                file.write(content if isinstance(content, bytes)
                           else content.encode())


def compare(right, found, gone, new):
    """GONE are the names of lines of RIGHT, NEW are lines."""
    have = sorted(f'{state}: {text}' for state, text in found)
    want = sorted([line for name, line in right.items() if name not in gone]
                  + list(new))
    same('lines that differ', [line for line in have if line not in want],
         [line for line in want if line not in have])
    same('number of lines', len(have), len(want))


# --- the guest ------------------------------------------------------------

GPU = 'sys/bus/pci/devices/0000:00:04.0'
NODES = 'sys/devices/system/node'
TABLES = 'sys/firmware/acpi/tables'
RELEASE = '6.14.0-1007-nvidia-64k'
CONFIG = f'boot/config-{RELEASE}'
PARAMS, VERSION = 'proc/driver/nvidia/params', 'proc/driver/nvidia/version'
# What an arm64 kernel has in "resource": start, end and flags.  The sizes are
# those that were seen of a GH200, rounded up; the addresses are made up.
BAR0 = '0x0000000010000000 0x0000000010ffffff 0x000000000014220c'
BAR2 = '0x000008e000000000 0x000008e07fffffff 0x000000000014220c'
BAR4 = '0x0000090000000000 0x0000091fffffffff 0x000000000014220c'
ABSENT = '0x0000000000000000 0x0000000000000000 0x0000000000000000'
# What Linux 6.1 shows of one without a place in its bridge's window
LOST = ABSENT


def resource(*bars):
    return '\n'.join((*bars, *[ABSENT] * 11)) + '\n'


def registers(*bars):
    """The header of PCI's configuration space, with the low bits of BARs."""
    return bytes(16) + b''.join(
        bits.to_bytes(4, 'little') for bits in bars) + bytes(24)


def meminfo(node, mb):
    return (f'Node {node} MemTotal:       {mb << 10} kB\n'
            f'Node {node} MemFree:        {mb << 10} kB\n')


def version(number):
    """The form of NVIDIA's driver, with a number made up."""
    return ('NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  '
            f'{number}  Release Build  (root@host)\nGCC version:  gcc 12\n')


# The tables are of one machine, with a GPU that has nodes 3 to 8
RIGHT_GUEST = {
    f'{TABLES}/SRAT': table('aarch64/virt/SRAT.nvgpumem'),
    f'{TABLES}/DSDT': table('aarch64/virt/DSDT.nvgpumem'),
    f'{TABLES}/SSDT1': b'SSDT' + bytes(32) + b'\x10\x05_SB_',
    f'{NODES}/possible': '0-9\n',
    f'{NODES}/node3/meminfo': meminfo(3, 65536),
    f'{NODES}/node3/memory96/state': 'online\n',
    f'{NODES}/node4/meminfo': meminfo(4, 32768),
    f'{NODES}/node5/meminfo': meminfo(5, 0),
    'sys/devices/system/memory/auto_online_blocks': 'online_movable\n',
    f'{GPU}/vendor': '0x10de\n',
    f'{GPU}/device': '0x2342\n',
    f'{GPU}/config': registers(0x4, 0, 0xc, 0, 0xc, 0),
    f'{GPU}/resource': resource(BAR0, ABSENT, BAR2, ABSENT, BAR4),
    f'{GPU}/firmware_node/path': '\\_SB_.PCI0.S20_\n',
    f'{GPU}/driver': Link('../../../../bus/pci/drivers/nvidia'),
    # Another device
    'sys/bus/pci/devices/0000:00:01.0/vendor': '0x1af4\n',
    'sys/bus/pci/devices/0000:00:01.0/device': '0x1000\n',
    'proc/sys/kernel/osrelease': f'{RELEASE}\n',
    CONFIG: 'CONFIG_NODES_SHIFT=6\nCONFIG_ARM_SMMU_V3_SVA=y\n',
    PARAMS: 'EnableUserNUMAManagement: 1\nCoherentGPUMemoryMode: ""\n',
    VERSION: version('580.95.05'),
}
RIGHT_GUEST_LINES = {
    'shift': 'ok: kernel: CONFIG_NODES_SHIFT=6 has room for 64 nodes',
    'sva': 'ok: kernel: it has CONFIG_ARM_SMMU_V3_SVA',
    'nodes': 'ok: nodes: all 10 of the SRAT are possible; its empty domains '
             'are 2-9',
    'onlining': 'ok: memory: what is added goes online as movable',
    'domains': 'ok: 0000:00:04.0: its domains are 3-8, by '
               'nvidia,gpu-mem-pxm-start',
    'bars': 'ok: 0000:00:04.0: the addresses of BAR 0,2,4 are assigned',
    'driver': 'ok: 0000:00:04.0: its driver is nvidia',
    'mode': 'ok: 0000:00:04.0: the driver puts the memory into nodes',
    'memory': 'ok: 0000:00:04.0: memory online: 65536 MB in node 3, 32768 MB '
              'in node 4; none in 5-8',
}
OF_GPU = ('domains', 'bars', 'driver', 'mode', 'memory')
NO_MEMORY = {f'{NODES}/node3/meminfo': None, f'{NODES}/node4/meminfo': None}
CDMM = ('to do: 0000:00:04.0: the driver keeps the memory to itself (CDMM, the '
        'default since R615): for memory in nodes load it with '
        'NVreg_CoherentGPUMemoryMode=numa')
NO_DOMAINS = ('to do: 0000:00:04.0: the tables name no nodes for it: give QEMU '
              'an object nvidia-gpu-mem-acpi with its id as devid=')
NO_DOMAIN_LINES = ('domains', 'memory')


def dsdt(old, new):
    """The real one, with bytes replaced by as many."""
    data = table('aarch64/virt/DSDT.nvgpumem')
    same('bytes', (len(old), old in data), (len(new), True))
    return {f'{TABLES}/DSDT': data.replace(old, new)}


# What is so, what is changed, and which lines go and come
GUEST_ROWS = (
    ('all is right', {}, (), ()),
    ('the configuration is in /proc/config.gz',
     {CONFIG: None, 'proc/config.gz': gzip.compress(
         RIGHT_GUEST[CONFIG].encode())}, (), ()),
    ("Debian's arm64 kernel has no SVA",
     {CONFIG: 'CONFIG_NODES_SHIFT=4\n# CONFIG_ARM_SMMU_V3_SVA is not set\n'},
     ('shift', 'sva'),
     ('ok: kernel: CONFIG_NODES_SHIFT=4 has room for 16 nodes',
      'to do: kernel: it is without CONFIG_ARM_SMMU_V3_SVA, and then NVIDIA\'s '
      'driver does not use ATS: take another kernel')),
    ('the kernel has no configuration to read', {CONFIG: None},
     ('shift', 'sva'),
     ('unknown: kernel: neither /proc/config.gz nor '
      f'/boot/config-{RELEASE} is there',)),
    ('the configuration is cut off', {'proc/config.gz': gzip.compress(
        RIGHT_GUEST[CONFIG].encode())[:20] + b'!' * 9}, ('shift', 'sva'),
     ('unknown: a file is not understood: *',)),
    ('the kernel has room for fewer nodes, and drops the SRAT',
     {CONFIG: 'CONFIG_NODES_SHIFT=3\nCONFIG_ARM_SMMU_V3_SVA=y\n',
      f'{NODES}/possible': '0\n'}, ('shift', 'nodes'),
     ('to do: kernel: CONFIG_NODES_SHIFT=3 has room for 8 nodes, and the SRAT '
      'has 10: take a kernel with 4 or more, or fewer nodes',
      'to do: nodes: only 0 are possible, and the SRAT has 10: "dmesg | grep '
      'SRAT" tells why the kernel dropped them')),
    ('what is added stays offline',
     {'sys/devices/system/memory/auto_online_blocks': 'offline\n'},
     ('onlining',),
     ('to do: memory: auto_online_blocks is offline: put '
      'memhp_default_state=online_movable on the command line of the kernel',)),
    ('the kernel takes no further memory',
     {'sys/devices/system/memory/auto_online_blocks': None}, ('onlining',),
     ('to do: memory: there is no auto_online_blocks: take a kernel with '
      'CONFIG_MEMORY_HOTPLUG',)),
    ('no SRAT', {f'{TABLES}/SRAT': None}, ('nodes', *NO_DOMAIN_LINES),
     ('to do: tables: there is no SRAT: boot with ACPI, on a machine with '
      '-numa nodes',)),
    ('the SRAT is cut '
     'off', {f'{TABLES}/SRAT': RIGHT_GUEST[f'{TABLES}/SRAT'][:-90]},
     ('nodes', 'domains', 'memory'),
     ('ok: nodes: all 7 of the SRAT are possible; its empty domains are 2-6',
      'to do: 0000:00:04.0: the SRAT has no empty nodes for its domains 7-8: '
      'give QEMU a -numa node without memory for each',
      RIGHT_GUEST_LINES['memory'].replace('5-8', '5-6'))),
    ('no GPU', {f'{GPU}/device': '0x1eb8\n', f'{GPU}/firmware_node/path': None},
     OF_GPU, ('to do: GPUs: there is no PCI device with coherent memory: pass '
              'one through',)),
    ("the GPU has no node in the DSDT, and isn't an initiator",
     {f'{GPU}/firmware_node/path': None}, NO_DOMAIN_LINES, (NO_DOMAINS,)),
    ('the _DSD is of another slot',
     {f'{GPU}/firmware_node/path': '\\_SB_.PCI0.S28_\n'}, NO_DOMAIN_LINES,
     (NO_DOMAINS,)),
    ('another _DSD', dsdt(guest_program.UUID, bytes(16)), NO_DOMAIN_LINES,
     (NO_DOMAINS,)),
    ("the names aren't NVIDIA's", dsdt(b'nvidia,gpu', b'nvidia,cpu'),
     ('domains',),
     ("to do: 0000:00:04.0: NVIDIA's driver does not read dev-mem-pxm-start: "
      'take the object nvidia-gpu-mem-acpi',)),
    ('no domains', dsdt(b'pxm-count\0\x0a\x06', b'pxm-count\0\x0a\x00'),
     NO_DOMAIN_LINES, (NO_DOMAINS,)),
    ('more than there can be',
     dsdt(b'pxm-count\0\x0a\x06', b'pxm-count\0\x0a\x81'),
     NO_DOMAIN_LINES, (NO_DOMAINS,)),
    ('domains that are no nodes',
     dsdt(b'pxm-start\0\x0a\x03', b'pxm-start\0\x0a\x08'),
     NO_DOMAIN_LINES,
     ('to do: 0000:00:04.0: the SRAT has no empty nodes for its domains 10-13: '
      'give QEMU a -numa node without memory for each',
      'to do: 0000:00:04.0: no memory in its nodes 8-9: its driver has not '
      'added it; see dmesg')),
    ('plain vfio-pci on the host: no BAR 4',
     {f'{GPU}/config': registers(0x4, 0, 0xc, 0, 0, 0),
      f'{GPU}/resource': resource(BAR0, ABSENT, BAR2)}, ('bars',),
     ('to do: 0000:00:04.0: it has no BAR 4, which is its memory: on the host, '
      'bind nvgrace_gpu_vfio_pci and not vfio-pci',
      'ok: 0000:00:04.0: the addresses of BAR 0,2 are assigned')),
    ('no room for the memory BARs',
     {f'{GPU}/resource': resource(BAR0, ABSENT, LOST, ABSENT, LOST)}, ('bars',),
     ('to do: 0000:00:04.0: BAR 2,4 has no address: on the host, give its root '
      'port a larger pref64-reserve, and the machine a larger '
      'highmem-mmio-size',)),
    ('sysfs has no configuration space', {f'{GPU}/config': None}, ('bars',),
     ('unknown: 0000:00:04.0: sysfs tells nothing of its BARs',)),
    ('no driver', {f'{GPU}/driver': None, PARAMS: None, VERSION: None,
                   **NO_MEMORY},
     ('driver', 'mode', 'memory'),
     ("to do: 0000:00:04.0: its driver is none: install NVIDIA's open kernel "
      'driver',
      'to do: 0000:00:04.0: no memory in its nodes 3-8: its driver has not '
      'added it; see dmesg')),
    ('another driver', {f'{GPU}/driver': Link('../../drivers/gpumem')},
     ('driver', 'mode'),
     ('unknown: 0000:00:04.0: its driver is gpumem: whether that adds the '
      'memory is not known here',)),
    ('CDMM that somebody asked for', {PARAMS: (
        'EnableUserNUMAManagement: 0\nCoherentGPUMemoryMode: "driver"\n')},
     ('mode',), (CDMM,)),
    ('CDMM by default, once the driver has a GPU',
     {PARAMS: 'EnableUserNUMAManagement: 0\nCoherentGPUMemoryMode: ""\n'},
     ('mode',), (CDMM,)),
    ('CDMM by default, before that', {VERSION: version('615.12')}, ('mode',),
     (CDMM,)),
    ('no CDMM, though it is the default', {
        VERSION: version('615.12'),
        PARAMS: 'EnableUserNUMAManagement: 1\nCoherentGPUMemoryMode: "numa"\n'},
     (), ()),
    ('a driver that says nothing of its mode', {PARAMS: None}, ('mode',),
     ("unknown: 0000:00:04.0: /proc/driver/nvidia/params does not tell the "
      "driver's mode",)),
    ('memory that is offline',
     {**NO_MEMORY, f'{NODES}/node3/memory96/state': 'offline\n'}, ('memory',),
     ('to do: 0000:00:04.0: memory of node 3 is offline: write online_movable '
      'to its /sys/devices/system/node/node*/memory*/state',)),
    ('memory in nodes apart',
     {f'{NODES}/node4/meminfo': None, f'{NODES}/node5/meminfo': meminfo(5, 9)},
     ('memory',),
     ('ok: 0000:00:04.0: memory online: 65536 MB in node 3, 9 MB in node 5; '
      'none in 4,6-8',)),
    ('no memory', NO_MEMORY, ('memory',),
     ('to do: 0000:00:04.0: no memory in its nodes 3-8: its driver has not '
      'added it; see dmesg',)),
    # Its SRAT has initiators, which Linux counts first: its nodes have other
    # numbers than the domains
    ('a GPU without NVIDIA\'s ids, below a port, beside initiators',
     {f'{TABLES}/SRAT': table('x86/q35/SRAT.nvgpumem'),
      f'{TABLES}/DSDT': table('x86/q35/DSDT.nvgpumem'),
      f'{NODES}/possible': '0-8\n', f'{GPU}/vendor': '0x1234\n',
      f'{GPU}/device': '0x11ea\n',
      f'{GPU}/firmware_node/path': '\\_SB_.PCI0.S28_.S00_\n'},
     ('nodes', 'domains', 'memory'),
     ('ok: nodes: all 9 of the SRAT are possible; its empty domains are 2-8',
      'ok: 0000:00:04.0: its domains are 2-4, by nvidia,gpu-mem-pxm-start',
      'ok: 0000:00:04.0: memory online: 65536 MB in node 3; none in 1-2')),
    ('a number that is none', {f'{NODES}/possible': 'all\n'}, ('nodes',),
     ('unknown: a file is not understood: *',)),
)


def check_guest(changes, gone, new):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, {**RIGHT_GUEST, **changes})
        found = [(state, re.sub('(not understood: ).*', r'\1*', text))
                 for state, text in
                 guest_program.lines(guest_program.Guest(folder))]
    compare(RIGHT_GUEST_LINES, found, gone, new)


def initiators():
    """a GPU without a _DSD has the domains of its initiators"""
    data = table('x86/q35/SRAT.nvgpumem')
    srat = guest_program.Srat(data)
    same('domains', srat.initiators,
         {(0, 0x01): [2, 3, 4], (0, 0x2000): [5, 6, 7]})
    # One whose handle is that of an ACPI device
    at = data.index(b'\x05\x20\0\x01')
    same('domains', guest_program.Srat(
        data[:at + 3] + b'\0' + data[at + 4:]).initiators,
         {(0, 0x01): [3, 4], (0, 0x2000): [5, 6, 7]})
    with tempfile.TemporaryDirectory() as folder:
        write(folder, RIGHT_GUEST)
        for address, domains in (('0000:00:00.1', [2, 3, 4]),
                                 ('0000:20:00.0', [5, 6, 7]),
                                 ('0000:20:00.1', [])):
            gpu = guest_program.Gpu(guest_program.Guest(folder), address)
            same('of the GPU', guest_program.domains_of(gpu, {}, srat),
                 (domains, 'initiators'))


def pxb_paths():
    """the path of a device has its Scope and all Devices around it"""
    same('paths', sorted(guest_program.properties(
        table('aarch64/virt/DSDT.nvgpumempxb'))),
        ['\\_SB_.PC80.S08_.S00_.S00_.S00_', '\\_SB_.PC80.S08_.S00_.S08_.S00_'])


def names():
    """names of several segments, and one from the root, are understood"""
    dsd = table('aarch64/virt/DSDT.nvgpumem')
    at = dsd.index(guest_program.UUID)
    rest = dsd[at:at + 200]

    def within(opening, inner):
        length = len(inner) + len(opening) + 1
        return opening[:1] + bytes([length & 0xf | 0x40, length >> 4]) + (
            opening[1:] + inner)

    for opening, path in ((b'\x10\\_SB_', '\\_SB_'),
                          (b'\x10\x2e_SB_PCI0', '\\_SB_.PCI0'),
                          (b'\x10\\\x2f\x03_SB_PCI0S20_', '\\_SB_.PCI0.S20_'),
                          # What looks like a name, and is none
                          (b'\x10\x2f\x02_SB_PCI0NAME', '\\_SB_.PCI0')):
        same('paths', list(guest_program.properties(bytes(36) + within(
            opening, rest))), [path])


def broken_tables():
    """no bytes of a table end the program"""
    for name in ('DSDT.nvgpumempxb', 'SRAT.nvgpumem'):
        data = table(f'aarch64/virt/{name}')
        for end in range(0, len(data), 37):
            guest_program.properties(data[:end])
            guest_program.Srat(data[:end])
        for at in range(36, len(data), 11):
            changed = data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]
            guest_program.properties(changed)
            guest_program.Srat(changed)


def guest_status():
    """gpu-mem-check-guest ends with 1 if something is to do, else with 0"""
    for changes, status in (({}, 0), ({CONFIG: None}, 0), (NO_MEMORY, 1)):
        with tempfile.TemporaryDirectory() as folder:
            write(folder, {**RIGHT_GUEST, **changes})
            done = subprocess.run(
                [sys.executable, GUEST_PROGRAM, '--root', folder], text=True,
                capture_output=True, check=False)
            same('status, errors', (done.returncode, done.stderr), (status, ''))
            same('what is said', done.stdout.splitlines(), [
                f'{state}: {text}' for state, text in
                guest_program.lines(guest_program.Guest(folder))])


def guest_not_root():
    """without privilege the tables are unknown, and so are the domains"""
    with tempfile.TemporaryDirectory() as folder:
        write(folder, RIGHT_GUEST)
        os.chmod(folder, 0o755)
        os.chmod(os.path.join(folder, TABLES, 'SRAT'), 0)
        user = os.geteuid()
        if not user:
            os.seteuid(65534)
        try:
            found = [(state, text.replace(folder, '')) for state, text in
                     guest_program.lines(guest_program.Guest(folder))]
        finally:
            os.seteuid(user)
    compare(RIGHT_GUEST_LINES, found, ('nodes', *NO_DOMAIN_LINES), (
        'unknown: /sys/firmware/acpi/tables/SRAT: Permission denied: run this '
        'as root',))


def guest_no_room():
    """gpu-mem-check-guest says so if what it says can't be written"""
    with open('/dev/full', 'w') as full:
        done = subprocess.run([sys.executable, GUEST_PROGRAM, '--root', HERE],
                              stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False)
    same('status, errors', (done.returncode, done.stderr), (
        1, 'gpu-mem-check-guest: [Errno 28] No space left on device\n'))


def same_models():
    """gpu-mem-check-guest knows the models that qemu-gpu-mem does"""
    same('ids', guest_program.COHERENT, {
        device for model in MODELS if model is not CXL for ids in model.ids
        for device in ids})


def guest_closed_pipe():
    """gpu-mem-check-guest says nothing if nobody reads any more"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, GUEST_PROGRAM, '--root', HERE],
                          stdout=writing, stderr=subprocess.PIPE, text=True,
                          check=False)
    os.close(writing)
    same('status, errors', (done.returncode, done.stderr), (1, ''))


GUEST_POINTS = (initiators, pxb_paths, names, broken_tables, guest_status,
                guest_not_root, guest_no_room, guest_closed_pipe,
                same_models)


# --- the host -------------------------------------------------------------

ADDRESS = '0009:01:00.0'
HOST_GPU = f'bus/pci/devices/{ADDRESS}'
IOMMUFD = 'class/misc/iommu/dev'
HOST_CONFIG = 'boot/config-6.17.0-1001-nvidia'
OPTION_LINES = [option for option, _, _ in check.OPTIONS]
# What the host's / has besides sysfs; made up
RIGHT_HOST = {
    'proc/sys/kernel/osrelease': '6.17.0-1001-nvidia\n',
    HOST_CONFIG: ''.join(f'CONFIG_{option}=y\n' for option in OPTION_LINES),
}
RIGHT_HOST_LINES = {
    'kvm': 'unknown: KVM: only the running host can tell',
    'iommufd': 'ok: IOMMUFD: /dev/iommu is there',
    **{option: f'ok: kernel: it has CONFIG_{option}'
       for option in OPTION_LINES},
    'driver': f'ok: {ADDRESS}: its driver is nvgrace_gpu_vfio_pci',
    'group': f'ok: {ADDRESS}: it has an IOMMU group',
    'egm': f'ok: {ADDRESS}: it has no EGM, which is optional',
}
NO_DRIVER = (f'to do: {ADDRESS}: its driver is %s: as root, virsh '
             'nodedev-detach pci_0009_01_00_0 --driver nvgrace_gpu_vfio_pci')

PACKED_CONFIG = gzip.compress(RIGHT_HOST[HOST_CONFIG].encode())

HOST_ROWS = (
    ('all is right', {}, (), ()),
    ('the configuration is in /proc/config.gz',
     {HOST_CONFIG: None, 'proc/config.gz': PACKED_CONFIG}, (), ()),
    ('that is cut off, but there is another',
     {'proc/config.gz': PACKED_CONFIG[:30]}, (), ()),
    ('that is no archive', {'proc/config.gz': 'CONFIG_IOMMUFD=n'}, (), ()),
    ('that is damaged', {'proc/config.gz': PACKED_CONFIG[:12] + bytes(60)}, (),
     ()),
    ('that is no text',
     {HOST_CONFIG: RIGHT_HOST[HOST_CONFIG].encode() + b'\xff'}, (), ()),
    ('the kernel has no configuration to '
     'read', {HOST_CONFIG: None}, OPTION_LINES,
     ('unknown: kernel: neither /proc/config.gz nor its /boot/config-* can be '
      'read',)),
    ('a release that is none', {'proc/sys/kernel/osrelease': b'\0\xff'},
     OPTION_LINES,
     ('unknown: kernel: neither /proc/config.gz nor its /boot/config-* can be '
      'read',)),
    ("Debian's arm64 kernel",
     {HOST_CONFIG: 'CONFIG_ARM_SMMU_V3=y\n# CONFIG_IOMMUFD is not set\n'},
     OPTION_LINES,
     ("to do: kernel: it is without CONFIG_NVGRACE_GPU_VFIO_PCI, the driver "
      "that shows a GPU's memory: build one with it",
      'note: kernel: it is without CONFIG_IOMMUFD, what an accelerated SMMU is '
      'made by',
      'note: kernel: it is without CONFIG_VFIO_DEVICE_CDEV, the files by which '
      'IOMMUFD has devices',
      'note: kernel: it is without CONFIG_ARM_SMMU_V3_IOMMUFD, an accelerated '
      'SMMU',
      "note: kernel: it is without CONFIG_TEGRA241_CMDQV, a guest's own "
      'command queues of its SMMU')),
    ('no IOMMUFD in a saved tree', {IOMMUFD: None}, ('iommufd',),
     ('unknown: IOMMUFD: only the running host can tell',)),
    ('plain vfio-pci', {f'{HOST_GPU}/driver': Link('../../drivers/vfio-pci')},
     ('driver',), (NO_DRIVER % 'vfio-pci',)),
    ('no driver, and so no IOMMU group on an older kernel',
     {f'{HOST_GPU}/driver': None, f'{HOST_GPU}/iommu_group': None},
     ('driver', 'group'),
     (NO_DRIVER % 'none', f'to do: {ADDRESS}: it has no IOMMU group: bind its '
      'driver first')),
    ('a GPU that is a CXL device', {f'{HOST_GPU}/device': '0x3041\n'},
     ('driver', 'group', 'egm'),
     (f'to do: {ADDRESS}: it is a CXL device, which vfio passes through only '
      'with patches that Linux has not merged',)),
    ('no IOMMU group with a driver', {f'{HOST_GPU}/iommu_group': None},
     ('group',), (f'to do: {ADDRESS}: it has no IOMMU group: switch the IOMMU '
                  "on in the host's firmware",)),
    ('EGM', {f'{HOST_GPU}/egm4': Link('../../egm4')}, ('egm',),
     (f'ok: {ADDRESS}: its EGM is /dev/egm4',)),
    ('no GPU', {f'{HOST_GPU}/device': '0x1eb8\n'}, ('driver', 'group', 'egm'),
     ('to do: GPUs: this host has none with coherent memory',)),
)


@contextlib.contextmanager
def host(changes):
    """The folder of a host with one GH200."""
    with tempfile.TemporaryDirectory() as folder:
        HOSTS['gh200'].build(folder)
        write(folder, {**RIGHT_HOST, **changes})
        yield folder


def check_host(changes, gone, new):
    with host(changes) as folder:
        found = list(check.lines(Host(folder), check.Root(folder, False)))
    compare(RIGHT_HOST_LINES, found, gone, new)


def running_host():
    """of a running host it is known what is missing"""
    with host({IOMMUFD: None,
               f'{HOST_GPU}/egm4': Link('../../egm4')}) as folder:
        root = check.Root(folder, True)
        found = list(check.lines(Host(folder), root))
        wants = Guest(DOMAIN.replace("managed='no'>", "managed='no'>"
                                     "<driver iommufd='yes'/>").encode())
        of_domain = [list(check.of_host(Host(folder), root, guest))[1]
                     for guest in (Guest(DOMAIN.encode()), wants)]
    compare(RIGHT_HOST_LINES, found[1:], ('kvm', 'iommufd', 'egm'),
            ('note: IOMMUFD: there is no /dev/iommu, so that the guest has no '
             'ATS: "modprobe iommufd", on a kernel with CONFIG_IOMMUFD',
             f'to do: {ADDRESS}: its EGM has no /dev/egm4'))
    same('without and with iommufd=', of_domain, [found[1], (
        check.TO_DO, 'IOMMUFD: there is no /dev/iommu, which the domain uses: '
        '"modprobe iommufd", on a kernel with CONFIG_IOMMUFD')])


def kvm():
    """what keeps KVM from being asked is said"""
    for words, said in (
            (('x86_64',), (check.TO_DO, 'KVM: this machine is x86_64: such '
                                        'GPUs are in arm64 hosts')),
            (('aarch64', '/dev/none'), (
                check.TO_DO, 'KVM: there is no /dev/none: the kernel must have '
                'KVM, and be started in EL2')),
            (('aarch64', '/dev/null'), (
                check.UNKNOWN, 'KVM: /dev/null: Inappropriate ioctl for '
                               'device')),
            (('aarch64', '/dev'), (
                check.UNKNOWN, 'KVM: /dev: Is a directory: run this as root'))):
        same('said', check.kvm(*words), said)


def real_kvm():
    """KVM of a PC, asked as that of an arm64 host, knows no such memory"""
    if os.uname().machine == 'x86_64' and os.access('/dev/kvm', os.W_OK):
        state, said = check.kvm('aarch64')
        same('said', (state, said.split(',')[0]), (
            check.TO_DO, "KVM: it can't map a GPU's memory as cacheable"))


HOST_POINTS = (running_host, kvm, real_kvm)


# --- a domain -------------------------------------------------------------

DOMAIN = """<domain type='kvm'
    xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <memory unit='GiB'>16</memory>
  <vcpu>4</vcpu>
  <os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os>
  <features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0-3' memory='16' unit='GiB'/>
    <cell id='1' memory='0'/><cell id='2' memory='0'/></numa></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64-gpu-mem</emulator>
    <controller type='pci' index='0' model='pcie-root'>
      <pcihole64 unit='GiB'>2048</pcihole64>
    </controller>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <alias name='ua-pxb'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <alias name='ua-port'/><address type='pci' bus='0x01' slot='0x00'/>
    </controller>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <source><address domain='0x0009' bus='0x01'/></source>
      <alias name='ua-gpu'/><address type='pci' bus='0x02' slot='0x00'/>
    </hostdev>
    <iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-object'/>
    <qemu:arg value='nvidia-gpu-mem-acpi,id=mem0,devid=ua-gpu,nodeset=1-2'/>
  </qemu:commandline>
  <qemu:override><qemu:device alias='ua-port'><qemu:frontend>
    <qemu:property name='pref64-reserve' type='unsigned' value='%d'/>
  </qemu:frontend></qemu:device></qemu:override>
</domain>
""" % (256 << 30)
RIGHT_DOMAIN_LINES = {
    **RIGHT_HOST_LINES,
    'qemu': 'unknown: QEMU: /usr/bin/qemu-system-aarch64-gpu-mem: only the '
            'running host can tell',
    'firmware': 'ok: firmware: it is UEFI',
    'acpi': 'ok: ACPI: it is on',
    'window': 'ok: window: its 2048G for BARs are enough',
    'locked': 'ok: locked memory: libvirt allows what the GPUs need',
    'object': f'ok: {ADDRESS}: object mem0 has its alias ua-gpu',
    'nodes': f'ok: {ADDRESS}: its nodes 1-2 are empty',
    'port': f'ok: {ADDRESS}: its port reserves 256G for BARs',
    'smmu': f'ok: {ADDRESS}: its host bridge has an accelerated SMMU',
}
OF_THE_GPU = ('driver', 'group', 'egm', 'object', 'nodes', 'port', 'smmu')
OF_THE_DOMAIN = ('qemu', 'firmware', 'acpi', 'window', 'locked')
NO_SMMU = (f'note: {ADDRESS}: its host bridge has no accelerated SMMU, so '
           'that the guest has no ATS: "qemu-gpu-mem domain" writes one for a '
           'QEMU that has it (11.0)')
NO_BRIDGE = (f'note: {ADDRESS}: it is below no host bridge near its node, and '
             'has no accelerated SMMU, so that the guest has no ATS: '
             '"qemu-gpu-mem domain --place" moves it')
NO_OBJECT = (f'to do: {ADDRESS}: no object nvidia-gpu-mem-acpi is for it: run '
             '"qemu-gpu-mem domain"')
ROOM = f'ok: {ADDRESS}: it is behind pcie.0, which has room for BARs'
NO_RESERVE = (f'to do: {ADDRESS}: its port reserves %s for BARs '
              '(pref64-reserve), and it needs 256G: run "qemu-gpu-mem domain '
              '--place"')
NO_WINDOW = 'unknown: window: the BARs of a GPU are not known here'
BAD_NODE = (f'to do: {ADDRESS}: its nodes %s: %s must be a <cell> with '
            "memory='0' and without CPUs")
IOMMU = "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>"
END = '</qemu:commandline>'
# The last cell, and where arguments begin
NODE_2 = "<cell id='2' memory='0'/>(.*?<qemu:commandline>)"
PORT_ADDRESS = "<address type='pci' bus='0x02' slot='0x00'/>"


def arguments(*words):
    return ''.join(f"<qemu:arg value='{word}'/>" for word in words)


# What is so, a pattern in the domain and what is there instead, before it the
# pattern's group if it has one, and which lines go and come
DOMAIN_ROWS = (
    ('all is right', '$', '', (), ()),
    ('no emulator', '/usr/bin/qemu-system-aarch64-gpu-mem', '', ('qemu',),
     ('to do: QEMU: write an <emulator> that has the object '
      'nvidia-gpu-mem-acpi',)),
    ('no UEFI', " firmware='efi'", '', ('firmware',),
     ('to do: firmware: it is not UEFI, so that the guest has no ACPI: write '
      "<os firmware='efi'>",)),
    ('a UEFI that is named', " firmware='efi'>",
     "><loader type='pflash'>/x.fd</loader>", (), ()),
    ('no ACPI', '<acpi/>', '', ('acpi',),
     ('to do: ACPI: write <acpi/> in <features>',)),
    ('a window that is too small', '>2048<', '>128<', ('window',),
     ('to do: window: its 128G for BARs are too small, for these GPUs need '
      '256G: run "qemu-gpu-mem domain", or make one of your own larger',)),
    ('a limit that is too low', '<vcpu>',
     "<memtune><hard_limit unit='GiB'>16</hard_limit></memtune><vcpu>",
     ('locked',),
     ('to do: locked memory: <hard_limit> is less than <memory> and 1 GiB: '
      'take it out',)),
    ('a limit that is high enough', '<vcpu>',
     "<memtune><hard_limit unit='GiB'>17</hard_limit></memtune><vcpu>",
     ('locked',),
     ('ok: locked memory: <hard_limit> is at least <memory> and 1 GiB',)),
    ('no GPU', "bus='0x01'/></source>", "bus='0x09'/></source>",
     (*OF_THE_GPU, 'window'),
     ('to do: 0009:09:00.0: this host has no such PCI device', NO_WINDOW,
      'ok: 0009:09:00.0: object mem0 has its alias ua-gpu',
      'ok: 0009:09:00.0: its nodes 1-2 are empty',
      'ok: 0009:09:00.0: its host bridge has an accelerated SMMU')),
    ('a GPU of another model', r"bus='0x01'/></source>",
     "bus='0x09'/></source>", (*OF_THE_GPU, 'window'),
     ('unknown: 0009:09:00.0: it is of no known model with coherent memory',
      'ok: 0009:09:00.0: object mem0 has its alias ua-gpu', NO_WINDOW,
      'ok: 0009:09:00.0: its nodes 1-2 are empty',
      'ok: 0009:09:00.0: its host bridge has an accelerated SMMU'),
     {'bus/pci/devices/0009:09:00.0/vendor': '0x10de\n',
      'bus/pci/devices/0009:09:00.0/device': '0x2f00\n',
      'bus/pci/devices/0009:09:00.0/class': '0x030200\n'}),
    ('a GPU whose memory is not known', '$', '', ('window', 'port'),
     (NO_WINDOW,), {f'{HOST_GPU}/device': '0x2343\n'}),
    ('no <hostdev>', "type='pci' managed='no'", "type='usb'",
     (*OF_THE_GPU, *OF_THE_DOMAIN),
     ('to do: GPUs: the domain has no <hostdev> of a GPU with coherent '
      'memory',)),
    ('no alias', "<alias name='ua-gpu'/>", '', ('object', 'nodes'),
     (NO_OBJECT, 'to do: object mem0: no <hostdev> has the alias ua-gpu')),
    ('an alias that libvirt drops', 'ua-gpu', 'gpu', ('object', 'nodes'),
     (f'to do: {ADDRESS}: libvirt drops its alias gpu, which object mem0 '
      'names: let it begin with ua-',)),
    ('an object of another alias', 'devid=ua-gpu', 'devid=ua-other',
     ('object', 'nodes'),
     (NO_OBJECT, 'to do: object mem0: no <hostdev> has the alias ua-other')),
    ('a node that is not there', 'nodeset=1-2', 'nodeset=2-3', ('nodes',),
     (BAD_NODE % ('2-3', 3),)),
    ('a node with CPUs', 'nodeset=1-2', 'nodeset=0-1', ('nodes',),
     (BAD_NODE % ('0-1', 0),)),
    ('a node with memory', "<cell id='2' memory='0'/>",
     "<cell id='2' memory='1'/>", ('nodes',), (BAD_NODE % ('1-2', 2),)),
    ('a node by an '
     'argument', NODE_2, arguments('-numa', 'node,nodeid=2'), (), ()),
    ('a node with memory by an argument', NODE_2,
     arguments('-numa', 'node,nodeid=2,memdev=ram'), ('nodes',),
     (BAD_NODE % ('1-2', 2),)),
    ('no reserve', 'pref64-reserve', 'io-reserve', ('port',),
     (NO_RESERVE % '0G',)),
    ('a reserve that is too small', str(256 << 30), str(128 << 30), ('port',),
     (NO_RESERVE % '128G',)),
    ("a reserve by libvirt's own name of the port",
     "<qemu:device alias='ua-port'>", "<qemu:device alias='pci.2'>", (), ()),
    ('on the root bus', PORT_ADDRESS, "<address type='pci' bus='0x00'/>",
     ('port', 'smmu'), (ROOM, NO_BRIDGE)),
    ('on a port there', "<alias name='ua-port'/><address type='pci' "
     "bus='0x01'", "<address type='pci' bus='0x00'", ('port', 'smmu'),
     (ROOM, NO_BRIDGE)),
    ('not placed', PORT_ADDRESS, '', ('port', 'smmu'), (ROOM, NO_BRIDGE)),
    ('no SMMU', IOMMU, '', ('smmu',), (NO_SMMU,)),
    ('an SMMU that is not '
     'accelerated', " accel='on'", '', ('smmu',), (NO_SMMU,)),
    ('an SMMU of another host bridge', "pciBus='1'", "pciBus='3'", ('smmu',),
     (NO_SMMU,)),
    ('a bridge above itself', "<address type='pci' bus='0x01' slot='0x00'/>",
     "<address type='pci' bus='0x02'/>", ('port', 'smmu'), (ROOM, NO_BRIDGE)),
)
# The same of an SMMU by an argument
SMMU_ARGUMENTS = (
    ('arm-smmuv3,primary-bus=ua-pxb,accel=on,ats=on', True),
    ('arm-smmuv3,primary-bus=pci.1,accel=on', True),
    ('arm-smmuv3,primary-bus=pci.2,accel=on', False),
    ('arm-smmuv3,primary-bus=ua-pxb', False),
    ('{"driver":"arm-smmuv3","primary-bus":"pci.1","accel":true}', True),
    ('{"driver":"arm-smmuv3","primary-bus":{},"accel":true}', False),
    ('{"driver":"arm-smmuv3","primary-bus":[],"accel":true}', False),
)


def check_domain(old, instead, gone, new, changes=()):
    text, times = re.subn(old, lambda found: ''.join(found.groups()) + instead,
                          DOMAIN, flags=re.DOTALL)
    same('is there', bool(times), True)
    with host(dict(changes)) as folder:
        found = list(check.lines(Host(folder), check.Root(folder, False),
                                 Guest(text.encode())))
    compare(RIGHT_DOMAIN_LINES, found, gone, new)


def smmu_argument(value, is_one):
    text = DOMAIN.replace(END, arguments('-device', value) + END)
    guest = Guest(text.replace(IOMMU, '').encode())
    same('said', check.of_smmu(guest, guest.hostdevs[0])[0],
         check.OK if is_one else check.NOTE)


# What a managed <hostdev> says, the host's driver, and what is said
NVGRACE = 'nvgrace_gpu_vfio_pci'
MODEL = f"<driver model='{NVGRACE}'/>"
MANAGED = (
    (MODEL, None, f'ok: {ADDRESS}: libvirt binds {NVGRACE} when the domain '
     'starts'),
    ("<driver model='vfio-pci'/>", Link(f'../../drivers/{NVGRACE}'),
     f'to do: {ADDRESS}: libvirt binds vfio-pci when the domain starts, which '
     f'shows no memory: write {MODEL}'),
    ('', Link('../../drivers/nvidia'),
     f'unknown: {ADDRESS}: libvirt binds the driver that the kernel names for '
     f'it when the domain starts: {MODEL} makes it sure'),
    ('', Link(f'../../drivers/{NVGRACE}'), RIGHT_HOST_LINES['driver']),
)


def managed():
    """libvirt binds the driver that the domain names, or the kernel"""
    for inner, driver, line in MANAGED:
        check_domain("managed='no'>", f"managed='yes'>{inner}", ('driver',),
                     (line,), {f'{HOST_GPU}/driver': driver})


def planned():
    """nothing is to do for what "domain" makes"""
    text = re.sub(r"(?s)<cpu>.*</cpu>|<controller.*</controller>"
                  r"|<alias name='ua-gpu'/><address[^>]*>|<iommu.*</iommu>"
                  r'|<qemu:.*override>', '', DOMAIN)
    with host({'plain.xml': text}) as folder:
        made = subprocess.run(
            [os.path.join(SOURCE, 'qemu-gpu-mem'), 'domain', '--sysfs', folder,
             '--qemu-version', '11.0', os.path.join(folder, 'plain.xml')],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            check=True).stdout
        before, after = (
            [text for state, text in check.lines(
                Host(folder), check.Root(folder, False), Guest(data))
             if state == check.TO_DO] for data in (text.encode(), made))
    same('what is to do before and after', (bool(before), after), (True, []))


def emulators(qemu):
    """only a program of root's is run, and asked for the object"""
    root = check.Root('/', True)
    same('said', check.emulator('/bin/echo', root), (
        check.TO_DO, 'QEMU: /bin/echo has no object nvidia-gpu-mem-acpi: take '
        'another <emulator>'))
    same('said', check.emulator('/bin/none', root), (
        check.TO_DO, "QEMU: [Errno 2] No such file or directory: '/bin/none'"))
    with tempfile.NamedTemporaryFile('w') as program:
        if not os.geteuid():
            os.chown(program.name, 1, 1)
        same('said', check.emulator(program.name, root), (
            check.UNKNOWN, f'QEMU: {program.name} is not run, for its owner is '
            'not root'))
    if not os.stat(qemu).st_uid:
        same('said', check.emulator(qemu, root), (
            check.OK, f'QEMU: {qemu} has the object nvidia-gpu-mem-acpi'))


def status():
    """"check" ends with 1 if something is to do, else with 0"""
    for changes, wanted in (
            ({}, 0), ({f'{HOST_GPU}/driver': None}, 1),
            # The memory is there without these
            ({HOST_CONFIG: 'CONFIG_NVGRACE_GPU_VFIO_PCI=m\n',
              'domain.xml': DOMAIN.replace(IOMMU, '')}, 0)):
        with host({'domain.xml': DOMAIN, **changes}) as folder:
            done = subprocess.run(
                [os.path.join(SOURCE, 'qemu-gpu-mem'), 'check', '--sysfs',
                 folder, os.path.join(folder, 'domain.xml')],
                text=True, capture_output=True, check=False)
        same('status, errors', (done.returncode, done.stderr), (wanted, ''))
        same('first line', done.stdout.splitlines()[0], RIGHT_HOST_LINES['kvm'])


DOMAIN_POINTS = (managed, status, planned)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    args = parser.parse_args()
    kinds = (('guest', check_guest, GUEST_ROWS),
             ('host', check_host, HOST_ROWS),
             ('domain', check_domain, DOMAIN_ROWS))
    points = (*GUEST_POINTS, *HOST_POINTS, *DOMAIN_POINTS)
    tap = Tap(sum(len(rows) for _, _, rows in kinds) + len(SMMU_ARGUMENTS)
              + len(points) + 1)
    for kind, function, rows in kinds:
        for what, *row in rows:
            tap.point(f'{kind}: {what}', function, *row)
    for value, is_one in SMMU_ARGUMENTS:
        tap.point(f'domain: {value} is {"" if is_one else "not "}its SMMU',
                  smmu_argument, value, is_one)
    for point in points:
        tap.point(point.__doc__, point)
    tap.point(emulators.__doc__, emulators, args.qemu)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
