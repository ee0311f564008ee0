# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: HOCON as the Akka parts of BigBlueButton read it, changed without touching a line that is not meant.

Neither Debian nor Ubuntu has a Python package for HOCON, and the parsers on PyPI lose comments. Read is what the files of the
packages and of operators hold: objects, paths, scalars, arrays, comments, includes and substitutions (which are kept as text).
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

Path = tuple[str, ...]
_UNQUOTED = re.compile(r"(?:[^\s\"{}\[\]=:,+#`^?!@*&\\$./]|/(?!/))+")
_INCLUDE = re.compile(r"include[ \t]+(?=[\"a-z])")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_WORDS: dict[str, bool | None] = {
    "true": True, "on": True, "yes": True, "false": False, "off": False, "no": False, "null": None,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One assignment: its path, the place of its key and of its value in the text, and whether it is an object or adds to a list (+=)."""

    path: Path
    key: int
    start: int
    end: int
    section: bool = False
    adds: bool = False


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.at = 0
        self.found: list[Entry] = []

    def fail(self, what: str) -> CoopError:
        line = self.text.count("\n", 0, min(self.at, len(self.text))) + 1
        return CoopError(f"{self.where}:{line} cannot be understood: {what}; correct it by hand")

    def skip(self, *, commas: bool = True) -> None:
        """Over white space, comments and, between fields, commas."""
        while self.at < len(self.text):
            if self.text[self.at].isspace() or (commas and self.text[self.at] == ","):
                self.at += 1
            elif self.text[self.at] == "#" or self.text.startswith("//", self.at):
                self.line()
            else:
                return

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def string(self) -> str:
        """A quoted string, from its first quote on; what it means."""
        if self.text.startswith('"""', self.at):
            end = self.text.find('"""', self.at + 3)
            if end < 0:
                raise self.fail('""" is not closed')
            while self.text.startswith('"', end + 3):
                end += 1
            value = self.text[self.at + 3 : end]
            self.at = end + 3
            return value
        match = re.compile(r'"(?:[^"\\\n]|\\.)*"').match(self.text, self.at)
        if not match:
            raise self.fail("a quotation mark is not closed")
        try:
            value = json.loads(match[0], strict=False)
        except ValueError:
            raise self.fail("a string with an unknown escape") from None
        self.at = match.end()
        return str(value)

    def path(self) -> Path:
        parts: list[str] = []
        while True:
            self.blanks()
            if self.text.startswith('"', self.at):
                parts.append(self.string())
            else:
                match = _UNQUOTED.match(self.text, self.at)
                if not match:
                    raise self.fail("a key is expected here")
                parts.append(match[0])
                self.at = match.end()
            self.blanks()
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def object(self, prefix: Path, *, top: bool = False) -> None:
        """The fields of an object, up to its closing brace."""
        while True:
            self.skip()
            if self.at >= len(self.text):
                if top:
                    return
                raise self.fail("a { is not closed")
            if self.text[self.at] == "}":
                if top:
                    raise self.fail("a } closes nothing")
                self.at += 1
                return
            if _INCLUDE.match(self.text, self.at):
                self.line()
                continue
            key = self.at
            path = prefix + self.path()
            self.skip(commas=False)
            adds = self.text.startswith("+=", self.at)
            if adds:
                self.at += 2
            elif self.at < len(self.text) and self.text[self.at] in "=:":
                self.at += 1
            elif not self.text.startswith("{", self.at):
                raise self.fail(f"= is expected after {'.'.join(path)}")
            self.skip(commas=False)
            self.value(path, key, adds)

    def value(self, path: Path, key: int, adds: bool) -> None:
        start = self.at
        if self.text.startswith("{", self.at):
            self.at += 1
            mine = len(self.found)
            self.object(path)
            self.found.insert(mine, Entry(path, key, start, self.at, section=True, adds=adds))
            return
        end = start
        while self.at < len(self.text):
            here = self.text[self.at]
            if here in "\n,}" or here == "#" or self.text.startswith("//", self.at):
                break
            if here == "[":
                self.array()
            elif here == '"':
                self.string()
            elif self.text.startswith("${", self.at):
                close = self.text.find("}", self.at)
                if close < 0:
                    raise self.fail("${ is not closed")
                self.at = close + 1
            elif here in "{]":
                raise self.fail(f"{here} is not expected here")
            else:
                self.at += 1
                if here.isspace():
                    continue
            end = self.at
        if end == start:
            raise self.fail(f"{'.'.join(path)} has no value")
        self.found.append(Entry(path, key, start, end, adds=adds))

    def array(self) -> None:
        self.at += 1
        while True:
            self.skip()
            if self.at >= len(self.text):
                raise self.fail("a [ is not closed")
            here = self.text[self.at]
            if here == "]":
                self.at += 1
                return
            if here == "[":
                self.array()
            elif here == '"':
                self.string()
            elif here == "{":
                self.at += 1
                kept = len(self.found)
                self.object(())
                del self.found[kept:]
            else:
                self.at += 1


def entries(text: str, where: str) -> list[Entry]:
    """All assignments in their order. Raises CoopError with the line of what cannot be understood."""
    reader = _Reader(text, where)
    reader.skip()
    if text.startswith("{", reader.at):
        reader.at += 1
        reader.object(())
        reader.skip()
        if reader.at < len(text):
            raise reader.fail("something stands after the last }")
    else:
        reader.object((), top=True)
    return reader.found


def parse(text: str, where: str) -> dict[Path, t.Any]:
    """Paths and values, without what an include would add; sections have {}. The last assignment counts."""
    found: dict[Path, t.Any] = {}
    for entry in entries(text, where):
        if entry.section:
            found.setdefault(entry.path, {})
        else:
            found[entry.path] = decode(text[entry.start : entry.end])
    return found


def decode(raw: str) -> t.Any:
    """What a scalar or a simple list means; substitutions and concatenations stay text."""
    raw = raw.strip()
    if raw.startswith("[") and raw.endswith("]"):
        return [decode(part) for part in _items(raw[1:-1])]
    if raw.startswith('"""') and raw.endswith('"""') and len(raw) >= 6:
        return raw[3:-3]
    if raw.startswith('"'):
        try:
            return json.loads(raw, strict=False)
        except ValueError:
            return raw
    if raw in _WORDS:
        return _WORDS[raw]
    match = _NUMBER.match(raw)
    if match:
        return int(raw) if raw.lstrip("-").isdigit() else float(raw)
    return raw


def render(value: t.Any) -> str:
    """A value as HOCON; what decode() gives back."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(render(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def merge(text: str, wanted: t.Mapping[Path, t.Any], where: str) -> str:
    """The text with ``wanted`` in it; None takes a path away. Other lines stay as they are; new paths go to the end."""
    for path, value in wanted.items():
        known = entries(text, where)
        own = [entry for entry in known if entry.path == path]
        if any(entry.section for entry in own):
            raise CoopError(f"{where}: {'.'.join(path)} is a section there, not a value; name a key within it")
        if value is None:
            for entry in reversed(own):
                text = _without(text, entry)
        elif own and not own[-1].adds and not _later_parent(known, own[-1]):
            if decode(text[own[-1].start : own[-1].end]) != value or isinstance(value, bool) != isinstance(
                decode(text[own[-1].start : own[-1].end]), bool
            ):
                text = text[: own[-1].start] + render(value) + text[own[-1].end :]
        else:
            if text and not text.endswith("\n"):
                text += "\n"
            text += f"{'.'.join(map(_key, path))} = {render(value)}\n"
    return text


def _later_parent(known: list[Entry], entry: Entry) -> bool:
    """Whether a parent is given a plain value afterwards, which takes the place of the entry."""
    after = known[known.index(entry) + 1 :]
    return any(not other.section and other.path == entry.path[: len(other.path)] for other in after)


def _without(text: str, entry: Entry) -> str:
    start, end = entry.key, entry.end
    match = re.compile(r"[ \t]*,?[ \t]*(?:(?:#|//)[^\n]*)?(?:\n|\Z)").match(text, end)
    begin = text.rfind("\n", 0, start) + 1
    if match and not text[begin:start].strip():
        return text[:begin] + text[match.end() :]
    comma = re.compile(r"[ \t]*,").match(text, end)
    return text[:start] + text[comma.end() if comma else end :]


def _key(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)


def _items(body: str) -> list[str]:
    """The elements of a list as text: split at commas and line ends outside of strings and brackets."""
    items, start, depth, reader = [], 0, 0, _Reader(body, "")
    while reader.at < len(body):
        here = body[reader.at]
        if here == '"':
            reader.string()
            continue
        if here == "#" or body.startswith("//", reader.at):
            items.append(body[start : reader.at])
            reader.line()
            start = reader.at
            continue
        depth += (here in "[{") - (here in "]}")
        if here in ",\n" and not depth:
            items.append(body[start : reader.at])
            start = reader.at + 1
        reader.at += 1
    items.append(body[start:])
    return [item.strip() for item in items if item.strip()]
