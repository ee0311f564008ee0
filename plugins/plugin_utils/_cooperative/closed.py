# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: closed months on disk, and how they are sealed.

C(closed/2026-03/) holds what came out, C(facts.json) (what of the register and the decisions it rests on), C(inputs.sha256) and
C(outputs.sha256). Both lists are what C(sha256sum -c) reads in the folder of the money files. The inputs of a month name the list of
outputs of the month before, so that no closed month can be changed without every later one showing it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem

from .files import sha256
from .ledger import Books, Item, MemberMonth, MoneyError, Period, Treatment, Vat

CLOSED, DRAFT = "closed", "draft"
FACTS, ALLOCATION, INPUTS, OUTPUTS = "facts.json", "allocation.json", "inputs.sha256", "outputs.sha256"
# Rises when the same files come to other figures with newer code: then a month is verified with the code that closed it.
FORMAT = 1

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)\Z")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a month takes from the register and the decisions: kept with it, as both go on.

    C(decision) has C(id), C(title) and C(decided) of what set the rules; None for rules that no decision set.
    """

    cooperative: Mapping[str, str]
    members: tuple[MemberMonth, ...]
    decision: Mapping[str, str] | None = None

    def to_json(self) -> str:
        """The text of C(facts.json)."""
        return dump({
            "format": FORMAT,
            "cooperative": dict(self.cooperative),
            "decision": dict(self.decision) if self.decision else None,
            "members": [member_json(member) for member in self.members],
        })  # fmt: skip

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Facts:
        """The facts of a closed month."""
        members = tuple(
            MemberMonth(
                one["id"], one["name"], tuple(one["classes"]), one["days"], Fraction(one["weight"]), one["floor"], one["cap"],
                treatment_from(one["tax"]) if "tax" in one else None,
            )
            for one in raw["members"]
        )  # fmt: skip
        return cls(raw["cooperative"], members, raw["decision"])


@dataclasses.dataclass(frozen=True)
class Closed:
    """A closed month as it lies there: its figures, what it rests on, and the sums of its files."""

    period: Period
    figures: Mapping[str, Any]
    facts: Facts
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    seal: str

    @property
    def books(self) -> Books:
        """What it hands on."""
        return books_from(self.figures["closing"])


def dump(value: object) -> str:
    """Plain values as JSON, always the same for the same values."""
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def member_json(member: MemberMonth) -> dict[str, Any]:
    """A member as plain values."""
    found = {**dataclasses.asdict(member), "classes": list(member.classes), "weight": str(member.weight)}
    del found["tax"]
    return {**found, "tax": treatment_json(member.tax)} if member.tax else found


def treatment_json(taxed: Treatment) -> dict[str, Any]:
    """A tax treatment as plain values."""
    return {"category": taxed.category, "rate": str(taxed.rate), "reason": taxed.reason}


def treatment_from(raw: Mapping[str, Any]) -> Treatment:
    """The tax treatment that plain values describe."""
    return Treatment(raw["category"], Fraction(raw["rate"]), raw["reason"])


def vat_json(vat: Vat) -> dict[str, Any]:
    """How the co-operative stands to VAT, as plain values."""
    return {"charged": treatment_json(vat.charged), "reclaim": str(vat.reclaim), "office": vat.office}


def books_json(books: Books) -> dict[str, Any]:
    """The books as plain values."""
    found = {**dataclasses.asdict(books), "period": str(books.period)}
    for key in ("dues", "bills", "deferred"):
        found[key] = [{**dataclasses.asdict(item), "period": str(item.period)} for item in getattr(books, key)]
    return found


def books_from(raw: Mapping[str, Any]) -> Books:
    """The books that plain values describe."""
    found = {**raw, "period": period_of(raw["period"])}
    for key in ("dues", "bills", "deferred"):
        found[key] = tuple(Item(**{**item, "period": period_of(item["period"])}) for item in raw[key])
    return Books(**found)


def period_of(text: str) -> Period:
    """A month that we wrote ourselves."""
    found = Period.parse(text)
    if found is None:
        raise CoopError(f"{text} is not a month; write year-month, such as 2026-03")
    return found


def sums(files: Mapping[str, bytes | str]) -> dict[str, str]:
    """The sha256 of files by name."""
    return {name: sha256(data.encode() if isinstance(data, str) else data) for name, data in files.items()}


def listing(found: Mapping[str, str]) -> str:
    """Sums as C(sha256sum) writes them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(found.items()))


