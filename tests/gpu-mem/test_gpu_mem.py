#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of qemu-gpu-mem on trees of sysfs, which hosts.py makes.

A case is a pair of files in cases/: NAME.args, and NAME.out with the status and
what is said, without distances.  --update writes the second ones anew.  What
"domain" makes of an XML file is also given to it again, and taken out again.
What is a line or two of a domain has a row here.  Most run in this process.
"""

import argparse
import contextlib
import difflib
import importlib.machinery
import importlib.util
import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CASES = os.path.join(HERE, 'cases')
PROGRAM = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')


def program():
    """The program as a module; others have modules with names of its."""
    before, path = {*sys.modules}, list(sys.path)
    loader = importlib.machinery.SourceFileLoader('qemu_gpu_mem', PROGRAM)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader('qemu_gpu_mem', loader))
    loader.exec_module(module)
    sys.path[:] = path
    for name in {*sys.modules} - before:
        if (getattr(sys.modules[name], '__file__', None) or '').startswith(
                os.path.dirname(PROGRAM)):
            del sys.modules[name]
    return module


TOOL = program()
sys.path.append(os.path.join(TOP, 'tests', 'guest'))

from checks import Failure, same    # noqa: E402
from hosts import DEVICES, HOSTS, NODES     # noqa: E402
from tap import Tap                 # noqa: E402


def run(*words, data=None):
    """Its status, what it prints, and what it says, in this process.

    DATA is what a FILE called - has.
    """
    if data is not None:
        with open('input.xml', 'wb') as file:
            file.write(data)
        words = [*words, 'input.xml']
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            made, notes, status = TOOL.main(words)
    except (TOOL.Mistake, OSError) as error:
        return 1, b'', f'qemu-gpu-mem: {error}\n'
    except SystemExit as end:
        return ((0, printed.getvalue().encode(), '') if not end.code
                else (1, b'', f'{end.code}\n'))
    return status, made, ''.join(
        f'qemu-gpu-mem: note: {note}\n' for note in notes)


def made_of(data, *words):
    """What "domain" makes of the bytes."""
    status, made, said = run('domain', *words, data=data)
    same('status', (status, said if status else ''), (0, ''))
    return made


def same_text(what, have, want):
    """Of bytes, so that only the lines that differ are shown."""
    same(what, '\n'.join(difflib.unified_diff(
        want.decode().splitlines(True), have.decode().splitlines(True),
        'wanted', 'made', n=0)), '')


def read(name):
    with open(os.path.join(CASES, name), 'rb') as file:
        return file.read()


# --- cases in files -------------------------------------------------------

def words_of(name):
    return [os.path.join(CASES, word) if word.endswith('.xml') else word
            for word in shlex.split(read(f'{name}.args').decode())]


def short(text):
    """Without distances, without what is recorded, and nodes as one line."""
    text = re.sub(r'(?m)^-numa dist,.*\n', '', text)
    text = re.sub(r"\n *<(\w+:)?arg value='-numa'/>\n *<(\w+:)?arg value='dist,"
                  ".*", '', text)
    text = re.sub(r"\n *<distances>(\n *<sibling.*)+\n *</distances>(\n *(?="
                  '</cell>))?', '...', text)
    text = re.sub(r"\{&quot;.*\}|\{\"options.*\}", '{...}', text)
    return re.sub(r'(-numa node,nodeid=\d+)(\n-numa node,nodeid=\d+)*'
                  r'\n-numa (node,nodeid=\d+)(?=\n)', r'\1 to \3', text)


def said(name):
    status, made, notes = run(*words_of(name))
    return short(f'status {status}\n{notes}{made.decode()}')


def golden(name):
    wanted = read(f'{name}.out').decode()
    same('differences', '\n'.join(difflib.unified_diff(
        wanted.splitlines(), said(name).splitlines(), f'{name}.out', 'said',
        lineterm='')), '')


def round_trip(name):
    *words, path = words_of(name)[1:]
    text = read(path)
    made = made_of(text, *words)
    same_text('made of what was made', made_of(made, *words), made)
    # The options of the last run hold
    words = [word for pair in zip(words[::2], words[1::2])
             if pair[0] in ('--sysfs', '--hostdev') for word in pair]
    same_text('made without options', made_of(made, *words), made)
    same_text('left of it', made_of(made, '--remove'), text)
    # With other line ends, and without any
    windows = made_of(_as_on_windows(text), *words_of(name)[1:-1])
    same_text('lines', windows, _as_on_windows(made))
    same_text('left of it', made_of(windows, '--remove'), _as_on_windows(text))
    line = re.sub(rb'\n\s*', b'', text)
    same_text('left of it', made_of(made_of(line, *words_of(name)[1:-1]),
                                    '--remove'), line)


def _as_on_windows(text):
    return text.replace(b'\n', b'\r\n').replace(b'  ', b'\t')


# --- distances ------------------------------------------------------------

# Their GPUs' nodes are not known, or not in the order of addresses
HOSTS_WITHOUT = {'alike', 'alike-own', 'uneven', 'own-nodes', 'one-of-two'}


def gpu_addresses(tree):
    return [card.address for card in tree.cards
            if 'physfn' not in card.links and re.match(
                '0x(23[4-7]|29[4-7]|31[c-f]|31a1)', card.device)]


def distances(name):
    """All are the host's, as arguments and as siblings."""
    tree = HOSTS[name]
    cards = gpu_addresses(tree)
    status, made, notes = run('args', '--sysfs', name, '--gpu-mem', '96G',
                              *cards)
    same('status', (status, 'no distances' in notes), (0, False))
    wanted = {(src, dst): tree.distance(src, dst) for src in range(tree.total())
              for dst in range(src + 1, tree.total())}
    same('arguments', {(int(src), int(dst)): int(value) for src, dst, value in
                       re.findall(r'dist,src=(\d+),dst=(\d+),val=(\d+)',
                                  made.decode())}, wanted)
    cells = ''.join(f"<cell id='{node}' cpus='{node}' memory='1' unit='GiB'/>"
                    for node in range(tree.sockets))
    hostdevs = ''.join(
        "<hostdev type='pci'><source><address domain='0x{}' bus='0x{}' "
        "slot='0x{}' function='0x{}'/></source></hostdev>".format(
            *re.split('[:.]', card)) for card in cards)
    made = made_of(f'''<domain><features><acpi/></features>
        <cpu><numa>{cells}</numa></cpu>
        <devices>{hostdevs}</devices></domain>'''.encode(), '--sysfs', name,
        '--gpu-mem', '96G').decode()
    found = {}
    for cell, inner in re.findall(
            r"(?s)<cell id='(\d+)'(?:[^/>]*/>|(.*?)</cell>)", made):
        found.update({(int(other), int(cell)): int(value) for other, value in
                      re.findall(r"<sibling id='(\d+)' value='(\d+)'", inner)})
    same('siblings', found, {pair: value for pair, value in wanted.items()
                             if value != 20})


def same_node():
    """two nodes that stand for one of the host's are as near as can be"""
    made = run('args', '--sysfs', 'gh200', '--nodes', '1', '--host-nodes', '0,0',
               '0009:01:00.0')[1].decode()
    same('distances', re.findall('src=(.),dst=(.),val=(.*)', made),
         [('0', '1', '11'), ('0', '2', '80'), ('1', '2', '80')])


# --- what others take for the contract of a Grace guest -------------------

# The shapes of kata's runtime-rs ARCHITECTURE.md: the nodes with CPUs, for each
# host bridge its node and its GPUs, and the size of each socket's EGM in MiB.
# Shape 4 is shape 2 with a network card, which is for the user to add.
#
# What differs from kata has a reason:
# - the object stands for 8 acpi-generic-initiator, and for acpi-egm-memory
# - pasid=on is of NVIDIA's fork; ssidsize=20 is QEMU's own
# - ports reserve what Linux 6.1 wants of them, and the window holds that: 8T
#   for four GB200, where kata has 4T
# - cmdqv is not given, for QEMU 11.1 finds it out; memory in huge pages is for
#   the user to give
# - buses are numbered from 128 on, so that other bridges may come before them
# KubeVirt's domain is cases/domain-kubevirt: its initiators (<acpi>), window and
# places are kept, and the object, the SMMU's ssidsize and oas are as VEP-199 has
# them.
KATA = {
    'kata-1': (1, [(0, ['0008'])], None),
    'kata-2': (1, [(0, ['0008']), (0, ['0009']), (0, ['0010']), (0, ['0011'])],
               None),
    'kata-3': (1, [(0, ['0008', '0009']), (0, ['0010', '0011'])], None),
    'kata-5': (1, [(0, ['0008'])], None),
    'kata-6': (4, [(0, ['0008']), (1, ['0009']), (2, ['0010']), (3, ['0011'])],
               56896),
    'kata-7': (2, [(0, ['0008', '0009']), (1, ['0010', '0011'])], 56896),
}


