# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: from what an operator says about an instance to the environment Greenlight reads.

Pure functions. What Greenlight makes of each variable: greenlight sample.env, config/application.rb,
config/environments/production.rb, config/initializers/omniauth.rb, bin/config.env.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

#: Where the image listens inside its container (greenlight Dockerfile, EXPOSE ${PORT}).
PORT = 3000
#: Where an authority bundle given as ca_file is mounted in the container.
CA_FILE = "/etc/meet-coop/ca-bundle.pem"
MASK = "********"
HEALTH_CHECKS = {"database": "DATABASE", "redis": "REDIS", "bigbluebutton": "BBB"}
SMTP_AUTH = ("plain", "login", "cram_md5")
SMTP_SECURITY = ("starttls", "tls", "none")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")
_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|PRIVATE|REDISCLI_AUTH|ACCESS_KEY|API_KEY|CLIENT_CERT")
_USERINFO = re.compile(r"(?<=://)([^/@\s]*):([^/@\s]*)@")

#: Variables that options of their own decide. Through `environment` they would slip past the checks below.
OWNED = {
    "SECRET_KEY_BASE": "secret_key_base",
    "DATABASE_URL": "database",
    "REDIS_URL": "redis_password",
    "BIGBLUEBUTTON_ENDPOINT": "bigbluebutton.endpoint",
    "BIGBLUEBUTTON_SECRET": "bigbluebutton.secret",
    "URL_HOST": "hostname",
    "BYPASS_HOST": "hostname",
    "DEFAULT_LOCALE": "locale",
    "SSL_CERT_FILE": "ca_file",
    "SMTP_SERVER": "smtp.server",
    "SMTP_PORT": "smtp.port",
    "SMTP_DOMAIN": "smtp.helo_domain",
    "SMTP_SENDER_EMAIL": "smtp.sender_email",
    "SMTP_SENDER_NAME": "smtp.sender_name",
    "SMTP_USERNAME": "smtp.username",
    "SMTP_PASSWORD": "smtp.password",
    "SMTP_AUTH": "smtp.auth",
    "SMTP_STARTTLS_AUTO": "smtp.security",
    "SMTP_STARTTLS": "smtp.security",
    "SMTP_TLS": "smtp.security",
    "SMTP_SSL_VERIFY": "smtp.verify",
    "OPENID_CONNECT_ISSUER": "oidc.issuer",
    "OPENID_CONNECT_CLIENT_ID": "oidc.client_id",
    "OPENID_CONNECT_CLIENT_SECRET": "oidc.client_secret",
    "OPENID_CONNECT_REDIRECT": "oidc.redirect",
    "OPENID_CONNECT_UID_FIELD": "oidc.uid_field",
    "OPENID_CONNECT_LOGOUT_PATH": "oidc.logout_path",
    "USE_EMAIL_AS_EXTERNAL_ID_FALLBACK": "oidc.match_email",
    "SMTP_HEALTH_CHECK_DISABLED": "skip_health_checks",
    "DATABASE_HEALTH_CHECK_DISABLED": "skip_health_checks",
    "REDIS_HEALTH_CHECK_DISABLED": "skip_health_checks",
    "BBB_HEALTH_CHECK_DISABLED": "skip_health_checks",
}
#: Variables this container cannot work with, and why.
REFUSED = {
    "PORT": f"the container's port is {PORT} and published by the module",
    "RELATIVE_URL_ROOT": "an instance has a host name of its own and lives at its root",
    "RAILS_ENV": "the image runs in production",
    "LOADBALANCER_ENDPOINT": "it turns on Greenlight's own tenants; an instance here is one tenant, named by bigbluebutton.endpoint",
    "LOADBALANCER_SECRET": "it turns on Greenlight's own tenants; an instance here is one tenant, named by bigbluebutton.secret",
}


