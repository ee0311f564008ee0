# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore drills with the real restic, PostgreSQL, Docker and the Greenlight double: a good backup is proved, and no damaged one is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import ansible
from tests.support.containers import HOST, KILLER, REDIS, Background, Instance
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab
from tests.support.roles import apply_role, recap

MODULE = "meet.coop.greenlight_drill"
NAME, SCRATCH, DATABASE = "t-drill", "greenlight-0-restore-drill", "greenlight_0_restore_drill"
ROOT = "/srv/t-drill"
"""Directory of the repository, its key, receipts and metrics."""
KEY = "t-drill-REPOSITORY-KEY-4711"
UPLOAD = "an upload that nobody may lose"
DAMAGES = Path(__file__).resolve().parents[1] / "support" / "damages.py"

FOUND = {
    "dump-cut": ("file database.dump has", "bytes, the manifest says"),
    "dump-changed": ("file database.dump is not what was backed up",),
    "dump-missing": ("file database.dump", "is missing"),
    "dump-cut-before": ("cannot be filled from its dump", "end of file"),
    "row-missing": ("table users has 1 row, the manifest says 2 rows",),
    "table-emptied": ("table role_permissions has 0 rows, the manifest says 44 rows",),
    "table-missing": ("table invitations is missing",),
    "migration-missing": ("data migration 20260402000001 is missing",),
    "dump-of-another": ("table notes (0 rows) is not in the manifest", "table users has 0 rows"),
    "upload-missing": ("file storage/ab/cd/abcdefgh (30 bytes) is missing",),
    "upload-changed": ("file storage/ab/cd/abcdefgh is not what was backed up",),
    "uploads-missing": ("file storage/ab/cd/abcdefgh (30 bytes) is missing",),
    "manifest-missing": ("manifest.json is missing in the backup",),
    "manifest-cut": ("manifest.json is damaged, it is not JSON",),
    "manifest-old": ("manifest.json has format '0', and only 1 is known here",),
    "manifest-field": ("manifest.json has no field tables",),
    "of-another": (f"the backup is of instance {NAME}, not of d-of-another",),
    "image-older": ("the database has migrations of Greenlight 3.8.1, and the image of the backup is v3.7.1, which is older",),
    "postgresql-newer": ("the dump is of PostgreSQL 99, and this host has ",),
    "image-broken": ("its database is not completely migrated",),
    "image-unknown": ("the manifest names no image that it could be tried with",),
    "image-gone": ("image nowhere.test/gone:1 is not on this host and pull is 'never'",),
    "secrets-missing": ("file secrets.json", "is missing"),
    "secrets-forgotten": ("secrets.json is not in the backup",),
    "secrets-empty": ("secrets.json holds no secret_key_base",),
    "too-old": ("the backup is ", " h old (made at 2026-01-02T03:04:05Z), 36.0 h is the most"),
    "to-come": ("the backup was made at 2099-01-02T03:04:05Z, which is still to come: a clock is wrong",),
    "no-backup": ("there is no backup of it in the repository",),
}
"""By damage, what the finding has to say."""


