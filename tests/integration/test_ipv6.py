# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 beside IPv4, and alone: a second network of the lab for as long as these tests run."""

from __future__ import annotations

import http.client
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.engine import docker, run
from tests.support.edge import CA_FILE, Edge
from tests.support.lab import RunningLab

ZONE = "rosa.test"
ANSWER = [{"handler": "static_response", "body": "here"}]
MEMBERS = ("host1", "services")


class Six(Edge):
    """The edge with an IPv6 address, which the authority and this machine can reach."""

    prefix = ""

    @property
    def address6(self) -> str:
        return f"{self.prefix}::41"

    def get(self, name: str, address: str, tls: bool) -> tuple[int, str]:
        plain = socket.create_connection((address, 443 if tls else 80), timeout=10)
        connection = http.client.HTTPConnection(name, timeout=10)
        connection.sock = self.trust().wrap_socket(plain, server_hostname=name) if tls else plain
        connection.request("GET", "/", headers={"Host": name})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Six]:
    found = Six(lab)
    found.prefix = f"fd{secrets.token_hex(1)}:{secrets.randbelow(0xFFFF) + 1:x}:{secrets.randbelow(0xFFFF) + 1:x}"  # as RFC 5952 writes it
    network = f"{lab.name}-six"
    run(["docker", "network", "rm", network], check=False)
    docker("network", "create", "--ipv6", "--subnet", f"{found.prefix}::/64", network)
    try:
        for number, host in enumerate(MEMBERS):
            docker("network", "connect", "--ip6", f"{found.prefix}::{41 - number}", network, lab.host(host))
        found.role()
        yield found
        found.clean()
    finally:
        for host in MEMBERS:
            run(["docker", "network", "disconnect", "--force", network, lab.host(host)], check=False)
        docker("network", "rm", network)


@pytest.fixture
def own_name(edge: Six) -> Iterator[Callable[..., str]]:
    """Makes a name with these records, and the one that shows for whom it is."""
    made: list[str] = []

    def make(*records: str) -> str:
        label = f"six{secrets.token_hex(4)}"
        made.append(label)
        lines = [f"add {label} 5 {record}" for record in records]
        edge.lab.update(ZONE, *lines, f'add _coop-verify.{label} 5 TXT "coop-verify=meet/six"')
        return f"{label}.{ZONE}"

    yield make
    for label in made:
        edge.lab.update(ZONE, f"del {label}", f"del _coop-verify.{label}")


def check(edge: Six, run_module: Callable[..., Any], name: str, *addresses: str) -> dict[str, Any]:
    token = run_module(edge.host, "meet.coop.caddy_info", {"id": "six"})["token"]
    options = {
        "names": [name], "addresses": list(addresses), "verification": "meet/six", "edge_token": token,
        "caa_identities": ["pebble.lab.test"], "resolver": edge.lab.resolver,
    }  # fmt: skip
    (finding,) = run_module("localhost", "meet.coop.domain_check", options)["results"]
    return dict(finding)


def test_a_name_with_ipv6_alone(edge: Six, run_module: Callable[..., Any], own_name: Callable[..., str]) -> None:
    """Checked, validated by the authority and served without any IPv4."""
    name = own_name(f"AAAA {edge.address6}")
    finding = check(edge, run_module, name, edge.address6)
    assert (finding["status"], finding["addresses"]) == ("ready", [edge.address6]), finding
    args = {"id": name.split(".")[0], "hosts": [name], "handlers": ANSWER, "ca_file": CA_FILE, "wait_certificate": 60}
    result = edge.module({**args, "connect": f"[{edge.address6}]:443"})
    assert not result.get("failed"), result
    assert edge.get(name, edge.address6, tls=True) == (200, "here")
    assert edge.get(name, edge.address6, tls=False)[0] == 308


def test_a_name_with_both(edge: Six, run_module: Callable[..., Any], own_name: Callable[..., str]) -> None:
    name = own_name(f"A {edge.lab.ip(edge.host)}", f"AAAA {edge.address6}")
    finding = check(edge, run_module, name, edge.lab.ip(edge.host), edge.address6)
    assert finding["status"] == "ready", finding
    result = edge.module({"id": name.split(".")[0], "hosts": [name], "handlers": ANSWER, "ca_file": CA_FILE, "wait_certificate": 60})
    assert not result.get("failed"), result
    for address in (edge.lab.ip(edge.host), edge.address6):
        assert edge.get(name, address, tls=True) == (200, "here")


def test_an_aaaa_of_ours_that_leads_to_another_machine(edge: Six, run_module: Callable[..., Any], own_name: Callable[..., str]) -> None:
    """Its address is in the membership file, and still somebody else answers there."""
    elsewhere = f"{edge.prefix}::40"
    name = own_name(f"A {edge.lab.ip(edge.host)}", f"AAAA {elsewhere}")
    finding = check(edge, run_module, name, edge.lab.ip(edge.host), elsewhere)
    assert finding["status"] == "unreachable" and elsewhere in finding["reason"], finding
    finding = check(edge, run_module, name, edge.lab.ip(edge.host))
    assert finding["status"] == "wrong_target" and finding["remove"] == [f"{name}. AAAA {elsewhere}"], finding
