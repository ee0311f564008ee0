# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what one service is to be, from the tasks of its tier's role.

There is no second list of what belongs to an instance: the options of the role's own tasks are what is planned. What only the container
host knows (the secrets it keeps, the port it gave) is a placeholder here, and filled in there. A task of a kind that is not known here
makes the plan say so, and the service goes on to the full run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import mark
from ansible_collections.meet.coop.plugins.plugin_utils._plan.expressions import Unrenderable, Variables, plain
from ansible_collections.meet.coop.plugins.plugin_utils._plan.steps import Chain, Step

OURS = "meet.coop."
#: Looked at on the container host.
_REMOTE = """
    instance_secrets greenlight_database greenlight_container greenlight_settings greenlight_user greenlight_reset_mail
    caddy_route caddy_routes oidc_check file copy
    """
REMOTE = frozenset(_REMOTE.split())
#: These only tell or prepare, and are no part of the state.
TELLING = frozenset({"debug"})


class Around(Protocol):
    """What is known or asked outside of the container host's own plan."""

    def edge(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """As caddy_info says it."""

    def domains(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """As domain_check says it."""

    def zone(self, module: str, arguments: Mapping[str, Any]) -> Sequence[str]:
        """What dns_zone or octodns_zone would change, in words."""


@dataclass
class Wanted:
    """One service: steps for its container host, its tenant, and what is known already to drift."""

    name: str
    steps: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Each with `module`, `arguments` and `register`, in the role's order."""
    tenants: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Each with the pool's host and the options of pool_tenant."""
    checks: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Options of smtp_check, for before people are mailed. No part of the state."""
    drift: list[dict[str, str]] = field(default_factory=list)
    """Each with `kind` and `reason`."""
    broken: str | None = None
    """Why its desired state cannot be told; the full run says the same."""

    def drifts(self, kind: str, reason: str) -> None:
        self.drift.append({"kind": kind, "reason": reason})


def wanted(name: str, chain: Chain, variables: Variables, around: Around) -> Wanted:
    """What a service is to be. Raises nothing for a damaged desired state: that is what `broken` tells."""
    result = Wanted(name)
    step: Step | None = None
    try:
        for step in chain.steps:
            _follow(step, variables, around, result)
    except CoopError as error:
        result.broken = f"{step.name}: {error}" if step and isinstance(error, Unrenderable) else str(error)
    return result


def _follow(step: Step, variables: Variables, around: Around, result: Wanted) -> None:
    known = variables.with_layer(step.variables) if step.variables else variables
    kind = step.module.removeprefix(OURS).removeprefix("ansible.builtin.")
    if kind in TELLING or not all(_holds(known, gate) for gate in step.gates):
        return
    if kind == "assert" and step.loop is not None:
        for item in _render(known, step.loop):
            _assert(step, known.with_layer({"item": item}))
        return
    if not all(_holds(known, condition) for condition in step.conditions):
        if step.register:
            variables.set(step.register, {"skipped": True, "changed": False})
        return
    if kind == "assert":
        _assert(step, known)
        return
    if step.silent:
        return
    if step.loop is not None:
        if _render(known, step.loop):
            result.drifts("unplanned", f"'{step.name}' has to be done in the run")
        return
    if kind in REMOTE:
        arguments = plain(_render(known, step.arguments))
        result.steps.append({"module": kind, "arguments": arguments, "register": step.register})
        if step.register:
            variables.set(step.register, _placeholder(kind, step.register, arguments))
    elif kind == "smtp_check":
        result.checks.append(plain(_render(known, step.arguments)))
    elif kind == "include_role" and step.arguments.get("name") == f"{OURS}cms_access" and not known["coop_service"]["cms"]:
        # Who never had a system has nothing to lose; of who had one, there is a secret.
        path = f"{known['instance_directory']}/secrets.json"
        result.steps.append({"module": "cms_access", "arguments": {"path": path}, "register": None})
    elif kind == "move_record":
        # As if it lived where it is to be: of one that does not, nothing is as it should be there, and the run says where it is.
        variables.set(step.register or "_", {"kept": [result.name], "moves": {}})
    elif kind == "caddy_info":
        variables.set(step.register or "_", around.edge(plain(_render(known, step.arguments))))
    elif kind == "domain_check":
        _domains(step, known, variables, around, result)
    elif kind in ("dns_zone", "octodns_zone"):
        for reason in around.zone(kind, plain(_render(known, step.arguments))):
            result.drifts("dns", reason)
    elif kind == "pool_tenant":
        arguments = plain(_render(known, step.arguments))
        if set(arguments) != {"engine", "tenants"} or step.delegate_to is None:
            result.drifts("unplanned", f"'{step.name}' is only looked at in the run")
        else:
            result.tenants.append({"host": plain(_render(known, step.delegate_to)), **arguments})
    else:
        result.drifts("unplanned", f"'{step.name}' ({step.module.rpartition('.')[2]}) is only looked at in the run")


def _domains(step: Step, known: Variables, variables: Variables, around: Around, result: Wanted) -> None:
    arguments = plain(_render(known, step.arguments))
    if arguments.get("checks"):
        return  # words for one who leaves, no state
    found = around.domains(arguments)
    if step.register:
        variables.set(step.register, found)
    new = sorted(set(found.get("open") or []) - set(arguments.get("served") or []))
    for host in new:
        result.drifts("domains", f"{host} is ready and not served yet")


def _assert(step: Step, known: Variables) -> None:
    if not all(_holds(known, condition) for condition in step.conditions):
        return
    conditions = step.arguments["that"]
    for condition in [conditions] if isinstance(conditions, (str, bool)) else conditions:
        if not _holds(known, condition):
            raise CoopError(str(_render(known, step.arguments.get("fail_msg", f"{step.name}: {condition} does not hold"))))


def _render(variables: Variables, value: Any) -> Any:
    with _clear():
        return variables.render(value)


def _holds(variables: Variables, condition: Any) -> bool:
    with _clear():
        return variables.holds(condition)


class _clear:
    """Any trouble with an expression as one line."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, CoopError) or not isinstance(error, Exception):
            return
        raise Unrenderable(re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__) from error


def _placeholder(kind: str, register: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What later tasks may ask of this one, to be filled in on the container host."""
    if kind == "instance_secrets":
        return {"secrets": {name: mark(register, "secrets", name) for name in arguments["secrets"]}}
    if kind == "greenlight_container":
        return {"port": mark(register, "port"), "upstreams": mark(register, "upstreams"), "image_waiting": ""}
    if kind == "oidc_check":
        return {"logout_path": mark(register, "logout_path")}
    if kind == "greenlight_user":
        # As if one person waited for the link: so the tasks for that are planned, and judged there by who really does.
        return {"users": [{"email": mark(register, "waiting"), "waiting": True}], "closed": []}
    return {}
