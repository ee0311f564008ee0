# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: settles, closes and verifies months on disk. Observe all files, diff against what is written, apply."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import read_bytes

from .closed import (
    ALLOCATION,
    CLOSED,
    DRAFT,
    FORMAT,
    INPUTS,
    OUTPUTS,
    Closed,
    Facts,
    check_chain,
    closed_months,
    listing,
    read_closed,
    sums,
)
from .decisions import DecisionTask, not_passed
from .files import sha256
from .invoices import untaxed
from .journals import table
from .ledger import MoneyError, Period, Rules, Treatment, decimal
from .month import Assembly, Given, members_of
from .outputs import PAIN, Produced, books, produce
from .pages import Pages, render, taxed_in_words
from .settlement import Settlement, settle
from .tally import Outcome
from .terms import read_other_rules

WHAT_IF = "what-if"


class MonthTask:
    """The work of one call of month_settlement."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.membership_paths: Sequence[str] = params["membership"]
        self.directory: str | None = params["directory"]
        self.decisions: str | None = params["decisions"]
        self.state: str = params["state"]
        self.what_if: Sequence[str] = params["what_if"]
        as_of = day(params["as_of"])
        if as_of is None:
            raise CoopError("as_of: not a day of the calendar; write year-month-day, such as 2026-04-02")
        self.as_of = as_of
        self.period: Period | None = None
        if params["month"] is not None:
            self.period = Period.parse(params["month"])
            if self.period is None:
                raise CoopError("month: not a month; write year-month, such as 2026-03")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; files are written unless in check mode, or when only verifying."""
        self.load()
        months = closed_months(self.folder)
        if self.state == "verified":
            return self.verified(months)
        closed = self.closed(months)
        period = self.period or self.next_open(closed)
        if self.state == "closed" and period in months:
            return self.closed_already(period, closed, check_mode)
        self.check_open(period, closed)
        given = self.with_decision(self.assembly.given(period, closed, self.cooperative), self.outcomes())
        untold = untaxed(self.register.root, given.month, self.assembly.shown)
        if untold:
            raise MoneyError(untold)
        produced = self.produce(given, closed)
        if self.state == "closed":
            return self.close(given, produced, closed, check_mode)
        return self.draft(given, produced, check_mode)

    def load(self) -> None:
        """Reads the membership file and the rules."""
        self.register = model.load_register(*self.membership_paths, today=self.as_of)
        membership = self.register.membership
        self.folder = self.directory or self.beside("money")
        if not os.path.isdir(self.folder):
            raise MoneyError([Problem(os.path.relpath(self.folder), 0, "is not a folder; make it, and put the money files there")])
        self.cooperative = {"id": membership.cooperative["id"], "name": membership.cooperative["name"]}
        names = {name: owner["name"] for name, owner in membership.owners.items()}
        sold_by = {name: owner["sold_by"] for name, owner in membership.owners.items() if owner["kind"] == "client"}
        self.assembly = Assembly(self.folder, self.register.records, names, sold_by)

    def closed(self, months: Sequence[Period]) -> list[Closed]:
        """Closed months as they lie there, with nothing they rest on changed."""
        closed = [read_closed(self.folder, period) for period in months]
        problems = check_chain(self.folder, closed)
        if problems:
            raise MoneyError(problems)
        return closed

    def sealed(self) -> tuple[Closed, Produced]:
        """The closed month that is asked for, or the last one, and the same computed again: it has to be what it was."""
        months = closed_months(self.folder)
        if not months:
            raise CoopError("month: none is closed yet; close one first, with month_settlement")
        period = self.period or months[-1]
        if period not in months:
            raise CoopError(f"month: {period} is not closed; close it first, or ask for one of {', '.join(map(str, months))}")
        closed = self.closed(months)
        number = months.index(period)
        produced, differences, _pages = self.compare(closed[number], closed[:number])
        if differences or produced is None:
            raise CoopError("\n".join(differences))
        return closed[number], produced

    def beside(self, name: str) -> str:
        """A folder beside the membership file."""
        first = self.membership_paths[0]
        return os.path.normpath(os.path.join(first if os.path.isdir(first) else os.path.dirname(first), name))

    # -- what is asked for

    def next_open(self, closed: Sequence[Closed]) -> Period:
        """The first month that is not closed."""
        return closed[-1].period.next if closed else self.assembly.opening().period

    def check_open(self, period: Period, closed: Sequence[Closed]) -> None:
        first = self.next_open(closed)
        if any(month.period == period for month in closed):
            raise CoopError(f"month: {period} is closed; look at {CLOSED}/{period}, or settle {first}, the first open one")
        if period < first:
            raise CoopError(f"month: {period} is before {first}, where the books begin; settle {first}")
        if period > first:
            raise CoopError(f"month: {first} is open still; close it first, as {period} goes on from what it hands on")
        if self.state == "closed" and self.as_of <= period.last:
            raise CoopError(f"month: {period} lasts until {period.last}; it can be closed from {period.next.first} on (as_of)")

    def outcomes(self) -> dict[str, Outcome]:
        """What came out of the decisions; nothing when no rules name one."""
        if not any(rules.decided_by for rules in self.assembly.revisions):
            return {}
        params = {"membership": self.membership_paths, "directory": self.decisions, "as_of": str(self.as_of), "require": []}
        return DecisionTask(params).counted(self.register)[1]

    def with_decision(self, given: Given, outcomes: Mapping[str, Outcome]) -> Given:
        """The month with the decision behind its rules: one that passed before they begin."""
        rules = given.month.rules
        if rules.decided_by is None:
            return given
        wrong = not_passed(rules.decided_by, outcomes)
        outcome = outcomes.get(rules.decided_by)
        if not wrong and outcome and outcome.decided and outcome.decided > rules.start:
            wrong = f"{rules.decided_by} passed on {outcome.decided}, after they begin; write another day from which they count"
        if wrong or outcome is None:
            file = os.path.join(self.assembly.shown, *rules.source.file.split("/"))
            raise MoneyError([Problem(file, rules.source.line, f"rules from {rules.start}, field decided_by: {wrong}")])
        decision = {"id": rules.decided_by, "title": outcome.decision.title, "decided": str(outcome.decided)}
        return dataclasses.replace(given, facts=dataclasses.replace(given.facts, decision=decision))

    def produce(self, given: Given, closed: Sequence[Closed]) -> Produced:
        """All outputs; what is wrong is said with the path as the user sees it."""
        try:
            return produce(given, [month.figures for month in closed], given.facts)
        except MembershipError as error:
            raise self.placed(error) from error

    def placed(self, error: MembershipError) -> MoneyError:
        """A problem of a file in the folder, with the path as the user sees it."""
        return MoneyError(Problem(os.path.join(self.assembly.shown, *one.file.split("/")), one.line, one.text) for one in error.problems)

    # -- settled

    def draft(self, given: Given, produced: Produced, check_mode: bool) -> dict[str, Any]:
        """The month as it would be, in C(draft/)."""
        period = given.month.period
        files = dict(produced.files)
        tried = self.tried(given, produced.settled)
        if tried:
            files[f"{WHAT_IF}.html"], files[f"{WHAT_IF}.csv"] = self.side_by_side(given, produced, tried)
        base = os.path.join(self.folder, DRAFT, str(period))
        before = existing_files(base)
        changed = sorted(name for name in {*before, *files} if before.get(name) != (files[name].encode() if name in files else None))
        old = before.get(ALLOCATION, b"").decode(errors="replace")
        if not check_mode:
            for name in changed:
                if name in files:
                    write(os.path.join(base, *name.split("/")), files[name], lasting=False)
                else:
                    remove(os.path.join(base, *name.split("/")))
        return self.result(bool(changed), period, produced, [f"{DRAFT}/{period}/{name}" for name in changed], old, tried)

    def tried(self, given: Given, settled: Settlement) -> list[tuple[Rules, Settlement]]:
        """The same month under other rules."""
        problems: list[Problem] = []
        found: list[tuple[Rules, Settlement]] = []
        month = given.month
        names = {member.id: member.name for member in month.members}
        for path in self.what_if:
            rules, wrong = read_other_rules(path)
            problems.extend(wrong)
            if rules is None or wrong:
                continue
            if rules.currency != settled.currency:
                said = f"currency {rules.currency} is not {settled.currency}, that of the books; write that"
                problems.append(Problem(os.path.relpath(path), rules.source.line, said))
                continue
            members = members_of(self.register.records, names, month.period, rules)
            try:
                found.append((rules, settle(dataclasses.replace(month, rules=rules, members=members))))
            except MembershipError as error:
                problems.extend(Problem(os.path.relpath(path), one.line, one.text) for one in error.problems)
        if problems:
            raise MoneyError(problems)
        return found

    def side_by_side(self, given: Given, produced: Produced, tried: Sequence[tuple[Rules, Settlement]]) -> tuple[str, str]:
        """The page and the table of a comparison."""
        settled = produced.settled
        currency = settled.currency
        names = ["rules in force", *(rules.source.id for rules, _settled in tried)]
        everything = [settled, *(other for _rules, other in tried)]
        dues = [one.due for one in everything]
        rows = [(share.member.id, share.member.name, [due.get(share.member.id, 0) for due in dues]) for share in settled.involved]
        pages = Pages(settled, given.facts, produced.figures, [], given.inputs)
        page = render(
            "what_if",
            **pages.common(),
            names=names,
            rows=[
                *({"name": name, "amounts": [pages.money(amount) for amount in amounts], "strong": ""} for _id, name, amounts in rows),
                {"name": "All", "amounts": [pages.money(one.pool.total) for one in everything], "strong": "yes"},
            ],
        )
        columns = ["member", *names]
        lines = [
            dict(zip(columns, [name, *(decimal(amount, currency) for amount in amounts)], strict=True)) for name, _name, amounts in rows
        ]
        return page, table(columns, lines)

    # -- closed

    def close(self, given: Given, produced: Produced, closed: Sequence[Closed], check_mode: bool) -> dict[str, Any]:
        """Seals the month: the whole folder is put in place at once."""
        period = given.month.period
        self.assembly.check_measured(period)
        base = os.path.join(self.folder, CLOSED, str(period))
        inner = {**produced.files, INPUTS: listing(given.inputs)}
        sealed = sums({f"{CLOSED}/{period}/{name}": text for name, text in inner.items()})
        files = {**inner, OUTPUTS: listing(sealed)}
        if not check_mode:
            beside = os.path.join(self.folder, CLOSED, f".{period}.new")
            remove_folder(beside)
            for name, text in files.items():
                write(os.path.join(beside, *name.split("/")), text)
            try:
                os.rename(beside, base)
                sync(os.path.dirname(base))
            except OSError as exc:
                raise CoopError(f"{os.path.relpath(base)}: cannot be put in place: {(exc.strerror or str(exc)).lower()}; check it") from exc
        rest = self.tidy([*(month.period for month in closed), period], check_mode)
        names = [f"{CLOSED}/{period}/{name}" for name in sorted(files)]
        return self.result(True, period, produced, [*names, *rest], "", [], sha256(files[OUTPUTS].encode()))

    def closed_already(self, period: Period, closed: Sequence[Closed], check_mode: bool) -> dict[str, Any]:
        """A month that is closed stays; what a killed run left undone beside it is done."""
        number = next(index for index, month in enumerate(closed) if month.period == period)
        month = closed[number]
        produced, differences, _pages = self.compare(month, closed[:number])
        if differences or produced is None:
            raise CoopError("\n".join(differences))
        rest = self.tidy([one.period for one in closed], check_mode)
        return self.result(bool(rest), period, produced, rest, "", [], month.seal)

    def tidy(self, months: Sequence[Period], check_mode: bool) -> list[str]:
        """Writes the files that include all journals, and removes drafts of closed months. Gives what it changes."""
        changed = []
        for name, text in books(months, self.cooperative["name"], self.assembly.currency).items():
            path = os.path.join(self.folder, name)
            if existing(path) != text.encode():
                changed.append(name)
                if not check_mode:
                    write(path, text)
        for period in months:
            draft = os.path.join(self.folder, DRAFT, str(period))
            if os.path.isdir(draft):
                changed.append(f"{DRAFT}/{period}")
                if not check_mode:
                    remove_folder(draft)
        return changed

    # -- verified

    def verified(self, months: Sequence[Period]) -> dict[str, Any]:
        """Computes closed months again from their files, and says where they differ."""
        if self.period is not None and self.period not in months:
            raise CoopError(
                f"month: {self.period} is not closed; verify one of {', '.join(map(str, months)) or 'those that are: none yet'}"
            )
        differences: list[str] = []
        pages: list[str] = []
        closed: list[Closed] = []
        for period in months:
            try:
                closed.append(read_closed(self.folder, period))
            except MembershipError as error:
                # What comes after rests on it.
                differences.extend(error.lines)
                break
            if self.period in (None, period):
                _produced, found, drawn = self.compare(closed[-1], closed[:-1])
                differences.extend(found)
                pages.extend(drawn)
        if not differences or self.period is None:
            differences.extend(str(one) for one in check_chain(self.folder, closed))
        differences = list(dict.fromkeys(differences))
        checked = [str(period) for period in months if self.period in (None, period)]
        said = f"{', '.join(checked) or 'no closed month'}: " + ("identical" if not differences else f"{len(differences)} differences")
        return {
            "changed": False,
            "state": self.state,
            "directory": self.folder,
            "month": str(self.period) if self.period else None,
            "months": checked,
            "identical": not differences,
            "differences": differences,
            "pages": pages,
            "summary": [said, *differences, *([f"{len(pages)} pages look other than this release would draw them"] if pages else [])],
        }

    def compare(self, month: Closed, before: Sequence[Closed]) -> tuple[Produced | None, list[str], list[str]]:
        """A closed month computed again, and where it differs: files, register, figures.

        Apart from these, the pages that are as they were sealed, and that this code would draw otherwise: no figure is other than it was.
        """
        period, shown = month.period, os.path.join(self.assembly.shown, CLOSED, str(month.period))
        base = os.path.join(self.folder, CLOSED, str(period))
        found: list[str] = []
        written = existing_files(base)
        for name in sorted({*written, *(full.removeprefix(f"{CLOSED}/{period}/") for full in month.outputs)} - {OUTPUTS}):
            wanted = month.outputs.get(f"{CLOSED}/{period}/{name}")
            if wanted is None:
                found.append(f"{shown}/{name}: was not there when the month was closed; remove it")
            elif name not in written:
                # The bank's file holds account numbers: people may well keep it elsewhere.
                if name == PAIN:
                    continue
                found.append(f"{shown}/{name}: is gone; put it back as it was when the month was closed")
            elif sha256(written[name]) != wanted:
                found.append(f"{shown}/{name}: was changed since the month was closed; put it back")
        if month.figures.get("format") != FORMAT:
            old = month.figures.get("format")
            said = f"was closed with format {old}, and this code has {FORMAT}; verify it with the release that closed it"
            return None, [*found, f"{shown}: {said}"], []
        try:
            given = self.assembly.given(period, before, self.cooperative, sealed=month)
            found.extend(str(problem) for problem in self.assembly.reaching_back([*before, month]))
            produced = self.produce(given, before)
        except MembershipError as error:
            return None, [*found, *error.lines], []
        for name in sorted({*given.inputs, *month.inputs}):
            if given.inputs.get(name) != month.inputs.get(name):
                said = "was changed" if name in given.inputs and name in month.inputs else "is gone" if name in month.inputs else "came"
                found.append(f"{os.path.join(self.assembly.shown, name)}: {said} since {period} was closed; put it back as it was")
        found.extend(f"{shown}: {line}" for line in self.register_differences(month.facts, given.month.rules, period))
        pages = []
        for name, text in produced.files.items():
            if name not in written or name == PAIN or written[name] == text.encode():
                # Whether the bank's file is as it was sealed has been seen; account numbers may have changed since.
                continue
            if name.endswith(".html") and sha256(written[name]) == month.outputs.get(f"{CLOSED}/{period}/{name}"):
                pages.append(f"{CLOSED}/{period}/{name}")
            else:
                found.append(f"{shown}/{name}: computed again, it is other than what stands there{first_difference(written[name], text)}")
        return produced, list(dict.fromkeys(found)), pages

    def register_differences(self, facts: Facts, rules: Rules, period: Period) -> list[str]:
        """What the register says of a closed month now that it did not say then. Names may change."""
        names = {member.id: member.name for member in facts.members}
        now = {
            member.id: member
            for member in members_of(self.register.records, {**dict.fromkeys(self.register.records, ""), **names}, period, rules)
        }
        then = {member.id: member for member in facts.members}
        found = []
        for name in sorted({*now, *then}):
            if name not in now or name not in then:
                if (now.get(name) or then[name]).days:
                    found.append(f"the membership file {'has' if name in now else 'has not'} {name} as a member of {period}; put it back")
                continue
            # Without a word of vat in the rules, nobody was taxed, whatever the membership file says.
            for key in ("days", "weight", "classes", *(["tax"] if rules.vat else [])):
                old, new = getattr(then[name], key), getattr(now[name], key)
                if old != new and (now[name].days or then[name].days):
                    verb = "was" if key in ("weight", "tax") else "were"
                    said = f"{key} of {name} {verb} {_words(old)}, and the membership file says {_words(new)} now"
                    found.append(f"{said}; put it back, and correct in an open month")
        return found

    # -- result

    def result(
        self,
        changed: bool,
        period: Period,
        produced: Produced,
        files: Sequence[str],
        old: str,
        tried: Sequence[tuple[Rules, Settlement]],
        seal: str | None = None,
    ) -> dict[str, Any]:
        """What the module returns."""
        settled, figures = produced.settled, produced.figures
        currency = settled.currency

        def shown(minor: int) -> str:
            return decimal(minor, currency)

        closing = settled.closing
        members = [
            {
                "member": one["id"],
                **{key: shown(one[key]) for key in ("due", "received", "contra", "earned", "covered", "deferred", "payable")},
                "balance": shown(one["closing"]),
                "statement": f"{CLOSED if seal else DRAFT}/{period}/statements/{one['id']}.html",
            }
            for one in figures["members"]
        ]
        return {
            "changed": changed,
            "state": self.state,
            "directory": self.folder,
            "month": str(period),
            "months": [str(period)],
            "currency": currency,
            "seal": seal,
            "files": list(files),
            "pool": {key: shown(value) for key, value in figures["pool"].items()},
            "cash": shown(settled.cash),
            "reserve": shown(closing.reserve),
            "deferred": shown(sum(item.amount for item in closing.deferred)),
            "bank": shown(closing.bank),
            "members": members,
            "unmatched": [one.payment.bank_ref for one in settled.matched if one.account == "unmatched"],
            "what_if": [
                {"rules": rules.source.id, "contributions": {name: shown(amount) for name, amount in sorted(other.due.items())}}
                for rules, other in tried
            ],
            "identical": True,
            "differences": [],
            "pages": [],
            "summary": summary(settled, seal),
            "diff": {
                "before": in_words(old),
                "after": in_words(produced.files[ALLOCATION]),
                "before_header": f"{period}, as it stands",
                "after_header": f"{period}, now",
            },  # fmt: skip
        }


