# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role edge: quiet the second time, truthful in check mode, and never at the cost of routes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.edge import BACKEND_PORT, CA_FILE, Edge
from tests.support.lab import RunningLab


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Edge]:
    found = Edge(lab)
    found.role()
    found.start_backend()
    yield found
    found.clean()
    found.stop_backend()
    found.role()


@pytest.fixture(scope="module")
def site(edge: Edge) -> str:
    name = edge.new_name("role")
    route = {"id": "role-test", "hosts": [name], "upstream": f"127.0.0.1:{BACKEND_PORT}", "wait_certificate": 60, "ca_file": CA_FILE}
    result = edge.module(route)
    assert not result.get("failed"), result
    return name


def changed(output: str) -> int:
    return sum(int(count) for count in re.findall(r"changed=(\d+)", output))


def test_second_run_is_quiet(edge: Edge) -> None:
    assert changed(edge.role()) == 0
    assert changed(edge.role("--check", "--diff")) == 0


def test_waiting_connections_outlive_a_reload(edge: Edge) -> None:
    """What loses none of them is measured by ./dev bench tls; here that it is set, now and at the next boot."""
    edge.lab.exec(edge.host, ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_migrate_req"])
    assert changed(edge.role("--check")) == changed(edge.role()) == 1
    assert edge.lab.exec(edge.host, ["cat", "/proc/sys/net/ipv4/tcp_migrate_req"]).stdout.strip() == "1"
    kept = edge.lab.exec(edge.host, ["cat", "/etc/sysctl.d/60-meet-coop-edge.conf"]).stdout
    assert kept.replace(" ", "").strip() == "net.ipv4.tcp_migrate_req=1"


def test_check_mode_on_a_host_without_caddy(lab: RunningLab) -> None:
    bare = Edge(lab, "node2")
    assert lab.exec("node2", ["systemctl", "is-active", "caddy"]).stdout.strip() != "active"
    output = bare.role("--check", "--diff")
    assert changed(output) > 0 and "edge-unmatched" in output
    assert lab.exec("node2", ["test", "-e", "/etc/caddy/edge.json"]).returncode != 0


def test_another_base_keeps_routes_and_certificates(edge: Edge, site: str) -> None:
    foretold = changed(edge.role("--check", edge_grace_period=11))
    assert changed(edge.role(edge_grace_period=11)) == foretold == 1
    config = edge.config()
    assert config["apps"]["http"]["grace_period"] == "11s"
    assert config == edge.saved()
    assert edge.request(site).status == 200
    assert changed(edge.role()) == 1


def test_base_changed_by_hand_is_repaired(edge: Edge, site: str) -> None:
    edge.admin("PATCH", "/config/apps/http/grace_period", "1s")
    assert changed(edge.role()) == 1
    assert edge.config()["apps"]["http"]["grace_period"] == "10s"
    assert edge.request(site).status == 200


def test_restart_and_crash_keep_routes(edge: Edge, site: str) -> None:
    edge.lab.exec(edge.host, ["systemctl", "restart", "caddy"])
    assert edge.request(site).status == 200
    edge.lab.exec(edge.host, ["systemctl", "kill", "--signal=KILL", "caddy"])
    edge.lab.wait_for(edge.host, "curl -s -o /dev/null http://127.0.0.1:80/", 20)
    assert edge.request(site).status == 200
    assert changed(edge.role()) == 0


def test_it_starts_beside_hundreds_of_processes_of_the_same_number(edge: Edge, site: str) -> None:
    """Containers' users share numbers with the host's: Redis is 999 in its image, and so Caddy may be on the host."""
    sleepers = "setpriv --reuid caddy --regid caddy --clear-groups sh -c 'for i in $(seq 600); do sleep 600 & done'"
    unit = "systemd-run --quiet --collect --unit=crowd --property=TasksMax=infinity --property=Type=forking"
    edge.lab.exec(edge.host, ["sh", "-c", f"{unit} {sleepers}"])
    try:
        edge.lab.wait_for(edge.host, "test $(pgrep -u caddy -c sleep) -ge 600", 60)
        restarted = edge.lab.exec(edge.host, ["systemctl", "restart", "caddy"])
        assert restarted.returncode == 0, restarted
        assert edge.request(site).status == 200
    finally:
        edge.lab.exec(edge.host, ["systemctl", "stop", "crowd.service"])


def test_stopped_caddy_is_started(edge: Edge, site: str) -> None:
    edge.lab.exec(edge.host, ["systemctl", "stop", "caddy"])
    result = edge.module({"id": "role-test", "hosts": [site, "more.meet.test"], "upstream": f"127.0.0.1:{BACKEND_PORT}"})
    assert result["failed"] and "is Caddy running" in result["msg"]
    assert changed(edge.role(edge_grace_period=12)) == 2, "the base in the file, and the service"
    assert edge.config()["apps"]["http"]["grace_period"] == "12s"
    assert edge.request(site).status == 200
    edge.role()


def test_only_root_and_caddy_reach_the_admin_api(edge: Edge) -> None:
    argv = ["curl", "-sS", "--unix-socket", "/run/caddy/admin.sock", "http://caddy/config/"]
    done = edge.lab.exec(edge.host, argv, user="nobody")
    assert done.returncode != 0 and not done.stdout
    assert edge.lab.exec(edge.host, ["sh", "-c", "ss -Hltn | grep -c ':2019 '"]).stdout.strip() == "0"
    assert edge.lab.exec(edge.host, ["stat", "-c", "%a %U %G", "/etc/caddy/edge.json"]).stdout.split() == ["640", "root", "caddy"]


def test_eab_key_is_not_shown(edge: Edge) -> None:
    output = edge.role("--check", "--diff", "-vvv", edge_acme_eab={"key_id": "kid-1", "mac_key": "c2VjcmV0LW1hYy1rZXk"})
    assert "kid-1" in output and "c2VjcmV0LW1hYy1rZXk" not in output


def test_access_log_is_sparing_and_http3_is_served(edge: Edge, site: str) -> None:
    edge.role(edge_access_log="/var/log/caddy/access.log", edge_http3=True)
    answer = edge.request(site, "/reset_password/abc?token=very-secret", headers={"User-Agent": "Tester", "Cookie": "a=b"})
    assert answer.status == 200 and "h3" in answer.headers["alt-svc"]
    edge.lab.wait_for(edge.host, "test -s /var/log/caddy/access.log", 10)
    log = edge.lab.exec(edge.host, ["cat", "/var/log/caddy/access.log"]).stdout
    edge.lab.exec(edge.host, ["rm", "/var/log/caddy/access.log"])
    assert site in log and "/reset_password/abc" in log
    assert not [word for word in ("very-secret", "Tester", "Cookie", ".77.128") if word in log], log
    edge.role()
    assert edge.lab.exec(edge.host, ["systemctl", "is-enabled", "caddy"]).stdout.strip() == "enabled"
