# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: when a Greenlight container is ready, and why it is not.

"Running" says nothing: the start script ignores failed migrations (greenlight bin/start), the liveness address answers
with an unusable database, and the health check is wrong until another request has used the database.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import hide

#: Exits 0 only when neither schema nor data migrations are pending (gem data_migrate, tasks/databases.rake).
PROBE = ["bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data"]
#: Exit code of a program that was ended by SIGKILL.
KILLED = 137
#: A request that makes the application use its database; the health check fails until one has.
WARM_UP = "/api/v1/site_settings.json?names[]=AllowNameUpdate"
LIVENESS = "/api/v1/env.json"
HEALTH = "/health_check"
LOG_LINES = 15
#: Seconds that a started application may take from its first answer to a good health check.
GRACE = 30.0
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NOISE = re.compile(r"^\s*(from )?/(usr|opt|root)/\S*gems/|^\s*$|^\s*(bin/rails|\S+):\d+:in |^Tasks: TOP|^\(See full trace")


class NotReady(CoopError):
    """The container does not serve. `log` holds the last lines of its log, secrets masked.

    `hopeless` tells apart what waiting or starting again cannot mend from what only took too long;
    `pending` says that it serves on a half-migrated database, where one restart is worth trying.
    """

    def __init__(self, message: str, log: list[str], hopeless: bool = False, pending: bool = False) -> None:
        super().__init__(message)
        self.log = log
        self.hopeless = hopeless
        self.pending = pending


class Container(Protocol):
    """What is asked of a container while waiting for it."""

    def inspect(self) -> dict[str, Any]:
        """What the engine says of it."""

    def run(self, argv: list[str]) -> tuple[int | None, str]:
        """Exit code (None: it could not be run or did not end) and output of a command inside."""

    def log(self) -> str:
        """What it wrote last."""


@dataclass(frozen=True)
class Target:
    """Where a container answers and what it has to say."""

    name: str
    address: Callable[[dict[str, Any]], tuple[str, int] | None]
    hostname: str
    version: str | None
    secrets: list[str] = field(default_factory=list)
    proven: bool = False


def tail(text: str, secrets: list[str], lines: int = LOG_LINES) -> list[str]:
    """The last lines of a log: no colours, no secrets, repeated lines once with their number."""
    found: list[tuple[str, int]] = []
    for line in text.splitlines():
        clean = hide(_ANSI.sub("", line).rstrip(), secrets)[:400]
        if not clean.strip():
            continue
        if found and found[-1][0] == clean:
            found[-1] = (clean, found[-1][1] + 1)
        else:
            found.append((clean, 1))
    return [line if count == 1 else f"{line} ({count} times)" for line, count in found[-lines:]]


def reason(output: str, secrets: list[str]) -> str:
    """The line of a command's output that says why, for a one-line message."""
    lines = [line.strip() for line in tail(output, secrets, 60) if not _NOISE.search(line)]
    for pattern in (
        r"authentication failed|does not exist|could not connect|refused|permission denied",
        r"pending",
        r"Error|error|aborted",
    ):
        for line in lines:
            if re.search(pattern, line):
                return line
    return lines[-1] if lines else "no output"


def get(address: tuple[str, int], path: str, hostname: str, timeout: float = 10.0) -> tuple[int, str]:
    """One GET as the edge would send it; (status, body). Status 0: nobody answers, and the body says why."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(
            "GET", path, headers={"Host": hostname, "Accept": "application/json", "X-Forwarded-Proto": "https", "Connection": "close"}
        )
        response = connection.getresponse()
        return response.status, response.read(65536).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def version_of(body: str) -> str | None:
    """VERSION_TAG out of the liveness answer (greenlight app/controllers/api/v1/env_controller.rb)."""
    try:
        return str(json.loads(body)["data"]["VERSION_TAG"])
    except (ValueError, KeyError, TypeError):
        return None


def healthy(target: Target, address: tuple[str, int], status: int, body: str) -> tuple[str | None, str]:
    """One pass, after the liveness address gave this status and body: (version, "") when all is well, else (None, why)."""
    if status != 200:
        return None, f"{LIVENESS} answers {status or 'nothing'} ({_short(body)})"
    version = version_of(body)
    if version is None:
        return None, f"what answers on {address[0]}:{address[1]} is not a Greenlight"
    if target.version and version != target.version:
        return None, f"what answers on {address[0]}:{address[1]} is version {version}, not {target.version}"
    status, body = get(address, WARM_UP, target.hostname)
    if status != 200:
        return None, f"{WARM_UP} answers {status or 'nothing'} ({_short(body)})"
    status, body = get(address, HEALTH, target.hostname, timeout=30.0)
    if status != 200 or body.strip() != "success":
        return None, f"{HEALTH} answers {status or 'nothing'}: {_short(body)}"
    return version, ""


def wait(container: Container, target: Target, timeout: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """Wait until the container is ready and return its version. Raises NotReady with the reason and the last log lines.

    Order: it answers at all (the start script has gone through its steps) → migrations are proven complete, once per
    container → a request that warms the database connection up → a good health check.
    """
    start = time.monotonic()
    proven = target.proven
    restarts: int | None = None
    first_answer: float | None = None
    why = "it has not answered yet"

    def fail(message: str, hopeless: bool = False, pending: bool = False) -> NotReady:
        log = tail(container.log(), target.secrets)
        return NotReady(hide(f"{target.name}: {message}", target.secrets), log, hopeless, pending)

    while True:
        found = container.inspect()
        state = found["State"]
        count = int(found.get("RestartCount") or 0)
        restarts = count if restarts is None else restarts
        if state.get("OOMKilled") and (count > restarts or not state.get("Running")):
            raise fail("it was killed because it needs more memory than its limit; raise resources.memory", hopeless=True)
        if not (state.get("Running") or state.get("Restarting")):
            raise fail(f"it stopped by itself with exit code {state.get('ExitCode')}", hopeless=True)
        if count >= restarts + 2:
            raise fail(f"it stops right after each start, with exit code {state.get('ExitCode')}", hopeless=True)
        address = target.address(found)
        if address and not state.get("Restarting"):
            status, body = get(address, LIVENESS, target.hostname)
            if status == 0:
                first_answer = None
                why = "it does not answer yet"
            else:
                first_answer = first_answer or time.monotonic()
                if status == 200 and not proven:
                    code, output = container.run(PROBE)
                    proven = code == 0
                    if proven:
                        first_answer = time.monotonic()  # the question itself may have taken its time
                    if code == KILLED:
                        why = f"its migrations cannot be asked for: {PROBE[3]} was killed, as when memory is short; raise resources.memory"
                    elif code:
                        why = f"{PROBE[3]} exits {code}: {reason(output, target.secrets)}"
                        raise fail(f"its database is not completely migrated ({why})", hopeless=True, pending=True)
                    elif code is None:
                        why = f"its migrations cannot be asked for: {_short(output)}"
                if proven or status != 200:
                    version, why = healthy(target, address, status, body)
                    if version is not None and proven:
                        return version
        now = time.monotonic()
        if first_answer and now - first_answer > min(GRACE, timeout):
            raise fail(f"it runs but is not well: {why}")
        if now - start > timeout:
            raise fail(f"not ready after {timeout:.0f} s: {why}")
        sleep(0.5 if now - start < 60 else 2.0)


def _short(body: str) -> str:
    """The beginning of an answer on one line."""
    text = re.sub(r"<[^>]*>", " ", body)
    return " ".join(text.split())[:200] or "empty answer"