def kata(name, cpu_nodes, bridges, egm):
    """A bridge for each SMMU, near its node, with a port for each GPU."""
    args = run(*words_of(name))[1].decode()
    found = []
    for pxb, node in re.findall(r'-device pxb-pcie,id=(.*?),.*numa_node=(.*)',
                                args):
        same('SMMUs', len(re.findall(
            f'-device arm-smmuv3,.*primary-bus={pxb},accel=on' + (
                '$' if name == 'kata-5' else ',ats=on,ril=off,oas=48,'), args,
            re.MULTILINE)), 1)
        ports = re.findall(f'-device pcie-root-port,id=(.*),bus={pxb},.*'
                           'io-reserve=0', args)
        found.append((int(node), [
            host for port in ports for host in re.findall(
                f'-device vfio-pci-nohotplug,host=(....):06:00.0,bus={port},'
                'rombar=0,id=.*,iommufd=gpu-iommufd', args)]))
    same('bridges', found, bridges)
    same('IOMMUFD', args.count('-object iommufd,'), 1)
    count = sum(len(gpus) for _, gpus in bridges)
    same('nodes', re.findall(r'nodeset=(\d+)-(\d+)', args), [
        (str(cpu_nodes + 8 * gpu), str(cpu_nodes + 8 * gpu + 7))
        for gpu in range(count)])
    if egm:
        same('EGM', re.findall(r'mem-path=/dev/egm(\d),size=(\d+)M', args),
             [(str(4 + node), str(egm)) for node in range(cpu_nodes)])
        same('nodes of EGM', re.findall(r'egm-node=(\d)', args), [
            str(node) for node, gpus in bridges for _ in gpus])


# --- rows: what is wrong in a domain --------------------------------------

# Arguments, what is replaced in domain-plain.xml, by what, and what is said
CPU = "<cpu mode='host-passthrough'/>"
END = '</domain>'
HOSTDEV = "<rom bar='off'/>"
QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0'


def qemu_args(*words):
    return (f"<commandline xmlns='{QEMU}'>" +
            ''.join(f"<arg value='{word}'/>" for word in words) +
            '</commandline></domain>')


WRONG = (
    ('', END, '', 'this is no XML: no element found: line 19, column 0'),
    ('', '<', '\0<', 'this is no XML in UTF-8'),
    ('', "<domain type='kvm'>",
     "<?xml version='1.0' encoding='foo'?>\n<domain>",
     'this is no XML: unknown encoding: foo'),
    ('', "<domain type='kvm'>",
     "<!DOCTYPE domain [<!ENTITY e '<a/>'>]><domain type='kvm'>&e;",
     'elements from an entity are not understood: write them out, as '
     '"xmllint --noent" does'),
    ('', 'domain', 'pool', '<pool> is no <domain>: give what "virsh dumpxml '
     '--inactive --security-info" prints'),
    ('', "type='kvm'", "type='kvm' id='3'", 'this is a running domain: give '
     'what "virsh dumpxml --inactive --security-info" prints'),
    ('', 'aarch64', 'x86_64', 'its machine is x86_64 virt: GPUs with coherent '
     'memory need aarch64 virt'),
    ('', '0x0009', '0x000a', '000a:01:00.0: this host has no such PCI device; '
     'if it is no GPU, name those that are by --hostdev'),
    ('--hostdev 000a:01:00.0', '0x0009', '0x000a', '000a:01:00.0: this host '
     'has no such PCI device; "qemu-gpu-mem show" lists its GPUs'),
    ('--sysfs nic', "domain='0x0009' bus='0x01'", "domain='0' bus='3'",
     'the domain has no <hostdev> that is known to be a GPU with coherent '
     'memory; --hostdev and --gpu-mem take others'),
    ('--sysfs vfs', "function='0x0'", "function='0x1'",
     'the domain has no <hostdev> that is known to be a GPU with coherent '
     'memory; --hostdev and --gpu-mem take others'),
    ('--sysfs vera', '', '', '0009:01:00.0 is a CXL device, which vfio passes '
     'through only with patches that Linux has not merged'),
    ('--hostdev ua-no', '', '', '--hostdev ua-no: no <hostdev> of a PCI device '
     'has this alias or address'),
    ('--sysfs nic --hostdev 0000:03:00.0', "domain='0x0009' bus='0x01'",
     "domain='0' bus='3'", '0000:03:00.0 is not known to be a GPU with '
     'coherent memory; if it is one, give the size of the memory by --gpu-mem'),
    ('--nodes 128', '', '', '1 nodes of the domain and 128 for each of 1 GPUs '
     'are 129, but QEMU has 128: take fewer by --nodes'),
    ('', HOSTDEV, "<alias name='hostdev0'/>", '0009:01:00.0: libvirt drops the '
     'alias hostdev0: call it ua-hostdev0, or take it out'),
    ('', HOSTDEV, "<alias name='ua-a,b'/>", '0009:01:00.0: libvirt drops the '
     'alias ua-a,b: call it ua-a-b, or take it out'),
    ('', '<acpi/>', '', 'the domain has no <acpi/> in <features>: without it '
     'the guest is told of no nodes'),
    ('--libvirt 9.0.0', '', '', "libvirt before 9.7 can't pass a GPU through "
     'with nvgrace_gpu_vfio_pci: take a newer one, or "qemu-gpu-mem args"'),
    ('', '</devices>', "<hostdev type='pci'><source><address domain='9' "
     "bus='1'/></source></hostdev></devices>",
     '0009:01:00.0 is in two <hostdev>: take one out'),
    ('', HOSTDEV, "<acpi nodeset='0-7'/>", '0009:01:00.0 has nodes that the '
     'domain has not: give it a <cell> for each, or leave them out'),
    ('', HOSTDEV, "<acpi nodeset='0,2'/>", '<acpi> of 0009:01:00.0 has the '
     'nodes 0,2: number them on from 0, each once'),
    ('', HOSTDEV, "<acpi nodeset='9-2'/>", "<acpi> of 0009:01:00.0 has the "
     "nodes '9-2': write them as 2-9"),
    ('', HOSTDEV, "<address type='unassigned'/>", 'the domain has no <hostdev> '
     'that is known to be a GPU with coherent memory; --hostdev and --gpu-mem '
     'take others'),
    ('', CPU, "<cpu><numa><cell id='0'/><cell id='2'/></numa></cpu>",
     'the domain has the nodes 0,2: number them on from 0, each once'),
    ('', '>4<', '><', "<vcpu> is '': write a number there"),
    ('', END, qemu_args('-object'),
     '-object has no value: write it, or take the argument out'),
    ('', "<memory unit='GiB'>16", "<memory unit='b'>16", 'a node for all CPUs '
     'and memory would have none: give the domain a <vcpu>, and <memory> '
     'beside that of devices'),
    ('', END, qemu_args('-numa', 'cpu,node-id=0'),
     "-numa cpu,node-id=0: give a node's CPUs as <cell cpus=''>"),
    ('', END, qemu_args('-numa', 'node,cpus=0'),
     "nodeid of -numa node,cpus=0 is '': write a number there"),
    ('', END, qemu_args('-object', 'nvidia-gpu-mem-acpi,devid=ua-a'),
     "-object nvidia-gpu-mem-acpi,devid=ua-a has the nodes '': write them as "
     '2-9'),
    ('', END, qemu_args('-object', '{"qom-type":"nvidia-gpu-mem-acpi",'
                        '"devid":[]}'),
     '-object {"qom-type":"nvidia-gpu-mem-acpi","devid":[]} has the nodes '
     "'': write them as 2-9"),
    ('', END, qemu_args('-machine', '{"highmem-mmio-size":{}}'),
     '-machine {"highmem-mmio-size":{}} is \'{}\': write a size there, such as '
     '96G'),
    ('', END, qemu_args('-object', '{}}'),
     '-object {}} is no JSON: write it as QEMU takes it'),
    ('', '<devices>', '<devices>' + ''.join(
        f"<controller type='pci' index='{bus}'><target busNr='{bus}'/>"
        '</controller>' for bus in range(128, 254, 8)),
     'no bus number is left for a GPU: choose fewer by --hostdev'),
    ('', '</name>',
     '</name><metadata><added xmlns="urn:qemu-gpu-mem">{}</added>'
     '</metadata>', 'what is recorded in <metadata> was changed: take '
     '<gpu-mem:added> out, and what it is about'),
    ('', '</name>', '</name><metadata><added xmlns="urn:qemu-gpu-mem">{"options":'
     '{"nodes":"8"},"written":{}}</added></metadata>', 'what is recorded in '
     '<metadata> was changed: take <gpu-mem:added> out, and what it is about'),
    ('--remove', HOSTDEV, "<alias name='ua-gpu-mem-gpu0'/>",
     '<gpu-mem:added> is no longer in <metadata>: take out by hand what has a '
     'name with ua-gpu-mem-, and the nodes of GPUs'),
)


