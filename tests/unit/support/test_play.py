# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks and modules of support and status by the real ansible-playbook."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import pytest

from tests.support import ansible
from tests.unit.support.coop import Support
from tests.unit.support.test_status import INCIDENT, PLAN, Coop

pytestmark = pytest.mark.programs

BOOKS = ansible.ROOT / "playbooks"


def play(folder: pathlib.Path, plays: list[dict[str, Any]], variables: dict[str, Any], *arguments: str) -> tuple[int, str]:
    """Exit code and output of plays; the membership file lies beside the inventory."""
    book, given, inventory = folder / "play.yml.json", folder / "variables.json", folder / "hosts.ini"
    book.write_text(json.dumps(plays))
    given.write_text(json.dumps(variables))
    inventory.write_text("")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", f"@{given}", *arguments, str(book)]
    done = ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), timeout=120, together=True)
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


def holds(*that: str) -> dict[str, Any]:
    return {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": list(that)}}]}


def imported(name: str) -> dict[str, Any]:
    return {"ansible.builtin.import_playbook": str(BOOKS / name)}


def test_the_rota_foretells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    support = Support(tmp_path)
    page, calendar = tmp_path / "out" / "rota.html", tmp_path / "out" / "rota.ics"
    variables = {"support_rota_at": "2026-01-14T00:00:00Z", "support_rota_page": str(page), "support_rota_calendar": str(calendar)}
    code, output = play(tmp_path, [imported("support.yml"), holds("support_rota_found is changed")], variables, "--check", "--diff")
    assert code == 0 and "+2026-01-12,bob,bob" in output and not page.exists(), output
    plays = [
        imported("support.yml"),
        holds("support_rota_found is changed", "support_rota_on_duty == ['mo@agaric.example']"),
        imported("support.yml"),
        holds("support_rota_found is not changed"),
    ]
    code, output = play(tmp_path, plays, variables)
    assert code == 0 and "On duty until 2026-01-19T08:00:00Z: bob" in output, output
    record = (support.folder / "turns.csv").read_text()
    assert record == "day,planned,producer\n2026-01-05,ada,ada\n2026-01-12,bob,bob\n"

    # What a run that was killed leaves: one file of three, and a half of another beside it.
    whole = page.read_bytes(), calendar.read_bytes()
    page.unlink()
    calendar.write_text("BEGIN:VCALENDAR")
    (calendar.parent / ".rota.ics.new").write_text("half")
    code, output = play(tmp_path, [imported("support.yml"), holds("support_rota_found is changed")], variables)
    assert code == 0 and (page.read_bytes(), calendar.read_bytes()) == whole, output

    support.rota({"from": "2026-01-05", "weights": {"zoe": 1}})
    code, output = play(tmp_path, [imported("support.yml")], variables)
    assert code == 2 and 'rota.yml:4: rota, field [0].weights.zoe: "zoe" is no member; write one of ada, bob, cia' in " ".join(
        output.split()
    )
    assert (page.read_bytes(), calendar.read_bytes()) == whole and (support.folder / "turns.csv").read_text() == record


def test_the_status_page_foretells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    coop.write("maintenance/nodes.yml", PLAN)
    coop.write("incidents/sound.yml", INCIDENT)
    coop.receipt("cafe")
    variables = {
        "status_page_at": "2026-03-04T12:00:00Z", "status_page_directory": str(coop.out), "status_page_languages": ["ca", "en"],
        "status_page_receipts": str(tmp_path / "receipts"), "status_page_hostname": "status.meet.example",
    }  # fmt: skip
    code, output = play(tmp_path, [imported("status.yml"), holds("status_page_found is changed")], variables, "--check")
    assert code == 0 and not coop.out.exists(), output
    notices = {"membership": [str(tmp_path / "members.yml")], "at": "2026-03-04T12:00:00Z"}
    asked = {"hosts": "localhost", "gather_facts": False, "tasks": [
        {"meet.coop.maintenance_notices": notices, "register": "found"},
        {"ansible.builtin.assert": {"that": ["found is not changed", "found.announcements.rosa | length == 1"]}},
        {"ansible.builtin.assert": {"that": ["('own' | meet.coop.banner('x') | meet.coop.banner('')) == 'own'"]}},
    ]}  # fmt: skip
    plays = [
        imported("status.yml"),
        holds("status_page_found is changed"),
        imported("status.yml"),
        holds("status_page_found is not changed"),
    ]
    code, output = play(tmp_path, [*plays, asked], variables)
    assert code == 0 and "Services: 1 ok, 1 down" in output, output
    assert (
        'lang="ca"' in (coop.out / "index.html").read_text() and "https://status.meet.example/" in (coop.out / "incidents.atom").read_text()
    )

    before = coop.published()
    coop.write("incidents/sound.yml", {**INCIDENT, "ended": "2026-03-04T07:00Z"})
    code, output = play(tmp_path, [imported("status.yml")], variables)
    assert code == 2 and "sound.yml:9: ended: is not after began" in " ".join(output.split()) and coop.published() == before
    code, output = play(tmp_path, [imported("status.yml")], {**variables, "status_page_hostname": "", "status_page_host": "other"})
    assert code == 2 and "write the name to serve the page under" in " ".join(output.split())
