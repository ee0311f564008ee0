# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rota: fair turns, holidays, swaps, a past that stays, and errors that say where."""

from __future__ import annotations

import collections
import datetime
import pathlib
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import icalendar
import pytest
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Change, Record, Span
from ansible_collections.meet.coop.plugins.plugin_utils._support.assignment import propose
from ansible_collections.meet.coop.plugins.plugin_utils._support.rota import Begun, Holiday, Rota, Rules, Swap, Turn, turns
from tests.unit.cooperative.coop import RULES as DECIDING
from tests.unit.support.coop import RULES as SET
from tests.unit.support.coop import Support

START = datetime.date(2026, 1, 5)
DAY = datetime.timedelta(days=1)


def rules(start: datetime.date = START, days: int = 7, **weights: Fraction) -> Rules:
    return Rules(start, days, datetime.time(9), ZoneInfo("Europe/Madrid"), weights)


def producer(name: str, joined: datetime.date = datetime.date(2020, 1, 1)) -> Record:
    return Record(name, "member", (Span(joined),), classes=frozenset({"producer"}))


def after(weeks: int) -> datetime.datetime:
    return datetime.datetime.combine(START + 7 * DAY * weeks, datetime.time(), datetime.UTC)


WEIGHTS = st.dictionaries(st.sampled_from("abcdefg"), st.fractions(Fraction(1, 4), 4, max_denominator=4), min_size=1)


@hypothesis.given(WEIGHTS, st.integers(1, 40))
def test_turns_over_weight_never_differ_by_more_than_one(weights: dict[str, Fraction], weeks: int) -> None:
    found = turns(Rota([rules(**weights)]), {name: producer(name) for name in weights}, after(weeks))
    counts: collections.Counter[str] = collections.Counter()
    for turn in found:
        assert turn.producer is not None
        counts[turn.producer] += 1
        for one in weights:
            for other in weights:
                assert counts[one] / weights[one] - counts[other] / weights[other] <= 1 / weights[other]
    assert len(found) == weeks
    assert all(one.end == other.begin for one, other in zip(found, found[1:], strict=False))


@st.composite
def holidays(draw: st.DrawFn, names: str = "abc") -> list[Holiday]:
    found = []
    for _number in range(draw(st.integers(0, 6))):
        start = START + DAY * draw(st.integers(-10, 150))
        found.append(Holiday(draw(st.sampled_from(names)), start, start + DAY * draw(st.integers(1, 40))))
    return found


@hypothesis.given(holidays(), st.integers(1, 10))
def test_a_holiday_never_gets_a_turn_and_is_made_up_for(away: list[Holiday], days: int) -> None:
    records = {name: producer(name) for name in "abc"}
    found = turns(Rota([rules(days=days)], away), records, after(150))
    for turn in found:
        off = {one.producer for one in away if any(one.start <= on < one.end for on in turn.days)}
        assert turn.producer not in off
        assert (turn.producer is None) == (off == set("abc"))
    # The holidays end within half a year; long after them nobody has had more than one turn more than another.
    counts = collections.Counter(turn.producer for turn in found if turn.producer)
    assert max(counts[name] for name in "abc") - min(counts[name] for name in "abc") <= 1


@hypothesis.given(st.data())
def test_a_swap_exchanges_exactly_two(data: st.DataObject) -> None:
    records = {name: producer(name) for name in "abcd"}
    before = turns(Rota([rules()]), records, after(30))
    one = data.draw(st.sampled_from(before))
    other = data.draw(st.sampled_from([turn for turn in before if turn.producer != one.producer]))
    now = turns(Rota([rules()], swaps=[Swap(one.day, other.day)]), records, after(30))
    changed = {turn.day: turn.producer for was, turn in zip(before, now, strict=True) if was.producer != turn.producer}
    assert changed == {one.day: other.producer, other.day: one.producer}
    assert [turn.planned for turn in now] == [turn.planned for turn in before]


