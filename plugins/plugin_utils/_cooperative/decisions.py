# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: tallies a folder of decisions. Observe all files, diff the outcomes against those written, apply."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import decode, parse
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record, Reference

from .files import PAGE, DecisionError, Folder, Position, read_folder
from .signatures import verify
from .tally import FINAL, Outcome, path_of, record, render, tally

ADMISSION = "membership"
"""The kind of the decisions that admit members."""


class DecisionTask:
    """The work of one call of decision_tally."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.membership_paths: Sequence[str] = params["membership"]
        self.directory: str | None = params["directory"]
        self.required: Sequence[Mapping[str, Any]] = params["require"]
        as_of = day(params["as_of"])
        if as_of is None:
            raise CoopError("as_of: not a day of the calendar; write year-month-day, such as 2026-03-01")
        self.as_of = as_of

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module: outcomes, who is awaited, what is due; files are written unless in check mode."""
        register = model.load_register(*self.membership_paths, today=self.as_of)
        folder, outcomes = self.counted(register)
        changes = self.changes(folder, outcomes)
        if not check_mode:
            for path, _before, after in changes:
                write(path, after)
        superseded: dict[str, str] = {}
        amended: dict[str, list[str]] = {}
        for number, outcome in outcomes.items():
            if outcome.result == "passed":
                superseded.update(dict.fromkeys(outcome.decision.supersedes, number))
                for other in outcome.decision.amends:
                    amended.setdefault(other, []).append(number)
        awaited = [entry for outcome in outcomes.values() for entry in due(outcome, self.as_of, superseded)]
        return {
            "changed": bool(changes),
            "as_of": str(self.as_of),
            "directory": folder.path,
            "files": [path for path, _before, _after in changes],
            "decisions": [
                {
                    **record(outcome),
                    "text": outcome.decision.text,
                    "effect": outcome.decision.effect,
                    "amends": list(outcome.decision.amends),
                    "supersedes": list(outcome.decision.supersedes),
                    "amended_by": amended.get(number, []),
                    "superseded_by": superseded.get(number),
                    "review_by": str(outcome.decision.review_by) if outcome.decision.review_by else None,
                    "outcome": path_of(outcome, folder.path),
                }
                for number, outcome in outcomes.items()
            ],
            "due": awaited,
            "summary": summary(outcomes, awaited),
            "diff": [
                {"before": before.decode(errors="replace"), "after": after.decode(), "before_header": path, "after_header": path}
                for path, before, after in changes
            ],
        }

    def counted(self, register: model.Register) -> tuple[Folder, dict[str, Outcome]]:
        """The folder and what came out of each decision, by number.

        Raises CoopError when a file cannot be used, and when something rests on a decision that does not carry it.
        """
        folder = read_folder(self.directory or self.folder_of(register.membership), register.records)
        outcomes = self.outcomes(folder, register.records)
        self.check_required(folder, outcomes, register.references)
        return folder, outcomes

    def folder_of(self, membership: model.Membership) -> str:
        """The folder that the membership file names, beside it."""
        first = self.membership_paths[0]
        beside = first if os.path.isdir(first) else os.path.dirname(first)
        return os.path.normpath(os.path.join(beside, membership.cooperative["decisions"] or "decisions"))

    def outcomes(self, folder: Folder, members: Mapping[str, Record]) -> dict[str, Outcome]:
        def good(position: Position) -> str | None:
            if position.signature is None or folder.signers is None:
                return None
            return verify(position.data, position.signature, folder.signers, position.member, position.at)

        found: dict[str, Outcome] = {}
        problems: list[Problem] = []
        for number, decision in folder.decisions.items():
            try:
                found[number] = tally(decision, members, self.as_of, good)
            except DecisionError as error:
                problems.extend(error.problems)
        if problems:
            raise DecisionError(problems)
        return found

    def check_required(self, folder: Folder, outcomes: Mapping[str, Outcome], references: Sequence[Reference] = ()) -> None:
        """Whatever names a decision names one that exists and has passed; rules and the register also one that passed before they begin."""
        problems: list[Problem] = []
        for rules in folder.rule_sets:
            if rules.decided_by is None or rules.start > self.as_of:
                continue
            file, line = rules.place
            wrong = not_passed(rules.decided_by, outcomes)
            if not wrong:
                outcome = outcomes[rules.decided_by]
                if outcome.decision.rule.start >= rules.start:
                    wrong = f"{rules.decided_by} was opened under the very rules it set; write the decision that came before them"
                elif outcome.decided and outcome.decided > rules.start:
                    wrong = f"{rules.decided_by} passed on {outcome.decided}, after they begin; write from: {outcome.decided} or later"
            if wrong:
                problems.append(Problem(file, line, f"rules from {rules.start}, field decided_by: {wrong}"))
        problems.extend(
            Problem(reference.file, reference.line, f"{reference.label}: {wrong}")
            for reference in references
            if (wrong := unfounded(reference, outcomes, self.as_of))
        )
        lines = [f"{need['used_by']}: {wrong}" for need in self.required if (wrong := not_passed(need["decision"], outcomes))]
        if problems or lines:
            raise CoopError("\n".join([*DecisionError(problems).lines, *lines]))

    def changes(self, folder: Folder, outcomes: Mapping[str, Outcome], looking_back: bool = False) -> list[tuple[str, bytes, bytes]]:
        """Path, bytes before and bytes after, of each outcome that is not as it is written.

        Raises DecisionError when what a decision rests on was changed after it was decided, and when it was decided after C(as_of):
        written so, it would be undecided again. Who is looking back and writes nothing may see it as it was then.
        """
        found: list[tuple[str, bytes, bytes]] = []
        problems: list[Problem] = []
        for outcome in outcomes.values():
            path = path_of(outcome, folder.path)
            before, after = existing(path), render(outcome)
            if before == after:
                continue
            found.append((path, before, after))
            wrong = reopened(os.path.relpath(path), before, outcome, self.as_of, looking_back)
            if wrong:
                problems.append(wrong)
        if problems:
            raise DecisionError(problems)
        return found


