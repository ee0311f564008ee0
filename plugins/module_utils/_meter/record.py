# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the meter's own record, in which each poll stands wholly or not at all.

Time is cut into slots of one interval, in UTC. A slot is measured once, by one poll near its beginning, which holds for the whole of it.
What is polled again, by a clock set back or a second meter, is not counted twice; a slot without a poll stays empty.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import sqlite3
import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Count
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

FORMAT = 1
HOUR = 3600
METRICS = ("participant_minutes", "meeting_minutes", "voice_minutes", "video_minutes", "peak_participants", "peak_meetings")
"""What a month comes to for a tenant. Minutes are summed over the people, or meetings; a peak is the most there were in one poll."""
_COLUMNS = ("participants", "meetings", "voice", "video")

_SCHEMA = f"""
create table slots (start integer primary key, seconds integer not null, nodes integer not null, answered integer not null);
create table silent (start integer not null, node text not null, primary key (start, node)) without rowid;
create table used (
    hour integer not null, tenant text not null, participants integer not null, meetings integer not null, voice integer not null,
    video integer not null, peak_participants integer not null, peak_meetings integer not null, primary key (hour, tenant)
) without rowid;
pragma user_version = {FORMAT};
"""
_ADD = """
insert into used values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (hour, tenant) do update set
    participants = participants + excluded.participants, meetings = meetings + excluded.meetings,
    voice = voice + excluded.voice, video = video + excluded.video,
    peak_participants = max(peak_participants, excluded.peak_participants), peak_meetings = max(peak_meetings, excluded.peak_meetings)
"""


