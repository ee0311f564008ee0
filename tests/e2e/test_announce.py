# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planned maintenance in the banner of a site: foretold, set beside what the member wrote itself, taken back when the work is done."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.config import NODES

from .conftest import Play

INSTANCE, DATABASE = "cafe", "greenlight_cafe"
OWN = "Ask Kim's team"
ROW = "(SELECT id FROM settings WHERE name = 'Maintenance')"
PLAN = {"title": "Upgrade of <the> servers", "services": [INSTANCE], "from": "2199-01-02T22:00Z", "until": "2199-01-03T02:00Z"}
BEFORE, DURING = "2199-01-01T00:00:00Z", "2199-01-03T00:00:00Z"


@pytest.fixture
def banner(onboarded: Play, lab: Any) -> Iterator[Callable[..., str]]:
    """Reads the banner of the site, or writes it as the member's administrator would."""

    def ask(query: str) -> str:
        done = lab.exec("host1", ["psql", "-U", "postgres", "-d", DATABASE, "-Atc", query])
        assert done.returncode == 0, done.stderr
        return str(done.stdout.rstrip("\n"))

    def reads(text: str | None = None) -> str:
        if text is not None:
            quoted = text.replace("'", "''")
            ask(f"UPDATE site_settings SET value = '{quoted}' WHERE setting_id = {ROW}")
        return ask(f"SELECT value FROM site_settings WHERE setting_id = {ROW}")

    yield reads
    reads("")
    lab.exec("host1", ["rm", "-rf", "/var/lib/meet-coop/announcements"])


def test_it_is_announced_and_taken_back(banner: Callable[..., str], lab: Any, play: Callable[..., Play], tmp_path: pathlib.Path) -> None:
    (tmp_path / "nodes.yml").write_text(json.dumps(PLAN))

    def announce(at: str, *options: str) -> Play:
        given = {"announcement_directory": str(tmp_path), "announcement_at": at}
        done = play("announce.yml", "-l", INSTANCE, "-e", json.dumps(given), *options)
        assert "Traceback" not in done.output
        return done

    banner(OWN)
    foretold = announce(BEFORE, "--check", "--diff")
    assert foretold.code == 0 and set(foretold.changed) == {INSTANCE} and banner() == OWN, foretold.output[-3000:]
    assert announce(BEFORE).code == 0
    said = banner()
    assert said.endswith(OWN) and "Upgrade of &lt;the&gt; servers" in said and "Planned maintenance, 2199-01-02 22:00" in said
    again = announce(BEFORE)
    assert again.code == 0 and again.changed == {} and banner() == said, again.output[-3000:]

    # A mistake in a file is told and changes nothing.
    (tmp_path / "nodes.yml").write_text(json.dumps({**PLAN, "until": PLAN["from"]}))
    refused = announce(DURING)
    assert refused.failed and "until: is not after from" in refused.output and banner() == said

    # Nodes are maintained under the name of the plan; then it is over, though its file does not say so yet.
    (tmp_path / "nodes.yml").write_text(json.dumps(PLAN))
    work = tmp_path / "work" / "nothing.yml"
    work.parent.mkdir()
    work.write_text(json.dumps([{"name": "Do nothing", "ansible.builtin.ping": {}}]))
    given = {
        "announcement_directory": str(tmp_path), "announcement_at": DURING,
        "node_maintenance_tasks": str(work), "node_maintenance_name": "nodes", "node_maintenance_timeout": 60,
    }  # fmt: skip
    limit = f"bbb_nodes,{INSTANCE}"
    try:
        done = play("maintain.yml", "--diff", "-l", limit, "-e", json.dumps(given))
        assert done.code == 0, done.output[-4000:]
        # It said that the work is under way before the first node was touched.
        before = re.sub(r"\n\+?\s+", " ", done.output.partition("Do nothing")[0])
        assert "Maintenance under way, until 2199-01-03 02:00" in before, done.output[-4000:]
        assert banner() == OWN
        assert announce(DURING).code == 0 and banner() == OWN
    finally:
        for node in NODES:
            lab.exec(node, ["rm", "-f", "/var/lib/meet-coop/maintenance/nodes"])
