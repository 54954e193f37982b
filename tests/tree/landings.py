#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: landings.py BUILD

Print where the changes of our .ed scripts are in the base in BUILD, a line each:
file, enclosing function or section (- at the top level), the kind of the last
character before the change and that of the first one after it.  In a newer base these
are to be the lines of tests/tree/landings/10.0, and of the files of newer versions
what bases/VERSION changes: additional lines, and with a - before them those that go.
So another function is seen, or the inside of an expression; another place between two
functions or two statements is not.
"""

import re
import subprocess
import sys
from pathlib import Path

HUNK = re.compile(r'@@ -\S+ \+(\d+)(?:,(\d+))? @@ ?(.*)')
# git tells a file by a line, and a function by the nearest line above
NAME = re.compile(r'(\w+) ?\(|(\w+)\W*$')


def kind(character):
    """The character, or what it stands for."""
    if character in ')]':
        return ')'
    return character if character in '\\;{},+=([' else 'x'


def landing(lines, start, count, heading):
    """Of the lines that a hunk has: of which heading, what is around them."""
    before = start - 2 if count else start - 1
    after = start - 1 + count if count else start
    while before > 0 and not lines[before].strip():
        before -= 1
    while after < len(lines) - 1 and not lines[after].strip():
        after += 1
    name = '-'
    if lines[after][:1].isspace() or lines[after][:1] in tuple('})]'):
        found = NAME.search(heading)
        # Functions of versioned machine types are named for the version
        name = re.sub(r'\d+', 'N', found[1] or found[2]) if found else '-'
    last, first = lines[before].strip() or ' ', lines[after].strip() or ' '
    return f'{name} {kind(last[-1])} {kind(first[0])}'


def landings(base):
    changes = subprocess.run(
        ['git', '-c', 'safe.directory=*', '-C', base, 'diff', '-U0', '--no-color',
         '--no-ext-diff', '--src-prefix=a/', '--dst-prefix=b/',
         '--diff-algorithm=myers', '--indent-heuristic', '--diff-filter=M', '--', '.',
         ':!tests/data'],
        check=True, capture_output=True, text=True).stdout
    for line in changes.split('\n'):
        if line.startswith('+++ '):
            path = line[len('+++ b/'):]
            lines = (base / path).read_text().split('\n')
        elif (found := HUNK.match(line)):
            count = 1 if found[2] is None else int(found[2])
            yield f'{path} {landing(lines, int(found[1]), count, found[3])}'


if __name__ == '__main__':
    print(*landings(Path(sys.argv[1]) / 'base'), sep='\n')
