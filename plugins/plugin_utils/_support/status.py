# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how the services are, from the receipts of verification and from what people wrote of maintenance and incidents."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.model import Membership

from .files import instant
from .notices import Incident, Maintenance

STATES = ("ok", "unknown", "maintenance", "degraded", "down")
"""From the best to the worst."""


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What verification last saw of a service, and when."""

    at: datetime.datetime
    ok: bool
    hostname: str | None
    raw: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Seen:
    """A service as the public sees it. C(checked) is when it was last verified."""

    id: str
    title: str
    hostname: str
    state: str
    checked: datetime.datetime | None
    support: Mapping[str, Any] | None


def read_receipts(folder: str, names: Sequence[str]) -> tuple[dict[str, Receipt], list[str]]:
    """The receipts that there are, by service, and a line for each that cannot be used."""
    found: dict[str, Receipt] = {}
    wrong: list[str] = []
    for name in names:
        path = os.path.join(folder, f"{name}.json")
        try:
            with open(path, encoding="utf-8") as stream:
                raw = json.load(stream)
            at = instant(raw["at"])
            if at is None or not isinstance(raw["ok"], bool):
                raise ValueError
            found[name] = Receipt(at, raw["ok"], raw.get("hostname"), raw)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            wrong.append(f"{os.path.relpath(path)}: is no receipt of verification; run meet.coop.verify again")
    return found, wrong


def services(
    membership: Membership,
    receipts: Mapping[str, Receipt],
    maintenance: Sequence[Maintenance],
    incidents: Sequence[Incident],
    at: datetime.datetime,
    stale: datetime.timedelta,
    hidden: Sequence[str],
    accounts: bool = False,
) -> list[Seen]:
    """Every service that is present and has a site of its own, by title; C(stale) is how long a receipt is believed.

    With C(accounts) those too that are accounts on another's site.
    """
    found = []
    for name, service in membership.services.items():
        if service["state"] != "present" or (service["tier"] == "accounts" and not accounts) or name in hidden:
            continue
        receipt = receipts.get(name)
        fresh = receipt is not None and at - receipt.at <= stale
        state = "unknown" if receipt is None or not fresh else "ok" if receipt.ok else "degraded"
        if any(one.state(at) == "under_way" and name in one.services for one in maintenance):
            state = "maintenance"
        troubles = [one.severity for one in incidents if one.open(at) and name in one.services and one.severity != "notice"]
        state = max([state, *troubles], key=STATES.index)
        named = receipt.hostname if receipt is not None and receipt.hostname in service["hostnames"] else service["subdomain_fqdn"]
        owner = membership.owners[service["member"] or service["client"]]
        found.append(Seen(name, service["title"], named, state, receipt.at if receipt else None, owner["support"]))
    return sorted(found, key=lambda one: (one.title.casefold(), one.id))
