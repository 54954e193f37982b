# SPDX-License-Identifier: GPL-2.0-or-later
"""What callgrind counted: instructions, by function.

The format: section "Callgrind Format Specification" of valgrind's manual.
"""

import collections
import dataclasses
import re

NAME = re.compile(r'\((\d+)\)(?: (.*))?$')


@dataclasses.dataclass
class Function:
    own: int = 0        # instructions of its own
    # of each function that it calls, by its name: with all that calls
    calls: collections.Counter = dataclasses.field(
        default_factory=collections.Counter)


class Names:
    """A name is given once, with a number that stands for it from then on."""

    def __init__(self):
        self.known: dict[str, str] = {}

    def name(self, text: str) -> str:
        match = NAME.match(text)
        if not match:
            raise ValueError(f'callgrind: no compressed name: {text}')
        number, name = match.groups()
        if name is not None:
            self.known[number] = name
        return self.known[number]


class Profile:
    def __init__(self, lines):
        self.total = 0
        self.functions: dict[str, Function] = {}
        self.read(lines)

    def read(self, lines) -> None:
        names = Names()
        function = callee = None
        called = False
        for line in map(str.rstrip, lines):
            key, equals, value = line.partition('=')
            if key == 'fn':
                function = self.functions.setdefault(names.name(value),
                                                     Function())
            elif key == 'cfn':
                callee = names.name(value)
            elif key == 'calls':
                called = True
            elif line[:1].isdigit() or line[:1] in ('+', '-', '*'):
                count = int(line.split()[1])
                if called:
                    function.calls[callee] += count
                    called = False
                else:
                    function.own += count
            elif line.startswith('summary:'):
                self.total = int(line.split()[1])
            elif line.startswith('events:') and line.split()[1:] != ['Ir']:
                raise ValueError(f'callgrind: not instructions: {line}')
        if not self.total:
            raise ValueError('callgrind: no summary: the file is not whole')

    def inclusive(self, name: str) -> int:
        """Of a function that does not call itself, with all that it calls"""
        if name not in self.functions:
            raise ValueError(f'callgrind: there is no {name}: give a QEMU '
                             'that is not stripped, such as make builds')
        function = self.functions[name]
        return function.own + function.calls.total()

    def entered(self, callers: set[str], own: set[str],
                shared: set[str]) -> int:
        """What the functions own cost, with all that they call, where the
        functions callers call them.

        A call is refused if one of the two names is shared: it may be a call
        of another function.
        """
        total = 0
        for caller in callers & self.functions.keys():
            for callee, count in self.functions[caller].calls.items():
                if callee not in own:
                    continue
                for name in {caller, callee} & shared:
                    raise ValueError(
                        f'callgrind: {caller} calls {callee}, but more than '
                        f'one function is called {name}: rename ours')
                total += count
        return total


def read(path: str) -> Profile:
    with open(path, encoding='utf-8') as file:
        return Profile(file)
