# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a cost grow linearly?  Least squares of a line, and of a parabola."""

import dataclasses

LINEAR = 0.10       # of the cost at the far end: the most that x*x may make up


def solve(rows: list[list[float]]) -> list[float]:
    """Linear equations, each row with its right side, by elimination"""
    rows = [row[:] for row in rows]
    for at in range(len(rows)):
        pivot = max(range(at, len(rows)), key=lambda r: abs(rows[r][at]))
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for other in range(len(rows)):
            if other != at:
                factor = rows[other][at] / rows[at][at]
                rows[other] = [value - factor * above for value, above
                               in zip(rows[other], rows[at])]
    return [row[-1] / row[at] for at, row in enumerate(rows)]


def polynomial(xs: list[float], ys: list[float], degree: int) -> list[float]:
    """Its coefficients, the constant first"""
    powers = range(degree + 1)
    return solve([[sum(x ** (row + column) for x in xs) for column in powers] +
                  [sum(y * x ** row for x, y in zip(xs, ys))]
                  for row in powers])


@dataclasses.dataclass(frozen=True)
class Fit:
    constant: float
    slope: float
    quadratic: float    # what x*x makes up of the last cost, in a parabola

    def linear(self) -> bool:
        """Whether it grows like a line, or less."""
        return self.quadratic <= LINEAR


def fit(xs: list[float], ys: list[float]) -> Fit:
    if not ys[-1]:
        raise ValueError(f'fit: a cost is 0 at {xs[-1]}: nothing was counted')
    constant, slope = polynomial(xs, ys, 1)
    square = polynomial(xs, ys, 2)[2]
    return Fit(constant, slope, square * xs[-1] ** 2 / ys[-1])
