# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPUs of a machine as qemu-gpu-mem plans them, for a host of its tests."""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                   os.pardir)
PROGRAM = os.path.join(TOP, 'contrib', 'gpu-mem', 'qemu-gpu-mem')
HOST = 'gb200'
# What plays a GPU differs
GPU = re.compile(r'vfio-pci-nohotplug,host=[^,]*')
sys.path.append(os.path.join(TOP, 'tests', 'gpu-mem'))

from hosts import HOSTS             # noqa: E402


@functools.lru_cache(maxsize=None)
def sysfs(name=HOST):
    """The folder of a host's sysfs, as long as this program runs."""
    folder = tempfile.TemporaryDirectory()      # pylint: disable=R1732
    atexit.register(folder.cleanup)
    path = os.path.join(folder.name, name)
    HOSTS[name].build(path)
    return path


def arguments(host, gpus, nodes, stand_ins):
    """Those of QEMU; stand_ins are what is instead of each vfio-pci."""
    addresses = [card.address for card in HOSTS[host].cards][:gpus]
    args = json.loads(subprocess.run(
        [PROGRAM, 'args', '--sysfs', sysfs(host), '--json',
         '--nodes', str(nodes), '--no-iommufd', *addresses],
        text=True, capture_output=True, check=True).stdout)
    left = list(stand_ins)
    return [GPU.sub(lambda _: left.pop(0), arg).replace('rombar=0,', '')
            if GPU.match(arg) else arg for arg in args]


def distances():
    """The host's: a row for each node."""
    tree = HOSTS[HOST]
    return tuple(tuple(tree.distance(src, dst) for dst in range(tree.total()))
                 for src in range(tree.total()))
