# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance's options become in Greenlight's environment, and what of it may be shown."""

from __future__ import annotations

import json
import subprocess
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import (
    CA_FILE,
    MASK,
    OWNED,
    REFUSED,
    build_environment,
    database_url,
    hide,
    is_secret,
    masked,
    masked_change,
    secret_values,
)

DATABASE = {"host": "10.213.0.1", "port": 5432, "name": "greenlight_sunflower", "user": "greenlight_sunflower", "password": "secretword"}
SMTP = {"server": "mail.example.org", "port": 587, "security": "starttls", "sender_email": "meet@sunflower.example"}
OIDC = {"issuer": "https://id.example.org/realms/x", "client_id": "meet", "client_secret": "oidc-secret"}


def build(**changes: Any) -> dict[str, str]:
    arguments: dict[str, Any] = {
        "hostname": "meet.sunflower.example",
        "secret_key_base": "5e" * 64,
        "redis_host": "greenlight-sunflower-redis",
        "redis_password": "r" * 40,
        "database": DATABASE,
        "bigbluebutton": {"endpoint": "https://pool.example.org/bigbluebutton/api/", "secret": "bbb-secret"},
    }
    return build_environment(**{**arguments, **changes})


def test_the_least_there_is() -> None:
    """Nothing beyond what is needed: no demo server, no mail, no sign-in server, Greenlight's SMTP check off."""
    assert build() == {
        "BIGBLUEBUTTON_ENDPOINT": "https://pool.example.org/bigbluebutton/api/",
        "BIGBLUEBUTTON_SECRET": "bbb-secret",
        "DATABASE_URL": "postgres://greenlight_sunflower:secretword@10.213.0.1:5432/greenlight_sunflower",
        "REDIS_URL": f"redis://:{'r' * 40}@greenlight-sunflower-redis:6379/0",
        "SECRET_KEY_BASE": "5e" * 64,
        "SMTP_HEALTH_CHECK_DISABLED": "true",
        "URL_HOST": "meet.sunflower.example",
    }


def test_everything() -> None:
    environment = build(
        smtp={**SMTP, "auth": "login", "username": "u", "password": "p", "sender_name": "Sunflower", "helo_domain": "meet.example.org"},
        oidc={**OIDC, "uid_field": "preferred_username", "logout_path": "/logout", "match_email": True},
        locale="de",
        with_ca_file=True,
        skip_health_checks=["bigbluebutton", "redis"],
        extra={"LOG_LEVEL": "warn", "RAILS_MAX_THREADS": 5, "CLAMAV_SCANNING": False},
        secret_extra={"HCAPTCHA_SECRET_KEY": "captcha"},
    )
    assert {name: value for name, value in environment.items() if name not in build()} == {
        "SMTP_SERVER": "mail.example.org", "SMTP_PORT": "587", "SMTP_DOMAIN": "meet.example.org", "SMTP_AUTH": "login",
        "SMTP_USERNAME": "u", "SMTP_PASSWORD": "p", "SMTP_SENDER_EMAIL": "meet@sunflower.example", "SMTP_SENDER_NAME": "Sunflower",
        "SMTP_STARTTLS": "true",
        "OPENID_CONNECT_ISSUER": "https://id.example.org/realms/x", "OPENID_CONNECT_CLIENT_ID": "meet",
        "OPENID_CONNECT_CLIENT_SECRET": "oidc-secret", "OPENID_CONNECT_REDIRECT": "https://meet.sunflower.example",
        "OPENID_CONNECT_UID_FIELD": "preferred_username", "OPENID_CONNECT_LOGOUT_PATH": "/logout",
        "USE_EMAIL_AS_EXTERNAL_ID_FALLBACK": "true",
        "DEFAULT_LOCALE": "de", "SSL_CERT_FILE": CA_FILE,
        "BBB_HEALTH_CHECK_DISABLED": "true", "REDIS_HEALTH_CHECK_DISABLED": "true",
        "LOG_LEVEL": "warn", "RAILS_MAX_THREADS": "5", "CLAMAV_SCANNING": "false", "HCAPTCHA_SECRET_KEY": "captcha",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("security", "wanted"),
    [("starttls", {"SMTP_STARTTLS": "true"}), ("tls", {"SMTP_TLS": "true"}), ("none", {"SMTP_STARTTLS_AUTO": "false"})],
)
def test_one_way_of_encryption(security: str, wanted: dict[str, str]) -> None:
    """TLS beside STARTTLS raises an error at each mail; neither means clear text where STARTTLS is refused."""
    environment = build(smtp={**SMTP, "security": security})
    found = {name: value for name, value in environment.items() if name in ("SMTP_STARTTLS", "SMTP_STARTTLS_AUTO", "SMTP_TLS")}
    assert found == wanted


