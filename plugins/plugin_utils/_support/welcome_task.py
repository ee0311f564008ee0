# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the page that welcomes the coordinator of a service, or says goodbye, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.files import digest
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import recipients
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import show

from . import outputs, pages

COORDINATORS = ("coordinator",)
"""Roles of the contacts that pages are for; where nobody has one, the first contact."""

LIMITS = ("rooms_per_account", "meeting_minutes", "participants")
"""Limits in the order in which pages show them."""
_SERVICE = ("id", "title", "tier", "limits", "accounts", "branding", "hostnames", "record", "own_domains")
_OWNER = ("id", "support", "sold_by", "contacts")
_COOPERATIVE = ("name", "contact")
_PASSING = ("checks", "restore_proved_on", "accent", "open_questions")
"""What a page shows that no coordinator has to be told of again when it changes."""


class WelcomeTask:
    """The work of one call of welcome_page."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        for name, keys in (("service", _SERVICE), ("owner", _OWNER), ("cooperative", _COOPERATIVE)):
            missing = [key for key in keys if key not in params[name]]
            if missing:
                said = "write what the inventory plugin meet.coop.members gives as"
                raise CoopError(f"{name}: {missing[0]} is missing; {said} coop_{name}")
        if not (params["hostnames"] or params["service"]["hostnames"]):
            raise CoopError("hostnames: the list is empty; write at least the name under which the rooms are")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; the page is written unless in check mode."""
        service, owner = self.params["service"], self.params["owner"]
        language = pages.nearest(owner.get("language") or service["branding"]["language"])
        values = self.farewell() if self.params["farewell"] else self.welcome()
        values = {**self.common(), **values}
        text = pages.render("farewell" if self.params["farewell"] else "welcome", language, values)
        page = {} if self.params["farewell"] else {"page": self.page(language, values)}
        return {**outputs.bring({self.params["path"]: text}, check_mode), "language": language, **page}

    def page(self, language: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The page as page_mail takes it."""
        lasting = {key: value for key, value in values.items() if key not in _PASSING}
        # Of names that are not ready what is to be done counts, not what was found this time.
        lasting["to_do"] = [
            [one["name"], one["create"], one["remove"]] for one in values["open_questions"] if one["create"] or one["remove"]
        ]
        return {
            "id": self.params["service"]["id"],
            "title": values["title"],
            "language": language,
            "path": self.params["path"],
            "for": recipients(self.params["owner"]["contacts"], COORDINATORS),
            "verified": verified(self.params["checks"]),
            "about": digest(lasting),
        }

    def common(self) -> dict[str, Any]:
        """What both pages say."""
        service, cooperative = self.params["service"], self.params["cooperative"]
        return {
            "coop": cooperative["name"],
            "contact": cooperative["contact"],
            "title": service["title"],
            "accent": service["branding"]["primary_color"],
            "hostname": self.names()[0],
            "sender": (service.get("smtp") or {}).get("sender_email"),
            "mail_records": _records(self.params["mail_records"]),
        }

    def names(self) -> Sequence[str]:
        """The names that lead to the rooms, the one people see first."""
        found: Sequence[str] = self.params["hostnames"] or self.params["service"]["hostnames"]
        return found

    def farewell(self) -> dict[str, Any]:
        """What only the farewell says."""
        return {"dangling": self.params["dangling"], "domains": self.params["service"]["own_domains"]}

    def welcome(self) -> dict[str, Any]:
        """What only the welcome says."""
        service, owner = self.params["service"], self.params["owner"]
        accounts, support = service["accounts"], owner["support"]
        unknown = [key for key in LIMITS if key not in service["limits"]]
        if unknown:
            raise CoopError(f"service: limits holds no {unknown[0]}; write what the inventory plugin gives as coop_service")
        for finding in self.params["domains"]:
            if not {"name", "status", "reason", "advice"} <= set(finding):
                raise CoopError(f"domains: {show(finding.get('name'))} is no result of domain_check; write what that module returned")
        return {
            "more": self.names()[1:],
            "open_questions": [
                {
                    "name": one["name"],
                    "said": f"{one['reason'][:1].upper()}{one['reason'][1:]}. {one['advice']}",
                    "create": one.get("create") or [],
                    "remove": one.get("remove") or [],
                }
                for one in self.params["domains"]
                if one["status"] != "ready"
            ],
            "issuer": self.params["issuer"],
            "sold": service["tier"] == "accounts",
            "until": (service.get("term") or {}).get("until"),
            "administrators": accounts["administrators"],
            "registration": accounts["registration"],
            "allowed_domains": accounts["allowed_domains"],
            "limits": [(key, service["limits"][key]) for key in LIMITS],
            "record": service["record"],
            "checks": self.params["checks"],
            "restore_proved_on": self.params["restore_proved_on"],
            "support": support if support and support["producer"] != owner["id"] else None,
            "sold_by": owner["sold_by"],
        }


def verified(checks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a service was seen to work. While own names are not ready it does, under the co-operative's."""
    return bool(checks) and all(one.get("result") in ("ok", "skipped") or one.get("check") == "domains" for one in checks)


def _records(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Records with their one value."""
    return [{"name": one["name"], "type": one["type"], "value": one["values"][0]} for one in found]
