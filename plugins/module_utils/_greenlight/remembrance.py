# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: which addresses had an account once, in a file beside the instance.

Greenlight keeps no trace of a deleted account, so without this file every run would make a deleted person again. The file holds
digests only: it names nobody who is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class RemembranceError(CoopError):
    """The file cannot be used."""


def digest(email: str) -> str:
    """SHA-256 of the address in lower case, in hexadecimal."""
    return hashlib.sha256(email.lower().encode("utf-8", "surrogatepass")).hexdigest()


def load(path: str) -> frozenset[str]:
    """The digests kept; none where there is no file. Raises RemembranceError."""
    try:
        with open(path, encoding="ascii") as stream:
            kept = json.load(stream)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise RemembranceError(f"remember: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        kept = None
    if not isinstance(kept, list) or not all(isinstance(entry, str) for entry in kept):
        raise RemembranceError(f"remember: {path} is damaged; restore it from a backup, or remove it to make deleted people again")
    return frozenset(kept)


def wanted(kept: frozenset[str], named: Mapping[str, str], existing: Iterable[str]) -> frozenset[str]:
    """What the file is to hold: ``named`` has the state wished for by address, ``existing`` the addresses with an account afterwards."""
    alive = {email for email in existing if named[email] != "absent"}
    gone = {digest(email) for email, state in named.items() if state == "absent"}
    return (kept | {digest(email) for email in alive}) - gone


def save(path: str, digests: Iterable[str]) -> None:
    """Replace the file as a whole, readable by its owner only. Raises RemembranceError."""
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(prefix=".remember-", dir=folder)
        with open(number, "w", encoding="ascii") as stream:
            json.dump(sorted(digests), stream, indent=0)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RemembranceError(f"remember: {path} cannot be written: {error.strerror}") from None