@pytest.mark.parametrize("auth", [None, "", "none"])
def test_no_login_leaves_the_variables_out(auth: str | None) -> None:
    """SMTP_AUTH=none, and empty SMTP_AUTH and SMTP_USERNAME, break every mail."""
    environment = build(smtp={**SMTP, "auth": auth, "username": "", "password": None})
    assert not {"SMTP_AUTH", "SMTP_USERNAME", "SMTP_PASSWORD"} & environment.keys()
    assert environment["SMTP_DOMAIN"] == "sunflower.example"


@pytest.mark.parametrize("smtp", [None, {}, {"server": ""}, {"server": None}])
def test_no_mail_at_all(smtp: dict[str, Any] | None) -> None:
    assert [name for name in build(smtp=smtp) if name.startswith("SMTP_")] == ["SMTP_HEALTH_CHECK_DISABLED"]


def test_the_certificate_check_of_mail_goes_off_only_when_asked() -> None:
    assert "SMTP_SSL_VERIFY" not in build(smtp={**SMTP, "verify": True})
    assert "SMTP_SSL_VERIFY" not in build(smtp={**SMTP, "verify": None})
    assert build(smtp={**SMTP, "verify": False})["SMTP_SSL_VERIFY"] == "false"


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"bigbluebutton": None}, "bigbluebutton.endpoint"),
        ({"bigbluebutton": {"endpoint": "https://x.example/", "secret": ""}}, "bigbluebutton.secret"),
        ({"bigbluebutton": {"endpoint": "pool.example.org", "secret": "s"}}, "bigbluebutton.endpoint"),
        ({"secret_key_base": "short"}, "secret_key_base"),
        ({"redis_password": "short"}, "redis_password"),
        ({"redis_password": "with a space and a\nline break"}, "redis_password"),
        ({"hostname": "https://meet.example.org"}, "hostname"),
        ({"hostname": ".example.org"}, "hostname"),
        ({"hostname": "Meet.example.org"}, "hostname"),
        ({"hostname": "meet.example.org:8443"}, "hostname"),
        ({"database": {**DATABASE, "host": "fd00::1"}}, "database.host"),
        ({"database": {**DATABASE, "host": "/run/postgresql"}}, "database.host"),
        ({"database": {**DATABASE, "port": 0}}, "database.port"),
        ({"database": {**DATABASE, "password": ""}}, "database.password"),
        ({"smtp": {**SMTP, "port": None}}, "smtp.port"),
        ({"smtp": {**SMTP, "sender_email": None}}, "smtp.sender_email"),
        ({"smtp": {**SMTP, "sender_email": "Sunflower <x@y>"}}, "smtp.sender_email"),
        ({"smtp": {**SMTP, "auth": "plain"}}, "smtp.username"),
        ({"smtp": {**SMTP, "auth": "gssapi"}}, "smtp.auth"),
        ({"smtp": {**SMTP, "username": "u"}}, "smtp.password"),
        ({"smtp": {**SMTP, "security": "ssl"}}, "smtp.security"),
        ({"oidc": {**OIDC, "client_secret": None}}, "oidc.client_secret"),
        ({"oidc": {**OIDC, "issuer": "id.example.org"}}, "oidc.issuer"),
        ({"extra": {"SMTP_TLS": "true"}}, "smtp.security"),
        ({"extra": {"BIGBLUEBUTTON_ENDPOINT": ""}}, "bigbluebutton.endpoint"),
        ({"extra": {"RELATIVE_URL_ROOT": "/gl"}}, "RELATIVE_URL_ROOT"),
        ({"extra": {"MY_TOKEN": "x"}}, "secret_environment"),
        ({"extra": {"bad-name": "x"}}, "bad-name"),
        ({"extra": {"LIST": ["x"]}}, "LIST"),
        ({"skip_health_checks": ["smtp"]}, "skip_health_checks"),
    ],
)
def test_what_cannot_work_is_refused_by_its_name(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(CoopError) as caught:
        build(**changes)
    assert option in str(caught.value)
    assert "\n" not in str(caught.value)
    for secret in ("secretword", "bbb-secret", "oidc-secret"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("name", [*OWNED, *REFUSED])
def test_no_decided_variable_slips_in(name: str) -> None:
    for option in ("extra", "secret_extra"):
        with pytest.raises(CoopError):
            build(**{option: {name: "x"}})


texts = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(texts, texts, texts)
def test_any_database_password_survives_the_url(user: str, password: str, name: str) -> None:
    """As bin/config.env reads it (text after the last @, up to the first /) and as a URL parser does."""
    url = database_url({**DATABASE, "user": user, "password": password, "name": name})
    assert url.isascii()
    parts = urlsplit(url)
    assert (unquote(parts.username or ""), unquote(parts.password or ""), unquote(parts.path[1:])) == (user, password, name)
    address = url.split("://", 1)[1].rsplit("@", 1)[1].split("/", 1)[0]
    assert address == "10.213.0.1:5432"


def test_upstreams_start_script_reads_our_urls() -> None:
    """bin/config.env of Greenlight 3.8.2.4, to the letter."""
    environment = build(database={**DATABASE, "password": "a/b:c@d#e?f%g"})
    script = r"""
TXADDR=${DATABASE_URL/*:\/\/}; TXADDR=${TXADDR/*@/}; TXADDR=${TXADDR/\/*/}
IFS=: TXADDR=($TXADDR) IFS=' '
echo ${TXADDR[0]} ${TXADDR[1]:-5432}
TXADDR=${REDIS_URL/*:\/\/}; TXADDR=${TXADDR/*@/}; TXADDR=${TXADDR/\/*/}
IFS=: TXADDR=($TXADDR) IFS=' '
echo ${TXADDR[0]} ${TXADDR[1]:-6379}
"""
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "10.213.0.1 5432\ngreenlight-sunflower-redis 6379\n"


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True), st.sampled_from([None, "", "x", 0, False]), max_size=8))
def test_nothing_is_ever_empty(extra: dict[str, Any]) -> None:
    extra = {name: value for name, value in extra.items() if name not in OWNED and name not in REFUSED and not is_secret(name)}
    environment = build(extra=extra, smtp={**SMTP, "username": "", "sender_name": ""}, locale="")
    assert "" not in environment.values()
    assert {name for name, value in extra.items() if value not in (None, "")} <= environment.keys()


