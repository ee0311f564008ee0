# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a lab: made, used, its machines restarted, its parts lost, taken down. In a second lab, beside the one other tests use."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab import lifecycle, trust
from tests.lab.config import REPOSITORY, Lab
from tests.support.lab import RunningLab

NAME, SUBNET = "labtest", "172.30.103.0/24"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAB_NAME": NAME, "LAB_SUBNET": SUBNET}
    return subprocess.run(
        [sys.executable, "-m", "tests.lab", *arguments], cwd=REPOSITORY, env=environment, text=True, capture_output=True, check=False
    )


def leftovers() -> list[str]:
    """Everything of the second lab that Docker knows."""
    found = []
    for kind in (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls"], ["volume", "ls"]):
        given = kind if "--format" in kind else [*kind, "--format", "{{.Name}}"]
        names = subprocess.run(["docker", *given], text=True, capture_output=True, check=True).stdout.split()
        found += [name for name in names if name.startswith(f"{NAME}-")]
    return found


@pytest.fixture(scope="module")
def second(lab: RunningLab) -> Iterator[RunningLab]:
    """A lab with its services host and its container host."""
    assert command("down").returncode == 0
    done = command("up", "host1")
    assert done.returncode == 0, done.stderr
    yield RunningLab(Lab(NAME, ipaddress.IPv4Network(SUBNET)))
    assert command("down").returncode == 0
    assert leftovers() == []
    shutil.rmtree(REPOSITORY / ".lab" / NAME)


def test_it_stands_beside_the_other(second: RunningLab, lab: RunningLab) -> None:
    assert second.query("host1.lab.test") == ["172.30.103.41"] != lab.query("host1.lab.test")
    assert second.secrets["tsig"] != lab.secrets["tsig"]
    assert set(leftovers()) == {
        f"{NAME}-services", f"{NAME}-host1", f"{NAME}-lab", f"{NAME}-host1-var-lib-docker", f"{NAME}-shared-srv-meet-coop-uploads"
    }  # fmt: skip


def test_its_hosts_are_bare(second: RunningLab) -> None:
    """Packages are there for speed; nothing of them runs or would run."""
    said = second.exec("host1", ["systemctl", "list-units", "--type=service", "--state=active", "--no-legend", "--plain"]).stdout
    for unit in ("docker", "postgresql", "caddy", "knot", "redis-server", "unbound", "dovecot"):
        assert f"{unit}.service" not in said
        assert second.exec("host1", ["systemctl", "is-enabled", f"{unit}.service"]).stdout.strip() != "enabled", unit
    assert second.exec("host1", ["systemctl", "is-system-running"]).stdout.strip() == "running"


def test_a_second_up_does_nothing(second: RunningLab) -> None:
    done = command("up", "host1")
    assert done.returncode == 0 and "nothing to do" in done.stderr, done.stderr


def test_images_are_there_when_docker_is(second: RunningLab) -> None:
    assert second.exec("host1", ["systemctl", "start", "docker"]).returncode == 0
    images = set(second.exec("host1", ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]).stdout.split())
    assert {"meet-coop-lab/redis:7", "meet-coop-lab/greenlight:v3.8.2.4", "meet-coop-lab/greenlight:v3.7.1"} <= images
    # One removed by hand is back with the next up, and up again has nothing to do.
    assert second.exec("host1", ["docker", "rmi", "meet-coop-lab/redis:7"]).returncode == 0
    assert "images into host1" in command("up", "host1").stderr
    assert "nothing to do" in command("up", "host1").stderr


def test_the_redis_image_serves(second: RunningLab) -> None:
    second.exec("host1", ["systemctl", "start", "docker"])
    script = """docker run --detach --name probe --network none meet-coop-lab/redis:7 redis-server --requirepass secret >/dev/null
        for n in 1 2 3 4 5 6 7 8 9 10; do
            said=$(docker exec --env REDISCLI_AUTH=secret probe sh -c 'redis-cli ping' 2>&1); [ "$said" != PONG ] || break; sleep 0.5
        done
        docker rm --force probe >/dev/null; echo "$said" """
    assert second.exec("host1", ["sh", "-c", script]).stdout.strip() == "PONG"


def test_a_restarted_authority_is_noticed_and_trusted_anew(second: RunningLab) -> None:
    """Pebble makes itself a new root at every start; what the old one vouched for is worth nothing then."""
    old = second.config.ca_file.read_text()
    second.update("meet.test", "add kept 60 A 192.0.2.9")
    second.exec("host1", ["sh", "-c", "mkdir -p /var/lib/caddy/certificates/acme && echo old > /var/lib/caddy/certificates/acme/old"])
    second.reboot("services")
    second.wait_for("services", "test -s /var/lib/lab-pebble/root.pem")
    assert second.query("kept.meet.test") == ["192.0.2.9"], "changes to a zone outlive the server"
    assert not trust.current(second.config, "host1")
    done = command("up", "host1")
    assert done.returncode == 0 and "host1 trusts Pebble" in done.stderr, done.stderr
    new = second.config.ca_file.read_text()
    assert new != old and new.split("-----END")[0] == old.split("-----END")[0]
    assert trust.current(second.config, "host1")
    assert second.exec("host1", ["ls", "/var/lib/caddy/certificates/acme/old"]).returncode != 0
    assert second.exec("host1", ["curl", "-sS", "--fail", "-o", "/dev/null", "https://services.lab.test:14000/dir"]).returncode == 0
    assert "nothing to do" in command("up", "host1").stderr


def test_a_host_made_anew_keeps_nothing(second: RunningLab) -> None:
    second.exec("host1", ["touch", "/var/lib/docker/trace", "/etc/trace"])
    lifecycle.renew(second.config, ["host1"], lambda message: None)
    assert second.exec("host1", ["ls", "/etc/trace"]).returncode != 0
    assert second.exec("host1", ["ls", "/var/lib/docker/trace"]).returncode != 0
    assert second.exec("host1", ["getent", "hosts", "services.lab.test"]).returncode == 0


def test_a_network_that_is_taken_is_one_clear_line(second: RunningLab) -> None:
    environment = {**os.environ, "LAB_NAME": "labtest-other", "LAB_SUBNET": SUBNET}
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab", "up", "services"], cwd=REPOSITORY, env=environment, text=True, capture_output=True, check=False
    )
    shutil.rmtree(REPOSITORY / ".lab" / "labtest-other")
    assert done.returncode == 1
    said = f"another Docker network of this machine lies in {SUBNET}: give the lab a free one with LAB_SUBNET"
    assert done.stderr.splitlines()[-1].endswith(said)


def test_secrets_stay_when_the_rest_is_made_again(second: RunningLab) -> None:
    path = second.state / "secrets.yml"
    known = json.loads(path.read_text())
    lost = {**known, "imap": {}}
    path.write_text(json.dumps(lost))
    assert command("up", "services").returncode == 0
    again = json.loads(path.read_text())
    assert again["tsig"] == known["tsig"] and again["imap"]["verify"] not in ("", known["imap"]["verify"])
    assert path.stat().st_mode & 0o777 == 0o600
