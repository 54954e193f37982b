# SPDX-License-Identifier: GPL-2.0-or-later
"""XML that is changed as text: what is not touched stays as it was written."""

import re
from xml.parsers import expat
from xml.sax.saxutils import escape

from host import Mistake

START_TAG = re.compile(rb'<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|\'[^\']*\'))*'
                       rb'\s*/?>')
COMMENTS = re.compile(rb'(?:[ \t]*<!--.*?-->)*', re.DOTALL)
SPACE = b' \t\r\n'
QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0'
RECORD = 'urn:qemu-gpu-mem'
PREFIXES = {QEMU: 'qemu', RECORD: 'gpu-mem'}    # if the text has no other


class Element:
    """One of the text, or a new one.

    A name has its namespace before it, and a blank.
    """

    def __init__(self, name, attributes=None, children=(), text=''):
        self.name, self.attributes = name, attributes or {}
        self.children, self.text = list(children), text
        self.added = []         # new ones, to come after the children
        self.gone = False       # to be taken out
        self.prefixes = {}      # by namespace, all that hold in it

    def all(self, *path):
        """Those at a path of names."""
        found = [self]
        for name in path:
            found = [child for element in found
                     for child in [*element.children, *element.added]
                     if child.name == name]
        return found

    def find(self, *path):
        return next(iter(self.all(*path)), None)

    def first(self, *path):
        """The same, but an empty one if there is none."""
        return self.find(*path) or Element('')

    def get(self, name, default=''):
        return self.attributes.get(name, default)

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()


class Text:
    def __init__(self, data):
        self.data, self._open, self.root = data, [], None
        # Of UTF-16 the offsets would be of no use
        if b'\0' in data:
            raise Mistake('this is no XML in UTF-8')
        self._prefixes = {}
        self._parser = parser = expat.ParserCreate(namespace_separator=' ')
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
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
            element.prefixes = {**above.prefixes, **element.prefixes}
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _):
        element = self._open.pop()
        element.inner_end = element.end
        if not self._is_empty_tag(element):
            element.inner_end = self._parser.CurrentByteIndex
            element.end = self.data.index(b'>', element.inner_end) + 1

    def _characters(self, text):
        self._open[-1].text += text

    def _is_empty_tag(self, element):
        return self.data[element.inner - 2:element.inner] == b'/>'

    # --- what is written ---

    def _indent(self, element):
        """The end of line and the blanks before an element, if it has a line."""
        line = self.data.rfind(b'\n', 0, element.start)
        line -= self.data[line - 1:line] == b'\r'
        before = self.data[max(line, 0):element.start]
        return before if before[:1] in b'\r\n' and not before.strip() else b''

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
        """A new element.  It declares its namespace if nothing around it does."""
        (namespace, _, tag), declared = element.name.rpartition(' '), {}
        if namespace and namespace not in prefixes:
            prefixes = {**prefixes, namespace: PREFIXES[namespace]}
            declared = {f'xmlns:{PREFIXES[namespace]}': namespace}
        if prefix := prefixes.get(namespace):
            tag = f'{prefix}:{tag}'
        attributes = ''.join(
            f" {name}='{escape(str(value), {chr(39): '&apos;'})}'"
            for name, value in {**declared, **element.attributes}.items())
        begin, end = f'<{tag}{attributes}', f'</{tag}>'
        inner = b''.join(
            self._write(child, indent and indent + self._unit(), prefixes)
            for child in [*element.children, *element.added])
        inner = inner + indent if inner else str(element.text).encode()
        return indent + (begin.encode('ascii', 'xmlcharrefreplace') + (
            b'>' + inner + end.encode() if inner else b'/>'))

    def _is_bare(self, element):
        """Whether nothing is left in an element that had something."""
        if not element.children or not all(
                child.gone for child in element.children):
            return False
        at, between = element.inner, b''
        for child in element.children:
            between += self.data[at:child.start]
            at = child.end
        return not (between + self.data[at:element.inner_end]).strip(SPACE)

    def _changes(self, element):
        """Each the first byte, the one after the last, and the new ones."""
        inner = [change for child in element.children
                 for change in self._changes(child)]
        # What is left bare goes too, if it says nothing by itself
        bare = self._is_bare(element)
        element.gone |= bare and not element.attributes
        if element.gone:
            before = self.data[:element.start].rstrip(SPACE)
            return [(len(before), element.end, b'')]
        if bare:
            return [(element.inner - 1, element.end, b'/>')]
        if not element.added:
            return inner
        indent = self._indent_within(element)
        new = b''.join(self._write(child, indent, element.prefixes)
                       for child in element.added)
        if self._is_empty_tag(element):
            name = re.match(rb'<([^\s/>]+)', self.data[element.start:])[1]
            return [(element.inner - 2, element.inner, b'>' + new +
                     self._indent(element) + b'</' + name + b'>')]
        at = element.children[-1].end if element.children else element.inner
        # A comment stays with what it is about
        at = COMMENTS.match(self.data, at).end()
        return [*inner, (at, at, new)]

    def changed(self):
        """The text with all changes."""
        made, at = b'', 0
        for start, end, new in self._changes(self.root):
            made += self.data[at:start] + new
            at = end
        return made + self.data[at:]
