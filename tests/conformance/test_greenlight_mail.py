# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail: password reset and the traps of the SMTP settings (greenlight production.rb, reset_password_controller.rb, gem mail smtp.rb)."""

from __future__ import annotations

import re
import typing as t
import uuid

import pytest

from tests.conformance import greenlight_kit as kit

Special = t.Callable[..., kit.Instance]


def account(rows: kit.Rows) -> tuple[str, str]:
    """A fresh user's (address, id)."""
    email = f"reset-{uuid.uuid4().hex[:8]}@sunflower.test"
    return email, rows.user(email)


def ask(client: kit.Client, email: str) -> int:
    """Ask for a reset mail."""
    return client.post("reset_password.json", {"user": {"email": email}}).status


def token_of(letter: kit.Letter) -> str:
    """The token in the mail's link."""
    found = re.search(rf"https://{re.escape(kit.SITE)}/reset_password/(\w{{40}})\b", letter.text)
    assert found, letter.text
    return found[1]


def test_reset_by_mail(visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """Sender, HELO, link on the request's host; verify, reset, sign in; the token works once."""
    email, _user_id = account(rows)
    assert ask(visitor, email.upper()) == 200
    letter = mail.wait_letter(email)
    assert (letter.sender, letter.helo, letter.login) == (kit.SENDER, "sunflower.test", None)
    assert letter.header("From") == f"Sunflower <{kit.SENDER}>"
    assert letter.header("Subject") == "Reset Password"
    token = token_of(letter)
    assert visitor.post("reset_password/verify.json", {"user": {"token": token}}).status == 200
    assert visitor.post("reset_password/verify.json", {"user": {"token": "x" * 40}}).status == 403
    assert visitor.post("reset_password/verify.json", {"user": {"token": ""}}).status == 400
    new = "Brand-new 7 password"
    assert visitor.post("reset_password/reset.json", {"user": {"token": token, "new_password": new}}).status == 200
    assert visitor.post("reset_password/reset.json", {"user": {"token": token, "new_password": new}}).status == 403
    assert visitor.sign_in(email).status == 400
    assert visitor.sign_in(email, new).status == 200


def test_unknown_and_external_users_get_the_same_answer(visitor: kit.Client, rows: kit.Rows) -> None:
    """200 and no token."""
    email, user_id = account(rows)
    rows.run("UPDATE users SET external_id = %s WHERE id = %s", f"oidc-{user_id}", user_id)
    assert ask(visitor, email) == 200
    assert ask(visitor, "nobody@sunflower.test") == 200
    assert rows.value("SELECT reset_digest FROM users WHERE id = %s", user_id) is None


def test_second_request_kills_the_first_link(visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """One token at a time; only its SHA-256 is stored."""
    email, user_id = account(rows)
    ask(visitor, email)
    first = token_of(mail.wait_letter(email))
    mail.letters.clear()
    ask(visitor, email)
    second = token_of(mail.wait_letter(email))
    assert rows.value("SELECT reset_digest = encode(digest(%s, 'sha256'), 'hex') FROM users WHERE id = %s", second, user_id) is True
    assert visitor.post("reset_password/verify.json", {"user": {"token": first}}).status == 403
    assert visitor.post("reset_password/verify.json", {"user": {"token": second}}).status == 200


def test_weak_new_password_burns_the_token(visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """The token is spent before the password is looked at: 500, then 403."""
    email, _user_id = account(rows)
    ask(visitor, email)
    token = token_of(mail.wait_letter(email))
    assert visitor.post("reset_password/reset.json", {"user": {"token": token, "new_password": "weak"}}).status == 500
    assert visitor.post("reset_password/reset.json", {"user": {"token": token, "new_password": "Good-enough 1"}}).status == 403


def test_token_made_in_sql_works_and_ages(visitor: kit.Client, rows: kit.Rows) -> None:
    """reset_digest and reset_sent_at written by a tool: valid for one hour."""
    _email, user_id = account(rows)
    token = uuid.uuid4().hex + "abcdefgh"

    def age(interval: str) -> int:
        rows.run(
            """UPDATE users SET reset_digest = encode(digest(%s, 'sha256'), 'hex'),
            reset_sent_at = (now() AT TIME ZONE 'UTC') - %s::interval WHERE id = %s""",
            token,
            interval,
            user_id,
        )
        return visitor.post("reset_password/verify.json", {"user": {"token": token}}).status

    assert age("59 minutes") == 200
    assert age("61 minutes") == 403
    assert rows.value("SELECT reset_digest FROM users WHERE id = %s", user_id) is None


def test_log_holds_the_live_link(greenlight: kit.Instance, visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """At log level info the queued job's arguments are printed."""
    email, _user_id = account(rows)
    ask(visitor, email)
    assert f"/reset_password/{token_of(mail.wait_letter(email))}" in greenlight.log()


def test_log_level_warn_keeps_the_link_out(special: Special, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """LOG_LEVEL=warn."""
    instance = special(LOG_LEVEL="warn", **mail.environment()).wait_listening()
    email, _user_id = account(rows)
    ask(instance.client(), email)
    assert token_of(mail.wait_letter(email)) not in instance.log()


def test_duplicate_brand_colour_stops_all_mail(greenlight: kit.Instance, visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """user_mailer.rb reads two settings at once; with a duplicate row there is nothing to read from."""
    email, _user_id = account(rows)
    rows.run("""INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
        SELECT id, '#000001', 'greenlight', now(), now() FROM settings WHERE name = 'PrimaryColor'""")
    try:
        before = greenlight.log().count("Error performing")
        assert ask(visitor, email) == 200
        kit.wait_for(lambda: greenlight.log().count("Error performing") > before, 15, "the failure in the log")
    finally:
        rows.run("DELETE FROM site_settings WHERE value = '#000001'")
    assert not any(email in letter.recipients for letter in mail.letters)


def delivered(instance: kit.Instance, rows: kit.Rows, server: kit.FakeSMTP) -> kit.Letter:
    """Ask for a reset on that instance; the mail."""
    email, _user_id = account(rows)
    assert ask(instance.client(), email) == 200
    return server.wait_letter(email)


def failed(instance: kit.Instance, rows: kit.Rows) -> str:
    """Ask for a reset on that instance; the HTTP answer is 200, the failure stands in the log only. Returns the log."""
    email, _user_id = account(rows)
    assert ask(instance.client(), email) == 200
    kit.wait_for(lambda: "Error performing" in instance.log(), 20, "the failure in the log")
    return instance.log()


LOGIN = {"SMTP_AUTH": "plain", "SMTP_USERNAME": kit.SMTP_LOGIN, "SMTP_PASSWORD": kit.SMTP_PASSWORD}


def test_starttls_with_login_and_private_ca(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """SMTP_STARTTLS=true, SMTP_AUTH=plain, a private CA by SSL_CERT_FILE: login only inside TLS."""
    server = kit.FakeSMTP(tls="starttls", login=True, context=stage.tls)
    letter = delivered(special(ca=True, **server.environment(**LOGIN, SMTP_STARTTLS="true")).wait_listening(), rows, server)
    assert (letter.encrypted, letter.login) == (True, kit.SMTP_LOGIN)


def test_neither_switch_means_opportunistic_starttls(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """Offered: used. And SMTP_AUTH unset with a user name is plain; SMTP_AUTH=login works."""
    server = kit.FakeSMTP(tls="starttls", login=True, context=stage.tls)
    options = {name: value for name, value in LOGIN.items() if name != "SMTP_AUTH"}
    letter = delivered(special(ca=True, **server.environment(**options)).wait_listening(), rows, server)
    assert (letter.encrypted, letter.login) == (True, kit.SMTP_LOGIN)


def test_auth_login(special: Special, rows: kit.Rows) -> None:
    """SMTP_AUTH=login."""
    server = kit.FakeSMTP(login=True)
    assert (
        delivered(special(**server.environment(**{**LOGIN, "SMTP_AUTH": "login"})).wait_listening(), rows, server).login == kit.SMTP_LOGIN
    )


def test_unknown_ca_is_refused_unless_verification_is_off(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """Without SSL_CERT_FILE: failure in the log; SMTP_SSL_VERIFY=false: delivered."""
    server = kit.FakeSMTP(tls="starttls", context=stage.tls)
    assert "certificate" in failed(special(**server.environment()).wait_listening(), rows).lower()
    assert not server.letters
    assert delivered(special(**server.environment(SMTP_SSL_VERIFY="false")).wait_listening(), rows, server).encrypted is True


def test_implicit_tls(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """SMTP_TLS=true with STARTTLS_AUTO and STARTTLS false or unset."""
    server = kit.FakeSMTP(tls="implicit", context=stage.tls)
    options = server.environment(SMTP_TLS="true", SMTP_STARTTLS_AUTO="false")
    assert delivered(special(ca=True, **options).wait_listening(), rows, server).encrypted is True


def test_implicit_tls_and_starttls_exclude_each_other(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """ArgumentError at each send."""
    server = kit.FakeSMTP(tls="implicit", context=stage.tls)
    log = failed(special(ca=True, **server.environment(SMTP_TLS="true", SMTP_STARTTLS_AUTO="true")).wait_listening(), rows)
    assert "mutually exclusive" in log
    assert not server.letters


def test_mandatory_starttls_where_there_is_none(special: Special, rows: kit.Rows) -> None:
    """SMTP_STARTTLS=true against a plain server: no mail."""
    server = kit.FakeSMTP()
    assert "STARTTLS" in failed(special(**server.environment(SMTP_STARTTLS="true")).wait_listening(), rows)
    assert not server.letters


@pytest.mark.parametrize("value", ["", "none"])
def test_empty_or_none_auth_breaks_mail(special: Special, rows: kit.Rows, value: str) -> None:
    """Leave SMTP_AUTH out instead."""
    server = kit.FakeSMTP()
    assert "ArgumentError" in failed(special(**server.environment(SMTP_AUTH=value)).wait_listening(), rows)
    assert not server.letters


def test_empty_user_name_breaks_mail(special: Special, rows: kit.Rows) -> None:
    """An empty SMTP_USERNAME counts as set."""
    server = kit.FakeSMTP()
    failed(special(**server.environment(SMTP_USERNAME="")).wait_listening(), rows)
    assert not server.letters


def test_wrong_password_is_seen_in_the_log_only(special: Special, rows: kit.Rows) -> None:
    """The server refuses the login."""
    server = kit.FakeSMTP(login=True)
    assert "535" in failed(special(**server.environment(**{**LOGIN, "SMTP_PASSWORD": "wrong"})).wait_listening(), rows)


def test_configuration_check(greenlight: kit.Instance, mail: kit.FakeSMTP, stage: kit.Stage) -> None:
    """rake configuration:check sends a real mail to the sender; exit 0, or 1 when something fails."""
    code, output = greenlight.run("bundle", "exec", "rake", "configuration:check")
    if "Could not get a valid response" in output:
        pytest.fail(output)
    assert code == 0, output
    assert mail.wait_letter(kit.SENDER)
    stage.bbb.answers["getMeetings"] = "<response><returncode>FAILED</returncode></response>"
    try:
        assert greenlight.run("bundle", "exec", "rake", "configuration:check")[0] == 1
    finally:
        del stage.bbb.answers["getMeetings"]
