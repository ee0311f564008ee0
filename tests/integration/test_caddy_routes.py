# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""caddy_routes: hundreds of routes in one change of a real Caddy, all or none, and caddy_info about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.edge import Wildcard
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab

MANY = 500
ANSWER = [{"handler": "static_response", "body": "here"}]


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Wildcard]:
    found = Wildcard(lab)
    found.apply()
    yield found
    many(found, [{"id": f"bulk{number}", "state": "absent"} for number in range(MANY + 1)])
    found.clean()


def many(edge: Wildcard, routes: list[dict[str, Any]], check: bool = False) -> dict[str, Any]:
    return run_directly(edge.lab, edge.host, "caddy_routes", {"routes": routes}, check=check)


def bulk(count: int = MANY, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"bulk{number}", "hosts": [f"bulk{number}.meet.test"], "handlers": ANSWER, **more} for number in range(count)]


def strangers(edge: Wildcard) -> list[dict[str, Any]]:
    routes = edge.config()["apps"]["http"]["servers"]["edge"]["routes"]
    return [route for route in routes if not route["@id"].startswith("route-bulk")]


def actions(result: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in result["routes"]:
        found[entry["action"]] = found.get(entry["action"], 0) + 1
    return found


def test_hundreds_in_one_reload_are_foretold_and_quiet_the_second_time(edge: Wildcard) -> None:
    before = strangers(edge)
    foretold = many(edge, bulk(), check=True)
    assert not foretold.get("failed"), foretold
    assert "bulk1.meet.test" not in json.dumps(edge.config())
    real = many(edge, bulk())
    assert not real.get("failed"), real
    assert (real["changed"], real["routes"], real["diff"]) == (foretold["changed"], foretold["routes"], foretold["diff"])
    assert actions(real) == {"create": MANY}
    assert many(edge, bulk())["changed"] is False
    assert edge.saved() == edge.config() and strangers(edge) == before
    assert edge.request(f"bulk{MANY - 1}.meet.test").body == b"here"
    mixed = [*bulk(2), {"id": "bulk2", "state": "maintenance", "hosts": ["bulk2.meet.test"]}, {"id": "bulk3", "state": "absent"}]
    assert actions(many(edge, mixed)) == {"none": 2, "update": 1, "delete": 1}
    assert edge.request("bulk2.meet.test").status == 503
    assert actions(many(edge, bulk())) == {"none": MANY - 2, "update": 1, "create": 1}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"hosts": ["nodot"], "handlers": ANSWER}, "whole host name"),
        ({"hosts": ["bulk0.meet.test"], "handlers": ANSWER}, "served by two routes, 'bulk0' and 'bad'"),
        ({"hosts": ["bad.meet.test"], "handlers": [{"handler": "no_such_handler"}]}, "Caddy refused the configuration"),
        ({"hosts": ["bad.meet.test"]}, "either upstream or handlers"),
    ],
)
def test_a_bad_route_is_refused_whole(edge: Wildcard, bad: dict[str, Any], said: str) -> None:
    many(edge, bulk())
    before = edge.config()
    result = many(edge, [{"id": f"bulk{MANY}", "hosts": [f"bulk{MANY}.meet.test"], "handlers": ANSWER}, {"id": "bad", **bad}])
    assert result["failed"] and said in result["msg"] and "\n" not in result["msg"], result
    assert edge.config() == before == edge.saved()
    assert edge.request("bulk0.meet.test").status == 200


def test_one_id_twice_is_refused(edge: Wildcard) -> None:
    result = many(edge, [*bulk(1), *bulk(1)])
    assert result["failed"] and "'bulk0' stands twice" in result["msg"]


def test_a_run_killed_before_it_saved_is_repaired(edge: Wildcard) -> None:
    many(edge, bulk(1))
    before = json.dumps(edge.saved())
    many(edge, bulk(1, state="maintenance"))
    edge.lab.exec(edge.host, ["sh", "-c", "cat > /etc/caddy/edge.json"], before)
    assert many(edge, bulk(1, state="maintenance"))["changed"] is True
    assert edge.saved() == edge.config()


def test_what_is_served_and_how_much_may_be_asked_for(edge: Wildcard) -> None:
    many(edge, bulk(1))
    info = run_directly(edge.lab, edge.host, "caddy_info", {"id": "bulk0", "order_limit": 100_000})
    assert info["hosts"] == ["bulk0.meet.test"] and info["changed"] is False and info["token"], info
    assert info["pace"]["allowance"] == 100_000 - info["pace"]["recent"] and info["pace"]["recent"] > 0
    nobody = run_directly(edge.lab, edge.host, "caddy_info", {"id": "nobody", "order_limit": 1})
    assert (nobody["hosts"], nobody["pace"]["allowance"]) == ([], 0) and nobody["pace"]["wait"] > 0
    bare = run_directly(edge.lab, "node2", "caddy_info", {"id": "nobody"})
    assert (bare["hosts"], bare["token"], bare["account_uri"], bare["pace"]["allowance"]) == ([], None, None, 270), bare
