# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bills, use and payments from files: exact, strict, and every mistake with its file and line."""

from __future__ import annotations

import datetime
import hashlib
import pathlib
import tempfile
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import bills, hours, payments, usage
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import (
    Bill,
    Exchange,
    Money,
    Payment,
    Period,
    Source,
    Tax,
    Usage,
)
from ansible_collections.meet.coop.plugins.plugin_utils._membership import shape
from tests.support.examples import examples

MARCH = Period(2026, 3)
READERS: dict[str, Callable[[str, Period], tuple[tuple[Any, ...], list[Any]]]] = {
    "bills": bills.read,
    "usage": usage.read,
    "payments": payments.read,
}
BILL = """\
supplier: hetzner
date: 2026-03-01
due: 2026-03-15
currency: EUR
net: 100.10
vat: 19.02
gross: 119.12
category: S
rate: 19
"""
USAGE = """\
member,tenant,metric,value,source,sampled_from,sampled_to,samples_expected,samples_got
sunflower,sunflower,participant_minutes,1200,pool,2026-03-01,2026-03-31,44640,44000
sunflower,sunflower-training,participant_minutes,0,pool,2026-03-01,2026-03-15,21600,21600
"""
PAYMENTS = """\
date,direction,amount,currency,reference,bank_ref,member,counterparty
2026-03-05,in,120.00,EUR,MEET-2026-02-SUNFLOWER,B-1,,Sunflower Housing
2026-03-06,out,119.12,EUR,invoice 77,B-2,hetzner,
"""


