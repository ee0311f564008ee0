# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one look at a host, as texts that the rules read. Nothing is changed, started or followed out of its place."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import grp
import http.client
import json
import os
import pwd
import socket
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review import databases, edge
from ansible_collections.meet.coop.plugins.module_utils._review.files import Entry
from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding

DAEMON = "/etc/docker/daemon.json"
DOCKER_SOCKET = "/run/docker.sock"
UNITS = "/etc/systemd/system"
CLUSTERS = "/var/run/postgresql/.s.PGSQL."
TIMEOUT = 60
"""Seconds for one program, or one answer of Docker."""
MOST_OF_A_FILE = 262144
"""Bytes of a file that are searched for a private key."""


@dataclasses.dataclass
class Seen:
    """What there is; None where a part is not installed, or does not run."""

    sockets: str
    tables: dict[str, str]
    sshd: str | None = None
    docker_config: str | None = None
    docker_info: dict[str, Any] = dataclasses.field(default_factory=dict)
    docker_socket: Entry | None = None
    docker_members: list[str] = dataclasses.field(default_factory=list)
    containers: list[dict[str, Any]] | None = None
    #: The answer to databases.QUERY by the cluster's port.
    clusters: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    entries: list[Entry] = dataclasses.field(default_factory=list)
    unit_files: dict[str, str] = dataclasses.field(default_factory=dict)
    caddy: bool = False
    edge_config: str | None = None
    edge_entries: dict[str, Entry] = dataclasses.field(default_factory=dict)
    #: apt-config dump, whether unattended-upgrades is installed, state of its timer.
    updates: tuple[str, bool, str] | None = None
    unreadable: list[Finding] = dataclasses.field(default_factory=list)


def observe(tables: Iterable[str], edge_config: str, trees: Iterable[str], single: Iterable[str]) -> Seen:
    """Look at a host once: our tables of nftables, Caddy's file, folders to walk through, single paths. Raises CoopError."""
    if os.geteuid() != 0:
        raise CoopError("only root sees what listens, and who may read what; run this with become: true")
    done = run("ss", "-Hltunp")
    if done is None or done[0]:
        raise CoopError("ss does not tell what listens on this host; install iproute2")
    seen = Seen(done[1], {})
    for name in tables:
        listed = run("nft", "list", "table", "inet", name)
        if listed and listed[0] == 0:
            seen.tables[name] = listed[1]
    _ssh(seen)
    _docker(seen)
    _postgresql(seen)
    seen.entries = list(walk(trees))
    met = {entry.path for entry in seen.entries}
    seen.entries += [entry for path in single for entry in [look(path)] if entry and path not in met]
    for path in [*glob.glob(f"{UNITS}/*.service"), *glob.glob(f"{UNITS}/*.service.d/meet-coop.conf")]:
        if os.path.isfile(path) and not os.path.islink(path):
            seen.unit_files[os.path.relpath(path, UNITS)] = text_of(path) or ""
    seen.caddy = active("caddy.service")
    seen.edge_config = text_of(edge_config)
    with contextlib.suppress(ValueError):
        place = edge.socket_path(edge.admin(seen.edge_config or "{}")[0])
        for path in (place, os.path.dirname(place)) if place else ():
            found = look(path)
            if found:
                seen.edge_entries[path] = found
    settings = run("apt-config", "dump")
    if settings:
        timer = run("systemctl", "is-active", "apt-daily-upgrade.timer")
        seen.updates = settings[1], os.path.exists("/usr/bin/unattended-upgrade"), timer[1].strip() if timer else ""
    return seen


def security(units: Sequence[str]) -> str | None:
    """How systemd rates the sandbox of units; None without systemd-analyze."""
    done = run("systemd-analyze", "security", "--no-pager", *units) if units else (0, "", "")
    return done[1] if done else None


