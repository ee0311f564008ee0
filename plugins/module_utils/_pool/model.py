# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: tenants and nodes of a pool, whichever engine runs it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

MASK = "********"
MASK_NEW = "******** (new)"
NAME = re.compile(r"[a-z0-9]{1,16}\Z")
SECRET = re.compile(r"[!-~]{16,}\Z")
DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?\Z")
TAG = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
MAX_CAP = 100_000
"""Larger caps are typing errors; 100000 minutes are 69 days."""

BLOCKED_CREATE = (
    "disabledFeaturesExclude",  # undoes disabledFeatures
    "allowRequestsWithoutSession",  # lets a stolen link in without the cookie it came with
    "isBreakout",
    "isBreakoutRoom",
    "parentMeetingID",  # no engine scopes the parent: breakouts of other tenants' meetings
    "meetingEndedURL",  # BBBLB would fetch any URL from the pool host (services/bbb.py, _trigger_callback), with Scalelite the node would
)
"""Parameters of ``create`` that nobody with a tenant's secret may send. Greenlight sends none of them."""

EXPIRY = {"meetingExpireIfNoUserJoinedInMinutes": 5, "meetingExpireWhenLastUserLeftInMinutes": 1}
"""BigBlueButton's defaults in minutes, here the most there is: 0 would keep empty meetings, and their seats on a node, for ever."""

AT_ONCE = {"meetings_at_once": "coopMeetings", "participants_at_once": "coopParticipants"}
"""Under which names engines keep what a tenant may have at once. No engine knows them: role pool's corrections read them, and send them to
no node."""

NO_RECORDING = {
    "record": "=false",
    "autoStartRecording": "=false",
    "allowStartStopRecording": "=false",
    "recordFullDurationMedia": "=false",
    "meetingKeepEvents": "=false",
}
"""What is forced on a tenant that may not record. Without the last two a node keeps media or events of meetings that nobody records."""


@dataclass(frozen=True)
class Tenant:
    """What a pool shall know of one tenant.

    ``duration_max`` is in minutes, ``participants_max`` counts the people in one meeting; 0 means no cap. ``record`` says whether the
    tenant may record at all. Caps bind everyone who holds the secret; smaller wishes pass. ``previous_secret`` opens the same tenant while
    its secret is being changed. With a ``tag`` its meetings run on nodes of that tag and on no others.

    ``meetings_at_once`` and ``participants_at_once`` count all its meetings together; a tenant that has as many begins no other meeting,
    and people still join those that there are. 0 means no such limit.
    """

    name: str
    secret: str = field(default="", repr=False)
    enabled: bool = True
    duration_max: int = 0
    participants_max: int = 0
    record: bool = False
    disabled_features: tuple[str, ...] = ()
    state: str = "present"
    previous_secret: str = field(default="", repr=False)
    tag: str = ""
    meetings_at_once: int = 0
    participants_at_once: int = 0

    def check(self) -> None:
        """Raise CoopError with one clear line unless the tenant can be brought into a pool."""
        if not NAME.match(self.name):
            raise CoopError(f"tenant {self.name!r}: a name is 1 to 16 lower-case letters and digits")
        if self.state == "absent":
            return
        _check_secret(f"tenant {self.name}", self.secret)
        if self.previous_secret:
            _check_secret(f"tenant {self.name}, previous_secret", self.previous_secret)
        _check_tag(f"tenant {self.name}", self.tag)
        for option in ("duration_max", "participants_max", *AT_ONCE):
            value = getattr(self, option)
            if not 0 <= value <= MAX_CAP:
                raise CoopError(f"tenant {self.name}: {option} is {value}; write a number from 1 to {MAX_CAP}, or 0 for no cap")
        for feature in self.disabled_features:
            if not re.fullmatch(r"[A-Za-z]+", feature):
                raise CoopError(f"tenant {self.name}: {feature!r} is no name of a BigBlueButton feature, such as polls or chat")


@dataclass(frozen=True)
class Node:
    """What a pool shall know of one BigBlueButton server. ``domain`` may hold a port. With a ``tag`` it serves tenants of that tag only."""

    domain: str
    secret: str = field(default="", repr=False)
    enabled: bool = True
    state: str = "present"
    tag: str = ""

    def check(self) -> None:
        """Raise CoopError with one clear line unless the node can be brought into a pool."""
        if not DOMAIN.match(self.domain):
            raise CoopError(f"node {self.domain!r}: write the server's host name alone, in lower case, without scheme or path")
        if self.state == "present":
            _check_secret(f"node {self.domain}", self.secret)
            _check_tag(f"node {self.domain}", self.tag)


@dataclass(frozen=True)
class Change:
    """One step of a plan: which object, what happens to it, and both sides as they may be shown."""

    name: str
    action: str
    before: dict[str, t.Any] | None
    after: dict[str, t.Any] | None


def check_all(objects: t.Sequence[Tenant] | t.Sequence[Node], kind: str, key: str) -> None:
    """Check each and that none is listed twice."""
    seen: set[str] = set()
    for one in objects:
        one.check()
        name = getattr(one, key)
        if name in seen:
            raise CoopError(f"{kind} {name} is listed twice; write it once")
        seen.add(name)


def shown(before: t.Mapping[str, t.Any] | None, after: t.Mapping[str, t.Any] | None) -> tuple[t.Any, t.Any]:
    """Both sides of a difference without their secrets; a secret that changes is still seen to change."""
    old = None if before is None else {**before, "secret": MASK}
    new = None if after is None else {**after, "secret": MASK}
    if old is not None and new is not None and before is not None and after is not None and before.get("secret") != after.get("secret"):
        new["secret"] = MASK_NEW
    return old, new


def _check_secret(what: str, secret: str) -> None:
    if not SECRET.match(secret):
        raise CoopError(f"{what}: its secret must be 16 or more visible ASCII characters without spaces")


def _check_tag(what: str, tag: str) -> None:
    if tag and (not TAG.match(tag) or tag == "none"):
        raise CoopError(f"{what}: a tag is 1 to 32 letters, digits, hyphens and underscores, and not the word none")
