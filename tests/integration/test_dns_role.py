# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role dns: the co-op's own records by both doors, and the check of names in other people's zones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ansible
from tests.support.lab import RunningLab
from tests.support.zones import RunModule, Zone


@pytest.fixture
def zone(lab: RunningLab, run_module: RunModule) -> Iterator[Zone]:
    found = Zone(lab, run_module)
    yield found
    found.clean()


def apply(variables: dict[str, Any], *options: str, tasks: str = "main") -> tuple[int, str, bool]:
    """Role dns on the controller: exit status, everything said, and whether something changed."""
    role = {"name": "Apply the role", "ansible.builtin.import_role": {"name": "meet.coop.dns", "tasks_from": tasks}}
    play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [role]}]
    command = [sys.executable, "-m", "ansible", "playbook", *options, "/dev/stdin"]
    done = ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), input=json.dumps(play), timeout=120)
    return done.returncode, done.stdout + done.stderr, "changed=0" not in done.stdout


@pytest.fixture(params=["updates", "provider"])
def door(zone: Zone, request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "updates":
        return {"dns_server": zone.server, "dns_tsig": zone.tsig}
    options = {"host": zone.server, "key_name": zone.tsig["name"], "key_secret": "env/LAB_TSIG", "key_algorithm": "hmac-sha256"}
    return {
        "dns_provider": {"class": "octodns_bind.Rfc2136Provider", "options": options},
        "dns_provider_secrets": {"LAB_TSIG": zone.tsig["secret"]},
    }


def test_foretold_kept_and_quiet_by_either_door(zone: Zone, door: dict[str, Any]) -> None:
    variables = {
        "dns_zone": zone.origin, "dns_deployment": zone.tag, "dns_records": [zone.record("pool", "A", "192.0.2.20")], **door,
    }  # fmt: skip
    for options, changes, values in ((["--check"], True, []), (["-vvv"], True, ["192.0.2.20"]), ([], False, ["192.0.2.20"])):
        code, said, changed = apply(variables, *options)
        assert (code, changed, zone.query("pool")) == (0, changes, values), said
        assert zone.tsig["secret"] not in said
    assert "member=platform" in " ".join(zone.content())


def test_two_doors_at_once_are_refused(zone: Zone) -> None:
    code, said, _changed = apply({"dns_zone": zone.origin, "dns_deployment": zone.tag})
    assert code == 2 and "give one of dns_server" in said
    both = {"dns_server": zone.server, "dns_provider": {"class": "x.Y"}}
    code, said, _changed = apply({"dns_zone": zone.origin, "dns_deployment": zone.tag, **both})
    assert code == 2 and "give one of dns_server" in said


def test_names_in_other_zones_are_checked(zone: Zone) -> None:
    zone.by_hand(f"add {zone.label('here')} 5 A 192.0.2.80")
    variables = {
        "dns_zone": zone.origin, "dns_deployment": zone.tag, "dns_check_names": [zone.absolute("here")],
        "dns_check_resolver": zone.lab.resolver, "dns_check_addresses": ["192.0.2.81"],
    }  # fmt: skip
    code, said, _changed = apply(variables, tasks="check")
    assert code == 2 and "192.0.2.80 is not ours" in said, said
