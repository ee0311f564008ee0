# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a membership over time. The one place that says who is a member on a day, of which classes, with
what weight, and how it is taxed.

The checks of the membership file, the tally of decisions, the register and the money all ask here. Days are whole days; the first day on
which something no longer holds is its end.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from . import tax
from .names import day
from .reader import Map, where
from .shape import label

STATUSES = ("none", "applied", "admitted", "active", "suspended", "leaving", "left")
CLASSES = frozenset({"consumer", "producer"})
Tax = tuple[str, Fraction, str | None]
"""How what a member owes is taxed: category of EN 16931, rate in percent, reason."""
_WEIGHT = re.compile(r"[0-9]{1,4}(?:/[1-9][0-9]{0,3})?\Z")
_Path = tuple[object, ...]


@dataclasses.dataclass(frozen=True)
class Span:
    """From C(start) until the day before C(end); without C(end), for good. C(path) is where it stands in the file."""

    start: datetime.date
    end: datetime.date | None = None
    decided_by: str | None = None
    reason: str | None = None
    path: _Path = ()

    def holds(self, on: datetime.date) -> bool:
        """Whether it holds on a day."""
        return self.start <= on and (self.end is None or self.end > on)


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of a member on a day; None: as before.

    C(tax) and C(vat_id) count where C(states) names them: None then means that it has none of its own any more.
    """

    start: datetime.date
    classes: frozenset[str] | None = None
    weight: Fraction | None = None
    tax: Tax | None = None
    vat_id: str | None = None
    states: frozenset[str] = frozenset()
    decided_by: str | None = None
    reason: str | None = None
    review_by: datetime.date | None = None
    path: _Path = ()


@dataclasses.dataclass(frozen=True)
class Reference:
    """A decision on which something in the register rests.

    C(effective) is the day from which it does, None when there is none yet; C(admits) the member it has to have admitted.
    """

    decision: str
    file: str
    line: int
    label: str
    effective: datetime.date | None
    admits: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """A member or client over time, oldest first. C(spans) are its memberships, the last of them the current one.

    C(classes), C(weight), C(tax) and C(vat_id) are those of the day it joined. C(tax) is how what it owes the co-operative is taxed,
    where the membership file says so.
    """

    id: str
    kind: str
    spans: tuple[Span, ...] = ()
    applied: datetime.date | None = None
    leaving: datetime.date | None = None
    suspensions: tuple[Span, ...] = ()
    changes: tuple[Change, ...] = ()
    classes: frozenset[str] = frozenset()
    weight: Fraction = Fraction(1)
    tax: Tax | None = None
    vat_id: str | None = None

    def status(self, on: datetime.date, admitted: datetime.date | None = None) -> str:
        """One of STATUSES on a day; C(admitted) is the day on which its admission was decided, where that is known."""
        span = self.span(on)
        if span is not None:
            if self.suspension(on):
                return "suspended"
            noticed = self.leaving is not None and self.leaving <= on and span is self.spans[-1]
            return "leaving" if noticed else "active"
        last = next((span.end for span in reversed(self.spans) if span.end is not None and span.end <= on), None)
        if self.applied is not None and self.applied <= on and (last is None or last <= self.applied):
            return "admitted" if admitted is not None and admitted <= on else "applied"
        return "none" if last is None else "left"

    def active(self, on: datetime.date) -> bool:
        """Whether it may use services and answer proposals on a day: a member, and not suspended. Notice to leave takes nothing away."""
        return self.status(on) in ("active", "leaving")

    def member(self, on: datetime.date) -> bool:
        """Whether it belongs to the co-operative on a day, suspended or not."""
        return self.span(on) is not None

    def span(self, on: datetime.date) -> Span | None:
        """The membership of a day."""
        return next((span for span in self.spans if span.holds(on)), None)

    def suspension(self, on: datetime.date) -> Span | None:
        """The suspension of a day."""
        return next((span for span in self.suspensions if span.holds(on)), None)

    @property
    def joined(self) -> datetime.date | None:
        """First day of the last membership."""
        return self.spans[-1].start if self.spans else None

    @property
    def left(self) -> datetime.date | None:
        """First day after the last membership, if it ends."""
        return self.spans[-1].end if self.spans else None

    def classes_on(self, on: datetime.date) -> frozenset[str]:
        """Its classes on a day, as if it were a member on it."""
        found = self.classes
        for change in self.changes:
            if change.start <= on and change.classes is not None:
                found = change.classes
        return found

    def weight_on(self, on: datetime.date) -> Fraction:
        """Its solidarity weight on a day, as if it were a member on it."""
        found = self.weight
        for change in self.changes:
            if change.start <= on and change.weight is not None:
                found = change.weight
        return found

    def tax_on(self, on: datetime.date) -> Tax | None:
        """How what it owes is taxed on a day; None: as the rules of money have it for all."""
        found = self.tax
        for change in self.changes:
            if change.start <= on and "tax" in change.states:
                found = change.tax
        return found

    def vat_id_on(self, on: datetime.date) -> str | None:
        """Its VAT number on a day."""
        found = self.vat_id
        for change in self.changes:
            if change.start <= on and "vat_id" in change.states:
                found = change.vat_id
        return found

    def turns(self) -> list[datetime.date]:
        """The days on which its status, its classes, its weight or its tax may change, in order."""
        days: set[datetime.date | None] = {self.applied, self.leaving}
        for span in (*self.spans, *self.suspensions):
            days |= {span.start, span.end}
        days |= {change.start for change in self.changes}
        return sorted(day for day in days if day is not None and day != datetime.date.min)


def weight(value: object) -> Fraction | None:
    """A weight as the file writes it: a whole number, or a fraction such as C(1/2). None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Fraction(value) if 0 <= value <= 1000 else None
    return Fraction(value) if isinstance(value, str) and _WEIGHT.match(value) else None


