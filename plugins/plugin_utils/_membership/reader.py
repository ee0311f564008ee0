# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads YAML files into plain values that remember file and line.

Built on PyYAML's event stream (libyaml's when available), not on its constructors: no tag is ever executed, nesting
cannot exhaust the stack, duplicate keys are seen, and scalars follow YAML 1.2 (C(NO) is Norway, C(2021-03-01) is text,
C(yes) is a word), which is what editors assume.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence

import yaml

from .errors import Problem, show

PLUGIN_NAME = "meet.coop.members"
SECTIONS = ("container_hosts", "members", "clients", "services", "placement")
ENTRY = {
    "container_hosts": "container host",
    "members": "member",
    "clients": "client",
    "services": "service",
    "placement": "place of",
}

NOT_MEMBERSHIP = ("overrides", "support", "incidents", "maintenance")
"""Folders beside a membership file that hold other files."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DEPTH = 40
_CONSTANTS = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18})(?:[eE][-+]?[0-9]{1,2})?\Z")
_CORE_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
_BAD_CHARACTER = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Map(dict):
    """A mapping that knows its file, its line and the line of each key."""

    __slots__ = ("file", "files", "line", "lines", "raw")

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: dict[str, int] = {}
        self.files: dict[str, str] | None = None
        self.raw: dict[str, str] | None = None

    def at(self, key: object) -> tuple[str, int]:
        """File and line of a key, or of the mapping itself when it has no such key."""
        return (self.files or {}).get(key, self.file), self.lines.get(key, self.line)


class Seq(list):
    """A list that knows its file, its line and the line of each item."""

    __slots__ = ("file", "line", "lines")

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: list[int] = []

    def at(self, index: object) -> tuple[str, int]:
        """File and line of an item."""
        return self.file, self.lines[index] if isinstance(index, int) and index < len(self.lines) else self.line


def where(root: object, path: Iterable[object]) -> tuple[str, int]:
    """File and line of the value at a path; of the nearest thing around it when it is not there."""
    place = ("", 0)
    node = root
    if isinstance(node, Map | Seq):
        place = (node.file, node.line)
    for step in path:
        if not isinstance(node, Map | Seq):
            break
        place = node.at(step)
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    return place


def raw_text(root: object, path: Sequence[object]) -> str | None:
    """What stands in the file for a value that was not read as text (C(0123) for the number 123), if it differs."""
    node = root
    for step in path[:-1]:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node.raw.get(path[-1]) if path and isinstance(node, Map) and node.raw else None


def _scalar(text: str) -> object:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "+-.0123456789":
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
    return text


class _Stop(Exception):
    """What follows in this file cannot be read."""


class _Builder:
    """Turns one file's event stream into Maps, Seqs and scalars."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.anchors: dict[str, object] = {}
        self.sizes: dict[int, int] = {}
        self.events = 0

    def problem(self, line: int, text: str) -> None:
        self.problems.append(Problem(self.file, line, text))

    def build(self, text: str) -> object:
        """The document's root value."""
        root: object = None
        documents = 0
        # A frame: [container, key in waiting (mappings), line of that key, merged mappings, expanded size, anchor]
        stack: list[list] = []
        file = self.file
        scalar_event, alias_event = yaml.ScalarEvent, yaml.AliasEvent
        for event in yaml.parse(text, Loader=_LOADER):
            kind = type(event)
            self.events += 1
            size = 1
            if kind is scalar_event:
                line = event.start_mark.line + 1
                value = raw = event.value
                if event.tag and event.tag != "!":
                    self._tag(event.tag, line)
                if (event.implicit[0] and event.tag != "!") or (event.tag in _CORE_TAGS and event.tag != "tag:yaml.org,2002:str"):
                    value = _scalar(raw)
                if event.anchor:
                    self.anchors[event.anchor] = value
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                line = event.start_mark.line + 1
                if event.tag:
                    self._tag(event.tag, line)
                if len(stack) >= _MAX_DEPTH:
                    self.problem(line, f"nested more than {_MAX_DEPTH} levels deep; nothing in such a file needs that, check the brackets")
                    raise _Stop
                container = Map(file, line) if kind is yaml.MappingStartEvent else Seq(file, line)
                if event.anchor:
                    self.anchors[event.anchor] = container
                stack.append([container, None, line, [], 1])
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                value, _key, line, merged, size = stack.pop()
                raw = None
                for source in merged:
                    self._merge(value, source)
                self.sizes[id(value)] = size
                if size > 100_000 and size > 20 * self.events:
                    self.problem(line, "aliases (*name) repeat so much that the file becomes too large; write the values out")
                    raise _Stop
                line = value.line
            elif kind is alias_event:
                line = event.start_mark.line + 1
                raw = None
                if event.anchor not in self.anchors:
                    self.problem(
                        line,
                        f"alias {show('*' + event.anchor)} has no anchor before it; write {show('&' + event.anchor)} at the value it means",
                    )
                    value = None
                else:
                    value = self.anchors[event.anchor]
                    if any(frame[0] is value for frame in stack):
                        self.problem(line, f"alias {show('*' + event.anchor)} stands inside the very value it means; write the value out")
                        value = None
                size = self.sizes.get(id(value), 1) if isinstance(value, Map | Seq) else 1
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self.problem(event.start_mark.line + 1, 'a second document begins here ("---"); write one document per file')
                    raise _Stop
                continue
            else:
                continue
            if not stack:
                root = value
                continue
            frame = stack[-1]
            frame[4] += size
            container = frame[0]
            if type(container) is Seq:  # pylint: disable=unidiomatic-typecheck
                container.append(value)
                container.lines.append(line)
            elif frame[1] is None:
                if raw is None:
                    if kind is not alias_event or isinstance(value, Map | Seq):
                        self.problem(line, "a mapping or list stands where a key is expected; write a plain key such as name:")
                        raw = f"?{line}"
                    else:
                        raw = str(value)
                frame[1], frame[2] = raw, line
            else:
                key, key_line = frame[1], frame[2]
                frame[1] = None
                if key == "<<":
                    self._note_merge(frame[3], value, key_line)
                elif key in container:
                    self.problem(key_line, f"key {show(key)} stands here and on line {container.lines[key]}; keep one of the two")
                else:
                    container[key] = value
                    container.lines[key] = key_line
                    if raw is not None and not isinstance(value, str) and value is not None and raw != str(value):
                        if container.raw is None:
                            container.raw = {}
                        container.raw[key] = raw
        if not documents:
            raise _Stop
        return root

    def _tag(self, tag: str, line: int) -> None:
        if tag in _CORE_TAGS:
            return
        if tag == "!vault":
            self.problem(
                line,
                "an encrypted value (!vault) stands here; secrets stay out of this file even encrypted: "
                "put it into a vaulted variables file and write that variable's name here",
            )
        else:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self.problem(line, f"tag {show(shown)} is not used in this file; remove it and write the plain value")

    def _note_merge(self, merged: list[Map], value: object, line: int) -> None:
        for source in value if isinstance(value, Seq) else [value]:
            if isinstance(source, Map):
                merged.append(source)
            else:
                self.problem(line, 'only mappings can be merged with "<<"; write an alias of a mapping, such as <<: *defaults')
                return

    @staticmethod
    def _merge(target: Map, source: Map) -> None:
        for key, value in source.items():
            if key not in target:
                target[key] = value
                target.lines[key] = source.lines[key]


