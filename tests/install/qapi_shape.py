# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether JSON has the shape that a QAPI schema gives: QEMU reads that."""

import os
import sys

from checks import Failure


def load(base, path):
    """The schema in path, a file of the QEMU source tree base."""
    sys.path.insert(0, os.path.join(base, 'scripts'))
    from qapi.schema import QAPISchema      # pylint: disable=import-error
    return QAPISchema(os.path.join(base, path))


def _members(kind, value):
    """The members that an object has to choose from."""
    members = {member.name: member for member in kind.members}
    if kind.branches:
        tag = value.get(kind.branches.tag_member.name)
        for branch in kind.branches.variants:
            if branch.name == tag:
                members |= _members(branch.type, value)
    return members


def _check_object(kind, value, where):
    if not isinstance(value, dict):
        raise Failure(f'{where} is no object: {value}')
    members = _members(kind, value)
    for name in value.keys() - members.keys():
        raise Failure(f'{where}: {kind.name} has no member {name}')
    for name, member in members.items():
        if name in value:
            check(member.type, value[name], f'{where}.{name}')
        elif not member.optional:
            raise Failure(f'{where}: {name} is missing')


def check(kind, value, where):
    """Refuse a value that is not of the schema's type kind."""
    meta = kind.meta
    if meta in ('struct', 'union'):
        _check_object(kind, value, where)
    elif meta == 'array':
        if not isinstance(value, list):
            raise Failure(f'{where} is no list: {value}')
        for index, element in enumerate(value):
            check(kind.element_type, element, f'{where}[{index}]')
    elif meta == 'enum':
        names = [member.name for member in kind.members]
        if value not in names:
            raise Failure(f'{where}: {value} is none of {names}')
    elif kind.name != 'str' or not isinstance(value, str):
        raise Failure(f'{where} is no {kind.name}: {value}')
