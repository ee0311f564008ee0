# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: mails that go to each address once. Observe what was sent, diff against who is to get what, send.

A record, C(BASE/WHOSE.json), says of each mail what became of it. It says "trying" before the mail is handed in and "sent" after, so a run
that is killed in between does not know. The next one sends again: a mail that comes twice is better than one that never comes. Both have
the same Message-ID, by which mail programs and people see that they are one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.policy
import email.utils
import fcntl
import hashlib
import json
import os
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._smtp import connected, explained, said_by

from ._cooperative.decisions import existing, write

_KINDS = {".html": "text/html", ".xml": "application/xml", ".pdf": "application/pdf"}
NOT_OUT = ("refused", "unknown", "not tried")
"""Outcomes of a mail that is still to send."""


@dataclasses.dataclass(frozen=True)
class Letter:
    """A mail to one address: C(files) are name and content of what comes with it, C(more) what the record says of it besides."""

    whose: str
    address: str
    subject: str
    text: str
    ident: str
    files: tuple[tuple[str, bytes], ...]
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def sums(self) -> dict[str, str]:
        """The sha256 of what comes with it, by name."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files}


def recipients(contacts: Sequence[Mapping[str, Any]], roles: Sequence[str]) -> list[str]:
    """Addresses of the contacts with the first of these roles that somebody has; else of the first contact. Empty without contacts."""
    for role in roles:
        found = [contact["email"] for contact in contacts if contact.get("role", "coordinator") == role]
        if found:
            return list(dict.fromkeys(found))
    return [contact["email"] for contact in contacts[:1]]


class Outbox:
    """Mails of one kind: C(base) is the folder of their record, C(locks) are the files that a second run is held off by.

    C(day) is written down beside each mail; C(timeout) is in seconds, for each step with the server; C(sender) is the name that mails come
    from where the account says none.
    """

    def __init__(
        self, base: str, locks: Sequence[str], account: Mapping[str, Any], ca_file: str | None, timeout: float, sender: str, day: str
    ) -> None:
        self.base = base
        self.locks = locks
        self.account = account
        self.ca_file = ca_file
        self.timeout = timeout
        self.sender = sender
        self.day = day

    def post(self, letters: Sequence[Letter], check_mode: bool) -> dict[Letter, tuple[str, str]]:
        """What became of each mail that was not sent before, and what the server said; in check mode none is sent.

        Raises CoopError when the server takes nothing at all, or another run is sending.
        """
        if check_mode:
            return {one: ("to send", "") for one in letters if not self.was_sent(one)}
        with self.alone():
            waiting = [one for one in letters if not self.was_sent(one)]
            return self.send(waiting) if waiting else {}

    # -- what was sent

    def path_of(self, whose: str) -> str:
        return os.path.join(self.base, f"{whose}.json")

    def record(self, whose: str) -> dict[str, Any]:
        """What became of somebody's mails, by Message-ID."""
        path = self.path_of(whose)
        data = existing(path)
        try:
            found = json.loads(data) if data else {}
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(one, dict) and "state" in one for one in found.values()):
            raise CoopError(f"{os.path.relpath(path)}: is not what this module wrote; put it back, so that nothing is sent twice")
        return found

    def state(self, letter: Letter) -> str | None:
        """What became of a mail: trying, sent or refused; None when it was never tried."""
        found: str | None = self.record(letter.whose).get(letter.ident, {}).get("state")
        return found

    def was_sent(self, letter: Letter) -> bool:
        return self.state(letter) == "sent"

    def note(self, letter: Letter, state: str, said: str = "") -> None:
        """Writes down what became of a mail."""
        entry = {"address": letter.address, "state": state, "on": self.day, "files": letter.sums, **dict(letter.more)}
        found = {**self.record(letter.whose), letter.ident: {**entry, "said": said} if said else entry}
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        _folder(self.base)
        write(self.path_of(letter.whose), text.encode(), 0o600)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Holds off a second run for as long as this one sends."""
        with contextlib.ExitStack() as stack:
            for path in sorted(self.locks):
                _folder(os.path.dirname(path))
                try:
                    lock = stack.enter_context(open(path, "w"))
                except OSError as error:
                    said = (error.strerror or str(error)).lower()
                    raise CoopError(f"{os.path.relpath(path)}: cannot be written: {said}; check the folder") from error
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise CoopError("another run is sending these mails; wait until it is done") from error
            yield

    # -- sending

    def send(self, waiting: Sequence[Letter]) -> dict[Letter, tuple[str, str]]:
        """Sends mails, and gives what became of each: sent, refused, unknown or not tried, and what the server said.

        Raises CoopError when the server takes nothing at all.
        """
        found: dict[Letter, tuple[str, str]] = {}
        with contextlib.ExitStack() as stack:
            # A server that is gone cannot be said goodbye to.
            stack.enter_context(contextlib.suppress(smtplib.SMTPException, OSError))
            with explained(self.account, self.timeout):
                session = stack.enter_context(connected(self.account, self.ca_file, self.timeout))
            for one in waiting:
                again = self.state(one) == "trying"
                self.note(one, "trying")
                try:
                    with explained(self.account, self.timeout):
                        refused = self.hand_in(session, one)
                except CoopError as error:
                    if isinstance(error.__cause__, smtplib.SMTPSenderRefused):
                        # Then it went no further, and so will all others.
                        self.note(one, "refused", str(error))
                    found[one] = "unknown", str(error)
                    break
                self.note(one, "refused" if refused else "sent", refused)
                found[one] = ("refused", refused) if refused else ("sent again" if again else "sent", "")
        return {one: found.get(one, ("not tried", "")) for one in waiting}

    def hand_in(self, session: smtplib.SMTP, letter: Letter) -> str:
        """Hands a mail in. Gives what the server said when it refuses this one; raises what smtplib does when it takes none."""
        try:
            session.send_message(self.message(letter), self.account["sender_email"], [letter.address])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = error.recipients[letter.address]
            if code == 421:
                raise smtplib.SMTPServerDisconnected from error
            return said_by(smtplib.SMTPResponseException(code, said))
        except smtplib.SMTPDataError as error:
            if error.smtp_code == 421:
                raise smtplib.SMTPServerDisconnected from error
            return said_by(error)
        return ""

    def message(self, letter: Letter) -> EmailMessage:
        """The mail as it goes out."""
        message = EmailMessage(policy=email.policy.SMTP.clone(cte_type="7bit"))
        name = " ".join((self.account["sender_name"] or self.sender).split())
        message["From"] = email.utils.formataddr((name, self.account["sender_email"]))
        message["To"] = letter.address
        message["Subject"] = letter.subject
        message["Message-ID"] = letter.ident
        message["Date"] = datetime.datetime.now(datetime.UTC)
        # No out-of-office notes, please.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        for file, data in letter.files:
            main, _slash, sub = _KINDS[os.path.splitext(file)[1]].partition("/")
            message.add_attachment(data, maintype=main, subtype=sub, filename=file)
        return message


def outcome(name: str, what: str, letters: Sequence[Letter], became: Mapping[Letter, tuple[str, str]]) -> dict[str, Any]:
    """C(changed), C(mails) and C(summary) of a result, and a failure where something did not go out.

    C(name) is what C(mails) calls whose each is, C(what) the mails are of.
    """
    mails = [
        {
            name: one.whose,
            "address": one.address,
            "message_id": one.ident,
            "files": [file for file, _data in one.files],
            "outcome": became.get(one, ("sent before", ""))[0],
            "said": became.get(one, ("", ""))[1],
        }
        for one in letters
    ]
    lines = [f"{one[name]} <{one['address']}>: {one['outcome']}{': ' + one['said'] if one['said'] else ''}" for one in mails]
    found = {
        "changed": any(one["outcome"] in ("to send", "sent", "sent again", "unknown") for one in mails),
        "mails": mails,
        "summary": [f"{what}: {len(became)} of {len(letters)} mails were to send", *lines],
    }
    bad = [line for line, one in zip(lines, mails, strict=True) if one["outcome"] in NOT_OUT]
    if bad:
        said = "; ".join(bad)
        found |= {"failed": True, "msg": f"{len(bad)} mails did not go out, run again when that is mended: {said}"}
    return found


def _folder(path: str) -> None:
    try:
        os.makedirs(path or ".", exist_ok=True)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise CoopError(f"{os.path.relpath(path)}: cannot be made: {said}; check the path and its permissions") from error
