# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small membership file to bend in tests."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import yaml

from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError

TODAY = datetime.date(2026, 1, 1)

BASE: dict[str, Any] = {
    "cooperative": {
        "id": "meet",
        "name": "meet.coop",
        "domain": "meet.example",
        "contact": {"name": "Office", "email": "office@meet.example"},
    },
    "container_hosts": {"host1": {"address": "203.0.113.10"}},
    "defaults": {"image": "bigbluebutton/greenlight:v3.8.2.4"},
    "members": {
        "agaric": {
            "name": "Agaric",
            "classes": ["producer"],
            "joined": "2020-05-01",
            "contacts": [{"name": "Mo", "email": "mo@agaric.example"}],
            "evidence": {"country": "US", "form": "worker co-operative", "register": "USFWC", "number": "7"},
        },
        "rosa": {
            "name": "Rosa",
            "classes": ["consumer"],
            "joined": "2021-03-01",
            "supported_by": "agaric",
            "contacts": [{"name": "Rosa", "email": "rosa@rosa.example"}],
            "evidence": {"country": "ES", "form": "cooperativa", "register": "Registre", "number": "B-1"},
        },
    },
    "clients": {"cafe": {"name": "Café", "sold_by": "agaric", "contacts": [{"name": "Kim", "email": "kim@cafe.example"}]}},
    "services": {
        "rosa": {"tier": "consumer", "member": "rosa", "accounts": {"administrators": [{"name": "Rosa", "email": "Rosa@Rosa.example"}]}},
        "cafe": {"tier": "dedicated_container", "client": "cafe", "accounts": {"registration": "open"}},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """The base with values set at places such as ``services__rosa__limits`` (two underscores are a step)."""
    data = copy.deepcopy(BASE)
    for place, value in changes.items():
        *steps, last = place.split("__")
        node = data
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = value
    return data


def built(data: dict[str, Any], today: datetime.date = TODAY) -> model.Membership:
    """The membership of plain data, through YAML as a user's file goes."""
    return model.build({"members.yml": yaml.safe_dump(data, allow_unicode=True, sort_keys=False)}, today)


def lines(data: dict[str, Any], today: datetime.date = TODAY) -> list[str]:
    """What is said about plain data, without file and line; empty when it is accepted."""
    try:
        built(data, today)
    except MembershipError as exc:
        return [problem.text for problem in exc.problems]
    return []
