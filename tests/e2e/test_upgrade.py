# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbook upgrade, as an operator runs it: gates, waves, the switch under load, the way back, the receipt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.containers import BROKEN, HOST, IMAGE
from tests.support.upgrades import Outside, make_account, make_image

from .conftest import Play

CANARY, NEXT = "sunflower-training", "sunflower"
DATABASE = "greenlight_sunflower_training"


@pytest.fixture(scope="module")
def site(onboarded: Play, lab: Any) -> Iterator[Outside]:
    make_account(lab, DATABASE)
    yield Outside(lab, f"{CANARY}.meet.test")
    make_account(lab, DATABASE, state="absent")


def receipt(lab: Any, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((lab.state / "receipts" / "upgrade" / f"{service}.json").read_text())
    return found


def containers(lab: Any) -> list[str]:
    return sorted(lab.exec(HOST, ["docker", "ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.State}}"]).stdout.splitlines())


def said(outcome: Play) -> str:
    """The output without line breaks."""
    return " ".join(outcome.output.split())


def wanted(image: str, **more: Any) -> list[str]:
    variables = {"upgrade_image": image, "upgrade_unknown": image.rpartition(":")[2], "upgrade_canaries": [CANARY], **more}
    return ["-e", json.dumps(variables)]


def test_a_gate_closes_before_anything_is_touched(site: Outside, lab: Any, play: Callable[..., Play]) -> None:
    before = containers(lab)
    refused = play("upgrade.yml", "-l", f"{CANARY}:{NEXT}", "-e", f"upgrade_image={BROKEN}")
    assert refused.code != 0 and refused.changed == {} and "set upgrade_unknown: v3.9.0-broken" in said(refused)
    assert containers(lab) == before
    nothing = play("upgrade.yml", "-l", f"{CANARY}:{NEXT}")
    assert nothing.code == 0 and nothing.changed == {}, nothing.output[-3000:]


def test_the_canary_fails_and_nobody_follows(site: Outside, lab: Any, play: Callable[..., Play]) -> None:
    before = containers(lab)
    outcome = play("upgrade.yml", "-l", f"{CANARY}:{NEXT}", *wanted(BROKEN))
    assert outcome.code != 0 and outcome.failed == {CANARY}, outcome.output[-4000:]
    assert "v3.8.2.4 serves as before" in said(outcome)
    assert containers(lab) == before and site.version() == "v3.8.2.4"
    told = receipt(lab, CANARY)
    assert (told["ok"], told["outcome"], told["from"], told["to"]) == (False, "refused", "v3.8.2.4", "v3.9.0-broken")
    assert "abort_if_pending_migrations" in told["why"] and "there is nothing you have to do" in told["notice"]
    assert not (lab.state / "receipts" / "upgrade" / f"{NEXT}.json").exists()


def test_an_upgrade_under_load_and_back(site: Outside, lab: Any, play: Callable[..., Play]) -> None:
    fine = make_image(lab, "fine")
    before = containers(lab)
    foretold = play("upgrade.yml", "-l", CANARY, "--check", "--diff", *wanted(fine))
    assert foretold.code == 0 and foretold.changed, foretold.output[-3000:]
    assert containers(lab) == before and site.version() == "v3.8.2.4"
    with site.load() as load:
        outcome = play("upgrade.yml", "-l", CANARY, *wanted(fine))
    assert outcome.code == 0 and outcome.changed.keys() == foretold.changed.keys(), outcome.output[-5000:]
    assert load.failed == [] and set(load.versions) == {"v3.8.2.4", "v3.9.0-fine"}
    told = receipt(lab, CANARY)
    assert (told["ok"], told["outcome"], told["to"]) == (True, "upgraded", "v3.9.0-fine") and told["back_until"] and told["dump"]
    again = play("upgrade.yml", "-l", CANARY, *wanted(fine))
    assert again.code == 0 and again.changed == {}, again.output[-3000:]
    nightly = play("services.yml", "-l", CANARY)
    assert nightly.code == 0 and nightly.changed == {}, nightly.output[-3000:]
    assert f"{IMAGE} waits for meet.coop.upgrade" in said(nightly)

    with site.load() as load:
        back = play("upgrade.yml", "-l", CANARY, "-e", "upgrade_back=true")
    assert back.code == 0, back.output[-4000:]
    assert load.failed == [] and site.version() == "v3.8.2.4"
    assert (receipt(lab, CANARY)["outcome"], receipt(lab, CANARY)["to"]) == ("returned", "v3.8.2.4")


def test_what_fails_outside_is_taken_back(site: Outside, lab: Any, play: Callable[..., Play]) -> None:
    """Seen from where it cannot be trusted, the site is no good; the old version has its place back before the play ends."""
    fine = make_image(lab, "fine")
    with site.load() as load:
        outcome = play(
            "upgrade.yml", "-l", CANARY, *wanted(fine, upgrade_checks=["certificate"], verify_ca_file="/etc/ssl/certs/ca-certificates.crt")
        )
    assert outcome.code != 0 and outcome.failed == {CANARY}, outcome.output[-4000:]
    assert "upgraded and taken back, v3.8.2.4 serves again" in said(outcome) and "certificate" in outcome.output
    assert load.failed == [] and site.version() == "v3.8.2.4"
    told = receipt(lab, CANARY)
    assert (told["ok"], told["outcome"]) == (False, "taken_back") and "runs v3.8.2.4 again" in told["notice"]