# What libyaml and PyYAML say, and what to say instead: the first pattern found in the message counts.
_YAML_HINTS: tuple[tuple[str, str], ...] = (
    ("cannot start any token", 'a value cannot begin with this character; put the value in quotes, such as name: "@home"'),
    ("found unknown escape character", 'a backslash in a "text" in double quotes means something special; use single quotes'),
    ("quoted scalar", "a quote that was opened is never closed; close it, or remove it"),
    (
        "mapping values are not allowed",
        'a ":" stands where none is expected; put the value in quotes, or check that the line above is indented the same way',
    ),
    ("expected ',' or '}'", 'a "{" is not closed; add the "}", or a comma between two entries'),
    ("expected ',' or ']'", 'a "[" is not closed; add the "]", or a comma between two items'),
    ("expected ':'", 'a key has no ":" after it; write key: value'),
    ("could not find expected", 'a key has no ":" after it; write key: value'),
    (
        "did not find expected key",
        "the indentation does not fit the lines above; indent keys that belong together by the same number of spaces",
    ),
    ("expected <block end>", "the indentation does not fit the lines above; indent keys that belong together by the same number of spaces"),
    ("block sequence", 'a "-" stands where none is expected; indent list items by the same number of spaces, below their key'),
    ("block collection", "the indentation does not fit the lines above; indent keys that belong together by the same number of spaces"),
    ("document start", "something is left over here; indent it below the key it belongs to, and write one document per file"),
    ("duplicate %YAML", "only one %YAML line is allowed; remove this one"),
    ("%", "lines that begin with % are directives; remove it, or put the value in quotes"),
    ("directive", "lines that begin with % are directives; remove it, or put the value in quotes"),
    ("tag", "a word that begins with ! is a tag; remove it, or put the value in quotes"),
    ("anchor", "& and * begin anchors and aliases; put the value in quotes if it is meant as text"),
    ("alias", "& and * begin anchors and aliases; put the value in quotes if it is meant as text"),
)


