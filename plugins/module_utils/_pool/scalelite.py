# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Scalelite as the engine of a pool, driven inside its own container on the pool host.

One call observes everything, one call changes everything (``scalelite_program``): starting Rails costs more than a second, each row next to
nothing. Scalelite forces a setting or gives a default; it cannot clamp. So a cap is a forced setting here, which binds whoever holds the
secret, and role pool gives the running Scalelite a correction that lets smaller wishes pass (roles/pool/files/coop_scalelite.rb).
"""

from __future__ import annotations

import re
import secrets
import subprocess
import typing as t
import uuid
from urllib.parse import urlsplit

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
from ansible_collections.meet.coop.plugins.module_utils._pool.scalelite_program import answer, script

TIMEOUT = 300.0
SEPARATOR = ":"
"""Between the secrets of one tenant (app/models/tenant.rb, SECRETS_SEPARATOR)."""
LOCKED = re.compile(r"disabled-[0-9a-f]{64}\Z")
"""The secret of a disabled tenant: Scalelite cannot disable one, so its secret is replaced by one that nobody has."""
TAG = "meta_server-tag"
API = "/bigbluebutton/api"


def settings(tenant: Tenant) -> dict[str, str]:
    """A tenant's caps in Scalelite's language, ``=`` before what is forced (app/controllers/concerns/api_helper.rb)."""
    found = {}
    if tenant.duration_max:
        found["duration"] = f"={tenant.duration_max}"
    if tenant.participants_max:
        found["maxParticipants"] = f"={tenant.participants_max}"
    found.update({name: f"={getattr(tenant, option)}" for option, name in AT_ONCE.items() if getattr(tenant, option)})
    if not tenant.record:
        found.update(NO_RECORDING)
    if tenant.disabled_features:
        found["disabledFeatures"] = "=" + ",".join(sorted(tenant.disabled_features))
    if tenant.tag:
        found[TAG] = f"={tenant.tag}!"
    return dict(sorted(found.items()))


class Scalelite:
    """One Scalelite in its container, and the lock that makes one change at a time."""

    title = "Scalelite"

    def __init__(
        self,
        container: str,
        *,
        docker: t.Sequence[str] = ("docker",),
        lock: str = LOCK,
        check_mode: bool = False,
    ) -> None:
        self.container = container
        self.docker = list(docker)
        self.lock = lock
        self.check_mode = check_mode
        self._found: dict[str, t.Any] | None = None
        self._running: str | None = None

    @property
    def missing(self) -> bool:
        """Whether there is no such container (in check mode that means an empty pool; otherwise it is an error)."""
        if self._running is None:
            try:
                done = self._execute(["container", "inspect", "--format", "{{.State.Running}}", self.container], "")
                self._running = done.stdout.strip() if done.returncode == 0 else ""
            except FileNotFoundError:
                self._running = ""
        return not self._running

    @property
    def clamps(self) -> bool | None:
        """Whether the Scalelite observed last lets wishes smaller than a cap pass; None where nothing was observed."""
        return None if self._found is None else bool(self._found["clamps"])

    def exclusive(self) -> t.ContextManager[None]:
        """Hold the host-wide lock: observing, planning and applying belong together."""
        return host_lock(self.lock, self.check_mode)

    # -- observe -------------------------------------------------------------------------------------------------------------------

    def observe(self, kind: str) -> State:
        """All ``tenants`` or all ``servers`` there are."""
        if self.missing:
            if self.check_mode:
                return {}
            raise CoopError(f"there is no Scalelite in a container {self.container}: run role pool on this host first")
        self._call([])
        return self._state(kind)

    def health(self) -> dict[str, str]:
        """Each node's health. An enabled one that is online and has no load yet waits for the next poll."""
        return {
            domain: ("available" if rows[0]["load"] is not None or rows[0]["state"] != "enabled" else "unstable")
            if rows[0]["online"] else "offline"
            for domain, rows in self._servers().items()
        }  # fmt: skip

    def holding(self, domains: t.Sequence[str]) -> dict[str, list[str]]:
        """Which of these nodes have meetings; deleting one of them would leave its meetings without a way in."""
        if self._found is None:
            return {}
        busy = {domain for domain, rows in self._servers().items() if any(self._found["meetings"].get(row["id"]) for row in rows)}
        return {domain: ["meetings"] for domain in domains if domain in busy}

    # -- what is meant -------------------------------------------------------------------------------------------------------------

    def tenant_entry(self, tenant: Tenant, existing: Entry | None) -> Entry | None:
        """The entry of a tenant; None when it shall not be there."""
        if tenant.state == "absent":
            return None
        for secret in (tenant.secret, tenant.previous_secret):
            if SEPARATOR in secret:
                raise CoopError(f"tenant {tenant.name}: Scalelite takes a colon in a secret for the end of it; use another secret")
        if tenant.enabled:
            secret = SEPARATOR.join(filter(None, (tenant.secret, tenant.previous_secret)))
        else:
            kept = existing["secret"] if existing else ""
            secret = kept if LOCKED.match(kept) else f"disabled-{secrets.token_hex(32)}"
        return {"enabled": tenant.enabled, "secret": secret, "settings": settings(tenant)}

    def node_entry(self, node: Node, existing: Entry | None) -> Entry | None:
        """The entry of a node; None when it shall not be there."""
        if node.state == "absent":
            return None
        if existing and "twins" in existing:
            raise CoopError(
                f"node {node.domain} is in Scalelite {existing['twins']} times; remove all but one by rake servers:remove, or the node "
                "by state=absent"
            )
        return {"enabled": node.enabled, "secret": node.secret, "tag": node.tag}

    def tenant_of(self, name: str, entry: Entry) -> Tenant:
        """The tenant that an entry stands for; of settings made by hand only those that the model knows."""
        rows = entry["settings"]

        def forced(parameter: str) -> str:
            return rows[parameter][1:] if rows.get(parameter, "").startswith("=") else ""

        def cap(parameter: str) -> int:
            return int(forced(parameter)) if re.fullmatch(r"[0-9]{1,6}", forced(parameter)) else 0

        secret, _separator, previous = entry["secret"].partition(SEPARATOR)
        return Tenant(
            name=name, secret=secret, enabled=entry["enabled"], duration_max=cap("duration"), participants_max=cap("maxParticipants"),
            record=forced("record") != "false", disabled_features=tuple(one for one in forced("disabledFeatures").split(",") if one),
            previous_secret=previous.partition(SEPARATOR)[0], tag=forced(TAG).rstrip("!"),
            **{option: cap(name) for option, name in AT_ONCE.items()},
        )  # fmt: skip

    def node_of(self, domain: str, entry: Entry) -> Node:
        """The node that an entry stands for."""
        return Node(domain, entry["secret"], entry["enabled"], tag=entry["tag"])

    def same(self, before: Entry | None, after: Entry | None) -> bool:
        """Whether two entries mean the same."""
        return before == after

    def check_tenants(self, target: State) -> None:
        """Scalelite would take one secret for two tenants, who could then act as each other."""
        check_unique(target, "secret")

    def leftovers(self) -> list[Change]:
        """Settings of tenants that are gone: Scalelite keeps them, and a killed run leaves them. They bind nobody."""
        return [Change(f"settings of {owner}", "removed", {"settings": count}, None) for owner, count in sorted(self._orphans().items())]

    def warnings(self, wanted: t.Sequence[Tenant]) -> list[str]:
        """What the operator has to know: a Scalelite that is not set up as role pool does it, and tenants that may be mistaken."""
        if self._found is None:
            return []
        found = []
        if not self._found["clamps"]:
            found.append("this Scalelite runs without the correction of role pool: a meeting that asks for less than its cap gets the cap")
        open_ways = sorted(set(BLOCKED_CREATE) - set(self._found["excluded"]))
        if open_ways:
            found.append(f"this Scalelite lets {', '.join(open_ways)} pass in create calls: set CREATE_EXCLUDE_PARAMS, as role pool does")
        unlimited = [name for name in EXPIRY if name not in self._found["forced"]]
        if unlimited:
            found.append(f"this Scalelite lets meetings set {', '.join(unlimited)}: set OVERRIDE_CREATE_PARAMS, as role pool does")
        names = {tenant.name for tenant in wanted}
        for name, rows in sorted(self._tenants().items()):
            if name not in names and name.lower() in names:
                found.append(f"tenant {name} is another one than {name.lower()} for Scalelite, and no address leads to it: remove it")
            elif name not in names and len(rows) > 1:
                found.append(f"tenant {name} is in Scalelite {len(rows)} times: remove all but one by rake tenants:remove")
        return found

    # -- apply ---------------------------------------------------------------------------------------------------------------------

    def apply(self, kind: str, target: State) -> State:
        """Make the state of one kind what is given, in one call, and return what is there afterwards; CoopError when it is not that."""
        operations = self._tenant_operations(target) if kind == "tenants" else self._server_operations(target)
        self._call(operations)
        after = self._state(kind)
        for name in {**target, **after}:
            if after.get(name) != target.get(name):
                busy = kind == "servers" and name not in target
                why = "a meeting began there in the meantime, run again later" if busy else "somebody else may be changing it, run again"
                raise CoopError(f"Scalelite did not bring {kind[:-1]} {name} into the asked state; {why}")
        return after

    def enable_now(self, domains: t.Sequence[str]) -> None:
        """Take nodes that have just answered into service without waiting for the next poll."""
        there = self._servers()
        self._call([{"do": "server_now", "id": there[domain][0]["id"]} for domain in domains])

    def _tenant_operations(self, target: State) -> list[dict[str, t.Any]]:
        there, current = self._tenants(), self._state("tenants")
        operations: list[dict[str, t.Any]] = []
        for name, entry in target.items():
            if entry != current.get(name):
                operations += self._keep_tenant(name, entry, there.get(name, []))
        for name in current:
            if name not in target:
                operations += [{"do": "tenant_remove", "id": row["id"]} for row in there[name]]
        return [*operations, *({"do": "settings_remove", "tenant_id": owner} for owner in sorted(self._orphans()))]

    def _keep_tenant(self, name: str, entry: Entry, rows: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """One tenant of this name, which answers, with these settings."""
        wanted = {param: _row(param, text) for param, text in entry["settings"].items()}
        if not rows:
            return [{"do": "tenant_add", "id": str(uuid.uuid4()), "name": name, "secrets": entry["secret"], "settings": [*wanted.values()]}]
        kept = next((row for row in rows if row["answers"]), rows[0])
        operations: list[dict[str, t.Any]] = []
        # A row is changed in place, so that no cap is ever missing.
        for row in self._settings(kept["id"]):
            want = wanted.pop(row["param"], None)
            if want is None:
                operations.append({"do": "setting_remove", "id": row["id"], "tenant_id": kept["id"]})
            elif _text(row) != entry["settings"][row["param"]]:
                operations.append({"do": "setting_set", "id": row["id"], "value": want["value"], "override": want["override"]})
        operations += [{"do": "setting_add", "tenant_id": kept["id"], **want} for want in wanted.values()]
        if kept["secrets"] != entry["secret"]:
            operations.append({"do": "tenant_set", "id": kept["id"], "secrets": entry["secret"]})
        operations += [{"do": "tenant_remove", "id": row["id"]} for row in rows if row is not kept]
        if len(rows) > 1 or not kept["answers"]:
            operations.append({"do": "tenant_lead", "id": kept["id"], "name": name})
        return operations

    def _server_operations(self, target: State) -> list[dict[str, t.Any]]:
        there, current = self._servers(), self._state("servers")
        operations: list[dict[str, t.Any]] = []
        for domain, entry in target.items():
            if entry == current.get(domain):
                continue
            given = {"secret": entry["secret"], "tag": entry["tag"] or None}
            if domain not in there:
                state = "enabled" if entry["enabled"] else "disabled"
                operations.append({"do": "server_add", "id": domain, "url": f"https://{domain}{API}", "state": state, **given})
            operations += [{"do": "server_set", "id": row["id"], "enabled": entry["enabled"], **given} for row in there.get(domain, [])]
        for domain in current:
            if domain not in target:
                operations += [{"do": "server_remove", "id": row["id"]} for row in there[domain]]
        return operations

    # -- what was observed last ----------------------------------------------------------------------------------------------------

    def _state(self, kind: str) -> State:
        if kind == "servers":
            return {
                domain: {
                    "enabled": rows[0]["state"] == "enabled", "secret": rows[0]["secret"], "tag": rows[0]["tag"],
                    **({"twins": len(rows)} if len(rows) > 1 else {}),
                } for domain, rows in sorted(self._servers().items())
            }  # fmt: skip
        found: State = {}
        for name, rows in sorted(self._tenants().items()):
            kept = next((row for row in rows if row["answers"]), rows[0])
            listed: dict[str, str] = {}
            for row in self._settings(kept["id"]):
                listed[row["param"]] = f"{listed[row['param']]} {_text(row)}" if row["param"] in listed else _text(row)
            secret = kept["secrets"]
            entry: Entry = {"enabled": not LOCKED.match(secret), "secret": secret, "settings": dict(sorted(listed.items()))}
            if len(rows) > 1:
                entry["twins"] = len(rows)
            if not kept["answers"]:
                entry["answers"] = False
            found[name] = entry
        return found

    def _tenants(self) -> dict[str, list[dict[str, t.Any]]]:
        """All tenants by name; Scalelite lets there be several of one name."""
        return _grouped((row["name"], row) for row in (self._found or {}).get("tenants", []))

    def _settings(self, tenant: str) -> list[dict[str, t.Any]]:
        if self._by_owner is None:
            self._by_owner = _grouped((row["tenant_id"], row) for row in (self._found or {}).get("settings", []))
        return sorted(self._by_owner.get(tenant, []), key=lambda row: (row["param"], row["id"]))

    def _orphans(self) -> dict[str, int]:
        """How many settings there are of each tenant that is not."""
        ids = {row["id"] for row in (self._found or {}).get("tenants", [])}
        owners = [row["tenant_id"] for row in (self._found or {}).get("settings", []) if row["tenant_id"] not in ids]
        return {owner: owners.count(owner) for owner in set(owners)}

    def _servers(self) -> dict[str, list[dict[str, t.Any]]]:
        """All servers by domain; one whose URL is none of ours by its URL."""
        return _grouped((_domain(row["url"]), row) for row in (self._found or {}).get("servers", []))

    _by_owner: dict[str, list[dict[str, t.Any]]] | None = None

    def _call(self, operations: list[dict[str, t.Any]]) -> None:
        if self._running == "false":
            raise CoopError(f"container {self.container} does not run: see journalctl -u scalelite-api")
        # Log lines would be on stdout otherwise (the image's default).
        command = ["exec", "--interactive", "--env", "RAILS_LOG_TO_STDOUT=", self.container, "./bin/rails", "runner", "-"]
        try:
            done = self._execute(command, script(operations))
        except subprocess.TimeoutExpired as error:
            raise CoopError(f"Scalelite did not answer within {TIMEOUT:.0f} s; is its Redis overloaded?") from error
        if done.returncode:
            raise CoopError(f"Scalelite ended with {done.returncode}: {one_line(done.stderr)}")
        try:
            found = answer(done.stdout)
        except ValueError as error:
            raise CoopError(f"Scalelite did not say what it has; look at docker exec {self.container} ./bin/rake tenants") from error
        if not found["multitenancy"]:
            raise CoopError("this Scalelite knows no tenants: start it with MULTITENANCY_ENABLED=true, as role pool does")
        self._found, self._by_owner = found, None

    def _execute(self, arguments: list[str], given: str) -> subprocess.CompletedProcess[str]:
        # Domain code knows no AnsibleModule; the arguments are a list, and secrets go over stdin.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            [*self.docker, *arguments], input=given, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip


def _row(param: str, text: str) -> dict[str, t.Any]:
    """A setting as Scalelite keeps it; only the text ``true`` forces."""
    return {"param": param, "value": text[1:], "override": "true" if text.startswith("=") else "false"}


def _text(row: t.Mapping[str, t.Any]) -> str:
    return f"{'=' if row['override'] else '?'}{row['value']}"


def _grouped(pairs: t.Iterable[tuple[str, dict[str, t.Any]]]) -> dict[str, list[dict[str, t.Any]]]:
    found: dict[str, list[dict[str, t.Any]]] = {}
    for key, row in pairs:
        found.setdefault(key, []).append(row)
    return found


def _domain(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.lower() if parts.scheme == "https" and parts.path.rstrip("/") == API and not parts.query else url
