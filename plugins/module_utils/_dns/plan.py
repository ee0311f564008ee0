# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: from a zone as it is and records as they should be to the smallest change that is ours to make.

Rules, each of them a refusal that names the record and what to write instead:
an existing record without our mark is never changed, deleted or adopted unless C(adopt) names it; a name marked by
another deployment or for another member is not ours; a CNAME never meets other records; nothing is written where a
delegation hides it, and no delegation hides what exists; and one run removes no more than a share of all names this
deployment has marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.marks import (
    Mark,
    check_markable,
    is_mark_name,
    mark_name,
    marked_label,
    read_marks,
)
from ansible_collections.meet.coop.plugins.module_utils._dns.records import (
    TYPES,
    RecordError,
    RRset,
    Snapshot,
    absolute_name,
    relative_name,
)
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_BESIDE_CNAME = frozenset({"RRSIG", "NSEC", "NSEC3", "KEY"})
"""Types that may stand beside a CNAME (RFC 2181 section 10.1, RFC 4034)."""
_AT_A_CUT = frozenset({"NS", "DS"}) | _BESIDE_CNAME
"""Types that are answered at a delegation."""


class PlanRefused(CoopError):
    """The plan would touch what isn't ours, or too much. C(problems) holds one line per record."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Scope:
    """On whose behalf a run acts, and in which zone: it sees and prunes only names marked for this deployment and member."""

    deployment: str
    member: str
    origin: Any


@dataclass(frozen=True)
class Change:
    """One record set before and after; C(None) is absence."""

    before: RRset | None
    after: RRset | None

    @property
    def rrset(self) -> RRset:
        found = self.after or self.before
        if found is None:
            raise ValueError("a change has a record set before or after it")
        return found

    @property
    def action(self) -> str:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"


@dataclass
class Plan:
    """Changes in the order of their names, and what they rest on: the record sets of every touched name as seen."""

    changes: list[Change] = field(default_factory=list)
    seen: dict[tuple[str, str], RRset | None] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    """Names that must hold nothing at all (a CNAME will come)."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def labels(self) -> list[str]:
        """Names with a change, whether of their records or of their mark."""
        names = (change.rrset.name for change in self.changes)
        return sorted({marked_label(name) if is_mark_name(name) else name for name in names})


class Adoption:
    """Which existing records the user named to be taken over: C(name) or C(name/TYPE)."""

    def __init__(self, entries: Iterable[str], origin: Any) -> None:
        self._entries: set[tuple[str, str | None]] = set()
        for entry in entries:
            name, _slash, rtype = entry.partition("/")
            self._entries.add((relative_name(name, origin), rtype.strip().upper() or None))

    def names(self, name: str, rtype: str) -> bool:
        return (name, None) in self._entries or (name, rtype) in self._entries

    @property
    def labels(self) -> set[str]:
        return {name for name, _rtype in self._entries}


def group_desired(desired: Iterable[RRset], origin: Any) -> dict[str, dict[str, RRset]]:
    """Desired record sets by name and type, checked against one another. Raises PlanRefused with all problems."""
    wanted: dict[str, dict[str, RRset]] = {}
    problems = []
    for rrset in desired:
        types = wanted.setdefault(rrset.name, {})
        if rrset.type in types:
            problems.append(f"{rrset.name} {rrset.type} is in the list twice; write all its values in one record")
        types[rrset.type] = rrset
    for name, types in sorted(wanted.items()):
        try:
            check_markable(name, origin)
        except RecordError as error:
            problems.append(str(error))
        if "CNAME" in types and name == "@":
            problems.append("the zone's own name can't be a CNAME; write A and AAAA records")
        elif "CNAME" in types and len(types) > 1:
            others = ", ".join(sorted(set(types) - {"CNAME"}))
            problems.append(f"{name}: a CNAME can't stand beside {others}; write one or the other")
        if "NS" in types and name == "@":
            problems.append("the zone's own NS records belong to its server; only delegations below it are managed")
        if "NS" in types and name.startswith("*"):
            problems.append(f"{name}: a wildcard can't be a delegation (RFC 4592); write one NS record for each name")
    if problems:
        raise PlanRefused(problems)
    return wanted


