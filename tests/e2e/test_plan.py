# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan and the run agree: one drift of each kind is named at its service alone, the run repairs that and no more, and where the plan
says in sync, the full run changes nothing."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Play

# Caddy 2.6 accepts an empty Host header on its socket, and no other.
CADDY = "curl -sf -H 'Host;' --unix-socket /run/caddy/admin.sock"
SERVICES = {"sunflower", "sunflower-training", "rosa", "cafe"}


def psql(instance: str, statement: str) -> str:
    return f'psql -q -v ON_ERROR_STOP=1 -U postgres -d greenlight_{instance.replace("-", "_")} -c "{statement}"'


def permission(name: str) -> str:
    return f"permission_id = (SELECT id FROM permissions WHERE name = '{name}') AND role_id = (SELECT id FROM roles WHERE name = 'User')"


# Each round: service, what is done to it by hand on host1, and the kind that the plan must name, alone.
ROUNDS: list[dict[str, tuple[str, str]]] = [
    {
        "sunflower": ("docker stop -t 2 greenlight-sunflower", "container"),
        "sunflower-training": (
            psql("sunflower-training", "UPDATE site_settings v SET value = '#000000' FROM settings s"
                 " WHERE s.id = v.setting_id AND s.name = 'PrimaryColor'"), "settings"),
        "cafe": (f"{CADDY} -X DELETE http://caddy/id/route-cafe", "route"),
    },
    {
        "sunflower": (psql("sunflower", f"DELETE FROM role_permissions WHERE {permission('RoomLimit')}"), "settings"),
        "sunflower-training": ("chmod 0644 /var/lib/meet-coop/instances/sunflower-training/secrets.json", "secrets"),
        "rosa": ("echo '<svg/>' > /var/lib/meet-coop/branding/rosa/logo.svg", "files"),
    },
    {
        "sunflower": ("docker update --memory 300m --memory-swap 300m greenlight-sunflower", "container"),
        "sunflower-training": (psql("sunflower-training", "UPDATE users SET session_token = NULL WHERE role_id IN"
                                    " (SELECT id FROM roles WHERE name = 'Administrator')"), "accounts"),
        "rosa": ("psql -q -U postgres -c 'ALTER ROLE greenlight_rosa CREATEDB'", "database"),
    },
    {
        "sunflower": ("docker rm -f greenlight-sunflower-redis", "container"),
        "rosa": ("", "tenant"),
        "cafe": ("", "dns"),
    },
]  # fmt: skip


def told(output: str) -> dict[str, set[str]]:
    """Kinds of drift by service, as the summary tells them."""
    text = " ".join(output.partition("Tell what there is to do")[2].partition("TASK [")[0].split())
    assert re.search(r"4 services: \d in sync, \d with something to do", text), text
    found: dict[str, set[str]] = {}
    for service, what in re.findall(r"- ['\"]?(sunflower-training|sunflower|rosa|cafe): (.*?)(?= - ['\"]?(?:[a-z-]+): |$)", text):
        found[service] = set(re.findall(r"(?:^|; )([a-z]+): ", what))
    return found


@pytest.mark.thorough
def test_what_drifts_is_named_repaired_and_nothing_else(
    onboarded: Play, lab: Any, play: Callable[..., Play], run_module: Callable[..., dict[str, Any]]
) -> None:
    assert play("converge.yml").code == 0
    shown = ""
    for number, drifts in enumerate(ROUNDS):
        for service, (script, kind) in drifts.items():
            if kind == "dns":
                lab.update("meet.test", f"del {service} A")
            elif kind == "tenant":
                kept = json.loads(lab.exec("host1", ["cat", f"/var/lib/meet-coop/instances/{service}/secrets.json"]).stdout)
                tenant = {"name": service, "secret": kept["pool_secret"], "duration_max": 999, "participants_max": 999}
                assert run_module("pool", "meet.coop.pool_tenant", {"tenants": [tenant]})["changed"]
            else:
                done = lab.exec("host1", ["sh", "-ec", script])
                assert done.returncode == 0, done
        expected = {service: {kind} for service, (_script, kind) in drifts.items()}
        if number == 0:
            foretold = play("converge.yml", "--check", "--diff")
            assert (foretold.code, told(foretold.output)) == (0, expected), foretold.output[-6000:]
            assert foretold.changed == {service: 1 for service in drifts}, foretold.output[-3000:]
        outcome = play("converge.yml", *(["-vvv"] if number == 1 else []))
        shown += outcome.output
        assert outcome.code == 0 and told(outcome.output) == expected, outcome.output[-6000:]
        assert outcome.changed == {service: 1 for service in drifts}, outcome.output[-3000:]
        assert set(outcome.recap) & SERVICES == set(drifts)
    again = play("converge.yml")
    assert told(again.output) == {} and not set(again.recap) & SERVICES, again.output[-3000:]
    full = play("services.yml")
    assert full.code == 0 and full.changed == {} and set(full.recap) >= SERVICES, full.output[-4000:]
    for service in SERVICES:
        kept = json.loads(lab.exec("host1", ["cat", f"/var/lib/meet-coop/instances/{service}/secrets.json"]).stdout)
        assert not [name for name, value in kept.items() if value in shown + again.output]
    assert not [name for name, value in lab.secrets["smtp"].items() if value in shown + again.output]


def test_a_damaged_member_is_told_and_the_others_are_planned(
    onboarded: Play, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    inventory = other_inventory(lambda text: text.replace("vault_rosa_smtp_password", "vault_nobody_set_this"))
    outcome = play("converge.yml", inventory=inventory)
    text = " ".join(outcome.output.split())
    assert outcome.failed == {"rosa"} and set(outcome.recap) & SERVICES == {"rosa"}, outcome.output[-4000:]
    assert "4 services: 3 in sync, 0 with something to do, 1 that cannot be planned" in text, outcome.output[-4000:]
    assert re.search(r"rosa: cannot be planned: .*vault_nobody_set_this, which is not set", text) and "Traceback" not in text