def _words(value: object) -> str:
    if value is None:
        return "as the rules have it"
    if isinstance(value, Treatment):
        return taxed_in_words(value)
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def summary(settled: Settlement, seal: str | None) -> list[str]:
    """A month in a few lines."""
    closing, period, currency = settled.closing, settled.month.period, settled.currency

    def shown(minor: int) -> str:
        return f"{decimal(minor, currency)} {currency}"

    deferred = sum(item.amount for item in closing.deferred)
    lines = [
        f"{period}: {shown(settled.pool.total)} to raise, {shown(settled.cash)} came in and was free",
        f"Covered: bills {shown(sum(one.item.amount for one in settled.covered if one.kind == 'bill'))}, "
        f"pay {shown(sum(settled.pay_covered.values()))}; pay deferred in all {shown(deferred)}; reserve {shown(closing.reserve)}",
    ]
    for one in settled.matched:
        if one.account == "unmatched":
            payment = one.payment
            place = f"{payment.source.file}:{payment.source.line}"
            lines.append(f"Payment {payment.bank_ref} of {payment.date}, {payment.amount}, names nobody, or several ({place})")
    if seal:
        lines.append(f"Closed, seal {seal}")
    return lines


def in_words(allocation: str) -> str:
    """What a month comes to, a line for each figure that people ask about: what a diff shows."""
    try:
        found = json.loads(allocation) if allocation else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return ""
    currency = found["currency"]
    lines = [f"pool {key}: {decimal(value, currency)}" for key, value in found["pool"].items()]
    lines.append(f"came in: {decimal(found['cash'], currency)}")
    for one in found["members"]:
        said = ", ".join(
            f"{key} {decimal(one[key], currency)}" for key in ("due", "received", "contra", "earned", "covered", "deferred") if one[key]
        )
        lines.append(f"{one['id']}: {said or 'nothing'}; owes {decimal(one['closing'], currency)}")
    closing = found["closing"]
    lines += [f"{key}: {decimal(closing[key], currency)}" for key in ("reserve", "free", "unmatched", "bank")]
    return "\n".join(lines) + "\n"


