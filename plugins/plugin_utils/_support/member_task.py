# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one page for each member or client alone, of what is promised to it and what is known of that. No clock is read."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import usage
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import DecisionTask
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Period, Usage
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import recipients
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.rules import default_layers, layers

from . import outputs, pages
from .files import beside, instant, option_instant, zulu
from .notices import Maintenance, Words, read_maintenance
from .status import Receipt, Seen, read_receipts, services
from .status_task import listed, time_zone
from .welcome_task import COORDINATORS, LIMITS

_PAGE = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\.html\Z")
_METRIC = re.compile(r"peak_")


@dataclasses.dataclass(frozen=True)
class Ground:
    """Where a limit comes from: C(own) when it stands with the service itself, and the C(decision) behind it, if one is named."""

    own: bool
    decision: str | None


def ground(root: Mapping[str, Any], service_id: str, instance: str | None, key: str) -> Ground:
    """Where the limit of a service comes from; accounts have what is not said for them from the instance that holds them."""
    places = layers(root, service_id)
    if instance is not None:
        own = root["services"][service_id]
        places = iter([(("services", service_id), own), next(default_layers(root, "accounts")), *layers(root, instance)])
    for path, layer in places:
        limits = layer.get("limits") or {}
        if key in limits:
            return Ground(path == ("services", service_id), limits.get("decided_by"))
    return Ground(False, None)