def write(folder: pathlib.Path, name: str, text: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def read(folder: pathlib.Path, kind: str) -> tuple[tuple[Any, ...], list[str]]:
    """The records of March, and what is said, without the folder's own path."""
    found, problems = READERS[kind](str(folder), MARCH)
    assert not (found and problems), "half a month is never counted"
    return found, [str(problem).partition(f"{kind}/")[2] for problem in problems]


def test_nothing_there_is_nothing(tmp_path: pathlib.Path) -> None:
    assert [read(tmp_path, kind) for kind in READERS] == [((), [])] * 3


# -- bills


def test_a_bill(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "bills/2026-03/hetzner-1.yml", BILL)
    found, said = read(tmp_path, "bills")
    assert said == []
    assert found == (
        Bill(
            source=Source("bills/2026-03/hetzner-1.yml", 1, "2026-03/hetzner-1"),
            supplier="hetzner",
            date=datetime.date(2026, 3, 1),
            due=datetime.date(2026, 3, 15),
            net=Money(10010, "EUR"),
            vat=Money(1902, "EUR"),
            gross=Money(11912, "EUR"),
            taxes=(Tax("S", Fraction(19), 10010, 1902),),
        ),
    )


def test_a_bill_with_everything(tmp_path: pathlib.Path) -> None:
    paper = b"%PDF\n"
    write(tmp_path, "bills/2026-03/papers/ovh.pdf", paper)
    write(
        tmp_path,
        "bills/2026-03/ovh.yml",
        "supplier: ovh\ndate: 2026-03-02\ndue: 2026-04-01\npaid_on: 2026-03-20\ncurrency: JPY\nnet: -1000\nvat: '-100'\ngross: -1100\n"
        "taxes:\n  - {category: S, rate: 10, net: -1000, vat: -100}\n  - {category: AE, net: 0, vat: 0, reason: Reverse charge}\n"
        "exchange: {rate: 0.0061, source: ECB, date: 2026-03-02}\nshared_by: [rosa, agaric]\ndescription: A credit note\n"
        f"document: {{path: papers/ovh.pdf, sha256: {hashlib.sha256(paper).hexdigest()}}}\n",
    )
    found, said = read(tmp_path, "bills")
    assert said == []
    bill = found[0]
    assert bill.gross == Money(-1100, "JPY") and bill.exchange == Exchange(Fraction(61, 10000), "ECB", datetime.date(2026, 3, 2))
    assert bill.cost("EUR") == -671
    assert bill.taxes == (Tax("S", Fraction(10), -1000, -100), Tax("AE", Fraction(0), 0, 0, "Reverse charge"))
    assert bill.shared_by == ("agaric", "rosa") and bill.paid_on == datetime.date(2026, 3, 20) and bill.description == "A credit note"
    assert bill.document == ("bills/2026-03/papers/ovh.pdf", hashlib.sha256(paper).hexdigest())


def test_shared_by_all_is_shared_by_nobody_in_particular(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "bills/2026-03/a.yml", BILL + "shared_by: all\n")
    assert read(tmp_path, "bills")[0][0].shared_by == ()


# A line of the bill to replace (or the end), what stands there instead, the line that is named, and what is said.
BROKEN_BILLS: dict[str, tuple[str, str, int, str]] = {
    "no supplier": ("supplier: hetzner\n", "", 1, "field supplier is missing; write supplier: hetzner"),
    "a currency there is not": ("EUR", "EUX", 4, 'currency "EUX" is none of ISO 4217; write three capital letters such as EUR'),
    "a small currency": ("EUR", "eur", 4, 'currency: "eur" is not a currency; write three capital letters such as EUR'),
    "too many figures": ("100.10", "100.101", 5, 'net "100.101" is no amount in EUR; write one such as 12.55'),
    "a comma": ("100.10", '"100,10"', 5, 'net: "100,10" is not an amount; write figures with a point, such as 119.00'),
    "an exponent": ("100.10", "1e2", 5, 'net "1e2" is no amount in EUR'),
    "a wrong sum": ("119.12", "119.13", 7, "gross: 119.13 EUR is not net and VAT together, 119.12 EUR; mend one of the three"),
    "a wrong rate": ("rate: 19", "rate: 7", 6, "vat: 19.02 EUR is not 7 % of 100.10 EUR, 7.01 EUR; mend the rate or an amount"),
    "no rate": ("rate: 19\n", "", 1, "rate: is missing; write the percentage of the tax, such as rate: 21"),
    "a rate without tax": ("category: S", "category: AE", 9, "rate: 19 does not go with category AE; write rate: 0, or category: S"),
    "tax without a rate": ("category: S\nrate: 19", "category: O", 6, "vat: 19.02 EUR is not 0 % of 100.10 EUR, 0.00 EUR"),
    "no category": ("category: S\nrate: 19\n", "", 1, "category: is missing; write the category as the bill has it"),
    "an unknown category": ("category: S", "category: X", 8, '"X" is not one of S, Z, E, AE, K, G, O'),
    "another month": (
        "2026-03-01",
        "2026-04-01",
        2,
        "date 2026-04-01 is not in 2026-03, the month of this file; mend it, or move it to that",
    ),
    "no such day": ("2026-03-01", "2026-03-41", 2, 'date "2026-03-41" is not a day'),
    "due before": ("2026-03-15", "2026-02-15", 3, "due: 2026-02-15 is before the day of the bill, 2026-03-01"),
    "mixed signs": ("19.02\ngross: 119.12", "-19.02\ngross: 81.08", 6, "vat: -19.02 EUR has another sign than net, 100.10 EUR"),
    "an unknown key": ("rate: 19", "rat: 19", 9, 'unknown key "rat"; did you mean rate?'),
    "taxes and category": (
        "\nrate: 19",
        "\nrate: 19\ntaxes: [{category: S, rate: 19, net: 100.10, vat: 19.02}]",
        8,
        "category: stands here and under taxes",
    ),
    "taxes that are not all": (
        "category: S\nrate: 19",
        "taxes: [{category: S, rate: 19, net: 100.00, vat: 19.02}]",
        5,
        "net: 100.10 EUR is not what the groups under taxes have together, 100.00 EUR; mend one",
    ),
    "shared by a word": (
        "\nrate: 19",
        "\nrate: 19\nshared_by: everybody",
        10,
        'shared_by: "everybody" is not a list of members; write all, or',
    ),
    "a rate of nothing": (
        "\nrate: 19",
        "\nrate: 19\nexchange: {rate: 0, source: ECB, date: 2026-03-01}",
        10,
        "exchange, field rate: is 0; write how much of the book currency",
    ),
    "no paper": (
        "\nrate: 19",
        f"\nrate: 19\ndocument: {{path: a.pdf, sha256: {'0' * 64}}}",
        0,
        "cannot be read: no such file or directory",
    ),
    "a paper elsewhere": (
        "\nrate: 19",
        f"\nrate: 19\ndocument: {{path: ../a.pdf, sha256: {'0' * 64}}}",
        10,
        "is not the name of a file beside",
    ),
    "no YAML": ("supplier: hetzner", "supplier: a: b", 1, "not valid YAML"),
}


@pytest.mark.parametrize("name", BROKEN_BILLS)
def test_a_bill_with_a_mistake(tmp_path: pathlib.Path, name: str) -> None:
    old, new, line, wanted = BROKEN_BILLS[name]
    assert old in BILL
    write(tmp_path, "bills/2026-03/a.yml", BILL.replace(old, new, 1))
    found, said = read(tmp_path, "bills")
    assert found == () and len(said) == 1, said
    assert said[0].startswith(f"2026-03/a.yml:{line}: " if line else "2026-03/a.pdf: ") and wanted in said[0], said


def test_a_paper_that_changed_and_one_that_is_there_twice(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "bills/2026-03/a.pdf", b"one")
    stated = f"document: {{path: a.pdf, sha256: {hashlib.sha256(b'one').hexdigest()}}}\n"
    write(tmp_path, "bills/2026-03/a.yml", BILL + stated)
    assert read(tmp_path, "bills")[1] == []
    write(tmp_path, "bills/2026-03/b.yml", BILL + stated)
    assert read(tmp_path, "bills")[1] == [
        "2026-03/b.yml:1: has the same document as a.yml, so it would be paid twice; remove one of the two"
    ]
    write(tmp_path, "bills/2026-03/a.pdf", b"two")
    found, said = read(tmp_path, "bills")
    assert found == () and len(said) == 2 and "a.yml:10: document, field sha256: is not that of a.pdf, which is " in said[0]


def test_bills_that_would_be_passed_over(tmp_path: pathlib.Path) -> None:
    for name in ("2026-03/A.yml", "2026-03/b.yaml", "2026-3/c.yml", "2026/03/d.yml"):
        write(tmp_path, f"bills/{name}", BILL)
    write(tmp_path, "bills/2026-03/.a.yml.swp", "x")
    write(tmp_path, "bills/README.md", "x")
    assert read(tmp_path, "bills")[1] == [
        "2026: is not the name of a month; rename it to year-month, such as 2026-03",
        "2026-3: is not the name of a month; rename it to year-month, such as 2026-03",
        "2026-03/A.yml: is not a usable name; write lower-case letters, digits, '-', '_' or '.', such as hetzner-1.yml",
        "2026-03/b.yaml: bills end in .yml; rename it to b.yml, or remove it if that is there too",
    ]


def test_the_schema_helps_editors() -> None:
    schema = shape.load_schema(bills.SCHEMA)
    jsonschema.Draft202012Validator.check_schema(schema)

    def fields(node: dict[str, Any]) -> Any:
        for field in node.get("properties", {}).values():
            yield field
            yield from fields(field)
            yield from fields(field.get("items", {}))

    for field in fields(schema):
        assert field["title"] and field["description"], field
        for example in field.get("examples", ()):
            jsonschema.Draft202012Validator(field).validate(example)


@examples(60)
@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from([Fraction(0), Fraction(7), Fraction(19), Fraction("5.5")]),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_amounts_are_exact_to_the_last_figure(net: int, rate: Fraction, currency: str) -> None:
    from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import decimal, rounded

    vat = rounded(net * rate / 100)
    lines = BILL.splitlines()[:3]
    lines += [
        f"currency: {currency}",
        f"net: {decimal(net, currency)}",
        f"vat: {decimal(vat, currency)}",
        f"gross: {decimal(net + vat, currency)}",
    ]
    lines += ["category: S", f"rate: {float(rate)}"] if rate else ["category: O"]
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), "bills/2026-03/a.yml", "\n".join(lines))
        found, said = read(pathlib.Path(folder), "bills")
    assert said == []
    assert found[0].gross == Money(net + vat, currency) and found[0].taxes == (Tax("S" if rate else "O", rate, net, vat),)


