# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP behaviour: https, host, cookies, formats, CSRF, site settings, cable.

Sources: greenlight config/environments/production.rb, config/routes.rb.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import typing as t

import pytest

from tests.conformance import greenlight_kit as kit

Special = t.Callable[..., kit.Instance]


def test_plain_http_is_redirected(visitor: kit.Client) -> None:
    """force_ssl: 301 to https on the same host for GET, 308 else."""
    answer = visitor.raw("GET", "/rooms?x=1", headers={"X-Forwarded-Proto": None})
    assert (answer.status, answer.header("location")) == (301, f"https://{kit.SITE}/rooms?x=1")
    assert visitor.raw("POST", "/api/v1/sessions.json", b"{}", {"X-Forwarded-Proto": None}).status == 308


def test_last_of_several_forwarded_protos_counts(visitor: kit.Client) -> None:
    """A proxy that appends instead of setting breaks the site."""
    assert visitor.raw("GET", "/", headers={"X-Forwarded-Proto": "https, http"}).status == 301
    assert visitor.raw("GET", "/", headers={"X-Forwarded-Proto": "http, https"}).status == 200


def test_hsts_with_subdomains(visitor: kit.Client) -> None:
    """One year, includeSubDomains, on pages and API."""
    for answer in (visitor.raw("GET", "/"), visitor.get("env.json")):
        assert answer.header("strict-transport-security") == "max-age=31556952; includeSubDomains"


def test_health_needs_neither_https_nor_host(special: Special) -> None:
    """/health_check is exempt from both; nothing else is exempt from the host check."""
    instance = special(URL_HOST=kit.SITE).wait_listening()
    assert instance.health().status in (200, 500)
    assert "location" not in dict(instance.health().headers)
    assert instance.client("other.test").raw("GET", "/").status == 403
    assert instance.client("other.test").raw("GET", "/health_check", headers={"X-Forwarded-Proto": None}).status in (200, 500)
    assert instance.client(f"sub.{kit.SITE}").raw("GET", "/").status == 403
    assert instance.client().raw("GET", "/", headers={"X-Forwarded-Host": "other.test"}).status == 403
    assert instance.client("127.0.0.1:3000").raw("GET", "/", headers={"X-Forwarded-Host": kit.SITE}).status == 403
    assert instance.client().raw("GET", "/").status == 200
    assert instance.client(f"{kit.SITE}:443").raw("GET", "/").status == 200
    assert instance.client("other.test").raw("GET", "/", headers={"X-Forwarded-Proto": None}).status == 403


def test_bypass_host_turns_the_host_check_off(special: Special) -> None:
    """BYPASS_HOST=true."""
    assert special(URL_HOST=kit.SITE, BYPASS_HOST="true").wait_listening().client("other.test").raw("GET", "/").status == 200


def test_any_host_without_url_host(greenlight: kit.Instance) -> None:
    """Host-header injection is possible while URL_HOST is not set."""
    assert greenlight.client("anything.example").raw("GET", "/").status == 200


def test_page_and_session_cookie(visitor: kit.Client) -> None:
    """GET / carries title, og:image and the CSRF token; the cookie is Secure, HttpOnly, host-only, path /."""
    answer = visitor.raw("GET", "/")
    assert answer.status == 200
    assert answer.header("content-type").startswith("text/html")
    assert "<title>BigBlueButton</title>" in answer.text
    assert 'property="og:image"' in answer.text
    assert visitor.csrf
    (cookie,) = (line for line in answer.all("set-cookie") if line.startswith("_greenlight-3_0_session="))
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"path=/", "secure", "httponly"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)


def test_every_other_path_is_the_page(visitor: kit.Client) -> None:
    """The single-page application answers unknown paths."""
    for path in ("/signin", "/rooms/abc-def-ghi-jkl/join", "/no/such/path"):
        answer = visitor.raw("GET", path)
        assert (answer.status, 'id="root"' in answer.text) == (200, True), path


def test_accept_header_decides_the_format(visitor: kit.Client) -> None:
    """JSON for Accept: application/json even without .json; with .json but no Accept the page."""
    assert visitor.raw("GET", "/api/v1/env", headers={"Accept": "application/json"}).json["data"]["CURRENT_PROVIDER"] == "greenlight"
    answer = visitor.raw("GET", "/api/v1/env.json")
    assert "html" in answer.header("content-type")
    axios = visitor.raw("GET", "/api/v1/env.json", headers={"Accept": "application/json, text/plain, */*"})
    assert axios.json["data"]["CURRENT_PROVIDER"] == "greenlight"


def test_env_tells_the_version(visitor: kit.Client) -> None:
    """env.json: five keys, version of the image, mail on."""
    data = visitor.get("env.json").data
    assert data == {
        "EXTERNAL_AUTH": False,
        "HCAPTCHA_KEY": None,
        "VERSION_TAG": data["VERSION_TAG"],
        "CURRENT_PROVIDER": "greenlight",
        "SMTP_ENABLED": True,
    }
    assert data["VERSION_TAG"] in (kit.VERSION, kit.VERSION.removeprefix("v"))


