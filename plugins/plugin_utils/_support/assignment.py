# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: which producer could look after a consumer that has none. Proposed; what the file states is never touched."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record


def producers(records: Mapping[str, Record], on: datetime.date) -> list[Record]:
    """The active producers of a day, those that joined first before the others."""
    found = [one for one in records.values() if one.active(on) and "producer" in one.classes_on(on)]
    return sorted(found, key=_age)


def consumers(records: Mapping[str, Record], on: datetime.date) -> list[Record]:
    """The consumers of a day that are no producers, which look after themselves; those that joined first before the others."""
    found = [one for one in records.values() if one.member(on) and one.classes_on(on) == {"consumer"}]
    return sorted(found, key=_age)


def propose(
    records: Mapping[str, Record], stated: Mapping[str, str | None], weights: Mapping[str, Fraction], on: datetime.date
) -> dict[str, str]:
    """A producer for each consumer that has none, by id of the consumer; C(weights) are those of the rota, 1 where there is none.

    Each goes to the producer that then has least for its weight; among equals, to the one that joined first. What is stated counts and
    stays: a member more or a producer more moves nobody.
    """
    able = [one for one in producers(records, on) if weights.get(one.id, Fraction(1)) > 0]
    load = {one.id: 0 for one in able}
    waiting = []
    for member in consumers(records, on):
        by = stated.get(member.id)
        if by is None:
            waiting.append(member)
        elif by in load:
            load[by] += 1
    found: dict[str, str] = {}
    for member in waiting if able else ():
        chosen = min(able, key=lambda one: ((load[one.id] + 1) / weights.get(one.id, Fraction(1)), _age(one)))
        load[chosen.id] += 1
        found[member.id] = chosen.id
    return found


def _age(one: Record) -> tuple[datetime.date, str]:
    return one.joined or datetime.date.max, one.id