@dataclass(frozen=True)
class Index:
    """What is read out of a whole zone; made once where many members are planned in one."""

    marks: dict[str, Mark]
    types_at: dict[str, set[str]]


def index(current: Snapshot) -> Index:
    """The marks of a zone, and the types at each name."""
    types_at: dict[str, set[str]] = {}
    for name, rtype in current:
        types_at.setdefault(name, set()).add(rtype)
    return Index(read_marks(current), types_at)


def make_plan(
    current: Snapshot, desired: Iterable[RRset], scope: Scope, adoption: Adoption, max_delete_share: float, known: Index | None = None
) -> Plan:
    """The changes that bring C(current) to C(desired) within C(scope). Raises PlanRefused with every problem at once."""
    wanted = group_desired(desired, scope.origin)
    known = known or index(current)
    marks, types_at = known.marks, known.types_at

    plan = Plan()
    problems: list[str] = []
    mine = {label: mark for label, mark in marks.items() if mark.readable and (mark.owner, mark.member) == (scope.deployment, scope.member)}

    for label, types in wanted.items():
        refusal = _mark_refusal(label, marks.get(label), scope)
        if refusal:
            problems.append(refusal)
            continue
        managed = mine[label].types if label in mine else frozenset()
        _plan_name(plan, problems, current, types_at.get(label, set()), label, types, managed, adoption)
        _plan_mark(plan, current, Mark(label, scope.deployment, scope.member, frozenset(types)))

    removed = sorted(set(mine) - set(wanted))
    for label in removed:
        for rtype in sorted(mine[label].types):
            _change(plan, current, label, rtype, None)
        _change(plan, current, mark_name(label), "TXT", None)

    problems += _hidden(current, wanted, mine, scope.origin)
    of_deployment = sum(mark.readable and mark.owner == scope.deployment for mark in marks.values())
    allowed = max(1, int(max_delete_share * of_deployment))
    if len(removed) > allowed:
        problems.append(
            f"would remove {len(removed)} of the {of_deployment} names marked by '{scope.deployment}' ({', '.join(removed[:5])}"
            f"{', …' if len(removed) > 5 else ''}), more than the {allowed} that max_delete_share={max_delete_share:g} allows; "
            "raise it if this is meant"
        )
    if problems:
        raise PlanRefused(problems)
    plan.changes.sort(key=lambda change: (change.rrset.name, change.rrset.type))
    return plan


def _ancestors(name: str) -> Iterator[str]:
    """The names above a relative name, below the zone's own, nearest first."""
    _first, dot, rest = name.partition(".")
    while dot:
        yield rest
        _first, dot, rest = rest.partition(".")


def _hidden(current: Snapshot, wanted: dict[str, dict[str, RRset]], mine: dict[str, Mark], origin: Any) -> list[str]:
    """Why records would never be answered: they stand at or below a delegation (other than its addresses), or below a DNAME."""
    cuts: dict[str, RRset] = {}
    for (name, rtype), rrset in current.items():
        if rtype in ("NS", "DNAME") and name != "@" and not (name in mine and rtype in mine[name].types):
            cuts[name] = rrset
    existing_cuts = {name for name, rtype in current if rtype in ("NS", "DNAME")}
    cuts.update((name, types["NS"]) for name, types in wanted.items() if "NS" in types)
    if not cuts:
        return []

    def cut_above(name: str, rtype: str) -> RRset | None:
        for place in (name, *_ancestors(name)):
            cut = cuts.get(place)
            if cut is None or (place == name and (cut.type == "DNAME" or rtype in _AT_A_CUT)):
                continue
            glue = cut.type == "NS" and rtype in ("A", "AAAA")
            if glue and absolute_name(name, origin) in {rdata.target for rdata in cut.rdatas}:
                continue
            return cut
        return None

    problems = []
    for name, types in sorted(wanted.items()):
        for rtype in sorted(types):
            cut = cut_above(name, rtype)
            if cut is not None:
                problems.append(
                    f"{name} {rtype} would never be answered: {cut.name} {cut.type} ({', '.join(cut.values)}) hands that name to another "
                    "zone; write the record there, or remove the delegation first"
                )
    new_cuts = {name for name, types in wanted.items() if "NS" in types} - existing_cuts
    if new_cuts:
        for name, rtype in sorted(current):
            ours = name in mine and rtype in mine[name].types
            if ours or is_mark_name(name) or rtype in _BESIDE_CNAME or not new_cuts.intersection((name, *_ancestors(name))):
                continue
            cut = cut_above(name, rtype)
            if cut is not None and cut.name in new_cuts:
                problems.append(f"{cut.name} NS would hide the existing {name} {rtype}, which carries no mark of ours; move that first")
    return problems