@hypothesis.given(st.integers(1, 29), holidays("ab"), st.integers(0, 400))
def test_a_producer_more_changes_no_turn_before_it_came(weeks: int, away: list[Holiday], early: int) -> None:
    """Whether it joined on that day, or is said to have joined long before and the turns that have begun are kept."""
    now = after(weeks)
    records = {name: producer(name) for name in "ab"}
    before = turns(Rota([rules()], away), records, after(30))
    past = [turn for turn in before if turn.begin <= now]
    later = turns(Rota([rules()], away), {**records, "c": producer("c", now.date() + DAY)}, after(30))
    assert holders(later)[: len(past)] == holders(past)
    begun = [Begun(turn.day, turn.planned, turn.producer) for turn in past]
    backdated = {**records, "c": producer("c", now.date() - early * DAY)}
    kept = turns(Rota([rules()], away, begun=begun), backdated, after(30))
    assert holders(kept)[: len(past)] == holders(past)


def holders(found: list[Turn]) -> list[tuple[datetime.date, str | None]]:
    return [(turn.day, turn.producer) for turn in found]


def test_who_comes_back_catches_up_nothing() -> None:
    """Half a year without the class of a producer is not made up for in a row."""
    gone = Record(
        "a", "member", (Span(datetime.date(2020, 1, 1)),), classes=frozenset({"producer"}),
        changes=(Change(datetime.date(2026, 2, 1), frozenset({"consumer"})), Change(datetime.date(2026, 8, 3), frozenset({"producer"}))),
    )  # fmt: skip
    found = turns(Rota([rules()]), {"a": gone, "b": producer("b"), "c": producer("c")}, after(45))
    back = [turn.producer for turn in found if turn.day >= datetime.date(2026, 8, 3)][:6]
    assert sorted(back) == ["a", "a", "b", "b", "c", "c"] and back[0] != "a"
    assert not any(turn.producer == "a" for turn in found if datetime.date(2026, 2, 1) <= turn.day < datetime.date(2026, 8, 3))


def test_a_new_set_of_rules_cuts_the_turn_before_it_and_turns_follow_the_clocks_of_people() -> None:
    found = turns(Rota([rules(days=7), rules(datetime.date(2026, 3, 26), 14)]), {"a": producer("a"), "b": producer("b")}, after(18))
    short = next(turn for turn in found if turn.day == datetime.date(2026, 3, 23))
    assert len(short.days) == 3 and short.end == datetime.datetime(2026, 3, 26, 8, tzinfo=datetime.UTC)
    summer = [turn for turn in found if turn.day > datetime.date(2026, 3, 29)]
    assert summer and all(turn.begin.hour == 7 and len(turn.days) == 14 for turn in summer)


# -- the module


