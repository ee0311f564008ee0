# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of routes: everyone's own is put in place, nobody else's moves, and no host is served twice."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._edge.base import (
    Base,
    binding_key,
    instance_routes,
    masked,
    with_routes,
    without_routes,
)
from ansible_collections.meet.coop.plugins.module_utils._edge.routes import Route, RouteError, diff, hosts_of, make_route, observe
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

CATCH_ALL = {"@id": "edge-unmatched", "handle": [{"handler": "static_response", "status_code": 421}]}


def route(name: str, *hosts: str, **more: Any) -> Route:
    return make_route(name, hosts or (f"{name}.example",), upstream="127.0.0.1:5000", **more)


def test_names_are_canonical() -> None:
    made = make_route("a", ["Bücher.Example.", "b.example", "B.example"], upstream="[::1]:80")
    assert made.hosts == ("xn--bcher-kva.example", "b.example")


def test_aliases_redirect_and_only_they() -> None:
    inner = route("a", "a.example", "b.example").as_config()["handle"][0]["routes"]
    (redirect,) = [entry for entry in inner if "host" in (entry.get("match") or [{}])[0]]
    assert redirect["match"] == [{"host": ["b.example"]}] and redirect["terminal"]
    assert redirect["handle"][0]["headers"]["Location"] == ["https://a.example{http.request.uri}"]
    assert not any("host" in (entry.get("match") or [{}])[0] for entry in route("a").as_config()["handle"][0]["routes"])


def test_migrations_are_answered_before_anything_is_proxied() -> None:
    inner = route("a", static={"/branding": "/srv/x"}).as_config()["handle"][0]["routes"]
    paths = [(entry.get("match") or [{}])[0].get("path") for entry in inner]
    assert paths.index(["/api/v1/migrations", "/api/v1/migrations/*"]) < paths.index(["/branding/*"]) < len(inner) - 1
    assert inner[-1]["handle"][0]["handler"] == "reverse_proxy"


@pytest.mark.parametrize(
    "wrong",
    [
        {"route_id": "A"},
        {"route_id": "-a"},
        {"hosts": []},
        {"hosts": ["localhost"]},
        {"hosts": ["*.example.org"]},
        {"hosts": ["a_b..example"]},
        {"hosts": ["https://a.example"]},
        {"hosts": ["{http.request.host}.example"]},
        {"upstream": None},
        {"upstream": "host"},
        {"upstream": None, "upstreams": ["127.0.0.1:1", "host"]},
        {"upstreams": ["127.0.0.1:2"]},
        {"upstream": "unix//run/x.sock"},
        {"handlers": []},
        {"static": {"/x/*": "/srv"}},
        {"static": {"/x": "relative"}},
    ],
)
def test_wrong_routes(wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"route_id": "a", "hosts": ["a.example"], "upstream": "127.0.0.1:1", **wrong}
    with pytest.raises(RouteError) as caught:
        make_route(**options)
    assert "\n" not in str(caught.value)


def test_host_of_another_route_is_refused() -> None:
    current = [route("a", "a.example", "x.example").as_config(), CATCH_ALL]
    with pytest.raises(RouteError, match=r"x\.example .*'a' and 'b'"):
        diff(current, [route("b", "b.example", "x.example")])
    moved = diff(current, [route("a"), route("b", "b.example", "x.example")])
    assert moved is not None, "moving it from one to the other in one change is no conflict"


def test_a_route_that_stands_twice_is_made_one() -> None:
    twice = [route("a").as_config(), route("a").as_config(), CATCH_ALL]
    assert diff(twice, [route("a")]) == [route("a").as_config(), CATCH_ALL]


IDS = st.sampled_from(["a", "b", "c", "d", "e"])
BY_HAND: dict[str, Any] = {"match": [{"host": ["hand.example"]}], "handle": []}
OTHERS = st.lists(st.sampled_from([CATCH_ALL, BY_HAND, {"@id": "x", "match": [{"path": ["/x"]}]}]))


