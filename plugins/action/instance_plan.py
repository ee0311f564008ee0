# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""instance_plan: what all services are to be is told here, from their roles and variables; what there is, by the module on the host."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader
from ansible.template import Templar

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._plan.expressions import OMIT, Expressions, Variables
from ansible_collections.meet.coop.plugins.plugin_utils._plan.steps import Chain, read
from ansible_collections.meet.coop.plugins.plugin_utils._plan.wanted import Wanted, wanted

try:
    from ansible.template import is_trusted_as_template as is_template
except ImportError:
    # ansible-core 2.18: text is a template unless it is marked as unsafe.
    from ansible.utils.unsafe_proxy import AnsibleUnsafe

    def is_template(value: str) -> bool:
        """Whether the text may be run as a template."""
        return not isinstance(value, AnsibleUnsafe)


ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")
TIERS = ("consumer", "dedicated_container", "dedicated_server", "accounts")
LOOKUPS = 16
"""Names that are looked up in DNS at the same time."""


class ActionModule(ActionBase):
    """See the documentation of the module of the same name."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        # Secrets of members are among the options of their tasks: the module neither logs nor shows what it is given.
        self._task.no_log = True
        specification = {"services": {"type": "list", "elements": "str", "required": True}, "docker_host": {"type": "str"}}
        checked = ArgumentSpecValidator(specification).validate(dict(self._task.args))
        if checked.error_messages:
            return {**result, "failed": True, "msg": "; ".join(checked.error_messages)}
        self.docker_host = checked.validated_parameters.get("docker_host")
        services = [str(name) for name in checked.validated_parameters["services"]]
        try:
            return {**result, "changed": False, **self._plan(services, variables)}
        except CoopError as error:
            # Whatever cannot be planned is left to the full run, which says of each service what is wrong.
            drift = [{"kind": "unplanned", "reason": str(error)}]
            planned = [{"name": name, "in_sync": False, "broken": None, "drift": drift, "notes": []} for name in services]
            return {**result, "changed": False, "planned": planned, "tenants": []}

    def _plan(self, services: Sequence[str], variables: Mapping[str, Any]) -> dict[str, Any]:
        around = Around()
        desk = Desk(self._loader, variables)
        plans = [desk.plan(name, around) for name in services]
        first = [one for one in plans if one.name in around.unanswered]
        if first:
            # Their own names can only be judged by who knows what the edge serves already.
            asked = [
                {"name": one.name, "steps": [{"module": "caddy_info", "arguments": around.unanswered[one.name], "register": "edge"}]}
                for one in first
            ]
            around.answers = {found["name"]: found["registers"].get("edge") for found in self._look(asked, variables)}
            with ThreadPoolExecutor(LOOKUPS) as pool:
                again = dict(zip((one.name for one in first), pool.map(lambda one: desk.plan(one.name, around), first), strict=True))
            plans = [again.get(one.name, one) for one in plans]
        sound = [one for one in plans if one.broken is None]
        instances = [{"name": one.name, "steps": one.steps, "tenants": one.tenants} for one in sound]
        seen = {found["name"]: found for found in self._look(instances, variables)} if instances else {}
        return {
            "planned": [_told(one, seen.get(one.name, {})) for one in plans],
            "tenants": _tenants([seen[one.name] for one in sound]),
        }

    def _look(self, instances: list[dict[str, Any]], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        arguments: dict[str, Any] = {"instances": instances}
        if self.docker_host:
            arguments["docker_host"] = self.docker_host
        answer = self._execute_module(module_name="meet.coop.instance_plan", module_args=arguments, task_vars=dict(variables))
        if answer.get("failed"):
            raise CoopError(str(answer.get("msg") or "the host could not be looked at"))
        found: list[dict[str, Any]] = answer["found"]
        return found


class Desk:
    """Where the desired state of each service is told: roles, expressions and the hosts' variables."""

    def __init__(self, loader: Any, variables: Mapping[str, Any]) -> None:
        self.loader = loader
        self.hostvars = variables["hostvars"]
        manager = getattr(self.hostvars, "_variable_manager", None)
        self.extra: Mapping[str, Any] = getattr(manager, "extra_vars", None) or {}
        self.expressions = Expressions(is_template, _finder(filter_loader), _finder(test_loader))
        self.chains: dict[str, Chain] = {}
        self.contexts: dict[str, Variables] = {}

    def plan(self, name: str, around: Around) -> Wanted:
        """What one service is to be."""
        raw = self.hostvars.raw_get(name) if name in self.hostvars else {}
        if "coop_service" not in raw:
            return Wanted(name, broken=f"{name} is no service of the membership file")
        tier = str(raw["coop_service"]["tier"])
        if tier not in self.chains:
            if tier not in TIERS:
                return Wanted(name, broken=f"{name}: there is no role for tier {tier}")
            self.chains[tier] = read(ROLES, tier, self._load)
        chain = self.chains[tier]
        return wanted(name, chain, self._variables(name, chain, raw), around.of(name))

    def _load(self, path: str) -> Any:
        try:
            return self.loader.load_from_file(path, cache="all", trusted_as_template=True)
        except TypeError:  # ansible-core 2.18
            return self.loader.load_from_file(path)

    def _variables(self, name: str, chain: Chain, raw: Mapping[str, Any]) -> Variables:
        functions = {"lookup": self._lookup(chain, False), "query": self._lookup(chain, True), "omit": lambda _known: OMIT}
        functions |= {"q": functions["query"], "hostvars": lambda _known: _Hosts(self)}
        # As Ansible ranks them: extra variables, what tasks registered, the roles' own, the host's, the roles' defaults.
        near = {"ansible_check_mode": True, "ansible_diff_mode": False, "inventory_hostname": name}
        return Variables(self.expressions, [near, self.extra, chain.variables, raw, chain.defaults], functions)

    def other(self, name: str) -> Variables:
        """The variables of any host, without those of a role."""
        if name not in self.contexts:
            raw = self.hostvars.raw_get(name)
            if not isinstance(raw, Mapping):
                raise KeyError(name)
            self.contexts[name] = self._variables(name, Chain((), {}, {}, ()), raw)
        return self.contexts[name]

    def _lookup(self, chain: Chain, listed: bool) -> Callable[[Variables], Callable[..., Any]]:
        def make(known: Variables) -> Callable[..., Any]:
            def call(plugin: str, *terms: Any, **options: Any) -> Any:
                if options.pop("wantlist", listed):
                    return self._find(chain, known, plugin, list(terms), options)
                found = self._find(chain, known, plugin, list(terms), options)
                return found[0] if len(found) == 1 and not isinstance(found[0], str) else ",".join(str(one) for one in found)

            return call

        return make

    def _find(self, chain: Chain, known: Variables, plugin: str, terms: list[Any], options: dict[str, Any]) -> list[Any]:
        short = plugin.removeprefix("ansible.builtin.")
        if short == "vars" and set(options) <= {"default"}:
            return [known.get(term, options["default"]) if options else known[term] for term in terms]
        if short == "varnames":
            names = list(known)
            return [name for term in terms for name in names if re.search(term, name)]
        if short == "template" and not options:
            return [self._template(chain, known, term) for term in terms]
        templar = Templar(loader=self.loader, variables=known.raw())
        lookup = lookup_loader.get(plugin, loader=self.loader, templar=templar)
        if lookup is None:
            raise CoopError(f"there is no lookup {plugin}")
        return list(lookup.run(terms, variables=known.raw(), **options))

    def _template(self, chain: Chain, known: Variables, name: str) -> str:
        for folder in chain.folders:
            path = os.path.join(folder, "templates", name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    # keeps the newline at the end, as Ansible's lookup does
                    return str(self.expressions.render(file.read() + "\n", known))
        raise CoopError(f"template {name} is in none of the roles")


class _Hosts(Mapping[str, Variables]):
    """Ansible's hostvars."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __getitem__(self, name: str) -> Variables:
        if name not in self.desk.hostvars:
            raise KeyError(name)
        return self.desk.other(name)

    def __iter__(self) -> Any:
        return iter(self.desk.hostvars)

    def __len__(self) -> int:
        return len(self.desk.hostvars)


class Around:
    """What is asked outside of the container hosts: names and zones, and what the edge serves once that is known."""

    def __init__(self) -> None:
        self.unanswered: dict[str, Mapping[str, Any]] = {}
        self.answers: dict[str, Any] | None = None
        self.zones: dict[str, Any] = {}
        self.trouble: dict[str, str] = {}

    def of(self, name: str) -> AroundOne:
        return AroundOne(self, name)


class NotYet(CoopError):
    """What the edge serves has to be asked first."""


class AroundOne:
    """The same for one service."""

    def __init__(self, around: Around, name: str) -> None:
        self.around, self.name = around, name

    def edge(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.around.answers is None:
            self.around.unanswered[self.name] = arguments
            raise NotYet("what the edge serves is asked first")
        found = self.around.answers.get(self.name)
        if not isinstance(found, Mapping):
            raise CoopError("what the edge serves cannot be told")
        return found

    def domains(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        from ansible_collections.meet.coop.plugins.module_utils._dns.check import ARGUMENT_SPEC, DomainCheck

        return DomainCheck(_validated(ARGUMENT_SPEC, arguments)).run()

    def zone(self, module: str, arguments: Mapping[str, Any]) -> Sequence[str]:
        from ansible_collections.meet.coop.plugins.module_utils._dns.plan import index

        task: Any
        if module == "dns_zone":
            from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ARGUMENT_SPEC, ZoneTask

            task = ZoneTask(_validated(ARGUMENT_SPEC, arguments))
        else:
            from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import ARGUMENT_SPEC as OCTODNS_SPEC
            from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import OctodnsTask

            task = OctodnsTask(_validated(OCTODNS_SPEC, arguments))
        key = repr([module, *(arguments.get(name) for name in ("zone", "server", "port", "tsig", "provider", "secrets"))])
        if key in self.around.trouble:
            raise CoopError(self.around.trouble[key])
        if key not in self.around.zones:
            try:
                snapshot = task.observe()
            except CoopError as error:
                # A server that is down is waited for once, not once for each service.
                self.around.trouble[key] = str(error)
                raise
            # A server that refuses the transfer answers for the names of one service only.
            known = index(snapshot)
            if getattr(task, "refused", None) is None:
                self.around.zones[key] = (snapshot, known)
        else:
            snapshot, known = self.around.zones[key]
        plan = task.wanted.diff(snapshot, known)
        return [f"{change.action} {change.rrset.name} {change.rrset.type}" for change in plan.changes]


def _validated(specification: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    checked = ArgumentSpecValidator(specification).validate(dict(arguments))
    if checked.error_messages:
        raise CoopError("; ".join(checked.error_messages))
    found: dict[str, Any] = checked.validated_parameters
    return found


def _finder(loader: Any) -> Callable[[str], Callable[..., Any] | None]:
    def find(name: str) -> Callable[..., Any] | None:
        try:
            plugin = loader.get(name)
        except (AnsibleError, KeyError):
            return None
        found: Callable[..., Any] | None = getattr(plugin, "j2_function", None)
        return found

    return find


def _told(plan: Wanted, seen: Mapping[str, Any]) -> dict[str, Any]:
    drift = [*plan.drift, *seen.get("drift", [])]
    return {
        "name": plan.name,
        "in_sync": not drift and plan.broken is None,
        "broken": plan.broken,
        "drift": drift,
        "notes": seen.get("notes", []),
    }


def _tenants(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All tenants of one pool in one call of pool_tenant."""
    calls: dict[str, dict[str, Any]] = {}
    for one in found:
        for entry in one["tenants"]:
            options = {name: value for name, value in entry.items() if name not in ("host", "tenants")}
            call = calls.setdefault(
                repr([entry["host"], options]), {"host": entry["host"], "options": options, "tenants": [], "services": []}
            )
            call["tenants"] += entry["tenants"]
            call["services"] += [one["name"]] * len(entry["tenants"])
    return list(calls.values())
