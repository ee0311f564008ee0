# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the account at the authority that Caddy keeps in its storage."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def account_uri(config: Mapping[str, Any] | None, storage: str) -> str | None:
    """URL of the account that Caddy asks with; None when it has none yet, or when the files leave open which one it is.

    Caddy keeps it in acme/AUTHORITY/users/CONTACT/CONTACT.json (certmagic, account.go); where no contact is configured it takes any.
    """
    policies = ((((config or {}).get("apps") or {}).get("tls") or {}).get("automation") or {}).get("policies") or []
    issuers = [issuer for policy in policies for issuer in policy.get("issuers") or []]
    if len(issuers) != 1 or not issuers[0].get("ca"):
        return None
    users = os.path.join(storage, "acme", _authority(issuers[0]["ca"]), "users")
    email = str(issuers[0].get("email") or "").lower()
    found = {uri for contact in _names(users) if email in ("", contact) and (uri := _location(os.path.join(users, contact)))}
    return found.pop() if len(found) == 1 else None


def _authority(directory: str) -> str:
    """Caddy's name for an authority: its host, port and path (certmagic, issuerKey and StorageKeys.Safe)."""
    url = urlsplit(directory)
    name = "-".join(part for part in (url.netloc, url.path.replace("/", "-").strip("-")) if part)
    return re.sub(r"[^\w@.-]", "", name.lower().replace(":", "-"), flags=re.ASCII)


def _location(place: str) -> str | None:
    for name in _names(place):
        if name.endswith(".json"):
            try:
                with open(os.path.join(place, name), encoding="utf-8") as file:
                    account = json.load(file)
            except (OSError, ValueError):
                continue
            if isinstance(account, dict) and account.get("status") == "valid" and account.get("location"):
                return str(account["location"])
    return None


def _names(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []
