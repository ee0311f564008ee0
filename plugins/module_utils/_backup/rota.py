# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: receipts of restore drills, whose turn it is, who is overdue, and what a monitoring system is told.

A receipt is one JSON file, `RECEIPTS/INSTANCE/20260402T031500Z.json`. They are all the memory there is: whoever keeps the folder keeps
the rota.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

GOOD, FAILED = "good", "failed"
KEPT = 24
"""Receipts kept of an instance; the newest good one always."""
METRICS_FILE = "meet_coop_restore_drill.prom"
_STAMP = "%Y%m%dT%H%M%SZ"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_FILE = re.compile(r"[0-9]{8}T[0-9]{6}Z\.json")


@dataclass(frozen=True)
class Record:
    """What is known of one instance's drills. Times are in UTC."""

    last: datetime | None = None
    """When the last drill began, whatever came of it."""
    result: str | None = None
    proved: datetime | None = None
    """When the last good drill began."""
    receipt: Mapping[str, Any] | None = None
    """The last good receipt."""


def text(moment: datetime) -> str:
    """A time in UTC as receipts have it."""
    return moment.astimezone(timezone.utc).strftime(_TIME)


def read(directory: str, instance: str) -> Record:
    """What the receipts of one instance say. A receipt that cannot be read proves nothing and is passed over. Raises CoopError."""
    record = Record()
    for name in reversed(_names(os.path.join(directory, instance))):
        try:
            with open(os.path.join(directory, instance, name), encoding="utf-8") as handle:
                receipt = json.load(handle)
            moment = datetime.strptime(receipt["began_at"], _TIME).replace(tzinfo=timezone.utc)
            result, _seconds = receipt["result"], float(receipt["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if record.last is None:
            record = Record(moment, result)
        if result == GOOD:
            return Record(record.last, record.result, moment, receipt)
    return record


def write(directory: str, instance: str, receipt: Mapping[str, Any]) -> str:
    """Keep a receipt, in one step, and thin out old ones. Returns its path; raises CoopError."""
    folder = os.path.join(directory, instance)
    path = os.path.join(folder, f"{datetime.strptime(receipt['began_at'], _TIME).strftime(_STAMP)}.json")
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        _replace(path, json.dumps(receipt, indent=2, ensure_ascii=True) + "\n")
        names = _names(folder)
        proved = read(directory, instance).proved
        keep = {proved.strftime(_STAMP) + ".json"} if proved else set()
        for name in names[:-KEPT]:
            if name not in keep:
                os.unlink(os.path.join(folder, name))
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if _FILE.fullmatch(name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CoopError(f"{folder} cannot be read: {error.strerror}") from error


def _replace(path: str, content: str) -> None:
    temporary = f"{path}.new"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def choose(records: Mapping[str, Record], now: datetime, every: timedelta, number: int = 0) -> list[str]:
    """Whose turn it is: those not proved within ``every``, the one drilled longest ago first.

    Somebody whose drill failed does not hold up the others: the last drill counts for the order, good or not.
    ``number`` 0: as many as have to be drilled a day for everybody to be reached within ``every``.
    """
    start = datetime.min.replace(tzinfo=timezone.utc)
    due = [
        name
        for name, record in records.items()
        if record.proved is None or record.result != GOOD or now - record.proved >= every or record.proved > now
    ]
    due.sort(key=lambda name: (records[name].last or start, name))
    return due[: number or max(1, math.ceil(len(records) / max(every.days, 1)))]


def overdue(records: Mapping[str, Record], known_since: Mapping[str, datetime], now: datetime, longest: timedelta) -> list[str]:
    """A line for each instance whose last proved restore is older than ``longest``.

    One that was never proved counts from ``known_since``, the time of its oldest backup; one without a backup is not told here.
    """
    found = []
    for name, record in sorted(records.items()):
        if record.proved is not None:
            if now - record.proved > longest:
                found.append(f"{name}: the last proved restore is {(now - record.proved).days} days old, {longest.days} are the most")
        elif name in known_since and now - known_since[name] > longest:
            days = (now - known_since[name]).days
            found.append(f"{name}: no restore was ever proved, and it has backups since {days} days; {longest.days} are the most")
    return found


def write_metrics(path: str, records: Mapping[str, Record]) -> None:
    """For node_exporter's textfile collector: when each restore was last proved, and what came of the last drill. Raises CoopError.

    Times, not ages: an alert takes ``time() - meet_coop_restore_proved_timestamp_seconds``, which grows while nobody drills.
    """
    families: Sequence[tuple[str, str, Iterable[tuple[str, float]]]] = (
        (
            "meet_coop_restore_proved_timestamp_seconds",
            "Time of the last restore drill that proved an instance's backup; 0 for never.",
            [(name, record.proved.timestamp() if record.proved else 0) for name, record in sorted(records.items())],
        ),
        (
            "meet_coop_restore_drill_timestamp_seconds",
            "Time of the last restore drill, whatever came of it; 0 for never.",
            [(name, record.last.timestamp() if record.last else 0) for name, record in sorted(records.items())],
        ),
        (
            "meet_coop_restore_drill_good",
            "Whether the last restore drill was good.",
            [(name, int(record.result == GOOD)) for name, record in sorted(records.items()) if record.last],
        ),
        (
            "meet_coop_restore_drill_duration_seconds",
            "Length of the last good restore drill.",
            [(name, float(record.receipt["seconds"])) for name, record in sorted(records.items()) if record.receipt],
        ),
    )
    lines = []
    for family, help_text, samples in families:
        lines += [f"# HELP {family} {help_text}", f"# TYPE {family} gauge"]
        lines += [f'{family}{{service="{name}"}} {value:.15g}' for name, value in samples]
    try:
        _replace(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
