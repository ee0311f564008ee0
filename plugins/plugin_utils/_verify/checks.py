# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the checks of one Greenlight instance, each a question a member would ask, answered from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email
import email.message
import email.policy
import email.utils
import imaplib
import secrets
import ssl
import time
import xml.etree.ElementTree as tree
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import signed_query
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site, query_value

CHECKS = ("domains", "name", "certificate", "page", "closed_doors", "sign_in", "rooms", "meeting", "cap", "mail")


class CheckFailed(Exception):
    """What was seen is not what was promised; the message says both."""


@dataclasses.dataclass(frozen=True)
class Mailbox:
    """An IMAP mailbox into which mail to I(address) is delivered."""

    host: str
    port: int
    username: str
    password: str
    security: str
    address: str


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What one instance was promised to be."""

    hostname: str
    aliases: tuple[str, ...]
    addresses: tuple[str, ...]
    primary_color: str
    title: str
    email: str
    password: str
    rooms_per_account: int
    meeting_minutes: int
    participants: int
    pool_endpoint: str
    pool_secret: str
    external_sign_in: bool = False
    administrator: bool = True
    domains: tuple[Mapping[str, Any], ...] = ()
    sender_email: str | None = None
    mailbox: Mailbox | None = None
    mail_timeout: float = 60.0


@dataclasses.dataclass
class Outcome:
    """One check: V(ok), V(failed) or V(skipped), what was seen, and how long it took in seconds."""

    check: str
    result: str
    detail: str
    seconds: float


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """One line per check, for people."""
    width = max(len(outcome.check) for outcome in outcomes)
    signs = {"ok": "ok     ", "failed": "FAILED ", "skipped": "skipped"}
    return [f"{signs[outcome.result]} {outcome.check:<{width}}  {outcome.detail}" for outcome in outcomes]


class Verification:
    """Runs the checks in order. What it makes (rooms, meetings, a mail) it removes again."""

    def __init__(self, expected: Expectation, names: Names, ca_file: str | None, timeout: float = 20.0) -> None:
        self.expected = expected
        self._names = names
        self._ca_file = ca_file
        self._timeout = timeout
        self._site = Site(expected.hostname, names, ca_file, timeout)
        self._signed_in: dict[str, Any] | None = None
        self.certificate_until: str | None = None
        """The day on which the certificate of the first name ends, once check C(certificate) has seen it."""

    # -- each check returns what it saw, or raises CheckFailed ------------------------------------------------

    def domains(self) -> str:
        """Every name of the member's own is ready and served; for one that is not, the record to create."""
        if not self.expected.domains:
            return "no name of its own"
        served = (self.expected.hostname, *self.expected.aliases)
        faults = []
        for finding in self.expected.domains:
            if finding["status"] != "ready":
                faults.append(f"{finding['name']} is not ready ({finding['status']}): {finding['reason']}. {finding['advice']}")
            elif finding["name"] not in served:
                faults.append(f"{finding['name']} is ready, but not served yet: run meet.coop.onboard for this service")
        if faults:
            raise CheckFailed(" ".join(faults))
        return "; ".join(f"{finding['name']} is ready" for finding in self.expected.domains)

    def name(self) -> str:
        """Every name resolves, and only to addresses that are ours."""
        seen = {}
        for host in (self.expected.hostname, *self.expected.aliases):
            addresses = self._names.addresses(host)
            if not addresses:
                raise CheckFailed(f"{host} does not resolve")
            wrong = [address for address in addresses if address not in self.expected.addresses]
            if wrong:
                raise CheckFailed(f"{host} resolves to {', '.join(wrong)}, which is not {' or '.join(self.expected.addresses)}")
            seen[host] = addresses
        return "; ".join(f"{host} → {', '.join(addresses)}" for host, addresses in seen.items())

    def certificate(self) -> str:
        """Each name's certificate chains to the authority, names the host and has a third of its life left; aliases redirect."""
        seen = []
        for host in (self.expected.hostname, *self.expected.aliases):
            site = self._site if host == self.expected.hostname else Site(host, self._names, self._ca_file, self._timeout)
            certificate = site.certificate()
            begins, ends = (ssl.cert_time_to_seconds(certificate[key]) for key in ("notBefore", "notAfter"))
            left = ends - time.time()
            until = datetime.datetime.fromtimestamp(ends, datetime.timezone.utc).strftime("%Y-%m-%d")
            if host == self.expected.hostname:
                self.certificate_until = until
            if left < (ends - begins) / 3:
                raise CheckFailed(f"the certificate of {host} ends on {until}: less than a third of its lifetime is left")
            issuer = dict(pair for part in certificate["issuer"] for pair in part).get("commonName", "?")
            seen.append(f"{host}: {int(left // 86400)} days left, by {issuer}")
            if host != self.expected.hostname:
                answer = site.request("GET", "/rooms?x=1", headers={"Accept": "text/html"})
                wanted = f"https://{self.expected.hostname}/rooms?x=1"
                if answer.status not in (301, 308) or answer.headers.get("location") != wanted:
                    raise CheckFailed(f"{host} answers {answer.status} to {answer.headers.get('location')}, not a redirect to {wanted}")
                site.close()
        return "; ".join(seen)

    def page(self) -> str:
        """The start page is served, in the member's colour, and the logo it shows carries the member's name."""
        answer = self._site.page()
        if answer.status != 200 or "<html" not in answer.text.lower():
            raise CheckFailed(f"the start page answers {answer.status}")
        # app/javascript/App.jsx asks for these; a missing or duplicate row makes the whole answer null and the page blank.
        answer = self._site.request("GET", "/api/v1/site_settings.json?names[]=PrimaryColor&names[]=BrandingImage")
        settings = answer.json().get("data") if answer.status == 200 else None
        if not isinstance(settings, dict):
            raise CheckFailed(f"the page gets no colours or logo: site_settings answers {answer.status} {answer.text[:120]}")
        if str(settings.get("PrimaryColor")).lower() != self.expected.primary_color.lower():
            raise CheckFailed(f"the page's colour is {settings.get('PrimaryColor')}, not {self.expected.primary_color}")
        logo = str(settings.get("BrandingImage") or "")
        own = f"https://{self.expected.hostname}/"
        if not logo.startswith(own):
            return f"colour {self.expected.primary_color}, logo {logo or 'none'} (not served by the instance, not fetched)"
        image = self._site.request("GET", "/" + logo[len(own) :], headers={"Accept": "image/*"})
        if image.status != 200 or not image.headers.get("content-type", "").startswith("image/"):
            raise CheckFailed(f"the logo {logo} answers {image.status} {image.headers.get('content-type')}")
        if "svg" in image.headers["content-type"] and self.expected.title not in _svg_text(image.text):
            raise CheckFailed(f"the logo {logo} does not carry the name {self.expected.title}")
        return f"colour {self.expected.primary_color}, logo with {self.expected.title!r}"

    def closed_doors(self) -> str:
        """A stranger is nobody, the migration API does not answer, and the host has no other name."""
        stranger = Site(self.expected.hostname, self._names, self._ca_file, self._timeout)
        try:
            answer = stranger.request("GET", "/api/v1/sessions.json")
            if answer.status != 200 or answer.json().get("data", {}).get("signed_in") is not False:
                # A users row without session_token is every stranger (app/controllers/application_controller.rb, current_user).
                raise CheckFailed("a visitor without a session is signed in as somebody; look for a users row whose session_token is NULL")
            answer = stranger.request("POST", "/api/v1/migrations/users.json", {"v2": {"encrypted_params": "x"}})
            if answer.status != 404:
                raise CheckFailed(f"/api/v1/migrations/users.json answers {answer.status}; it must be blocked at the edge")
        finally:
            stranger.close()
        return "strangers are not signed in, the migration API is closed"

    def sign_in(self) -> str:
        """The account signs in with mail and password, and may what was said of it."""
        if self.expected.external_sign_in:
            raise Skipped("people sign in at the member's own OpenID Connect provider")
        answer = self._site.sign_in(self.expected.email, self.expected.password)
        if answer.status != 200:
            raise CheckFailed(f"signing in answers {answer.status} {answer.text[:120]}")
        user = answer.json().get("data", {})
        manages = user.get("permissions", {}).get("ManageUsers") == "true"
        if manages is not self.expected.administrator:
            raise CheckFailed(f"the account signed in {'may' if manages else 'may not'} manage users (ManageUsers)")
        if user.get("permissions", {}).get("ManageRoles") != "false":
            raise CheckFailed("the administrator may change roles (ManageRoles), so the room limit does not bind")
        self._signed_in = user
        role = "administrator" if self.expected.administrator else str((user.get("role") or {}).get("name"))
        return f"signed in as {role}, RoomLimit {user.get('permissions', {}).get('RoomLimit')}"

    def _create_room(self, name: str) -> tuple[int, str, str]:
        user_id = (self._signed_in or {}).get("id")
        answer = self._site.request("POST", "/api/v1/rooms.json", {"room": {"name": name, "user_id": user_id}})
        path = answer.json().get("data") if answer.status == 201 else ""
        return answer.status, str(path).rsplit("/", 1)[-1], answer.text

    def _own_rooms(self) -> list[str]:
        answer = self._site.request("GET", "/api/v1/rooms.json")
        if answer.status != 200:
            raise CheckFailed(f"the list of rooms answers {answer.status}")
        return [str(room["friendly_id"]) for room in answer.json()["data"] if not room.get("shared")]

    def _remove_rooms(self) -> None:
        for friendly_id in self._own_rooms():
            answer = self._site.request("DELETE", f"/api/v1/rooms/{friendly_id}.json")
            if answer.status != 200:
                raise CheckFailed(f"the room {friendly_id} made for this check could not be removed: {answer.status}")

    def rooms(self) -> str:
        """Rooms can be made up to the limit, and the next one is refused."""
        self._need_sign_in()
        limit = self.expected.rooms_per_account
        made = len(self._own_rooms())
        try:
            while made < limit:
                status, _friendly_id, text = self._create_room(f"Verify {made + 1}")
                if status != 201:
                    raise CheckFailed(f"room {made + 1} of {limit} is refused: {status} {text[:120]}")
                made += 1
            status, _friendly_id, text = self._create_room("Verify, one too many")
            if status != 400 or "RoomLimitError" not in text:
                raise CheckFailed(f"room {made + 1} is not refused although the limit is {limit}: {status} {text[:120]}")
        finally:
            self._remove_rooms()
        return f"{limit} rooms, the next refused"

    def _pool_call(self, pool: Site, base: str, call: str, parameters: dict[str, str]) -> dict[str, str]:
        query = signed_query(call, parameters, self.expected.pool_secret)
        answer = pool.request("GET", f"{base}/{call}?{query}", headers={"Accept": "*/*"})
        if answer.status != 200:
            raise CheckFailed(f"the pool answers {answer.status} to {call}")
        try:
            root = tree.fromstring(answer.body)
        except tree.ParseError as error:
            raise CheckFailed(f"the pool's answer to {call} is not XML") from error
        return {element.tag: (element.text or "").strip() for element in root}

    def _pool(self) -> tuple[Site, str]:
        host, _slash, path = self.expected.pool_endpoint.removeprefix("https://").partition("/")
        base = "/" + path.strip("/")
        return Site(host, self._names, self._ca_file, self._timeout), base if base.endswith("/api") else base + "/api"

    def _end(self, pool: Site, base: str, meeting_id: str, moderator_password: str) -> None:
        answer = self._pool_call(pool, base, "end", {"meetingID": meeting_id, "password": moderator_password})
        if answer.get("returncode") != "SUCCESS":
            raise CheckFailed(f"the meeting made for this check could not be ended: {answer.get('messageKey')}")

    def meeting(self) -> str:
        """A meeting started in Greenlight reaches a node, with the member's duration and participants."""
        self._need_sign_in()
        pool, base = self._pool()
        try:
            status, friendly_id, text = self._create_room("Verify a meeting")
            if status != 201:
                raise CheckFailed(f"no room for the meeting: {status} {text[:120]}")
            answer = self._site.request("POST", f"/api/v1/meetings/{friendly_id}/start.json")
            if answer.status != 201:
                raise CheckFailed(f"starting a meeting answers {answer.status} {answer.text[:160]}")
            join_url = str(answer.json()["data"])
            meeting_id = query_value(join_url, "meetingID")
            if not meeting_id or not join_url.startswith(f"https://{pool.hostname}/"):
                raise CheckFailed("Greenlight's join link does not lead to the pool")
            seen = self._pool_call(pool, base, "getMeetingInfo", {"meetingID": meeting_id})
            if seen.get("returncode") != "SUCCESS":
                raise CheckFailed(f"the pool does not know the meeting: {seen.get('messageKey')}")
            try:
                self._compare(seen, exactly=True)
                # The answer to a signed join is a redirect to the node; it is read, not followed: nobody enters.
                answer = pool.request("GET", join_url[len(f"https://{pool.hostname}") :], headers={"Accept": "text/html"})
                node = answer.headers.get("location", "")
                if answer.status not in (301, 302, 303, 307) or not node.startswith("https://"):
                    raise CheckFailed(f"joining does not lead to a node: {answer.status} {answer.text[:120]}")
            finally:
                self._end(pool, base, meeting_id, seen.get("moderatorPW", ""))
        finally:
            self._remove_rooms()
            pool.close()
        node_host = node.removeprefix("https://").split("/", 1)[0]
        return f"on {node_host}: {seen['duration']} min, {seen['maxUsers']} participants"

    def _compare(self, seen: dict[str, str], exactly: bool) -> None:
        limits = {"duration": self.expected.meeting_minutes, "maxUsers": self.expected.participants}
        for key, limit in limits.items():
            value = int(seen[key]) if seen.get(key, "").isdigit() else 0
            if (value != limit) if exactly else not 0 < value <= limit:
                raise CheckFailed(f"the meeting has {key} {seen.get(key)}, the member's limit is {limit}")

    def cap(self) -> str:
        """Asking the pool itself for ten times too much, with the tenant's own secret, gives the member's limits all the same."""
        pool, base = self._pool()
        meeting_id = "verify-" + secrets.token_hex(8)
        try:
            parameters = {
                "meetingID": meeting_id,
                "name": "Verify the cap",
                "duration": str(self.expected.meeting_minutes * 10),
                "maxParticipants": str(self.expected.participants * 10),
            }
            answer = self._pool_call(pool, base, "create", parameters)
            if answer.get("returncode") != "SUCCESS":
                raise CheckFailed(f"the pool refuses a meeting: {answer.get('messageKey')} {answer.get('message', '')[:120]}")
            seen = self._pool_call(pool, base, "getMeetingInfo", {"meetingID": meeting_id})
            try:
                self._compare(seen, exactly=False)
            finally:
                self._end(pool, base, meeting_id, answer.get("moderatorPW", seen.get("moderatorPW", "")))
        finally:
            pool.close()
        return f"asked for {parameters['duration']} min and {parameters['maxParticipants']}, got {seen['duration']} and {seen['maxUsers']}"

    def mail(self) -> str:
        """A password-reset mail arrives, sent through the member's own SMTP account with its sender."""
        mailbox = self.expected.mailbox
        if self.expected.sender_email is None:
            raise Skipped("the instance sends no mail (no SMTP account)")
        if mailbox is None:
            raise Skipped("no mailbox given (verify_mailbox)")
        self._site.ask_for_reset_mails([self.expected.email])
        message = _await_mail(mailbox, self.expected.email, self._ca_file, self.expected.mail_timeout)
        if message is None:
            raise CheckFailed(f"no mail to {self.expected.email} came within {int(self.expected.mail_timeout)} s; see the instance's log")
        sender = email.utils.parseaddr(str(message["From"]))[1]
        if sender.lower() != self.expected.sender_email.lower():
            raise CheckFailed(f"the mail comes from {sender}, not from {self.expected.sender_email}")
        body = message.get_body(("plain", "html"))
        if body is None or f"https://{self.expected.hostname}/reset_password/" not in body.get_content():
            raise CheckFailed(f"the mail has no reset link to https://{self.expected.hostname}/")
        return f"reset mail from {sender}"

    def _need_sign_in(self) -> None:
        if self.expected.external_sign_in:
            raise Skipped("people sign in at the member's own OpenID Connect provider")
        if self._signed_in is None:
            raise CheckFailed("not tried: signing in failed")

    def run(self, wanted: tuple[str, ...] = CHECKS) -> Iterator[Outcome]:
        """The outcomes, in the order of CHECKS; a check that cannot be carried out has failed."""
        for check in CHECKS:
            if check not in wanted:
                continue
            method: Callable[[], str] = getattr(self, check)
            begun = time.monotonic()
            try:
                result, detail = "ok", method()
            except Skipped as reason:
                result, detail = "skipped", str(reason)
            except (CheckFailed, CoopError) as error:
                result, detail = "failed", str(error)
            yield Outcome(check, result, detail, round(time.monotonic() - begun, 2))
        self._site.close()


