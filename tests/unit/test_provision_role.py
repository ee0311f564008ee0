# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role provision by real runs on this machine, with stand-ins for its modules: who is taken together, who is left to its role."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import pytest

from tests.support.ansible import ROOT, environment, run_playbook

pytestmark = pytest.mark.programs

SECRET = "wH4tNobodyMaySee"
# Each stand-in notes its call and answers from a file.
STAND_IN = """
import json, os
from ansible.module_utils.basic import AnsibleModule
HERE = {here!r}
NAME = {name!r}
def main():
    module = AnsibleModule({options!r}, supports_check_mode=True)
    given = dict(module.params)
    with open(os.path.join(HERE, "calls"), "a") as file:
        file.write(json.dumps([NAME, given]) + "\\n")
    with open(os.path.join(HERE, "answers.json")) as file:
        answers = json.load(file)
    answer = answers.get(NAME + ":" + str(given.get("part")), answers.get(NAME, {{}}))
    if answer.get("failed"):
        module.fail_json(msg=answer["failed"])
    if NAME == "instance_apply":
        names = [name for name in given["services"] if name not in answer["failing"]]
        told = [dict(name=name, actions=["did " + given["part"]] if name in names else [], left=None,
                     failed=None if name in names else "it broke") for name in given["services"]]
        tenants = [dict(host="localhost", options=dict(engine="bbblb"), services=names, tenants=[dict(name=name, secret=answer["secret"])
                        for name in names])] if given["part"] == "before" and names else []
        module.exit_json(changed=True, applied=told, done=names, tenants=tenants)
    module.exit_json(**answer)
main()
"""
OPTIONS: dict[str, dict[str, Any]] = {
    "instance_apply": {"services": {"type": "list"}, "part": {"type": "str"}, "starts": {"type": "int"}},
    "instance_plan": {"services": {"type": "list"}},
    "pool_tenant": {"engine": {"type": "str"}, "tenants": {"type": "list", "no_log": True}},
    "move_record": {},
}
PLAY = """
- hosts: container_hosts
  gather_facts: false
  vars: {plan_result: {due: [a, b, c, d, e, f], in_sync: [g]}}
  roles: [meet.coop.provision]
"""


class Stage:
    """A collection in which the roles are real and the modules are not."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        coop = folder / "ansible_collections" / "meet" / "coop"
        (coop / "plugins" / "modules").mkdir(parents=True)
        for name in ("roles", "meta", "galaxy.yml", "plugins/filter", "plugins/plugin_utils", "plugins/module_utils"):
            (coop / name).symlink_to(ROOT / name)
        for name, options in OPTIONS.items():
            (coop / "plugins" / "modules" / f"{name}.py").write_text(STAND_IN.format(here=str(folder), name=name, options=options))
        (folder / "play.yml").write_text(PLAY)
        self.answers: dict[str, Any] = {
            "instance_apply": {"failing": [], "secret": SECRET},
            "instance_plan": {"planned": [], "tenants": []},
            "pool_tenant": {"tenants": []},
            "move_record": {"kept": [], "moves": {}},
        }

    def run(self, *arguments: str, hosts: str = "one") -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        (self.folder / "calls").write_text("")
        local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
        lines = [f"{name} {more or local}" for name, _space, more in (host.partition(" ") for host in hosts.split(","))]
        (self.folder / "hosts.ini").write_text("\n".join(["[container_hosts]", *lines]) + "\n")
        words = ["ansible-playbook", "-i", str(self.folder / "hosts.ini"), str(self.folder / "play.yml"), "-l", "one,localhost", *arguments]
        env = environment(ANSIBLE_COLLECTIONS_PATH=str(self.folder), ANSIBLE_LOCALHOST_WARNING="false")
        done = run_playbook(words, env=env, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done.stdout, [tuple(json.loads(line)) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Stage:
    return Stage(tmp_path)


def taken(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, list[str]]]:
    return [(given["part"], given["services"]) for name, given in calls if name == "instance_apply"]


def test_many_are_taken_in_parts_and_planned_anew(stage: Stage) -> None:
    stage.answers["instance_apply"]["failing"] = ["b"]
    output, calls = stage.run("-e", "provision_batch=4")
    assert taken(calls) == [("before", list("abcd")), ("after", list("acd")), ("before", list("ef")), ("after", list("ef"))]
    # one call to the pool for each part, and at last a plan, of which nothing is believed in advance
    assert [name for name, _given in calls] == [*["instance_apply", "pool_tenant", "instance_apply"] * 2, "instance_plan"]
    text = " ".join(output.split())
    assert "4 services: 3 brought to their state together, 1 left to their roles" in text and "b: left to its role: it broke" in text


def test_a_pool_that_refuses_leaves_its_services_to_their_roles(stage: Stage) -> None:
    stage.answers["pool_tenant"] = {"failed": "the engine is down"}
    output, calls = stage.run()
    assert taken(calls) == [("before", list("abcdef"))] and calls[-1][0] == "instance_plan"
    assert "the pool did not take its tenant" in " ".join(output.split())


def test_a_host_that_fails_in_between_is_told_and_planned_anew(stage: Stage) -> None:
    stage.answers["instance_apply:after"] = {"failed": "no psycopg"}
    output, calls = stage.run()
    assert calls[-1][0] == "instance_plan" and "a: left to its role: no psycopg" in " ".join(output.split())


@pytest.mark.parametrize("arguments", [("--check",), ("-e", "provision_from=7"), ("-e", '{"provision_services": []}')])
def test_check_mode_few_and_nobody_are_left_to_their_roles(stage: Stage, arguments: tuple[str, ...]) -> None:
    assert stage.run(*arguments)[1] == []


def test_who_may_live_elsewhere_is_left_to_its_role(stage: Stage) -> None:
    """Both hosts answer the same here: a and b are kept, b is on its way; the new ones are on neither."""
    stage.answers["move_record"] = {"kept": ["a", "b"], "moves": {"b": {"state": "leaving"}, "c": {"state": "arriving"}}}
    assert [services for _part, services in taken(stage.run(hosts="one,two")[1])] == [["a", "d", "e", "f"]] * 2
    stage.answers["move_record"] = {"kept": ["a"], "moves": {}}
    # While another host says nothing, no new one is made; a host that is lost is not asked.
    hosts = "one,two ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"
    assert [services for _part, services in taken(stage.run(hosts=hosts)[1])] == [["a"]] * 2
    lost = ("-e", '{"instance_lost_hosts": ["two"]}')
    assert [services for _part, services in taken(stage.run(*lost, hosts=hosts)[1])] == [list("abcdef")] * 2
