# SPDX-License-Identifier: GPL-2.0-or-later
"""XML that is changed as text: what is not touched stays as it was written."""

import re
from xml.parsers import expat

from host import Mistake

START_TAG = re.compile(rb'<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|\'[^\']*\'))*'
                       rb'\s*/?>')
TAG_NAME, CLOSE = re.compile(rb'<([^\s/>]+)'), re.compile(rb'\s*/?>$')
ATTRIBUTE = re.compile(rb'(\s+)([^\s=]+)(\s*=\s*)("[^"]*"|\'[^\']*\')')
COMMENTS = re.compile(rb'(?:[ \t]*<!--.*?-->)*', re.DOTALL)
SPACE = b' \t\r\n'
QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0'
RECORD = 'urn:qemu-gpu-mem'
PREFIXES = {QEMU: 'qemu', RECORD: 'gpu-mem'}    # if the text has no other


ENTITIES = str.maketrans({'&': '&amp;', '<': '&lt;', '>': '&gt;'})


def _encoded(text):
    return str(text).translate(ENTITIES).encode('ascii', 'xmlcharrefreplace')


def _value(text):
    return b"'" + _encoded(text).replace(b"'", b'&apos;') + b"'"


class Element:
    """One of the text, or a new one.

    A name has its namespace before it, and a blank.
    """

    def __init__(self, name, attributes=None, children=(), text=''):
        self.name, self.attributes = name, attributes or {}
        self.children, self._texts = list(children), [text]
        self.leading, self.added = [], []   # new ones around the children
        self.gone = False       # to be taken out
        self.set = {}           # attributes to be changed; None takes one out
        self.new_text = None    # in place of the text
        self.prefixes = {}      # by namespace, all that hold in it

    @property
    def text(self):
        if len(self._texts) > 1:
            self._texts = [''.join(self._texts)]
        return self._texts[0]

    def append(self, text):
        self._texts.append(text)

    def all(self, *path):
        """Those at a path of names, apart from what is taken out."""
        found = [self]
        for name in path:
            found = [child for element in found
                     for child in [*element.leading, *element.children,
                                   *element.added]
                     if child.name == name and not child.gone]
        return found

    def find(self, *path):
        return next(iter(self.all(*path)), None)

    def first(self, *path):
        """The same, but an empty one if there is none."""
        return self.find(*path) or Element('')

    def get(self, name, default=''):
        value = self.set.get(name, self.attributes.get(name))
        return default if value is None else value


