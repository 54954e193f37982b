# SPDX-License-Identifier: GPL-2.0-or-later
"""From a documented domain to one that can be run without its hardware."""

import dataclasses
import json
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


# A GPU's address on the host can't be had here, its place in the guest can.
# Where a domain leaves that to libvirt, the place is the one that libvirt has
# for a PCI Express device, a root port.
HOSTDEV = re.compile(r"""
    <hostdev\ mode='subsystem'\ type='pci'\ managed='(?:no'>|yes'>\s*
      <driver\ model='nvgrace_gpu_vfio_pci'/>)\s*
      <source>\s*<address\ [^>]*/>\s*</source>\s*
      (?P<alias><alias\ name='(?P<id>ua-[^']*)'/>)\s*
      <rom\ bar='off'/>\s*
      (?P<place><address\ type='pci'\ [^>]*/>\s*)?
    </hostdev>""", re.VERBOSE)
PORT = "<controller type='pci' index='1' model='pcie-root-port'/>"
ON_PORT = "<address type='pci' bus='0x01' slot='0x00'/>"
PLACE = re.compile(r"bus='(0x[0-9a-f]+)' slot='(0x[0-9a-f]+)'")
# A device of libvirt's own that needs no hardware, in the place of a GPU
MANAGED = """\
<rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
      {alias}
      <address type='pci'/>
    </rng>"""
END_OF_ARGUMENTS = '  </qemu:commandline>'


PATHS = (('/usr/local/bin/qemu-system-aarch64', 'qemu'),
         ('/usr/local/share/qemu/edk2-aarch64-code.fd', 'firmware'),
         ('/usr/local/share/qemu/edk2-arm-vars.fd', 'variables'))
BOOTED_PATHS = (('/var/lib/libvirt/images/vmlinuz', 'kernel'),
                ('/var/lib/libvirt/images/initramfs.cpio.gz', 'initrd'))


def _replaced(files, kernel_args):
    """What a domain says, how many times, and what it is to say here."""
    return (
        ("<domain type='kvm'", 1, "<domain type='qemu'"),
        ("<memory unit='GiB'>16</memory>", 1,
         "<memory unit='GiB'>2</memory>"),
        ("memory='8' unit='GiB'", 2, "memory='1' unit='GiB'"),
        ("<cpu mode='host-passthrough'>", 1,
         "<cpu mode='custom' match='exact'><model>max</model>"),
        ("""\
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><target dev='vda' bus='virtio'/>
      <source file='/var/lib/libvirt/images/guest.qcow2'/>
    </disk>
""", 1, ''),
        ('</os>', 1, f'<kernel>{files.kernel}</kernel>'
         f'<initrd>{files.initrd}</initrd>'
         f'<cmdline>{kernel_args}</cmdline></os>'
         # A kernel that panics reboots: let that be the end
         '<on_reboot>destroy</on_reboot>'),
        # It would take the place of the GPU, of which libvirt doesn't know
        ('</devices>', 1, "<memballoon model='none'/></devices>"),
        ("<console type='pty'/>", 1, "<console type='unix'>"
         f"<source mode='connect' path='{files.console}'/></console>"),
    )


def _exchange(document, replaced):
    for documented, times, here in replaced:
        if document.count(documented) != times:
            raise Failure(f'"{documented}" is there '
                          f'{document.count(documented)} times, not {times}')
        document = document.replace(documented, here)
    return document


def with_paths(document, files, paths=PATHS):
    """The domain with the files that are here."""
    return _exchange(document, [(documented, 1, getattr(files, name))
                                for documented, name in paths])


def _stand_in(gpu):
    """The arguments of a device that is named and placed as the GPU is."""
    bus, slot = (int(number, 16) for number in
                 PLACE.search(gpu['place'] or ON_PORT).groups())
    memory = f'hbm-{gpu["id"]}'
    # In JSON, as libvirt's own: QEMU makes the devices of other forms before
    # these, and there would be no bus yet
    device = json.dumps({'driver': 'gpu-mem-testdev', 'id': gpu['id'],
                         'memdev': memory, 'bus': f'pci.{bus}',
                         'addr': f'{slot:#x}'})
    return ''.join(
        f"    <qemu:arg value='{argument}'/>\n" for argument in (
            '-object', f'memory-backend-ram,id={memory},size=1G',
            '-device', device))


def for_this_machine(document, files, gpus, kernel_args, managed=False):
    """The domain with no more changed than what can't be had here.

    What plays a GPU is a stand-in with memory, of which libvirt doesn't know,
    or if managed a device that libvirt can detach.
    """
    document = _exchange(with_paths(document, files),
                         _replaced(files, kernel_args))
    found = list(HOSTDEV.finditer(document))
    if len(found) != gpus or document.count('<hostdev') != gpus:
        raise Failure(f'{len(found)} GPUs of the form known here, not {gpus}')
    if managed:
        return HOSTDEV.sub(
            lambda gpu: MANAGED.format(alias=gpu['alias']), document)
    document = HOSTDEV.sub(lambda gpu: '' if gpu['place'] else PORT, document)
    return document.replace(END_OF_ARGUMENTS,
                            ''.join(map(_stand_in, found)) + END_OF_ARGUMENTS)
