# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role move with a new host that goes silent at any of its steps: the role's own tasks and records, with stand-ins for what they drive."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys

import pytest

from tests.support.ansible import environment, run_playbook

pytestmark = pytest.mark.programs

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What carries data or only asks is not what is tried here.
STILL = ("carry", "certificates", "ready", "first", "tidy", "names", "learn")
STAND_IN = """
# Two container hosts in a folder: what is written down there, what their edges show and what runs. host2 is silent from a step on.
import json, pathlib
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.meet.coop.plugins.modules import move_record

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        world = pathlib.Path(task_vars["world"])
        host, kind = self._task.delegate_to or "host2", self._task.action.rpartition(".")[2]
        arguments = self._task.args
        if host == "host2":
            asked = world / "asked"
            asked.write_text((asked.read_text() if asked.exists() else "") + self._task.name + chr(10))
            silent = world / "silent"
            if self._task.name == task_vars["silent_at"]:
                silent.touch()
                # The answer to what was asked last may be lost while it was done.
                if task_vars["done_all_the_same"]:
                    self.does(world / host, kind, arguments)
            if silent.exists():
                raise AnsibleConnectionFailure("no answer")
        return self.does(world / host, kind, arguments)

    def does(self, host, kind, arguments):
        route = host / "route"
        shown = route.read_text() if route.exists() else ""
        if kind == "move_record":
            whole = {"name": None, "state": None, "peer": "", "facts": {}, "directory": f"{host}/moves", "state_root": f"{host}/instances"}
            return move_record.run({**whole, **arguments}, True)
        if kind == "caddy_info":
            return {"changed": False, "hosts": ["rosa.meet.test"] if shown else []}
        if kind == "caddy_route":
            wanted = "maintenance" if arguments.get("state") == "maintenance" else "relay" if "handlers" in arguments else "open"
            if not self._task.check_mode:
                route.write_text(wanted)
            return {"changed": shown != wanted}
        if kind == "greenlight_container":
            (host / "running").write_text(arguments["state"])
            return {"changed": True, "port": 5100}
        if kind == "greenlight_restore":
            (host / "instances" / "rosa" / "secrets.json").write_text("{}")
        return {"changed": True, "secrets": {}}
"""
MODULES = (
    "move_record", "caddy_info", "caddy_route", "greenlight_container", "greenlight_restore", "greenlight_settings", "instance_secrets",
    "greenlight_backup",
)  # fmt: skip
TIER = """
- ansible.builtin.include_role: {name: meet.coop.instance, tasks_from: place.yml}
- ansible.builtin.include_role: {name: meet.coop.instance, tasks_from: container.yml}
- name: Set registration, branding and limits
  meet.coop.greenlight_settings:
- ansible.builtin.include_role: {name: meet.coop.instance, tasks_from: arrived.yml}
  when: instance_arriving_from | length > 0
- ansible.builtin.include_role: {name: meet.coop.instance, tasks_from: route.yml}
"""
PLAY = """
- hosts: rosa
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: meet.coop.move}
"""


