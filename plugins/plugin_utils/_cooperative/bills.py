# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads C(bills/<yyyy-mm>/<id>.yml), one file for each bill or credit note of a supplier."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, parse, raw_text, read_bytes, where
from ansible_collections.meet.coop.plugins.plugin_utils._membership.shape import check_shape, label

from .ledger import Bill, Exchange, Money, Period, Source, Tax, rounded
from .money_files import PAGE, Files

SCHEMA = os.path.join(os.path.dirname(__file__), "bill.schema.json")
TOLERANCE = 5
"""Minor units by which the tax of a group may differ from rate times net: many suppliers round each line."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?\Z")
_Path = tuple[object, ...]


def read(folder: str, period: Period) -> tuple[tuple[Bill, ...], list[Problem]]:
    """The bills of a month by name, and what is wrong with their files. Amounts are minor units of each bill's own currency."""
    files = Files(folder, "bills", period)
    files.months()
    found: list[Bill] = []
    papers: dict[str, str] = {}
    for entry in files.listed(str(period)):
        parts = (str(period), entry)
        stem, suffix = os.path.splitext(entry)
        if suffix == ".yaml":
            files.bad(parts, 0, f"bills end in .yml; rename it to {stem}.yml, or remove it if that is there too")
        if suffix != ".yml":
            continue
        if not _NAME.match(stem):
            files.bad(parts, 0, "is not a usable name; write lower-case letters, digits, '-', '_' or '.', such as hetzner-1.yml")
            continue
        bill = _Reader(files, parts).bill(f"{period}/{stem}")
        if bill is None:
            continue
        if bill.document:
            other = papers.setdefault(bill.document[1], entry)
            if other != entry:
                files.bad(parts, bill.source.line, f"has the same document as {other}, so it would be paid twice; remove one of the two")
        found.append(bill)
    return (() if files.problems else tuple(found)), files.problems


