# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts: sign-in, sessions, registration, status, roles, passwords.

Sources: greenlight app/models/user.rb, app/controllers/api/v1/sessions_controller.rb, users_controller.rb.
"""

from __future__ import annotations

import struct
import typing as t
import uuid
import zlib

import pytest

from tests.conformance import greenlight_kit as kit

Special = t.Callable[..., kit.Instance]


def fresh(kind: str = "user") -> str:
    """An address no other test uses."""
    return f"{kind}-{uuid.uuid4().hex[:8]}@sunflower.test"


def sign_up(client: kit.Client, email: str, password: str = kit.PASSWORD, **more: t.Any) -> kit.Answer:
    """POST the sign-up form."""
    return client.post("users.json", {"user": {"name": "New", "email": email, "password": password, **more}})


# -- sign-in


@pytest.mark.parametrize("kind", ["bf"])
def test_pgcrypto_hash_signs_in(visitor: kit.Client, rows: kit.Rows, kind: str) -> None:
    """crypt(password, gen_salt('bf')) gives $2a$, which bcrypt-ruby verifies; the session is then the user's."""
    email = fresh()
    rows.user(email, kind=kind)
    answer = visitor.sign_in(email)
    assert answer.status == 200
    assert (answer.data["email"], answer.data["signed_in"], answer.data["role"]["name"]) == (email, True, "User")
    assert visitor.get("sessions.json").data["email"] == email


def test_2b_hash_signs_in(visitor: kit.Client, rows: kit.Rows) -> None:
    """$2b$ as other bcrypt libraries write it."""
    email = fresh()
    user_id = rows.user(email)
    rows.run("UPDATE users SET password_digest = '$2b$' || substr(password_digest, 5) WHERE id = %s", user_id)
    assert visitor.sign_in(email).status == 200


def test_signed_out_session(visitor: kit.Client) -> None:
    """sessions.json without a session."""
    assert visitor.get("sessions.json").data == {"signed_in": False, "default_locale": None}


def test_typed_case_does_not_matter_stored_case_does(visitor: kit.Client, rows: kit.Rows) -> None:
    """Sign-in lowers what is typed, so an account stored with capitals cannot sign in."""
    email = fresh()
    rows.user(email)
    assert visitor.sign_in(email.upper()).status == 200
    stored = fresh("Capital")
    rows.user(stored)
    assert visitor.__class__(visitor.address).sign_in(stored).status == 400


@pytest.mark.parametrize(
    ("verified", "status", "password", "errors"),
    [
        (True, 0, "wrong", []),
        (False, 0, kit.PASSWORD, "UnverifiedUser"),
        (True, 1, kit.PASSWORD, "PendingUser"),
        (True, 2, kit.PASSWORD, "BannedUser"),
        (False, 2, kit.PASSWORD, "UnverifiedUser"),
        (False, 2, "wrong", []),
    ],
)
def test_refusals_in_order(visitor: kit.Client, rows: kit.Rows, verified: bool, status: int, password: str, errors: t.Any) -> None:
    """Password, then verified, then pending, then banned; always 400."""
    email = fresh()
    rows.user(email, verified=verified, status=status)
    answer = visitor.sign_in(email, password)
    assert (answer.status, answer.errors) == (400, errors)


def test_unknown_address_is_a_400(visitor: kit.Client) -> None:
    """Nothing tells whether the account exists."""
    answer = visitor.sign_in("nobody@sunflower.test")
    assert (answer.status, answer.errors) == (400, [])


def test_second_sign_in_in_a_session_is_refused(greenlight: kit.Instance, rows: kit.Rows) -> None:
    """ensure_unauthenticated: 401."""
    email = fresh()
    rows.user(email)
    client = greenlight.client()
    assert client.sign_in(email).status == 200
    assert client.sign_in(email).status == 401


