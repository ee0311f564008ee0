# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pool host after role pool: what runs, what listens where, who may read what."""

from __future__ import annotations

import os

import pytest
import testinfra


@pytest.fixture(scope="module")
def pool() -> testinfra.host.Host:
    return testinfra.get_host(f"docker://{os.environ['LAB_NAME']}-pool")


@pytest.mark.parametrize("unit", ["bbblb.service", "caddy.service", "postgresql.service"])
def test_units_run_now_and_after_a_boot(pool: testinfra.host.Host, unit: str) -> None:
    service = pool.service(unit)
    assert service.is_running and service.is_enabled


def test_the_balancer_listens_on_loopback_only(pool: testinfra.host.Host) -> None:
    assert pool.socket("tcp://127.0.0.1:8000").is_listening
    assert not pool.socket("tcp://0.0.0.0:8000").is_listening
    assert pool.socket("tcp://0.0.0.0:443").is_listening or pool.socket("tcp://:::443").is_listening


def test_the_configuration_with_its_secret_is_closed(pool: testinfra.host.Host) -> None:
    configuration = pool.file("/etc/bbblb/bbblb.conf")
    assert (configuration.user, configuration.group, configuration.mode) == ("root", "bbblb", 0o640)


def test_both_nodes_are_in_service(pool: testinfra.host.Host) -> None:
    listed = pool.check_output("runuser -u bbblb -- /opt/bbblb/venv/bin/bbblb -C /etc/bbblb/bbblb.conf server stats")
    for node in ("node1.lab.test", "node2.lab.test", "node3.lab.test"):
        assert [line for line in listed.splitlines() if node in line and "True" in line and "available" in line], listed


def test_strangers_get_nothing_but_tenants_paths(pool: testinfra.host.Host) -> None:
    for path, status in (("/", "404"), ("/bbblb/api/v1/tenant", "404"), ("/bigbluebutton/api/", "404")):
        answered = pool.check_output(f"curl -sk -o /dev/null -w '%{{http_code}}' --resolve pool.meet.test:443:127.0.0.1 https://pool.meet.test{path}")
        assert answered == status, path
