# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores with the real restic, PostgreSQL and Docker: what is in them, what goes wrong, and what a killed run leaves.

The containers here are stand-ins of Redis' image with an instance's names and volume: they start and stop in no time, and what a
restore does to a Greenlight is no different.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.containers import HOST, REDIS
from tests.support.greenlight_database import GreenlightDatabase, command, run_directly
from tests.support.lab import RunningLab
from tests.support.roles import apply_role, recap

PLACE = "/srv/backup-test"
KEY = "the-KEY-of-the-backup-test"
PASSWORDS = {"database_password": "DATABASE-password-of-a-test", "pool_secret": "POOL-secret-of-a-test"}
#: Runs a module, its arguments on standard input, and kills it (SIGKILL) as soon as a shell condition holds. Prints whether it did.
KILLER = r"""
import os, signal, subprocess, sys, time
condition, argv = sys.argv[1], sys.argv[2:]
module = subprocess.Popen(argv, stdin=sys.stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
watcher = subprocess.Popen(["sh", "-c", "until " + condition + "; do :; done"])
while watcher.poll() is None and module.poll() is None:
    time.sleep(0.001)
if module.poll() is None:
    os.kill(module.pid, signal.SIGKILL)
    print("killed")
watcher.kill()
"""


class Service:
    """An instance on the lab's container host, as far as backups are concerned."""

    def __init__(self, lab: RunningLab, run_module: Callable[..., dict[str, Any]], name: str) -> None:
        self.lab, self.name = lab, name
        self.database = GreenlightDatabase(lab, run_module, name=f"greenlight_{name.replace('-', '_')}")
        self.container = f"greenlight-{name}"
        self.volume = f"{self.container}-storage"
        self.directory = f"{PLACE}/instances/{name}"

    def sh(self, script: str, check: bool = True) -> str:
        done = self.lab.exec(HOST, ["sh", "-ec", script])
        assert done.returncode == 0 or not check, done
        return done.stdout

    def create(self) -> None:
        self.remove()
        self.database.create()
        ada = self.database.user(f"ada@{self.name}.test", "Administrator")
        self.database.room(ada)
        secrets = json.dumps({name: f"{value}-{self.name}" for name, value in PASSWORDS.items()})
        self.sh(
            f"mkdir -p {self.directory} {PLACE}/branding/{self.name}; chmod 700 {self.directory};"
            f" echo '{secrets}' >{self.directory}/secrets.json; echo '[]' >{self.directory}/accounts.json;"
            f" chmod 600 {self.directory}/*.json; echo '<svg/>' >{PLACE}/branding/{self.name}/logo.svg;"
            f" docker run --detach --name {self.container} --volume {self.volume}:/usr/src/app/storage {REDIS} sleep 3600;"
            f" docker exec {self.container} sh -c 'mkdir -p /usr/src/app/storage/ab/cd; echo slides >/usr/src/app/storage/ab/cd/abcdslides;"
            " echo avatar >/usr/src/app/storage/ab/avatar'"
        )

    def lose(self) -> None:
        """Everything of the instance, as when its host is lost."""
        self.sh(f"docker rm --force {self.container}; docker volume rm --force {self.volume}", check=False)
        self.database.drop()
        self.sh(f"rm -rf {self.directory} {PLACE}/branding/{self.name}")

    def remove(self) -> None:
        self.lose()
        self.sh(f"rm -rf {PLACE}/restore/{self.name} {PLACE}/restore/{self.name}.json")

    def uploads(self) -> str:
        root = f"$(docker volume inspect --format '{{{{.Mountpoint}}}}' {self.volume})"
        return self.sh(f"cd {root}; find . -type f | sort | xargs -r sha256sum")

    def files(self) -> str:
        """The small files of the instance with their modes."""
        return self.sh(
            f"cd {PLACE}; find instances/{self.name} branding/{self.name} -type f -printf '%p %m %U\\n' -exec sha256sum {{}} + | sort"
        )

    def state(self) -> tuple[str, str, str]:
        return self.database.dump(), self.uploads(), self.files()

    def runs(self) -> bool:
        return self.sh(f"docker inspect --format '{{{{.State.Running}}}}' {self.container}").strip() == "true"


