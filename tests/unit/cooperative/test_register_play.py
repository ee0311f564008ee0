# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The register's playbook and module by the real ansible-playbook."""

from __future__ import annotations

import json
import pathlib
import shutil
import stat
import sys
from typing import Any

import pytest

from tests.support import ansible
from tests.unit.cooperative.coop import Coop
from tests.unit.cooperative.test_play import Page
from tests.unit.cooperative.test_register import MEMBERSHIP

pytestmark = pytest.mark.programs

NAME = 'Eve {{ 7 * 7 }} <script>alert("x")</script> & co'
REASON = "Too <b>little</b> {{ 7 * 7 }}"
BOOK = str(ansible.ROOT / "playbooks" / "register.yml")


def play(tmp_path: pathlib.Path, coop: Coop, plays: list[dict[str, Any]], variables: dict[str, Any]) -> tuple[int, str]:
    """Exit code and output of plays."""
    book, given = tmp_path / "play.yml", tmp_path / "variables.json"
    book.write_text(json.dumps(plays))
    given.write_text(json.dumps(variables))
    inventory = coop.path / "hosts.yml"
    inventory.write_text("all:\n")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", f"@{given}", str(book)]
    done = ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), timeout=120, together=True)
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


def test_the_play_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop", "ada bob cia")
    coop.write("rules.yml", MEMBERSHIP)
    coop.propose(kind="membership", admits=["eve"])
    eve = {
        "name": NAME, "applied": "2026-01-01", "admitted_by": "D-0001", "joined": "2026-02-01", "supported_by": "ada",
        "changes": [{"from": "2026-02-20", "weight": "1/2", "reason": REASON}], "left": "2026-06-01",
    }  # fmt: skip
    coop.members({"ada": {}, "bob": {}, "cia": {}, "eve": eve})
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    page, table = tmp_path / "register.html", tmp_path / "register.csv"
    call = {"membership": [str(coop.path / "members.yml")], "as_of": "2026-03-01", "csv": str(table)}
    plays = [
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"meet.coop.member_register": call, "check_mode": True, "diff": True, "register": "told"},
            {"ansible.builtin.stat": {"path": str(table)}, "register": "before"},
            {"ansible.builtin.assert": {"that": ["told is changed", "told.diff | length == 1", "not before.stat.exists"]}},
        ]},
        {"ansible.builtin.import_playbook": BOOK},
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"ansible.builtin.assert": {"that": ["register_found is changed", "register_found.csv == told.csv"]}},
        ]},
        {"ansible.builtin.import_playbook": BOOK},
        {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": ["register_found is not changed"]}}]},
    ]  # fmt: skip
    variables = {"register_as_of": "2026-03-01", "register_page": str(page), "register_csv": str(table)}
    code, output = play(tmp_path, coop, plays, variables)
    assert code == 0, output
    # The table and the page, once each, and what the first play was told.
    assert "changed=3 " in output.strip().splitlines()[-1], output
    assert "Members: 4 active" in output and [line for line in output.splitlines() if "WARNING" in line and "localhost" not in line] == []

    log = Page(page.read_text(encoding="utf-8"))
    assert log.open == [] and "script" not in log.elements and "b" not in log.elements
    assert NAME in log.text and REASON in log.text and "mo@agaric.example" in log.text
    assert len(log.ids) == len(set(log.ids)) and log.links <= set(log.ids) and log.links
    assert log.elements.count("h1") == 1 and log.elements.count("main") == 1 and log.elements.count("caption") == 1
    assert stat.S_IMODE(page.stat().st_mode) == 0o600, "it names people"
    code, output = play(tmp_path, coop, [{"ansible.builtin.import_playbook": BOOK}], {**variables, "register_contacts": False})
    assert code == 0 and "mo@agaric.example" not in page.read_text() and stat.S_IMODE(page.stat().st_mode) == 0o644

    coop.members({"ada": {}, "bob": {}, "cia": {}, "eve": {**eve, "admitted_by": "D-0002"}})
    before = page.read_bytes(), table.read_bytes()
    code, output = play(tmp_path, coop, [{"ansible.builtin.import_playbook": BOOK}], variables)
    assert code == 2 and "decision D-0002 does not exist; write the number of one that has passed" in " ".join(output.split())
    assert (page.read_bytes(), table.read_bytes()) == before


def test_what_is_written_lies_beside_the_membership_file(tmp_path: pathlib.Path) -> None:
    """Unless told otherwise; never beside the playbooks, which lie in the installed collection."""
    coop = tmp_path / "coop"
    shutil.copytree(ansible.ROOT / "inventories" / "example", coop, ignore=shutil.ignore_patterns("written"))
    books = [str(ansible.ROOT / "playbooks" / f"{name}.yml") for name in ("register", "decide", "support", "handover")]
    day, at = "2026-11-02", "2026-11-02T08:00:00Z"
    given = {"register_as_of": day, "decision_log_as_of": day, "support_rota_at": at, "handover_at": at, "handover_fail": False}

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(coop), "-e", json.dumps(given), *options, *books]
        done = ansible.run_playbook(command, env=ansible.environment(), timeout=240, together=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    beside = sorted(path.name for path in (ansible.ROOT / "playbooks").iterdir())
    run("--check")
    assert not (coop / "written").exists()
    run()
    names = {path.name for path in (coop / "written").iterdir()}
    assert names == {"decisions.html", "handover.html", "register.csv", "register.html", "rota.html", "rota.ics"}
    assert all("changed=0 " in line for line in run().splitlines() if "failed=" in line)
    assert sorted(path.name for path in (ansible.ROOT / "playbooks").iterdir()) == beside
