# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: every file that comes out of a settled month, as text by name. The same month gives the same bytes everywhere."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from . import journals
from .closed import ALLOCATION, FACTS, FORMAT, Facts, books_json, dump, vat_json
from .ledger import Period, decimal
from .month import Given
from .pages import Pages
from .settlement import Settlement, reference, settle
from .terms import Account, Accounts

LINES, PAYMENTS, PAIN = "lines.csv", "payments.csv", "pain.001.xml"
HLEDGER, BEANCOUNT = "journal.hledger", "journal.beancount"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"


@dataclasses.dataclass(frozen=True)
class Produced:
    """A settled month and its files by name; C(figures) is what C(allocation.json) says."""

    settled: Settlement
    figures: Mapping[str, Any]
    files: Mapping[str, str]


def produce(given: Given, before: Sequence[Mapping[str, Any]], facts: Facts) -> Produced:
    """Everything that comes out of a month. C(before) are the figures of the months before it, oldest first.

    Raises MoneyError.
    """
    settled = settle(given.month)
    found = journals.entries(settled, given.first)
    opened = frozenset(before[-1]["accounts"]) if before else frozenset()
    accounts = sorted(opened | {":".join(account) for account in journals.accounts_of(found, settled)})
    figures = figures_of(settled, facts, accounts)
    files = {
        FACTS: facts.to_json(),
        ALLOCATION: dump(figures),
        HLEDGER: journals.hledger(found, settled),
        BEANCOUNT: journals.beancount(found, settled, opened),
        LINES: journals.lines_csv(found, settled.currency),
        PAYMENTS: payments_csv(settled),
    }
    bank = pain001(settled, given.accounts, facts)
    if bank:
        files[PAIN] = bank
    return Produced(settled, figures, {**files, **Pages(settled, facts, figures, before, given.inputs).files()})


# -- figures


def figures_of(settled: Settlement, facts: Facts, accounts: Sequence[str]) -> dict[str, Any]:
    """All figures as plain values: amounts in minor units, exact shares as fractions in text."""
    month, rules, closing = settled.month, settled.month.rules, settled.closing
    received: dict[str, int] = {}
    for one in settled.matched:
        if one.account == "receivable" and one.party:
            amount = one.payment.amount.minor
            received[one.party] = received.get(one.party, 0) + (amount if one.payment.direction == "in" else -amount)
    sold: dict[str, int] = {}
    for sale, part in settled.sales:
        sold[sale.seller] = sold.get(sale.seller, 0) + part
    corrected: dict[str, int] = {}
    assigned: dict[str, int] = {}
    for entry in month.corrections:
        into = {"contribution": corrected, "payment": assigned}.get(entry.what)
        if into is not None:
            into[entry.member] = into.get(entry.member, 0) + entry.amount.minor
    deferred: dict[str, int] = {}
    for item in closing.deferred:
        deferred[item.party] = deferred.get(item.party, 0) + item.amount
    earned = {pay.producer: pay.earned for pay in settled.pay}
    members = [
        {
            "id": share.member.id,
            "weight": str(share.weight),
            "used": share.used,
            "counted": str(share.counted),
            "flat": {name: str(exact) for name, exact in share.flat.items()},
            "use": {name: str(exact) for name, exact in share.use.items()},
            "exact": str(share.exact),
            "floor": share.floor,
            "cap": share.cap,
            "held": str(share.held),
            "due": share.due,
            "opening": month.opening.balances.get(share.member.id, 0),
            "received": received.get(share.member.id, 0) + assigned.get(share.member.id, 0),
            "sales": sold.get(share.member.id, 0),
            "corrections": corrected.get(share.member.id, 0),
            "contra": settled.contra.get(share.member.id, 0),
            "closing": closing.balances.get(share.member.id, 0),
            "earned": earned.get(share.member.id, 0),
            "covered": settled.pay_covered.get(share.member.id, 0),
            "deferred": deferred.get(share.member.id, 0),
            "payable": closing.producers.get(share.member.id, 0),
            **({"charged": settled.charged[share.member.id], "vat": settled.vat.get(share.member.id, 0)} if rules.vat else {}),
        }
        for share in settled.involved
    ]
    return {
        "format": FORMAT,
        "month": str(month.period),
        "currency": settled.currency,
        "rules": {
            **{key: _plain(value) for key, value in dataclasses.asdict(rules).items() if key not in ("source", "floors", "caps", "vat")},
            "file": rules.source.file,
            **({"vat": vat_json(rules.vat)} if rules.vat else {}),
        },
        "pool": {**dataclasses.asdict(settled.pool), "total": settled.pool.total},
        "groups": [
            {
                "name": group.name,
                "amount": group.amount,
                "flat": str(group.flat),
                "use": str(group.use),
                "weight": str(group.weight),
                "used": str(group.used),
            }
            for group in settled.groups
        ],
        "cash": settled.cash,
        "members": members,
        "bills": [
            {
                "id": bill.source.id,
                "supplier": bill.supplier,
                "cost": cost,
                "due": str(bill.due),
                **({"reclaimed": settled.reclaimed.get(bill.source.id, 0)} if rules.vat else {}),
            }
            for bill, cost in settled.bills
        ],
        "hours": [{"id": line.source.id, "amount": amount} for pay in settled.pay for line, amount in pay.lines],
        "sales": [{"id": sale.source.id, "part": part} for sale, part in settled.sales],
        "payments": [
            {
                "bank_ref": one.payment.bank_ref,
                "direction": one.payment.direction,
                "amount": one.payment.amount.minor,
                "party": one.party,
                "account": one.account,
            }
            for one in settled.matched
        ],
        "covered": [
            {"kind": one.kind, "party": one.item.party, "month": str(one.item.period), "what": one.item.what, "amount": one.item.amount}
            for one in settled.covered
        ],
        "closing": books_json(closing),
        "accounts": list(accounts),
    }


