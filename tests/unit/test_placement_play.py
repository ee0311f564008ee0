# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook of placement by the real ansible-playbook: from a membership with services that have no place to one where all have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ansible
from tests.unit.membership.base import changed

pytestmark = pytest.mark.programs

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def play(folder: Path, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    given = {"placement_reserved_memory": 0, "placement_reserved_disk": 0, "placement_instance_disk": 0, **variables}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "inventory"), "-e", json.dumps(given), *arguments]
    return ansible.run_playbook(
        [*command, str(ansible.ROOT / "playbooks" / "placement.yml")], cwd=folder, env=ansible.environment(), timeout=300, together=True
    )


def inventory(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "ansible", "inventory", "-i", str(folder / "inventory"), "--list"]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300, check=True, env=ansible.environment())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_services_without_a_place_get_one_that_stays(tmp_path: Path) -> None:
    data = changed(
        container_hosts={name: {"address": f"203.0.113.1{name[-1]}"} for name in ("host1", "host2", "host3")},
        services__cafe__container_host="auto",
        services__rosa__container_host="host1",
        services__rosa__resources={"memory": "64m"},
        services__cafe__resources={"memory": "64m"},
    )
    membership = tmp_path / "membership"
    membership.mkdir()
    (membership / "members.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "10-hosts.yml").write_text(
        yaml.safe_dump({"all": {"hosts": {"host1": LOCAL, "host2": LOCAL, "host3": {**LOCAL, "ansible_python_interpreter": "/nowhere"}}}})
    )
    (tmp_path / "inventory" / "20-members.coop.yml").write_text("plugin: meet.coop.members\npaths: [../membership]\n")
    record = membership / "placement.yml"

    before = inventory(tmp_path)
    assert before["unplaced_services"]["hosts"] == ["cafe"]
    assert [name for name, group in before.items() if name != "_meta" and "cafe" in group.get("hosts", [])] == ["unplaced_services"]
    # Shown, foretold, recorded, and then known.
    shown = play(tmp_path, placement_closed_hosts=["host1"])
    assert shown.returncode == 0, shown.stdout
    for said in ("cafe: host2", "on host3, which did not answer", "has no place yet"):
        assert said in shown.stdout
    assert not record.exists()
    foretold = play(tmp_path, "--check", "--diff", placement_closed_hosts=["host1"], placement_record=str(record))
    assert "+  cafe: host2" in foretold.stdout and not record.exists(), foretold.stdout
    done = play(tmp_path, "--diff", placement_closed_hosts=["host1"], placement_record=str(record))
    assert done.returncode == 0 and "+  cafe: host2" in done.stdout, done.stdout
    again = play(tmp_path, placement_record=str(record))
    assert "Every service has its place" in again.stdout and "changed=1" not in again.stdout, again.stdout
    after = inventory(tmp_path)
    assert after["on_host2"]["hosts"] == ["cafe"] and "unplaced_services" not in after
    assert "203.0.113.12" in str(after["_meta"]["hostvars"]["cafe"]["coop_service"]["address"])
    # Full: one line, and nothing is written.
    text = record.read_text()
    data["services"]["more"] = {**data["services"]["cafe"], "resources": {"memory": "9000g"}}
    (membership / "members.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    full = play(tmp_path, placement_record=str(record))
    assert full.returncode != 0 and "no container host has room for more (" in full.stdout and "Traceback" not in full.stdout
    assert record.read_text() == text
