# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a month costs, who contributes how much, who is paid what. A function of a C(Month), nothing else.

The pool is bills, pay and reserve, with corrections, less the co-operative's part of sales. It is split exactly, a part flat by weight
and a part by use, held between floors and caps, and only then rounded: by largest remainder, so that the cents add up. Money that came
in covers bills, then the reserve, then pay, the oldest first; what it does not cover stays owed. Amounts are minor units of the book
currency.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem

from .ledger import (
    Bill,
    Books,
    Correction,
    Hours,
    Item,
    MemberMonth,
    MoneyError,
    Month,
    Payment,
    Period,
    Rules,
    Sale,
    Treatment,
    decimal,
    rounded,
)

_REFERENCE = re.compile(r"([a-z0-9][a-z0-9-]*)[-/ ]([1-9][0-9]{3})-?(0[1-9]|1[0-2])(?![0-9])")


def apportion(total: int, parts: Iterable[tuple[str, Fraction, Fraction]]) -> dict[str, int]:
    """Whole numbers that sum to a total, from C(key, exact share, weight): the shares have to sum to the total.

    Everyone gets the whole part of its share; the units left over go to the largest remainders, then the larger weight, then the first key.
    This is not house-monotone: with one cent more to share, somebody can get one cent less (the Alabama paradox).
    """
    found = list(parts)
    whole = {key: share.__floor__() for key, share, _weight in found}
    left = total - sum(whole.values())
    if left:
        order = sorted(found, key=lambda part: (part[1].__floor__() - part[1], -part[2], part[0]))
        for key, _share, _weight in order[:left]:
            whole[key] += 1
    return whole


def hold(total: Fraction, shares: Mapping[str, Fraction], floors: Mapping[str, int], caps: Mapping[str, int]) -> dict[str, Fraction]:
    """Shares that sum to the total and keep to floors and caps; what these move is shared over the rest in proportion to the shares.

    As long as one side moves more than the other, those on that side stay where they are held and the rest is shared again; so no order
    of members matters. Floors may not sum to more than the total, and caps must leave room for it.
    """
    held: dict[str, Fraction] = {}
    free = dict(shares)
    while free:
        weight = sum(free.values())
        scale = (total - sum(held.values())) / weight if weight else Fraction(0)
        low: dict[str, Fraction] = {}
        high: dict[str, Fraction] = {}
        moved = Fraction(0)
        for key, share in free.items():
            scaled = share * scale
            if key in floors and scaled < floors[key]:
                low[key] = Fraction(floors[key])
                moved += floors[key] - scaled
            elif key in caps and scaled > caps[key]:
                high[key] = Fraction(caps[key])
                moved -= scaled - caps[key]
        stay = low if moved > 0 else high if moved < 0 else {**low, **high}
        if not stay:
            held.update({key: share * scale for key, share in free.items()})
            break
        held.update(stay)
        for key in stay:
            del free[key]
    return held


@dataclasses.dataclass(frozen=True)
class Pool:
    """What the month has to raise, and of what it is made. C(floors) is what floors raise beyond it; it goes to the reserve."""

    bills: int
    labour: int
    reserve: int
    corrections: int
    sales: int
    floors: int = 0

    @property
    def total(self) -> int:
        """What the contributions sum to; negative: what is given back."""
        return self.bills + self.labour + self.reserve + self.corrections - self.sales + self.floors


@dataclasses.dataclass(frozen=True)
class Group:
    """Part of the pool that some members share: C(amount) = C(flat) + C(use), by total weight and total counted use."""

    name: str
    amount: int
    members: tuple[str, ...]
    flat: Fraction
    use: Fraction
    weight: Fraction
    used: Fraction


@dataclasses.dataclass(frozen=True)
class Share:
    """How one member's contribution comes about.

    C(weight) is its weight for its days, C(used) what it used, C(counted) what of it is above the allowance, times its weight.
    C(flat) and C(use) are exact, by group; C(exact) is their sum, C(held) that between floor and cap, C(due) that in whole units.
    """

    member: MemberMonth
    weight: Fraction
    used: int
    counted: Fraction
    flat: Mapping[str, Fraction]
    use: Mapping[str, Fraction]
    exact: Fraction
    floor: int | None
    cap: int | None
    held: Fraction
    due: int


