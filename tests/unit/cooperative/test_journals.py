# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Journals before the programs they are for: real hledger and real beancount read them, and agree to the cent."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import journals
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Books, Money, Payment, Period, decimal
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settlement import Settlement, settle
from tests.support.examples import examples

from .money import DAY, PERIOD, bill, hours, member, month, months, payment, rules, source, usage

CHEAP = examples(12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def hledger(path, *arguments: str) -> str:
    found = subprocess.run(["hledger", "-f", str(path), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def balances(path) -> dict[str, str]:
    """Account and amount as hledger has them."""
    rows = json.loads(hledger(path, "bal", "-N", "--flat", "--no-elide", "-E", "-O", "json"))[0]
    found = {}
    for name, _indented, _depth, amounts in rows:
        assert len(amounts) <= 1
        quantity = amounts[0]["aquantity"] if amounts else {"decimalMantissa": 0, "decimalPlaces": 0}
        found[name] = Fraction(quantity["decimalMantissa"], 10 ** quantity["decimalPlaces"])
    return found


def beancount_errors(path) -> tuple[list, dict]:
    from beancount import loader
    from beancount.core import data

    found, errors, _options = loader.load_file(str(path))
    sums: dict[str, Fraction] = {}
    for entry in found:
        if isinstance(entry, data.Transaction):
            for posting in entry.postings:
                sums[posting.account.lower()] = sums.get(posting.account.lower(), Fraction(0)) + Fraction(posting.units.number)
    return errors, sums


def write(folder, *settled: Settlement) -> None:
    opened: frozenset[str] = frozenset()
    for number, one in enumerate(settled):
        place = folder / "closed" / str(one.month.period)
        place.mkdir(parents=True, exist_ok=True)
        entries = journals.entries(one, first=number == 0)
        (place / "journal.hledger").write_text(journals.hledger(entries, one))
        (place / "journal.beancount").write_text(journals.beancount(entries, one, opened))
        opened |= {":".join(account) for account in journals.accounts_of(entries, one)}
    periods = [one.month.period for one in settled]
    (folder / "books.hledger").write_text(journals.books_hledger(periods))
    (folder / "books.beancount").write_text(journals.books_beancount(periods, 'A "co-op"', settled[0].currency))


@CHEAP
@given(found=months())
def test_both_programs_accept_any_month_and_agree(found, tmp_path):
    settled = settle(found)
    write(tmp_path, settled)
    hledger(tmp_path / "books.hledger", "check", "-s")
    held = balances(tmp_path / "books.hledger")
    errors, beans = beancount_errors(tmp_path / "books.beancount")
    assert not errors
    assert {name: amount for name, amount in held.items() if amount} == {name: amount for name, amount in beans.items() if amount}
    for share in settled.shares:
        name = share.member.id
        assert held.get(f"assets:receivable:{name}", 0) == Fraction(settled.closing.balances.get(name, 0), 100)
    assert -held.get("income:contributions", 0) == Fraction(
        settled.pool.total + sum(one.amount.minor for one in found.corrections if one.what == "contribution"), 100
    )
    assert held.get("assets:bank", 0) == Fraction(settled.closing.bank, 100)


def two_months(**given) -> tuple[Settlement, Settlement]:
    first = settle(
        month(
            members=(member("agaric", ("consumer", "producer")), member("birch-and-co")),
            bills=(bill(1, 5000),),
            hours=(hours(1, "agaric", 3),),
            usage=(usage("agaric", 300), usage("birch-and-co", 700)),
            payments=(payment('=2+3, "quoted"; odd', None, 4400, reference="gift"), payment(2, "birch-and-co", 9000)),
            **given,
        )
    )
    late = dataclasses.replace(bill(9, 700), source=source("bills", 9))
    after = dataclasses.replace(
        first.month,
        period=PERIOD.next,
        opening=first.closing,
        bills=(late,),
        hours=(),
        payments=(Payment(source("payments", 7), PERIOD.next.first, "out", Money(5000, given.get("currency", "EUR")), "", "7", "hetzner"),),
    )
    return first, settle(after)


def test_months_follow_each_other(tmp_path):
    first, second = two_months()
    write(tmp_path, first, second)
    hledger(tmp_path / "books.hledger", "check", "-s")
    assert beancount_errors(tmp_path / "books.beancount")[0] == []
    done = subprocess.run(["bean-check", str(tmp_path / "books.beancount")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert balances(tmp_path / "books.hledger")["assets:bank"] == Fraction(second.closing.bank, 100)


def test_a_wrong_cent_is_seen(tmp_path):
    """The checks are real: one cent moved in one posting makes both programs refuse."""
    first, second = two_months()
    wrong = dataclasses.replace(first.closing, balances={**first.closing.balances, "birch-and-co": 1})
    write(tmp_path, dataclasses.replace(first, closing=wrong), second)
    done = subprocess.run(["hledger", "-f", str(tmp_path / "books.hledger"), "check", "-s"], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "balance assertion" in done.stderr.lower()
    assert beancount_errors(tmp_path / "books.beancount")[0]


def test_every_posting_names_its_record(tmp_path):
    first, second = two_months()
    write(tmp_path, first, second)
    for tag, record in (("bill", "2026-04:bills:1"), ("hours", "2026-04:hours:1"), ("payment", "ref-2"), ("statement", "2026-04/agaric")):
        found = json.loads(hledger(tmp_path / "books.hledger", "print", f"tag:{tag}=^{record}$", "-O", "json"))
        assert len(found) == 1
        assert all([tag, record] in posting["ptags"] for posting in found[0]["tpostings"])


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "5000"), ("KWD", "5.000"), ("EUR", "50.00")])
def test_currencies_without_cents(currency, shown, tmp_path):
    found = month(
        members=(member("agaric"),),
        bills=(bill(1, 5000, currency=currency),),
        rules=rules(currency=currency, reserve=Fraction(0)),
        opening=Books(Period(2026, 3)),
    )
    settled = settle(found)
    assert decimal(settled.due["agaric"], currency) == shown
    write(tmp_path, settled)
    hledger(tmp_path / "books.hledger", "check", "-s")
    assert beancount_errors(tmp_path / "books.beancount")[0] == []


def test_csv_of_all_lines_has_no_formula():
    first, _second = two_months()
    entries = journals.entries(first, first=True)
    text = journals.lines_csv(entries, "EUR")
    rows = text.splitlines()
    assert rows[0] == "date,text,kind,record,file,line,account,amount,currency"
    assert len(rows) == 1 + sum(len(entry.postings) for entry in entries)
    assert journals.table(("a",), [{"a": "=1+1"}, {"a": "-12.30"}, {"a": "@x"}, {"a": None}]) == "a\n'=1+1\n-12.30\n'@x\n\"\"\n"
    assert DAY.isoformat() in text
