# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the hand-over page for operators, and what is due. No clock is read."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.register import RegisterTask
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day

from . import outputs, pages
from .files import beside, option_instant, zulu
from .handover import FILE, Item, read
from .status import read_receipts

KINDS = ("domain", "provider", "key", "passphrase", "contract", "certificate", "account", "other")
REVIEW_MONTHS = 24
"""After so many months evidence in the register is looked at again, as in member_register."""


class HandoverTask:
    """The work of one call of handover_page."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.at = option_instant("at", params["at"])
        self.on = self.at.date()
        for name in ("remind_days", "certificate_days"):
            if not 0 <= params[name] <= 3660:
                raise CoopError(f"{name}: {params[name]} is not from 0 to 3660; write how many days before, such as 60")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; the page is written unless in check mode."""
        self.register = model.load_register(*self.params["membership"], today=self.on)
        self.membership, self.records = self.register.membership, self.register.records
        path = self.params["handover"] or os.path.join(beside(self.params["membership"], None, "support"), FILE)
        items = read(path, self.membership, self.records)
        warnings: list[str] = []
        due = sorted(
            [*self.renewals(items), *self.leavers(items), *self.certificates(warnings), *self.of_the_register()],
            key=lambda one: (one["by"] or "", one["where"], one["what"]),
        )
        described = [self.described(item) for item in items]
        alone = [one["id"] for one in described if one["state"] == "down"]
        wanted = {self.params["page"]: self.page(described, due)} if self.params["page"] else {}
        return {
            **outputs.bring(wanted, check_mode, private=True),
            "at": zulu(self.at),
            "held": described,
            "alone": alone,
            "due": due,
            "summary": [
                f"{len(alone)} of {len(items)} things are held by too few people" + (f": {', '.join(alone)}" if alone else ""),
                *(
                    f"{one['where']}: {one['what']}" + (f", by {one['by']}" if one["by"] else "") + (", late" if one["late"] else "")
                    for one in due
                ),
                *warnings,
            ],
        }

    def described(self, item: Item) -> dict[str, Any]:
        """An item as plain values, as it is on the day."""
        standing = item.standing(self.records, self.on)
        return {
            "id": item.id,
            "name": item.name,
            "kind": item.kind,
            "where": item.where,
            "holders": [
                {
                    "member": one.member,
                    "cooperative": self.membership.owners[one.member]["name"],
                    "name": one.name,
                    "email": one.email,
                    "standing": one in standing,
                }
                for one in item.holders
            ],
            "wanted": item.wanted,
            "people": len({one.name.casefold() for one in standing}),
            "cooperatives": len({one.member for one in standing}),
            "state": item.state(self.records, self.on),
            "renew_by": str(item.renew_by) if item.renew_by else None,
            "automatic": item.automatic,
            "runbook": item.runbook,
            "notes": item.notes,
        }

    # -- what is due

    def due(self, where: str, what: str, by: datetime.date) -> Iterator[dict[str, Any]]:
        """Something with a day, if that is near or past."""
        if by <= self.on + datetime.timedelta(days=self.params["remind_days"]):
            yield {"where": where, "what": what, "by": str(by), "late": by < self.on}

    def renewals(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        """What has to be renewed."""
        for item in items:
            if item.renew_by:
                yield from self.due(item.id, f"{'see that it renews' if item.automatic else 'renew'}: {item.name}", item.renew_by)

    def leavers(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        """What members that leave or have left still hold."""
        for item in items:
            for member in dict.fromkeys(one.member for one in item.holders):
                left = self.records[member].left
                if left:
                    yield from self.due(item.id, f"take {item.name} over from {self.membership.owners[member]['name']}, which leaves", left)

    def certificates(self, warnings: list[str]) -> Iterator[dict[str, Any]]:
        """Certificates that verification saw near their end; what cannot be read is added to the warnings."""
        if not self.params["receipts"]:
            return
        receipts, wrong = read_receipts(self.params["receipts"], list(self.membership.services))
        warnings.extend(wrong)
        soon = self.on + datetime.timedelta(days=self.params["certificate_days"])
        for name, receipt in receipts.items():
            until = day(receipt.raw.get("certificate_until"))
            if until and until <= soon and self.membership.services[name]["state"] == "present":
                what = f"the certificate of {receipt.hostname} ends, and was not renewed by itself"
                yield {"where": name, "what": what, "by": str(until), "late": until < self.on}

    def of_the_register(self) -> Iterator[dict[str, Any]]:
        """What member_register names as due."""
        task = RegisterTask({
            "membership": self.params["membership"], "directory": self.params["decisions"], "as_of": str(self.on), "csv": None,
            "check_services": False, "review_months": REVIEW_MONTHS, "remind_days": self.params["remind_days"],
        })  # fmt: skip
        for one in task.run(True)["due"]:
            yield {"where": one["member"], "what": f"{one['name']}: {one['what']}", "by": one["by"], "late": one["late"]}

    # -- the page

    def page(self, items: Sequence[Mapping[str, Any]], due: Sequence[Mapping[str, Any]]) -> str:
        """The page; it names people."""
        people: dict[tuple[str, str], dict[str, Any]] = {}
        for item in items:
            for one in item["holders"]:
                its = people.setdefault((one["name"].casefold(), one["member"]), {**one, "holds": [], "alone": []})
                its["holds"].append(item)
                if one["standing"] and item["people"] == 1:
                    its["alone"].append(item["name"])
        values = {
            "coop": self.membership.cooperative["name"],
            "contact": self.membership.cooperative["contact"],
            "due": due,
            "items": items,
            "alone": [one for one in items if one["state"] == "down"],
            "kinds": [kind for kind in KINDS if any(one["kind"] == kind for one in items)],
            "people": sorted(people.values(), key=lambda one: (one["name"].casefold(), one["member"])),
            "machines": self.machines(),
        }
        return pages.render("handover", "en", values)

    def machines(self) -> list[dict[str, Any]]:
        """The machines of the membership file with what runs on them."""
        services = self.membership.services.values()
        found = [
            {
                "name": name,
                "address": host.get("address"),
                "runs": sorted(one["id"] for one in services if one["container_host"] == name and not one["instance"]),
                "what": "container host",
            }
            for name, host in self.membership.container_hosts.items()
        ]
        found += [
            {"name": one["server"]["domain"], "address": one["server"]["address"], "runs": [one["id"]], "what": "BigBlueButton server"}
            for one in services
            if one["server"]
        ]
        return found
