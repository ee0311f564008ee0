# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a settled month as bookkeeping entries, and these as hledger and beancount journals and as CSV.

Every entry names the record it comes from, and that record's file and line. Each month is a journal of its own without opening
balances, except the first; C(books.hledger) and C(books.beancount) include all of them. The closing balances are asserted in both.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
from collections.abc import Iterable, Mapping, Sequence

from .ledger import MINOR_UNITS, Period, Source, decimal
from .settlement import Settlement

MADE = "Made by meet.coop.month_settlement from the files beside it; it is written anew, so change those."

Account = tuple[str, ...]

BANK: Account = ("assets", "bank")
CONTRIBUTIONS: Account = ("income", "contributions")
SALES: Account = ("income", "sales")
BILLS: Account = ("expenses", "bills")
LABOUR: Account = ("expenses", "labour")
UNMATCHED: Account = ("liabilities", "unmatched")
RESERVE: Account = ("equity", "reserve")
VAT_OUTPUT: Account = ("liabilities", "vat", "output")
VAT_INPUT: Account = ("assets", "vat", "input")
EARNED: Account = ("equity", "earned")
OPENING: Account = ("equity", "opening")


def receivable(member: str) -> Account:
    """What a member owes."""
    return ("assets", "receivable", member)


def supplier(name: str) -> Account:
    """What a supplier is owed."""
    return ("liabilities", "suppliers", name)


def producer(name: str) -> Account:
    """What a producer is to be paid now."""
    return ("liabilities", "producers", name)


