# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment of the process, with upstream's own refusals.

Sources: greenlight config/environments/production.rb, config/application.rb, config/initializers/*.rb, config/database.yml.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

DEMO_ENDPOINT = "https://test-install.blindsidenetworks.com/bigbluebutton/api"
DEMO_SECRET = "8cd8ef52e8e101574e400365b55e11a6"


class BootError(Exception):
    """The application cannot boot with this environment."""


def env(name: str, default: str | None = None) -> str | None:
    """The variable as it stands; an empty one counts as set (Ruby's ENV.fetch)."""
    return os.environ.get(name, default)


def present(name: str) -> bool:
    """Ruby's ENV[name].present?: set and not blank."""
    return bool((os.environ.get(name) or "").strip())


def fetch(name: str) -> str:
    """Ruby's ENV.fetch(name) without default."""
    if name not in os.environ:
        raise BootError(f'key not found: "{name}" (KeyError)')
    return os.environ[name]


def boolean(name: str) -> bool | None:
    """ActiveModel::Type::Boolean: nil for unset and empty, false for a fixed list, else true."""
    value = os.environ.get(name)
    if value is None or value == "":
        return None
    return value not in ("0", "f", "F", "false", "FALSE", "off", "OFF", "False", "Off")


def smtp_settings() -> dict[str, object] | None:
    """greenlight config/environments/production.rb: None without SMTP_SERVER; three more are then required."""
    if not present("SMTP_SERVER"):
        return None
    settings = {
        "address": fetch("SMTP_SERVER"),
        "port": fetch("SMTP_PORT"),
        "domain": fetch("SMTP_DOMAIN"),
        "user_name": env("SMTP_USERNAME"),
        "password": env("SMTP_PASSWORD"),
        "authentication": env("SMTP_AUTH"),
        "enable_starttls_auto": boolean("SMTP_STARTTLS_AUTO"),
        "enable_starttls": boolean("SMTP_STARTTLS"),
        "tls": boolean("SMTP_TLS"),
        "verify": env("SMTP_SSL_VERIFY", "true") != "false",
    }
    fetch("SMTP_SENDER_EMAIL")
    return {key: value for key, value in settings.items() if value is not None}


def bbb_endpoint() -> str:
    """greenlight config/application.rb: the demo server by omission; "/api/" appended when missing."""
    endpoint = env("BIGBLUEBUTTON_ENDPOINT", DEMO_ENDPOINT) or ""
    if not endpoint.endswith("/"):
        endpoint += "/"
    if not endpoint.endswith("api/"):
        endpoint += "api/"
    return endpoint


def bbb_secret() -> str:
    """greenlight config/application.rb."""
    return env("BIGBLUEBUTTON_SECRET", DEMO_SECRET) or ""


def relative_root() -> str:
    """RELATIVE_URL_ROOT without trailing slashes; empty for none (greenlight config/application.rb)."""
    return (env("RELATIVE_URL_ROOT") or "").rstrip("/")


def logs(level: str) -> bool:
    """Whether lines of this level are written (LOG_LEVEL, greenlight config/environments/production.rb: info)."""
    order = ["debug", "info", "warn", "error", "fatal"]
    wanted = (env("LOG_LEVEL") or "info").lower()
    return order.index(level) >= (order.index(wanted) if wanted in order else 1)


def check_boot() -> None:
    """What every rails command needs before it does anything."""
    smtp_settings()
    database_arguments()
    if not present("SECRET_KEY_BASE") and not present("SECRET_KEY_BASE_DUMMY"):  # the latter for builds (railties 7.1)
        raise BootError(
            "Missing `secret_key_base` for 'production' environment, set this string with `bin/rails credentials:edit` (ArgumentError)"
        )


def check_server() -> None:
    """What only the server needs (greenlight config/initializers/omniauth.rb builds its middleware at start)."""
    check_boot()
    if present("OPENID_CONNECT_ISSUER") and not present("LOADBALANCER_ENDPOINT"):
        fetch("OPENID_CONNECT_CLIENT_ID")
        fetch("OPENID_CONNECT_CLIENT_SECRET")


def database_arguments(database: str | None = None) -> dict[str, object]:
    """DATABASE_URL as psycopg2 arguments. Ruby's URL parser refuses raw special characters; so does this one."""
    url = env("DATABASE_URL")
    if not url:
        return {"dbname": database or "greenlight-v3-production", "connect_timeout": 5}  # config/database.yml
    authority = url.split("://", 1)[-1].rsplit("@", 1)
    if len(authority) == 2 and re.search(r"[/@?# \[\]]|%(?![0-9A-Fa-f]{2})", authority[0]):
        host = re.split("[/?#]", url.split("://", 1)[-1])[0]
        raise BootError(f"URI::InvalidURIError: the scheme postgres does not accept registry part: {host} (or bad hostname?)")
    parts = urlsplit(url)
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise BootError(f"bad URI (is not URI?): {url!r} (URI::InvalidURIError)") from error
    arguments: dict[str, object] = {
        "dbname": database or unquote(parts.path.lstrip("/")) or "greenlight-v3-production",
        "host": parts.hostname or "",
        "port": port,
        "connect_timeout": 5,
    }
    if parts.username:
        arguments["user"] = unquote(parts.username)
    if parts.password is not None:
        arguments["password"] = unquote(parts.password)
    return arguments
