# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is set wrong for role monitoring is refused in one line, before anything is done; dashboards and rules are what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.ansible import ROOT, environment

GOOD = {
    "monitoring_nodes": [{"domain": "bbb1.example.org", "secret": "s3cr3t"}],
    "monitoring_on_duty": ["mo@example.org"],
    "monitoring_smtp": {"server": "mail.example.org", "sender": "alerts@example.org", "password": "pa55word"},
}
CASES = [
    ({"monitoring_nodes": []}, "monitoring_nodes is empty"),
    ({"monitoring_nodes": [{"domain": "bbb1.example.org", "secret": "s3cr3t", "state": "absent"}]}, "monitoring_nodes is empty"),
    ({"monitoring_nodes": [{"domain": "bbb9.example.org"}]}, "bbb9.example.org without secret"),
    ({"monitoring_on_duty": []}, "Nobody would hear of an alert"),
    ({"monitoring_smtp": {}}, "Nobody would hear of an alert"),
    ({"monitoring_on_duty": ["Mo Hart"]}, "Mo Hart is no mail address"),
    ({"monitoring_smtp": {"server": "mail.example.org"}}, "monitoring_smtp has no sender"),
]


def test_mistakes_are_one_line_and_tell_no_secret(tmp_path):
    tasks = []
    fine = [({}, None), ({"monitoring_smtp": {}, "monitoring_webhook": "https://x.example"}, None)]
    for number, (wrong, expected) in enumerate([*fine, *CASES]):
        include = {"ansible.builtin.include_role": {"name": "meet.coop.monitoring", "tasks_from": "preflight"}, "vars": {**GOOD, **wrong}}
        if expected is None:
            tasks.append({"name": f"Case {number}", **include})
            continue
        through = {"ansible.builtin.fail": {"msg": f"case {number} was let through"}}
        said = {"ansible.builtin.assert": {"that": [f"ansible_failed_result.msg is search('{expected}')"]}}
        tasks.append({"name": f"Case {number}", "block": [include, through], "rescue": [said]})
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)], cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"rescued={len(CASES)}" in done.stdout and "s3cr3t" not in done.stdout and "pa55word" not in done.stdout


def test_every_alert_has_its_runbook():
    rules = (ROOT / "roles" / "monitoring" / "templates" / "rules.yml.j2").read_text()
    links = set(re.findall(r"runbook_url: \[\[ monitoring_runbooks \]\]#([a-z]+)$", rules, re.MULTILINE))
    headings = {name.lower() for name in re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)}
    assert links == headings
    assert rules.count("- alert:") == rules.count("runbook_url:") == rules.count("summary:") == rules.count("severity:")


@pytest.mark.parametrize("name", ["pool", "tenants", "hosts"])
def test_a_dashboard_asks_for_what_there_is(name):
    """Only metrics that the meter, backups and drills tell, or the exporters of the field; no panel lies on another."""
    board = json.loads((ROOT / "roles" / "monitoring" / "files" / "dashboards" / f"{name}.json").read_text())
    told = "".join((ROOT / "plugins" / "module_utils" / path).read_text() for path in ("_backup/runs.py", "_backup/rota.py"))
    ours = (ROOT / "plugins" / "module_utils" / "_meter" / "exposition.py").read_text()
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
        for target in panel["targets"]:
            for metric in re.findall(r"meet_coop_(\w+)", target["expr"]):
                parts = re.fullmatch(r"(node|tenant|meter)_(?:fair_use_)?(\w+)", metric)
                assert f"meet_coop_{metric}" in told or (parts and (f'"{parts[2]}"' in ours or f"}}{parts[1]}_{parts[2]}" in ours)), metric
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
