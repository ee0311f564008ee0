# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail as greenlight app/mailers/user_mailer.rb writes it and gem mail 2.9 (lib/mail/network/delivery_methods/smtp.rb) sends it.

Delivery is queued in the process: callers never learn of a failure, it stands in the log only.
"""

from __future__ import annotations

import html
import queue
import sys
import threading
import typing as t

from . import config
from .accounts import setting
from .assets import text as t_
from .db import Connection, Pool, Row

TIMEOUT = 5.0  # gem mail: open_timeout and read_timeout
AUTH_TYPES = {"plain": "PLAIN", "login": "LOGIN", "cram_md5": "CRAM-MD5", "xoauth2": "XOAUTH2"}  # gem net-smtp lib/net/smtp/auth_*.rb

_queue: queue.SimpleQueue[tuple[Pool, t.Callable[[Connection], Letter | None], str]] = queue.SimpleQueue()
_worker: threading.Thread | None = None
_lock = threading.Lock()


class Letter(t.NamedTuple):
    """One mail: recipients as (address, name), subject, paragraphs, link."""

    to: list[tuple[str, str | None]]
    subject: str
    paragraphs: list[str]
    link: tuple[str, str] | None


def deliver_later(pool: Pool, write: t.Callable[[Connection], Letter | None], link: str) -> None:
    """Queue a mail; it is written and sent by the worker (Rails' :async adapter).

    At log level info the arguments are logged, the live link among them (activejob log_subscriber.rb).
    """
    global _worker
    if config.logs("info"):
        print(f"I, INFO -- : [ActiveJob] Enqueued ActionMailer::MailDeliveryJob to Async(mailing) with arguments: {link!r}", flush=True)
    with _lock:
        if _worker is None:
            _worker = threading.Thread(target=_work, name="mailing", daemon=True)
            _worker.start()
    _queue.put((pool, write, link))


def _work() -> None:
    while True:
        pool, write, link = _queue.get()
        try:
            with pool.lease() as db:
                letter = write(db)
                branding = setting(db, ["PrimaryColor", "BrandingImage"])
                color, image = branding["PrimaryColor"], branding["BrandingImage"]  # None here fails as upstream's does
                if image.startswith("/"):
                    image = f"{'/'.join(link.split('/')[:3])}{image}"
            if letter is not None:
                deliver(letter, color, image)
                if config.logs("info"):
                    print(f"I, INFO -- : [ActiveJob] Delivered mail to {', '.join(a for a, _n in letter.to)}", flush=True)
        except Exception as error:
            print(f"Error performing ActionMailer::MailDeliveryJob: {type(error).__name__} ({error})", file=sys.stderr, flush=True)


def _address(email: str, name: str | None) -> str:
    from email.utils import formataddr

    return formataddr((name, email)) if name else email


def message(letter: Letter, color: str, image: str) -> t.Any:
    """The mail as text and HTML."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    sender = config.env("SMTP_SENDER_EMAIL") or ""
    mail = EmailMessage()
    mail["Date"] = formatdate()
    mail["From"] = _address(sender, config.env("SMTP_SENDER_NAME"))
    mail["To"] = ", ".join(_address(*pair) for pair in letter.to)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    mail["Subject"] = letter.subject
    lines = [letter.subject, *letter.paragraphs[:1], *([letter.link[1]] if letter.link else []), *letter.paragraphs[1:]]
    mail.set_content("---\n" + "\n".join(lines) + "\n---\n")
    body = "".join(f"<p>{html.escape(p)}</p>" for p in letter.paragraphs)
    button = (
        f'<a href="{html.escape(letter.link[1])}" style="background-color: {html.escape(color)}">{html.escape(letter.link[0])}</a>'
        if letter.link
        else ""
    )
    mail.add_alternative(
        f'<!DOCTYPE html><html><body><img src="{html.escape(image)}"><h1>{html.escape(letter.subject)}</h1>{body}{button}</body></html>',
        subtype="html",
    )
    return mail


def deliver(letter: Letter, color: str, image: str) -> None:
    """Send now, or do nothing without SMTP_SERVER (perform_deliveries false)."""
    settings = config.smtp_settings()
    if settings is None:
        return
    mail = message(letter, color, image)
    smtp = open_session(settings)
    try:
        smtp.send_message(mail, from_addr=config.env("SMTP_SENDER_EMAIL"), to_addrs=[address for address, _name in letter.to])
    finally:
        smtp.close()


def open_session(settings: dict[str, t.Any]) -> t.Any:
    """Connect, secure and sign in by the rules of gem mail 2.9 and gem net-smtp 0.5."""
    import smtplib

    tls = settings.get("tls")
    starttls = _starttls_mode(settings)
    if tls and (settings.get("enable_starttls") or settings.get("enable_starttls_auto")):
        raise ValueError(
            ":enable_starttls and :tls are mutually exclusive. Set :tls if you're on an SMTPS connection. "
            "Set :enable_starttls if you're on an SMTP connection and using STARTTLS for secure TLS upgrade. (ArgumentError)"
        )
    check_auth(settings)
    host, port = str(settings["address"]), int(settings["port"])
    if tls:
        smtp: t.Any = smtplib.SMTP_SSL(host, port, settings["domain"], timeout=TIMEOUT, context=context(bool(settings["verify"])))
    else:
        smtp = smtplib.SMTP(host, port, settings["domain"], timeout=TIMEOUT)
    smtp.ehlo_or_helo_if_needed()
    if starttls == "always" or (starttls == "auto" and smtp.has_extn("starttls")):
        smtp.starttls(context=context(bool(settings["verify"])))
        smtp.ehlo_or_helo_if_needed()
    authenticate(smtp, settings)
    return smtp


def _starttls_mode(settings: dict[str, t.Any]) -> str | None:
    if settings.get("tls"):
        return None
    if settings.get("enable_starttls"):
        return "always"
    if "enable_starttls_auto" in settings:
        return "auto" if settings["enable_starttls_auto"] else None
    return None if "enable_starttls" in settings else "auto"


def check_auth(settings: dict[str, t.Any]) -> None:
    """net-smtp check_auth_args, done before connecting: an empty SMTP_AUTH is a type too, and "none" is not one."""
    if not any(name in settings for name in ("user_name", "password", "authentication")):
        return
    kind = settings.get("authentication", "plain")
    if kind not in AUTH_TYPES:
        raise ValueError(f"wrong authentication type {kind} (ArgumentError)")
    if "user_name" not in settings:
        raise ValueError("SMTP-AUTH requested but missing user name (ArgumentError)")
    if "password" not in settings:
        raise ValueError("SMTP-AUTH requested but missing secret phrase (ArgumentError)")


def authenticate(smtp: t.Any, settings: dict[str, t.Any]) -> None:
    """AUTH, without asking whether the server offers it."""
    if "user_name" not in settings:
        return
    smtp.user, smtp.password = settings["user_name"], settings["password"]
    mechanism = AUTH_TYPES[settings.get("authentication", "plain")]
    method = {"PLAIN": smtp.auth_plain, "LOGIN": smtp.auth_login, "CRAM-MD5": smtp.auth_cram_md5}[mechanism]
    smtp.auth(mechanism, method)


def context(verify: bool) -> t.Any:
    """OpenSSL's default trust, so SSL_CERT_FILE counts; SMTP_SSL_VERIFY=false turns checks off."""
    import ssl

    made = ssl.create_default_context()
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Ruby's OpenSSL does not ask for it
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def reset_password(user: Row, link: str) -> t.Callable[[Connection], Letter | None]:
    """greenlight app/mailers/user_mailer.rb reset_password_email; texts of config/locales/en.yml."""
    letter = Letter(
        [(user["email"], user["name"])],
        t_("email.reset.password_reset"),
        [
            t_("email.reset.password_reset_requested", email=user["email"]),
            t_("email.reset.link_expires"),
            t_("email.reset.ignore_request"),
        ],
        (t_("email.reset.reset_password"), link),
    )
    return lambda _db: letter


def activate_account(user: Row, link: str) -> t.Callable[[Connection], Letter | None]:
    """activate_account_email."""
    letter = Letter(
        [(user["email"], user["name"])],
        t_("email.activation.account_activation"),
        [t_("email.activation.get_started"), t_("email.activation.link_expires")],
        (t_("email.activation.activate_account"), link),
    )
    return lambda _db: letter


def invitation(email: str, name: str, link: str) -> t.Callable[[Connection], Letter | None]:
    """invitation_email."""
    letter = Letter(
        [(email, None)],
        t_("email.invitation.invitation_to_join"),
        [
            t_("email.invitation.you_have_been_invited", name=name),
            t_("email.invitation.get_started"),
            t_("email.invitation.valid_invitation"),
        ],
        (t_("email.invitation.sign_up"), link),
    )
    return lambda _db: letter


def new_signup(user: Row, link: str, provider: str) -> t.Callable[[Connection], Letter | None]:
    """new_user_signup_email, to everyone whose role has EmailOnSignup; to no one, no mail."""

    def write(db: Connection) -> Letter | None:
        rows = db.all(
            """SELECT u.email FROM users u JOIN roles r ON r.id = u.role_id JOIN role_permissions x ON x.role_id = r.id
            JOIN permissions p ON p.id = x.permission_id WHERE r.provider = %s AND p.name = 'EmailOnSignup' AND x.value = 'true'""",
            provider,
        )
        if not rows:
            return None
        return Letter(
            [(row["email"], None) for row in rows],
            t_("email.new_user_signup.new_user"),
            [
                t_("email.new_user_signup.new_user_description"),
                t_("email.new_user_signup.name", name=user["name"]),
                t_("email.new_user_signup.email", email=user["email"]),
            ],
            (t_("email.new_user_signup.admin_panel"), link),
        )

    return write