def first_difference(written: bytes, text: str) -> str:
    """Where two texts part, for the message."""
    old, new = written.decode(errors="replace").splitlines(), text.splitlines()
    for number, (before, after) in enumerate(zip(old, new, strict=False), 1):
        if before != after:
            return f" (first on line {number})"
    return f" (from line {min(len(old), len(new)) + 1} on)"


# -- files


def existing(path: str) -> bytes | None:
    """What a file holds; None when there is none."""
    if not os.path.exists(path):
        return None
    problems: list[Problem] = []
    found = read_bytes(path, os.path.relpath(path), problems)
    if problems:
        raise MoneyError(problems)
    return found


def existing_files(folder: str) -> dict[str, bytes]:
    """Every file below a folder by name."""
    found = {}
    for base, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            data = existing(path)
            if data is not None:
                found[os.path.relpath(path, folder).replace(os.sep, "/")] = data
    return found


def write(path: str, text: str | bytes, lasting: bool = True, private: bool = False) -> None:
    """Puts a whole file in place at once; C(lasting) outlives a power cut. What holds account numbers is for its owner only."""
    folder, name = os.path.split(path)
    # Always the same name, so that what a killed run leaves is used up by the next.
    beside = os.path.join(folder, f".{name}.new")
    mode = 0o600 if private or name == PAIN else 0o644
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(beside):
            os.unlink(beside)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(text if isinstance(text, bytes) else text.encode())
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())
        os.chmod(beside, mode)
        os.replace(beside, path)
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be written: {(exc.strerror or str(exc)).lower()}; check the folder") from exc


def sync(folder: str) -> None:
    """Makes sure that a rename in a folder outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: str) -> None:
    """Removes a file that we wrote."""
    try:
        os.unlink(path)
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be removed: {(exc.strerror or str(exc)).lower()}; check the folder") from exc


def remove_folder(path: str) -> None:
    """Removes a folder that we wrote, if it is there."""
    try:
        if os.path.isdir(path):
            shutil.rmtree(path)
    except OSError as exc:
        raise CoopError(f"{os.path.relpath(path)}: cannot be removed: {(exc.strerror or str(exc)).lower()}; check the folder") from exc