class Backups:
    """The modules with the options that all tests here share."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.repository = f"{PLACE}/repository"
        self.common = {
            "password_file": f"{PLACE}/key", "state_root": f"{PLACE}/instances", "branding_root": f"{PLACE}/branding",
            "cache": f"{PLACE}/cache", "lock_wait": 20,
        }  # fmt: skip

    def arguments(self, module: str, **options: Any) -> dict[str, Any]:
        work = f"{PLACE}/{'restore' if module == 'greenlight_restore' else 'work'}"
        return {**self.common, "repository": self.repository, "work": work, **options}

    def run(self, module: str, check: bool = False, **options: Any) -> dict[str, Any]:
        result = run_directly(self.lab, HOST, module, self.arguments(module, **options), check=check)
        text = json.dumps(result)
        assert "Traceback" not in text and KEY not in text.replace(str(result.get("invocation")), "")
        assert not any(secret in text for secret in PASSWORDS.values())
        return result

    def backup(self, *names: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return self.run("greenlight_backup", check, instances=[{"name": name} for name in names], **options)

    def restore(self, name: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return self.run("greenlight_restore", check, name=name, **options)

    def killed(self, condition: str, module: str, **options: Any) -> None:
        """A run that is killed at the moment a shell condition holds."""
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": self.arguments(module, **options)})
        done = self.lab.exec(HOST, ["python3", "-c", KILLER, condition, *command(self.lab, HOST, module)], wanted)
        assert done.stdout.strip() == "killed", done

    def restic(self, *argv: str, repository: str | None = None) -> str:
        done = self.lab.exec(
            HOST, ["env", f"RESTIC_PASSWORD={KEY}", f"RESTIC_CACHE_DIR={PLACE}/cache", "restic", "-r", repository or self.repository, *argv]
        )
        assert done.returncode == 0, done
        return done.stdout

    def snapshots(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.restic("snapshots", "--json", "--tag", f"kind=instance,instance={name}"))
        return found


@pytest.fixture(scope="module")
def backups(lab: RunningLab) -> Iterator[Backups]:
    """The lab's container host as its role leaves it, and an empty place."""
    ready = "nft list table inet meet_coop_isolation && docker info && ss -ltn | grep -q 10.213.0.1:5432"
    if lab.exec(HOST, ["sh", "-c", ready]).returncode:
        done = apply_role("container_host", HOST)
        assert done.returncode == 0, done.stdout[-4000:]
    lab.exec(HOST, ["sh", "-c", f"rm -rf {PLACE}; mkdir -p -m 700 {PLACE}; umask 077; echo {KEY} >{PLACE}/key"])
    yield Backups(lab)
    lab.exec(HOST, ["rm", "-rf", PLACE])


@pytest.fixture(scope="module")
def services(backups: Backups, run_module: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Service]]:
    """Two instances, backed up together once."""
    made = {name: Service(backups.lab, run_module, name) for name in ("bk-one", "bk-two")}
    try:
        for one in made.values():
            one.create()
        foretold = backups.backup(*made, check=True)
        assert foretold["changed"] is True and backups.lab.exec(HOST, ["test", "-e", backups.repository]).returncode != 0
        done = backups.backup(*made)
        assert not done.get("failed"), done
        assert (
            foretold["actions"]
            == done["actions"]
            == [f"make repository {backups.repository}", *(f"back up instance {name}" for name in made)]
        )
        yield made
    finally:
        for one in made.values():
            one.remove()


@pytest.fixture
def one(services: dict[str, Service]) -> Service:
    return services["bk-one"]


# --- Backups --------------------------------------------------------------------------------------------------------