def _ssh(seen: Seen) -> None:
    if not ('"sshd' in seen.sockets or any(map(active, ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")))):
        return
    # As it would be for root from elsewhere: that decides which blocks of Match count.
    done = run("sshd", "-T", "-C", "user=root,host=review.invalid,addr=192.0.2.1")
    seen.sshd = done[1] if done and done[0] == 0 else ""
    if not seen.sshd:
        said = done[2].strip().splitlines()[-1:] if done else ["there is no sshd"]
        seen.unreadable.append(Finding("unreadable", "sshd", f"sshd -T: {' '.join(said)}", "Mend sshd_config: sshd -t says where"))


def _docker(seen: Seen) -> None:
    seen.docker_config = text_of(DAEMON)
    if not active("docker.service"):
        return  # a look at its socket would start it
    seen.docker_config = seen.docker_config or ""
    seen.docker_socket = look(DOCKER_SOCKET)
    if seen.docker_socket:
        with contextlib.suppress(KeyError):
            group = grp.getgrnam(seen.docker_socket.group)
            first = [one.pw_name for one in pwd.getpwall() if one.pw_gid == group.gr_gid]
            seen.docker_members = sorted({*group.gr_mem, *first})
    try:
        seen.docker_info = ask_docker("/info") or {}
        found = [ask_docker(f"/containers/{one['Id']}/json") for one in ask_docker("/containers/json") or []]
        seen.containers = [one for one in found if one]
    except (OSError, ValueError, http.client.HTTPException) as error:
        seen.unreadable.append(Finding("unreadable", "docker", f"Docker does not answer: {error}", "systemctl status docker says why"))


def ask_docker(path: str) -> Any:
    """An answer of Docker's API over its socket; None for what is gone. Raises OSError, ValueError, HTTPException."""
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(TIMEOUT)
    try:
        connection.sock.connect(DOCKER_SOCKET)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise OSError(f"HTTP {answer.status} for {path.split('/')[1]}")
    return json.loads(body)


def _postgresql(seen: Seen) -> None:
    for path in sorted(glob.glob(f"{CLUSTERS}[0-9]*")):
        port = path.removeprefix(CLUSTERS)
        if not port.isdigit():
            continue  # the lock beside the socket
        place = (f"--host={os.path.dirname(CLUSTERS)}", f"--port={port}", "--dbname=postgres")
        psql = ("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--no-password", *place, f"--command={databases.QUERY}")
        done = run("runuser", "--user=postgres", "--", *psql)
        try:
            seen.clusters[port] = json.loads(done[1] if done and done[0] == 0 else "")
        except ValueError:
            said = " ".join((done[2] if done else "there is no psql").split())
            todo = f"See whether postgres gets in: runuser -u postgres -- psql -p {port}"
            seen.unreadable.append(Finding("unreadable", f"postgresql {port}", f"PostgreSQL on port {port} does not tell: {said}", todo))


def run(*argv: str) -> tuple[int, str, str] | None:
    """A program's status, output and errors; None where it is not installed, 1 where it does not end in time."""
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"}
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, cwd="/", env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return 1, "", f"no answer within {TIMEOUT} s"
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def active(unit: str) -> bool:
    done = run("systemctl", "is-active", "--quiet", unit)
    return done is not None and done[0] == 0


def text_of(path: str) -> str | None:
    """A file's text; None without one."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error


def look(path: str) -> Entry | None:
    """A file or folder; None where there is none, or a link."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISLNK(found.st_mode):
        return None
    # What nobody else can read needs no search.
    key = stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o004) and _holds_key(path)
    return Entry(path, found.st_mode, found.st_uid, _name(pwd.getpwuid, found.st_uid), _name(grp.getgrgid, found.st_gid), key)


def _name(ask: Any, number: int) -> str:
    try:
        return str(ask(number)[0])
    except KeyError:
        return str(number)


def _holds_key(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return b"PRIVATE KEY-----" in stream.read(MOST_OF_A_FILE)
    except OSError:
        return False


def walk(trees: Iterable[str]) -> Iterator[Entry]:
    """Folders with what is in them, each once, as far as others than owner and group could come."""
    waiting, met = [path.rstrip("/") for path in trees], set()
    while waiting:
        path = waiting.pop()
        entry = look(path) if path not in met else None
        met.add(path)
        if entry is None:
            continue
        yield entry
        if stat.S_ISDIR(entry.mode) and entry.mode & 0o001:
            with contextlib.suppress(OSError):
                waiting += [one.path for one in os.scandir(path)]
