# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of the guest's topology, drawn by hwloc's lstopo.

The guest's own lstopo tells what there is; the host's draws it.
"""

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import report

XML = 'topology.xml'        # as the guest wrote it
SVG = 'topology.svg'
PNG = 'topology.png'
FILES = (XML, SVG, PNG)
# hwloc's own SVG has text, where cairo's has the outlines of the letters.
FORMATS = {SVG: 'nativesvg', PNG: 'png'}

# Node numbers are the kernel's.  Left out is what says nothing here: caches,
# whose sizes QEMU does not tell, DMI's memory modules, the speeds of links,
# the ids of packages, which are offsets in a table, and a group around every
# node without CPUs.
LOOK = ('--physical', '--os-index-prefix', ' ', '--no-index=package',
        '--whole-io', '--no-collapse', '--no-attrs=bridge', '--no-caches',
        '--ignore', 'misc', '--ignore', 'group', '--no-default-legend')
COLOURS = ('#ffd27f', '#9ecbff', '#a5e0a0', '#e0b8f0')      # a GPU each
EMPTY = 'A node without a size has no memory yet'


def _mark(topology, gpu, colour):
    """Name and colour a GPU and its nodes."""
    nodes = [str(node) for node in gpu.nodes.values()]
    for thing in topology.iter('object'):
        if thing.get('pci_busid') == gpu.address:
            label = 'GPU'
        elif (thing.get('type') == 'NUMANode' and
              thing.get('os_index') in nodes):
            label = 'GPU node'
        else:
            continue
        thing.set('subtype', label)
        thing.insert(0, ElementTree.Element(
            'info', name='lstopoStyle', value=f'Background={colour}'))


def _legend(found):
    for gpu in found.gpus:
        nodes = report.node_list(gpu.nodes.values())
        yield (f'Nodes {nodes}: memory of GPU {gpu.address}, '
               'played by a gpu-mem-testdev')
    if not all(found.online_mb(node)
               for gpu in found.gpus for node in gpu.nodes.values()):
        yield EMPTY


def _mend(path):
    """Make an SVG of lstopo's one that any viewer can scale.

    A viewBox has no units: with them it is not one.  The license is for who
    puts the picture into a source tree.
    """
    with open(path) as file:
        svg = file.read()
    svg = re.sub(r"viewBox='0 0 (\d+)px (\d+)px'", r"viewBox='0 0 \1 \2'",
                 svg, count=1)
    svg = svg.replace(
        '\n', '\n<!--\nSPDX-License-Identifier: GPL-2.0-or-later\n-->\n', 1)
    with open(path, 'w') as file:
        file.write(svg)


def _draw(out, name, xml, legend):
    """Why there is no such file, or None."""
    try:
        done = subprocess.run(
            ['lstopo', '--if', 'xml', '--input', '-', *LOOK, *legend,
             '--force', '--of', FORMATS[name], name], cwd=out, input=xml,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False)
    except FileNotFoundError:
        return f'{name}: lstopo is not installed (package hwloc)'
    if done.returncode:
        said = done.stdout.split('\n', 1)[0]     # its whole usage follows
        return f'{name}: lstopo (package hwloc, not hwloc-nox) failed: {said}'
    if name == SVG:
        _mend(os.path.join(out, name))
    return None


def draw(out, found):
    """Leave the picture and its data in out; returns what failed."""
    with open(os.path.join(out, XML), 'w') as file:
        file.write(found.topology + '\n')
    try:
        topology = ElementTree.fromstring(found.topology)
    except ElementTree.ParseError as error:
        return [f'{XML}: what lstopo wrote in the guest is not XML: {error}']
    for index, gpu in enumerate(found.gpus):
        _mark(topology, gpu, COLOURS[index % len(COLOURS)])
    xml = ElementTree.tostring(topology, encoding='unicode')
    legend = [arg for line in _legend(found)
              for arg in ('--append-legend', line)]
    return [fault for name in FORMATS
            if (fault := _draw(out, name, xml, legend))]