def test_a_snapshot_holds_everything_and_says_what_it_is(backups: Backups, one: Service) -> None:
    listed = backups.restic("ls", "latest", "--tag", "kind=instance,instance=bk-one").splitlines()
    assert {
        "/database.dump",
        "/secrets.json",
        "/accounts.json",
        "/manifest.json",
        "/storage/ab/cd/abcdslides",
        "/branding/logo.svg",
    } <= set(listed)
    manifest = json.loads(backups.restic("dump", "latest", "/manifest.json", "--tag", "kind=instance,instance=bk-one"))
    assert manifest["instance"] == "bk-one" and manifest["schema_version"] == "20260402000000" and manifest["image"] == REDIS
    assert (manifest["tables"]["users"], manifest["tables"]["rooms"]) == (1, 1)
    assert manifest["files"]["storage/ab/avatar"]["size"] == 7
    assert one.sh(f"ls -A {PLACE}/work/stage") == ""
    assert one.sh(f"find {PLACE}/work -perm /077 -type f") == ""


def test_what_is_young_enough_is_left_alone_and_old_ones_are_thinned_out(backups: Backups, services: dict[str, Service]) -> None:
    quiet = backups.backup(*services, unless_younger=3600)
    assert quiet["changed"] is False and [entry["action"] for entry in quiet["instances"]] == ["skip", "skip"]
    before = [row["id"] for row in backups.snapshots("bk-one")]
    done = backups.run("greenlight_backup", instances=[{"name": "bk-one", "keep": {"last": 1}}], prune=True)
    assert done["removed"] == before
    assert [row["id"] for row in backups.snapshots("bk-one")] == [done["instances"][0]["snapshot"]]
    assert len(backups.snapshots("bk-two")) == 1


def test_one_that_fails_holds_up_no_other(backups: Backups, one: Service) -> None:
    """And nothing of the one that failed is thinned out."""
    one.sh(f"mkdir -p {PLACE}/instances/bk-none; echo '{{}}' >{PLACE}/instances/bk-none/secrets.json")
    held = [row["id"] for row in backups.snapshots("bk-two")]
    one.sh(f"mv {PLACE}/instances/bk-two/secrets.json {PLACE}/instances/bk-two/away")
    try:
        done = backups.run(
            "greenlight_backup", instances=[{"name": "bk-two", "keep": {"last": 1}}, {"name": "bk-none"}, {"name": "bk-one"}]
        )
    finally:
        one.sh(f"mv {PLACE}/instances/bk-two/away {PLACE}/instances/bk-two/secrets.json; rm -r {PLACE}/instances/bk-none")
    assert done["failed"] is True and "\n" not in done["msg"]
    assert "bk-two has no" in done["msg"] and "greenlight_bk_none" in done["msg"]
    assert [entry["action"] for entry in done["instances"]] == ["fail", "fail", "backup"]
    assert [row["id"] for row in backups.snapshots("bk-two")] == held


def test_a_killed_run_is_put_right_by_the_next(backups: Backups, one: Service) -> None:
    """One killed while it dumps, and one that had the whole repository to itself."""
    holder = one.database.script(
        "with psycopg.connect(conninfo) as c:\n c.execute('LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE')\n c.execute('SELECT pg_sleep(60)')"
    )
    try:
        backups.killed(f"test -e {PLACE}/work/stage/bk-one/storage", "greenlight_backup", instances=[{"name": "bk-one"}])
    finally:
        one.database.end(holder)
    assert one.sh(f"ls {PLACE}/work/stage") == "bk-one\n"
    one.sh(
        f"export RESTIC_PASSWORD={KEY} RESTIC_CACHE_DIR={PLACE}/cache; restic -q -r {backups.repository} backup --stdin </dev/zero & p=$!;"
        f" until ls {backups.repository}/locks | grep -q .; do sleep 0.05; done; kill -KILL $p"
    )
    done = backups.backup("bk-one", prune=True)
    assert not done.get("failed"), done
    assert one.sh(f"find {PLACE}/work/stage {backups.repository}/locks -mindepth 1") == ""


