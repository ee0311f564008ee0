# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: BBBLB as the engine of a pool, driven by its command on the pool host.

Everything goes through ``state export`` and ``state import``: one file says what all tenants and nodes are, and one import is one
transaction (bbblb/cli/state.py), so a killed run leaves the old state or the new one. An import disables what its file leaves out, so a
file always holds every tenant, or every node, that there is.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import secrets
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.model import (
    AT_ONCE,
    BLOCKED_CREATE,
    EXPIRY,
    NO_RECORDING,
    Change,
    Node,
    Tenant,
)
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import LOCK, Entry, State, check_unique, host_lock, one_line

VERSION = "0.0.18"
"""The release that is driven here; any other is refused.

0.0.17 answers a tenant's getMeetings, but cannot take a node into service at once (``server enable --now``), ends a drain with a
traceback instead of exit code 3 (cli/server.py), nukes under the wrong meeting ID (``_end_meeting`` scopes with the server) and keeps
meeting_stats for ever. What 0.0.18 does worse, getMeetings, is one statement, and role pool mends it (files/coop_bbblb.py) together with
the lost meetings and the lax clamp that both releases have.
"""

TIMEOUT = 120.0
RETIRED = "retired-"
"""How the secret of a removed tenant begins: BBBLB never deletes a tenant (cli/state.py, sync_tenants), so it is locked out instead."""

RETIRED_SECRET = re.compile(r"retired-[0-9a-f]{64}\Z")

HOLDING = """
import asyncio, json, sys
from bbblb import model
from bbblb.services.db import DBContext
from bbblb.settings import BBBLBConfig

async def main(domains):
    config = BBBLBConfig()
    config.populate()
    db = DBContext(config)
    await db.on_start()
    found = {}
    async with db.session() as session:
        for kind in (model.Meeting, model.Callback):
            asked = model.select(model.Server.domain).join(kind, kind.server_fk == model.Server.id).where(model.Server.domain.in_(domains))
            for domain in (await session.execute(asked.distinct())).scalars():
                found.setdefault(domain, []).append(kind.__tablename__)
    await db.on_shutdown()
    print(json.dumps(found))

asyncio.run(main(sys.argv[1:]))
"""
"""Asks BBBLB's database, with BBBLB's own code, what keeps nodes from being deleted."""


def overrides(tenant: Tenant) -> dict[str, dict[str, str]]:
    """A tenant's caps in BBBLB's language: ``<`` clamps, ``=`` forces and alone removes, ``+`` adds to a list (bbblb/model.py)."""
    create = {name: "=" for name in BLOCKED_CREATE}
    create.update({name: f"<{minutes}" for name, minutes in EXPIRY.items()})
    if tenant.duration_max:
        create["duration"] = f"<{tenant.duration_max}"
    if tenant.participants_max:
        create["maxParticipants"] = f"<{tenant.participants_max}"
    create.update({name: f"<{getattr(tenant, option)}" for option, name in AT_ONCE.items() if getattr(tenant, option)})
    if not tenant.record:
        create.update(NO_RECORDING)
    if tenant.disabled_features:
        create["disabledFeatures"] = "+" + ",".join(sorted(tenant.disabled_features))
    return {"create": dict(sorted(create.items())), "join": {}}


