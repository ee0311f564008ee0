# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_export and greenlight_import on a lab host, with its PostgreSQL, Docker and age: what comes out, to whom, and back in."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.greenlight_database import NOW, GreenlightDatabase, command, ensure_server, run_directly
from tests.support.lab import RunningLab

HOST = "host1"
SLIDES, FACE = b"%PDF-1.7 slides of Ada " * 400, b"\x89PNG face of Ada"
KEYS = {"slides": "k" * 28, "face": "f" * 28, "gone": "g" * 28, "link": "l" * 28, "pipe": "p" * 28, "bad": "b" * 28}


class Member:
    """A member's own pair of keys, which the co-operative never has."""

    def __init__(self, lab: RunningLab) -> None:
        made = lab.exec(HOST, ["age-keygen"])
        assert made.returncode == 0, "the host has no age: " + made.stderr
        self.identity, self.public = made.stdout.splitlines()[-1], made.stdout.splitlines()[1].removeprefix("# public key: ")

    def open(self, lab: RunningLab, path: str) -> dict[str, bytes]:
        """The files of an export, by path."""
        argv = ["docker", "exec", "-i", lab.host(HOST), "age", "--decrypt", "--identity", "-", path]
        done = subprocess.run(argv, input=self.identity.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            found = {}
            for info in archive:
                data = archive.extractfile(info)
                assert data is not None
                found[info.name.partition("/")[2]] = data.read()
        return found


class Leaver:
    """An instance without a container: its database, its volume of uploads, and where its export goes."""

    def __init__(self, db: GreenlightDatabase) -> None:
        self.db, self.lab = db, db.lab
        self.name = db.name.removeprefix("greenlight_")
        self.directory = f"/var/lib/meet-coop/offboarding/{self.name}"
        self.member = Member(db.lab)

    @property
    def volume(self) -> str:
        return self.sh("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"greenlight-{self.name}-storage").strip()

    def sh(self, *argv: str, input: str | bytes | None = None) -> str:
        done = self.lab.exec(HOST, argv, input)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {"name": self.name, **self.db.login, "directory": self.directory, "recipients": [self.member.public],
                "hostnames": ["meet.sunflower.test"], **more}  # fmt: skip

    def export(self, check: bool = False, **more: Any) -> dict[str, Any]:
        return run_directly(self.lab, HOST, "greenlight_export", self.arguments(**more), check=check)

    def made(self, **more: Any) -> dict[str, Any]:
        result = self.export(**more)
        assert not result.get("failed"), result
        return result

    def listing(self) -> list[str]:
        return self.sh("sh", "-c", f"ls -A {self.directory} 2>/dev/null || true").split()

    def furnish(self) -> None:
        db = self.db
        ada = db.user("ada@sunflower.test", "Administrator", name="Ada, =cmd()", password_digest="$2a$12$" + "x" * 53)
        bob = db.user("bob@sunflower.test", name="Bob\nExample", external_id="subject-7", status=2, verified=False)
        room = db.room(ada, "Secret plans")
        uploads = ""
        for name, key in KEYS.items():
            data = {"slides": SLIDES, "face": FACE, "bad": FACE}.get(name, b"")
            filename = {"slides": "../../Pläne 2026.pdf", "face": "me.png"}.get(name, f"{name}.bin")
            digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
            uploads += (
                "WITH b AS (INSERT INTO active_storage_blobs (key, filename, content_type, service_name, byte_size, checksum, created_at)"
                f" VALUES ('{key}', '{filename}', 'x/y', 'local', {len(data)}, '{digest}', {NOW}) RETURNING id)"
            )
            owner = {"slides": ("Room", room, "presentation"), "face": ("User", ada, "avatar")}.get(name)
            kind, record, attached = owner or ("Room", bob, name)
            uploads += (
                " INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)"
                f" SELECT '{attached}', '{kind}', '{record}', id, {NOW} FROM b;\n"
            )
        db.psql(
            f"""{uploads}
            INSERT INTO shared_accesses (user_id, room_id, created_at, updated_at) VALUES ('{bob}', '{room}', {NOW}, {NOW});
            INSERT INTO recordings (room_id, name, record_id, visibility, length, participants, created_at, updated_at) VALUES
                ('{room}', 'A talk', 'r1', 'Published', 40, 3, {NOW}, {NOW});
            INSERT INTO formats (recording_id, recording_type, url, created_at, updated_at)
                SELECT id, 'presentation', 'https://pool.test/playback/r1', {NOW}, {NOW} FROM recordings;
            UPDATE room_meeting_options SET value = 'open-sesame' WHERE meeting_option_id IN
                (SELECT id FROM meeting_options WHERE name = 'glViewerAccessCode');
            """
        )
        self.sh("docker", "volume", "create", f"greenlight-{self.name}-storage")
        for name, data in (("slides", SLIDES), ("face", FACE), ("bad", b"something else")):
            self.put(KEYS[name], data)
        # What a container's root could put there to see more than its own.
        link, pipe = KEYS["link"], KEYS["pipe"]
        self.sh("sh", "-c", f"cd {self.volume} && mkdir -p ll/ll pp/pp && ln -s /etc/shadow ll/ll/{link} && mkfifo pp/pp/{pipe}")

    def put(self, key: str, data: bytes) -> None:
        folder = f"{self.volume}/{key[:2]}/{key[2:4]}"
        self.sh("sh", "-c", f"mkdir -p {folder} && cat > {folder}/{key}", input=data)

    def purge(self) -> None:
        self.lab.exec(HOST, ["docker", "volume", "rm", "--force", f"greenlight-{self.name}-storage"])
        self.lab.exec(HOST, ["rm", "-rf", self.directory, f"/var/lib/meet-coop/instances/{self.name}"])
        self.db.drop()


@pytest.fixture(scope="module")
def new(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Leaver]]:
    ensure_server(lab)
    assert lab.exec(HOST, ["sh", "-c", "systemctl start docker && docker info"]).returncode == 0
    made: list[Leaver] = []

    def make(tag: str | None = "v3.8.2.4") -> Leaver:
        leaver = Leaver(GreenlightDatabase(lab, run_module))
        made.append(leaver)
        leaver.db.create(tag)
        return leaver

    try:
        yield make
    finally:
        for leaver in made:
            leaver.purge()


@pytest.fixture(scope="module")
def leaver(new: Callable[..., Leaver]) -> Leaver:
    found = new()
    found.furnish()
    return found


def test_what_is_in_an_export_and_who_can_open_it(leaver: Leaver, lab: RunningLab) -> None:
    before = leaver.db.dump()
    foretold = leaver.export(check=True)
    assert foretold["changed"] and foretold["export"] is None and leaver.listing() == []
    result = leaver.made()
    assert result["changed"] and result["why"] == ["there is none yet"] and leaver.db.dump() == before
    export = result["export"]
    assert sorted(leaver.listing()) == sorted([export["file"], "proof.json"])
    files = leaver.member.open(lab, export["path"])
    manifest = json.loads(files["manifest.json"])
    assert set(files) - {"manifest.json"} == set(manifest["files"])
    for path, known in manifest["files"].items():
        assert (len(files[path]), hashlib.sha256(files[path]).hexdigest()) == (known["size"], known["sha256"])
    query = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in manifest["tables"])
    counted = {line.split("|")[0]: int(line.split("|")[1]) for line in leaver.db.psql(query)}
    assert manifest["tables"] == export["tables"] == counted and counted["users"] == 2

    people = list(csv.DictReader(io.StringIO(files["users.csv"].decode(), newline="")))
    assert [(person["email"], person["name"], person["role"], person["status"], person["rooms"]) for person in people] == [
        ("ada@sunflower.test", "Ada, =cmd()", "Administrator", "active", "1"),
        ("bob@sunflower.test", "Bob\nExample", "User", "banned", "0"),
    ]
    (room,) = json.loads(files["rooms.json"])
    assert (room["owner"], room["shared_with"]) == ("ada@sunflower.test", ["bob@sunflower.test"])
    assert room["access_codes"] == {"moderator": None, "viewer": "open-sesame"} and room["options"]["guestPolicy"] == "ALWAYS_ACCEPT"
    assert files[room["presentation"]] == SLIDES and room["presentation"].endswith(f"/{room['friendly_id']}/_.._Pläne 2026.pdf")
    assert [data for path, data in files.items() if path.startswith("files/avatars/")] == [FACE]
    (recording,) = json.loads(files["recordings.json"])
    assert (recording["room"], recording["length_minutes"]) == (room["friendly_id"], 40)
    assert recording["formats"] == [{"type": "presentation", "url": "https://pool.test/playback/r1"}]
    assert json.loads(files["settings.json"])["site"]["RegistrationMethod"] == "open"
    assert next(role for role in json.loads(files["roles.json"]) if role["name"] == "User")["permissions"]["RoomLimit"] == "100"
    page = files["README.txt"].decode()
    assert "meet.sunflower.test" in page and all(f"  {column}" in page for column in people[0])
    # Links, pipes, other content and nothing at all are said to be missing, not followed.
    assert {entry["key"]: entry["why"].split(":")[0] for entry in manifest["missing"]} == {
        KEYS["gone"]: "not in the storage", KEYS["link"]: "not in the storage", KEYS["pipe"]: "not in the storage", KEYS["bad"]: "damaged"
    }  # fmt: skip
    for path, data in files.items():
        assert b"root:" not in data and (path == "greenlight.dump" or b"$2a$12$" not in data), path
    stranger = Member(lab)
    refused = lab.exec(HOST, ["age", "--decrypt", "--identity", "-", export["path"]], stranger.identity)
    assert refused.returncode != 0
    modes = leaver.sh("stat", "-c", "%a %U", leaver.directory, export["path"], f"{leaver.directory}/proof.json")
    assert modes.splitlines() == ["700 root", "600 root", "600 root"]


