# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance goes to another container host, comes back from a dead one, and is never served by two."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import hosts, lifecycle
from tests.lab.config import HOSTS
from tests.support.ansible import INVENTORY, ROOT

from .conftest import Play

INSTANCE, DATABASE, OWN = "rosa", "greenlight_rosa", "meet.rosa.test"
SECRETS = f"/var/lib/meet-coop/instances/{INSTANCE}/secrets.json"
SITE = ("services.yml", "-l", INSTANCE)
MOVE = ("move.yml", "-l", INSTANCE)


@dataclass
class TwoHosts:
    """A lab with a second container host, and an inventory that knows it."""

    lab: Any
    inventory: pathlib.Path

    def place(self, host: str) -> None:
        """The operator edits the membership file."""
        path = self.inventory / "members.yml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("    container_host: ")]
        at = lines.index(f"  {INSTANCE}:", lines.index("services:"))
        path.write_text("\n".join([*lines[: at + 1], f"    container_host: {host}", *lines[at + 1 :], ""]))

    def on(self, host: str, script: str) -> str:
        done = self.lab.exec(host, ["sh", "-ec", script])
        assert done.returncode == 0, (host, script, done)
        return str(done.stdout).strip()

    def people(self, host: str) -> str:
        return self.on(
            host, f"psql -U postgres -d {DATABASE} -Atc 'SELECT id, email, password_digest FROM users ORDER BY id'; sha256sum {SECRETS}"
        )

    def running(self, host: str) -> list[str]:
        return self.on(host, f"docker ps --format '{{{{.Names}}}}' | grep '^greenlight-{INSTANCE}$' || true").split()

    def status(self, host: str, name: str = OWN) -> int:
        """What the edge of a host answers, whatever the name leads to."""
        return int(
            self.on(
                host,
                "curl --silent --cacert /etc/meet-coop/ca-bundle.pem --connect-to ::127.0.0.1: -o /dev/null -w '%{http_code}'"
                f" https://{name}/api/v1/env.json || true",
            )
        )

    def records(self, host: str) -> dict[str, Any]:
        said = self.on(host, f"cat /var/lib/meet-coop/moves/{INSTANCE}.json 2>/dev/null || echo '{{}}'")
        found: dict[str, Any] = json.loads(said)
        return found

    def published(self) -> str:
        return self.on("services", f"kdig +short @{self.lab.dns_server} {INSTANCE}.meet.test A")


