# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a member's mail account, and whether it takes mail as Greenlight would hand it in.

Greenlight answers a request for a mail before it is sent, and drops what it cannot send (ActiveJob's async adapter), so nobody would
see an account that does not work.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

SMTP_ACCOUNT: dict[str, Any] = {
    "type": "dict",
    "options": {
        "server": {"type": "str", "required": True},
        "port": {"type": "int", "default": 587},
        "security": {"type": "str", "choices": ["starttls", "tls", "none"], "default": "starttls"},
        "auth": {"type": "str", "choices": ["plain", "login", "cram_md5", "none"]},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "password_var": {"type": "str", "no_log": False},
        "sender_email": {"type": "str", "required": True},
        "sender_name": {"type": "str"},
        "helo_domain": {"type": "str"},
        "verify": {"type": "bool", "default": True},
    },
}
"""Argument spec of a mail account (doc fragment ``meet.coop.smtp_account``)."""


def check(account: Mapping[str, Any], ca_file: str | None, timeout: float) -> dict[str, Any]:
    """Sign in and name the sender, then hang up: no mail is sent. What was seen: C(tls) (protocol or None), C(login).

    Raises CoopError naming the field that is wrong. C(timeout) in seconds, for each step.
    """
    with explained(account, timeout), connected(account, ca_file, timeout) as session:
        code, said = session.mail(account["sender_email"])
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, said, account["sender_email"])
        tls = session.sock.version() if isinstance(session.sock, ssl.SSLSocket) else None
        return {"tls": tls, "login": _logs_in(account)}


@contextmanager
def connected(account: Mapping[str, Any], ca_file: str | None, timeout: float) -> Iterator[smtplib.SMTP]:
    """A session with the server, signed in where the account says so. Raises what smtplib and ssl raise: see C(explained)."""
    trust = ssl.create_default_context(cafile=ca_file)
    if not account["verify"]:
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    helo = account["helo_domain"] or account["sender_email"].rpartition("@")[2]
    if account["security"] == "tls":
        session: smtplib.SMTP = smtplib.SMTP_SSL(account["server"], account["port"], helo, timeout=timeout, context=trust)
    else:
        session = smtplib.SMTP(account["server"], account["port"], helo, timeout=timeout)
    with session:
        if account["security"] == "starttls":
            session.starttls(context=trust)
        session.ehlo_or_helo_if_needed()
        if _logs_in(account):
            _sign_in(session, account)
        yield session


def _logs_in(account: Mapping[str, Any]) -> bool:
    return bool(account["username"]) and account["auth"] != "none"


def _sign_in(session: smtplib.SMTP, account: Mapping[str, Any]) -> None:
    session.user, session.password = account["username"], account["password"] or ""
    ways = {"plain": ("PLAIN", session.auth_plain), "login": ("LOGIN", session.auth_login), "cram_md5": ("CRAM-MD5", session.auth_cram_md5)}
    if account["auth"]:
        session.auth(*ways[account["auth"]])
    else:
        session.login(session.user, session.password)


@contextmanager
def explained(account: Mapping[str, Any], timeout: float) -> Iterator[None]:
    """Any failure as one line.

    Raises CoopError.
    """
    where = f"SMTP server {account['server']} port {account['port']}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        message = f"{where}: its certificate is not accepted ({error.verify_message}); is smtp.server the name it is for?"
        raise CoopError(message) from error
    except ssl.SSLError as error:
        usual = f"smtp.security is {account['security']}; port 587 has starttls as a rule, port 465 tls"
        raise CoopError(f"{where}: TLS fails ({error.reason or error}); {usual}") from error
    except smtplib.SMTPAuthenticationError as error:
        remedy = "mend smtp.username or the variable of smtp.password_var"
        raise CoopError(f"{where} refuses the login {account['username']} ({said_by(error)}); {remedy}") from error
    except smtplib.SMTPSenderRefused as error:
        remedy = "smtp.sender_email must belong to the account"
        raise CoopError(f"{where} refuses mail from {account['sender_email']} ({said_by(error)}); {remedy}") from error
    except smtplib.SMTPNotSupportedError as error:
        asked = f"smtp.security={account['security']} and smtp.auth={account['auth'] or 'left out'}"
        raise CoopError(f"{where} does not offer what {asked} need: {error}") from error
    except smtplib.SMTPResponseException as error:
        raise CoopError(f"{where} answers {said_by(error)}") from error
    except (TimeoutError, smtplib.SMTPServerDisconnected) as error:
        raise CoopError(f"{where} gave no answer within {timeout:g} s, or hung up") from error
    except (OSError, smtplib.SMTPException) as error:
        raise CoopError(f"{where} cannot be reached ({getattr(error, 'strerror', None) or error})") from error


def said_by(error: smtplib.SMTPResponseException) -> str:
    """What a server answered, on one line."""
    text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
    return f"{error.smtp_code} {' '.join(text.split())[:200]}"