def test_what_is_wrong_with_a_repository_is_one_line(backups: Backups, one: Service) -> None:
    """Locked by a living run, with another key, out of reach, gone: and the host's figures say so."""
    with living_lock(one, backups.repository):
        locked = backups.backup("bk-one", prune=True, lock_wait=1)
    assert re.search(r"is locked by PID \d+ on host1", locked["msg"])
    wrong = backups.backup("bk-one", password_file=None, password="another-key", metrics=f"{PLACE}/backup.prom")
    assert "the key is wrong" in wrong["msg"]
    assert 'meet_coop_backup_ok{service="bk-one"} 0' in one.sh(f"cat {PLACE}/backup.prom")
    away = backups.backup("bk-one", repository="sftp://root@127.0.0.1:9/r", known_hosts=f"{PLACE}/none")
    # restic passes on what ssh said, unless it ends before it has read that: then its own words say it.
    assert "cannot be reached" in away["msg"]
    assert "Connection refused" in away["msg"] or "server unexpectedly closed connection" in away["msg"]
    one.sh(f"mv {backups.repository} {backups.repository}.away")
    try:
        gone = backups.backup("bk-one")
        assert "is not there; is its disk mounted" in gone["msg"] and "no new one is made in its place" in gone["msg"]
        assert backups.restore("bk-one", check=True)["failed"] is True
    finally:
        one.sh(f"mv {backups.repository}.away {backups.repository}")
    for result in (locked, wrong, away, gone):
        assert result["failed"] is True and "\n" not in result["msg"]


@contextlib.contextmanager
def living_lock(service: Service, repository: str) -> Iterator[None]:
    """Another run of restic at work on the repository."""
    script = f"RESTIC_PASSWORD={KEY} RESTIC_CACHE_DIR={PLACE}/cache exec restic -q -r {repository} backup --stdin"
    argv = ["docker", "exec", "-i", service.lab.host(HOST), "sh", "-c", script]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        service.lab.wait_for(HOST, f"ls {repository}/locks | grep -q .", 20)
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def test_a_full_disk_during_the_dump(backups: Backups, one: Service) -> None:
    before = backups.snapshots("bk-one")
    one.sh(f"mkdir -p {PLACE}/small; mount -t tmpfs -o size=40k tmpfs {PLACE}/small; cp {PLACE}/work/*.json {PLACE}/small/")
    try:
        full = backups.backup("bk-one", work=f"{PLACE}/small")
        assert full["failed"] is True and "the disk is full" in full["msg"] and "\n" not in full["msg"]
        assert backups.snapshots("bk-one") == before and one.sh(f"ls {PLACE}/small/stage") == ""
    finally:
        one.sh(f"umount {PLACE}/small")


def test_secrets_show_nowhere(backups: Backups, one: Service) -> None:
    """Not in the process list while restic and pg_dump run, not in what the module says."""
    options = {
        "instances": [{"name": "bk-one"}],
        "password_file": None,
        "password": KEY,
        "environment": {"AWS_SECRET_ACCESS_KEY": "AWS-secret"},
    }
    wanted = json.dumps({"ANSIBLE_MODULE_ARGS": backups.arguments("greenlight_backup", **options)})
    watch = 'while :; do ps -eo args ww; done >/run/backup-test.ps & w=$!; "$@"; kill $w; cat /run/backup-test.ps; rm /run/backup-test.ps'
    done = one.lab.exec(HOST, ["sh", "-c", watch, "sh", *command(one.lab, HOST, "greenlight_backup")], wanted)
    assert "restic backup" in done.stdout and "pg_dump" in done.stdout
    for secret in (KEY, "AWS-secret", *PASSWORDS.values()):
        assert secret not in done.stdout + done.stderr


