# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A month's settlement: what always holds, and the cases that people ask about."""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Books, Correction, Item, Money, MoneyError, Period, Sale
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settlement import apportion, hold, named_in, settle

from .money import DAY, NAMES, PERIOD, bill, hours, member, month, months, payment, rules, source, usage

# -- what always holds


@given(st.integers(-10_000, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_apportion(total, weights):
    parts = [(str(number), Fraction(total * weight, sum(weights)), Fraction(weight)) for number, weight in enumerate(weights)]
    found = apportion(total, parts)
    assert sum(found.values()) == total
    assert all(abs(found[key] - share) < 1 for key, share, _weight in parts)
    assert all(found[str(number)] == 0 for number, weight in enumerate(weights) if not weight)
    assert found == apportion(total, parts[::-1])


@given(st.data())
def test_hold(data):
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    shares = {name: Fraction(data.draw(st.integers(1, 999)), data.draw(st.integers(1, 9))) for name in names}
    floors = {name: data.draw(st.integers(0, 300)) for name in names if data.draw(st.booleans())}
    caps = {name: floors.get(name, 0) + data.draw(st.integers(0, 300)) for name in names if data.draw(st.booleans())}
    least = sum(floors.values())
    most = sum(caps.values()) if set(caps) == set(names) else least + 5000
    total = Fraction(data.draw(st.integers(least, most)))
    held = hold(total, shares, floors, caps)
    assert sum(held.values()) == total
    assert all(held[name] >= floors[name] for name in floors)
    assert all(held[name] <= caps[name] for name in caps)
    # Whoever is held by nothing pays the same multiple of its share.
    loose = {held[name] / shares[name] for name in names if held[name] not in (floors.get(name), caps.get(name))}
    assert len(loose) <= 1
    backwards = hold(total, dict(reversed(shares.items())), floors, caps)
    assert held == backwards


@given(months())
def test_sums(found):
    settled = settle(found)
    opening, closing = found.opening, settled.closing
    assert sum(settled.due.values()) == settled.pool.total
    receipts = {
        account: sum(
            one.payment.amount.minor * (1 if one.payment.direction == "in" else -1) for one in settled.matched if one.account == account
        )
        for account in ("receivable", "unmatched", "supplier", "producer")
    }
    # Covered is never more than what came in and was free.
    spent = sum(one.item.amount for one in settled.covered if one.item.amount > 0)
    credited = -sum(one.item.amount for one in settled.covered if one.item.amount < 0)
    assert spent <= max(0, settled.cash + credited)
    # Paid and deferred are what was owed.
    earned = sum(pay.earned for pay in settled.pay) + sum(one.amount.minor for one in found.corrections if one.what == "pay")
    for kind, before, new, after in (
        ("pay", opening.deferred, earned, closing.deferred),
        ("bill", opening.bills, settled.pool.bills, closing.bills),
    ):
        paid = sum(one.item.amount for one in settled.covered if one.kind == kind)
        assert paid + sum(item.amount for item in after) == sum(item.amount for item in before) + new
    kept = sum(one.item.amount for one in settled.covered if one.kind == "reserve")
    assert closing.reserve == opening.reserve + kept
    assert kept + closing.reserve_due == opening.reserve_due + settled.pool.reserve + settled.pool.floors
    # The bank holds what the books say it holds.
    assert closing.bank == opening.bank + sum(receipts.values())
    held = closing.free + closing.reserve + closing.unmatched + sum(closing.suppliers.values()) + sum(closing.producers.values())
    assert closing.bank == held
    # The open parts are the balances.
    for name in {*closing.balances, *(item.party for item in closing.dues)}:
        assert closing.balances.get(name, 0) == sum(item.amount for item in closing.dues if item.party == name)


@given(months(credits=False))
def test_nobody_is_due_less_than_nothing(found):
    assert min(settle(found).due.values()) >= 0


@given(months(), st.randoms(use_true_random=False))
def test_order_changes_nothing(found, chance: random.Random):
    def mixed(records):
        records = list(records)
        chance.shuffle(records)
        return tuple(records)

    other = dataclasses.replace(
        found, **{key: mixed(getattr(found, key)) for key in ("members", "bills", "usage", "hours", "payments", "sales", "corrections")}
    )
    one, two = settle(found), settle(other)
    assert dataclasses.replace(one, month=found) == dataclasses.replace(two, month=found)


@given(months())
def test_unrelated_data_changes_nobody(found):
    name = found.members[0].id
    other = dataclasses.replace(
        found,
        usage=(*found.usage, usage(name, 5000, metric="recorded_minutes")),
        hours=(*found.hours, hours("gift", name, 40, kind="gift"), hours("own", name, 40, kind="membership")),
        payments=(*found.payments, payment("stranger", None, 12345, reference="raffle")),
    )
    one, two = settle(found), settle(other)
    assert one.due == two.due and one.covered == two.covered and one.closing.balances == two.closing.balances
    assert two.closing.unmatched == one.closing.unmatched + 12345


@given(months(), st.integers(2, 9))
def test_the_size_of_all_weights_changes_nothing(found, factor):
    other = dataclasses.replace(found, members=tuple(dataclasses.replace(one, weight=one.weight * factor) for one in found.members))
    assert settle(found).due == settle(other).due


@given(months(credits=False), st.data())
def test_a_member_that_uses_more_pays_no_less(found, data):
    """But for one unit of rounding: largest remainder is not monotone."""
    found = dataclasses.replace(found, bills=tuple(dataclasses.replace(one, shared_by=()) for one in found.bills))
    name = data.draw(st.sampled_from([one.id for one in found.members]))
    more = dataclasses.replace(found, usage=(*found.usage, usage(name, 4000, tenant="more")))
    before, after = settle(found), settle(more)
    # From a month without any use to one with use the split itself changes.
    assume(before.groups[0].used)
    assert after.due[name] >= before.due[name] - 1


# -- cases


def test_the_month_that_was_calculated_by_hand():
    """Six members, three suppliers, three producers; one member pays nothing, one is 30.00 short."""
    names = NAMES[:6]
    minutes = (9000, 4200, 1500, 30_000, 0, 12_345)
    weights = (Fraction(1), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(1, 4), Fraction(1))
    producers = names[:3]
    found = month(
        members=tuple(
            member(name, ("consumer", "producer") if name in producers else ("consumer",), weight=weight)
            for name, weight in zip(names, weights, strict=True)
        ),
        bills=(bill(1, 40_000), bill(2, 9440, "registrar"), bill(3, 1000, "printer")),
        usage=tuple(usage(name, value) for name, value in zip(names, minutes, strict=True)),
        hours=(hours(1, "agaric", Fraction(25, 2)), hours(2, "birch", Fraction(31, 4)), hours(3, "clover", 4)),
        payments=(payment(1, "dahlia", 82_800),),
    )
    settled = settle(found)
    assert settled.pool.total == 103_887 == sum(settled.due.values())
    assert [pay.earned for pay in settled.pay] == [25_000, 15_500, 8_000]
    assert sum(settled.pay_covered[name] for name in producers) == 27_413
    assert [settled.pay_covered[name] for name in producers] == [14_130, 8_761, 4_522]
    assert [item.amount for item in settled.closing.deferred] == [10_870, 6_739, 3_478]
    # Both sides and one net figure: what agaric is paid is set against what it owes.
    owed = settled.due["agaric"]
    assert settled.contra["agaric"] == min(owed, 14_130)
    assert settled.closing.balances.get("agaric", 0) == owed - settled.contra["agaric"]
    assert settled.closing.producers.get("agaric", 0) == 14_130 - settled.contra["agaric"]


def test_nobody_used_anything():
    found = month(
        members=(member("agaric"), member("birch", weight=Fraction(1, 2))), bills=(bill(1, 30_000),), rules=rules(reserve=Fraction(0))
    )
    assert settle(found).due == {"agaric": 20_000, "birch": 10_000}


def test_half_a_month_is_half_a_share():
    found = month(members=(member("agaric"), member("birch", days=15)), bills=(bill(1, 30_000),), rules=rules(reserve=Fraction(0)))
    assert settle(found).due == {"agaric": 20_000, "birch": 10_000}


def test_allowance():
    used = (usage("agaric", 1500), usage("birch", 400))
    found = month(members=(member("agaric"), member("birch")), bills=(bill(1, 10_000),), usage=used)
    found = dataclasses.replace(found, rules=rules(reserve=Fraction(0), flat_share=Fraction(0), allowance=500))
    assert settle(found).due == {"agaric": 10_000, "birch": 0}


def test_a_cap_and_a_floor_move_the_rest():
    three = (member("agaric", cap=2000), member("birch"), member("clover", weight=Fraction(1, 10), floor=1500))
    found = month(members=three, bills=(bill(1, 10_000),), rules=rules(reserve=Fraction(0), flat_share=Fraction(1)))
    assert settle(found).due == {"agaric": 2000, "birch": 6500, "clover": 1500}


def test_floors_beyond_the_pool_go_to_the_reserve():
    found = month(
        members=(member("agaric", floor=900), member("birch", floor=300)), bills=(bill(1, 1000),), rules=rules(reserve=Fraction(0))
    )
    settled = settle(found)
    assert settled.due == {"agaric": 900, "birch": 300}
    assert settled.pool.floors == 200 and settled.closing.reserve_due == 200


def test_a_month_that_costs_nothing_raises_the_floors():
    settled = settle(month(members=(member("agaric", floor=900), member("birch"))))
    assert settled.due == {"agaric": 900, "birch": 0} and settled.pool.floors == settled.pool.total == 900


def test_caps_below_the_pool_are_an_error():
    found = month(
        members=(member("agaric", cap=900), member("birch", cap=300)), bills=(bill(1, 100_000),), rules=rules(reserve=Fraction(0))
    )
    with pytest.raises(
        MoneyError, match=r"rules/1.yml:2: month 2026-04: the caps let only 12.00 of 1000.00 be raised; decide on higher caps"
    ):
        settle(found)


def test_no_members_is_an_error():
    with pytest.raises(MoneyError, match=r"10.50 to share and nobody to share it: no member of the classes consumer, producer"):
        settle(month(members=(), bills=(bill(1, 1000),)))
    with pytest.raises(MoneyError, match="nobody to share it"):
        settle(month(members=(member("agaric", weight=Fraction(0)),), bills=(bill(1, 1000),)))


def test_a_bill_for_some():
    found = month(
        members=(member("agaric"), member("birch"), member("clover")),
        bills=(bill(1, 9000), bill(2, 1000, shared_by=("birch", "clover"))),
        rules=rules(reserve=Fraction(0)),
    )
    assert settle(found).due == {"agaric": 3000, "birch": 3500, "clover": 3500}
    gone = dataclasses.replace(found, bills=(bill(2, 1000, shared_by=("elder",)),))
    with pytest.raises(MoneyError, match="none of elder contributes in 2026-04"):
        settle(gone)


def test_credit_notes():
    members = (member("agaric"),)
    opening = Books(Period(2026, 3), bills=(Item(Period(2026, 3), "hetzner", 5000, "2026-03/1"),))
    found = month(members=members, opening=opening, bills=(bill(1, -2000),), rules=rules(reserve=Fraction(0)))
    settled = settle(found)
    assert settled.due == {"agaric": -2000} and settled.closing.balances == {"agaric": -2000}
    assert [(item.what, item.amount) for item in settled.closing.bills] == [("2026-03/1", 3000)]
    alone = settle(dataclasses.replace(found, opening=Books(Period(2026, 3), suppliers={"hetzner": 1500}, bank=1500)))
    assert alone.closing.suppliers == {} and alone.closing.free == 1500
    assert [item.amount for item in alone.closing.bills] == [-500]


def test_deferred_pay_is_carried_and_the_oldest_comes_first():
    old = (Item(Period(2026, 2), "agaric", 3000, "2026-02/agaric"), Item(Period(2026, 3), "birch", 3000, "2026-03/birch"))
    found = month(
        members=(member("agaric", ("producer",)), member("birch", ("producer",)), member("clover")),
        opening=Books(Period(2026, 3), deferred=old),
        hours=(hours(1, "agaric", 1),),
        payments=(payment(1, "clover", 4100),),
        rules=rules(reserve=Fraction(0), contributors=("consumer",)),
    )
    settled = settle(found)
    assert [(one.item.party, str(one.item.period), one.item.amount) for one in settled.covered] == [
        ("agaric", "2026-02", 3000),
        ("birch", "2026-03", 1100),
    ]
    assert [(item.party, str(item.period), item.amount) for item in settled.closing.deferred] == [
        ("birch", "2026-03", 1900),
        ("agaric", "2026-04", 2000),
    ]


def test_bills_come_before_the_reserve_and_that_before_pay():
    found = month(
        members=(member("agaric", ("consumer", "producer")), member("birch")),
        bills=(bill(1, 8000),),
        hours=(hours(1, "agaric", 1),),
        rules=rules(reserve=Fraction(1, 10)),
    )
    covered = {}
    for paid in (5000, 8400, 9500):
        settled = settle(dataclasses.replace(found, payments=(payment(1, "birch", paid),)))
        covered[paid] = [(one.kind, one.item.amount) for one in settled.covered]
    assert covered == {
        5000: [("bill", 5000)],
        8400: [("bill", 8000), ("reserve", 400)],
        9500: [("bill", 8000), ("reserve", 1000), ("pay", 500)],
    }


def test_the_seller_of_a_service_hands_on_its_part():
    sale = Sale(source("sales", 1), DAY, "cafe", "agaric", Money(5000, "EUR"), "Meetings")
    found = month(
        members=(member("agaric", ("producer",)), member("birch")),
        bills=(bill(1, 10_000),),
        sales=(sale,),
        rules=rules(reserve=Fraction(0), seller_share=Fraction(1, 5)),
    )
    settled = settle(found)
    assert settled.pool.sales == 4000 and settled.due == {"agaric": 3000, "birch": 3000}
    assert settled.closing.balances == {"agaric": 7000, "birch": 3000}


def test_corrections():
    found = month(
        members=(member("agaric"), member("birch", ("consumer", "producer"))),
        bills=(bill(1, 10_000),),
        rules=rules(reserve=Fraction(0)),
        opening=Books(Period(2026, 3), unmatched=700, bank=700),
        corrections=(
            Correction(source("corrections", 1), Period(2026, 1), "agaric", "contribution", Money(-600, "EUR"), "weight was wrong"),
            Correction(source("corrections", 2), Period(2026, 1), "birch", "pay", Money(400, "EUR"), "two hours forgotten"),
            Correction(source("corrections", 3), Period(2026, 1), "birch", "payment", Money(700, "EUR"), "the raffle was theirs"),
        ),
    )
    settled = settle(found)
    assert settled.pool.corrections == 1000 and settled.due == {"agaric": 5500, "birch": 5500}
    assert settled.closing.balances == {"agaric": 4900, "birch": 4800}
    assert settled.closing.unmatched == 0 and settled.closing.bank == 700
    assert [(item.party, item.amount) for item in settled.closing.deferred] == [("birch", 400)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SUNFLOWER-2026-03", "sunflower"),
        ("meet.coop: sunflower-2026-03, thanks", "sunflower"),
        ("MEET-SUNFLOWER-TRAINING-2026-03", "sunflower-training"),
        ("sunflower 202603", "sunflower"),
        ("sunflower-2026-02 sunflower-2026-03", "sunflower"),
        ("sunflower", None),
        ("sunflower-2026-13", None),
        ("sunflower-2026-03 agaric-2026-03", None),
        ("daisy-2026-03", None),
        ("", None),
    ],
)
def test_references_are_recognised_and_never_guessed(text, found):
    assert named_in(text, {name: name for name in ("sunflower", "sunflower-training", "training", "agaric")}) == found


def test_a_bill_in_another_currency_needs_its_rate():
    with pytest.raises(MoneyError, match="bill of hetzner is in USD and has no rate; write exchange: with rate, source and date"):
        settle(month(bills=(bill(1, 1000, currency="USD"),)))


def test_what_is_owed_is_the_newest_part():
    before = Period(2026, 3)
    opening = Books(before, {"agaric": 5000}, (Item(Period(2026, 2), "agaric", 2000, "a"), Item(before, "agaric", 3000, "b")))
    found = month(bills=(bill(1, 1000),), opening=opening, payments=(payment(1, "agaric", 2500),), rules=rules(reserve=Fraction(0)))
    assert [(str(item.period), item.amount) for item in settle(found).closing.dues] == [("2026-03", 2500), (str(PERIOD), 1000)]