def test_sign_in_replaces_the_token_and_sets_expiry(visitor: kit.Client, rows: kit.Rows) -> None:
    """24 hours, or 7 days with "remember me", which also sets a second cookie."""
    email = fresh()
    user_id = rows.user(email)
    before = rows.value("SELECT session_token FROM users WHERE id = %s", user_id)
    assert visitor.sign_in(email).status == 200
    hours = "SELECT round(extract(epoch FROM session_expiry - (now() AT TIME ZONE 'UTC')) / 3600) FROM users WHERE id = %s"
    assert rows.value("SELECT session_token FROM users WHERE id = %s", user_id) != before
    assert rows.value(hours, user_id) == 24
    other = kit.Client(visitor.address)
    answer = other.sign_in(email, extend=True)
    assert rows.value(hours, user_id) == 168
    assert any(line.startswith("_extended_session=") for line in answer.all("set-cookie"))
    assert visitor.get("sessions.json").data["signed_in"] is False


def test_expired_session_is_signed_out(visitor: kit.Client, rows: kit.Rows) -> None:
    """session_expiry in the past."""
    email = fresh()
    user_id = rows.user(email)
    visitor.sign_in(email)
    rows.run("UPDATE users SET session_expiry = (now() AT TIME ZONE 'UTC') - interval '1 minute' WHERE id = %s", user_id)
    assert visitor.get("sessions.json").data["signed_in"] is False


def test_other_secret_key_base_signs_everybody_out(special: Special, visitor: kit.Client, rows: kit.Rows) -> None:
    """Cookies of the old secret are ignored."""
    email = fresh()
    rows.user(email)
    visitor.sign_in(email)
    client = special(SECRET_KEY_BASE="0" * 128, DEFAULT_LOCALE="de").wait_listening().client()
    client.cookies = dict(visitor.cookies)
    assert client.get("sessions.json").data == {"signed_in": False, "default_locale": "de"}


def test_rotated_token_ends_the_session(visitor: kit.Client, rows: kit.Rows) -> None:
    """What a tool must do after a ban in SQL."""
    email = fresh()
    user_id = rows.user(email)
    visitor.sign_in(email)
    rows.run("UPDATE users SET session_token = encode(gen_random_bytes(32), 'hex') WHERE id = %s", user_id)
    assert visitor.get("sessions.json").data["signed_in"] is False


def test_sign_out(visitor: kit.Client, rows: kit.Rows) -> None:
    """DELETE sessions/signout; without a session 401."""
    email = fresh()
    rows.user(email)
    assert visitor.delete("sessions/signout.json").status == 401
    visitor.sign_in(email)
    assert visitor.delete("sessions/signout.json").status == 200
    assert visitor.get("sessions.json").data["signed_in"] is False


def test_null_session_token_is_everybody(visitor: kit.Client, rows: kit.Rows) -> None:
    """A users row with a NULL session_token signs every anonymous visitor in as that user, until it expires."""
    user_id = rows.user(fresh("null"), "Administrator", token=None)
    try:
        assert visitor.get("sessions.json").data["id"] == user_id
        assert visitor.get("admin/users/verified.json").status == 200
        rows.run("UPDATE users SET session_expiry = (now() AT TIME ZONE 'UTC') - interval '1 minute' WHERE id = %s", user_id)
        assert visitor.get("sessions.json").data["signed_in"] is False
    finally:
        rows.run("DELETE FROM users WHERE id = %s", user_id)


def test_user_banned_in_sql_still_shows_signed_in_but_may_nothing(visitor: kit.Client, rows: kit.Rows) -> None:
    """The permissions checker refuses a user who is not active; sessions.json does not look."""
    email = fresh()
    user_id = rows.user(email)
    visitor.sign_in(email)
    rows.run("UPDATE users SET status = 2 WHERE id = %s", user_id)
    assert visitor.get("sessions.json").data["signed_in"] is True
    assert visitor.post("rooms.json", {"room": {"name": "R", "user_id": user_id}}).status == 403


