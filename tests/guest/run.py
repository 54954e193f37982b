#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the test guest and report whether it has its GPUs' memory online."""

import argparse
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True      # the source directory stays clean

import guest                        # noqa: E402
import machine                      # noqa: E402
import picture                      # noqa: E402
import report                       # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--guest', required=True, metavar='DIR',
                        help='what build-guest made')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets logs and tables')
    parser.add_argument('--gpus', type=int, default=1, metavar='N')
    parser.add_argument('--nodes', type=int, metavar='N',
                        help='of each GPU (default: 8, or what fits)')
    parser.add_argument('--partitions', type=int, metavar='N',
                        choices=(1, 2, 4, 8), help='of each GPU\'s memory, '
                        'one in a node (default: 8, or what fits)')
    parser.add_argument('--gpu-mb', type=int, default=0, metavar='N',
                        help='memory of each GPU (default: 1024); a partition '
                        'takes whole memory blocks of the kernel')
    parser.add_argument('--timeout', type=int, default=guest.DEADLINE,
                        metavar='S', help='seconds for the whole guest '
                        '(default: %(default)s)')
    parser.add_argument('qemu_args', nargs='*', metavar='-- QEMU_ARG',
                        help='added to the command line')
    return parser.parse_args()


def disassemble(out, name):
    """Why there is no disassembly, or None."""
    try:
        done = subprocess.run(['iasl', '-d', f'{name}.dat'], cwd=out,
                              stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError:
        return f'{name}.dsl: iasl is not installed (package acpica-tools)'
    if done.returncode:
        return f'{name}.dsl: iasl failed: {done.stdout.strip()}'
    return None


def keep(out, found):
    """Leave tables, numactl's output and the picture; returns what failed."""
    for name, table in found.tables.items():
        with open(os.path.join(out, f'{name}.dat'), 'wb') as file:
            file.write(table)
    with open(os.path.join(out, 'numactl.txt'), 'w') as file:
        file.write(found.numactl + '\n')
    faults = [fault for name in found.tables
              if (fault := disassemble(out, name))]
    return faults + picture.draw(out, found)


def forget_last_run(out):
    """What an earlier run left must not pass for this one's."""
    tables = (f'{table}.{suffix}' for table in report.TABLES
              for suffix in ('dat', 'dsl'))
    for name in ('numactl.txt', *tables, *picture.FILES):
        try:
            os.remove(os.path.join(out, name))
        except FileNotFoundError:
            pass


def show(found, out):
    print(f'empty nodes in SRAT: {report.node_list(found.hotplug_nodes())}')
    for gpu in found.gpus:
        print(f'GPU {gpu.address}: {gpu.path}, driver {gpu.driver}')
        for name, value in gpu.properties.items():
            print(f'    {name} = {value}')
        print(f'    nodes {report.node_list(gpu.nodes.values())}')
    print('memory online:')
    for node, memory in sorted(found.memory.items()):
        print(f'    node {node}: {memory.online_mb} MB')
    said = guest.read_stderr(out)
    if said:
        print(f'QEMU says: {said}')
    for name in picture.FORMATS:
        path = os.path.join(out, name)
        if os.path.exists(path):
            print(f'picture: {path}')
    print(f'logs and tables: {out}')


def main():
    # In step with stderr, also where both go to one file
    sys.stdout.reconfigure(line_buffering=True)
    args = parse_args()
    nodes = args.nodes
    if nodes is None:
        nodes = machine.default_nodes(args.gpus, args.guest)
    partitions = args.partitions or machine.default_partitions(nodes)
    vm = machine.Machine(args.gpus, nodes, partitions=partitions,
                         gpu_mb=args.gpu_mb, further='topology')
    try:
        vm.check(args.guest)
        command = vm.command(args.qemu, args.guest, args.out, args.qemu_args)
    except machine.MachineError as error:
        sys.exit(f'run: {error}')

    forget_last_run(args.out)
    try:
        guest.boot(command, vm.arch.milestones, args.out, args.timeout,
                   lambda name, seconds:
                   print(f'{seconds:6.1f} s  {name}'))
    except guest.BootError as error:
        tail = guest.log_tail(args.out, 20)
        if tail:
            print(f'the end of {os.path.join(args.out, guest.LOG)}:')
        for line in tail:
            print(f'    {line}')
        sys.exit(f'run: {error}')

    guest.forget_memory(args.out)
    found = report.parse(guest.read_log(args.out))
    missing = keep(args.out, found) + report.missing(found, vm)
    show(found, args.out)
    for line in missing:
        print(f'missing: {line}')
    if missing:
        sys.exit(1)
    print('ok')


if __name__ == '__main__':
    # So that QEMU ends with us: as with an interrupt, "finally" runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