def test_it_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    ada = {"support": {"page": "https://ada.example/help", "email": "help@ada.example", "alerts": ["duty@ada.example"]}}
    support.members({"ada": ada, "bob": {}, "cia": {}, "rosa": {"classes": ["consumer"], "supported_by": "ada"},
                     "sun": {"classes": ["consumer"], "joined": "2025-01-01"}})  # fmt: skip
    support.rota(SET, swaps=[{"turn": "2026-01-12", "with": "2026-01-19"}])
    files = {"calendar": str(tmp_path / "out" / "rota.ics"), "page": str(tmp_path / "out" / "rota.html")}
    at = "2026-01-21T10:00:00+01:00"
    told = support.run(at, check=True, **files)
    assert told["changed"] and len(told["diff"]) == 3 and not (tmp_path / "out").exists() and not (support.folder / "turns.csv").exists()
    done = support.run(at, **files)
    assert {**done, "at": ""} == {**told, "at": ""}
    assert done["diff"][0]["after"] == (support.folder / "turns.csv").read_text()
    # Later within the same turn nothing is new; in the next turn the record is.
    again = support.run("2026-01-26T07:59:59Z", **files)
    assert not again["changed"] and again["diff"] == [] and again["on_duty"]["until"] == "2026-01-26T08:00:00Z"
    # Two at one instant would be one too many: the turn of an instant begins at it.
    assert support.run("2026-01-26T08:00:00Z", check=True)["on_duty"]["from"] == "2026-01-26T08:00:00Z"

    assert (support.folder / "turns.csv").read_text() == (
        "day,planned,producer\n2026-01-05,ada,ada\n2026-01-12,bob,cia\n2026-01-19,cia,bob\n"
    )
    assert done["on_duty"] == {
        "producer": "bob", "name": "Bob", "from": "2026-01-19T08:00:00Z", "until": "2026-01-26T08:00:00Z",
        "page": None, "email": None, "hours": None, "alerts": ["mo@agaric.example"],
    }  # fmt: skip
    assert support.run("2026-01-06T00:00:00Z", check=True)["on_duty"]["alerts"] == ["duty@ada.example"]
    early = support.run("2025-12-31T00:00:00Z", check=True)["on_duty"]
    assert early["producer"] is None and early["alerts"] == ["office@meet.example"]
    assert done["supported"] == [{"member": "rosa", "producer": "ada"}, {"member": "sun", "producer": None}]
    assert done["proposals"] == [{"member": "sun", "producer": "bob"}], "ada has one already"

    page = (tmp_path / "out" / "rota.html").read_text()
    assert "Looks after Rosa" in page and "Nobody looks after Sun yet" in page and "(swapped with Bob)" in page
    assert 'href="rota.ics"' in page and "https://ada.example/help" in page
    assert "mo@agaric.example" not in page and ">Mo<" not in page, "no person"

    data = (tmp_path / "out" / "rota.ics").read_bytes()
    assert all(len(line) <= 75 for line in data.split(b"\r\n")) and b"\n" not in data.replace(b"\r\n", b"")
    calendar = icalendar.Calendar.from_ical(data)
    events = list(calendar.walk("VEVENT"))
    assert [(str(one["SUMMARY"]), one.decoded("DTSTART"), one.decoded("DTEND")) for one in events] == [
        (f"On duty: {turn['name']}", datetime.datetime.fromisoformat(turn["from"]), datetime.datetime.fromisoformat(turn["until"]))
        for turn in done["turns"]
    ]
    assert len({str(one["UID"]) for one in events}) == len(events) == 28 and not calendar.errors
    assert "Swapped; by the rules it was the turn of Bob." in str(events[1]["DESCRIPTION"])