def refuses(arguments, old, new, message):
    text = read('domain-plain.xml').decode().replace(old, new)
    same('what is said', run('domain', '--sysfs', 'gh200', *arguments.split(),
                             data=text.encode()),
         (1, b'', f'qemu-gpu-mem: {message}\n'))


# --- rows: what is right --------------------------------------------------

CELLS = """<cpu><numa>
      <cell id="0" cpus="0-1" memory="8" unit="GiB"%s
      <cell id="1" cpus="2-3" memory="8" unit="GiB"%s
    </numa></cpu>"""
DISTANCE = '><distances><sibling id="%d" value="%d"/></distances></cell>'
TWO = CELLS % ('/>', '/>')
# From <cpu> on; the <hostdev> is in two parts, around its domain on the host
GPU = (r"(?s)<cpu[^>]*>(.*?)(<hostdev.*?)0x0009(.*?)<rom bar='off'/>"
       '(.*</hostdev>)')

# What is to be so, further arguments, a pattern in domain-plain.xml and what is
# there instead, the same for what is made of that, and parts of what is said
# then, or with ! of what is not said
ROWS = (
    ('without a GPU all is taken out', '', '', '', '(?s)<hostdev.*</hostdev>',
     '',
     'the domain has no GPU any more: what was added for GPUs is taken out\n'
     "<domain type='kvm'>\n  <name>"),
    ('a pair has two distances: all are given for both directions',
     '--libvirt 11', CPU, CELLS % (DISTANCE % (1, 21), DISTANCE % (0, 31)),
     '', '', "<qemu:arg value='dist,src=0,dst=2,val=80'/>\n"
     "    <qemu:arg value='-numa'/>\n"
     "    <qemu:arg value='dist,src=2,dst=0,val=80'/>"),
    ('a cell that is not bound stands for a node to which none is', '', CPU,
     "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>"
     + TWO,
     '', '', '<node>1</node>'),
    ('what is only assumed of a cell is said', '', CPU, TWO, '', '',
     "node 0 is taken for the host's 0, node 1 is taken for the host's 1: "
     '<numatune> or <vcpupin> says it if that is wrong'),
    ('node 0 has the CPUs if no cell says so', '', CPU,
     re.sub('cpus=".*?" ', '', TWO), '', '', '<node>0</node>'),
    ('an argument gives a node its CPUs', '', END,
     qemu_args('-numa', 'node,nodeid=0', '-numa', 'node,nodeid=1,cpus=0-3'), '',
     '', '<node>1</node>'),
    ('an option may begin with two dashes; arguments are named as in it',
     '', END, qemu_args('--numa', 'node,nodeid=0'), '', '',
     "<arg value='node,nodeid=0'/><arg value='-numa'/>"),
    ("a GPU's nodes have no CPUs", '', GPU, TWO + r"\1\g<2>0x0009\3"
     "<acpi nodeset='1'/>\\4", '', '', '0009:01:00.0 has nodes that have CPUs, '
     "or are another GPU's: give it nodes of its own"),
    ('no node is that of two GPUs', '', GPU,
     CELLS % ('/>', "/><cell id='2' memory='0'/>") + r'\1' + ''.join(
         rf"\g<2>{at}\3<acpi nodeset='2'/>\4" for at in ('0x0009', '0x0019')),
     '', '', "0019:01:00.0 has nodes that have CPUs, or are another GPU's"),
    ('the first child with a line shows the indent', '', r'\n  <name>',
     '<name>',
     '', '', f"\n  <qemu:override xmlns:qemu='{QEMU}'>\n    <qemu:device"),
    ('a comment stays with what it is about', '', CPU,
     CELLS % ('/>', '/> <!-- the second -->'), '', '',
     " <!-- the second -->\n      <cell id='2'"),
    # Pins
    ('all CPUs are pinned to one node', '', '<os>',
     "<cputune><vcpupin vcpu='0' cpuset='72'/>"
     "<vcpupin vcpu='1' cpuset='73-75'/><vcpupin vcpu='2' cpuset='72-143'/>"
     "<vcpupin vcpu='3' cpuset='75'/></cputune>"
     '<os>', '', '', "<sibling id='0' value='120'/>"),
    ('the vCPUs are on one node', '', '<vcpu>', "<vcpu cpuset='72-80'>", '', '',
     "near the host's node 0: none of the guest's nodes with CPUs stands for"),
    ('a pin to two nodes says nothing', '', '<vcpu>', "<vcpu cpuset='71-72'>",
     '',
     '', "node 0 is taken for the host's 0:"),
    ('a pin with an exception says nothing', '', '<vcpu>',
     "<vcpu cpuset='72-143,^80'>", '', '', "node 0 is taken for the host's 0:"),
    ('a bridge is no longer near a node for which none stands', '', '', '',
     '<os>', "<numatune><memory mode='strict' nodeset='1'/></numatune><os>",
     "<target busNr='128'/>", '!<node>'),
    ('a bridge is near a node for which one stands now', '', '<os>',
     "<numatune><memory mode='strict' nodeset='1'/></numatune><os>",
     "nodeset='1'", "nodeset='0'", '<node>0</node>'),
    # What is the user's
    ('a larger window of the user stays, and where it is', '', '', '',
     '>2147483648<', '>4294967296<',
     'from now on: hole', '>4294967296<'),
    ('what is written to the only cell stays', '', '', '',
     "memory='16'", "memory='16' memAccess='shared'",
     'from now on: cell 0', "memAccess='shared' unit='GiB'/>"),
    ('the only cell follows the memory', '', '', '',
     r"(?<=<memory unit='GiB'>)16",
     '32', "<cell id='0' cpus='0-3' memory='33554432' unit='KiB'/>"),
    ('it is less the memory devices', '', '', '',
     "16</memory>(?s:(.*))</devices>",
     r"18</memory>\1<memory model='dimm'><target><size unit='GiB'>2</size>"
     '</target>'
     '</memory></devices>', "<cell id='0' cpus='0-3' memory='16'"),
    ('a cell of the user above stays, and so does that below', '', CPU, TWO,
     '</numa>', "<cell id='3'/></numa>", "<cell id='3'/>"),
    ('a changed distance is the user\'s', '', '', '', "id='0' value='80'",
     "id='0' value='90'", 'from now on: sibling 0-1', "id='0' value='90'"),
    ('a changed bus number is the user\'s', '', '', '', "busNr='128'",
     "busNr='192'", 'from now on: bridge ua-gpu-mem-pxb0', "busNr='192'"),
    ('a changed reserve is the user\'s', '', '', '', "value='1099511627776'",
     "value='2199023255552'", 'from now on: reserve ua-gpu-mem-port0',
     "value='2199023255552'"),
    ('an object is known by its device, and is the user\'s', '', '', '',
     'id=ua-gpu-mem-mem0,(.*)nodeset=1-1', r'id=mine,\1nodeset=1,'
     'generic-initiator=on', 'from now on: object ua-gpu-mem-gpu0',
     "value='nvidia-gpu-mem-acpi,id=mine,devid=ua-gpu-mem-gpu0,nodeset=1,"
     "generic-initiator=on'"),
    ('names without a record are the user\'s', '', '', '', '<gpu-mem:added.*',
     '', "<alias name='ua-gpu-mem-gpu0'/>"),
    ('what is taken out by hand is added again', '', '', '',
     r"\n *<qemu:arg value='-object'/>\n.*", '', "devid=ua-gpu-mem-gpu0"),
    # IOMMUFD and the SMMU
    ('an attribute is added to the user\'s driver', '--qemu-version 10.0', '',
     '',
     '', '', "<driver model='nvgrace_gpu_vfio_pci' iommufd='yes'/>"),
    ('no driver of the user\'s', '--qemu-version 10.0', r' *<driver.*\n', '',
     '', '', "managed='yes'>\n      <driver iommufd='yes'/>\n      <source>"),
    ('an SMMU, all by itself', '--qemu-version 11.1', '', '', '', '',
     "<driver pciBus='1' accel='on'/>"),
    ('an SMMU with what it takes', '--qemu-version 11.0', '', '', '', '',
     "<driver pciBus='1' accel='on' ats='on' ril='off' oas='48' "
     "ssidsize='20'/>"),
    ('an SMMU of an older machine type', '--qemu-version 11.1', "'virt'",
     "'virt-11.0'", '', '',
     "<driver pciBus='1' accel='on' ats='on' ril='off' oas='48' "
     "ssidsize='20'/>"),
    ('an SMMU of a stored machine type', '--qemu-version 11.1', "'virt'",
     "'virt-11.1'", '', '', "<driver pciBus='1' accel='on'/>"),
    ('an SMMU that libvirt completed is as written', '--qemu-version 11.1', '',
     '',
     "accel='on'/>", "accel='on' ats='auto'/>", "accel='on' ats='auto'/>", '!from now on'),
    ('libvirt without an accelerated SMMU',
     '--qemu-version 11.1 --libvirt 12.6',
     '', '', '', '', "iommufd='yes'/>", 'no SMMU is written, so that the guest '
     'has no ATS: libvirt before 12.7 has no accelerated SMMU', '!pciBus'),
    ('libvirt without IOMMUFD', '--qemu-version 11.1 --libvirt 12.0', '', '',
     '',
     '', 'neither IOMMUFD nor an SMMU is written, so that the guest has no '
     'ATS: libvirt before 12.1 has no IOMMUFD'),
    ('--no-smmu', '--qemu-version 11.1 --no-smmu', '', '', '', '',
     "iommufd='yes'/>", '!<iommu'),
    ('--no-iommufd', '--qemu-version 11.1 --no-iommufd', '', '', '', '',
     '!iommufd='),
    ('a plain <iommu> is named', '--qemu-version 11.1', '</devices>',
     "<iommu model='smmuv3'/></devices>", '', '',
     "the domain has <iommu model='smmuv3'/> for the whole machine", '!pciBus'),
    ('a bridge\'s <iommu> that the user changed stays',
     '--qemu-version 11.1', '', '', "accel='on'/>", "accel='off'/>",
     'from now on: smmu 1', "<driver pciBus='1' accel='off'/>", "!accel='on'"),
    ('IOMMUFD that the user switched off', '--qemu-version 11.1', "vfio_pci'/>",
     "vfio_pci' iommufd='no'/>", '', '', "iommufd='no'", '!pciBus'),
    ('IOMMUFD of the whole domain', '--qemu-version 11.1', '<os>',
     "<iommufd enabled='yes'/><os>", '', '', "pciBus='1'", "!iommufd='yes'"),
    # Places
    ('a place on the root bus has room', '', HOSTDEV,
     "<address type='pci' bus='0x00' slot='0x04'/>", '', '',
     'keeps its place behind pcie.0, where it is near no node: --place'),
    ('a place on a port there too', '', HOSTDEV,
     "<address type='pci' bus='0x01' slot='0x00'/>", '', '',
     'keeps its place behind pcie.0, where it is near no node: --place'),
    ('a place below a bridge has none', '', HOSTDEV + r'\s*</hostdev>',
     "<address type='pci' bus='0x02' slot='0x00'/></hostdev>"
     "<controller type='pci' index='1' model='pcie-expander-bus'>"
     "<target busNr='128'/></controller>"
     "<controller type='pci' index='2' model='pcie-root-port'>"
     "<address type='pci' bus='0x01' slot='0x00'/></controller>", '', '',
     'no room reserved for its memory (pref64-reserve): --place moves it'),
    ('--place moves it', '--place', HOSTDEV, "<address type='pci' "
     "domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>", '', '',
     "<address type='pci' domain='0x0000' bus='0x02' slot='0x00' "
     "function='0x0'/>",
     '!pref64-reserve):'),
    ('a place that is taken out by hand comes again', '', '', '',
     r" *<address type='pci' bus='0x02' slot='0x00'/>\n", '',
     "<address type='pci' bus='0x02' slot='0x00'/>", "!'0x03'"),
    ('a GPU that was placed is not moved again', '--place', '', '', '', '',
     "<address type='pci' bus='0x02' slot='0x00'/>"),
    # The window
    ('a small window that is enough is no matter', '',
     "<controller|(?=<hostdev)",
     "<controller type='pci' index='0' model='pcie-root'><pcihole64 unit='GiB'>"
     '1024</pcihole64></controller>', '', '', '!window'),
    ('one that is too small is', '', "(?=<hostdev)",
     "<controller type='pci' index='0' model='pcie-root'><pcihole64 unit='GiB'>"
     '512</pcihole64></controller>', '', '', 'the window for BARs is 512G, but '
     'these GPUs need 1024G'),
    ('EGM of the host', '--sysfs egm-file', '', '', '', '', "0009:01:00.0: the "
     "host has EGM for it, /dev/egm4, which libvirt can't give a cell"),
)


