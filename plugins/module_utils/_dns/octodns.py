# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: octodns_zone from its options to its result. We plan, by the same rules and marks as dns_zone; octoDNS carries out.

octoDNS makes a zone equal to its sources and takes over what it finds there. So it is given only the names that our plan
is about, each with all that stands there, its own plan is held against ours, and it applies that plan alone (by its checksum).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR, dns
from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Change, Plan, PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RRset, Snapshot, absolute_name, relative_text
from ansible_collections.meet.coop.plugins.module_utils._dns.wanted import WANTED_SPEC, Progress, Wanted
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

try:
    from octodns.manager import Manager
    from octodns.record import Record
    from octodns.record.rr import Rrset
    from octodns.yaml import safe_dump
    from octodns.zone import Zone
except ImportError:
    OCTODNS_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    OCTODNS_IMPORT_ERROR = None

IMPORT_ERROR = DNSPYTHON_IMPORT_ERROR or OCTODNS_IMPORT_ERROR
TRIES = 3
"""How often a plan is made before we give up because others keep changing the zone."""
SETTLE = 10.0
"""Seconds that a provider may take to show what it accepted."""
SOURCE, TARGET, FILTER = "records", "provider", "names"
_SECRET_OPTION = re.compile(r"secret|token|passw|passphrase|credential|private|api_?key|auth_?key", re.IGNORECASE)
_REFERENCE = re.compile(r"env/([A-Za-z_][A-Za-z0-9_]*)")

ARGUMENT_SPEC: dict[str, Any] = {
    **WANTED_SPEC,
    "provider": {
        "type": "dict",
        "required": True,
        "options": {"class": {"type": "str", "required": True}, "options": {"type": "dict", "default": {}}},
    },
    "secrets": {"type": "dict", "no_log": True},
    "checksum": {"type": "str"},
    "directory": {"type": "path"},
}


class ProviderError(CoopError):
    """octoDNS or its provider fails or refuses."""


class _Collector:
    """A plan output of octoDNS that keeps the plans."""

    def __init__(self) -> None:
        self.plans: list[Any] = []

    def run(self, plans: list[Any], log: Any, fh: Any) -> None:
        self.plans = [plan for _target, plan in plans]