class _Reader:
    def __init__(self, files: Files, parts: Sequence[str]) -> None:
        self.files = files
        self.parts = parts
        self.root = Map("", 0)

    def bad(self, path: _Path, said: str) -> None:
        self.files.bad(self.parts, where(self.root, path)[1], f"{label(path)}: {said}")

    def bill(self, name: str) -> Bill | None:
        """The bill in a file; None with the reasons noted."""
        problems = self.files.problems
        before = len(problems)
        shown = self.files.shown(*self.parts)
        text = self.files.text(*self.parts)
        root = None if text is None else parse(text, shown, problems, "supplier", PAGE)
        if root is None or len(problems) > before:
            return None
        self.root = root
        problems.extend(check_shape(root, SCHEMA))
        if len(problems) > before:
            return None
        currency = self.files.currency(self.parts, where(root, ("currency",))[1], root["currency"])
        date, due, paid_on = self.day(("date",), True), self.day(("due",)), self.day(("paid_on",))
        if date and due and due < date:
            self.bad(("due",), f"{due} is before the day of the bill, {date}; mend one of the two")
        document = self.document()
        if currency is None:
            return None
        net, vat, gross = (self.money((key,), currency) for key in ("net", "vat", "gross"))
        if net and vat and gross:
            if net.minor + vat.minor != gross.minor:
                said = f"{gross} is not net and VAT together, {Money(net.minor + vat.minor, currency)}; mend one of the three"
                self.bad(("gross",), said)
            if net.minor * vat.minor < 0:
                self.bad(("vat",), f"{vat} has another sign than net, {net}; a credit note has a minus in all amounts")
        taxes = self.taxes(currency, net, vat)
        exchange = self.exchange()
        reclaim = Fraction(root["reclaim"]) if "reclaim" in root else None
        if reclaim is not None and reclaim > 1:
            self.bad(("reclaim",), f"{root['reclaim']} is more than all; write at most 1")
        if len(problems) > before or not (date and due and net and vat and gross):
            return None
        return Bill(
            source=Source(self.files.name(*self.parts), root.line, name),
            supplier=root["supplier"],
            date=date,
            due=due,
            net=net,
            vat=vat,
            gross=gross,
            taxes=tuple(taxes),
            exchange=exchange,
            shared_by=() if root.get("shared_by", "all") == "all" else tuple(sorted(root["shared_by"])),
            document=document,
            paid_on=paid_on,
            description=root.get("description"),
            reclaim=reclaim,
        )

    def value(self, path: _Path) -> Any:
        node: Any = self.root
        for step in path:
            node = node[step] if isinstance(node, list) else node.get(step) if isinstance(node, dict) else None
        return node

    def written(self, path: _Path) -> str:
        """A number as the file has it, figure by figure: 100.10 is not read as a float."""
        return raw_text(self.root, path) or str(self.value(path))

    def day(self, path: _Path, inside: bool = False) -> datetime.date | None:
        value = self.value(path)
        if value is None:
            return None
        return self.files.day(self.parts, where(self.root, path)[1], str(path[-1]), value, inside)

    def money(self, path: _Path, currency: str) -> Money | None:
        return self.files.money(self.parts, where(self.root, path)[1], str(path[-1]), self.written(path), currency)

    def number(self, path: _Path) -> Fraction | None:
        """A rate: figures, with or without a point."""
        text = self.written(path)
        if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", text):
            return Fraction(text)
        self.bad(path, f"{show(text)} is no number; write one such as 21 or 0.8571")
        return None

    def taxes(self, currency: str, net: Money | None, vat: Money | None) -> list[Tax]:
        """The tax groups; a bill with one states it beside its amounts."""
        root = self.root
        if "taxes" in root and "category" in root:
            self.bad(("category",), "stands here and under taxes; keep one of the two")
            return []
        if "taxes" not in root and "category" not in root:
            said = "is missing; write the category as the bill has it: S standard, Z zero, E exempt, AE reverse charge, O outside of tax"
            self.bad(("category",), said)
            return []
        found: list[Tax] = []
        if "category" in root:
            if net and vat and (rate := self.rate((), root)) is not None:
                found.append(self.tax((), root, rate, net, vat))
            return found
        if "rate" in root:
            self.bad(("rate",), "does not go with taxes, where each group has its own; remove it")
        for index, entry in enumerate(root["taxes"]):
            path = ("taxes", index)
            its_net, its_vat = self.money((*path, "net"), currency), self.money((*path, "vat"), currency)
            if its_net and its_vat and (rate := self.rate(path, entry)) is not None:
                found.append(self.tax(path, entry, rate, its_net, its_vat))
        if net and vat and len(found) == len(root["taxes"]):
            for key, total in (("net", net), ("vat", vat)):
                together = sum(getattr(tax, key) for tax in found)
                if together != total.minor:
                    self.bad((key,), f"{total} is not what the groups under taxes have together, {Money(together, currency)}; mend one")
        return found

    def rate(self, path: _Path, entry: Map) -> Fraction | None:
        """The percentage of a group."""
        category = entry["category"]
        if "rate" not in entry:
            if category == "S":
                self.bad((*path, "rate"), "is missing; write the percentage of the tax, such as rate: 21")
                return None
            return Fraction(0)
        rate = self.number((*path, "rate"))
        if rate is not None and (rate > 0) != (category == "S"):
            advice = "write the rate above 0" if category == "S" else "write rate: 0, or category: S"
            self.bad((*path, "rate"), f"{self.written((*path, 'rate'))} does not go with category {category}; {advice}")
            return None
        return rate

    def tax(self, path: _Path, entry: Map, rate: Fraction, net: Money, vat: Money) -> Tax:
        wanted = rounded(net.minor * rate / 100)
        if abs(vat.minor - wanted) > TOLERANCE and net.minor * vat.minor >= 0:
            said = f"{vat} is not {self.written((*path, 'rate')) if 'rate' in entry else 0} % of {net}, {Money(wanted, net.currency)}"
            self.bad((*path, "vat"), f"{said}; mend the rate or an amount")
        return Tax(entry["category"], rate, net.minor, vat.minor, entry.get("reason"))

    def exchange(self) -> Exchange | None:
        if "exchange" not in self.root:
            return None
        rate, date = self.number(("exchange", "rate")), self.day(("exchange", "date"))
        if rate == 0:
            self.bad(("exchange", "rate"), "is 0; write how much of the book currency one unit of the bill's own is worth")
        return Exchange(rate, self.root["exchange"]["source"], date) if rate and date else None

    def document(self) -> tuple[str, str] | None:
        """Path and sha256 of the paper, which is where the file says and has not changed."""
        stated = self.root.get("document")
        if stated is None:
            return None
        parts = (self.parts[0], *stated["path"].split("/"))
        held = read_bytes(self.files.path(*parts), self.files.shown(*parts), self.files.problems)
        if held is None:
            return None
        sha256 = hashlib.sha256(held).hexdigest()
        if sha256 != stated["sha256"]:
            self.bad(("document", "sha256"), f"is not that of {stated['path']}, which is {sha256}; put the file back, or write this one")
        return self.files.name(*parts), sha256
