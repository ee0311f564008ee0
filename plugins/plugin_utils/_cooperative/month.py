# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: puts a month together from the money files, the register and what the month before handed on.

Here is checked what one file alone cannot show: who is a member or producer, what is closed, what stands in another month.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record

from . import bills as bills_reader
from . import hours as hours_reader
from . import payments as payments_reader
from . import usage as usage_reader
from .closed import CLOSED, OUTPUTS, Closed, Facts, later
from .files import sha256
from .ledger import Bill, Books, Correction, MemberMonth, MoneyError, Month, Period, Rules, Source, Treatment, decimal
from .terms import OPENING_FILE, Accounts, read_accounts, read_corrections, read_opening, read_rules, read_sales

FOLDERS = ("bills", "usage", "hours", "payments", "sales", "corrections", "rules", "documents", "mailed", "draft", "closed")
"""What the folder of the money files may hold, as docs/money.md lists it."""


@dataclasses.dataclass(frozen=True)
class Given:
    """A month ready to be settled. C(inputs) are the sha256 of every file it rests on, by name in the folder of the money files."""

    month: Month
    facts: Facts
    inputs: Mapping[str, str]
    accounts: Accounts | None
    first: bool


def members_of(records: Mapping[str, Record], names: Mapping[str, str], period: Period, rules: Rules) -> tuple[MemberMonth, ...]:
    """Every member there was by the end of a month; one that was not active on any of its days has no share in it."""
    found = []
    for name, record in sorted(records.items()):
        if not any(span.start <= period.last for span in record.spans):
            continue
        taxed = record.tax_on(period.first)
        turns = sorted({period.first, *(turn for turn in record.turns() if period.first < turn <= period.last)})
        days, weighed, classes = 0, Fraction(0), record.classes_on(period.last)
        for start, end in zip(turns, [*turns[1:], period.last + datetime.timedelta(days=1)], strict=True):
            if record.active(start):
                days += (end - start).days
                weighed += (end - start).days * record.weight_on(start)
                classes = record.classes_on(start)
        found.append(
            MemberMonth(
                name,
                names[name],
                tuple(sorted(classes)),
                days,
                weighed / days if days else record.weight_on(period.last),
                rules.floors.get(name, rules.floor),
                rules.caps.get(name, rules.cap),
                Treatment(*taxed) if taxed else None,
            )
        )
    return tuple(found)


def rules_for(revisions: Sequence[Rules], period: Period, folder: str = "") -> Rules:
    """The rules that count in a month.

    Raises MoneyError when none do yet.
    """
    found = [rules for rules in revisions if rules.start <= period.first]
    if not found:
        source = revisions[0].source
        said = f"from {revisions[0].start}: no rules count in {period}; write an earlier day, or settle from then on"
        raise MoneyError([Problem(os.path.join(folder, *source.file.split("/")), source.line, said)])
    return found[-1]


