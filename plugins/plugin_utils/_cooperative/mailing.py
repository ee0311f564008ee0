# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: statements of a month by mail, to each address once. Observe what was sent, diff against who is to get what, send.

C(mailed/2026-03/MEMBER.json) says of each address what became of its mail. It says "trying" before the mail is handed in and "sent" after,
so a run that is killed in between does not know. The next one sends again: a statement that comes twice is better than one that never
comes. Both have the same Message-ID, by which mail programs and people see that they are one.
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
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import where

from .closed import ALLOCATION, CLOSED, DRAFT, closed_months, dump
from .documents import DOCUMENTS, SUFFIX, all_numbers, read_invoice, read_issued
from .files import sha256
from .invoices import Desk, Invoice, clean
from .ledger import MoneyError, Period, decimal
from .pages import STATEMENTS
from .settlement import reference
from .settling import MonthTask, existing, write
from .terms import read_accounts

MAILED = "mailed"
ROLES = ("treasurer", "coordinator")
"""Whom statements go to when no address for them is written, in this order; else to the first contact."""
_KINDS = {".html": "text/html", ".xml": "application/xml", ".pdf": "application/pdf"}
TEXT = """Dear {name},

here is your statement of {coop} for {month}{draft}.

{pay}

The page that comes with this mail shows how every figure comes about.{more}

{coop}
"""


@dataclasses.dataclass(frozen=True)
class Letter:
    """A mail to one address: C(files) are name and content of what comes with it."""

    member: str
    address: str
    subject: str
    text: str
    ident: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def sums(self) -> dict[str, str]:
        """The sha256 of what comes with it, by name."""
        return {name: sha256(data) for name, data in self.files}


