# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a run does for each of its hosts, as lines for people. Knows no Ansible and prints nothing.

Names of hosts are the members' services; a stage is a link of the chain by which a service comes into being, or, elsewhere, a role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_CHAIN: Mapping[str, tuple[str, ...]] = {
    "plan": ("instance_plan",),
    "many at once": ("instance_apply",),
    "sign-in": ("oidc_check",),
    "image": ("greenlight_image",),
    "DNS": ("dns_zone", "octodns_zone", "dns_wait"),
    "own names": ("domain_check",),
    "secrets": ("instance_secrets",),
    "database": ("greenlight_database",),
    "tenant": ("pool_tenant",),
    "container": ("greenlight_container",),
    "settings": ("greenlight_settings",),
    "accounts": ("greenlight_user",),
    "route and certificate": ("caddy_route", "caddy_routes"),
    "invitation": ("smtp_check", "greenlight_reset_mail"),
    "verification": ("greenlight_verify",),
}
_STAGES = {module: stage for stage, modules in _CHAIN.items() for module in modules}
_RANKS = {stage: number for number, stage in enumerate(_CHAIN, 1)}
CHECKS = "checks"
"""What comes before the first link: a service is held to its tier."""
#: Roles whose other tasks (conditions, messages, files) belong to the link that comes before them.
_OF_THE_CHAIN = frozenset({"instance", "consumer", "dedicated_container", "dedicated_server", "accounts", "cms_access"})
LONGEST = 300
"""Characters of a reason that the recap shows."""
NAMED = 12
"""Members of one outcome that the recap names; those that failed are all named."""
WAITING = 10.0
"""Seconds after which a stage is announced although none of its tasks has ended."""


def stage_of(action: str, role: str | None, play: str, now: str | None) -> str:
    """The stage to which a task belongs: its module, the role that it stands in, the play, and the stage that the host is in now."""
    if action.startswith("meet.coop."):
        found = _STAGES.get(action.removeprefix("meet.coop."))
        if found:
            return found
    if role is None:
        return now or play
    name = role.rpartition(".")[2]
    if name in _OF_THE_CHAIN:
        return now if now in _RANKS else CHECKS
    return name.replace("_", " ")


