# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds what: how many people, what is due, and errors that say where."""

from __future__ import annotations

import copy
import datetime
import json
import pathlib
import stat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import handover_page
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import record
from ansible_collections.meet.coop.plugins.plugin_utils._support.handover import Holder, Item
from ansible_collections.meet.coop.plugins.plugin_utils._support.handover_task import HandoverTask
from tests.unit.cooperative.coop import dump
from tests.unit.membership.base import changed

AT = "2026-03-04T12:00:00Z"
MO, ROSA = {"member": "agaric", "contact": "Mo"}, {"member": "rosa", "contact": "Rosa"}
ITEMS: dict[str, Any] = {
    "items": {
        "domain-meet": {
            "name": "Domain meet.example", "kind": "domain", "where": "At <the> registrar", "holders": [MO, ROSA],
            "renew_by": "2026-04-01", "automatic": True, "runbook": "https://meet.example/runbooks",
        },
        "vault": {"name": "Passphrase", "kind": "passphrase", "holders": [MO], "notes": "In the safe.", "runbook": "docs/secrets.md"},
    }
}  # fmt: skip


class Handover:
    """A membership file and who holds what, in a folder."""

    def __init__(self, path: pathlib.Path, **changes: Any) -> None:
        self.path = path
        self.out = path / "out" / "handover.html"
        self.write("members.yml", changed(**changes))
        self.write("support/handover.yml", ITEMS)

    def write(self, name: str, data: Any) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else dump(data), encoding="utf-8")

    def items(self, **items: dict[str, Any]) -> None:
        """Fields of items set or, with None, taken away; two underscores in an id are a hyphen."""
        data = copy.deepcopy(ITEMS)
        for name, fields in items.items():
            item = {**data["items"].get(name.replace("__", "-"), {}), **fields}
            data["items"][name.replace("__", "-")] = {key: value for key, value in item.items() if value is not None}
        self.write("support/handover.yml", data)

    def run(self, at: str = AT, check: bool = False, **options: Any) -> dict[str, Any]:
        params = {name: option.get("default") for name, option in handover_page.ARGUMENT_SPEC.items()}
        given_ = {"membership": [str(self.path / "members.yml")], "page": str(self.out), "at": at}
        return HandoverTask({**params, **given_, **options}).run(check)


def test_it_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    told = coop.run(check=True)
    assert told["changed"] and not coop.out.exists()
    done = coop.run()
    assert done == told and done["alone"] == ["vault"]
    assert stat.S_IMODE(coop.out.stat().st_mode) == 0o600
    later = coop.run("2026-03-05T12:00:00Z")
    assert not later["changed"] and later["diff"] == []
    page = " ".join(coop.out.read_text().split())
    for said in ("Held by too few people: Passphrase.", "At &lt;the&gt; registrar", "mailto:mo@agaric.example", "renews by itself",
                 '<a href="https://meet.example/runbooks">', "<code>docs/secrets.md</code>", "203.0.113.10", "fewer than 2, too few",
                 "see that it renews: Domain meet.example"):  # fmt: skip
        assert said in page, said
    assert done["summary"][0] == "1 of 2 things are held by too few people: vault"
    assert coop.run(page=None)["files"] == []


def test_what_a_killed_run_left_is_repaired(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    coop.run()
    whole = coop.out.read_bytes()
    coop.out.write_text("half")
    coop.out.chmod(0o644)
    (coop.out.parent / ".handover.html.new").write_text("half")
    assert coop.run()["changed"] and coop.out.read_bytes() == whole and stat.S_IMODE(coop.out.stat().st_mode) == 0o600
    assert not coop.run()["changed"]


def test_what_is_due(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path, members__rosa__renew_by="2026-03-20", members__rosa__leaving="2026-03-01", members__rosa__left="2026-04-30")
    coop.write("receipts/rosa.json", json.dumps(
        {"at": "2026-03-04T03:00:00Z", "ok": True, "hostname": "rosa.meet.example", "certificate_until": "2026-03-20"}
    ))  # fmt: skip
    coop.items(vault={"renew_by": "2026-03-01"}, domain__meet={"renew_by": "2026-05-04"})
    found = coop.run(check=True, receipts=str(tmp_path / "receipts"))["due"]
    said = {(one["by"], one["where"], one["late"]) for one in found}
    assert ("2026-03-01", "vault", True) in said, "late"
    assert ("2026-03-20", "rosa", False) in said and ("2026-04-30", "domain-meet", False) in said, "what the register and a leaver ask for"
    assert not [one for one in found if one["by"] == "2026-05-04"], "the sixty-first day"
    assert [one["what"] for one in found if "certificate" in one["what"]] == [
        "the certificate of rosa.meet.example ends, and was not renewed by itself"
    ]
    assert [one for one in coop.run("2026-03-05T00:00:00Z", check=True)["due"] if one["by"] == "2026-05-04"]
    days = [one["by"] or "" for one in found]
    assert days == sorted(days)


def test_who_has_left_does_not_count(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path, members__rosa__left="2026-03-01", services__rosa__state="absent")
    (domain, _vault) = coop.run()["held"]
    assert (domain["people"], domain["cooperatives"], domain["state"]) == (1, 1, "down")
    assert "not a member now: does not count" in coop.out.read_text()


MEMBERS = {name: record("member", name, {"joined": "2021-01-01", "left": left, "classes": ["consumer"]})
           for name, left in (("a", None), ("b", None), ("gone", "2022-01-01"))}  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(list(MEMBERS)), st.sampled_from(["Ada", "ADA", "Bo", "Cy"])), max_size=6), st.integers(1, 4))
