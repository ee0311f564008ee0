# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a small client of BigBlueButton's HTTP API (BigBlueButton documentation, development/api.md)."""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import ssl
import time
import typing as t
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes read of an answer at most: a pool's getMeetings is far below."""


class BigBlueButtonError(CoopError):
    """The API refused a call, or did not answer. ``key`` is its messageKey, or ``unreachable``."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def checksum(call: str, query: str, secret: str, algorithm: str = "sha256") -> str:
    """Checksum of a call: the hash over call name, raw encoded query and secret, in hexadecimal."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"checksum algorithm {algorithm} is none of {', '.join(ALGORITHMS)}")
    return hashlib.new(algorithm, (call + query + secret).encode("utf-8")).hexdigest()


def signed_query(call: str, parameters: t.Mapping[str, t.Any], secret: str, algorithm: str = "sha256") -> str:
    """The query of a call with its checksum at the end."""
    query = urlencode({name: _text(value) for name, value in parameters.items()})
    return query + ("&" if query else "") + "checksum=" + checksum(call, query, secret, algorithm)


def ahead(date: str | None, now: float) -> float | None:
    """Seconds by which the clock that wrote a Date header just now is ahead of ``now``, since 1970; None when it tells no time."""
    try:
        # It has whole seconds and leaves the rest out.
        return email.utils.parsedate_to_datetime(date or "").timestamp() + 0.5 - now
    except (ValueError, OverflowError):
        return None


def parse(data: bytes) -> ElementTree.Element:
    """The root element of an answer; BigBlueButtonError when it is no answer of the API."""
    # No answer of the API declares a document type; refusing it keeps entity expansion out.
    if b"<!DOCTYPE" in data:
        raise BigBlueButtonError("the answer is no BigBlueButton XML (it has a document type)", "unreachable")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise BigBlueButtonError(f"the answer is no BigBlueButton XML ({error})", "unreachable") from error
    if root.tag != "response":
        raise BigBlueButtonError(f"the answer is no BigBlueButton XML (its root is <{root.tag}>)", "unreachable")
    return root


class Client:
    """One API with one secret. ``base`` ends in ``/bigbluebutton/api/``; ``ca_file`` adds authorities to the system's; seconds.

    Whoever asks many gives them all one ``context``, which then says alone what is trusted.
    """

    def __init__(
        self,
        base: str,
        secret: str,
        *,
        algorithm: str = "sha256",
        timeout: float = 10.0,
        ca_file: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.base = base.rstrip("/") + "/"
        self.secret = secret
        self.algorithm = algorithm
        self.timeout = timeout
        self.clock_offset: float | None = None
        """Seconds by which the server's clock was ahead of this host's at its last answer, to a second or so; None for unknown."""
        self._ca_file = ca_file
        self._given = context

    def url(self, call: str, parameters: t.Mapping[str, t.Any] | None = None) -> str:
        """The signed URL of a call."""
        return f"{self.base}{call}?{signed_query(call, parameters or {}, self.secret, self.algorithm)}"

    def call(
        self,
        call: str,
        parameters: t.Mapping[str, t.Any] | None = None,
        *,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> ElementTree.Element:
        """Make a call and return its ``<response>``; BigBlueButtonError when it fails. Messages never hold the query or the secret."""
        headers = {"Content-Type": content_type} if content_type else {}
        parts = urlsplit(self.url(call, parameters))
        where = f"{parts.netloc}: {call}"
        connection = http.client.HTTPSConnection(parts.netloc, timeout=self.timeout, context=self._context())
        try:
            connection.request("GET" if body is None else "POST", f"{parts.path}?{parts.query}", body=body, headers=headers)
            answer = connection.getresponse()
            self.clock_offset = ahead(answer.getheader("Date"), time.time())
            data = answer.read(MAX_ANSWER + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise BigBlueButtonError(f"{where} could not be asked: {error or type(error).__name__}", "unreachable") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise BigBlueButtonError(f"{where} was answered with HTTP status {answer.status}", "unreachable")
        if len(data) > MAX_ANSWER:
            raise BigBlueButtonError(f"{where} was answered with more than {MAX_ANSWER} bytes", "unreachable")
        root = parse(data)
        if root.findtext("returncode") != "SUCCESS":
            key = root.findtext("messageKey") or "unknown"
            raise BigBlueButtonError(f"{where} was refused: {key} ({root.findtext('message') or 'no message'})", key)
        return root

    def _context(self) -> ssl.SSLContext:
        if self._given:
            return self._given
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        return context


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
