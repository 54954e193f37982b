# SPDX-License-Identifier: GPL-2.0-or-later
"""What is booted in the server, and what is checked."""

import dataclasses
import os
import re
import shlex
from collections.abc import Callable
from functools import partial

import server
from arch import ARM64
from checks import (
    Failure, iommu_groups, log_lines, memory, memory_bars, node_map, numactl, paths,
    properties, same, srat_bytes)
from domain import Files, for_host
from machine import CPU_NODES, KVM, Machine
from memory_checks import partitions_change, patterns
from numa_checks import distances
from server import EDU, Gpu
from test_nvidia import FAILED, nodes_of

NVGRACE, PLAIN = 'nvgrace_gpu_vfio_pci', 'vfio-pci'
PLAN = '@PLAN@'
GUEST = 'guest'
DOMAIN = os.path.join(server.TOP, 'guide', 'one-gpu.xml')
# The console of a guest in the server is slow: a byte takes 0.4 ms
ARCH = dataclasses.replace(
    ARM64, kernel_args='console=ttyAMA0 loglevel=3 panic=-1 '
    'memhp_default_state=online_movable')
NODE_MB = 512
# Of the first, nvgrace-gpu shows 1 GiB in BAR 4, and 1 GiB uncached in BAR 2.  Of the
# second BAR 4 has 1.5 GiB, and so is larger.
GPUS = Gpu(0, hbm_mb=2048, bar_mb=1024), Gpu(1, hbm_mb=2560)
SHARED_MB, ODD_MB, UNCACHED_MB = 1024, 1536, 1024
DEATH = ('^error: kvm run failed Bad address$.*'
         '^qemu-system-aarch64: terminating on signal 15 ')     # by the init


def by_iommufd(devices=1):
    """A pattern: what QEMU has open of vfio, for so many devices."""
    return rf'/dev/iommu(\n/dev/vfio/devices/vfio\d+){{{devices}}}'


def by_groups(devices=1):
    return rf'(/dev/vfio/\d+\n){{{devices}}}/dev/vfio/vfio'


class Planned(Machine):
    """Nodes, bridges and GPUs are what qemu-gpu-mem prints on the server."""
    def _planned_args(self, out):
        return [PLAN]


@dataclasses.dataclass(frozen=True)
class Inner:
    """A machine in the server, and what its guest is asked."""
    name: str
    vm: Machine
    gpus: tuple[Gpu, ...]
    held: str               # a pattern: what of vfio its QEMU has open
    checks: tuple[Callable, ...]
    last_checks: tuple[Callable, ...] = ()      # of the guest's last run
    plan: str = ''          # options of "args", if it is planned
    guest: str = GUEST      # the build's folder
    reset: bool = False     # when the guest has powered off; it boots again
    dies: bool = False      # when it first uses the GPU's memory
    in_bar: bool = False    # the memory is in the BAR of the device itself

    def titles(self):
        """Of each guest's run."""
        return (self.name, f'{self.name}, after a reset')[:1 + self.reset]

    def is_complete(self):
        """Whether the guest should have all that "make run" asks for."""
        return self.guest == GUEST and not self.dies

    def prepare(self, out, args):
        """Write what the steps need."""
        further = ()
        if self.reset:
            further = ('-action', 'reboot=reset,shutdown=pause',
                       '-chardev', 'pipe,id=monitor,path=/monitor',
                       '-mon', 'monitor')
            with open(os.path.join(out, 'reset'), 'w'):
                pass
        command = self.vm.command(
            args.inner_qemu, os.path.join(args.build, self.guest), out, further)
        with open(os.path.join(out, 'command'), 'w') as file:
            file.write(shlex.join(command).replace(PLAN, '$(cat /plan)'))

    def steps(self, out, args):
        addresses = ' '.join(gpu.address for gpu in self.gpus)
        if self.plan:
            yield (f'step plan-{self.name} plan {addresses} {self.plan} '
                   f'--qemu {args.inner_qemu}')
        yield f'step {self.name} run {out}'