@dataclass
class Site:
    """A host with one instance, its backup in a repository, and what drills it."""

    lab: RunningLab
    instance: Instance
    played: subprocess.CompletedProcess[str] | None = None

    def variables(self, **changes: Any) -> dict[str, Any]:
        return {
            "restore_drill_instances": [NAME],
            "restore_drill_repository": f"{ROOT}/repository",
            "restore_drill_password_file": f"{ROOT}/key",
            "restore_drill_directory": f"{ROOT}/work",
            "restore_drill_receipts_directory": f"{ROOT}/receipts",
            "restore_drill_metrics_directory": f"{ROOT}/metrics",
            **changes,
        }

    def arguments(self, **changes: Any) -> dict[str, Any]:
        return {
            "instances": [NAME],
            "repository": f"{ROOT}/repository",
            "password_file": f"{ROOT}/key",
            "directory": f"{ROOT}/work",
            "receipts": f"{ROOT}/receipts",
            "metrics": f"{ROOT}/metrics",
            "redis_image": REDIS,
            "pull": "never",
            "lock_wait": 1,
            "ready_timeout": 90,
            **changes,
        }

    def drill(self, check: bool = False, **changes: Any) -> dict[str, Any]:
        """One run of the module, whatever comes of it; it may tell no secret and leave nothing."""
        result = run_directly(self.lab, HOST, MODULE.removeprefix("meet.coop."), self.arguments(**changes), check)
        said = json.dumps(result)
        assert "Traceback" not in said and "\n" not in result.get("msg", "") and KEY not in said
        self.instance.assert_silent(said)
        return result

    def host(self, script: str) -> str:
        return self.instance.on_host(script)

    def leftovers(self) -> str:
        """Whatever there is of a scratch instance: containers, networks, volumes, database, role, files."""
        return self.host(
            f"docker ps --all --format '{{{{.Names}}}}' | grep {SCRATCH}; docker network ls --format '{{{{.Name}}}}' | grep {SCRATCH};"
            f" docker volume ls --format '{{{{.Name}}}}' | grep {SCRATCH};"
            f" psql -U postgres -Atc \"SELECT datname FROM pg_database WHERE datname ~ 'drill' AND datname <> '{self.instance.database}'"
            f" UNION SELECT rolname FROM pg_roles WHERE rolname = '{DATABASE}'\"; find {ROOT}/work -mindepth 1; true"
        ).strip()

    def receipt(self, name: str = NAME) -> dict[str, Any]:
        newest = self.host(f"ls {ROOT}/receipts/{name} | tail -1").strip()
        found: dict[str, Any] = json.loads(self.host(f"cat {ROOT}/receipts/{name}/{newest}"))
        return found


@pytest.fixture(scope="module")
def site(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[Site]:
    if lab.exec(
        HOST, ["sh", "-c", "nft list table inet meet_coop_isolation && docker info && ss -ltn | grep -q 10.213.0.1:5432"]
    ).returncode:
        done = apply_role("container_host", HOST)
        assert done.returncode == 0, done.stdout[-4000:]
    instance = Instance(lab, run_module, NAME, (47900, 47909))
    made = Site(lab, instance)
    try:
        instance.remove()
        instance.provide_database()
        instance.good()
        made.host(f"rm -rf {ROOT}; mkdir -p -m 700 {ROOT}/metrics; printf %s {KEY} > {ROOT}/key; chmod 600 {ROOT}/key")
        kept = {
            "secret_key_base": instance.secrets["secret_key_base"],
            "database_password": instance.secrets["database"],
            "redis_password": instance.secrets["redis_password"],
            "pool_secret": instance.secrets["bigbluebutton"],
        }
        written = lab.exec(HOST, ["sh", "-c", f"umask 077; cat > /var/lib/meet-coop/instances/{NAME}/secrets.json"], json.dumps(kept))
        assert written.returncode == 0, written
        stored = f"mkdir -p storage/ab/cd; printf '{UPLOAD}' > storage/ab/cd/abcdefgh"
        instance.docker("exec", instance.container, "sh", "-c", stored)
        people = [{"email": f"{name}@drill.test", "name": name.title(), "role": "User"} for name in ("ada", "bo")]
        done = run_directly(lab, HOST, "greenlight_user", {"login_db": instance.database, "users": people})
        assert not done.get("failed"), done
        repository = {"repository": f"{ROOT}/repository", "password_file": f"{ROOT}/key"}
        done = run_directly(lab, HOST, "greenlight_backup", {"instances": [{"name": NAME}], "work": f"{ROOT}/backup", **repository})
        assert not done.get("failed"), done
        yield made
    finally:
        instance.remove()
        lab.exec(HOST, ["rm", "-rf", ROOT])


@pytest.fixture(scope="module")
def proved(site: Site) -> Site:
    """The site after its first drill, by the role as an operator runs it."""
    site.played = apply_role("restore_drill", HOST, {**site.variables(), "restore_drill_redis_image": REDIS, "ansible_become": True})
    assert site.played.returncode == 0, site.played.stdout[-4000:]
    return site


# --- A good backup --------------------------------------------------------------------------------------------------


def test_a_good_backup_is_proved(proved: Site) -> None:
    receipt = proved.receipt()
    assert (receipt["result"], receipt["findings"]) == ("good", [])
    assert receipt["greenlight_version"] == "v3.8.2.4"
    assert receipt["tables"]["users"] == 2 and receipt["rows"] == sum(receipt["tables"].values())
    assert receipt["files"] >= 4 and receipt["bytes"] > len(UPLOAD)
    assert 0 <= receipt["snapshot_age_seconds"] < 600 and receipt["seconds"] > 0
    assert list(receipt["steps"]) == ["restore", "files", "database", "instance", "sign_in", "tear_down"]
    metrics = proved.host(f"cat {ROOT}/metrics/meet_coop_restore_drill.prom")
    proved_at = float(next(line for line in metrics.splitlines() if line.startswith("meet_coop_restore_proved")).split()[-1])
    assert abs(time.time() - proved_at) < 600


def test_nothing_of_a_drill_is_left_and_the_instance_does_not_feel_it(proved: Site) -> None:
    assert proved.leftovers() == ""
    assert proved.instance.sql("SELECT count(*), bool_and(email LIKE '%@drill.test') FROM users") == "2|t"
    assert proved.instance.names() == {"": "running", "-redis": "running"}
    assert proved.instance.docker("exec", proved.instance.container, "cat", "storage/ab/cd/abcdefgh") == UPLOAD


def test_a_drill_tells_no_secret(proved: Site) -> None:
    assert proved.played is not None
    receipts = proved.host(f"cat {ROOT}/receipts/*/* {ROOT}/metrics/*")
    for text in (proved.played.stdout, receipts):
        proved.instance.assert_silent(text)
        assert KEY not in text


def test_who_was_proved_is_not_drilled_again_before_the_month_is_over(proved: Site) -> None:
    before = proved.receipt()
    for check in (True, False):
        again = proved.drill(check=check)
        assert (again["changed"], again["chosen"], again["drills"], again["overdue"]) == (False, [], [], [])
    assert proved.receipt() == before
    away = proved.drill(repository=f"{ROOT}/nowhere")
    assert away["failed"] and "is not there" in away["msg"] and away["drills"] == []
    foretold = proved.drill(check=True, only=[NAME])
    assert (foretold["changed"], foretold["chosen"], foretold["drills"]) == (True, [NAME], [])
    assert proved.receipt() == before


def play(site: Site, **changes: Any) -> subprocess.CompletedProcess[str]:
    """The playbook, as an operator runs it."""
    extra = json.dumps({**site.variables(**changes), "restore_drill_redis_image": REDIS})
    book = ansible.ROOT / "playbooks" / "restore_drill.yml"
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(ansible.INVENTORY / "hosts.yml"), str(book), "-e", extra]
    return ansible.run_playbook(command, timeout=300, together=True)


