# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the documentation, compared with a tested machine."""

import os
import re
import subprocess
import tempfile

from checks import same

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                      os.pardir, 'guide', 'four-gpus.sh')
PRINT_ARGUMENTS = '#!/bin/sh\nprintf "%s\\n" "$@"\n'
# What plays the GPU differs, and needs neither an SMMU that the host's hardware
# accelerates nor IOMMUFD
GPU = re.compile(r'vfio-pci-nohotplug,host=[^,]+,iommufd=\w+,rombar=0'
                 r'|gpu-mem-testdev,memdev=\w+,resmemdev=\w+')


def _documented():
    """The arguments that the script gives QEMU."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, 'qemu-system-aarch64')
        with open(program, 'w') as file:
            file.write(PRINT_ARGUMENTS)
        os.chmod(program, 0o755)
        return subprocess.run(
            ['bash', SCRIPT], text=True, stdout=subprocess.PIPE, check=True,
            env=dict(os.environ, PATH=f'{folder}:{os.environ["PATH"]}')
        ).stdout.splitlines()


def _number(value):
    try:
        return int(value, 0)
    except ValueError:
        return value


def _hardware(args):
    """Nodes, distances, devices and our objects; numbers as such."""
    for option, value in zip(args[::2], args[1::2], strict=True):
        if (option not in ('-numa', '-device', '-object') or
                value.startswith(('memory-backend-', 'hmat-lb,', 'iommufd,',
                                  'arm-smmuv3,'))):
            continue
        kind, *properties = GPU.sub('GPU', value).split(',')
        pairs = (pair.split('=', 1) for pair in properties)
        yield option, kind, {key: _number(value) for key, value in pairs
                             if key != 'initiator'}     # of the HMAT


def documented(vm):
    def check(_):
        """the documented command line has the same hardware"""
        have, want = _documented(), vm.hardware('/')
        same('hardware', sorted(_hardware(have), key=str),
             sorted(_hardware(want), key=str))
        same('space for BARs', have[1].split(',')[-1], want[1].split(',')[-1])
    return check