# --- Restores -------------------------------------------------------------------------------------------------------


def test_a_lost_instance_comes_back(backups: Backups, services: dict[str, Service], one: Service) -> None:
    done = backups.backup("bk-one")
    before, other = one.state(), services["bk-two"].state()
    one.lose()
    foretold = backups.restore("bk-one", check=True)
    assert one.sh(f"ls {PLACE}/instances") == "bk-two\n"
    result = backups.restore("bk-one")
    assert not result.get("failed"), result
    assert (result["actions"], result["snapshot"], result["container"]) == (foretold["actions"], done["instances"][0]["snapshot"], "none")
    assert one.state() == before and services["bk-two"].state() == other
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert one.database.psql(owners) == [one.database.name]
    one.database.password = f"{PASSWORDS['database_password']}-bk-one"
    login = f"PGPASSWORD={one.database.password} psql -h 127.0.0.1 -U {one.database.name} -d {one.database.name} -Atc"
    assert one.sh(f"{login} 'SELECT count(*) FROM rooms'") == "1\n"
    again = backups.restore("bk-one")
    assert (again["changed"], again["actions"]) == (False, [])
    assert one.sh(f"ls {PLACE}/restore/bk-one") == ""
    one.sh(f"docker run --detach --name {one.container} --volume {one.volume}:/usr/src/app/storage {REDIS} sleep 3600")


def test_a_living_instance_is_replaced_only_when_told_and_the_others_are_left(backups: Backups, services: dict[str, Service]) -> None:
    one, two = services["bk-one"], services["bk-two"]
    made = backups.backup("bk-one")["instances"][0]["snapshot"]
    before, other = one.state(), two.state()
    one.database.user("late@bk-one.test")
    one.sh(f"docker exec {one.container} sh -c 'echo late >/usr/src/app/storage/late; echo scribbled >/usr/src/app/storage/ab/avatar'")
    late = one.state()
    refused = backups.restore("bk-one", snapshot=made[:8], force=True)
    assert refused["failed"] is True and "would be lost; give replace: true" in refused["msg"] and "20 tables" in refused["msg"]
    assert one.state() == late
    foretold = backups.restore("bk-one", snapshot=made[:8], replace=True, check=True)
    result = backups.restore("bk-one", snapshot=made[:8], replace=True)
    assert not result.get("failed"), result
    assert result["actions"] == foretold["actions"] and f"stop container {one.container}" in result["actions"]
    assert result["container"] == "started" and one.runs() and result["interruption"] > 0
    assert one.state() == before and two.state() == other
    assert backups.restore("bk-one", snapshot=made[:8], replace=True)["changed"] is False


def test_a_copy_under_another_name(backups: Backups, services: dict[str, Service], run_module: Callable[..., dict[str, Any]]) -> None:
    """It has the people and rooms, and no secret of the original."""
    one, copy = services["bk-one"], Service(backups.lab, run_module, "bk-copy")
    before = one.state()
    try:
        result = backups.restore("bk-copy", source="bk-one")
        assert not result.get("failed"), result
        assert copy.database.dump() == one.database.dump() and copy.uploads() == one.uploads() and one.state() == before
        assert copy.sh(f"ls {copy.directory}") == "accounts.json\n"
        assert backups.restore("bk-copy", source="bk-one")["changed"] is False
    finally:
        copy.remove()


BESIDE = "psql -U postgres -Atc \"SELECT 1 FROM pg_database WHERE datname LIKE 'restore_%'\" | grep -q 1"


