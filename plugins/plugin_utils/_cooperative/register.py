# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the register of members as it is on a day. A function of the files and of the given day; no clock is read."""

from __future__ import annotations

import calendar
import csv
import datetime
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model, numbers
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import STATUSES, Record, Tax

from .decisions import DecisionTask, existing, write
from .ledger import Treatment
from .pages import taxed_in_words
from .tally import Outcome

COLUMNS = (
    "id", "name", "status", "since", "classes", "weight", "applied", "admitted_by", "admitted", "joined",
    "suspended_from", "suspended_until", "leaving", "left", "left_by", "renew_by", "supported_by", "country", "form",
    "register", "number", "scheme", "vat_id", "document", "checked", "checked_by", "review_by", "services", "clients",
    "website", "contact", "email",
)  # fmt: skip
_NAMES = {"vat_id": "VAT number"}
_FORMULA = ("=", "+", "-", "@", "|", "\t")
_WORDS = {
    "none": "not yet a member",
    "applied": "applied",
    "admitted": "admitted",
    "active": "active",
    "suspended": "suspended",
    "leaving": "leaving",
    "left": "left",
}


class RegisterTask:
    """The work of one call of member_register."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.decisions = DecisionTask({**params, "require": ()})
        self.as_of: datetime.date = self.decisions.as_of
        self.csv: str | None = params["csv"]
        for name in ("review_months", "remind_days"):
            if params[name] < 0:
                raise CoopError(f"{name}: {params[name]} is below 0; write a number from 0")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module: members, what is due, the table; the table is written unless in check mode."""
        register = model.load_register(*self.params["membership"], today=self.as_of, services=self.params["check_services"])
        self.check_library(register)
        outcomes = self.outcomes(register)
        members = [self.member(register, record, outcomes) for _name, record in sorted(register.records.items())]
        due = sorted(
            (one for member in members for one in self.due(member, register.records[member["id"]])),
            key=lambda one: (one["by"] or "", one["member"], one["what"]),
        )
        text = table(members)
        after = text.encode()
        before = existing(self.csv) if self.csv else after
        changed = before != after
        if self.csv and changed and not check_mode:
            # It names people.
            write(self.csv, after, 0o600)
        return {
            "changed": changed,
            "as_of": str(self.as_of),
            "cooperative": {key: register.membership.cooperative[key] for key in ("id", "name", "domain")},
            "members": members,
            "counts": {status: sum(member["status"] == status for member in members) for status in STATUSES},
            "due": due,
            "summary": summary(members, due),
            "csv": text,
            "diff": [{"before": before.decode(errors="replace"), "after": text, "before_header": self.csv, "after_header": self.csv}]
            if self.csv and changed
            else [],
        }

    @staticmethod
    def check_library(register: model.Register) -> None:
        """Where numbers are to be checked, they are: a page that says so must not depend on the machine."""
        if numbers.available():
            return
        members = register.root.get("members") or {}
        named = [
            name
            for name, raw in members.items()
            if raw["evidence"].get("scheme") or any(one.get("vat_id") for one in (raw, *(raw.get("changes") or ())))
        ]
        if named:
            said = "has a number to check (evidence.scheme or vat_id), and python-stdnum is not installed on the controller"
            raise CoopError(f"member {named[0]} {said}; run: pip install python-stdnum")

    def outcomes(self, register: model.Register) -> dict[str, Outcome]:
        """What came out of the decisions; none are needed while nothing in the register rests on one.

        Raises CoopError as decision_tally does.
        """
        directory = self.params["directory"] or self.decisions.folder_of(register.membership)
        if not register.references and not os.path.isdir(directory):
            return {}
        folder, outcomes = self.decisions.counted(register)
        # What was decided and no longer rests on the same files is refused here too.
        self.decisions.changes(folder, outcomes, looking_back=True)
        return outcomes

    # -- one member

    def member(self, register: model.Register, its: Record, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        """A member as it is on the day."""
        raw = register.root["members"][its.id]
        owner = register.membership.owners[its.id]
        evidence = raw["evidence"]
        admitted = decided(raw.get("admitted_by"), outcomes)
        suspension = its.suspension(self.as_of) if its.member(self.as_of) else None
        services = register.membership.services
        return {
            "id": its.id,
            "name": owner["name"],
            "status": its.status(self.as_of, admitted),
            "since": text(self.since(its, admitted)),
            "classes": sorted(its.classes_on(self.as_of)),
            "weight": str(its.weight_on(self.as_of)),
            "applied": text(its.applied),
            "admitted_by": raw.get("admitted_by"),
            "admitted": text(admitted),
            "joined": text(its.joined),
            "suspended_from": text(suspension.start) if suspension else None,
            "suspended_until": text(suspension.end) if suspension else None,
            "leaving": text(its.leaving),
            "left": text(its.left),
            "left_by": raw.get("left_by"),
            "renew_by": raw.get("renew_by"),
            "supported_by": owner["supported_by"],
            "vat_id": its.vat_id_on(self.as_of),
            "website": owner["website"],
            "contacts": owner["contacts"],
            "evidence": {
                **{
                    key: evidence.get(key)
                    for key in ("country", "form", "register", "number", "scheme", "document", "checked", "checked_by")
                },
                "review_by": text(self.review_by(evidence)),
            },
            "services": [
                {"id": name, "tier": one["tier"], "state": one["state"]}
                for name, one in sorted(services.items())
                if one["member"] == its.id
            ],
            "clients": sorted(one["id"] for one in register.membership.owners.values() if one["sold_by"] == its.id),
            "history": [
                {"on": str(on), "what": what, "decided_by": by, "reason": reason, "ahead": on > self.as_of}
                for on, what, by, reason in sorted(events(its, raw, admitted), key=lambda one: one[0])
            ],
        }

    def since(self, its: Record, admitted: datetime.date | None) -> datetime.date | None:
        """The day from which on it has the status of today; None when it never had another."""
        status = its.status(self.as_of, admitted)
        turns = {on for on in (*its.turns(), admitted) if on is not None and on <= self.as_of}
        found = None
        for on in sorted(turns, reverse=True):
            if its.status(on, admitted) != status:
                break
            found = on
        return found

    def review_by(self, evidence: Mapping[str, Any]) -> datetime.date | None:
        """The day by which the evidence is looked at again; None when nobody has looked yet."""
        stated, checked = day(evidence.get("review_by")), day(evidence.get("checked"))
        return stated or (months_after(checked, self.params["review_months"]) if checked else None)

    # -- what is due

    def due(self, member: Mapping[str, Any], its: Record) -> Iterator[dict[str, Any]]:
        """What is to be done about a member, soon or already late."""
        status = member["status"]
        soon = self.as_of + datetime.timedelta(days=self.params["remind_days"])

        def one(what: str, by: datetime.date | None = None) -> Iterator[dict[str, Any]]:
            if by is None or by <= soon:
                late = by is not None and by < self.as_of
                yield {"member": its.id, "name": member["name"], "what": what, "by": text(by), "late": late}

        if status == "applied" and not member["admitted_by"]:
            yield from one("decide on its application")
        elif status in ("applied", "admitted") and its.joined is None:
            yield from one("write the day on which it joins")
        if status in ("none", "left"):
            return
        if member["evidence"]["checked"] is None:
            yield from one("look up the evidence that it is a co-operative")
        else:
            yield from one("look up the evidence again that it is a co-operative", day(member["evidence"]["review_by"]))
        if not its.member(self.as_of):
            return
        if renew := day(member["renew_by"]):
            yield from one("renew the membership", renew)
        if status == "suspended":
            until = day(member["suspended_until"])
            yield from one("the suspension ends" if until else "say how the suspension ends", until)
        if its.leaving and its.leaving <= self.as_of and its.left is None:
            yield from one("agree on the day it leaves")
        present = [service["id"] for service in member["services"] if service["state"] == "present"]
        stop = f"; stop {', '.join(present)} before" if present else ""
        if its.left and its.left > self.as_of:
            yield from one(f"it leaves{stop}", its.left)
        for span in its.suspensions:
            if span.start > self.as_of:
                yield from one(f"it is suspended{stop}", span.start)
        now = {
            "weight": member["weight"],
            "classes": ", ".join(member["classes"]),
            "tax": own_tax(its.tax_on(self.as_of)),
            "vat_id": member["vat_id"] or "none",
        }
        for key, value in now.items():
            standing = [
                change
                for change in its.changes
                if (getattr(change, key) is not None or key in change.states) and change.start <= self.as_of
            ]
            if standing and standing[-1].review_by:
                yield from one(f"look again at {_NAMES.get(key, key)}: {value}", standing[-1].review_by)


def text(value: datetime.date | None) -> str | None:
    """A day as the files have it."""
    return None if value is None or value == datetime.date.min else str(value)


def months_after(on: datetime.date, months: int) -> datetime.date:
    """The same day some months later, or the last one of that month."""
    count = on.year * 12 + on.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return datetime.date(year, month, min(on.day, calendar.monthrange(year, month)[1]))


def decided(number: str | None, outcomes: Mapping[str, Outcome]) -> datetime.date | None:
    """The day on which a decision passed."""
    outcome = outcomes.get(number or "")
    return outcome.decided if outcome and outcome.result == "passed" else None


def events(
    its: Record, raw: Mapping[str, Any], admitted: datetime.date | None
) -> Iterator[tuple[datetime.date, str, str | None, str | None]]:
    """All that happened and is to come: day, what, decision and reason."""
    if its.applied:
        yield its.applied, "applied", None, None
    if admitted:
        yield admitted, "admitted", raw["admitted_by"], None
    for index, span in enumerate(its.spans):
        current = index == len(its.spans) - 1 and raw.get("joined") is not None
        yield span.start, "joined", None if current else span.decided_by, None
        if span.end:
            yield span.end, "left", raw.get("left_by") if current else None, None if current else span.reason
    for span in its.suspensions:
        yield span.start, "suspended", span.decided_by, span.reason
        if span.end:
            yield span.end, "suspension ended", None, None
    for change in its.changes:
        if change.classes is not None:
            yield change.start, f"classes: {', '.join(sorted(change.classes))}", change.decided_by, change.reason
        if change.weight is not None:
            yield change.start, f"weight: {change.weight}", change.decided_by, change.reason
        if "tax" in change.states:
            yield change.start, f"tax: {own_tax(change.tax)}", change.decided_by, change.reason
        if "vat_id" in change.states:
            yield change.start, f"VAT number: {change.vat_id or 'none'}", change.decided_by, change.reason
    if its.leaving:
        yield its.leaving, "gave notice", None, None


def own_tax(taxed: Tax | None) -> str:
    """A member's tax treatment in words."""
    return taxed_in_words(Treatment(*taxed)) if taxed else "as the rules have it"


def table(members: Sequence[Mapping[str, Any]]) -> str:
    """The register as CSV, one line for each member by id, the same bytes for the same register."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for member in members:
        flat = {
            **member,
            **member["evidence"],
            "classes": " ".join(member["classes"]),
            "services": " ".join(service["id"] for service in member["services"] if service["state"] != "absent"),
            "clients": " ".join(member["clients"]),
            "contact": member["contacts"][0]["name"],
            "email": member["contacts"][0]["email"],
        }
        writer.writerow([plain(flat[name]) for name in COLUMNS])
    return stream.getvalue()


def plain(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    shown = "" if value is None else str(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def summary(members: Sequence[Mapping[str, Any]], due: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for how many there are of each, then one for each thing that is due."""
    counted = [(sum(member["status"] == status for member in members), _WORDS[status]) for status in STATUSES]
    lines = ["Members: " + (", ".join(f"{number} {word}" for number, word in counted if number) or "none")]
    for one in due:
        lines.append(f"{one['member']}: {one['what']}" + (f", by {one['by']}" if one["by"] else "") + (", late" if one["late"] else ""))
    return lines
