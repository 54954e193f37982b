# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments of QEMU for the GPUs of a plan."""

from host import GIB, MIB
from plan import BUSES, FIRST_BUS

IOMMUFD = 'gpu-iommufd'


def properties(values):
    return ''.join(f',{name}={value}' for name, value in values.items())


def _bridge(number, place, smmu):
    bus = FIRST_BUS + BUSES * number
    pxb = f'pxb-pcie,id=gpu-pxb{number},bus=pcie.0,bus_nr={bus}'
    if place.near is not None:
        pxb += f',numa_node={place.near}'
    yield '-device', pxb
    if smmu:
        yield '-device', (f'arm-smmuv3,id=gpu-smmu{number},'
                          f'primary-bus=gpu-pxb{number}{properties(smmu)}')


def _gpu(number, place, chassis, iommufd, options):
    yield '-device', (f'pcie-root-port,id=gpu-port{number},'
                      f'bus=gpu-pxb{place.bridge},chassis={chassis},'
                      'io-reserve=0,'
                      f'pref64-reserve={place.gpu.reserve // GIB}G')
    yield '-device', (f'vfio-pci-nohotplug,host={place.gpu.address},'
                      f'bus=gpu-port{number},rombar=0,id=gpu{number}'
                      + (f',iommufd={IOMMUFD}' if iommufd else ''))
    yield '-object', (f'nvidia-gpu-mem-acpi,id=gpu-mem{number},'
                      f'devid=gpu{number},'
                      f'nodeset={place.nodes[0]}-{place.nodes[-1]}{options}')


def exact(size):
    """A size as QEMU takes it."""
    return f'{size // MIB}M' if not size % MIB else f'{size}B'


def _egm(nodes):
    for node, egm in nodes.items():
        yield '-object', (f'memory-backend-file,id=gpu-egm{node},'
                          f'mem-path=/dev/{egm.name},size={exact(egm.size)},'
                          'share=on,prealloc=on')
        yield '-numa', f'node,nodeid={node},memdev=gpu-egm{node}'


def arguments(plan, shape, egm_nodes, initiators):
    """Pairs of an option and its value.

    EGM_NODES has the nodes whose memory is Extended GPU Memory.
    """
    if plan.window:
        yield '-machine', f'highmem-mmio-size={plan.window // GIB}G'
    yield from _egm(egm_nodes)
    for place in plan.places:
        for node in place.nodes:
            yield '-numa', f'node,nodeid={node}'
    # One direction stands for both
    for (src, dst), value in plan.distances.items():
        if src < dst:
            yield '-numa', f'dist,src={src},dst={dst},val={value}'
    if shape.iommufd:
        yield '-object', f'iommufd,id={IOMMUFD}'
    for number in range(1 + max(place.bridge for place in plan.places)):
        behind = [(index, place) for index, place in enumerate(plan.places)
                  if place.bridge == number]
        yield from _bridge(number, behind[0][1], shape.smmu)
        for port, (index, place) in enumerate(behind):
            options = ',generic-initiator=on' if initiators else ''
            if place.gpu.egm and place.near in egm_nodes:
                options += f',egm-node={place.near}'
            yield from _gpu(index, place, FIRST_BUS + BUSES * number + port,
                            shape.iommufd, options)
