# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many instances at the same time: trouble stays with its own, memory and processors bound the starts, and no secret is told."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.meet.coop.plugins.module_utils._edge.admin import Admin
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._plan import applying
from ansible_collections.meet.coop.plugins.module_utils._plan.applying import Room, Routes, carry_out, memory_available
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import JUDGES, look
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import mark
from ansible_collections.meet.coop.plugins.plugin_utils._plan.summary import applied
from ansible_collections.meet.coop.plugins.plugin_utils._plan.wanted import REMOTE

RULES = {"pool_secret": {"length": 40}}
ME = pwd.getpwuid(os.getuid()).pw_name


def instance(folder: pathlib.Path, name: str, *more: dict[str, Any]) -> dict[str, Any]:
    path = str(folder / name / "secrets.json")
    steps = [{"module": "instance_secrets", "register": "kept", "arguments": {"path": path, "secrets": RULES}}, *more]
    tenants = [{"host": "pool", "engine": "bbblb", "tenants": [{"name": name, "secret": mark("kept", "secrets", "pool_secret")}]}]
    return {"name": name, "steps": steps, "tenants": tenants, "checks": []}


def logo(folder: pathlib.Path, name: str, content: str = "<svg/>") -> list[dict[str, Any]]:
    place = str(folder / "branding" / name)
    return [
        {"module": "file", "register": None, "arguments": {"path": place, "state": "directory", "owner": ME, "mode": "0755"}},
        {"module": "copy", "register": None, "arguments": {"dest": f"{place}/logo.svg", "content": content, "owner": ME, "mode": "0644"}},
    ]


def test_every_kind_of_the_plan_is_done_here_or_read_again() -> None:
    assert set(applying._DOERS) == REMOTE == applying.BEFORE | applying.AFTER
    assert set(applying._DOERS) <= set(JUDGES)


def test_one_that_fails_is_told_and_the_others_are_done_and_then_in_sync(tmp_path: pathlib.Path) -> None:
    (tmp_path / "damaged").mkdir(mode=0o700)
    (tmp_path / "damaged" / "secrets.json").write_text("{")
    instances = [instance(tmp_path, name, *logo(tmp_path, name)) for name in ("good", "damaged", "fine")]
    found = {one.name: one for one in carry_out(instances, "before")}
    assert list(found) == ["good", "damaged", "fine"]
    assert found["good"].failed is None and found["good"].actions == ["secrets: kept"]
    assert found["damaged"].failed is not None and "not JSON" in found["damaged"].failed and found["damaged"].tenants == []
    secrets = [json.loads((tmp_path / name / "secrets.json").read_text())["pool_secret"] for name in ("good", "fine")]
    assert [one.tenants[0]["tenants"][0]["secret"] for one in (found["good"], found["fine"])] == secrets
    rest = carry_out([instances[0], instances[2]], "after")
    assert all(one.failed is None and len(one.actions) == 2 for one in rest), rest
    assert (tmp_path / "branding" / "fine" / "logo.svg").stat().st_mode & 0o777 == 0o644
    told = json.dumps([(one.actions, one.failed) for one in [*found.values(), *rest]])
    assert not [secret for secret in secrets if secret in told + repr(list(found.values()))]
    # A second time nothing is done, and the plan says the same; the damaged one is due.
    assert [one.actions for part in ("before", "after") for one in carry_out([instances[0], instances[2]], part)] == [[]] * 4
    assert [one.drift == [] for one in look(instances, f"unix://{tmp_path}/docker.sock", 1)] == [True, False, True]


@pytest.mark.parametrize("left", ["mode", "content", "leftover"])
def test_what_a_killed_run_left_of_a_file_is_repaired(tmp_path: pathlib.Path, left: str) -> None:
    one = instance(tmp_path, "one", *logo(tmp_path, "one"))
    carry_out([one], "after")
    path = tmp_path / "branding" / "one" / "logo.svg"
    if left == "mode":
        path.chmod(0o600)
    elif left == "content":
        path.write_text("<sv")
    else:
        path.rename(path.with_name(".logo.new"))
    (done,) = carry_out([one], "after")
    assert len(done.actions) == 1 and path.read_text() == "<svg/>" and path.stat().st_mode & 0o777 == 0o644


def test_options_that_only_the_run_knows_are_refused(tmp_path: pathlib.Path) -> None:
    step = {"module": "copy", "register": None, "arguments": {"src": "x", "dest": str(tmp_path / "x")}}
    (done,) = carry_out([instance(tmp_path, "one", step)], "after")
    assert done.failed == "files: src: only the full run does this" and not (tmp_path / "x").exists()


@given(some.lists(some.integers(1, 100), min_size=1, max_size=30), some.integers(1, 6), some.integers(0, 200))
def test_never_more_start_than_processors_and_memory_carry(needs: list[int], most: int, memory: int) -> None:
    room, guard, running, seen = Room(most, lambda: memory), threading.Lock(), [], []

    def start(need: int) -> None:
        with room.place(need):
            with guard:
                running.append(need)
                seen.append(list(running))
            with guard:
                running.remove(need)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, needs))
    assert len(seen) == len(needs)
    assert all(len(one) <= most and (len(one) == 1 or sum(one) <= 0.8 * memory) for one in seen)