def row(arguments, old, new, old_made, new_made, *messages):
    arguments = ['--sysfs', 'gb200', '--libvirt', '12.8', '--nodes', '1',
                 *arguments.split()]
    text = changed(read('domain-plain.xml').decode(), old, new)
    if old_made:
        text = changed(made_of(text.encode(), *arguments).decode(), old_made,
                       new_made)
    status, made, notes = run('domain', *arguments, data=text.encode())
    for message in messages:
        if message.startswith('!'):
            same('what is said', message[1:] in notes + made.decode() and
                 notes + made.decode(), False)
        else:
            same('what is said', message in notes + made.decode() or
                 notes + made.decode(), True)
    if not old_made and not status:
        same_text('made of what was made', made_of(made, *arguments), made)
        same_text('left of it', made_of(made, '--remove'), text.encode())


def changed(text, old, new):
    text, times = re.subn(old, new, text, count=1 if old else 0)
    same('times that it is replaced', times and 1, 1)
    return text


# What is empty, in each form, is so again
EMPTY = (
    ('metadata', r'</name>', '</name>\n  <metadata></metadata>'),
    ('metadata in one tag', r'</name>', '</name>\n  <metadata/>'),
    ('cpu', CPU, CPU.replace('/>', '></cpu>')),
    ('cpu with a line', CPU, CPU.replace('/>', '>\n</cpu>')),
    ('cpu with its indent', CPU, CPU.replace('/>', '>\n  </cpu>')),
    ('pcie-root', '(?=<hostdev)', "<controller type='pci' index='0' "
     "model='pcie-root'></controller>\n    "),
    ('cells', CPU, CELLS.replace('%s', '></cell>')),
    ('commandline', END, f"<commandline xmlns='{QEMU}'/>\n</domain>"),
)


def empty(old, new):
    text = changed(read('domain-plain.xml').decode(), old, new)
    arguments = ('--sysfs', 'gb200', '--nodes', '1')
    made = made_of(text.encode(), *arguments)
    same_text('made of what was made', made_of(made, *arguments), made)
    same_text('left of it', made_of(made, '--remove'), text.encode())


# --- what is kept, in several steps ---------------------------------------

def later():
    """a GPU that is added later gets nodes and a bridge after those there"""
    data, host = read('domain-four.xml'), ('--sysfs', 'gb200', '--nodes', '2')
    one = made_of(data, *host, '--hostdev', '0018:01:00.0').decode()
    two = made_of(one.encode(), *host, '--hostdev', '0008:01:00.0').decode()
    same('nodes', [re.findall(r'devid=(\S+),nodeset=(\S+)\'', short(text))
                   for text in (one, two)],
         [[('ua-gpu-mem-gpu0', '2-3')],
          [('ua-gpu-mem-gpu0', '2-3'), ('ua-gpu-mem-gpu1', '4-5')]])
    left = one.split('</gpu-mem:added>')[0].split('<gpu-mem:added')[0]
    for line in left.splitlines():
        same('a line is kept', line in two or line, True)
    same_text('what is left', made_of(two.encode(), '--remove'), data)


