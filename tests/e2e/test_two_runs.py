# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs at once on one instance, from controllers that know nothing of each other but what the container host says."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import Play

INSTANCE, FILE = "sunflower-training", "/var/lib/meet-coop/locks/sunflower-training.json"


@pytest.mark.thorough
def test_two_runs_at_once_both_end_well(onboarded: Play, lab: Any, play: Callable[..., Play]) -> None:
    """There is something to do for both: the container is gone."""
    lab.exec("host1", ["docker", "rm", "-f", f"greenlight-{INSTANCE}"])
    with ThreadPoolExecutor(2) as pair:
        outcomes = list(pair.map(lambda _number: play("services.yml", "-l", INSTANCE), range(2)))
    assert [outcome.code for outcome in outcomes] == [0, 0], "\n".join(outcome.output[-3000:] for outcome in outcomes)
    # Who came second waited, and found nothing left to do.
    assert sorted(bool(outcome.changed) for outcome in outcomes) == [False, True]
    assert lab.exec("host1", ["test", "-e", FILE]).returncode == 1


@pytest.mark.thorough
def test_a_job_elsewhere_is_respected_until_somebody_says_it_is_dead(onboarded: Play, lab: Any, play: Callable[..., Play]) -> None:
    held = {"run": "0b9c pid:[1] 4711 99", "by": "upgrade.yml (AWX job 81)", "since": 1798252800, "until": 4000000000}
    done = lab.exec("host1", ["sh", "-c", f"mkdir -p -m 700 /var/lib/meet-coop/locks && printf '%s' '{json.dumps(held)}' > {FILE}"])
    assert done.returncode == 0, done
    other = "sunflower"
    refused = play("services.yml", "-l", f"{INSTANCE}:{other}", "-e", "run_lock_wait=0")
    line = f"{INSTANCE}: upgrade.yml (AWX job 81) has been working on it since 2026-12-26T"
    assert refused.failed == {INSTANCE} and line in " ".join(refused.output.split()), refused.output[-3000:]
    taken = play("services.yml", "-l", INSTANCE, "-e", "run_lock_take_over=true")
    assert taken.code == 0 and taken.changed == {}, taken.output[-3000:]
    assert lab.exec("host1", ["test", "-e", FILE]).returncode == 1


@pytest.mark.thorough
def test_a_killed_run_is_taken_over_by_the_next_at_once(
    onboarded: Play, lab: Any, play: Callable[..., Play], play_killed_at: Callable[..., bool]
) -> None:
    assert play_killed_at("Run the Greenlight container", 0.2, "services.yml", "-l", INSTANCE)
    assert lab.exec("host1", ["test", "-e", FILE]).returncode == 0
    outcome = play("services.yml", "-l", INSTANCE, "-e", "run_lock_wait=0")
    assert outcome.code == 0 and "taken over from services.yml" in " ".join(outcome.output.split()), outcome.output[-3000:]