def test_post_without_csrf_is_a_500(visitor: kit.Client) -> None:
    """The exception of the CSRF check ends in the catch-all."""
    answer = visitor.post("sessions.json", {"session": {"email": "a@b.test", "password": "x"}}, csrf=False)
    assert (answer.status, answer.errors) == (500, ["SomethingWentWrong"])


def test_foreign_origin_is_a_500(visitor: kit.Client) -> None:
    """An Origin, if sent, must be the site's own."""
    body = {"user": {"email": "nobody@sunflower.test"}}
    assert visitor.post("reset_password.json", body, Origin="https://evil.test").status == 500
    assert visitor.post("reset_password.json", body, Origin=f"https://{kit.SITE}").status == 200


def test_missing_parameters_are_a_400(visitor: kit.Client) -> None:
    """params.require; an empty object is missing too."""
    for body in ({}, {"session": {}}):
        answer = visitor.post("sessions.json", body)
        assert (answer.status, answer.errors) == (400, ["InvalidParams"])


def test_bare_parameters_are_wrapped(visitor: kit.Client, rows: kit.Rows) -> None:
    """A JSON body without the controller's key is wrapped under it (actionpack params_wrapper.rb)."""
    rows.user("wrapped@sunflower.test")
    assert visitor.post("sessions.json", {"email": "wrapped@sunflower.test", "password": kit.PASSWORD}).status == 200
    # for a controller with a model only the model's columns: a password is none of them
    assert (
        kit.Client(visitor.address).post("users.json", {"name": "N", "email": "w@sunflower.test", "password": kit.PASSWORD}).status == 400
    )


def test_broken_json_is_a_500(visitor: kit.Client) -> None:
    """The parser's exception ends in the catch-all."""
    headers: dict[str, str | None] = {"Accept": "application/json", "Content-Type": "application/json", "X-CSRF-Token": visitor.csrf}
    answer = visitor.raw("POST", "/api/v1/sessions.json", b"{broken", headers)
    assert (answer.status, answer.errors) == (500, ["SomethingWentWrong"])


def test_answers_are_not_to_be_cached_by_others(visitor: kit.Client) -> None:
    """Cache-Control private."""
    assert visitor.get("env.json").header("cache-control") == "max-age=0, private, must-revalidate"


def test_site_settings_are_read_uncached(visitor: kit.Client, rows: kit.Rows) -> None:
    """A row changed in SQL shows at once; one name gives a bare value, several an object; booleans are booleans."""
    rows.setting("PrimaryColorDark", "#123456")
    assert visitor.get("site_settings.json", ["PrimaryColorDark"]).data == "#123456"
    assert visitor.get("site_settings.json", ["PrimaryColorDark", "ShareRooms"]).data == {"PrimaryColorDark": "#123456", "ShareRooms": True}


def test_missing_or_duplicate_setting_makes_all_null(visitor: kit.Client, rows: kit.Rows) -> None:
    """The reader answers null for the whole question unless each name has exactly one row."""
    assert visitor.get("site_settings.json", ["PrimaryColor", "NoSuchSetting"]).json is None
    rows.run("""INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
        SELECT id, '#000000', 'greenlight', now(), now() FROM settings WHERE name = 'PrimaryColor'""")
    try:
        assert visitor.get("site_settings.json", ["PrimaryColor"]).json is None
        assert visitor.get("site_settings.json", ["PrimaryColor", "PrimaryColorLight"]).json is None
    finally:
        rows.run("DELETE FROM site_settings WHERE value = '#000000'")
    assert visitor.get("site_settings.json", ["PrimaryColor"]).data == "#467fcf"


@pytest.mark.parametrize("name", ["RoleMapping", "ResyncOnLogin", "DefaultRole"])
def test_three_settings_are_not_public(visitor: kit.Client, name: str) -> None:
    """site_settings_controller.rb FORBIDDEN_SETTINGS."""
    assert visitor.get("site_settings.json", [name]).status == 403


def test_branding_image_value_is_used_verbatim(visitor: kit.Client, rows: kit.Rows) -> None:
    """Without an attachment the value is the image's address, in the API and in og:image."""
    old = rows.value("SELECT x.value FROM site_settings x JOIN settings s ON s.id = x.setting_id WHERE s.name = 'BrandingImage'")
    rows.setting("BrandingImage", "https://cdn.sunflower.test/logo.svg")
    try:
        assert visitor.get("site_settings.json", ["BrandingImage"]).data == "https://cdn.sunflower.test/logo.svg"
        assert 'content="https://cdn.sunflower.test/logo.svg"' in visitor.raw("GET", "/").text
    finally:
        rows.setting("BrandingImage", old)


