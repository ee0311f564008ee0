# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups damaged in many ways. Runs on a container host, with nothing but what is there: `python3 - REPOSITORY KEY_FILE INSTANCE`.

Takes the newest backup of the instance, and for each damage stores a copy of it, damaged, as the backup of an instance `d-DAMAGE`.
Where it says so the manifest agrees with the damage, as when the damage was there before the backup was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

REPOSITORY, KEY_FILE, INSTANCE = sys.argv[1:4]
SCRATCH_DATABASE = "drill_damages"
STORED = "storage/ab/cd/abcdefgh"


def run(*argv: str, cwd: str | None = None) -> str:
    environment = {**os.environ, "RESTIC_REPOSITORY": REPOSITORY, "RESTIC_PASSWORD_FILE": KEY_FILE, "PGUSER": "postgres"}
    return subprocess.run(argv, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


class Backup:
    """A copy of a backup's directory that may be damaged."""

    def __init__(self, root: str, name: str) -> None:
        self.name, self.directory = name, os.path.join(root, name)
        shutil.copytree(os.path.join(root, "base"), self.directory)
        with open(self.path("manifest.json")) as stream:
            self.manifest = json.load(stream)
        self.manifest["instance"] = name
        self.write()

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def write(self) -> None:
        with open(self.path("manifest.json"), "w") as stream:
            json.dump(self.manifest, stream)

    def agree(self, name: str) -> None:
        with open(self.path(name), "rb") as stream:
            content = stream.read()
        self.manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.write()

    def replace(self, name: str, source: str) -> None:
        shutil.copy(source, self.path(name))
        self.agree(name)

    def store(self, time: str | None = None) -> None:
        moment = ["--time", time] if time else []
        run("restic", "backup", "--quiet", "--tag", f"kind=instance,instance={self.name}", *moment, ".", cwd=self.directory)


def cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) * 2 // 3)


def flip(path: str) -> None:
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 0x10]))


def dump(root: str, name: str, statement: str) -> str:
    run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", SCRATCH_DATABASE, "-c", statement)
    path = os.path.join(root, name)
    run("pg_dump", "--format=custom", "--file", path, SCRATCH_DATABASE)
    return path


def main(root: str) -> None:
    newest = json.loads(run("restic", "snapshots", "--json", "--tag", f"instance={INSTANCE}"))[-1]["id"]
    run("restic", "restore", "--quiet", newest, "--target", os.path.join(root, "base"))
    run("psql", "-q", "-c", f"DROP DATABASE IF EXISTS {SCRATCH_DATABASE}", "-c", f"CREATE DATABASE {SCRATCH_DATABASE}")
    run("pg_restore", "--no-owner", "-d", SCRATCH_DATABASE, os.path.join(root, "base", "database.dump"))
    one_row = dump(root, "one-row.dump", "DELETE FROM users WHERE email = 'bo@drill.test'")
    emptied = dump(root, "emptied.dump", "DELETE FROM role_permissions")
    unmigrated = dump(root, "unmigrated.dump", "DELETE FROM data_migrations WHERE version = (SELECT max(version) FROM data_migrations)")
    no_table = dump(root, "no-table.dump", "DROP TABLE invitations")
    other = dump(root, "other.dump", "DELETE FROM users; UPDATE settings SET name = name || 'x'; CREATE TABLE notes (id int)")
    run("psql", "-q", "-c", f"DROP DATABASE {SCRATCH_DATABASE}")
    made: dict[str, Backup] = {}

    def backup(name: str) -> Backup:
        made[name] = Backup(root, f"d-{name}")
        return made[name]

    cut(backup("dump-cut").path("database.dump"))
    flip(backup("dump-changed").path("database.dump"))
    os.unlink(backup("dump-missing").path("database.dump"))
    one = backup("dump-cut-before")
    cut(one.path("database.dump"))
    one.agree("database.dump")
    for name, path in (("row-missing", one_row), ("table-emptied", emptied), ("migration-missing", unmigrated), ("table-missing", no_table),
                       ("dump-of-another", other)):
        backup(name).replace("database.dump", path)
    os.unlink(backup("upload-missing").path(STORED))
    flip(backup("upload-changed").path(STORED))
    shutil.rmtree(backup("uploads-missing").path("storage"))
    os.unlink(backup("manifest-missing").path("manifest.json"))
    cut(backup("manifest-cut").path("manifest.json"))
    for name, field, value in (
        ("manifest-old", "format", 0),
        ("manifest-field", "tables", None),
        ("of-another", "instance", INSTANCE),
        ("postgresql-newer", "postgresql_major", 99),
        ("image-older", "image", "meet-coop-lab/greenlight:v3.7.1"),
        ("image-broken", "image", "meet-coop-lab/greenlight:v3.9.0-broken"),
        ("image-gone", "image", "nowhere.test/gone:1"),
        ("image-unknown", "image", None),
    ):
        one = backup(name)
        one.manifest[field] = value
        if name.startswith("image"):
            one.manifest["image_id"] = None
        if name == "manifest-field":
            del one.manifest[field]
        one.write()
    os.unlink(backup("secrets-missing").path("secrets.json"))
    one = backup("secrets-forgotten")
    os.unlink(one.path("secrets.json"))
    del one.manifest["files"]["secrets.json"]
    one.write()
    one = backup("secrets-empty")
    with open(one.path("secrets.json"), "w") as stream:
        stream.write("{}")
    one.agree("secrets.json")
    times = {backup("too-old"): "2026-01-02 03:04:05", backup("to-come"): "2099-01-02 03:04:05"}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: one.store(times.get(one)), made.values()))
    print("\n".join(one.name for one in made.values()))


with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
    main(scratch)
