# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's start in seconds: the variants in turn, with nothing beside them."""

import os
from collections.abc import Sequence

from start import start
from variants import GPUS, VARIANTS, arguments

ROUNDS = 25


def in_turn(items: Sequence, turn: int) -> Sequence:
    """None of them is always the first after a pause, or after another one"""
    at = turn % len(items)
    return items[at:] + items[:at]


def measure(qemu: str, folder: str) -> dict[tuple[str, int], list[float]]:
    """By variant and number of GPUs, a number for each round.

    The round before the first warms up, and is not counted.
    """
    log = os.path.join(folder, 'start.log')
    seconds = {(variant.key, gpus): [] for gpus in GPUS for variant in VARIANTS}
    for turn in range(ROUNDS + 1):
        for gpus in GPUS:
            for variant in in_turn(VARIANTS, turn):
                taken = start([qemu, *arguments(variant, gpus)], log)
                if turn:
                    seconds[variant.key, gpus].append(taken)
    return seconds
