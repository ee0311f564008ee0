# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads the folder of decisions into plain values; what is wrong is said with file and line.

C(read_folder(path, members)) gives everything a tally needs, and reads each file once: what is hashed is what was counted.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, decode, parse, read_bytes
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record
from ansible_collections.meet.coop.plugins.plugin_utils._membership.shape import check_shape, problem

PAGE = "docs/decisions.md"
STAGES = {"consensus": "positions", "vote": "votes"}
WORDS = {"consensus": ("agree", "abstain", "stand_aside", "block"), "vote": ("for", "against", "abstain")}
RULES_FILE, SIGNERS_FILE, PROPOSAL_FILE, OUTCOME_FILE = "rules.yml", "allowed_signers", "proposal.yml", "outcome.yml"

_FOLDER = re.compile(r"(D-[0-9]{4})(-[a-z0-9][a-z0-9-]*)?\Z")
_LIKE_A_FOLDER = re.compile(r"d-?[0-9]", re.IGNORECASE)
_SCHEMAS = {name: os.path.join(os.path.dirname(__file__), f"{name}.schema.json") for name in ("proposal", "position", "rules")}


class DecisionError(MembershipError):
    """Decision files that cannot be used; one line for each thing to mend."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """How decisions of one kind are taken; fractions are of the members that may answer unless C(of) says otherwise."""

    kind: str
    start: datetime.date
    decided_by: str | None
    quorum: Fraction
    quorum_least: int
    signatures: str
    early: bool
    days: int
    stand_aside_limit: Fraction
    notice_days: int
    threshold: Fraction
    of: str

    def facts(self) -> dict[str, Any]:
        """The rule as plain values, the same for the same rule."""
        return {
            key: value if isinstance(value, bool | int) or value is None else str(value) for key, value in dataclasses.asdict(self).items()
        }


@dataclasses.dataclass(frozen=True)
class RuleSet:
    """The rules of all kinds from one day on; C(place) is the file and line of what decided them."""

    start: datetime.date
    decided_by: str | None
    kinds: Mapping[str, Rule]
    place: tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Position:
    """What one member co-operative says in one round. C(signature) is the path of the signature file, if there is one."""

    member: str
    stage: str
    revision: int
    position: str
    reason: str | None
    by: str
    at: datetime.date
    name: str
    data: bytes
    signature: str | None
    signature_data: bytes | None


@dataclasses.dataclass(frozen=True)
class Decision:
    """One proposal and all that was said to it. C(inputs) are the sha256 of the proposal's own files by name."""

    id: str
    folder: str
    file: str
    root: Map
    title: str
    kind: str
    proposer: str
    opened: datetime.date
    revision: int
    revised: datetime.date | None
    closes_consensus: datetime.date
    vote_notice: datetime.date | None
    closes_vote: datetime.date | None
    withdrawn: datetime.date | None
    review_by: datetime.date | None
    text: str
    effect: str | None
    amends: tuple[str, ...]
    supersedes: tuple[str, ...]
    interested: frozenset[str]
    admits: tuple[str, ...]
    rule: Rule
    positions: tuple[Position, ...]
    inputs: Mapping[str, str]

    @property
    def begins(self) -> datetime.date:
        """The first day on which the current revision can be answered."""
        return self.revised or self.opened

    def of_stage(self, stage: str) -> list[Position]:
        """What was said in one round."""
        return [position for position in self.positions if position.stage == stage]


@dataclasses.dataclass(frozen=True)
class Folder:
    """All decisions by number, the sets of rules by day, and the path of C(allowed_signers) if it exists."""

    path: str
    decisions: Mapping[str, Decision]
    rule_sets: Sequence[RuleSet]
    signers: str | None


