# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads C(hours/<yyyy-mm>/<producer>.timedot) and C(.csv): who worked how long on what, and for what.

The timedot that is accepted is a part of hledger's: what is read here, hledger reads the same. What hledger reads otherwise than people
mean it is refused, above all an amount after a single space, which hledger takes as part of the account, with no hours at all.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show

from .ledger import KINDS_OF_HOURS, Hours, Period, Source
from .money_files import ID, Files

TAGS = ("kind", "person", "task")
DAY = Fraction(24)
PLAIN = ("date", "hours", "kind", "person", "circle", "task", "description")
NEEDED = ("date", "hours", "person", "circle")
# Kimai's own names in its export in English (src/Export/ColumnConverter.php, translated). How it writes what is in them stands in
# src/Export/Base/CsvRenderer.php.
KIMAI = {"duration": "hours", "project": "circle", "activity": "task", "user": "person", "username": "person", "name": "alias"}

_LIKE_A_DAY = re.compile(r"\*{0,6} *[0-9]{1,4}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?(?![0-9A-Za-z:])")
_DAY_LINE = re.compile(r"(?:\*+ +)?([0-9]{4}-[0-9]{2}-[0-9]{2})(?: +([^;]*?))? *(?:;(.*))?\Z")
_AMOUNT_AT_END = re.compile(r"(.*\S) +((?:[0-9.,]+ *(?:h|m)?)|(?:[. ]+))\Z")
_NUMBER = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([hm]?)\Z")
_DOTS = re.compile(r"\.+(?: +\.+)*\Z")
_PART = re.compile(r"[\w#][\w.#/+-]*\Z")
_TAG = re.compile(r"(?:^|(?<=[\s,]))([\w-]+):")
_TAG_MISWRITTEN = re.compile(r"\b(kind)\s*(?:=|\s|:\s*$|\s:)\s*(paid|gift|membership)\b", re.IGNORECASE)


def read(folder: str, period: Period) -> tuple[tuple[Hours, ...], list[Problem]]:
    """The work of a month by producer and line, and what is wrong with the files. Hours are exact."""
    files = Files(folder, "hours", period)
    files.months()
    found: list[Hours] = []
    seen: dict[str, str] = {}
    for entry in files.listed(str(period)):
        parts = (str(period), entry)
        producer, suffix = os.path.splitext(entry)
        if suffix not in (".timedot", ".csv"):
            if suffix.lower() in (".timedot", ".csv", ".timeclock", ".yml", ".yaml", ".xlsx", ".ods"):
                files.bad(parts, 0, f"is not read; hours are in {producer}.timedot or {producer}.csv, see docs/money-files.md")
            continue
        if not ID.match(producer):
            files.bad(parts, 0, f"is not named after a producer; rename it to its id, such as agaric{suffix}")
            continue
        if producer in seen:
            files.bad(parts, 0, f"is beside {seen[producer]}; one file for each producer: put the lines of both into one")
            continue
        seen[producer] = entry
        text = files.text(*parts)
        if text is None:
            continue
        reader = _Reader(files, parts, producer)
        if suffix == ".csv":
            reader.table(text)
        else:
            reader.timedot(text)
        reader.check_days()
        found.extend(reader.found)
    return (() if files.problems else tuple(found)), files.problems


