# SPDX-License-Identifier: GPL-2.0-or-later
"""What callgrind counted: instructions, by function.

The format: section "Callgrind Format Specification" of valgrind's manual.
"""

import collections
import dataclasses
import re

NAME = re.compile(r'\((\d+)\)(?: (.*))?$')
FILES = ('fl', 'fi', 'fe')      # of a function, of what is inlined in it


@dataclasses.dataclass
class Function:
    name: str
    files: set[str] = dataclasses.field(default_factory=set)
    own: int = 0        # instructions of its own
    # of each function that it calls, by its number: with all that calls
    calls: collections.Counter = dataclasses.field(
        default_factory=collections.Counter)


class Names:
    """A name is given once, with a number that stands for it from then on."""

    def __init__(self):
        self.known: dict[str, str] = {}

    def key(self, text: str) -> str:
        match = NAME.match(text)
        if not match:
            raise ValueError(f'callgrind: no compressed name: {text}')
        number, name = match.groups()
        if name is not None:
            self.known[number] = name
        return number

    def name(self, text: str) -> str:
        return self.known[self.key(text)]


class Profile:
    def __init__(self, lines):
        self.total = 0
        self.functions: dict[str, Function] = {}
        self.read(lines)

    def read(self, lines) -> None:
        files, names = Names(), Names()
        function = callee = None
        called = False
        for line in map(str.rstrip, lines):
            key, equals, value = line.partition('=')
            if key == 'fn':
                number = names.key(value)
                function = self.functions.setdefault(
                    number, Function(names.known[number]))
                function.files.add(file)
            elif key in FILES:
                file = files.name(value)
                if function and key != 'fl':
                    function.files.add(file)
            elif key == 'cfn':
                callee = names.key(value)
            elif key in ('cfi', 'cfl'):
                files.key(value)
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
        found = [function.own + function.calls.total()
                 for function in self.functions.values()
                 if function.name == name]
        if not found:
            raise ValueError(f'callgrind: there is no {name}: '
                             'is QEMU built with debug information?')
        return sum(found)

    def entered(self, callers: tuple[str, ...], own: tuple[str, ...]) -> int:
        """What the functions of the files own cost, with all that they call,
        where functions of the files callers call them.

        Files are given by the end of their path.
        """
        def of(function: Function, files: tuple[str, ...]) -> bool:
            return any(path.endswith(files) for path in function.files)

        ours = {number for number, function in self.functions.items()
                if of(function, own)}
        return sum(count for function in self.functions.values()
                   if of(function, callers)
                   for callee, count in function.calls.items()
                   if callee in ours)


def read(path: str) -> Profile:
    with open(path, encoding='utf-8') as file:
        return Profile(file)
