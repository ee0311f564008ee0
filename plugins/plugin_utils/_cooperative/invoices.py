# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: invoices and credit notes as plain values, and which of them a settled month comes to.

The semantic model is that of EN 16931; numbers such as BT-31 are its. Amounts are whole minor units. An invoice has one tax group: the
tax is rounded once for it (BR-CO-17), and sums are sums of whole units (BR-CO-10 to BR-CO-16), so nothing can differ by a cent.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.currencies import MINOR_UNITS
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import record
from ansible_collections.meet.coop.plugins.plugin_utils._membership.shape import problem

from .closed import treatment_from, treatment_json
from .ledger import Month, Sale, Treatment, decimal
from .settlement import Settlement, Share, reference
from .terms import ACCOUNTS_FILE, Account, Accounts

FORMATS = ("ubl", "cii", "facturx", "pdf")
NEEDED = ("street", "city", "country")
PAGE = "docs/invoices.md"


@dataclasses.dataclass(frozen=True)
class Party:
    """Seller or buyer: legal name, address, VAT number (BT-31, BT-48), tax number (BT-32), number in a register (BT-30, BT-47),
    electronic address as scheme and id (BT-34, BT-49)."""

    id: str
    name: str
    street: str
    more: str | None
    postcode: str | None
    city: str
    country: str
    vat_id: str | None
    tax_number: str | None
    number: str | None
    endpoint: str | None


@dataclasses.dataclass(frozen=True)
class Line:
    """One line; C(net) is what it comes to. A negative one has the quantity -1, as no price is negative (BR-27)."""

    text: str
    net: int