def test_another_export_only_when_something_has_changed(leaver: Leaver) -> None:
    first = leaver.made()["export"]
    assert leaver.export()["changed"] is False and leaver.export(state="proven")["export"] == first

    def again(reason: str, **more: Any) -> dict[str, Any]:
        assert leaver.export(check=True, **more)["why"] == [reason]
        time.sleep(1)
        result = leaver.made(**more)
        assert result["why"] == [reason] and leaver.export(**more)["changed"] is False and result["export"]["sha256"] != first["sha256"]
        assert sorted(leaver.listing()) == sorted([result["export"]["file"], "proof.json"])
        return dict(result["export"])

    leaver.put(KEYS["gone"], b"")
    assert KEYS["gone"] not in {entry["key"] for entry in again("what the instance holds has changed")["missing"]}
    second = Member(leaver.lab)
    both = [leaver.member.public, second.public]
    path = again("it is for other keys", recipients=both)["path"]
    assert leaver.member.open(leaver.lab, path) == second.open(leaver.lab, path)
    assert leaver.export(recipients=list(reversed(both)))["changed"] is False
    leaver.db.psql("UPDATE rooms SET name = 'Other plans'")
    assert leaver.export(check=True, recipients=both)["why"] == ["what the instance holds has changed"]


def test_an_export_that_was_tampered_with_is_refused(leaver: Leaver) -> None:
    export = leaver.made()["export"]
    leaver.sh("sh", "-c", f"printf x | dd of={export['path']} bs=1 seek=4000 conv=notrunc status=none")
    for options in ({"check": True}, {}, {"state": "proven"}):
        refused = leaver.export(**options)
        assert refused.get("failed") and export["file"] in refused["msg"] and "proof.json" in refused["msg"], refused
    leaver.sh("rm", f"{leaver.directory}/proof.json")
    assert "no export" in leaver.export(state="proven")["msg"]
    made = leaver.made()["export"]
    assert sorted(leaver.listing()) == sorted([made["file"], "proof.json"])