@pytest.mark.parametrize("moment", ["before the switch", "in the switch"])
def test_a_killed_restore_is_rolled_back_or_finished(backups: Backups, services: dict[str, Service], moment: str) -> None:
    one = services["bk-one"]
    made = backups.backup("bk-one")["instances"][0]["snapshot"]
    before = one.state()
    one.database.user(f"late@{len(moment)}.test")
    late = one.state()
    condition = BESIDE if moment == "before the switch" else f"test -e {PLACE}/restore/bk-one/switch.json"
    backups.killed(condition, "greenlight_restore", name="bk-one", replace=True)
    if moment == "before the switch":
        assert one.state() == late and one.runs()
    foretold = backups.restore("bk-one", replace=True, check=True)
    result = backups.restore("bk-one", replace=True)
    assert not result.get("failed"), result
    assert result["actions"] == foretold["actions"]
    if moment == "in the switch":
        assert result["actions"] == [f"finish the restore of snapshot {made[:8]} that was interrupted"]
    assert one.state() == before and one.runs()
    assert one.database.psql("SELECT datname FROM pg_database WHERE datname ~ '^(restore|replaced)_'", db="postgres") == []
    assert one.database.psql("SELECT rolname FROM pg_roles WHERE rolname ~ '^restore_'", db="postgres") == []
    assert backups.restore("bk-one", replace=True)["changed"] is False


def test_a_damaged_snapshot_changes_nothing(backups: Backups, one: Service) -> None:
    """Whatever it is that is wrong: here somebody has taken a file out of the snapshot and put the manifest back beside the rest."""
    made = backups.backup("bk-one")["instances"][0]["snapshot"]
    one.sh(f"rm -rf {PLACE}/forged")
    backups.restic("restore", made, "--target", f"{PLACE}/forged")
    one.sh(f"rm {PLACE}/forged/storage/ab/avatar")
    tags = ["--tag", "kind=instance,instance=bk-one"]
    forge = f"RESTIC_PASSWORD={KEY} RESTIC_CACHE_DIR={PLACE}/cache restic -q -r {backups.repository} backup"
    one.sh(f"cd {PLACE}/forged; {forge} {' '.join(tags)} .")
    before = one.state()
    result = backups.restore("bk-one", replace=True)
    assert result["failed"] is True and "storage/ab/avatar (7 bytes) is missing" in result["msg"] and "nothing was changed" in result["msg"]
    assert one.state() == before and one.runs()
    backups.restic("forget", "latest", *tags)


# --- Other targets --------------------------------------------------------------------------------------------------

#: Who may use the servers below.
LOGIN, PASSWORD = "coop", "PASSWORD-of-a-target"


@contextlib.contextmanager
def served(argv: list[str], port: int, **environment: str) -> Iterator[None]:
    """A server on this machine, which the lab's hosts reach at their gateway; gone afterwards."""
    server = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            assert server.poll() is None and time.monotonic() < deadline, f"{argv[0]} does not listen"
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(20)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        return int(one.getsockname()[1])


