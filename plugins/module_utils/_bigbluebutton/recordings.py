# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: recordings as they lie on a BigBlueButton server.

What is published is in ROOT/published/FORMAT/ID, what is withdrawn in ROOT/unpublished/FORMAT/ID, each with a metadata.xml; raw data is in
ROOT/recording/raw/ID (BigBlueButton documentation, development/recording.md). Names of people and of meetings are never kept.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import typing as t
from dataclasses import asdict, dataclass, field
from xml.etree import ElementTree

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import OTHERS, TENANT_KEYS
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ROOT = "/var/bigbluebutton"
STATES = ("published", "unpublished")
ID = re.compile(r"[0-9a-f]{40}-[0-9]{13}\Z")
DAY = 86400
GRACE_DAYS = 2
"""Retention is done once a day (/etc/cron.daily/bigbluebutton), so it may be behind by as much without being broken."""

_FORMATS = "playback|presentation|video|podcast|notes|screenshare|recording"
_LINK = re.compile(rf"https?://([^/\s<>\"'&]+)(?=/(?:{_FORMATS})/)")
NEW = ".new"


@dataclass
class Recording:
    """One recording. Times are in milliseconds since 1970, as in the API; ``octets`` is what its published formats take."""

    id: str
    meeting_id: str = ""
    tenant: str = OTHERS
    started: int = 0
    ended: int = 0
    #: Format, and where it is: published or unpublished.
    formats: dict[str, str] = field(default_factory=dict)
    octets: int = 0
    #: Host names that its playback links lead to.
    hosts: list[str] = field(default_factory=list)


@dataclass
class Retention:
    """How long what is kept, in days; None: not asked for. ``delete_after_days`` is for what was published; 0: for ever."""

    published_days: int | None = None
    unrecorded_days: int | None = None
    delete_after_days: int = 0


@dataclass
class Found:
    """What lies on the server."""

    recordings: list[Recording] = field(default_factory=list)
    raw: dict[str, int] = field(default_factory=dict)
    #: Files that could not be understood, with what is wrong.
    problems: list[str] = field(default_factory=list)


def scan(root: str = ROOT) -> Found:
    """All recordings, and since when raw data of each ID lies there (Unix time, seconds). Raises CoopError where nothing can be read."""
    found = Found()
    if not os.path.isdir(root):
        raise CoopError(f"there is no directory {root}: is this a BigBlueButton server, and is its disk for recordings mounted?")
    known: dict[str, Recording] = {}
    for state in STATES:
        for kind in _entries(os.path.join(root, state)):
            for record_id in _entries(os.path.join(root, state, kind)):
                if not ID.match(record_id):
                    continue
                folder = os.path.join(root, state, kind, record_id)
                try:
                    recording = _read(os.path.join(folder, "metadata.xml"), known.setdefault(record_id, Recording(record_id)))
                except (OSError, ElementTree.ParseError, ValueError) as error:
                    said = getattr(error, "strerror", None) or "it is no metadata of a recording"
                    found.problems.append(f"{folder}/metadata.xml: {said}; rebuild the recording (bbb-record --rebuild {record_id})")
                    continue
                recording.formats[kind] = state
                recording.octets += _size(folder)
    found.recordings = sorted((one for one in known.values() if one.formats), key=lambda one: (one.started, one.id))
    raw = os.path.join(root, "recording", "raw")
    for record_id in _entries(raw):
        if ID.match(record_id):
            found.raw[record_id] = int(record_id.rpartition("-")[2]) // 1000
    return found


def judge(found: Found, retention: Retention, now: float) -> dict[str, list[str]]:
    """IDs that are older than they should be: of what was published, and of raw data that the server's own cron job has left."""
    published = {one.id for one in found.recordings}
    overdue, raw = [], []
    if retention.delete_after_days:
        overdue = [one.id for one in found.recordings if one.ended / 1000 < now - retention.delete_after_days * DAY]
    for record_id, since in sorted(found.raw.items()):
        days = retention.published_days if record_id in published else retention.unrecorded_days
        if days is not None and since < now - (days + GRACE_DAYS) * DAY:
            raw.append(record_id)
    return {"overdue": overdue, "raw_overdue": raw}