class Domain(Inner):
    """README's domain with a GPU, which libvirt binds and gives back."""

    def prepare(self, out, args):
        guest_files = os.path.join(args.build, self.guest)
        files = Files(args.inner_qemu, *(
            os.path.join(guest_files, name) for name in (
                'AAVMF_CODE.fd', 'AAVMF_VARS.fd', 'vmlinuz',
                'initramfs.cpio.gz')))
        with open(DOMAIN) as file:
            text = for_host(file.read(), files, self.vm.append(),
                            self.gpus[0].address, self.vm.node_mb)
        with open(os.path.join(out, 'domain.xml'), 'w') as file:
            file.write(text)

    def steps(self, out, args):
        address = self.gpus[0].address
        yield f'libvirt={args.files.libvirt}'
        yield f'. {server.HERE}/libvirt.sh'
        yield f'step libvirtd start_libvirtd {out}'
        yield f'step define virsh define --validate {out}/domain.xml'
        yield f'step before bound_to {address}'
        yield f'step {self.name} run_domain {self.name} {out} {address}'
        yield f'step undefine undefine {self.name}'
        yield f'step after bound_to {address}'


def with_edu(options=''):
    """Arguments: QEMU's "edu" behind the bridge of the first GPU."""
    return ('-device', 'pcie-root-port,id=edu-port,bus=gpu-pxb0,chassis=1',
            '-device', f'vfio-pci,host={EDU},bus=edu-port{options}')


def planned(name, gpus, *checks, nodes=8, partitions=8, mb=SHARED_MB,
            plan='--no-smmu', written=None, further='patterns', others=(), **options):
    """All of the GPUs, and of their memory, the same MB each.

    WRITTEN: see memory_checks.patterns(); FURTHER, OTHERS: see Machine.
    """
    vm = Planned(
        planned='server', gpus=len(gpus), nodes=nodes, partitions=partitions,
        node_mb=NODE_MB, gpu_mb=mb, accel=KVM, arch=ARCH,
        further=further, others=others,
        kernel_args=f'gpu=10de:2342 gpu_mb={mb} rounds=1')
    plan = f'--nodes {nodes} --cpu-nodes 2 --host-nodes 0,0 {plan}'
    return Inner(name, vm, gpus, checks=(
        *guest_checks(vm, [r'\\_SB_\.PC80\.S0._\.S00_'] * len(gpus)),
        *([partitions_change(vm, rounds=1)] if 'partitions' in further else []),
        *checks), last_checks=(patterns(vm, written),), plan=plan, **options)


def guest_checks(vm, where):
    ranges = [(vm.gpu_nodes(gpu)[0], vm.nodes) for gpu in range(vm.gpus)]
    mb = {node: mb for node, mb in vm.memory().items() if node >= CPU_NODES}
    return (log_lines(vm.empty_nodes()), srat_bytes(vm.empty_nodes()),
            paths(*where), properties(*ranges), node_map(*ranges),
            memory(vm.empty_nodes(), mb), numactl(mb))


def translated(found):
    """the IOMMU translates the addresses of each GPU"""
    for gpu in found.gpus:
        kind = found.iommu_types.get(gpu.address)
        if kind not in ('DMA', 'DMA-FQ'):
            raise Failure(f'{gpu.address}: {kind}')


def nested(found):
    """the server's SMMU does the translation of each GPU"""
    for gpu in found.gpus:
        bus, slot, function = map(partial(int, base=16),
                                  re.split('[:.]', gpu.address)[1:])
        line = (f'smmuv3_accel_install_ste vSID={bus << 8 | slot << 3 | function:#x} '
                'ste type=translate ')
        if line not in found.said:
            raise Failure(f'no "{line}" in what QEMU says:\n{found.said}')