def test_the_playbook_is_quiet_the_second_time_and_refuses_strangers(proved: Site) -> None:
    again = play(proved)
    assert (again.returncode, recap(again)["changed"]) == (0, 0), again.stdout[-3000:]
    refused = play(proved, restore_drill_only=["tulip"])
    assert refused.returncode != 0 and "restore_drill_only names tulip" in refused.stdout, refused.stdout[-3000:]


def test_a_proof_that_is_too_old_is_red(proved: Site) -> None:
    """Of two instances one can be drilled in a run; the other was proved once, long ago, and has had backups since."""
    proved.host(
        f"mkdir -p {ROOT}/receipts/meadow; printf '%s' '{{\"began_at\": \"2026-01-02T03:04:05Z\", \"result\": \"good\", \"seconds\": 1}}'"
        f" > {ROOT}/receipts/meadow/20260102T030405Z.json"
    )
    for check in (True, False):
        told = proved.drill(check=check, instances=[NAME, "meadow"], only=[NAME] if check else [], number=1)
        assert told["failed"] and "meadow: the last proved restore is " in told["msg"] and "35 are the most" in told["msg"], told
        assert told["chosen"] == ([NAME] if check else ["meadow"])
    assert "meadow: there is no backup of it in the repository" in told["msg"]
    proved.host(f"rm -r {ROOT}/receipts/meadow")


# --- A drill that is killed, and what a scratch instance can reach ----------------------------------------------------

REACH = """
import socket, sys
for where in sys.argv[1:]:
    host, port = where.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 3).close()
        print(where, "reached")
    except OSError as error:
        print(where, "not reached")
"""


def reached(site: Site, container: str, targets: list[str]) -> list[str]:
    return site.instance.docker("exec", container, "python3", "-c", REACH, *targets).splitlines()