def test_seeded_logo_is_served(visitor: kit.Client, rows: kit.Rows) -> None:
    """The seeded path of the digest-named asset exists."""
    path = visitor.get("site_settings.json", ["BrandingImage"]).data
    answer = visitor.raw("GET", path)
    assert (answer.status, answer.header("content-type")) == (200, "image/png")


def test_migration_api_is_open_and_refuses_what_its_key_did_not_make(visitor: kit.Client) -> None:
    """POST /api/v1/migrations/*: no session, no CSRF; 400 for a message not made with SECRET_KEY_BASE."""
    for kind in ("roles", "users", "rooms", "settings"):
        answer = visitor.post(f"migrations/{kind}.json", {"v2": {"encrypted_params": "bm9uc2Vuc2U=--bm9u--bm9u"}}, csrf=False)
        assert (answer.status, answer.errors) == (400, ["InvalidParams"]), kind
    assert visitor.post("migrations/users.json", {}, csrf=False).status == 400


def test_meeting_ended_has_no_check(visitor: kit.Client, rows: kit.Rows) -> None:
    """GET /meeting_ended turns the room offline for anyone who knows the meeting id."""
    owner = rows.user("ended@sunflower.test")
    rows.run(
        """INSERT INTO rooms (user_id, name, friendly_id, meeting_id, online, created_at, updated_at)
        VALUES (%s, 'Ended', 'end-end-end-end', 'meetingthatends', true, now(), now())""",
        owner,
    )
    answer = visitor.raw("GET", "/meeting_ended?meetingID=meetingthatends&recordingmarks=true")
    assert (answer.status, answer.json) == (200, {})
    assert rows.all("SELECT online, recordings_processing FROM rooms WHERE meeting_id = 'meetingthatends'") == [(False, 1)]
    assert visitor.raw("GET", "/meeting_ended?meetingID=unknown").status == 200


def test_recording_ready_wants_a_signed_token(visitor: kit.Client) -> None:
    """POST /recording_ready: JWT of the BigBlueButton secret, else 401."""
    answer = visitor.raw("POST", "/recording_ready", b"signed_parameters=a.b.c", {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 401


def _upgrade(address: str, **changes: str | None) -> tuple[int, dict[str, str], socket.socket]:
    """A WebSocket handshake at /cable; (status, headers, open socket)."""
    headers: dict[str, str | None] = {
        "Host": kit.SITE,
        "X-Forwarded-Proto": "https",
        "Origin": f"https://{kit.SITE}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "actioncable-v1-json, actioncable-unsupported",
        **{k.replace("_", "-"): v for k, v in changes.items()},
    }
    connection = http.client.HTTPConnection(address, 3000, timeout=kit.ANSWER_SECONDS)
    connection.connect()
    sock = connection.sock
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    sock.sendall(("GET /cable HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
    received = b""
    while b"\r\n\r\n" not in received:
        more = sock.recv(1)
        if not more:
            break
        received += more
    status, *rest = received.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in rest if ":" in line)}, sock


def test_cable_answers_a_proper_handshake(greenlight: kit.Instance) -> None:
    """101, protocol actioncable-v1-json, then a welcome."""
    status, headers, sock = _upgrade(greenlight.address)
    assert status == 101
    assert headers["upgrade"].lower() == "websocket"
    assert headers.get("sec-websocket-protocol") == "actioncable-v1-json"
    received = b""
    while b"welcome" not in received:
        more = sock.recv(200)
        assert more, received
        received += more
    sock.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "https://evil.test"}, 404),
        ({"Origin": None}, 404),
        ({"Origin": f"http://{kit.SITE}"}, 404),
        ({"X-Forwarded-Proto": None}, 301),
        ({"Upgrade": None, "Connection": None}, 404),
    ],
)
def test_cable_refuses(greenlight: kit.Instance, changes: dict[str, str | None], status: int) -> None:
    """Foreign or missing Origin, plain http, no upgrade."""
    got, _headers, sock = _upgrade(greenlight.address, **changes)
    sock.close()
    assert got == status


def test_unknown_api_path_is_not_the_api(visitor: kit.Client) -> None:
    """Paths the routes do not know fall to the page, which has no JSON form."""
    assert visitor.get("no_such_thing.json").status >= 400


def test_relative_url_root(special: Special) -> None:
    """RELATIVE_URL_ROOT=/gl moves everything, health check included."""
    instance = special(RELATIVE_URL_ROOT="/gl").wait_listening()
    answer = instance.client().raw("GET", "/gl/")
    assert answer.status == 200
    assert any("path=/gl" in line.lower() for line in answer.all("set-cookie"))
    assert instance.client().raw("GET", "/gl/health_check", headers={"X-Forwarded-Proto": None}).text == "success"
    assert instance.client().raw("GET", "/health_check").status == 404
    assert re.search(r"csrf-token", answer.text)