def test_secrets_are_masked_and_a_hidden_change_is_told() -> None:
    environment = build(
        smtp={**SMTP, "auth": "plain", "username": "u", "password": "smtp-word"}, oidc=OIDC, secret_extra={"OURS": "our-word"}
    )
    shown = json.dumps({name: masked(name, value, {"OURS"}) for name, value in environment.items()})
    for secret in ("5e5e", "rrrr", "secretword", "bbb-secret", "smtp-word", "oidc-secret", "our-word"):
        assert secret not in shown
    assert "greenlight_sunflower" in shown and "mail.example.org" in shown
    assert masked_change("SMTP_PASSWORD", "one", "two") == (MASK, f"{MASK} (changed)")
    assert masked_change("SMTP_PASSWORD", None, "two") == (None, MASK)
    assert masked_change("DATABASE_URL", "postgres://u:one@h/d", "postgres://u:two@h/d")[1] == f"postgres://u:{MASK}@h/d (changed)"
    assert masked_change("LOG_LEVEL", "info", "warn") == ("info", "warn")


@given(texts)
def test_no_form_of_a_password_is_left_in_a_text(password: str) -> None:
    environment = build(database={**DATABASE, "password": f"pw-{password}-wp"})
    text = f"could not use {environment['DATABASE_URL']} with pw-{password}-wp"
    hidden = hide(text, secret_values(environment))
    assert f"pw-{password}-wp" not in hidden
    assert hidden.count(MASK) == 2
