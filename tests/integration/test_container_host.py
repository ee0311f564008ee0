# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role container_host on the lab's host: what it sets up, keeps, repairs, predicts, and what stands again after a reboot."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.config import BASE_IMAGE
from tests.lab.hosts import wait_booted
from tests.support.containers import HOST, Instance
from tests.support.lab import RunningLab
from tests.support.roles import apply_role, recap


@pytest.fixture(scope="module")
def host(lab: RunningLab) -> RunningLab:
    done = apply_role("container_host", HOST)
    assert done.returncode == 0, done.stdout[-4000:]
    return lab


def shell(lab: RunningLab, script: str) -> str:
    done = lab.exec(HOST, ["sh", "-c", script])
    assert done.returncode == 0, done
    return done.stdout.strip()


def sql(lab: RunningLab, statement: str) -> str:
    """As root over the socket: the way all modules go in."""
    return shell(lab, f'psql -U postgres -d postgres -Atc "{statement}"')


def test_a_second_run_changes_nothing_and_a_prediction_says_so(host: RunningLab) -> None:
    for check in (True, False):
        done = apply_role("container_host", HOST, check=check)
        assert done.returncode == 0, done.stdout[-4000:]
        assert recap(done)["changed"] == 0, done.stdout


def test_docker_is_configured(host: RunningLab) -> None:
    assert "10.213.0.1/24" in shell(host, "ip -4 addr show docker0")
    shell(host, "docker network create host-test")
    subnet = shell(host, "docker network inspect host-test --format '{{(index .IPAM.Config 0).Subnet}}'")
    shell(host, "docker network rm host-test")
    assert subnet.startswith("10.214.") and subnet.endswith("/28")
    assert shell(host, "docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}'") == "true json-file"


def test_postgresql_listens_where_instances_are_and_nowhere_else(host: RunningLab) -> None:
    addresses = shell(host, "ss -Hltn 'sport = :5432' | awk '{print $4}'").split()
    assert sorted(addresses) == ["10.213.0.1:5432", "127.0.0.1:5432"]
    assert sql(host, "SELECT current_user, current_setting('max_connections'), current_setting('password_encryption')") == (
        "postgres|1200|scram-sha-256"
    )
    rights = sql(host, "SELECT has_database_privilege('pg_monitor', d, 'CONNECT') FROM unnest(ARRAY['postgres', 'template1']) d")
    assert rights.split() == ["f", "f"]
    assert "map=meet_coop" in shell(host, "head -5 /etc/postgresql/*/main/pg_hba.conf")


def test_what_others_wrote_stays_and_drift_is_mended(host: RunningLab) -> None:
    """A foreign key in daemon.json, a line of somebody's in pg_hba.conf; meanwhile rules, settings and rights were lost."""
    shell(host, "cp /etc/docker/daemon.json /root/daemon.json")
    shell(
        host,
        """python3 - <<'END'
import json
path = "/etc/docker/daemon.json"
found = json.load(open(path))
found["max-concurrent-downloads"] = 2
found["log-opts"]["max-size"] = "1g"
json.dump(found, open(path, "w"))
END
echo 'host all somebody 192.0.2.1/32 scram-sha-256' >> $(ls /etc/postgresql/*/main/pg_hba.conf)
nft delete table inet meet_coop_isolation
rm -rf /var/lib/meet-coop/host-test; chmod 755 /var/lib/meet-coop/instances
psql -q -U postgres -c 'GRANT CONNECT ON DATABASE postgres TO PUBLIC'""",
    )
    predicted = apply_role("container_host", HOST, check=True)
    assert predicted.returncode == 0, predicted.stdout[-4000:]
    assert "nft delete" not in predicted.stdout and host.exec(HOST, ["nft", "list", "table", "inet", "meet_coop_isolation"]).returncode != 0
    done = apply_role("container_host", HOST)
    assert done.returncode == 0, done.stdout[-4000:]
    assert recap(predicted)["changed"] > 0
    daemon = json.loads(shell(host, "cat /etc/docker/daemon.json"))
    assert daemon["max-concurrent-downloads"] == 2 and daemon["log-opts"]["max-size"] == "10m"
    assert "somebody" in shell(host, "tail -1 /etc/postgresql/*/main/pg_hba.conf")
    assert "10.214.0.0/16" in shell(host, "nft list table inet meet_coop_isolation")
    assert shell(host, "stat -c %a /var/lib/meet-coop/instances") == "700"
    assert sql(host, "SELECT has_database_privilege('pg_monitor', 'postgres', 'CONNECT')") == "f"
    assert recap(apply_role("container_host", HOST))["changed"] == 0
    shell(host, "mv /root/daemon.json /etc/docker/daemon.json; sed -i '/somebody/d' /etc/postgresql/*/main/pg_hba.conf")


