# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Java properties as BigBlueButton has them, changed without touching a line that is not meant.

Neither Debian nor Ubuntu has a Python package for them. Only what java.util.Properties.load states is read.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_COMMENTED = re.compile(r"[ \t]*[#!]+[ \t]*([A-Za-z][A-Za-z0-9_.-]*)[ \t]*=")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True)
class Entry:
    """One assignment: key, value, the lines it is on (numbered from 0, ``end`` not included), and the column where its value begins."""

    key: str
    value: str
    first: int
    end: int
    column: int


def entries(text: str, where: str) -> list[Entry]:
    """All assignments in their order. Raises CoopError, with the line, for an escape that Java refuses."""
    lines = _lines(text)
    found, number = [], 0
    while number < len(lines):
        first = number
        line = lines[number].rstrip("\r\n")
        number += 1
        bare = line.lstrip(" \t\f")
        if not bare or bare[0] in "#!":
            continue
        joined = line
        while _continues(joined) and number < len(lines):
            joined = joined[:-1] + lines[number].rstrip("\r\n").lstrip(" \t\f")
            number += 1
        key_end, value_at = _split(joined)
        begin = len(joined) - len(joined.lstrip(" \t\f"))
        key = _unescape(joined[begin:key_end], where, first)
        found.append(Entry(key, _unescape(joined[value_at:], where, first), first, number, value_at))
    return found


def parse(text: str, where: str) -> dict[str, str]:
    """Keys and values; of a key that stands there twice the last counts, as for Java."""
    return {entry.key: entry.value for entry in entries(text, where)}


def commented(text: str) -> set[str]:
    """Keys that a package's file only mentions, behind a comment sign: they may be set too."""
    return {match[1] for match in map(_COMMENTED.match, text.splitlines()) if match}


def merge(text: str, wanted: t.Mapping[str, str | None], where: str) -> str:
    """The text with ``wanted`` in it; None takes a key away. Lines of other keys, comments and their order stay as they are."""
    lines = _lines(text)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    known = entries(text, where)
    extra = []
    for key, value in wanted.items():
        if not _KEY.match(key):
            raise CoopError(f"{key!r} cannot be a key of {where}; write letters, digits, dots, dashes and underscores")
        own = [entry for entry in known if entry.key == key]
        if value is None:
            doomed = own
        elif not own:
            extra.append(f"{key}={_escape(value)}{newline}")
            continue
        else:
            # The last of several is the one that counts.
            doomed, last = own[:-1], own[-1]
            if last.value != value:
                start = lines[last.first][: last.column] if last.end == last.first + 1 else f"{key}="
                end = newline if lines[last.end - 1].endswith("\n") else ""
                lines[last.first : last.end] = [start + _escape(value) + end, *[""] * (last.end - last.first - 1)]
        for entry in doomed:
            lines[entry.first : entry.end] = [""] * (entry.end - entry.first)
    body = "".join(lines)
    if extra and body and not body.endswith("\n"):
        body += newline
    return body + "".join(extra)


def _lines(text: str) -> list[str]:
    # Not splitlines(): Java knows no other line ends.
    return re.findall(r"[^\n\r]*(?:\r\n|\n|\r)|[^\n\r]+", text)


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[int, int]:
    """Where the key ends and where the value begins."""
    at = len(line) - len(line.lstrip(" \t\f"))
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    end = min(at, len(line))
    match = re.compile(r"[ \t\f]*(?:[=:][ \t\f]*)?").match(line, end)
    return end, match.end() if match else end


def _unescape(text: str, where: str, line: int) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] == "u":
            raise CoopError(f"{where}:{line + 1} has \\u without four hexadecimal digits; write the character itself or correct it")
        return _ESCAPES.get(match[2], match[2])

    plain = re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.)|$)", lambda match: one(match) if match[1] or match[2] else "", text, flags=re.DOTALL)
    # Java writes characters beyond the first 65,536 as two halves.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _escape(value: str) -> str:
    """A value on one line, in ASCII: which encoding the file is read in has changed between versions of Spring."""
    text = value.replace("\\", "\\\\")
    for letter, character in _ESCAPES.items():
        text = text.replace(character, "\\" + letter)
    if text.startswith(" "):
        text = "\\" + text
    return "".join(letter if " " <= letter <= "~" else _unicode(letter) for letter in text)


def _unicode(letter: str) -> str:
    data = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[at] << 8 | data[at + 1]:04x}" for at in range(0, len(data), 2))
