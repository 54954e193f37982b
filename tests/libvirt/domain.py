# SPDX-License-Identifier: GPL-2.0-or-later
"""From a documented domain to one that can be run without its hardware."""

import dataclasses
import re

from checks import Failure


@dataclasses.dataclass(frozen=True)
class Files:
    """What the domain is given here, by path."""
    qemu: str
    firmware: str
    variables: str
    kernel: str
    initrd: str
    console: str            # a socket that the guest's console connects to
    shared_memory: str      # the start of a name below /dev/shm


# A GPU's address on the host can't be had here, its place in the guest can.
# Where a domain leaves that to libvirt, the place is the one that libvirt has
# for a PCI Express device, a root port: the stand-in alone would go elsewhere.
HOSTDEV = re.compile(r"""
    <hostdev\ mode='subsystem'\ type='pci'\ managed='no'>\s*
      <source>\s*<address\ [^>]*/>\s*</source>\s*
      (?P<alias><alias\ name='(?P<id>ua-[^']*)'/>)\s*
      <rom\ bar='off'/>\s*
      (?P<place><address\ type='pci'\ [^>]*/>\s*)?
    </hostdev>""", re.VERBOSE)
PORT = "<controller type='pci' index='1' model='pcie-root-port'/>"
ON_PORT = "<address type='pci' bus='0x01' slot='0x00'/>"


def _replaced(files, kernel_args):
    """What a domain says, how many times, and what it is to say here."""
    return (
        ("<domain type='kvm'", 1, "<domain type='qemu'"),
        ("<memory unit='GiB'>16</memory>", 1,
         "<memory unit='GiB'>2</memory>"),
        ("memory='8' unit='GiB'/>", 2, "memory='1' unit='GiB'/>"),
        ("<cpu mode='host-passthrough'>", 1,
         "<cpu mode='custom' match='exact'><model>max</model>"),
        ('/usr/local/bin/qemu-system-aarch64', 1, files.qemu),
        ('/usr/local/share/qemu/edk2-aarch64-code.fd', 1, files.firmware),
        ('/usr/local/share/qemu/edk2-arm-vars.fd', 1, files.variables),
        ("""\
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/var/lib/libvirt/images/guest.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
""", 1, ''),
        ('</os>', 1, f'<kernel>{files.kernel}</kernel>'
         f'<initrd>{files.initrd}</initrd>'
         f'<cmdline>{kernel_args}</cmdline></os>'
         # A kernel that panics reboots: let that be the end
         '<on_reboot>destroy</on_reboot>'),
        ("<console type='pty'/>", 1, "<console type='unix'>"
         f"<source mode='connect' path='{files.console}'/></console>"),
    )


def _stand_in(files):
    """A device with memory in a BAR, named and placed as the GPU is."""
    def device(gpu):
        return (('' if gpu['place'] else PORT) +
                f"<shmem name='{files.shared_memory}{gpu['id']}'>"
                "<model type='ivshmem-plain'/><size unit='M'>1024</size>"
                f"{gpu['alias']}{gpu['place'] or ON_PORT}</shmem>")
    return device


def for_this_machine(document, files, gpus, kernel_args):
    """The domain with no more changed than what can't be had here."""
    for documented, times, here in _replaced(files, kernel_args):
        if document.count(documented) != times:
            raise Failure(f'"{documented}" is there '
                          f'{document.count(documented)} times, not {times}')
        document = document.replace(documented, here)
    document, found = HOSTDEV.subn(_stand_in(files), document)
    if found != gpus or '<hostdev' in document:
        raise Failure(f'{found} GPUs of the form known here, not {gpus}')
    return document
