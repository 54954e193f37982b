# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of what is read of sysfs, to be looked at on another machine."""

import io
import os
import tarfile

from host import DEVICES, NODES, egm_links

OF_DEVICES = ('vendor', 'device', 'class', 'numa_node', 'driver',
              'iommu_group')
OF_NODES = ('online', 'has_cpu', 'has_generic_initiator')


def _add(tar, root, name):
    """A file or a link below ROOT, if there is one."""
    path, member = os.path.join(root, name), tarfile.TarInfo(name)
    if os.path.islink(path):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(member)
    elif os.path.isfile(path):
        with open(path, 'rb') as file:
            data = file.read()
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def save(root, path):
    """Write the file only when all has been read."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as tar:
        for address in sorted(os.listdir(os.path.join(root, DEVICES))):
            links = egm_links(os.path.join(root, DEVICES, address))
            for name in (*OF_DEVICES, *links):
                _add(tar, root, f'{DEVICES}/{address}/{name}')
        for name in OF_NODES:
            _add(tar, root, f'{NODES}/{name}')
        for name in sorted(os.listdir(os.path.join(root, NODES))):
            if name.startswith('node'):
                _add(tar, root, f'{NODES}/{name}/distance')
    with open(path, 'wb') as file:
        file.write(made.getvalue())
