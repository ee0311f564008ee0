# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the money of a month is made of, as plain frozen values.

Readers fill these from files, C(settlement) calculates with them. Amounts are whole minor units (cents), shares are exact fractions;
there is no float anywhere. A reader is one function, C(read(folder, period)), that gives the records of one month and the problems
it found; it checks what one file can show. What needs the register, the rules or other months is checked in C(month).
"""

from __future__ import annotations

import calendar
import dataclasses
import datetime
import re
from collections.abc import Mapping
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.currencies import CURRENCIES, MINOR_UNITS
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError

# EN 16931 (UNCL 5305): standard rate, zero rate, exempt, reverse charge, intra-community supply, export, outside the scope of tax.
TAX_CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O")
KINDS_OF_HOURS = ("paid", "gift", "membership")

_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?\Z")
_PERIOD = re.compile(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])\Z")


@dataclasses.dataclass(frozen=True, order=True)
class Period:
    """A month of the calendar, written C(2026-03)."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Period | None:
        """The month a text names; None when it is none."""
        found = _PERIOD.match(text)
        return cls(int(found[1]), int(found[2])) if found else None

    @classmethod
    def of(cls, day: datetime.date) -> Period:
        """The month a day is in."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def days(self) -> int:
        """How many days it has."""
        return calendar.monthrange(self.year, self.month)[1]

    @property
    def first(self) -> datetime.date:
        """Its first day."""
        return datetime.date(self.year, self.month, 1)

    @property
    def last(self) -> datetime.date:
        """Its last day."""
        return datetime.date(self.year, self.month, self.days)

    @property
    def next(self) -> Period:
        """The month after it."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Period:
        """The month before it."""
        return Period(self.year - (self.month == 1), (self.month - 2) % 12 + 1)


