# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VAT in the money: what is charged on contributions, what comes back of bills, and both journals' opinion of it."""

from __future__ import annotations

import dataclasses
import json
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Money, MoneyError, Period, Tax, Treatment, Vat, rounded
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.month import members_of
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settlement import settle
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import record
from tests.support.examples import examples

from .money import bill as a_bill
from .money import member, month, months, rules
from .test_example_year import text_of
from .test_journals import balances, beancount_errors, hledger
from .year import MONTHS, Year

STANDARD = Vat(Treatment("S", Fraction(20)), Fraction(1), "hmrc")
SHIPPED_VAT = "vat: {category: O, reason: Not registered for VAT}\n"
VAT = "notice: 1/5\nvat: {category: S, rate: 20, reclaim: 1, office: hmrc}\n"


def taxed(number: object, net: int, vat: int, **given_):
    return dataclasses.replace(
        a_bill(number, net + vat), net=Money(net, "EUR"), vat=Money(vat, "EUR"), taxes=(Tax("S", Fraction(20), net, vat),), **given_
    )


def test_bills_count_without_what_comes_back_and_contributions_get_vat_on_top():
    bills = (taxed(1, 10_000, 2_000), taxed(2, 5_000, 1_000, reclaim=Fraction(0)), taxed(3, 3_000, 600, reclaim=Fraction(1, 2)))
    there = (member("agaric"), member("birch", tax=Treatment("AE", reason="Reverse charge")))
    settled = settle(month(rules=rules(vat=STANDARD, reserve=Fraction(0)), members=there, bills=bills))
    assert sum(settled.reclaimed.values()) == 2_000 + 0 + 300
    assert settled.pool.total == 10_000 + 6_000 + 3_300 == sum(settled.due.values())
    assert settled.vat == {"agaric": rounded(Fraction(settled.due["agaric"], 5))}
    assert settled.closing.balances == {"agaric": settled.due["agaric"] * 6 // 5, "birch": settled.due["birch"]}
    # The tax office owes the difference, as an open credit note.
    assert [(item.party, item.amount) for item in settled.closing.bills if item.party == "hmrc"] == [
        ("hmrc", settled.vat["agaric"] - 2_300)
    ]


def test_without_a_word_of_vat_nothing_is_otherwise():
    there = (member("agaric", tax=Treatment("S", Fraction(20))),)
    settled = settle(month(members=there, bills=(taxed(1, 10_000, 2_000),)))
    assert (settled.vat, settled.reclaimed, settled.pool.bills) == ({}, {}, 12_000)


def test_nobody_to_pay_vat_to_is_an_error():
    there = (member("agaric", tax=Treatment("S", Fraction(20))),)
    with pytest.raises(MoneyError, match="office: and the id of the tax office"):
        settle(month(rules=rules(vat=Vat(Treatment("Z"))), members=there, bills=(a_bill(1, 1000),)))


@examples(40)
@given(months(), st.sampled_from([Fraction(20), Fraction(11, 2), Fraction(0)]), st.sampled_from([Fraction(0), Fraction(3, 5), Fraction(1)]))
def test_the_books_hold_with_vat(one, rate, reclaim):
    bills = tuple(
        dataclasses.replace(bill, vat=Money(bill.gross.minor // 6, "EUR"), net=Money(bill.gross.minor - bill.gross.minor // 6, "EUR"))
        for bill in one.bills
    )
    charged = Treatment("S", rate) if rate else Treatment("O", reason="Not registered")
    plain = settle(dataclasses.replace(one, bills=bills))
    settled = settle(dataclasses.replace(one, bills=bills, rules=dataclasses.replace(one.rules, vat=Vat(charged, reclaim, "hmrc"))))
    assert sum(settled.due.values()) == settled.pool.total
    assert settled.pool.bills == plain.pool.bills - sum(settled.reclaimed.values())
    books = settled.closing
    assert books.bank == books.free + books.reserve + books.unmatched + sum(books.suppliers.values()) + sum(books.producers.values())
    owed = one.opening.balances
    for name, amount in settled.charged.items():
        assert settled.vat.get(name, 0) == rounded(amount * rate / 100)
        paid = sum(
            match.payment.amount.minor * (1 if match.payment.direction == "in" else -1)
            for match in settled.matched if match.account == "receivable" and match.party == name
        ) + sum(entry.amount.minor for entry in one.corrections if entry.what == "payment" and entry.member == name)  # fmt: skip
        balance = owed.get(name, 0) - paid + amount + settled.vat.get(name, 0) - settled.contra.get(name, 0)
        assert balance == books.balances.get(name, 0)


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Year:
    """Four months of the example year, of a co-operative that charges VAT and gets it back."""
    year = Year(tmp_path_factory.mktemp("vat") / "coop")
    year.edit("rules/1.yml", SHIPPED_VAT, VAT)
    year.edit("members.yml", '    weight: "1/2"', '    tax: {category: AE}\n    weight: "1/2"')
    year.edit("bills/2025-02/hetzner.yml", "rate: 19\n", "rate: 19\nreclaim: 0\n")
    year.edit("payments/2025-03.csv", "\n", "\n2025-03-20,out,1.00,EUR,HMRC-2025-01,vat-1,,HMRC\n")
    year.close(*MONTHS[:4])
    return year


def test_hledger_and_beancount_agree_with_tax_accounts(registered):
    books = registered.money / "books.hledger"
    hledger(books, "check", "-s")
    errors, beans = beancount_errors(registered.money / "books.beancount")
    assert errors == []
    held = balances(books)
    assert {name: amount for name, amount in beans.items() if amount} == {name: amount for name, amount in held.items() if amount}
    figures = [json.loads((registered.money / "closed" / str(one) / "allocation.json").read_text()) for one in MONTHS[:4]]
    for one in figures[-1]["members"]:
        assert held.get(f"assets:receivable:{one['id']}", 0) == Fraction(one["closing"], 100)
    charged = sum(member["vat"] for month_ in figures for member in month_["members"])
    back = sum(bill["reclaimed"] for month_ in figures for bill in month_["bills"])
    assert charged and back
    # What was owed for four months, less what went to the office in March.
    assert held["liabilities:suppliers:hmrc"] == Fraction(back - charged + 100, 100)
    assert not held.get("liabilities:vat:output") and not held.get("assets:vat:input")
    journal = (registered.money / "closed" / "2025-01" / "journal.hledger").read_text()
    assert re.search(r"VAT of 2025-01  ; vat:2025-01\n    liabilities:vat:output  [0-9.]+ EUR", journal)


def test_a_closed_month_with_vat_verifies(registered):
    assert registered.run("verified")["identical"]


def test_the_statement_says_what_is_net_and_what_is_gross(registered):
    folder = registered.money / "closed" / "2025-01"
    figures = {one["id"]: one for one in json.loads((folder / "allocation.json").read_text())["members"]}
    page = text_of(folder / "statements" / "sunflower.html")
    due, vat = (f"{figures['sunflower'][key] / 100:.2f} EUR" for key in ("due", "vat"))
    assert f"VAT, 20 % of {due} {vat} below, tax" in page
    assert f"The contribution is without tax: 20 % of {due} is {vat}, rounded once." in page
    assert "249.90 EUR with tax, without the 39.90 EUR of it that come back 210.00 EUR" in page
    daisy = text_of(folder / "statements" / "daisy.html")
    assert "reverse charge, as the membership file has it for you" in daisy and "You account for the tax yourself" in daisy
    assert "VAT, " not in daisy and figures["daisy"]["vat"] == 0
    assert "VAT to pay for the month" in text_of(folder / "summary.html")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("category: S, rate: 20", "category: S", "rules/1.yml:14: vat, field rate: is missing, and category S has one"),
        ("category: S, rate: 20", "category: E", "vat, field reason: is missing; write why no tax is charged"),
        ("category: S", "category: AE", "vat, field rate: does not go with category AE, where no tax is charged"),
        (", office: hmrc", "", "vat, field office: is missing; write the id under which payments name the tax office"),
        ("office: hmrc", "office: agaric", 'field vat.office: "agaric" is a member; write another id for the tax office'),
        ("reclaim: 1", "reclaim: 3/2", "vat, field reclaim: 3/2 is more than all; write at most 1/1"),
        ("rate: 20,", "rate: 200,", "vat, field rate: 200 is not a percentage"),
    ],
)
def test_bad_vat_is_named_with_its_place(tmp_path, old, new, wanted):
    year = Year(tmp_path / "coop")
    year.edit("rules/1.yml", SHIPPED_VAT, VAT.replace(old, new))
    before = year.tree()
    with pytest.raises(MoneyError) as failed:
        year.run()
    assert wanted in str(failed.value)
    assert year.tree() == before


def test_bad_tax_of_a_member_is_named(tmp_path):
    year = Year(tmp_path / "coop")
    year.edit("members.yml", '    weight: "1/2"', '    tax: {category: S}\n    weight: "1/2"')
    with pytest.raises(Exception, match="field tax.rate: is missing, and category S has one") as failed:
        year.run()
    assert "members.yml:" in str(failed.value)


# -- tax that changes

OWN_TAX = st.sampled_from([None, {"category": "S", "rate": 20}, {"category": "AE"}, {"category": "E", "reason": "Small business"}])
YEAR = [Period(2025, number) for number in range(1, 13)]


@examples(100)
@given(
    OWN_TAX,
    st.dictionaries(st.sampled_from(YEAR[1:]), OWN_TAX, max_size=3),
    st.dictionaries(st.sampled_from(YEAR[1:]), st.sampled_from(["1/2", 2]), max_size=2),
    st.sampled_from(YEAR[1:]),
    OWN_TAX,
)
def test_tax_that_changes_from_a_month_on_changes_no_month_before(first, taxes, weights, turn, then):
    def months_of(changed):
        entries = {str(one.first): {"from": str(one.first)} for one in sorted({*changed, *weights}, key=str)}
        for one, value in changed.items():
            entries[str(one.first)]["tax"] = value
        for one, value in weights.items():
            entries[str(one.first)]["weight"] = value
        raw = {"joined": "2024-01-01", "classes": ["consumer"], "tax": first, "changes": [entries[day] for day in sorted(entries)]}
        return {one: members_of({"a": record("member", "a", raw)}, {"a": "A"}, one, rules())[0] for one in YEAR}

    before, after = months_of(taxes), months_of({**taxes, turn: then})
    later = min((one for one in taxes if str(one) > str(turn)), key=str, default=None)
    for one in YEAR:
        if str(one) < str(turn) or (later and str(one) >= str(later)):
            assert after[one] == before[one]
        else:
            assert (after[one].tax and after[one].tax.category) == (then and then["category"])
            assert dataclasses.replace(after[one], tax=None) == dataclasses.replace(before[one], tax=None)


def test_tax_that_changes_counts_from_its_month_and_closed_ones_stay_as_they_are(tmp_path):
    year = Year(tmp_path / "coop")
    year.edit("rules/1.yml", SHIPPED_VAT, VAT)
    year.close(*MONTHS[:2])
    closed = {name: text for name, text in year.tree().items() if "/closed/" in name}
    # Daisy tells in April that it accounts for the tax itself, from March on.
    change = "    changes: [{from: 2025-03-01, tax: {category: AE}, reason: Moved its seat}]\n"
    year.edit("members.yml", '    weight: "1/2"', f'{change}    weight: "1/2"')
    assert year.run("verified")["identical"]
    year.close(MONTHS[2])
    assert {name: year.tree()[name] for name in closed} == closed
    charged = {}
    for one in MONTHS[:3]:
        figures = json.loads((year.money / "closed" / str(one) / "allocation.json").read_text())
        charged[str(one)] = {member["id"]: (member["charged"] > 0, member["vat"] > 0) for member in figures["members"]}
    assert [charged[str(one)]["daisy"] for one in MONTHS[:3]] == [(True, True), (True, True), (True, False)]
    assert all(each == (True, True) for one in charged.values() for name, each in one.items() if name != "daisy" and each[0])
    assert year.run("verified")["identical"]
    # With an earlier day it would say something else of a month that is closed.
    year.edit("members.yml", "{from: 2025-03-01, tax", "{from: 2025-02-01, tax")
    (said,) = year.run("verified")["differences"]
    assert said.partition(": ")[2].startswith(
        "tax of daisy was as the rules have it, and the membership file says reverse charge now; put it"
    )