class Assembly:
    """One call's view of the folder of the money files."""

    def __init__(self, folder: str, records: Mapping[str, Record], names: Mapping[str, str], sold_by: Mapping[str, str]) -> None:
        self.folder = folder
        self.shown = os.path.relpath(folder)
        self.records = records
        self.names = names
        self.sold_by = sold_by
        self.revisions, problems = read_rules(folder)
        if problems:
            raise MoneyError(problems)
        self.currency = self.revisions[0].currency

    def opening(self) -> Books:
        """Where the books begin.

        Raises MoneyError.
        """
        found, problems = read_opening(self.folder, self.currency)
        if problems or found is None:
            raise MoneyError(problems)
        return found

    def given(self, period: Period, closed: Sequence[Closed], cooperative: Mapping[str, str], sealed: Closed | None = None) -> Given:
        """A month, with C(closed) the months before it. With C(sealed), the month as it was when it was closed.

        Raises MoneyError with every problem there is.
        """
        rules = rules_for(self.revisions, period, self.shown)
        opening = closed[-1].books if closed else self.opening()
        problems: list[Problem] = []
        taken = {name for month in closed for name in month.inputs}
        bills = self.bills(period, taken, sealed, problems)
        usage = _read(usage_reader.read, self.folder, period, problems)
        hours = _read(hours_reader.read, self.folder, period, problems)
        payments = _read(payments_reader.read, self.folder, period, problems)
        sales, wrong = read_sales(self.folder, period, self.currency)
        problems.extend(wrong)
        corrections, wrong = read_corrections(self.folder, period, self.currency)
        problems.extend(wrong)
        accounts, wrong = read_accounts(self.folder)
        problems.extend(wrong)
        if problems:
            raise MoneyError(problems)
        members = sealed.facts.members if sealed else members_of(self.records, self.names, period, rules)
        month = Month(period, rules, members, opening, bills, usage, hours, payments, sales, corrections)
        if not sealed:
            refs = {one["bank_ref"]: str(before.period) for before in closed for one in before.figures["payments"]}
            problems = (
                self.misspelt_folders()
                + self.reaching_back(closed)
                + self.before_the_books(closed[0].period if closed else opening.period)
                + self.strangers(None if closed else opening)
                + _Checks(self, month, refs, accounts).problems()
                + self.unknown_money(corrections, closed)
            )
            if problems:
                raise MoneyError(problems)
        facts = sealed.facts if sealed else Facts(cooperative, members)
        names = [
            rules.source.file,
            *(bill.source.file for bill in bills),
            *self.of_month(period),
            *([f"{CLOSED}/{closed[-1].period}/{OUTPUTS}"] if closed else [OPENING_FILE]),
        ]
        # Not accounts.yml: bank accounts change, and no figure depends on them.
        return Given(month, facts, self.sums(names), accounts, first=not closed)

    def strangers(self, opening: Books | None) -> list[Problem]:
        """Ids that nobody has, in files that would be silent about them."""
        known = ", ".join(sorted(self.records)[:8]) or "none"
        named = [
            (rules.source.file, rules.source.line, "members", name)
            for rules in self.revisions
            for name in sorted({*rules.floors, *rules.caps})
        ]  # fmt: skip
        if opening:
            named += [(OPENING_FILE, 0, "balances", name) for name in opening.balances]
            named += [(OPENING_FILE, 0, "deferred", item.party) for item in opening.deferred]
        said = f"is no member in the membership file; write the id of one, such as {known}"
        return [
            Problem(os.path.join(self.shown, *file.split("/")), line, f"{field}: {show(name)} {said}")
            for file, line, field, name in named
            if name not in self.records
        ]  # fmt: skip

    def reaching_back(self, closed: Sequence[Closed]) -> list[Problem]:
        """What was put into closed months since: rules that begin in one, files that belong to one alone. A bill is only late."""
        problems = []
        for month in closed:
            rules = rules_for(self.revisions, month.period, self.shown)
            if rules.source.file not in month.inputs:
                said = (
                    f"from {rules.start} reaches into {month.period}, which is closed; write from: {closed[-1].period.next.first} or later"
                )
                problems.append(Problem(os.path.join(self.shown, *rules.source.file.split("/")), rules.source.line, said))
            for name in self.of_month(month.period):
                if name not in month.inputs:
                    entry = later(name, closed[-1].period.next)
                    said = f"came after {month.period} was closed; remove it, and write what it says into {entry}"
                    problems.append(Problem(os.path.join(self.shown, *name.split("/")), 0, said))
        return list(dict.fromkeys(problems))

    def before_the_books(self, first: Period) -> list[Problem]:
        """Files of months that no settlement will ever read. Use may have been measured before, and a late bill counts."""
        problems = []
        for kind in ("hours", "payments", "sales", "corrections"):
            try:
                names = sorted(os.listdir(os.path.join(self.folder, kind)))
            except OSError:
                continue
            for name in names:
                period = Period.parse(name.split(".")[0])
                if period is not None and period.first < first.first:
                    said = f"is before {first}, with which the books begin, and nothing counts it; what was open then is in {OPENING_FILE}"
                    problems.append(Problem(os.path.join(self.shown, kind, name), 0, f"{said}: move it elsewhere"))
        return problems

    def check_measured(self, period: Period) -> None:
        """Raises MoneyError when a month would be sealed that is shared by use, of which nothing was ever written down.

        A file without lines says that nobody used anything; no file says that nobody looked.
        """
        rules = rules_for(self.revisions, period, self.shown)
        path = os.path.join(self.shown, "usage", f"{period}.csv")
        if rules.flat_share < 1 and not os.path.exists(os.path.join(self.folder, "usage", f"{period}.csv")):
            said = f"does not exist, and {rules.source.file} shares by use; put what was measured there (meet.coop.usage)"
            raise MoneyError([Problem(path, 0, f"{said}, or its line of column names alone where nobody used anything")])

    def misspelt_folders(self) -> list[Problem]:
        """Folders that nothing reads, and whose names are nearly those of folders that count."""
        problems = []
        for name in sorted(os.listdir(self.folder)):
            near = difflib.get_close_matches(name.lower(), FOLDERS, 1, 0.8)
            if name not in FOLDERS and near and os.path.isdir(os.path.join(self.folder, name)):
                problems.append(Problem(os.path.join(self.shown, name), 0, f"is a folder that nothing reads; rename it to {near[0]}"))
        return problems

    def unknown_money(self, corrections: Sequence[Correction], closed: Sequence[Closed]) -> list[Problem]:
        """Corrections that give a member more than came in from unknown senders in the month they name: money that nobody has."""
        given = [one for one in corrections if one.what == "payment"]
        if not given:
            return []
        left: dict[Period, int] = {}
        for month in closed:
            lines = month.figures["payments"]
            left[month.period] = sum(one["amount"] for one in lines if one["account"] == "unmatched" and one["direction"] == "in")
        for month in closed:
            before, _wrong = read_corrections(self.folder, month.period, self.currency)
            for one in before:
                if one.what == "payment" and one.corrects in left:
                    left[one.corrects] -= one.amount.minor
        problems = []
        for one in given:
            there = left.get(one.corrects, 0)
            left[one.corrects] = there - one.amount.minor
            if left[one.corrects] < 0:
                held = decimal(max(there, 0), self.currency)
                said = f"amount {one.amount} is more than the {held} {self.currency} left from unknown senders in {one.corrects}"
                problems.append(
                    Problem(
                        os.path.join(self.shown, *one.source.file.split("/")),
                        one.source.line,
                        f"{said}; name the month in which the bank had it. A line of the bank that no month has goes into payments/",
                    )
                )
        return problems

    def bills(self, period: Period, taken: set[str], sealed: Closed | None, problems: list[Problem]) -> tuple[Bill, ...]:
        """The bills of a month, and those of earlier months that came when these were closed."""
        found: list[Bill] = []
        for month in self.months_with_bills():
            if month > period:
                continue
            of_month = _read(bills_reader.read, self.folder, month, problems)
            if sealed:
                found.extend(bill for bill in of_month if bill.source.file in sealed.inputs)
            else:
                found.extend(bill for bill in of_month if bill.source.file not in taken)
        return tuple(found)

    def months_with_bills(self) -> list[Period]:
        """Months that have a folder of bills."""
        try:
            names = os.listdir(os.path.join(self.folder, "bills"))
        except OSError:
            return []
        return sorted(period for name in names if (period := Period.parse(name)) is not None)

    def of_month(self, period: Period) -> list[str]:
        """Names of the files that belong to one month alone, bills apart."""
        found = [
            f"{kind}/{period}{suffix}"
            for kind, suffix in (("usage", ".csv"), ("payments", ".csv"), ("sales", ".yml"), ("corrections", ".yml"))
        ]
        found = [name for name in found if os.path.exists(os.path.join(self.folder, *name.split("/")))]
        try:
            names = sorted(os.listdir(os.path.join(self.folder, "hours", str(period))))
        except OSError:
            names = []
        return found + [f"hours/{period}/{name}" for name in names if name.endswith((".timedot", ".csv")) and not name.startswith(".")]

    def sums(self, names: Iterable[str]) -> dict[str, str]:
        """The sha256 of files by name."""
        found = {}
        for name in sorted(set(names)):
            try:
                with open(os.path.join(self.folder, *name.split("/")), "rb") as stream:
                    found[name] = sha256(stream.read())
            except OSError as exc:
                said = f"cannot be read: {(exc.strerror or str(exc)).lower()}; check its permissions"
                raise MoneyError([Problem(os.path.join(self.shown, *name.split("/")), 0, said)]) from exc
        return found