# -- use


def test_use(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "usage/2026-03.csv", USAGE)
    found, said = read(tmp_path, "usage")
    first, fifteenth, last = (datetime.date(2026, 3, day) for day in (1, 15, 31))
    assert said == []
    minutes = "participant_minutes"
    assert found == (
        Usage(Source("usage/2026-03.csv", 2, "2026-03:2"), "sunflower", "sunflower", minutes, 1200, first, last, 44640, 44000),
        Usage(Source("usage/2026-03.csv", 3, "2026-03:3"), "sunflower", "sunflower-training", minutes, 0, first, fifteenth, 21600, 21600),
    )  # fmt: skip


FIRST = "sunflower,sunflower,participant_minutes,1200,pool,2026-03-01,2026-03-31,44640,44000\n"
BROKEN_USE: dict[str, tuple[str, str, int, str]] = {
    "a fraction": ("1200", "1200.5", 2, 'value "1200.5" is no whole number; write one such as 1200'),
    "less than nothing": ("1200", "-5", 2, 'value "-5" is no whole number'),
    "a strange name": (
        "sunflower,sunflower,",
        "Sun Flower,sunflower,",
        2,
        'member "Sun Flower" is no id; write the id as the membership file',
    ),
    "no tenant": ("sunflower,sunflower,", "sunflower,,", 2, "tenant is empty; write the id"),
    "a strange metric": ("participant_minutes,1200", "Minutes!,1200", 2, 'metric "Minutes!" is no name of one'),
    "more than expected": (",44000", ",44641", 2, "samples_got 44641 is more than samples_expected 44640; mend one of the two"),
    "nothing expected": ("44640,44000", "0,0", 2, "samples_expected is 0"),
    "use nobody saw": (",44000", ",0", 2, "value is 1200 without a single sample; write 0, or how many samples there were"),
    "another month": ("2026-03-31", "2026-04-01", 2, "sampled_to 2026-04-01 is not in 2026-03"),
    "the wrong way": ("2026-03-01,2026-03-31", "2026-03-31,2026-03-01", 2, "sampled_to 2026-03-01 is before sampled_from 2026-03-31"),
    "the same again": (FIRST, FIRST + FIRST, 3, 'participant_minutes of "sunflower" is counted on line 2 for some of these days already'),
    "somebody else's": (
        FIRST,
        FIRST + FIRST.replace("sunflower", "rosa", 1),
        3,
        'tenant "sunflower" is of "sunflower" on line 2; a tenant is of',
    ),
    "no such column": (",source,", ",src,", 1, 'there is no column "src"; did you mean source?'),
    "a column missing": ("samples_got", "", 1, "column samples_got is missing"),
    "a cell too many": ("44000\n", "44000,x\n", 2, "has 10 cells, and there are 9 columns"),
}


