# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: an emulated arm64 host with KVM, an SMMU and GPUs.

What plays a GPU is a stand-in with a GH200's ids.  Its memory is an NVDIMM, which
the host's firmware names as the GPU's own, and Linux' nvgrace-gpu takes it for that.
"""

import dataclasses
import os
import struct
import subprocess

import guest
import report
from acpi_tables import read_table, write_tables
from arch import ARM64
from hosts import Tree
from machine import Machine, TCG

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PLANNER = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')
# Its distances: two GPUs of one socket have those of a GB200 tray
TREE = Tree('made up', [], gpus=2)
NODES = 8                   # of each GPU's memory
RAM_MB = 3072
# Where the machine has memory that is plugged in
FIRST_BASE, BASES = 4 << 30, 4 << 30
FIRST_SLOT = 4
IDS = 'vendor-id=0x10de,device-id=0x2342'
EDU = '0000:00:10.0'        # QEMU's device that does DMA
IORT_NODES, ROOT_COMPLEX = 36, 2
MEMORY_FLAGS, CANWBS = 16 + 7, 4
NEW = 'guest-new'           # the folder of its kernel
DEADLINE = 1800         # seconds; a boot takes 140, alone on a machine
MILESTONES = (
    ('firmware', b'EFI'),
    ('kernel', b'Linux version'),
    ('user space', b'@@ server '),
    ('end', b'@@ done'),
)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """One of the server's: its memory, in MB."""
    number: int
    hbm_mb: int = 2048
    bar_mb: int = 2         # of the device itself, in BAR 4

    @property
    def address(self):
        return f'0000:00:{FIRST_SLOT + self.number:02x}.0'

    @property
    def base(self):
        return FIRST_BASE + self.number * BASES

    @property
    def first_node(self):
        return 1 + NODES * self.number

    def memory_file(self, out):
        return os.path.join(out, f'hbm{self.number}.memory')

    def asl(self, dsdt):
        """What the host's firmware says of it.

        From 10.1 on the DSDT has the devices of the root bus.
        """
        slot = FIRST_SLOT + self.number
        name = f'S{slot << 3:02X}'
        start = f'Device ({name}) {{ Name (_ADR, 0x{slot:04x}0000)'
        if f'{name}_'.encode() in dsdt:
            start = f'External ({name}, DeviceObj) Scope ({name}) {{'
        return f'''{start}
    Name (_DSD, Package ()
    {{
        ToUUID ("daffd814-6eba-4d8c-8a91-bc9bbf4aa301"),
        Package ()
        {{
            Package () {{ "nvidia,gpu-mem-base-pa", {self.base:#x} }},
            Package () {{ "nvidia,gpu-mem-size", {self.hbm_mb << 20:#x} }},
            Package () {{ "nvidia,gpu-mem-pxm-start", {self.first_node} }},
            Package () {{ "nvidia,gpu-mem-pxm-count", {NODES} }}
        }}
    }})
}}
'''


@dataclasses.dataclass(frozen=True)
class Build:
    """What is in a build folder."""
    build: str

    def _path(self, *names):
        return os.path.realpath(os.path.join(self.build, *names))

    @property
    def qemu(self):
        """That runs the server."""
        return self._path('qemu-system-aarch64')

    def kernel(self, host):
        return self._path(host, 'vmlinuz')

    def modules(self, host):
        """What its initramfs has besides, if the kernel needs it."""
        path = self._path(host, 'modules.cpio')
        return [path] if os.path.exists(path) else []

    @property
    def programs(self):
        """An initramfs with a shell and Python."""
        return self._path('guest-python', 'initramfs.cpio.gz')

    @property
    def python(self):
        """Python's whole library."""
        return self._path('guest-python', 'stdlib')

    @property
    def libvirt(self):
        """The files of Debian's packages."""
        return self._path('cache', 'libvirt-testing', 'root')

    def firmware(self, name):
        return self._path('guest', name)


# --- its hardware ----------------------------------------------------------

def _hardware(gpus, out):
    nodes = 1 + NODES * len(gpus)
    args = ['-machine', f'{ARM64.machine},virtualization=on,iommu=smmuv3,'
            'nvdimm=on', '-smp', '2',
            '-device', f'edu,bus=pcie.0,addr={EDU[-4:]},dma_mask=0xffffffff',
            '-m', f'{RAM_MB}M,slots={len(gpus)},maxmem=32G',
            '-object', f'memory-backend-ram,id=ram,size={RAM_MB}M',
            '-numa', 'node,nodeid=0,memdev=ram,cpus=0-1']
    for node in range(1, nodes):
        args += ['-numa', f'node,nodeid={node}']
    for gpu in gpus:
        path = gpu.memory_file(out).replace(',', ',,')
        args += [
            '-object', f'memory-backend-file,id=hbm{gpu.number},share=on,'
            f'mem-path={path},size={gpu.hbm_mb}M',
            '-device', f'nvdimm,memdev=hbm{gpu.number},node=0,addr={gpu.base}',
            '-object', f'memory-backend-file,id=bar{gpu.number},share=on,'
            f'mem-path={path}.bar,size={gpu.bar_mb}M',
            '-device', f'gpu-mem-testdev,memdev=bar{gpu.number},{IDS},'
            f'id=gpu{gpu.number},bus=pcie.0,addr={FIRST_SLOT + gpu.number:#x}']
        for node in range(gpu.first_node, gpu.first_node + NODES):
            args += ['-object', f'acpi-generic-initiator,id=gi{node},'
                     f'pci-dev=gpu{gpu.number},node={node}']
    for src in range(nodes):
        for dst in range(nodes):
            args += ['-numa', f'dist,src={src},dst={dst},'
                     f'val={TREE.distance(src, dst)}']
    return args


