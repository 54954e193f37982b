#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds of a real guest from its start to user space, in pairs: with 14
empty nodes, as many as Debian's arm64 kernel can have beside two others, and
without.

Prints {"with": [...], "without": [...]}.  A program of its own, because the
modules of the guest and of the random machines have names in common.
"""

import argparse
import json
import os
import sys

sys.dont_write_bytecode = True      # the source directory stays clean
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             '..', 'guest'))

import guest                        # noqa: E402
import machine                      # noqa: E402
from arch import ARM64              # noqa: E402

EMPTY_NODES = 14
USER_SPACE = 'user space'


class UserSpace(Exception):
    """The guest is there; what it does next takes the same time."""


def without_nodes(command):
    """The same machine, with neither the empty nodes nor their object."""
    nodes = [f'node,nodeid={node}' for node in
             range(machine.CPU_NODES, machine.CPU_NODES + EMPTY_NODES)]
    left = []
    for arg in command:
        if arg in nodes or arg.startswith('nvidia-gpu-mem-acpi,'):
            left.pop()      # its option
        else:
            left.append(arg)
    return left


def boot(command, out):
    reached = []

    def on_milestone(name, seconds):
        if name == USER_SPACE:
            reached.append(seconds)
            raise UserSpace

    try:
        guest.boot(command, ARM64.milestones, out,
                   on_milestone=on_milestone)
    except UserSpace:
        pass
    return reached[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets logs')
    parser.add_argument('--pairs', type=int, required=True, metavar='N')
    args = parser.parse_args()

    command = machine.Machine(nodes=EMPTY_NODES).command(
        args.qemu, args.guest, args.out)
    commands = {'with': command, 'without': without_nodes(command)}
    seconds = {name: [] for name in commands}
    try:
        boot(command, args.out)     # warms up
        for pair in range(args.pairs):
            # Neither is always the first
            for name in sorted(commands, reverse=pair % 2):
                seconds[name].append(boot(commands[name], args.out))
    except (guest.BootError, machine.MachineError) as error:
        sys.exit(f'boots: {error}')
    print(json.dumps(seconds))


if __name__ == '__main__':
    main()
