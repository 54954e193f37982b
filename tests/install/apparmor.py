# SPDX-License-Identifier: GPL-2.0-or-later
"""What AppArmor's profiles of libvirt let a guest of the package do.

The kernel's half of AppArmor isn't needed: libvirt's virt-aa-helper writes the
profile that a domain gets, and apparmor_parser compiles it.
"""

import os
import re
import subprocess
import uuid

from checks import Failure, same

PACKAGES = ('apparmor', 'libvirt-daemon-system')
HELPER = '/usr/lib/libvirt/virt-aa-helper'
PROFILES = '/etc/apparmor.d'
TEMPLATE = f'{PROFILES}/libvirt/TEMPLATE.qemu'
ABSTRACTION = f'{PROFILES}/abstractions/libvirt-qemu'
SHIPPED = f'{ABSTRACTION}.d/qemu-gpu-mem'
# Where libvirt before 9.6 looks instead
LOCAL = f'{PROFILES}/local/abstractions/libvirt-qemu'
WORK = '/tmp/apparmor'
# Of a guest: read, map and run under the same profile; of libvirtd: run under
# the other's profile, or none
RUN_BY_GUEST, RUN_BY_LIBVIRTD = 'rmix', 'PUx'


def compiled(it, profile):
    """The text of a profile with all that it includes; it compiles."""
    it.run('apparmor_parser', '--skip-kernel-load', '--skip-cache', profile)
    return it.run('apparmor_parser', '--preprocess', profile)


def regex(rule):
    """What a rule's path matches (apparmor.d(5), "Globbing")."""
    for glob, meaning in (('**', '.*'), ('*', '[^/]*'), ('{', '(?:'),
                          (',', '|'), ('}', ')')):
        rule = rule.replace(re.escape(glob), meaning)
    return rule


def allowed(text, path, permissions):
    """That a rule gives the path all the permissions."""
    for rule, given in re.findall(r'(?m)^\s*"?(/[^\s"]*)"?\s+(\w+),', text):
        if set(permissions) <= set(given) and re.fullmatch(
                regex(re.escape(rule)), path):
            return
    raise Failure(f'no rule lets {path} have {permissions}')


def profile_of(it, domain):
    """The profile that libvirt makes for the domain, and the helper's words."""
    unique = uuid.uuid4()
    name = f'libvirt-{unique}'
    # libvirt has given it one by then
    domain = domain.replace('</name>', f'</name><uuid>{unique}</uuid>', 1)
    done = subprocess.run(
        it.enter(HELPER, '--dryrun', '--create', '--uuid', name),
        input=domain, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Failure(done.stdout + done.stderr)
    with open(it.path(TEMPLATE)) as file:
        text = file.read().replace('LIBVIRT_TEMPLATE', name)
    files = '\n'.join(line for line in done.stdout.splitlines()
                      if re.match(r'\s*"/', line))
    end = text.rindex('}')
    return f'{text[:end]}{files}\n}}\n', done.stdout + done.stderr


def guest_profile(it, domain, emulator, files):
    """The domain may run this emulator, and read these files."""
    text, said = profile_of(it, domain)
    same('refused', re.findall(r'.*skipped.*', said), [])
    os.makedirs(it.path(WORK), exist_ok=True)
    with open(it.path(f'{WORK}/profile'), 'w') as file:
        file.write(text)
    text = compiled(it, f'{WORK}/profile')
    for path in emulator:
        allowed(text, path, RUN_BY_GUEST)
    for path in files:
        allowed(text, path, 'r')


def set_up(it):
    """What README.md has the owner of the host do."""
    with open(it.path(ABSTRACTION)) as file:
        if 'libvirt-qemu.d' not in file.read():
            it.run('sh', '-c', f'cat {SHIPPED} >> {LOCAL}')


def libvirtd_profile(it, emulator):
    """libvirtd may start the emulator."""
    allowed(compiled(it, f'{PROFILES}/usr.sbin.libvirtd'), emulator,
            RUN_BY_LIBVIRTD)