def build_environment(
    *,
    hostname: str,
    secret_key_base: str,
    redis_host: str,
    redis_password: str,
    database: Mapping[str, Any],
    bigbluebutton: Mapping[str, Any],
    smtp: Mapping[str, Any] | None = None,
    oidc: Mapping[str, Any] | None = None,
    locale: str | None = None,
    with_ca_file: bool = False,
    skip_health_checks: list[str] | tuple[str, ...] = (),
    extra: Mapping[str, Any] | None = None,
    secret_extra: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Greenlight's environment, sorted by name; a variable without a value is left out, never empty.

    To Greenlight an empty string often counts as set: an empty SMTP_AUTH or SMTP_USERNAME breaks mail.
    Raises CoopError naming the option at fault.
    """
    if len(secret_key_base or "") < 32:
        raise CoopError("secret_key_base is shorter than 32 characters; Greenlight needs a long random value, such as 128 hex digits")
    variables: dict[str, Any] = {
        "SECRET_KEY_BASE": secret_key_base,
        "URL_HOST": _hostname(hostname, "hostname"),
        "DATABASE_URL": database_url(database),
        "REDIS_URL": redis_url(redis_host, redis_password),
        "DEFAULT_LOCALE": locale,
        # Greenlight's own SMTP check fails without SMTP, fails with a login and hangs on port 465
        # (greenlight app/controllers/health_checks_controller.rb, check_smtp).
        "SMTP_HEALTH_CHECK_DISABLED": "true",
    }
    variables.update(_bigbluebutton(bigbluebutton))
    variables.update(_smtp(smtp))
    variables.update(_oidc(oidc, hostname))
    if with_ca_file:
        variables["SSL_CERT_FILE"] = CA_FILE
    for check in skip_health_checks:
        if check not in HEALTH_CHECKS:
            raise CoopError(f"skip_health_checks knows {', '.join(HEALTH_CHECKS)}, not '{check}'")
        variables[f"{HEALTH_CHECKS[check]}_HEALTH_CHECK_DISABLED"] = "true"
    variables.update(_extra(extra or {}, "environment"))
    variables.update(_extra(secret_extra or {}, "secret_environment"))
    present = {name: str(value) for name, value in sorted(variables.items()) if value not in (None, "")}
    for name, value in present.items():
        if "\0" in value or "\n" in value and name in OWNED:
            raise CoopError(
                f"{OWNED.get(name, name)} holds a line break or a zero byte, which no environment variable of Greenlight can carry"
            )
    return present


def database_url(database: Mapping[str, Any]) -> str:
    """`postgres://…` with everything percent-encoded that Ruby's URL parser or bin/config.env would trip over."""
    host = str(database.get("host") or "")
    if not host or host.startswith("/"):
        raise CoopError("database.host must be a name or an IPv4 address; Greenlight's start script cannot use a unix socket")
    if ":" in host or "[" in host:
        raise CoopError(
            f"database.host '{host}' is an IPv6 address or holds a port; Greenlight's start script (bin/config.env) cannot read it"
        )
    for key in ("name", "user", "password"):
        if not database.get(key):
            raise CoopError(f"database.{key} is missing")
    user, password, name = (quote(str(database[key]), safe="") for key in ("user", "password", "name"))
    return f"postgres://{user}:{password}@{host}:{_port(database.get('port', 5432), 'database.port')}/{name}"


def redis_url(host: str, password: str) -> str:
    """`redis://…` of the instance's own Redis."""
    if len(password or "") < 16:
        raise CoopError("redis_password is shorter than 16 characters")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", password):
        raise CoopError("redis_password may hold letters, digits, - and _ only: Redis reads it from a configuration line")
    return f"redis://:{password}@{host}:6379/0"


def _hostname(value: Any, option: str) -> str:
    name = str(value or "")
    if not _HOSTNAME.fullmatch(name):
        raise CoopError(
            f"{option} '{name}' is not a full lower-case host name such as meet.example.org (no scheme, port, path or leading dot)"
        )
    return name


def _port(value: Any, option: str) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = 0
    if not 0 < port < 65536:
        raise CoopError(f"{option} '{value}' is not a port number")
    return port


def _url(value: Any, option: str, schemes: tuple[str, ...]) -> str:
    text = str(value or "").strip()
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:
        good = False
    if not good:
        raise CoopError(f"{option} '{_USERINFO.sub(rf'{MASK}@', text)}' is not a {' or '.join(schemes)} URL")
    return text


def _bigbluebutton(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Both must be there: without them Greenlight uses a public demo server (greenlight config/application.rb)."""
    if not settings or not settings.get("endpoint") or not settings.get("secret"):
        raise CoopError(
            "bigbluebutton.endpoint and bigbluebutton.secret are both needed; without them Greenlight would use a public demo server"
        )
    return {
        "BIGBLUEBUTTON_ENDPOINT": _url(settings["endpoint"], "bigbluebutton.endpoint", ("https", "http")),
        "BIGBLUEBUTTON_SECRET": settings["secret"],
    }


def _smtp(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mail settings. Once SMTP_SERVER is set, Greenlight does not boot without port, domain and sender."""
    if not settings or not settings.get("server"):
        return {}
    for key in ("port", "sender_email"):
        if not settings.get(key):
            raise CoopError(f"smtp.{key} is missing; Greenlight does not start with smtp.server alone")
    sender = str(settings["sender_email"])
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", sender):
        raise CoopError(f"smtp.sender_email '{sender}' is not a mail address")
    security = str(settings.get("security") or "starttls")
    if security not in SMTP_SECURITY:
        raise CoopError(f"smtp.security is one of {', '.join(SMTP_SECURITY)}, not '{security}'")
    auth = settings.get("auth") or None
    if auth == "none":
        auth = None  # SMTP_AUTH=none makes every mail fail: leaving it out is what means "no login"
    if auth is not None and auth not in SMTP_AUTH:
        raise CoopError(f"smtp.auth is one of {', '.join(SMTP_AUTH)} or left out, not '{auth}'")
    username, password = settings.get("username") or None, settings.get("password") or None
    if auth and not (username and password):
        raise CoopError(f"smtp.auth '{auth}' needs smtp.username and smtp.password")
    if bool(username) != bool(password):
        raise CoopError(f"smtp.{'password' if username else 'username'} is missing; a login needs both")
    # Exactly one way of encryption is named: TLS together with STARTTLS raises an ArgumentError at each mail,
    # and with none named the mailer would try STARTTLS and go on in clear text where it is refused.
    encryption = {
        "starttls": {"SMTP_STARTTLS": "true"},
        "tls": {"SMTP_TLS": "true"},
        "none": {"SMTP_STARTTLS_AUTO": "false"},
    }[security]
    return {
        "SMTP_SERVER": settings["server"],
        "SMTP_PORT": _port(settings["port"], "smtp.port"),
        "SMTP_DOMAIN": settings.get("helo_domain") or sender.rpartition("@")[2],
        "SMTP_SENDER_EMAIL": sender,
        "SMTP_SENDER_NAME": settings.get("sender_name"),
        "SMTP_AUTH": auth,
        "SMTP_USERNAME": username,
        "SMTP_PASSWORD": password,
        "SMTP_SSL_VERIFY": "false" if settings.get("verify") is False else None,
        **encryption,
    }


def _oidc(settings: Mapping[str, Any] | None, hostname: str) -> dict[str, Any]:
    """Sign-in by OpenID Connect; the issuer's presence turns local sign-in off."""
    if not settings or not settings.get("issuer"):
        return {}
    for key in ("client_id", "client_secret"):
        if not settings.get(key):
            raise CoopError(f"oidc.{key} is missing; it is needed together with oidc.issuer")
    return {
        "OPENID_CONNECT_ISSUER": _url(settings["issuer"], "oidc.issuer", ("https", "http")),
        "OPENID_CONNECT_CLIENT_ID": settings["client_id"],
        "OPENID_CONNECT_CLIENT_SECRET": settings["client_secret"],
        # The public base URL; Greenlight appends /auth/openid_connect/callback.
        "OPENID_CONNECT_REDIRECT": _url(settings.get("redirect") or f"https://{hostname}", "oidc.redirect", ("https", "http")),
        "OPENID_CONNECT_UID_FIELD": settings.get("uid_field"),
        "OPENID_CONNECT_LOGOUT_PATH": settings.get("logout_path"),
        "USE_EMAIL_AS_EXTERNAL_ID_FALLBACK": "true" if settings.get("match_email") else None,
    }


def _extra(variables: Mapping[str, Any], option: str) -> dict[str, Any]:
    """Further variables, kept off the names that options decide."""
    result: dict[str, Any] = {}
    for name, value in variables.items():
        if not _NAME.fullmatch(str(name)):
            raise CoopError(f"{option} holds '{name}', which is not the name of an environment variable")
        if name in OWNED:
            raise CoopError(f"{option} holds {name}, which the option {OWNED[name]} decides; set it there")
        if name in REFUSED:
            raise CoopError(f"{option} holds {name}, which cannot be set: {REFUSED[name]}")
        if option == "environment" and is_secret(name):
            raise CoopError(
                f"environment holds {name}, which looks like a secret; put it into secret_environment, which never shows its values"
            )
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (dict, list, tuple)):
            raise CoopError(f"{option}.{name} is a {type(value).__name__}; an environment variable is a string or a number")
        result[str(name)] = value
    return result


def is_secret(name: str) -> bool:
    """Whether a variable's value must never be shown, judged by its name."""
    return bool(_SECRET.search(name.upper()))


def masked(name: str, value: str | None, secret_names: frozenset[str] | set[str] = frozenset()) -> str | None:
    """A variable's value as it may be shown: secrets whole, passwords inside URLs."""
    if value is None:
        return None
    if name in secret_names or is_secret(name):
        return MASK
    return _USERINFO.sub(lambda match: f"{match.group(1)}:{MASK}@", value)


def masked_change(
    name: str, before: str | None, after: str | None, secret_names: frozenset[str] | set[str] = frozenset()
) -> tuple[str | None, str | None]:
    """Both sides of a change as they may be shown; where the mask hides the difference the second one says so."""
    shown_before, shown_after = masked(name, before, secret_names), masked(name, after, secret_names)
    if before != after and shown_before == shown_after:
        shown_after = f"{shown_after} (changed)"
    return shown_before, shown_after


def secret_values(environment: Mapping[str, str], secret_names: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """Every value that may not appear in a message, longest first, in plain and in percent-encoded form."""
    values: set[str] = set()
    for name, value in environment.items():
        if name in secret_names or is_secret(name):
            values.update((value, quote(value, safe="")))
        for match in _USERINFO.finditer(value):
            values.add(match.group(2))
            values.update(_decoded(match.group(2)))
    return sorted((value for value in values if len(value) >= 4), key=len, reverse=True)


def _decoded(value: str) -> set[str]:
    from urllib.parse import unquote

    return {unquote(value)}


def hide(text: str, secrets: list[str]) -> str:
    """The text with every secret value masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _USERINFO.sub(lambda match: f"{match.group(1)}:{MASK}@", text)
