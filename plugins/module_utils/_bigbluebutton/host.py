# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a BigBlueButton server as its host sees it: release, units and what bbb-conf --check has to say.

bbb-conf ends with 0 also when units have failed and when its check finds problems, so its exit status says nothing.
"""

from __future__ import annotations

import re
import subprocess
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

RELEASE_FILE = "/etc/bigbluebutton/bigbluebutton-release"
TARGET = "bigbluebutton.target"
UNITS = (
    "nginx", "freeswitch", "redis-server", "bbb-apps-akka", "bbb-fsesl-akka", "bbb-graphql-actions", "bbb-graphql-middleware",
    "bbb-graphql-server", "bbb-webrtc-sfu", "bbb-webrtc-recorder", "etherpad", "bbb-web", "bbb-webhooks", "bbb-pads",
    "bbb-export-annotations", "bbb-rap-caption-inbox", "bbb-rap-resque-worker", "bbb-rap-starter", "bbb-transcription-controller",
)  # fmt: skip
"""Units of BigBlueButton 3.x as its bbb-conf lists them; a host has those whose unit file is there."""
_HEADING = "# Potential problems described below"
Run = t.Callable[[t.Sequence[str], float], str]


@dataclass(frozen=True)
class Unit:
    """State of one unit; ``since`` is the Unix time at which it became active, in seconds, or None when it is not."""

    name: str
    active: str
    since: float | None
    wanted: bool = True
    """Whether it starts with the host; one that is disabled or masked is off on purpose, as units of recordings may be."""

    @property
    def works(self) -> bool:
        return self.active == "active" or (self.active == "inactive" and not self.wanted)


def run(argv: t.Sequence[str], timeout: float) -> str:
    """A command's output, whatever its exit status. Raises CoopError when it cannot be started or does not end in ``timeout`` seconds."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise CoopError(f"{' '.join(argv)} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise CoopError(f"{argv[0]} cannot be run: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace")


def release(path: str = RELEASE_FILE) -> str | None:
    """The installed release such as 3.0.34; None when BigBlueButton is not installed."""
    try:
        with open(path, encoding="utf-8") as stream:
            match = re.search(r"^\s*(?:BIGBLUEBUTTON_RELEASE=)?[\"']?([0-9][A-Za-z0-9.~+-]*)", stream.read(), re.MULTILINE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    return match[1] if match else "unknown"


def units(names: t.Iterable[str] = UNITS, command: Run = run) -> dict[str, Unit]:
    """The units that are there, by name without .service. Raises CoopError when systemd does not answer."""
    asked = "Id,LoadState,ActiveState,UnitFileState,ActiveEnterTimestampMonotonic"
    argv = ["systemctl", "show", f"--property={asked}", "--", *map(_full, names)]
    # systemd's monotonic clock is this one, counted from the boot; the files' times are wall clock.
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    found = {}
    for block in command(argv, 30).split("\n\n"):
        given = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if given.get("LoadState") not in ("loaded", "masked"):
            continue
        name = given["Id"].removesuffix(".service")
        entered = int(given.get("ActiveEnterTimestampMonotonic") or 0)
        active = given.get("ActiveState", "unknown")
        wanted = given.get("UnitFileState") not in ("disabled", "masked")
        found[name] = Unit(name, active, booted + entered / 1e6 if active == "active" and entered else None, wanted)
    return found


def problems(command: Run = run, timeout: float = 300) -> list[str]:
    """What bbb-conf --check complains about, a line each and without its colours. ``timeout`` in seconds: it waits for the API."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", command(["bbb-conf", "--check"], timeout))
    _before, _heading, after = said.partition(_HEADING)
    found: list[str] = []
    for line in after.splitlines():
        text = line.strip().lstrip("#").strip()
        if not text:
            continue
        if re.match(r"\s*#\s*(Error|Warning)", line) or not found:
            found.append(text)
        else:
            found[-1] += " " + text
    return [re.sub(r"\s+", " ", line) for line in found]


def _full(name: str) -> str:
    return name if "." in name else f"{name}.service"
