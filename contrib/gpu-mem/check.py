# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a host, and a domain, have what a GPU's memory takes in a guest.

Each requirement is a line: its state, and what is so or what is to do.
"""

import fcntl
import gzip
import os
import re
import zlib

from guest import OBJECT, number, size
from host import DRIVER, GIB, Mistake
from plan import WINDOW, driver_advice, iommu_advice
from qemu import output

OK, UNKNOWN, TO_DO = 'ok', 'unknown', 'to do'
NOTE = 'note'               # the memory is there without it
MACHINE, SMMU = 'aarch64', 'arm-smmuv3'
# Linux' include/uapi/linux/kvm.h
KVM_CREATE_VM, KVM_CHECK_EXTENSION = 0xAE01, 0xAE03
KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED = 243
OPTIONS = (
    ('NVGRACE_GPU_VFIO_PCI', TO_DO, "the driver that shows a GPU's memory: "
     'build one with it'),
    ('IOMMUFD', NOTE, 'what an accelerated SMMU is made by'),
    ('VFIO_DEVICE_CDEV', NOTE, 'the files by which IOMMUFD has devices'),
    ('ARM_SMMU_V3_IOMMUFD', NOTE, 'an accelerated SMMU'),
    ('TEGRA241_CMDQV', NOTE, "a guest's own command queues of its SMMU"))
NO_ATS = 'so that the guest has no ATS'


# --- the host -------------------------------------------------------------

class Root:
    """The running host's / if IS_LIVE, else what somebody saved of it."""

    def __init__(self, path, is_live):
        self.path, self.is_live = path, is_live

    def has(self, name):
        return os.path.exists(os.path.join(self.path, name))

    def read(self, name):
        """The bytes of a file; none if it can't be read."""
        try:
            with open(os.path.join(self.path, name), 'rb') as file:
                return file.read()
        except (OSError, ValueError):
            return b''

    def kernel(self):
        """The names of the kernel's CONFIG_ options; None if unknown."""
        release = self.read('proc/sys/kernel/osrelease').decode(
            'utf-8', 'replace').strip()
        text = self.read(f'boot/config-{release}')
        try:
            text = gzip.decompress(self.read('proc/config.gz')) or text
        except (OSError, EOFError, zlib.error):
            pass
        return re.findall(r'(?m)^CONFIG_(\w+)=[ym]$',
                          text.decode('utf-8', 'replace')) or None


def kvm(arch, device='/dev/kvm'):
    """What KVM says of a new virtual machine; /dev/kvm itself can't tell."""
    if arch != MACHINE:
        return TO_DO, (f'KVM: this machine is {arch}: such GPUs are in '
                       'arm64 hosts')
    try:
        file = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return TO_DO, (f'KVM: there is no {device}: the kernel must have KVM, '
                       'and be started in EL2')
    except OSError as error:
        return UNKNOWN, f'KVM: {device}: {error.strerror}: run this as root'
    files = [file]
    try:
        files.append(fcntl.ioctl(file, KVM_CREATE_VM, 0))
        can = fcntl.ioctl(files[-1], KVM_CHECK_EXTENSION,
                          KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED)
    except OSError as error:
        return UNKNOWN, f'KVM: {device}: {error.strerror}'
    finally:
        for each in files:
            os.close(each)
    if can > 0:
        return OK, "KVM: it can map a GPU's memory as cacheable"
    return TO_DO, ("KVM: it can't map a GPU's memory as cacheable, so that the "
                   'guest ends on first use: take Linux 6.17 or newer, on CPUs '
                   'with S2FWB and DIC')


def of_host(host, root, guest):
    if root.is_live:
        yield kvm(os.uname().machine)
    else:
        yield UNKNOWN, 'KVM: only the running host can tell'
    if host.has_iommufd():
        yield OK, 'IOMMUFD: /dev/iommu is there'
    elif root.is_live:
        wanted = guest and any(
            one.get('iommufd') == 'yes' for one in guest.root.all(
                'devices', 'hostdev', 'driver'))
        yield TO_DO if wanted else NOTE, (
            'IOMMUFD: there is no /dev/iommu, '
            + ('which the domain uses' if wanted else NO_ATS)
            + ': "modprobe iommufd", on a kernel with CONFIG_IOMMUFD')
    else:
        yield UNKNOWN, 'IOMMUFD: only the running host can tell'
    options = root.kernel()
    if options is None:
        yield UNKNOWN, ('kernel: neither /proc/config.gz nor its '
                        '/boot/config-* can be read')
        return
    for option, without, what in OPTIONS:
        if option in options:
            yield OK, f'kernel: it has CONFIG_{option}'
        else:
            yield without, f'kernel: it is without CONFIG_{option}, {what}'


