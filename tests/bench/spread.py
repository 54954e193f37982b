# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians with their spread, and ratios of pairs that are worth a number."""

import dataclasses
import statistics

MEANINGFUL = 0.10       # of a ratio: the most that its quartiles may differ


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    low: float          # the quartiles
    high: float

    @classmethod
    def of(cls, values: list[float]) -> 'Spread':
        low, median, high = statistics.quantiles(values, n=4,
                                                 method='inclusive')
        return cls(median, low, high)

    def meaningful(self) -> bool:
        return self.high - self.low <= MEANINGFUL * self.median

    def text(self, digits: int, scale: float = 1) -> str:
        return (f'{scale * self.median:.{digits}f} '
                f'({scale * self.low:.{digits}f}-'
                f'{scale * self.high:.{digits}f})')

    def ratio_text(self) -> str:
        if self.meaningful():
            return self.text(3)
        return f'too noisy (quartiles {self.low:.2f}-{self.high:.2f})'


def paired_ratio(values: list[float], base: list[float]) -> Spread:
    """Of runs that were made side by side"""
    return Spread.of([value / reference
                      for value, reference in zip(values, base, strict=True)])