def test_what_age_or_the_disk_spoils_is_never_proven(leaver: Leaver) -> None:
    kept = leaver.made()["export"]
    leaver.db.psql("UPDATE rooms SET name = 'New plans'")
    # An age that damages what it writes, one that fails, one that writes nothing.
    spoil = 'for last; do [ "$o" = --output ] && f=$last; o=$last; done; printf x | dd of=$f bs=1 seek=5000 conv=notrunc'
    for trick, said in (
        (f'/usr/bin/age "$@"; {spoil}', "cannot be read back"),
        ("echo 'age: error: no luck' >&2; exit 1", "no luck"),
        ("cat > /dev/null", "No such file"),
    ):  # fmt: skip
        script = f"#!/bin/bash\ncase $1 in --encrypt) {trick};; *) exec /usr/bin/age \"$@\";; esac\n"
        leaver.sh("sh", "-c", "mkdir -p /root/bad && cat > /root/bad/age && chmod +x /root/bad/age", input=script)
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": leaver.arguments()})
        argv = ["env", "PATH=/root/bad:/usr/sbin:/usr/bin:/sbin:/bin", *command(leaver.lab, HOST, "greenlight_export")]
        result = json.loads(leaver.lab.exec(HOST, argv, wanted).stdout.splitlines()[-1])
        assert result.get("failed") and said in result["msg"], result
        assert leaver.export(state="proven")["export"] == kept
    leaver.sh("rm", "-r", "/root/bad")
    directory = f"/root/small-{leaver.name}"
    leaver.sh("sh", "-c", f"mkdir {directory} && mount -t tmpfs -o size=64k none {directory}")
    try:
        full = leaver.export(directory=directory)
        assert full.get("failed") and "disk is full" in full["msg"] and leaver.sh("ls", "-A", directory) == ""
    finally:
        leaver.sh("sh", "-c", f"umount {directory} && rmdir {directory}")


