# SPDX-License-Identifier: GPL-2.0-or-later
"""Extended GPU Memory as the memory of a guest's nodes."""

from arguments import exact


def nodes(host, made):
    """The nodes of a plan whose memory it is, each with the host's EGM."""
    return {place.near: one for one in host.egms() if one.size
            for place in made.places
            if place.near is not None and place.gpu.address in one.gpus}


def notes(host, made, cpu_nodes, egm_nodes, has_iommufd):
    """What is left to do."""
    if egm_nodes:
        total = sum(one.size for one in egm_nodes.values())
        rest = ''.join(f' and the size of node {node}' for node in cpu_nodes
                       if node not in egm_nodes)
        yield (f'--egm: give QEMU -m {exact(total)}{rest}, no -numa node of '
               f'your own for {", ".join(map(str, egm_nodes))}, and the CPUs '
               'as ' + ' '.join(f'-numa cpu,node-id={node},socket-id={node}'
                          for node in egm_nodes))
        if has_iommufd:
            yield ("--egm with IOMMUFD needs patches of NVIDIA, of the host's "
                   'kernel and of QEMU: see "Extended GPU Memory" in the '
                   'manual')
    for place in made.places:
        if not place.gpu.egm:
            yield f'{place.gpu.address}: the host has no EGM for it'
        elif place.near is None:
            yield (f'{place.gpu.address}: no egm-node=, for no node of the '
                   'guest is known to be near it')
        elif place.near not in egm_nodes:
            yield (f'{place.gpu.address}: /sys has no size of /dev/'
                   f'{place.gpu.egm}: give node {place.near} its memory, and '
                   'the object egm-node=, by hand')
    given = {place.gpu.address for place in made.places}
    if missing := sorted(address for one in host.egms()
                         for address in one.gpus - given):
        yield ('NVIDIA supports EGM only with all GPUs of the host in one '
               f'guest, and this one lacks {", ".join(missing)}')