def deferred(name: str) -> Account:
    """What a producer is owed, and nothing has come in for yet."""
    return ("liabilities", "deferred", name)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One transaction: postings sum to nothing. C(kind) and C(record) are tag and value: bill, hours, payment, statement and so on.

    C(source) is where the record stands; None for what was calculated from all of them.
    """

    date: datetime.date
    text: str
    kind: str
    record: str
    postings: tuple[tuple[Account, int], ...]
    source: Source | None = None


def entries(settled: Settlement, first: bool) -> list[Entry]:
    """The entries of a month, by day; with the opening balances when it is the first."""
    month, period = settled.month, settled.month.period
    last = period.last
    found = list(_opening(settled)) if first else []

    def post(
        date: datetime.date, text: str, kind: str, record: str, postings: Sequence[tuple[Account, int]], source: Source | None = None
    ) -> None:
        there = tuple(posting for posting in postings if posting[1])
        if there:
            # A late bill is booked in the month that takes it: the one it is dated in is closed.
            found.append(Entry(max(date, period.first), text, kind, record, there, source))

    def add(
        date: datetime.date, text: str, kind: str, record: str, to: Account, by: Account, amount: int, source: Source | None = None
    ) -> None:
        post(date, text, kind, record, ((to, amount), (by, -amount)), source)

    for bill, cost in settled.bills:
        back = settled.reclaimed.get(bill.source.id, 0)
        postings = ((BILLS, cost - back), (VAT_INPUT, back), (supplier(bill.supplier), -cost))
        post(bill.date, f"Bill of {bill.supplier}", "bill", bill.source.id, postings, bill.source)
    for pay in settled.pay:
        for line, amount in pay.lines:
            text = f"Hours of {line.person}, {pay.producer}"
            add(line.date, text, "hours", line.source.id, LABOUR, deferred(pay.producer), amount, line.source)
    for sale, part in settled.sales:
        text = f"Part of what {sale.client} paid {sale.seller}"
        add(sale.date, text, "sale", sale.source.id, receivable(sale.seller), SALES, part, sale.source)
    for one in sorted(month.corrections, key=lambda one: one.source.id):
        to, by = {
            "contribution": (receivable(one.member), CONTRIBUTIONS),
            "pay": (LABOUR, deferred(one.member)),
            "payment": (UNMATCHED, receivable(one.member)),
        }[one.what]
        add(last, f"Correction of {one.corrects}: {one.reason}", "correction", one.source.id, to, by, one.amount.minor, one.source)
    for match in settled.matched:
        payment = match.payment
        amount = payment.amount.minor if payment.direction == "in" else -payment.amount.minor
        by = {"receivable": receivable, "supplier": supplier, "producer": producer}.get(match.account)
        account = by(match.party) if by and match.party else UNMATCHED
        who = match.party or payment.counterparty or "somebody unknown"
        text = f"Payment {'from' if payment.direction == 'in' else 'to'} {who}"
        add(payment.date, text, "payment", payment.bank_ref, BANK, account, amount, payment.source)
    for share in settled.shares:
        name = share.member.id
        add(last, f"Contribution of {name}", "statement", f"{period}/{name}", receivable(name), CONTRIBUTIONS, share.due)
        add(last, f"VAT of {name}", "statement", f"{period}/{name}", receivable(name), VAT_OUTPUT, settled.vat.get(name, 0))
    if settled.vat_owed or settled.vat or settled.reclaimed:
        charged, back = sum(settled.vat.values()), sum(settled.reclaimed.values())
        office = settled.month.rules.vat.office if settled.month.rules.vat else None
        postings = ((VAT_OUTPUT, charged), (VAT_INPUT, -back), *([(supplier(office), back - charged)] if office else []))
        post(last, f"VAT of {period}", "vat", str(period), postings)
    for covered in settled.covered:
        item = covered.item
        if covered.kind == "pay":
            text = f"Pay of {item.party} for {item.period}"
            add(last, text, "covers", item.what, deferred(item.party), producer(item.party), item.amount)
        elif covered.kind == "reserve":
            add(last, "To the reserve", "reserve", str(period), EARNED, RESERVE, item.amount)
    for name, amount in sorted(settled.contra.items()):
        text = f"Pay of {name} set against its contribution"
        add(last, text, "contra", f"{period}/{name}", producer(name), receivable(name), amount)
    return sorted(found, key=lambda entry: entry.date)


def _opening(settled: Settlement) -> Iterable[Entry]:
    balances = [(account, amount) for account, amount in balances_of(settled.month.opening).items() if amount]
    if balances:
        total = sum(amount for _account, amount in balances)
        postings = (*balances, *([(OPENING, -total)] if total else []))
        yield Entry(settled.month.period.first, "Opening balances", "opening", "opening", postings, Source("opening.yml", 1, "opening"))


def balances_of(books) -> dict[Account, int]:
    """What each account of the balance sheet holds by the books of a month; income, expenses and equity:earned are not in it."""
    found: dict[Account, int] = {BANK: books.bank, UNMATCHED: -books.unmatched, RESERVE: -books.reserve}
    for name, amount in books.balances.items():
        found[receivable(name)] = amount
    for account, parties in ((supplier, books.suppliers), (producer, books.producers)):
        for name, amount in parties.items():
            found[account(name)] = found.get(account(name), 0) - amount
    for account, items in ((supplier, books.bills), (deferred, books.deferred)):
        for item in items:
            found[account(item.party)] = found.get(account(item.party), 0) - item.amount
    return found


def accounts_of(found: Iterable[Entry], settled: Settlement) -> list[Account]:
    """Every account that the month names, sorted."""
    return sorted({account for entry in found for account, _amount in entry.postings} | set(balances_of(settled.closing)))


def _closing(settled: Settlement, accounts: Iterable[Account]) -> dict[Account, int]:
    """What to assert at the end of the month: also that what was touched and is not in the books any more is empty."""
    held = balances_of(settled.closing)
    sheet = [account for account in accounts if account[0] in ("assets", "liabilities") or account == RESERVE]
    return {account: held.get(account, 0) for account in sheet}


# -- hledger


def hledger(found: Sequence[Entry], settled: Settlement) -> str:
    """The month as an hledger journal that passes C(hledger check -s), together with the months before it."""
    currency = settled.currency
    accounts = accounts_of(found, settled)
    places = MINOR_UNITS[currency]
    lines = [f"; {MADE}", "decimal-mark .", f"commodity 1000.{'0' * places} {currency}", ""]
    lines += [f"account {':'.join(account)}" for account in accounts]
    for entry in found:
        tag = f"{entry.kind}:{_tag(entry.record)}"
        place = f", file:{_tag(f'{entry.source.file}:{entry.source.line}')}" if entry.source else ""
        lines += ["", f"{entry.date} {_description(entry.text)}  ; {tag}{place}"]
        lines += [f"    {':'.join(account)}  {decimal(amount, currency)} {currency}  ; {tag}" for account, amount in entry.postings]
    zero = decimal(0, currency)
    lines += ["", f"{settled.month.period.last} Balances at the end of {settled.month.period}  ; closing:{settled.month.period}"]
    lines += [
        f"    {':'.join(account)}  {zero} {currency} = {decimal(amount, currency)} {currency}"
        for account, amount in _closing(settled, accounts).items()
    ]
    return "\n".join(lines) + "\n"


def _tag(text: str) -> str:
    """A tag's value ends at a comma."""
    return " ".join(text.replace(",", " ").split())


