# SPDX-License-Identifier: GPL-2.0-or-later
"""From a documented domain to one that can be run without its hardware."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree

from checks import Failure


@dataclasses.dataclass(frozen=True)
class Files:
    """What the domain is given here, by path."""
    qemu: str
    firmware: str
    variables: str
    kernel: str
    initrd: str
    console: str = ''       # a socket that the guest's console connects to


# A GPU's address on the host can't be had here, its place in the guest can.
# Where a domain leaves that to libvirt, the place is the one that libvirt has
# for a PCI Express device, a root port.
HOSTDEV = re.compile(r'<hostdev .*?</hostdev>', re.DOTALL)
PORT = "<controller type='pci' index='1' model='pcie-root-port'/>"
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


def _booted(files, kernel_args):
    """A kernel in the place of the disk."""
    return (
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
    )


def _emulated(files):
    """What a domain says, how many times, and what it is to say here."""
    return (
        ("<domain type='kvm'", 1, "<domain type='qemu'"),
        ("<cpu mode='host-passthrough'>", 1,
         "<cpu mode='custom' match='exact'><model>max</model>"),
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


def _stand_in(gpu, document):
    """The arguments of a device that is named and placed as the GPU is."""
    gpu = ElementTree.fromstring(gpu)
    name, place = gpu.find('alias').get('name'), gpu.find('address')
    bus, slot = (int(place.get(key), 16) if place is not None else default
                 for key, default in (('bus', 1), ('slot', 0)))
    memory = f'hbm-{name}'
    # In JSON, as libvirt's own: QEMU makes the devices of other forms before
    # these, and there would be no bus yet
    device = json.dumps({'driver': 'gpu-mem-testdev', 'id': name,
                         'memdev': memory, 'bus': _bus_name(bus, document),
                         'addr': f'{slot:#x}'})
    return ''.join(
        f"    <qemu:arg value='{argument}'/>\n" for argument in (
            '-object', f'memory-backend-ram,id={memory},size=1G',
            '-device', device))


def _bus_name(bus, document):
    """Of the controller's alias, if the document gives it one."""
    alias = ElementTree.fromstring(document).find(
        f"devices/controller[@type='pci'][@index='{bus}']/alias")
    return f'pci.{bus}' if alias is None else alias.get('name')


def without_hardware(document, files, kernel_args):
    """The domain for an emulated machine with an eighth of the memory."""
    document = _exchange(with_paths(document, files),
                         _booted(files, kernel_args) + _emulated(files))
    # The host's nodes are those of this machine
    document = re.sub('(?s)<numatune>.*?</numatune>', '', document)
    return re.sub(r"(<memory unit='GiB'>|memory=')(8|16)\b",
                  lambda found: f'{found[1]}{int(found[2]) // 8}', document)


def for_host(document, files, kernel_args, address, node_mb):
    """The domain for a host with KVM and a GPU, but less memory."""
    domain, bus, slot, function = re.split('[:.]', address)
    return _exchange(with_paths(document, files), (
        *_booted(files, kernel_args),
        ("<memory unit='GiB'>16<", 1, f"<memory unit='MiB'>{2 * node_mb}<"),
        ("memory='8' unit='GiB'", 2, f"memory='{node_mb}' unit='MiB'"),
        ("domain='0x0009' bus='0x01' slot='0x00' function='0x0'", 1,
         f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' "
         f"function='0x{function}'")))


def for_this_machine(document, files, gpus, kernel_args, managed=False):
    """The domain with no more changed than what can't be had here.

    What plays a GPU is a stand-in with memory, of which libvirt doesn't know,
    or if managed a device that libvirt can detach.
    """
    document = without_hardware(document, files, kernel_args)
    found = HOSTDEV.findall(document)
    if len(found) != gpus:
        raise Failure(f'{len(found)} GPUs, not {gpus}')
    if managed:
        return HOSTDEV.sub(lambda gpu: MANAGED.format(
            alias=re.search('<alias .*?/>', gpu[0])[0]), document)
    stand_ins = ''.join(_stand_in(gpu, document) for gpu in found)
    document = HOSTDEV.sub(
        lambda gpu: '' if gpu[0].count('<address') > 1 else PORT, document)
    return document.replace(END_OF_ARGUMENTS, stand_ins + END_OF_ARGUMENTS)