@contextmanager
def listening(lab: RunningLab, host: str, port: int) -> Iterator[None]:
    """Somebody listens on that port of a host of the lab."""
    server = f"ss -ltn | grep -q ':{port} ' || {{ nohup python3 -m http.server {port} --directory /mnt >/dev/null 2>&1 & echo $!; }}"
    pid = lab.exec(host, ["sh", "-c", server]).stdout.strip()
    lab.wait_for(host, f"ss -ltn | grep -q ':{port} '", 10)
    yield
    if pid:
        lab.exec(host, ["kill", pid])


def test_a_scratch_instance_reaches_nobody_and_a_killed_drill_is_cleaned_up(proved: Site) -> None:
    """What a real instance reaches, mail and pool and the host's edge, is closed to the scratch one, drill killed or not."""
    lab = proved.lab
    # In a lab without roles pool and edge nobody listens there yet.
    with listening(lab, "pool", 443), listening(lab, HOST, 443):
        targets = [f"{lab.ip('services')}:587", *(f"{lab.ip(host)}:443" for host in ("pool", "node1", HOST)), "10.213.0.1:5432"]
        since = proved.host("date +%s.%N").strip()
        background = Background(proved.arguments(only=[NAME]), MODULE)
        try:
            killed = lab.exec(HOST, ["python3", "-c", KILLER, f"{ROOT}/work", f"container start {SCRATCH}", since])
        finally:
            code = background.wait()
        assert killed.returncode == 0 and killed.stdout and code != 0, (killed, background.output)
        # Nobody looks after it any more, and it is kept in all the same.
        scratch = reached(proved, SCRATCH, targets)
        environment = proved.instance.docker("exec", SCRATCH, "env")
        real = reached(proved, proved.instance.container, targets)
    assert real == [f"{target} reached" for target in targets]
    assert scratch == [*(f"{target} not reached" for target in targets[:-1]), "10.213.0.1:5432 reached"]
    assert "SMTP_SERVER" not in environment and "restore-drill.invalid" in environment
    assert proved.instance.secrets["smtp"] not in environment and proved.instance.secrets["bigbluebutton"] not in environment

    assert SCRATCH in proved.leftovers()
    foretold = proved.drill(check=True)
    done = proved.drill(only=[NAME])
    assert foretold["changed"] and foretold["removed"] == done["removed"] and f"database {DATABASE}" in done["removed"]
    assert not done.get("failed"), done
    assert [one["result"] for one in done["drills"]] == ["good"]
    assert proved.leftovers() == ""


@pytest.mark.parametrize(
    "left",
    [
        f"mkdir -p {ROOT}/work/restored/storage; echo half > {ROOT}/work/restored/database.dump",
        f"createuser -U postgres {DATABASE}",
        f"createdb -U postgres {DATABASE}; docker network create --opt com.docker.network.bridge.name=coop-drill {SCRATCH}",
        f"mkdir -p {ROOT}/work/restored;"
        f" docker volume create --opt type=none --opt o=bind --opt device={ROOT}/work/restored {SCRATCH}-storage",
    ],
)
def test_whatever_a_killed_drill_left_goes_before_anything_else(proved: Site, left: str) -> None:
    proved.host(left)
    before = proved.leftovers()
    foretold = proved.drill(check=True)
    assert before and proved.leftovers() == before
    done = proved.drill()
    assert (foretold["changed"], foretold["removed"]) == (done["changed"], done["removed"]) and done["removed"] and not done["drills"]
    assert proved.leftovers() == ""
    again = proved.drill()
    assert (again["changed"], again["removed"]) == (False, [])


def test_without_its_fence_a_scratch_instance_is_not_started(proved: Site) -> None:
    proved.host("nft delete table inet meet_coop_drill")
    try:
        told = proved.drill(only=[NAME])
    finally:
        proved.host("systemctl restart meet-coop-drill-fence")
    assert told["failed"] and "the scratch instance is not started: the fence" in told["msg"]
    assert "instance" in told["drills"][0]["steps"] and "sign_in" not in told["drills"][0]["steps"]
    assert proved.leftovers() == ""


