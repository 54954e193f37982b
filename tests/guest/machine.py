# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual machine of the guest tests: its QEMU command line."""

import dataclasses
import fcntl
import os
import platform
import subprocess

import guest
import places
import planned
from arch import ARM64, Arch, nodes_shift
from memory_devices import MemoryDevice, ram_size
from objects import NVIDIA_TYPE
from performance import Performance, distance_args

CPU_NODES = 2
NODE_MB = 1024
DEFAULT_NODES = 8           # one for each partition that a GPU can have
MAX_NODES = 128             # of QEMU
KVM_CREATE_VM = 0xAE01
# One thread for all CPUs: with more, one CPU can change the memory map under
# another, which QEMU 10.0 ends with an assertion (iotlb_to_section).
TCG = 'tcg,thread=single'
KVM = ('-accel', 'kvm', '-cpu', 'host')


class MachineError(Exception):
    """What was asked for can't be had."""


def node_limit(guest_dir):
    """How many nodes there can be, and what says so."""
    shift = nodes_shift(guest_dir)
    return min((1 << shift, "the guest's kernel knows "
                f'{1 << shift} (CONFIG_NODES_SHIFT={shift})'),
               (MAX_NODES, f'QEMU knows {MAX_NODES}'))


def max_nodes(gpus, guest_dir):
    """How many nodes each of so many GPUs can have in the guest."""
    return (node_limit(guest_dir)[0] - CPU_NODES) // gpus


def default_nodes(gpus, guest_dir):
    """Of each GPU: as many as a GPU can use, or what fits."""
    return max(1, min(DEFAULT_NODES, max_nodes(max(1, gpus), guest_dir)))


def default_partitions(nodes):
    """As many as have a node each, of 1, 2, 4, 8."""
    return max(of for of in (1, 2, 4, 8) if of <= max(1, nodes))