def _description(text: str) -> str:
    """A description ends at a semicolon; a bar divides it, and a leading bracket, star or mark would mean something."""
    return " ".join(text.replace(";", ",").replace("|", "/").split()) or "-"


# -- beancount


def beancount(found: Sequence[Entry], settled: Settlement, opened: frozenset[str]) -> str:
    """The month in beancount's language, for C(bean-check); C(opened) are accounts that earlier months have opened."""
    currency, period = settled.currency, settled.month.period
    accounts = accounts_of(found, settled)
    lines = [f"; {MADE}", ""]
    for account in accounts:
        if ":".join(account) not in opened:
            lines.append(f"{period.first} open {_bean(account)} {currency}")
    for entry in found:
        lines += ["", f"{entry.date} * {_quoted(entry.text)}", f"  {entry.kind}: {_quoted(entry.record)}"]
        if entry.source:
            lines.append(f"  file: {_quoted(f'{entry.source.file}:{entry.source.line}')}")
        for account, amount in entry.postings:
            lines += [f"  {_bean(account)}  {decimal(amount, currency)} {currency}", f"    {entry.kind}: {_quoted(entry.record)}"]
    # A balance holds at the start of its day.
    lines.append("")
    lines += [
        f"{period.next.first} balance {_bean(account)}  {decimal(amount, currency)} {currency}"
        for account, amount in _closing(settled, accounts).items()
    ]
    return "\n".join(lines) + "\n"


def _bean(account: Account) -> str:
    return ":".join(part[:1].upper() + part[1:] for part in account)


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- all months


def books_hledger(months: Sequence[Period]) -> str:
    """The file that includes the journal of every closed month."""
    return f"; {MADE}\n" + "".join(f"include closed/{month}/journal.hledger\n" for month in months)


def books_beancount(months: Sequence[Period], name: str, currency: str) -> str:
    """The same for beancount, which has its options here."""
    lines = [f"; {MADE}", f'option "title" {_quoted(name)}', f'option "operating_currency" {_quoted(currency)}']
    return "\n".join([*lines, *(f'include "closed/{month}/journal.beancount"' for month in months)]) + "\n"


# -- CSV


def table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A CSV file with a line of names; no formula of a spreadsheet can begin a field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[column]) for column in columns])
    return out.getvalue()


def _field(value: object) -> object:
    if isinstance(value, str) and value[:1] in "=+-@\t\r" and value and not _number(value):
        return "'" + value
    return "" if value is None else value


def _number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def lines_csv(found: Sequence[Entry], currency: str) -> str:
    """Every posting with the record, file and line it comes from."""
    columns = ("date", "text", "kind", "record", "file", "line", "account", "amount", "currency")
    return table(
        columns,
        (
            {
                "date": str(entry.date),
                "text": entry.text,
                "kind": entry.kind,
                "record": entry.record,
                "file": entry.source.file if entry.source else None,
                "line": entry.source.line if entry.source else None,
                "account": ":".join(account),
                "amount": decimal(amount, currency),
                "currency": currency,
            }
            for entry in found
            for account, amount in entry.postings
        ),
    )
