# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: who can give Caddy another configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._review.files import Entry
from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding
from ansible_collections.meet.coop.plugins.module_utils._review.sockets import Socket

DEFAULT_PORT = 2019
MEND = "Run role edge again, which has Caddy listen on a socket for root and Caddy alone"


def admin(config: str) -> tuple[str, bool]:
    """Where the admin API of a configuration listens ("" when it is off), and whether there is one for other machines.

    Raises ValueError where that is no JSON.
    """
    found: Any = json.loads(config)
    stated = (found.get("admin") or {}) if isinstance(found, Mapping) else {}
    # Without a word about it, it is on (caddyserver/caddy, admin.go, DefaultAdminListen).
    return ("" if stated.get("disabled") else stated.get("listen") or f"localhost:{DEFAULT_PORT}"), bool(stated.get("remote"))


def socket_path(listen: str) -> str | None:
    """The path of a unix socket as Caddy's configuration writes it; None for anything else."""
    return "/" + listen.removeprefix("unix/").split("|")[0].lstrip("/") if listen.startswith("unix/") else None


def judge(config: str | None, path: str, sockets: Iterable[Socket], entries: Mapping[str, Entry]) -> list[Finding]:
    """Caddy by the file it starts from (None without one), by what listens, and by the admin socket and its folder (``entries``)."""
    findings = []
    if config is not None:
        try:
            listen, remote = admin(config)
        except ValueError as error:
            return [Finding("unreadable", path, f"no JSON: {error}", MEND)]
        place = socket_path(listen)
        if listen and place is None:
            seen = f"{path} has the admin API listen on {listen}: whoever gets there may change the edge"
            findings.append(Finding("caddy-admin", listen, seen, MEND))
        if remote:
            findings.append(Finding("caddy-admin", "remote", f"{path} opens the admin API to other machines (admin.remote)", MEND))
        folder = entries.get(place.rpartition("/")[0]) if place else None
        socket = entries.get(place) if place else None
        if place and socket and socket.mode & 0o002 and (folder is None or folder.mode & 0o001):
            findings.append(Finding("caddy-admin", place, f"{place} is {socket.told}: every account of the host may change the edge", MEND))
    for one in sockets:
        if one.process == "caddy" and one.transport == "tcp" and one.port == DEFAULT_PORT:
            address = f"{one.address}:{one.port}"
            seen = f"Caddy listens on {address}, where its admin API is"
            findings.append(Finding("caddy-admin", address, seen, f"{MEND}, and restart Caddy"))
    return findings
