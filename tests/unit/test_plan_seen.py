# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan's half on the container host, and what is made of both halves: trouble stays with its own service, and no secret is told."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils import _secrets
from ansible_collections.meet.coop.plugins.module_utils._edge import routes
from ansible_collections.meet.coop.plugins.module_utils._edge.admin import Admin
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import look
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import NotKnown, fill, mark
from ansible_collections.meet.coop.plugins.plugin_utils._plan.steps import read
from ansible_collections.meet.coop.plugins.plugin_utils._plan.summary import merge

RULES = {"pool_secret": {"length": 40}}
TEXT = st.text(st.characters(exclude_categories=["Co", "Cs"]), max_size=20)


@given(st.recursive(TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_what_has_no_placeholder_stays_as_it_is(value: Any) -> None:
    assert fill(value, {}) == value


@given(st.integers() | st.none() | TEXT, TEXT, TEXT)
def test_a_placeholder_alone_keeps_its_type_and_amid_text_is_text(value: Any, before: str, after: str) -> None:
    known = {"kept": {"secrets": {"a": value}}}
    one = mark("kept", "secrets", "a")
    assert fill({"x": [one]}, known) == {"x": [value]}
    assert fill(before + one + after + " ", known) == f"{before}{value}{after} "
    with pytest.raises(NotKnown):
        fill(one, {"kept": {}})


def secrets_step(folder: pathlib.Path, name: str) -> dict[str, Any]:
    return {"module": "instance_secrets", "register": "kept", "arguments": {"path": str(folder / name / "secrets.json"), "secrets": RULES}}


def kept(folder: pathlib.Path, name: str) -> str:
    path = str(folder / name / "secrets.json")
    plan = _secrets.diff(_secrets.observe(path), RULES, ())
    values = _secrets.generate(plan, _secrets.observe(path), RULES)
    _secrets.apply(path, plan, values)
    return values["pool_secret"]


def tenant(name: str) -> dict[str, Any]:
    return {"host": "pool", "engine": "bbblb", "tenants": [{"name": name, "secret": mark("kept", "secrets", "pool_secret")}]}


def route_step(folder: pathlib.Path, name: str, host: str) -> dict[str, Any]:
    arguments = {"id": name, "hosts": [host], "upstream": "127.0.0.1:5000", "admin": str(folder / "none.sock")}
    return {"module": "caddy_route", "register": None, "arguments": {**arguments, "config_file": str(folder / "edge.json")}}


@pytest.mark.parametrize("processes", [1, 2])
def test_each_instance_is_told_by_itself(tmp_path: pathlib.Path, processes: int) -> None:
    """One is well, one has no secrets, one has a damaged file, one an open one, one another task that cannot be understood."""
    secret = {name: kept(tmp_path, name) for name in ("well", "open", "wrong")}
    (tmp_path / "damaged").mkdir(mode=0o700)
    (tmp_path / "damaged" / "secrets.json").write_text("{")
    os.chmod(tmp_path / "open" / "secrets.json", 0o644)
    names = ["well", "missing", "damaged", "open", "wrong"]
    instances: list[dict[str, Any]] = [{"name": name, "steps": [secrets_step(tmp_path, name)], "tenants": [tenant(name)]} for name in names]
    instances[4]["steps"].append({"module": "greenlight_settings", "register": None, "arguments": {"limits": {"participants": "many"}}})
    found = {one.name: one for one in look(instances, f"unix://{tmp_path}/docker.sock", processes)}
    assert list(found) == names
    assert found["well"].drift == [] and found["well"].tenants[0]["tenants"][0]["secret"] == secret["well"]
    assert found["missing"].drift == [{"kind": "secrets", "reason": "pool_secret not made yet"}]
    assert [entry["kind"] for entry in found["damaged"].drift] == ["secrets"] and "not JSON" in found["damaged"].drift[0]["reason"]
    assert found["open"].drift[0]["reason"].startswith("the file has mode 0644")
    assert [entry["kind"] for entry in found["wrong"].drift] == ["settings"] and "participants" in found["wrong"].drift[0]["reason"]
    assert not [value for value in secret.values() if value in json.dumps([one.drift for one in found.values()])]


def test_routes_are_judged_together_and_one_refused_is_told_of_its_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy runs with two routes, of which one is as it should be."""
    good = routes.make_route("good", ["good.example.org"], upstream="127.0.0.1:5000").as_config()
    other = routes.make_route("other", ["other.example.org"], upstream="127.0.0.1:5001").as_config()
    config = {"apps": {"http": {"servers": {"edge": {"routes": [good, other]}}}}}
    (tmp_path / "edge.json").write_text(json.dumps(config))
    monkeypatch.setattr(Admin, "get", lambda _self, _path: (config, ""))
    instances = [
        {"name": name, "steps": [route_step(tmp_path, name, host)], "tenants": []}
        for name, host in (("good", "good.example.org"), ("other", "other.example.org"), ("new", "new.example.org"), ("bad", "no host"))
    ]
    found = {one.name: [entry["reason"] for entry in one.drift] for one in look(instances, f"unix://{tmp_path}/docker.sock", 1)}
    assert found == {"good": [], "other": ["route other differs"], "new": ["route new differs"], "bad": found["bad"]}
    assert "'no host' is not a whole host name" in found["bad"][0]


def test_a_host_without_docker_makes_its_instances_due(tmp_path: pathlib.Path) -> None:
    arguments: dict[str, Any] = {"name": "one", "state": "stopped", "state_root": str(tmp_path)}
    step = {"module": "greenlight_container", "register": "made", "arguments": arguments}
    (one,) = look([{"name": "one", "steps": [step], "tenants": []}], f"unix://{tmp_path}/docker.sock", 1)
    assert one.drift == [{"kind": "container", "reason": f"there is no Docker at unix://{tmp_path}/docker.sock yet"}]


SEEN = {
    "planned": [{"name": name, "in_sync": True, "broken": None, "drift": [], "notes": []} for name in ("a", "b")]
    + [{"name": "c", "in_sync": False, "broken": "c: nobody set it", "drift": [], "notes": ["waits"]}],
    "tenants": [{"host": "pool", "options": {}, "services": ["a", "b"], "tenants": [{"name": "ta", "secret": "hush"}, {"name": "tb"}]}],
}


def test_a_tenant_that_differs_makes_its_service_due() -> None:
    plan = merge(SEEN, [{"tenants": [{"name": "ta", "action": "unchanged"}, {"name": "tb", "action": "changed"}]}])
    assert (plan["in_sync"], plan["due"]) == (["a"], ["b", "c"])
    assert plan["lines"] == [
        "3 services: 1 in sync, 1 with something to do, 1 that cannot be planned",
        "b: tenant: tenant tb differs",
        "c: cannot be planned: c: nobody set it",
        "c: waits",
    ]
    assert "hush" not in json.dumps(plan)


@pytest.mark.parametrize(
    "answers",
    [[], [{"failed": True, "msg": "no pool"}], [{"unreachable": True}], [{"tenants": [{"name": "ta", "action": "unchanged"}]}], [{}]],
)
def test_a_pool_that_does_not_answer_makes_its_tenants_due(answers: list[dict[str, Any]]) -> None:
    assert merge(SEEN, answers)["in_sync"] == []


def test_an_unknown_task_is_kept_with_its_conditions(tmp_path: pathlib.Path) -> None:
    """What is opened and what is not: an include of a role, a rescue, a loop over an include."""
    tasks = [
        {"name": "one", "block": [{"name": "two", "meet.coop.x": {"a": 1}, "when": "b"}], "when": ["a"], "rescue": [{"name": "r"}]},
        {"name": "three", "ansible.builtin.include_tasks": "more.yml", "when": "c"},
        {"name": "four", "ansible.builtin.include_role": {"name": "y"}, "when": "d"},
    ]
    files = {"main.yml": tasks, "more.yml": [{"name": "five", "meet.coop.z": {}, "when": "e", "register": "r", "changed_when": False}]}
    (tmp_path / "t" / "tasks").mkdir(parents=True)
    for name in files:
        (tmp_path / "t" / "tasks" / name).touch()
    chain = read(str(tmp_path), "t", lambda path: files[os.path.basename(path)])
    kinds = [(step.name, step.module.rpartition(".")[2], step.gates, step.conditions) for step in chain.steps]
    assert kinds == [
        ("two", "x", (), ("a", "b")),
        ("one", "block with rescue or always", (), ("a",)),
        ("five", "z", ("c",), ("e",)),
        ("four", "include_role", (), ("d",)),
    ]
    assert chain.steps[2].silent and chain.steps[2].register == "r"


def test_a_system_that_left_makes_its_service_due_until_its_secret_is_gone(tmp_path: pathlib.Path) -> None:
    """Otherwise a nightly run would leave it in."""
    names = ("stays", "withdrawn")
    paths = {}
    for name in names:
        kept(tmp_path, name)
        paths[name] = tmp_path / name / "secrets.json"
    withdrawn = {"module": "cms_access", "register": None, "arguments": {"path": str(paths["withdrawn"])}}
    instances = [{"name": "stays", "steps": [secrets_step(tmp_path, "stays")]}, {"name": "withdrawn", "steps": [withdrawn]}]

    def due() -> set[str]:
        return {found.name for found in look(instances, "unix:///nowhere.sock", 1) if found.drift}

    assert due() == set()
    for path in paths.values():
        path.write_text(json.dumps({**json.loads(path.read_text()), "cms_cloud": "s" * 40}))
    assert due() == set(names)
