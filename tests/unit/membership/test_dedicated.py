# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of a service's own, and the content management systems that make meetings."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name

from .base import built, changed, lines

SERVER = {"domain": "BBB.cafe.example", "secret_var": "vault_cafe_bbb_secret"}
ADMINISTRATORS = {"administrators": [{"name": "Kim", "email": "kim@cafe.example"}]}


def service(**more: Any) -> dict[str, Any]:
    return {"tier": "dedicated_server", "client": "cafe", "accounts": ADMINISTRATORS, "server": SERVER, **more}


def test_a_server_without_a_balancer() -> None:
    found = built(changed(services__live=service(cms={"cloud": {"kind": "nextcloud"}}))).services["live"]
    assert found["server"] == {
        "domain": "bbb.cafe.example",
        "endpoint": "https://bbb.cafe.example/bigbluebutton/api/",
        "secret_var": "vault_cafe_bbb_secret",
        "host": None,
        "address": None,
        "connection": {},
        "balancer": None,
        "balancer_domain": None,
        "records": [],
        "recordings": None,
    }
    assert found["cms"] == [{"name": "cloud", "kind": "nextcloud", "url": None, "access": "server", "tenant": tenant_name("live.cloud")}]


def test_a_balancer_gives_each_system_a_tenant() -> None:
    server = {**SERVER, "balancer": "host1", "address": "203.0.113.20"}
    cms = {"a": {"kind": "moodle"}, "b": {"kind": "drupal", "access": "server"}}
    found = built(changed(services__live=service(server=server, cms=cms)))
    live = found.services["live"]
    assert (live["server"]["balancer_domain"], live["server"]["host"]) == ("live-api.meet.example", "live-bbb")
    assert live["server"]["records"] == [{"name": "live-api.meet.example.", "type": "A", "values": ["203.0.113.10"]}]
    assert [one["access"] for one in live["cms"]] == ["tenant", "server"]
    assert len({one["tenant"] for one in live["cms"]} | {tenant_name("live")}) == 3


def test_recordings_have_the_servers_own_retention_and_say_so_to_people() -> None:
    server = {**SERVER, "recordings": {"formats": ["video"], "consent": "We record."}}
    live = built(changed(services__live=service(server=server, record=True, branding={"welcome": "Hello."}))).services["live"]
    assert live["server"]["recordings"] == {
        "formats": ["video"],
        "published_days": 14,
        "unrecorded_days": 14,
        "history": 5,
        "delete_after_days": 0,
        "consent": "We record.",
    }
    assert live["branding"]["welcome"] == "Hello. We record."
    assert built(changed(services__live=service(record=True))).services["live"]["branding"]["welcome"] is None


def test_members_of_the_pool_have_systems_too() -> None:
    found = built(changed(services__rosa__cms={"site": {"kind": "wordpress", "url": "https://rosa.example/"}})).services["rosa"]
    assert [(one["access"], one["url"]) for one in found["cms"]] == [("tenant", "https://rosa.example/")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"services__live": {k: v for k, v in service().items() if k != "server"}}, "field server: is missing; write server: with domain:"),
        ({"services__rosa__server": SERVER}, "field server: is for tier dedicated_server only"),
        ({"services__live": service(server={"domain": "bbb.cafe.example"})}, "secret_var"),
        ({"services__live": service(server={**SERVER, "secret": "hunter2hunter2"})}, "name a variable with secret_var"),
        ({"services__live": service(server={**SERVER, "domain": "https://bbb.cafe.example/"})}, "write only bbb.cafe.example"),
        ({"services__live": service(server={**SERVER, "address": "::1"})}, "is not an IPv4 address"),
        ({"services__live": service(server={**SERVER, "connection": {"ansible_user": "root"}})}, "stands here without address"),
        ({"services__live": service(server={**SERVER, "balancer_domain": "api.cafe.example"})}, "stands here without balancer"),
        ({"services__live": service(server={**SERVER, "balancer": "rosa"})}, "is a service or a group, not a machine"),
        ({"services__live": service(server={**SERVER, "recordings": {}})}, "write record: true"),
        ({"services__live": service(server={**SERVER, "recordings": {"formats": ["flash"]}}, record=True)}, "formats"),
        ({"services__live": service(), "services__two": service()}, 'is the server of service "live" already'),
        (
            {
                "services__live": service(server={**SERVER, "balancer": "host1"}),
                "services__two": service(server={**SERVER, "domain": "b.cafe.example", "balancer": "host1"}),
            },
            'is the balancer of service "live" already',
        ),
        (
            {
                "services__live": service(server={**SERVER, "balancer": "host1"}),
                "services__live-api": {"tier": "dedicated_container", "client": "cafe", "accounts": ADMINISTRATORS},
            },
            'is already the name of service "live"',
        ),
        (
            {
                "services__live": service(server={**SERVER, "address": "203.0.113.20"}),
                "services__live-bbb": {"tier": "dedicated_container", "client": "cafe", "accounts": ADMINISTRATORS},
            },
            "which is a service already",
        ),
        ({"services__rosa__cms": {"site": {"kind": "wordpress", "access": "server"}}}, "would open the whole pool"),
        ({"services__rosa__cms": {"Site": {"kind": "wordpress"}}}, "is not a name for a content management system"),
        ({"services__rosa__cms": {"site": {"kind": "typo3"}}}, "is not one of nextcloud, moodle, wordpress, drupal"),
        ({"services__rosa__cms": {"site": {"kind": "moodle", "url": "http://x"}}}, "is not the address of a site"),
        ({"services__live": service(cms={"a": {"kind": "moodle", "access": "tenant"}})}, "needs a balancer"),
    ],
)
def test_what_is_refused(data: dict[str, Any], said: str) -> None:
    found = lines(changed(**data))
    assert [line for line in found if said in line], found
    assert "hunter2" not in "".join(found)


def test_a_shared_secret_is_warned_of() -> None:
    found = built(changed(services__live=service(cms={"a": {"kind": "moodle"}, "b": {"kind": "drupal"}})))
    assert [line for line in found.warnings if "a, b share the server's own secret" in line]
