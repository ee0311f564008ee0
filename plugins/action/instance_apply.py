# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""instance_apply: what the services are to be is told here, as for the plan; names are published and people are mailed from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.action.instance_plan import Around, AroundOne, Desk, _tenants, _validated
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site
from ansible_collections.meet.coop.plugins.plugin_utils._plan.wanted import Wanted

TIERS = ("consumer", "dedicated_container")
"""Those whose roles do nothing but run an instance."""
MAILERS = 4
"""Instances whose people are mailed at the same time."""


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
        specification = {
            "services": {"type": "list", "elements": "str", "required": True},
            "part": {"type": "str", "choices": ["before", "after"], "required": True},
            "starts": {"type": "int"},
            "docker_host": {"type": "str"},
        }
        checked = ArgumentSpecValidator(specification).validate(dict(self._task.args))
        if checked.error_messages:
            return {**result, "failed": True, "msg": "; ".join(checked.error_messages)}
        try:
            return {**result, **self._work(checked.validated_parameters, variables)}
        except CoopError as error:
            return {**result, "failed": True, "msg": str(error)}

    def _work(self, params: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        names, before, check = [str(name) for name in params["services"]], params["part"] == "before", bool(self._task.check_mode)
        around = _Publishing()
        desk = Desk(self._loader, variables)
        told = {name: Told(name) for name in names}
        plans: list[Wanted] = []
        for name in names:
            plan = desk.plan(name, around)
            told[name].left = _left(plan, variables["hostvars"].raw_get(name) if name in variables["hostvars"] else {})
            if told[name].left is None:
                plans.append(plan)
        if before:
            for plan in plans:
                told[plan.name].do("DNS", lambda name=plan.name: around.publish(name, check))
        going = [plan for plan in plans if told[plan.name].failed is None]
        found = self._on_host(params, going, variables) if going else []
        for one in found:
            told[one["name"]].actions += one["actions"]
            told[one["name"]].failed = one["failed"]
        if not before and not check:
            with ThreadPoolExecutor(MAILERS) as pool:
                list(pool.map(lambda one: told[one["name"]].do("invitation", lambda: _mail(one["mails"])), found))
        return {
            "changed": any(one.actions for one in told.values()),
            "applied": [vars(one) for one in told.values()],
            "done": [one.name for one in told.values() if one.left is None and one.failed is None],
            "tenants": _tenants([one for one in found if not one["failed"]]),
        }

    def _on_host(self, params: Mapping[str, Any], plans: Sequence[Wanted], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        instances = [{"name": one.name, "steps": one.steps, "tenants": one.tenants, "checks": one.checks} for one in plans]
        arguments = {"instances": instances, **{name: params[name] for name in ("part", "starts", "docker_host") if params.get(name)}}
        answer = self._execute_module(module_name="meet.coop.instance_apply", module_args=arguments, task_vars=dict(variables))
        if answer.get("failed"):
            raise CoopError(str(answer.get("msg") or "the host could not be worked on"))
        found: list[dict[str, Any]] = answer["found"]
        return found


class Told:
    """What became of one service. Holds no secret."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.actions: list[str] = []
        self.failed: str | None = None
        self.left: str | None = None

    def do(self, kind: str, work: Callable[[], Sequence[str]]) -> None:
        """Something that is done from here; trouble with it is this service's alone."""
        if self.failed is not None:
            return
        try:
            self.actions += [f"{kind}: {action}" for action in work()]
        except CoopError as error:
            self.failed = f"{kind}: {error}"


class _Publishing(Around):
    """Remembers what is to be changed in zones, instead of telling that it drifts."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[str, list[tuple[str, Mapping[str, Any], Sequence[str]]]] = {}

    def of(self, name: str) -> AroundOne:
        return _PublishingOne(self, name)

    def publish(self, name: str, check: bool) -> list[str]:
        """Bring the records of one service to their state; what was done. Raises CoopError."""
        told: list[str] = []
        for module, arguments, reasons in self.changes.get(name, []):
            if not check:
                _zone_task(module, arguments).run()
            told += reasons
        return told


class _PublishingOne(AroundOne):
    def edge(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        raise CoopError("its own names are judged by its role alone")

    def zone(self, module: str, arguments: Mapping[str, Any]) -> Sequence[str]:
        reasons = super().zone(module, arguments)
        if reasons and isinstance(self.around, _Publishing):
            self.around.changes.setdefault(self.name, []).append((module, arguments, reasons))
        return []


def _zone_task(module: str, arguments: Mapping[str, Any]) -> Any:
    if module == "dns_zone":
        from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ARGUMENT_SPEC, ZoneTask

        return ZoneTask(_validated(ARGUMENT_SPEC, arguments))
    from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import ARGUMENT_SPEC as OCTODNS_SPEC
    from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import OctodnsTask

    return OctodnsTask(_validated(OCTODNS_SPEC, arguments))


def _left(plan: Wanted, raw: Mapping[str, Any]) -> str | None:
    """Why a service is left to the full run."""
    if plan.broken is not None:
        return plan.broken
    service = raw["coop_service"]
    if service["tier"] not in TIERS:
        return f"tier {service['tier']} is brought up by its role alone"
    if service["state"] != "present":
        return f"its state is {service['state']}"
    return "; ".join(f"{entry['kind']}: {entry['reason']}" for entry in plan.drift) or None


def _mail(mails: Sequence[Mapping[str, Any]]) -> list[str]:
    """Have Greenlight mail people the link to set their password. Raises CoopError."""
    told: list[str] = []
    for params in mails:
        names = Names(params.get("resolver"), int(params.get("resolver_port") or 53))
        Site(params["hostname"], names, params.get("ca_file"), int(params.get("timeout") or 20)).ask_for_reset_mails(params["emails"])
        told.append(f"{len(params['emails'])} mailed the link to set a password")
    return told