def goes():
    """what belongs to a GPU that is gone goes; nodes below others stay"""
    data, host = read('domain-four.xml'), ('--sysfs', 'gb200', '--nodes', '1')
    made = made_of(data, *host).decode()
    for address, cells in (('0x0008', 6), ('0x0019', 5)):
        text = re.sub(rf'(?s)<hostdev(?:(?!</hostdev).)*{address}.*?</hostdev>',
                      '', made)
        _, left, notes = run('domain', *host, data=text.encode())
        left = left.decode()
        same('what is said', 'no <hostdev>' in notes, False)
        same(f'cells without {address}', left.count('<cell '), cells)
        same('objects, ports, bridges', [short(left).count(word) for word in (
            'nvidia-gpu-mem-acpi', 'ua-gpu-mem-port', "'pcie-expander-bus'")],
             [3, 6, 3])
    # The nodes of the first one are free again
    again = made_of(made_of(re.sub(
        r'(?s)(<hostdev(?:(?!</hostdev).)*?)0x0008', r'\g<1>0x0018', re.sub(
            r'(?s)<hostdev(?:(?!</hostdev).)*0x0018.*?</hostdev>', '', made, 1),
        1).encode(), *host), *host).decode()
    same('nodes', sorted(re.findall(r'nodeset=(\S+)\'', short(again))),
         ['2-2', '3-3', '5-5'])


def in_use():
    """what the user has put on a bridge keeps it, and so does a window its root"""
    made = made_of(read('domain-plain.xml'), '--sysfs', 'gb200').decode()
    text = changed(made, '</devices>', "<controller type='pci' index='9' "
                   "model='pcie-root-port'><address type='pci' bus='0x01' "
                   "slot='0x05'/></controller></devices>")
    text = changed(text, '>2147483648<', '>4294967296<')
    left = made_of(text.encode(), '--remove').decode()
    same('left', [left.count(word) for word in (
        'gpu-mem-pxb', 'gpu-mem-port', "'pcie-root'", 'pcihole64', '<cell')],
         [1, 0, 1, 2, 0])


def names_what_is_ours():
    """what the user's object and <iommu> name stays when the rest goes"""
    text = changed(read('domain-plain.xml').decode(), CPU, TWO)
    made = made_of(text.encode(), '--sysfs', 'gb200', '--qemu-version', '11.1')
    left = made_of(changed(changed(
        made.decode(), 'id=ua-gpu-mem-mem0(.*)nodeset=2-9',
        r'id=mine\1nodeset=2-3'), "(<driver pciBus='1') accel='on'",
        r"\1 accel='off'").encode(), '--remove').decode()
    same('left', [left.count(word) for word in (
        "alias name='ua-gpu-mem-gpu0'", 'ua-gpu-mem-pxb0', 'ua-gpu-mem-port0',
        '<cell ', 'iommufd')], [1, 1, 0, 4, 0])
    acpi = changed(made.decode(), 'hostdev mode(.*)',
                   r"hostdev mode\1<acpi nodeset='0,2-5'/>")
    left = made_of(acpi.encode(), '--remove').decode()
    same('cells for <acpi>', left.count('<cell '), 6)


def fewer_nodes():
    """another --nodes changes the object and the cells, and the window stays"""
    data, host = read('domain-plain.xml'), ('--sysfs', 'gb200')
    eight = made_of(data, *host).decode()
    one = made_of(eight.encode(), *host, '--nodes', '1').decode()
    same('fewer', short(one),
         short(made_of(data, *host, '--nodes', '1').decode()))
    same('more', short(made_of(one.encode(), *host, '--nodes', '8').decode()),
         short(eight))


def options_hold():
    """options of the last run hold, those that are given anew change"""
    data, host = read('domain-plain.xml'), ('--sysfs', 'gb200')
    first = made_of(data, *host, '--nodes', '1', '--no-smmu', '--qemu-version',
                    '11.1', '--gpu-mem', '64G')
    same_text('again', made_of(first, *host), first)
    second = made_of(first, *host, '--nodes', '2').decode()
    same('what is changed', [word in second for word in (
        'nodeset=1-2', "value='549755813888'", "iommufd='yes'", '<iommu ')],
         [True, True, True, False])


def grows():
    """the window grows with the GPUs"""
    data, host = read('domain-four.xml'), ('--sysfs', 'gb200', '--nodes', '1')
    one = made_of(data, *host, '--hostdev', '0018:01:00.0')
    four = made_of(one, *host)
    same('windows', [re.findall(rb'<pcihole64.*>(\d+)<', text) for text in
                     (one, four)], [[b'2147483648'], [b'8589934592']])


def upgraded():
    """another version of libvirt changes arguments into cells, and back"""
    data, host = read('domain-plain.xml'), ('--sysfs', 'gb200', '--nodes', '2')
    old, new = (made_of(data, *host, '--libvirt', version) for version in
                ('11.3', '12.8'))
    for text, version, wanted in ((old, '12.8', new), (new, '11.3', old)):
        made = made_of(text, *host, '--libvirt', version)
        for line in wanted.decode().splitlines():
            if 'gpu-mem:added' not in line:
                same('a line', line in made.decode() or line, True)
        same('left of it', made_of(made, '--remove'), data)


def joined():
    """GPUs whose SMMU is only known later come to share a host bridge"""
    data, words = read('domain-shared.xml'), ('--nodes', '1', '--sysfs')
    apart = made_of(data, *words, 'kata-2')
    made = made_of(apart, *words, 'kata-3').decode()
    same('bridges and ports', [
        (text.count("'pcie-expander-bus'"), text.count("'pcie-root-port'"))
        for text in (apart.decode(), made)], [(4, 4), (2, 4)])
    same('ports of each bridge', sorted(re.findall(
        r"port\d'/>\n *<address type='pci' bus='(0x..)' slot='(0x..)'", made)),
         [('0x01', '0x00'), ('0x01', '0x01'), ('0x07', '0x00'),
          ('0x07', '0x01')])
    same_text('again', made_of(made.encode(), *words, 'kata-3'), made.encode())
    same_text('left of it', made_of(made.encode(), '--remove'), data)


def moved_back():
    """what --place moved is where it was again"""
    text = read('domain-plain.xml').decode().replace(
        HOSTDEV, "<address type='pci' domain='0x0000' bus='0x05' slot='0x00' "
        "function='0x0'/>")
    made = made_of(text.encode(), '--sysfs', 'gb200', '--place')
    same('again', made_of(made, '--sysfs', 'gb200'), made)
    same('left of it', made_of(made, '--remove').decode(), text)


def old_record(name, tree, *words):
    """Of a domain that libvirt stored, with what version 1 gave it."""
    text, words = read(f'{name}.xml'), ('--sysfs', tree, *words)
    made = made_of(text, *words)
    same_text('made of what was made', made_of(made, *words), made)
    same('objects', short(made.decode()).count('nvidia-gpu-mem-acpi'), 1)
    same('cells', made.count(b'<cell '), text.count(b'<cell '))
    for one in (text, made):
        left = made_of(one, '--remove').decode()
        for word in ('gpu-mem', "<cell id='2'", 'sibling', 'pref64-reserve',
                     'expander-bus\'>\n      <model name=\'pxb-pcie\'/>\n      '
                     '<target busNr=\'128\'>'):
            if word != 'gpu-mem' or 'qemu-system-aarch64-gpu-mem' not in left:
                same('left', word in left and word, False)


V1 = ("<metadata>\n    <gpu-mem:added xmlns:gpu-mem='urn:qemu-gpu-mem' "
      "nodes='0-8' root='yes'/>\n  </metadata>\n  ")


def version_1(text):
    """What version 1 would have recorded of a domain with a cell."""
    return re.sub(r'(?s)<metadata>.*</metadata>\n', V1, text)


def v1_domain():
    return version_1(made_of(read('domain-plain.xml'), '--sysfs',
    'gh200').decode())


