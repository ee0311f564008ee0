# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""caddy_route against a real Caddy with certificates from a real authority that looks at real DNS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.edge import BACKEND_PORT, CA_FILE, Edge
from tests.support.greenlight_database import command
from tests.support.lab import RunningLab

UPSTREAM = f"127.0.0.1:{BACKEND_PORT}"
ROOM = "/api/v1/rooms/abc-def-ghi-jkl.json"
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Edge]:
    found = Edge(lab)
    found.role()
    found.start_backend()
    yield found
    found.clean()
    found.stop_backend()


def route(name: str, *aliases: str, **more: Any) -> dict[str, Any]:
    wanted = {"id": name.split(".")[0], "hosts": [name, *aliases], "upstream": UPSTREAM, "wait_certificate": 60, "ca_file": CA_FILE}
    return {**wanted, **more}


@pytest.fixture(scope="module")
def site(edge: Edge) -> str:
    """One open name with an alias and a directory of files."""
    name, alias = edge.new_name("site"), edge.new_name("alias")
    edge.lab.exec(edge.host, ["sh", "-c", "mkdir -p /srv/edge-test && echo '<svg/>' > /srv/edge-test/logo.svg"])
    result = edge.module(route(name, alias, static={"/branding": "/srv/edge-test"}))
    assert not result.get("failed"), result
    return name


def alias_of(edge: Edge, site: str) -> str:
    entry = next(entry for entry in routes(edge) if entry["@id"] == f"route-{site.split('.')[0]}")
    found: str = entry["match"][0]["host"][1]
    return found


def routes(edge: Edge) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = edge.config()["apps"]["http"]["servers"]["edge"]["routes"]
    return found


def test_a_new_name_gets_its_certificate_and_is_served(edge: Edge) -> None:
    name = edge.new_name()
    started = time.monotonic()
    result = edge.truthful(route(name))
    assert result["changed"] is True
    print(f"certificate and two more runs after {time.monotonic() - started:.1f} s; the module waited {result['certificate_seconds']} s")
    answer = edge.request(name, "/hello?a=b")
    assert (answer.status, answer.seen["path"]) == (200, "/hello?a=b")


def test_through_the_real_ansible(edge: Edge, run_module: Callable[..., dict[str, Any]]) -> None:
    name = edge.new_name()
    args = route(name)
    edge.routes.append(args["id"])
    foretold = run_module(edge.host, "meet.coop.caddy_route", args, check=True)
    real = run_module(edge.host, "meet.coop.caddy_route", args)
    again = run_module(edge.host, "meet.coop.caddy_route", args)
    assert [foretold["changed"], real["changed"], again["changed"]] == [True, True, False], (foretold, real, again)
    assert foretold["diff"] == real["diff"]
    closed = run_module(edge.host, "meet.coop.caddy_route", {"id": args["id"], "state": "absent"})
    assert closed["changed"] is True
    assert not any(entry["@id"] == f"route-{args['id']}" for entry in routes(edge))
    assert run_module(edge.host, "meet.coop.caddy_route", {"id": args["id"], "state": "absent"})["changed"] is False


def test_greenlight_gets_the_truth_about_the_request(edge: Edge, site: str) -> None:
    forged = {
        "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9;host=evil.example", "X-Forwarded-Port": "81", "X-Forwarded-Ssl": "off", "X-Forwarded-Scheme": "http",
        "Client-IP": "203.0.113.9",
    }  # fmt: skip
    seen = edge.request(site, headers=forged).seen["headers"]
    assert seen["host"] == seen["x-forwarded-host"] == site
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == seen["x-forwarded-for"].split(",")[0]
    assert "evil.example" not in str(seen) and "203.0.113.9" not in str(seen)
    assert not {"forwarded", "client-ip", "x-forwarded-port", "x-forwarded-ssl", "x-forwarded-scheme"} & set(seen)


