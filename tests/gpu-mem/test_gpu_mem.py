#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of qemu-gpu-mem on saved sysfs trees.

A case is a pair of files in cases/: NAME.args, and NAME.out with the status and
what is said.  --update writes the second ones anew.  What "domain" makes of an XML
file is also given to it again, and taken out again.  What is a line or two of a
domain has a row here.
"""

import argparse
import difflib
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(TOP, 'tests', 'guest'))

from checks import same            # noqa: E402
from tap import Tap                 # noqa: E402

CASES = os.path.join(HERE, 'cases')
PROGRAM = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')


# What is wrong in a domain: arguments, what is replaced in domain-plain.xml, by
# what, and what is said
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
     "<!DOCTYPE domain [<!ENTITY e '<a/>'>]><domain type='kvm'>&e;",
     'elements from an entity are not understood: write them out, as '
     '"xmllint --noent" does'),
    ('', 'domain', 'pool', '<pool> is no <domain>: give what "virsh dumpxml '
     '--inactive --security-info" prints'),
    ('', 'aarch64', 'x86_64', 'its machine is x86_64 virt: GPUs with coherent '
     'memory need aarch64 virt'),
    ('', '0x0009', '0x000a', '000a:01:00.0: this host has no such PCI device; '
     '"qemu-gpu-mem show" lists its GPUs'),
    ('', "domain='0x0009' bus='0x01'", "domain='0' bus='0'",
     'the domain has no <hostdev> that is known to be a GPU with coherent '
     'memory; --hostdev and --gpu-mem take others'),
    ('--hostdev ua-no', '', '', '--hostdev ua-no: no <hostdev> of a PCI device '
     'has this alias or address'),
    ('--hostdev 0000:00:00.0', "domain='0x0009' bus='0x01'",
     "domain='0' bus='0'", '0000:00:00.0 is not known to be a GPU with coherent '
     'memory; if it is one, give the size of the memory by --gpu-mem'),
    ('--nodes 128', '', '', '1 nodes of the domain and 128 for each of 1 GPUs '
     'are 129, but QEMU has 128: take fewer by --nodes'),
    ('', HOSTDEV, "<alias name='hostdev0'/>", '0009:01:00.0: libvirt drops the '
     'alias hostdev0: call it ua-hostdev0, or take it out'),
    ('', '<acpi/>', '', 'the domain has no <acpi/> in <features>: without it the '
     'guest is told of no nodes'),
    ('--libvirt 9.0.0', '', '', "libvirt before 9.7 can't pass a GPU through "
     'with nvgrace_gpu_vfio_pci: take a newer one, or "qemu-gpu-mem args"'),
    ('', '</devices>', "<hostdev type='pci'><source><address domain='9' "
     "bus='1'/></source></hostdev></devices>",
     '0009:01:00.0 is in two <hostdev>: take one out'),
    ('', HOSTDEV, "<acpi nodeset='0-7'/>", '0009:01:00.0 has nodes that the '
     'domain has not: give it a <cell> for each, or leave them out'),
    ('', HOSTDEV, "<acpi nodeset='0,2'/>", '<acpi> of a <hostdev> has the nodes '
     '0,2: number them on from 0, each once'),
    ('', HOSTDEV, "<acpi nodeset='9-2'/>", "<acpi> of a <hostdev> has the nodes "
     "'9-2': write them as 2-9"),
    ('', HOSTDEV, "<address type='unassigned'/>", 'the domain has no <hostdev> '
     'that is known to be a GPU with coherent memory; --hostdev and --gpu-mem '
     'take others'),
    ('', CPU, "<cpu><numa><cell id='0'/><cell id='2'/></numa></cpu>",
     'the domain has the nodes 0,2: number them on from 0, each once'),
    ('', '>4<', '><', "<vcpu> is '': write a number there"),
    ('', END, qemu_args('-numa', 'cpu,node-id=0'),
     "-numa cpu,node-id=0: give a node's CPUs as <cell cpus=''>"),
    ('', END, qemu_args('-numa', 'node,cpus=0'),
     "nodeid of -numa node,cpus=0 is '': write a number there"),
    ('', END, qemu_args('-object', 'nvidia-gpu-mem-acpi,devid=ua-a'),
     "-object nvidia-gpu-mem-acpi,devid=ua-a has the nodes '': write them as "
     '2-9'),
    ('', END, qemu_args('-object', '{}}'),
     '-object {}} is no JSON: write it as QEMU takes it'),
    ('', '<devices>', '<devices>' + ''.join(
        f"<controller type='pci' index='{bus}'><target busNr='{bus}'/>"
        '</controller>' for bus in range(128, 254, 8)),
     'no bus number is left for a GPU: choose fewer by --hostdev'),
)

CELLS = """<cpu><numa>
      <cell id="0" cpus="0-1" memory="8" unit="GiB"%s
      <cell id="1" cpus="2-3" memory="8" unit="GiB"%s
    </numa></cpu>"""
DISTANCE = '><distances><sibling id="%d" value="%d"/></distances></cell>'
TWO = CELLS % ('/>', '/>')
# From <cpu> on; the <hostdev> is in two parts, around its domain on the host
GPU = r"(?s)<cpu[^>]*>(.*?)(<hostdev.*?)0x0009(.*?)<rom bar='off'/>(.*</hostdev>)"

# What is to be so, further arguments, a pattern in domain-plain.xml and what is
# there instead, the same for what is made of that, and part of what is said then
ROWS = (
    ("a larger window in the program's pcie-root stays", '--gpu-mem 512G', '', '',
     '>2147483648<', '>4294967296<',
     "model='pcie-root'>\n      <pcihole64 unit='KiB'>4294967296</pcihole64>"),
    ('what is written to the only cell stays', '', '', '',
     "memory='16'", "memory='16' memAccess='shared'",
     "<cell id='0' cpus='0-3' memory='16' memAccess='shared' unit='GiB'/>"),
    ('without a GPU all is taken out', '', '', '', '(?s)<hostdev.*</hostdev>', '',
     'the domain has no GPU any more: what was added for GPUs is taken out\n'
     "<domain type='kvm'>\n  <name>"),
    ('a hole is left by what is taken out', '', CPU, TWO, '</numa>',
     "<cell id='3'/></numa>", 'without those added for GPUs, the domain has the '
     'nodes 0,1,3: number them on from 0, each once'),
    ('names are left without a record', '', '', '', '<gpu-mem:added.*/>', '',
     '<gpu-mem:added> is no longer in <metadata>: take out by hand what has a '
     'name with ua-gpu-mem-, and the nodes of GPUs'),
    ('a pair has two distances: all are given for both directions',
     '--libvirt 11', CPU, CELLS % (DISTANCE % (1, 21), DISTANCE % (0, 31)),
     '', '', "<qemu:arg value='dist,src=0,dst=2,val=80'/>\n"
     "    <qemu:arg value='-numa'/>\n"
     "    <qemu:arg value='dist,src=2,dst=0,val=80'/>"),
    ('a cell that is not bound stands for a node to which none is', '', CPU,
     "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>" + TWO,
     '', '', '<node>1</node>'),
    ('node 0 has the CPUs if no cell says so', '', CPU,
     re.sub('cpus=".*?" ', '', TWO), '', '', '<node>0</node>'),
    ('an argument gives a node its CPUs', '', END,
     qemu_args('-numa', 'node,nodeid=0', '-numa', 'node,nodeid=1,cpus=0-3'), '',
     '', '<node>1</node>'),
    ('an option may begin with two dashes; arguments are named as in the domain',
     '', END, qemu_args('--numa', 'node,nodeid=0'), '', '',
     "<arg value='node,nodeid=0'/><arg value='-numa'/>"),
    ("a GPU's nodes have no CPUs", '', GPU, TWO + r"\1\g<2>0x0009\3"
     "<acpi nodeset='1'/>\\4", '', '', '0009:01:00.0 has nodes that have CPUs, '
     "or are another GPU's: give it nodes of its own"),
    ('no node is that of two GPUs', '', GPU,
     CELLS % ('/>', "/><cell id='2' memory='0'/>") + r'\1' + ''.join(
         rf"\g<2>{at}\3<acpi nodeset='2'/>\4" for at in ('0x0009', '0x0019')),
     '', '', "0019:01:00.0 has nodes that have CPUs, or are another GPU's"),
    ('the first child with a line shows the indent', '', r'\n  <name>', '<name>',
     '', '', f"\n  <qemu:override xmlns:qemu='{QEMU}'>\n    <qemu:device"),
    ('a comment stays with what it is about', '', CPU,
     CELLS % ('/>', '/> <!-- the second -->'), '', '',
     " <!-- the second -->\n      <cell id='2'"),
)


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], text=True, cwd=CASES,
                          capture_output=True, check=False)


def arguments_of(name):
    with open(os.path.join(CASES, f'{name}.args')) as file:
        return shlex.split(file.read())


def said(name):
    done = run(*arguments_of(name))
    return f'status {done.returncode}\n{done.stderr}{done.stdout}'


def golden(name):
    path = os.path.join(CASES, f'{name}.out')
    with open(path) as file:
        wanted = file.read()
    same('differences', '\n'.join(difflib.unified_diff(
        wanted.splitlines(), said(name).splitlines(), path, 'said',
        lineterm='')), '')


def domain(data, *arguments):
    """What "domain" makes of the bytes."""
    done = subprocess.run([PROGRAM, 'domain', *arguments], input=data, cwd=CASES,
                          capture_output=True, check=False)
    same('what is said', done.stderr if done.returncode else b'', b'')
    return done.stdout


def round_trip(name):
    *arguments, path = arguments_of(name)[1:]
    with open(os.path.join(CASES, path), 'rb') as file:
        text = file.read()
    made = domain(text, *arguments)
    same('made of what was made', domain(made, *arguments), made)
    same('left of it', domain(made, '--remove'), text)
    # With other line ends, and without any
    windows = domain(_as_on_windows(text), *arguments)
    same('lines', windows, _as_on_windows(made))
    same('left of it', domain(windows, '--remove'), _as_on_windows(text))
    line = re.sub(rb'\n\s*', b'', text)
    same('left of it', domain(domain(line, *arguments), '--remove'), line)


def _as_on_windows(text):
    return text.replace(b'\n', b'\r\n').replace(b'  ', b'\t')


def later():
    """a GPU that is added later is planned with those that are there"""
    with open(os.path.join(CASES, 'domain-four.xml'), 'rb') as file:
        data = file.read()
    host, one = ('--sysfs', '../sysfs/four-gpus'), ('--hostdev', '0029:01:00.0')
    all_ = domain(data, *host)
    same('made of one', domain(domain(data, *host, *one), *host), all_)
    same('made of all', domain(all_, *host, *one), all_)


def refuses(arguments, old, new, message):
    with open(os.path.join(CASES, 'domain-plain.xml')) as file:
        text = file.read().replace(old, new)
    done = subprocess.run(
        [PROGRAM, 'domain', '--sysfs', '../sysfs/one-gpu', *arguments.split()],
        input=text, text=True, cwd=CASES, capture_output=True, check=False)
    same('what is said', (done.returncode, done.stdout, done.stderr),
         (1, '', f'qemu-gpu-mem: {message}\n'))


def row(arguments, old, new, old_made, new_made, message):
    arguments = '--sysfs ../sysfs/four-gpus --libvirt 12 --nodes 1'.split() + (
        arguments.split())
    with open(os.path.join(CASES, 'domain-plain.xml')) as file:
        text = changed(file.read(), old, new)
    if old_made:
        text = changed(domain(text.encode(), *arguments).decode(), old_made,
                       new_made)
    done = subprocess.run([PROGRAM, 'domain', *arguments], input=text, text=True,
                          cwd=CASES, capture_output=True, check=False)
    said_ = done.stderr + done.stdout
    same('what is said', message in said_ or said_, True)
    if not old_made and done.stdout:
        same('left of it', domain(done.stdout.encode(), '--remove'),
             text.encode())


def changed(text, old, new):
    text, times = re.subn(old, new, text)
    same('times that it is replaced', times and 1, 1)
    return text


def saves():
    """what "show --save" writes is shown as the original"""
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, 'sysfs.tar')
        run('show', '--sysfs', '../sysfs/four-gpus', '--save', saved)
        with tarfile.open(saved) as tar:
            tar.extractall(folder)
        same('shown', run('show', '--sysfs', folder).stdout,
             run('show', '--sysfs', '../sysfs/four-gpus').stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--update', action='store_true')
    args = parser.parse_args()
    names = sorted(name.removesuffix('.args') for name in os.listdir(CASES)
                   if name.endswith('.args'))
    if args.update:
        for name in names:
            with open(os.path.join(CASES, f'{name}.out'), 'w') as file:
                file.write(said(name))
        return 0
    made = [name for name in names if name.startswith('domain-')
            and '--remove' not in arguments_of(name)
            and said(name).startswith('status 0')]
    tap = Tap(len(names) + len(made) + len(WRONG) + len(ROWS) + 2)
    for name in names:
        tap.point(f'{name}: says what its file has', golden, name)
    for name in made:
        tap.point(f'{name}: made again it is the same, and can be taken out',
                  round_trip, name)
    for wrong in WRONG:
        tap.point(f'domain refuses: {wrong[-1]}', refuses, *wrong)
    for what, *words in ROWS:
        tap.point(what, row, *words)
    tap.point(later.__doc__, later)
    tap.point(saves.__doc__, saves)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