# A domain of version 1: what is changed by hand, arguments, what is then there
V1_ROWS = (
    ('a memory device does not make the cell grow',
     '16</memory>(?s:(.*))</devices>',
     r"18</memory>\1<memory model='dimm'><target><size unit='GiB'>2</size>"
     '</target>'
     '</memory></devices>', '--sysfs gh200', "<cell id='0' cpus='0-3' "
     "memory='16' unit='GiB'/>"),
    ('the user\'s own object is not doubled',
     'id=ua-gpu-mem-mem0,(.*)nodeset=1-8',
     r'id=mine,\1nodeset=1-8,generic-initiator=off', '--sysfs gh200',
     'id=mine,',
     '!ua-gpu-mem-mem0', '!no <hostdev> has'),
    ('the user\'s cell stays', "cpus='0-3' memory='16'",
     "cpus='0-1' memory='12'", '--sysfs gh200',
     "cpus='0-1' memory='12'", 'from now on: cell 0'),
    ('the user\'s cell stays when all is taken out',
     "cpus='0-3' memory='16'", "cpus='0-1' memory='12'", '--remove',
     "cpus='0-1' memory='12'", "!<cell id='1'"),
    ('a cell that is in use stays, and those below it', "id='3' memory='0'",
     "id='3' memory='1' unit='GiB'", '--remove', "<cell id='0' cpus='0-3'",
     "<cell id='1' ", "<cell id='3' memory='1' unit='GiB'", "!<cell id='4'",
     'of the nodes that were added 0-2 stay, for node 3 stays'),
    ('a cell that <memnode> names stays', '<os>', "<numatune><memnode "
     "cellid='0' mode='strict' nodeset='0'/></numatune><os>", '--remove',
     "<cell id='0' cpus",
     "!<cell id='1'", 'of the nodes that were added 0 stay, for <memnode> '
     'names node 0'),
)


def v1_row(old, new, arguments, *messages):
    status, made, notes = run('domain', *arguments.split(), data=changed(
        v1_domain(), old, new).encode())
    text = notes + made.decode()
    same('status', status, 0)
    for message in messages:
        same('what is said', (message.strip('!') in text) != (message[0] == '!')
             or text, True)


# --- bad input ------------------------------------------------------------

# In the tree of a GH200: a file and what it has (None takes it out, a folder's
# name with / makes a loop of links), arguments, and what is said
AT = f'{DEVICES}/0009:01:00.0'
FAULTS = (
    (f'{AT}/numa_node', 'zero', 'show', f"broken/{AT}/numa_node is not "
     "understood: 'zero'"),
    (f'{NODES}/online', 'foo', 'show', f"broken/{NODES}/online is not "
     "understood: 'foo'"),
    (f'{NODES}/online', '0-99999999999', 'show', f'broken/{NODES}/online is '
     "not understood: '0-99999999999'"),
    (f'{NODES}/has_generic_initiator', 'x', 'show', 'broken/'
     f"{NODES}/has_generic_initiator is not understood: 'x'"),
    (f'{NODES}/node0/distance', 'ten', 'show', f'broken/{NODES}/node0/distance '
     "is not understood: 'ten'"),
    (f'{NODES}/node0/distance', '10', 'args 0009:01:00.0',
     f'{NODES}/node0 gives no distance to node 1'),
    (f'{AT}/resource', '1 2', 'show', f"broken/{AT}/resource is not "
     "understood: '1 2'"),
    (f'{AT}/device', 'x', 'show', f"broken/{AT}/device is not understood: 'x'"),
    ('class/egm/egm4/egm_size', 'x', 'show', 'broken/class/egm/egm4/egm_size '
     "is not understood: 'x'"),
    (f'{AT}/vendor', b'\xff', 'show', 'broken has no GPU that is known to have '
     'coherent memory; "qemu-gpu-mem args --gpu-mem SIZE" takes others'),
    (f'{AT}/class', '/', 'show', '[Errno 40] Too many levels of symbolic '
     f"links: 'broken/{AT}/class'"),
)


def fault(name, content, arguments, message):
    shutil.rmtree('broken', ignore_errors=True)
    HOSTS['gh200'].build('broken')
    os.makedirs(os.path.dirname(os.path.join('broken', name)), exist_ok=True)
    path = os.path.join('broken', name)
    if content == '/':
        os.remove(path)
        os.symlink(os.path.basename(path), path)
    else:
        with open(path, 'wb') as file:
            file.write(content if isinstance(content, bytes)
                       else content.encode())
    command, *rest = arguments.split()
    same('what is said', run(command, '--sysfs', 'broken', *rest),
         (1, b'', f'qemu-gpu-mem: {message}\n'))


ARGUMENTS = (
    ('args --sysfs gh200 gpu0', 'gpu0 is no address: write it as 0009:01:00.0'),
    ('args --sysfs gh200 0001:01:00.0', '0001:01:00.0: this host has no such '
     'PCI device; "qemu-gpu-mem show" lists its GPUs'),
    ('args --sysfs no-gpu 0000:01:00.0', '0000:01:00.0 is not known to be a '
     'GPU with coherent memory; if it is one, give the size of the memory by '
     '--gpu-mem'),
    ('args --sysfs vera 0009:01:00.0', '0009:01:00.0 is a CXL device, which '
     'vfio passes through only with patches that Linux has not merged'),
    ('args --sysfs gh200 0009:01:00.0 0009:01:00.0',
     'an address is given twice: give each GPU once'),
    ('args --sysfs gh200 --nodes 128 0009:01:00.0', '1 nodes with CPUs and 128 '
     'for each of 1 are 129, but QEMU has 128: take fewer by --cpu-nodes or '
     '--nodes'),
    ('args --sysfs gh200 --host-nodes 1 0009:01:00.0',
     '--host-nodes: the host has no node 1 with CPUs'),
    ('args --sysfs gb200 --host-nodes 1 --cpu-nodes 2 0009:01:00.0',
     '--cpu-nodes 2: --host-nodes has 1'),
    *((f'args --sysfs gh200 --gpu-mem {size} 0009:01:00.0',
       f"--gpu-mem is '{size}': write a size there, such as 96G, of 1M to 16T")
      for size in ('0G', '96', '16E', '512K')),
    ('args --sysfs gh200 --gpu-mem much 0009:01:00.0',
     "--gpu-mem is 'much': write a size there, such as 96G"),
    ('args --sysfs gh200 --qemu /nowhere 0009:01:00.0', '/nowhere does not say '
     "what it can: [Errno 2] No such file or directory: '/nowhere'"),
)
USAGE = (
    ('args --nodes 0 0009:01:00.0',
     'argument --nodes: 0: give a number from 1 on'),
    ('args --host-nodes x 0009:01:00.0', 'argument --host-nodes: x: write it '
     'as 0,1'),
    ('args --qemu-version x 0009:01:00.0', 'argument --qemu-version: x: write '
     'a version as 11.3'),
    ('domain --remove --hostdev ua-a x.xml', '--remove is for all GPUs: leave '
     'out --hostdev'),
    ('domain --in-place', '--in-place needs a FILE'),
)


def says(words, message):
    same('what is said', run(*words.split()),
         (1, b'', f'qemu-gpu-mem: {message}\n'))


def usage(words, message):
    name = f'qemu-gpu-mem {words.split()[0]}'
    same('what is said', run(*words.split()),
         (1, b'', f'{name}: {message}; see {name} --help\n'))


def five_digits():
    """a PCI domain of five digits hides no GPU"""
    shutil.rmtree('broken', ignore_errors=True)
    HOSTS['gh200'].build('broken')
    os.rename(f'broken/{AT}', f'broken/{DEVICES}/10000:01:00.0')
    status, made, _ = run('show', '--sysfs', 'broken')
    same('what is shown', (status, made.split()[0]), (0, b'10000:01:00.0'))


def odd_name():
    """a name that is no UTF-8 is printed, by its number"""
    shutil.rmtree('broken', ignore_errors=True)
    HOSTS['gh200'].build('broken')
    os.remove(f'broken/{AT}/driver')
    os.symlink(b'drivers/\xff', f'broken/{AT}/driver'.encode())
    status, made, _ = run('show', '--sysfs', 'broken')
    same('what is shown', (status, b'driver: \\udcff\n' in made), (0, True))


def sizes():
    """a size may have any of its usual units"""
    for size in ('64G', '64GiB', '64GB', '65536M', '64g'):
        status, made, _ = run('args', '--sysfs', 'gh200', '--gpu-mem', size,
                              '0009:01:00.0')
        same(size, (status, b'pref64-reserve=128G' in made), (0, True))
    status, made, _ = run('args', '--sysfs', 'no-gpu', '--gpu-mem', '1M',
                          '0000:01:00.0')
    same('the least', (status, b'pref64-reserve=1G' in made), (0, True))


