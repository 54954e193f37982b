# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines in an SVG: panels side by side, with one legend."""

import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 440, 340            # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 72, 48
# Tell apart with any kind of colour vision: after Okabe and Ito
COLOURS = {'none': '#666666', 'ours': '#0072b2', 'initiators': '#009e73',
           'peer': '#d55e00'}
# So that what lies below shows
DASHES = {'none': ' stroke-dasharray="5 4"',
          'initiators': ' stroke-dasharray="7 7"'}
TEXT = 'font-family="sans-serif" font-size="12" fill="#222222"'
TICKS = 6


@dataclasses.dataclass
class Line:
    key: str
    title: str
    points: list[tuple[float, float]]


@dataclasses.dataclass
class Panel:
    title: str
    lines: list[Line]


def step_of(highest: float) -> float:
    """1, 2 or 5 times a power of ten, so that TICKS of them reach there"""
    rough = highest / TICKS
    power = 10 ** math.floor(math.log10(rough))
    return next(power * digit for digit in (1, 2, 5, 10)
                if power * digit >= rough)


def text(x: float, y: float, words: str, more: str = '') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {TEXT}{more}>{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}"/>')


def draw_panel(panel: Panel, origin: float) -> list[str]:
    xs = [x for x, _ in panel.lines[0].points]
    step = step_of(max(y for line in panel.lines for _, y in line.points))
    top = step * math.ceil(max(y for line in panel.lines
                               for _, y in line.points) / step)
    left, right = origin + LEFT, origin + WIDTH - RIGHT
    bottom = HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (left + (right - left) * x / xs[-1],
                bottom - (bottom - TOP) * y / top)

    out = [text(left, 22, panel.title, ' font-weight="bold"')]
    for tick in range(round(top / step) + 1):
        _, y = place(0, tick * step)
        out += [rule(left, y, right, y, '#dddddd' if tick else '#222222'),
                text(left - 8, y + 4, f'{tick * step:g}',
                     ' text-anchor="end"')]
    for x in xs:
        at, _ = place(x, 0)
        out += [rule(at, bottom, at, bottom + 4, '#222222'),
                text(at, bottom + 18, f'{x:g}', ' text-anchor="middle"')]
    out.append(text((left + right) / 2, HEIGHT - 10,
                    'GPUs, with 8 empty nodes each', ' text-anchor="middle"'))
    for line in panel.lines:
        colour = COLOURS[line.key]
        points = [place(x, y) for x, y in line.points]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                   f'stroke-width="2"{DASHES.get(line.key, "")}/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                for x, y in points]
    return out


def draw_legend(lines: list[Line]) -> list[str]:
    out, x = [], LEFT
    for line in lines:
        colour = COLOURS[line.key]
        out += [f'<line x1="{x}" y1="44" x2="{x + 24}" y2="44" '
                f'stroke="{colour}" stroke-width="2"'
                f'{DASHES.get(line.key, "")}/>',
                text(x + 30, 48, line.title)]
        x += 30 + round(6.6 * len(line.title)) + 16
    return out


def draw(panels: list[Panel]) -> str:
    width = WIDTH * len(panels)
    body = [f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>',
            *draw_legend(panels[0].lines)]
    for number, panel in enumerate(panels):
        body += draw_panel(panel, number * WIDTH)
    return '\n'.join((
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!-- SPDX-License-Identifier: GPL-2.0-or-later -->',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}">',
        *body, '</svg>', ''))