def closed_months(folder: str) -> list[Period]:
    """The closed months in order.

    Raises MoneyError when one in between is missing.
    """
    path = os.path.join(folder, CLOSED)
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be read: {(exc.strerror or str(exc)).lower()}; check its permissions") from exc
    found = sorted(period for name in names if (period := Period.parse(name)) is not None)
    for before, after in zip(found, found[1:], strict=False):
        if before.next != after:
            shown = os.path.join(os.path.relpath(path), str(before.next))
            raise MoneyError([Problem(shown, 0, f"is missing between {before} and {after}; put it back, closed months stay")])
    return found


def read_closed(folder: str, period: Period) -> Closed:
    """A closed month.

    Raises MoneyError when a file of it is missing or is not what was written.
    """
    base = os.path.join(folder, CLOSED, str(period))
    problems: list[Problem] = []

    def read(name: str) -> str:
        shown = os.path.join(os.path.relpath(base), name)
        try:
            with open(os.path.join(base, name), encoding="utf-8") as stream:
                return stream.read()
        except OSError as exc:
            problems.append(Problem(shown, 0, f"cannot be read: {(exc.strerror or str(exc)).lower()}; put it back as it was when closed"))
        except UnicodeDecodeError:
            problems.append(Problem(shown, 0, "is not the text that was written; put it back as it was when closed"))
        return ""

    texts = {name: read(name) for name in (OUTPUTS, INPUTS, FACTS, ALLOCATION)}
    if problems:
        raise MoneyError(problems)
    outputs = listed(os.path.join(os.path.relpath(base), OUTPUTS), texts[OUTPUTS])
    for name in (INPUTS, FACTS, ALLOCATION):
        if outputs.get(f"{CLOSED}/{period}/{name}") != sha256(texts[name].encode()):
            said = "was changed since the month was closed; put it back as it was, and correct with an entry in an open month"
            problems.append(Problem(os.path.join(os.path.relpath(base), name), 0, said))
    if problems:
        raise MoneyError(problems)
    inputs = listed(os.path.join(os.path.relpath(base), INPUTS), texts[INPUTS])
    try:
        figures, facts = json.loads(texts[ALLOCATION]), Facts.from_json(json.loads(texts[FACTS]))
    except (ValueError, KeyError, TypeError) as exc:
        raise MoneyError([Problem(os.path.relpath(base), 0, "is not what this module wrote; put it back as it was when closed")]) from exc
    return Closed(period, figures, facts, inputs, outputs, sha256(texts[OUTPUTS].encode()))


def listed(shown: str, text: str) -> dict[str, str]:
    """The sums in a list that C(listing) wrote; C(shown) is its name for the user."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        matched = _LINE.match(line)
        if not matched:
            raise MoneyError([Problem(shown, number, "is not a line of sha256sum; put the file back as it was when the month was closed")])
        found[matched[2]] = matched[1]
    return found


def later(name: str, period: Period) -> str:
    """Where what a closed month lacks is written: a line of the bank has to be one in an open month too, all else is a correction."""
    return f"payments/{period}.csv, with a day of that month" if name.startswith("payments/") else f"corrections/{period}.yml"


def check_chain(folder: str, months: list[Closed]) -> list[Problem]:
    """What of the inputs of closed months is not what it was, each named once: nothing new is built on it."""
    problems: list[Problem] = []
    shown_folder = os.path.relpath(folder)
    for before, month in zip([None, *months], months, strict=False):
        for name, wanted in month.inputs.items():
            path = os.path.join(folder, *name.split("/"))
            shown = os.path.join(shown_folder, *name.split("/"))
            try:
                with open(path, "rb") as stream:
                    same = sha256(stream.read()) == wanted
            except OSError as exc:
                said = (exc.strerror or str(exc)).lower()
                problems.append(Problem(shown, 0, f"cannot be read: {said}; {month.period} is closed and rests on it, put it back"))
                continue
            if not same:
                said = f"was changed since {month.period} was closed; put it back as it was"
                where = later(name, months[-1].period.next)
                problems.append(Problem(shown, 0, f"{said}, and correct with an entry in an open month ({where})"))
        sealed = f"{CLOSED}/{before.period}/{OUTPUTS}" if before else None
        if sealed and sealed not in month.inputs:
            problems.append(
                Problem(os.path.join(shown_folder, CLOSED, str(month.period), INPUTS), 0, f"does not name {sealed}; put it back")
            )
    return problems