class MailTask:
    """The work of one call of statement_mail."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.month = MonthTask({**params, "decisions": None, "state": "verified", "what_if": []})
        self.draft: bool = params["draft"]
        self.smtp: Mapping[str, Any] = params["smtp"]
        self.ca_file: str | None = params["ca_file"]
        self.timeout: int = params["timeout"]
        self.expected: Sequence[str] = params["expected_documents"]

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; mails go out unless in check mode."""
        self.month.load()
        self.folder = self.month.folder
        period, letters = self.letters_of_draft() if self.draft else self.letters_of_closed(check_mode)
        self.base = os.path.join(self.folder, MAILED, f"{period}-{DRAFT}" if self.draft else str(period))
        if check_mode:
            return self.result(period, letters, {one: ("to send", "") for one in letters if not self.was_sent(one)})
        with self.alone():
            waiting = [one for one in letters if not self.was_sent(one)]
            return self.result(period, letters, self.send(waiting) if waiting else {})

    # -- who gets what

    def letters_of_closed(self, check_mode: bool) -> tuple[Period, list[Letter]]:
        """The mails of a closed month: statements, and the invoices that were made, in check mode those that are expected too."""
        sealed, produced = self.month.sealed()
        period = sealed.period
        issued = read_issued(self.folder, period)
        accounts, problems = read_accounts(self.folder)
        desk = Desk(self.month.register.root, accounts, self.month.assembly.shown, all_numbers(self.folder))
        wanted = desk.wanted(produced.settled)
        if problems or desk.problems:
            raise MoneyError([*problems, *desk.problems])
        beside: dict[str, list[tuple[str, bytes]]] = {}
        coming = {os.path.basename(name) for name in self.expected} if check_mode else set()
        for one in wanted:
            names = [one.number + SUFFIX[name] for name in one.formats]
            if one.invoice:
                beside.setdefault(self.gets(one.invoice), []).extend((name, b"") for name in names if name in coming)
            absent = [name for name in names if name not in issued and name not in coming]
            if absent:
                raise CoopError(f"{one.owner}: {absent[0]} is asked for and not made yet; run statement_documents for {period} first")
        base = os.path.join(self.folder, DOCUMENTS, str(period))
        for name in issued:
            if name.endswith(".json"):
                number = name.removesuffix(".json")
                found = [number + suffix for suffix in SUFFIX.values() if number + suffix in issued]
                mine = beside.setdefault(self.gets(read_invoice(base, number)), [])
                mine.extend((one, self.content(os.path.join(base, one))) for one in found)
        return period, self.letters(period, CLOSED, sealed.figures, {whose: sorted(files) for whose, files in beside.items()})

    def gets(self, invoice: Invoice) -> str:
        """Id of the member that gets an invoice: what it sold is for it to hand on."""
        return invoice.buyer.id if invoice.seller.id == self.month.cooperative["id"] else invoice.seller.id

    def letters_of_draft(self) -> tuple[Period, list[Letter]]:
        """The mails of the open month as it was settled last."""
        closed = self.month.closed(closed_months(self.folder))
        period = self.month.next_open(closed)
        if self.month.period not in (None, period):
            raise CoopError(f"month: {self.month.period} is not the open month, {period}; leave draft out to send a closed one")
        path = os.path.join(self.folder, DRAFT, str(period), ALLOCATION)
        data = existing(path)
        if data is None:
            raise CoopError(f"{os.path.relpath(path)}: is not there; settle {period} first, with month_settlement")
        return period, self.letters(period, DRAFT, json.loads(data), {})

    def letters(
        self, period: Period, kind: str, figures: Mapping[str, Any], beside: Mapping[str, Sequence[tuple[str, bytes]]]
    ) -> list[Letter]:
        """One mail for each member and address."""
        found = []
        coop, currency = self.month.cooperative, figures["currency"]
        domain = self.month.register.membership.cooperative["domain"]
        members = self.month.register.root.get("members") or {}
        for one in figures["members"]:
            name = one["id"]
            raw = members.get(name)
            if raw is None:
                continue
            page = self.content(os.path.join(self.folder, kind, str(period), STATEMENTS, f"{name}.html"))
            files = ((f"{coop['id']}-{period}-{name}.html", page), *beside.get(name, ()))
            owes, gets = one["closing"], one["payable"]
            pay = "There is nothing to pay."
            if owes > 0:
                pay = f"To pay: {decimal(owes, currency)} {currency}, with the reference {reference(name, period)}."
            elif gets > 0:
                pay = f"You are paid {decimal(gets, currency)} {currency}, with the reference {reference(name, period)}."
            text = TEXT.format(
                name=clean(raw["name"]), coop=clean(coop["name"]), month=period, pay=pay,
                draft=", a draft: the month is not closed, and figures may still change" if self.draft else "",
                more=" Invoices come with it too." if len(files) > 1 else "",
            )  # fmt: skip
            subject = clean(f"{coop['name']}: {'draft of your' if self.draft else 'your'} statement for {period}")
            for address in self.addresses(name, raw):
                digest = hashlib.sha256("\0".join([name, address, text, *(sha256(data) for _name, data in files)]).encode()).hexdigest()
                # The same mail always has the same name; for a closed month the same member and address do.
                ident = f"{period}.{name}.{digest[:24] if self.draft else sha256(address.encode())[:24]}"
                found.append(Letter(name, address, subject, text, f"<{ident}@{domain}>", files))
        return found

    def addresses(self, name: str, raw: Mapping[str, Any]) -> list[str]:
        """Where a member's statements go."""
        own = (raw.get("invoices") or {}).get("email")
        if own:
            return [own]
        contacts = raw["contacts"]
        for role in ROLES:
            found = [contact["email"] for contact in contacts if contact.get("role", "coordinator") == role]
            if found:
                return list(dict.fromkeys(found))
        if contacts:
            return [contacts[0]["email"]]
        file, line = where(self.month.register.root, ("members", name, "contacts"))
        raise MoneyError([Problem(file, line, f"member {name} has no contact to send its statement to; write one")])

    @staticmethod
    def content(path: str) -> bytes:
        """What is in a file that has to be there."""
        found = existing(path)
        if found is None:
            raise CoopError(f"{os.path.relpath(path)}: is gone; put it back, or settle the month again")
        return found

    # -- what was sent

    def path_of(self, member: str) -> str:
        return os.path.join(self.base, f"{member}.json")

    def record(self, member: str) -> dict[str, Any]:
        """What became of a member's mails, by Message-ID."""
        path = self.path_of(member)
        data = existing(path)
        try:
            found = json.loads(data) if data else {}
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(one, dict) and "state" in one for one in found.values()):
            said = "is not what this module wrote; put it back, so that nothing is sent twice"
            raise MoneyError([Problem(os.path.relpath(path), 0, said)])
        return found

    def state(self, letter: Letter) -> str | None:
        """What became of a mail: trying, sent or refused; None when it was never tried."""
        return self.record(letter.member).get(letter.ident, {}).get("state")

    def was_sent(self, letter: Letter) -> bool:
        return self.state(letter) == "sent"

    def note(self, letter: Letter, state: str, said: str = "") -> None:
        """Writes down what became of a mail."""
        entry = {"address": letter.address, "state": state, "on": str(self.month.as_of), "files": letter.sums}
        found = {**self.record(letter.member), letter.ident: {**entry, "said": said} if said else entry}
        write(self.path_of(letter.member), dump(found), private=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Holds off a second run for as long as this one sends."""
        os.makedirs(os.path.join(self.folder, MAILED), exist_ok=True)
        with open(os.path.join(self.folder, MAILED, ".lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise CoopError("another run is sending these statements; wait until it is done") from exc
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
            with explained(self.smtp, self.timeout):
                session = stack.enter_context(connected(self.smtp, self.ca_file, self.timeout))
            for one in waiting:
                again = self.state(one) == "trying"
                self.note(one, "trying")
                try:
                    with explained(self.smtp, self.timeout):
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
            session.send_message(self.message(letter), self.smtp["sender_email"], [letter.address])
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
        name = self.smtp["sender_name"] or self.month.cooperative["name"]
        message["From"] = email.utils.formataddr((clean(name), self.smtp["sender_email"]))
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

    def result(self, period: Period, letters: Sequence[Letter], became: Mapping[Letter, tuple[str, str]]) -> dict[str, Any]:
        """What the module returns; a failure where something did not go out."""
        mails = [
            {
                "member": one.member,
                "address": one.address,
                "message_id": one.ident,
                "files": [name for name, _data in one.files],
                "outcome": became.get(one, ("sent before", ""))[0],
                "said": became.get(one, ("", ""))[1],
            }
            for one in letters
        ]
        lines = [f"{one['member']} <{one['address']}>: {one['outcome']}{': ' + one['said'] if one['said'] else ''}" for one in mails]
        found = {
            "changed": any(one["outcome"] in ("to send", "sent", "sent again", "unknown") for one in mails),
            "month": str(period),
            "directory": self.folder,
            "mails": mails,
            "summary": [f"{period}: {len(became)} of {len(letters)} mails were to send", *lines],
        }
        bad = [line for line, one in zip(lines, mails, strict=True) if one["outcome"] in ("refused", "unknown", "not tried")]
        if bad:
            said = "; ".join(bad)
            found |= {"failed": True, "msg": f"{len(bad)} mails did not go out, run again when that is mended: {said}"}
        return found
