# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: whose turn it is. A function of the rules, the register, the holidays and swaps, and of the turns that have begun.

A producer's clock goes on by one over its weight with each turn; the next turn goes to the one whose clock would then show least. So the
turns of any two, each divided by its weight, are never further apart than one turn divided by the weight of the one that has fewer.
Who comes, or comes back after it was no producer or had no weight, begins where the furthest clock is: it waits for its turn and catches
up nothing. A turn that a holiday moved is made up for later, for the clock stood still.
"""

from __future__ import annotations

import dataclasses
import datetime
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record

Place = tuple[str, int]
_DAY = datetime.timedelta(days=1)


class RotaError(MembershipError):
    """Files of a rota that cannot be used; one line for each thing to mend."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """How turns go from a day on. C(turn_days) is the length of a turn in days, C(handover) the local time at which it begins."""

    start: datetime.date
    turn_days: int
    handover: datetime.time
    zone: zoneinfo.ZoneInfo
    weights: Mapping[str, Fraction]
    decided_by: str | None = None
    place: Place = ("", 0)

    def instant(self, on: datetime.date) -> datetime.datetime:
        """The handover of a day, in UTC."""
        return datetime.datetime.combine(on, self.handover, self.zone).astimezone(datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Holiday:
    """A producer takes no turn that has a day from C(start) until the day before C(end)."""

    producer: str
    start: datetime.date
    end: datetime.date
    place: Place = ("", 0)


@dataclasses.dataclass(frozen=True)
class Swap:
    """The turns that begin on two days change hands."""

    one: datetime.date
    other: datetime.date
    place: Place = ("", 0)


@dataclasses.dataclass(frozen=True)
class Begun:
    """A turn as it was when it began: who was to have it by the rules, and who had it. None: nobody could."""

    day: datetime.date
    planned: str | None
    producer: str | None
    place: Place = ("", 0)


@dataclasses.dataclass(frozen=True)
class Rota:
    """All that the turns come from, beside the register."""

    rules: Sequence[Rules]
    holidays: Sequence[Holiday] = ()
    swaps: Sequence[Swap] = ()
    begun: Sequence[Begun] = ()


@dataclasses.dataclass(frozen=True)
class Turn:
    """A turn: its days (local), begin and end in UTC, who was to have it by the rules and who has it. None: nobody can."""

    day: datetime.date
    days: Sequence[datetime.date]
    begin: datetime.datetime
    end: datetime.datetime
    planned: str | None
    producer: str | None
    rules: Rules


def turns(rota: Rota, records: Mapping[str, Record], until: datetime.datetime) -> list[Turn]:
    """All turns that begin before an instant, and those that a swap names, oldest first.

    Raises RotaError when a swap cannot be, and when turns that have begun would come out otherwise.
    """
    problems: list[Problem] = []
    records = {name: one for name, one in records.items() if ever_producer(one)}
    begun = {one.day: one for one in rota.begun}
    last = max((on for swap in rota.swaps for on in (swap.one, swap.other)), default=datetime.date.min)
    # A year written wrong is no reason to reckon for ages.
    last = min(last, until.date() + _DAY * 366)
    clocks = _Clocks()
    found: dict[datetime.date, Turn] = {}
    for rules, first, after in _grid(rota.rules):
        begin, end = rules.instant(first), after[1].instant(after[0])
        if begin >= until and first > last:
            break
        days = [first + _DAY * number for number in range((after[0] - first).days)]
        free = [name for name, record in records.items() if _can(record, days, rules, rota.holidays)]
        clocks.enter({name: rules.weights.get(name, Fraction(1)) for name in records if _takes_part(records[name], first, rules)})
        planned = begun[first].planned if first in begun else clocks.least(free)
        if planned is not None:
            clocks.advance(planned)
        found[first] = Turn(first, days, begin, end, planned, planned, rules)
    _swap(rota, records, found, problems)
    for one in rota.begun:
        turn = found.get(one.day)
        if turn is None and one.day <= max(found, default=datetime.date.min):
            said = f"no turn begins on {one.day} by the rules now; leave those of the past as they were, and add a set with a later from"
            problems.append(Problem(*one.place, said))
        elif turn is not None and turn.producer != one.producer:
            said = f"the turn of {one.day} was {one.producer or 'nobody'}'s, and by the swaps now it is {turn.producer or 'nobody'}'s"
            problems.append(Problem(*one.place, f"{said}; put the swaps of turns that have begun back as they were"))
    if problems:
        raise RotaError(problems)
    return [found[on] for on in sorted(found)]


def ever_producer(record: Record) -> bool:
    """Whether a member is, was or is going to be a producer."""
    return "producer" in record.classes or any("producer" in (change.classes or ()) for change in record.changes)


def on_duty(found: Sequence[Turn], at: datetime.datetime) -> Turn | None:
    """The turn of an instant; None before the first."""
    return next((turn for turn in found if turn.begin <= at < turn.end), None)


def _grid(sets: Sequence[Rules]) -> Iterator[tuple[Rules, datetime.date, tuple[datetime.date, Rules]]]:
    """Each turn's rules and first day, and the first day and rules of the one after it; without end."""
    for index, rules in enumerate(sets):
        following = sets[index + 1] if index + 1 < len(sets) else None
        first = rules.start
        while following is None or first < following.start:
            then = first + _DAY * rules.turn_days
            cut = following is not None and then >= following.start
            after = (following.start, following) if cut and following is not None else (then, rules)
            yield rules, first, after
            first = then


