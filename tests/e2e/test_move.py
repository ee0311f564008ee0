# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance goes to another container host, stays when that fails, comes back from a dead one, and is never served by two.

The tests follow one another: one instance goes through all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab import hosts, lifecycle
from tests.lab.config import HOSTS
from tests.support.ansible import INVENTORY, ROOT, environment

from .conftest import Play, command

INSTANCE, DATABASE, OWN = "rosa", "greenlight_rosa", "meet.rosa.test"
SECRETS = f"/var/lib/meet-coop/instances/{INSTANCE}/secrets.json"
SITE = ("services.yml", "-l", INSTANCE)
MOVE = ("move.yml", "-l", INSTANCE)
QUICKLY = (*MOVE, "-e", "move_prove=false")
# What a test looks at itself.
UNSEEN = ("-e", '{"move_checks": []}')
# Nobody asks for a move, and the time of every old place is over.
NIGHTLY = ("move.yml", "-e", "move_keep_days=0")

pytestmark = pytest.mark.thorough


@dataclass
class TwoHosts:
    """A lab with a second container host, and an inventory that knows it."""

    lab: Any
    inventory: pathlib.Path
    run: Callable[..., Play]
    said: list[str] = field(default_factory=list)

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

    def state(self, host: str) -> str:
        """What the record of the host says; nothing where it has none."""
        said = self.on(host, f"cat /var/lib/meet-coop/moves/{INSTANCE}.json 2>/dev/null || echo '{{}}'")
        return str(json.loads(said).get("state", ""))

    def states(self) -> tuple[str, str]:
        return self.state("host1"), self.state("host2")

    def receipt(self, below: str = "") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.lab.state / "receipts" / "move" / below / f"{INSTANCE}.json").read_text())
        return found

    def published(self) -> str:
        """The host that our zone leads to."""
        address = self.on("services", f"kdig +short @{self.lab.dns_server} {INSTANCE}.meet.test A")
        return next((host for host in ("host1", "host2") if self.lab.config.address(host) == address), address)

    def silence(self, host: str) -> None:
        """Nothing comes through to the host any more, whatever is open to it already; what it runs goes on."""
        rules = "table inet silent { chain input { type filter hook input priority -400; iifname eth0 drop; }; }"
        self.on(host, f"echo '{rules}' | nft -f -")

    def wake(self, host: str) -> None:
        self.on(host, "nft delete table inet silent")

    def silenced_at(self, task: str, *arguments: str, host: str = "host2") -> Play:
        """A run, in which a host goes silent as soon as a task begins."""
        process = subprocess.Popen(
            command(*arguments, inventory=self.inventory), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        lines: list[str] = []
        silent = False
        try:
            for line in process.stdout:
                lines.append(line)
                if not silent and line.startswith("TASK [") and task in line:
                    self.silence(host)
                    silent = True
            done = Play(process.wait(), "".join(lines))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        self.said.append(done.output)
        assert silent, done.output[-6000:]
        return done

    def played(self, *arguments: str) -> Play:
        done = self.run(*arguments, inventory=self.inventory)
        self.said.append(done.output)
        return done

    def at_once(self, *plays: tuple[str, ...]) -> list[Play]:
        """Plays that change nothing, together."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda arguments: self.played(*arguments), plays))


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
    # By SSH as in earnest: a host that goes silent is unreachable then, where a container of Docker's only fails.
    key = root / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    let_in = """
        install -d -m 0700 /root/.ssh; cat > /root/.ssh/authorized_keys
        systemctl enable --now ssh >&2; cat /etc/ssh/ssh_host_ed25519_key.pub
    """
    known = lab.exec("host2", ["sh", "-ec", let_in], key.with_suffix(".pub").read_text())
    assert known.returncode == 0, known
    (root / "known").write_text(f"{lab.config.address('host2')} {known.stdout}")
    second = {
        "ansible_connection": "ssh", "ansible_host": lab.config.address("host2"), "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=5 -o ServerAliveCountMax=6",
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={root}/known",
    }  # fmt: skip
    machines.write_text(machines.read_text().replace(first, f"{first}        host2: {json.dumps(second)}\n"))
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
        yield TwoHosts(lab, inventory, play)
    finally:
        hosts.remove_host(lab.config, HOSTS["host2"])
        lab.exec("host1", ["sh", "-c", "rm -rf /var/lib/meet-coop/moves /srv/of-host2"])


def words(outcome: Play) -> str:
    return " ".join(outcome.output.split())


def test_a_move_that_is_killed_and_given_up_is_undone(two: TwoHosts, play_killed_at: Callable[..., bool]) -> None:
    before = two.people("host1")
    two.place("host2")
    refused, unasked, foretold = two.at_once(SITE, ("move.yml",), (*MOVE, "--check"))
    assert refused.failed == {INSTANCE} and refused.changed == {} and "meet.coop.move -l rosa" in words(refused)
    assert unasked.code == 0 and unasked.changed == {} and "once you ask for it" in words(unasked)
    assert foretold.code == 0 and foretold.changed == {INSTANCE: 1} and "moves from host1 to host2" in foretold.output
    assert two.states() == ("", "") and two.running("host1") and not two.running("host2")

    # Killed while the last copy is being laid out: the old place is what counts, and closed.
    assert play_killed_at("Lay its data out at the new place", 0.5, *MOVE, inventory=two.inventory)
    assert two.states() == ("leaving", "arriving")
    assert not two.running("host1") and not two.running("host2") and two.status("host1") == 503
    # The operator has had enough of it.
    two.place("host1")
    refused = two.played(*SITE)
    assert refused.failed == {INSTANCE} and refused.changed == {} and "is leaving on host1" in words(refused)
    undone = two.played(*MOVE)
    assert undone.code == 0, undone.output[-6000:]
    assert two.receipt()["outcome"] == "returned" and two.receipt()["closed_seconds"] > 1
    assert two.states() == ("", "arriving") and (two.people("host1"), two.status("host1")) == (before, 200)
    assert two.running("host1") and not two.running("host2")


def test_what_fails_at_the_new_place_opens_the_old_one_again(two: TwoHosts) -> None:
    before = two.people("host1")
    two.place("host2")
    image = two.on("host1", f"docker inspect --format '{{{{.Config.Image}}}}' greenlight-{INSTANCE}")
    two.on("host2", f"docker tag {image} aside && docker rmi {image}")
    failed = two.played(*QUICKLY)
    two.on("host2", f"docker tag aside {image} && docker rmi aside")
    assert failed.failed == {INSTANCE} and "not moved, it serves from host1 as before" in words(failed), failed.output[-6000:]
    assert two.receipt()["outcome"] == "returned" and not two.receipt()["ok"] and image in two.receipt()["why"]
    assert two.states() == ("", "arriving") and (two.people("host1"), two.status("host1"), two.published()) == (before, 200, "host1")
    # Its record in our zone had led to the new place already.
    assert two.status("host2") == 200 and two.running("host1") and not two.running("host2")


@pytest.mark.parametrize("task", ["Lay its data out at the new place", "Set registration, branding and limits"])
def test_a_host_that_goes_silent_while_it_is_closed_takes_nobody_along(two: TwoHosts, task: str) -> None:
    before = two.people("host1")
    failed = two.silenced_at(task, *QUICKLY)
    # Nobody has been at the new host since.
    assert failed.failed == {INSTANCE} and "not moved, it serves from host1 as before" in words(failed), failed.output[-6000:]
    assert "host2 does not answer" in words(failed)
    assert two.receipt()["outcome"] == "returned" and two.receipt()["closed_seconds"] > 1
    assert (two.state("host1"), two.people("host1"), two.status("host1"), two.published()) == ("", before, 200, "host1")
    two.wake("host2")
    assert two.states() == ("", "arriving")
    refused = two.played(*SITE)
    assert refused.failed == {INSTANCE} and refused.changed == {} and "is arriving on host2" in words(refused)


def test_a_host_that_goes_silent_once_it_counts_can_be_given_up_and_comes_back_as_the_older_one(two: TwoHosts) -> None:
    before = two.people("host1")
    failed = two.silenced_at("Open the instance's names to the world", *QUICKLY)
    assert failed.failed == {INSTANCE} and "host2 counts and does not answer" in words(failed), failed.output[-6000:]
    assert two.receipt()["outcome"] == "stuck" and two.state("host1") == "leaving" and two.status("host1") == 503
    two.place("host1")
    given_up = two.played(*QUICKLY, "-e", '{"instance_lost_hosts": ["host2"]}')
    assert given_up.code == 0, given_up.output[-6000:]
    two.wake("host2")
    assert two.states() == ("arrived", "arrived") and (two.people("host1"), two.status("host1"), two.published()) == (before, 200, "host1")
    # What came back is older, and the membership file names it once more.
    two.place("host2")
    site, move = two.at_once(SITE, MOVE)
    assert site.failed == {INSTANCE} and site.changed == {} and "serves on host1" in words(site), site.output[-3000:]
    assert move.failed == {INSTANCE} and move.changed == {} and "it is on host1 as well" in words(move), move.output[-3000:]
    two.place("host1")
    closed = two.played(*MOVE, *UNSEEN)
    assert closed.code == 0, closed.output[-6000:]
    assert two.states() == ("arrived", "left") and two.people("host1") == before
    assert two.running("host1") and not two.running("host2") and two.status("host2") == 200


def test_an_instance_moves_however_often_the_run_is_killed(two: TwoHosts, play_killed_at: Callable[..., bool]) -> None:
    before = two.people("host1")
    two.place("host2")
    # Killed when it has arrived and is not open yet.
    assert play_killed_at("Open the instance's names to the world", 0.0, *QUICKLY, inventory=two.inventory)
    assert two.states() == ("leaving", "arrived") and not two.running("host1")
    moved = two.played(*QUICKLY)
    assert moved.code == 0, moved.output[-6000:]
    assert two.states() == ("left", "arrived") and (two.people("host2"), two.published()) == (before, "host2")
    assert (two.running("host1"), two.running("host2")) == ([], [f"greenlight-{INSTANCE}"])
    # The member's own name still leads to the old host, which passes people on.
    assert [two.status("host1"), two.status("host2")] == [200, 200]
    receipt = two.receipt()
    assert receipt["outcome"] == "moved" and receipt["closed_seconds"] > 1 and OWN in "".join(receipt["records_to_change"])
    proved = two.receipt("checks")["restore_proved_on"]
    assert two.receipt("checks")["ok"] and re.fullmatch(r"\d{4}-\d\d-\d\d", proved), "the drill before it was closed"

    again, site, erased = two.at_once(MOVE, SITE, NIGHTLY)
    assert again.code == site.code == 0 and again.changed == site.changed == {}, again.output[-3000:] + site.output[-3000:]
    assert erased.failed == {INSTANCE} and f"{OWN}" in words(erased) and "nothing is erased on host1" in words(erased)
    assert two.states() == ("left", "arrived") and two.people("host1") == before
    for host in ("host1", "host2"):
        assert two.on(host, "ls /var/lib/meet-coop/moves") == f"{INSTANCE}.json"


def test_what_a_dead_host_had_is_rebuilt_from_the_backup(two: TwoHosts, tmp_path: pathlib.Path) -> None:
    before = two.people("host2")
    key = two.on("host2", "cat /etc/meet-coop/backup.key")
    first, second = (two.lab.config.container(host) for host in ("host1", "host2"))
    with subprocess.Popen(
        ["docker", "exec", second, "tar", "-C", "/var/backups/meet-coop", "-c", "restic"], stdout=subprocess.PIPE
    ) as source:  # fmt: skip
        subprocess.run(
            ["docker", "exec", "-i", first, "sh", "-ec", "mkdir -p /srv/of-host2; tar -C /srv/of-host2 -x"],
            stdin=source.stdout, check=True,
        )  # fmt: skip
    subprocess.run(["docker", "kill", second], check=True, capture_output=True)
    # The old place on host1 is closed since the move; what it holds is older than the backup, and must not be taken for the instance.
    two.place("host1")
    refused, unsure = two.at_once(SITE, MOVE)
    assert refused.failed == {INSTANCE} and "is left on host1" in words(refused)
    told = words(unsure)
    assert unsure.failed == {INSTANCE} and "host2 does not answer" in told and "instance_lost_hosts" in told, unsure.output[-6000:]
    options = tmp_path / "lost.json"
    options.write_text(
        json.dumps({"instance_lost_hosts": ["host2"], "move_repository": {"repository": "/srv/of-host2/restic", "password": key}})
    )
    rebuilt = two.played(*MOVE, *UNSEEN, "-e", f"@{options}")
    assert rebuilt.code == 0, rebuilt.output[-6000:]
    assert key not in rebuilt.output
    assert (two.state("host1"), two.people("host1"), two.status("host1"), two.published()) == ("arrived", before, 200, "host1")
    receipt = two.receipt()
    assert receipt["outcome"] == "rebuilt" and receipt["closed_seconds"] is None and receipt["data_from"]


def test_a_host_that_was_not_lost_after_all_is_closed_and_in_time_erased(two: TwoHosts) -> None:
    before, secrets = two.people("host1"), list(json.loads(two.on("host1", f"cat {SECRETS}")).values())
    lifecycle.reboot(two.lab.config, "host2")
    two.lab.wait_for("host2", f"docker ps --format '{{{{.Names}}}}' | grep -q '^greenlight-{INSTANCE}$'")
    closed = two.played(*MOVE, *UNSEEN)
    assert closed.code == 0, closed.output[-6000:]
    assert two.states() == ("arrived", "left") and two.people("host1") == before
    assert two.running("host1") and not two.running("host2") and two.status("host2") == 200

    # Nobody's name leads there.
    erased = two.played(*NIGHTLY)
    assert erased.code == 0, erased.output[-6000:]
    assert two.states() == ("arrived", "") and (two.people("host1"), two.status("host1")) == (before, 200)
    left = two.on(
        "host2",
        f"psql -U postgres -Atc \"SELECT datname FROM pg_database WHERE datname = '{DATABASE}'\"; ls -A /var/lib/meet-coop/moves;"
        f" ls -d /var/lib/meet-coop/instances/{INSTANCE} /srv/*/{INSTANCE} 2>/dev/null || true; docker ps -a --format '{{{{.Names}}}}'",
    )
    assert INSTANCE not in left
    assert two.status("host2") != 200
    again = two.played(*NIGHTLY, "-l", INSTANCE)
    assert again.code == 0 and again.changed == {}, again.output[-3000:]
    assert [one for one in secrets if one in "".join(two.said)] == []


def test_an_image_of_its_own_is_there_before_anything_is_closed(two: TwoHosts) -> None:
    overrides = two.inventory / "overrides" / INSTANCE
    (overrides / "files" / "public" / "coop").mkdir(parents=True)
    (overrides / "image.yml").write_text("title: Reunions de la Rosa\n")
    (overrides / "files" / "public" / "coop" / "rosa.txt").write_text("Dimarts\n")
    (overrides / "locales").mkdir()
    (overrides / "locales" / "en.json").write_text('{"never": {"said": "so"}}\n')
    members = two.inventory / "members.yml"
    head, service, rest = members.read_text().partition(f"  {INSTANCE}:\n    container_host: ")
    rest = rest.replace("    branding:\n", f"    branding:\n      overrides: overrides/{INSTANCE}\n", 1)
    members.write_text(head + service + rest)
    two.place("host2")
    refused = two.played(*QUICKLY)
    assert refused.failed == {INSTANCE} and "never.said" in words(refused), refused.output[-6000:]
    assert two.states() == ("arrived", "") and two.running("host1") and two.status("host1") == 200

    (overrides / "locales" / "en.json").unlink()
    moved = two.played(*MOVE, *UNSEEN)
    assert moved.code == 0, moved.output[-6000:]
    assert two.states() == ("left", "arrived") and (two.status("host1"), two.status("host2")) == (200, 200)
    image = two.on("host2", f"docker inspect --format '{{{{.Config.Image}}}}' greenlight-{INSTANCE}")
    assert image.startswith(f"meet-coop/greenlight-{INSTANCE}:")
    built = float(two.on("host2", f"date +%s.%N --date \"$(docker image inspect --format '{{{{.Created}}}}' {image})\""))
    closed = json.loads(two.on("host1", f"cat /var/lib/meet-coop/moves/{INSTANCE}.json"))["closed"]
    assert built < closed
    page = f"curl --silent --fail --cacert /etc/meet-coop/ca-bundle.pem --connect-to ::127.0.0.1: https://{OWN}/coop/rosa.txt"
    assert two.on("host2", page) == "Dimarts"