class Bbblb:
    """The command of one BBBLB, run as its system user, and the lock that makes one change at a time."""

    def __init__(self, command: str, config: str, user: str | None = None, *, lock: str = LOCK, check_mode: bool = False) -> None:
        self.command = command
        self.config = config
        self.user = user
        self.lock = lock
        self.check_mode = check_mode

    @property
    def missing(self) -> bool:
        """Whether BBBLB is not installed (in check mode that means an empty pool; otherwise it is an error)."""
        return not os.access(self.command, os.X_OK)

    @property
    def title(self) -> str:
        """Its name for people."""
        return "BBBLB"

    @property
    def clamps(self) -> bool | None:
        """Always: ``<`` is one of its operators."""
        return True

    def exclusive(self) -> t.ContextManager[None]:
        """Hold the host-wide lock: export, plan and import belong together."""
        return host_lock(self.lock, self.check_mode)

    def tenant_entry(self, tenant: Tenant, existing: Entry | None) -> Entry | None:
        """The entry of a tenant in the state; None when it shall not be there and is not.

        A removed tenant is disabled, without caps, and its secret is replaced by one that nobody has.
        """
        if tenant.state == "absent":
            if existing is None:
                return None
            kept = existing["secret"] if RETIRED_SECRET.match(existing["secret"]) else RETIRED + secrets.token_hex(32)
            return {"enabled": False, "secret": kept, "realm": tenant.name, "overrides": {"create": {}, "join": {}}}
        if tenant.previous_secret:
            raise CoopError(f"tenant {tenant.name}: BBBLB keeps one secret for each tenant; leave previous_secret out")
        if tenant.tag:
            raise CoopError(f"tenant {tenant.name}: BBBLB knows no tags; leave tag out, or use engine scalelite")
        return {"enabled": tenant.enabled, "secret": tenant.secret, "realm": tenant.name, "overrides": overrides(tenant)}

    def node_entry(self, node: Node, existing: Entry | None) -> Entry | None:
        """The entry of a node in the state; None when it shall not be there."""
        if node.state == "absent":
            return None
        if node.tag:
            raise CoopError(f"node {node.domain}: BBBLB knows no tags; leave tag out, or use engine scalelite")
        return {"enabled": node.enabled, "secret": node.secret}

    def tenant_of(self, name: str, entry: Entry) -> Tenant:
        """The tenant that an entry stands for; of overrides made by hand only those that the model knows."""
        if RETIRED_SECRET.match(entry["secret"]):
            return Tenant(name, state="absent")
        create = entry.get("overrides", {}).get("create", {})

        def cap(parameter: str) -> int:
            text = create.get(parameter, "")
            return int(text[1:]) if re.fullmatch(r"[<=][0-9]+", text) else 0

        features = create.get("disabledFeatures", "")[1:]
        return Tenant(
            name=name, secret=entry["secret"], enabled=entry["enabled"], duration_max=cap("duration"),
            participants_max=cap("maxParticipants"), record=create.get("record") != "=false",
            disabled_features=tuple(one for one in features.split(",") if one),
            **{option: cap(name) for option, name in AT_ONCE.items()},
        )  # fmt: skip

    def node_of(self, domain: str, entry: Entry) -> Node:
        """The node that an entry stands for."""
        return Node(domain, entry["secret"], entry["enabled"])

    def same(self, before: Entry | None, after: Entry | None) -> bool:
        """Whether two entries mean the same; an export always names both kinds of overrides."""
        return _same(before, after)

    def check_tenants(self, target: State) -> None:
        """The database refuses two tenants with one secret or realm, with a traceback; say it before."""
        for key in ("secret", "realm"):
            check_unique(target, key)

    def leftovers(self) -> list[Change]:
        """Nothing: whatever BBBLB keeps belongs to a tenant."""
        return []

    def warnings(self, wanted: t.Sequence[Tenant]) -> list[str]:
        """Nothing: BBBLB clamps by itself, and its database keeps names apart."""
        return []

    def observe(self, kind: str) -> State:
        """All ``tenants`` or all ``servers`` there are."""
        if self.missing:
            if self.check_mode:
                return {}
            raise CoopError(f"there is no BBBLB at {self.command}: run role pool on this host first")
        self._check_version()
        text = self._run(["state", "export", "--include", kind, "-"])
        try:
            found = json.loads(text)[kind]
        except (ValueError, KeyError) as error:
            raise CoopError(f"bbblb state export did not print a state with {kind}; look at {self.command}") from error
        return t.cast(State, found)

    def apply(self, kind: str, target: State) -> State:
        """Import the whole state of one kind and return what is there afterwards; CoopError when it is not what was asked for.

        The exit code and "Changes applied successfully" say nothing (cli/state.py prints it for dry runs and whenever an obsolete row
        remains), so the export afterwards decides. Nodes that are left out are deleted; ``server delete`` would print "removed" and
        delete nothing (cli/server.py lacks the commit).
        """
        self._import(kind, target)
        after = self.observe(kind)
        for name, entry in target.items():
            if not _same(after.get(name), entry):
                raise CoopError(f"bbblb state import did not bring {kind[:-1]} {name} into the asked state; look at bbblb state export")
        for name, entry in after.items():
            if name not in target and entry.get("enabled"):
                raise CoopError(f"bbblb state import left {kind[:-1]} {name} enabled; look at bbblb state export")
        return after

    def holding(self, domains: t.Sequence[str]) -> dict[str, list[str]]:
        """Which of these nodes cannot be deleted yet, and why: ``meetings`` run there, or ``callbacks`` may come from it.

        BBBLB keeps callbacks, such as those for recordings that are still processed, for 30 days (services/bbb.py); deleting their node
        breaks a foreign key and with it the whole import (bbblb/model.py, Callback.server_fk), which no dry run notices.
        """
        if self.missing:
            return {}
        python = str(Path(self.command).parent / "python")
        return t.cast("dict[str, list[str]]", json.loads(self._execute([python, "-c", HOLDING, *domains], None, "asking for held nodes")))

    def health(self) -> dict[str, str]:
        """Each node's health: available, unstable or offline."""
        if self.missing:
            return {}
        found = {}
        for line in self._run(["server", "stats", "--table-format", "json"]).splitlines():
            if line.strip():
                row = json.loads(line)
                found[row["server"]] = row["state"]
        return found

    def enable_now(self, domains: t.Sequence[str]) -> None:
        """Take nodes into service without waiting for good polls."""
        self._run(["server", "enable", "--now", *domains])

    def _import(self, kind: str, target: State) -> str:
        options = ["--include", kind, *(["--delete"] if kind == "servers" else [])]
        # Over stdin: neither a file nor the process list ever holds the secrets.
        return self._run(["state", "import", *options, "-"], json.dumps({"v": 1, kind: target}))

    def _run(self, arguments: list[str], given: str | None = None) -> str:
        return self._execute([self.command, "-C", self.config, *arguments], given, f"bbblb {' '.join(arguments[:2])}")

    def _execute(self, command: list[str], given: str | None, what: str) -> str:
        try:
            # Domain code knows no AnsibleModule; the arguments are a list, and secrets go over stdin.
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                command,
                input=given or "",
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PGHOST": "/var/run/postgresql", "BBBLB_CONFIG": self.config},
                **self._identity(),
            )
        except subprocess.TimeoutExpired as error:
            raise CoopError(f"{what} did not end within {TIMEOUT:.0f} s; is PostgreSQL overloaded?") from error
        except OSError as error:
            raise CoopError(f"{command[0]} cannot be run: {error.strerror}") from error
        if done.returncode:
            raise CoopError(f"{what} ended with {done.returncode}: {_reason(done.stderr)}")
        return done.stdout

    def _identity(self) -> dict[str, t.Any]:
        """Run as BBBLB's user, whom PostgreSQL knows by peer authentication; as oneself when not root."""
        if not self.user or os.geteuid() != 0:
            return {}
        try:
            account = pwd.getpwnam(self.user)
        except KeyError as error:
            raise CoopError(f"there is no system user {self.user}: run role pool on this host first") from error
        groups = [entry.gr_gid for entry in grp.getgrall() if self.user in entry.gr_mem]
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def _check_version(self) -> None:
        # The virtual environment says which release it holds; asking the command would cost another start.
        for found in Path(self.command).resolve().parent.parent.glob("lib/python*/site-packages/bbblb-*.dist-info"):
            version = found.name[len("bbblb-") : -len(".dist-info")]
            if version != VERSION:
                raise CoopError(f"BBBLB {version} is installed and {VERSION} is what this collection drives: run role pool again")


def _same(before: dict[str, t.Any] | None, after: dict[str, t.Any] | None) -> bool:
    """Whether two entries mean the same; an export always names both kinds of overrides."""

    def full(entry: dict[str, t.Any]) -> dict[str, t.Any]:
        found = dict(entry)
        if "overrides" in entry or "realm" in entry:
            found["overrides"] = {kind: dict(entry.get("overrides", {}).get(kind, {})) for kind in ("create", "join")}
        return found

    if before is None or after is None:
        return before is after
    return full(before) == full(after)


def _reason(errors: str) -> str:
    """The last line of a traceback, without what SQLAlchemy adds about parameters, which may hold secrets."""
    lines = [line.strip() for line in errors.splitlines()]
    return one_line("\n".join(line for line in lines if not line.startswith(("[SQL:", "[parameters:", "DETAIL:", "(Background"))))