def have_kvm():
    """Whether KVM can run the guest: the device file alone says little."""
    if platform.machine() != 'aarch64':
        return False
    try:
        kvm = os.open('/dev/kvm', os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
    except OSError:
        return False
    finally:
        os.close(kvm)
    return True


def has_smmu_device(qemu):
    """Whether this QEMU, from 10.2 on, has an SMMU for each host bridge."""
    return 'name "arm-smmuv3"' in subprocess.run(
        [qemu, '-machine', 'none', '-device', 'help'], text=True,
        capture_output=True, check=True).stdout


def has_accelerated_smmu(qemu):
    """Whether such an SMMU, from 11.0 on, can use the host's."""
    return has_smmu_device(qemu) and 'accel=' in subprocess.run(
        [qemu, '-machine', 'none', '-device', 'arm-smmuv3,help'], text=True,
        capture_output=True, check=True).stdout


def has_cxl(qemu):
    """Whether its virt, from 10.2 on, has host bridges of CXL."""
    return subprocess.run(
        [qemu, '-machine', 'virt,cxl=on', '-accel', 'qtest', '-display', 'none',
         '-nodefaults', '-monitor', 'stdio'], input='quit\n', text=True,
        capture_output=True, check=False).returncode == 0


@dataclasses.dataclass(frozen=True)
class Machine:
    """GPUs with their empty nodes, beside two CPU nodes.

    In this order: CPU nodes, spare nodes, the nodes of each GPU.
    """
    gpus: int = 1
    nodes: int = DEFAULT_NODES      # of each GPU
    # Of each GPU; a pxb and all other bridges are a GPU's own
    places: tuple[str, ...] = ()
    object_type: str = NVIDIA_TYPE
    options: tuple[str, ...] = ()   # further ones of its object
    initiator_objects: bool = False     # QEMU's, in the place of ours
    spare_nodes: int = 0            # empty ones that no GPU has
    devices: tuple[MemoryDevice, ...] = ()
    distances: tuple[tuple[int, ...], ...] = ()     # a row for each node
    performance: Performance | None = None          # makes a HMAT
    # The -device that plays each GPU: without it, a stand-in with memory
    gpu_devices: tuple[str, ...] = ()
    node_mb: int = NODE_MB      # of each CPU node, and each GPU's memory
    gpu_mb: int = 0             # each GPU's memory, where it is another size
    partitions: int = 1         # equal parts of it, one in each node
    uncached_mb: int = 0        # in each GPU's BAR2
    port_options: tuple[str, ...] = ()      # of the root ports
    mmio: str = ''              # size of the window for 64-bit BARs
    smmu: bool = False          # one for each pxb, or one for all
    # Nodes, bridges and GPUs as qemu-gpu-mem plans them for this host
    planned: str = ''
    others: tuple[str, ...] = ()    # further arguments
    further: str = ''           # what init reports besides, with commas
    kernel_args: str = ''       # further ones
    arch: Arch = ARM64
    accel: tuple[str, ...] = ()     # accelerator and CPU: else the best here

    def check(self, guest_dir):
        """Refuse what the guest's kernel can't take."""
        if self.gpus < 1 or self.nodes < 1:
            raise MachineError('there must be at least one GPU and one node')
        if self.partitions > self.nodes:
            raise MachineError(
                f'PARTITIONS={self.partitions} need a node each, but '
                f'NODES={self.nodes}')
        total, (limit, reason) = self._node_count(), node_limit(guest_dir)
        if total <= limit:
            return
        fits = max_nodes(self.gpus, guest_dir)
        way_out = (f'the largest NODES for GPUS={self.gpus} is {fits}'
                   if fits else
                   f'take at most {limit - CPU_NODES} GPUs')
        raise MachineError(
            f'GPUS={self.gpus} with NODES={self.nodes} and {CPU_NODES} CPU '
            f'nodes make {total} nodes, but {reason}: {way_out}')

    def _node_count(self):
        return CPU_NODES + self.spare_nodes + self.gpus * self.nodes

    def needs_cxl(self):
        return places.CXL_PORT in self.places

    def gpu_nodes(self, gpu):
        """The nodes of one GPU, counted from 0."""
        first = CPU_NODES + self.spare_nodes + gpu * self.nodes
        return range(first, first + self.nodes)

    def empty_nodes(self):
        """All that have no memory when the guest boots."""
        return range(CPU_NODES, self._node_count())

    def partition_mb(self, partitions=None):
        """Where each GPU has so many, or as many as at first."""
        return (self.gpu_mb or self.node_mb) // (partitions or self.partitions)

    def gpu_memory(self, gpu):
        """The nodes of one GPU that have its memory at first, with its MB."""
        return {node: self.partition_mb()
                for node in self.gpu_nodes(gpu)[:self.partitions]}

    def plug_node(self):
        """The node of the range for memory devices: the last but the GPUs'."""
        return CPU_NODES + self.spare_nodes - 1 if self.devices else None

    def memory(self):
        """The nodes that come to have memory, with its MB."""
        memory = {node: self.node_mb for node in range(CPU_NODES)}
        # Its driver learns of no node from QEMU's own objects
        for gpu in range(0 if self.initiator_objects else self.gpus):
            memory |= self.gpu_memory(gpu)
        for device in self.devices:
            memory[device.node] = memory.get(device.node, 0) + device.mb
        return memory

    def _numa_args(self):
        args = ['-m', ram_size(CPU_NODES * self.node_mb, self.devices),
                '-smp', f'{2 * CPU_NODES},sockets={CPU_NODES},cores=2']
        for node in range(CPU_NODES if self.planned else self._node_count()):
            numa = f'node,nodeid={node}'
            if node < CPU_NODES:
                args += ['-object', f'memory-backend-ram,id=ram-node{node},'
                         f'size={self.node_mb}M']
                numa += (f',memdev=ram-node{node},'
                         f'cpus={2 * node}-{2 * node + 1}')
            if self.performance:
                best = self.performance.best_initiator(node, CPU_NODES)
                numa += f',initiator={best}'
            args += ['-numa', numa]
        args += distance_args(self.distances)
        if self.performance:
            args += self.performance.command_line()
        return args

    def _gpu_args(self, gpu, out, pxb_smmu):
        place = self.places[gpu] if self.places else places.ROOT_BUS
        args, bus = places.bridges(place, gpu, gpu * CPU_NODES // self.gpus,
                                   self.port_options, pxb_smmu)
        device, memory = self._device(gpu, out)
        return [*args, *memory, '-device', f'{device},id=gpu{gpu},{bus}',
                *self._object_args(gpu)]

    def _device(self, gpu, out):
        """What plays the GPU, and the arguments of its memory."""
        if self.gpu_devices:
            return self.gpu_devices[gpu], []
        device, args = 'gpu-mem-testdev', []
        for option, name, file, mb in (
                ('memdev', 'hbm', gpu, self.partition_mb(1)),
                ('resmemdev', 'res', f'{gpu}-uncached', self.uncached_mb)):
            if mb:
                path = guest.memory_file(out, file).replace(',', ',,')
                args += ['-object', f'memory-backend-file,id={name}{gpu},'
                         f'share=on,mem-path={path},size={mb}M']
                device += f',{option}={name}{gpu}'
        return device, args

    def _planned_args(self, out):
        devices = [self._device(gpu, out) for gpu in range(self.gpus)]
        return [arg for _, memory in devices for arg in memory] + (
            planned.arguments(self.planned, self.gpus, self.nodes,
                              [device for device, _ in devices]))

    def _object_args(self, gpu):
        nodes = self.gpu_nodes(gpu)
        if self.initiator_objects:
            # With the names that libvirt gives them
            return [arg for number, node in enumerate(nodes, gpu * self.nodes)
                    for arg in (
                        '-object', f'acpi-generic-initiator,id=gi{number},'
                        f'pci-dev=gpu{gpu},node={node}')]
        options = (f',{self.options[gpu]}'
                   if self.options and self.options[gpu] else '')
        return ['-object', f'{self.object_type},id=mem{gpu},devid=gpu{gpu},'
                f'nodeset={nodes[0]}-{nodes[-1]}{options}']

    def hardware(self, out, pxb_smmu=False):
        """What the machine has: arguments; out gets the GPUs' memory."""
        options = [self.arch.machine]
        if self.performance:
            options.append('hmat=on')
        if self.mmio:
            options.append(f'highmem-mmio-size={self.mmio}')
        if self.smmu and not pxb_smmu:
            options.append('iommu=smmuv3')
        if self.needs_cxl():
            options.append('cxl=on')
        args = ['-machine', ','.join(options), *self._numa_args()]
        if self.planned:
            args += self._planned_args(out)
        else:
            for gpu in range(self.gpus):
                args += self._gpu_args(gpu, out, pxb_smmu)
        for device in self.devices:
            if not device.while_running:
                args += device.command_line()
        return [*args, *self.others]

    def append(self):
        """The command line of its kernel."""
        return (f'{self.arch.kernel_args} '
                f'online_mb={sum(self.memory().values())} '
                f'partitions={self.partitions} further={self.further} '
                f'{self.kernel_args}')

    def command(self, qemu, guest_dir, out, extra=()):
        """The whole command; guest_dir is what build-guest made."""
        def file(name):
            path = os.path.join(guest_dir, name)
            if not os.path.exists(path):
                raise MachineError(f'{path} is missing: build the guest first')
            return path.replace(',', ',,')

        accel = self.accel or (KVM if self.arch is ARM64 and have_kvm() else
                               ('-accel', TCG, '-cpu', self.arch.cpu))
        return [qemu, *self.hardware(out, self.smmu and has_smmu_device(qemu)),
                *accel,
                '-nodefaults', '-no-reboot', '-display', 'none',
                '-serial', 'stdio', *self.arch.firmware(file),
                '-kernel', file('vmlinuz'),
                '-initrd', file('initramfs.cpio.gz'),
                '-append', self.append(),
                *extra]

    def hot_plug(self):
        """What QMP is told once the guest runs: commands, arguments."""
        return [command for device in self.devices if device.while_running
                for command in device.qmp_commands()]