class OctodnsTask:
    """One run of octodns_zone: the verbs observe, diff and apply over one zone and one scope."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wanted = Wanted(params)
        self.provider_class = params["provider"]["class"]
        # Ansible's own kinds of int and str have no YAML form.
        self.options: dict[str, Any] = json.loads(json.dumps(params["provider"].get("options") or {}))
        self.secrets = {name: str(value) for name, value in (params.get("secrets") or {}).items()}
        self.reviewed = params.get("checksum")
        self.directory = params.get("directory")
        self.absolute = self.wanted.origin.to_text()
        self.progress = Progress()
        self.records: dict[tuple[str, str], Any] = {}
        self._check_options()
        self._check_texts()

    def _check_options(self) -> None:
        for name, value in self.options.items():
            reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
            if reference and reference[1] not in self.secrets and reference[1] not in os.environ:
                raise CoopError(
                    f"provider.options.{name} refers to {value}, which is neither in secrets nor in the controller's environment"
                )
            if not reference and _SECRET_OPTION.search(name) and isinstance(value, str):
                raise CoopError(f"provider.options.{name} would stand in a file: write env/NAME, and its value under secrets as NAME")

    def _check_texts(self) -> None:
        """octoDNS spoils some texts, and hangs on others (1.22: a backslash where it cuts)."""
        problems = []
        for rrset in self.wanted.desired:
            if rrset.type != "TXT":
                continue
            for rdata in rrset.rdatas:
                octets = b"".join(rdata.strings)
                if not octets or b"\\" in octets or not all(0x20 <= octet < 0x7F for octet in octets) or octets != octets.strip():
                    problems.append(f"{rrset.name} TXT: octoDNS carries printable ASCII without backslashes only; write another text")
        if problems:
            raise PlanRefused(problems)

    def observe(self) -> Snapshot:
        """The zone as the provider shows it. Raises ProviderError."""
        with self._manager({}) as manager, self._explained():
            provider = manager.providers[TARGET]
            zone = manager.get_zone(self.absolute)
            provider.populate(zone, target=True, lenient=True)
            found = {}
            self.records = {}
            for record in zone.records:
                rrset = self._rrset(record)
                found[rrset.key] = rrset
                self.records[rrset.key] = record
        self.progress.snapshot = found
        return found

    def diff(self) -> Plan:
        """Read the zone and plan."""
        try:
            return self.wanted.diff(self.observe())
        except PlanRefused as refused:
            raise PlanRefused([*refused.problems, self.progress.account()]) if self.progress else refused from None

    def run(self, check_mode: bool = False) -> dict[str, Any]:
        """Bring the zone to its desired records; the result for Ansible. Raises CoopError."""
        first: tuple[list[Any], str | None] | None = None
        for _attempt in range(TRIES):
            plan = self.diff()
            sources = self._sources(plan)
            with self._manager(sources) as manager:
                data, changes, checksum = self._octodns_plan(manager, plan)
                first = first or (data, checksum)
                self._check_reviewed(checksum, changes)
                if check_mode or not changes:
                    break
                self.progress.note(Plan(changes))
                applied = self._apply(manager, checksum)
            if applied:
                self._settle()
                changes = self.progress.made()
                break
        else:
            raise CoopError(f"zone {self.wanted.zone}: changed {TRIES} times while being updated; {self.progress.account()}; run again")
        result = self.wanted.result(changes)
        data, result["checksum"] = first
        result["plan"] = data
        files = self._export(plan, check_mode)
        result["files"] = files
        result["changed"] = result["changed"] or bool(files)
        return result

    def _check_reviewed(self, checksum: str | None, changes: list[Change]) -> None:
        if self.reviewed and changes and checksum != self.reviewed:
            raise CoopError(
                f"zone {self.wanted.zone}: the plan has the checksum {checksum}, not {self.reviewed} which was reviewed; "
                "review it in check mode, then give its checksum"
            )

    def _octodns_plan(self, manager: Any, plan: Plan) -> tuple[list[Any], list[Change], str | None]:
        """octoDNS's own plan, which must hold nothing that is not in ours; less it may (a provider that raises TTLs to its minimum)."""
        collector = _Collector()
        manager.plan_outputs = {"collector": collector}
        with self._explained():
            # Its brake counts records of the names we give it; ours has counted the names of the deployment.
            manager.sync(eligible_zones=[self.absolute], dry_run=True, force=True, plan_output_fh=io.StringIO())
            data = [octodns_plan.data for octodns_plan in collector.plans]
            theirs = {self._key(change.record): change for octodns_plan in collector.plans for change in octodns_plan.changes}
        ours = {change.rrset.key: change for change in plan.changes}
        alien = sorted(key for key in theirs if key not in ours)
        if alien:
            listed = ", ".join(f"{name} {rtype}" for name, rtype in alien[:5])
            raise ProviderError(f"octoDNS ({self.provider_class}) would also change {listed} in {self.wanted.zone}, so it was not applied")
        checksum = hashlib.sha256(json.dumps(data).encode()).hexdigest() if data else None
        return json.loads(json.dumps(data)), [ours[key] for key in sorted(theirs)], checksum

    def _apply(self, manager: Any, checksum: str | None) -> bool:
        """Have octoDNS apply what it planned; false when it now plans something else."""
        manager.plan_outputs = {}
        try:
            with self._explained():
                manager.sync(eligible_zones=[self.absolute], dry_run=False, force=True, plan_output_fh=io.StringIO(), checksum=checksum)
        except ProviderError as error:
            if "does not match computed" in str(error):
                return False
            try:
                self.observe()
            except ProviderError:
                raise ProviderError(f"{error}; whether that was applied is not known yet: run again") from error
            raise ProviderError(f"{error}; {self.progress.account()}") from error
        return True

    def _settle(self) -> None:
        """Wait until the provider shows what it accepted."""
        deadline, pause = time.monotonic() + SETTLE, 0.1
        while True:
            plan = self.diff()
            with self._manager(self._sources(plan)) as manager:
                rest = self._octodns_plan(manager, plan)[1]
            if not rest:
                return
            if time.monotonic() > deadline:
                names = ", ".join(Plan(rest).labels[:5])
                raise ProviderError(
                    f"octoDNS ({self.provider_class}) applied it, but {self.wanted.zone} does not show it {SETTLE:g} s later ({names}); "
                    f"{self.progress.account()}; run again"
                )
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _sources(self, plan: Plan, *, removed: bool = True) -> dict[str, list[dict[str, Any]]]:
        """The names that the plan is about with all that will stand there, as octoDNS writes records."""
        changed = {change.rrset.key: change.after for change in plan.changes}
        names: dict[str, list[dict[str, Any]]] = {name: [] for name, _type in plan.seen}
        for key, record in self.records.items():
            if key[0] in names and key not in changed:
                names[key[0]].append({"type": record._type, **record.data})
        with self._explained():
            zone = Zone(self.absolute, [])
            for key, rrset in changed.items():
                if rrset is not None:
                    record = self._record(zone, rrset)
                    names[key[0]].append({"type": record._type, **record.data})
        return {name: sorted(held, key=lambda entry: entry["type"]) for name, held in sorted(names.items()) if held or removed}

    @staticmethod
    def _record(zone: Any, rrset: RRset) -> Any:
        owner = absolute_name(rrset.name, dns.name.from_text(zone.name)).to_text()
        return Record.from_rrset(zone, Rrset(owner, rrset.type, rrset.ttl, rrset.values), lenient=False)

    def _key(self, record: Any) -> tuple[str, str]:
        return relative_text(dns.name.from_text(record.fqdn), self.wanted.origin), record._type

    def _rrset(self, record: Any) -> RRset:
        name, rtype = self._key(record)
        try:
            values = record.to_rrset().rdatas
            rdatas = [dns.rdata.from_text(dns.rdataclass.IN, rtype, value, dns.name.root, relativize=False) for value in values]
        except Exception:
            # Types of a provider's own, which only have to be seen, never written.
            rdatas = [dns.rdata.GenericRdata(dns.rdataclass.IN, 65280, str(record.data).encode())]
        return RRset(name, rtype, record.ttl, frozenset(rdatas))

    def _config(self, place: str, names: Iterable[str]) -> dict[str, Any]:
        return {
            "manager": {"enable_checksum": True},
            "providers": {
                SOURCE: {
                    "class": "octodns.provider.yaml.YamlProvider",
                    "directory": os.path.join(place, "zones"),
                    "enforce_order": False,
                    "populate_should_replace": False,
                },
                TARGET: {"class": self.provider_class, **self.options},
            },
            "processors": {
                FILTER: {
                    "class": "octodns.processor.filter.NameAllowlistFilter",
                    "allowlist": ["" if name == "@" else name for name in names],
                }
            },
            "zones": {self.absolute: {"sources": [SOURCE], "targets": [TARGET], "processors": [FILTER], "lenient": True}},
        }

    def _texts(self, place: str, sources: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
        """The files octoDNS reads, by path below C(place)."""
        zone = {"" if name == "@" else name: held for name, held in sources.items() if held}
        texts = {}
        for path, content in (("config.yaml", self._config(place, sources)), (f"zones/{self.wanted.zone}.yaml", zone)):
            stream = io.StringIO()
            safe_dump(content, stream)
            texts[path] = stream.getvalue()
        return texts

    @contextlib.contextmanager
    def _manager(self, sources: Mapping[str, list[dict[str, Any]]]) -> Iterator[Any]:
        """octoDNS over a working directory that lives as long; secrets are in the environment meanwhile, nowhere else."""
        kept = {name: os.environ.get(name) for name in self.secrets}
        handler = logging.NullHandler()
        logging.getLogger().addHandler(handler)
        os.environ.update(self.secrets)
        try:
            with tempfile.TemporaryDirectory(prefix="octodns-") as place:
                for path, text in self._texts(place, sources).items():
                    _write(os.path.join(place, path), text)
                with self._explained():
                    manager = Manager(os.path.join(place, "config.yaml"))
                yield manager
        finally:
            logging.getLogger().removeHandler(handler)
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Whatever octoDNS and its providers raise, as one line without secrets."""
        try:
            yield
        except CoopError:
            raise
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            values = {*self.secrets.values(), *(os.environ.get(name, "") for name in self._references())}
            for value in sorted(filter(None, values), key=len, reverse=True):
                text = text.replace(value, "********")
            raise ProviderError(f"octoDNS ({self.provider_class}), zone {self.wanted.zone}: {text}") from None

    def _references(self) -> list[str]:
        found = (_REFERENCE.fullmatch(value) for value in self.options.values() if isinstance(value, str))
        return [reference[1] for reference in found if reference]

    def _export(self, plan: Plan, check_mode: bool) -> list[str]:
        """Bring the files in C(directory) to what octodns-sync needs to keep the zone so; returns those that change."""
        if not self.directory:
            return []
        changed = []
        after = self._sources(plan, removed=False)
        for path, text in self._texts(self.directory, after).items():
            full = os.path.join(self.directory, path)
            try:
                with open(full, encoding="utf-8") as stream:
                    if stream.read() == text:
                        continue
            except FileNotFoundError:
                pass
            except (OSError, UnicodeDecodeError) as error:
                raise CoopError(f"{full} can't be read ({error}); remove it, or write another directory") from error
            changed.append(full)
            if not check_mode:
                try:
                    _write(full, text)
                except OSError as error:
                    raise CoopError(f"{full} can't be written ({error.strerror}); the zone is as planned") from error
        return changed


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, path)
