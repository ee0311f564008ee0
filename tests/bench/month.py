# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A year of money, with VAT, of 10 to 10,000 members: reading files, settling, journals and pages, against hledger reading the journal."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import bills, hours, journals, payments, usage
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.closed import Facts
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Books, MemberMonth, Month, Period, decimal
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.outputs import figures_of
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.pages import Pages
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settlement import settle
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.terms import read_rules
from tests.support.ansible import ROOT

SIZES = (10, 100, 1000, 10_000)
HLEDGER_SIZES = SIZES[:-1]
"""With 10,000 members hledger 1.25 takes minutes and 3 GiB for the year."""
FIRST = Period(2025, 1)
RULES = """---
from: 2025-01-01
currency: EUR
flat_share: 2/5
allowance: 500
rate: 20.00
reserve: 1/20
due_days: 14
vat: {category: S, rate: 20, reclaim: 1, office: hmrc}
clamp: {floor: 1.00, cap: 90.00}
"""


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def files(folder: pathlib.Path, count: int, period: Period, due: dict[str, int]) -> None:
    """A month's files: each member uses something and pays what it owes; one in ten is a producer that worked."""
    rows = ["member,tenant,metric,value,source,sampled_from,sampled_to,samples_expected,samples_got"]
    for number in range(count):
        value = 1000 + number * 7919 % 20_000
        rows.append(f"m{number},t{number},participant_minutes,{value},meter,{period.first},{period.last},43200,43200")
    write(folder / "usage" / f"{period}.csv", "\n".join(rows) + "\n")
    lines = ["date,direction,amount,currency,reference,bank_ref,party,counterparty"]
    for number, (name, amount) in enumerate(sorted(due.items())):
        if amount > 0:
            lines.append(f"{period}-10,in,{decimal(amount, 'EUR')},EUR,{name.upper()}-{period},{period}-{number},,")
    write(folder / "payments" / f"{period}.csv", "\n".join(lines) + "\n")
    net, vat = f"{count * 9}.00", f"{count * 9 / 5:.2f}"
    text = f"supplier: hetzner\ndate: {period}-03\ndue: {period}-17\ncurrency: EUR\nnet: {net}\nvat: {vat}\ngross: {count * 54 / 5:.2f}\n"
    text += "category: S\nrate: 20\n"
    write(folder / "bills" / str(period) / "hetzner.yml", text)
    for number in range(0, count, 10):
        write(folder / "hours" / str(period) / f"m{number}.timedot", f"{period}-04\nm{number}:tech  3.5  ; person: p{number}\n")


def year(folder: pathlib.Path, count: int) -> dict[str, float]:
    """Seconds of processor for each part of a year, and memory; the journals stay in the folder."""
    seconds = dict.fromkeys(("read", "settle", "journals"), 0.0)
    write(folder / "rules" / "1.yml", RULES)
    (rules,), problems = read_rules(str(folder))
    assert not problems, problems
    members = tuple(
        MemberMonth(
            f"m{number}", f"Member {number}", ("consumer",) if number % 10 else ("consumer", "producer"), 0, Fraction(1, 1 + number % 3)
        )
        for number in range(count)
    )
    facts = Facts({"id": "bench", "name": "Bench"}, members)
    period, opening, opened = FIRST, Books(FIRST), frozenset[str]()
    before: list[dict[str, Any]] = []
    for number in range(12):
        files(folder, count, period, dict(opening.balances))
        begun = time.process_time()
        read = {}
        for kind, reader in (("bills", bills), ("usage", usage), ("hours", hours), ("payments", payments)):
            read[kind], problems = reader.read(str(folder), period)
            assert not problems, problems
        seconds["read"] += time.process_time() - begun
        there = tuple(dataclasses.replace(member, days=period.days, floor=rules.floor, cap=rules.cap) for member in members)
        begun = time.process_time()
        settled = settle(Month(period, rules, there, opening, **read))
        seconds["settle"] += time.process_time() - begun
        assert sum(settled.due.values()) == settled.pool.total
        begun = time.process_time()
        entries = journals.entries(settled, first=not number)
        write(folder / "closed" / str(period) / "journal.hledger", journals.hledger(entries, settled))
        journals.beancount(entries, settled, opened)
        seconds["journals"] += time.process_time() - begun
        opened |= {":".join(account) for account in journals.accounts_of(entries, settled)}
        figures = figures_of(settled, facts, sorted(opened))
        begun = time.process_time()
        if number == 11:
            Pages(settled, facts, figures, before, {}).files()
            seconds["pages of December"] = time.process_time() - begun
        before.append(figures)
        period, opening = period.next, settled.closing
    months = [FIRST]
    while len(months) < 12:
        months.append(months[-1].next)
    write(folder / "books.hledger", journals.books_hledger(months))
    return {**seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def spent_by_children() -> float:
    """Seconds of processor that commands have taken: others on the machine do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    found: dict[int, dict[str, float]] = {}
    for count in SIZES:
        with tempfile.TemporaryDirectory() as place:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.month", place, str(count)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"bench: a year of {count} members failed:\n{done.stderr[-2000:]}")
            found[count] = json.loads(done.stdout)
            if count in HLEDGER_SIZES:
                begun = spent_by_children()
                subprocess.run(["hledger", "-f", f"{place}/books.hledger", "check", "-s"], check=True, capture_output=True)
                found[count]["hledger check -s"] = spent_by_children() - begun
        for part, value in found[count].items():
            figures[f"{count} members, a year: {part} [{'MiB' if part == 'memory' else 's'}]"] = value
        if count in HLEDGER_SIZES:
            figures[f"settle and journals / hledger check -s, {count}"] = (found[count]["settle"] + found[count]["journals"]) / found[
                count
            ]["hledger check -s"]
    for part in found[SIZES[0]]:
        few, many = [count for count in SIZES if part in found[count]][-2:]
        growth = math.log10(found[many][part] / found[few][part])
        figures[f"growth of {part}, {few} to {many} (exponent)"] = growth
    return figures


if __name__ == "__main__":
    print(json.dumps(year(pathlib.Path(sys.argv[1]), int(sys.argv[2]))))
