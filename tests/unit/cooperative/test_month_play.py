# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook and the module by the real ansible-playbook, and the pages that come out."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support import ansible

from .test_play import Page
from .year import MONTHS, SHIPPED, Year

pytestmark = pytest.mark.programs

NAME = 'Daisy {{ 7 * 7 }} <script>alert("x")</script> & more'


def test_the_play_settles_closes_and_verifies(tmp_path):
    year = Year(tmp_path / "coop")
    year.edit("members.yml", "name: Daisy Care Co-operative", f"name: '{NAME}'")
    playbook = str(ansible.ROOT / "playbooks" / "month.yml")

    def play(state, **more):
        return {"ansible.builtin.import_playbook": playbook, "vars": {"month_close_state": state, **more}}

    def check(*that):
        return {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": list(that)}}]}

    call = {"membership": [str(year.path / "members.yml")], "as_of": "2025-02-10"}
    plays = [
        {"hosts": "localhost", "gather_facts": False, "tasks": [
            {"meet.coop.month_settlement": call, "check_mode": True, "diff": True, "register": "told"},
            {"ansible.builtin.stat": {"path": str(year.money / "draft")}, "register": "before"},
            {"ansible.builtin.assert": {"that": ["told is changed", "'daisy: due 36.26' in told.diff.after", "not before.stat.exists"]}},
            {"meet.coop.month_settlement": {**call, "month": "2025-02"}, "register": "refused", "ignore_errors": True},
            {"ansible.builtin.assert": {"that": ["refused is failed", "refused.msg is search('2025-01 is open still; close it first')"]}},
        ]},
        play("settled"),
        check("month_close_result is changed", "month_close_result.files == told.files"),
        play("closed", month_close_month="2025-01"),
        check("month_close_result is changed"),
        play("closed", month_close_month="2025-01"),
        check("month_close_result is not changed"),
        play("verified"),
        check("month_close_result is not changed", "month_close_result.identical"),
    ]  # fmt: skip
    file, variables = tmp_path / "play.yml", tmp_path / "variables.json"
    file.write_text(json.dumps(plays))
    variables.write_text(json.dumps({"month_close_as_of": "2025-02-10"}))
    inventory = year.path / "hosts.yml"
    inventory.write_text("all:\n")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", f"@{variables}"]

    def run(*more):
        return ansible.run_playbook([*command, *more], cwd=ansible.ROOT, env=ansible.environment(), timeout=180, together=True)

    done = run(str(file))
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout and "iban" not in done.stdout.lower()
    page = Page((year.money / "closed" / "2025-01" / "statements" / "daisy.html").read_text())
    assert NAME in page.text and "script" not in page.elements

    # A closed month that somebody changed makes the play fail, and says where.
    year.edit("closed/2025-01/statements/daisy.html", "36.26", "36.25")
    failed = run("-e", "month_close_state=verified", playbook)
    assert failed.returncode == 2 and "statements/daisy.html: was changed since the month was closed" in failed.stdout


@pytest.mark.parametrize("name", ["summary.html", "statements/agaric.html", "statements/rosa.html", "statements/birch.html"])
def test_pages_are_sound(name):
    """Every element closed, every table's heads of a scope, one head line, headings that skip no level, nothing from elsewhere."""
    text = (SHIPPED / "money" / "closed" / str(MONTHS[9]) / name).read_text()
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert page.elements.count("h1") == page.elements.count("main") == 1
    levels = [int(element[1]) for element in page.elements if element in ("h1", "h2", "h3")]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert 'lang="en"' in text and "http" not in text and "<script" not in text
    assert page.elements.count("svg") == text.count('role="img" aria-label="')
