# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a run came to, as data and in a few lines, and how people are told."""

from __future__ import annotations

import html
import json
import os
import smtplib
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils import _smtp
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

FORMAT = "meet.coop run 1"
LONGEST = 500
"""Characters of one message that are passed on."""
LINES = 20
"""Failures that are told one by one; all are in the report."""

Report = dict[str, Any]


def one_line(text: object) -> str:
    """A message as one line of bounded length."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def outcome(hosts: Mapping[str, Mapping[str, int]]) -> str:
    """C(failed), C(changed) or C(ok)."""
    if any(numbers["failures"] or numbers["unreachable"] for numbers in hosts.values()):
        return "failed"
    return "changed" if any(numbers["changed"] for numbers in hosts.values()) else "ok"


def matters(report: Report, wanted: Iterable[str]) -> bool:
    """Whether people want to hear of it: C(failure), C(change), C(always). A run in check mode is somebody's own who looks at it."""
    asked = set(wanted)
    if report["check_mode"]:
        return False
    return "always" in asked or {"failed": "failure", "changed": "change"}.get(report["outcome"], "") in asked


def title(report: Report) -> str:
    """One line for a subject."""
    bad = sum(1 for numbers in report["hosts"].values() if numbers["failures"] or numbers["unreachable"])
    new = sum(1 for numbers in report["hosts"].values() if numbers["changed"])
    ending = {"failed": f"failed ({bad} of {len(report['hosts'])} hosts)", "changed": f"changed {new} of {len(report['hosts'])} hosts"}
    return one_line(f"{report['name']}: {ending.get(report['outcome'], 'nothing to do')}")


def text(report: Report) -> str:
    """The whole, for people."""
    lines = [title(report), "", f"{report['playbook']}, {report['begun']} to {report['ended']}, by {report['by']}"]
    failures = report["failures"]
    lines += ["", *(f"- {each['host']}: {each['task']}: {each['msg']}" for each in failures[:LINES])] if failures else []
    lines += [f"- and {len(failures) - LINES} more"] if len(failures) > LINES else []
    changed = sorted(host for host, numbers in report["hosts"].items() if numbers["changed"])
    lines += ["", f"Changed: {', '.join(changed[: 5 * LINES])}{', …' if len(changed) > 5 * LINES else ''}"] if changed else []
    return "\n".join(lines) + "\n"


def write(path: str, report: Report) -> None:
    """Keep the report, replacing the one before in one step; readable by its owner alone. Raises CoopError."""
    temporary = ""
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        number, temporary = tempfile.mkstemp(prefix=".report-", dir=os.path.dirname(path) or ".")
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=1, ensure_ascii=False, sort_keys=True, default=str)
            stream.write("\n")
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise CoopError(f"the report {path} cannot be written: {error.strerror}") from None


def mail(report: Report, to: Sequence[str], account: Mapping[str, Any], ca_file: str | None, timeout: float) -> None:
    """One mail to all. C(timeout) in seconds, for each step. Raises CoopError, naming the server and never the password."""
    message = EmailMessage()
    try:
        message["Subject"] = title(report)
        message["From"] = account["sender_email"]
        message["To"] = ", ".join(to)
    except ValueError as error:
        raise CoopError(f"the mail's addresses are not valid ({error}); see mail_to and mail_from") from None
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=account["sender_email"].rpartition("@")[2])
    # No holiday answers, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    # Not every server takes eight bits.
    message.set_content(text(report), cte="quoted-printable")
    with _smtp.explained(account, timeout), _smtp.connected(account, ca_file, timeout) as session:
        try:
            refused = session.send_message(message, account["sender_email"], list(to))
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
    if refused:
        raise CoopError(f"SMTP server {account['server']} takes no mail for {', '.join(sorted(refused))}; see mail_to")


def body(report: Report, form: str, token: str) -> dict[str, Any]:
    """What a hook is given: V(hookshot) and V(matrix_webhook) are two of Matrix' bridges, V(json) is for programs."""
    told = text(report)
    if form == "matrix_webhook":
        return {"body": "\n".join(f"    {line}" for line in told.splitlines()), "key": token}
    if form == "hookshot":
        # Given HTML it does not take the text, which others may have written parts of, for Markdown.
        return {"text": told, "html": f"<pre>{html.escape(told)}</pre>"}
    return {"text": told, "report": report}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what is posted, with its token, is meant for one server."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def post(report: Report, url: str, form: str, token: str, timeout: float) -> None:
    """One POST. C(timeout) in seconds. Raises CoopError, which names the host alone: the address itself is often the secret."""
    try:
        parts = urllib.parse.urlsplit(url)
        where = f"the hook at {parts.hostname}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        raise CoopError("hook_url is not an address; write https://…") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise CoopError("hook_url is not an address; write https://…")
    headers = {"Content-Type": "application/json", "User-Agent": "meet.coop"}
    if token and form == "json":
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body(report, form, token), default=str).encode()
    try:
        request = urllib.request.Request(url, data, headers, method="POST")
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        raise CoopError(f"{where} answers {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise CoopError(f"{where} cannot be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})") from None