def interrupts(found):
    """every interrupt of each GPU arrives"""
    same('address, vector, status', found.interrupts, [
        f'{gpu.address} {vector} 0' for gpu in found.gpus for vector in range(4)])


def dma(is_translated):
    def check(found):
        """"edu" reads and writes memory by DMA"""
        done = re.findall(r'edu \S+: DMA at (\w+) of memory at (\w+): error 0$',
                          '\n'.join(found.dma), re.MULTILINE)
        if len(done) != 1 or (done[0][0] != done[0][1]) != is_translated:
            raise Failure('\n'.join(['its driver says:', *found.dma]))
    return check


def nvidia_nodes(found):
    """NVIDIA's driver finds the nodes"""
    log = found.log.partition(FAILED)[0]
    same('nodes', nodes_of(log, found.gpus[0].address), list(range(2, 10)))


# --- boots of the server ---------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Boot:
    name: str
    steps: tuple[str | Inner, ...]
    checks: tuple[Callable, ...]    # of what the server says
    failed: tuple[str, ...] = ()    # steps that should fail
    host: str = server.NEW
    accelerated: bool = False       # its SMMU, for the guest

    def inners(self):
        return [step for step in self.steps if isinstance(step, Inner)]

    def points(self):
        return 1 + len(self.checks) + sum(
            1 + len(inner.last_checks) + len(inner.titles()) * (
                1 + len(inner.checks) + inner.is_complete())
            for inner in self.inners())


def bind(address, driver):
    return f'step bind-{address}-{driver} bind {address} {driver}'


def bound(address, driver):
    def check(found):
        have, = found.steps[f'bind-{address}-{driver}']
        if not have.startswith(f'{address} {driver} '):
            raise Failure(have)
        if have.endswith(' none'):
            raise Failure(f'{have}: no IOMMU group')
    check.__doc__ = f'{address} is bound to {driver}, with an IOMMU group'
    return check


def own_groups(found):
    """each GPU has an IOMMU group of its own"""
    groups = [lines[0].split()[-1] for name, lines in found.steps.items()
              if name.startswith('bind-')]
    same('number of groups', len({*groups}), len(GPUS))


def shown(found):
    """qemu-gpu-mem shows both GPUs, and their nodes"""
    same('said', found.steps['show'], [
        line for gpu in GPUS for line in (
            f'{gpu.address}  GH200 120GB',
            "    memory: 96G by NVIDIA's data sheet",
            f'    driver: {NVGRACE}',
            '    SMMU: smmu3.0x0000000009050000',
            '    near node: 0',
            f'    nodes of its memory: {gpu.first_node}-{gpu.first_node + 7}',
            '    their distance from node 0: 80')])


def nothing_to_do(found):
    """qemu-gpu-mem check finds nothing to do, by KVM's own word too"""
    same('not ok', [line for line in found.steps['check']
                    if not line.startswith('ok: ')], [])
    same('of KVM', [line for line in found.steps['check'] if 'KVM' in line],
         ["ok: KVM: it can map a GPU's memory as cacheable"])


ONE, BOTH = GPUS[:1], GPUS
# Two nodes of the guest stand for the server's one node with CPUs
ROWS = tuple(tuple(
    10 if src == dst else 11 if max(src, dst) < CPU_NODES else
    server.TREE.distance(*(max(0, node - CPU_NODES + 1) for node in (src, dst)))
    for dst in range(CPU_NODES + 8)) for src in range(CPU_NODES + 8))

PLANNED = Boot('planned', (
    *(bind(gpu.address, NVGRACE) for gpu in GPUS),
    'step show planner show',
    'step check planner check',
    planned('two-gpus', BOTH, nodes=4, partitions=4, held=by_iommufd(2),
            written=[1]),
    planned('one-gpu', ONE, distances(ROWS), held=by_iommufd(), reset=True)),
    (*(bound(gpu.address, NVGRACE) for gpu in GPUS), own_groups, shown, nothing_to_do))