class Text:
    def __init__(self, data):
        self.data, self._open, self.root = data, [], None
        self.elements = []      # in the order of the text
        # Of UTF-16 the offsets would be of no use
        if b'\0' in data:
            raise Mistake('this is no XML in UTF-8')
        self._prefixes = {}
        self._parser = parser = expat.ParserCreate(namespace_separator=' ')
        parser.buffer_text = True
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise Mistake(f'this is no XML: {error}') from None

    def _declare(self, prefix, namespace):
        self._prefixes[namespace] = prefix

    def _start(self, name, attributes):
        element = Element(name, attributes)
        element.start = self._parser.CurrentByteIndex
        tag = START_TAG.match(self.data, element.start)
        if not tag:
            raise Mistake('elements from an entity are not understood: write '
                          'them out, as "xmllint --noent" does')
        element.inner = element.end = tag.end()
        element.prefixes, self._prefixes = self._prefixes, {}
        if self._open:
            above = self._open[-1]
            above.children.append(element)
            element.prefixes = ({**above.prefixes, **element.prefixes}
                                if element.prefixes else above.prefixes)
        else:
            self.root = element
        self._open.append(element)
        self.elements.append(element)

    def _end(self, _):
        element = self._open.pop()
        element.inner_end = element.end
        if not self.is_empty_tag(element):
            element.inner_end = self._parser.CurrentByteIndex
            element.end = self.data.index(b'>', element.inner_end) + 1

    def _characters(self, text):
        self._open[-1].append(text)

    def is_empty_tag(self, element):
        return self.data[element.inner - 2:element.inner] == b'/>'

    def written(self, element):
        """An element as it stands in the text."""
        return self.data[element.start:element.end].decode(errors='replace')

    # --- what is written ---

    def _before(self, at):
        """Where the white space before a place begins."""
        while at and self.data[at - 1] in SPACE:
            at -= 1
        return at

    def _indent(self, element):
        """The end of line and the blanks before an element that has a line."""
        before = self.data[self._before(element.start):element.start]
        line = before.rfind(b'\n')
        line -= before[line - 1:line] == b'\r'
        return before[line:] if line >= 0 else b''

    def _indent_of_children(self, element):
        return next(filter(None, map(self._indent, element.children)), b'')

    def _indent_within(self, element):
        if element.children:
            return self._indent_of_children(element)
        own = self._indent(element)
        return own and own + self._unit()

    def _unit(self):
        return self._indent_of_children(self.root).lstrip(b'\r\n')

    def _write(self, element, indent, prefixes):
        """A new element, with its namespace if nothing around declares it."""
        (namespace, _, tag), declared = element.name.rpartition(' '), {}
        if namespace and namespace not in prefixes:
            prefixes = {**prefixes, namespace: PREFIXES[namespace]}
            declared = {f'xmlns:{PREFIXES[namespace]}': namespace}
        if prefix := prefixes.get(namespace):
            tag = f'{prefix}:{tag}'
        begin = f'<{tag}'.encode() + b''.join(
            b' %s=%s' % (name.encode(), _value(value))
            for name, value in {**declared, **element.attributes}.items())
        inner = b''.join(
            self._write(child, indent and indent + self._unit(), prefixes)
            for child in [*element.children, *element.added])
        inner = inner + indent if inner else _encoded(element.text)
        return indent + begin + (b'>%s</%s>' % (inner, tag.encode())
                                 if inner else b'/>')

    def _take_out_bare(self, found_empty):
        """What is left with nothing in it goes too, if it says nothing itself.

        FOUND_EMPTY has those that were empty before: name, attributes and text.
        """
        for element in reversed(self.elements):
            if element.gone or element.added or not element.children or not all(
                    child.gone for child in element.children):
                continue
            at, between = element.inner, b''
            for child in element.children:
                between += self.data[at:child.start]
                at = child.end
            if (between + self.data[at:element.inner_end]).strip(SPACE):
                continue
            was = [text for name, attributes, text in found_empty
                   if [name, attributes] == [element.name, element.attributes]]
            if was:
                yield element.start, element.end, was[0].encode()
            elif element.attributes:
                yield element.inner - 1, element.end, b'/>'
            else:
                element.gone = True

    def _start_tag(self, element):
        """With the attributes that are set."""
        left = dict(element.set)

        def change(found):
            name = found[2].decode()
            if name not in left:
                return found[0]
            value = left.pop(name)
            return b'' if value is None else (
                found[1] + found[2] + found[3] + _value(value))

        tag = self.data[element.start:element.inner]
        tag = tag[:CLOSE.search(tag).start()]
        begin = TAG_NAME.match(tag).end()
        changed = ATTRIBUTE.sub(change, tag[begin:])
        return element.start, element.start + len(tag), (
            tag[:begin] + changed + b''.join(
                b' %s=%s' % (name.encode(), _value(value))
                for name, value in left.items() if value is not None))

    def _added(self, element):
        """Where the new ones go, and how they are written there."""
        indent = self._indent_within(element)
        new = b''.join(self._write(child, indent, element.prefixes)
                       for child in element.added)
        if self.is_empty_tag(element):
            name = TAG_NAME.match(self.data, element.start)[1]
            return element.inner - 2, element.inner, b'>' + new + (
                self._indent(element) + b'</' + name + b'>')
        at = element.inner
        if element.children:
            # A comment stays with what it is about
            at = COMMENTS.match(self.data, element.children[-1].end).end()
        return at, at, new

    def _changes(self, found_empty):
        """Each the first byte, the one after the last, and the new ones."""
        yield from self._take_out_bare(found_empty)
        beyond = 0
        for element in self.elements:
            if element.start < beyond:
                continue
            if element.gone:
                beyond = element.end
                yield self._before(element.start), element.end, b''
                continue
            if element.set:
                yield self._start_tag(element)
            if element.new_text is not None:
                yield (element.inner, element.inner_end,
                       _encoded(element.new_text))
            if element.leading:
                indent = self._indent_within(element)
                yield element.inner, element.inner, b''.join(
                    self._write(one, indent, element.prefixes)
                    for one in element.leading)
            if element.added:
                yield self._added(element)

    def changed(self, found_empty):
        """The text with all changes."""
        made, at = [], 0
        for start, end, new in sorted(self._changes(found_empty)):
            if end <= at and start < at:
                continue        # within what another one replaces
            made += self.data[at:start], new
            at = end
        return b''.join([*made, self.data[at:]])
