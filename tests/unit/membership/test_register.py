# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A membership over time: one status for each day, and a history that can have been."""

from __future__ import annotations

import datetime
import pathlib
from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import numbers
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import STATUSES, Record, record
from tests.unit.membership.base import BASE, changed, lines

ROSA = BASE["members"]["rosa"]


def d(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def rosa(**fields: Any) -> Record:
    """Rosa with fields of its own; None takes one away."""
    return record("member", "rosa", {key: value for key, value in {**ROSA, **fields}.items() if value is not None})


# -- status

LIFE: dict[str, Any] = {
    "earlier": [{"joined": "2018-01-01", "left": "2019-01-01"}],
    "applied": "2021-01-01",
    "joined": "2021-03-01",
    "suspended": [{"from": "2022-01-01", "until": "2022-02-01"}, {"from": "2024-12-01"}],
    "leaving": "2024-11-01",
    "left": "2025-01-01",
}


@pytest.mark.parametrize(
    ("on", "status"),
    [
        ("2017-12-31", "none"),
        ("2018-01-01", "active"),
        ("2018-12-31", "active"),
        ("2019-01-01", "left"),
        ("2020-12-31", "left"),
        ("2021-01-01", "applied"),
        ("2021-02-28", "applied"),
        ("2021-03-01", "active"),
        ("2021-12-31", "active"),
        ("2022-01-01", "suspended"),
        ("2022-01-31", "suspended"),
        ("2022-02-01", "active"),
        ("2024-10-31", "active"),
        ("2024-11-01", "leaving"),
        ("2024-12-01", "suspended"),
        ("2024-12-31", "suspended"),
        ("2025-01-01", "left"),
        ("2099-01-01", "left"),
    ],
)
def test_the_status_of_each_day(on: str, status: str) -> None:
    its = rosa(**LIFE)
    assert its.status(d(on)) == status
    assert its.active(d(on)) == (status in ("active", "leaving"))
    assert its.member(d(on)) == (status in ("active", "leaving", "suspended"))


def test_an_admission_shows_between_decision_and_joining() -> None:
    its = rosa(**LIFE)
    assert [its.status(d(on), d("2021-02-10")) for on in ("2021-02-09", "2021-02-10", "2021-02-28", "2021-03-01")] == [
        "applied",
        "admitted",
        "admitted",
        "active",
    ]


def test_an_applicant_is_no_member_on_any_day() -> None:
    its = rosa(joined=None, applied="2025-06-01")
    assert its.joined is None and not its.active(d("2099-01-01")) and its.status(d("2026-01-01")) == "applied"


def test_classes_and_weight_over_time() -> None:
    its = rosa(
        weight="1/2",
        changes=[
            {"from": "2022-01-01", "classes": ["producer"]},
            {"from": "2023-01-01", "weight": 2},
            {"from": "2024-01-01", "weight": "3/4"},
        ],
    )
    assert [(sorted(its.classes_on(d(f"{year}-01-01"))), its.weight_on(d(f"{year}-01-01"))) for year in (2021, 2022, 2023, 2024)] == [
        (["consumer"], Fraction(1, 2)),
        (["producer"], Fraction(1, 2)),
        (["producer"], Fraction(2)),
        (["producer"], Fraction(3, 4)),
    ]
    assert its.classes_on(d("2021-12-31")) == {"consumer"} and rosa().weight_on(d("2026-01-01")) == 1


def test_tax_and_vat_number_over_time() -> None:
    its = rosa(
        tax={"category": "AE"},
        vat_id="DE136695976",
        changes=[
            {"from": "2022-01-01", "tax": None},
            {"from": "2023-01-01", "weight": 2},
            {"from": "2024-01-01", "tax": {"category": "S", "rate": "5.5"}, "vat_id": None},
            {"from": "2025-01-01", "vat_id": "ESF12345674"},
        ],
    )
    assert [(its.tax_on(d(f"{year}-01-01")), its.vat_id_on(d(f"{year}-01-01"))) for year in range(2021, 2026)] == [
        (("AE", Fraction(0), "Reverse charge"), "DE136695976"),
        (None, "DE136695976"),
        (None, "DE136695976"),
        (("S", Fraction(11, 2), None), None),
        (("S", Fraction(11, 2), None), "ESF12345674"),
    ]
    assert its.tax_on(d("2021-12-31")) is not None and its.vat_id_on(d("2023-12-31")) == "DE136695976"


START = datetime.date(2020, 1, 1)
DAYS = st.integers(0, 60)


@st.composite
def lives(draw: st.DrawFn) -> dict[str, Any]:
    """A life that can have been, on days counted from the start."""
    marks = sorted(draw(st.sets(DAYS, min_size=9, max_size=9)))
    has = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    raw: dict[str, Any] = {}

    def on(index: int) -> str:
        return str(START + datetime.timedelta(days=marks[index]))

    if has[0]:
        raw["earlier"] = [{"joined": on(0), "left": on(1)}]
    if has[1]:
        raw["applied"] = on(2)
    if has[2] or not has[1]:
        raw["joined"] = on(3)
        if has[3]:
            raw["suspended"] = [{"from": on(4), "until": on(6)}]
        if has[4]:
            raw["leaving"] = on(5)
        if has[5]:
            raw["left"] = on(8)
    return raw


@given(lives(), DAYS)
def test_the_status_is_what_comes_of_living_it_day_by_day(raw: dict[str, Any], number: int) -> None:
    """Another way to the same answer: walk through the days, and let happen what happens on each."""
    inside = suspended = noticed = False
    other = "none"
    for passed in range(number + 1):
        on = str(START + datetime.timedelta(days=passed))
        if raw.get("applied") == on:
            other = "applied"
        if on in [entry["joined"] for entry in raw.get("earlier", ())] or raw.get("joined") == on:
            inside = True
        if on in [entry["left"] for entry in raw.get("earlier", ())] or raw.get("left") == on:
            inside, other = False, "left"
        if on == raw.get("leaving"):
            noticed = True
        for entry in raw.get("suspended", ()):
            suspended = (suspended or on == entry["from"]) and on != entry["until"]
    wanted = other if not inside else "suspended" if suspended else "leaving" if noticed else "active"
    its = record("member", "rosa", raw)
    assert its.status(START + datetime.timedelta(days=number)) == wanted
    assert wanted in STATUSES


@given(lives(), DAYS)
def test_nothing_changes_but_on_a_turn(raw: dict[str, Any], number: int) -> None:
    its = record("member", "rosa", raw)
    on = START + datetime.timedelta(days=number)
    if on not in its.turns():
        assert its.status(on) == its.status(on - datetime.timedelta(days=1))


junk = st.none() | st.booleans() | st.integers() | st.text(max_size=12)


@given(
    st.recursive(junk, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    st.sampled_from(["joined", "left", "applied", "leaving", "suspended", "changes", "earlier", "weight", "classes"]),
)
def test_whatever_stands_in_a_field_there_is_a_status(value: Any, key: str) -> None:
    its = record("member", "rosa", {**ROSA, key: value})
    assert its.status(d("2026-01-01")) in STATUSES and isinstance(its.classes_on(d("2026-01-01")), frozenset)


# -- what cannot have been

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no day at all": ({"joined": None}, 'member "rosa", field joined is missing; write joined: 2021-03-01'),
    "applied afterwards": ({"applied": "2021-03-02"}, "field applied: 2021-03-02 is after the day it joined, 2021-03-01"),
    "gave notice before": ({"leaving": "2021-02-28"}, "field leaving: 2021-02-28 is before the day it joined, 2021-03-01"),
    "gave notice after": (
        {"leaving": "2027-02-02", "left": "2027-02-01"},
        "field leaving: 2027-02-02 is after the day it left, 2027-02-01",
    ),
    "ended by nothing": ({"left_by": "D-0001"}, "field left_by: stands here without left"),
    "an applicant that leaves": (
        {"joined": None, "applied": "2025-01-01", "supported_by": None, "leaving": "2025-02-01"},
        "field leaving: stands here without joined, and who never joined cannot leave; write joined:, or remove this",
    ),
    "no decision": ({"admitted_by": "D-3"}, '"D-3" is not a decision\'s number; write one such as D-0003'),
    "suspended before": ({"suspended": [{"from": "2020-01-01"}]}, "suspended[0].from: it was no member on 2020-01-01; mend the day"),
    "suspended for no time": (
        {"suspended": [{"from": "2022-01-01", "until": "2022-01-01"}]},
        "suspended[0].until: 2022-01-01 is not after 2022-01-01, when it began; write the first day on which it is over",
    ),
    "suspended twice": (
        {"suspended": [{"from": "2022-01-01"}, {"from": "2023-01-01", "until": "2023-02-01"}]},
        "suspended[1].from: 2023-01-01 is before the suspension above is over; end that one, and write the oldest first",
    ),
    "suspended the wrong way round": (
        {"suspended": [{"from": "2023-01-01", "until": "2023-02-01"}, {"from": "2022-01-01", "until": "2022-02-01"}]},
        "suspended[1].from: 2022-01-01 is before the suspension above is over",
    ),
    "a change on the first day": (
        {"changes": [{"from": "2021-03-01", "weight": 2}]},
        "changes[0].from: 2021-03-01 is not after the day it joined, 2021-03-01; write what it was then beside joined",
    ),
    "changes the wrong way round": (
        {"changes": [{"from": "2023-01-01", "weight": 2}, {"from": "2022-01-01", "weight": 3}]},
        "changes[1].from: 2022-01-01 is not after 2023-01-01 above; write the oldest first, and one entry for each day",
    ),
    "a change of nothing": (
        {"changes": [{"from": "2023-01-01"}]},
        'changes[0]: says nothing that changed; write classes:, weight:, tax: or vat_id:, such as weight: "1/2"',
    ),
    "tax within a month": (
        {"changes": [{"from": "2023-01-15", "tax": None}]},
        "changes[0].from: 2023-01-15 is within a month, and a month is taxed as a whole; write the first of one, such as 2023-01-01",
    ),
    "tax that cannot be": (
        {"changes": [{"from": "2023-02-01", "tax": {"category": "AE", "rate": 20}}]},
        "changes[0].tax.rate: does not go with category AE, where no tax is charged; remove it, or write category: S",
    ),
    "another VAT number, mistyped": (
        {"changes": [{"from": "2023-02-01", "vat_id": "ESF12345675"}]},
        'changes[0].vat_id: "ESF12345675" is no VAT number: its check digit does not fit; mend it as the tax office has it',
    ),
    "a float": ({"weight": 0.5}, "field weight: 0.5 is a number, not text; put it in quotes"),
    "a bad fraction": (
        {"weight": "1/0"},
        'field weight: "1/0" is not a weight; write a whole number or a fraction in quotes, such as "1/2"',
    ),
    "a weight below nothing": ({"weight": -1}, "field weight: -1 is too small; write a number from 0 to 1000"),
    "an earlier end": ({"earlier": [{"joined": "2019-01-01", "left": "2018-01-01"}]}, "earlier[0].left: 2018-01-01 is not after"),
    "an earlier one that lasts": (
        {"earlier": [{"joined": "2019-01-01", "left": "2022-01-01"}]},
        "earlier[0].left: 2022-01-01 is after 2021-03-01, when it joined again; mend one of the two dates",
    ),
    "earlier ones that overlap": (
        {"earlier": [{"joined": "2018-01-01", "left": "2019-01-01"}, {"joined": "2018-06-01", "left": "2019-06-01"}]},
        "earlier[1].joined: 2018-06-01 is before 2019-01-01, when the membership above ended; write the oldest first",
    ),
    "no such day": ({"suspended": [{"from": "2022-02-30"}]}, 'suspended[0].from: "2022-02-30" is not a day of the calendar'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_have_been_is_refused(name: str) -> None:
    fields, wanted = BROKEN[name]
    data = changed(services__rosa__state="absent")
    data["members"]["rosa"] = {key: value for key, value in {**ROSA, **fields}.items() if value is not None}
    found = lines(data)
    assert len(found) == 1 and wanted in found[0], found


def test_a_whole_life_is_accepted() -> None:
    data = changed(services__rosa__state="absent", members__agaric__changes=[{"from": "2024-01-01", "classes": ["consumer", "producer"]}])
    data["members"]["rosa"] = {
        **ROSA, **LIFE, "admitted_by": "D-0001", "left_by": "D-0002", "weight": "1/2", "renew_by": "2026-01-01", "supported_by": None,
    }  # fmt: skip
    assert lines(data) == []


# -- services


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"joined": "2026-01-02"}, "joins only on 2026-01-02"),
        ({"joined": "2026-01-02", "applied": "2025-12-01"}, "joins only on 2026-01-02"),
        ({"joined": None, "applied": "2025-12-01"}, "has applied on 2025-12-01, and has not joined"),
        ({"suspended": [{"from": "2025-12-01"}]}, "is suspended since 2025-12-01"),
        ({"left": "2026-01-01"}, "left on 2026-01-01"),
        ({"leaving": "2025-12-01", "left": "2026-01-02"}, None),
        ({"suspended": [{"from": "2025-12-01", "until": "2026-01-01"}]}, None),
    ],
)
def test_a_service_is_for_active_members(fields: dict[str, Any], said: str | None) -> None:
    data = changed()
    data["members"]["rosa"] = {key: value for key, value in {**ROSA, **fields}.items() if value is not None}
    wanted = f'member "rosa" {said}, so its service cannot be present; write state: stopped (data kept) or state: absent (removed)'
    assert lines(data) == ([] if said is None else [f'service "rosa", field state: {wanted}'])
    data["services"]["rosa"]["state"] = "stopped"
    assert lines(data) == []


