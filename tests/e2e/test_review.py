# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review of onboarded hosts: nothing is open as the roles leave them, and what is opened by hand is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Play

SSHD = "/etc/ssh/sshd_config.d/00-review.conf"
HBA = "$(ls -d /etc/postgresql/*/main)/pg_hba.conf"
LOOSE = "/etc/systemd/system/meet-coop-isolation.service.d/loose.conf"
BREAKS = {
    # What is found: what opens it, and what puts it back.
    "ssh-password sshd": ("sed -i 's/ no$/ yes/' " + SSHD, f"sed -i 's/ yes$/ no/' {SSHD}"),
    "listens tcp/8099": (
        "systemd-run --quiet --collect --unit=review-port python3 -m http.server --bind 0.0.0.0 --directory /usr/share/doc 8099",
        "systemctl stop review-port.service",
    ),
    "mode /etc/meet-coop/backup.key": ("chmod 0644 /etc/meet-coop/backup.key", "chmod 0600 /etc/meet-coop/backup.key"),
    "mode /etc/meet-coop/isolation.nft": ("chmod 0666 /etc/meet-coop/isolation.nft", "chmod 0644 /etc/meet-coop/isolation.nft"),
    # Neither is told to read its file again: the files alone are what the next start would take.
    "pg-hba-trust 5432: host all all 192.0.2.0/24 trust": (
        f"echo 'host all all 192.0.2.0/24 trust' >> {HBA}", f"sed -i '/192.0.2.0.24 trust/d' {HBA}",
    ),
    "docker-tcp 0.0.0.0:2375": (
        "cp -p /etc/docker/daemon.json /run/review-daemon.json;"
        """ sed -i '0,/{/s//{"hosts": ["fd:\\/\\/", "tcp:\\/\\/0.0.0.0:2375"],/' /etc/docker/daemon.json""",
        "test ! -e /run/review-daemon.json || mv /run/review-daemon.json /etc/docker/daemon.json",
    ),
    "docker-socket-mode /run/docker.sock": ("chmod 0666 /run/docker.sock", "chmod 0660 /run/docker.sock"),
    "pg-superuser 5432: review_mo": (
        "psql -qU postgres -c 'CREATE ROLE review_mo LOGIN SUPERUSER'", "psql -qU postgres -c 'DROP ROLE IF EXISTS review_mo'",
    ),
    "container-docker-socket review-loose": (
        "docker run --detach --rm --name review-loose --network host --volume /run/docker.sock:/run/docker.sock --entrypoint sleep"
        " meet-coop-lab/redis:7 600",
        "docker rm --force review-loose",
    ),
    "unit-exposed meet-coop-isolation.service": (
        f"mkdir -p {LOOSE.rpartition('/')[0]};"
        " printf '[Service]\\nCapabilityBoundingSet=~\\nNoNewPrivileges=no\\nProtectSystem=no\\nPrivateDevices=no\\n"
        f"RestrictNamespaces=no\\nRestrictAddressFamilies=\\nProtectKernelModules=no\\n' > {LOOSE}; systemctl daemon-reload",
        f"rm -rf {LOOSE.rpartition('/')[0]}; systemctl daemon-reload",
    ),
    "firewall meet_coop_isolation": ("nft delete table inet meet_coop_isolation", "systemctl restart meet-coop-isolation.service"),
}  # fmt: skip


@pytest.fixture
def reached_by_ssh(lab: Any) -> Iterator[None]:
    """host1 with an SSH server as docs/hardening.md asks for it; the lab's hosts have none running."""
    lines = "PasswordAuthentication no\\nKbdInteractiveAuthentication no\\nPermitRootLogin prohibit-password\\n"
    started = lab.exec("host1", ["sh", "-ec", f"printf '{lines}' > {SSHD}; systemctl start ssh.service"])
    assert started.returncode == 0, started
    yield
    lab.exec("host1", ["sh", "-c", f"systemctl stop ssh.service ssh.socket; rm -f {SSHD}"])


def test_what_is_opened_by_hand_is_found_until_it_is_put_back(
    lab: Any, onboarded: Play, play: Callable[..., Play], reached_by_ssh: None
) -> None:
    closed = play("review.yml", "-l", "host1,pool", "--check")
    assert closed.code == 0, closed.output[-6000:]
    # Every part is there and was looked at; what the lab accepts is told with its reason.
    said = " ".join(closed.output.split())
    assert "looked at: ports, ssh, docker, postgresql, files, units, caddy, updates" in said
    assert "no-security-updates apt" in said and "accepted: hosts that are thrown away" in said
    try:
        for opens, _puts_back in BREAKS.values():
            done = lab.exec("host1", ["sh", "-ec", opens])
            assert done.returncode == 0, (opens, done)
        lab.wait_for("host1", "ss -Hltn 'sport = :8099' | grep -q .", 30)
        opened = play("review.yml", "-l", "host1,pool")
        said = " ".join(opened.output.split())
        assert opened.failed == {"host1"} and opened.changed == {}, opened.output[-6000:]
        assert [finding for finding in BREAKS if f"{finding}: " not in said] == [], opened.output[-6000:]
        # Told where, and not what: the key that everybody could read is not in the output.
        assert lab.exec("host1", ["cat", "/etc/meet-coop/backup.key"]).stdout.strip() not in opened.output
    finally:
        left = [done for _opens, puts_back in BREAKS.values() if (done := lab.exec("host1", ["sh", "-ec", puts_back])).returncode]
    assert left == []
    again = play("review.yml", "-l", "host1,pool")
    assert again.code == 0 and again.changed == {}, again.output[-6000:]
