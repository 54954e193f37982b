#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests, in TAP, of what the bench concludes from its figures, and of its
smallest real run."""

import argparse
import collections
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

sys.dont_write_bytecode = True      # the source directory stays clean
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, '..', name) for name in ('guest', 'fuzz')]

import boots                        # noqa: E402
import callgrind                    # noqa: E402
import instructions                 # noqa: E402
import plot                         # noqa: E402
import report                       # noqa: E402
import symbols                      # noqa: E402
import variants                     # noqa: E402
from checks import Failure, same    # noqa: E402
from figures import (               # noqa: E402
    MOST, MOST_CHECKS, MOST_RATIO, MOST_TABLE_CODE, PEERS_MOST_RATIO, Figures,
    Sizes, jobs)
from fit import fit                 # noqa: E402
from instructions import Count, Job     # noqa: E402
from spread import Spread, paired_ratio     # noqa: E402
from tap import Tap                 # noqa: E402
from wall import in_turn            # noqa: E402

# Made up, as of a QEMU without debug information.  main calls virt_acpi_build,
# which calls ours, which calls helper, and that a callback of ours.  check calls
# ours as well.  A name is written out once.
PROFILE = '''# callgrind format
version: 1
positions: line
events: Ir
summary: 66

ob=(1) /build/qemu/qemu-system-aarch64
fl=(1) ???
fn=(1) main
0 10
cfn=(2) virt_acpi_build
calls=1 0
0 15
cob=(2) /lib/libc.so.6
cfi=(2) ./malloc/malloc.c
cfn=(7) free
calls=1 3350
0 4
cfn=(6) check
calls=1 0
0 37

fn=(2)
0 5
0 2
cfn=(3) ours
calls=1 0
0 8

fn=(3)
0 6
cfn=(4) helper
calls=2 0
0 10

fn=(4)
0 8
cfn=(5) callback
calls=2 0
0 2

fn=(5)
0 2

fn=(6)
0 29
cfn=(3)
calls=1 0
0 8

ob=(2)
fl=(2)
fn=(7)
3350 3
+3 1
'''
NAMES = instructions.Functions(ours={'ours', 'callback'},
                               builders={'virt_acpi_build'},
                               checkers={'check'}, shared=set())


def refuses(what, wanted, action, *args):
    try:
        action(*args)
    except ValueError as error:
        if wanted not in str(error):
            raise Failure(f'{what}: {error}: no {wanted}') from None
        return
    raise Failure(f'{what} is taken')


def profile_of(text=PROFILE):
    return callgrind.Profile(text.splitlines(keepends=True))


def parser_counts():
    profile = profile_of()
    same('total', profile.total, 66)
    same('tables', profile.inclusive('virt_acpi_build'), 15)
    same('our tables', profile.entered(NAMES.builders, NAMES.ours, set()), 8)
    same('our checks', profile.entered(NAMES.checkers, NAMES.ours, set()), 8)


def shared_names():
    profile = profile_of()
    same('a shared name that is not called', profile.entered(
        {'virt_acpi_build', 'free'}, NAMES.ours, {'callback', 'free'}), 8)
    for name in 'ours', 'check':
        refuses(f'a call with a second {name}', f'function is called {name}',
                profile.entered, NAMES.checkers, NAMES.ours, {name})


def profile_without_ours():
    """Its names are not those of the object files."""
    profile = profile_of(PROFILE.replace('helper', instructions.PEERS_TABLES))
    for names in ({'ours': {'theirs'}}, {'builders': {'main'}},
                  {'checkers': {'main'}}):
        refuses(f'a profile with other {names}', 'ours-1-0-0: our objects',
                instructions.evaluate, profile, Job(variants.OUR_OBJECT, 1),
                dataclasses.replace(NAMES, **names))
    same('the same with none', instructions.evaluate(
        profile, Job(variants.NONE, 1), dataclasses.replace(
            NAMES, checkers={'main'})).our_checks, 0)


def no_object_file():
    with tempfile.TemporaryDirectory() as folder:
        refuses('a QEMU without objects', '*.p/qom_object.c.o',
                symbols.of_sources, os.path.join(folder, 'qemu'),
                ('qom/object.c',))


def no_function():
    refuses('a function that is not there', 'no virt_acpi:',
            profile_of().inclusive, 'virt_acpi')


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


def figures_of(total, table_code, peers_total=105_000_000,
               checks=MOST_CHECKS // MOST):
    counts = {}
    for job in jobs():
        ours = job.variant is not variants.NONE
        counts[job] = Count(
            total=peers_total if job.variant is variants.PEERS else
            total(job.gpus) if ours else 100_000_000, tables=1_000_000,
            our_tables=table_code(job.gpus) + 1000 * job.switches
            if ours else 0, our_checks=checks * job.gpus,
            peers_tables=0)
    measured = [(variant.key, gpus) for variant in variants.VARIANTS
                for gpus in variants.GPUS]
    return Figures('', counts, dict.fromkeys(measured, Sizes(1, 2, 3, 4)),
                   dict.fromkeys(measured, [0.1, 0.2, 0.3]),
                   {'with': [2.0, 2.2], 'without': [1.0, 1.1]})


def verdicts(name, wanted, *figures):
    def check():
        targets = figures_of(*figures).targets()
        same('met', [target.met for target in targets], wanted)
    return f'targets: {name}', check


def whole_report():
    """A table has a row for each number of GPUs, or of bridges."""
    text = report.write(figures_of(lambda n: 200_000_000, lambda n: 7 * n))
    same('rows', collections.Counter(re.findall(r'(?m)^\| (\d+) \|', text)),
         {'1': 7, '2': 6, '4': 6, '8': 6, '15': 6, '3': 1, '5': 1, '9': 1,
          '17': 1, '31': 1})
    same('ratio', '| instructions to the first QMP answer | 2.000 |' in text,
         True)


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
     lambda: refuses('half a file', 'not whole', profile_of,
                     PROFILE.replace('summary: 66', ''))),
    ('callgrind: other events are refused',
     lambda: refuses('a cache miss', 'not instructions', profile_of,
                     PROFILE.replace('events: Ir', 'events: Ir D1mr'))),
    ('callgrind: a function that is not there is told', no_function),
    ('callgrind: a call by a name of two functions is refused', shared_names),
    ('a profile in which our objects cost nothing is refused',
     profile_without_ours),
    ('a QEMU without its object files is refused', no_object_file),
    ('the median is given with the quartiles', spread),
    ('a ratio of pairs is none of a slower machine', quiet_ratio),
    ('a noisy ratio is not printed', noisy_ratio),
    ('each run has its partner', unequal_pairs),
    ('a line is linear', line_fit),
    ('a parabola is not linear', parabola_fit),
    ('a cost of nothing has no growth', lambda: refuses(
        'nothing', 'is 0 at 15', fit, variants.GPUS, [0] * 5)),
    verdicts('all met', [True] * 7, lambda n: 100_000_000 + 200_000 * n,
             lambda n: 100_000 * n, 110_000_000),
    verdicts('too slow', [False] + [True] * 6,
             lambda n: 100_000_000 + 201_000 * n, lambda n: 100_000 * n),
    verdicts("the peer's too slow", [True, False] + [True] * 5,
             lambda n: 100_000_000 + n, lambda n: 100_000 * n, 110_000_001),
    verdicts('too much table code', [True] * 2 + [False] + [True] * 4,
             lambda n: 100_000_000 + n,
             lambda n: MOST_TABLE_CODE // MOST * n + 10),
    verdicts('too many checks', [True] * 3 + [False] + [True] * 3,
             lambda n: 100_000_000 + n, lambda n: 100_000 * n, 105_000_000,
             MOST_CHECKS // MOST + 1),
    verdicts('quadratic', [True] * 4 + [False, False, True],
             lambda n: 100_000_000 + 13_000 * n * n, lambda n: 8000 * n * n),
    ('the report has all figures', whole_report),
    ('the variants differ in their objects alone', one_machine),
    ('the guests differ in their empty nodes alone', boots_differ),
    ('each variant comes first in turn', turns),
    ('the plot is an SVG with all lines inside', picture),
)


class SmallestRun:
    """What the bench measures of the QEMU that is built, by variant and number
    of GPUs"""

    def __init__(self, qemu, out):
        self.qemu, self.out = qemu, out
        self.found = {}

    def is_made(self):
        done = subprocess.run(
            [os.path.join(HERE, 'bench.py'), '--smallest', '--qemu', self.qemu,
             '--out', self.out], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Failure(done.stderr)
        self.found = {(run['variant'], run['gpus']): run
                      for run in json.loads(done.stdout)}
        same('runs', len(self.found),
             len(variants.FEW_GPUS) * len(variants.VARIANTS))

    def rises(self, figure, *keys):
        """From each variant and number of GPUs to the next"""
        values = [self.found[key][figure] for key in keys]
        if not all(low < high for low, high in zip(values, values[1:])):
            raise Failure(f'{figure} does not rise: {dict(zip(keys, values))}')

    def our_tables(self):
        for variant in 'ours', 'initiators':
            self.rises('our_tables', ('none', 1), (variant, 1), (variant, 8))
        for key, run in self.found.items():
            if not run['our_tables'] < run['tables'] < run['total']:
                raise Failure(f'a part is more than the whole: {key}: {run}')

    def our_checks(self):
        same('without our objects',
             [self.found[variant, gpus]['our_checks']
              for variant in ('none', 'peer')
              for gpus in variants.FEW_GPUS], [0] * 6)
        self.rises('our_checks', ('none', 1), ('ours', 1), ('ours', 8))

    def growth(self):
        for variant in 'ours', 'initiators':
            line = fit(variants.FEW_GPUS,
                       [self.found[variant, gpus]['our_tables']
                        for gpus in variants.FEW_GPUS])
            if not line.linear():
                raise Failure(f'{variant}: {line}')

    def bounds(self):
        for variant, most in (('ours', MOST_RATIO), ('initiators', MOST_RATIO),
                              ('peer', PEERS_MOST_RATIO)):
            run = self.found[variant, MOST]
            ratio = run['total'] / self.found['none', MOST]['total']
            if ratio > most or run['our_checks'] > MOST_CHECKS:
                raise Failure(f'{variant}: {ratio:.3f} times as many: {run}')

    def peers_tables(self):
        self.rises('peers_tables', ('none', 1), ('peer', 1), ('peer', 8))

    def lengths(self):
        self.rises('srat', ('ours', 1), ('initiators', 1), ('initiators', 8))
        self.rises('dsdt', ('none', 1), ('ours', 1), ('ours', 8))
        self.rises('command_line', ('none', 1), ('ours', 1), ('peer', 1))

    def refused_profile(self):
        """A profile of QEMU without our objects is not taken for one with."""
        path = os.path.join(self.out, 'work', 'callgrind.none-1-0-0-01')
        refuses('a profile without our objects', 'cost nothing',
                instructions.evaluate, callgrind.read(path),
                Job(variants.OUR_OBJECT, 1), instructions.functions(self.qemu))

    def cases(self):
        with open(self.qemu, 'rb') as file:
            if b'__asan_init' in file.read():
                return (('the smallest run # SKIP valgrind can\'t run a QEMU '
                         'with AddressSanitizer', lambda: None),)
        return (
            ('the smallest run is made', self.is_made),
            ('our table code costs something, and more for eight GPUs',
             self.our_tables),
            ('so do our checks, and nothing without our objects',
             self.our_checks),
            ('our table code grows linearly', self.growth),
            ('the start and our checks are below their bounds', self.bounds),
            ("the peer's function costs more with its objects",
             self.peers_tables),
            ('tables and command lines have a length', self.lengths),
            ('a profile of QEMU without our objects is refused',
             self.refused_profile))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--qemu', required=True, metavar='PATH')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='gets the profiles')
    args = parser.parse_args()
    cases = CASES + SmallestRun(args.qemu, args.out).cases()
    tap = Tap(len(cases))
    for name, check in cases:
        tap.point(name, check)
    return 1 if tap.failures else 0


if __name__ == '__main__':
    sys.exit(main())