def test_memory_is_read_as_the_kernel_tells_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   64 kB\n")
    assert memory_available(str(tmp_path / "meminfo")) == 65536


class Edge:
    """A Caddy that is told by nobody but Routes, and what it was told in one change each."""

    def __init__(self, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        edge: dict[str, Any] = {"apps": {"http": {"servers": {"edge": {"routes": []}}}}}
        (folder / "edge.json").write_text(json.dumps(edge))
        self.calls: list[list[str]] = []
        self.begin: Callable[[], None] = lambda: None
        self.routes = Routes()
        self.shared = {"upstream": None, "upstreams": ["127.0.0.1:5000"], "admin": str(folder / "none.sock"),
                       "config_file": str(folder / "edge.json"), "handlers": None, "static": {}, "state": "present",
                       "trusted_proxies": [], "body_limit": 1, "patience": 5}  # fmt: skip
        real = applying.keep

        def keep(store: Any, routes: list[dict[str, Any]], write: bool) -> Any:
            self.calls.append(sorted(route["id"] for route in routes))
            self.begin()
            return real(store, routes, False)

        monkeypatch.setattr(applying, "keep", keep)
        monkeypatch.setattr(Admin, "get", lambda _self, _path: (edge, ""))

    def open(self, name: str) -> object:
        try:
            return self.routes.open({"id": name, "hosts": ["no host" if name == "bad" else f"{name}.example.org"], **self.shared})
        except CoopError as error:
            return str(error)

    def wait_for(self, number: int) -> None:
        """Until so many routes wait."""
        while len(self.routes._waiting) < number:
            threading.Event().wait(0.01)


@pytest.fixture
def edge(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Edge:
    return Edge(tmp_path, monkeypatch)


def test_routes_that_come_together_are_one_change_and_a_bad_one_is_its_own(edge: Edge) -> None:
    first, held = threading.Event(), threading.Event()

    def begin() -> None:
        if not first.is_set():
            first.set()
            assert held.wait(60)

    edge.begin = begin
    with ThreadPoolExecutor(5) as pool:
        begun = pool.submit(edge.open, "first")
        assert first.wait(60)
        names = ["two", "bad", "three"]
        rest = [pool.submit(edge.open, name) for name in names]
        edge.wait_for(len(names))
        held.set()
        assert begun.result() is True
        found = {name: one.result() for name, one in zip(names, rest, strict=True)}
    assert found["two"] is True and found["three"] is True and "'no host' is not a whole host name" in str(found["bad"])
    assert edge.calls[:2] == [["first"], ["bad", "three", "two"]]


def test_caddy_rests_after_a_change_and_who_comes_meanwhile_is_in_the_next(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    now, rests = [100.0], []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        if seconds:
            edge.wait_for(2)
            now[0] += seconds

    def begin() -> None:
        now[0] += 3  # a change takes so long

    edge.begin = begin
    monkeypatch.setattr(applying, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    assert edge.open("first") is True
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(edge.open, ["two", "three"])) == [True, True]
    assert edge.calls == [["first"], ["three", "two"]]
    assert rests == [0.0, 6.0]


BEFORE = {
    "applied": [
        {"name": "a", "actions": ["database: create role a", "database: create database a"], "failed": None, "left": None},
        {"name": "b", "actions": [], "failed": "DNS: the zone is refused", "left": None},
        {"name": "c", "actions": [], "failed": None, "left": "its state is stopped"},
        {"name": "d", "actions": [], "failed": None, "left": None},
    ],
    "done": ["a", "d"],
}
AFTER = {"applied": [{"name": "a", "actions": ["container: start"], "failed": None, "left": None}], "done": ["a"]}


def test_what_was_done_in_words() -> None:
    assert applied([BEFORE, AFTER], ["a", "b", "c", "d"]) == [
        "4 services: 1 brought to their state together, 3 left to their roles",
        "a: database: create role a and 1 more; container: start",
        "b: left to its role: DNS: the zone is refused",
        "c: left to its role: its state is stopped",
        "d: left to its role: the pool did not take its tenant",
    ]
    assert applied([{"failed": True, "msg": "no\nPython"}, {"skipped": True}], ["a"])[1] == "a: left to its role: no Python"


def test_a_mail_account_that_is_down_is_told_and_nobody_is_to_be_mailed(tmp_path: pathlib.Path) -> None:
    """Its options are those of a task, most of them left out."""
    step = {"module": "greenlight_reset_mail", "register": None, "arguments": {"hostname": "a.example", "emails": [["ana@a.example"]]}}
    one = instance(tmp_path, "one", step)
    assert carry_out([one], "after")[0].mails == [{"hostname": "a.example", "emails": ["ana@a.example"]}]
    (done,) = carry_out([{**one, "checks": [{"smtp": {"server": "127.0.0.1", "port": 1, "sender_email": "m@a.example"}}]}], "after")
    assert done.failed is not None and done.failed.startswith("invitation: ") and "cannot be reached" in done.failed and done.mails == []