@dataclasses.dataclass(frozen=True)
class Pay:
    """What a producer earned: each paid line of its hours with what it comes to; C(earned) is their sum."""

    producer: str
    hours: Fraction
    earned: int
    lines: tuple[tuple[Hours, int], ...]


@dataclasses.dataclass(frozen=True)
class Covered:
    """Something that this month's money covers: C(kind) is bill, reserve or pay."""

    kind: str
    item: Item


@dataclasses.dataclass(frozen=True)
class Matched:
    """A line of the bank statement and whose it is; C(account) is receivable, supplier, producer or unmatched."""

    payment: Payment
    party: str | None
    account: str


@dataclasses.dataclass(frozen=True)
class Settlement:
    """A settled month. C(contra) is, by member, what it owes and is owed at once, which nobody has to send to and fro.

    C(charged) is, by member, what is charged without tax: contribution, the co-operative's part of sales, corrections; C(vat) the VAT on
    it. C(reclaimed) is, by bill, the VAT that comes back. All amounts are minor units.
    """

    month: Month
    pool: Pool
    groups: tuple[Group, ...]
    shares: tuple[Share, ...]
    pay: tuple[Pay, ...]
    bills: tuple[tuple[Bill, int], ...]
    sales: tuple[tuple[Sale, int], ...]
    matched: tuple[Matched, ...]
    covered: tuple[Covered, ...]
    cash: int
    contra: Mapping[str, int]
    closing: Books
    charged: Mapping[str, int] = dataclasses.field(default_factory=dict)
    vat: Mapping[str, int] = dataclasses.field(default_factory=dict)
    reclaimed: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def due(self) -> dict[str, int]:
        """Contributions by member."""
        return {share.member.id: share.due for share in self.shares}

    @property
    def currency(self) -> str:
        """The book currency."""
        return self.month.rules.currency

    @property
    def vat_owed(self) -> int:
        """What the tax office is owed for the month; negative: what it owes."""
        return sum(self.vat.values()) - sum(self.reclaimed.values())

    def treatment(self, member: MemberMonth) -> Treatment | None:
        """How what a member owes is taxed; None when tax is no matter of these books."""
        return treatment(self.month.rules, member)

    @property
    def due_on(self) -> datetime.date:
        """The day on which the statements of the month are due."""
        return self.month.period.last + datetime.timedelta(days=self.month.rules.due_days)

    @functools.cached_property
    def pay_covered(self) -> Mapping[str, int]:
        """What this month's money covers of each producer's pay."""
        found: dict[str, int] = defaultdict(int)
        for one in self.covered:
            if one.kind == "pay":
                found[one.item.party] += one.item.amount
        return found

    @functools.cached_property
    def involved(self) -> tuple[Share, ...]:
        """The members that have anything to do with the month; who left long ago has not."""
        books = (self.month.opening, self.closing)
        there = {share.member.id for share in self.shares if share.member.days}
        there |= {name for held in books for name in (*held.balances, *held.producers)}
        there |= {item.party for held in books for item in held.deferred}
        there |= {one.party for one in self.matched if one.party} | {one.member for one in self.month.corrections}
        return tuple(share for share in self.shares if share.member.id in there)


def treatment(rules: Rules, member: MemberMonth) -> Treatment | None:
    """How what a member owes is taxed under some rules; None when they say nothing of tax."""
    return (member.tax or rules.vat.charged) if rules.vat else None


def reference(party: str, period: Period) -> str:
    """What stands on a transfer, so that it is recognised."""
    return f"{party.upper()}-{period}"


def named_in(text: str, known: Mapping[str, str]) -> str | None:
    """The one party that a reference names, as in C(meet SUNFLOWER-2026-03); None when it names none, or several: nothing is guessed."""
    found = set()
    for match in _REFERENCE.finditer(text.lower()):
        words = match[1].split("-")
        name = next((name for start in range(len(words)) if (name := "-".join(words[start:])) in known), None)
        if name:
            found.add(known[name])
    return found.pop() if len(found) == 1 else None


def settle(month: Month) -> Settlement:
    """The settlement of a month.

    Raises MoneyError when nobody is there to share the costs, or when the caps do not let them be raised.
    """
    return _Settle(month).result()


