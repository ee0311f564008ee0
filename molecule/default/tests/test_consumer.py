# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container host after a consumer was onboarded on bare machines: what runs, what is closed, what answers."""

from __future__ import annotations

import json
import os

import pytest
import testinfra


@pytest.fixture(scope="module")
def host() -> testinfra.host.Host:
    return testinfra.get_host(f"docker://{os.environ['LAB_NAME']}-host1")


@pytest.mark.parametrize("unit", ["docker.service", "caddy.service", "postgresql.service"])
def test_units_run_now_and_after_a_boot(host: testinfra.host.Host, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running and service.is_enabled


def instances(host: testinfra.host.Host) -> list[str]:
    return host.check_output("ls /var/lib/meet-coop/instances").split()


def test_the_instance_has_its_own_containers_behind_loopback(host: testinfra.host.Host) -> None:
    assert instances(host)
    for instance in instances(host):
        found = json.loads(host.check_output(f"docker inspect greenlight-{instance} greenlight-{instance}-redis"))
        assert [container["State"]["Running"] for container in found] == [True, True]
        bindings = found[0]["NetworkSettings"]["Ports"]["3000/tcp"]
        assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]
        assert not found[1]["NetworkSettings"]["Ports"].get("6379/tcp")
        assert list(found[0]["NetworkSettings"]["Networks"]) == [f"greenlight-{instance}"]
        assert "no-new-privileges" in " ".join(found[0]["HostConfig"]["SecurityOpt"])
        assert found[0]["HostConfig"]["Memory"] > 0 and found[0]["HostConfig"]["PidsLimit"] > 0


def test_secrets_are_for_root_alone(host: testinfra.host.Host) -> None:
    for instance in instances(host):
        assert host.file(f"/var/lib/meet-coop/instances/{instance}").mode == 0o700
        secrets = host.file(f"/var/lib/meet-coop/instances/{instance}/secrets.json")
        assert (secrets.user, secrets.mode) == ("root", 0o600)


def test_the_database_is_closed_to_others(host: testinfra.host.Host) -> None:
    query = "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('pg_monitor', oid, 'CONNECT')"
    assert host.check_output(f'psql -U postgres -Atc "{query}"') == ""
    assert not host.socket("tcp://0.0.0.0:5432").is_listening


def test_the_site_answers_with_the_members_limits_in_its_database(host: testinfra.host.Host) -> None:
    for instance in instances(host):
        database = "greenlight_" + instance.replace("-", "_")
        query = "SELECT name, default_value FROM meeting_options WHERE name IN ('duration', 'maxParticipants')"
        rows = host.check_output(f'psql -U postgres -d {database} -Atc "{query}"')
        values = dict(row.split("|") for row in rows.splitlines())
        assert int(values["duration"]) > 0 and int(values["maxParticipants"]) > 0
        port = host.check_output(f"docker port greenlight-{instance} 3000/tcp").rsplit(":", 1)[1]
        assert host.check_output(f"curl -s http://127.0.0.1:{port}/health_check") == "success"
