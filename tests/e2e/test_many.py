# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many services at the same time, from nothing, with one that is damaged and a run that is killed: the others are in sync, it is named."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench.converge import forget, inventory, names

from .conftest import Play

NUMBER = 6
BROKEN = "bench0003"


@pytest.fixture
def many(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Six services that are not there yet, of which one names a variable that nobody has set."""
    place = inventory(tmp_path, NUMBER)
    members = place / "members.yml"
    before, _name, after = members.read_text().rpartition(f"  {BROKEN}:\n    tier")
    members.write_text(before + _name + after.replace("vault_sunflower_smtp_password", "vault_nobody_set_this", 1))
    forget(NUMBER)
    yield place
    forget(NUMBER)


@pytest.mark.thorough
def test_one_is_broken_one_run_is_killed_and_the_others_are_in_sync(
    onboarded: Play, lab: Any, many: pathlib.Path, play: Callable[..., Play], play_killed_at: Callable[..., bool]
) -> None:
    sound = {name for name in names(NUMBER) if name != BROKEN}
    foretold = play("converge.yml", "--check", inventory=many)
    assert foretold.failed == {BROKEN} and set(foretold.changed) == sound, foretold.output[-4000:]
    assert lab.exec("host1", ["docker", "ps", "-aq", "--filter", "name=bench"]).stdout.strip() == ""  # check mode has done nothing
    # Killed while containers start side by side.
    assert play_killed_at("Bring up containers, settings, accounts, routes and certificates", 3, "converge.yml", inventory=many)
    outcome = play("converge.yml", "--diff", inventory=many)
    text = " ".join(outcome.output.split())
    assert outcome.failed == {BROKEN} and set(outcome.recap) & set(names(NUMBER)) == {BROKEN}, outcome.output[-6000:]
    assert re.search(rf"{BROKEN}: .*vault_nobody_set_this, which is not set", text) and "Traceback" not in text
    assert f"{NUMBER} services: {NUMBER - 1} brought to their state together, 1 left to their roles" in text, outcome.output[-6000:]
    again = play("converge.yml", inventory=many)
    assert again.failed == {BROKEN} and again.changed == {}, again.output[-4000:]
    full = play("services.yml", "-l", ",".join(sorted(sound)[:2]), inventory=many)  # the roles themselves find nothing to do either
    assert full.code == 0 and full.changed == {}, full.output[-4000:]
    told = foretold.output + outcome.output + again.output
    for name in sound:
        kept = json.loads(lab.exec("host1", ["cat", f"/var/lib/meet-coop/instances/{name}/secrets.json"]).stdout)
        assert not [key for key, value in kept.items() if value in told]
    assert not [key for key, value in lab.secrets["smtp"].items() if value in told]
