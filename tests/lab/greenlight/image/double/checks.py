# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/health_check and rake configuration:check, defects included."""

from __future__ import annotations

import hashlib
import socket
import sys

import psycopg2

from . import bbb, config, migrations, redis
from .db import Connection

HEALTH_TIMEOUT = 60.0  # gem net-smtp: read_timeout


class HealthError(Exception):
    """The text the health check answers with 500."""


def _enabled(name: str) -> bool:
    return config.env(f"{name}_HEALTH_CHECK_DISABLED") != "true"  # exactly 'true'


def health(db: Connection) -> str:
    """greenlight app/controllers/health_checks_controller.rb: database, Redis, SMTP, BigBlueButton, in this order."""
    if _enabled("DATABASE"):
        _database(db)
    for name, check, label in (("REDIS", _redis, "Redis"), ("SMTP", _smtp, "SMTP Server"), ("BBB", _bbb, "BigBlueButton")):
        if _enabled(name):
            try:
                check()
            except Exception as error:
                raise HealthError(f"Unable to connect to {label} - {error}") from error
    return "success"


def _database(db: Connection) -> None:
    """Looks at the connection without making one (so it fails until another request has), and at schema migrations only."""
    if not db.active():
        raise HealthError("Unable to connect to Database - Unable to connect to Database")
    try:
        pending = migrations.pending_schema(db.raw.cursor(), config.env("VERSION_TAG") or "v3.8.2.4")
    except psycopg2.Error as error:
        raise HealthError(f"Unable to connect to Database - {error}") from error
    if pending:
        listed = "\n".join(f"db/migrate/{version}" for version in pending)
        raise HealthError(
            "Unable to connect to Database - \n\nMigrations are pending. To resolve this issue, run:\n\n        bin/rails db:migrate\n\n"
            f"You have {len(pending)} pending migration{'s' if len(pending) > 1 else ''}:\n\n{listed}\n"
        )


def _redis() -> None:
    redis.command("PING")


def _smtp() -> None:
    """Runs without SMTP_SERVER too (Rails' default localhost:25), never speaks implicit TLS, ignores SMTP_SSL_VERIFY, and with SMTP_AUTH
    finishes a session twice."""
    import smtplib

    from . import mail

    settings = config.smtp_settings() or {"address": "localhost", "port": "25", "domain": "localhost.localdomain"}
    try:
        smtp = smtplib.SMTP(str(settings["address"]), int(str(settings["port"])), str(settings["domain"]), timeout=HEALTH_TIMEOUT)
    except TimeoutError as error:
        raise HealthError("Net::ReadTimeout") from error
    except ConnectionRefusedError as error:
        raise HealthError(f'Connection refused - connect(2) for "{settings["address"]}" port {settings["port"]}') from error
    except socket.gaierror as error:
        raise HealthError(f"getaddrinfo: {error.strerror}") from error
    try:
        smtp.ehlo_or_helo_if_needed()
        if smtp.has_extn("starttls"):
            smtp.starttls(context=mail.context(True))
            smtp.ehlo_or_helo_if_needed()
        kind = str(settings.get("authentication") or "").strip()
        if kind and kind != "none":
            mail.check_auth(settings)
            mail.authenticate(smtp, settings)
            smtp.quit()
            raise HealthError("not yet started")
        smtp.quit()
    finally:
        smtp.close()


def _bbb() -> None:
    checksum = hashlib.sha1(f"isMeetingRunningmeetingID=0{config.bbb_secret()}".encode(), usedforsecurity=False).hexdigest()
    body = bbb.get(f"{config.bbb_endpoint()}isMeetingRunning?meetingID=0&checksum={checksum}", timeout=HEALTH_TIMEOUT)
    if bbb.returncode(body) != "SUCCESS":
        raise HealthError(f"Unable to connect to BigBlueButton - {body}")


def configuration_check() -> int:
    """greenlight lib/tasks/configuration.rake: environment, Postgres, Redis, BigBlueButton, one real mail to the sender."""
    from . import mail

    def step(title: str) -> None:
        print(title, flush=True)

    try:
        step("Checking required environment variables:")
        for name in ("SECRET_KEY_BASE", "BIGBLUEBUTTON_ENDPOINT", "BIGBLUEBUTTON_SECRET", "DATABASE_URL", "REDIS_URL"):
            if not config.present(name):
                raise HealthError(f"{name} not set correctly")
        step("Passed\nChecking connection to Postgres Database:")
        db = Connection()
        db.execute("SELECT 1")
        step("Passed\nChecking connection to Redis Cache:")
        redis.command("PING")
        step("Passed\nChecking connection to BigBlueButton:")
        checksum = hashlib.sha1(f"getMeetings{config.bbb_secret()}".encode(), usedforsecurity=False).hexdigest()
        for address in (config.bbb_endpoint(), f"{config.bbb_endpoint()}getMeetings?checksum={checksum}"):
            body = bbb.get(address, timeout=HEALTH_TIMEOUT)
            if bbb.returncode(body) != "SUCCESS":
                raise HealthError(f"Could not get a valid response from BigBlueButton server - {body}")
        step("Passed")
        if config.present("SMTP_SERVER"):
            step("Checking connection to SMTP Server")
            sender = config.env("SMTP_SENDER_EMAIL") or ""
            mail.deliver(mail.Letter([(sender, None)], sender, ["Test Email"], None), "", "")
            step("Passed")
    except Exception as error:
        print(f"Failed - {error}", file=sys.stderr)
        return 1
    return 0