def test_a_killed_run_leaves_nothing_that_counts(leaver: Leaver) -> None:
    leaver.made()
    leaver.db.psql("UPDATE rooms SET name = name || '!'")
    for program in ("pg_dump", "pg_restore", "age"):
        kept = leaver.export(state="proven")["export"]
        # The program comes as far as its first output and waits: the run is killed right there.
        script = "#!/bin/bash\necho $$ > /root/slow/child; touch /root/slow/here; [ \"$1\" = --list ] || sleep 30\n"
        script += f'exec /usr/bin/{program} "$@"\n'
        leaver.sh("sh", "-c", f"mkdir -p /root/slow && cat > /root/slow/{program} && chmod +x /root/slow/{program}", input=script)
        argv = ["docker", "exec", "-i", leaver.lab.host(HOST), "env", "PATH=/root/slow:/usr/sbin:/usr/bin:/sbin:/bin",
                "sh", "-c", 'echo $$ > /root/slow/pid; exec "$@"', "sh", *command(leaver.lab, HOST, "greenlight_export")]  # fmt: skip
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": leaver.arguments()}).encode())
        process.stdin.close()
        leaver.lab.wait_for(HOST, "test -e /root/slow/here")
        processes = leaver.sh("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert leaver.db.password not in processes and "AGE-SECRET-KEY" not in processes
        leaver.sh("sh", "-c", "kill -9 $(cat /root/slow/pid /root/slow/child); rm -r /root/slow")
        process.wait()
        assert leaver.export(state="proven")["export"] == kept
        if program != "age":
            assert ".work" in leaver.listing()
    result = leaver.made()
    assert result["changed"] and sorted(leaver.listing()) == sorted([result["export"]["file"], "proof.json"])


def test_a_key_that_is_none_is_refused_and_not_repeated(leaver: Leaver) -> None:
    key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q"
    refused = leaver.export(recipients=[key])
    assert refused.get("failed") and "a letter wrong" in refused["msg"] and key not in refused["msg"]


def test_an_instance_without_uploads_or_without_a_database(new: Callable[..., Leaver]) -> None:
    bare = new()
    assert bare.made()["export"]["missing"] == []
    bare.db.drop()
    assert bare.name in bare.export()["msg"]
    assert bare.export(state="proven")["changed"] is False


# -- and back in


@pytest.fixture(scope="module")
def archive(leaver: Leaver) -> Iterator[str]:
    """The export as its owner decrypted it, on the host it goes to."""
    export, path = leaver.made()["export"], f"/root/{leaver.name}.tar"
    leaver.sh("sh", "-c", f"umask 077; age --decrypt --identity - --output {path} {export['path']}", input=leaver.member.identity)
    yield path
    leaver.sh("rm", "-f", path)


def take_in(target: Leaver, path: str, check: bool = False) -> dict[str, Any]:
    arguments = {"name": target.name, "archive": path, **target.db.login}
    return run_directly(target.lab, HOST, "greenlight_import", arguments, check=check)


def test_an_export_comes_back_in_the_same(leaver: Leaver, new: Callable[..., Leaver], archive: str) -> None:
    empty = new(None)
    foretold = take_in(empty, archive, check=True)
    assert foretold["changed"] and empty.db.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    result = take_in(empty, archive)
    assert not result.get("failed"), result
    assert result["changed"] and result["diff"] == foretold["diff"] and result["manifest"]["instance"] == leaver.name
    assert empty.db.dump() == leaver.db.dump()
    assert empty.db.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> current_database()") == "0"
    for name, data in (("slides", SLIDES), ("face", FACE)):
        found = empty.sh("sha256sum", f"{empty.volume}/{KEYS[name][:2]}/{KEYS[name][2:4]}/{KEYS[name]}")
        assert found.split()[0] == hashlib.sha256(data).hexdigest()
    empty.db.psql("UPDATE users SET name = 'Ada now'")
    again = take_in(empty, archive)
    assert again["changed"] is False and empty.db.one("SELECT DISTINCT name FROM users") == "Ada now"
    assert "already holds something" in take_in(leaver, archive)["msg"]
    assert empty.sh("ls", "-A", f"/var/lib/meet-coop/instances/{empty.name}").split() == ["import.json"]


def test_an_import_that_was_killed_is_finished(new: Callable[..., Leaver], leaver: Leaver, archive: str) -> None:
    empty = new(None)
    script = '#!/bin/bash\n/usr/bin/pg_restore "$@" & echo $! > /root/slow/child; sleep 0.15; touch /root/slow/here; wait; sleep 1\n'
    empty.sh("sh", "-c", "mkdir -p /root/slow && cat > /root/slow/pg_restore && chmod +x /root/slow/pg_restore", input=script)
    argv = ["docker", "exec", "-i", empty.lab.host(HOST), "env", "PATH=/root/slow:/usr/sbin:/usr/bin:/sbin:/bin",
            "sh", "-c", 'echo $$ > /root/slow/pid; exec "$@"', "sh", *command(empty.lab, HOST, "greenlight_import")]  # fmt: skip
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {"name": empty.name, "archive": archive, **empty.db.login}}).encode())
    process.stdin.close()
    empty.lab.wait_for(HOST, "test -e /root/slow/here")
    empty.sh("sh", "-c", "kill -9 $(cat /root/slow/pid); kill -9 $(cat /root/slow/child); rm -r /root/slow")
    process.wait()
    result = take_in(empty, archive)
    assert not result.get("failed"), result
    assert empty.db.dump() == leaver.db.dump() and take_in(empty, archive)["changed"] is False