def _read(reader, folder: str, period: Period, problems: list[Problem]) -> tuple:
    records, wrong = reader(folder, period)
    problems.extend(wrong)
    return records


class _Checks:
    """What only shows when a record is held against the register, the rules and other months."""

    def __init__(self, assembly: Assembly, month: Month, bank_refs: Mapping[str, str], accounts: Accounts | None) -> None:
        self.shown = assembly.shown
        self.records = assembly.records
        self.sold_by = assembly.sold_by
        self.month = month
        self.bank_refs = bank_refs
        self.paid = set(accounts.parties) if accounts else set()
        self.found: list[Problem] = []

    def bad(self, source: Source, said: str) -> None:
        self.found.append(Problem(os.path.join(self.shown, *source.file.split("/")), source.line, said))

    def problems(self) -> list[Problem]:
        """Everything there is to mend."""
        self.vat()
        self.bills()
        self.usage()
        self.hours()
        self.payments()
        self.others()
        return self.found

    def known(self, source: Source, field: str, name: str) -> bool:
        if name in self.records:
            return True
        known = ", ".join(sorted(self.records)[:8]) or "none"
        self.bad(source, f"field {field}: {show(name)} is no member in the membership file; write the id of one, such as {known}")
        return False

    def vat(self) -> None:
        rules = self.month.rules
        if rules.vat and rules.vat.office in self.records:
            said = f"{show(rules.vat.office)} is a member; write another id for the tax office, such as {rules.vat.office}-vat"
            self.bad(rules.source, f"field vat.office: {said}")

    def bills(self) -> None:
        currency = self.month.rules.currency
        for bill in self.month.bills:
            for name in bill.shared_by:
                self.known(bill.source, "shared_by", name)
            if bill.supplier in self.records:
                said = f"{show(bill.supplier)} is a member; write another id for what it sells us, such as {bill.supplier}-hosting"
                self.bad(bill.source, f"field supplier: {said}")
            if bill.cost(currency) is None:
                said = f"the books are in {currency}; write exchange: with the rate it was taken at, its source and its date"
                self.bad(bill.source, f"field currency: {bill.gross.currency} has no rate, and {said}")

    def usage(self) -> None:
        rules = self.month.rules
        if self.month.usage and rules.flat_share < 1 and all(one.metric != rules.metric for one in self.month.usage):
            said = f"no line of this file is {rules.metric}, by which {rules.source.file} shares; mend the metric here or there"
            self.bad(self.month.usage[0].source, said)
        there = {member.id for member in self.month.members if member.days}
        for one in self.month.usage:
            if self.known(one.source, "member", one.member) and one.member not in there:
                said = (
                    f"{show(one.member)} was no active member in {self.month.period}; whose use is it? mend the id, or the membership file"
                )
                self.bad(one.source, f"field member: {said}")

    def hours(self) -> None:
        together: dict[tuple[str, datetime.date], Fraction] = defaultdict(Fraction)
        for one in self.month.hours:
            if not self.known(one.source, "producer", one.producer):
                continue
            record = self.records[one.producer]
            if not record.active(one.date) or "producer" not in record.classes_on(one.date):
                said = f"{show(one.producer)} was no active producer on {one.date}; mend the day, or its classes in the membership file"
                self.bad(one.source, said)
            # A person may work for two producers, and has one day all the same.
            key = (one.person.casefold(), one.date)
            before = together[key]
            together[key] += one.hours
            if before <= 24 < together[key] and one.person != one.producer:
                self.bad(one.source, f"with this {show(one.person)} has more than 24 hours on {one.date}; mend the hours or the day")

    def payments(self) -> None:
        currency = self.month.rules.currency
        for one in self.month.payments:
            if one.amount.currency != currency:
                said = f"{one.amount.currency} is not {currency}, that of the books; write what the bank booked in {currency}"
                self.bad(one.source, f"field currency: {said}")
            if one.bank_ref in self.bank_refs:
                said = f"{show(one.bank_ref)} was counted in {self.bank_refs[one.bank_ref]}, which is closed; remove this line"
                self.bad(one.source, f"field bank_ref: {said}")
            if one.party and one.party not in self.records and one.party not in self.suppliers():
                said = f"{show(one.party)} is neither a member nor a supplier of these books; mend it, or name it in accounts.yml"
                self.bad(one.source, f"field party: {said}")

    def suppliers(self) -> set[str]:
        opening = self.month.opening
        vat = self.month.rules.vat
        office = {vat.office} if vat and vat.office else set()
        return (
            office
            | self.paid
            | {bill.supplier for bill in self.month.bills}
            | set(opening.suppliers)
            | {item.party for item in opening.bills}
        )

    def others(self) -> None:
        producers = {member.id for member in self.month.members if "producer" in member.classes}
        for sale in self.month.sales:
            if self.known(sale.source, "seller", sale.seller) and sale.seller not in producers:
                self.bad(sale.source, f"field seller: {show(sale.seller)} is no producer; only producers sell to clients")
            if sale.client not in self.sold_by:
                self.bad(sale.source, f"field client: {show(sale.client)} is no client in the membership file; write the id of one")
            elif self.sold_by[sale.client] != sale.seller:
                said = f"{show(sale.client)} is served by {show(self.sold_by[sale.client])} (sold_by); mend one of the two"
                self.bad(sale.source, f"field seller: {said}")
        names = {member.id for member in self.month.members}
        for one in self.month.corrections:
            if self.known(one.source, "member", one.member) and one.member not in names:
                self.bad(one.source, f"field member: {show(one.member)} had not joined by the end of {self.month.period}; mend it")
            elif one.what == "pay" and one.member in names and one.member not in producers:
                self.bad(one.source, f"field member: {show(one.member)} is no producer; pay is owed to producers only")
