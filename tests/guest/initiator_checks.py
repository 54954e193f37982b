# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of GPUs that are generic initiators too."""

import re

import report
from checks import same

PCI_HANDLE = 1
ENABLED = 1


def _address(gpu):
    """Segment, bus, and slot with function, as numbers."""
    segment, bus, slot, function = (
        int(part, 16) for part in re.split('[:.]', gpu.address))
    return segment, bus, slot << 3 | function


def _nodes(initiators):
    return [node for nodes in initiators for node in nodes]


def srat_initiators(*initiators):
    """Of each GPU: the nodes that it should be a generic initiator of."""
    def check(found):
        """SRAT: the initiators have the addresses that the guest sees"""
        same('initiators (bytes, handle type, domain, segment, bus, devfn, '
             'flags)',
             report.srat_initiators(found.tables['SRAT']),
             [report.InitiatorAffinity(32, PCI_HANDLE, node, *_address(gpu),
                                       ENABLED)
              for gpu, nodes in zip(found.gpus, initiators, strict=True)
              for node in nodes])
    return check


def before_memory(found):
    """SRAT: the initiators are before all memory"""
    kinds = [kind for kind, _ in report.srat_entries(found.tables['SRAT'])
             if kind in (report.SRAT_INITIATOR, report.SRAT_MEMORY)]
    same('kinds of entries', kinds, sorted(
        kinds, key=(report.SRAT_INITIATOR, report.SRAT_MEMORY).index))


def both_ways(*initiators):
    def check(found):
        """a driver finds by initiators the nodes that its _DSD names"""
        same('nodes by initiators',
             [gpu.initiators for gpu in found.gpus],
             [gpu.nodes if nodes else {}
              for gpu, nodes in zip(found.gpus, initiators, strict=True)])
    return check


def sysfs_initiators(*initiators):
    def check(found):
        """the kernel takes these nodes for generic initiators"""
        same('has_generic_initiator', found.has_generic_initiator or 'none',
             report.node_list(_nodes(initiators)))
    return check


def initiator_checks(*initiators):
    """All of the above."""
    return (srat_initiators(*initiators), before_memory,
            both_ways(*initiators), sysfs_initiators(*initiators))