@pytest.mark.parametrize("name", BROKEN_USE)
def test_use_with_a_mistake(tmp_path: pathlib.Path, name: str) -> None:
    old, new, line, wanted = BROKEN_USE[name]
    assert old in USAGE
    write(tmp_path, "usage/2026-03.csv", USAGE.replace(old, new, 1))
    found, said = read(tmp_path, "usage")
    assert found == () and said and said[0].startswith(f"2026-03.csv:{line}: ") and wanted in said[0], said
    assert len({one.split(": ")[0] for one in said}) == 1


def test_a_tenant_that_was_measured_in_two_parts(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "usage/2026-03.csv", USAGE + "sunflower,sunflower-training,participant_minutes,9,,2026-03-16,2026-03-31,2,2\n")
    assert [one.value for one in read(tmp_path, "usage")[0]] == [1200, 0, 9]


@pytest.mark.parametrize("kind", ["usage", "payments"])
def test_tables_that_would_be_passed_over(tmp_path: pathlib.Path, kind: str) -> None:
    for name in ("2026-3.csv", "march.csv", "2026-02.CSV", "2026/03.csv", "2026-02.csv~", ".2026-03.csv", "README.md"):
        write(tmp_path, f"{kind}/{name}", "x")
    assert read(tmp_path, kind)[1] == [
        "2026: is a folder, and a month is one file here; name it such as 2026-03.csv",
        "2026-02.CSV: is not the name of a month; rename it to year-month, such as 2026-03.csv, or move it elsewhere",
        "2026-3.csv: is not the name of a month; rename it to year-month, such as 2026-03.csv, or move it elsewhere",
        "march.csv: is not the name of a month; rename it to year-month, such as 2026-03.csv, or move it elsewhere",
    ]


# -- payments


def test_payments(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "payments/2026-03.csv", b"\xef\xbb\xbf" + PAYMENTS.replace(",", ";").replace("\n", "\r\n").encode())
    found, said = read(tmp_path, "payments")
    assert said == []
    assert found == (
        Payment(
            Source("payments/2026-03.csv", 2, "B-1"), datetime.date(2026, 3, 5), "in", Money(12000, "EUR"),
            "MEET-2026-02-SUNFLOWER", "B-1", None, "Sunflower Housing",
        ),
        Payment(
            Source("payments/2026-03.csv", 3, "B-2"), datetime.date(2026, 3, 6), "out", Money(11912, "EUR"), "invoice 77", "B-2", "hetzner"
        ),
    )  # fmt: skip