class Skipped(Exception):
    """The check does not apply to this instance; the message says why."""


def _svg_text(document: str) -> str:
    try:
        return " ".join(text.strip() for text in tree.fromstring(document).itertext() if text.strip())
    except tree.ParseError:
        return ""


def _await_mail(mailbox: Mailbox, recipient: str, ca_file: str | None, timeout: float) -> email.message.EmailMessage | None:
    """The newest mail to a recipient, removed from the mailbox; None when none came in I(timeout) seconds."""
    context = ssl.create_default_context(cafile=ca_file)
    try:
        if mailbox.security == "tls":
            imap: imaplib.IMAP4 = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=timeout)
        else:
            imap = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=timeout)
            if mailbox.security == "starttls":
                imap.starttls(context)
        imap.login(mailbox.username, mailbox.password)
    except (OSError, imaplib.IMAP4.error) as error:
        raise CheckFailed(f"the mailbox {mailbox.username} on {mailbox.host} cannot be opened: {error}") from error
    try:
        ends = time.monotonic() + timeout
        while True:
            imap.select("INBOX")
            _status, found = imap.search(None, "TO", f'"{recipient}"')
            numbers = found[0].split()
            if numbers:
                _status, data = imap.fetch(numbers[-1].decode(), "(BODY.PEEK[])")
                content = next(part[1] for part in data if isinstance(part, tuple))
                for number in numbers:
                    imap.store(number.decode(), "+FLAGS", "\\Deleted")
                imap.expunge()
                return email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[return-value]
            if time.monotonic() > ends:
                return None
            time.sleep(0.5)
    except (OSError, imaplib.IMAP4.error) as error:
        raise CheckFailed(f"the mailbox {mailbox.username} on {mailbox.host} cannot be read: {error}") from error
    finally:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            imap.logout()