def test_what_has_begun_stays_and_is_guarded(tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    support.run("2026-02-04T00:00:00Z")
    record = support.folder / "turns.csv"
    kept = record.read_bytes()
    # A producer that is said to have been there all the time takes none of the turns that have been.
    support.members({name: {} for name in ("aaa", "ada", "bob", "cia")})
    found = support.run("2026-02-04T12:00:00Z")
    assert not found["changed"] and "aaa" in {turn["producer"] for turn in found["turns"]}
    assert record.read_bytes() == kept
    # A run of an earlier day, by hand, forgets nothing.
    support.run("2026-01-06T00:00:00Z")
    assert record.read_bytes() == kept
    for change, said in (
        ({"swaps": [{"turn": "2026-01-05", "with": "2026-02-23"}]}, "turns.csv:2: the turn of 2026-01-05 was ada's, and by the swaps now"),
        ({"sets": [{**SET, "from": "2026-01-06"}]}, "turns.csv:2: no turn begins on 2026-01-05 by the rules now"),
        ({"sets": [{**SET, "turn_days": 14}]}, "turns.csv:3: no turn begins on 2026-01-12 by the rules now"),
    ):
        support.rota(*change.pop("sets", [SET]), **change)
        with pytest.raises(CoopError, match=said.replace("(", r"\(")):
            support.run("2026-02-04T12:00:00Z")
        assert record.read_bytes() == kept


def test_a_past_turn_of_one_that_is_no_producer_any_more_cannot_be_handed_on(tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    support.run("2026-01-06T00:00:00Z")
    support.members({"ada": {"classes": ["consumer"]}, "bob": {}, "cia": {}})
    assert support.run("2026-01-13T00:00:00Z")["turns"][0]["producer"] == "ada"
    support.rota(SET, swaps=[{"turn": "2026-01-05", "with": "2026-02-23"}])
    with pytest.raises(CoopError, match="gives ada the turn of 2026-02-23, when it is on holiday or no producer"):
        support.run("2026-01-13T00:00:00Z")


def test_a_turn_that_nobody_can_take_is_told(tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path, "ada bob")
    support.rota(SET, holidays=[{"producer": name, "from": "2026-01-19", "until": "2026-01-26"} for name in ("ada", "bob")])
    found = support.run("2026-01-06T00:00:00Z")
    assert "2026-01-19: nobody can take this turn; take back a holiday, or give another producer a weight" in found["summary"]
    found = support.run("2026-01-20T00:00:00Z")
    assert found["on_duty"]["producer"] is None and found["on_duty"]["alerts"] == ["office@meet.example"]
    assert support.run("2026-02-20T00:00:00Z")["on_duty"]["producer"]


@hypothesis.given(st.integers(0, 12), st.integers(1, 4), st.lists(st.integers(0, 4), max_size=12))
def test_proposals_are_fair_and_move_nobody(waiting: int, able: int, stated: list[int]) -> None:
    on = datetime.date(2026, 1, 1)
    records = {f"p{number}": producer(f"p{number}") for number in range(able)}

    def consumer(name: str, number: int) -> Record:
        return Record(name, "member", (Span(datetime.date(2021, 1, 1) + DAY * number),), classes=frozenset({"consumer"}))

    given: dict[str, str | None] = {}
    for number, by in enumerate(stated):
        records[f"s{number}"] = consumer(f"s{number}", number)
        given[f"s{number}"] = f"p{by % able}"
    new = {f"w{number}": consumer(f"w{number}", 100 + number) for number in range(waiting)}
    found = propose({**records, **new}, given, {}, on)
    assert set(found) == set(new)
    load = collections.Counter(by for by in [*given.values(), *found.values()])
    before = collections.Counter(given.values())
    for one in found.values():
        # Whoever got somebody ends with no more than one above any other.
        assert all(load[one] <= load[f"p{number}"] + 1 for number in range(able)), (load, before)
    # One that joins later changes nothing that was proposed, and what was written down stays.
    assert found.items() <= propose({**records, **new, "z": consumer("z", 999)}, given, {}, on).items()
    written = {**given, **found}
    assert propose({**records, **new, "px": producer("px")}, written, {}, on) == {}


BROKEN: dict[str, tuple[Any, str]] = {
    "no rules": ({"rota": []}, "rota.yml:1: rota: the list is empty"),
    "unknown key": ({"rota": [{**SET, "turn": 7}]}, 'rota.yml:4: rota, field [0]: unknown key "turn"; did you mean turn_days?'),
    "no such zone": (
        {"rota": [{"from": "2026-01-05", "time_zone": "Europe/Madird"}]},
        'rota.yml:3: rota, field [0].time_zone: "Europe/Madird" is no time zone',
    ),
    "no such day": ({"rota": [{"from": "2026-02-30"}]}, 'rota.yml:2: rota, field [0].from: "2026-02-30" is not a day of the calendar'),
    "a year too far": ({"rota": [{"from": "9999-12-31"}]}, "is not a day of the calendar"),
    "out of order": (
        {"rota": [SET, {**SET}]},
        "rota.yml:4: rota, field [1].from: 2026-01-05 is not after 2026-01-05; write the sets oldest first",
    ),
    "before the one before it": (
        {
            "rota": [
                {**SET, "handover": "23:00", "time_zone": "Pacific/Honolulu"},
                {"from": "2026-01-20", "handover": "00:00", "time_zone": "Pacific/Kiritimati"},
            ]
        },
        "rota.yml:5: rota, field [1].from: its first turn would begin before the one before it, in Pacific/Honolulu",
    ),
    "weight of a stranger": (
        {"rota": [{**SET, "weights": {"zoe": 1}}]},
        'rota.yml:5: rota, field [0].weights.zoe: "zoe" is no member; write one of ada, bob, cia',
    ),
    "not a weight": (
        {"rota": [{**SET, "weights": {"ada": "1.5"}}]},
        'rota.yml:5: rota, field [0].weights.ada: "1.5" is not a weight; write a whole number',
    ),
    "holiday of a consumer": (
        {"rota": [SET], "holidays": [{"producer": "rosa", "from": "2026-02-01", "until": "2026-02-02"}]},
        'rota.yml:5: holidays, field [0].producer: "rosa" is no producer',
    ),
    "holiday backwards": (
        {"rota": [SET], "holidays": [{"producer": "ada", "from": "2026-02-02", "until": "2026-02-02"}]},
        "rota.yml:7: holidays, field [0].until: 2026-02-02 is not after",
    ),
    "swap of no turn": (
        {"rota": [SET], "swaps": [{"turn": "2026-01-13", "with": "2026-01-19"}]},
        "rota.yml:5: no turn begins on 2026-01-13; write the first day of one, such as 2026-01-12",
    ),
    "swap with itself": (
        {"rota": [SET], "swaps": [{"turn": "2026-01-12", "with": "2026-01-12"}]},
        "rota.yml:6: swaps, field [0].with: 2026-01-12 is the same turn",
    ),
    "swap of one's own": ({"rota": [SET], "swaps": [{"turn": "2026-01-05", "with": "2026-01-26"}]}, "rota.yml:5: both turns are ada's"),
    "swap into a holiday": (
        {
            "rota": [SET],
            "holidays": [{"producer": "ada", "from": "2026-01-12", "until": "2026-01-13"}],
            "swaps": [{"turn": "2026-01-05", "with": "2026-01-12"}],
        },
        "gives ada the turn of 2026-01-12, when it is on holiday or no producer",
    ),
    "swap in a thousand years": ({"rota": [SET], "swaps": [{"turn": "2026-01-05", "with": "2199-01-12"}]}, "no turn begins on 2199-01-12"),
    "a decision that is not": (
        {"rota": [{**SET, "decided_by": "D-0009"}]},
        "rota.yml:4: rules from 2026-01-05, field decided_by: decision D-0009 does not exist",
    ),
    "empty": ("", "rota.yml:1: is empty; write at least the rota, see docs/support.md"),
    "not YAML": ("rota: [", "rota.yml:1: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_told_with_its_line_and_writes_nothing(name: str, tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    support.members({"ada": {}, "bob": {}, "cia": {}, "rosa": {"classes": ["consumer"], "supported_by": "ada"}})
    support.write("decisions/rules.yml", DECIDING)
    data, said = BROKEN[name]
    support.write("support/rota.yml", data)
    with pytest.raises(CoopError) as caught:
        support.run("2026-01-06T00:00:00Z", page=str(tmp_path / "page.html"))
    assert said in str(caught.value)
    assert not (tmp_path / "page.html").exists() and not (support.folder / "turns.csv").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "turns.csv:1: does not begin with day,planned,producer"),
        ("day,planned,producer\nmonday,ada,ada\n", "turns.csv:2: is not a day and two producers"),
        ("day,planned,producer\n2026-01-12,ada,ada\n2026-01-05,ada,ada\n", "turns.csv:3: 2026-01-05 is not after 2026-01-12 above"),
        ("day,planned,producer\n2026-01-05,zoe,zoe\n", 'turns.csv:2: "zoe" is no member'),
    ],
)
def test_a_damaged_record_is_refused(text: str, said: str, tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    (support.folder / "turns.csv").write_text(text)
    with pytest.raises(CoopError) as caught:
        support.run("2026-01-20T00:00:00Z")
    assert said in str(caught.value) and (support.folder / "turns.csv").read_text() == text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": "2026-01-05"}, "at: "),
        ({"at": "2026-01-05T00:00:00"}, "write one such as 2026-11-30T22:00:00Z"),
        ({"at": "9999-12-31T23:59:59Z"}, "at: "),
        ({"ahead_days": 0}, "ahead_days: 0 is not from 1 to 1100"),
    ],
)
def test_bad_options_are_told(options: dict[str, Any], said: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CoopError) as caught:
        Support(tmp_path).run(**options)
    assert said in str(caught.value)
