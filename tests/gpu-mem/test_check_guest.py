#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""gpu-mem-check-guest in a guest: what is right there, and what is wrong."""

import argparse
import os
import re
import signal
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'guest'))

import guest                        # noqa: E402
from checks import same             # noqa: E402
from machine import Machine         # noqa: E402
from places import PXB, ROOT_BUS    # noqa: E402
from tap import Tap                 # noqa: E402

GH200 = ('-global', 'gpu-mem-testdev.vendor-id=0x10de',
         '-global', 'gpu-mem-testdev.device-id=0x2342')
NO_OBJECT = ('-object', 'memory-backend-ram,id=hbm-other,size=128M',
             '-device', 'gpu-mem-testdev,id=other,memdev=hbm-other,bus=pcie.0,'
             'addr=0x10')

NO_SVA = ('to do: kernel: it is without CONFIG_ARM_SMMU_V3_SVA, and then '
          "NVIDIA's driver does not use ATS: take another kernel")
ONLINING = 'ok: memory: what is added goes online as movable'
NO_DRIVER = "to do: %s: its driver is none: install NVIDIA's open kernel driver"
GPUMEM = ('unknown: %s: its driver is gpumem: whether that adds the memory is '
          'not known here')
NO_MEMORY = ('to do: %s: no memory in its nodes %s: its driver has not added '
             'it; see dmesg')

# --- a guest that has all -------------------------------------------------

GPU = '0000:00:04.0'
RIGHT = {
    'kernel': 'unknown: kernel: neither /proc/config.gz nor '
              '/boot/config-{version} is there',
    'nodes': 'ok: nodes: all 10 of the SRAT are possible; its empty domains '
             'are 2-9',
    'onlining': ONLINING,
    'domains': f'ok: {GPU}: its domains are 2-9, by nvidia,gpu-mem-pxm-start',
    'bars': f'ok: {GPU}: the addresses of BAR 4 are assigned',
    'driver': GPUMEM % GPU,
    'memory': f'ok: {GPU}: memory online: 512 MB in node 2, 512 MB in node 3; '
              'none in 4-9',
}
# Of each report the lines that differ
STEPS = {
    'no_driver': {'driver': NO_DRIVER % GPU,
                  'memory': NO_MEMORY % (GPU, '2-9')},
    'right': {},
    'kernel': {'kernel': 'ok: kernel: CONFIG_NODES_SHIFT=4 has room for 16 '
               f'nodes\n{NO_SVA}'},
    'onlining': {'onlining': 'to do: memory: auto_online_blocks is offline: '
                             'put memhp_default_state=online_movable on the '
                             'command line of the kernel'},
    'offline': {'memory': f'to do: {GPU}: memory of node 2 is offline: write '
                          'online_movable to its '
                          '/sys/devices/system/node/node*/memory*/state\nok: '
                          f'{GPU}: memory online: 512 MB in node 3; none in '
                          '2,4-9'},
}

# --- a guest with too many nodes, a GPU without room, and one without an object

GPUS = ('0000:00:05.0', '0000:00:10.0', '0000:81:00.0')
WRONG = [
    'to do: kernel: CONFIG_NODES_SHIFT=4 has room for 16 nodes, and the SRAT '
    'has 18: take a kernel with 5 or more, or fewer nodes',
    NO_SVA,
    'to do: nodes: only 0 are possible, and the SRAT has 18: "dmesg | grep '
    'SRAT" tells why the kernel dropped them',
    ONLINING,
    f'ok: {GPUS[0]}: its domains are 10-17, by nvidia,gpu-mem-pxm-start',
    f'ok: {GPUS[0]}: the addresses of BAR 2,4 are assigned',
    NO_DRIVER % GPUS[0],
    NO_MEMORY % (GPUS[0], '10-17'),
    f'to do: {GPUS[1]}: the tables name no nodes for it: give QEMU an object '
    'nvidia-gpu-mem-acpi with its id as devid=',
    f'ok: {GPUS[1]}: the addresses of BAR 4 are assigned',
    NO_DRIVER % GPUS[1],
    f'ok: {GPUS[2]}: its domains are 2-9, by nvidia,gpu-mem-pxm-start',
    f'to do: {GPUS[2]}: BAR 2,4 has no address: on the host, give its root '
    'port a larger pref64-reserve, and the machine a larger highmem-mmio-size',
    NO_DRIVER % GPUS[2],
    NO_MEMORY % (GPUS[2], '2-9'),
]


def said(log, name):
    """The lines of a report, and its status."""
    found = re.search(rf'(?s)@@ begin {name}\n(.*?)@@ end {name} (\d+)', log)
    return found[1].splitlines(), int(found[2])


def expected(lines):
    return lines, int(any(line.startswith('to do:') for line in lines))


class Test:
    def __init__(self, tap, args):
        self._tap, self._args = tap, args
        with open(os.path.join(args.guest, 'version')) as file:
            self._version = file.read().strip()

    def boot(self, name, vm, *extra):
        """The console's log; empty if the guest did not boot."""
        out = os.path.join(self._args.out, name)
        booted = self._tap.point(
            f'{name}: the guest boots', guest.boot, vm.command(
                self._args.qemu, self._args.guest, out, (*GH200, *extra)),
            vm.arch.milestones, out)
        guest.forget_memory(out)
        return guest.read_log(out) if booted else ''

    def says(self, what, log, name, lines):
        lines = '\n'.join(lines).format(version=self._version).splitlines()
        before = self._tap.failures
        self._tap.point(what, lambda: same('lines, status', said(log, name),
                                           expected(lines)))
        if self._tap.failures > before:
            for line in log.splitlines()[-60:]:
                self._tap.diagnose(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-python made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets a directory of logs per boot')
    args = parser.parse_args()

    tap = Tap(len(STEPS) + 3)
    test = Test(tap, args)
    log = test.boot('right', Machine(
        partitions=2, further='memory,right,kernel,onlining,offline'))
    for name, lines in STEPS.items():
        test.says(f'right: what is said: {name}', log, name,
                  {**RIGHT, **lines}.values())
    # The first GPU's port reserves nothing: Linux 6.1 and 6.12 find no room
    log = test.boot('wrong', Machine(
        gpus=2, nodes=8, places=(PXB, ROOT_BUS), gpu_mb=128 << 10,
        uncached_mb=1 << 10, further='kernel'), *NO_OBJECT)
    test.says('wrong: what is said', log, 'kernel', WRONG)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
