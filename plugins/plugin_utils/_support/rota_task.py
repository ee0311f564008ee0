# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the rota of producers at a time, as a calendar, a page, and the answer to who is on. No clock is read."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import DecisionTask
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.files import read_folder
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Reference

from . import assignment, calendar, outputs, pages, rota_files
from .files import beside, option_instant, zulu
from .rota import Rota, Turn, on_duty, turns


class RotaTask:
    """The work of one call of support_rota."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.at = option_instant("at", params["at"])
        self.folder = beside(params["membership"], params["directory"], "support")
        if not 1 <= params["ahead_days"] <= 1100:
            raise CoopError(f"ahead_days: {params['ahead_days']} is not from 1 to 1100; write how many days to look ahead, such as 180")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; files are written unless in check mode."""
        today = self.at.date()
        register = model.load_register(*self.params["membership"], today=today)
        rota = rota_files.read(self.folder, register.records)
        self.check_decisions(rota, register, today)
        found = self.turns(rota, register)
        current = on_duty(found, self.at)
        rules = current.rules if current else rota.rules[0]
        proposals = assignment.propose(register.records, self.stated(register), rules.weights, today)
        shown = [self.turn(turn, register) for turn in found]
        wanted: dict[str, str] = {}
        if self.params["record"]:
            wanted[os.path.join(self.folder, rota_files.TURNS_FILE)] = rota_files.render_begun(rota.begun, found, self.at)
        if self.params["calendar"]:
            wanted[self.params["calendar"]] = self.calendar(found, register)
        if self.params["page"]:
            wanted[self.params["page"]] = self.page(found, current, register, rules.weights)
        return {
            **outputs.bring(wanted, check_mode),
            "at": zulu(self.at),
            "on_duty": self.duty(current, register),
            "turns": shown,
            "supported": [
                {"member": one.id, "producer": register.membership.owners[one.id]["supported_by"]}
                for one in assignment.consumers(register.records, today)
            ],
            "proposals": [{"member": member, "producer": producer} for member, producer in proposals.items()],
            "summary": self.summary(current, found, proposals, register),
        }

    # -- what is so

    def check_decisions(self, rota: Rota, register: model.Register, today: datetime.date) -> None:
        """Rules that name a decision rest on one that has passed before they begin.

        Raises CoopError as decision_tally does.
        """
        references = [
            Reference(rules.decided_by, *rules.place, f"rules from {rules.start}, field decided_by", rules.start)
            for rules in rota.rules
            if rules.decided_by
        ]
        if not references:
            return
        given = {"membership": self.params["membership"], "directory": self.params["decisions"], "require": (), "as_of": str(today)}
        task = DecisionTask(given)
        folder = read_folder(task.directory or task.folder_of(register.membership), register.records)
        task.check_required(folder, task.outcomes(folder, register.records), references)

    def turns(self, rota: Rota, register: model.Register) -> list[Turn]:
        """All turns until so many days after the one of the time began."""
        first = rota.rules[0].instant(rota.rules[0].start)
        reach = datetime.timedelta(days=self.params["ahead_days"])
        found = turns(rota, register.records, max(self.at, first) + datetime.timedelta(microseconds=1))
        current = on_duty(found, self.at)
        # As far as it reaches changes with the turn, not with the second.
        return turns(rota, register.records, (current.begin if current else first) + reach)

    @staticmethod
    def stated(register: model.Register) -> dict[str, str | None]:
        """The producer that the file states, by member."""
        return {name: register.membership.owners[name]["supported_by"] for name in register.records}

    @staticmethod
    def support(producer: str, register: model.Register) -> dict[str, Any]:
        """Where a producer is reached: by those it looks after, and when it has the turn."""
        owner = register.membership.owners[producer]
        stated = register.root["members"][producer].get("support", {})
        technical = [one["email"] for one in owner["contacts"] if one["role"] == "technical"]
        alerts = stated.get("alerts") or technical or [stated.get("email") or owner["contacts"][0]["email"]]
        page = stated.get("page", owner["website"])
        return {"page": page, "email": stated.get("email"), "hours": stated.get("hours"), "alerts": list(alerts)}

    def duty(self, turn: Turn | None, register: model.Register) -> dict[str, Any]:
        """Who is on; the co-operative's own office when nobody is."""
        cooperative = register.membership.cooperative
        if turn is None or turn.producer is None:
            times = {"from": zulu(turn.begin), "until": zulu(turn.end)} if turn else {"from": None, "until": None}
            contact = cooperative["contact"]["email"]
            return {
                "producer": None,
                "name": cooperative["name"],
                **times,
                "page": None,
                "email": contact,
                "hours": None,
                "alerts": [contact],
            }
        return {
            "producer": turn.producer,
            "name": register.membership.owners[turn.producer]["name"],
            "from": zulu(turn.begin),
            "until": zulu(turn.end),
            **self.support(turn.producer, register),
        }

    @staticmethod
    def turn(turn: Turn, register: model.Register) -> dict[str, Any]:
        """A turn as plain values."""
        return {
            "day": str(turn.day),
            "from": zulu(turn.begin),
            "until": zulu(turn.end),
            "producer": turn.producer,
            "name": register.membership.owners[turn.producer]["name"] if turn.producer else None,
            "planned": turn.planned,
        }

    # -- what people read

    @staticmethod
    def calendar(found: Sequence[Turn], register: model.Register) -> str:
        """All turns as events; a turn keeps its UID when it changes hands."""
        cooperative = register.membership.cooperative
        owners = register.membership.owners
        events = [
            calendar.Event(
                uid=f"turn-{turn.day}@{cooperative['domain']}",
                begin=turn.begin,
                end=turn.end,
                summary=f"On duty: {owners[turn.producer]['name'] if turn.producer else 'nobody'}",
                stamp=turn.rules.instant(turn.rules.start),
                description=f"Swapped; by the rules it was the turn of {owners[turn.planned]['name'] if turn.planned else 'nobody'}."
                if turn.planned != turn.producer
                else "",
            )
            for turn in found
        ]
        return calendar.render(f"{cooperative['name']}: on duty", f"{cooperative['name']}//support_rota", events)

    def page(self, found: Sequence[Turn], current: Turn | None, register: model.Register, weights: Mapping[str, Fraction]) -> str:
        """The rota for people; it names co-operatives and no person."""
        owners = register.membership.owners
        counts: dict[str, int] = {}
        for turn in found:
            if turn.producer:
                counts[turn.producer] = counts.get(turn.producer, 0) + 1
        begun = [turn for turn in found if turn.begin <= self.at]
        zone = (current or found[0]).rules.zone
        looked_after: dict[str, list[str]] = {}
        for one in assignment.consumers(register.records, self.at.date()):
            by = owners[one.id]["supported_by"]
            looked_after.setdefault(by or "", []).append(owners[one.id]["name"])

        def row(turn: Turn) -> dict[str, Any]:
            return {
                "begin": pages.stamp(turn.begin, zone),
                "end": pages.stamp(turn.end, zone),
                "name": owners[turn.producer]["name"] if turn.producer else "nobody",
                "swapped": turn.planned != turn.producer and owners[turn.planned]["name"] if turn.planned else None,
                "current": turn is current,
            }

        values = {
            "coop": register.membership.cooperative["name"],
            "zone": str(zone),
            "ahead": [row(turn) for turn in found if turn.end > self.at],
            "past": [row(turn) for turn in reversed(begun) if turn.end <= self.at],
            "calendar": os.path.relpath(self.params["calendar"], os.path.dirname(self.params["page"]) or ".")
            if self.params["calendar"]
            else None,
            "producers": [
                {
                    "name": owners[one.id]["name"],
                    **self.support(one.id, register),
                    "weight": str(weights.get(one.id, Fraction(1))),
                    "turns": counts.get(one.id, 0),
                    "looks_after": looked_after.get(one.id, []),
                }
                for one in assignment.producers(register.records, self.at.date())
            ],
            "nobody_yet": looked_after.get("", []),
        }
        return pages.render("rota", "en", values)

    def summary(self, current: Turn | None, found: Sequence[Turn], proposals: Mapping[str, str], register: model.Register) -> list[str]:
        """One line for who is on, and one for each thing to do."""
        duty = self.duty(current, register)
        if duty["producer"]:
            lines = [f"On duty until {duty['until']}: {duty['producer']}"]
        else:
            lines = [f"On duty: nobody{' until ' + duty['until'] if duty['until'] else ''}; alerts go to {duty['alerts'][0]}"]
        for turn in found:
            if turn.producer is None and turn.end > self.at and turn is not current:
                lines.append(f"{turn.day}: nobody can take this turn; take back a holiday, or give another producer a weight")
        for member, producer in proposals.items():
            lines.append(f"{member} has nobody that looks after it; proposed: supported_by: {producer}")
        return lines
