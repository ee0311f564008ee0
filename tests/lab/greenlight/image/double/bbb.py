# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BigBlueButton API client with the ways of the gem bigbluebutton-api-ruby (lib/bigbluebutton_api.rb).

GET, parameters sorted, SHA-1 checksum, 10 s timeouts, nothing filtered.
"""

from __future__ import annotations

import hashlib
import typing as t
from urllib.parse import quote_plus, urlsplit

from . import config

TIMEOUT = 10.0


class BBBError(Exception):
    """BigBlueButtonException; `key` is the messageKey of a FAILED answer, else None."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


def url(call: str, parameters: dict[str, t.Any]) -> str:
    """The signed URL of a call; parameters that are None are left out."""
    given = sorted((name, str(value)) for name, value in parameters.items() if value is not None)
    # Ruby's URI.encode_www_form_component: keeps * - . _ and alphanumerics only
    query = "&".join(f"{name}={quote_plus(value, safe='*').replace('~', '%7E')}" for name, value in given)
    checksum = hashlib.sha1(f"{call}{query}{config.bbb_secret()}".encode(), usedforsecurity=False).hexdigest()
    return f"{config.bbb_endpoint().removesuffix('/')}/{call}?{query}{'&' if query else ''}checksum={checksum}"


def get(address: str, timeout: float = TIMEOUT, data: str | None = None) -> str:
    """Body of a GET (a POST with data); no redirects are followed, the status is not looked at (Net::HTTP.get)."""
    import http.client

    parts = urlsplit(address)
    if parts.scheme == "https":
        from .mail import context

        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout, context=context(True)
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        headers = {"Accept": "*/*", "User-Agent": "Ruby", "Connection": "close", **({"Content-Type": "application/xml"} if data else {})}
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("POST" if data else "GET", target, body=data, headers=headers)
        return connection.getresponse().read().decode(errors="replace")
    finally:
        connection.close()


def returncode(body: str) -> str:
    """Text of the returncode element, empty without one."""
    from xml.etree import ElementTree

    try:
        found = ElementTree.fromstring(body).find("returncode")
    except ElementTree.ParseError:
        return ""
    return (found.text or "") if found is not None else ""


def call(name: str, parameters: dict[str, t.Any], data: str | None = None) -> dict[str, str]:
    """One API call; the answer's direct children as text. Raises BBBError for FAILED, garbage and connection trouble."""
    import http.client
    from xml.etree import ElementTree

    try:
        body = get(url(name, parameters), data=data)
    except TimeoutError as error:
        raise BBBError(f'Timeout error. Your server is probably down: "{config.bbb_endpoint()}". Error: {error}', "TimeoutError") from error
    except (OSError, http.client.HTTPException) as error:
        message = f'Connection error. Your URL is probably incorrect: "{config.bbb_endpoint()}". Error: {error}'
        raise BBBError(message, "IncorrectUrlError") from error
    if not body:
        return {}
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise BBBError(f"Impossible to convert XML to hash. Error: {error}") from error
    result = {child.tag: child.text or "" for child in root}
    if "returncode" not in result:
        raise BBBError(f'Invalid response body. Is the API URL correct? "{config.bbb_endpoint()}"')
    if result["returncode"].upper() != "SUCCESS":
        raise BBBError(result.get("message", ""), result.get("messageKey", ""))
    return result