@dataclasses.dataclass(frozen=True)
class Money:
    """An amount in whole minor units of a currency: 12.30 EUR is C(Money(1230, "EUR")), 5 JPY is C(Money(5, "JPY"))."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str) -> Money | None:
        """The amount a text such as C(-12.30) means; None when it is no number, or has more figures than the currency.

        Raises KeyError for a currency that is not in ISO 4217: check C(CURRENCIES) first.
        """
        if currency not in CURRENCIES:
            raise KeyError(currency)
        found = _AMOUNT.match(text)
        places = MINOR_UNITS[currency]
        if not found or len(found[3] or "") > places:
            return None
        minor = int(found[2] + (found[3] or "").ljust(places, "0"))
        return cls(-minor if found[1] else minor, currency)

    def __str__(self) -> str:
        return f"{decimal(self.minor, self.currency)} {self.currency}"


def decimal(minor: int, currency: str) -> str:
    """Minor units as a decimal number with a point, such as C(-12.30)."""
    places = MINOR_UNITS[currency]
    figures = str(abs(minor)).rjust(places + 1, "0")
    text = f"{figures[:-places]}.{figures[-places:]}" if places else figures
    return f"-{text}" if minor < 0 else text


def rounded(exact: Fraction) -> int:
    """The nearest whole number; a half goes away from zero, as people round money."""
    whole = (abs(exact) + Fraction(1, 2)).__floor__()
    return -whole if exact < 0 else whole


class MoneyError(MembershipError):
    """Money files that cannot be used; one line for each thing to mend."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a record stands. C(file) is relative to the folder of the money files, with C(/); C(line) begins at 1.

    C(id) is unique among the records of its kind over all months and goes into journals and statements, such as
    C(2026-03/hetzner) for bills/2026-03/hetzner.yml, C(2026-03:7) for line 7 of usage/2026-03.csv, and
    C(2026-03/femprocomuns:12) for line 12 of hours/2026-03/femprocomuns.timedot. A payment's is its C(bank_ref).
    """

    file: str
    line: int
    id: str


@dataclasses.dataclass(frozen=True)
class Exchange:
    """The rate a bill in another currency was taken into the books at: book currency units for one unit of its own."""

    rate: Fraction
    source: str
    date: datetime.date


@dataclasses.dataclass(frozen=True)
class Tax:
    """One tax group of a bill or sale: category of EN 16931, rate in percent, the net amount and the tax on it in minor units."""

    category: str
    rate: Fraction
    net: int
    vat: int
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Treatment:
    """How a supply is taxed: category of EN 16931, rate in percent (0 unless it is S), and why there is no tax."""

    category: str
    rate: Fraction = Fraction(0)
    reason: str | None = None

    def tax(self, net: int) -> int:
        """Tax on a net amount, in minor units: rounded once for the whole of it (EN 16931, BR-CO-17)."""
        return rounded(net * self.rate / 100)


@dataclasses.dataclass(frozen=True)
class Vat:
    """How the co-operative stands to VAT: what it charges on contributions, and what share of the VAT on its bills comes back to it.

    C(office) is the id under which the bank knows the tax office; only who charges or gets back nothing needs none.
    """

    charged: Treatment
    reclaim: Fraction = Fraction(0)
    office: str | None = None


@dataclasses.dataclass(frozen=True)
class Bill:
    """What a supplier charges. A negative C(gross) is a credit note. Amounts are in the bill's own currency.

    C(net) + C(vat) = C(gross), and the tax groups sum to them. C(date) lies in the month of its folder.
    C(shared_by) are the ids of the members that share it; empty: all. C(document) is the path of the paper and its sha256.
    C(reclaim) is the share of its VAT that comes back; None: the one in the rules.
    """

    source: Source
    supplier: str
    date: datetime.date
    due: datetime.date
    net: Money
    vat: Money
    gross: Money
    taxes: tuple[Tax, ...] = ()
    exchange: Exchange | None = None
    shared_by: tuple[str, ...] = ()
    document: tuple[str, str] | None = None
    paid_on: datetime.date | None = None
    description: str | None = None
    reclaim: Fraction | None = None

    def cost(self, currency: str) -> int | None:
        """Gross amount in minor units of the book currency; None when it is in another and no rate is recorded."""
        if self.gross.currency == currency:
            return self.gross.minor
        return None if self.exchange is None else rounded(self._taken(self.gross.minor, currency))

    def reclaimed(self, currency: str, vat: Vat | None) -> int:
        """What of its VAT comes back, in minor units of the book currency."""
        share = (self.reclaim if self.reclaim is not None else vat.reclaim) if vat else Fraction(0)
        return rounded(self._taken(self.vat.minor, currency) * share)

    def _taken(self, minor: int, currency: str) -> Fraction:
        """An amount of the bill in exact minor units of the book currency."""
        if self.gross.currency == currency or self.exchange is None:
            return Fraction(minor)
        return minor * self.exchange.rate * Fraction(10) ** (MINOR_UNITS[currency] - MINOR_UNITS[self.gross.currency])


@dataclasses.dataclass(frozen=True)
class Usage:
    """What one tenant of a member used in the month. C(value) counts whole units of the metric, such as participant-minutes.

    C(expected) and C(got) are numbers of samples from C(sampled_from) to C(sampled_to): what is missing was not measured.
    """

    source: Source
    member: str
    tenant: str
    metric: str
    value: int
    sampled_from: datetime.date
    sampled_to: datetime.date
    expected: int
    got: int


@dataclasses.dataclass(frozen=True)
class Hours:
    """Work of one person of a producer on one day. C(hours) is exact: a quarter is C(Fraction(1, 4)).

    C(kind) is paid (compensation wanted), gift (none expected) or membership (part of the producer's own yearly contribution).
    """

    source: Source
    producer: str
    person: str
    date: datetime.date
    hours: Fraction
    kind: str
    circle: str
    task: str | None = None
    description: str | None = None


@dataclasses.dataclass(frozen=True)
class Payment:
    """One line of the bank statement. C(amount) is positive; C(direction) is C(in) or C(out).

    C(party) is the id of the member or supplier where a person wrote it into the file; None: it is looked for in the reference.
    C(bank_ref) is the bank's own number of the line, unique over all months, and also C(source.id).
    """

    source: Source
    date: datetime.date
    direction: str
    amount: Money
    reference: str
    bank_ref: str
    party: str | None = None
    counterparty: str | None = None


@dataclasses.dataclass(frozen=True)
class Sale:
    """A service that a producer sold to a client in the month. The seller was paid; it keeps C(seller_share) of C(net).

    C(seller_share) None means the share that the rules have. C(tax) is how the seller taxes it, where its invoice is made here.
    """

    source: Source
    date: datetime.date
    client: str
    seller: str
    net: Money
    description: str
    seller_share: Fraction | None = None
    tax: Treatment | None = None


@dataclasses.dataclass(frozen=True)
class Correction:
    """An entry in an open month that mends a closed one.

    C(what): C(contribution) changes what a member owes (negative: less), C(pay) adds to what a producer is owed, C(payment) gives
    money that could not be matched to the member that sent it.
    """

    source: Source
    corrects: Period
    member: str
    what: str
    amount: Money
    reason: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a month is settled, from a day on. Rates are minor units of the book currency, shares exact fractions.

    C(flat_share) of the pool is split by weight, the rest by use above C(allowance) (units of C(metric) in the month) times weight.
    C(rate) is for one hour, C(reserve) a share of bills and labour. C(floor), C(cap) hold a member's contribution; C(floors) and
    C(caps) are those of single members; None is none. C(contributors) are the classes of members that contribute. C(seller_share) is what a
    seller keeps of a sale. C(due_days) after the end of the month a statement is due. C(notice) is the change, as a share, from which
    on a statement explains it. C(vat) None: tax is no matter of these books, bills count with theirs.
    """

    source: Source
    start: datetime.date
    decided_by: str | None
    currency: str
    flat_share: Fraction
    metric: str
    allowance: int
    rate: int
    reserve: Fraction
    due_days: int
    floor: int | None = None
    cap: int | None = None
    floors: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    caps: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    contributors: tuple[str, ...] = ("consumer", "producer")
    seller_share: Fraction = Fraction(0)
    notice: Fraction = Fraction(1, 5)
    vat: Vat | None = None


@dataclasses.dataclass(frozen=True)
class MemberMonth:
    """A member in one month: C(days) on which it was an active member, its classes on them, its solidarity weight averaged over them.

    C(tax) is how what it owes the co-operative is taxed, where that is not as the rules have it.
    """

    id: str
    name: str
    classes: tuple[str, ...]
    days: int
    weight: Fraction = Fraction(1)
    floor: int | None = None
    cap: int | None = None
    tax: Treatment | None = None

    def share(self, period: Period) -> Fraction:
        """Its weight for the part of the month in which it was a member."""
        return self.weight * Fraction(self.days, period.days)


@dataclasses.dataclass(frozen=True)
class Item:
    """Something still open from a month: what a member owes (negative: paid ahead), or what a producer or supplier is owed.

    C(what) is the id of the record or statement it came from. Minor units of the book currency.
    """

    period: Period
    party: str
    amount: int
    what: str


@dataclasses.dataclass(frozen=True)
class Books:
    """What one month hands to the next. Minor units of the book currency.

    C(balances): what each member owes (negative: it is owed). C(dues): the unpaid parts of it, oldest first.
    C(bills) and C(deferred): bills and pay not yet covered by money, oldest first. C(suppliers) and C(producers): what is covered and
    not yet paid out, by party (negative: paid out before it was covered). C(reserve_due): what was raised for the reserve and is not
    yet covered. C(unmatched): money in the bank that nobody knows the owner of. C(free): money in the bank that is for nothing yet.
    C(bank) = C(free) + C(reserve) + C(unmatched) + all of C(suppliers) and C(producers).
    """

    period: Period
    balances: Mapping[str, int] = dataclasses.field(default_factory=dict)
    dues: tuple[Item, ...] = ()
    bills: tuple[Item, ...] = ()
    deferred: tuple[Item, ...] = ()
    suppliers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    producers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    reserve: int = 0
    reserve_due: int = 0
    unmatched: int = 0
    free: int = 0
    bank: int = 0


@dataclasses.dataclass(frozen=True)
class Month:
    """Everything that the settlement of a month depends on, and nothing else.

    C(bills) holds the late ones of closed months too. C(opening) is what the month before handed on.
    """

    period: Period
    rules: Rules
    members: tuple[MemberMonth, ...]
    opening: Books
    bills: tuple[Bill, ...] = ()
    usage: tuple[Usage, ...] = ()
    hours: tuple[Hours, ...] = ()
    payments: tuple[Payment, ...] = ()
    sales: tuple[Sale, ...] = ()
    corrections: tuple[Correction, ...] = ()