def test_a_client_that_is_none_yet_has_no_service() -> None:
    assert 'client "cafe" joins only on 2026-02-01' in lines(changed(clients__cafe__joined="2026-02-01"))[0]


def test_who_supports_and_sells_goes_by_the_classes_of_the_day() -> None:
    until = [{"from": "2026-01-02", "classes": ["consumer"]}]
    assert lines(changed(members__agaric__changes=until)) == []
    assert len(lines(changed(members__agaric__changes=until), d("2026-01-02"))) == 2
    since = {"classes": ["consumer"], "changes": [{"from": "2025-01-01", "classes": ["producer"]}]}
    assert lines(changed(members__agaric={**BASE["members"]["agaric"], **since})) == []


def test_a_suspended_producer_keeps_those_it_looks_after() -> None:
    assert lines(changed(members__agaric__suspended=[{"from": "2025-12-01"}])) == []


# -- numbers


@pytest.mark.parametrize(
    ("number", "scheme", "country", "said"),
    [
        ("F12345674", "es.cif", "ES", None),
        ("F-12345674", "es.cif", "ES", None),
        ("F12345675", "es.cif", "ES", 'field evidence.number: "F12345675" is no number of es.cif: its check digit does not fit; mend it'),
        ("F1234567", "es.cif", "ES", "it has the wrong length"),
        ("732829320", "fr.siren", "FR", None),
        ("732829321", "fr.siren", "FR", "its check digit does not fit"),
        (
            "F12345674",
            "es.cif",
            "GB",
            'field evidence.scheme: "es.cif" is of another country than "GB"; write one of that country, or remove it',
        ),
        ("1", "es.nothing", "ES", 'field evidence.scheme: "es.nothing" is no check of python-stdnum; write one of es.cae, es.ccc, es.cif'),
        ("1", "zz.cif", "ZZ", "there is none for this country, remove it"),
        (None, "es.cif", "ES", "field evidence.scheme: stands here without number"),
        ("1", "os.path", "OS", "there is none for this country, remove it"),
    ],
)
def test_check_digits(number: str | None, scheme: str, country: str, said: str | None) -> None:
    evidence = {**ROSA["evidence"], "number": number, "scheme": scheme, "country": country, "document": "https://rosa.example/"}
    found = lines(changed(members__rosa__evidence={key: value for key, value in evidence.items() if value is not None}))
    assert len(found) == (said is not None) and (said is None or said in found[0]), found


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("ESF12345674", None),
        ("ESF12345675", 'field vat_id: "ESF12345675" is no VAT number: its check digit does not fit; mend it as the tax office has it'),
        ("F12345674", '"F12345674" is not a VAT number; write it without blanks and with the country\'s letters'),
        ("EL094259216", None),
        ("GB980780684", None),
    ],
)
def test_vat_numbers(number: str, said: str | None) -> None:
    found = lines(changed(members__rosa__vat_id=number))
    assert len(found) == (said is not None) and (said is None or said in found[0]), found


def test_without_the_library_the_inventory_warns_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.membership.base import built

    monkeypatch.setattr(numbers, "available", lambda: False)
    evidence = {**ROSA["evidence"], "number": "nonsense", "scheme": "es.cif"}
    found = built(changed(members__rosa__evidence=evidence, members__rosa__vat_id="ESF12345675"))
    assert len([line for line in found.warnings if "python-stdnum is not installed on the controller" in line]) == 2


def test_the_example_of_the_page_works() -> None:
    page = (pathlib.Path(__file__).parents[3] / "docs" / "register.md").read_text(encoding="utf-8")
    # As the reader of the membership file has it: days are text.
    told = yaml.load(page.split("```yaml\n")[1].split("```")[0], Loader=yaml.BaseLoader)["members"]["sunflower"]
    data = changed(services__rosa__state="absent")
    data["members"]["rosa"] = {**ROSA, **told}
    assert lines(data, d("2028-01-01")) == []
    its = rosa(**told)
    assert [its.status(d(on)) for on in ("2025-02-15", "2027-10-01", "2028-01-01")] == ["suspended", "leaving", "left"]
    assert its.weight_on(d("2026-01-01")) == Fraction(1, 2)