def disk(root: str, minimum_free: int) -> dict[str, t.Any]:
    """How full the disk of the recordings is: octets, and the free share in percent. Raises CoopError."""
    try:
        usage = shutil.disk_usage(root)
    except OSError as error:
        raise CoopError(f"{root} cannot be looked at: {error.strerror}") from error
    percent = usage.free * 100 // usage.total if usage.total else 0
    return {"total": usage.total, "free": usage.free, "free_percent": percent, "low": percent < minimum_free}


def as_dict(recording: Recording) -> dict[str, t.Any]:
    """For a module's result."""
    return asdict(recording)


# --- Where links lead ---------------------------------------------------------------------------------------------------


def relinked(text: str, domain: str, former: t.Collection[str] = ()) -> str:
    """The metadata with playback links leading to ``domain``: those to ``former`` names, or all when none is given."""

    def lead(match: re.Match[str]) -> str:
        host = match.group(1)
        return match.group(0) if host == domain or (former and host not in former) else f"https://{domain}"

    return _LINK.sub(lead, text)


def links(root: str, domain: str, former: t.Collection[str], check_mode: bool) -> list[str]:
    """Bring the links of all recordings to ``domain``; the files that change. Each file is replaced in one step. Raises CoopError.

    ``bbb-conf --setip`` would do the same and end every live meeting.
    """
    if not os.path.isdir(root):
        raise CoopError(f"there is no directory {root}: is this a BigBlueButton server, and is its disk for recordings mounted?")
    changed = []
    for state in STATES:
        for kind in _entries(os.path.join(root, state)):
            for record_id in _entries(os.path.join(root, state, kind)):
                path = os.path.join(root, state, kind, record_id, "metadata.xml")
                if not ID.match(record_id) or not os.path.isfile(path):
                    continue
                try:
                    if not check_mode and os.path.exists(path + NEW):
                        os.unlink(path + NEW)
                    with open(path, encoding="utf-8", newline="") as stream:
                        before = stream.read()
                    after = relinked(before, domain, former)
                    if after == before:
                        continue
                    changed.append(path)
                    if not check_mode:
                        _replace(path, after)
                except UnicodeDecodeError:
                    raise CoopError(f"{path} is not UTF-8; rebuild the recording (bbb-record --rebuild {record_id})") from None
                except OSError as error:
                    raise CoopError(f"{path} cannot be changed: {error.strerror}") from error
    return changed


def _replace(path: str, text: str) -> None:
    status = os.stat(path)
    descriptor = os.open(path + NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(path + NEW, stat.S_IMODE(status.st_mode))
    if (os.geteuid(), os.getegid()) != (status.st_uid, status.st_gid):
        os.chown(path + NEW, status.st_uid, status.st_gid)
    os.replace(path + NEW, path)


def _read(path: str, recording: Recording) -> Recording:
    with open(path, "rb") as stream:
        data = stream.read(1024 * 1024 + 1)
    if len(data) > 1024 * 1024 or b"<!DOCTYPE" in data:
        raise ValueError
    root = ElementTree.fromstring(data)
    recording.meeting_id = root.findtext("meta/meetingId") or recording.meeting_id
    for key in TENANT_KEYS:
        recording.tenant = root.findtext(f"meta/{key}") or recording.tenant
    recording.started = int(root.findtext("start_time") or 0)
    recording.ended = int(root.findtext("end_time") or 0)
    for host in _LINK.findall(data.decode("utf-8", "replace")):
        if host not in recording.hosts:
            recording.hosts.append(host)
    return recording


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CoopError(f"{folder} cannot be read: {error.strerror}; run as root") from error


def _size(folder: str) -> int:
    total = 0
    for place, _folders, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(place, file)).st_size
            except FileNotFoundError:
                continue
    return total