def test_api_wants_a_session(visitor: kit.Client) -> None:
    """401 without."""
    for path in ("rooms.json", "admin/users/verified.json", "admin/roles.json", "admin/site_settings.json"):
        assert visitor.get(path).status == 401, path


def test_super_admin_signs_in_through_provider_bn(visitor: kit.Client, rows: kit.Rows) -> None:
    """Not found under the provider, then found under bn; passes every check."""
    email = fresh("superadmin")
    rows.user(email, "SuperAdmin", provider="bn")
    answer = visitor.sign_in(email)
    assert (answer.status, answer.data["super_admin"]) == (200, True)
    assert visitor.get("admin/users/verified.json").status == 200


def test_oidc_turns_local_accounts_off(special: Special, rows: kit.Rows) -> None:
    """OPENID_CONNECT_ISSUER: local sign-in and sign-up 403, SuperAdmin excepted."""
    instance = special(
        OPENID_CONNECT_ISSUER="https://id.conformance.test",
        OPENID_CONNECT_CLIENT_ID="a",
        OPENID_CONNECT_CLIENT_SECRET="b",
        OPENID_CONNECT_REDIRECT=f"https://{kit.SITE}",
    ).wait_listening()
    email, top = fresh(), fresh("superadmin")
    rows.user(email)
    rows.user(top, "SuperAdmin", provider="bn")
    assert instance.client().get("env.json").data["EXTERNAL_AUTH"] is True
    assert instance.client().sign_in(email).status == 403
    assert sign_up(instance.client(), fresh()).status == 403
    assert instance.client().sign_in(top).status == 200


def test_oidc_needs_its_client(special: Special) -> None:
    """OPENID_CONNECT_ISSUER without client id: no boot."""
    instance = special(OPENID_CONNECT_ISSUER="https://id.conformance.test")
    assert instance.wait_exit() != 0
    assert 'key not found: "OPENID_CONNECT_CLIENT_ID"' in instance.log()


# -- sign-up


