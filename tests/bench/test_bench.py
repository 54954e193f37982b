#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests, in TAP, of what the bench concludes from its figures."""

import os
import sys
from xml.etree import ElementTree

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, '..', name) for name in ('guest', 'fuzz')]

import boots                        # noqa: E402
import callgrind                    # noqa: E402
import plot                         # noqa: E402
import variants                     # noqa: E402
from checks import Failure, same    # noqa: E402
from figures import (               # noqa: E402
    MOST, MOST_TABLE_CODE, Figures, jobs)
from fit import fit                 # noqa: E402
from instructions import Count      # noqa: E402
from spread import Spread, paired_ratio     # noqa: E402
from tap import Tap                 # noqa: E402
from wall import in_turn            # noqa: E402

# main calls virt_acpi_build, which calls ours, which calls helper, and that a
# callback of ours; check calls ours as well.  Some lines of virt_acpi_build, and
# the first of ours, are inlined from a header.  A name is written out once.
PROFILE = '''# callgrind format
version: 1
positions: line
events: Ir
summary: 62

fl=(1) /qemu/system/main.c
fn=(1) main
10 10
cfi=(2) /qemu/build/../base/hw/arm/virt-acpi-build.c
cfn=(2) virt_acpi_build
calls=1 20
11 15
cfi=(5) /qemu/base/qom/object_interfaces.c
cfn=(6) check
calls=1 20
12 37

fl=(2)
fn=(2)
20 5
fi=(3) /usr/include/header.h
+3 2
fe=(2)
cfi=(4) /qemu/build/../base/hw/acpi/pci-path.c
cfn=(3) ours
calls=1 30
* 8

fl=(3)
fn=(3)
30 2
fi=(4)
32 4
cfi=(6) /qemu/base/qom/object.c
cfn=(4) helper
calls=2 40
31 10

fl=(6)
fn=(4)
40 8
cfi=(4)
cfn=(5) callback
calls=2 50
-1 2

fl=(4)
fn=(5)
50 2

fl=(5)
fn=(6)
60 29
cfi=(4)
cfn=(3)
calls=1 30
61 8
'''


def parser_counts():
    profile = callgrind.Profile(PROFILE.splitlines(keepends=True))
    same('total', profile.total, 62)
    same('inlined lines', profile.inclusive('virt_acpi_build'), 15)
    same('tables', profile.entered(('/virt-acpi-build.c',),
                                   ('/hw/acpi/pci-path.c',)), 8)
    same('checks', profile.entered(('/qom/object_interfaces.c',),
                                   ('/hw/acpi/pci-path.c',)), 8)


def parser_refuses(what, lines):
    def check():
        try:
            callgrind.Profile(lines)
        except ValueError:
            return
        raise Failure(f'{what} is taken')
    return check


def no_function():
    profile = callgrind.Profile(PROFILE.splitlines())
    try:
        profile.inclusive('virt_acpi')
    except ValueError:
        return
    raise Failure('a function that is not there costs nothing')


def spread():
    same('spread', Spread.of([5, 1, 3, 2, 4]), Spread(3, 2, 4))


def quiet_ratio():
    # The machine became three times slower half way, for both of a pair
    ratio = paired_ratio([1.1, 1.12, 3.3, 3.36, 1.1], [1, 1, 3, 3, 1])
    same('text', ratio.ratio_text(), '1.100 (1.100-1.120)')


def noisy_ratio():
    ratio = paired_ratio([1.1, 1.6, 0.8, 1.3, 1.0], [1] * 5)
    same('text', ratio.ratio_text(), 'too noisy (quartiles 1.00-1.30)')


def unequal_pairs():
    try:
        paired_ratio([1, 1, 1], [1, 1])
    except ValueError:
        return
    raise Failure('a run without its partner is taken')


def line_fit():
    found = fit(variants.GPUS, [7 + 3 * n for n in variants.GPUS])
    same('line', (round(found.constant, 6), round(found.slope, 6),
                  round(found.quadratic, 6), found.linear()), (7, 3, 0, True))


def parabola_fit():
    found = fit(variants.GPUS, [100 + 10 * n + n * n for n in variants.GPUS])
    same('quadratic part', round(found.quadratic, 6), round(225 / 475, 6))
    same('linear', found.linear(), False)


