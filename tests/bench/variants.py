# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines that are compared: the same devices and nodes, with other
objects.

Each GPU is played by a small device below a root port of its own, as on Grace.
The accelerator is qtest: there is no guest code to run, and without a
translator and its threads QEMU does nearly the same instructions each time.
"""

import dataclasses

CPU_NODES = 2
GPU_NODES = 8
GPUS = (1, 2, 4, 8, 15)     # the last makes 122 of QEMU's 128 nodes
FEW_GPUS = (1, 8, 15)       # as few as tell a line from a parabola
SWITCHES = (0, 1, 2, 4, 8, 15)      # above one GPU, one below the other
FIRST_SLOT = 2
OURS = 'nvidia-gpu-mem-acpi'
PEER = 'acpi-generic-initiator'

COMMON = ('-machine', 'virt', '-cpu', 'cortex-a57', '-accel', 'qtest',
          '-display', 'none', '-nodefaults', '-S', '-m', '2G', '-smp', '4')


@dataclasses.dataclass(frozen=True)
class Variant:
    key: str
    title: str
    objects: str = ''       # the type, with what all its objects have set

    def object_args(self, gpus: int) -> list[str]:
        args = []
        for gpu in range(gpus):
            nodes = gpu_nodes(gpu)
            if self.key == 'peer':
                texts = [f'{self.objects},id=gi{node},pci-dev=gpu{gpu},'
                         f'node={node}' for node in nodes]
            elif self.objects:
                texts = [f'{self.objects},id=mem{gpu},devid=gpu{gpu},'
                         f'nodeset={nodes[0]}-{nodes[-1]}']
            else:
                texts = []
            for text in texts:
                args += ['-object', text]
        return args


NONE = Variant('none', 'no object')
OUR_OBJECT = Variant('ours', OURS, OURS)
OUR_INITIATORS = Variant('initiators', f'{OURS}, generic-initiator=on',
                         f'{OURS},generic-initiator=on')
PEERS = Variant('peer', PEER, PEER)
VARIANTS = (NONE, OUR_OBJECT, OUR_INITIATORS, PEERS)


def gpu_nodes(gpu: int) -> range:
    first = CPU_NODES + gpu * GPU_NODES
    return range(first, first + GPU_NODES)


def numa_args(gpus: int) -> list[str]:
    args = []
    for node in range(CPU_NODES):
        args += ['-object', f'memory-backend-ram,id=ram{node},size=1G',
                 '-numa', f'node,nodeid={node},memdev=ram{node},'
                 f'cpus={2 * node}-{2 * node + 1}']
    for node in range(CPU_NODES, CPU_NODES + gpus * GPU_NODES):
        args += ['-numa', f'node,nodeid={node}']
    return args


def gpu_args(gpu: int, switches: int) -> list[str]:
    bus = f'port{gpu}'
    args = ['-device', f'pcie-root-port,id={bus},bus=pcie.0,'
            f'addr={FIRST_SLOT + gpu:#x},chassis={gpu + 1}']
    for level in range(switches):
        up, down = f'up{level}', f'down{level}'
        args += ['-device', f'x3130-upstream,id={up},bus={bus}',
                 '-device', f'xio3130-downstream,id={down},bus={up},'
                 f'chassis={0x80 + level}']
        bus = down
    return args + ['-device', f'pci-testdev,id=gpu{gpu},bus={bus}']


def bridges(switches: int) -> int:
    """Above the GPU: the root port, and each switch's two ports"""
    return 1 + 2 * switches


def arguments(variant: Variant, gpus: int, switches: int = 0) -> list[str]:
    """QEMU's, without its monitor"""
    args = [*COMMON, *numa_args(gpus)]
    for gpu in range(gpus):
        args += gpu_args(gpu, switches)
    return args + variant.object_args(gpus)