def long_text():
    """text is read in a time that grows with its length"""
    text = read('domain-plain.xml').replace(
        b'<os>', b'<description>' + b'x' * 50 * 80000 + b'\n' * 80000 +
        b'</description><os>')
    start = time.monotonic()
    made = made_of(text, '--sysfs', 'gh200')
    same('left of it', made_of(made, '--remove') == text, True)
    if time.monotonic() - start > 20:
        raise Failure(f'{time.monotonic() - start} s')


def bomb():
    """entities that grow are refused at once"""
    entities = ''.join(
        f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in
        zip('abcdefghi', 'bcdefghij'))
    start = time.monotonic()
    status, made, said_ = run('domain', '--sysfs', 'gh200', data=(
        f'<!DOCTYPE d [<!ENTITY a "xxxxxxxxxx">{entities}]>' +
        read('domain-plain.xml').decode().replace('<name>',
        '<name>&j;')).encode())
    same('what is said', (status, made, 'amplification' in said_ or said_),
         (1, b'', True))
    if time.monotonic() - start > 20:
        raise Failure(f'{time.monotonic() - start} s')


def deep():
    """elements may be nested deeply"""
    text = read('domain-plain.xml').replace(
        b'<os>', b'<metadata>' + b'<a>' * 5000 + b'</a>' * 5000 +
        b'</metadata><os>')
    made = made_of(text, '--sysfs', 'gh200')
    same('left of it', made_of(made, '--remove') == text, True)


# --- what is saved --------------------------------------------------------

def saves(name):
    """Of each host all that is read is saved."""
    run('show', '--sysfs', name, '--save', f'{name}.tar')
    with tarfile.open(f'{name}.tar') as tar:
        tar.extractall(f'saved-{name}')
    words = ['args', '--gpu-mem', '96G', '--qemu-version', '11.0', '--egm',
             *[card.address for card in HOSTS[name].cards[:4]]]
    with open('pinned.xml', 'wb') as file:
        file.write(read('domain-plain.xml').replace(
            b'<vcpu>', b"<vcpu cpuset='72-80'>"))
    for command in (['show'], words, ['domain', 'pinned.xml']):
        have, wanted = (run(command[0], '--sysfs', root, *command[1:])
                        for root in (f'saved-{name}', name))
        same('what is said', (have[0], have[1], have[2].replace('saved-', '')),
             wanted)


def links_as_files(name):
    """Some archives and file systems have no links."""
    shutil.rmtree('broken', ignore_errors=True)
    HOSTS[name].build('broken')
    for folder, _, names in os.walk('broken'):
        for path in (os.path.join(folder, one) for one in names):
            if os.path.islink(path):
                to = os.readlink(path)
                os.remove(path)
                with open(path, 'w') as file:
                    file.write(f'{to}\n')
    same('what is shown', run('show', '--sysfs', 'broken'),
         run('show', '--sysfs', name))


# --- the real program -----------------------------------------------------

ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name != 'PYTHONUNBUFFERED'}


def real(*words, python=(), **options):
    return subprocess.run([*python, PROGRAM, *words], text=True, check=False,
                          env=ENVIRONMENT, stderr=subprocess.PIPE, **options)


PLAIN = os.path.join(CASES, 'domain-plain.xml')


def full_disk():
    """a full disk is one line, without notes"""
    with open('/dev/full', 'w') as full:
        for words in (('show', '--sysfs', 'gh200'),
                      ('domain', '--sysfs', 'gh200', PLAIN)):
            done = real(*words, stdout=full)
            same('what is said', (done.returncode, done.stderr),
                 (1, 'qemu-gpu-mem: [Errno 28] No space left on device\n'))


def closed_pipe():
    """nobody who reads any more is no error"""
    reading, writing = os.pipe()
    os.close(reading)
    done = real('domain', '--sysfs', 'gh200', PLAIN, stdout=writing)
    os.close(writing)
    same('what is said', (done.returncode, done.stderr), (-signal.SIGPIPE, ''))


def closed():
    """neither standard input nor output need be open"""
    for words, closing in ((f'domain --sysfs gh200 {PLAIN}', '>&-'),
                           ('domain --sysfs gh200', '<&-')):
        done = subprocess.run(
            ['sh', '-c', f'exec {PROGRAM} {words} {closing}'], text=True,
            capture_output=True, check=False, env=ENVIRONMENT)
        same('what is said', (done.returncode, done.stdout, done.stderr),
             (1, '', 'qemu-gpu-mem: [Errno 9] Bad file descriptor\n'))


def interrupted():
    """Ctrl-C ends it without a word"""
    child = subprocess.Popen(
        [PROGRAM, 'domain', '--sysfs', 'gh200', 'fifo'], env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd='.')
    # It has begun when it opens its file
    with open('fifo', 'wb'):
        child.send_signal(signal.SIGINT)
        same('what is said', (child.communicate(), child.returncode),
             ((b'', b''), -signal.SIGINT))


def in_place():
    """--in-place writes the file itself, whole, through a link"""
    shutil.copy(PLAIN, 'place.xml')
    os.chmod('place.xml', 0o640)
    if not os.path.islink('link.xml'):
        os.symlink('place.xml', 'link.xml')
    wanted = made_of(read('domain-plain.xml'), '--sysfs', 'gh200')
    for _ in range(2):
        done = real('domain', '--sysfs', 'gh200', '--in-place', 'link.xml',
                    stdout=subprocess.PIPE)
        same('status', (done.returncode, done.stdout), (0, ''))
        with open('place.xml', 'rb') as file:
            same('the file', file.read(), wanted)
        same('its mode', (oct(os.stat('place.xml').st_mode), os.path.islink(
            'link.xml')), ('0o100640', True))
    before = os.stat('place.xml').st_ino
    real('domain', '--remove', '--in-place', 'place.xml')
    with open('place.xml', 'rb') as file:
        same('the file', file.read(), read('domain-plain.xml'))
    same('another file', os.stat('place.xml').st_ino != before, True)
    same('left beside it', [name for name in os.listdir('.')
                            if name.startswith('.')], [])


def oldest_python():
    """it runs with Python 3.9, where that is"""
    python = shutil.which('python3.9')
    if not python or subprocess.run([python, '--version'], check=False,
                                    capture_output=True).returncode:
        return
    for words in (['show', '--sysfs', 'egm-links'],
                  words_of('kata-7'), words_of('domain-four')):
        done = real(*words, python=(python, '-B'), stdout=subprocess.PIPE)
        same('what it makes', (done.returncode, done.stdout.encode()),
             run(*words)[:2])


# What "-device NAME,help" prints, as far as it matters: the properties are
# those of the sources of QEMU 10.0, 11.0 and 11.1; the programs are made up
HELP = {
    '10.0': ({'vfio-pci': 'iommufd=<link<iommufd>>'}, (True, False, False)),
    '11.0': ({'vfio-pci': 'iommufd=<link<iommufd>>',
              'arm-smmuv3': 'accel=<bool>'}, (True, True, False)),
    '11.1': ({'vfio-pci': 'iommufd=<link<iommufd>>',
              'arm-smmuv3': 'accel=<bool>\n  cmdqv=<OnOffAuto>'},
             (True, True, True)),
    'without IOMMUFD': ({'vfio-pci': 'host=<str>'}, (False, False, False)),
    'of another machine': ({}, (False, False, False)),
    'that prints no UTF-8': ({'vfio-pci': r'\0377'}, (False, False, False)),
}


def asks(name):
    with open('qemu', 'w') as file:
        file.write('#!/bin/sh\ncase $2 in\n' + ''.join(
            f"{device},help) printf '%b\\n' '{device} options:' '  {text}';;\n"
            for device, text in HELP[name][0].items()) + '*) exit 1;;\nesac\n')
    os.chmod('qemu', 0o755)
    status, made, notes = run('args', '--sysfs', 'gh200', '--qemu', './qemu',
                              '0009:01:00.0')
    text = made.decode()
    iommufd, accel, cmdqv = HELP[name][1]
    same('what it writes', (status, 'iommufd=' in text, 'arm-smmuv3' in text,
                            'accel=on\n' in text, 'huge pages' in notes),
         (0, iommufd, accel, cmdqv, cmdqv))


