# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of members, hand-over, welcome, and what verification writes down for them, by the real ansible-playbook."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.support import ansible
from tests.unit.membership.base import built, changed
from tests.unit.support.test_handover import Handover
from tests.unit.support.test_member_page import Members
from tests.unit.support.test_play import holds, imported, play
from tests.unit.support.test_status import AT


@pytest.mark.programs
def test_pages_of_members_are_foretold_written_and_then_quiet(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.receipt_of("rosa")
    variables = {
        "member_page_at": AT, "member_page_directory": str(coop.out), "member_page_receipts": str(tmp_path / "receipts"),
        "member_page_time_zone": "Europe/Madrid",
    }  # fmt: skip
    code, output = play(tmp_path, [imported("member_pages.yml"), holds("member_page_found is changed")], variables, "--check", "--diff")
    assert code == 0 and '+<html lang="es">' in output and not coop.out.exists(), output
    plays = [
        imported("member_pages.yml"),
        holds("member_page_found is changed"),
        imported("member_pages.yml"),
        holds("member_page_found is not changed", "member_page_found.pages[0]['for'] == ['rosa@rosa.example']"),
    ]
    code, output = play(tmp_path, plays, variables)
    assert code == 0 and "Pages: 2, 2 of them new, changed or removed" in output and "02:30" in coop.page("rosa"), output
    code, output = play(tmp_path, [imported("member_pages.yml")], {**variables, "member_page_only": ["nobody"]})
    assert code == 2 and 'only: "nobody" is no member or client; write one of agaric, rosa, cafe' in " ".join(output.split())


@pytest.mark.programs
def test_the_hand_over_is_foretold_written_and_then_quiet(tmp_path: pathlib.Path) -> None:
    coop = Handover(tmp_path)
    variables = {"handover_at": AT, "handover_page": str(coop.out), "handover_receipts": str(tmp_path / "receipts")}
    code, output = play(tmp_path, [imported("handover.yml"), holds("handover_found is changed")], variables, "--check")
    assert code == 0 and not coop.out.exists(), output
    again = [imported("handover.yml"), holds("handover_found is changed"), imported("handover.yml"), holds("handover_found is not changed")]
    code, output = play(tmp_path, again, variables)
    assert code == 0 and "1 of 2 things are held by too few people: vault" in output, output
    code, output = play(tmp_path, [imported("handover.yml")], {**variables, "handover_fail": True})
    assert code == 2 and "vault" in output
    coop.items(vault={"holders": [{"member": "rosa", "contact": "Mo"}]})
    code, output = play(tmp_path, [imported("handover.yml")], variables)
    assert code == 2 and "handover.yml:19: items, field vault.holders[0].contact" in " ".join(output.split()), output


@pytest.mark.programs
def test_the_role_welcomes_and_says_goodbye(tmp_path: pathlib.Path) -> None:
    data = changed(members__rosa__language="ca")
    found = built(data)
    hosts = {
        name: {"coop_service": found.services[name], "coop_owner": found.owners[name], "coop_cooperative": found.cooperative}
        for name in ("rosa", "cafe")
    }
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    drill = {"stdout": json.dumps({"proved_on": "2026-02-27", "restore": {}, "backup_at": ""})}
    book = tmp_path / "play.yml"
    roles = {"hosts": "all", "connection": "local", "gather_facts": False, "roles": [{"role": "meet.coop.welcome"}]}
    book.write_text(json.dumps([roles]))

    def run(*arguments: str, **variables: Any) -> tuple[int, str]:
        given = {"welcome_directory": str(tmp_path / "welcome"), "verify_drill": drill, **variables}
        (tmp_path / "vars.json").write_text(json.dumps(given))
        done = ansible.run_playbook(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", f"@{tmp_path}/vars.json", *arguments, str(book)],
            cwd=ansible.ROOT,
            env=ansible.environment(),
            timeout=120,
            together=True,
        )
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout

    code, output = run("--check", "--diff")
    assert code == 0 and output.count("changed=1") == 2 and not (tmp_path / "welcome").exists(), output
    code, output = run()
    assert code == 0 and output.count("changed=1") == 2, output
    assert (
        'lang="ca"' in (tmp_path / "welcome" / "rosa.html").read_text() and "2026-02-27" in (tmp_path / "welcome" / "rosa.html").read_text()
    )
    code, output = run()
    assert code == 0 and output.count("changed=0") == 2, output
    hosts["rosa"]["coop_service"]["state"] = "absent"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    code, output = run(welcome_withdrawn=True)
    assert code == 0 and "Adeu" in (tmp_path / "welcome" / "rosa.html").read_text(), output


def test_what_verification_asks_a_host_about_backups(tmp_path: pathlib.Path) -> None:
    """The newest drill that was good and the newest backup of that instance; what cannot be read says nothing."""
    variables = yaml.safe_load((ansible.ROOT / "roles" / "verify" / "vars" / "main.yml").read_text())
    status, drills = tmp_path / "status.json", tmp_path / "drills"
    drills.mkdir()

    def ask() -> Any:
        asked = [sys.executable, "-c", variables["verify_proof_program"], str(drills), str(status), "rosa"]
        return json.loads(subprocess.run(asked, text=True, capture_output=True, check=True).stdout)

    nothing = {"proved_on": "", "restore": {}, "backup_at": ""}
    assert ask() == nothing
    receipt = {"result": "good", "began_at": "2026-02-01T03:00:00Z", "seconds": 40.1, "rows": 1200, "findings": []}
    (drills / "20260201T030000Z.json").write_text(json.dumps(receipt))
    (drills / "20260227T030000Z.json").write_text(json.dumps({**receipt, "began_at": "2026-02-27T03:00:00Z"}))
    (drills / "20260303T030000Z.json").write_text(json.dumps({**receipt, "began_at": "2026-03-03T03:00:00Z", "result": "failed"}))
    (drills / "20260304T030000Z.json").write_text("{")
    status.write_text(json.dumps({"rosa": {"time": "2026-03-04T01:30:00Z"}, "cafe": {"time": "2026-03-04T02:30:00Z"}}))
    assert ask() == {"proved_on": "2026-02-27", "restore": {"seconds": 40.1, "rows": 1200}, "backup_at": "2026-03-04T01:30:00Z"}
    for broken in ("[]", '{"rosa": 3}', '{"rosa": {"time": null}}', "\0"):
        status.write_text(broken)
        assert ask()["backup_at"] == ""


@pytest.mark.programs
def test_roles_share_one_style(tmp_path: pathlib.Path) -> None:
    said = "{{ lookup('meet.coop.page_style', '#b3123f') }}"
    tasks = [{"ansible.builtin.copy": {"content": said, "dest": str(tmp_path / "style.html"), "mode": "0644"}}]
    code, output = play(tmp_path, [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], {})
    assert code == 0 and "--accent: #b3123f" in (tmp_path / "style.html").read_text(), output
    wrong = [{"ansible.builtin.debug": {"msg": "{{ lookup('meet.coop.page_style', 'red;}') }}"}}]
    code, output = play(tmp_path, [{"hosts": "localhost", "gather_facts": False, "tasks": wrong}], {})
    assert code == 2 and "is not a colour; write # and six hexadecimal digits" in " ".join(output.split()), output