def s3_keys(port: int) -> dict[str, str]:
    """An account at the S3 server, which asks for one from then on, and its bucket, which is made by people: restic takes it as given."""
    somebody = {"region_name": "us-east-1", "aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    accounts = boto3.client("iam", endpoint_url=f"http://127.0.0.1:{port}", **somebody)
    accounts.create_user(UserName=LOGIN)
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    accounts.put_user_policy(UserName=LOGIN, PolicyName="all", PolicyDocument=json.dumps(everything))
    key = accounts.create_access_key(UserName=LOGIN)["AccessKey"]
    own = {**somebody, "aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **own).create_bucket(Bucket="coop")
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@contextlib.contextmanager
def target(kind: str, one: Service, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The options that name a repository on a real server of this kind, credentials included."""
    if kind == "sftp":
        lab = one.lab
        lab.exec("services", ["sh", "-c", "mkdir -p /run/sshd /root/.ssh /srv/backup-test; ssh-keygen -A; pgrep -x sshd || /usr/sbin/sshd"])
        host_key = lab.exec("services", ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout
        one.sh(f"mkdir -p {PLACE}/ssh; rm -f {PLACE}/ssh/key; ssh-keygen -q -t ed25519 -N '' -f {PLACE}/ssh/key")
        one.lab.exec(HOST, ["sh", "-c", f"cat >{PLACE}/ssh/known"], f"services.lab.test {host_key}")
        lab.exec("services", ["sh", "-c", "cat >/root/.ssh/authorized_keys"], one.sh(f"cat {PLACE}/ssh/key.pub"))
        try:
            yield {
                "repository": "sftp:root@services.lab.test:/srv/backup-test/first",
                "ssh_key": f"{PLACE}/ssh/key", "known_hosts": f"{PLACE}/ssh/known",
            }  # fmt: skip
        finally:
            lab.exec("services", ["sh", "-c", "pkill -x sshd; rm -rf /srv/backup-test /root/.ssh/authorized_keys"])
        return
    port, gateway = free_port(), one.sh("ip -4 route show default | cut -d' ' -f3").strip()
    if kind == "rest":
        hashed = subprocess.run(["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, text=True, capture_output=True, check=True).stdout
        (tmp_path / "htpasswd").write_text(f"{LOGIN}:{hashed}")
        (tmp_path / "rest").mkdir()
        # Append-only, as another co-operative would offer it.
        argv = ["rclone", "serve", "restic", "--append-only", "--addr", f"0.0.0.0:{port}", "--htpasswd", str(tmp_path / "htpasswd")]
        with served([*argv, str(tmp_path / "rest")], port):
            yield {
                "repository": f"rest:http://{gateway}:{port}/host1",
                "environment": {"RESTIC_REST_USERNAME": LOGIN, "RESTIC_REST_PASSWORD": PASSWORD},
            }
    else:
        argv = [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(port)]
        with served(argv, port, INITIAL_NO_AUTH_ACTION_COUNT="3"):
            yield {"repository": f"s3:http://{gateway}:{port}/coop/host1", "environment": s3_keys(port)}


@pytest.mark.parametrize("kind", ["sftp", "rest", "s3"])
def test_a_repository_on_another_machine(backups: Backups, services: dict[str, Service], kind: str, tmp_path: Path) -> None:
    """As the first and only repository: a lost instance comes back from it, and its credentials stand in no process list."""
    two = services["bk-two"]
    before = two.state()
    with target(kind, two, tmp_path) as options:
        secrets = [value for name, value in options.get("environment", {}).items() if "USER" not in name and "KEY_ID" not in name]
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": backups.arguments("greenlight_backup", instances=[{"name": "bk-two"}], **options)})
        watch = 'while :; do ps -eo args ww; done >/run/targets.ps & w=$!; "$@"; kill $w; cat /run/targets.ps; rm /run/targets.ps'
        done = two.lab.exec(HOST, ["sh", "-c", watch, "sh", *command(two.lab, HOST, "greenlight_backup")], wanted)
        assert '"action": "backup"' in done.stdout and '"error": null' in done.stdout, done.stdout[-2000:]
        assert "restic backup" in done.stdout or "restic -o" in done.stdout
        told = done.stdout.replace(json.dumps(options.get("environment", {})), "")
        assert [secret for secret in secrets if secret in told + done.stderr] == []
        again = backups.backup("bk-two", unless_younger=3600, **options)
        assert not again["changed"] and again["instances"][0]["action"] == "skip"
        if kind == "rest":
            wrong = {**options, "environment": {**options["environment"], "RESTIC_REST_PASSWORD": "not-the-password"}}
            refused = backups.backup("bk-two", **wrong)
            assert (
                refused["failed"] and "cannot be reached" in refused["msg"] and "401" in refused["msg"] and PASSWORD not in refused["msg"]
            )
        two.lose()
        restored = backups.restore("bk-two", **options)
        assert not restored.get("failed"), restored
        assert (two.database.dump(), two.uploads()) == before[:2]
    two.create()


# --- The role -------------------------------------------------------------------------------------------------------


def test_the_role_backs_up_by_the_clock_and_copies_to_another_machine(backups: Backups, one: Service) -> None:
    """coop-backup from its unit, into a local repository and over SFTP onto another host; and the role's own second run."""
    lab = backups.lab
    lab.exec("services", ["sh", "-c", "mkdir -p /run/sshd /root/.ssh /srv/backup-test; ssh-keygen -A; pgrep -x sshd || /usr/sbin/sshd"])
    key = lab.exec("services", ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout
    one.sh(f"mkdir -p {PLACE}/role; ssh-keygen -q -t ed25519 -N '' -f {PLACE}/role/ssh")
    lab.exec("services", ["sh", "-c", "cat >/root/.ssh/authorized_keys"], one.sh(f"cat {PLACE}/role/ssh.pub"))
    variables = {
        "backup_repository": f"{PLACE}/role/repository",
        "backup_password": KEY,
        "backup_password_file": f"{PLACE}/role/key",
        "backup_ssh_key": f"{PLACE}/role/ssh",
        "backup_known_hosts": f"services.lab.test {key}",
        "backup_copies": [{"repository": "sftp:root@services.lab.test:/srv/backup-test/copy"}],
        "backup_metrics_directory": f"{PLACE}/role/metrics",
        "backup_work_directory": f"{PLACE}/role/work",
    }
    certificate = "/var/lib/caddy/certificates/of-a-test/of-a-test.key"
    one.sh(f"install -D -m 600 -o caddy -g caddy /dev/null {certificate}; date +%s.%N > {certificate}")
    try:
        first = apply_role("backup", HOST, variables)
        assert first.returncode == 0 and KEY not in first.stdout, first.stdout[-3000:]
        second = apply_role("backup", HOST, variables)
        assert recap(second)["changed"] == 0, second.stdout[-3000:]
        assert one.sh(f"stat -c %a {PLACE}/role/key /etc/meet-coop/backup.json").split() == ["600", "600"]
        assert "meet-coop-backup.timer" in one.sh("systemctl list-timers --no-legend meet-coop-backup.timer")
        one.sh("systemctl start meet-coop-backup || { journalctl -u meet-coop-backup >&2; false; }")
        said = one.sh("journalctl --no-pager -o cat -u meet-coop-backup")
        assert "pruned repository" in said and "copied to repository sftp:root@services.lab.test" in said
        assert 'meet_coop_backup_ok{service="host"} 1' in one.sh(f"cat {PLACE}/role/metrics/meet_coop_backup.prom")
        assert "/var/lib/meet-coop/records/members.yml" in one.sh("coop-backup restic -- ls latest --tag kind=host")
        one.sh(f"coop-backup host --target {PLACE}/role/back && cmp {certificate} {PLACE}/role/back{certificate}")
        assert one.sh(f"stat -c '%a %U:%G' {PLACE}/role/back{certificate}") == "600 caddy:caddy\n"
        lab.exec("services", ["sh", "-c", "mv /srv/backup-test/copy /srv/backup-test/away"])
        failed = lab.exec(HOST, ["coop-backup", "run"])
        assert failed.returncode == 1 and "copy: repository sftp:root@services.lab.test:/srv/backup-test/copy is not there" in failed.stderr
        assert "meet_coop_backup_upkeep_ok 0" in one.sh(f"cat {PLACE}/role/metrics/meet_coop_backup.prom")
    finally:
        one.sh("rm -r /var/lib/caddy/certificates/of-a-test")
        gone = apply_role("backup", HOST, {**variables, "backup_enabled": False})
        lab.exec("services", ["sh", "-c", "pkill -x sshd; rm -rf /srv/backup-test /root/.ssh/authorized_keys"])
    assert gone.returncode == 0, gone.stdout[-3000:]
    assert lab.exec(HOST, ["sh", "-c", "ls /usr/local/sbin/coop-backup /etc/systemd/system/meet-coop-backup.timer"]).stdout == ""
    assert one.sh(f"test -e {PLACE}/role/repository/config && echo kept") == "kept\n"