def of_gpu(gpu, root, hostdev=None):
    if gpu.is_cxl:
        yield TO_DO, ('it is a CXL device, which vfio passes through only with '
                      'patches that Linux has not merged')
        return
    yield of_driver(gpu, hostdev)
    if gpu.has_iommu:
        yield OK, 'it has an IOMMU group'
    else:
        yield TO_DO, f'it has no IOMMU group: {iommu_advice(gpu)}'
    if not gpu.egm:
        yield OK, 'it has no EGM, which is optional'
    elif root.is_live and not root.has(f'dev/{gpu.egm}'):
        yield TO_DO, f'its EGM has no /dev/{gpu.egm}'
    else:
        yield OK, f'its EGM is /dev/{gpu.egm}'


def of_driver(gpu, hostdev):
    is_managed = hostdev and hostdev.element.get('managed') == 'yes'
    model = is_managed and hostdev.element.first('driver').get('model')
    name = f"<driver model='{DRIVER}'/>"
    if model == DRIVER:
        return OK, f'libvirt binds {DRIVER} when the domain starts'
    if model:
        return TO_DO, (f'libvirt binds {model} when the domain starts, which '
                       f'shows no memory: write {name}')
    if gpu.driver == DRIVER:
        return OK, f'its driver is {DRIVER}'
    if is_managed:
        return UNKNOWN, ('libvirt binds the driver that the kernel names for '
                         f'it when the domain starts: {name} makes it sure')
    return TO_DO, (f'its driver is {gpu.driver or "none"}: '
                   f'{driver_advice(gpu)}')


# --- a domain -------------------------------------------------------------

def of_domain(guest, gpus, root):
    yield emulator(guest.root.first('devices', 'emulator').text, root)
    firmware = guest.root.first('os')
    if firmware.get('firmware') == 'efi' or (
            firmware.first('loader').get('type') == 'pflash'):
        yield OK, 'firmware: it is UEFI'
    else:
        yield TO_DO, ('firmware: it is not UEFI, so that the guest has no '
                      "ACPI: write <os firmware='efi'>")
    if guest.root.find('features', 'acpi') is None:
        yield TO_DO, 'ACPI: write <acpi/> in <features>'
    else:
        yield OK, 'ACPI: it is on'
    yield of_window(guest.window() or WINDOW, gpus)
    yield locked_memory(guest)
    aliases = {hostdev.alias for hostdev in guest.hostdevs}
    for devid, (name, _) in guest.objects.items():
        if devid not in aliases:
            yield TO_DO, f'object {name}: no <hostdev> has the alias {devid}'


def of_window(window, gpus):
    if not all(gpu and gpu.memory for gpu in gpus):
        return UNKNOWN, 'window: the BARs of a GPU are not known here'
    need = sum(gpu.reserve for gpu in gpus)
    if window < need:
        return TO_DO, (f'window: its {window // GIB}G for BARs are too small, '
                       f'for these GPUs need {need // GIB}G: run "qemu-gpu-mem '
                       'domain", or make one of your own larger')
    return OK, f'window: its {window // GIB}G for BARs are enough'


def emulator(path, root):
    if not path:
        return TO_DO, ('QEMU: write an <emulator> that has the object '
                       f'{OBJECT}')
    if not root.is_live:
        return UNKNOWN, f'QEMU: {path}: only the running host can tell'
    try:
        if os.stat(path).st_uid:
            return UNKNOWN, (f'QEMU: {path} is not run, for its owner is not '
                             'root')
        said = output(path, '-object', 'help')
    except (OSError, Mistake) as error:
        return TO_DO, f'QEMU: {error}'
    if OBJECT in said.split():
        return OK, f'QEMU: {path} has the object {OBJECT}'
    return TO_DO, (f'QEMU: {path} has no object {OBJECT}: take another '
                   '<emulator>')


def locked_memory(guest):
    """libvirt takes <hard_limit> for what QEMU may lock, if it is there."""
    limit, memory = (guest.root.find(*path) for path in (
        ('memtune', 'hard_limit'), ('memory',)))
    if limit is None or memory is None:
        return OK, 'locked memory: libvirt allows what the GPUs need'
    limit, memory = (size(one.text, one.get('unit', 'KiB'), f'<{one.name}>')
                     for one in (limit, memory))
    if limit < memory + GIB:
        return TO_DO, ('locked memory: <hard_limit> is less than <memory> and '
                       '1 GiB: take it out')
    return OK, 'locked memory: <hard_limit> is at least <memory> and 1 GiB'