def one_line(text: object, longest: int = LONGEST) -> str:
    """A message in one line without control characters, shortened where it is too long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:30 or 1:02:05."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


@dataclass
class Member:
    """One host of the play."""

    name: str
    stage: str | None = None
    told: str | None = None
    """The stage that was announced last."""
    task: str = ""
    begun: float = 0.0
    """When the stage began."""
    running: int = 0
    """Tasks of it that run."""
    reached: float = 0.0
    """How far it is, from 0 to 1; never less than before."""
    failed: bool = False


@dataclass
class Board:
    """The members of the play that runs, and what is remembered of the whole run."""

    started: float
    play: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """For each host that failed at some time: what it failed at, and why."""
    changed: set[str] = field(default_factory=set)

    def open(self, play: str, names: Iterable[str]) -> None:
        """A play begins with these hosts."""
        self.play = play
        self.members = {name: Member(name) for name in names}

    def begin(self, name: str, stage: str, task: str, position: float, now: float) -> None:
        """A task begins. `position` is where it stands among the tasks of the play, from 0 to 1."""
        member = self.members.setdefault(name, Member(name))
        if stage != member.stage:
            member.stage, member.begun = stage, now
        member.task, member.failed = task, False
        member.running += 1
        member.reached = max(member.reached, position, (_RANKS.get(stage, 1) - 1) / len(_RANKS))

    def end(self, name: str, skipped: bool = False) -> str | None:
        """A task has ended; the stage, when it is one to announce: a stage of which everything is skipped is none."""
        member = self.members.setdefault(name, Member(name))
        member.running = max(0, member.running - 1)
        if skipped or member.stage is None or member.stage == member.told:
            return None
        member.told = member.stage
        return member.stage

    def fail(self, name: str, reason: str) -> None:
        """A task has failed, and nothing says yet that it is rescued."""
        self.members.setdefault(name, Member(name)).failed = True
        self.reasons[name] = reason

    def waiting(self, now: float) -> list[tuple[str, str]]:
        """Members whose stage is to be announced because it takes long, each with the stage."""
        found = []
        for member in self.members.values():
            if member.running and member.stage and member.stage != member.told and now - member.begun >= WAITING:
                member.told = member.stage
                found.append((member.name, member.stage))
        return found

    def lines(self, width: int, height: int, now: float, signs: str = "█░") -> list[str]:
        """The live view: members at work, the longest first, and below them a bar for all. No line is longer than `width`."""
        active = sorted((member for member in self.members.values() if member.running), key=lambda one: one.begun)
        room = max(1, min(8, height - 4))
        shown = active if len(active) <= room else active[: room - 1]
        wide = max((len(member.name) for member in shown), default=0)
        stages = max((len(member.stage or "") for member in shown), default=0)
        told = [
            f"  {member.name:<{wide}}  {member.stage or '':<{stages}}  {clock(now - member.begun):>7}  {one_line(member.task)}"
            for member in shown
        ]
        if len(active) > len(shown):
            told.append(f"  and {len(active) - len(shown)} more at work")
        return [line[: max(1, width)] for line in [*told, self.overall(now, signs)]]

    def overall(self, now: float, signs: str = "█░") -> str:
        """How far the play is with all its members."""
        count = len(self.members)
        share = sum(1.0 if member.failed else member.reached for member in self.members.values()) / count if count else 0.0
        full = int(share * 24)
        changed = sum(name in self.changed for name in self.members)
        failed = sum(member.failed for member in self.members.values())
        parts = [f"{count} {_hosts(count)}"]
        parts += [f"{changed} changed"] if changed else []
        parts += [f"{failed} failed"] if failed else []
        reached = signs[0] * full + signs[1] * (24 - full)
        return f"{reached} {int(share * 100):>3} %  {', '.join(parts)}  {clock(now - self.started)}  {self.play}"


@dataclass(frozen=True)
class Outcome:
    """What became of one host in the whole run, as Ansible counts it."""

    name: str
    changed: int = 0
    failed: bool = False
    unreachable: bool = False


def recap(outcomes: Sequence[Outcome], reasons: Mapping[str, str], seconds: float, check: bool, command: str) -> list[tuple[str, str]]:
    """The end of the run: pairs of a kind (`title`, `ok`, `changed`, `failed`, `next`) and a line.

    `command` is the command line of the run without its limit.
    """
    kinds: dict[str, list[Outcome]] = {"ok": [], "changed": [], "failed": []}
    for one in outcomes:
        kinds["failed" if one.failed or one.unreachable else "changed" if one.changed else "ok"].append(one)
    mark = " (check mode: nothing was changed)" if check else ""
    told = [("title", f"{len(outcomes)} {_hosts(len(outcomes))} in {clock(seconds)}{mark}")]
    words = {"ok": "in sync", "changed": "would change" if check else "changed"}
    for kind, word in words.items():
        if kinds[kind]:
            told.append((kind, f"{len(kinds[kind]):>5} {word}: {_few([one.name for one in kinds[kind]])}"))
    if kinds["failed"]:
        told.append(("failed", f"{len(kinds['failed']):>5} failed:"))
        for one in kinds["failed"]:
            why = reasons.get(one.name) or "see above"
            told.append(("failed", f"      {one.name}: {'not reached: ' if one.unreachable else ''}{why}"))
    return told + [("next", line) for line in _next(kinds, check, command)]


def _next(kinds: Mapping[str, Sequence[Outcome]], check: bool, command: str) -> list[str]:
    lost = [one.name for one in kinds["failed"]]
    if lost:
        return [
            f"Next: mend what the {'line says' if len(lost) == 1 else 'lines say'}, then run again for "
            f"{'this one' if len(lost) == 1 else 'these'}:",
            f"      {command} -l {','.join(lost)}",
        ]
    if check and kinds["changed"]:
        return ["Next: the same without --check does it."]
    return ["Nothing is left to do."]


def _hosts(count: int) -> str:
    return "host" if count == 1 else "hosts"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
