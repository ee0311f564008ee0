# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's secrets, drawn once and kept in ``.lab/secrets.yml`` (mode 0600; JSON, which is YAML too)."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from typing import Any

from .config import ACCOUNTS, NODES, Lab


def _password() -> str:
    return secrets.token_urlsafe(18)


def _tsig() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _wanted() -> dict[str, dict[str, Callable[[], str]]]:
    return {
        "tsig": {"coop": _tsig, "rosa": _tsig, "lab": _tsig, "bind": _tsig, "writer": _tsig},
        "smtp": {name: _password for name in ACCOUNTS},
        "imap": {"verify": _password},
        "bbb": {node: lambda: secrets.token_hex(20) for node in NODES},
    }


def ensure(lab: Lab) -> dict[str, dict[str, str]]:
    """The secrets by kind and name; missing ones are drawn, the others kept."""
    path = lab.state / "secrets.yml"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    full = {kind: {name: known.get(kind, {}).get(name) or draw() for name, draw in names.items()} for kind, names in _wanted().items()}
    if full != known:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(full, file, indent=2)
            file.write("\n")
        partial.replace(path)
    return full