def test_an_archive_that_is_none_touches_nothing(new: Callable[..., Leaver], archive: str) -> None:
    empty, bad = new(None), f"{archive}.bad"
    for script, said in (
        (f"cp {archive} {bad} && tar -rf {bad} -C /etc --transform s,^,x/, hostname", "does not name"),
        (f"head -c 30000 {archive} > {bad}", "archive"),
        (f"rm {bad}", "cannot be read"),
    ):
        empty.sh("sh", "-c", script)
        for check in (True, False):
            refused = take_in(empty, bad, check=check)
            assert refused.get("failed") and said in refused["msg"], refused
    assert empty.db.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


# -- and out of the backups


def test_the_backups_of_one_that_is_gone_are_removed_and_no_others(lab: RunningLab, tmp_path: Any) -> None:
    root = f"/root/forget-{tmp_path.name}"

    def sh(script: str) -> str:
        done = lab.exec(HOST, ["sh", "-ec", f"export RESTIC_PASSWORD_FILE={root}/key; cd {root}; {script}"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def left(repository: str) -> list[str]:
        return sorted(row["tags"][0] for row in json.loads(sh(f"restic -q -r {root}/{repository} snapshots --json")))

    def forget(check: bool = False, **more: Any) -> dict[str, Any]:
        options = {"repository": f"{root}/one", "password_file": f"{root}/key", "name": "gone", **more}
        return run_directly(lab, HOST, "greenlight_backup_forget", options, check=check)

    assert lab.exec(HOST, ["sh", "-c", f"mkdir -m 700 {root} && echo key-of-the-test > {root}/key"]).returncode == 0
    try:
        for repository in ("one", "two"):
            store = f"restic -q -r {root}/{repository} backup --host x"
            sh(f"restic -q -r {root}/{repository} init; {store} --tag instance=gone --time '2026-01-01 00:00:00' key;"
               f" {store} --tag instance=gone --time '2026-03-01 00:00:00' key; {store} --tag instance=gone-too key")  # fmt: skip
        copies = [{"repository": f"{root}/{name}", "password_file": f"{root}/key"} for name in ("nowhere", "two")]
        early = {"before": "2026-02-01T00:00:00Z", "copies": copies}
        foretold = forget(check=True, **early)
        assert [len(one["snapshots"]) for one in foretold["repositories"]] == [1, 0, 1] and len(left("one")) == 3
        assert forget(**early)["repositories"] == foretold["repositories"] and forget(**early)["changed"] is False
        assert left("one") == left("two") == ["instance=gone", "instance=gone-too"]
        wrong = [{"repository": f"{root}/two", "password": "another"}]
        refused = forget(copies=wrong)
        assert refused.get("failed") and f"{root}/two" in refused["msg"] and refused["changed"]
        assert left("one") == ["instance=gone-too"] and len(left("two")) == 2
        assert "is not a time" in forget(before="soon")["msg"]
        assert "role backup" in forget(repository="", config="/nowhere.json")["msg"]
    finally:
        lab.exec(HOST, ["rm", "-rf", root])