def _plain(value: object) -> object:
    if isinstance(value, bool | int) or value is None:
        return value
    return list(value) if isinstance(value, tuple) else str(value)


# -- payments


@dataclasses.dataclass(frozen=True)
class Order:
    """Something to pay now."""

    party: str
    kind: str
    amount: int
    reference: str


def orders(settled: Settlement) -> list[Order]:
    """What the bank is to pay: to producers the net of what they are owed and owe, to suppliers what is covered. Who was paid is not."""
    period, closing = settled.month.period, settled.closing
    return [
        Order(party, kind, amount, reference(party, period))
        for kind, held in (("supplier", closing.suppliers), ("producer", closing.producers))
        for party, amount in sorted(held.items())
        if amount > 0
    ]


def payments_csv(settled: Settlement) -> str:
    """The list of payments. Accounts stand in the file for the bank only."""
    columns = ("party", "kind", "amount", "currency", "reference")
    rows = [
        {
            "party": order.party,
            "kind": order.kind,
            "amount": decimal(order.amount, settled.currency),
            "currency": settled.currency,
            "reference": order.reference,
        }
        for order in orders(settled)
    ]
    return journals.table(columns, rows)


def pain001(settled: Settlement, accounts: Accounts | None, facts: Facts) -> str | None:
    """SEPA credit transfers (pain.001.001.09); None without accounts, in another currency than EUR, or with nothing to pay.

    It is dated and executed on the day on which the statements are due, so that it does not depend on when it was made.
    """
    if not accounts or settled.currency != "EUR":
        return None
    found = [order for order in orders(settled) if order.party in accounts.parties]
    if not found:
        return None
    period = settled.month.period
    total, count = decimal(sum(order.amount for order in found), "EUR"), str(len(found))
    ident = f"{facts.cooperative['id']}-{period}".upper()[:35]
    root = ElementTree.Element("Document", {"xmlns": NAMESPACE})
    initiation = ElementTree.SubElement(root, "CstmrCdtTrfInitn")
    name = _latin(accounts.cooperative.name)
    header = {"MsgId": ident, "CreDtTm": f"{period.next.first}T00:00:00", "NbOfTxs": count, "CtrlSum": total, "InitgPty": {"Nm": name}}
    _add(initiation, "GrpHdr", header)
    info = _add(
        initiation,
        "PmtInf",
        {
            "PmtInfId": ident,
            "PmtMtd": "TRF",
            "NbOfTxs": count,
            "CtrlSum": total,
            "PmtTpInf": {"SvcLvl": {"Cd": "SEPA"}},
            "ReqdExctnDt": {"Dt": str(settled.due_on)},
            "Dbtr": {"Nm": name},
            "DbtrAcct": {"Id": {"IBAN": accounts.cooperative.iban}},
            "DbtrAgt": {"FinInstnId": _agent(accounts.cooperative)},
            "ChrgBr": "SLEV",
        },
    )
    for order in found:
        account = accounts.parties[order.party]
        payment = _add(info, "CdtTrfTxInf", {"PmtId": {"EndToEndId": order.reference[:35]}})
        amount = ElementTree.SubElement(ElementTree.SubElement(payment, "Amt"), "InstdAmt", {"Ccy": "EUR"})
        amount.text = decimal(order.amount, "EUR")
        if account.bic:
            _add(payment, "CdtrAgt", {"FinInstnId": _agent(account)})
        _add(payment, "Cdtr", {"Nm": _latin(account.name)})
        _add(payment, "CdtrAcct", {"Id": {"IBAN": account.iban}})
        _add(payment, "RmtInf", {"Ustrd": _latin(order.reference)})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _agent(account: Account) -> dict[str, Any]:
    return {"BICFI": account.bic} if account.bic else {"Othr": {"Id": "NOTPROVIDED"}}


def _add(parent: ElementTree.Element, name: str, value: Mapping[str, Any] | str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    if isinstance(value, str):
        element.text = value
    else:
        for key, inner in value.items():
            _add(element, key, inner)
    return element


def _latin(text: str) -> str:
    """The signs that every SEPA bank takes; others lose their accents or become a point."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(sign if sign.isalnum() or sign in "/-?:().,'+ " else "." for sign in plain)[:70]


# -- all months


def books(months: Sequence[Period], name: str, currency: str) -> dict[str, str]:
    """The files that include the journals of all closed months, by name."""
    return {
        "books.hledger": journals.books_hledger(months),
        "books.beancount": journals.books_beancount(months, name, currency),
    }
