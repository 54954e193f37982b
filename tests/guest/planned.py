# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPUs of a machine as qemu-gpu-mem plans them, for a saved host."""

import json
import os
import re
import subprocess

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                   os.pardir)
PROGRAM = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')
SYSFS = os.path.join(TOP, 'tests', 'gpu-mem', 'sysfs', 'four-gpus')
# What plays a GPU differs
GPU = re.compile(r'vfio-pci-nohotplug,host=[^,]*')


def arguments(gpus, nodes, gpu_mb, stand_ins):
    """Those of QEMU; stand_ins are what is instead of each vfio-pci."""
    addresses = sorted(address for address in os.listdir(
        os.path.join(SYSFS, 'bus', 'pci', 'devices')))[:gpus]
    args = json.loads(subprocess.run(
        [PROGRAM, 'args', '--sysfs', SYSFS, '--json', '--nodes', str(nodes),
         '--gpu-mem', f'{gpu_mb}M', *addresses],
        text=True, capture_output=True, check=True).stdout)
    left = list(stand_ins)
    return [GPU.sub(lambda _: left.pop(0), arg).replace('rombar=0,', '')
            if GPU.match(arg) else arg for arg in args]


def distances():
    """The saved host's: a row for each node."""
    nodes = os.path.join(SYSFS, 'devices', 'system', 'node')
    rows = []
    while os.path.exists(path := os.path.join(nodes, f'node{len(rows)}',
                                              'distance')):
        with open(path) as file:
            rows.append(tuple(map(int, file.read().split())))
    return tuple(rows)
