# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook and the module by the real ansible-playbook."""

from __future__ import annotations

import html.parser
import json
import pathlib
import sys

import pytest

from tests.support import ansible
from tests.unit.cooperative.coop import Coop

pytestmark = pytest.mark.programs

TITLE = 'Pay {{ 7 * 7 }} <script>alert("x")</script> & more'


class Page(html.parser.HTMLParser):
    """Names of elements, ids, links within the page, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = dict(attrs)
        self.elements.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if its.get("id"):
            self.ids.append(its["id"] or "")
        if (its.get("href") or "").startswith("#"):
            self.links.add((its["href"] or "")[1:])
        assert tag != "th" or its.get("scope"), "every head of a table says of what"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_play_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop")
    coop.propose(title=TITLE)
    coop.say("ada", "agree")
    coop.say("bob", "stand_aside", reason="Too <b>much</b> {{ 7 * 7 }}")
    coop.propose("D-0002", opened="2026-02-20", closes_consensus="2026-03-20", supersedes=["D-0001"])
    coop.say("cia", "agree", "D-0002", revision=1, at="2026-02-01")
    page = tmp_path / "decisions.html"
    call = {"membership": [str(coop.path / "members.yml")], "as_of": "2026-03-01"}
    need = [{"decision": "D-0002", "used_by": "rules/3.yml"}]
    plays = [
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"meet.coop.decision_tally": call, "check_mode": True, "diff": True, "register": "told"},
            {"ansible.builtin.stat": {"path": str(coop.decisions / "D-0001" / "outcome.yml")}, "register": "before"},
            {"ansible.builtin.assert": {"that": [
                "told is changed", "told.files | length == 2", "told.diff | length == 2", "not before.stat.exists",
            ]}},
            {"meet.coop.decision_tally": {**call, "require": need}, "register": "refused", "ignore_errors": True},
            {"ansible.builtin.stat": {"path": str(coop.decisions / "D-0001" / "outcome.yml")}, "register": "before"},
            {"ansible.builtin.assert": {"that": ["refused is failed", "refused.msg == wanted", "not before.stat.exists"]},
             "vars": {"wanted": "rules/3.yml: decision D-0002 is still open, not passed; write the number of one that has passed"}},
        ]},
        {"ansible.builtin.import_playbook": str(ansible.ROOT / "playbooks" / "decide.yml")},
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"ansible.builtin.assert": {"that": ["decision_log_tally is changed", "decision_log_tally.files == told.files"]}},
        ]},
        {"ansible.builtin.import_playbook": str(ansible.ROOT / "playbooks" / "decide.yml")},
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"ansible.builtin.assert": {"that": ["decision_log_tally is not changed"]}},
        ]},
    ]  # fmt: skip
    playbook, variables = tmp_path / "play.yml", tmp_path / "variables.json"
    playbook.write_text(json.dumps(plays))
    variables.write_text(json.dumps({"decision_log_as_of": "2026-03-01", "decision_log_page": str(page)}))
    inventory = coop.path / "hosts.yml"
    inventory.write_text("all:\n")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", f"@{variables}", str(playbook)]
    done = ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), timeout=120, together=True)
    assert done.returncode == 0, done.stdout
    # The tally and the page, once each.
    assert "changed=3 " in done.stdout.strip().splitlines()[-1], done.stdout
    assert "D-0002 awaits cia: answer again: what it said is of 2026-02-01; this round began on 2026-02-20, by 2026-03-20" in " ".join(
        done.stdout.split()
    )
    assert "Traceback" not in done.stdout
    assert [line for line in done.stdout.splitlines() if "WARNING" in line and "localhost" not in line] == []

    log = Page(page.read_text(encoding="utf-8"))
    assert log.open == [] and "script" not in log.elements and "b" not in log.elements
    assert TITLE in log.text and "Too <b>much</b> {{ 7 * 7 }}" in log.text
    assert len(log.ids) == len(set(log.ids)) and log.links <= set(log.ids) and log.links
    assert log.elements.count("h1") == 1 and log.elements.count("main") == 1
