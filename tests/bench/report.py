# SPDX-License-Identifier: GPL-2.0-or-later
"""The report, in Markdown, and what its plot shows."""

import plot
from figures import MOST, RUNS, Figures
from fit import LINEAR, Fit
from instructions import Job
from spread import MEANINGFUL, Spread
from variants import (
    GPUS, OUR_OBJECT, PEERS, SWITCHES, VARIANTS, Variant, bridges)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ['---'] + ['---:'] * (len(head) - 1), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def titles(variants: tuple[Variant, ...]) -> list[str]:
    return [f'`{v.title}`' if v.objects else v.title for v in variants]


def millions(count: int) -> str:
    return f'{count / 1e6:.2f}'


def ratios(figures: Figures) -> str:
    others = VARIANTS[1:]
    rows = [
        ['instructions to the first QMP answer',
         *(f'{figures.instruction_ratio(v):.3f}' for v in others)],
        ['instructions that build all ACPI tables',
         *(f'{figures.table_ratio(v):.3f}' for v in others)],
        ['seconds to the first QMP answer',
         *(figures.start_ratio(v).ratio_text() for v in others)]]
    for name, title in (('srat', 'bytes of SRAT'), ('dsdt', 'bytes of DSDT'),
                        ('command_line', 'length of the command line')):
        rows.append([title, *(f'{figures.size_ratio(v, name):.3f}'
                              for v in others)])
    return table([f'{MOST} GPUs, relative to no object', *titles(others)], rows)


def by_gpus(text) -> str:
    """A table with a row for each number of GPUs"""
    return table(['GPUs', *titles(VARIANTS)],
                 [[str(gpus), *(text(variant, gpus) for variant in VARIANTS)]
                  for gpus in GPUS])


def our_instructions(figures: Figures) -> str:
    rows = []
    for gpus in GPUS:
        ours = figures.counts[Job(OUR_OBJECT, gpus)]
        peers = figures.counts[Job(PEERS, gpus)]
        rows.append([str(gpus), millions(ours.our_tables),
                     millions(ours.our_checks), millions(peers.peers_tables)])
    return table(['GPUs', 'our table code', 'our checks',
                  '`build_srat_generic_affinity_structures` with the '
                  "peer's objects"], rows)


def depth(figures: Figures) -> str:
    return table(['bridges above one GPU', 'our table code'],
                 [[str(bridges(switches)), millions(figures.counts[
                     Job(OUR_OBJECT, 1, switches)].our_tables)]
                  for switches in SWITCHES])


def fits(figures: Figures) -> str:
    def row(name: str, line: Fit) -> list[str]:
        return [name, f'{line.constant / 1e6:.3f} + {line.slope / 1e6:.3f} n',
                f'{100 * line.quadratic:.1f}%']

    rows = [row(name, line) for name, line in figures.growth().items()]
    rows.append(row('our table code, n bridges above one GPU',
                    figures.depth_growth()))
    return table(['M instructions, n GPUs', 'line', 'quadratic part'], rows)


def verdicts(figures: Figures) -> str:
    return table(['target', 'figure', ''],
                 [[target.text, target.figure,
                   'ok' if target.met else '**missed**']
                  for target in figures.targets()])


def write(figures: Figures) -> str:
    def instructions(variant: Variant, gpus: int) -> str:
        return millions(figures.counts[Job(variant, gpus)].total)

    def tables(variant: Variant, gpus: int) -> str:
        return millions(figures.counts[Job(variant, gpus)].tables)

    def milliseconds(variant: Variant, gpus: int) -> str:
        return Spread.of(figures.seconds[variant.key, gpus]).text(0, 1000)

    def sizes(variant: Variant, gpus: int) -> str:
        size = figures.sizes[variant.key, gpus]
        return f'{size.srat} / {size.dsdt}'

    def command_line(variant: Variant, gpus: int) -> str:
        size = figures.sizes[variant.key, gpus]
        return f'{size.command_line} / {size.objects}'

    seconds = {name: Spread.of(values).text(2)
               for name, values in figures.boots.items()}
    return f'''# What the tables cost

As `make bench` writes it; [tests/bench](../../tests/bench/README.md) tells how it measures. {figures.about}.

{ratios(figures)}

Seconds of a guest to user space, with 14 empty nodes to none: {figures.boot_ratio().ratio_text()}

![Instructions over the number of GPUs](growth.svg)

## Instructions, in millions

Of QEMU's main thread, from its start to its first QMP answer. {RUNS} runs of the same with {MOST} GPUs differ by up to {100 * figures.unsteadiness():.3f}%.

{by_gpus(instructions)}

Of that, to build all ACPI tables:

{by_gpus(tables)}

What is our own, with all that it calls, and what is the peer's:

{our_instructions(figures)}

{depth(figures)}

## Growth

The quadratic part is what x² makes up, at the largest n, of a fitted parabola: a cost is called linear up to {100 * LINEAR:.0f}%. It may be negative.

{fits(figures)}

## Seconds

QEMU's start to its first QMP answer, in ms: the median of {len(figures.seconds[OUR_OBJECT.key, MOST])} rounds (and quartiles).

{by_gpus(milliseconds)}

The guest's start to user space, in s, the median of {len(figures.boots['with'])} pairs (and quartiles): {seconds['with']} with 14 empty nodes, {seconds['without']} without.
A ratio is of runs made side by side, and is given only if its quartiles are within {100 * MEANINGFUL:.0f}% of it.

## Sizes

Bytes of SRAT / DSDT:

{by_gpus(sizes)}

Characters of the command line / of the objects in it:

{by_gpus(command_line)}

## Targets

{verdicts(figures)}
'''


def draw(figures: Figures) -> str:
    def lines(of) -> list[plot.Line]:
        return [plot.Line(variant.key, variant.title,
                          [(gpus, of(figures.counts[Job(variant, gpus)]) / 1e6)
                           for gpus in GPUS])
                for variant in VARIANTS]

    return plot.draw([
        plot.Panel('M instructions to the first QMP answer',
                   lines(lambda count: count.total)),
        plot.Panel('Of that, to build all ACPI tables',
                   lines(lambda count: count.tables))])