def _takes_part(record: Record, on: datetime.date, rules: Rules) -> bool:
    return record.active(on) and "producer" in record.classes_on(on) and rules.weights.get(record.id, Fraction(1)) > 0


def _can(record: Record, days: Sequence[datetime.date], rules: Rules, holidays: Sequence[Holiday]) -> bool:
    """Whether a producer can take a turn of these days."""
    if not all(_takes_part(record, on, rules) for on in days):
        return False
    return not any(one.producer == record.id and one.start <= days[-1] and one.end > days[0] for one in holidays)


class _Clocks:
    """How far each has come: the sum of one over its weight, for each turn it was to have."""

    def __init__(self) -> None:
        self.shown: dict[str, Fraction] = {}
        self.weights: dict[str, Fraction] = {}

    def enter(self, weights: Mapping[str, Fraction]) -> None:
        """Those that take part now; who did not until now begins at the furthest clock of those that did."""
        furthest = max((self.shown[name] for name in self.weights), default=Fraction(0))
        for name in weights:
            if name not in self.weights:
                self.shown[name] = max(furthest, self.shown.get(name, Fraction(0)))
        self.weights = dict(weights)

    def least(self, names: Sequence[str]) -> str | None:
        """The one whose clock would show least after a turn; among equals the first by name."""
        able = [name for name in names if name in self.weights]
        return min(able, key=lambda name: (self.shown[name] + 1 / self.weights[name], name), default=None)

    def advance(self, name: str) -> None:
        """One turn more."""
        self.shown[name] = self.shown.get(name, Fraction(0)) + 1 / self.weights.get(name, Fraction(1))


def _swap(rota: Rota, records: Mapping[str, Record], found: dict[datetime.date, Turn], problems: list[Problem]) -> None:
    """Lets turns change hands, in the order in which the swaps are written."""
    settled = {one.day for one in rota.begun}
    for swap in rota.swaps:
        missing = [on for on in (swap.one, swap.other) if on not in found]
        if missing:
            near = min(found, key=lambda on: (abs(on - missing[0]), on), default=None)
            advice = f"write the first day of one, such as {near}" if near else "write the first day of a turn"
            problems.append(Problem(*swap.place, f"no turn begins on {missing[0]}; {advice}"))
            continue
        one, other = found[swap.one], found[swap.other]
        if one.producer == other.producer:
            said = f"both turns are {one.producer or 'nobody'}'s; write two of different producers, or remove the swap"
            problems.append(Problem(*swap.place, said))
            continue
        found[swap.one] = dataclasses.replace(one, producer=other.producer)
        found[swap.other] = dataclasses.replace(other, producer=one.producer)
    for swap in rota.swaps:
        for on in (swap.one, swap.other):
            turn = found.get(on)
            if turn is None or turn.producer is None or on in settled:
                continue
            if turn.producer not in records or not _can(records[turn.producer], turn.days, turn.rules, rota.holidays):
                said = f"gives {turn.producer} the turn of {on}, when it is on holiday or no producer; swap with another turn"
                problems.append(Problem(*swap.place, said))