def test_a_trusted_proxy_in_front_is_believed(edge: Edge) -> None:
    name = edge.new_name()
    edge.module(route(name, trusted_proxies=["172.16.0.0/12"]))
    seen = edge.request(name, headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": name}).seen["headers"]
    assert seen["x-forwarded-for"].split(", ")[0] == "203.0.113.9"


def test_headers_on_the_way_back(edge: Edge, site: str) -> None:
    headers = edge.request(site).headers
    assert headers["strict-transport-security"] == "max-age=31536000", "Greenlight sends includeSubDomains too"
    assert "server" not in headers


def test_websocket_passes(edge: Edge, site: str) -> None:
    with edge.connect(site) as connection:
        connection.sendall(
            f"GET /cable HTTP/1.1\r\nHost: {site}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        stream = connection.makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 101")
        while stream.readline().strip():
            pass
        for word in (b"one\n", b"two\n"):
            connection.sendall(word)
            assert stream.readline() == b"echo " + word


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/migrations",
        "/api/v1/migrations/users.json",
        "/api/v1//migrations/users",
        "/api/v1/%6digrations/users",
        "/api/v1/x/../migrations/users",
    ],
)
def test_migrations_are_closed(edge: Edge, site: str, path: str) -> None:
    assert edge.request(site, path, "POST", body=b"{}").status == 404


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/api/v1/sessions.json", MEGABYTE - 10, 200),
        ("/api/v1/sessions.json", MEGABYTE + 10, 413),
        (ROOM, 31 * MEGABYTE - 10, 200),
        (ROOM, 31 * MEGABYTE + 10, 413),
        ("/api/v1/users/01234567-89ab-cdef-0123-456789abcdef.json", 4 * MEGABYTE - 10, 200),
        ("/api/v1/users/01234567-89ab-cdef-0123-456789abcdef.json", 4 * MEGABYTE + 10, 413),
        ("/api/v1/admin/site_settings/BrandingImage.json", 3 * MEGABYTE, 200),
        ("/api/v1/admin/site_settings/Terms.json", 3 * MEGABYTE, 413),
    ],
)
def test_upload_sizes(edge: Edge, site: str, path: str, size: int, status: int) -> None:
    assert edge.upload(site, path, size) == (status, size if status == 200 else 0)


def test_upload_of_unknown_length_is_counted(edge: Edge, site: str) -> None:
    parts = (b"x" * 65536 for _other in range(40))
    answer = edge.request(site, "/api/v1/sessions.json", "POST", headers={"Transfer-Encoding": "chunked"}, body=parts)
    assert answer.status == 413


def test_files_beside_the_application(edge: Edge, site: str) -> None:
    answer = edge.request(site, "/branding/logo.svg")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"<svg/>\n", "image/svg+xml")
    assert "script" not in answer.headers["content-security-policy"]
    assert edge.request(site, "/branding/none.svg").status == 404
    for path in ("/branding/%2e%2e/%2e%2e/etc/passwd", "/branding/../../etc/passwd", "/branding/..%2f..%2fetc/passwd"):
        assert b"root:" not in edge.request(site, path).body


def test_alias_redirects_to_the_canonical_name(edge: Edge, site: str) -> None:
    answer = edge.request(alias_of(edge, site), "/rooms/abc?x=1", "POST", body=b"x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://{site}/rooms/abc?x=1")


def test_plain_http_redirects_known_names_only(edge: Edge, site: str) -> None:
    answer = edge.request(site, "/x?y", tls=False)
    assert (answer.status, answer.headers["location"]) == (308, f"https://{site}/x?y")
    assert edge.request("unknown.meet.test", tls=False).status == 404


def test_unknown_names_get_nothing(edge: Edge, site: str) -> None:
    with pytest.raises(OSError):
        edge.connect("unknown.meet.test", verify=False)
    answer = edge.request(site, host="unknown.meet.test")
    assert answer.status == 421


def test_application_down_is_answered_for(edge: Edge) -> None:
    name = edge.new_name()
    edge.module(route(name, upstream="127.0.0.1:5998"))
    answer = edge.request(name)
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    assert b"Back soon" in answer.body


def test_maintenance_and_back(edge: Edge) -> None:
    name = edge.new_name()
    edge.module(route(name))
    result = edge.truthful(route(name, state="maintenance"))
    assert result["changed"] and edge.request(name).status == 503
    assert edge.truthful(route(name))["changed"] and edge.request(name).status == 200


def test_own_handlers(edge: Edge) -> None:
    name = edge.new_name()
    args = {**route(name), "handlers": [{"handler": "static_response", "status_code": 200, "body": "own"}]}
    del args["upstream"]
    assert edge.truthful(args)["changed"]
    assert edge.request(name).body == b"own"


def test_refused_configuration_leaves_the_old_one(edge: Edge, site: str) -> None:
    before, kept = edge.config(), edge.saved()
    result = edge.module({"id": "bad", "hosts": ["bad.meet.test"], "handlers": [{"handler": "no_such_handler"}]})
    assert result["failed"] and "no_such_handler" in result["msg"] and "old one stays" in result["msg"] and "\n" not in result["msg"]
    assert (edge.config(), edge.saved()) == (before, kept)
    assert edge.request(site).status == 200


