# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: ports on the host's loopback, and the small state file that keeps an instance's port stable."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

STATE_FILE = "container.json"
_LISTEN = "0A"
_REACHES_LOOPBACK = {"0100007F", "00000000", "0" * 32, "0000000000000000FFFF00000100007F", "0000000000000000FFFF000000000000"}


@dataclass(frozen=True)
class State:
    """What an instance's next run must know and Docker does not keep."""

    port: int | None = None
    #: The container has been ready at least once: others (the edge) may rely on its port.
    served: bool = False
    #: Id of the container whose migrations were proven complete.
    proven: str | None = None
    #: Port of a container that is being made beside the one that serves.
    next_port: int | None = None
    #: Until when (Unix time) the container before the proven one runs on, to go back to at once.
    previous_until: float | None = None
    #: Dump that holds the database as it was before a migration under way, during which nobody was served.
    put_back: str | None = None
    #: It runs as services of a Swarm, not as containers of this host.
    swarm: bool = False
    #: Where its uploads are, if not in its volume: a directory, or "s3".
    uploads: str | None = None
    #: A directory from which its uploads were carried away, to be emptied.
    left: str | None = None

    def with_(self, **changes: object) -> State:
        return replace(self, **changes)  # type: ignore[arg-type]


def read_state(directory: str) -> State:
    """The instance's state; a missing or damaged file is only a forgotten proof, so it counts as empty."""
    try:
        with open(os.path.join(directory, STATE_FILE), encoding="utf-8") as handle:
            found = json.load(handle)
        port, next_port, until = (found.get(key) for key in ("port", "next_port", "previous_until"))
        proven, put_back, uploads, left = (found.get(key) for key in ("proven", "put_back", "uploads", "left"))
        return State(
            port=port if isinstance(port, int) and 0 < port < 65536 else None,
            served=found.get("served") is True,
            proven=proven if isinstance(proven, str) else None,
            next_port=next_port if isinstance(next_port, int) and 0 < next_port < 65536 else None,
            previous_until=float(until) if isinstance(until, (int, float)) else None,
            put_back=put_back if isinstance(put_back, str) else None,
            swarm=found.get("swarm") is True,
            uploads=uploads if isinstance(uploads, str) else None,
            left=left if isinstance(left, str) else None,
        )
    except (OSError, ValueError, AttributeError):
        return State()


def write_state(directory: str, state: State) -> None:
    """Replace the state file in one step. Raises CoopError, for example when the disk is full."""
    path = os.path.join(directory, STATE_FILE)
    temporary = f"{path}.new"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(state), stream)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error


def remove_state(directory: str) -> None:
    """Forget the instance's port and proof."""
    for name in (STATE_FILE, f"{STATE_FILE}.new"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))


def reserved(root: str, except_instance: str) -> set[int]:
    """Ports that other instances' state files hold, running or not."""
    ports = set()
    for path in glob.glob(os.path.join(root, "*", STATE_FILE)):
        directory = os.path.dirname(path)
        if os.path.basename(directory) != except_instance:
            state = read_state(directory)
            ports |= {port for port in (state.port, state.next_port) if port}
    return ports


def listening() -> dict[int, set[str]]:
    """Ports listened on in this network namespace, each with the inodes of sockets that would refuse us 127.0.0.1."""
    ports: dict[int, set[str]] = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as handle:
                lines = handle.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                address, _colon, port = fields[1].partition(":")
                inodes = ports.setdefault(int(port, 16), set())
                if address in _REACHES_LOOPBACK:
                    inodes.add(fields[9])
    return ports


def listener(port: int) -> str:
    """Who listens on 127.0.0.1:port, as `name (pid 123)`; empty when it cannot be known."""
    wanted = {f"socket:[{inode}]" for inode in listening().get(port, ())}
    for entry in glob.iglob("/proc/[0-9]*/fd/*") if wanted else ():
        try:
            if os.readlink(entry) in wanted:
                pid = entry.split("/")[2]
                with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
                    return f"{handle.read().strip()} (pid {pid})"
        except OSError:
            continue
    return ""


def allocate(port_range: tuple[int, int], taken: Iterable[int]) -> int:
    """The first port of the range that nobody has."""
    first, last = port_range
    refused = set(taken)
    for port in range(first, last + 1):
        if port not in refused:
            return port
    raise CoopError(f"all {last - first + 1} ports of port_range {first}-{last} are taken; widen port_range")


@contextmanager
def locked(directory: str, what: str, timeout: float) -> Iterator[None]:
    """Hold a lock on a directory. It ends with the process, killed or not. Waits at most `timeout` seconds."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CoopError(f"{directory} cannot be made: {error.strerror}") from error
    try:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise CoopError(
                        f"another run has been working on {what} for more than {timeout:.0f} s; wait for it or end it"
                    ) from None
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)