def sha256(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """The sha256 of plain values, whatever order their keys are in."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


def read_folder(path: str, members: Mapping[str, Record]) -> Folder:
    """Everything in a folder of decisions.

    Raises DecisionError with every problem there is.
    """
    reader = _Reader(path, members)
    folder = reader.read()
    if reader.problems:
        raise DecisionError(reader.problems)
    return folder


class _Reader:
    def __init__(self, path: str, members: Mapping[str, Record]) -> None:
        self.path = path
        self.shown = os.path.relpath(path)
        self.members = members
        self.problems: list[Problem] = []

    def read(self) -> Folder:
        folders = self.folders()
        rule_sets = self.rules()
        decisions: dict[str, Decision] = {}
        for number, name in sorted(folders.items()):
            decision = self.decision(number, name, rule_sets)
            if decision:
                decisions[number] = decision
        if not self.problems:
            self.check_references(decisions)
        signers = self.signers()
        signed = [position for decision in decisions.values() for position in decision.positions if position.signature]
        if signed and signers is None:
            file = self.file(SIGNERS_FILE)
            self.problems.append(
                Problem(file, 0, f"does not exist, and {signed[0].name} is signed; write the members' public keys there, see {PAGE}")
            )
        return Folder(self.path, decisions, rule_sets, signers)

    def file(self, *parts: str) -> str:
        return os.path.join(self.shown, *parts)

    def listed(self, *parts: str) -> list[str]:
        """Names in a folder, sorted; hidden ones left out. None of them when there is no such folder."""
        try:
            return sorted(name for name in os.listdir(os.path.join(self.path, *parts)) if not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as exc:
            said = (exc.strerror or str(exc)).lower()
            self.problems.append(Problem(self.file(*parts), 0, f"cannot be read: {said}; check the folder and its permissions"))
            return []

    def folders(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if not os.path.isdir(self.path):
            self.problems.append(Problem(self.shown, 0, f"is not a folder; make it, and put {RULES_FILE} there, see {PAGE}"))
        for name in self.listed():
            matched = _FOLDER.match(name)
            if not matched:
                if _LIKE_A_FOLDER.match(name):
                    said = "is not the name of a decision's folder; write D- and four figures, such as D-0007-fair-rate"
                    self.problems.append(Problem(self.file(name), 0, said))
            elif matched[1] in found:
                said = f"{matched[1]} is also the number of {found[matched[1]]}; give one of the two another number"
                self.problems.append(Problem(self.file(name), 0, said))
            else:
                found[matched[1]] = name
        return found

    def load(self, kind: str, first: str, *parts: str) -> tuple[Map | None, bytes]:
        """A YAML file of a schema, without problems of shape, and its bytes."""
        file = self.file(*parts)
        data = read_bytes(os.path.join(self.path, *parts), file, self.problems)
        text = None if data is None else decode(data, file, self.problems)
        before = len(self.problems)
        root = None if text is None else parse(text, file, self.problems, first, PAGE)
        if root is None or len(self.problems) > before:
            return None, b""
        wrong = check_shape(root, _SCHEMAS[kind])
        self.problems.extend(wrong)
        return (None if wrong else root), data or b""

    def day(self, root: Map, path: tuple[object, ...]) -> datetime.date | None:
        """The day at a path of a file of the right shape; None when it is not there or no day."""
        node: Any = root
        for step in path[:-1]:
            node = node[step]
        value = node.get(path[-1])
        if value is None:
            return None
        found = day(value)
        if found is None:
            said = f"{show(value)} is not a day of the calendar; write year-month-day, such as 2026-03-01"
            self.problems.append(problem(root, path, said))
        return found

    # -- rules.yml

    def rules(self) -> list[RuleSet]:
        if not os.path.isdir(self.path):
            return []
        if not os.path.exists(os.path.join(self.path, RULES_FILE)):
            self.problems.append(
                Problem(self.file(RULES_FILE), 0, f"does not exist; write how decisions are taken, or copy the one that {PAGE} names")
            )
            return []
        root, _data = self.load("rules", "rules", RULES_FILE)
        if root is None:
            return []
        sets: list[RuleSet] = []
        for index, entry in enumerate(root["rules"]):
            path = ("rules", index)
            start = self.day(root, (*path, "from"))
            if start is None:
                continue
            if sets and start <= sets[-1].start:
                self.problems.append(problem(root, (*path, "from"), f"{start} is not after {sets[-1].start}; write the sets oldest first"))
            if index and "decided_by" not in entry:
                self.problems.append(problem(root, path, "decided_by is missing; write the decision that set these rules, such as D-0003"))
            kinds: dict[str, Rule] = {}
            for kind, raw in entry["kinds"].items():
                for step in (("quorum",), ("consensus", "stand_aside_limit"), ("vote", "threshold")):
                    text = raw[step[0]] if len(step) == 1 else raw[step[0]][step[1]]
                    if Fraction(text) > 1:
                        self.problems.append(problem(root, (*path, "kinds", kind, *step), f"{text} is more than all; write at most 1/1"))
                kinds[kind] = Rule(
                    kind,
                    start,
                    entry.get("decided_by"),
                    Fraction(raw["quorum"]),
                    raw.get("quorum_least", 2),
                    raw.get("signatures", "optional"),
                    raw.get("early", True),
                    raw["consensus"]["days"],
                    Fraction(raw["consensus"]["stand_aside_limit"]),
                    raw["vote"]["notice_days"],
                    Fraction(raw["vote"]["threshold"]),
                    raw["vote"]["of"],
                )
            place = root["rules"][index].at("decided_by")
            sets.append(RuleSet(start, entry.get("decided_by"), kinds, place))
        return sets

    # -- D-NNNN

    def decision(self, number: str, name: str, rule_sets: Sequence[RuleSet]) -> Decision | None:
        if not os.path.exists(os.path.join(self.path, name, PROPOSAL_FILE)):
            self.problems.append(Problem(self.file(name), 0, f"holds no {PROPOSAL_FILE}; write one, or remove the folder"))
            return None
        root, data = self.load("proposal", "id", name, PROPOSAL_FILE)
        if root is None:
            return None
        before = len(self.problems)
        days = {
            key: self.day(root, (key,))
            for key in ("opened", "revised", "closes_consensus", "vote_notice", "closes_vote", "withdrawn", "review_by")
        }
        self.check_proposal(root, number, days)
        rule = self.rule(root, days["opened"], rule_sets)
        if rule and len(self.problems) == before:
            self.check_days(root, days, rule)
        inputs = {f"{name}/{PROPOSAL_FILE}": sha256(data)}
        for document, wanted in root.get("documents", {}).items():
            held = read_bytes(os.path.join(self.path, name, document), self.file(name, document), self.problems)
            if held is None:
                continue
            inputs[f"{name}/{document}"] = sha256(held)
            if sha256(held) != wanted:
                said = f"is not the sha256 of {document}, which is {sha256(held)}; put the file back, or make a new revision"
                self.problems.append(problem(root, ("documents", document), said))
        positions = [position for stage in STAGES for position in self.positions(number, name, stage, root["revision"])]
        if len(self.problems) > before or rule is None:
            return None
        return Decision(
            id=number,
            folder=name,
            file=self.file(name, PROPOSAL_FILE),
            root=root,
            title=root["title"],
            kind=root["kind"],
            proposer=root["proposer"],
            revision=root["revision"],
            text=root["text"],
            effect=root.get("effect"),
            amends=tuple(root.get("amends", ())),
            supersedes=tuple(root.get("supersedes", ())),
            interested=frozenset(root.get("conflict_of_interest", ())),
            admits=tuple(root.get("admits", ())),
            rule=rule,
            positions=tuple(positions),
            inputs=inputs,
            **days,  # type: ignore[arg-type]
        )

    def check_proposal(self, root: Map, number: str, days: Mapping[str, datetime.date | None]) -> None:
        if root["id"] != number:
            self.problems.append(problem(root, ("id",), f"{root['id']} stands in the folder of {number}; write {number}"))
        self.check_member(root, ("proposer",), root["proposer"])
        # Not those it admits: who was not admitted need not stay in the register.
        for index, member in enumerate(root.get("conflict_of_interest", ())):
            self.check_member(root, ("conflict_of_interest", index), member)
        opened = days["opened"]
        proposer = self.members.get(root["proposer"])
        if proposer and opened and not proposer.active(opened):
            was = "suspended" if proposer.suspension(opened) else "not a member"
            said = f"{show(root['proposer'])} was {was} on {opened}; name a member that proposes it"
            self.problems.append(problem(root, ("proposer",), said))
        for key in ("amends", "supersedes"):
            for index, other in enumerate(root.get(key, ())):
                if other == number:
                    said = f"{number} names itself; write the number of an earlier decision, or remove it"
                    self.problems.append(problem(root, (key, index), said))
                elif other > number:
                    said = f"{other} comes after {number}; only an earlier decision can be named"
                    self.problems.append(problem(root, (key, index), f"{said}, remove it here and write it there"))

    def check_member(self, root: Map, path: tuple[object, ...], member: str) -> None:
        if member not in self.members:
            known = ", ".join(sorted(self.members)[:8]) or "none"
            said = f"{show(member)} is no member in the membership file; write the id of one, such as {known}"
            self.problems.append(problem(root, path, said))

    def rule(self, root: Map, opened: datetime.date | None, rule_sets: Sequence[RuleSet]) -> Rule | None:
        if opened is None or not rule_sets:
            return None
        current = next((found for found in reversed(rule_sets) if found.start <= opened), None)
        if current is None:
            said = f"{opened} is before {rule_sets[0].start}, when the first rules in {self.file(RULES_FILE)} begin; mend one of the two"
            self.problems.append(problem(root, ("opened",), said))
            return None
        if root["kind"] not in current.kinds:
            said = f"{show(root['kind'])} has no rule from {current.start} on; write one of {', '.join(sorted(current.kinds))}"
            self.problems.append(problem(root, ("kind",), said))
            return None
        return current.kinds[root["kind"]]

    def check_days(self, root: Map, days: Mapping[str, datetime.date | None], rule: Rule) -> None:
        def bad(key: str, said: str) -> None:
            self.problems.append(problem(root, (key,), said))

        opened, closes, revised = days["opened"], days["closes_consensus"], days["revised"]
        notice, vote = days["vote_notice"], days["closes_vote"]
        if opened is None or closes is None:
            return
        if (root["revision"] > 1) != (revised is not None):
            if revised is None:
                bad("revision", f"revision {root['revision']} has no day; write revised: and the day it was put to the members")
            else:
                bad("revised", "revision 1 is not revised; remove this, or write the number of the revision")
            return
        if revised and revised < opened:
            bad("revised", f"{revised} is before the day it was opened, {opened}; mend one of the two")
            return
        least = (revised or opened) + datetime.timedelta(days=rule.days)
        if closes < least:
            bad("closes_consensus", f"{closes} is too soon: a {rule.kind} decision is open for {rule.days} days; write {least} or later")
        if (notice is None) != (vote is None):
            key, other = ("vote_notice", "closes_vote") if vote is None else ("closes_vote", "vote_notice")
            bad(key, f"stands here without {other}; write both, or neither")
        elif notice and vote:
            least = notice + datetime.timedelta(days=rule.notice_days + 1)
            if notice < (revised or opened):
                bad("vote_notice", f"{notice} is before the day it answers to, {revised or opened}; mend one of the two")
            elif vote < least:
                said = f"{vote} is too soon: a {rule.kind} vote has {rule.notice_days} clear days' notice; write {least} or later"
                bad("closes_vote", said)
        withdrawn = days["withdrawn"]
        if withdrawn and withdrawn < opened:
            bad("withdrawn", f"{withdrawn} is before the day it was opened, {opened}; mend one of the two")

    # -- positions/ and votes/

    def positions(self, number: str, name: str, stage: str, revision: int) -> list[Position]:
        folder = STAGES[stage]
        names = self.listed(name, folder)
        found: list[Position] = []
        for entry in names:
            file = self.file(name, folder, entry)
            stem, suffix = os.path.splitext(entry)
            if suffix == ".yaml":
                self.problems.append(Problem(file, 0, f"positions end in .yml; rename it to {stem}.yml, or remove it if that is there too"))
            elif suffix == ".sig" and stem not in names:
                self.problems.append(Problem(file, 0, f"signs {stem}, which is not there; put {stem} back, or remove the signature"))
            elif suffix == ".yml":
                position = self.position(number, name, stage, stem, revision, f"{entry}.sig" in names)
                if position:
                    found.append(position)
        return found

    def position(self, number: str, name: str, stage: str, stem: str, revision: int, signed: bool) -> Position | None:
        parts = (name, STAGES[stage], f"{stem}.yml")
        root, data = self.load("position", "member", *parts)
        if root is None:
            return None
        before = len(self.problems)

        def bad(key: str, said: str) -> None:
            self.problems.append(problem(root, (key,), said))

        member = root["member"]
        if member != stem:
            bad("member", f"{show(member)} stands in the file of {show(stem)}; one file for each member: write {stem}, or rename the file")
        else:
            self.check_member(root, ("member",), member)
        if root["proposal"] != number:
            bad("proposal", f"{root['proposal']} stands in the folder of {number}; write {number}")
        if root["stage"] != stage:
            bad("stage", f"{root['stage']} stands in {STAGES[stage]}/; write stage: {stage}, or move the file to {STAGES[root['stage']]}/")
        elif root["position"] not in WORDS[stage]:
            bad("position", f"{root['position']} is no answer of the {stage} round; write one of {', '.join(WORDS[stage])}")
        if root["revision"] > revision:
            bad("revision", f"the proposal has revision {revision} only; write {revision}")
        at = self.day(root, ("at",))
        signature, signature_data = None, None
        if signed:
            parts = (*parts[:-1], f"{stem}.yml.sig")
            signature = os.path.join(self.path, *parts)
            signature_data = read_bytes(signature, self.file(*parts), self.problems)
        if len(self.problems) > before or at is None:
            return None
        return Position(
            member,
            stage,
            root["revision"],
            root["position"],
            root.get("reason"),
            root["by"],
            at,
            "/".join((name, STAGES[stage], f"{stem}.yml")),
            data,
            signature,
            signature_data,
        )

    # -- between decisions

    def check_references(self, decisions: Mapping[str, Decision]) -> None:
        for decision in decisions.values():
            for key in ("amends", "supersedes"):
                for index, other in enumerate(getattr(decision, key)):
                    if other not in decisions:
                        said = f"{other} does not exist; write the number of an earlier decision, or remove it"
                        self.problems.append(problem(decision.root, (key, index), said))

    def signers(self) -> str | None:
        """Path of the file of keys, if there is one.

        One member stands on each line: a pattern, or a list, would let one member sign for another.
        """
        path, file = os.path.join(self.path, SIGNERS_FILE), self.file(SIGNERS_FILE)
        if not os.path.exists(path):
            return None
        data = read_bytes(path, file, self.problems)
        text = None if data is None else decode(data, file, self.problems)
        for number, line in enumerate((text or "").splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] not in self.members:
                said = f"{show(words[0])} is no member in the membership file; begin each line with one member's id, then its key"
                self.problems.append(Problem(file, number, said))
        return path