class _Settle:
    def __init__(self, month: Month) -> None:
        self.month = month
        self.rules = month.rules
        self.members = {member.id: member for member in sorted(month.members, key=lambda member: member.id)}
        self.reclaimed: dict[str, int] = {}

    def fail(self, said: str) -> MoneyError:
        source = self.rules.source
        return MoneyError([Problem(source.file, source.line, f"month {self.month.period}: {said}")])

    def money(self, minor: int | Fraction) -> str:
        return decimal(rounded(Fraction(minor)), self.rules.currency)

    # -- costs

    def bills(self) -> tuple[tuple[Bill, int], ...]:
        found = []
        for bill in sorted(self.month.bills, key=lambda bill: (bill.date, bill.source.id)):
            cost = bill.cost(self.rules.currency)
            if cost is None:
                said = f"bill of {bill.supplier} is in {bill.gross.currency} and has no rate; write exchange: with rate, source and date"
                raise MoneyError([Problem(bill.source.file, bill.source.line, said)])
            found.append((bill, cost))
        return tuple(found)

    def pay(self) -> tuple[Pay, ...]:
        by_producer: dict[str, list[Hours]] = defaultdict(list)
        for line in sorted(self.month.hours, key=lambda line: (line.date, line.source.id)):
            if line.kind == "paid":
                by_producer[line.producer].append(line)
        found = []
        for producer, lines in sorted(by_producer.items()):
            hours = sum((line.hours for line in lines), Fraction(0))
            earned = rounded(hours * self.rules.rate)
            scale = Fraction(earned) / (hours * self.rules.rate) if hours and self.rules.rate else Fraction(0)
            amounts = apportion(earned, ((line.source.id, line.hours * self.rules.rate * scale, line.hours) for line in lines))
            found.append(Pay(producer, hours, earned, tuple((line, amounts[line.source.id]) for line in lines)))
        return tuple(found)

    def sales(self) -> tuple[tuple[Sale, int], ...]:
        found = []
        for sale in sorted(self.month.sales, key=lambda sale: (sale.date, sale.source.id)):
            kept = sale.seller_share if sale.seller_share is not None else self.rules.seller_share
            found.append((sale, sale.net.minor - rounded(sale.net.minor * kept)))
        return tuple(found)

    # -- contributions

    def groups(self, bills: Sequence[tuple[Bill, int]], total: int, counted: Mapping[str, Fraction]) -> list[Group]:
        there = {
            key: member
            for key, member in self.members.items()
            if member.days and member.weight and set(member.classes) & set(self.rules.contributors)
        }
        amounts: dict[tuple[str, ...], int] = defaultdict(int)
        for bill, cost in bills:
            cost -= self.reclaimed[bill.source.id]
            if bill.shared_by:
                key = tuple(sorted(set(bill.shared_by)))
                if not set(key) & set(there):
                    said = f"none of {', '.join(key)} contributes in {self.month.period}; write other members in shared_by, or remove it"
                    raise MoneyError([Problem(bill.source.file, bill.source.line, said)])
                amounts[key] += cost
        common = total - sum(amounts.values())
        if not there and total:
            raise self.fail(
                f"{self.money(total)} to share and nobody to share it: no member of the classes "
                f"{', '.join(self.rules.contributors)} with a weight above 0; add one to the membership file"
            )
        found = []
        for key, amount in [((), common), *sorted(amounts.items())]:
            members = [member for member in there if not key or member in key]
            weight = sum((there[member].share(self.month.period) for member in members), Fraction(0))
            used = sum((counted[member] for member in members), Fraction(0))
            flat = amount * self.rules.flat_share if used else Fraction(amount)
            name = ", ".join(key) or "all"
            found.append(Group(name, amount, tuple(members), flat, amount - flat, weight, used))
        return found

    def shares(self, bills: Sequence[tuple[Bill, int]], pool: Pool) -> tuple[Pool, list[Group], list[Share]]:
        period, rules = self.month.period, self.rules
        used: dict[str, int] = defaultdict(int)
        for record in self.month.usage:
            if record.metric == rules.metric:
                used[record.member] += record.value
        counted = {key: max(0, used[key] - rules.allowance) * member.weight for key, member in self.members.items()}
        weights = {key: member.share(period) for key, member in self.members.items()}
        groups = self.groups(bills, pool.total, counted)
        flat: dict[str, dict[str, Fraction]] = defaultdict(dict)
        use: dict[str, dict[str, Fraction]] = defaultdict(dict)
        for group in groups:
            by_weight = group.flat / group.weight if group.weight else Fraction(0)
            by_use = group.use / group.used if group.used else Fraction(0)
            for member in group.members:
                flat[member][group.name] = by_weight * weights[member]
                use[member][group.name] = by_use * counted[member]
        exact = {member: sum(flat[member].values(), Fraction(0)) + sum(use[member].values(), Fraction(0)) for member in self.members}
        floors, caps = self.limits(groups[0].members, exact)
        if pool.total >= 0 and (floors or caps):
            pool, held = self.held(pool, exact, floors, caps)
        else:
            held = exact
        due = apportion(pool.total, ((member, share, weights[member]) for member, share in held.items()))
        shares = [
            Share(
                member,
                weights[key],
                used[key],
                counted[key],
                flat[key],
                use[key],
                exact[key],
                floors.get(key),
                caps.get(key),
                held[key],
                due[key],
            )
            for key, member in self.members.items()
        ]
        return pool, groups, shares

    def limits(self, contributors: Sequence[str], exact: Mapping[str, Fraction]) -> tuple[dict[str, int], dict[str, int]]:
        """Floors and caps, for the days a member was there. Who gets something back is not held."""
        floors: dict[str, int] = {}
        caps: dict[str, int] = {}
        for key in contributors:
            member = self.members[key]
            part = Fraction(member.days, self.month.period.days)
            if exact[key] < 0:
                continue
            if member.floor is not None:
                floors[key] = rounded(member.floor * part)
            if member.cap is not None:
                caps[key] = rounded(member.cap * part)
        return floors, caps

    def held(
        self, pool: Pool, exact: Mapping[str, Fraction], floors: Mapping[str, int], caps: Mapping[str, int]
    ) -> tuple[Pool, dict[str, Fraction]]:
        fixed = {key: share for key, share in exact.items() if share < 0}
        rest = {key: share for key, share in exact.items() if share >= 0}
        total = pool.total - sum(fixed.values())
        least = sum(floors.values())
        if least > total:
            # The least is a whole number and so is the pool: what members get back is rounded with it.
            more = (least - total).__ceil__()
            pool = dataclasses.replace(pool, floors=more)
            total += more
        # Who has no share pays its floor at most.
        room = sum(floors.get(key, 0) for key, share in rest.items() if share == 0)
        if all(key in caps for key, share in rest.items() if share > 0):
            room += sum(caps[key] for key, share in rest.items() if share > 0)
            if room < total:
                raise self.fail(
                    f"the caps let only {self.money(room)} of {self.money(total)} be raised; decide on higher caps, or remove one of them"
                )
        return pool, {**fixed, **hold(Fraction(total), rest, floors, caps)}

    # -- money

    def parties(self) -> tuple[dict[str, str], set[str], set[str]]:
        """Who can be named in a reference, by the name in lower case, then suppliers, then producers."""
        opening = self.month.opening
        suppliers = {bill.supplier for bill in self.month.bills} | set(opening.suppliers) | {item.party for item in opening.bills}
        if self.rules.vat and self.rules.vat.office:
            suppliers.add(self.rules.vat.office)
        producers = {key for key, member in self.members.items() if "producer" in member.classes}
        producers |= set(opening.producers) | {item.party for item in opening.deferred}
        known = {name.lower(): name for name in (*sorted(suppliers), *self.members)}
        return known, suppliers, producers

    def matched(self) -> tuple[Matched, ...]:
        known, suppliers, producers = self.parties()
        found = []
        for payment in sorted(self.month.payments, key=lambda payment: (payment.date, payment.bank_ref)):
            # A supplier can be paid before its bill comes: then only the file names it.
            party = known.get(payment.party, payment.party) if payment.party else named_in(payment.reference, known)
            if party is None:
                account = "unmatched"
            elif payment.direction == "out" and party in producers:
                account = "producer"
            elif party in self.members:
                account = "receivable"
            else:
                account = "supplier"
            found.append(Matched(payment, party, account))
        return tuple(found)

    def result(self) -> Settlement:
        month, rules, opening = self.month, self.rules, self.month.opening
        bills, pay, sales, matched = self.bills(), self.pay(), self.sales(), self.matched()
        self.reclaimed = {bill.source.id: bill.reclaimed(rules.currency, rules.vat) for bill, _cost in bills}
        costs, labour = sum(cost for _bill, cost in bills) - sum(self.reclaimed.values()), sum(one.earned for one in pay)
        given = sum(one.amount.minor for one in month.corrections if one.what == "contribution")
        owed = sum(one.amount.minor for one in month.corrections if one.what == "pay")
        reserve = max(0, rounded((costs + labour) * rules.reserve))
        pool, groups, shares = self.shares(bills, Pool(costs, labour, reserve, owed - given, sum(part for _sale, part in sales)))

        balances = dict.fromkeys(self.members, 0) | dict(opening.balances)
        payable = {"supplier": defaultdict(int, opening.suppliers), "producer": defaultdict(int, opening.producers)}
        free, bank, unmatched = opening.free, opening.bank, opening.unmatched
        for one in matched:
            amount = one.payment.amount.minor if one.payment.direction == "in" else -one.payment.amount.minor
            bank += amount
            if one.account == "unmatched":
                unmatched += amount
            elif one.account == "receivable":
                balances[one.party] -= amount
                free += amount
            else:
                payable[one.account][one.party] += amount
        for one in month.corrections:
            if one.what == "payment":
                unmatched -= one.amount.minor
                balances[one.member] -= one.amount.minor
                free += one.amount.minor
        charged = self.charged(shares, sales)
        vat = self.vat(charged)
        for member, amount in charged.items():
            balances[member] += amount + vat.get(member, 0)

        open_bills = [
            *opening.bills,
            *(Item(month.period, bill.supplier, cost, bill.source.id) for bill, cost in bills if cost),
            *self.vat_return(sum(vat.values()) - sum(self.reclaimed.values())),
        ]
        open_pay = [*opening.deferred, *self.claims(pay)]
        cash = free
        open_bills, free, covered = self.credit_notes(open_bills, free, payable["supplier"])
        covered_bills, open_bills, free = self.cover_in_order(open_bills, free)
        reserve_due = opening.reserve_due + pool.reserve + pool.floors
        kept = max(0, min(free, reserve_due))
        free -= kept
        covered_pay, open_pay, free = self.cover_pay(open_pay, free)
        covered += [Covered("bill", item) for item in covered_bills]
        if kept:
            covered.append(Covered("reserve", Item(month.period, "reserve", kept, "reserve")))
        covered += [Covered("pay", item) for item in covered_pay]
        for item in covered_bills:
            payable["supplier"][item.party] += item.amount
        for item in covered_pay:
            payable["producer"][item.party] += item.amount
        contra: dict[str, int] = {}
        for member in self.members:
            amount = min(balances[member], payable["producer"].get(member, 0))
            if amount > 0:
                contra[member] = amount
                balances[member] -= amount
                payable["producer"][member] -= amount
                free += amount
        closing = Books(
            period=month.period,
            balances={key: amount for key, amount in sorted(balances.items()) if amount},
            dues=self.dues(balances, {member: amount + vat.get(member, 0) for member, amount in charged.items()}),
            bills=tuple(open_bills),
            deferred=tuple(open_pay),
            suppliers={key: amount for key, amount in sorted(payable["supplier"].items()) if amount},
            producers={key: amount for key, amount in sorted(payable["producer"].items()) if amount},
            reserve=opening.reserve + kept,
            reserve_due=reserve_due - kept,
            unmatched=unmatched,
            free=free,
            bank=bank,
        )
        return Settlement(
            month, pool, tuple(groups), tuple(shares), pay, bills, sales, matched, tuple(covered), cash, contra, closing,
            charged, vat, {bill: amount for bill, amount in self.reclaimed.items() if amount},
        )  # fmt: skip

    def vat(self, charged: Mapping[str, int]) -> dict[str, int]:
        """The VAT on what each member is charged, rounded once for each."""
        found = {}
        for key, amount in charged.items():
            taxed = treatment(self.rules, self.members[key])
            if taxed and (tax := taxed.tax(amount)):
                found[key] = tax
        return found

    def vat_return(self, owed: int) -> list[Item]:
        """What the tax office is owed for the month: a bill like any other, or a credit note."""
        if not owed:
            return []
        if self.rules.vat is None or self.rules.vat.office is None:
            said = f"{self.money(owed)} of VAT and nobody to pay it to; write vat: office: and the id of the tax office, such as hmrc"
            raise self.fail(said)
        return [Item(self.month.period, self.rules.vat.office, owed, f"{self.month.period}/vat")]

    def charged(self, shares: Sequence[Share], sales: Sequence[tuple[Sale, int]]) -> dict[str, int]:
        """What is added to each member's account: contribution, the co-operative's part of its sales, corrections."""
        found = {share.member.id: share.due for share in shares}
        for sale, part in sales:
            found[sale.seller] += part
        for one in self.month.corrections:
            if one.what == "contribution":
                found[one.member] += one.amount.minor
        return found

    def claims(self, pay: Sequence[Pay]) -> list[Item]:
        period = self.month.period
        found = [Item(period, one.producer, one.earned, f"{period}/{one.producer}") for one in pay if one.earned]
        corrections = sorted((one for one in self.month.corrections if one.what == "pay"), key=_correction_id)
        return found + [Item(period, one.member, one.amount.minor, one.source.id) for one in corrections]

    @staticmethod
    def credit_notes(items: Sequence[Item], free: int, payable: dict[str, int]) -> tuple[list[Item], int, list[Covered]]:
        """Sets credit notes against open bills of the same supplier, then against what it would be paid anyway. The rest stays open."""
        left = [item.amount for item in items]
        for index, item in enumerate(items):
            for other, bill in enumerate(items):
                if left[index] >= 0:
                    break
                if bill.party == item.party and left[other] > 0:
                    used = min(-left[index], left[other])
                    left[index] += used
                    left[other] -= used
        covered = []
        for index, item in enumerate(items):
            used = min(-left[index], payable.get(item.party, 0)) if left[index] < 0 else 0
            if used > 0:
                left[index] += used
                payable[item.party] -= used
                free += used
                covered.append(Covered("bill", dataclasses.replace(item, amount=-used)))
        return [dataclasses.replace(item, amount=amount) for item, amount in zip(items, left, strict=True) if amount], free, covered

    @staticmethod
    def cover_in_order(items: Sequence[Item], free: int) -> tuple[list[Item], list[Item], int]:
        """What money covers of bills, one after the other, what stays open, and what money is left."""
        covered, still = [], []
        for item in items:
            part = max(0, min(free, item.amount))
            free -= part
            if part:
                covered.append(dataclasses.replace(item, amount=part))
            if part != item.amount:
                still.append(dataclasses.replace(item, amount=item.amount - part))
        return covered, still, free

    @staticmethod
    def cover_pay(items: Sequence[Item], free: int) -> tuple[list[Item], list[Item], int]:
        """What money covers of pay: month by month, and within a month each in proportion to what it is owed."""
        covered, still = [], []
        for period in sorted({item.period for item in items}):
            of_month = [item for item in items if item.period == period]
            owed = sum(item.amount for item in of_month)
            part = max(0, min(free, owed))
            free -= part
            amounts = apportion(part, ((item.what, Fraction(item.amount * part, owed), Fraction(item.amount)) for item in of_month))
            for item in of_month:
                if amounts[item.what]:
                    covered.append(dataclasses.replace(item, amount=amounts[item.what]))
                if amounts[item.what] != item.amount:
                    still.append(dataclasses.replace(item, amount=item.amount - amounts[item.what]))
        return covered, still, free

    def dues(self, balances: Mapping[str, int], charged: Mapping[str, int]) -> tuple[Item, ...]:
        """The unpaid parts of what each member owes: what it paid counts for the oldest first."""
        by_member: dict[str, list[Item]] = defaultdict(list)
        for item in self.month.opening.dues:
            by_member[item.party].append(item)
        found = []
        for member, balance in sorted(balances.items()):
            items = by_member[member]
            if charged.get(member, 0) > 0:
                items = [*items, Item(self.month.period, member, charged[member], f"{self.month.period}/{member}")]
            left = balance
            if left < 0:
                found.append(Item(self.month.period, member, left, f"{self.month.period}/{member}"))
                continue
            # From the newest back: what is owed now is the newest part of what was charged.
            mine = []
            for item in reversed(items):
                part = min(left, item.amount)
                if part > 0:
                    mine.append(dataclasses.replace(item, amount=part))
                    left -= part
            if left:
                mine.append(Item(self.month.period, member, left, f"{self.month.period}/{member}"))
            found.extend(reversed(mine))
        return tuple(found)


def _correction_id(correction: Correction) -> str:
    return correction.source.id