BROKEN_PAYMENTS: dict[str, tuple[str, str, int, str]] = {
    "a reference twice": ("B-2", "B-1", 3, 'bank_ref "B-1" is on line 2 already; a payment is counted once, remove one'),
    "no reference": ("B-2", "", 3, "bank_ref is empty; write the bank's own number of this line"),
    "a sign": ("119.12", "-119.12", 3, "amount -119.12 is not above zero; write it without a sign, and say in or out under direction"),
    "nothing": ("119.12", "0.00", 3, "amount 0.00 is not above zero"),
    "a thousand": ("119.12", "1.119.12", 3, 'amount "1.119.12" is no amount in EUR; write one such as 12.55'),
    "a currency there is not": (",EUR,inv", ",EURO,inv", 3, 'currency "EURO" is none of ISO 4217'),
    "no direction": ("2026-03-06,out", "2026-03-06,", 3, 'direction "" is unknown; write in for what came, out for what went'),
    "another month": ("2026-03-06", "2026-02-28", 3, "date 2026-02-28 is not in 2026-03"),
    "no id": ("hetzner", "Hetzner Online", 3, 'party "Hetzner Online" is no id'),
    "a formula": ("invoice 77", "=1+1", 3, 'reference "=1+1" looks like a formula'),
    "a quote": ("invoice 77", '"invoice 77', 3, "is no CSV"),
    "both names": ("counterparty", "party", 1, "column party is there twice; keep one"),
}


@pytest.mark.parametrize("name", BROKEN_PAYMENTS)
def test_a_payment_with_a_mistake(tmp_path: pathlib.Path, name: str) -> None:
    old, new, line, wanted = BROKEN_PAYMENTS[name]
    assert old in PAYMENTS
    write(tmp_path, "payments/2026-03.csv", PAYMENTS.replace(old, new, 1))
    found, said = read(tmp_path, "payments")
    assert found == () and len(said) == 1 and said[0].startswith(f"2026-03.csv:{line}: ") and wanted in said[0], said


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "2026-03.csv:1: is empty; write a first line such as date,direction,amount"),
        (PAYMENTS.encode("utf-16"), "2026-03.csv:1: is not UTF-8 but UTF-16; save the file as UTF-8"),
        (PAYMENTS.replace("Sunflower Housing", "Café").encode("latin-1"), "2026-03.csv:2: byte 0xe9 is not UTF-8"),
        (b"PK\x03\x04\x00", "2026-03.csv:1: control character U+0003"),
    ],
)
def test_files_that_are_no_table(tmp_path: pathlib.Path, data: bytes, wanted: str) -> None:
    write(tmp_path, "payments/2026-03.csv", data)
    found, said = read(tmp_path, "payments")
    assert found == () and len(said) == 1 and wanted in said[0], said


LINES = {"usage": USAGE, "payments": PAYMENTS, "bills": BILL}


@examples(80)
@given(st.sampled_from(sorted(LINES)), st.data())
def test_whatever_stands_there_it_is_counted_or_refused_with_a_line(kind: str, data: st.DataObject) -> None:
    lines = LINES[kind].splitlines(keepends=True)
    for _other in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, len(lines[at])))
        junk = data.draw(st.text("-:[]{}&*!|>'\"%@#\t0a ,;.=é\x00\n", max_size=4))
        lines[at] = data.draw(st.sampled_from(["", lines[at] * 2, lines[at][:column], lines[at][:column] + junk + lines[at][column:]]))
    with tempfile.TemporaryDirectory() as folder:
        name = "bills/2026-03/a.yml" if kind == "bills" else f"{kind}/2026-03.csv"
        write(pathlib.Path(folder), name, "".join(lines))
        found, said = read(pathlib.Path(folder), kind)
    for line in said:
        assert line.startswith(("2026-03/a.yml:", "2026-03.csv:")) and line.isprintable(), line
    for record in found:
        assert record.source.line > 0 and record.source.file == name


def test_the_examples_of_the_page_work(tmp_path: pathlib.Path) -> None:
    page = (pathlib.Path(__file__).parents[3] / "docs" / "money-files.md").read_text(encoding="utf-8")
    write(tmp_path, "bills/2026-03/hetzner-1.yml", page.split("```yaml\n")[1].split("```")[0])
    found, said = read(tmp_path, "bills")
    assert said == [] and found[0].gross == Money(11912, "EUR")
    start = page.index("    2026-03-02 weekly call")
    write(tmp_path, "hours/2026-03/agaric.timedot", "".join(f"{line[4:]}\n" for line in page[start:].split("\n\n")[0].splitlines()))
    worked, problems = hours.read(str(tmp_path), MARCH)
    assert problems == []
    assert [(one.hours, one.kind, one.person) for one in worked] == [
        (Fraction(1), "membership", "ana"),
        (Fraction(5, 2), "paid", "ana"),
        (Fraction(3, 2), "gift", "bo"),
    ]
    for columns in (usage.COLUMNS, payments.COLUMNS, hours.PLAIN):
        assert f"`{','.join(columns)}`" in page