def test_a_broken_configuration_is_not_overwritten(host: RunningLab) -> None:
    shell(host, "cp /etc/docker/daemon.json /root/daemon.json; echo '{\"bip\": ' > /etc/docker/daemon.json")
    try:
        done = apply_role("container_host", HOST)
        assert done.returncode != 0
        assert "is not valid JSON" in done.stdout and "Traceback" not in done.stdout
        assert shell(host, "cat /etc/docker/daemon.json") == '{"bip":'
    finally:
        shell(host, "mv /root/daemon.json /etc/docker/daemon.json")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"distribution": "Fedora", "distribution_version": "44", "distribution_major_version": "44"}, "needs Debian 12 or 13"),
        ({"service_mgr": "sysvinit"}, "needs systemd"),
    ],
)
def test_other_machines_are_refused(host: RunningLab, facts: dict[str, str], words: str) -> None:
    found = {"distribution": "Debian", "distribution_version": "13", "distribution_major_version": "13", "service_mgr": "systemd"}
    done = apply_role("container_host", HOST, {"ansible_facts": {**found, "memtotal_mb": 4000, **facts}})
    assert done.returncode != 0 and words in done.stdout, done.stdout[-2000:]


def test_a_machine_too_small_is_refused(host: RunningLab) -> None:
    done = apply_role("container_host", HOST, {"container_host_minimum_memory": 10**9})
    assert done.returncode != 0 and "container_host_minimum_memory" in done.stdout


@pytest.fixture
def bare(lab: RunningLab, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Debian with systemd and Python, and nothing else."""
    name = f"{lab.name}-bare-{os.getpid()}"
    command = ["docker", "run", "--detach", "--name", name, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
               "--security-opt", "apparmor=unconfined", "--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/run/lock",
               "--stop-signal", "SIGRTMIN+3", BASE_IMAGE]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    variables = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {name: variables}}}))
    try:
        yield name, inventory
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=True, capture_output=True)


def test_a_bare_machine_is_predicted_and_left_alone(bare: tuple[str, Path]) -> None:
    name, inventory = bare
    wait_booted(name)
    changes = ["docker", "diff", name]
    before = set(subprocess.run(changes, capture_output=True, text=True, check=True).stdout.splitlines())
    done = apply_role("container_host", name, {"container_host_minimum_memory": 100}, check=True, inventory=inventory)
    assert done.returncode == 0, done.stdout[-4000:]
    assert recap(done)["failed"] == 0
    assert "docker.io" in done.stdout and "postgresql" in done.stdout and "10.213.0.1/24" in done.stdout
    after = set(subprocess.run(changes, capture_output=True, text=True, check=True).stdout.splitlines())
    touched = [line.split()[1] for line in after - before]
    # What systemd itself writes while it runs is not ours.
    assert [path for path in touched if path.startswith(("/etc", "/usr", "/opt", "/var/lib/")) and "/systemd" not in path] == []


def test_everything_stands_again_after_a_reboot(host: RunningLab, run_module: Callable[..., dict[str, Any]]) -> None:
    """Docker, PostgreSQL on the bridge's address, the walls, and an instance on the port it had."""
    instance = Instance(host, run_module, "t-reboot", (47900, 47909))
    try:
        instance.provide_database()
        first = instance.good()
        host.reboot(HOST)
        host.wait_for(HOST, "ss -ltn | grep -q '10.213.0.1:5432' && nft list table inet meet_coop_isolation", 60)
        host.wait_for(HOST, f"docker ps --format '{{{{.Names}}}}' | grep -qx {instance.container}", 60)
        again = instance.good()
        assert (again["changed"], again["port"], again["container_id"]) == (False, first["port"], first["container_id"])
        assert instance.serves(first["port"])
        assert instance.inside("timeout 3 bash -c '</dev/tcp/10.213.0.1/5432'").returncode == 0
        assert instance.inside("timeout 3 bash -c '</dev/tcp/10.213.0.1/22'").returncode != 0
    finally:
        with contextlib.suppress(AssertionError):
            instance.remove()