def asks_emulator():
    """an <emulator> is asked if root owns it, but not for another host's tree"""
    here = sorted(os.listdir(f'/sys/{DEVICES}'))
    if not here or not os.path.exists('/sys/devices/system/node/has_cpu'):
        return
    domain, bus, slot, function = re.split('[:.]', here[0])
    with open('emulator', 'w') as file:
        file.write(f'#!/bin/sh\ntouch {os.path.abspath("asked")}\n')
    os.chmod('emulator', 0o755)
    text = read('domain-plain.xml').decode().replace(
        "domain='0x0009' bus='0x01' slot='0x00' function='0x0'",
        f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' "
        f"function='0x{function}'").replace(
            '/usr/bin/qemu-system-aarch64-gpu-mem', os.path.abspath('emulator'))
    owners = (0, 1) if os.geteuid() == 0 else (os.geteuid(),)
    for owner in owners:
        os.chown('emulator', owner, -1)
        status, _, said_ = run('domain', '--libvirt', '12.8', '--gpu-mem', '64G',
                               '--hostdev', here[0], data=text.encode())
        same('status', (status, said_ if status else ''), (0, ''))
        same(f'asked, of {owner}', os.path.exists('asked'), owner == 0)
        if owner == 0:
            os.remove('asked')
    if os.geteuid() == 0:
        os.chown('emulator', 0, -1)
    made_of(read('domain-plain.xml').replace(
        b'/usr/bin/qemu-system-aarch64-gpu-mem',
        os.path.abspath('emulator').encode()), '--sysfs', 'gh200')
    same('asked with --sysfs', os.path.exists('asked'), False)


def asks_virsh():
    """the version of libvirt is virsh's, unless the tree is another host's"""
    os.makedirs('bin', exist_ok=True)
    with open('bin/virsh', 'w') as file:
        file.write('#!/bin/sh\necho 9.0.0\n')
    os.chmod('bin/virsh', 0o755)
    path = os.environ['PATH']
    os.environ['PATH'] = f'{os.path.abspath("bin")}:{path}'
    try:
        status, _, said_ = run('domain', data=read('domain-plain.xml'))
        same('what is said', (status, 'libvirt before 9.7' in said_ or said_),
             (1, True))
        same('with --sysfs', run('domain', '--sysfs', 'gh200',
                                 data=read('domain-plain.xml'))[0], 0)
    finally:
        os.environ['PATH'] = path


# --- QEMU itself ----------------------------------------------------------

def starts(name, qemu):
    """With stand-ins for GPUs, files for EGM, neither SMMU nor IOMMUFD."""
    command, *words = words_of(name)
    status, made, notes = run(command, '--json', '--no-iommufd', *[
        word for word in words if word != '--json'])
    same('status', status, 0)
    args = json.loads(made)
    gpu_nodes = [node for one in args for node in re.findall(
        r'^node,nodeid=(\d+)$', one)]
    machine, first = ['-machine', 'virt,gic-version=3'], int(gpu_nodes[0])
    if '--egm' in words:
        machine += re.search('QEMU (-m [0-9]+M),', notes)[1].split()
        # They come after the nodes
        args += re.search('(-numa cpu.*)', notes)[1].split()
        args = [re.sub('mem-path=/dev/(egm.)', r'mem-path=\1', one).replace(
            ',prealloc=on', '') for one in args]
    else:
        machine += ['-m', f'{first}G']
        for node in range(first):
            machine += ['-object', f'memory-backend-ram,id=ram{node},size=1G',
                        '-numa', f'node,nodeid={node},memdev=ram{node},'
                        f'cpus={node}']
    gpus = itertools.count()
    for index, one in enumerate(args):
        if one.startswith('vfio-pci-nohotplug'):
            number = next(gpus)
            machine += ['-object', f'memory-backend-ram,id=hbm{number},size=1M']
            args[index] = re.sub(
                '^vfio-pci-nohotplug,host=[^,]*(.*),rombar=0',
                rf'gpu-mem-testdev,memdev=hbm{number}\1', one)
    done = subprocess.run(
        [qemu, '-accel', 'tcg', '-cpu', 'max', '-nodefaults',
         '-display', 'none', '-S', '-monitor', 'stdio',
         '-smp', f'{first},sockets={first}', *machine,
         *args], input='info numa\nquit\n', text=True, capture_output=True,
        check=False, timeout=120)
    same('what QEMU says', (done.returncode, done.stderr), (0, ''))
    each = len(gpu_nodes) // next(gpus)
    same('nodes', re.findall(r'node (\d+) device: gpu(\d+)', done.stdout),
         [(node, str(index // each)) for index, node in enumerate(gpu_nodes)])


def says_what_its_version_has(qemu):
    """what QEMU says that it can is what its version has"""
    version = subprocess.run([qemu, '--version'], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
    same(version.splitlines()[0], TOOL.ask(qemu), TOOL.of_version(
        tuple(map(int, re.search(r'(\d+)\.(\d+)', version).groups()))))


# --- TAP ------------------------------------------------------------------

def points(names, qemu):
    made = [name for name in names if name.startswith('domain-')
            and '--remove' not in words_of(name)
            and name not in ('domain-defined', 'domain-stored')]
    for name in names:
        yield f'{name}: says what its file has', golden, name
    for name in made:
        yield (f'{name}: made again it is the same, and can be taken out',
               round_trip, name)
    if qemu:
        yield (says_what_its_version_has.__doc__, says_what_its_version_has, qemu)
    for name in names if qemu else ():
        # The rest of a guest with some EGM is for the user to give
        if re.match('args-(?!egm)|kata', name):
            yield f'{name}: QEMU starts with it', starts, name, qemu
    for name, tree in HOSTS.items():
        if gpu_addresses(tree) and name not in HOSTS_WITHOUT:
            yield f'{name}: the distances are the host\'s', distances, name
    for name, words in KATA.items():
        yield f'{name}: as kata has it', kata, name, *words
    for name in HOSTS:
        if name != 'no-gpu':
            yield f'{name}: what is saved is shown as the original', saves, name
    for name in ('gb200', 'vfs', 'egm-links', 'egm-old'):
        yield f'{name}: its links may be files', links_as_files, name
    for wrong in WRONG:
        yield f'domain refuses: {wrong[-1]}', refuses, *wrong
    for what, *words in ROWS:
        yield what, row, *words
    for what, *words in EMPTY:
        yield f'empty {what}, and so again', empty, *words
    for what, *words in V1_ROWS:
        yield f'a record of version 1: {what}', v1_row, *words
    yield ('domain-stored: its record of version 1 is read', old_record,
           'domain-stored', 'gh200', '--libvirt', '12.8')
    yield ('domain-defined: its record of version 1 is read', old_record,
           'domain-defined', 'gb200', '--nodes', '1', '--hostdev',
           '0008:01:00.0')
    for words in FAULTS:
        yield f'{words[0]}: {words[3]}', fault, *words
    for words in ARGUMENTS:
        yield f'{words[0]}: {words[1]}', says, *words
    for words in USAGE:
        yield f'{words[0]}: {words[1]}', usage, *words
    for name in HELP:
        yield f'QEMU {name} is asked what it can', asks, name
    for check in (
            same_node, in_use, names_what_is_ours, later, goes, fewer_nodes,
            options_hold,
            grows, upgraded, joined, moved_back, five_digits, odd_name, sizes,
            long_text, bomb, deep, full_disk, closed_pipe, closed,
            interrupted, in_place, oldest_python, asks_emulator,
            asks_virsh):
        yield check.__doc__, check


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--only', default='', help='points with this name')
    parser.add_argument('--qemu', type=os.path.abspath,
                        help='what is started with the arguments')
    args = parser.parse_args()
    names = sorted(name.removesuffix('.args') for name in os.listdir(CASES)
                   if name.endswith('.args'))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, tree in HOSTS.items():
            tree.build(name)
        os.mkfifo('fifo')
        if args.update:
            for name in names:
                with open(os.path.join(CASES, f'{name}.out'), 'w') as file:
                    file.write(said(name))
            return 0
        all_ = [point for point in points(names, args.qemu)
                if args.only in point[0]]
        tap = Tap(len(all_))
        for name, check, *words in all_:
            tap.point(name, check, *words)
        os.chdir('/')
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
