# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a member's people from CSV as any spreadsheet saves it, checked as a whole.

All that is wrong is told at once, by file and line, and then there is no list: half a table is never applied.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Sequence

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.passwords import email_problem, name_problem

COLUMNS = ("name", "email", "role", "state", "language")
REQUIRED = ("name", "email")
STATES = ("present", "disabled")
"""No removal by table: a line left out or mistyped must not cost anybody rooms and recordings."""
MAX_BYTES = 5_000_000
MAX_PROBLEMS = 50
"""More are counted, not listed."""
SUPER_ROLE = "SuperAdmin"
_DELIMITERS = ",;\t"
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_FORMULA = ("=", "+", "-", "@", "|")
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


class TableError(CoopError):
    """A table that cannot be used. The message has one line for each problem, each with file and line."""


def read(data: bytes, file: str, roles: Collection[str] | None = None) -> list[dict[str, str]]:
    """The people of a CSV table, in its order, as C(users) of greenlight_user. ``file`` is how messages call it.

    ``roles`` are those the column role may name; None: any.

    Every entry has ``name``, ``email`` (in lower case), ``role``, ``state`` and ``language``; the last three only where the table
    gives them. Raises TableError with everything that is wrong.
    """
    if len(data) > MAX_BYTES:
        raise TableError(f"{file}: is larger than {MAX_BYTES // 1_000_000} MB; give a table of people, saved as CSV")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TableError(f"{file}: is a spreadsheet or an archive, not CSV; save it as CSV (UTF-8)")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise TableError(f"{file}:{line}: holds a NUL byte; save the table as CSV (UTF-8), not as UTF-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableError(f"{file}:{line}: is not UTF-8; save the table as CSV (UTF-8)") from None
    rows = _rows(text, file)
    if not rows:
        raise TableError(f"{file}:1: is empty; write a header such as name,email,role,state and one line for each person")
    return _people(rows, file, roles)


def _rows(text: str, file: str) -> list[tuple[int, list[str]]]:
    """Rows that hold anything, each with the number of the line it begins at."""
    first = next((line for line in text.splitlines() if line.strip(_DELIMITERS + " ")), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begins, [_clean(cell) for cell in row]))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            f'{file}:{begins}: is no CSV ({error}); a text that begins with " must end with one, and a " inside it is written twice'
        ) from None
    return rows


def _clean(cell: str) -> str:
    """On one line and without what nobody sees: a quoted newline becomes a blank."""
    return " ".join(cell.translate(dict.fromkeys(map(ord, _INVISIBLE))).split())


def _shown(text: str, limit: int = 60) -> str:
    safe = "".join(c if c.isprintable() else "?" for c in text)
    return f'"{safe if len(safe) <= limit else safe[:limit] + "..."}"'


def _header(line: int, row: Sequence[str], problems: list[tuple[int, str]]) -> list[str]:
    """The column names; an empty name for a column without one."""
    names = [cell.lower() for cell in row]
    while names and not names[-1]:
        names.pop()
    known = ", ".join(COLUMNS)
    for name in dict.fromkeys(names):
        if name and name not in COLUMNS:
            problems.append((line, f"there is no column {_shown(name)}; write one of {known}, or remove it"))
        elif name and names.count(name) > 1:
            problems.append((line, f"column {name} is there {names.count(name)} times; keep one"))
    for name in REQUIRED:
        if name not in names:
            problems.append((line, f"column {name} is missing; the first line names the columns: {known}"))
    return names


def _people(rows: Sequence[tuple[int, list[str]]], file: str, roles: Collection[str] | None) -> list[dict[str, str]]:
    problems: list[tuple[int, str]] = []
    names = _header(*rows[0], problems)
    people: list[dict[str, str]] = []
    if not problems:
        seen: dict[str, int] = {}
        for line, row in rows[1:]:
            _person(line, row, names, roles, seen, people, problems)
    if problems:
        lines = [f"{file}:{line}: {text}" for line, text in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{file}: and {len(problems) - MAX_PROBLEMS} more")
        raise TableError("\n".join(lines))
    return people


def _person(
    line: int,
    row: Sequence[str],
    names: Sequence[str],
    roles: Collection[str] | None,
    seen: dict[str, int],
    people: list[dict[str, str]],
    problems: list[tuple[int, str]],
) -> None:
    """Check one row; add it to ``people`` or what is wrong to ``problems``."""
    found: list[str] = []
    for number, cell in enumerate(row, 1):
        if cell and (number > len(names) or not names[number - 1]):
            found.append(
                f'column {number} holds {_shown(cell)} and has no name in the header; put a text that holds the separator in "..."'
            )
    cells = {name: cell for name, cell in zip(names, row, strict=False) if name}
    for name, cell in cells.items():
        if cell.startswith(_FORMULA):
            found.append(f"{name} {_shown(cell)} looks like a formula (begins with {cell[0]}); write the plain text")
    email = cells.get("email", "").lower()
    if not email.startswith(_FORMULA):
        if not email:
            found.append("email is empty; write the person's mail address")
        elif problem := email_problem(email):
            found.append(f"email {_shown(email)} {problem}")
    name = cells.get("name", "")
    if problem := name_problem(name):
        found.append(f"name {problem}")
    elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        found.append(f"name {_shown(name)} holds a control character; type it anew")
    person = {"name": name, "email": email}
    if role := cells.get("role"):
        person["role"] = role
        if role.lower() == SUPER_ROLE.lower():
            found.append("role SuperAdmin passes every limit and is not given by a table; write another role")
        elif roles is not None and role not in roles:
            found.append(
                f"role {_shown(role)} is no role of this service; write one of {', '.join(roles)} (capitals count), or leave it empty"
            )
    if state := cells.get("state", "").lower():
        person["state"] = state
        if state not in STATES:
            found.append(f"state {_shown(state)} is unknown; write {' or '.join(STATES)}, or leave it empty for present")
    if language := cells.get("language"):
        person["language"] = language
        if not _LANGUAGE.fullmatch(language):
            found.append(f"language {_shown(language)} is no language code; write one such as en or pt_BR")
    if email and email in seen:
        found.append(f"email {_shown(email)} is on line {seen[email]} already; keep one of the two")
    seen.setdefault(email, line)
    problems += [(line, text) for text in found]
    people.append(person)