class MemberTask:
    """The work of one call of member_page."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.at = option_instant("at", params["at"])
        self.zone = time_zone(params["time_zone"])
        for name, most in (("stale_hours", 100_000), ("months", 60)):
            if not 1 <= params[name] <= most:
                raise CoopError(f"{name}: {params[name]} is not from 1 to {most}; write a number such as {6 if name == 'months' else 48}")
        url = params["decisions_url"]
        if url and not re.fullmatch(r"https?://[^\s<>\"'`#]+", url):
            raise CoopError(
                f"decisions_url: {show(url)} is not the address of a page; write one such as https://ourcoop.example/decisions.html"
            )

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; pages are written unless in check mode."""
        paths = self.params["membership"]
        register = model.load_register(*paths, today=self.at.date())
        membership = register.membership
        only = self.params["only"]
        unknown = [name for name in only if name not in membership.owners]
        if unknown:
            raise CoopError(f"only: {show(unknown[0])} is no member or client; write one of {', '.join(membership.owners)}")
        planned = read_maintenance(beside(paths, self.params["maintenance"], "maintenance"), membership)
        receipts, warnings = read_receipts(self.params["receipts"], list(membership.services))
        stale = datetime.timedelta(hours=self.params["stale_hours"])
        seen = services(membership, receipts, planned, (), self.at, stale, (), accounts=True)
        decisions = self.decisions(register)
        use = self.use()
        wanted: dict[str, str] = {}
        kept: set[str] = set()
        languages: dict[str, str] = {}
        known: set[str] = set()
        for owner_id, owner in membership.owners.items():
            its = [one for one in seen if owner_id in (membership.services[one.id]["member"], membership.services[one.id]["client"])]
            if not its:
                continue
            kept.add(f"{owner_id}.html")
            if only and owner_id not in only:
                continue
            languages[owner_id] = pages.nearest(
                owner["language"] or membership.services[its[0].id]["branding"]["language"],
            )
            if any(one.checked for one in its):
                known.add(owner_id)
            shown = [self.service(register, one, receipts.get(one.id), decisions, use) for one in its]
            text = self.page(languages[owner_id], membership, owner, shown, [one for one in planned if _touches(one, its)])
            wanted[os.path.join(self.params["directory"], f"{owner_id}.html")] = text
        unwanted = [name for name in listed(self.params["directory"]) if _PAGE.match(name) and name not in kept]
        result = outputs.bring(wanted, check_mode, [os.path.join(self.params["directory"], name) for name in unwanted], private=True)
        return {
            **result,
            "at": zulu(self.at),
            "pages": [
                {
                    "owner": owner_id,
                    "title": membership.owners[owner_id]["name"],
                    "language": language,
                    "path": os.path.join(self.params["directory"], f"{owner_id}.html"),
                    "for": recipients(membership.owners[owner_id]["contacts"], COORDINATORS),
                    "verified": owner_id in known,
                }
                for owner_id, language in languages.items()
            ],
            "summary": [f"Pages: {len(languages)}, {len(result['files'])} of them new, changed or removed", *warnings],
        }

    # -- facts

    def decisions(self, register: model.Register) -> dict[str, tuple[str, str]]:
        """Title and day of each decision that limits rest on, by number.

        Raises CoopError when one of them has not passed.
        """
        if not register.references:
            return {}
        task = DecisionTask({
            "membership": self.params["membership"], "directory": self.params["decisions"], "as_of": str(self.at.date()), "require": (),
        })  # fmt: skip
        _folder, outcomes = task.counted(register)
        return {number: (outcome.decision.title, str(outcome.decided)) for number, outcome in outcomes.items()}

    def use(self) -> dict[Period, tuple[Usage, ...]]:
        """What was used in the last months, those that anything is known of, the latest first.

        Raises MembershipError with every problem there is.
        """
        folder = beside(self.params["membership"], self.params["money"], "money")
        first = self.at.date().replace(day=1)
        problems: list[Problem] = []
        found: dict[Period, tuple[Usage, ...]] = {}
        for _month in range(self.params["months"] + 1):
            period = Period.of(first)
            records, wrong = usage.read(folder, period)
            problems.extend(wrong)
            if records:
                found[period] = records
            first = (first - datetime.timedelta(days=1)).replace(day=1)
        if problems:
            raise MembershipError(problems)
        return dict(list(found.items())[: self.params["months"]])

    def service(
        self,
        register: model.Register,
        seen: Seen,
        receipt: Receipt | None,
        decisions: Mapping[str, tuple[str, str]],
        use: Mapping[Period, Sequence[Usage]],
    ) -> dict[str, Any]:
        """What the page says of one service."""
        service = register.membership.services[seen.id]
        raw = receipt.raw if receipt else {}
        restore = raw.get("restore") if isinstance(raw.get("restore"), dict) else {}
        sold = service["tier"] == "accounts"
        limits = []
        for key in ("rooms_per_account",) if sold else LIMITS:
            its = ground(register.root, seen.id, service["instance"], key)
            title, on = decisions.get(its.decision or "", ("", ""))
            link = f"{self.params['decisions_url']}#{its.decision}" if self.params["decisions_url"] else None
            stated = {"id": its.decision, "title": title, "decided": on, "url": link} if its.decision else None
            limits.append({"key": key, "value": service["limits"][key], "own": its.own, "decision": stated})
        of_it = {period: [one for one in records if one.tenant == seen.id] for period, records in use.items()}
        metrics = sorted({one.metric for records in of_it.values() for one in records})
        backup = instant(raw.get("backup_at"))
        return {
            "id": seen.id,
            "title": seen.title,
            "hostname": seen.hostname,
            "state": seen.state,
            "checked": pages.stamp(seen.checked, self.zone) if seen.checked else None,
            "until": (service["term"] or {}).get("until"),
            "checks": [
                {"check": one.get("check"), "result": one.get("result")}
                for one in (raw.get("checks") if isinstance(raw.get("checks"), list) else [])
                if isinstance(one, dict)
            ],
            "certificate_until": _day(raw.get("certificate_until")),
            "backup_at": pages.stamp(backup, self.zone) if backup else None,
            "restore_proved_on": _day(raw.get("restore_proved_on")),
            "restore_seconds": _number(restore.get("seconds")),
            "restore_rows": _number(restore.get("rows")),
            "limits": limits,
            "metrics": metrics,
            "use": [
                {"month": str(period), "amounts": [_total(records, metric) for metric in metrics], "measured": _measured(records)}
                for period, records in of_it.items()
                if records
            ],
        }

    # -- the page

    def page(
        self,
        language: str,
        membership: model.Membership,
        owner: Mapping[str, Any],
        shown: Sequence[Mapping[str, Any]],
        planned: Sequence[Maintenance],
    ) -> str:
        """The page of an owner in its language."""
        titles = {one["id"]: one["title"] for one in shown}

        def words(text: Words | None) -> dict[str, str] | None:
            if text is None:
                return None
            stated = text.language(language)
            return {"text": text.say(language), "lang": stated if stated not in ("", language) else ""}

        said = pages.catalogue(language).gettext
        support = owner["support"]
        values = {
            "coop": membership.cooperative["name"],
            "contact": membership.cooperative["contact"],
            "zone": str(self.zone),
            "name": owner["name"],
            "accent": membership.services[shown[0]["id"]]["branding"]["primary_color"],
            "services": shown,
            "support": support if support and support["producer"] != owner["id"] else None,
            "metrics": {
                "participant_minutes": said("Minutes of all people together"),
                "meeting_minutes": said("Minutes of all meetings together"),
                "voice_minutes": said("Minutes with a microphone"),
                "video_minutes": said("Minutes with a camera"),
                "peak_participants": said("Most people at once"),
                "peak_meetings": said("Most meetings at once"),
            },
            "maintenance": [
                {
                    "title": words(one.title),
                    "text": words(one.text),
                    "begin": pages.stamp(one.begin, self.zone),
                    "end": pages.stamp(one.end, self.zone),
                    "under_way": one.state(self.at) == "under_way",
                    "touched": [titles[name] for name in titles if name in one.services],
                }
                for one in planned
                if one.state(self.at) in ("planned", "under_way")
            ],
        }
        return pages.render("member", language, values)


def _touches(one: Maintenance, its: Sequence[Seen]) -> bool:
    return any(service.id in one.services for service in its)


def _day(value: object) -> str | None:
    """A day of a receipt; None for anything else."""
    return str(value) if isinstance(value, str) and day(value) is not None else None


def _number(value: object) -> int | None:
    """A number of a receipt, whole; None for anything else."""
    return round(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else None


def _total(records: Sequence[Usage], metric: str) -> int | None:
    """All of a month: a peak is the highest, the rest adds up. None where nothing was measured."""
    values = [one.value for one in records if one.metric == metric]
    if not values:
        return None
    return max(values) if _METRIC.match(metric) else sum(values)


def _measured(records: Sequence[Usage]) -> str:
    """How much of the time was measured, in percent, rounded down: 100 % only when nothing is missing."""
    return f"{sum(one.got for one in records) * 100 // sum(one.expected for one in records)} %"
