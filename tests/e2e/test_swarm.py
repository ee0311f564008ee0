# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A co-op whose container host runs its instances in a Docker Swarm: onboarded, kept, upgraded, restored, bereft of a node, and taken back.

The tests follow one another: one co-op goes through all of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import swarm
from tests.support.ansible import ROOT, environment
from tests.support.containers import BROKEN, IMAGE, KILLER, STATE
from tests.support.swarm_coop import FILE, HOST, INSTANCES, Coop, coop_on_two_nodes, shared
from tests.support.upgrades import Outside, make_account, make_image

from .conftest import Play, command

ROSA, SITE = "rosa", "meet.rosa.test"
ALL = {f"greenlight-{instance}{part}" for instance in INSTANCES for part in ("", "-redis")}

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def coop(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coop]:
    with coop_on_two_nodes(lab, tmp_path_factory.mktemp("swarm")) as made:
        yield made


@pytest.fixture
def run(coop: Coop, play: Callable[..., Play]) -> Callable[..., Play]:
    """Runs a playbook, whatever comes of it."""
    return lambda *arguments: play(*arguments, inventory=coop.inventory, timeout=1800)


@pytest.fixture
def good(run: Callable[..., Play]) -> Callable[..., Play]:
    """Runs a playbook, which must end well."""

    def go(*arguments: str) -> Play:
        done = run(*arguments)
        assert done.code == 0, done.output[-6000:]
        return done

    return go


def words(outcome: Play) -> str:
    return " ".join(outcome.output.split())


# --- Onboarded and kept ---------------------------------------------------------------------------------------------


def test_on_bare_hosts_check_mode_foretells_and_makes_nothing(coop: Coop, good: Callable[..., Play]) -> None:
    foretold = good("onboard.yml", "--check", "--diff")
    assert {*INSTANCES, *swarm.NODES} <= foretold.changed.keys()
    assert coop.on(HOST, "ls -d /var/lib/meet-coop /etc/docker/daemon.json 2>/dev/null || true") == ""


def test_onboarding_ends_with_verified_instances(
    coop: Coop, good: Callable[..., Play], receipts: Callable[[str], dict[str, Any]]
) -> None:
    good("onboard.yml")
    for instance in INSTANCES:
        receipt = receipts(instance)
        assert receipt["ok"] is True, receipt
    assert coop.services() == {f"{name} 1/1" for name in ALL}
    assert coop.containers() == set()


def test_the_second_run_changes_nothing_and_check_mode_foretells_nothing(good: Callable[..., Play]) -> None:
    assert good("onboard.yml").changed == {}
    foretold = good("site.yml", "--check", "--diff")
    assert foretold.changed == {} and f"{len(INSTANCES)} in sync" in words(foretold), foretold.output[-3000:]


def test_what_was_changed_by_hand_is_planned_and_mended(coop: Coop, good: Callable[..., Play]) -> None:
    coop.on(HOST, "docker service update --detach --env-add LOG_LEVEL=debug greenlight-rosa")
    foretold = good("site.yml", "--check", "--diff")
    assert "update service greenlight-rosa" in words(foretold) and foretold.changed.keys() & {*INSTANCES} == {ROSA}
    good("site.yml")
    assert "LOG_LEVEL=debug" not in coop.on(HOST, "docker service inspect --format '{{json .Spec}}' greenlight-rosa")
    assert good("site.yml", "--check").changed == {}


# --- Upgraded -------------------------------------------------------------------------------------------------------


def wanted(image: str) -> list[str]:
    return ["-l", ROSA, "-e", json.dumps({"upgrade_image": image, "upgrade_unknown": image.rpartition(":")[2]})]


@pytest.fixture(scope="module")
def site(coop: Coop) -> Outside:
    make_account(coop.lab, "greenlight_rosa")
    return Outside(coop.lab, SITE)


def test_a_release_that_does_not_become_well_is_taken_back_by_swarm(coop: Coop, site: Outside, run: Callable[..., Play]) -> None:
    with site.load() as load:
        failed = run("upgrade.yml", *wanted(BROKEN))
    assert failed.failed == {ROSA} and "not upgraded, v3.8.2.4 serves as before" in words(failed), failed.output[-5000:]
    assert f"Swarm went back to {IMAGE}" in words(failed) and "the database as it was before is in " in words(failed)
    assert load.failed == [] and site.version() == "v3.8.2.4"


def test_an_upgrade_cuts_nobody_off(coop: Coop, site: Outside, good: Callable[..., Play]) -> None:
    """The new task is well before the old one ends."""
    for node in swarm.NODES:
        fine = make_image(coop.lab, "fine", host=node)
    foretold = good("upgrade.yml", "--check", "--diff", *wanted(fine))
    assert foretold.changed.keys() == {ROSA} and site.version() == "v3.8.2.4"
    with site.load() as load:
        good("upgrade.yml", *wanted(fine))
    assert load.failed == [] and set(load.versions) == {"v3.8.2.4", "v3.9.0-fine"}
    assert site.version() == "v3.9.0-fine"
    assert good("upgrade.yml", *wanted(fine)).changed == {}
    nightly = good("site.yml")
    assert nightly.changed == {} and site.version() == "v3.9.0-fine"


# --- What it cannot do ----------------------------------------------------------------------------------------------
