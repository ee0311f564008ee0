# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worked year: made again from its plain files it is the same to the byte, and hledger and beancount agree with its statements."""

from __future__ import annotations

import hashlib
import html
import json
import pathlib
import re
import subprocess
from fractions import Fraction

import pytest

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import DecisionTask
from tests.support import example_year

from .test_journals import balances, beancount_errors, hledger
from .year import MONTHS, SHIPPED, Year

MONEY = SHIPPED / "money"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Year:
    year = Year(tmp_path_factory.mktemp("year") / "coop")
    # The one way there is to make it; people call it as ./dev docs.
    example_year.make(year.path)
    return year


def test_it_comes_out_as_it_is_shipped(made):
    shipped = {str(path.relative_to(SHIPPED)): path.read_bytes() for path in sorted(SHIPPED.rglob("*")) if path.is_file()}
    found = made.tree()
    assert sorted(found) == sorted(shipped)
    assert [name for name in found if found[name] != shipped[name]] == []


def test_its_decisions_are_tallied_as_they_are_shipped():
    params = {"membership": [str(SHIPPED / "members.yml")], "directory": None, "as_of": "2026-01-20", "require": []}
    assert DecisionTask(params).run(check_mode=True)["files"] == []


def test_closed_months_verify_and_closing_again_changes_nothing(made):
    before = made.tree()
    result = made.run("verified")
    assert result["identical"] and result["months"] == [str(month) for month in MONTHS]
    assert not made.run("closed", MONTHS[4])["changed"]
    assert made.tree() == before


def test_anybody_can_check_the_seals_with_sha256sum(made):
    for month in MONTHS:
        for name in ("inputs", "outputs"):
            done = subprocess.run(["sha256sum", "--quiet", "--strict", "-c", f"closed/{month}/{name}.sha256"], cwd=made.money, check=False)
            assert done.returncode == 0


def test_hledger_and_beancount_agree_with_every_statement(made, tmp_path):
    for number, month in enumerate(MONTHS, 1):
        folder = made.money / "closed" / str(month)
        figures = json.loads((folder / "allocation.json").read_text())
        until = tmp_path / f"{month}.hledger"
        until.write_text("".join(f"include {made.money}/closed/{one}/journal.hledger\n" for one in MONTHS[:number]))
        held = balances(until)
        for one in figures["members"]:
            page = text_of(folder / "statements" / f"{one['id']}.html")
            shown = re.search(rf"Balance on {month.last}(?:, paid ahead)? (-?[0-9.]+) EUR", page)
            assert shown is not None
            assert Fraction(shown[1]) == held.get(f"assets:receivable:{one['id']}", 0) == Fraction(one["closing"], 100)
            deferred = re.search(r"Still deferred: ([0-9.]+) EUR", page)
            assert Fraction(deferred[1] if deferred else 0) == -held.get(f"liabilities:deferred:{one['id']}", 0)
    hledger(made.money / "books.hledger", "check", "-s")
    errors, beans = beancount_errors(made.money / "books.beancount")
    assert errors == []
    assert {name: amount for name, amount in beans.items() if amount} == {
        name: amount for name, amount in balances(made.money / "books.hledger").items() if amount
    }


def test_a_figure_can_be_followed_by_hand(made):
    """From one statement to the source files, only by what the page says."""
    page = text_of(made.money / "closed" / "2025-10" / "statements" / "sunflower.html")
    use = re.search(r"sunflower-training ([0-9]+) .*? (usage/2025-10\.csv):([0-9]+)", page)
    assert use is not None
    line = (made.money / use[2]).read_text().splitlines()[int(use[3]) - 1]
    assert line.startswith(f"sunflower,sunflower-training,participant_minutes,{use[1]},")
    # The steps can be calculated again.
    weight, flat_of, flat = re.search(r"What all share is ([0-9.]+) EUR\. 2/5 of it, ([0-9.]+), .*?× 1 of 13/2 is ([0-9.]+)", page).groups()
    assert Fraction(weight) * Fraction(2, 5) == Fraction(flat_of)
    assert str(float(Fraction(flat_of) / Fraction(13, 2))).startswith(flat)
    counted, of_all = re.search(r"shared by use: × ([0-9]+) of ([0-9]+) is", page).groups()
    assert int(counted) == sum(int(value) for value in re.findall(r"sunflower(?:-training)? ([0-9]+) 2025-10-01", page)) - 500
    # What all counted together stands on the treasurer's page, member by member.
    summary = (made.money / "closed" / "2025-10" / "summary.html").read_text()
    table = summary[summary.index('id="members"') : summary.index('id="producers"')]
    *rows, everyone = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    assert sum(Fraction(row[3]) for row in rows) == int(of_all) == Fraction(everyone[3])
    assert sum(Fraction(row[1]) for row in rows) == Fraction(13, 2) == Fraction(everyone[1])
    # What floors and caps move is calculated on the page too.
    share, rest, shares, held = re.search(r"sum to [0-9.…]+: ([0-9.]+)…? × ([0-9.]+)…? / ([0-9.]+)…? = ([0-9.]+)", page).groups()
    assert abs(Fraction(share) * Fraction(rest) / Fraction(shares) - Fraction(held)) < Fraction(1, 1000)
    assert everyone[4] == everyone[5].removesuffix(" EUR")
    # Every file it names exists, and has such a line.
    for name, number in re.findall(r"((?:bills|hours|usage|payments|sales|corrections)/[a-z0-9./-]+\.[a-z]+):([0-9]+)", page):
        assert len((made.money / name).read_text().splitlines()) >= int(number)
    assert "set by decision D-0003, A higher rate, and a cap, passed on 2025-06-09" in page
    assert (SHIPPED / "decisions" / "D-0003-rate" / "outcome.yml").exists()


def test_inputs_are_named_with_their_sums(made):
    summary = text_of(made.money / "closed" / "2025-03" / "summary.html")
    for name in ("bills/2025-03/printer.yml", "hours/2025-03/clover.csv", "rules/1.yml", "closed/2025-02/outputs.sha256"):
        assert f"{hashlib.sha256((made.money / name).read_bytes()).hexdigest()[:16]} {name}" in summary


def text_of(path: pathlib.Path) -> str:
    """A page's words, on one line."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", path.read_text(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
