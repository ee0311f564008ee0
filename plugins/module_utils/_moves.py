# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: which of two container hosts an instance belongs to while it moves from one to the other.

Each of them keeps a record of its own:

    leaving     it was closed here to be taken elsewhere; until it has arrived there, what is here counts
    left        it serves elsewhere; what lies here is kept for a while and never started again
    arriving    its data is being laid out here and must not be served yet
    arrived     it came from elsewhere, and what is here counts
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

DIRECTORY = "/var/lib/meet-coop/moves"
FORMAT = "meet.coop move 1"
SECRETS = "secrets.json"
LEAVING, LEFT, ARRIVING, ARRIVED, ABSENT = "leaving", "left", "arriving", "arrived", "absent"
STATES = (LEAVING, LEFT, ARRIVING, ARRIVED)
_AFTER: Mapping[str, tuple[str, ...]] = {
    LEAVING: (ABSENT, ARRIVED),
    LEFT: (LEAVING,),
    ARRIVING: (ABSENT, LEFT, ARRIVED, LEAVING),
    ARRIVED: (ARRIVING, LEAVING),
}
"""What may come before each state, apart from itself."""


@dataclass(frozen=True)
class Record:
    """How far the move of an instance has come on one host."""

    state: str = ABSENT
    peer: str = ""
    """The other container host."""
    since: float = 0.0
    """When this state began (seconds since 1970)."""
    closed: float | None = None
    """When it was closed to be taken elsewhere."""
    seconds: float | None = None
    """How long it was closed, once it has left."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def path_of(directory: str, name: str) -> str:
    return os.path.join(directory, f"{name}.json")


def read(directory: str, name: str) -> Record:
    """The record of an instance. Raises CoopError and never guesses when it is damaged."""
    path = path_of(directory, name)
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        if found.pop("format") != FORMAT or found["state"] not in STATES:
            raise ValueError
        return Record(**found)
    except FileNotFoundError:
        return Record()
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CoopError(
            f"{path} is damaged; it says which container host {name} belongs to: mend it by hand (docs/move.md), nothing is guessed"
        ) from None


def observe(directory: str) -> dict[str, Record]:
    """All records of a host. Raises CoopError."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CoopError(f"{directory} cannot be read: {error.strerror}") from error
    return {name[:-5]: read(directory, name[:-5]) for name in names if name.endswith(".json")}


def kept(state_root: str, directory: str | None = None) -> list[str]:
    """The instances that belong to this host: with secrets, and neither left for another host nor still on their way here.

    ``directory`` holds the records; ``moves`` beside ``state_root`` when left out. Raises CoopError.
    """
    records = observe(directory or os.path.join(os.path.dirname(state_root.rstrip("/")), "moves"))
    try:
        names = sorted(os.listdir(state_root))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CoopError(f"{state_root} cannot be read: {error.strerror}") from error
    elsewhere = {name for name, record in records.items() if record.state in (LEFT, ARRIVING)}
    return [name for name in names if name not in elsewhere and os.path.isfile(os.path.join(state_root, name, SECRETS))]


def diff(name: str, record: Record, state: str, peer: str, facts: Mapping[str, Any], now: float | None = None) -> Record:
    """The record after a step; the same one where that was taken already. Raises CoopError where it cannot follow.

    A step back to ``absent`` is always possible: whoever asks for it has put things right, or erased them.
    """
    now = time.time() if now is None else now
    if state == ABSENT:
        closed = record.closed if record.state == LEAVING else None
        return Record(seconds=round(now - closed, 1) if closed is not None else record.seconds)
    if not peer:
        raise CoopError(f"{name}: peer is missing: the container host at the other end of the move")
    if (record.state, record.peer) == (state, peer):
        merged = {**record.facts, **facts}
        return record if merged == record.facts else Record(**{**asdict(record), "facts": merged})
    if record.state not in _AFTER[state] and record.state != state:
        raise CoopError(f"{name} is {record.state} here, which cannot become {state}; run meet.coop.move -l {name} to go on")
    if state in (LEFT, ARRIVED) and record.peer != peer:
        raise CoopError(f"{name} is {record.state} with {record.peer}, not with {peer}; run meet.coop.move -l {name} to go on")
    if state == LEAVING and record.state == LEAVING:
        raise CoopError(f"{name} is on its way to {record.peer}; let it arrive, or go back, before it goes to {peer}")
    closed = now if state == LEAVING else record.closed if state == LEFT else None
    return Record(
        state=state,
        peer=peer,
        since=now,
        closed=closed,
        seconds=round(now - record.closed, 1) if record.state == LEAVING and record.closed is not None else None,
        facts={**(record.facts if state in (LEFT, ARRIVED) else {}), **facts},
    )


def apply(directory: str, name: str, record: Record) -> None:
    """Replace the record in one step. Raises CoopError; what stood there before then still stands."""
    path = path_of(directory, name)
    try:
        if record.state == ABSENT:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        os.makedirs(directory, mode=0o711, exist_ok=True)
        handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(record.shown, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
