# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is set wrong for role monitoring is refused in one line, before anything is done; dashboards and rules are what they say."""

from __future__ import annotations

import json
import re
import sys

import pytest
import yaml

from tests.support.ansible import ROOT, environment, run_playbook

ROLE = ROOT / "roles" / "monitoring"
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
    ({"monitoring_watchdog_url": "hc-ping.example/s3cr3t"}, "monitoring_watchdog_url is no address"),
]


@pytest.mark.programs
def test_mistakes_are_one_line_and_tell_no_secret(tmp_path):
    tasks = []
    fine = [
        ({}, None),
        ({"monitoring_watchdog_url": "https://hc-ping.example/s3cr3t"}, None),
        ({"monitoring_smtp": {}, "monitoring_webhook": "https://x.example"}, None),
    ]
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
    done = run_playbook(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)],
        cwd=ROOT,
        env=environment(),
        timeout=180,
        together=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"rescued={len(CASES)}" in done.stdout and "s3cr3t" not in done.stdout and "pa55word" not in done.stdout


def test_every_alert_has_its_runbook():
    rules = (ROOT / "roles" / "monitoring" / "templates" / "rules.yml.j2").read_text()
    links = set(re.findall(r"runbook_url: \[\[ monitoring_runbooks \]\]#([a-z]+)$", rules, re.MULTILINE))
    headings = {name.lower() for name in re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)}
    assert links == headings and "watchdog" in links
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


(RULES,) = [
    task["ansible.builtin.template"]
    for task in yaml.safe_load((ROLE / "tasks" / "watch.yml").read_text())
    if task.get("ansible.builtin.template", {}).get("src") == "rules.yml.j2"
]


@pytest.mark.programs
def test_the_watchdog_has_a_route_of_its_own_only_where_somebody_listens(tmp_path):
    """Without an address there is no such alert, which would be mailed to whoever is on duty; with one, nobody but the address gets it."""
    url = "https://hc-ping.example/s3cr3t"
    tasks = []
    for name, given in (("quiet", {}), ("told", {"monitoring_watchdog_url": url, "monitoring_watchdog_interval": "2m"})):
        for file in ("alertmanager.yml", "rules.yml"):
            place = {"src": str(ROLE / "templates" / f"{file}.j2"), "dest": str(tmp_path / f"{name}-{file}"), "mode": "0600"}
            # As the role's own task has it: Prometheus' templates have the usual braces.
            braces = {key: value for key, value in RULES.items() if key.endswith("_string")} if file == "rules.yml" else {}
            tasks.append({"ansible.builtin.template": {**place, **braces}, "vars": {**GOOD, **given}, "no_log": True})
    files = [str(ROLE / part / "main.yml") for part in ("defaults", "vars")]
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": tasks}]))
    done = run_playbook(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(playbook)],
        cwd=ROOT,
        env=environment(),
        timeout=180,
        together=True,
    )
    assert done.returncode == 0, done.stdout
    made = {path.name: yaml.safe_load(path.read_text()) for path in tmp_path.glob("*-*.yml")}
    alerts = {
        name: {rule["alert"]: rule["expr"] for group in made[f"{name}-rules.yml"]["groups"] for rule in group["rules"]}
        for name in ("quiet", "told")
    }
    assert set(alerts["told"]) - set(alerts["quiet"]) == {"Watchdog"} and alerts["told"]["Watchdog"] == "vector(1)"
    quiet, told = made["quiet-alertmanager.yml"], made["told-alertmanager.yml"]
    assert "routes" not in quiet["route"] and [one["name"] for one in quiet["receivers"]] == ["duty"]
    (route,) = told["route"]["routes"]
    assert route["matchers"] == ['alertname = "Watchdog"'] and route["group_interval"] == "2m" and "continue" not in route
    (receiver,) = [one for one in told["receivers"] if one["name"] == route["receiver"]]
    assert receiver["webhook_configs"] == [{"url": url, "send_resolved": False}]
    assert [one for one in told["receivers"] if one["name"] == "duty"] == quiet["receivers"]