def figures_of(total, table_code):
    counts = {}
    for job in jobs():
        ours = job.variant is not variants.NONE
        counts[job] = Count(
            total=total(job.gpus) if ours else 100_000_000, tables=1_000_000,
            our_tables=table_code(job.gpus) + 1000 * job.switches
            if ours else 0, our_checks=job.gpus, peers_tables=0)
    return Figures('', counts, {}, {}, {})


def verdicts(name, total, table_code, wanted):
    def check():
        targets = figures_of(total, table_code).targets()
        same('met', [target.met for target in targets], wanted)
    return f'targets: {name}', check


def one_machine():
    """The variants differ in their objects alone."""
    args = [variants.arguments(variant, MOST) for variant in
            variants.VARIANTS]
    for objects, count in zip(args, (0, MOST, MOST, 8 * MOST)):
        same('machine', objects[:len(args[0])], args[0])
        same('objects', len(objects) - len(args[0]), 2 * count)
    same('nodes', sum(arg.startswith('node,') for arg in args[0]), 122)


def boots_differ():
    """The guest without nodes has the rest of the machine."""
    vm = boots.machine.Machine(nodes=boots.EMPTY_NODES)
    command = ['qemu', *vm.hardware('/')]
    left = boots.without_nodes(command)
    gone = [arg for arg in command if arg not in left]
    same('nodes', [arg for arg in gone if arg.startswith('node,')],
         [f'node,nodeid={node}' for node in range(2, 16)])
    same('arguments', len(command) - len(left), 2 * 14 + 2)
    same('device', any('gpu-mem-testdev' in arg for arg in left), True)


def turns():
    same('turns', [in_turn([1, 2, 3], turn) for turn in range(4)],
         [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]])


def picture():
    lines = [plot.Line('none', 'a & b', [(1, 10.0), (15, 163.0)]),
             plot.Line('peer', 'c', [(1, 12.0), (15, 263.0)])]
    svg = ElementTree.fromstring(
        plot.draw([plot.Panel('one', lines), plot.Panel('two', lines)]))
    tag = '{http://www.w3.org/2000/svg}'
    width, height = float(svg.get('width')), float(svg.get('height'))
    same('lines', len(svg.findall(f'{tag}polyline')), 4)
    for circle in svg.findall(f'{tag}circle'):
        at = float(circle.get('cx')), float(circle.get('cy'))
        same('inside', 0 < at[0] < width and 0 < at[1] < height, True)


CASES = (
    ('callgrind: each call of ours is counted once', parser_counts),
    ('callgrind: a file without its end is refused',
     parser_refuses('half a file', PROFILE.replace('summary: 62', '')
                    .splitlines())),
    ('callgrind: other events are refused',
     parser_refuses('a cache miss',
                    PROFILE.replace('events: Ir', 'events: Ir D1mr')
                    .splitlines())),
    ('callgrind: a function that is not there is told', no_function),
    ('the median is given with the quartiles', spread),
    ('a ratio of pairs is none of a slower machine', quiet_ratio),
    ('a noisy ratio is not printed', noisy_ratio),
    ('each run has its partner', unequal_pairs),
    ('a line is linear', line_fit),
    ('a parabola is not linear', parabola_fit),
    verdicts('all met', lambda n: 100_000_000 + 200_000 * n,
             lambda n: 100_000 * n, [True] * 5),
    verdicts('too slow', lambda n: 100_000_000 + 201_000 * n,
             lambda n: 100_000 * n, [False, True, True, True, True]),
    verdicts('too much table code', lambda n: 100_000_000 + 200_000 * n,
             lambda n: MOST_TABLE_CODE // MOST * n + 10,
             [True, False, True, True, True]),
    verdicts('quadratic', lambda n: 100_000_000 + 13_000 * n * n,
             lambda n: 8000 * n * n, [True, True, False, False, True]),
    ('the variants differ in their objects alone', one_machine),
    ('the guests differ in their empty nodes alone', boots_differ),
    ('each variant comes first in turn', turns),
    ('the plot is an SVG with all lines inside', picture),
)


def main():
    tap = Tap(len(CASES))
    for name, check in CASES:
        tap.point(name, check)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
