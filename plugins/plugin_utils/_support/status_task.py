# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the status page and what goes with it, and what is announced on which site. No clock is read."""

from __future__ import annotations

import datetime
import json
import os
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import show

from . import calendar, feed, outputs, pages
from .banner import announcement
from .files import beside, option_instant, zulu
from .notices import Incident, Maintenance, Words, read_incidents, read_maintenance
from .status import STATES, Seen, read_receipts, services

_PAGE = re.compile(r"index(?:\.[a-z]{2})?\.html\Z")


def time_zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone that an option names.

    Raises CoopError.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        said = f"time_zone: {show(name)} is no time zone that this machine knows; write one such as Europe/Madrid"
        raise CoopError(said) from error


class NoticesTask:
    """The work of one call of maintenance_notices."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.at = option_instant("at", params["at"])
        self.zone = time_zone(params["time_zone"])

    def run(self, _check_mode: bool) -> dict[str, Any]:
        """Result of the module; nothing is written."""
        membership = model.load(*self.params["membership"], today=self.at.date())
        planned = read_maintenance(beside(self.params["membership"], self.params["directory"], "maintenance"), membership)
        shown = [one for one in planned if one.shown(self.at)]
        return {
            "changed": False,
            "at": zulu(self.at),
            "maintenance": [described(one, self.at) for one in planned],
            "announcements": {
                name: [
                    {"id": one.id, "html": announcement(one, self.at, service["branding"]["language"], self.zone)}
                    for one in shown
                    if name in one.services
                ]
                for name, service in membership.services.items()
            },
        }


def described(one: Maintenance, at: datetime.datetime) -> dict[str, Any]:
    """Planned maintenance as plain values."""
    return {
        "id": one.id,
        "title": one.title.say("en"),
        "from": zulu(one.begin),
        "until": zulu(one.end),
        "state": one.state(at),
        "services": list(one.services),
    }


class StatusTask:
    """The work of one call of status_page."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.at = option_instant("at", params["at"])
        self.zone = time_zone(params["time_zone"])
        self.languages: Sequence[str] = list(dict.fromkeys(params["languages"]))
        for name in ("stale_hours", "incident_days"):
            if not 1 <= params[name] <= 100_000:
                raise CoopError(f"{name}: {params[name]} is not from 1 to 100000; write a number such as 48")
        if not self.languages:
            raise CoopError("languages: the list is empty; write at least one language, such as en")
        url = params["url"]
        if url and not re.fullmatch(r"https?://[^\s<>\"'`?#]+", url):
            raise CoopError(f"url: {show(url)} is not the address of a folder; write one such as https://status.example.org/")
        self.url = url.rstrip("/") + "/" if url else None

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; files are written unless in check mode."""
        paths = self.params["membership"]
        membership = model.load(*paths, today=self.at.date())
        unknown = [name for name in self.params["hidden"] if name not in membership.services]
        if unknown:
            known = ", ".join(membership.services) or "nothing, there are none"
            raise CoopError(f"hidden: {show(unknown[0])} is no service; write one of {known}")
        planned = read_maintenance(beside(paths, self.params["maintenance"], "maintenance"), membership)
        incidents = read_incidents(beside(paths, self.params["incidents"], "incidents"), membership)
        receipts, warnings = read_receipts(self.params["receipts"], list(membership.services))
        stale = datetime.timedelta(hours=self.params["stale_hours"])
        seen = services(membership, receipts, planned, incidents, self.at, stale, self.params["hidden"])
        folder = self.params["directory"]
        files = self.files(membership, seen, planned, incidents)
        unwanted = [name for name in listed(folder) if _PAGE.match(name) and name not in files]
        wanted = {os.path.join(folder, name): text for name, text in files.items()}
        counts = {state: sum(one.state == state for one in seen) for state in STATES}
        return {
            **outputs.bring(wanted, check_mode, [os.path.join(folder, name) for name in unwanted]),
            "at": zulu(self.at),
            "services": [
                {"id": one.id, "state": one.state, "checked": zulu(one.checked) if one.checked else None, "hostname": one.hostname}
                for one in seen
            ],
            "counts": counts,
            "maintenance": [described(one, self.at) for one in planned],
            "incidents_open": [one.id for one in incidents if one.open(self.at)],
            "summary": [
                "Services: " + (", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"),
                *(f"Incident that goes on: {one.id}, {one.title.say('en')}" for one in incidents if one.open(self.at)),
                *(f"Maintenance: {one.id}, {one.state(self.at).replace('_', ' ')}" for one in planned if self.ahead(one)),
                *warnings,
            ],
        }

    def ahead(self, one: Maintenance) -> bool:
        """Whether it is still to come, or under way."""
        return one.state(self.at) in ("planned", "under_way")

    # -- what is published

    def files(
        self, membership: model.Membership, seen: Sequence[Seen], planned: Sequence[Maintenance], incidents: Sequence[Incident]
    ) -> dict[str, str]:
        """Every file of the folder by name."""
        ids = {one.id for one in seen}
        # What touches only services that are hidden is nobody else's business.
        planned = [one for one in planned if one.everybody or ids & set(one.services)]
        incidents = [one for one in incidents if (one.everybody or ids & set(one.services)) and one.begin <= self.at]
        first, cooperative = self.languages[0], membership.cooperative
        names = {language: "index.html" if language == first else f"index.{language}.html" for language in self.languages}
        said = pages.catalogue(first).gettext
        title = f"{cooperative['name']}: {said('Incidents')}"
        return {
            **{name: self.page(language, names, membership, seen, planned, incidents) for language, name in names.items()},
            "status.json": json.dumps(self.facts(cooperative, seen, planned, incidents), indent=2, ensure_ascii=False) + "\n",
            "incidents.atom": feed.render(
                title, cooperative["name"], cooperative["domain"], self.url, incidents, first, said("This is over.")
            ),
            "maintenance.ics": self.calendar(cooperative, planned, first),
        }

    def page(
        self,
        language: str,
        names: Mapping[str, str],
        membership: model.Membership,
        seen: Sequence[Seen],
        planned: Sequence[Maintenance],
        incidents: Sequence[Incident],
    ) -> str:
        """The page in a language."""
        titles = {one.id: one.title for one in seen}

        def words(text: Words | None) -> dict[str, str] | None:
            if text is None:
                return None
            stated = text.language(language)
            return {"text": text.say(language), "lang": stated if stated not in ("", language) else ""}

        def touched(one: Maintenance | Incident) -> list[str] | None:
            return None if one.everybody else sorted(titles[name] for name in one.services if name in titles)

        since = self.at - datetime.timedelta(days=self.params["incident_days"])
        values = {
            "coop": membership.cooperative["name"],
            "contact": membership.cooperative["contact"]["email"],
            "zone": str(self.zone),
            "overall": max((one.state for one in seen), key=STATES.index, default="unknown"),
            "languages": [{"code": code, "page": page} for code, page in names.items()],
            "services": [
                {
                    "title": one.title,
                    "hostname": one.hostname,
                    "state": one.state,
                    "checked": pages.stamp(one.checked, self.zone) if one.checked else None,
                    "support": one.support,
                }
                for one in seen
            ],
            "maintenance": [
                {
                    "id": one.id,
                    "title": words(one.title),
                    "text": words(one.text),
                    "begin": pages.stamp(one.begin, self.zone),
                    "end": pages.stamp(one.end, self.zone),
                    "under_way": one.state(self.at) == "under_way",
                    "touched": touched(one),
                }
                for one in planned
                if self.ahead(one)
            ],
            "incidents": [
                {
                    "id": one.id,
                    "title": words(one.title),
                    "severity": one.severity,
                    "begin": pages.stamp(one.begin, self.zone),
                    "end": pages.stamp(one.end, self.zone) if one.end and one.end <= self.at else None,
                    "touched": touched(one),
                    "updates": [
                        {"at": pages.stamp(update.at, self.zone), **(words(update.text) or {})}
                        for update in reversed(one.updates)
                        if update.at <= self.at
                    ],
                }
                for one in incidents
                if one.open(self.at) or one.changed >= since
            ],
        }
        return pages.render("status", language, values)

    def facts(
        self, cooperative: Mapping[str, Any], seen: Sequence[Seen], planned: Sequence[Maintenance], incidents: Sequence[Incident]
    ) -> dict[str, Any]:
        """The same for machines."""
        ids = [one.id for one in seen]
        return {
            "name": cooperative["name"],
            "services": [
                {
                    "id": one.id,
                    "title": one.title,
                    "url": f"https://{one.hostname}/",
                    "state": one.state,
                    "checked": zulu(one.checked) if one.checked else None,
                    "support": {key: one.support[key] for key in ("name", "page", "email", "hours")} if one.support else None,
                }
                for one in seen
            ],
            "maintenance": [
                {**described(one, self.at), "services": [name for name in one.services if name in ids]}
                for one in planned
                if self.ahead(one)
            ],
            "incidents": [
                {
                    "id": one.id,
                    "title": one.title.say(self.languages[0]),
                    "severity": one.severity,
                    "began": zulu(one.begin),
                    "ended": zulu(one.end) if one.end else None,
                    "services": [name for name in one.services if name in ids],
                }
                for one in incidents
            ],
        }

    @staticmethod
    def calendar(cooperative: Mapping[str, Any], planned: Sequence[Maintenance], language: str) -> str:
        """Planned maintenance as events; one that was cancelled says so to who subscribed."""
        events = [
            calendar.Event(
                uid=f"maintenance-{one.id}@{cooperative['domain']}",
                begin=one.begin,
                end=one.end,
                summary=one.title.say(language),
                stamp=one.announced,
                description=one.text.say(language) if one.text else "",
                status="CANCELLED" if one.cancelled else "CONFIRMED",
            )
            for one in planned
        ]
        said = pages.catalogue(language).gettext
        return calendar.render(f"{cooperative['name']}: {said('Maintenance')}", f"{cooperative['name']}//status_page", events)


def listed(folder: str) -> list[str]:
    """Names in a folder; none when there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise CoopError(f"{os.path.relpath(folder)}: cannot be read: {said}; check the path and its permissions") from error
