# SPDX-License-Identifier: GPL-2.0-or-later
"""All that a run has measured, and what follows from it."""

import dataclasses
import statistics

from fit import Fit, fit
from instructions import Count, Job
from spread import Spread, paired_ratio
from variants import (
    GPUS, NONE, OUR_OBJECT, PEERS, SWITCHES, VARIANTS, Variant, bridges)

MOST = GPUS[-1]
RUNS = 3                # of each variant with the most GPUs
MOST_RATIO = 1.03       # of instructions, to no object
PEERS_MOST_RATIO = 1.1  # the same of QEMU's objects, which this tree mends
MOST_TABLE_CODE = 2_000_000
MOST_CHECKS = 200_000


def jobs() -> list[Job]:
    """What to count, the longest first"""
    growth = [Job(variant, gpus) for gpus in GPUS for variant in VARIANTS]
    again = [Job(variant, MOST, run=run) for run in range(1, RUNS)
             for variant in VARIANTS]
    depth = [Job(OUR_OBJECT, 1, switches) for switches in SWITCHES[1:]]
    return sorted(growth + again + depth, key=lambda job: -job.gpus)


@dataclasses.dataclass
class Sizes:
    srat: int
    dsdt: int
    command_line: int       # its characters, a space before each argument
    objects: int            # the part of it that differs between variants


@dataclasses.dataclass
class Target:
    text: str
    figure: str
    met: bool


@dataclasses.dataclass
class Figures:
    about: str                      # QEMU and the machine
    counts: dict[Job, Count]
    sizes: dict[tuple[str, int], Sizes]             # variant, GPUs
    seconds: dict[tuple[str, int], list[float]]     # variant, GPUs
    boots: dict[str, list[float]]                   # "with", "without" nodes

    def runs(self, variant: Variant) -> list[int]:
        """Instructions with the most GPUs, each run"""
        return [self.counts[Job(variant, MOST, run=run)].total
                for run in range(RUNS)]

    def unsteadiness(self) -> float:
        """The most that runs of the same differ"""
        return max((max(runs) - min(runs)) / min(runs)
                   for runs in map(self.runs, VARIANTS))

    def instruction_ratio(self, variant: Variant) -> float:
        return (statistics.median(self.runs(variant)) /
                statistics.median(self.runs(NONE)))

    def table_ratio(self, variant: Variant) -> float:
        return (self.counts[Job(variant, MOST)].tables /
                self.counts[Job(NONE, MOST)].tables)

    def start_ratio(self, variant: Variant) -> Spread:
        return paired_ratio(self.seconds[variant.key, MOST],
                            self.seconds[NONE.key, MOST])

    def size_ratio(self, variant: Variant, name: str) -> float:
        return (getattr(self.sizes[variant.key, MOST], name) /
                getattr(self.sizes[NONE.key, MOST], name))

    def boot_ratio(self) -> Spread:
        return paired_ratio(self.boots['with'], self.boots['without'])

    def added(self, variant: Variant, gpus: int) -> int:
        """To QEMU's start, by the objects"""
        return (self.counts[Job(variant, gpus)].total -
                self.counts[Job(NONE, gpus)].total)

    def growth(self) -> dict[str, Fit]:
        """Over the number of GPUs"""
        costs = {
            'our table code': lambda gpus:
                self.counts[Job(OUR_OBJECT, gpus)].our_tables,
            'our checks': lambda gpus:
                self.counts[Job(OUR_OBJECT, gpus)].our_checks}
        for variant in VARIANTS[1:]:
            costs[f'all that `{variant.title}` adds'] = (
                lambda gpus, variant=variant: self.added(variant, gpus))
        return {name: fit(GPUS, [cost(gpus) for gpus in GPUS])
                for name, cost in costs.items()}

    def depth_growth(self) -> Fit:
        """Over the bridges above one GPU"""
        return fit([bridges(switches) for switches in SWITCHES],
                   [self.counts[Job(OUR_OBJECT, 1, switches)].our_tables
                    for switches in SWITCHES])

    def targets(self) -> list[Target]:
        ratio = self.instruction_ratio(OUR_OBJECT)
        peers_ratio = self.instruction_ratio(PEERS)
        table_code = self.counts[Job(OUR_OBJECT, MOST)].our_tables
        checks = self.counts[Job(OUR_OBJECT, MOST)].our_checks
        growth = self.growth()
        linear = {
            'our table code grows linearly with the GPUs':
                growth['our table code'],
            'so does all that our objects add':
                growth[f'all that `{OUR_OBJECT.title}` adds'],
            'our table code grows linearly with the bridges above a GPU':
                self.depth_growth()}
        return [
            Target(f'instructions with our objects, {MOST} GPUs: at most '
                   f'{MOST_RATIO} times those without',
                   f'{ratio:.3f}', ratio <= MOST_RATIO),
            Target(f'with `{PEERS.title}` objects: at most {PEERS_MOST_RATIO} '
                   'times', f'{peers_ratio:.3f}',
                   peers_ratio <= PEERS_MOST_RATIO),
            Target(f'our table code, {MOST} GPUs: at most '
                   f'{MOST_TABLE_CODE / 1e6:g} M instructions',
                   f'{table_code / 1e6:.2f} M',
                   table_code <= MOST_TABLE_CODE),
            Target(f'our checks, {MOST} GPUs: at most {MOST_CHECKS / 1e6:g} M '
                   'instructions', f'{checks / 1e6:.2f} M',
                   checks <= MOST_CHECKS),
            *(Target(text, f'{100 * line.quadratic:.1f}% quadratic',
                     line.linear())
              for text, line in linear.items())]