def test_a_full_disk_is_told_as_that(proved: Site) -> None:
    small = f"{ROOT}/small"
    proved.host(f"mkdir -p {small} && mount -t tmpfs -o size=32k tmpfs {small}")
    try:
        told = proved.drill(only=[NAME], directory=small)
        assert told["failed"] and f"{small}/restored: the disk is full; a drill needs the space" in told["msg"], told
        assert proved.host(f"ls {small}") == ""
    finally:
        proved.host(f"umount {small}; rmdir {small}")


# --- Damaged backups --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(proved: Site) -> dict[str, Any]:
    """What one run says of all of them; each is a backup of an instance of its own, so that one drill holds up no other."""
    made = proved.lab.exec(HOST, ["python3", "-", f"{ROOT}/repository", f"{ROOT}/key", NAME], DAMAGES.read_text())
    assert made.returncode == 0, made
    names = [*made.stdout.split(), "d-no-backup"]
    assert sorted(names) == sorted(f"d-{damage}" for damage in FOUND)
    return proved.drill(instances=[NAME, *names], number=len(names), metrics=f"{ROOT}/metrics")


@pytest.mark.parametrize("damage", FOUND)
def test_a_damaged_backup_is_found(proved: Site, told: dict[str, Any], damage: str) -> None:
    receipt = next(one for one in told["drills"] if one["instance"] == f"d-{damage}")
    assert receipt["result"] == "failed"
    for words in FOUND[damage]:
        assert words in " | ".join(receipt["findings"])
    assert receipt["findings"][0] in told["msg"] and f"d-{damage}: " in told["msg"]
    assert proved.receipt(f"d-{damage}") == receipt
    # Nothing is started that is known to be broken.
    assert "sign_in" not in receipt["steps"]


def test_damaged_backups_leave_nothing_and_hold_up_nobody(proved: Site, told: dict[str, Any]) -> None:
    assert told["failed"] and len(told["drills"]) == len(FOUND)
    assert proved.leftovers() == ""
    metrics = proved.host(f"cat {ROOT}/metrics/meet_coop_restore_drill.prom")
    assert f'meet_coop_restore_drill_good{{service="{NAME}"}} ' in metrics
    for damage in FOUND:
        assert f'meet_coop_restore_drill_good{{service="d-{damage}"}} 0' in metrics
        assert f'meet_coop_restore_proved_timestamp_seconds{{service="d-{damage}"}} 0' in metrics


REPOSITORY: dict[str, tuple[str, str, str]] = {
    "wrong key": ("printf another-key > {copy}-key", "{copy}-key", "the key is wrong"),
    "away": ("rm -r {copy}", "{root}/key", "is not there"),
    "packs changed": (
        "for pack in {copy}/data/*/*; do chmod u+w $pack; printf XXXX | dd of=$pack bs=1 seek=9 conv=notrunc status=none; done",
        "{root}/key",
        "is damaged",
    ),
    "packs lost": ("rm {copy}/data/*/*", "{root}/key", "is damaged"),
    "locked": (
        "export RESTIC_REPOSITORY={copy} RESTIC_PASSWORD_FILE={root}/key; setsid restic prune --quiet --no-cache >/dev/null 2>&1 & p=$!;"
        " while ! ls {copy}/locks | grep -qx '[0-9a-f]*'; do :; done; kill -STOP $p; echo $p > {copy}-pid",
        "{root}/key",
        "is locked",
    ),
}
"""What is done to a copy of the repository, the key it is opened with, and what is said."""


@pytest.mark.parametrize("damage", REPOSITORY)
def test_a_repository_that_gives_nothing_back_is_found(proved: Site, damage: str) -> None:
    script, key, words = REPOSITORY[damage]
    copy = f"{ROOT}/copy"
    proved.host(f"cp -a {ROOT}/repository {copy}; " + script.format(copy=copy, root=ROOT))
    try:
        told = proved.drill(
            only=[NAME], repository=copy, password_file=key.format(copy=copy, root=ROOT), receipts=f"{ROOT}/other", cache=f"{ROOT}/cache"
        )
    finally:
        proved.host(f"if [ -e {copy}-pid ]; then kill -KILL $(cat {copy}-pid); fi; rm -rf {copy} {copy}-key {copy}-pid {ROOT}/cache")
    assert told["failed"] and words in told["msg"], told
    assert told["drills"][0]["result"] == "failed" and copy in told["msg"]
    assert proved.leftovers() == ""