class _Reader:
    """One file."""

    def __init__(self, files: Files, parts: Sequence[str], producer: str) -> None:
        self.files = files
        self.parts = parts
        self.producer = producer
        self.found: list[Hours] = []

    def bad(self, line: int, said: str) -> None:
        self.files.bad(self.parts, line, said)

    def add(
        self,
        line: int,
        date: datetime.date,
        hours: Fraction,
        kind: str,
        person: str,
        circle: str,
        task: str | None,
        description: str | None,
    ) -> None:
        source = Source(self.files.name(*self.parts), line, f"{self.files.period}/{self.producer}:{line}")
        self.found.append(Hours(source, self.producer, person, date, hours, kind, circle, task or None, description or None))

    def check_days(self) -> None:
        """Nobody works more than a day has."""
        together: dict[tuple[str, datetime.date], Fraction] = {}
        for one in self.found:
            key = (one.person, one.date)
            before = together.get(key, Fraction(0))
            together[key] = before + one.hours
            if before <= DAY < together[key]:
                who = show(one.person)
                advice = "write who did it, person: ana" if one.person == self.producer else "mend the hours or the day"
                self.bad(one.source.line, f"with this {who} has {float(together[key]):g} hours on {one.date}, and a day has 24; {advice}")

    # -- timedot

    def timedot(self, text: str) -> None:
        """The lines of a timedot file."""
        date: datetime.date | None = None
        seen_day = False
        title: str | None = None
        defaults: dict[str, str] = {}
        for number, raw in enumerate(text.splitlines(), 1):
            if "\t" in raw:
                self.bad(number, "a tab is used for spacing, which hledger takes as part of the account, with no hours; use two spaces")
                continue
            line = raw.strip(" ")
            if not line or line[0] in "#;":
                continue
            if _LIKE_A_DAY.match(line):
                seen_day = True
                date, title, defaults = self.day_line(number, raw)
            elif line.startswith("*"):
                self.bad(
                    number, "a headline is read by hledger as an account; begin the line with # for a note, or write a day after the *"
                )
            elif not seen_day:
                self.bad(
                    number,
                    f"{show(line)} stands before any day; write the day on a line of its own above it, such as {self.files.period}-15",
                )
            else:
                self.entry(number, line, date, title, defaults)

    def day_line(self, number: int, line: str) -> tuple[datetime.date | None, str | None, dict[str, str]]:
        matched = _DAY_LINE.match(line)
        if not matched:
            self.bad(
                number, f"{show(line.strip())} does not begin with a day; write year-month-day at the start, such as {self.files.period}-15"
            )
            return None, None, {}
        tags, rest = self.tags(number, matched[3] or "")
        return self.files.day(self.parts, number, "the day", matched[1]), matched[2] or rest or None, tags

    def entry(self, number: int, line: str, date: datetime.date | None, title: str | None, defaults: Mapping[str, str]) -> None:
        before = len(self.files.problems)
        content, _semicolon, comment = line.partition(";")
        account, _two, amount = content.strip(" ").partition("  ")
        amount = amount.strip(" ")
        tags, rest = self.tags(number, comment)
        names = self.account(number, account, amount)
        hours = self.amount(number, amount) if amount else None
        if len(self.files.problems) > before or names is None or hours is None or date is None:
            return
        said = {**defaults, **tags}
        if len(names) == 3 and "task" in tags:
            self.bad(number, f"task {show(tags['task'])} stands beside task {show(names[2])} of the account; keep one of the two")
            return
        task = names[2] if len(names) == 3 else said.get("task")
        self.add(number, date, hours, said.get("kind", "paid"), said.get("person", self.producer), names[1], task, rest or title)

    def account(self, number: int, account: str, amount: str) -> list[str] | None:
        """Producer, circle and, where there is one, task."""
        trap = _AMOUNT_AT_END.match(account)
        if trap and not amount:
            said = f"one space before {trap[2].strip()}: hledger takes it as part of the account, with no hours"
            self.bad(number, f"{said}; write two spaces: {show(trap[1])[1:-1]}  {trap[2].strip()}")
            return None
        if not amount:
            self.bad(number, f"{show(account)} has no hours; write them after two spaces, such as {self.producer}:admin  1.5")
            return None
        names = account.split(":")
        if " " in account or not all(_PART.match(name) for name in names):
            self.bad(
                number,
                f"account {show(account)} holds a blank or a sign that does not belong there; write such as {self.producer}:admin:backups",
            )
        elif names[0] != self.producer:
            self.bad(number, f"{show(names[0])} stands in the file of {show(self.producer)}; write {self.producer}:, or move the line")
        elif not 2 <= len(names) <= 3:
            self.bad(
                number,
                f"account {show(account)} is not producer and circle, or producer, circle and task; write such as {self.producer}:admin",
            )
        else:
            return names
        return None

    def amount(self, number: int, amount: str) -> Fraction | None:
        """Hours: a dot is a quarter; a number is hours, with h or m hours or minutes."""
        if _DOTS.match(amount):
            return Fraction(amount.count("."), 4)
        matched = _NUMBER.match(amount)
        if not matched:
            self.bad(number, f"{show(amount)} is no time; write dots (one is a quarter of an hour), or such as 1.5, 1.5h or 90m")
            return None
        hours = Fraction(matched[1]) / (60 if matched[2] == "m" else 1)
        if hours == 0:
            self.bad(number, "0 hours; write how long it was, or remove the line")
            return None
        return hours

    def tags(self, number: int, comment: str) -> tuple[dict[str, str], str]:
        """The tags of a comment and what else it says."""
        found: dict[str, str] = {}
        miswritten = _TAG_MISWRITTEN.search(comment)
        if miswritten and not re.search(r"(?:^|[\s,])kind:", comment):
            self.bad(number, f"{show(miswritten[0])} is no tag; write kind: {miswritten[2].lower()}")
        rest = comment
        for matched in list(_TAG.finditer(comment)):
            name = matched[1]
            if name not in TAGS:
                close = difflib.get_close_matches(name.lower(), TAGS, n=1, cutoff=0.7)
                if close:
                    self.bad(number, f"tag {show(name)} is unknown; did you mean {close[0]}:?")
                continue
            value = comment[matched.end() :].partition(",")[0].strip()
            rest = rest.replace(comment[matched.start() : matched.end()] + comment[matched.end() :].partition(",")[0], "")
            if name in found:
                self.bad(number, f"tag {name} stands twice; keep one")
            elif not value or _TAG.search(value):
                self.bad(number, f"tag {name} has no value of its own; write {name}: and the value, and a comma before the next tag")
            elif name == "kind" and value not in KINDS_OF_HOURS:
                self.bad(
                    number, f"kind {show(value)} is unknown; write one of {', '.join(KINDS_OF_HOURS)}, and a comma before any other text"
                )
            found[name] = value
        return found, " ".join(part for part in (part.strip() for part in rest.split(",")) if part)

    # -- CSV

    def table(self, text: str) -> None:
        """A plain table, or Kimai's export, which is known by its columns Project and Activity."""
        first = next((line for line in text.splitlines() if line.strip()), "").lower()
        kimai = "project" in first and "activity" in first
        columns = (*PLAIN, "alias", "tags", "billable") if kimai else PLAIN
        needed = tuple(name for name in NEEDED if name != "person") if kimai else NEEDED
        for line, cells in self.files.table(self.parts, text, columns, needed, KIMAI if kimai else {}, others=kimai):
            self.row(line, cells, kimai)

    def row(self, line: int, cells: Mapping[str, str], kimai: bool) -> None:
        before = len(self.files.problems)
        # Kimai writes a time beside the day when the column is made so.
        stated = re.sub(r"[T ][0-9]{2}:[0-9]{2}.*\Z", "", cells["date"]) if kimai else cells["date"]
        date = self.files.day(self.parts, line, "date", stated)
        hours = self.duration(line, cells["hours"])
        kind = self.kind(line, cells, kimai)
        person = cells["person"] or (cells["alias"] if kimai else "")
        if not person:
            self.bad(line, "person is empty; write who did it")
        circle = "-".join(cells["circle"].lower().split()) if kimai else cells["circle"]
        task = "-".join(cells["task"].split()) if kimai else cells["task"]
        if not _PART.match(circle):
            said = f"{show(cells['circle'])} holds a sign that does not belong there" if circle else "is empty"
            self.bad(line, f"{'project' if kimai else 'circle'} {said}; write the circle in letters, digits and '-', such as admin")
        if len(self.files.problems) > before or date is None or hours is None or kind is None:
            return
        self.add(line, date, hours, kind, person, circle, task, cells["description"])

    def duration(self, line: int, text: str) -> Fraction | None:
        """Hours with a point, or hours:minutes, or hours:minutes:seconds, or an interval as OpenSpout wrote it for Kimai for a while."""
        clock = re.fullmatch(r"([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9]))?", text) or re.fullmatch(
            r"P0Y0M0DT([0-9]{1,4})H([0-5]?[0-9])M([0-5]?[0-9])S0F", text
        )
        hours: Fraction | None = None
        if clock:
            hours = Fraction(int(clock[1])) + Fraction(int(clock[2]), 60) + Fraction(int(clock[3] or 0), 3600)
        elif re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,6})?", text):
            hours = Fraction(text)
        if not hours:
            self.bad(line, f"{show(text)} is no time above 0; write hours such as 1.5, or hours and minutes such as 1:30")
        return hours or None

    def kind(self, line: int, cells: Mapping[str, str], kimai: bool) -> str | None:
        """What is expected for it: from its column, or from Kimai's tags."""
        stated = [cells["kind"]] if cells["kind"] else []
        if kimai:
            stated += [tag for tag in re.split(r"[,;|] *| +", cells["tags"].lower()) if tag in KINDS_OF_HOURS]
        if len(set(stated)) > 1:
            self.bad(line, f"is {' and '.join(sorted(set(stated)))} at once; keep one of the tags")
            return None
        kind = stated[0] if stated else "paid"
        if kind not in KINDS_OF_HOURS:
            self.bad(line, f"kind {show(kind)} is unknown; write one of {', '.join(KINDS_OF_HOURS)}")
            return None
        if kimai and not stated and cells["billable"].lower() in ("0", "no", "false"):
            self.bad(line, "is not billable and has neither tag gift nor membership; give it one of the two in Kimai")
            return None
        return kind
