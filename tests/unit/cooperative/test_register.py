# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of a day: who is a member, on which decisions that rests, what is due; and one truth with the tally."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import shutil
import stat
import tempfile
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules.member_register import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import register
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.register import COLUMNS, RegisterTask
from ansible_collections.meet.coop.plugins.plugin_utils._membership import numbers
from tests.support.examples import examples
from tests.unit.cooperative.coop import MEDIUM, RULES, Coop

ROOT = pathlib.Path(__file__).resolve().parents[3]
MEMBERSHIP = {"rules": [{"from": "2020-05-01", "kinds": {**RULES["rules"][0]["kinds"], "membership": MEDIUM}}]}
EVIDENCE = {"country": "US", "form": "worker co-operative", "register": "USFWC", "number": "7"}


def tell(path: pathlib.Path, as_of: str = "2026-03-01", check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's result for a membership file in a folder."""
    params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return RegisterTask({**params, "membership": [str(path / "members.yml")], "as_of": as_of, **options}).run(check)


def one(path: pathlib.Path, name: str, as_of: str = "2026-03-01", **options: Any) -> dict[str, Any]:
    return next(member for member in tell(path, as_of, **options)["members"] if member["id"] == name)


@pytest.fixture
def coop(tmp_path: pathlib.Path) -> Coop:
    """Three members, and D-0001 of kind membership that passed on 2026-01-24."""
    found = Coop(tmp_path / "coop", "ada bob cia")
    found.write("rules.yml", MEMBERSHIP)
    found.propose(kind="membership")
    found.say("ada", "agree")
    found.say("bob", "agree")
    return found


def new(coop: Coop, **fields: Any) -> None:
    """The register with a new member, eve."""
    coop.members({"ada": {}, "bob": {}, "cia": {}, "eve": fields})


# -- what the register rests on


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"admitted_by": "D-0001", "joined": "2026-01-24"}, None),
        ({"admitted_by": "D-0001", "joined": "2026-01-23"}, "D-0001 passed on 2026-01-24, after 2026-01-23, when this begins"),
        ({"admitted_by": "D-0009", "joined": "2026-02-01"}, "decision D-0009 does not exist; write the number of one that has passed"),
        ({"admitted_by": "D-0002", "joined": "2026-02-01"}, "decision D-0002 was rejected, not passed; write the number of one"),
        ({"admitted_by": "D-0003", "joined": "2026-02-01"}, "decision D-0003 is still open, not passed; write the number of one"),
        ({"admitted_by": "D-0003", "joined": "2026-04-01"}, None),
        ({"admitted_by": "D-0002", "joined": "2026-04-01"}, "decision D-0002 was rejected"),
        ({"admitted_by": "D-0004", "joined": "2026-02-01"}, "D-0004 is a medium decision; write the number of one of kind membership"),
        ({"admitted_by": "D-0005", "joined": "2026-02-01"}, "D-0005 admits ada; write the number of the decision that admits eve"),
        ({"admitted_by": "D-0003", "applied": "2026-01-01", "joined": None}, "decision D-0003 is still open"),
        ({"joined": "2026-02-01"}, None),
    ],
)
def test_who_is_admitted_by_what(coop: Coop, fields: dict[str, Any], said: str | None) -> None:
    coop.propose("D-0002", kind="membership")
    for member in ("ada", "bob"):
        coop.say(member, "abstain", "D-0002")
    coop.propose("D-0003", kind="membership", opened="2026-02-20", closes_consensus="2026-03-20")
    for number, kind, more in (("D-0004", "medium", {}), ("D-0005", "membership", {"admits": ["ada"]})):
        coop.propose(number, kind=kind, **more)
        coop.say("ada", "agree", number)
        coop.say("bob", "agree", number)
    new(coop, **fields)
    text = yaml.safe_load((coop.path / "members.yml").read_text())
    if fields.get("joined", "") is None:
        del text["members"]["eve"]["joined"]
        (coop.path / "members.yml").write_text(yaml.safe_dump(text, sort_keys=False))
    lines = (coop.path / "members.yml").read_text().splitlines()
    number = [index for index, line in enumerate(lines, 1) if "admitted_by" in line]
    for run in (lambda: tell(coop.path), lambda: coop.tally(check=True)):
        if said is None:
            run()
            continue
        with pytest.raises(CoopError) as caught:
            run()
        found = str(caught.value).splitlines()
        place = f'{os.path.relpath(coop.path / "members.yml")}:{number[0]}: member "eve", field admitted_by: '
        assert len(found) == 1 and found[0].startswith(place) and said in found[0], found