def test_sign_up_with_mail_waits_for_verification(visitor: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """With SMTP_SERVER: unverified, activation mail, sign-in refused until activated; address stored in lower case; a default room."""
    email = fresh("Mixed")
    answer = sign_up(visitor, email)
    assert (answer.status, answer.data["verified"], answer.data["email"]) == (201, False, email.lower())
    assert visitor.get("sessions.json").data["signed_in"] is False
    assert rows.value("SELECT count(*) FROM rooms r JOIN users u ON u.id = r.user_id WHERE u.email = %s", email.lower()) == 1
    letter = mail.wait_letter(email.lower())
    token = letter.text.split("/activate_account/")[1].split()[0]
    assert len(token) == 40
    assert visitor.sign_in(email).errors == "UnverifiedUser"
    assert visitor.post("verify_account/activate.json", {"user": {"token": "x" * 40}}).status == 403
    assert visitor.post("verify_account/activate.json", {"user": {"token": token}}).status == 200
    assert visitor.sign_in(email).status == 200


def test_sign_up_without_mail_is_verified_at_once(special: Special, rows: kit.Rows) -> None:
    """Without SMTP_SERVER; the session is the new user's; an invalid account is a 500, for verify! raises."""
    client = special().wait_listening().client()
    email = fresh()
    assert client.get("env.json").data["SMTP_ENABLED"] is False
    assert sign_up(client, fresh(), "weak").status == 500
    answer = sign_up(client, email)
    assert (answer.status, answer.data["verified"]) == (201, True)
    assert client.get("sessions.json").data["email"] == email


@pytest.mark.parametrize("password", ["Short-1", "no-upper-case-1", "NO-LOWER-CASE-1", "No-Digit-Here", "NoSymbol123", ""])
def test_password_policy(visitor: kit.Client, password: str) -> None:
    """Eight characters, lower, upper, digit, symbol."""
    answer = sign_up(visitor, fresh(), password)
    assert (answer.status, answer.errors) == (400, "RecordInvalid")


@pytest.mark.parametrize("symbol", [" ", ";", ":", "'", '"', "£", "_", "`"])
def test_password_symbols(visitor: kit.Client, symbol: str) -> None:
    """All ASCII punctuation, space and the pound sign count as symbols."""
    assert sign_up(visitor, fresh(), f"Abcdefg1{symbol}").status == 201


@pytest.mark.parametrize("email", ["nodomain", "o'hara@sunflower.test", "a@b.c1", "a@münchen.test", "a b@sunflower.test", "x@localhost"])
def test_address_format(visitor: kit.Client, email: str) -> None:
    """Letters, digits, _ - . + before the @; the last label letters only."""
    answer = sign_up(visitor, email)
    assert (answer.status, answer.errors) == (400, "RecordInvalid")


def test_taken_address(visitor: kit.Client, rows: kit.Rows) -> None:
    """Unique ignoring case."""
    email = fresh()
    rows.user(email)
    answer = sign_up(visitor, email.upper())
    assert (answer.status, answer.errors) == (400, "EmailAlreadyExists")


def test_registration_by_invitation(visitor: kit.Client, administrator: kit.Client, rows: kit.Rows, mail: kit.FakeSMTP) -> None:
    """RegistrationMethod invite: refused without the token of the invitation mailed; with it verified at once; the token is spent."""
    rows.setting("RegistrationMethod", "invite")
    try:
        email = fresh()
        assert sign_up(visitor, email).errors == "InviteInvalid"
        assert administrator.post("admin/invitations.json", {"invitations": {"emails": email, "names": "Rosa"}}).status == 200
        token = mail.wait_letter(email).text.split("inviteToken=")[1].split()[0]
        assert visitor.get(f"invitations/{token}.json").data["name"] == "Rosa"
        assert sign_up(visitor, fresh(), invite_token=token).errors == "InviteInvalid"
        answer = sign_up(visitor, email, invite_token=token)
        assert (answer.status, answer.data["verified"]) == (201, True)
        assert rows.value("SELECT count(*) FROM invitations WHERE email = %s", email) == 0
    finally:
        rows.setting("RegistrationMethod", "open")


def test_registration_by_approval(visitor: kit.Client, administrator: kit.Client, rows: kit.Rows) -> None:
    """RegistrationMethod approval: pending, approved by PATCH admin/users."""
    rows.setting("RegistrationMethod", "approval")
    try:
        email = fresh()
        assert sign_up(visitor, email).status == 201
        user_id = rows.value("SELECT id FROM users WHERE email = %s", email)
        assert rows.value("SELECT status FROM users WHERE email = %s", email) == 1
        assert administrator.patch(f"admin/users/{user_id}.json", {"user": {"status": "active", "verified": True}}).status == 200
        assert visitor.sign_in(email).status == 200
    finally:
        rows.setting("RegistrationMethod", "open")


def test_allowed_domains(visitor: kit.Client, rows: kit.Rows) -> None:
    """AllowedDomains is matched on the end of the address; others 403 BannedUser."""
    rows.setting("AllowedDomains", "@sunflower.test,@rosa.test")
    try:
        answer = sign_up(visitor, "someone@elsewhere.test")
        assert (answer.status, answer.errors) == (403, "BannedUser")
        assert sign_up(visitor, fresh()).status == 201
    finally:
        rows.setting("AllowedDomains", "")


def test_default_role_and_role_mapping(visitor: kit.Client, rows: kit.Rows) -> None:
    """RoleMapping by the address's end wins over DefaultRole."""
    rows.setting("DefaultRole", "Guest")
    rows.setting("RoleMapping", "Administrator=@admins.test")
    try:
        assert sign_up(visitor, fresh()).data["role"]["name"] == "Guest"
        assert sign_up(visitor, f"{uuid.uuid4().hex[:8]}@admins.test").data["role"]["name"] == "Administrator"
    finally:
        rows.setting("DefaultRole", "User")
        rows.setting("RoleMapping", "")


def test_administrator_creates_a_user(administrator: kit.Client, rows: kit.Rows) -> None:
    """POST users by a user manager: works in invite mode, does not change the caller's session; a plain user may not."""
    rows.setting("RegistrationMethod", "invite")
    try:
        assert sign_up(administrator, fresh()).status == 201
        assert administrator.get("sessions.json").data["email"] == "admin@sunflower.test"
    finally:
        rows.setting("RegistrationMethod", "open")
    email = fresh()
    rows.user(email)
    client = kit.Client(administrator.address)
    client.sign_in(email)
    assert sign_up(client, fresh()).status == 403


# -- changes


def test_nobody_changes_their_own_role_but_another_users(administrator: kit.Client, administrator_id: str, rows: kit.Rows) -> None:
    """ManageUsers gives any role of the instance to others; one's own is 403."""
    target = rows.user(fresh())
    roles = {role["name"]: role["id"] for role in administrator.get("admin/roles.json").data}
    answer = administrator.patch(f"users/{administrator_id}.json", {"user": {"role_id": roles["User"]}})
    assert (answer.status, answer.errors) == (403, "Unauthorized")
    assert administrator.patch(f"users/{target}.json", {"user": {"role_id": roles["Administrator"]}}).status == 200
    assert rows.value("SELECT r.name FROM users u JOIN roles r ON r.id = u.role_id WHERE u.id = %s", target) == "Administrator"


def test_role_of_another_provider_is_refused(administrator: kit.Client, rows: kit.Rows) -> None:
    """The role's provider must equal the user's."""
    target = rows.user(fresh())
    foreign = str(rows.value("SELECT id FROM roles WHERE name = 'SuperAdmin'"))
    answer = administrator.patch(f"users/{target}.json", {"user": {"role_id": foreign}})
    assert answer.status == 400


def test_user_without_session_token_cannot_be_changed(administrator: kit.Client, rows: kit.Rows) -> None:
    """The model demands session_token and session_expiry at every update."""
    target = rows.user(fresh())
    rows.run("UPDATE users SET session_expiry = NULL WHERE id = %s", target)
    assert administrator.patch(f"users/{target}.json", {"user": {"name": "Other"}}).status == 400


def test_ban_through_the_application_ends_the_session(administrator: kit.Client, rows: kit.Rows) -> None:
    """PATCH admin/users status banned rotates the token."""
    email = fresh()
    target = rows.user(email)
    client = kit.Client(administrator.address)
    client.sign_in(email)
    assert administrator.patch(f"admin/users/{target}.json", {"user": {"status": "banned"}}).status == 200
    assert client.get("sessions.json").data["signed_in"] is False
    assert email in [user["email"] for user in administrator.get("admin/users/banned.json?search=" + email).data]


def test_users_of_others_need_manage_users(visitor: kit.Client, rows: kit.Rows) -> None:
    """403 for others, 200 for oneself; an unknown id is 404."""
    email = fresh()
    own, other = rows.user(email), rows.user(fresh())
    visitor.sign_in(email)
    assert visitor.get(f"users/{own}.json").data["email"] == email
    assert visitor.get(f"users/{other}.json").status == 403
    assert visitor.get(f"users/{uuid.uuid4()}.json").status == 404
    assert visitor.patch(f"users/{own}.json", {"user": {"name": "Rosa"}}).status == 200
    assert rows.value("SELECT name FROM users WHERE id = %s", own) == "Rosa"


def test_allow_name_update_false_binds_plain_users(visitor: kit.Client, rows: kit.Rows) -> None:
    """AllowNameUpdate false: the name is ignored, the rest is taken."""
    email = fresh()
    own = rows.user(email)
    visitor.sign_in(email)
    rows.setting("AllowNameUpdate", "false")
    try:
        assert visitor.patch(f"users/{own}.json", {"user": {"name": "Changed", "language": "de"}}).status == 200
    finally:
        rows.setting("AllowNameUpdate", "true")
    assert rows.all("SELECT name, language FROM users WHERE id = %s", own) == [(email.partition("@")[0], "de")]


def test_change_password(visitor: kit.Client, rows: kit.Rows) -> None:
    """Old one asked; $2a$ at cost 12 stored."""
    email = fresh()
    own = rows.user(email)
    visitor.sign_in(email)
    wrong = visitor.post("users/change_password.json", {"user": {"old_password": "no", "new_password": "Another-1 pw"}})
    assert (wrong.status, wrong.errors) == (400, "IncorrectOldPassword")
    assert (
        visitor.post("users/change_password.json", {"user": {"old_password": kit.PASSWORD, "new_password": "Another-1 pw"}}).status == 200
    )
    assert rows.value("SELECT substr(password_digest, 1, 7) FROM users WHERE id = %s", own) == "$2a$12$"
    assert kit.Client(visitor.address).sign_in(email, "Another-1 pw").status == 200


def test_delete_user_takes_the_rooms_along(administrator: kit.Client, rows: kit.Rows) -> None:
    """DELETE users/:id."""
    target = rows.user(fresh())
    assert administrator.post("rooms.json", {"room": {"name": "Gone", "user_id": target}}).status == 201
    assert administrator.delete(f"users/{target}.json").status == 200
    assert rows.value("SELECT count(*) FROM users WHERE id = %s", target) == 0
    assert rows.value("SELECT count(*) FROM rooms WHERE user_id = %s", target) == 0


# -- roles


def test_custom_role_gets_all_permissions(administrator: kit.Client, rows: kit.Rows) -> None:
    """greenlight app/models/role.rb: CreateRoom, SharedList, CanRecord true; RoomLimit 100; visibilities full; the rest false."""
    name = f"Class-{uuid.uuid4().hex[:6]}"
    assert administrator.post("admin/roles.json", {"role": {"name": name}}).status == 201
    role_id = next(role["id"] for role in administrator.get("admin/roles.json").data if role["name"] == name)
    values = administrator.get(f"admin/role_permissions.json?role_id={role_id}").data
    assert len(values) == 11
    assert {name for name, value in values.items() if value == "true"} == {"CreateRoom", "SharedList", "CanRecord"}
    assert values["RoomLimit"] == "100"
    assert administrator.post("admin/roles.json", {"role": {"name": name.upper()}}).status == 400
    assert administrator.delete(f"admin/roles/{role_id}.json").status == 200
    assert rows.value("SELECT count(*) FROM role_permissions WHERE role_id = %s", role_id) == 0


def test_default_roles_cannot_be_deleted(administrator: kit.Client) -> None:
    """405; a role with users 500."""
    roles = {role["name"]: role["id"] for role in administrator.get("admin/roles.json").data}
    assert administrator.delete(f"admin/roles/{roles['Guest']}.json").status == 405


def test_role_with_users_cannot_be_deleted(administrator: kit.Client, rows: kit.Rows) -> None:
    """restrict_with_exception."""
    name = f"Used-{uuid.uuid4().hex[:6]}"
    role_id = rows.role(name)
    rows.user(fresh(), name)
    assert administrator.delete(f"admin/roles/{role_id}.json").status == 500


def test_manage_roles_false_binds_administrators(administrator: kit.Client, rows: kit.Rows) -> None:
    """Then raising a limit is 403, the list of roles stays 200 (ManageUsers suffices), giving roles stays possible."""
    roles = {role["name"]: role["id"] for role in administrator.get("admin/roles.json").data}
    target = rows.user(fresh())
    rows.permit("Administrator", "ManageRoles", "false")
    try:
        body = {"role": {"role_id": roles["User"], "name": "RoomLimit", "value": "500"}}
        assert administrator.post("admin/role_permissions.json", body).status == 403
        assert administrator.get("admin/roles.json").status == 200
        assert administrator.patch(f"users/{target}.json", {"user": {"role_id": roles["Guest"]}}).status == 200
    finally:
        rows.permit("Administrator", "ManageRoles", "true")


def test_role_permission_takes_any_string(administrator: kit.Client, rows: kit.Rows) -> None:
    """RoomLimit is not checked to be a number; an empty value is 400; an unknown permission 404."""
    role_id = rows.role(f"Any-{uuid.uuid4().hex[:6]}")

    def change(name: str, value: t.Any) -> int:
        return administrator.post("admin/role_permissions.json", {"role": {"role_id": role_id, "name": name, "value": value}}).status

    assert change("RoomLimit", "seven") == 200
    assert change("RoomLimit", "") == 400
    assert change("NoSuch", "1") == 404


# -- site settings by the administrator


def test_administrator_changes_site_settings(administrator: kit.Client, visitor: kit.Client) -> None:
    """PATCH admin/site_settings/:name; unknown 404; BrandingImage as text 500, for it wants a file."""
    assert administrator.patch("admin/site_settings/HelpCenter.json", {"site_setting": {"value": "https://help.test"}}).status == 200
    assert visitor.get("site_settings.json", ["HelpCenter"]).data == "https://help.test"
    assert administrator.patch("admin/site_settings/HelpCenter.json", {"site_setting": {"value": ""}}).status == 200
    assert administrator.patch("admin/site_settings/NoSuch.json", {"site_setting": {"value": "x"}}).status == 404
    assert administrator.patch("admin/site_settings/BrandingImage.json", {"site_setting": {"value": "https://x.test/a.png"}}).status == 500
    assert administrator.get("admin/site_settings.json", ["DefaultRole", "RoleMapping"]).data == {"DefaultRole": "User", "RoleMapping": ""}


def png(width: int, height: int) -> bytes:
    """A black picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + bytes(width)) * height)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_uploaded_logo_wins_over_the_value(greenlight: kit.Instance, administrator: kit.Client, visitor: kit.Client) -> None:
    """The attached image's address replaces the value; its file lies under storage/; DELETE admin/site_settings takes it away."""
    before = visitor.get("site_settings.json", ["BrandingImage"]).data
    picture = png(20, 10)
    answer = administrator.upload("admin/site_settings/BrandingImage.json", "site_setting[value]", "logo.png", "image/png", picture)
    assert answer.status == 200, answer.text
    path = visitor.get("site_settings.json", ["BrandingImage"]).data
    assert path.startswith("/rails/active_storage/")
    assert visitor.follow(path).body == picture
    assert greenlight.run("sh", "-c", "find /usr/src/app/storage -type f | grep -c .")[1].strip() != "0"
    assert administrator.delete("admin/site_settings.json").status == 200
    assert visitor.get("site_settings.json", ["BrandingImage"]).data == before


def test_plain_user_may_not_administer(visitor: kit.Client, rows: kit.Rows) -> None:
    """403 everywhere under admin/."""
    email = fresh()
    rows.user(email)
    visitor.sign_in(email)
    for path in (
        "admin/users/verified.json",
        "admin/roles.json",
        "admin/site_settings.json",
        "admin/server_rooms.json",
        "admin/invitations.json",
    ):
        assert visitor.get(path).status == 403, path
    assert visitor.patch("admin/site_settings/HelpCenter.json", {"site_setting": {"value": "x"}}).status == 403


# -- rake


def test_rake_admin_create_is_not_idempotent(greenlight: kit.Instance, rows: kit.Rows) -> None:
    """Exit 0, then 1; the password is printed; the address is stored as typed."""
    email = fresh("Rake")
    code, output = greenlight.run("bundle", "exec", "rake", f"admin:create[Rake,{email},{kit.PASSWORD}]")
    assert (code, kit.PASSWORD in output) == (0, True)
    assert rows.value("SELECT count(*) FROM users WHERE email = %s", email) == 1
    assert greenlight.run("bundle", "exec", "rake", f"admin:create[Rake,{email},{kit.PASSWORD}]")[0] == 1