@dataclass(frozen=True)
class Month:
    """A month of UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """The month that a text such as 2026-03 names. Raises CoopError."""
        with contextlib.suppress(ValueError):
            if len(text) == 7:
                day = datetime.date.fromisoformat(f"{text}-01")
                return cls(day.year, day.month)
        raise CoopError(f"month: {text!r} is no month; write year-month, such as 2026-03")

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def first(self) -> datetime.date:
        """Its first day."""
        return datetime.date(self.year, self.number, 1)

    @property
    def last(self) -> datetime.date:
        """Its last day."""
        following = datetime.date(self.year + self.number // 12, self.number % 12 + 1, 1)
        return following - datetime.timedelta(days=1)


@dataclass
class Used:
    """What a tenant used: people, meetings, microphones and cameras in seconds of each, and the most at once."""

    participants: int = 0
    meetings: int = 0
    voice: int = 0
    video: int = 0
    peak_participants: int = 0
    peak_meetings: int = 0

    def metrics(self) -> dict[str, int]:
        """Whole minutes, half of one up."""
        return {
            "participant_minutes": _minutes(self.participants),
            "meeting_minutes": _minutes(self.meetings),
            "voice_minutes": _minutes(self.voice),
            "video_minutes": _minutes(self.video),
            "peak_participants": self.peak_participants,
            "peak_meetings": self.peak_meetings,
        }


@dataclass
class Measured:
    """What a span of days came to. A sample is one question to one node.

    ``gaps`` are spans in which no node was asked, in seconds since 1970.
    """

    first: datetime.date
    last: datetime.date
    expected: int = 0
    got: int = 0
    interval: int = 0
    tenants: dict[str, Used] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    silent: dict[str, int] = field(default_factory=dict)
    """Samples that a node which was asked did not give."""


class Record:
    """The file. Its owner writes it; others may read it meanwhile."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: str) -> Record:
        """To write; the file is made where it is missing. Raises CoopError."""
        with _said(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
            os.close(handle)
            record = cls(sqlite3.connect(path, isolation_level=None, timeout=20), path)
            # A rollback journal: a write-ahead log leaves files behind that belong to whoever read last.
            record._connection.execute("pragma journal_mode = delete")
            record._connection.execute("pragma synchronous = full")
            if record._version() == 0:
                record._connection.executescript(f"begin exclusive; {_SCHEMA} commit;")
            record._check()
            return record

    @classmethod
    def look(cls, path: str) -> Record:
        """To read what somebody else writes. Raises CoopError."""
        if not os.path.exists(path):
            raise CoopError(f"{path} does not exist: nothing was metered on this host; apply role monitoring, or name another record")
        with _said(path):
            # Not mode=ro: behind a writer that was killed, a reader has to roll back first.
            record = cls(sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=20), path)
            record._check()
            record._connection.execute("pragma query_only = on")
            return record

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def add(self, start: int, seconds: int, tenants: t.Mapping[str, Count], nodes: int, silent: t.Collection[str]) -> bool:
        """Write down one poll for the slot that begins at ``start``; False when some of that time is measured already. Raises CoopError."""
        hour = start - start % HOUR
        rows = [
            (hour, name, count.participants * seconds, count.meetings * seconds, count.voice * seconds, count.video * seconds,
             count.participants, count.meetings)
            for name, count in sorted(tenants.items())
        ]  # fmt: skip
        with _said(self.path):
            self._connection.execute("begin immediate")
            try:
                taken = self._connection.execute(
                    "select 1 from slots where start < ? and start > ? and start + seconds > ?", (start + seconds, start - HOUR, start)
                ).fetchone()
                if not taken:
                    self._connection.execute("insert into slots values (?, ?, ?, ?)", (start, seconds, nodes, nodes - len(silent)))
                    self._connection.executemany("insert into silent values (?, ?)", [(start, node) for node in sorted(silent)])
                    self._connection.executemany(_ADD, rows)
                self._connection.execute("commit")
            except BaseException:
                # Where the disk is full, SQLite has rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
        return not taken

    def measured(self, first: datetime.date, last: datetime.date) -> Measured:
        """What the days from ``first`` to ``last`` came to, gaps and all. Raises CoopError when the meter has not begun by then."""
        begin, end = _epoch(first), _epoch(last) + 86400
        found = Measured(first, last)
        with _said(self.path):
            self._connection.execute("begin")
            try:
                self._samples(found, begin, end)
                sums = ", ".join([*(f"sum({name})" for name in _COLUMNS), "max(peak_participants)", "max(peak_meetings)"])
                query = f"select tenant, {sums} from used where hour >= ? and hour < ? group by tenant order by tenant"
                found.tenants = {name: Used(*values) for name, *values in self._connection.execute(query, (begin, end))}
                query = "select node, count(*) from silent where start >= ? and start < ? group by node order by node"
                found.silent = dict(self._connection.execute(query, (begin, end)))
            finally:
                self._connection.execute("commit")
        return found

    def _samples(self, found: Measured, begin: int, end: int) -> None:
        """How many samples there should have been and were. Of time without a poll is expected what was usual before it."""
        query = "select seconds, nodes from slots where start < ? order by start"
        known = (
            self._connection.execute(f"{query} desc limit 1", (begin,)).fetchone()
            or self._connection.execute(f"{query} limit 1", (end,)).fetchone()
        )  # fmt: skip
        if known is None:
            raise CoopError(f"{self.path}: nothing was metered before {found.last + datetime.timedelta(days=1)}; name a later month")
        seconds, nodes = known
        at = begin
        query = "select start, seconds, nodes, answered from slots where start >= ? and start < ? order by start"
        for start, length, asked, answered in self._connection.execute(query, (begin, end)):
            self._gap(found, at, start, seconds, nodes)
            found.expected += asked
            found.got += answered
            seconds, nodes, at = length, asked, start + length
        self._gap(found, at, end, seconds, nodes)
        found.interval = seconds

    @staticmethod
    def _gap(found: Measured, at: int, to: int, seconds: int, nodes: int) -> None:
        if to > at:
            found.gaps.append((at, to))
            found.expected += math.ceil((to - at) / seconds) * nodes

    def _version(self) -> int:
        return int(self._connection.execute("pragma user_version").fetchone()[0])

    def _check(self) -> None:
        version = self._version()
        if version != FORMAT:
            raise CoopError(f"{self.path}: is a record of format {version}, and this meter writes {FORMAT}; move it away, and keep it")


@contextlib.contextmanager
def _said(path: str) -> t.Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CoopError(f"{path}: the record cannot be used: {reason}; check the disk and the file's owner") from error


def _epoch(day: datetime.date) -> int:
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.timezone.utc).timestamp())


def _minutes(seconds: int) -> int:
    return (seconds + 30) // 60