@dataclasses.dataclass(frozen=True)
class Invoice:
    """An invoice, or with C(credit) a credit note, whose amounts are what is given back.

    C(start) and C(end) are the period it is for (BG-14), C(reference) is what a transfer names (BT-83), C(buyer_reference) what the
    buyer wants to find (BT-10), C(corrects) the numbers of invoices that it mends (BG-3), C(account) the one to pay to (BG-17).
    """

    number: str
    credit: bool
    issued: datetime.date
    due: datetime.date
    start: datetime.date | None
    end: datetime.date | None
    currency: str
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    tax: Treatment
    account: Account | None
    reference: str
    buyer_reference: str | None = None
    corrects: tuple[str, ...] = ()

    @property
    def net(self) -> int:
        """Sum of the lines (BT-106), also what is taxed (BT-116)."""
        return sum(line.net for line in self.lines)

    @property
    def vat(self) -> int:
        """The tax (BT-110)."""
        return self.tax.tax(self.net)

    @property
    def gross(self) -> int:
        """What is to be paid (BT-112, BT-115)."""
        return self.net + self.vat

    @property
    def delivered(self) -> datetime.date:
        """The day on which what is charged was complete (BT-72)."""
        return self.end or self.issued

    @property
    def terms(self) -> str:
        """How it is paid, in words (BT-20)."""
        if self.credit:
            return "Set against what is owed; nothing is to be paid."
        return f"Due on {self.due}, with the reference {self.reference}."

    def shown(self, minor: int) -> str:
        """An amount as a decimal number."""
        return decimal(minor, self.currency)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = dataclasses.asdict(self)
        days = {key: str(found[key]) if found[key] else None for key in ("issued", "due", "start", "end")}
        return {**found, **days, "tax": treatment_json(self.tax), "lines": [dataclasses.asdict(line) for line in self.lines]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Invoice:
        """The invoice that plain values describe."""
        days = {key: datetime.date.fromisoformat(raw[key]) if raw[key] else None for key in ("issued", "due", "start", "end")}
        return cls(**{
            **raw, **days,
            "seller": Party(**raw["seller"]),
            "buyer": Party(**raw["buyer"]),
            "lines": tuple(Line(**line) for line in raw["lines"]),
            "tax": treatment_from(raw["tax"]),
            "account": Account(**raw["account"]) if raw["account"] else None,
            "corrects": tuple(raw["corrects"]),
        })  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A document somebody gets: C(owner) is the id of the member or client, C(formats) those it asked for.

    C(invoice) is None where one of this number has been issued: that stays as it is, whatever the membership file says now.
    """

    owner: str
    number: str
    formats: tuple[str, ...]
    invoice: Invoice | None


class Desk:
    """Writes the invoices of a month, from what the membership file and the accounts say of the parties.

    C(problems) can be mended. C(skipped) cannot: a month that was closed before anybody thought of tax has no
    invoices. C(shown) is the folder of the money files as the user sees it, C(issued) the numbers of all that was issued before.
    """

    def __init__(self, root: Map, accounts: Accounts | None, shown: str, issued: Iterable[str] = ()) -> None:
        self.root = root
        self.accounts = accounts
        self.shown = shown
        self.issued = frozenset(issued)
        self.problems: list[Problem] = []
        self.skipped: list[str] = []

    def wanted(self, settled: Settlement) -> list[Wanted]:
        """Every document that somebody asked for; the reasons are in C(problems) where one cannot be made."""
        found = [self.of_member(settled, share) for share in settled.shares]
        numbers: dict[tuple[str, str], int] = {}
        for sale, _part in settled.sales:
            key = (sale.seller, sale.client)
            numbers[key] = numbers.get(key, 0) + 1
            found.append(self.of_sale(settled, sale, numbers[key]))
        return [one for one in found if one is not None]

    def of_member(self, settled: Settlement, share: Share) -> Wanted | None:
        """What the co-operative charges a member for the month; None when it asked for none, or there is nothing to say."""
        name, month = share.member.id, settled.month
        asked = self.asked(("members", name))
        lines = [Line(f"Contribution for {month.period}", share.due)]
        lines += [
            Line(f"Part of the co-operative in what {sale.client} paid: {sale.description}", part)
            for sale, part in settled.sales
            if sale.seller == name
        ]
        mends = sorted(
            (one for one in month.corrections if one.member == name and one.what == "contribution"), key=lambda one: one.source.id
        )
        lines += [Line(f"Correction of {one.corrects}: {one.reason}", one.amount.minor) for one in mends]
        there = tuple(line for line in lines if line.net)
        if asked is None or not there:
            return None
        coop = self.root["cooperative"]["id"]
        number = number_of(coop, str(month.period), name)
        if number in self.issued:
            return Wanted(name, number, formats_of(asked), None)
        taxed = settled.treatment(share.member)
        if taxed is None:
            self.skipped.append(f"{number}: not made, as {month.rules.source.file} says nothing of vat")
            return None
        corrects = dict.fromkeys(number_of(coop, str(one.corrects), name) for one in mends)
        return self.document(
            name, asked, ("cooperative",), ("members", name), there, taxed, settled,
            number=number,
            issued=month.period.next.first,
            due=max(settled.due_on, month.period.next.first),
            start=month.period.first,
            end=month.period.last,
            reference=reference(name, month.period),
            corrects=tuple(one for one in corrects if one in self.issued),
        )  # fmt: skip

    def of_sale(self, settled: Settlement, sale: Sale, count: int) -> Wanted | None:
        """What a member charges its client; None when the client asked for none."""
        asked = self.asked(("clients", sale.client))
        if asked is None or not sale.net.minor:
            return None
        number = number_of(sale.seller, str(settled.month.period), sale.client, str(count))
        if number in self.issued:
            return Wanted(sale.client, number, formats_of(asked), None)
        if sale.tax is None:
            self.skipped.append(f"{number}: not made, as {sale.source.file}:{sale.source.line} has no tax category")
            return None
        days = datetime.timedelta(days=settled.month.rules.due_days)
        lines = (Line(sale.description, sale.net.minor),)
        return self.document(
            sale.client, asked, ("members", sale.seller), ("clients", sale.client), lines, sale.tax, settled,
            number=number, issued=sale.date, due=sale.date + days, start=None, end=None, reference=number, corrects=(),
        )  # fmt: skip

    def document(
        self, owner: str, asked: Mapping[str, Any], seller_path: tuple[str, ...], buyer_path: tuple[str, ...], lines: tuple[Line, ...],
        taxed: Treatment, settled: Settlement, **given: Any,
    ) -> Wanted | None:  # fmt: skip
        """The document, when both parties have all it needs."""
        before = len(self.problems)
        number, currency = given["number"], settled.currency
        total = sum(line.net for line in lines)
        credit = total < 0
        if MINOR_UNITS[currency] > 2:
            said = f"amounts in {currency} have more than the two decimals of EN 16931; remove it"
            self.problems.append(problem(self.root, (*buyer_path, "invoices"), said))
        on = given["end"] or given["issued"]
        seller, buyer = self.party(seller_path, number, True, taxed, on), self.party(buyer_path, number, False, taxed, on)
        account = None if credit else self.account(seller_path, number)
        if len(self.problems) > before or seller is None or buyer is None:
            return None
        sign = -1 if credit else 1
        lines = tuple(Line(line.text, sign * line.net) for line in lines)
        return Wanted(owner, number, formats_of(asked), Invoice(
            credit=credit, currency=currency, seller=seller, buyer=buyer, lines=lines, tax=taxed, account=account,
            buyer_reference=asked.get("reference"), **given,
        ))  # fmt: skip

    def asked(self, path: tuple[str, ...]) -> Mapping[str, Any] | None:
        """How somebody gets invoices; None when it asked for none."""
        found: Any = self.root
        for step in (*path, "invoices"):
            found = found.get(step) if found else None
        return found

    def party(self, path: tuple[str, ...], number: str, seller: bool, taxed: Treatment, on: datetime.date) -> Party | None:
        """A party with all that the rules of EN 16931 ask of it; None with the reasons noted. A member's VAT number is that of the day."""
        raw: Any = self.root
        for step in path:
            raw = raw[step]
        legal = raw.get("legal") or {}
        before = len(self.problems)

        def missing(field: tuple[str, ...], said: str) -> None:
            self.problems.append(problem(self.root, (*path, *field), f"is missing for the invoice {number}; {said}"))

        for key in NEEDED:
            if key not in legal:
                missing(("legal", key), "write " + ("two letters such as GB" if key == "country" else "it"))
        register = legal.get("number") or (raw.get("evidence") or {}).get("number")
        vat_id, tax_number = raw.get("vat_id"), legal.get("tax_number")
        if path[0] == "members":
            vat_id = record("member", path[-1], raw).vat_id_on(on)
        if taxed.category == "O":
            # Who is outside of tax shows no VAT number (BR-O-02).
            vat_id = None
        elif seller and not (vat_id or tax_number):
            missing(("vat_id",), f"tax category {taxed.category} needs the seller's; write it, or legal: tax_number")
        elif not seller and taxed.category == "AE" and not (vat_id or register):
            missing(("vat_id",), "reverse charge needs the buyer's; write it, or another tax treatment")
        if seller and not (vat_id or register):
            missing(("legal", "number"), "a seller is known by it (BR-CO-26); write its number in the register of companies")
        if len(self.problems) > before:
            return None
        more = {key: legal.get(key) for key in ("street", "more", "postcode", "city", "country", "endpoint")}
        name = legal.get("name") or raw["name"]
        return Party(id=raw.get("id") or path[-1], name=name, vat_id=vat_id, tax_number=tax_number, number=register, **more)

    def account(self, path: tuple[str, ...], number: str) -> Account | None:
        """The account to pay to, with the reason noted where there is none."""
        found = None
        if self.accounts:
            found = self.accounts.cooperative if path == ("cooperative",) else self.accounts.parties.get(path[-1])
        if found is None:
            field = "cooperative" if path == ("cooperative",) else f"parties.{path[-1]}"
            said = f"{field} is missing for the invoice {number}; write name and iban of the account to pay to"
            self.problems.append(Problem(os.path.join(self.shown, ACCOUNTS_FILE), 0, said))
        return found


def untaxed(root: Map, month: Month, shown: str) -> list[Problem]:
    """What keeps invoices that are asked for from being made once the month is closed: then nobody can write it any more."""
    found = []
    members, clients = root.get("members") or {}, root.get("clients") or {}
    asking = [member.id for member in month.members if (members.get(member.id) or {}).get("invoices")]
    if asking and month.rules.vat is None:
        source = month.rules.source
        said = f"vat is missing, and {', '.join(asking)} asked for invoices; write vat: and how they are taxed, see {PAGE}"
        found.append(Problem(os.path.join(shown, *source.file.split("/")), source.line, said))
    for sale in month.sales:
        if sale.tax is None and (clients.get(sale.client) or {}).get("invoices"):
            said = f"category is missing, and {sale.client} asked for invoices; write how it is taxed: category, rate or reason, see {PAGE}"
            found.append(Problem(os.path.join(shown, *sale.source.file.split("/")), sale.source.line, said))
    return found


def formats_of(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The formats asked for, always in the same order."""
    return tuple(one for one in FORMATS if one in asked["formats"])


def number_of(*parts: str) -> str:
    """The number of a document: unique by construction, and the same whenever it is made."""
    return "-".join(parts).upper()


def percent(rate: Fraction) -> str:
    """A percentage as a decimal number; it has at most four figures after the point."""
    text = f"{rate.numerator * 10_000 // rate.denominator:05}"
    whole, part = text[:-4], text[-4:].rstrip("0")
    return f"{whole}.{part}" if part else whole


def scheme_and_id(endpoint: str) -> tuple[str, str]:
    """Scheme and id of an electronic address."""
    scheme, _colon, ident = endpoint.partition(":")
    return scheme, ident


def clean(text: str) -> str:
    """Text that XML can hold, on one line."""
    return " ".join(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text).split())
