#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: errors.py SOURCE.c PAGE.rst

Check that the errors and warnings of a C source and those that the section
"Errors" of a page lists, each in double backquotes at the start of a line, are
the same.  In the page, words in capitals stand for what the source fills in.
"""

import re
import sys
from pathlib import Path

MESSAGE = re.compile(r'(?:error_setg|warn_report)\(\s*(?:errp,\s*)?'
                     r'((?:"(?:[^"\\]|\\.)*"|\s|PRI\w+)+)')
CONVERSION = re.compile(r'%(?:[a-z]+)')


def messages(source: str) -> list[str]:
    """The format strings, each in one piece."""
    return ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', found))
            for found in MESSAGE.findall(source)]


def listed(page: str) -> list[str]:
    """The messages that the page lists."""
    section = re.search(r"(?ms)^Errors\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", page)
    if not section:
        sys.exit("the page has no section Errors")
    return [" ".join(text.split())
            for text in re.findall(r"(?m)^``([^`]+)``$", section[1])]


def pattern(message: str) -> str:
    """What matches the message as the page shows it."""
    parts = [re.escape(part) for part in CONVERSION.split(message)]
    return r"[A-Z0-9]+".join(parts)


def main() -> int:
    source, page = (Path(name).read_text() for name in sys.argv[1:])
    have, shown = messages(source), listed(page)
    faults = [f"not in the page: {message}" for message in have
              if not any(re.fullmatch(pattern(message), text)
                         for text in shown)]
    faults += [f"not in the source: {text}" for text in shown
               if not any(re.fullmatch(pattern(message), text)
                          for message in have)]
    if not have:
        faults.append("the source has no message")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
