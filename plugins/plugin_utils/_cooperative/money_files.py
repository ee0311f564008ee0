# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the readers of money files have in common: folders by month, tables with file and line, one way to refuse.

A reader gives the records of one month and the problems it found, in the order of the files; with problems there are no records, so that
half a file is never counted.
"""

from __future__ import annotations

import csv
import datetime
import difflib
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import decode, read_bytes

from .ledger import CURRENCIES, Money, Period

PAGE = "docs/money-files.md"
MAX_BYTES = 20_000_000
ID = re.compile(r"[a-z](?:[a-z0-9-]{0,37}[a-z0-9])?\Z")
_DELIMITERS = ",;\t"
_FORMULA = ("=", "+", "@", "|")


class Row(NamedTuple):
    """A line of a table: the line it begins at, and its cells by column; a cell that is not there is empty."""

    line: int
    cells: Mapping[str, str]


class Files:
    """The files of one kind in the folder of the money files. C(problems) collects what is wrong, with the path as the user sees it."""

    def __init__(self, folder: str, kind: str, period: Period) -> None:
        self.folder = folder
        self.kind = kind
        self.period = period
        self.problems: list[Problem] = []

    def path(self, *parts: str) -> str:
        """Where a file is."""
        return os.path.join(self.folder, self.kind, *parts)

    def shown(self, *parts: str) -> str:
        """How a file is called in messages."""
        return os.path.join(os.path.relpath(self.folder), self.kind, *parts)

    def name(self, *parts: str) -> str:
        """How a file is called in records: relative to the folder of the money files."""
        return "/".join((self.kind, *parts))

    def bad(self, parts: Sequence[str], line: int, said: str) -> None:
        """Notes what is wrong."""
        self.problems.append(Problem(self.shown(*parts), line, said))

    def listed(self, *parts: str) -> list[str]:
        """Names in a folder, sorted; hidden ones left out. None of them when there is no such folder."""
        try:
            return sorted(name for name in os.listdir(self.path(*parts)) if not name.startswith("."))
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            self.bad(parts, 0, f"is not a folder; make it one, see {PAGE}")
            return []
        except OSError as exc:
            self.bad(parts, 0, f"cannot be read: {(exc.strerror or str(exc)).lower()}; check the folder and its permissions")
            return []

    def months(self, suffix: str = "") -> None:
        """Refuses names that are meant as a month and would be passed over in silence. Without a suffix, a month is a folder."""
        example = f"{self.period}{suffix}"
        for name in self.listed():
            stem, ending = os.path.splitext(name)
            if os.path.isdir(self.path(name)):
                if re.match(r"[0-9]{4}", name) and (suffix or Period.parse(name) is None):
                    said = (
                        f"is a folder, and a month is one file here; name it such as {example}" if suffix else "is not the name of a month"
                    )
                    self.bad((name,), 0, said if suffix else f"{said}; rename it to year-month, such as {example}")
            elif suffix and ending.lower() == suffix and (ending != suffix or Period.parse(stem) is None):
                self.bad((name,), 0, f"is not the name of a month; rename it to year-month, such as {example}, or move it elsewhere")

    def text(self, *parts: str) -> str | None:
        """The text of a file; None with the reason noted."""
        data = self.data(*parts)
        return None if data is None else decode(data, self.shown(*parts), self.problems)

    def data(self, *parts: str) -> bytes | None:
        """What a file holds; None with the reason noted."""
        data = read_bytes(self.path(*parts), self.shown(*parts), self.problems)
        if data is not None and len(data) > MAX_BYTES:
            self.bad(parts, 0, f"is larger than {MAX_BYTES // 1_000_000} MB; nothing in a month needs that, check what it is")
            return None
        return data

    # -- tables

    def table(
        self,
        parts: Sequence[str],
        text: str,
        columns: Sequence[str],
        needed: Sequence[str],
        aliases: Mapping[str, str] | None = None,
        others: bool = False,
    ) -> list[Row]:
        """The rows of a CSV table, below a line that names its columns; C(others) lets in columns nobody needs.

        C(aliases) are other names of columns. Empty lines are passed over. What is wrong is noted, and then there are no rows.
        """
        before = len(self.problems)
        rows = self._rows(parts, text)
        if len(self.problems) > before:
            return []
        if not rows:
            self.bad(parts, 1, f"is empty; write a first line such as {','.join(needed)}, and one line for each record")
            return []
        names = self._header(parts, *rows[0], columns, needed, aliases or {}, others)
        if len(self.problems) > before:
            return []
        found = []
        for line, row in rows[1:]:
            if len(row) > len(names) and any(row[len(names) :]):
                self.bad(
                    parts, line, f'has {len(row)} cells, and there are {len(names)} columns; put a text that holds the separator in "..."'
                )
                continue
            cells = {name: cell for name, cell in zip(names, row, strict=False) if name}
            for name, cell in cells.items():
                if cell.startswith(_FORMULA):
                    self.bad(parts, line, f"{name} {show(cell)} looks like a formula (begins with {cell[0]}); write the plain text")
            found.append(Row(line, {**dict.fromkeys(columns, ""), **cells}))
        return found if len(self.problems) == before else []

    def _rows(self, parts: Sequence[str], text: str) -> list[tuple[int, list[str]]]:
        first = next((line for line in text.splitlines() if line.strip(_DELIMITERS + " ")), "")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count), strict=True)
        rows: list[tuple[int, list[str]]] = []
        begins = 1
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append((begins, [" ".join(cell.split()) for cell in row]))
                begins = reader.line_num + 1
        except csv.Error as error:
            said = f'is no CSV ({error}); a text that begins with " must end with one, and a " inside it is written twice'
            self.bad(parts, begins, said)
        return rows

    def _header(
        self, parts: Sequence[str], line: int, row: Sequence[str], columns: Sequence[str], needed: Sequence[str],
        aliases: Mapping[str, str], others: bool,
    ) -> list[str]:  # fmt: skip
        names = []
        for cell in row:
            name = cell.lower()
            name = aliases.get(name, name)
            if name in columns:
                if name in names:
                    self.bad(parts, line, f"column {name} is there twice; keep one")
                names.append(name)
                continue
            if name and not others:
                close = difflib.get_close_matches(name, columns, n=1, cutoff=0.6)
                advice = f"did you mean {close[0]}?" if close else f"write one of {', '.join(columns)}, or remove it"
                self.bad(parts, line, f"there is no column {show(cell)}; {advice}")
            names.append("")
        for name in needed:
            if name not in names:
                self.bad(parts, line, f"column {name} is missing; the first line names the columns: {','.join(columns)}")
        return names

    # -- cells and fields

    def day(self, parts: Sequence[str], line: int, name: str, value: str, inside: bool = True) -> datetime.date | None:
        """The day a text names, in the month where that is asked for."""
        found = day(value)
        if found is None:
            self.bad(parts, line, f"{name} {show(value)} is not a day; write year-month-day, such as {self.period}-15")
        elif inside and Period.of(found) != self.period:
            self.bad(parts, line, f"{name} {value} is not in {self.period}, the month of this file; mend it, or move it to that month")
            return None
        return found

    def money(self, parts: Sequence[str], line: int, name: str, value: str, currency: str) -> Money | None:
        """The amount a text means; C(currency) is one there is."""
        found = Money.parse(value, currency)
        if found is None:
            places = len(str(Money(0, currency)).split()[0].partition(".")[2])
            example = f"12.{'5' * places}" if places else "12"
            self.bad(parts, line, f"{name} {show(value)} is no amount in {currency}; write one such as {example}")
        return found

    def currency(self, parts: Sequence[str], line: int, value: str) -> str | None:
        """A currency of ISO 4217."""
        if value in CURRENCIES:
            return value
        close = value.upper() if value.upper() in CURRENCIES else "EUR"
        self.bad(parts, line, f"currency {show(value)} is none of ISO 4217; write three capital letters such as {close}")
        return None

    def whole(self, parts: Sequence[str], line: int, name: str, value: str) -> int | None:
        """A number of units."""
        if re.fullmatch(r"[0-9]{1,15}", value):
            return int(value)
        self.bad(parts, line, f"{name} {show(value)} is no whole number; write one such as 1200")
        return None

    def id(self, parts: Sequence[str], line: int, name: str, value: str) -> str | None:
        """The id of a member, client or supplier, by its form."""
        if ID.match(value):
            return value
        said = f"{show(value)} is no id" if value else "is empty"
        self.bad(parts, line, f"{name} {said}; write the id as the membership file has it, such as sunflower")
        return None