_QUOTED = re.compile(r"""(?:^\s*|[:,\[{-]\s+)(?:"(?P<double>(?:[^"\\]|\\.)*"?)|'(?P<single>(?:[^']|'')*'?))""")


def _unclosed_quote(lines: Sequence[str]) -> int:
    """Number of the first line with a value that begins with a quote and has no other one; 0 if there is none."""
    for number, line in enumerate(lines, 1):
        for found in _QUOTED.finditer(line):
            if not (found["double"] or found["single"] or "").endswith(('"', "'")):
                return number
    return 0


def _yaml_problem(file: str, text: str, exc: yaml.YAMLError) -> Problem:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    line = mark.line + 1 if mark is not None else 1
    said = " ".join(str(part) for part in (getattr(exc, "problem", None), getattr(exc, "context", None)) if part) or "it cannot be read"
    lines = text.splitlines()
    line = max(1, min(line, len(lines)))
    before = lines[line - 1] if lines else ""
    if "\t" in before[: len(before) - len(before.lstrip())] or (mark is not None and before[mark.column : mark.column + 1] == "\t"):
        return Problem(file, line, "a tab is used for spacing; use spaces")
    opened = _unclosed_quote(lines[:line])
    if opened:
        return Problem(file, opened, "not valid YAML: a quote that is opened on this line is not closed on it; close it, or remove it")
    hint = next((human for pattern, human in _YAML_HINTS if pattern in said), "check this line and the one above it")
    return Problem(file, line, f"not valid YAML: {hint}")


def read_bytes(path: str, file: str, problems: list[Problem]) -> bytes | None:
    """What a file holds, or None with the reason added to the problems."""
    try:
        # Without O_NONBLOCK opening a named pipe would wait for somebody who writes into it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                problems.append(Problem(file, 0, "is not a regular file; put the file itself there"))
                return None
            return stream.read()
    except OSError as exc:
        problems.append(Problem(file, 0, f"cannot be read: {(exc.strerror or str(exc)).lower()}; check the path and its permissions"))
        return None


def read_text(path: str, file: str, problems: list[Problem]) -> str | None:
    """A file's text, or None with the reason added to the problems."""
    data = read_bytes(path, file, problems)
    return None if data is None else decode(data, file, problems)


