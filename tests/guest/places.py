# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in a machine's PCI topology a GPU is."""

FIRST_SLOT = 4
FIRST_PXB_BUS = 0x80
PXB_BUSES = 0x10

ROOT_BUS, ROOT_PORT, SWITCH, PXB = 'root bus', 'root port', 'switch', 'pxb'
SAME_PXB = "a further root port of the last GPU's pxb"
CXL_PORT = "a root port of CXL, of a pxb-cxl"


def bridges(place, gpu, pxb_node, port_options=(), smmu=False):
    """The arguments that make the bridges, and how a device gets there.

    GPUs are counted from 0, and the guest's buses are in their order.
    port_options are those of each root port; smmu gives each pxb an SMMU.
    """
    bus, args = f'bus=pcie.0,addr={FIRST_SLOT + gpu:#x}', []

    def add(driver, name, *further, **options):
        nonlocal bus
        options = [f'{key}={options[key]}' for key in options]
        args.extend(['-device', ','.join(
            (driver, f'id={name}{gpu}', bus, *options, *further))])
        bus = f'bus={name}{gpu}'

    if place in (PXB, CXL_PORT):
        add('pxb-pcie' if place == PXB else 'pxb-cxl', 'pxb',
            bus_nr=FIRST_PXB_BUS + gpu * PXB_BUSES, numa_node=pxb_node)
        if smmu:
            args += ['-device',
                     f'arm-smmuv3,primary-bus=pxb{gpu},id=smmu{gpu}']
    if place == SAME_PXB:
        bus = f'bus=pxb{gpu - 1}'
    if place == CXL_PORT:
        add('cxl-rp', 'port', *port_options, port=gpu, chassis=gpu + 1)
    elif place != ROOT_BUS:
        add('pcie-root-port', 'port', *port_options, chassis=gpu + 1)
    if place == SWITCH:
        add('x3130-upstream', 'up')
        add('xio3130-downstream', 'down', chassis=gpu + 1, slot=1)
    return args, bus