def _classes(value: object) -> frozenset[str] | None:
    """Classes; empty unless each is one we know, so that a misspelt one is complained about once. None when there are none stated."""
    if value is None:
        return None
    found = frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
    return found if found <= CLASSES else frozenset()


def _entries(raw: Mapping[str, Any], key: str, path: _Path) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    value = raw.get(key)
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, dict):
            yield (*path, key, index), entry


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def record(kind: str, name: str, raw: Mapping[str, Any]) -> Record:
    """The record of an entry of C(members) or C(clients). What has the wrong shape is left out: others complain about it."""
    path: _Path = (f"{kind}s", name)
    spans: list[Span] = []
    for place, entry in _entries(raw, "earlier", path):
        start, end = day(entry.get("joined")), day(entry.get("left"))
        if start and end:
            spans.append(Span(start, end, _text(entry.get("admitted_by")), _text(entry.get("reason")), place))
    if raw.get("joined") is not None or kind == "client" or "applied" not in raw:
        # Without a usable day, as long as the file goes back.
        start = day(raw.get("joined")) or datetime.date.min
        spans.append(Span(start, day(raw.get("left")), _text(raw.get("admitted_by")), _text(raw.get("reason")), path))
    suspensions = [
        Span(start, day(entry.get("until")), _text(entry.get("decided_by")), _text(entry.get("reason")), place)
        for place, entry in _entries(raw, "suspended", path)
        if (start := day(entry.get("from")))
    ]
    changes = [
        Change(
            start,
            classes=_classes(entry.get("classes")),
            weight=weight(entry.get("weight")),
            tax=_tax(entry.get("tax")),
            vat_id=_text(entry.get("vat_id")),
            states=frozenset(key for key in ("tax", "vat_id") if key in entry),
            decided_by=_text(entry.get("decided_by")),
            reason=_text(entry.get("reason")),
            review_by=day(entry.get("review_by")),
            path=place,
        )
        for place, entry in _entries(raw, "changes", path)
        if (start := day(entry.get("from")))
    ]
    own = weight(raw.get("weight"))
    return Record(
        id=name,
        kind=kind,
        spans=tuple(spans),
        applied=day(raw.get("applied")),
        leaving=day(raw.get("leaving")),
        suspensions=tuple(suspensions),
        changes=tuple(changes),
        classes=_classes(raw.get("classes")) or frozenset(),
        weight=Fraction(1) if own is None else own,
        tax=_tax(raw.get("tax")),
        vat_id=_text(raw.get("vat_id")),
    )


def _tax(value: object) -> Tax | None:
    if not isinstance(value, dict) or not isinstance(value.get("category"), str):
        return None
    rate = tax.percent(value, ("rate",))
    return value["category"], rate or Fraction(0), _text(value.get("reason")) or tax.REASONS.get(value["category"])


def records(root: Map) -> dict[str, Record]:
    """The members of a file without problems, by id; clients are no members."""
    return {name: record("member", name, raw) for name, raw in (root.get("members") or {}).items()}


def references(root: Map) -> list[Reference]:
    """Every decision that the register of a file without problems names, in the order of the file."""
    found: list[Reference] = []
    for name, raw in (root.get("members") or {}).items():
        its = record("member", name, raw)

        def add(path: _Path, number: object, effective: datetime.date | None, admits: str | None = None) -> None:
            if isinstance(number, str):
                file, line = where(root, path)
                found.append(Reference(number, file, line, label(path), effective, admits))

        path: _Path = ("members", name)
        for place, entry in _entries(raw, "earlier", path):
            add((*place, "admitted_by"), entry.get("admitted_by"), day(entry.get("joined")), name)
        add((*path, "admitted_by"), raw.get("admitted_by"), day(raw.get("joined")), name)
        add((*path, "left_by"), raw.get("left_by"), its.left)
        for place, entry in (*_entries(raw, "suspended", path), *_entries(raw, "changes", path)):
            add((*place, "decided_by"), entry.get("decided_by"), day(entry.get("from")))
    found.extend(_limit_references(root))
    return found


def _limit_references(root: Map) -> Iterator[Reference]:
    """Every decision that limits name, wherever they stand."""
    own = root.get("defaults") or {}
    places: list[_Path] = [("defaults",)]
    places += [("defaults", "tiers", tier) for tier in own.get("tiers") or {}]
    places += [("services", name) for name in root.get("services") or {}]
    for path in places:
        node: Any = root
        for step in (*path, "limits"):
            node = (node or {}).get(step)
        number = (node or {}).get("decided_by")
        if isinstance(number, str):
            file, line = where(root, (*path, "limits", "decided_by"))
            yield Reference(number, file, line, label((*path, "limits", "decided_by")), None)