def test_a_name_belongs_to_one_route(edge: Edge, site: str) -> None:
    for check in (True, False):
        result = edge.module({"id": "thief", "hosts": ["thief.meet.test", site], "upstream": UPSTREAM}, check=check)
        assert result["failed"] and site in result["msg"] and site.split(".")[0] in result["msg"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"id": "Bad"}, "lower-case"),
        ({"hosts": ["nodot"]}, "whole host name"),
        ({"hosts": ["a b.example"]}, "whole host name"),
        ({"hosts": []}, "hosts is empty"),
        ({"upstream": "5000"}, "HOST:PORT"),
        ({"upstream": None}, "either upstream or handlers"),
        ({"static": {"/": "/srv"}}, "path prefix"),
    ],
)
def test_wrong_options_get_one_line(edge: Edge, args: dict[str, Any], message: str) -> None:
    wanted = {"id": "x", "hosts": ["x.meet.test"], "upstream": UPSTREAM, **args}
    result = edge.module({key: value for key, value in wanted.items() if value is not None}, check=True)
    assert result["failed"] and message in result["msg"] and "\n" not in result["msg"]


def test_drift_by_hand_is_found_and_repaired(edge: Edge) -> None:
    name = edge.new_name()
    args = route(name)
    edge.module(args)
    for damage in (
        lambda: edge.admin("PATCH", f"/id/route-{args['id']}/match", [{"host": [name, "more.meet.test"]}]),
        lambda: edge.admin("DELETE", f"/id/route-{args['id']}"),
    ):
        damage()
        assert edge.truthful(args)["changed"] is True
        assert edge.request(name).status == 200


def test_a_run_killed_before_it_saved_is_repaired(edge: Edge) -> None:
    """Killed after Caddy took the route and before the file was written: a restart would forget it."""
    name = edge.new_name()
    args = route(name)
    before = json.dumps(edge.saved())
    edge.module(args)
    edge.lab.exec(edge.host, ["sh", "-c", "cat > /etc/caddy/edge.json"], before)
    assert edge.truthful(args)["changed"] is True
    assert edge.saved() == edge.config()


def test_a_run_killed_while_waiting_is_repaired(edge: Edge) -> None:
    name = edge.new_name()
    args = {**route(name), "connect": "127.0.0.1:1", "wait_certificate": 30}
    edge.routes.append(args["id"])
    script = """
    cat > /tmp/edge-test-args
    route=$1; shift
    "$@" < /tmp/edge-test-args &
    until grep -q "route-$route" /etc/caddy/edge.json; do sleep 0.1; done
    kill -KILL $!
    """
    argv = ["sh", "-c", script, "sh", args["id"], *command(edge.lab, edge.host, "caddy_route")]
    killed = edge.lab.exec(edge.host, argv, json.dumps({"ANSIBLE_MODULE_ARGS": args}), timeout=60)
    assert not killed.stdout, "it was still waiting"
    result = edge.module(route(name))
    assert not result.get("failed") and result["changed"] is False, result
    assert edge.request(name).status == 200


def test_many_at_once(edge: Edge) -> None:
    """Several runs on one host: none loses another's route."""
    names = [edge.new_name("par") for _other in range(6)]
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda n=name: results.append(edge.module(route(n, wait_certificate=0)))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result["changed"] for result in results] == [True] * 6, results
    assert {f"route-{name.split('.')[0]}" for name in names} <= {entry["@id"] for entry in routes(edge)}
    assert edge.saved() == edge.config()


def test_requests_in_flight_survive_a_change(edge: Edge, site: str) -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(edge.request(site, "/slow").status))
    thread.start()
    time.sleep(0.5)
    other = edge.new_name()
    edge.module(route(other, wait_certificate=0))
    thread.join()
    assert answers == [200]


def test_a_certificate_that_cannot_come_is_explained(edge: Edge) -> None:
    """The name does not exist, so the authority can't see it."""
    name = f"absent{time.time_ns()}.meet.test"
    result = edge.module(route(name, wait_certificate=12))
    assert result["failed"] and name in result["msg"] and "no certificate" in result["msg"], result
    assert "the authority's answer" in result["msg"] and "\n" not in result["msg"], result["msg"]


def test_the_next_run_heals_what_the_authority_refused(edge: Edge) -> None:
    """A name that comes into being only after Caddy's first try: the next run does not wait for Caddy's long pause."""
    name = edge.new_name()
    label = name.split(".")[0]
    edge.lab.update("meet.test", f"del {label} A")
    assert edge.module(route(name, wait_certificate=8))["failed"]
    edge.lab.update("meet.test", f"add {label} 5 A {edge.lab.ip(edge.host)}")
    time.sleep(6)  # what the resolver remembers of its absence
    result = edge.module(route(name, wait_certificate=45))
    assert not result.get("failed"), result
    assert result["changed"] is False and result["certificate_seconds"] < 40
    assert edge.request(name).status == 200


def test_certificate_of_an_unknown_authority_does_not_count(edge: Edge, site: str) -> None:
    args = route(site, alias_of(edge, site), static={"/branding": "/srv/edge-test"}, wait_certificate=1, ca_file=None)
    result = edge.module({key: value for key, value in args.items() if value is not None} | {"ca_file": "/etc/ssl/certs/ISRG_Root_X1.pem"})
    assert result["failed"] and "not accepted" in result["msg"], result