PLAIN_VM = Machine(
    node_mb=NODE_MB, gpu_mb=SHARED_MB, partitions=8, accel=KVM, arch=ARCH,
    gpu_devices=(f'vfio-pci,host={GPUS[0].address}',), further='patterns',
    kernel_args='gpu=10de:2342')
LEGACY = Boot('legacy', (
    *(bind(gpu.address, NVGRACE) for gpu in GPUS),
    bind(EDU, PLAIN),
    planned('odd-size', GPUS[1:], memory_bars({2: UNCACHED_MB, 4: 2048}), interrupts,
            dma(False), nodes=4, partitions=4, mb=ODD_MB,
            further='partitions,patterns,interrupts,dma', plan='--no-iommufd',
            held=by_groups(2), others=with_edu()),
    dataclasses.replace(
        planned('nvidia', ONE, plan='--no-iommufd', held=by_groups()),
        checks=(nvidia_nodes,), last_checks=(), guest='nvidia'),
    bind(GPUS[0].address, PLAIN),
    Inner('plain', PLAIN_VM, ONE, by_groups(), guest_checks(
            PLAIN_VM, [r'\\_SB_\.PCI0\.S20_']), (patterns(PLAIN_VM),),
          in_bar=True)),
    (bound(GPUS[0].address, PLAIN),))


def too_old(found):
    """qemu-gpu-mem check says that KVM is too old, and what makes the groups"""
    lines = [line for line in found.steps['check'] if line.startswith('to do: ')]
    if not re.fullmatch(TO_DO, '\n'.join(lines)):
        raise Failure('\n'.join(found.steps['check']))


TO_DO = '\n'.join((
    "to do: KVM: it can't map a GPU's memory as cacheable, .*", *(
        f'to do: {gpu.address}: {what}' for gpu in GPUS for what in (
            'its driver is none: .*',
            'it has no IOMMU group: bind its driver first'))))
# Linux 6.12 maps the memory as a device's
OLD = Boot('old', (
    'step check planner check', bind(GPUS[0].address, NVGRACE),
    dataclasses.replace(
        planned('dies', ONE, plan='--no-iommufd', held=by_groups()),
        checks=(), last_checks=(), dies=True)),
    (too_old, bound(GPUS[0].address, NVGRACE)),
    failed=('step check in the guest (status 1)',), host='server-old')


def managed(found):
    """the GPU has no driver before the domain starts, nor after its end"""
    for step in ('before', 'after'):
        line, = found.steps[step]
        same(step, line.split()[:2], [ONE[0].address, 'none'])


DOMAIN_VM = Machine(
    node_mb=NODE_MB, gpu_mb=SHARED_MB, partitions=8, accel=KVM, arch=ARCH,
    further='patterns', kernel_args=f'gpu=10de:2342 gpu_mb={SHARED_MB}')
LIBVIRT = Boot('libvirt', (
    Domain('gpu-guest', DOMAIN_VM, ONE,
           rf'{by_groups()}\n{ONE[0].address} {NVGRACE} \d+',
           guest_checks(DOMAIN_VM, [r'\\_SB_\.PCI0\.S[0-9A-F]{2}_\.S00_']),
           (patterns(DOMAIN_VM),)),),
    (managed,))

ACCELERATED = Boot('accelerated', (
    bind(GPUS[0].address, NVGRACE), bind(EDU, PLAIN),
    planned('smmu', ONE, iommu_groups, translated, nested, interrupts, dma(True),
            plan='', further='patterns,interrupts,dma', held=by_iommufd(2),
            others=(*with_edu(',iommufd=gpu-iommufd'),
                    '-trace', 'smmuv3_accel_install_ste'))),
    (bound(GPUS[0].address, NVGRACE), bound(EDU, PLAIN)), accelerated=True)

BOOTS = PLANNED, LEGACY, LIBVIRT, ACCELERATED, OLD
