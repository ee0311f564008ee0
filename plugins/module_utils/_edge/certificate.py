# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: is a name served with a certificate that clients accept, and if not, what did the authority say."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._edge.routes import ROUTE_ARGUMENTS
from ansible_collections.meet.coop.plugins.module_utils._edge.store import STORE_ARGUMENTS
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_PAUSE = 0.25
_HANDSHAKE = 5.0
_RETRY = 3.0
_RECENT = 10.0
_BROKEN_OFF = "context canceled"
_REFUSAL = "urn:ietf:params:acme:error:"
_AWAY = re.compile(r"dial tcp|no such host|i/o timeout|context deadline exceeded|connection re(fused|set)|no route to host")
_ROUNDS_AWAY = 4
_LOG_TAIL = 512 * 1024


ROUTE_AND_WAIT_ARGUMENTS: dict[str, dict[str, Any]] = {
    **ROUTE_ARGUMENTS,
    "wait_certificate": {"type": "int", "default": 0},
    "ca_file": {"type": "path"},
    "connect": {"type": "str", "default": "127.0.0.1:443"},
    "acme_log": {"type": "path", "default": "/var/log/caddy/acme.log"},
    **STORE_ARGUMENTS,
}
"""Argument spec of caddy_route."""


def address(connect: str) -> tuple[str, int]:
    """Where TLS is served, from C(ADDRESS:PORT). Raises CoopError."""
    host, _colon, port = connect.rpartition(":")
    if not port.isdigit():
        raise CoopError(f"connect '{connect}' is not ADDRESS:PORT such as 127.0.0.1:443")
    return host.strip("[]"), int(port)


def context(ca_file: str | None) -> ssl.SSLContext:
    """Trust as a client has it: C(ca_file), or the system's authorities."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CoopError(f"ca_file {ca_file} holds no certificates that can be read: {error}") from error


def fingerprint(path: str) -> str:
    """SHA-256 of the first certificate in a PEM file, shortened. Raises CoopError."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", file.read(), re.DOTALL)
        if found is None:
            raise CoopError(f"{path} holds no certificate (PEM)")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found.group())).hexdigest()[:16]
    except OSError as error:
        raise CoopError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise CoopError(f"{path} holds no certificate that can be read") from error


def fault(host: str, address: tuple[str, int], trust: ssl.SSLContext) -> str | None:
    """Why TLS for a name isn't good at an address, None when it is."""
    try:
        with (
            socket.create_connection(address, timeout=_HANDSHAKE) as plain,
            trust.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted ({error.verify_message})"
    except ssl.SSLError as error:
        return "there is no certificate for it" if "ALERT" in (error.reason or "").upper() else f"TLS fails ({error.reason or error})"
    except OSError as error:
        return f"nobody answers at {address[0]} port {address[1]} ({error.strerror or error})"


def wait(
    hosts: Sequence[str],
    address: tuple[str, int],
    ca_file: str | None,
    seconds: float,
    nudge: Callable[[float], None] | None = None,
    log: str | None = None,
    fresh: bool = True,
) -> dict[str, str]:
    """Wait until every host is served well; what is wrong with those that are not.

    After a failure Caddy pauses for a minute and longer. C(nudge) makes it try at once, unless that was done since the Unix time it is
    given. It is called at the first look unless the route is C(fresh), and after failures that are not the authority's own refusal (it
    was down, or spoke badly), since refusals count against its limits. An authority that could not be reached four times in a row, about
    half a minute, is not waited for any longer.
    """
    trust = context(ca_file)
    deadline = time.monotonic() + seconds
    waiting = {host: found for host in hosts if (found := fault(host, address, trust))}
    tried, pause, away = time.time(), _RETRY, 0
    if waiting and nudge and not fresh:
        nudge(tried - _RECENT)
    while waiting and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        waiting = {host: found for host in waiting if (found := fault(host, address, trust))}
        if waiting and nudge and time.time() - tried > pause:
            errors = [found[0] for host in waiting if (found := last_error(host, log, tried))]
            if errors and not any(_REFUSAL in error for error in errors):
                away = away + 1 if all(_AWAY.search(error) for error in errors) else 0
                if away == _ROUNDS_AWAY:
                    break
                nudge(time.time() - _RETRY)
                tried, pause = time.time(), pause * 1.5
    return waiting


def last_error(host: str, log: str | None, since: float) -> tuple[str, float] | None:
    """Caddy's last word about a host in its ACME log (one JSON object a line), not older than the Unix time given, and its own time."""
    if not log:
        return None
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or "error" not in entry or _BROKEN_OFF in str(entry["error"]):
            continue
        named = {entry.get("identifier"), *(entry.get("identifiers") or [])}
        if host in named or f"[{host}]" in str(entry["error"]) or str(entry["error"]).startswith(f"{host}: "):
            said = float(entry.get("ts") or 0)
            return None if said < since else (" ".join(str(entry["error"]).split()), said)
    return None
