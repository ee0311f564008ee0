# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a settled month as pages for people: a statement for each member, one page for the treasurer.

Every figure stands beside the record it comes from, and every step of the arithmetic can be done again by hand. No page looks at a clock.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import jinja2

from .closed import Facts
from .ledger import MINOR_UNITS, Hours, Item, MemberMonth, Source, Treatment, Usage, decimal, rounded
from .settlement import Group, Matched, Settlement, Share, reference, settle

STATEMENTS, SUMMARY = "statements", "summary.html"
MONTHS_SHOWN = 12
PRODUCERS_SHOWN = 20
_UNITS = {"participant_minutes": "participant-minutes"}


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.join(os.path.dirname(__file__), "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )


def render(name: str, **values: Any) -> str:
    """A page from its template."""
    return _environment().get_template(f"{name}.html.j2").render(values)


def number(value: Fraction | int, figures: int = 4) -> str:
    """An exact number with at most so many figures after the point, and an ellipsis when there are more."""
    value = Fraction(value)
    scaled = abs(value) * 10**figures
    whole = scaled.__floor__()
    text = f"{whole // 10**figures}.{whole % 10**figures:0{figures}}".rstrip("0").rstrip(".")
    return ("-" if value < 0 else "") + text + ("…" if scaled != whole else "")


class Pages:
    """The pages of one month. C(before) are the figures of the months before it, oldest first; C(inputs) the sums of its files."""

    def __init__(
        self, settled: Settlement, facts: Facts, figures: Mapping[str, Any], before: Sequence[Mapping[str, Any]], inputs: Mapping[str, str]
    ) -> None:
        self.settled = settled
        self.month = settled.month
        self.rules = settled.month.rules
        self.facts = facts
        self.figures = figures
        self.all_months = [*before, figures]
        self.months = self.all_months[-MONTHS_SHOWN:]
        self.inputs = inputs
        self.unit = _UNITS.get(self.rules.metric, self.rules.metric.replace("_", " "))
        self.by_member = [{one["id"]: one for one in month["members"]} for month in self.months]
        self.usage: dict[str, list[Usage]] = defaultdict(list)
        for record in sorted(self.month.usage, key=lambda one: (one.tenant, one.source.line)):
            if record.metric == self.rules.metric:
                self.usage[record.member].append(record)
        self.payments: dict[str, list[Matched]] = defaultdict(list)
        for one in settled.matched:
            self.payments[one.party or ""].append(one)
        self.work: dict[str, list[Hours]] = defaultdict(list)
        for line in sorted(self.month.hours, key=lambda line: (line.date, line.source.file, line.source.line)):
            self.work[line.producer].append(line)
        self.items_of: dict[str, dict[str, list[Item]]] = {key: defaultdict(list) for key in ("covered", "deferred", "before")}
        for key, items in (
            ("covered", [one.item for one in settled.covered if one.kind == "pay"]),
            ("deferred", settled.closing.deferred),
            ("before", self.month.opening.deferred),
        ):
            for item in items:
                self.items_of[key][item.party].append(item)
        self.earned = {line.source.id: amount for pay in settled.pay for line, amount in pay.lines}

    def files(self) -> dict[str, str]:
        """Every page by name."""
        found = {f"{STATEMENTS}/{share.member.id}.html": self.statement(share) for share in self.settled.involved}
        return {**found, SUMMARY: self.summary()}

    # -- words

    def money(self, minor: int) -> str:
        """An amount as people read it."""
        return f"{decimal(minor, self.settled.currency)} {self.settled.currency}"

    def exact(self, minor: Fraction) -> str:
        """An exact amount, four figures beyond the smallest coin."""
        places = MINOR_UNITS[self.settled.currency]
        return number(minor / 10**places, places + 4)

    @staticmethod
    def place(source: Source) -> str:
        """Where a record stands."""
        return f"{source.file}:{source.line}"

    def common(self) -> dict[str, Any]:
        """What every page begins and ends with."""
        decision = self.facts.decision
        return {
            "coop": self.facts.cooperative,
            "month": str(self.month.period),
            "first": str(self.month.period.first),
            "last": str(self.month.period.last),
            "due_on": str(self.settled.due_on),
            "unit": self.unit,
            "rules": {
                "file": self.rules.source.file,
                "from": str(self.rules.start),
                "decision": decision,
                "words": self.rules_in_words(),
            },
        }

    def rules_in_words(self) -> list[str]:
        """The rules, a sentence each."""
        rules = self.rules
        found = [
            f"{rules.flat_share} of the pool is shared by weight, the rest by {self.unit}"
            + (f" above {rules.allowance} a month." if rules.allowance else "."),
            f"An hour of paid work is {self.money(rules.rate)}.",
            f"{rules.reserve} of bills and pay is added for the reserve.",
            "Money that comes in covers bills first, then the reserve, then pay; the oldest first.",
            f"Statements are due {rules.due_days} days after the end of the month.",
        ]
        if rules.floor is not None or rules.cap is not None:
            least = f"at least {self.money(rules.floor)}" if rules.floor is not None else ""
            most = f"at most {self.money(rules.cap)}" if rules.cap is not None else ""
            found.append(f"Who is there the whole month contributes {' and '.join(part for part in (least, most) if part)}.")
        if rules.seller_share:
            found.append(f"A producer that sells to a client keeps {rules.seller_share} of the price.")
        if rules.vat:
            found.append(f"What members are charged: {taxed_in_words(rules.vat.charged)}.")
            back = {0: "none", 1: "all"}.get(rules.vat.reclaim, str(rules.vat.reclaim))
            found.append(
                f"Of the VAT on bills, {back} comes back from the tax office{'' if rules.vat.reclaim else ', so they count with it'}."
            )
        return found

    def tax(self, share: Share) -> list[str]:
        """What of a statement is net and what gross, and why; nothing when tax is no matter of these books."""
        taxed = self.settled.treatment(share.member)
        if taxed is None:
            return []
        charged, vat = self.settled.charged[share.member.id], self.settled.vat.get(share.member.id, 0)
        why = "as the membership file has it for you" if share.member.tax else f"as {self.rules.source.file} has it for all"
        said = [f"Tax on what you are charged: {taxed_in_words(taxed)}, {why}."]
        if taxed.rate:
            rate = number(taxed.rate)
            said.append(f"The contribution is without tax: {rate} % of {self.money(charged)} is {self.money(vat)}, rounded once.")
        if taxed.category == "AE":
            said.append("You account for the tax yourself.")
        return said

    # -- the pool, the same on every page

    @functools.cached_property
    def pool(self) -> list[dict[str, Any]]:
        """What the month costs, line by line."""
        return self.pool_rows(len(self.settled.pay))

    @functools.cached_property
    def short_pool(self) -> list[dict[str, Any]]:
        """The same for statements, where many producers are one line: so many lines on so many pages would help nobody."""
        return self.pool_rows(PRODUCERS_SHOWN)

    def pool_rows(self, most: int) -> list[dict[str, Any]]:
        """The lines of the pool; more producers than C(most) are one line together."""
        pool = self.settled.pool
        rows: list[dict[str, Any]] = []

        def add(text: str, amount: int, place: str = "", strong: bool = False) -> None:
            rows.append(_row(text, self.money(amount), place, strong))

        for bill, cost in self.settled.bills:
            text = f"Bill of {bill.supplier}, {bill.date}"
            if cost < 0:
                text = f"Credit note of {bill.supplier}, {bill.date}"
            if bill.exchange:
                rate = number(bill.exchange.rate, 8)
                text += f": {bill.gross} at {rate} ({bill.exchange.source}, {bill.exchange.date})"
            if bill.date < self.month.period.first:
                text += ", which came when its month was closed"
            back = self.settled.reclaimed.get(bill.source.id, 0)
            if back:
                text += f": {self.money(cost)} with tax, without the {self.money(back)} of it that come back"
            if bill.shared_by:
                text += f"; shared by {', '.join(bill.shared_by)}"
            add(text, cost - back, self.place(bill.source))
        if len(self.settled.pay) > most:
            hours = number(sum((pay.hours for pay in self.settled.pay), Fraction(0)))
            text = f"Pay of {len(self.settled.pay)} producers: {hours} hours × {self.money(self.rules.rate)}, each rounded"
            add(text, pool.labour, f"hours/{self.month.period}, {SUMMARY}")
        for pay in self.settled.pay if len(self.settled.pay) <= most else ():
            files = sorted({line.source.file for line, _amount in pay.lines})
            add(f"Pay of {pay.producer}: {number(pay.hours)} hours × {self.money(self.rules.rate)}", pay.earned, ", ".join(files))
        if pool.reserve:
            add(f"Reserve: {self.rules.reserve} × {self.money(pool.bills + pool.labour)}", pool.reserve, self.rules.source.file)
        for one in sorted(self.month.corrections, key=lambda one: one.source.id):
            if one.what == "contribution":
                text = f"Correction of {one.corrects}, {one.member} owes {self.money(one.amount.minor)} more: {one.reason}"
                if one.amount.minor < 0:
                    text = f"Correction of {one.corrects}, {one.member} owes {self.money(-one.amount.minor)} less: {one.reason}"
                add(text, -one.amount.minor, self.place(one.source))
            elif one.what == "pay":
                add(f"Correction of {one.corrects}, pay of {one.member}: {one.reason}", one.amount.minor, self.place(one.source))
        for sale, part in self.settled.sales:
            kept = sale.seller_share if sale.seller_share is not None else self.rules.seller_share
            price = self.money(sale.net.minor)
            text = f"Less: what {sale.client} paid {sale.seller} for {sale.description}, {price} without the {kept} it keeps"
            add(text, -part, self.place(sale.source))
        if pool.floors:
            add("What the floors raise beyond that, for the reserve", pool.floors, self.rules.source.file)
        add("The pool: what all contributions come to", pool.total, strong=True)
        return rows

    # -- a member's statement

    def statement(self, share: Share) -> str:
        """The page of one member."""
        name = share.member.id
        closing = self.settled.closing
        mine = self.by_member[-1][name]
        payable = closing.producers.get(name, 0)
        balance = mine["closing"]
        return render(
            "statement",
            **self.common(),
            member={"id": name, "name": share.member.name},
            reference=reference(name, self.month.period),
            net={"amount": self.money(abs(balance)) if balance else self.money(max(0, payable)), "kind": _net(balance, payable)},
            account=self.account(share),
            tax=self.tax(share),
            pool=self.short_pool,
            steps=self.steps(share),
            due=self.money(share.due),
            use=self.use(name),
            gaps=self.gaps(self.usage[name]),
            work=self.producer(name),
            changes=self.changes(name),
            year=self.chart(name),
        )

    def account(self, share: Share) -> list[dict[str, Any]]:
        """The member's account, from balance to balance."""
        name, month = share.member.id, self.month
        rows: list[dict[str, Any]] = []

        def add(text: str, amount: int, place: str = "", strong: bool = False) -> None:
            rows.append(_row(text, self.money(amount), place, strong))

        opening = month.opening.balances.get(name, 0)
        add(f"Balance on {month.period.first}" + (", paid ahead" if opening < 0 else ""), opening)
        for one in self.payments[name]:
            payment = one.payment
            if one.account == "receivable":
                amount = payment.amount.minor if payment.direction == "out" else -payment.amount.minor
                text = "Paid back" if payment.direction == "out" else "Your payment"
                add(f"{text} of {payment.date}, bank reference {payment.bank_ref}", amount, self.place(payment.source))
        for entry in month.corrections:
            if entry.member == name and entry.what == "payment":
                text = f"Your payment of {entry.corrects}, whose sender was not known then: {entry.reason}"
                add(text, -entry.amount.minor, self.place(entry.source))
        add(f"Contribution for {month.period}", share.due, "below, step by step")
        for sale, part in self.settled.sales:
            if sale.seller == name:
                add(f"Part of the co-operative in what {sale.client} paid you: {sale.description}", part, self.place(sale.source))
        for entry in month.corrections:
            if entry.member == name and entry.what == "contribution":
                add(f"Correction of {entry.corrects}: {entry.reason}", entry.amount.minor, self.place(entry.source))
        if name in self.settled.vat:
            taxed = self.settled.treatment(share.member)
            rate = number(taxed.rate) if taxed else ""
            add(f"VAT, {rate} % of {self.money(self.settled.charged[name])}", self.settled.vat[name], "below, tax")
        if name in self.settled.contra:
            add("Set against your pay, so that nobody sends it to and fro", -self.settled.contra[name], "below, your pay")
        balance = self.settled.closing.balances.get(name, 0)
        add(f"Balance on {month.period.last}" + (", paid ahead" if balance < 0 else ""), balance, strong=True)
        return rows

    def steps(self, share: Share) -> list[str]:
        """How the contribution comes about, in sentences that can be calculated again."""
        period, rules, member = self.month.period, self.rules, share.member
        if not share.flat:
            why = "was no active member in it" if not member.days else "is of no class that contributes, or has the weight 0"
            return [f"{member.name} contributes nothing this month: it {why}."]
        steps = []
        weight = f"{number(member.weight)}" if member.weight.denominator == 1 else str(member.weight)
        if member.days == period.days:
            steps.append(f"Your weight is {weight}.")
        else:
            steps.append(f"Your weight is {weight}, and you were a member on {member.days} of {period.days} days: {share.weight}.")
        allowance = (
            f" Above the {rules.allowance} that are free, that is {max(0, share.used - rules.allowance)}." if rules.allowance else ""
        )
        times = f" Times your weight: {number(share.counted)}." if member.weight != 1 else ""
        steps.append(f"You used {share.used} {self.unit}.{allowance}{times}")
        for group in self.settled.groups:
            if group.name in share.flat and (group.amount or group.name == "all"):
                steps.extend(self.group_steps(group, share))
        parts = [part for group in (share.flat, share.use) for part in group.values() if part]
        if len(parts) > 1:
            steps.append(f"Together: {' + '.join(self.exact(part) for part in parts)} = {self.exact(share.exact)}.")
        if share.held != share.exact:
            if share.floor is not None and share.held == share.floor:
                steps.append(f"The least for these days is {self.money(share.floor)}, so it is that.")
            elif share.cap is not None and share.held == share.cap:
                steps.append(f"The most for these days is {self.money(share.cap)}, so it is that.")
            else:
                rest, shares = self.between
                steps.append(
                    f"What floors and caps move for others is shared over the rest in proportion. To come from the rest is "
                    f"{self.exact(rest)}, and its shares sum to {self.exact(shares)}: "
                    f"{self.exact(share.exact)} × {self.exact(rest)} / {self.exact(shares)} = {self.exact(share.held)}."
                )
        steps.append(
            f"Rounded so that the contributions of all sum to the pool exactly (what is left over goes to the largest remainders): "
            f"{self.money(share.due)}."
        )
        return steps

    @functools.cached_property
    def between(self) -> tuple[Fraction, Fraction]:
        """What those raise whom no floor or cap holds, and the sum of their shares before."""
        free = [share for share in self.settled.shares if share.flat and share.held not in (share.floor, share.cap)]
        return sum((share.held for share in free), Fraction(0)), sum((share.exact for share in free), Fraction(0))

    def group_steps(self, group: Group, share: Share) -> list[str]:
        """The part of a member in what some or all share."""
        amount = self.money(group.amount)
        whose = f"What all share is {amount}." if group.name == "all" else f"What {group.name} share is {amount}."
        flat = share.flat[group.name]
        steps = []
        if group.used:
            whole = f"{self.rules.flat_share} of it, {self.exact(group.flat)}, is shared by weight"
        else:
            whole = "Nobody used anything that counts, so all of it is shared by weight" if group.use == 0 else "It is shared by weight"
        steps.append(f"{whose} {whole}: × {share.weight} of {group.weight} is {self.exact(flat)}.")
        if group.used:
            use = share.use[group.name]
            part = f"{number(share.counted)} of {number(group.used)}"
            steps.append(f"The rest, {self.exact(group.use)}, is shared by use: × {part} is {self.exact(use)}.")
        return steps

    def use(self, name: str) -> list[dict[str, Any]]:
        """What each tenant used, and how much of the time it was measured."""
        return [
            {
                "tenant": one.tenant,
                "value": one.value,
                "coverage": coverage(one),
                "days": f"{one.sampled_from} to {one.sampled_to}",
                "place": self.place(one.source),
            }
            for one in self.usage[name]
        ]

    def gaps(self, records: Sequence[Usage]) -> list[str]:
        """What was not measured, in sentences."""
        return [
            f"{one.tenant} was measured {coverage(one)} of the time ({one.got} of {one.expected} samples): it may have used more than that."
            for one in records
            if one.got < one.expected
        ]

    def producer(self, name: str) -> dict[str, Any] | None:
        """A producer's work, what it earned, and what it is paid."""
        settled, closing = self.settled, self.settled.closing
        covered, still, before = (self.items_of[key][name] for key in ("covered", "deferred", "before"))
        sent = [one.payment for one in self.payments[name] if one.account == "producer"]
        if not (self.work[name] or covered or still or sent or name in closing.producers):
            return None
        given = [entry for entry in self.month.corrections if entry.member == name and entry.what == "pay"]
        earned = self.by_member[-1][name]["earned"] + sum(entry.amount.minor for entry in given)
        return {
            "lines": [
                {
                    "date": str(line.date),
                    "text": ", ".join(part for part in (line.person, line.circle, line.task, line.description) if part),
                    "hours": number(line.hours),
                    "kind": line.kind,
                    "amount": self.money(self.earned[line.source.id]) if line.source.id in self.earned else "",
                    "place": self.place(line.source),
                }
                for line in self.work[name]
            ],
            "corrections": [
                _row(f"Correction of {entry.corrects}: {entry.reason}", self.money(entry.amount.minor), self.place(entry.source))
                for entry in given
            ],
            "earned": self.money(earned),
            "before": self.money(sum(item.amount for item in before)),
            "covered": [{"month": str(item.period), "amount": self.money(item.amount)} for item in covered],
            "covered_total": self.money(sum(item.amount for item in covered)),
            "deferred": [{"month": str(item.period), "amount": self.money(item.amount)} for item in still],
            "deferred_total": self.money(sum(item.amount for item in still)),
            "ordered": self.money(self.month.opening.producers.get(name, 0)),
            "sent": [
                _row(f"{payment.date}, bank reference {payment.bank_ref}", self.money(payment.amount.minor), self.place(payment.source))
                for payment in sent
            ],
            "contra": self.money(settled.contra.get(name, 0)),
            "payable": self.money(closing.producers.get(name, 0)),
            "raised": self.money(settled.cash),
        }

    def changes(self, name: str) -> dict[str, Any] | None:
        """What is other than in the month before, and what of it comes from where. None in the first month."""
        if len(self.months) < 2 or name not in self.by_member[-2]:
            return None
        then, now = self.by_member[-2][name], self.by_member[-1][name]
        pool_then, pool_now = self.months[-2]["pool"]["total"], self.months[-1]["pool"]["total"]
        part_then = Fraction(then["due"], pool_then) if pool_then else Fraction(0)
        by_pool = rounded((pool_now - pool_then) * part_then)
        difference = now["due"] - then["due"]
        big = abs(difference) > self.rules.notice * abs(then["due"]) or (not then["due"] and bool(difference))
        why = []
        if pool_now != pool_then:
            word = "more" if pool_now > pool_then else "less"
            more = self.money(abs(pool_now - pool_then))
            why.append(f"The pool is {more} {word}: at last month's part of it, that is {_signed(self.money(by_pool))}.")
        reasons = []
        if then["weight"] != now["weight"]:
            reasons.append(f"your weight went from {then['weight']} to {now['weight']}")
        if then["used"] != now["used"]:
            reasons.append(f"your use went from {then['used']} to {now['used']} {self.unit}")
        for key, text in (("weight", "the weight of all"), ("used", "the counted use of all")):
            was, is_now = (Fraction(month["groups"][0][key]) for month in self.months[-2:])
            if was != is_now:
                reasons.append(f"{text} went from {number(was)} to {number(is_now)}")
        moved = [rounded(Fraction(one["held"]) - Fraction(one["exact"])) for one in (then, now)]
        if moved[0] != moved[1]:
            reasons.append(f"floors and caps move {self.money(moved[1])} to you, after {self.money(moved[0])}")
        if self.months[-2]["rules"]["file"] != self.months[-1]["rules"]["file"]:
            reasons.append(f"the rules are those of {self.rules.source.file} now")
        if difference != by_pool:
            because = f"because {_list(reasons)}" if reasons else "rounding"
            why.append(f"The rest, {_signed(self.money(difference - by_pool))}, is {because}.")
        return {
            "before": str(self.months[-2]["month"]),
            "then": self.money(then["due"]),
            "now": self.money(now["due"]),
            "difference": _signed(self.money(difference)),
            "big": big,
            "why": why,
        }

    # -- charts

    def chart(self, name: str) -> dict[str, Any]:
        """Contribution and use of up to twelve months, for bars and for a table."""
        rows = []
        for month, members in zip(self.months, self.by_member, strict=True):
            if name in members:
                rows.append({"month": month["month"], "due": members[name]["due"], "used": members[name]["used"]})
        return {
            "rows": [{"month": row["month"], "due": self.money(row["due"]), "used": row["used"]} for row in rows],
            "charts": [
                bars("Contribution", [(row["month"], row["due"], self.money(row["due"])) for row in rows]),
                bars(self.unit.capitalize(), [(row["month"], row["used"], str(row["used"])) for row in rows]),
            ],
        }

    # -- the treasurer's page

    def all_members(self) -> dict[str, Any]:
        """The sums of the columns, which the steps on the statements name."""
        shares = [share for share in self.settled.involved if share.flat]
        now = self.by_member[-1].values()
        return {
            "name": "All",
            "weight": str(sum((share.weight for share in shares), Fraction(0))),
            "used": sum(share.used for share in self.settled.involved),
            "counted": number(sum((share.counted for share in shares), Fraction(0))),
            "exact": self.exact(sum((share.exact for share in shares), Fraction(0))),
            "due": self.money(sum(share.due for share in shares)),
            "received": self.money(sum(one["received"] for one in now)),
            "contra": self.money(sum(self.settled.contra.values())),
            "balance": self.money(sum(self.settled.closing.balances.values())),
        }

    def summary(self) -> str:
        """One page for the treasurer."""
        settled, closing, month = self.settled, self.settled.closing, self.month
        spent = [one.item for one in settled.covered if one.kind == "bill"]
        bills = [month_["pool"]["bills"] for month_ in self.months if month_["pool"]["bills"] > 0][-3:]
        average = Fraction(sum(bills), len(bills)) if bills else Fraction(0)
        late = [item for item in closing.dues if item.amount > 0 and item.period < month.period and self.late(item)]
        unmatched = [one.payment for one in settled.matched if one.account == "unmatched"]
        return render(
            "summary",
            **self.common(),
            figures=[
                ("Raised: contributions of all members", self.money(settled.pool.total)),
                ("Came in and was free to spend", self.money(settled.cash)),
                ("Bills of the month", self.money(settled.pool.bills)),
                *self.vat_figures(),
                ("Covered of bills, old and new", self.money(sum(item.amount for item in spent))),
                ("Earned by producers", self.money(settled.pool.labour)),
                ("Covered of their pay, old and new", self.money(sum(settled.pay_covered.values()))),
                ("Pay deferred in all", self.money(sum(item.amount for item in closing.deferred))),
                ("Bills not covered in all", self.money(sum(item.amount for item in closing.bills))),
                ("Owed by members in all", self.money(sum(amount for amount in closing.balances.values() if amount > 0))),
                ("Reserve", self.money(closing.reserve) + (f", {number(closing.reserve / average, 1)} months of bills" if average else "")),
                ("Raised for the reserve and not yet covered", self.money(closing.reserve_due)),
                ("Free for next month", self.money(closing.free)),
                ("In the bank by these books", self.money(closing.bank)),
            ],
            ahead=self.ahead(),
            pool=self.pool,
            members=[
                {
                    "id": share.member.id,
                    "name": share.member.name,
                    "weight": str(share.weight) if share.flat else "none",
                    "used": share.used,
                    "counted": number(share.counted),
                    "exact": self.exact(share.exact),
                    "due": self.money(share.due),
                    "received": self.money(self.by_member[-1][share.member.id]["received"]),
                    "contra": self.money(settled.contra.get(share.member.id, 0)),
                    "balance": self.money(closing.balances.get(share.member.id, 0)),
                }
                for share in settled.involved
            ]
            + [self.all_members()],
            late=[
                {"member": item.party, "amount": self.money(item.amount), "month": str(item.period), "since": str(self.due_day(item))}
                for item in late
            ],
            unmatched=[
                {
                    "date": str(payment.date),
                    "amount": self.money(payment.amount.minor),
                    "direction": payment.direction,
                    "who": payment.counterparty or "",
                    "reference": payment.reference,
                    "place": self.place(payment.source),
                }
                for payment in unmatched
            ],
            unmatched_total=self.money(closing.unmatched),
            bills=[
                {"party": item.party, "amount": self.money(item.amount), "what": item.what, "due": self.bill_due.get(item.what, "")}
                for item in closing.bills
            ],
            orders=[
                {"party": party, "amount": self.money(amount), "reference": reference(party, month.period)}
                for held in (closing.suppliers, closing.producers)
                for party, amount in sorted(held.items())
                if amount > 0
            ],
            producers=self.producers(),
            gaps=self.gaps([one for records in self.usage.values() for one in records]),
            charts=[
                bars("Contributions", [(one["month"], one["pool"]["total"], self.money(one["pool"]["total"])) for one in self.months]),
                bars(
                    "Pay deferred in all",
                    [(one["month"], amount, self.money(amount)) for one in self.months for amount in (_deferred(one),)],
                ),
                bars("Reserve", [(one["month"], one["closing"]["reserve"], self.money(one["closing"]["reserve"])) for one in self.months]),
            ],
            history=[
                {
                    "month": one["month"],
                    "pool": self.money(one["pool"]["total"]),
                    "bills": self.money(one["pool"]["bills"]),
                    "labour": self.money(one["pool"]["labour"]),
                    "deferred": self.money(_deferred(one)),
                    "reserve": self.money(one["closing"]["reserve"]),
                }
                for one in self.months
            ],
            inputs=sorted(self.inputs.items()),
        )

    def vat_figures(self) -> list[tuple[str, str]]:
        """VAT of the month; nothing when none is charged and none comes back."""
        settled = self.settled
        if not (settled.vat or settled.reclaimed):
            return []
        return [
            ("VAT on what members are charged", self.money(sum(settled.vat.values()))),
            ("VAT on bills that comes back", self.money(sum(settled.reclaimed.values()))),
            ("VAT to pay for the month, a bill of the tax office", self.money(settled.vat_owed)),
        ]

    def ahead(self) -> list[str]:
        """What comes if things go on like this, and what one member more would change, in sentences."""
        last = [month["pool"]["total"] for month in self.months[-3:]]
        pace = rounded(Fraction(3 * sum(last), len(last)))
        said = [f"The next three months, at the pace of the last {len(last)}: {self.money(pace)} to raise."]
        there = [share for share in self.settled.shares if share.flat]
        if not there:
            return said
        used = rounded(Fraction(sum(share.used for share in there), len(there)))
        # No member can have this id.
        name = "(one more)"
        more = MemberMonth(name, name, self.rules.contributors, self.month.period.days, Fraction(1), self.rules.floor, self.rules.cap)
        record = Usage(
            Source("", 0, name), name, name, self.rules.metric, used, self.month.period.first, self.month.period.last, 1, 1
        )  # fmt: skip
        grown = dataclasses.replace(self.month, members=(*self.month.members, more), usage=(*self.month.usage, record))
        due = settle(grown).due[name]
        if due > 0:
            each = self.money(rounded(Fraction(due, len(there))))
            said.append(
                f"One more member, of weight 1 and with the average use of {used} {self.unit}, would have borne {self.money(due)} of this "
                f"month, and the others {each} less on average."
            )
        return said

    @functools.cached_property
    def bill_due(self) -> dict[str, str]:
        """The day on which each bill is due, and whether that has passed at the end of the month."""
        last = str(self.month.period.last)
        return {
            bill["id"]: bill["due"] + (", overdue" if bill["due"] < last else "") for month in self.all_months for bill in month["bills"]
        }

    def due_day(self, item: Item) -> datetime.date:
        """The day on which a part of a balance was due, by the rules of now."""
        return item.period.last + datetime.timedelta(days=self.rules.due_days)

    def late(self, item: Item) -> bool:
        """Whether it was due before the month ended."""
        return self.due_day(item) <= self.month.period.last

    def producers(self) -> list[dict[str, str]]:
        """What each producer earned, is paid and is still owed."""
        found = []
        for share in self.settled.involved:
            mine = self.by_member[-1][share.member.id]
            if any(mine[key] for key in ("earned", "covered", "deferred", "payable")):
                found.append({
                    "id": share.member.id,
                    **{key: self.money(mine[key]) for key in ("earned", "covered", "contra", "payable", "deferred")},
                })  # fmt: skip
        return found


_TAXED = {"S": "{rate} % VAT", "Z": "zero-rated", "E": "exempt", "AE": "reverse charge", "O": "outside the scope of VAT"}


def taxed_in_words(taxed: Treatment) -> str:
    """A tax treatment in words, with its reason where that says more."""
    words = _TAXED[taxed.category].format(rate=number(taxed.rate))
    return f"{words} ({taxed.reason})" if taxed.reason and taxed.reason.lower() != words else words


def _row(text: str, amount: str, place: str, strong: bool = False) -> dict[str, Any]:
    return {"text": text, "amount": amount, "place": place, "strong": strong}


def _deferred(figures: Mapping[str, Any]) -> int:
    return sum(item["amount"] for item in figures["closing"]["deferred"])


def _net(balance: int, payable: int) -> str:
    if balance > 0:
        return "pay"
    return "get" if payable > 0 else "ahead" if balance < 0 else "none"


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def coverage(record: Usage) -> str:
    """How much of the time was measured, in percent, rounded down: 100 % only when nothing is missing."""
    return f"{record.got * 100 // record.expected} %"


def bars(title: str, rows: Sequence[tuple[str, int, str]]) -> dict[str, Any]:
    """A small bar chart: places in whole units of the drawing, so that they are the same everywhere."""
    width, height = 30, 80
    most = max((abs(value) for _month, value, _shown in rows), default=0) or 1
    return {
        "title": title,
        "width": max(1, len(rows)) * width,
        "text": "; ".join(f"{month}: {shown}" for month, _value, shown in rows),
        "bars": [
            {
                "x": index * width + 4,
                "y": height - max(0, value) * height // most,
                "height": max(0, value) * height // most,
                "month": month,
                "label": month[5:],
                "middle": index * width + 15,
                "shown": shown,
            }
            for index, (month, value, shown) in enumerate(rows)
        ],
    }
