# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what came out of one decision. A function of the files and of a given day; no clock, no locale, no order of files.

A round ends after its closing day, or, where the rule says so, on the day on which the last of those that may answer has answered.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import yaml

from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import where
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record

from .files import OUTCOME_FILE, Decision, DecisionError, Position, Problem, Rule, digest, sha256

HEADER = "---\n# Made by meet.coop.decision_tally from the files beside it; it is written anew, so change those.\n"
FINAL = ("passed", "rejected", "no_quorum", "withdrawn")
# Fingerprint of the key that signed a position, None when it is no key of the member valid on that day.
Verify = Callable[[Position], "str | None"]


@dataclasses.dataclass(frozen=True)
class NotCounted:
    """A position that is shown and not counted."""

    position: Position
    why: str


@dataclasses.dataclass(frozen=True)
class Round:
    """One round as it stands: who may answer, what counts, and the day it ended, if it has."""

    opens: datetime.date
    closes: datetime.date
    ended: datetime.date | None
    eligible: tuple[str, ...]
    counted: tuple[Position, ...]
    not_counted: tuple[NotCounted, ...]

    @property
    def waiting(self) -> list[str]:
        """Who may answer and has not, in a way that counts."""
        answered = {position.member for position in self.counted}
        return [member for member in self.eligible if member not in answered]

    def said(self, word: str) -> int:
        """How many say this."""
        return sum(position.position == word for position in self.counted)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out: C(result) is passed, rejected, blocked, open, no_quorum or withdrawn; C(state) says how."""

    decision: Decision
    result: str
    state: str
    decided: datetime.date | None
    consensus: Round | None
    vote: Round | None
    arithmetic: tuple[str, ...]
    inputs: Mapping[str, str]
    keys: Mapping[str, str]

    @property
    def current(self) -> Round | None:
        """The round that the result comes from, or that is running."""
        return self.vote or self.consensus

    @property
    def hash(self) -> str:
        """Changes with everything that was counted."""
        return digest(dict(self.inputs))


def tally(decision: Decision, members: Mapping[str, Record], as_of: datetime.date, verify: Verify) -> Outcome:
    """The outcome of a decision as it is on a day.

    Raises DecisionError when its dates contradict what was said.
    """
    return _Tally(decision, members, as_of, verify).outcome()


def share(part: Fraction, whole: int) -> int:
    """The least whole number that is at least a share of a number."""
    return math.ceil(part * whole)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


class _Tally:
    def __init__(self, decision: Decision, members: Mapping[str, Record], as_of: datetime.date, verify: Verify) -> None:
        self.decision = decision
        self.rule: Rule = decision.rule
        self.members = members
        self.as_of = as_of
        self.verify = verify
        self.keys: dict[str, str] = {}
        self.words: list[str] = []

    def outcome(self) -> Outcome:
        decision = self.decision
        if self.as_of < decision.begins:
            self.words.append(f"It opens on {decision.begins}.")
            return self.result("open", "draft", None, None, None)
        taken_back = decision.withdrawn if decision.withdrawn and decision.withdrawn <= self.as_of else None
        if taken_back:
            self.as_of = taken_back
        found = self.rounds()
        if not taken_back:
            return found
        if found.result in FINAL:
            file, line = where(decision.root, ("withdrawn",))
            said = f"field withdrawn: {taken_back} is too late, it was {found.result} on {found.decided}; remove this line"
            raise DecisionError([Problem(file, line, f"{said}, and open a decision that supersedes it")])
        self.words.append(f"Withdrawn by {decision.proposer} on {taken_back}.")
        return self.result("withdrawn", "withdrawn", taken_back, found.consensus, found.vote)

    # -- rounds

    def rounds(self) -> Outcome:
        decision = self.decision
        consensus = self.round("consensus", decision.begins, decision.closes_consensus)
        state = self.consensus_state(consensus)
        if state == "open":
            self.words.append(f"Open until {consensus.closes}.")
            return self.result("open", "consensus", None, consensus, None)
        if state != "blocked":
            return self.result(*state.split(), consensus.ended, consensus, None)
        if not decision.vote_notice or not decision.closes_vote:
            self.words.append("No vote is called: the proposal waits for a new revision, or for notice of a vote.")
            return self.result("blocked", "blocked", None, consensus, None)
        if consensus.ended and decision.vote_notice < consensus.ended:
            file, line = where(decision.root, ("vote_notice",))
            said = f"{decision.vote_notice} is before {consensus.ended}, when the consensus round ended; a vote is called after a block"
            raise DecisionError([Problem(file, line, f"field vote_notice: {said}, write {consensus.ended} or later")])
        if self.as_of < decision.vote_notice:
            self.words.append(f"Notice of a vote is given on {decision.vote_notice}.")
            return self.result("blocked", "blocked", None, consensus, None)
        vote = self.round("vote", decision.vote_notice, decision.closes_vote)
        state = self.vote_state(vote)
        if state == "open":
            self.words.append(f"The vote is open until {vote.closes}.")
            return self.result("open", "voting", None, consensus, vote)
        return self.result(*state.split(), vote.ended, consensus, vote)

    def round(self, stage: str, opens: datetime.date, closes: datetime.date) -> Round:
        """A round as it stands on the day of the tally."""
        decision = self.decision
        said = decision.of_stage(stage)
        flaws = {position.member: self.flaw(position, opens, closes) for position in said}
        answers = {position.member: position.at for position in said if flaws[position.member] is None}
        invited = [
            member for member, its in sorted(self.members.items()) if its.active(decision.opened) and member not in decision.interested
        ]
        ended = closes if self.as_of > closes else None
        # The days on which somebody answers or leaves: on the first of them that leaves nobody waiting, all have answered.
        turns = [on for member in invited for on in self.members[member].turns()]
        for on in sorted({*answers.values(), *turns}) if self.rule.early else ():
            there = [member for member in invited if self.members[member].active(on)]
            if opens <= on <= min(closes, self.as_of) and there and all(member in answers and answers[member] <= on for member in there):
                ended = on
                break
        last = ended or closes
        eligible = tuple(member for member in invited if self.members[member].active(last))
        not_counted = []
        for position in said:
            why = self.outsider(position.member, last) or flaws[position.member]
            if why:
                not_counted.append(NotCounted(position, why))
        refused = {one.position.member for one in not_counted}
        counted = tuple(position for position in said if position.member not in refused)
        return Round(opens, closes, ended, eligible, counted, tuple(not_counted))

    def outsider(self, member: str, last: datetime.date) -> str | None:
        """Why a member may not answer, if it may not."""
        its, opened = self.members[member], self.decision.opened
        if member in self.decision.interested:
            return "the decision is about this member"
        for on, when in ((opened, "when the decision was opened"), (last, "when the round ended")):
            suspension = its.suspension(on)
            if suspension and its.member(on):
                return f"was suspended from {suspension.start}, and still on {on}, {when}"
        if its.active(opened) and its.active(last):
            return None
        ended = next((span.end for span in its.spans if span.end and (its.span(opened) in (span, None)) and span.end <= last), None)
        joined = next((span.start for span in its.spans if span.start > opened), None)
        if its.member(opened) or joined is None:
            return f"left on {ended}" if ended else "is no member"
        return f"joined on {joined}, after the decision was opened on {opened}"

    def flaw(self, position: Position, opens: datetime.date, closes: datetime.date) -> str | None:
        """Why what a member says does not count, if it does not."""
        if position.revision < self.decision.revision:
            return f"answers revision {position.revision}; revision {self.decision.revision} is current"
        if position.at < opens:
            return f"is of {position.at}; this round began on {opens}"
        if position.at > closes:
            return f"came on {position.at}; the round closed on {closes}"
        if position.at > self.as_of:
            return f"is of {position.at}, a day still to come"
        if position.position in ("block", "stand_aside") and not (position.reason or "").strip():
            return f"{position.position} without a reason"
        if position.signature is None:
            return "is not signed" if self.rule.signatures == "required" else None
        key = self.verify(position)
        if key is None:
            return f"its signature is not one of a key of {position.member} that was valid on {position.at}"
        self.keys[position.name] = key
        return None

    # -- arithmetic, in words

    def quorum(self, found: Round) -> bool:
        members, answered = len(found.eligible), len(found.counted)
        needed = max(self.rule.quorum_least, share(self.rule.quorum, members))
        self.words.append(
            f"Quorum: {self.rule.quorum} of {members} and at least {self.rule.quorum_least}, so {needed}; "
            f"{answered} answered, so it is {'reached' if answered >= needed else 'not reached'}."
        )
        return answered >= needed

    def consensus_state(self, found: Round) -> str:
        """open, blocked, or result and state."""
        members, agree, aside = len(found.eligible), found.said("agree"), found.said("stand_aside")
        said = _list([
            _count(agree, "agrees", "agree"),
            _count(found.said("abstain"), "abstains", "abstain"),
            _count(aside, "stands aside", "stand aside"),
            _count(found.said("block"), "blocks", "block"),
        ])  # fmt: skip
        self.words.append(f"Consensus: {_count(members, 'member', 'members')} may answer, {len(found.counted)} did: {said}.")
        if found.ended is None:
            return "open"
        if found.said("block"):
            self.words.append(f"Blocked on {found.ended} by {_list([one.member for one in found.counted if one.position == 'block'])}.")
            return "blocked"
        if aside > self.rule.stand_aside_limit * members:
            self.words.append(f"Standing aside: {aside} is more than {self.rule.stand_aside_limit} of {members}, so there is no consensus.")
            return "blocked"
        if not self.quorum(found):
            self.words.append(f"Lapsed on {found.ended}.")
            return "no_quorum lapsed"
        if not agree:
            self.words.append(f"Nobody agrees. Rejected on {found.ended}.")
            return "rejected failed"
        self.words.append(f"Nobody blocks. Passed by consensus on {found.ended}.")
        return "passed passed-by-consensus"

    def vote_state(self, found: Round) -> str:
        """open, or result and state."""
        members, in_favour, against = len(found.eligible), found.said("for"), found.said("against")
        self.words.append(
            f"Vote: {_count(members, 'member has', 'members have')} one vote each, {len(found.counted)} voted: "
            f"{in_favour} for, {against} against, {_count(found.said('abstain'), 'abstains', 'abstain')}."
        )
        if found.ended is None:
            return "open"
        if not self.quorum(found):
            self.words.append(f"Lapsed on {found.ended}.")
            return "no_quorum lapsed"
        base = in_favour + against if self.rule.of == "votes" else members
        of = _count(base, "vote for or against", "votes for or against") if self.rule.of == "votes" else _count(base, "member", "members")
        needed = max(share(self.rule.threshold, base), against + 1)
        passed = in_favour >= needed
        self.words.append(
            f"Threshold: {self.rule.threshold} of {of} and more for than against, so {needed}; "
            f"{in_favour} for, so it is {'reached' if passed else 'not reached'}."
        )
        self.words.append(f"{'Passed by vote' if passed else 'Rejected'} on {found.ended}.")
        return "passed passed-by-vote" if passed else "rejected failed"

    # -- what it rests on

    def result(
        self, result: str, state: str, decided: datetime.date | None, consensus: Round | None, vote: Round | None
    ) -> Outcome:  # fmt: skip
        rounds = [found for found in (consensus, vote) if found]
        counted = [position for found in rounds for position in found.counted]
        inputs = dict(self.decision.inputs)
        for position in counted:
            inputs[position.name] = sha256(position.data)
            if position.signature_data is not None:
                inputs[f"{position.name}.sig"] = sha256(position.signature_data)
                inputs[f"allowed_signers, {position.member}, {position.stage}"] = self.keys[position.name]
        inputs[f"rules.yml, {self.rule.kind} from {self.rule.start}"] = digest(self.rule.facts())
        if rounds:
            # Not the file itself, in which much changes that has nothing to do with this decision.
            inputs["membership file, who may answer"] = digest([found.eligible for found in rounds])
        return Outcome(self.decision, result, state, decided, consensus, vote, tuple(self.words), dict(sorted(inputs.items())), self.keys)


# -- outcome.yml


def _round_record(found: Round, keys: Mapping[str, str]) -> dict[str, Any]:
    return {
        "opens": str(found.opens),
        "closes": str(found.closes),
        "ended": str(found.ended) if found.ended else None,
        "eligible": list(found.eligible),
        "counted": [_position_record(position, keys) for position in found.counted],
        "not_counted": [
            {
                **_position_record(one.position, keys),
                "why": one.why,
                "sha256": sha256(one.position.data),
            }
            for one in found.not_counted
        ],
        "waiting": found.waiting,
    }


def _position_record(position: Position, keys: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "member": position.member,
        "position": position.position,
        "by": position.by,
        "at": str(position.at),
        "signed": keys.get(position.name, False),
    }
    if position.reason:
        record["reason"] = position.reason
    return record


def record(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values, as C(outcome.yml) has them."""
    decision = outcome.decision
    return {
        "decision": decision.id,
        "title": decision.title,
        "kind": decision.kind,
        "proposer": decision.proposer,
        "revision": decision.revision,
        "result": outcome.result,
        "state": outcome.state,
        "decided": str(outcome.decided) if outcome.decided else None,
        "arithmetic": list(outcome.arithmetic),
        "rule": decision.rule.facts(),
        "interested": sorted(decision.interested),
        "consensus": _round_record(outcome.consensus, outcome.keys) if outcome.consensus else None,
        "vote": _round_record(outcome.vote, outcome.keys) if outcome.vote else None,
        "inputs": dict(outcome.inputs),
        "hash": outcome.hash,
    }


class _Dumper(yaml.SafeDumper):
    """No aliases: a value that stands twice is written twice. Lists are indented, as yamllint has it."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def render(outcome: Outcome) -> bytes:
    """The bytes of C(outcome.yml)."""
    text = yaml.dump(record(outcome), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)
    return (HEADER + text).encode()


def path_of(outcome: Outcome, folder: str) -> str:
    """Where its C(outcome.yml) is."""
    return "/".join((folder.rstrip("/"), outcome.decision.folder, OUTCOME_FILE))
