# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: from the membership file and the secrets that are kept to the tenants and credentials of a service's systems."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._cms import kinds
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name

PREFIX = "cms_"
"""How a system's secret is called in the file of the instance's secrets."""


@dataclass
class Access:
    """What there is to be: ``tenants`` as module pool_tenant takes them, ``credentials`` as cms_handover does, ``proofs`` as
    bbb_credential_check does."""

    tenants: list[dict[str, t.Any]] = field(default_factory=list)
    credentials: list[dict[str, t.Any]] = field(default_factory=list)
    proofs: list[dict[str, t.Any]] = field(default_factory=list)
    #: Secrets of systems that left the list, and systems with a new secret beside the old one.
    forget: list[str] = field(default_factory=list)
    rotating: list[str] = field(default_factory=list)
    #: By system, the secret that works on beside the new one.
    former: dict[str, str] = field(default_factory=dict)


def secret_names(service: t.Mapping[str, t.Any]) -> list[str]:
    """Secrets to keep for a service's systems; none for one that is not present."""
    if service["state"] != "present":
        return []
    return [PREFIX + one["name"] for one in service["cms"] if one["access"] == "tenant"]


def plan(
    service: t.Mapping[str, t.Any], kept: t.Mapping[str, str], staged: t.Mapping[str, str], pool_domain: str, server_secret: str = ""
) -> Access:
    """All tenants of a service's systems, and all credentials. The systems of a service that stands still keep their secrets.

    Limits are the service's own, minutes and people in one meeting; 0 is no limit. A tenant never records: a balancer does not give its
    recordings back to it. Raises CoopError.
    """
    found = Access()
    listed = [] if service["state"] == "absent" else service["cms"]
    known = set()
    for one in listed:
        key = PREFIX + one["name"]
        if one["access"] == "server":
            if service["state"] == "present":
                if not server_secret:
                    raise CoopError(f"{service['id']}: {one['name']} is to use the server's own secret, and that is empty; set it")
                _give(found, one, service["server"]["endpoint"], server_secret)
            continue
        known.add(key)
        if key not in kept:
            continue
        new, old = staged.get(key), kept[key]
        found.tenants.append(
            {
                "name": one["tenant"],
                # The new one first: it signs what the balancer sends.
                "secret": f"{new}:{old}" if new else old,
                "enabled": service["state"] == "present",
                "duration_max": service["limits"]["meeting_minutes"],
                "participants_max": service["limits"]["participants"],
                "record": False,
                **_at_once(service["fair_use"]),
            }
        )
        if new:
            found.rotating.append(one["name"])
            found.former[one["name"]] = old
        if service["state"] == "present":
            endpoint = f"https://{pool_domain}/t/{one['tenant']}/bigbluebutton/api/"
            _give(found, one, endpoint, new or old)
    for key in kept:
        if key.startswith(PREFIX) and key not in known:
            found.forget.append(key)
            found.tenants.append({"name": tenant_name(f"{service['id']}.{key.removeprefix(PREFIX)}"), "state": "absent"})
    return found


def _at_once(fair_use: t.Mapping[str, t.Any]) -> dict[str, int]:
    """What a system may have when it begins another meeting, each by itself."""
    if fair_use["policy"] != "soft_limit":
        return {}
    return {"meetings_at_once": fair_use["meetings"], "participants_at_once": fair_use["participants"]}


def _give(found: Access, one: t.Mapping[str, t.Any], endpoint: str, secret: str) -> None:
    credential = {"name": one["name"], "kind": one["kind"], "secret": secret, "access": one["access"]}
    found.credentials.append({**credential, "endpoint": endpoint})
    found.proofs.append({**credential, "url": kinds.address(endpoint)})
