# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest of "make run", with the QEMU and firmware that are installed."""

import os
import shutil

import guest
import report
from checks import Failure, same


def make_folder(path, guest_dir, firmware):
    """Links to the guest's kernel, and for each name to a firmware's path."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for name in ('vmlinuz', 'initramfs.cpio.gz'):
        os.symlink(os.path.join(os.path.abspath(guest_dir), name),
                   os.path.join(path, name))
    for name, installed in firmware.items():
        os.symlink(installed, os.path.join(path, name))


def boot(command, vm, out, **options):
    """Nothing that the machine should have is missing in the guest."""
    try:
        guest.boot(command, vm.arch.milestones, out, **options)
        same('missing', report.missing(report.parse(guest.read_log(out)), vm),
             [])
    except (guest.BootError, Failure) as error:
        raise Failure('\n'.join([
            str(error), guest.read_stderr(out), 'the end of the console:',
            *guest.log_tail(out)])) from None
