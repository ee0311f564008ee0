# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: planned maintenance and incidents, from files. They are published, so none of them names a person."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.model import Membership

from .files import File

PAGE = "docs/status.md"
SEVERITIES = ("notice", "degraded", "down")
"""From the least to the worst."""
_NAME = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?)\.yml\Z")
_MAIL = re.compile(r"[^\s@<>(),;:]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


class NoticeError(MembershipError):
    """Files of maintenance or incidents that cannot be used; one line for each thing to mend."""


@dataclasses.dataclass(frozen=True)
class Words:
    """A text in one or several languages, by language; C("") for one whose language is not stated."""

    texts: Mapping[str, str]

    def language(self, wanted: str) -> str:
        """The language that a reader of another gets: the one wanted, else that of no name, else English, else the first."""
        return next((one for one in (wanted, "", "en") if one in self.texts), next(iter(self.texts)))

    def say(self, wanted: str) -> str:
        """The text for a reader of a language."""
        return self.texts[self.language(wanted)]


@dataclasses.dataclass(frozen=True)
class Maintenance:
    """Planned work. C(services) are the ids of those it touches; times in UTC; C(end) is when it is over, at the latest or in fact."""

    id: str
    title: Words
    text: Words | None
    begin: datetime.datetime
    end: datetime.datetime
    announced: datetime.datetime
    services: Sequence[str]
    everybody: bool
    ended: bool
    cancelled: bool

    def state(self, at: datetime.datetime) -> str:
        """One of C(cancelled), C(over), C(under_way), C(planned)."""
        if self.cancelled:
            return "cancelled"
        if at >= self.end:
            return "over"
        return "under_way" if at >= self.begin else "planned"

    def shown(self, at: datetime.datetime) -> bool:
        """Whether it is on the sites of those it touches."""
        return self.state(at) in ("under_way", "planned") and at >= self.announced


@dataclasses.dataclass(frozen=True)
class Update:
    """What was written about an incident at a time."""

    at: datetime.datetime
    text: Words


@dataclasses.dataclass(frozen=True)
class Incident:
    """What went wrong. C(end) is None while it is not over."""

    id: str
    title: Words
    severity: str
    begin: datetime.datetime
    end: datetime.datetime | None
    services: Sequence[str]
    everybody: bool
    updates: Sequence[Update]

    @property
    def changed(self) -> datetime.datetime:
        """When something was last said of it."""
        return max([self.begin, *([self.end] if self.end else []), *(one.at for one in self.updates)])

    def open(self, at: datetime.datetime) -> bool:
        """Whether it goes on at a time."""
        return self.begin <= at and (self.end is None or self.end > at)


def read_maintenance(folder: str, membership: Membership) -> list[Maintenance]:
    """Planned maintenance of a folder, the earliest first; none when there is no such folder.

    Raises NoticeError with every problem there is.
    """
    found = _read(folder, "maintenance", membership, _maintenance)
    return sorted(found, key=lambda one: (one.begin, one.id))


def read_incidents(folder: str, membership: Membership) -> list[Incident]:
    """Incidents of a folder, the latest first; none when there is no such folder.

    Raises NoticeError with every problem there is.
    """
    found = _read(folder, "incident", membership, _incident)
    return sorted(found, key=lambda one: (one.begin, one.id), reverse=True)


def _read(folder: str, schema: str, membership: Membership, make: Callable[[_Notice], Any]) -> list[Any]:
    problems: list[Problem] = []
    found: list[Any] = []
    shown = os.path.relpath(folder)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise NoticeError([Problem(shown, 0, f"cannot be read: {said}; check the folder and its permissions")]) from error
    for name in names:
        matched = _NAME.match(name)
        if not matched:
            if name.endswith((".yml", ".yaml")):
                said = "is not the name of a notice; write lower-case letters, digits and '-', such as 2026-11-nodes.yml"
                problems.append(Problem(os.path.join(shown, name), 0, said))
            continue
        file = File(os.path.join(folder, name), schema, "title", PAGE)
        if file.root is not None:
            notice = _Notice(file, matched[1], membership)
            one = make(notice)
            notice.check_people()
            if one is not None:
                found.append(one)
        problems.extend(file.problems)
    if problems:
        raise NoticeError(problems)
    return found


class _Notice:
    """One file of a notice, whose shape has been checked."""

    def __init__(self, file: File, name: str, membership: Membership) -> None:
        self.file = file
        self.id = name
        self.membership = membership

    def words(self, *path: object) -> Words | None:
        """The text at a path, None when there is none."""
        value = self.file.value(path)
        if value is None:
            return None
        return Words({"": value} if isinstance(value, str) else dict(value))

    def services(self) -> tuple[list[str], bool]:
        """The services it touches, and whether those are all."""
        stated = self.file.value(("services",))
        known = self.membership.services
        if stated is None:
            return list(known), True
        for index, name in enumerate(stated):
            if name not in known:
                advice = f"write one of {', '.join(known)}" if known else "add it to the membership file first"
                file, line = self.file.place(("services", index))
                self.file.problems.append(Problem(file, line, f"field services[{index}]: {show(name)} is no service; {advice}"))
        # Accounts on an instance are touched with it.
        return [name for name, one in known.items() if name in stated or one["instance"] in stated], False

    def order(self, begin: str, end: str) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        """Two times, the second after the first where both are stated."""
        one, other = self.file.instant((begin,)), self.file.instant((end,))
        if one and other and other <= one:
            self.file.bad((end,), f"is not after {begin}, {self.file.value((begin,))}; mend one of the two times")
        return one, other

    def check_people(self) -> None:
        """No text names a person of the membership file, or an address that is not meant for everybody."""
        public = {self.membership.cooperative["contact"]["email"].lower()}
        people: set[str] = set()
        for owner in self.membership.owners.values():
            people |= {one["name"] for one in owner["contacts"]}
            public |= {((owner["support"] or {}).get("email") or "").lower()}
        for service in self.membership.services.values():
            people |= {one["name"] for one in (*service["accounts"]["administrators"], *service["accounts"]["users"])}
        names = {owner["name"].lower() for owner in self.membership.owners.values()}
        # One word alone is as often a thing as a person.
        full = sorted(name for name in people if len(name.split()) > 1 and name.lower() not in names)
        for path, text in _texts(self.file.root, ()):
            for name in full:
                if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
                    self.file.bad(path, f"names {show(name)}, and this is published; write which co-operative, or nobody")
            for mail in _MAIL.findall(text):
                if mail.rstrip(".").lower() not in public:
                    self.file.bad(path, f"holds the address {show(mail)}, and this is published; write one that is meant for everybody")


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


def _maintenance(notice: _Notice) -> Maintenance | None:
    file = notice.file
    title = notice.words("title")
    begin, until = notice.order("from", "until")
    ended = file.instant(("ended",))
    if begin and ended and ended <= begin:
        file.bad(("ended",), f"is not after from, {file.value(('from',))}; write cancelled: true if it was not done")
    services, everybody = notice.services()
    if title is None or begin is None or until is None:
        return None
    return Maintenance(
        id=notice.id,
        title=title,
        text=notice.words("text"),
        begin=begin,
        end=ended or until,
        announced=begin - datetime.timedelta(days=file.value(("announce_days",)) if file.value(("announce_days",)) is not None else 3),
        services=services,
        everybody=everybody,
        ended=ended is not None,
        cancelled=bool(file.value(("cancelled",))),
    )


def _incident(notice: _Notice) -> Incident | None:
    file = notice.file
    title = notice.words("title")
    begin, end = notice.order("began", "ended")
    services, everybody = notice.services()
    updates: list[Update] = []
    for index, _raw in enumerate(file.value(("updates",)) or ()):
        path = ("updates", index)
        at, text = file.instant((*path, "at")), notice.words(*path, "text")
        if at and updates and at < updates[-1].at:
            file.bad((*path, "at"), "is before the update above; write the oldest first")
        if at and text:
            updates.append(Update(at, text))
    if title is None or begin is None:
        return None
    return Incident(notice.id, title, file.value(("severity",)) or "degraded", begin, end, services, everybody, updates)
