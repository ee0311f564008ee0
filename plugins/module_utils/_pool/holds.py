# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: nodes that maintenance keeps out of a pool, in a file on the pool host.

The engine knows only enabled and disabled. Without this file a run that converges the pool, at night or by another person, would put a
node back while its packages are being replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

PATH = "/var/lib/meet-coop/held-nodes.json"


@dataclass(frozen=True)
class Hold:
    """Who keeps a node out, since when and until when nobody else may take that over (Unix times, seconds), and what it was before."""

    holder: str
    since: int
    until: int
    enabled: bool = True

    def binds(self, holder: str, now: float) -> bool:
        """Whether somebody else has to respect it."""
        return self.holder != holder and now < self.until


def read(path: str = PATH) -> dict[str, Hold]:
    """All holds by the node's domain; none where there is no file. Raises CoopError when the file cannot be understood."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        return {
            str(domain): Hold(str(entry["holder"]), int(entry["since"]), int(entry["until"]), bool(entry["enabled"]))
            for domain, entry in found.items()
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CoopError(f"{path} is damaged: see which nodes are in maintenance, remove it and run again") from error


def lengthen(domain: str, holder: str, until: int, path: str = PATH) -> None:
    """Keep a node out for its holder until then (Unix time, seconds). Raises CoopError when it is not, or not any more, the holder's.

    Called with the pool locked, as read() and write() are.
    """
    found = read(path)
    mine = found.get(domain)
    if mine is None or mine.holder != holder:
        raise CoopError(
            f"node {domain} is {f'held by {mine.holder}' if mine else 'not held any more'}, so {holder} cannot go on with it; run again"
        )
    write({**found, domain: replace(mine, until=until)}, path)


def write(holds: t.Mapping[str, Hold], path: str = PATH) -> None:
    """Replace the file in one step. Raises CoopError."""
    temporary = ""
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        number, temporary = tempfile.mkstemp(prefix=".held-nodes-", dir=os.path.dirname(path))
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            json.dump({domain: asdict(hold) for domain, hold in sorted(holds.items())}, stream, indent=1)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
