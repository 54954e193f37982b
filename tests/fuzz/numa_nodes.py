# SPDX-License-Identifier: GPL-2.0-or-later
"""Random NUMA nodes: which have memory, which have CPUs, how far apart."""

import random

from machine import MAX_NODES, Machine, Node

SIZES_MIB = (1, 2, 3, 4, 8, 16, 33, 64)
BIG_MIB = (2048, 3072, 4096)        # more than fits below 4 GiB
DIMM_SLOTS = 2
MANY_CPUS = 2, 144                  # with APIC IDs of more than 8 bits


def random_count(rng: random.Random) -> int:
    return rng.choices((0, 1, rng.randint(2, 10), rng.randint(11, 40),
                        rng.randint(41, MAX_NODES - 1), MAX_NODES),
                       (5, 2, 60, 25, 6, 2))[0]


def place_cpus(machine: Machine, rng: random.Random) -> str:
    """Give each CPU to a node; returns what -smp says."""
    sockets = rng.choice((1, 1, 2, 3, 4))
    per_socket = rng.randint(1, 8 // sockets)
    if machine.board.max_cpus > 8 and rng.random() < 0.03:
        sockets, per_socket = MANY_CPUS
    machine.per_socket = per_socket
    count = sockets * per_socket
    nodes = machine.nodes
    smp = (f'{rng.randint(1, min(count, 8))},maxcpus={count},'
           f'sockets={sockets}')

    if not nodes:
        return smp
    named = rng.sample(range(count), rng.choice((0, count, count,
                                                 rng.randint(0, count))))
    homes = rng.sample(nodes, min(len(nodes), rng.randint(1, 4)))
    for cpu in range(count):
        if cpu in named:
            home = rng.choice(homes)
        elif named:
            home = nodes[0]             # QEMU's own rules
        else:
            home = nodes[cpu // per_socket % len(nodes)]
        home.cpus.append(cpu)
    for node in nodes:
        node.named_cpus = sorted(set(node.cpus) & set(named))
    return smp


def cpus_text(cpus: list[int], rng: random.Random) -> str:
    """Such as ',cpus=0-1,cpus=3'"""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and runs[-1][-1] == cpu - 1 and rng.random() < 0.8:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    rng.shuffle(runs)
    return ''.join(f',cpus={run[0]}-{run[-1]}' if len(run) > 1 else
                   f',cpus={run[0]}' for run in runs)


def random_distances(machine: Machine, rng: random.Random) -> list[list[str]]:
    count = len(machine.nodes)
    both_ways = rng.random() < 0.3
    options = []
    for src in range(count):
        for dst in range(count):
            if src == dst or (dst < src and not both_ways):
                continue
            value = rng.randint(11, 254)
            machine.distances[src, dst] = value
            if not both_ways:
                machine.distances[dst, src] = value
            options.append(['-numa', f'dist,src={src},dst={dst},val={value}'])
    rng.shuffle(options)
    return options


def random_hmat(machine: Machine, rng: random.Random) -> list[list[str]]:
    """Latencies from nodes with CPUs to any, of empty nodes too."""
    initiators = [node.number for node in machine.nodes if node.named_cpus]
    options = []
    for initiator in initiators:
        for node in rng.sample(machine.nodes, min(len(machine.nodes), 6)):
            machine.latencies.add((initiator, node.number))
            options.append([
                '-numa', f'hmat-lb,initiator={initiator},target={node.number},'
                'hierarchy=memory,data-type=access-latency,'
                f'latency={rng.randint(1, 200)}'])
    return options


def add_backend(machine: Machine, name: str, mib: int) -> None:
    machine.backends.append(name)
    machine.option_groups.append([[
        '-object', f'memory-backend-ram,id={name},size={mib}M']])


def add_nodes(machine: Machine, rng: random.Random) -> None:
    machine.nodes = [Node(number) for number in range(random_count(rng))]
    if machine.nodes:
        count = min(len(machine.nodes), rng.randint(1, 5))
        for node in rng.sample(machine.nodes, count):
            big = rng.random() < 0.05
            node.mib = rng.choice(BIG_MIB if big else SIZES_MIB)
    machine.mib = sum(node.mib for node in machine.nodes) or \
        rng.choice(SIZES_MIB)
    smp = place_cpus(machine, rng)

    machine.hmat = bool(machine.nodes) and rng.random() < 0.2
    memory = f'{machine.mib}M'
    if rng.random() < 0.25:
        machine.max_mib = machine.mib + rng.choice((256, 1024))
        memory += f',slots={DIMM_SLOTS},maxmem={machine.max_mib}M'
    machine.option_groups.append([['-smp', smp], ['-m', memory]])

    options = []
    for node in machine.nodes:
        text = f'node,nodeid={node.number}'
        if node.mib:
            backend = f'ram{node.number}'
            add_backend(machine, backend, node.mib)
            text += f',memdev={backend}'
        text += cpus_text(node.named_cpus, rng)
        options.append(['-numa', text])
    rng.shuffle(options)
    if 2 <= len(machine.nodes) <= 12 and rng.random() < 0.2:
        options += random_distances(machine, rng)
    if machine.hmat:
        options += random_hmat(machine, rng)
    machine.numa_options = options
    machine.option_groups.append(options)

    if not machine.nodes and machine.max_mib:
        # QEMU then makes a node of all
        count = int(smp.split('maxcpus=')[1].split(',')[0])
        machine.nodes = [Node(0, machine.mib, list(range(count)))]