def test_one_more_holder_never_makes_it_worse(pairs: list[tuple[str, str]], wanted: int) -> None:
    order = ("down", "degraded", "ok")

    def state(some: list[tuple[str, str]]) -> str:
        holders = [Holder(member, name, "x@example") for member, name in some]
        return Item("i", "I", "key", None, holders, wanted, None, False, None, None).state(MEMBERS, datetime.date(2026, 1, 1))

    for end in range(len(pairs)):
        assert order.index(state(pairs[:end])) <= order.index(state(pairs[: end + 1]))
    people = {name.casefold() for member, name in pairs if member != "gone"}
    assert (state(pairs) == "down") == (len(people) < wanted)


BROKEN: dict[str, tuple[Any, str]] = {
    "no such member": ({"vault": {"holders": [{"member": "rosie", "contact": "Mo"}]}}, '"rosie" is no member; write one of agaric, rosa'),
    "no such contact": (
        {"vault": {"holders": [{"member": "rosa", "contact": "Mo"}]}},
        '"Mo" is no contact of rosa; write one of Rosa, or add the person to its contacts',
    ),
    "twice": ({"vault": {"holders": [MO, MO]}}, '"Mo" of agaric stands here twice; keep one of the two'),
    "no such day": ({"vault": {"renew_by": "2026-02-30"}}, '"2026-02-30" is not a day of the calendar'),
    "not a kind": ({"vault": {"kind": "password"}}, '"password" is not one of domain, provider, key'),
    "a secret": ({"vault": {"notes": "The passphrase: correct7horse8battery"}}, "holds what looks like a secret; write where it lies"),
    "a key": ({"vault": {"where": "AGE-SECRET-KEY-1QQQQ"}}, "holds what looks like a secret"),
    "an address with a password": ({"vault": {"runbook": "https://mo:x7@host.example/"}}, "holds what looks like a secret"),
    "not an id": ({"Vault 2": {"name": "V", "kind": "key", "holders": []}}, "is not an id; write lower-case letters"),
    "a key that is none": ({"vault": {"holder": [MO]}}, 'unknown key "holder"'),
    "no holders": ({"vault": {"holders": None}}, "holders is missing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_told_with_its_line_and_writes_nothing(name: str, tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    items, said = BROKEN[name]
    coop.items(**items)
    with pytest.raises(CoopError) as caught:
        coop.run()
    assert "support/handover.yml:" in str(caught.value) and said in str(caught.value), str(caught.value)
    assert not coop.out.exists()
    assert "horse8" not in str(caught.value) and "QQQQ" not in str(caught.value) and "x7" not in str(caught.value)


def test_words_about_where_a_secret_lies_are_none(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    coop.items(vault={"notes": "Password: in the safe of Rosa, key: second drawer", "where": "https://safe.example/"})
    assert coop.run(check=True)["alone"] == ["vault"]


def test_a_file_that_is_not_there_and_bad_options_are_told(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    with pytest.raises(CoopError, match=r"^at: .*; write "):
        coop.run(at="today")
    with pytest.raises(CoopError, match=r"^remind_days: .*; write "):
        coop.run(remind_days=-1)
    with pytest.raises(CoopError, match=r"none\.yml: "):
        coop.run(handover=str(tmp_path / "none.yml"))
    (tmp_path / "support" / "handover.yml").write_text("items: [")
    with pytest.raises(CoopError, match=r"handover\.yml:1: "):
        coop.run()
    assert not coop.out.exists()


def test_the_example_is_read() -> None:
    example = pathlib.Path(__file__).resolve().parents[3] / "inventories" / "example"
    params = {name: option.get("default") for name, option in handover_page.ARGUMENT_SPEC.items()}
    found = HandoverTask({**params, "membership": [str(example / "members.yml")], "at": "2026-11-26T00:00:00Z"}).run(True)
    assert found["alone"] == [] and {one["kind"] for one in found["held"]} == {"domain", "passphrase"}
