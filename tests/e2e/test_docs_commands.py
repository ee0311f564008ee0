# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command that a page shows is run, in the folder of a co-op that keeps the lab.

What is run as it stands, what in check mode, and what is excused and why, stands in tests/support/docs_lab.py. A command ends with 0, no
host fails, and one that ran in check mode has left everything in the lab and in the folder as it was. Pages with one command share its run.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from tests.support import docs_lab, own_server
from tests.support.docs_commands import Command, shown

pytestmark = pytest.mark.thorough

PAGES: dict[str, list[Command]] = {
    page: [command for command in found if not docs_lab.excuse(command)]
    for page, found in groupby(shown(), key=lambda command: command.place.rpartition(":")[0])
}


@pytest.fixture(scope="module")
def coop(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[docs_lab.Coop]:
    ours = docs_lab.Coop(lab, tmp_path_factory.mktemp("coop"))
    own_server.provide(lab, ours.server_secret)
    # README's own first steps; a page that is tested alone stands on them too.
    for command in PAGES["README.md"]:
        if docs_lab.playbook(command) == "onboard" and "-l" not in command.words:
            ours.run(command)
    yield ours
    ours.close()


@pytest.mark.parametrize("page", [page for page, commands in PAGES.items() if commands])
def test_commands_work(page: str, coop: docs_lab.Coop) -> None:
    outcomes = [(command, coop.run(command)) for command in PAGES[page]]
    told = [f"{command}\n  {outcome.mistakes}\n{outcome.output[-3000:]}" for command, outcome in outcomes if outcome.mistakes]
    assert told == [], "\n".join(told)


def test_what_a_check_run_leaves_is_seen(coop: docs_lab.Coop) -> None:
    """What the tests above would say of a check run that writes a file, a row or a name."""
    before = coop.seen(coop.folder)
    coop.on("host1", "touch /etc/docs-left; psql -U postgres -d greenlight_rosa -qc 'CREATE TABLE docs_left (id int)'")
    coop.lab.update("meet.test", "add docs-left 60 A 192.0.2.8")
    (coop.folder / "vars" / "left.yml").write_text("")
    try:
        after = coop.seen(coop.folder)
        assert [where for where in before if before[where] != after[where]] == ["host1", "services", "folder"]
    finally:
        coop.on("host1", "rm /etc/docs-left; psql -U postgres -d greenlight_rosa -qc 'DROP TABLE docs_left'")
        coop.lab.update("meet.test", "del docs-left A")
        (coop.folder / "vars" / "left.yml").unlink()
