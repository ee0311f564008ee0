# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads the rota (C(rota.yml)) and the turns that have begun (C(turns.csv)), which support_rota keeps beside it."""

from __future__ import annotations

import csv
import datetime
import io
import os
import zoneinfo
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import decode, read_bytes
from ansible_collections.meet.coop.plugins.plugin_utils._membership.register import Record

from .files import File
from .rota import Begun, Holiday, Rota, RotaError, Rules, Swap, Turn, ever_producer

PAGE = "docs/support.md"
ROTA_FILE, TURNS_FILE = "rota.yml", "turns.csv"
_COLUMNS = ["day", "planned", "producer"]


def read(folder: str, records: Mapping[str, Record]) -> Rota:
    """The rota in a folder.

    Raises RotaError with every problem there is.
    """
    file = File(os.path.join(folder, ROTA_FILE), "rota", "rota", PAGE)
    if file.root is None:
        raise RotaError(file.problems)
    rules = _rules(file, records)
    holidays = _holidays(file, records)
    swaps = _swaps(file)
    begun = _begun(os.path.join(folder, TURNS_FILE), records, file.problems)
    if file.problems:
        raise RotaError(file.problems)
    return Rota(rules, holidays, swaps, begun)


def _rules(file: File, records: Mapping[str, Record]) -> list[Rules]:
    found: list[Rules] = []
    for index, raw in enumerate(file.value(("rota",))):
        path = ("rota", index)
        start = file.day((*path, "from"))
        name = raw.get("time_zone", "UTC")
        zone = _zone(name)
        if zone is None:
            file.bad((*path, "time_zone"), f"{show(name)} is no time zone that this machine knows; write one such as Europe/Madrid")
        for producer in raw.get("weights", {}):
            _producer(file, (*path, "weights", producer), producer, records)
        if start and found and start <= found[-1].start:
            file.bad((*path, "from"), f"{start} is not after {found[-1].start}; write the sets oldest first")
        if start is None or zone is None:
            continue
        hour, minute = raw.get("handover", "09:00").split(":")
        weights = {producer: Fraction(value) for producer, value in raw.get("weights", {}).items()}
        handover = datetime.time(int(hour), int(minute))
        place = file.place((*path, "decided_by"))
        rules = Rules(start, raw.get("turn_days", 7), handover, zone, weights, raw.get("decided_by"), place)
        if found and rules.instant(start) <= found[-1].instant(start - datetime.timedelta(days=1)):
            said = f"its first turn would begin before the one before it, in {found[-1].zone}; write a later day"
            file.bad((*path, "from"), said)
        found.append(rules)
    return found


def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _producer(file: File, path: tuple[object, ...], name: str, records: Mapping[str, Record]) -> None:
    """The name has to be that of a member that is a producer at some time."""
    record = records.get(name)
    if record is None or not ever_producer(record):
        known = sorted(one.id for one in records.values() if ever_producer(one))
        advice = f"write one of {', '.join(known)}" if known else "add one to the membership file first"
        file.bad(path, f"{show(name)} is {'no member' if record is None else 'no producer'}; {advice}")


def _holidays(file: File, records: Mapping[str, Record]) -> list[Holiday]:
    found: list[Holiday] = []
    for index, raw in enumerate(file.value(("holidays",)) or ()):
        path = ("holidays", index)
        _producer(file, (*path, "producer"), raw["producer"], records)
        start, end = file.day((*path, "from")), file.day((*path, "until"))
        if start and end and end <= start:
            file.bad((*path, "until"), f"{end} is not after {start}, when it begins; write the first day on which it is over")
        elif start and end:
            found.append(Holiday(raw["producer"], start, end, file.place(path)))
    return found


def _swaps(file: File) -> list[Swap]:
    found: list[Swap] = []
    for index, _raw in enumerate(file.value(("swaps",)) or ()):
        path = ("swaps", index)
        one, other = file.day((*path, "turn")), file.day((*path, "with"))
        if one and one == other:
            file.bad((*path, "with"), f"{other} is the same turn; write the first day of the turn it is swapped with")
        elif one and other:
            found.append(Swap(one, other, file.place(path)))
    return found


def _begun(path: str, records: Mapping[str, Record], problems: list[Problem]) -> list[Begun]:
    """The turns that have begun; none when there is no such file yet."""
    if not os.path.exists(path):
        return []
    shown = os.path.relpath(path)
    data = read_bytes(path, shown, problems)
    text = None if data is None else decode(data, shown, problems)
    if text is None:
        return []
    found: list[Begun] = []
    advice = "put the file back as support_rota wrote it"
    rows = csv.reader(io.StringIO(text))
    try:
        for number, row in enumerate(rows, 1):
            if number == 1:
                if row != _COLUMNS:
                    problems.append(Problem(shown, 1, f"does not begin with {','.join(_COLUMNS)}; {advice}"))
                    return []
                continue
            on = day(row[0]) if len(row) == len(_COLUMNS) else None
            if on is None:
                problems.append(Problem(shown, rows.line_num, f"is not a day and two producers; {advice}"))
                continue
            if found and on <= found[-1].day:
                problems.append(Problem(shown, rows.line_num, f"{on} is not after {found[-1].day} above; {advice}"))
            wrong = [name for name in row[1:] if name and name not in records]
            if wrong:
                problems.append(
                    Problem(shown, rows.line_num, f"{show(wrong[0])} is no member; keep those that left in the membership file")
                )
                continue
            found.append(Begun(on, row[1] or None, row[2] or None, (shown, rows.line_num)))
    except csv.Error as error:
        problems.append(Problem(shown, rows.line_num, f"is not a table ({error}); {advice}"))
    return found


def render_begun(begun: Sequence[Begun], found: Sequence[Turn], at: datetime.datetime) -> str:
    """The file of turns that have begun until an instant, with those that it had."""
    rows = {one.day: (one.planned, one.producer) for one in begun}
    rows.update({turn.day: (turn.planned, turn.producer) for turn in found if turn.begin <= at})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for on in sorted(rows):
        planned, producer = rows[on]
        writer.writerow([on, planned or "", producer or ""])
    return out.getvalue()
