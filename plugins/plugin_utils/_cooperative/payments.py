# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads C(payments/<yyyy-mm>.csv): what came in and went out at the bank."""

from __future__ import annotations

import os

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show

from .ledger import Money, Payment, Period, Source
from .money_files import Files

COLUMNS = ("date", "direction", "amount", "currency", "reference", "bank_ref", "party", "counterparty")
NEEDED = ("date", "direction", "amount", "currency", "reference", "bank_ref")
ALIASES = {"member": "party"}


def read(folder: str, period: Period) -> tuple[tuple[Payment, ...], list[Problem]]:
    """The payments of a month, and what is wrong with its file. Amounts are positive minor units of the line's own currency."""
    files = Files(folder, "payments", period)
    files.months(".csv")
    parts = (f"{period}.csv",)
    if not os.path.exists(files.path(*parts)):
        return (), files.problems
    text = files.text(*parts)
    rows = [] if text is None else files.table(parts, text, COLUMNS, NEEDED, ALIASES)
    found: list[Payment] = []
    seen: dict[str, int] = {}
    for line, cells in rows:
        before = len(files.problems)
        date = files.day(parts, line, "date", cells["date"])
        direction = cells["direction"].lower()
        if direction not in ("in", "out"):
            files.bad(parts, line, f"direction {show(cells['direction'])} is unknown; write in for what came, out for what went")
        currency = files.currency(parts, line, cells["currency"])
        amount: Money | None = None
        if currency and (amount := files.money(parts, line, "amount", cells["amount"], currency)) and amount.minor <= 0:
            files.bad(
                parts, line, f"amount {cells['amount']} is not above zero; write it without a sign, and say in or out under direction"
            )
        bank_ref = cells["bank_ref"]
        if not bank_ref:
            files.bad(parts, line, "bank_ref is empty; write the bank's own number of this line, which no other line has")
        elif bank_ref in seen:
            files.bad(parts, line, f"bank_ref {show(bank_ref)} is on line {seen[bank_ref]} already; a payment is counted once, remove one")
        seen.setdefault(bank_ref, line)
        party = files.id(parts, line, "party", cells["party"]) if cells["party"] else None
        if len(files.problems) > before or date is None or amount is None:
            continue
        source = Source(files.name(*parts), line, bank_ref)
        found.append(Payment(source, date, direction, amount, cells["reference"], bank_ref, party, cells["counterparty"] or None))
    return (() if files.problems else tuple(found)), files.problems
