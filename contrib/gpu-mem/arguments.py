# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments of QEMU for the GPUs of a plan."""

from host import GIB

# As KVM's users have it: the host's hardware does the work
SMMU = 'accel=on,ats=on,ril=off'


def _gpu(number, place, smmu, iommufd, egm):
    pxb = f'pxb-pcie,id=gpu-pxb{number},bus=pcie.0,bus_nr={place.bus}'
    if place.near is not None:
        pxb += f',numa_node={place.near}'
    yield '-device', pxb
    if smmu:
        yield '-device', (f'arm-smmuv3,id=gpu-smmu{number},'
                          f'primary-bus=gpu-pxb{number},{SMMU}')
    yield '-device', (f'pcie-root-port,id=gpu-port{number},'
                      f'bus=gpu-pxb{number},chassis={place.bus},'
                      f'io-reserve=0,pref64-reserve={place.reserve // GIB}G')
    yield '-device', (f'vfio-pci-nohotplug,host={place.gpu.address},'
                      f'bus=gpu-port{number},rombar=0,id=gpu{number}'
                      + (',iommufd=gpu-iommufd' if iommufd else ''))
    yield '-object', (f'nvidia-gpu-mem-acpi,id=gpu-mem{number},'
                      f'devid=gpu{number},'
                      f'nodeset={place.nodes[0]}-{place.nodes[-1]}'
                      + (f',egm-node={place.near}'
                         if egm and place.has_egm else ''))


def arguments(plan, smmu, iommufd, egm):
    """Pairs of an option and its value."""
    if plan.window:
        yield '-machine', f'highmem-mmio-size={plan.window // GIB}G'
    for place in plan.places:
        for node in place.nodes:
            yield '-numa', f'node,nodeid={node}'
    # One direction stands for both
    for (src, dst), value in plan.distances.items():
        if src < dst:
            yield '-numa', f'dist,src={src},dst={dst},val={value}'
    if iommufd:
        yield '-object', 'iommufd,id=gpu-iommufd'
    for number, place in enumerate(plan.places):
        yield from _gpu(number, place, smmu, iommufd, egm)