def of_hostdev(guest, hostdev, gpu, host, root):
    if gpu:
        yield from of_gpu(gpu, root, hostdev)
    elif host.has(hostdev.source):
        yield UNKNOWN, 'it is of no known model with coherent memory'
    else:
        yield TO_DO, 'this host has no such PCI device'
    name, nodes = guest.objects.get(hostdev.alias, ('', None))
    if nodes is None or not hostdev.alias:
        yield TO_DO, (f'no object {OBJECT} is for it: run "qemu-gpu-mem '
                      'domain"')
    elif not hostdev.alias.startswith('ua-'):
        yield TO_DO, (f'libvirt drops its alias {hostdev.alias}, which object '
                      f'{name} names: let it begin with ua-')
    else:
        yield OK, f'object {name} has its alias {hostdev.alias}'
        yield of_nodes(guest, nodes)
    if gpu and gpu.memory:
        yield of_port(guest, hostdev, gpu.reserve)
    yield of_smmu(guest, hostdev)


def of_nodes(guest, nodes):
    used = [node for node in nodes if node not in guest.nodes
            or node in guest.with_cpus or not _is_empty(guest, node)]
    what = f'its nodes {nodes[0]}-{nodes[-1]}'
    if used:
        return TO_DO, (f'{what}: {", ".join(map(str, used))} must be a <cell> '
                       "with memory='0' and without CPUs")
    return OK, f'{what} are empty'


def _is_empty(guest, node):
    if node in guest.cells:
        return not number(guest.cells[node].get('memory', '0'),
                          'memory of a <cell>')
    return not {'mem', 'memdev'} & {*guest.node_arguments[node].keys('type')}


def of_port(guest, hostdev, need):
    """The port's room for BARs; behind pcie.0 it needs none."""
    if guest.bridge_above(hostdev.bus) is None:
        return OK, 'it is behind pcie.0, which has room for BARs'
    given = guest.reserve(hostdev.bus)
    if given >= need:
        return OK, f'its port reserves {given // GIB}G for BARs'
    return TO_DO, (f'its port reserves {given // GIB}G for BARs '
                   f'(pref64-reserve), and it needs {need // GIB}G: run '
                   '"qemu-gpu-mem domain --place"')


def of_smmu(guest, hostdev):
    """Of the host bridge that it is below."""
    bridge = guest.bridge_above(hostdev.bus)
    if bridge is None:
        return NOTE, ('it is below no host bridge near its node, and has no '
                      f'accelerated SMMU, {NO_ATS}: "qemu-gpu-mem domain '
                      '--place" moves it')
    names, smmu = guest.names(bridge), guest.items().get(f'smmu {bridge}')
    if smmu and smmu.value.get('accel') == 'on' or any(
            one.option == '-device' and one.keys('driver').get('driver') == [
                SMMU] and one.get('accel') in ('on', 'True')
            and one.get('primary-bus') in names for one in guest.arguments):
        return OK, 'its host bridge has an accelerated SMMU'
    return NOTE, (f'its host bridge has no accelerated SMMU, {NO_ATS}: '
                  '"qemu-gpu-mem domain" writes one for a QEMU that has it '
                  '(11.0)')


# --- all of it ------------------------------------------------------------

def named(address, found):
    return ((state, f'{address}: {text}') for state, text in found)


def lines(host, root, guest=None):
    yield from of_host(host, root, guest)
    gpus = {gpu.address: gpu for gpu in host.gpus()}
    if guest is None:
        if not gpus:
            yield TO_DO, 'GPUs: this host has none with coherent memory'
        for gpu in gpus.values():
            yield from named(gpu.address, of_gpu(gpu, root))
        return
    hostdevs = [hostdev for hostdev in guest.hostdevs
                if hostdev.source in gpus or hostdev.alias in guest.objects]
    if not hostdevs:
        yield TO_DO, ('GPUs: the domain has no <hostdev> of a GPU with '
                      'coherent memory')
        return
    yield from of_domain(guest, [gpus.get(hostdev.source)
                                 for hostdev in hostdevs], root)
    for hostdev in hostdevs:
        yield from named(hostdev.source, of_hostdev(
            guest, hostdev, gpus.get(hostdev.source), host, root))