@pytest.fixture(scope="module")
def two(onboarded: Play, lab: Any, play: Callable[..., Play], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    lifecycle.up(lab.config, ["host2"], lambda message: None)
    root = tmp_path_factory.mktemp("two")
    inventory = root / "inventories" / "lab"
    shutil.copytree(INVENTORY, inventory)
    (root / ".lab").symlink_to(ROOT / ".lab")
    machines = inventory / "hosts.yml"
    first = '        host1: {ansible_host: "{{ lab_name }}-host1"}\n'
    assert first in machines.read_text()
    machines.write_text(machines.read_text().replace(first, first + first.replace("host1", "host2")))
    members = inventory / "members.yml"
    address = lab.config.address
    text = members.read_text().replace(
        f"  host1:\n    address: {address('host1')}\n",
        f"  host1:\n    address: {address('host1')}\n  host2:\n    address: {address('host2')}\n",
    )
    members.write_text(text.replace("defaults:\n", "defaults:\n  container_host: host1\n", 1))
    try:
        platform = play("platform.yml", "-l", "host2", inventory=inventory)
        assert platform.code == 0, platform.output[-4000:]
        yield TwoHosts(lab, inventory)
    finally:
        hosts.remove_host(lab.config, HOSTS["host2"])
        lab.exec("host1", ["sh", "-c", "rm -rf /var/lib/meet-coop/moves /srv/of-host2"])


def test_an_instance_moves_however_often_the_run_is_killed(
    two: TwoHosts, play: Callable[..., Play], play_killed_at: Callable[..., bool]
) -> None:
    before = two.people("host1")
    secrets = list(json.loads(two.on("host1", f"cat {SECRETS}")).values())
    said = ""

    def played(*arguments: str) -> Play:
        nonlocal said
        done = play(*arguments, inventory=two.inventory)
        said += done.output
        return done

    two.place("host2")
    refused = played(*SITE)
    assert refused.failed == {INSTANCE} and refused.changed == {} and "meet.coop.move -l rosa" in " ".join(refused.output.split())
    assert two.running("host1") and not two.running("host2")
    asked = played("move.yml")
    assert asked.code == 0 and asked.changed == {} and "once you ask for it" in " ".join(asked.output.split())
    foretold = played(*MOVE, "--check")
    assert foretold.code == 0 and foretold.changed == {INSTANCE: 1} and "moves from host1 to host2" in foretold.output
    assert two.records("host1") == {} and two.records("host2") == {}

    # Killed while the last copy is being laid out: the old place is what counts, and closed.
    assert play_killed_at("Lay its data out at the new place", 0.5, *MOVE, inventory=two.inventory)
    assert (two.records("host1")["state"], two.records("host2")["state"]) == ("leaving", "arriving")
    assert not two.running("host1") and not two.running("host2") and two.status("host1") == 503
    refused = played(*SITE)
    assert refused.failed == {INSTANCE} and refused.changed == {} and "is arriving on host2" in " ".join(refused.output.split())

    # Killed when it has arrived and is not open yet.
    assert play_killed_at("Run the Greenlight container", 0.0, *MOVE, "-e", "move_prove=false", inventory=two.inventory)
    assert two.records("host2")["state"] == "arrived" and not two.running("host1")

    moved = played(*MOVE, "-e", "move_prove=false")
    assert moved.code == 0, moved.output[-6000:]
    assert two.people("host2") == before
    assert (two.running("host1"), two.running("host2")) == ([], [f"greenlight-{INSTANCE}"])
    assert two.published() == two.lab.config.address("host2")
    # The member's own name still leads to the old host, which passes people on.
    assert [two.status("host1"), two.status("host2")] == [200, 200]
    receipt = json.loads((two.lab.state / "receipts" / "move" / f"{INSTANCE}.json").read_text())
    assert receipt["outcome"] == "moved" and receipt["closed_seconds"] > 1 and OWN in "".join(receipt["records_to_change"])
    seen = json.loads((two.lab.state / "receipts" / "move" / "checks" / f"{INSTANCE}.json").read_text())
    assert seen["ok"] and re.fullmatch(r"\d{4}-\d\d-\d\d", seen["restore_proved_on"]), "the drill before it was closed"
    assert two.records("host1")["state"] == "left"

    again = played(*MOVE)
    assert again.code == 0 and again.changed == {}, again.output[-4000:]
    nightly = played(*SITE)
    assert nightly.code == 0 and nightly.changed == {}, nightly.output[-4000:]
    assert [one for one in secrets if one in said] == []
    assert two.on("host1", "ls /var/lib/meet-coop/moves") == two.on("host2", "ls /var/lib/meet-coop/moves") == f"{INSTANCE}.json"


def test_what_a_dead_host_had_is_rebuilt_from_the_backup(two: TwoHosts, play: Callable[..., Play], tmp_path: pathlib.Path) -> None:
    assert two.records("host2").get("state") == "arrived", "the test before this one has brought it there"
    before = two.people("host2")
    key = two.on("host2", "cat /etc/meet-coop/backup.key")
    archive = tmp_path / "repository.tar"
    with archive.open("wb") as stream:
        subprocess.run(
            ["docker", "exec", two.lab.config.container("host2"), "tar", "-C", "/var/backups/meet-coop", "-c", "restic"],
            stdout=stream,
            check=True,
        )
    with archive.open("rb") as stream:
        subprocess.run(
            ["docker", "exec", "-i", two.lab.config.container("host1"), "sh", "-c", "mkdir -p /srv/of-host2; tar -C /srv/of-host2 -x"],
            stdin=stream, check=True,
        )  # fmt: skip
    subprocess.run(["docker", "kill", two.lab.config.container("host2")], check=True, capture_output=True)
    # The old place on host1 is closed since the move; what it holds is older than the backup, and must not be taken for the instance.
    two.place("host1")
    refused = play(*SITE, inventory=two.inventory)
    assert refused.failed == {INSTANCE} and "is left on host1" in " ".join(refused.output.split())
    unsure = play(*MOVE, inventory=two.inventory)
    told = " ".join(unsure.output.split())
    assert unsure.failed == {INSTANCE} and "host2 does not answer" in told and "instance_lost_hosts" in told
    options = tmp_path / "lost.json"
    options.write_text(
        json.dumps({"instance_lost_hosts": ["host2"], "move_repository": {"repository": "/srv/of-host2/restic", "password": key}})
    )
    rebuilt = play(*MOVE, "-e", f"@{options}", inventory=two.inventory)
    assert rebuilt.code == 0, rebuilt.output[-6000:]
    assert key not in rebuilt.output
    assert two.people("host1") == before and two.status("host1") == 200 and two.published() == two.lab.config.address("host1")
    receipt = json.loads((two.lab.state / "receipts" / "move" / f"{INSTANCE}.json").read_text())
    assert receipt["outcome"] == "rebuilt" and receipt["closed_seconds"] is None and receipt["data_from"]
    again = play(*MOVE, "-e", f"@{options}", inventory=two.inventory)
    assert again.code == 0 and again.changed == {}, again.output[-4000:]