def test_who_was_not_admitted_need_not_stay_in_the_register(coop: Coop) -> None:
    coop.propose("D-0002", kind="membership", admits=["zoe"])
    coop.say("ada", "abstain", "D-0002")
    coop.say("bob", "abstain", "D-0002")
    assert coop.result(number="D-0002")["result"] == "rejected"
    coop.propose("D-0002", kind="membership", admits=["Zoe Ltd"])
    with pytest.raises(CoopError, match=r'proposal.yml:10: admits, field \[0\]: "Zoe Ltd" is not an id'):
        coop.tally()


def test_nothing_is_written_when_the_register_rests_on_nothing(coop: Coop) -> None:
    new(coop, admitted_by="D-0009", joined="2026-02-01")
    with pytest.raises(CoopError):
        coop.tally()
    with pytest.raises(CoopError):
        tell(coop.path, csv=str(coop.path / "register.csv"))
    assert coop.outcome() is None and not (coop.path / "register.csv").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"changes": [{"from": "2026-01-30", "weight": 2, "decided_by": "D-0002"}]},
        {"suspended": [{"from": "2026-01-30", "decided_by": "D-0002"}]},
        {"left": "2026-01-30", "left_by": "D-0002"},
        {"earlier": [{"joined": "2019-01-01", "left": "2019-02-01", "admitted_by": "D-0002"}]},
    ],
)
def test_everything_that_was_decided_was_decided(coop: Coop, fields: dict[str, Any]) -> None:
    coop.propose("D-0002", kind="membership", opened="2026-02-20", closes_consensus="2026-03-20")
    new(coop, **fields)
    with pytest.raises(CoopError, match=r'members.yml:[0-9]+: member "eve", field .*: decision D-0002 is still open, not passed'):
        tell(coop.path)
    text = (coop.path / "members.yml").read_text()
    if "earlier" not in fields:
        (coop.path / "members.yml").write_text(text.replace("D-0002", "D-0001"))
        assert tell(coop.path)["counts"]


