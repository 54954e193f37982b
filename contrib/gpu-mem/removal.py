# SPDX-License-Identifier: GPL-2.0-or-later
"""How what a libvirt domain was given for its GPUs is taken out again.

What has a name is known by it.  What has none is recorded in <metadata>.
"""

from guest import number, size
from host import Mistake, node_list
from xml_text import QEMU, RECORD

OURS = 'ua-gpu-mem-'        # how our names begin; libvirt keeps those with ua-


def _is_as_made(node, cell):
    """Node 0 is only recorded if it was made with all CPUs and all memory."""
    if node == 0:
        return {*cell.attributes} == {'id', 'cpus', 'memory', 'unit'} and (
            {one.name for one in cell.children} <= {'distances'})
    return not cell.get('cpus') and not number(cell.get('memory', '0'),
                                               'memory of a <cell>')


def _our_nodes(guest, record):
    """Those recorded, without what was made of them since."""
    for node in node_list(record.get('nodes')):
        argument, cell = guest.node_arguments.get(node), guest.cells.get(node)
        if argument and len(argument.keys('type')) == 2 or cell and (
                _is_as_made(node, cell)):
            yield node


def _our_distances(guest, nodes, record):
    recorded = dict(one.split('=') for one in record.get('distances').split())
    for elements, pair, value in guest.distances():
        if nodes & {*pair} or recorded.get('{}-{}'.format(*pair)) == value:
            yield from elements


def _our_window(guest, record):
    given = record.get('window')
    hole, root = guest.root_hole(), guest.controllers.get(0)
    ours = [hole] if hole and given == str(guest.window()) else []
    yield from ours
    if record.get('root') and root and root.children == ours:
        yield root
    for argument, value in guest.window_arguments():
        if given == str(size(value, '', argument)) and (
                len(argument.keys('type')) == 1):
            yield from argument.elements


def _ours(guest, record):
    """The elements to take out; those that they leave bare go with them."""
    nodes = set(_our_nodes(guest, record))
    yield record
    for node in nodes:
        if node in guest.cells:
            yield guest.cells[node]
        else:
            yield from guest.node_arguments[node].elements
    yield from _our_distances(guest, nodes, record)
    yield from _our_window(guest, record)
    for hostdev in guest.hostdevs:
        if _is_on_ours(guest, hostdev):
            yield hostdev.element.find('address')


def _named(guest):
    """The elements with names of ours."""
    for device in guest.root.first('devices').children:
        if guest.alias(device).startswith(OURS):
            yield device if device.name == 'controller' else device.find('alias')
    for one in guest.root.all(f'{QEMU} override', f'{QEMU} device'):
        if one.get('alias').startswith(OURS):
            yield one
    for argument in guest.arguments:
        name = str(argument.keys('qom-type').get('id', [''])[0])
        if argument.option == '-object' and name.startswith(OURS):
            yield from argument.elements


def _is_on_ours(guest, hostdev):
    port = guest.controllers.get(hostdev.bus)
    return port is not None and guest.alias(port).startswith(OURS)


def had(guest):
    """The addresses of the GPUs that an earlier run gave something."""
    return {hostdev.source for hostdev in guest.hostdevs
            if hostdev.alias.startswith(OURS) or _is_on_ours(guest, hostdev)
            or guest.objects.get(hostdev.alias, ('',))[0].startswith(OURS)}


def strip(guest):
    """The domain as it was before."""
    record = guest.root.find('metadata', f'{RECORD} added')
    gone = list(_named(guest))
    if gone and not record:
        raise Mistake('<gpu-mem:added> is no longer in <metadata>: take out by '
                      f'hand what has a name with {OURS}, and the nodes of GPUs')
    try:
        gone += _ours(guest, record) if record else []
    except ValueError:
        raise Mistake('what is recorded in <metadata> was changed: take '
                      '<gpu-mem:added> out, and what it is about') from None
    for element in gone:
        element.gone = True
    for distances in guest.root.all('cpu', 'numa', 'cell', 'distances'):
        # libvirt also writes a cell's distance from itself
        if any(one.gone for one in distances.children) and all(
                one.gone or one.get('value') == '10'
                for one in distances.children):
            for one in distances.children:
                one.gone = True
    return guest.text.changed()