@pytest.fixture
def world(tmp_path: pathlib.Path) -> pathlib.Path:
    """rosa serves from host1; the membership file says host2."""
    house = tmp_path / "ansible_collections" / "meet" / "coop"
    for part in ("plugins/module_utils", "plugins/filter", "plugins/doc_fragments", "plugins/modules", "meta"):
        (house / part).parent.mkdir(parents=True, exist_ok=True)
        (house / part).symlink_to(ROOT / part)
    shutil.copy(ROOT / "galaxy.yml", house / "galaxy.yml")
    shutil.copytree(ROOT / "roles" / "move", house / "roles" / "move")
    shutil.copytree(ROOT / "roles" / "instance", house / "roles" / "instance")
    for name in STILL:
        (house / "roles" / "move" / "tasks" / f"{name}.yml").write_text("[]\n")
    (house / "roles" / "instance" / "tasks" / "container.yml").write_text(
        "- name: Run the Greenlight container\n  register: instance_container\n"
        "  meet.coop.greenlight_container: {name: rosa, state: present}\n"
    )
    (house / "roles" / "instance" / "tasks" / "route.yml").write_text(
        "- name: Open the instance's names to the world\n  meet.coop.caddy_route: {id: rosa, hosts: [rosa.meet.test]}\n"
    )
    (house / "roles" / "instance" / "tasks" / "zone.yml").write_text("[]\n")
    (house / "roles" / "consumer" / "tasks").mkdir(parents=True)
    (house / "roles" / "consumer" / "tasks" / "main.yml").write_text(TIER)
    (house / "plugins" / "action").mkdir()
    for name in MODULES:
        (house / "plugins" / "action" / f"{name}.py").write_text(STAND_IN)
    for host in ("host1", "host2"):
        (tmp_path / "world" / host / "instances" / "rosa").mkdir(parents=True)
    (tmp_path / "world" / "host1" / "instances" / "rosa" / "secrets.json").write_text("{}")
    (tmp_path / "world" / "host1" / "route").write_text("open")
    (tmp_path / "world" / "host1" / "running").write_text("present")
    service = {
        "id": "rosa", "tier": "consumer", "title": "Rosa", "state": "present", "container_host": "host2", "address": "192.0.2.2",
        "address6": None, "subdomain_fqdn": "rosa.meet.test", "own_domains": [], "former_domains": [], "branding": {"overrides": None},
        "image": "greenlight:v3",
    }  # fmt: skip
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    machines = {host: {**local, "coop_address": f"192.0.2.{host[-1]}", "coop_address6": None} for host in ("host1", "host2")}
    variables = {
        "coop_service": service, "coop_owner": {}, "coop_cooperative": {"id": "meet", "domain": "meet.test"},
        "move_prove": False, "move_checks": [], "move_snapshot_taken": "1c98", "move_all": True,
        "move_running_image": "greenlight:v3", "move_image": "greenlight:v3",
        "move_receipts_directory": str(tmp_path / "receipts"), "world": str(tmp_path / "world"), "move_wait": 20,
    }  # fmt: skip
    groups = {"container_hosts": {"hosts": machines}, "coop_services": {"hosts": {"rosa": {**local, **variables}}}}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"children": groups, "vars": {"world": str(tmp_path / "world")}}}))
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    return tmp_path


def moved(world: pathlib.Path, silent_at: str = "", done: bool = False) -> tuple[int, str]:
    given = json.dumps({"silent_at": silent_at, "done_all_the_same": done})
    run = run_playbook(
        ["ansible-playbook", "-i", str(world / "hosts.json"), str(world / "play.yml"), "-e", given],
        cwd=world,
        env={**environment(), "ANSIBLE_COLLECTIONS_PATH": str(world), "ANSIBLE_CONFIG": str(world / "ansible.cfg")},
        timeout=300,
    )
    return run.returncode, " ".join((run.stdout + run.stderr).split())


def said(world: pathlib.Path, host: str) -> tuple[str, str]:
    """What the host's record says, and what its edge shows."""
    record, route = world / "world" / host / "moves" / "rosa.json", world / "world" / host / "route"
    state = json.loads(record.read_text())["state"] if record.exists() else ""
    return state, route.read_text() if route.exists() else ""


def opened_again(world: pathlib.Path, step: str, done: bool) -> None:
    code, output = moved(world, step, done)
    assert code == 2 and "not moved, it serves from host1 as before: host2 does not answer" in output, output
    assert said(world, "host1") == ("", "open") and (world / "world" / "host1" / "running").read_text() == "present"
    assert said(world, "host2")[0] in ("", "arriving") and said(world, "host2")[1] != "open"
    # It answers again, and the same command takes it there.
    (world / "world" / "silent").unlink()
    code, output = moved(world)
    assert code == 0 and (said(world, "host1"), said(world, "host2")) == (("left", "relay"), ("arrived", "open")), output


def test_a_host_that_goes_silent_while_it_is_closed_takes_nobody_along(world: pathlib.Path) -> None:
    opened_again(world, "Set registration, branding and limits", False)


@pytest.mark.thorough
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize(
    "step",
    [
        "Write down that its data is on the way", "Lay its data out at the new place", "Show the maintenance page at the new place too",
        "Run the Greenlight container", "Set registration, branding and limits",
    ],
)  # fmt: skip
def test_until_the_new_host_counts_the_old_place_is_opened_again(world: pathlib.Path, step: str, done: bool) -> None:
    opened_again(world, step, done)


@pytest.mark.thorough
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("step", ["Write down that from now on this place counts", "Open the instance's names to the world"])
def test_from_then_on_it_waits_for_the_new_host(world: pathlib.Path, step: str, done: bool) -> None:
    code, output = moved(world, step, done)
    assert code == 2 and "closed; host2 counts and does not answer" in output, output
    assert said(world, "host1") == ("leaving", "maintenance")
    (world / "world" / "silent").unlink()
    code, output = moved(world)
    assert code == 0 and (said(world, "host1"), said(world, "host2")) == (("left", "relay"), ("arrived", "open")), output