def _mark_refusal(label: str, mark: Mark | None, scope: Scope) -> str | None:
    if mark is None:
        return None
    where = f"{label} ({mark_name(label)} TXT)"
    if not mark.readable:
        return f"{where} holds something that is no mark of this tool; remove that record, or choose another name"
    if mark.owner != scope.deployment:
        return f"{where} is marked as owned by the deployment '{mark.owner}', not '{scope.deployment}'; choose another name"
    if mark.member != scope.member:
        return f"{where} is marked for '{mark.member}', not '{scope.member}'; let that one give it up first, or choose another name"
    return None


def _plan_name(
    plan: Plan,
    problems: list[str],
    current: Snapshot,
    existing_types: set[str],
    label: str,
    types: dict[str, RRset],
    managed: frozenset[str],
    adoption: Adoption,
) -> None:
    for rtype, rrset in sorted(types.items()):
        if rtype in existing_types and rtype not in managed and not adoption.names(label, rtype):
            problems.append(_unmarked(current[label, rtype], f"write adopt: ['{label}/{rtype}'] to take it over, or remove it first"))
            continue
        _change(plan, current, label, rtype, rrset)

    if "CNAME" in types:
        in_the_way = existing_types - _BESIDE_CNAME - set(types) - managed
        if existing_types:
            # A server drops a CNAME that meets anything else without a word, so nothing may have come meanwhile.
            for rtype in TYPES:
                plan.seen.setdefault((label, rtype), current.get((label, rtype)))
        else:
            plan.unused.append(label)
    else:
        in_the_way = (existing_types & {"CNAME"}) - managed
        if "CNAME" not in existing_types:
            plan.seen.setdefault((label, "CNAME"), None)
    for rtype in sorted(in_the_way):
        if adoption.names(label, rtype):
            _change(plan, current, label, rtype, None)
        else:
            problems.append(
                _unmarked(
                    current[label, rtype],
                    f"it can't stand beside {'a CNAME' if 'CNAME' in types else ', '.join(sorted(types))}: "
                    f"remove it first, or write adopt: ['{label}/{rtype}'] to have it replaced",
                )
            )
    for rtype in sorted(managed - set(types)):
        _change(plan, current, label, rtype, None)


def _unmarked(rrset: RRset, remedy: str) -> str:
    shown = ", ".join(rrset.values[:3]) + (", …" if len(rrset.values) > 3 else "")
    return f"{rrset.name} {rrset.type} exists ({shown}) and carries no mark of ours; {remedy}"


def _plan_mark(plan: Plan, current: Snapshot, mark: Mark) -> None:
    _change(plan, current, mark_name(mark.label), "TXT", mark.rrset())


def _change(plan: Plan, current: Snapshot, name: str, rtype: str, after: RRset | None) -> None:
    before = current.get((name, rtype))
    plan.seen[name, rtype] = before
    if before is None and after is None:
        return
    if after is None or not after.same(before):
        plan.changes.append(Change(before, after))
