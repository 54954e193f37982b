# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of what is read of sysfs, to be looked at on another machine."""

import glob
import io
import os
import tarfile

from host import DEVICES, EGM, IOMMUFD, NODES

READ = (
    *(f'{DEVICES}/*/{name}' for name in (
        'vendor', 'device', 'class', 'numa_node', 'resource', 'driver',
        'physfn', 'iommu_group', 'iommu', 'egm*')),
    *(f'{NODES}/{name}' for name in (
        'online', 'has_cpu', 'has_generic_initiator', 'node*/distance',
        'node*/cpulist')),
    f'{EGM}/*/*', IOMMUFD)


def _add(tar, root, path):
    """A file or a link."""
    member = tarfile.TarInfo(os.path.relpath(path, root))
    if os.path.islink(path):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(member)
    elif os.path.isfile(path):
        with open(path, 'rb') as file:
            data = file.read()
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def saved(root):
    """The bytes of the archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as tar:
        for pattern in READ:
            for path in sorted(glob.glob(os.path.join(glob.escape(root),
                                                      pattern))):
                _add(tar, root, path)
    return made.getvalue()