def test_a_register_that_names_no_decision_needs_none(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop", "ada bob")
    shutil.rmtree(coop.decisions)
    assert tell(coop.path)["counts"]["active"] == 2
    coop.members({"ada": {"admitted_by": "D-0001"}})
    with pytest.raises(CoopError, match="decisions: is not a folder; make it"):
        tell(coop.path)


def test_an_admission_that_was_changed_afterwards_carries_nothing(coop: Coop) -> None:
    new(coop, admitted_by="D-0001", joined="2026-02-01")
    coop.tally()
    assert one(coop.path, "eve")["admitted"] == "2026-01-24"
    coop.say("bob", "agree", by="Somebody else")
    with pytest.raises(CoopError, match="outcome.yml:8: it was passed on 2026-01-24, and since then this has changed"):
        tell(coop.path)


def test_the_register_of_a_day_before_a_decision_that_was_written_down_since(coop: Coop) -> None:
    """As at the end of a year that is over: what was decided later is open then, and what was changed since is told all the same."""
    coop.tally()
    assert {member["status"] for member in tell(coop.path, "2025-12-31")["members"]} == {"active"}
    coop.say("bob", "block")
    assert tell(coop.path, "2025-12-31")["changed"] is False
    with pytest.raises(CoopError, match="and since then this has changed"):
        tell(coop.path)


def test_a_day_long_past_is_tallied_whoever_has_services_or_supporters_now(tmp_path: pathlib.Path) -> None:
    coop = Coop(
        tmp_path / "coop", {"ada": {}, "bob": {"supported_by": "new"}, "new": {"joined": "2026-02-01"}, "old": {"left": "2021-01-01"}}
    )
    text = (coop.path / "members.yml").read_text()
    more = "container_hosts: {host1: {address: 203.0.113.10}}\ndefaults: {image: 'bigbluebutton/greenlight:v3.8.2.4'}\nservices:\n"
    more += "  new: {tier: dedicated_container, member: new, accounts: {registration: open}}\n"
    (coop.path / "members.yml").write_text(text.replace("left: '2021-01-01'", "left: '2021-01-01'\n    supported_by: forgotten") + more)
    coop.propose()
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    assert coop.result("2026-01-20")["state"] == "passed-by-consensus"


# -- one truth with the tally


def test_the_suspended_do_not_vote(tmp_path: pathlib.Path) -> None:
    coop = Coop(
        tmp_path / "coop",
        {
            "ada": {}, "bob": {}, "cia": {},
            "before": {"suspended": [{"from": "2026-01-05", "until": "2026-01-15"}]},
            "during": {"suspended": [{"from": "2026-01-15", "until": "2026-02-15"}]},
            "between": {"suspended": [{"from": "2026-01-15", "until": "2026-01-20"}]},
            "leaving": {"leaving": "2026-01-01", "left": "2026-06-01"},
            "again": {"joined": "2026-01-20", "earlier": [{"joined": "2021-01-01", "left": "2025-01-01"}]},
            "asking": {"joined": None, "applied": "2026-01-01"},
        },
    )  # fmt: skip
    data = yaml.safe_load((coop.path / "members.yml").read_text())
    del data["members"]["asking"]["joined"]
    (coop.path / "members.yml").write_text(yaml.safe_dump(data))
    coop.propose()
    for member in ("before", "during", "again", "asking", "between"):
        coop.say(member, "agree")
    found = coop.result()["consensus"]
    assert found["eligible"] == ["ada", "between", "bob", "cia", "leaving"]
    assert {entry["member"]: entry["why"] for entry in found["not_counted"]} == {
        "before": "was suspended from 2026-01-05, and still on 2026-01-10, when the decision was opened",
        "during": "was suspended from 2026-01-15, and still on 2026-01-24, when the round ended",
        "again": "joined on 2026-01-20, after the decision was opened on 2026-01-10",
        "asking": "is no member",
    }


def test_a_suspended_member_proposes_nothing(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop", {"ada": {"suspended": [{"from": "2026-01-01"}]}, "bob": {}})
    coop.propose()
    with pytest.raises(CoopError, match='"ada" was suspended on 2026-01-10; name a member that proposes it'):
        coop.tally()


spans = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)
life = st.fixed_dictionaries({}, optional={"suspended": spans, "left": st.integers(1, 45), "joined": st.integers(-20, 40)})


def day(number: int) -> str:
    return str(register.datetime.date(2026, 1, 1) + register.datetime.timedelta(days=number))


def lived(raw: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"joined": day(raw.get("joined", -30))}
    if "left" in raw:
        fields["left"] = day(max(raw["left"], raw.get("joined", -30) + 1))
    if "suspended" in raw and raw["suspended"][0] < raw["suspended"][1] and fields["joined"] <= day(raw["suspended"][0]):
        fields["suspended"] = [{"from": day(raw["suspended"][0]), "until": day(raw["suspended"][1])}]
        if "left" in fields and fields["left"] <= day(raw["suspended"][0]):
            del fields["suspended"]
    return fields


@examples(25)
@given(st.dictionaries(st.sampled_from(["bob", "cia", "dan", "eve"]), life, min_size=1))
def test_who_may_answer_is_who_the_register_calls_a_member(lives: dict[str, dict[str, Any]]) -> None:
    """On the day a proposal opens and on the day its round ends, whatever the lives of the members."""
    with tempfile.TemporaryDirectory() as folder:
        coop = Coop(pathlib.Path(folder) / "coop", {"ada": {}, **{name: lived(raw) for name, raw in lives.items()}})
        coop.write("rules.yml", {"rules": [{"from": "2020-05-01", "kinds": {"medium": {**MEDIUM, "early": False}}}]})
        coop.propose()
        eligible = coop.result()["consensus"]["eligible"]
        told = [
            {member["id"] for member in tell(coop.path, on)["members"] if member["status"] in ("active", "leaving")}
            for on in ("2026-01-10", "2026-01-24")
        ]
    assert eligible == sorted(told[0] & told[1])


# -- what it tells

LIFE: dict[str, Any] = {
    "applied": "2025-01-01",
    "admitted_by": "D-0001",
    "joined": "2026-02-01",
    "leaving": "2027-01-01",
    "left": "2027-03-01",
    "changes": [
        {"from": "2026-06-01", "weight": "1/2", "reason": "New", "review_by": "2027-01-15"},
        {"from": "2026-07-01", "classes": ["consumer"]},
    ],
    "suspended": [{"from": "2026-09-01", "until": "2026-10-01"}],
}


@pytest.mark.parametrize(
    ("as_of", "wanted"),
    [
        ("2024-12-31", ("none", None, "1", ["producer"])),
        ("2025-06-01", ("applied", "2025-01-01", "1", ["producer"])),
        ("2026-01-30", ("admitted", "2026-01-24", "1", ["producer"])),
        ("2026-02-01", ("active", "2026-02-01", "1", ["producer"])),
        ("2026-08-31", ("active", "2026-02-01", "1/2", ["consumer"])),
        ("2026-09-15", ("suspended", "2026-09-01", "1/2", ["consumer"])),
        ("2026-10-01", ("active", "2026-10-01", "1/2", ["consumer"])),
        ("2027-02-01", ("leaving", "2027-01-01", "1/2", ["consumer"])),
        ("2030-01-01", ("left", "2027-03-01", "1/2", ["consumer"])),
    ],
)
def test_a_member_on_a_day(coop: Coop, as_of: str, wanted: tuple[Any, ...]) -> None:
    new(coop, **LIFE)
    found = one(coop.path, "eve", as_of)
    assert (found["status"], found["since"], found["weight"], found["classes"]) == wanted
    assert [(entry["on"], entry["what"]) for entry in found["history"] if not entry["ahead"]] == [
        (on, what)
        for on, what in [
            ("2025-01-01", "applied"),
            *([("2026-01-24", "admitted")] if as_of >= "2026-01-24" else []),
            ("2026-02-01", "joined"),
            ("2026-06-01", "weight: 1/2"),
            ("2026-07-01", "classes: consumer"),
            ("2026-09-01", "suspended"),
            ("2026-10-01", "suspension ended"),
            ("2027-01-01", "gave notice"),
            ("2027-03-01", "left"),
        ]
        if on <= as_of
    ]


def test_tax_and_vat_number_have_a_history(coop: Coop) -> None:
    new(coop, vat_id="DE136695976", changes=[
        {"from": "2026-03-01", "tax": {"category": "S", "rate": "5.5"}},
        {"from": "2026-04-01", "tax": None, "vat_id": None, "reason": "Too small for it"},
    ])  # fmt: skip
    found = {as_of: one(coop.path, "eve", as_of) for as_of in ("2026-03-31", "2026-04-01")}
    assert [each["vat_id"] for each in found.values()] == ["DE136695976", None]
    history = [(entry["on"], entry["what"], entry["reason"]) for entry in found["2026-04-01"]["history"]]
    assert [entry for entry in history if entry[0] >= "2026-03"] == [
        ("2026-03-01", "tax: 5.5 % VAT", None),
        ("2026-04-01", "tax: as the rules have it", "Too small for it"),
        ("2026-04-01", "VAT number: none", "Too small for it"),
    ]


def due(coop: Coop, as_of: str = "2026-03-01", **options: Any) -> list[str]:
    return [line for line in tell(coop.path, as_of, **options)["summary"][1:] if line.startswith("eve")]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"evidence": EVIDENCE}, ["eve: look up the evidence that it is a co-operative"]),
        ({"evidence": {**EVIDENCE, "checked": "2024-03-31"}}, ["eve: look up the evidence again that it is a co-operative, by 2026-03-31"]),
        ({"evidence": {**EVIDENCE, "checked": "2024-04-01"}}, []),
        (
            {"evidence": {**EVIDENCE, "checked": "2024-02-29"}},
            ["eve: look up the evidence again that it is a co-operative, by 2026-02-28, late"],
        ),
        ({"evidence": {**EVIDENCE, "checked": "2020-01-01", "review_by": "2027-01-01"}}, []),
        ({"renew_by": "2026-03-31"}, ["eve: renew the membership, by 2026-03-31"]),
        ({"renew_by": "2026-04-01"}, []),
        ({"suspended": [{"from": "2026-01-01"}]}, ["eve: say how the suspension ends"]),
        ({"suspended": [{"from": "2026-01-01", "until": "2026-03-15"}]}, ["eve: the suspension ends, by 2026-03-15"]),
        ({"suspended": [{"from": "2026-03-20"}]}, ["eve: it is suspended, by 2026-03-20"]),
        ({"leaving": "2026-02-01"}, ["eve: agree on the day it leaves"]),
        ({"leaving": "2026-02-01", "left": "2026-03-20"}, ["eve: it leaves, by 2026-03-20"]),
        ({"left": "2026-03-01", "renew_by": "2026-01-01"}, []),
        (
            {"changes": [{"from": "2025-01-01", "weight": "1/2", "review_by": "2026-03-10"}]},
            ["eve: look again at weight: 1/2, by 2026-03-10"],
        ),
        ({"changes": [{"from": "2025-01-01", "weight": "1/2", "review_by": "2026-03-10"}, {"from": "2026-01-01", "weight": 1}]}, []),
        (
            {"changes": [{"from": "2025-01-01", "tax": {"category": "AE"}, "vat_id": "DE136695976", "review_by": "2026-03-10"}]},
            ["eve: look again at VAT number: DE136695976, by 2026-03-10", "eve: look again at tax: reverse charge, by 2026-03-10"],
        ),
        ({"joined": None, "applied": "2026-02-01"}, ["eve: decide on its application"]),
        ({"joined": None, "applied": "2026-01-01", "admitted_by": "D-0001"}, ["eve: write the day on which it joins"]),
    ],
)
def test_what_is_due(coop: Coop, fields: dict[str, Any], wanted: list[str]) -> None:
    new(coop, **{"evidence": {**EVIDENCE, "checked": "2026-01-01"}, **fields})
    if "joined" in fields:
        data = yaml.safe_load((coop.path / "members.yml").read_text())
        del data["members"]["eve"]["joined"]
        (coop.path / "members.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    assert due(coop) == wanted


def test_how_far_ahead_it_looks(coop: Coop) -> None:
    new(coop, evidence={**EVIDENCE, "checked": "2026-01-31"}, renew_by="2026-04-01")
    assert due(coop, remind_days=31) == ["eve: renew the membership, by 2026-04-01"]
    assert due(coop, review_months=1) == ["eve: look up the evidence again that it is a co-operative, by 2026-02-28, late"]
    with pytest.raises(CoopError, match="remind_days: -1 is below 0"):
        tell(coop.path, remind_days=-1)


def test_services_and_clients_of_a_member(tmp_path: pathlib.Path) -> None:
    shutil.copy(ROOT / "inventories" / "lab" / "members.yml", tmp_path)
    found = {member["id"]: member for member in tell(tmp_path, "2026-03-01")["members"]}
    data = yaml.safe_load((tmp_path / "members.yml").read_text())
    for name, member in found.items():
        assert sorted(service["id"] for service in member["services"]) == sorted(
            service for service, raw in data["services"].items() if raw.get("member") == name
        )
        assert member["clients"] == sorted(client for client, raw in data["clients"].items() if raw["sold_by"] == name)


def test_a_service_of_nobody_is_refused_unless_the_day_is_long_past(coop: Coop) -> None:
    new(coop, left="2026-02-01")
    text = (coop.path / "members.yml").read_text()
    more = "container_hosts: {host1: {address: 203.0.113.10}}\ndefaults: {image: 'bigbluebutton/greenlight:v3.8.2.4'}\nservices:\n"
    more += "  eve:\n    tier: dedicated_container\n    member: eve\n    accounts: {registration: open}\n"
    (coop.path / "members.yml").write_text(text + more)
    line = len((text + more).splitlines()) - 2
    for as_of, said in (("2026-02-01", "left on 2026-02-01"), ("2020-04-01", "joins only on 2020-05-01")):
        with pytest.raises(CoopError, match=rf'members.yml:{line}: service "eve", field state: member "eve" {said}, so its service cannot'):
            tell(coop.path, as_of)
        assert one(coop.path, "eve", as_of, check_services=False)["status"] in ("left", "none")
    assert one(coop.path, "eve", "2026-01-31")["services"] == [{"id": "eve", "tier": "dedicated_container", "state": "present"}]


def test_numbers_are_checked_or_nothing_is_said_of_them(coop: Coop, monkeypatch: pytest.MonkeyPatch) -> None:
    new(coop, evidence={**EVIDENCE, "country": "ES", "number": "F12345674", "scheme": "es.cif", "checked": "2026-01-01"})
    assert one(coop.path, "eve")["evidence"]["scheme"] == "es.cif"
    monkeypatch.setattr(numbers, "available", lambda: False)
    with pytest.raises(CoopError, match="member eve has a number to check .* python-stdnum is not installed on the controller"):
        tell(coop.path)


# -- the table


def test_the_table(coop: Coop) -> None:
    new(coop, name="=HYPERLINK(1)", **{key: value for key, value in LIFE.items() if key != "suspended"})
    path = coop.path / "register.csv"
    told = tell(coop.path, check=True, csv=str(path))
    assert told["changed"] and not path.exists() and told["diff"][0]["after"] == told["csv"]
    done = tell(coop.path, csv=str(path))
    assert done["changed"] and path.read_bytes() == told["csv"].encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it names people"
    again = tell(coop.path, csv=str(path))
    assert not again["changed"] and again["diff"] == []
    rows = list(csv.DictReader(io.StringIO(told["csv"])))
    assert [row["id"] for row in rows] == ["ada", "bob", "cia", "eve"] and tuple(rows[0]) == COLUMNS
    assert rows[3]["name"] == "'=HYPERLINK(1)" and rows[3]["admitted"] == "2026-01-24"
    assert not tell(coop.path)["changed"]


def test_what_a_killed_run_leaves_is_used_up_by_the_next(coop: Coop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = coop.path / "register.csv"
    path.write_text("old\n")

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tell(coop.path, csv=str(path))
    assert path.read_text() == "old\n"
    assert tell(coop.path, csv=str(path))["changed"] and path.read_text().startswith("id,name,")
    assert [entry.name for entry in coop.path.iterdir() if entry.name.startswith(".")] == []


def test_a_table_that_cannot_be_written(coop: Coop) -> None:
    with pytest.raises(CoopError, match="nowhere/register.csv: cannot be written: no such file or directory"):
        tell(coop.path, csv=str(coop.path / "nowhere" / "register.csv"))


def test_the_same_files_give_the_same_bytes_anywhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, on another machine: elsewhere, in another time zone and language, with members in another order."""
    example = ROOT / "inventories" / "example"
    here = tell(example, "2026-04-01")
    shutil.copytree(example, tmp_path / "elsewhere")
    data = yaml.safe_load((example / "members.yml").read_text().replace("joined: ", "joined: !!str "))
    assert list(data["members"]) == ["agaric", "sunflower", "hypha"]
    text = (tmp_path / "elsewhere" / "members.yml").read_text()
    start, cut, end = text.index("  agaric:\n    name"), text.index("  sunflower:\n    name"), text.index("\n# ---", text.index("  hypha:"))
    (tmp_path / "elsewhere" / "members.yml").write_text(text[:start] + text[cut:end] + "\n" + text[start:cut] + text[end:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    there = tell(tmp_path / "elsewhere", "2026-04-01")
    assert there == here
    assert [(member["id"], member["status"]) for member in here["members"]] == [
        ("agaric", "active"),
        ("hypha", "active"),
        ("sunflower", "active"),
    ]
