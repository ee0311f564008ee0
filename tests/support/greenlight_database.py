# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Greenlight database for one test: the double's own migrations on a host's PostgreSQL, without starting the double."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import secrets
import subprocess
import sys
import tarfile
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.lab import RunningLab

MIGRATIONS = Path(__file__).resolve().parents[1] / "lab" / "greenlight" / "image" / "double" / "migrations.py"
MODULES = "ansible_collections.meet.coop.plugins.modules"
NOW = "(now() AT TIME ZONE 'UTC')"


@cache
def migration_script(tag: str = "v3.8.2.4") -> str:
    """What a finished start of the double at ``tag`` leaves in an empty database, as one SQL script."""
    stand_in = types.ModuleType("psycopg2")  # the double's driver is not needed to read its statements
    stand_in.Error = Exception  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("greenlight_double_migrations", MIGRATIONS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    held = sys.modules.get("psycopg2")
    sys.modules["psycopg2"] = stand_in
    try:
        spec.loader.exec_module(module)
    finally:
        if held is None:
            del sys.modules["psycopg2"]
        else:
            sys.modules["psycopg2"] = held
    schema, data = module.lists(tag)
    steps = [(versions[0], "schema_migrations", versions, sql) for versions, sql in schema]
    steps += [(version, "data_migrations", (version,), sql) for version, sql in data]
    lines = [f"CREATE TABLE {table} (version varchar NOT NULL PRIMARY KEY);" for table in ("schema_migrations", "data_migrations")]
    for _first, table, versions, sql in sorted(steps, key=lambda step: step[0]):
        lines.append(sql.replace("%%", "%"))
        lines += [f"INSERT INTO {table} (version) VALUES ('{version}');" for version in versions]
    return "\n".join(lines)


def ensure_server(lab: RunningLab, host: str = "host1") -> None:
    """PostgreSQL runs on the host (on a bare lab host it is installed and not started)."""
    script = "for v in $(ls /etc/postgresql); do pg_ctlcluster $v main status >/dev/null || pg_ctlcluster $v main start; done"
    done = lab.exec(host, ["sh", "-c", script])
    assert done.returncode == 0, done.stderr


@cache
def payload() -> tuple[str, bytes]:
    """Where the modules lie on a host, named after their content, and the archive to be unpacked there."""
    archive = _payload()
    return f"/opt/meet-coop-test/{hashlib.sha256(archive).hexdigest()[:16]}", archive


_installed: set[str] = set()


def install(lab: RunningLab, host: str) -> str:
    """The folder on the host for PYTHONPATH; whole or not there at all, whoever else installs at the same time."""
    folder, archive = payload()
    if host not in _installed:
        fresh = f"{folder}.{secrets.token_hex(4)}"
        script = f"test -d {folder} || {{ mkdir -p {fresh} && tar -x -C {fresh} && mv -T {fresh} {folder} || test -d {folder}; }}"
        done = lab.exec(host, ["sh", "-c", script], archive)
        assert done.returncode == 0, done.stderr
        _installed.add(host)
    return folder


def command(lab: RunningLab, host: str, name: str) -> list[str]:
    """The command that runs one module with its arguments on standard input, as ansible does."""
    return ["env", f"PYTHONPATH={install(lab, host)}", "LC_ALL=C.UTF-8", "python3", "-B", "-m", f"{MODULES}.{name}"]


def run_directly(lab: RunningLab, host: str, name: str, args: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
    """Run one module in a tenth of the time a play takes. Never raises for a failed module."""
    wanted = json.dumps({"ANSIBLE_MODULE_ARGS": {**args, "_ansible_check_mode": check, "_ansible_diff": True}})
    done = lab.exec(host, command(lab, host, name), wanted)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1, f"{name} gave no result:\n{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(lines[0])
    return result


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.mtime = 0
    return None if "__pycache__" in entry.name else entry


def _payload() -> bytes:
    """What ansible would send: its module_utils and ours, and our modules."""
    import ansible

    core, ours = Path(ansible.__file__).parent, Path(__file__).resolve().parents[2]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("ansible/__init__.py"))  # empty, as ansible's own payload has it
        for source, target in (
            (core / "module_utils", "ansible/module_utils"),
            (ours / "plugins/module_utils", "ansible_collections/meet/coop/plugins/module_utils"),
            (ours / "plugins/modules", "ansible_collections/meet/coop/plugins/modules"),
        ):
            archive.add(source, target, filter=_plain)
    return buffer.getvalue()


@dataclass
class GreenlightDatabase:
    """One database on a lab host, its owner, and a way to ask it and to run modules on it."""

    lab: RunningLab
    run_module: Callable[..., dict[str, Any]]
    host: str = "host1"
    name: str = field(default_factory=lambda: f"greenlight_t{secrets.token_hex(4)}")
    password: str = field(default_factory=lambda: secrets.token_hex(12))

    def psql(self, script: str, db: str | None = None, user: str | None = None, check: bool = True) -> list[str]:
        """Run SQL as the superuser (or as ``user``); the lines of the answer, columns separated by |."""
        prefix = f"SET SESSION AUTHORIZATION {user};\n" if user else ""
        argv = ["runuser", "-u", "postgres", "--", "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", db or self.name]
        done = self.lab.exec(self.host, argv, prefix + script)
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def one(self, query: str) -> str:
        """The single value of a query, as text."""
        lines = self.psql(query)
        assert len(lines) == 1, lines
        return lines[0]

    def create(self, tag: str | None = "v3.8.2.4") -> None:
        """The role and the database, with the tables and seeds of one release (None: empty)."""
        self.psql(f"CREATE ROLE {self.name} LOGIN PASSWORD '{self.password}';", db="postgres")
        self.psql(f"CREATE DATABASE {self.name} OWNER {self.name};", db="postgres")
        if tag is not None:
            self.psql("SET client_min_messages = error;\n" + migration_script(tag), user=self.name)

    def drop(self) -> None:
        self.psql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE); DROP ROLE IF EXISTS {self.name};".replace("; ", ";\n"), db="postgres")

    @property
    def login(self) -> dict[str, Any]:
        """Login options of the modules: the database's owner over TCP."""
        return {"login_db": self.name, "login_host": "127.0.0.1", "login_user": self.name, "login_password": self.password}

    def module(self, name: str, args: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
        """Run meet.coop.<name> on the host against this database: the module itself with the host's Python, without a play around it."""
        return run_directly(self.lab, self.host, name, {**self.login, **args}, check=check)

    def command(self, name: str) -> list[str]:
        """The command that runs a module on the host."""
        return command(self.lab, self.host, name)

    def play(self, name: str, args: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
        """The same through the real ansible, which takes seconds."""
        return self.run_module(self.host, f"meet.coop.{name}", {**self.login, **args}, check=check)

    def truthful(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Check mode, then the real run, then again: the first must foretell the second and touch nothing, the third must be quiet.

        The result of the real run.
        """
        before = self.dump()
        foretold = self.module(name, args, check=True)
        assert not foretold.get("failed"), foretold
        assert self.dump() == before, "check mode wrote"
        real = self.module(name, args)
        assert not real.get("failed"), real
        assert (real["changed"], real["diff"]) == (foretold["changed"], foretold["diff"])
        again = self.module(name, args)
        assert not again.get("failed"), again
        assert again["changed"] is False, again["diff"]
        return real

    def end(self, process: subprocess.Popen[str]) -> None:
        """End a script that holds rows: the server drops its connection."""
        self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE 'SELECT pg_sleep%'"
        )
        process.communicate()

    def kill_while_writing(self, name: str, args: Mapping[str, Any], seconds: float = 30) -> None:
        """Start a module and kill it (SIGKILL) while its transaction has written rows and waits for one that somebody holds.

        Hold a row that the module writes late, longer than ``seconds``.
        """
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": {**self.login, **args}})
        argv = ["docker", "exec", "-i", self.lab.host(self.host), "sh", "-c", 'echo $$ >&2; exec "$@"', "sh", *self.command(name)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdin is not None and process.stderr is not None and process.stdout is not None
        process.stdin.write(wanted)
        process.stdin.close()
        pid = int(process.stderr.readline())
        writing = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'meet.coop%'"
            " AND backend_xid IS NOT NULL AND wait_event_type = 'Lock' AND query NOT LIKE '%advisory%'"
        )
        deadline = time.monotonic() + seconds
        while self.one(writing) == "0":
            assert time.monotonic() < deadline and process.poll() is None, "the module never came to the row that is held"
        done = self.lab.exec(self.host, ["kill", "-KILL", str(pid)])
        assert done.returncode == 0, done.stderr
        assert process.wait() != 0 and not process.stdout.read()

    def dump(self) -> str:
        """All rows of all tables, comparable."""
        done = self.lab.exec(
            self.host, ["runuser", "-u", "postgres", "--", "pg_dump", "--data-only", "--inserts", "--restrict-key=test", "-d", self.name]
        )
        assert done.returncode == 0, done.stderr
        return "\n".join(sorted(line for line in done.stdout.splitlines() if line.startswith("INSERT")))

    def script(self, code: str, *args: object) -> subprocess.Popen[str]:
        """A Python program on the host with ``conninfo`` and ``args`` defined, running beside the test."""
        conninfo = f"host=127.0.0.1 dbname={self.name} user={self.name} password={self.password}"
        program = f"import json, sys, time, psycopg\nconninfo = {conninfo!r}\nargs = json.loads({json.dumps(args)!r})\n{code}"
        argv = ["docker", "exec", "-i", self.lab.host(self.host), "python3", "-c", "import sys; exec(sys.stdin.read())"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(program)
        process.stdin.close()
        process.stdin = None
        return process

    def user(self, email: str, role: str = "User", **columns: object) -> str:
        """Insert a user as the application would; its id."""
        values: dict[str, object] = {
            "name": email.split("@")[0], "email": email, "provider": "greenlight", "language": "en", "verified": True, "status": 0,
            "session_token": secrets.token_hex(32), **columns,
        }  # fmt: skip
        names = ", ".join(values)
        return self.one(
            f"INSERT INTO users ({names}, role_id, session_expiry, created_at, updated_at)"
            f" SELECT {', '.join(map(literal, values.values()))}, id, {NOW} + interval '1 day', {NOW}, {NOW}"
            f" FROM roles WHERE name = {literal(role)} RETURNING id"
        )

    def room(self, user_id: str, name: str = "Room") -> str:
        """Insert a room with a row for each meeting option, as greenlight app/models/room.rb does; its id."""
        friendly = "-".join(secrets.token_hex(2)[:3] for _other in range(4))
        room = self.one(
            f"INSERT INTO rooms (user_id, name, friendly_id, meeting_id, created_at, updated_at) VALUES ('{user_id}', {literal(name)},"
            f" '{friendly}', '{secrets.token_hex(20)}', {NOW}, {NOW}) RETURNING id"
        )
        self.psql(
            "INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)"
            f" SELECT '{room}', id, default_value, {NOW}, {NOW} FROM meeting_options"
        )
        return room

    def setting(self, name: str) -> list[str]:
        """Values of a site setting (one, when all is well)."""
        return self.psql(
            "SELECT v.value FROM site_settings v JOIN settings s ON s.id = v.setting_id"
            f" WHERE s.name = '{name}' AND v.provider = 'greenlight'"
        )

    def permission(self, role: str, name: str) -> list[str]:
        return self.psql(
            "SELECT v.value FROM role_permissions v JOIN roles r ON r.id = v.role_id JOIN permissions p ON p.id = v.permission_id"
            f" WHERE r.name = '{role}' AND p.name = '{name}'"
        )

    def sent(self, room: str) -> dict[str, str]:
        """The options Greenlight would send for a room (greenlight app/services/room_settings_getter.rb)."""
        rows = self.psql(
            f"""
            SELECT o.name, coalesce(c.value, m.value) FROM meeting_options o JOIN room_meeting_options m ON m.meeting_option_id = o.id
              LEFT JOIN rooms_configurations c ON c.meeting_option_id = o.id AND c.provider = 'greenlight'
                   AND c.value NOT IN ('optional', 'default_enabled')
             WHERE m.room_id = '{room}' AND o.name NOT ILIKE 'gl%'
            """
        )
        return dict(row.split("|", 1) for row in rows)


def literal(value: object) -> str:
    """A value as SQL text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