def decode(data: bytes, file: str, problems: list[Problem]) -> str | None:
    """The text of what a file holds, or None with the reason added to the problems."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        problems.append(Problem(file, 1, "is not UTF-8 but UTF-16; save the file as UTF-8"))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        problems.append(Problem(file, line, f"byte 0x{data[exc.start]:02x} is not UTF-8; save the file as UTF-8"))
        return None
    bad = _BAD_CHARACTER.search(text)
    if bad:
        name = "a NUL byte" if bad.group() == "\0" else f"control character U+{ord(bad.group()):04X}"
        problems.append(Problem(file, text.count("\n", 0, bad.start()) + 1, f"{name} stands in the file; remove it"))
        return None
    return text


def parse(text: str, file: str, problems: list[Problem], first: str = "cooperative", page: str = "docs/membership-file.md") -> Map | None:
    """The root mapping of one file's text, or None; everything wrong is added to the problems.

    C(first) is a key that every such file has, C(page) where the files are explained.
    """
    before = len(problems)
    try:
        root = _Builder(file, problems).build(text)
    except yaml.YAMLError as exc:
        problems.append(_yaml_problem(file, text, exc))
        return None
    except _Stop:
        root = None
    if len(problems) > before and not isinstance(root, Map):
        return None
    if root is None:
        problems.append(Problem(file, 1, f"is empty; write at least the {first}, see {page}"))
        return None
    if not isinstance(root, Map):
        problems.append(
            Problem(file, where(root, ())[1] or 1, f"holds {show(root)} where sections are expected; begin with a line such as {first}:")
        )
        return None
    return root


def files_of(path: str, file: str, problems: list[Problem]) -> list[tuple[str, str]]:
    """The YAML files behind a path, as (path, name to show): the file itself, or all below a folder in sorted order."""
    if not os.path.isdir(path):
        return [(path, file)]
    found: list[tuple[str, str]] = []
    for folder, folders, names in os.walk(path):
        # Overrides of images, the rota, incidents and planned maintenance are YAML too, and no membership file.
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_MEMBERSHIP)
        found.extend(
            (os.path.join(folder, name), os.path.normpath(os.path.join(file, os.path.relpath(folder, path), name)))
            for name in sorted(names)
            if name.endswith((".yml", ".yaml")) and not name.startswith(".")
        )
    if not found:
        problems.append(Problem(file, 0, "holds no .yml or .yaml file; put the membership file there"))
    return sorted(found, key=lambda pair: pair[1])


def merge(roots: Sequence[Map], problems: list[Problem]) -> Map:
    """One root out of several files; what stands twice is a problem that names both places."""
    first = roots[0]
    for root in roots:
        for section in (*SECTIONS, "defaults"):
            if section in root and root[section] is None:
                root[section] = Map(root.file, root.lines[section])
    if len(roots) == 1:
        return first
    merged = Map(first.file, first.line)
    merged.files = {}
    for root in roots:
        for key, value in root.items():
            file, line = root.at(key)
            if key not in merged:
                merged.files[key] = file
                merged.lines[key] = line
                if key in SECTIONS and isinstance(value, Map):
                    section = Map(file, value.line)
                    section.files = {}
                    _fill(section, key, value, problems)
                    value = section
                merged[key] = value
            elif key in SECTIONS and isinstance(value, Map) and isinstance(merged[key], Map):
                _fill(merged[key], key, value, problems)
            elif not key.startswith("x-") and key != "plugin":
                other = "{}:{}".format(*merged.at(key))
                problems.append(Problem(file, line, f"section {show(key)} also stands in {other}; keep one of the two"))
    return merged


def _fill(section: Map, key: str, more: Map, problems: list[Problem]) -> None:
    for name, value in more.items():
        file, line = more.at(name)
        if name in section:
            other = "{}:{}".format(*section.at(name))
            problems.append(Problem(file, line, f"{ENTRY[key]} {show(name)} also stands in {other}; keep one of the two"))
            continue
        section[name] = value
        section.lines[name] = line
        section.files[name] = file
