# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the membership file says of a service's own server, role bbb_node configures there: inventory plugin and templates for real."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
from typing import Any

import pytest
import yaml

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.config import CRON_NAMES
from ansible_collections.meet.coop.plugins.plugin_utils._membership.defaults import RECORDINGS as DEFAULTS
from tests.support.ansible import ROOT, environment, run_playbook
from tests.unit.membership.base import changed

pytestmark = pytest.mark.programs

ROLE = ROOT / "roles" / "bbb_node"
SECRET = "Qw3rtyQw3rtyQw3rtyQw3rty"
RECORDINGS = {"formats": ["presentation", "video"], "published_days": 30, "unrecorded_days": 3, "history": 7}
KEEP = """#!{python}
# WANT_JSON
import json, sys
with open(sys.argv[1]) as told, open({kept!r}, "w") as kept:
    json.dump({{key: value for key, value in json.load(told).items() if not key.startswith("_ansible")}}, kept)
print(json.dumps({{"changed": False}}))
"""


def configured(folder: pathlib.Path, record: bool, recordings: dict[str, Any] | None, **variables: Any) -> dict[str, Any]:
    """What module bbb_config is given for the server, by the role's own task."""
    server: dict[str, Any] = {
        "domain": "bbb.cafe.example",
        "secret_var": "vault_cafe_bbb_secret",
        "address": "203.0.113.20",
        "connection": {"ansible_connection": "local"},
    }
    if recordings is not None:
        server["recordings"] = recordings
    administrators = [{"name": "Kim Lee", "email": "kim@cafe.example"}]
    live = {
        "tier": "dedicated_server",
        "client": "cafe",
        "record": record,
        "server": server,
        "accounts": {"administrators": administrators},
    }
    (folder / "members.yml").write_text(yaml.safe_dump({"plugin": "meet.coop.members", **changed(services__live=live)}))
    role = folder / "roles" / "bbb_node"
    shutil.copytree(ROLE, role)
    # In place of the module, which is for a machine with BigBlueButton on it, one that keeps what it was given.
    config = role / "tasks" / "config.yml"
    config.write_text(config.read_text().replace("meet.coop.bbb_config:", "keep:"))
    (role / "library").mkdir()
    (role / "library" / "keep.py").write_text(KEEP.format(python=sys.executable, kept=str(folder / "given.json")))
    include = {"ansible.builtin.include_role": {"name": "bbb_node", "tasks_from": "config"}, "vars": {"__bbb_node_plan": False}}
    (folder / "play.yml").write_text(json.dumps([{"hosts": "dedicated_servers", "gather_facts": False, "tasks": [include]}]))
    (folder / "extra.json").write_text(json.dumps({"vault_cafe_bbb_secret": SECRET, **variables}))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "members.yml"), "-e", f"@{folder / 'extra.json'}"]
    done = run_playbook([*command, str(folder / "play.yml")], cwd=ROOT, env=environment(), timeout=180)
    assert done.returncode == 0 and "live-bbb" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
    found: dict[str, Any] = json.loads((folder / "given.json").read_text())
    return found


def test_recordings_of_the_membership_file_reach_the_server(tmp_path: pathlib.Path) -> None:
    given = configured(tmp_path, True, RECORDINGS)
    assert given["recording_formats"] == ["presentation", "video"]
    assert given["cron"] == {"published_days": 30, "unrecorded_days": 3, "history": 7}
    assert (given["server_url"], given["secret"]) == ("https://bbb.cafe.example", SECRET)
    assert given["web"]["disableRecordingDefault"] is False and given["web"]["allowStartStopRecording"] is True


def test_what_the_operator_says_of_that_server_counts(tmp_path: pathlib.Path) -> None:
    given = configured(tmp_path, True, RECORDINGS, bbb_node_cron={"history": 60, "log_history": 30}, bbb_domain="other.cafe.example")
    assert given["cron"] == {"published_days": 30, "unrecorded_days": 3, "history": 60, "log_history": 30}
    assert given["server_url"] == "https://other.cafe.example"


def test_without_recordings_nothing_is_recorded_and_the_packages_own_days_stay(tmp_path: pathlib.Path) -> None:
    given = configured(tmp_path, False, None)
    assert "recording_formats" not in given and given["cron"] == {}
    assert given["web"]["disableRecordingDefault"] is True and given["web"]["allowStartStopRecording"] is False


def test_what_is_passed_on_the_module_knows() -> None:
    """Names and formats of the membership file are those of module bbb_config."""
    assert set(DEFAULTS) - {"formats", "delete_after_days", "consent"} <= set(CRON_NAMES)
