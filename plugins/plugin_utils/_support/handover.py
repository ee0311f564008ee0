# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: who holds what a co-operative lives on, from C(handover.yml)."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.model import Membership
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record

from .files import File

PAGE = "docs/pages.md"
FILE = "handover.yml"
PEOPLE = 2
"""How many people hold a thing at least where nothing is said."""
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|AGE-SECRET-KEY-1|\$ANSIBLE_VAULT;|://[^/\s:@]+:[^/\s@]+@"
    r"|(?i:\b(?:passwor[dt]|passphrase|secret|token|pin|key))\s*[:=]\s*(?=\S*[0-9])(?=\S*[A-Za-z])\S{8,}"
)


class HandoverError(MembershipError):
    """A hand-over file that cannot be used; one line for each thing to mend."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """A person of a member who can use a thing."""

    member: str
    name: str
    email: str


@dataclasses.dataclass(frozen=True)
class Item:
    """A thing that somebody has to be able to do or open. C(wanted) is how many people have to hold it."""

    id: str
    name: str
    kind: str
    where: str | None
    holders: Sequence[Holder]
    wanted: int
    renew_by: datetime.date | None
    automatic: bool
    runbook: str | None
    notes: str | None

    def standing(self, records: Mapping[str, Record], on: datetime.date) -> list[Holder]:
        """Those of its holders whose co-operative is a member on a day."""
        return [one for one in self.holders if records[one.member].member(on)]

    def state(self, records: Mapping[str, Record], on: datetime.date) -> str:
        """C(down) with too few people, C(degraded) when all are of one co-operative, else C(ok); one person in two counts once."""
        standing = self.standing(records, on)
        if len({one.name.casefold() for one in standing}) < self.wanted:
            return "down"
        return "degraded" if len({one.member for one in standing}) < 2 else "ok"


def read(path: str, membership: Membership, records: Mapping[str, Record]) -> list[Item]:
    """Everything that the file names, in its order.

    Raises HandoverError with every problem there is.
    """
    file = File(path, "handover", "items", PAGE)
    if file.root is None:
        raise HandoverError(file.problems)
    found = [_item(file, name, raw, membership, records) for name, raw in file.root["items"].items()]
    for place, text in _texts(file.root, ()):
        if _SECRET.search(text):
            file.bad(place, "holds what looks like a secret; write where it lies, and change the secret: it has been written down")
    if file.problems:
        raise HandoverError(file.problems)
    return found


def _item(file: File, name: str, raw: Mapping[str, Any], membership: Membership, records: Mapping[str, Record]) -> Item:
    holders: list[Holder] = []
    for index, one in enumerate(raw["holders"]):
        place = ("items", name, "holders", index)
        member = one["member"]
        if member not in records:
            file.bad((*place, "member"), f"{show(member)} is no member; write one of {', '.join(records)}")
            continue
        contacts = {contact["name"]: contact["email"] for contact in membership.owners[member]["contacts"]}
        if one["contact"] not in contacts:
            said = (
                f"{show(one['contact'])} is no contact of {member}; write one of {', '.join(contacts)}, or add the person to its contacts"
            )
            file.bad((*place, "contact"), said)
            continue
        holder = Holder(member, one["contact"], contacts[one["contact"]])
        if holder in holders:
            file.bad(place, f"{show(holder.name)} of {member} stands here twice; keep one of the two")
        holders.append(holder)
    return Item(
        id=name,
        name=raw["name"],
        kind=raw["kind"],
        where=raw.get("where"),
        holders=holders,
        wanted=raw.get("people", PEOPLE),
        renew_by=file.day(("items", name, "renew_by")),
        automatic=raw.get("automatic", False),
        runbook=raw.get("runbook"),
        notes=raw.get("notes"),
    )


def _texts(node: Any, path: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    """Every text of a file with its path."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, (*path, index))
