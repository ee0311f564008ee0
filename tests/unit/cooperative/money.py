# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Months in plain values, and hypothesis strategies that make them."""

from __future__ import annotations

import datetime
from fractions import Fraction

from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import (
    Bill,
    Books,
    Correction,
    Hours,
    Item,
    MemberMonth,
    Money,
    Month,
    Payment,
    Period,
    Rules,
    Sale,
    Source,
    Usage,
)

PERIOD = Period(2026, 4)
DAY = datetime.date(2026, 4, 10)
NAMES = ("agaric", "birch", "clover", "dahlia", "elder", "fern", "gorse")
SUPPLIERS = ("hetzner", "registrar", "printer")


def source(kind: str, number: object) -> Source:
    return Source(f"{kind}/2026-04.csv", 1, f"2026-04:{kind}:{number}")


def rules(**given) -> Rules:
    return Rules(
        **{
            "source": Source("rules/1.yml", 2, "1"),
            "start": datetime.date(2026, 1, 1),
            "decided_by": "D-0001",
            "currency": "EUR",
            "flat_share": Fraction(2, 5),
            "metric": "participant_minutes",
            "allowance": 0,
            "rate": 2000,
            "reserve": Fraction(1, 20),
            "due_days": 14,
            **given,
        }
    )


def bill(number: object, amount: int, supplier: str = "hetzner", **given) -> Bill:
    money = Money(amount, given.pop("currency", "EUR"))
    return Bill(source("bills", number), supplier, DAY, DAY, money, Money(0, money.currency), money, **given)


def usage(member: str, value: int, metric: str = "participant_minutes", tenant: str | None = None) -> Usage:
    return Usage(
        source("usage", f"{member}-{tenant}-{metric}"), member, tenant or member, metric, value, PERIOD.first, PERIOD.last, 43200, 43200
    )


def hours(number: object, producer: str, worked: Fraction | int, kind: str = "paid") -> Hours:
    return Hours(source("hours", number), producer, "ana", DAY, Fraction(worked), kind, "tech")


def payment(number: object, party: str | None, amount: int, direction: str = "in", reference: str = "") -> Payment:
    return Payment(source("payments", number), DAY, direction, Money(amount, "EUR"), reference, f"ref-{number}", party)


def member(name: str, classes=("consumer",), days: int = 30, **given) -> MemberMonth:
    return MemberMonth(name, name.title(), tuple(classes), days, **given)


def month(**given) -> Month:
    return Month(**{"period": PERIOD, "rules": rules(), "members": (member("agaric"),), "opening": Books(Period(2026, 3)), **given})


# -- strategies

cents = st.integers(1, 500_000)
fractions = st.builds(Fraction, st.integers(0, 12), st.integers(1, 12))
part = st.sampled_from([Fraction(0), Fraction(1, 20), Fraction(1, 3), Fraction(2, 5), Fraction(1)])


@st.composite
def members(draw) -> tuple[MemberMonth, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    found = []
    for name in names:
        classes = draw(st.sampled_from([("consumer",), ("producer",), ("consumer", "producer")]))
        floor = draw(st.none() | st.integers(0, 3000))
        found.append(
            MemberMonth(
                name,
                name.title(),
                classes,
                draw(st.integers(1, 30)),
                draw(st.builds(Fraction, st.integers(1, 8), st.integers(1, 8))),
                floor,
            )
        )
    return tuple(found)


@st.composite
def openings(draw, names) -> Books:
    before = Period(2026, 3)
    balances = {name: draw(st.integers(-5000, 20_000)) for name in names if draw(st.booleans())}
    balances = {name: amount for name, amount in balances.items() if amount}
    dues = tuple(Item(before, name, amount, f"2026-03/{name}") for name, amount in sorted(balances.items()))
    bills = tuple(Item(before, "hetzner", draw(cents), f"2026-03/old-{n}") for n in range(draw(st.integers(0, 2))))
    deferred = tuple(Item(before, name, draw(cents), f"2026-03/{name}") for name in sorted(names) if draw(st.booleans()))
    producers = {name: draw(cents) for name in names if draw(st.integers(0, 3)) == 0}
    suppliers = {"hetzner": draw(cents)} if draw(st.booleans()) else {}
    reserve, due, free, unmatched = (
        draw(st.integers(0, 9000)),
        draw(st.integers(0, 900)),
        draw(st.integers(0, 9000)),
        draw(st.integers(0, 99)),
    )
    bank = free + reserve + unmatched + sum(producers.values()) + sum(suppliers.values())
    return Books(before, balances, dues, bills, deferred, suppliers, producers, reserve, due, unmatched, free, bank)


@st.composite
def months(draw, credits: bool = True) -> Month:
    there = draw(members())
    names = [one.id for one in there]
    producers = [one.id for one in there if "producer" in one.classes] or names[:1]
    amount = st.integers(-20_000, 500_000).filter(bool) if credits else cents
    count = st.integers(0, 4)
    sharing = st.just(()) | st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    return Month(
        PERIOD,
        rules(flat_share=draw(part), reserve=draw(part), allowance=draw(st.sampled_from([0, 500])), rate=draw(st.integers(0, 5000))),
        there,
        draw(openings(names)),
        tuple(bill(n, draw(amount), draw(st.sampled_from(SUPPLIERS)), shared_by=draw(sharing)) for n in range(draw(count))),
        tuple(usage(name, draw(st.integers(0, 90_000))) for name in names if draw(st.booleans())),
        tuple(
            hours(n, draw(st.sampled_from(producers)), draw(fractions), draw(st.sampled_from(["paid", "paid", "gift"])))
            for n in range(draw(count))
        ),
        tuple(
            payment(n, draw(st.sampled_from([*names, "hetzner", None])), draw(cents), draw(st.sampled_from(["in", "in", "out"])))
            for n in range(draw(count))
        ),
        tuple(
            Sale(source("sales", n), DAY, "cafe", draw(st.sampled_from(producers)), Money(draw(cents), "EUR"), "Meetings", draw(part))
            for n in range(draw(st.integers(0, 1) if credits else st.just(0)))
        ),
        tuple(
            Correction(source("corrections", n), Period(2026, 1), draw(st.sampled_from(names)), what, Money(draw(cents), "EUR"), "typo")
            for n, what in enumerate(draw(st.lists(st.sampled_from(["contribution", "pay", "payment"]), max_size=2 if credits else 0)))
        ),
    )
