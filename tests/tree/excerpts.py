#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: excerpts.py PAGE.rst SOURCE.c

Whether the C code that the page shows is in the source, line for line.
"""

import re
import sys

BLOCK = re.compile(r'^( *)\.\. code-block:: c\n\n((?:\1 +.*\n|\n)+)', re.M)


def squeezed(text):
    """The lines without their indentation, and without empty ones."""
    lines = (line.strip() for line in text.splitlines())
    return '\n'.join(line for line in lines if line) + '\n'


def main():
    page, source = (open(path).read() for path in sys.argv[1:3])
    blocks = [squeezed(text) for _, text in BLOCK.findall(page)]
    if not blocks:
        sys.exit(f'{sys.argv[1]} shows no C code')
    missing = [text for text in blocks if text not in squeezed(source)]
    for text in missing:
        print(f'not in {sys.argv[2]}:\n{text}')
    sys.exit(1 if missing else 0)


if __name__ == '__main__':
    main()
