# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in: registration, allowed domains, roles and sign-in at a member's own provider, seen at a running Greenlight over HTTP.

As test_greenlight_live these run against any image: GREENLIGHT_IMAGE chooses it (default: the lab's double).
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
from joserfc.jwk import RSAKey

from tests.conformance import greenlight_kit as kit
from tests.support.identity_provider import LOGOUT, IdentityProvider, certificate

NAME = "access"
SITE = f"https://{kit.SITE}"
SECRET = "secret of the client"
numbers = itertools.count(1)
Module = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def stage() -> Iterator[kit.Stage]:
    made = kit.Stage()
    yield made
    made.close()


@pytest.fixture(scope="module")
def provider(stage: kit.Stage) -> Iterator[IdentityProvider]:
    """Under the stage's name for what runs on this machine; containers of the stage trust it."""
    ca_file, context = certificate(stage.directory, [kit.MAIL_HOST])
    stage.ca_file = ca_file
    made = IdentityProvider(kit.MAIL_HOST, ca_file, context)
    made.register("greenlight", SECRET, SITE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def greenlight(stage: kit.Stage) -> kit.Instance:
    """People sign in with passwords."""
    instance = stage.start(stage.database(NAME)).wait_listening()
    kit.wait_for(lambda: instance.client().warm().status == 200, kit.ANSWER_SECONDS, "the first answer from the database")
    return instance


def external(stage: kit.Stage, provider: IdentityProvider, **more: str) -> kit.Instance:
    """Another container on the same database, where people sign in at the provider."""
    instance = stage.start(
        stage.database_url(NAME), ca=True, OPENID_CONNECT_ISSUER=provider.issuer, OPENID_CONNECT_CLIENT_ID="greenlight",
        OPENID_CONNECT_CLIENT_SECRET=SECRET, OPENID_CONNECT_REDIRECT=SITE, **more,
    ).wait_listening()  # fmt: skip
    kit.wait_for(lambda: instance.client().warm().status == 200, kit.ANSWER_SECONDS, "the first answer from the database")
    return instance


@pytest.fixture(scope="module")
def elsewhere(stage: kit.Stage, greenlight: kit.Instance, provider: IdentityProvider) -> kit.Instance:
    return external(stage, provider, USE_EMAIL_AS_EXTERNAL_ID_FALLBACK="true", OPENID_CONNECT_LOGOUT_PATH=LOGOUT)


@pytest.fixture(scope="module")
def rows(stage: kit.Stage, greenlight: kit.Instance) -> Iterator[psycopg.Connection[Any]]:
    with stage.sql(NAME) as connection:
        yield connection


@pytest.fixture
def module(stage: kit.Stage, greenlight: kit.Instance, provider: IdentityProvider) -> Iterator[Module]:
    """Runs one of our modules on the instance's database."""
    stage.postgres.reload()
    login = {
        "login_host": stage.postgres.attrs["NetworkSettings"]["Networks"][stage.name]["IPAddress"],
        "login_db": NAME, "login_user": "postgres", "login_password": stage.postgres_password,
    }  # fmt: skip

    def run(name: str, **args: Any) -> dict[str, Any]:
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": {**login, **args, "_ansible_diff": True}})
        program = f"ansible_collections.meet.coop.plugins.modules.{name}"
        done = subprocess.run([sys.executable, "-m", program], input=wanted, text=True, capture_output=True, check=False)
        assert done.stdout, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        assert not result.get("failed"), result["msg"]
        return result

    yield run
    provider.faults, provider.person = {}, None


def site(module: Module, **settings: Any) -> None:
    """Settings of the instance; what is not given is as Greenlight begins with it."""
    more = {"roles": settings.pop("roles", []), "limits": settings.pop("limits", {})}
    module("greenlight_settings", settings={"registration": "open", "allowed_domains": [], "default_role": "User", **settings}, **more)


def fresh(domain: str = "sunflower.test") -> str:
    return f"person{next(numbers)}@{domain}"


def sign_up(greenlight: kit.Instance, email: str, **more: Any) -> kit.Answer:
    return greenlight.client().post("users.json", {"user": {"name": "New", "email": email, "password": kit.PASSWORD, **more}})


def administrator(greenlight: kit.Instance, module: Module) -> kit.Client:
    user = {"email": "admin@sunflower.test", "name": "Admin", "role": "Administrator", "password": kit.PASSWORD}
    module("greenlight_user", users=[user])
    client = greenlight.client()
    assert client.sign_in("admin@sunflower.test").status == 200
    return client


def leave(provider: IdentityProvider, client: kit.Client) -> str:
    """Begin to sign in; where the visitor is sent."""
    body = urlencode({"authenticity_token": client.csrf}).encode()
    answer = client.raw("POST", "/auth/openid_connect", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 302, answer.text
    return answer.header("location")


def come_back(client: kit.Client, url: str) -> str:
    """Follow the provider's answer; the path and query that the visitor ends at."""
    assert url.startswith(f"{SITE}/auth/openid_connect/callback?"), url
    answer = client.raw("GET", url.removeprefix(SITE))
    assert answer.status == 302, answer.text
    return answer.header("location").removeprefix(SITE)


def sign_in(instance: kit.Instance, provider: IdentityProvider, person: str, **cookies: str) -> tuple[kit.Client, str]:
    """A visitor signs in at the provider; where that ends."""
    client = instance.client()
    provider.person = person
    sent = leave(provider, client)
    client.cookies.update(cookies)
    return client, come_back(client, provider.visit(sent))


def known(provider: IdentityProvider, email: str, **claims: Any) -> str:
    """Somebody with an account at the provider."""
    provider.people[email] = {"sub": f"sub-{email}", "name": "Somebody", "email": email, **claims}
    return email


def test_open_invited_or_approved(greenlight: kit.Instance, module: Module, rows: psycopg.Connection[Any]) -> None:
    site(module, registration="open")
    stranger = fresh()
    assert sign_up(greenlight, stranger).status == 201 and greenlight.client().sign_in(stranger).status == 200

    boss = administrator(greenlight, module)
    site(module, registration="invite")
    refused = sign_up(greenlight, fresh())
    assert (refused.status, refused.errors) == (400, "InviteInvalid")
    guest = fresh()
    assert boss.post("admin/invitations.json", {"invitations": {"emails": guest}}).status == 200
    token = rows.execute("SELECT token FROM invitations WHERE email = %s", (guest,)).fetchone()[0]
    assert sign_up(greenlight, fresh(), invite_token=token).errors == "InviteInvalid", "an invitation is for one address"
    assert sign_up(greenlight, guest, invite_token=token).status == 201 and greenlight.client().sign_in(guest).status == 200
    assert sign_up(greenlight, guest, invite_token=token).errors == "InviteInvalid", "and for one use"

    site(module, registration="approval")
    waiting = fresh()
    made = sign_up(greenlight, waiting)
    assert made.status == 201 and greenlight.client().sign_in(waiting).errors == "PendingUser"
    assert boss.patch(f"admin/users/{made.data['id']}.json", {"user": {"status": "active"}}).status == 200
    assert greenlight.client().sign_in(waiting).status == 200


def test_allowed_domains_bind(greenlight: kit.Instance, module: Module) -> None:
    site(module, registration="open", allowed_domains=["sunflower.test"])
    assert sign_up(greenlight, fresh()).status == 201
    for domain in ("rosa.test", "evil-sunflower.test", "sunflower.test.evil.test"):
        assert sign_up(greenlight, fresh(domain)).status == 403, domain


def test_roles_and_their_limits(greenlight: kit.Instance, module: Module) -> None:
    board = {"name": "Board", "rooms_per_account": 2, "permissions": {"ManageUsers": True}, "mail_domains": ["board.test"]}
    site(module, default_role="Staff", limits={"rooms_per_account": 1}, roles=[board, {"name": "Staff", "rooms_per_account": 3}])
    for domain, role, rooms in (("board.test", "Board", 2), ("sunflower.test", "Staff", 3)):
        made = sign_up(greenlight, fresh(domain))
        assert (made.status, made.data["role"]["name"], made.data["permissions"]["RoomLimit"]) == (201, role, str(rooms))
        client = greenlight.client()
        assert client.sign_in(made.data["email"]).status == 200
        answers = [client.post("rooms.json", {"room": {"name": "R", "user_id": made.data["id"]}}) for _other in range(rooms)]
        assert [answer.status for answer in answers] == [201] * (rooms - 1) + [400], "the first room came with the account"
        assert answers[-1].errors == "RoomLimitError"
        assert client.get("admin/users/verified.json").status == (200 if role == "Board" else 403)
        found = client.get("admin/roles.json")
        for entry in found.data if role == "Board" else []:
            raised = client.post("admin/role_permissions.json", {"role": {"role_id": entry["id"], "name": "RoomLimit", "value": "99"}})
            assert raised.status == 403, "limits bind: nobody may manage roles"


def test_a_stranger_of_the_provider(
    elsewhere: kit.Instance, provider: IdentityProvider, module: Module, rows: psycopg.Connection[Any]
) -> None:
    site(module, roles=[{"name": "Board", "mail_domains": ["board.test"]}])
    eva = known(provider, fresh("board.test"), name="Eva Moor", locale="de-AT")
    client, end = sign_in(elsewhere, provider, eva)
    assert end == "/"
    me = client.get("sessions.json").data
    assert (me["name"], me["email"], me["role"]["name"], me["language"]) == ("Eva Moor", eva, "Board", "de")
    assert me["external_account"] is True and me["verified"] is True
    assert len(client.get("rooms.json").data) == 1
    # Another name at the provider, and the same account here.
    provider.people[eva]["name"] = "Eva Blum"
    again, _end = sign_in(elsewhere, provider, eva)
    assert (again.get("sessions.json").data["id"], again.get("sessions.json").data["name"]) == (me["id"], "Eva Blum")
    assert elsewhere.client().sign_in(eva).status == 403, "no password lets anybody in"
    # Out here, and out there.
    out = again.delete("sessions/signout.json").data
    assert again.get("sessions.json").data["signed_in"] is False
    assert provider.visit(out) == f"{SITE}/?success=LogoutSuccessful" and provider.person is None
    assert "error=access_denied" in provider.visit(leave(provider, elsewhere.client()))


def test_registration_holds_for_the_providers_people(
    elsewhere: kit.Instance, provider: IdentityProvider, module: Module, rows: psycopg.Connection[Any]
) -> None:
    site(module, registration="invite")
    guest = known(provider, fresh())
    client, end = sign_in(elsewhere, provider, guest)
    assert end == "/?error=InviteInvalid" and client.get("sessions.json").data["signed_in"] is False
    invite = "INSERT INTO invitations (email, provider, token, created_at, updated_at) VALUES (%s, 'greenlight', 'the-token', now(), now())"
    rows.execute(invite, (guest,))
    assert sign_in(elsewhere, provider, known(provider, fresh()), inviteToken="the-token")[1] == "/?error=InviteInvalid"
    assert sign_in(elsewhere, provider, guest, inviteToken="the-token")[1] == "/"
    assert sign_in(elsewhere, provider, guest)[1] == "/", "who has an account needs no invitation"

    site(module, registration="approval")
    waiting = known(provider, fresh())
    client, end = sign_in(elsewhere, provider, waiting)
    assert end == "/pending" and client.get("sessions.json").data["signed_in"] is False
    assert sign_in(elsewhere, provider, waiting)[1] == "/pending"
    rows.execute("UPDATE users SET status = 0 WHERE email = %s", (waiting,))
    assert sign_in(elsewhere, provider, waiting)[1] == "/"

    site(module, registration="open", allowed_domains=["sunflower.test"])
    assert sign_in(elsewhere, provider, known(provider, fresh("rosa.test")))[1] == "/?error=BannedUser"


def test_the_people_named_in_the_file_get_in(
    stage: kit.Stage, elsewhere: kit.Instance, provider: IdentityProvider, module: Module, rows: psycopg.Connection[Any]
) -> None:
    site(module, registration="invite")
    ana = known(provider, fresh(), name="A. Costa")
    wish = {"users": [{"email": ana, "name": "Ana Costa", "role": "Administrator"}]}
    made = module("greenlight_user", **wish)["users"][0]
    strict = external(stage, provider)
    client, end = sign_in(strict, provider, ana)
    assert end == "/?error=InviteInvalid" and client.get("sessions.json").data["signed_in"] is False, "without match_email"
    site(module, registration="open")
    assert sign_in(strict, provider, ana)[1] == "/?error=SignupError"
    stage.stop(strict)

    site(module, registration="invite")
    client, end = sign_in(elsewhere, provider, ana)
    me = client.get("sessions.json").data
    assert (end, me["id"], me["role"]["name"], me["name"]) == ("/", made["id"], "Administrator", "A. Costa")
    assert client.get("admin/users/verified.json").status == 200
    again = module("greenlight_user", **wish)
    assert again["changed"] is False and again["users"][0]["external"] is True, "a nightly run does not quarrel with the provider"
    # Closed by the file, and not by the provider's word.
    module("greenlight_user", users=[{"email": ana, "state": "disabled"}])
    assert client.get("sessions.json").data["signed_in"] is False
    client, _end = sign_in(elsewhere, provider, ana)
    assert client.get("admin/users/verified.json").status == 403
    # Sign-in by password again: the account is the instance's own.
    taken = module("greenlight_user", **wish, external_accounts="release", reset_link="on_create", base_url=SITE)["users"][0]
    assert taken["external"] is False and taken["waiting"] is True
    assert rows.execute("SELECT external_id, status FROM users WHERE email = %s", (ana,)).fetchone() == (None, 0)


WRONG_TOKENS: list[tuple[dict[str, Any], str]] = [
    ({"claims": {"nonce": "another"}}, "invalid_nonce"),
    ({"claims": {"aud": "somebody-else"}}, "invalid_id_token"),
    ({"claims": {"iss": "https://id.evil.test"}}, "invalid_id_token"),
    ({"claims": {"exp": 1}}, "invalid_id_token"),
    ({"signing_key": RSAKey.generate_key(2048, {"kid": "one"})}, "invalid_id_token"),
    ({"keys": {"keys": []}}, "invalid_id_token"),
]


def test_a_token_that_is_not_right_lets_nobody_in(
    elsewhere: kit.Instance, provider: IdentityProvider, module: Module, rows: psycopg.Connection[Any]
) -> None:
    site(module)
    person = known(provider, fresh())
    for faults, message in WRONG_TOKENS:
        provider.faults = faults
        client, end = sign_in(elsewhere, provider, person)
        assert end == f"/auth/failure?message={message}&strategy=openid_connect", faults
        assert client.get("sessions.json").data["signed_in"] is False
    assert rows.execute("SELECT count(*) FROM users WHERE email = %s", (person,)).fetchone() == (0,)
    provider.faults = {}
    assert sign_in(elsewhere, provider, person)[1] == "/"


def test_a_flow_that_is_not_the_visitors_own_lets_nobody_in(elsewhere: kit.Instance, provider: IdentityProvider, module: Module) -> None:
    site(module)
    provider.person = known(provider, fresh())
    own, other = elsewhere.client(), elsewhere.client()
    sent = leave(provider, own)
    assert set(parse_qs(urlsplit(sent).query)) == {"client_id", "nonce", "redirect_uri", "response_type", "scope", "state"}
    back = provider.visit(sent)
    leave(provider, other)
    assert "message=csrf_detected" in come_back(other, back), "somebody else's answer"
    assert come_back(own, back) == "/"
    assert "message=csrf_detected" in come_back(own, back), "state is good for one use"
    leave(provider, other)
    state = re.sub(r".*state=([0-9a-f]+).*", r"\1", leave(provider, other))
    replayed = re.sub(r"state=[0-9a-f]+", f"state={state}", back)
    assert "message=invalid_grant" in come_back(other, replayed), "and so is a code"
    without = other.raw("POST", "/auth/openid_connect", b"", {"Content-Type": "application/x-www-form-urlencoded"})
    assert without.status == 302 and "message=authenticity_error" in without.header("location")
    provider.faults = {"status": 503}
    assert "/auth/failure?message=" in leave(provider, elsewhere.client())