@given(st.lists(IDS, unique=True), OTHERS, st.lists(IDS, unique=True), st.lists(IDS, unique=True), st.booleans())
def test_any_change(present: list[str], others: list[dict[str, Any]], wanted: list[str], unwanted: list[str], changed: bool) -> None:
    unwanted = [name for name in unwanted if name not in wanted]
    current = [route(name).as_config() for name in present] + copy.deepcopy(others)
    untouched = copy.deepcopy(current)
    desired = [route(name, body_limit=5) if changed else route(name) for name in wanted]
    found = diff(current, desired, unwanted)
    assert current == untouched, "planning changes nothing"
    after = current if found is None else found
    assert diff(after, desired, unwanted) is None, "a second plan is empty"
    seen = observe(after)
    assert all(seen[entry.id] == entry.as_config() for entry in desired)
    assert not set(unwanted) & set(seen)
    keep = [entry for entry in current if str(entry.get("@id", "")).removeprefix("route-") not in {*wanted, *unwanted}]
    assert [entry for entry in after if entry in keep] == keep, "others keep their order"
    if CATCH_ALL in after:
        assert all(hosts_of(entry) or entry.get("match") or entry == CATCH_ALL for entry in after[: after.index(CATCH_ALL)])


def test_base_and_routes_come_apart_again() -> None:
    base = Base(acme_email="a@example.org", http3=True, access_log="/var/log/x").as_config()
    routes = [route("a").as_config(), route("b").as_config()]
    whole = with_routes(base, routes)
    assert instance_routes(whole) == routes
    assert without_routes(whole) == base
    assert without_routes(base) == base
    assert whole["apps"]["http"]["servers"]["edge"]["routes"][-1]["@id"] == "edge-unmatched"


@pytest.mark.parametrize("config", [None, {}, {"apps": None}, {"apps": {"http": {"servers": {"srv0": {"routes": []}}}}}])
def test_configurations_of_others(config: Any) -> None:
    assert instance_routes(config) == []
    assert without_routes(config) == (config or {})


def test_secrets_are_covered() -> None:
    config = Base(acme_eab=("kid", "very-secret")).as_config()
    assert "very-secret" in str(config) and "very-secret" not in str(masked(config)) and "kid" in str(masked(config))


@given(st.binary(min_size=1, max_size=64))
def test_binding_keys_in_either_way_of_writing_are_one(key: bytes) -> None:
    padded = base64.urlsafe_b64encode(key).decode()
    assert binding_key("kid", padded) == binding_key(" kid ", padded.rstrip("=") + "\n") == ("kid", padded.rstrip("="))


@pytest.mark.parametrize(
    ("key_id", "mac_key"),
    [("", "c2VjcmV0"), ("kid", ""), ("kid", "c2Vj+mV0"), ("kid", "c2Vjc"), ("kid", "s e c r e t")],
)
def test_binding_keys_that_caddy_would_not_read(key_id: str, mac_key: str) -> None:
    with pytest.raises(CoopError, match="^acme_eab: (key_id|mac_key) ") as caught:
        binding_key(key_id, mac_key)
    assert not mac_key or mac_key not in str(caught.value)


def test_a_route_waits_as_long_as_it_is_told() -> None:
    def waits(made: Route) -> set[str]:
        inner = made.as_config()["handle"][0]["routes"]
        return {one["load_balancing"]["try_duration"] for part in inner for one in part["handle"] if one["handler"] == "reverse_proxy"}

    assert waits(route("a")) == {"5s"} and waits(route("a", patience=120)) == {"120s"}
    with pytest.raises(RouteError, match="patience 601 is not between 0 and 600 seconds"):
        route("a", patience=601)


def test_one_of_several_places_is_told_by_its_health() -> None:
    def proxy(**options: Any) -> dict[str, Any]:
        handle = make_route("a", ["a.example"], **options).as_config()["handle"][0]["routes"][-1]["handle"]
        found: dict[str, Any] = handle[0]
        return found

    several = proxy(upstreams=["10.0.0.1:5100", "10.0.0.2:5100", "10.0.0.1:5100"])
    assert several["upstreams"] == [{"dial": "10.0.0.1:5100"}, {"dial": "10.0.0.2:5100"}]
    assert several["health_checks"]["active"]["headers"]["Host"] == ["a.example"]
    # One place is looked at by nobody: it is what it was.
    assert proxy(upstreams=["10.0.0.1:5100"]) == proxy(upstream="10.0.0.1:5100")
    assert "health_checks" not in proxy(upstream="10.0.0.1:5100")