def unfounded(reference: Reference, outcomes: Mapping[str, Outcome], as_of: datetime.date) -> str | None:
    """What is wrong with the decision that something in the register rests on; None when it carries it.

    What begins only after C(as_of) may rest on a decision that is still to be taken then.
    """
    number, outcome = reference.decision, outcomes.get(reference.decision)
    begins = reference.effective
    if outcome and outcome.result in ("open", "blocked") and begins and begins > as_of:
        return None
    wrong = not_passed(number, outcomes)
    if wrong or outcome is None:
        return wrong
    decision = outcome.decision
    if reference.admits:
        if decision.kind != ADMISSION:
            return f"{number} is a {decision.kind} decision; write the number of one of kind {ADMISSION} that has passed"
        if decision.admits and reference.admits not in decision.admits:
            return f"{number} admits {', '.join(decision.admits)}; write the number of the decision that admits {reference.admits}"
    if begins and outcome.decided and outcome.decided > begins:
        return f"{number} passed on {outcome.decided}, after {begins}, when this begins; write a day from then on, or an earlier decision"
    return None


def not_passed(number: str, outcomes: Mapping[str, Outcome]) -> str | None:
    """What is wrong with naming a decision as the ground of something; None when it exists and has passed."""
    if number not in outcomes:
        return f"decision {number} does not exist; write the number of one that has passed"
    result = outcomes[number].result
    if result == "passed":
        return None
    said = {"open": "is still open", "blocked": "is blocked", "no_quorum": "had no quorum"}.get(result, f"was {result}")
    return f"decision {number} {said}, not passed; write the number of one that has passed"


def reopened(file: str, before: bytes, outcome: Outcome, as_of: datetime.date, looking_back: bool = False) -> Problem | None:
    """What is wrong when a decision that was decided comes out otherwise, or rests on other files than it did."""
    if not before:
        return None
    problems: list[Problem] = []
    text = decode(before, file, problems)
    written = None if text is None else parse(text, file, problems, "decision", PAGE)
    if written is None or problems or not isinstance(written.get("inputs"), dict):
        return Problem(file, 0, "is not what this module wrote; put it back, or remove it, and run again")
    if written.get("result") not in FINAL:
        return None
    line = written.at("result")[1]
    decided = day(written.get("decided"))
    if decided and as_of <= decided and outcome.result not in FINAL:
        if looking_back:
            return None
        return Problem(file, line, f"it was {written['result']} on {decided}, and this tally is of {as_of}; give a later as_of")
    if written.get("hash") == outcome.hash:
        return None
    old = written["inputs"]
    changed = sorted(name for name in {*old, *outcome.inputs} if old.get(name) != outcome.inputs.get(name))
    said = f"it was {written['result']} on {written.get('decided')}, and since then this has changed: {', '.join(changed)}"
    return Problem(file, line, f"{said}; put it back, and decide anew with another decision; if it was never decided so, remove this file")


def due(outcome: Outcome, as_of: datetime.date, superseded: Mapping[str, str]) -> list[dict[str, Any]]:
    """Who has to do what next, and by when."""
    decision = outcome.decision
    found: list[dict[str, Any]] = []

    def add(member: str, what: str, by: datetime.date | None) -> None:
        found.append({"decision": decision.id, "title": decision.title, "member": member, "what": what, "by": str(by) if by else None})

    current = outcome.current
    if outcome.state in ("consensus", "voting") and current:
        why = {one.position.member: one.why for one in current.not_counted}
        for member in current.waiting:
            verb = "answer" if outcome.state == "consensus" else "vote"
            add(member, f"{verb} again: what it said {why[member]}" if member in why else verb, current.closes)
    elif outcome.state == "blocked":
        if decision.vote_notice is None:
            add(decision.proposer, "revise it, withdraw it, or give notice of a vote", None)
    elif outcome.result == "passed" and decision.review_by and decision.review_by <= as_of and decision.id not in superseded:
        add(decision.proposer, "review it", decision.review_by)
    return found


def summary(outcomes: Mapping[str, Outcome], awaited: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each decision, then one for each thing that is due."""
    lines = []
    for number, outcome in outcomes.items():
        state = outcome.state.replace("-", " ")
        lines.append(f"{number} {outcome.decision.title}: {state}" + (f" on {outcome.decided}" if outcome.decided else ""))
    for entry in awaited:
        lines.append(f"{entry['decision']} awaits {entry['member']}: {entry['what']}" + (f", by {entry['by']}" if entry["by"] else ""))
    return lines


def existing(path: str) -> bytes:
    """What a file holds; nothing when there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be read: {(exc.strerror or str(exc)).lower()}; check its permissions") from exc


def write(path: str, data: bytes, mode: int = 0o644) -> None:
    """Puts a whole file in place at once; readable by all, as the files beside it, unless said otherwise."""
    # Always the same name, so that what a killed run leaves is used up by the next.
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be written: {(exc.strerror or str(exc)).lower()}; check the folder") from exc