def _ssdt(gpus, dsdt, out):
    """The table that names the GPUs' memory."""
    asl = os.path.join(out, 'ssdt.asl')
    with open(asl, 'w') as file:
        file.write('DefinitionBlock ("", "SSDT", 2, "GPUMEM", "HOSTGPU", 1)\n'
                   '{\nExternal (\\_SB.PCI0, DeviceObj)\n'
                   'Scope (\\_SB.PCI0)\n{\nName (_PXM, 0)\n' +
                   ''.join(gpu.asl(dsdt) for gpu in gpus) + '}\n}\n')
    subprocess.run(['iasl', '-p', os.path.join(out, 'ssdt'), asl], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(os.path.join(out, 'ssdt.aml'), 'rb') as file:
        return file.read()


def iort_canwbs(table):
    """An IORT whose root complexes have CANWBS, among the memory access flags.

    Linux makes an accelerated SMMU only for devices below such a root complex, or
    where the SMMU itself has S2FWB (7.3, arm_smmu_get_viommu_size()).
    """
    iort = bytearray(table)
    count, at = struct.unpack_from('<II', iort, IORT_NODES)
    for _ in range(count):
        kind, size = struct.unpack_from('<BH', iort, at)
        if kind == ROOT_COMPLEX:
            iort[at + MEMORY_FLAGS] |= CANWBS
        at += size
    # A newer revision than the firmware's replaces it
    revision, = struct.unpack_from('<I', iort, 24)
    struct.pack_into('<I', iort, 24, revision + 1)
    iort[9] = (iort[9] - sum(iort)) & 0xff
    return bytes(iort)


# --- its files -------------------------------------------------------------

def _cpio(files):
    """A newc archive of names and bytes."""
    archive = b''
    for name, data in (*files.items(), ('TRAILER!!!', b'')):
        path = name.encode() + b'\0'
        fields = (0, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        header = b'070701' + b''.join(b'%08x' % field for field in fields)
        for part in (header + path, data):
            archive += part + bytes(-len(part) % 4)
    return archive


def _read(path):
    with open(path, 'rb') as file:
        return file.read()


def _initrd(files, host, tables, mounts, steps, out):
    """Tables for the kernel, the guest's programs with Python, and our own."""
    path = os.path.join(out, 'initrd')
    with open(path, 'wb') as file:
        # The kernel looks for tables where the archive is not compressed
        for archive in (
                _cpio({f'kernel/firmware/acpi/{name}.aml': table
                       for name, table in tables.items()}),
                *map(_read, (files.programs, *files.modules(host))),
                _cpio({'init': _read(os.path.join(HERE, 'init')),
                       'mounts': mounts.encode(), 'steps': steps.encode()})):
            file.write(archive + bytes(-len(archive) % 512))
    return path


def _shared(tag, path, read_only):
    """The arguments by which the server has a folder, under the same path."""
    fsdev = (f'local,id={tag},path={path.replace(",", ",,")},'
             'security_model=none')
    if read_only:
        fsdev += ',readonly=on'
    return ['-fsdev', fsdev, '-device',
            f'virtio-9p-device,fsdev={tag},mount_tag={tag}']


# --- a run ------------------------------------------------------------------

@dataclasses.dataclass
class Report:
    """What the server says: lines of each step, and its status."""
    kernel: str
    steps: dict[str, list[str]]
    failed: list[str]


def parse(log):
    sections, failed = report.read_sections(log.splitlines())
    kernel = next((line.split()[2] for line in log.splitlines()
                   if line.startswith('@@ server ')), '')
    return Report(kernel, sections, failed)


def run(files, gpus, steps, out, canwbs=False, host=NEW):
    """Boot the server, have it take the steps, a line each, and power off.

    The server can write to OUT, which has its guests' commands.  HOST is the build's
    folder with its kernel.
    """
    hardware = _hardware(gpus, out)
    acpi = os.path.join(out, 'acpi')
    write_tables(files.qemu, Machine(), hardware, acpi)
    tables = {'ssdt': _ssdt(gpus, read_table(acpi, 'DSDT'), out)}
    if canwbs:
        tables['iort'] = iort_canwbs(read_table(acpi, 'IORT'))
    # All under the paths that they have here, so that a command is right in both
    shared = {'tree': (TOP, True), 'build': (files.build, True),
              'python': (files.python, True), 'out': (out, False)}
    lines = [f'python={files.python}', f'planner={PLANNER}', *steps]
    # What is written must not wait in a cache
    mounts = ''.join(f'{tag} {path} cache={"mmap" if read_only else "none"}\n'
                     for tag, (path, read_only) in shared.items())
    guest.boot(
        [files.qemu, *hardware, '-accel', TCG, '-cpu', ARM64.cpu,
         '-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio',
         *ARM64.firmware(lambda name: files.firmware(name).replace(',', ',,')),
         '-kernel', files.kernel(host),
         '-initrd', _initrd(files, host, tables, mounts,
                            '\n'.join(lines) + '\n', out),
         '-append', ARM64.kernel_args,
         *(arg for tag, (path, read_only) in shared.items()
           for arg in _shared(tag, path, read_only))],
        MILESTONES, out, DEADLINE)
