# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: statements of a month by mail, to each address once. C(mailed/2026-03/MEMBER.json) is their record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Letter, Outbox, outcome, recipients
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import where

from .closed import ALLOCATION, CLOSED, DRAFT, closed_months
from .documents import DOCUMENTS, SUFFIX, all_numbers, read_invoice, read_issued
from .files import sha256
from .invoices import Desk, Invoice, clean
from .ledger import MoneyError, Period, decimal
from .pages import STATEMENTS
from .settlement import reference
from .settling import MonthTask, existing
from .terms import read_accounts

MAILED = "mailed"
ROLES = ("treasurer", "coordinator")
"""Whom statements go to when no address for them is written, in this order; else to the first contact."""
TEXT = """Dear {name},

here is your statement of {coop} for {month}{draft}.

{pay}

The page that comes with this mail shows how every figure comes about.{more}

{coop}
"""


class MailTask:
    """The work of one call of statement_mail."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.month = MonthTask({**params, "decisions": None, "state": "verified", "what_if": []})
        self.draft: bool = params["draft"]
        self.smtp: Mapping[str, Any] = params["smtp"]
        self.ca_file: str | None = params["ca_file"]
        self.timeout: int = params["timeout"]
        self.expected: Sequence[str] = params["expected_documents"]

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; mails go out unless in check mode."""
        self.month.load()
        self.folder = self.month.folder
        period, letters = self.letters_of_draft() if self.draft else self.letters_of_closed(check_mode)
        mailed = os.path.join(self.folder, MAILED)
        outbox = Outbox(
            os.path.join(mailed, f"{period}-{DRAFT}" if self.draft else str(period)),
            [os.path.join(mailed, ".lock")],
            self.smtp, self.ca_file, self.timeout, clean(self.month.cooperative["name"]), str(self.month.as_of),
        )  # fmt: skip
        became = outbox.post(letters, check_mode)
        return {**outcome("member", str(period), letters, became), "month": str(period), "directory": self.folder}

    # -- who gets what

    def letters_of_closed(self, check_mode: bool) -> tuple[Period, list[Letter]]:
        """The mails of a closed month: statements, and the invoices that were made, in check mode those that are expected too."""
        sealed, produced = self.month.sealed()
        period = sealed.period
        issued = read_issued(self.folder, period)
        accounts, problems = read_accounts(self.folder)
        desk = Desk(self.month.register.root, accounts, self.month.assembly.shown, all_numbers(self.folder))
        wanted = desk.wanted(produced.settled)
        if problems or desk.problems:
            raise MoneyError([*problems, *desk.problems])
        beside: dict[str, list[tuple[str, bytes]]] = {}
        coming = {os.path.basename(name) for name in self.expected} if check_mode else set()
        for one in wanted:
            names = [one.number + SUFFIX[name] for name in one.formats]
            if one.invoice:
                beside.setdefault(self.gets(one.invoice), []).extend((name, b"") for name in names if name in coming)
            absent = [name for name in names if name not in issued and name not in coming]
            if absent:
                raise CoopError(f"{one.owner}: {absent[0]} is asked for and not made yet; run statement_documents for {period} first")
        base = os.path.join(self.folder, DOCUMENTS, str(period))
        for name in issued:
            if name.endswith(".json"):
                number = name.removesuffix(".json")
                found = [number + suffix for suffix in SUFFIX.values() if number + suffix in issued]
                mine = beside.setdefault(self.gets(read_invoice(base, number)), [])
                mine.extend((one, self.content(os.path.join(base, one))) for one in found)
        return period, self.letters(period, CLOSED, sealed.figures, {whose: sorted(files) for whose, files in beside.items()})

    def gets(self, invoice: Invoice) -> str:
        """Id of the member that gets an invoice: what it sold is for it to hand on."""
        return invoice.buyer.id if invoice.seller.id == self.month.cooperative["id"] else invoice.seller.id

    def letters_of_draft(self) -> tuple[Period, list[Letter]]:
        """The mails of the open month as it was settled last."""
        closed = self.month.closed(closed_months(self.folder))
        period = self.month.next_open(closed)
        if self.month.period not in (None, period):
            raise CoopError(f"month: {self.month.period} is not the open month, {period}; leave draft out to send a closed one")
        path = os.path.join(self.folder, DRAFT, str(period), ALLOCATION)
        data = existing(path)
        if data is None:
            raise CoopError(f"{os.path.relpath(path)}: is not there; settle {period} first, with month_settlement")
        return period, self.letters(period, DRAFT, json.loads(data), {})

    def letters(
        self, period: Period, kind: str, figures: Mapping[str, Any], beside: Mapping[str, Sequence[tuple[str, bytes]]]
    ) -> list[Letter]:
        """One mail for each member and address."""
        found = []
        coop, currency = self.month.cooperative, figures["currency"]
        domain = self.month.register.membership.cooperative["domain"]
        members = self.month.register.root.get("members") or {}
        for one in figures["members"]:
            name = one["id"]
            raw = members.get(name)
            if raw is None:
                continue
            page = self.content(os.path.join(self.folder, kind, str(period), STATEMENTS, f"{name}.html"))
            files = ((f"{coop['id']}-{period}-{name}.html", page), *beside.get(name, ()))
            owes, gets = one["closing"], one["payable"]
            pay = "There is nothing to pay."
            if owes > 0:
                pay = f"To pay: {decimal(owes, currency)} {currency}, with the reference {reference(name, period)}."
            elif gets > 0:
                pay = f"You are paid {decimal(gets, currency)} {currency}, with the reference {reference(name, period)}."
            text = TEXT.format(
                name=clean(raw["name"]), coop=clean(coop["name"]), month=period, pay=pay,
                draft=", a draft: the month is not closed, and figures may still change" if self.draft else "",
                more=" Invoices come with it too." if len(files) > 1 else "",
            )  # fmt: skip
            subject = clean(f"{coop['name']}: {'draft of your' if self.draft else 'your'} statement for {period}")
            for address in self.addresses(name, raw):
                digest = hashlib.sha256("\0".join([name, address, text, *(sha256(data) for _name, data in files)]).encode()).hexdigest()
                # The same mail always has the same name; for a closed month the same member and address do.
                ident = f"{period}.{name}.{digest[:24] if self.draft else sha256(address.encode())[:24]}"
                found.append(Letter(name, address, subject, text, f"<{ident}@{domain}>", files))
        return found

    def addresses(self, name: str, raw: Mapping[str, Any]) -> list[str]:
        """Where a member's statements go."""
        own = (raw.get("invoices") or {}).get("email")
        if own:
            return [own]
        found = recipients(raw["contacts"], ROLES)
        if found:
            return found
        file, line = where(self.month.register.root, ("members", name, "contacts"))
        raise MoneyError([Problem(file, line, f"member {name} has no contact to send its statement to; write one")])

    @staticmethod
    def content(path: str) -> bytes:
        """What is in a file that has to be there."""
        found = existing(path)
        if found is None:
            raise CoopError(f"{os.path.relpath(path)}: is gone; put it back, or settle the month again")
        return found
