# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start order, refusals, health (greenlight bin/start, health_checks_controller.rb, config/environments/production.rb)."""

from __future__ import annotations

import re
import threading
import time
import typing as t

import pytest

from tests.conformance import greenlight_kit as kit
from tests.lab.greenlight import build

Special = t.Callable[..., kit.Instance]


def test_image_keeps_upstreams_contract(stage: kit.Stage) -> None:
    """Working directory, root, port 3000, ./bin/start, production (greenlight Dockerfile)."""
    config = stage.engine.images.get(kit.IMAGE).attrs["Config"]
    environment = dict(item.split("=", 1) for item in config["Env"])
    assert config["WorkingDir"] == "/usr/src/app"
    assert config.get("User", "") in ("", "root", "0")
    assert "3000/tcp" in config["ExposedPorts"]
    assert [*(config["Entrypoint"] or []), *(config["Cmd"] or [])] == ["./bin/start"]
    assert {name: environment.get(name) for name in ("RAILS_ENV", "PORT", "RAILS_SERVE_STATIC_FILES")} == {
        "RAILS_ENV": "production",
        "PORT": "3000",
        "RAILS_SERVE_STATIC_FILES": "true",
    }


def test_role_without_createdb_prints_an_error_and_goes_on(greenlight: kit.Instance) -> None:
    """db:create fails without CREATEDB, even on an existing database; the start script goes on."""
    log = greenlight.log()
    assert "permission denied to create database" in log
    assert log.index("permission denied to create database") < log.index("istening on")


def test_migrations_are_proven_by_exit_code(greenlight: kit.Instance) -> None:
    """db:abort_if_pending_migrations:with_data ends 0 when everything is done."""
    code, output = greenlight.run("bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data")
    assert code == 0, output


def test_pending_data_migration_is_seen_by_exit_code_and_not_by_health(greenlight: kit.Instance, rows: kit.Rows) -> None:
    """db:abort_if_pending_migrations:with_data ends non-zero when one data migration is missing; /health_check does not look at those."""
    rows.run("DELETE FROM data_migrations WHERE version = '20260402000001'")
    try:
        code, output = greenlight.run("bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data")
        assert code != 0
        assert "20260402000001" in output
        greenlight.client().warm()
        assert greenlight.health().status == 200
    finally:
        rows.run("INSERT INTO data_migrations VALUES ('20260402000001')")


def test_pending_schema_migration_fails_health(greenlight: kit.Instance, rows: kit.Rows) -> None:
    """A missing schema version: the health check is 500, the server serves all the same."""
    rows.run("DELETE FROM schema_migrations WHERE version = '20260402000000'")
    try:
        assert greenlight.client().warm().status == 200
        answer = greenlight.health()
        assert answer.status == 500
        assert "pending" in answer.text.lower()
    finally:
        rows.run("INSERT INTO schema_migrations VALUES ('20260402000000')")


def test_health_is_cold_until_a_request_has_used_the_database(special: Special) -> None:
    """After boot 500 "Unable to connect to Database"; asking again does not help; env.json does not help; a query does."""
    instance = special().wait_listening()
    for _other in range(3):
        answer = instance.health()
        assert (answer.status, "Unable to connect to Database" in answer.text) == (500, True)
    assert instance.client().get("env.json").status == 200
    assert instance.health().status == 500
    assert instance.client().warm().status == 200
    answer = instance.health()
    assert (answer.status, answer.text) == (200, "success")


def test_health_is_cold_again_after_the_database_dropped_the_connections(greenlight: kit.Instance, rows: kit.Rows) -> None:
    """As after a restart of PostgreSQL: the check does not recover by itself, other requests reconnect."""
    greenlight.client().warm()
    assert greenlight.health().status == 200
    rows.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    assert greenlight.health().status == 500
    assert greenlight.health().status == 500
    assert greenlight.client().warm().status == 200
    assert greenlight.health().status == 200


@pytest.mark.parametrize("missing", ["SMTP_PORT", "SMTP_DOMAIN", "SMTP_SENDER_EMAIL"])
def test_server_does_not_boot_with_half_of_smtp(special: Special, mail: kit.FakeSMTP, missing: str) -> None:
    """SMTP_SERVER without one of its three companions is a KeyError at boot."""
    instance = special(without=[missing], **mail.environment())
    assert instance.wait_exit() != 0
    assert re.search(rf"key not found: \"{missing}\"", instance.log())


def test_server_does_not_boot_without_secret_key_base(special: Special) -> None:
    """SECRET_KEY_BASE has no default in production."""
    instance = special(without=["SECRET_KEY_BASE"])
    assert instance.wait_exit() != 0
    assert "secret_key_base" in instance.log()


@pytest.mark.parametrize("password", ["a/b", "a@b", "a#b", "a%zz"])
def test_password_with_raw_special_characters_does_not_boot(special: Special, stage: kit.Stage, password: str) -> None:
    """bin/start finds the host all the same, Ruby's URL parser does not: percent-encode, or letters and digits only."""
    instance = special(database_url=stage.database_url("common", password))
    assert instance.wait_exit() != 0
    assert "Waiting for postgres" not in instance.log()
    assert "InvalidURIError" in instance.log()


def test_percent_encoded_password_works(special: Special, stage: kit.Stage) -> None:
    """The same characters, encoded."""
    with stage.sql("common") as connection:
        connection.execute("CREATE ROLE odd LOGIN PASSWORD 'a/b@c#d%e'")
        connection.execute("GRANT common TO odd")
    url = stage.database_url("common", "a%2Fb%40c%23d%25e").replace("//common:", "//odd:")
    assert special(database_url=url).wait_listening().client().warm().status == 200


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL"])
def test_start_waits_for_ever_without_an_address(special: Special, missing: str) -> None:
    """The wait loops of bin/start have no end."""
    instance = special(without=[missing])
    what = "postgres" if missing == "DATABASE_URL" else "redis"
    kit.wait_for(lambda: instance.log().count(f"Waiting for {what} to start up") >= 3, 30, "three rounds of the wait loop")
    instance.container.reload()
    assert instance.container.status == "running"


def test_wrong_database_password_still_starts_the_server(special: Special, stage: kit.Stage) -> None:
    """env.json is 200 with an unusable database (liveness, not readiness); whatever queries is 500."""
    instance = special(database_url=stage.database_url("common", "wrong")).wait_listening()
    assert instance.client().get("env.json").status == 200
    assert instance.client().warm().status == 500
    assert instance.client().raw("GET", "/").status == 500
    assert instance.health().status == 500


def test_smtp_check_fails_when_mail_is_not_set(special: Special) -> None:
    """The SMTP check runs even without SMTP_SERVER and then tries localhost:25."""
    instance = special(without=["SMTP_HEALTH_CHECK_DISABLED"]).wait_listening()
    instance.client().warm()
    answer = instance.health()
    assert answer.status == 500
    assert "Unable to connect to SMTP Server" in answer.text


def test_smtp_check_passes_without_login_and_fails_with(special: Special, stage: kit.Stage, mail: kit.FakeSMTP) -> None:
    """With SMTP_AUTH set the check ends in "not yet started", although the login works."""
    instance = special(without=["SMTP_HEALTH_CHECK_DISABLED"], **mail.environment()).wait_listening()
    instance.client().warm()
    assert instance.health().text == "success"
    server = kit.FakeSMTP(login=True)
    options = server.environment(SMTP_AUTH="plain", SMTP_USERNAME=kit.SMTP_LOGIN, SMTP_PASSWORD=kit.SMTP_PASSWORD)
    instance = special(without=["SMTP_HEALTH_CHECK_DISABLED"], **options).wait_listening()
    instance.client().warm()
    answer = instance.health()
    assert (answer.status, "not yet started" in answer.text) == (500, True)


def test_smtp_check_hangs_on_implicit_tls(special: Special, stage: kit.Stage) -> None:
    """It never speaks TLS first, so it waits for a greeting (60 s)."""
    server = kit.FakeSMTP(tls="implicit", context=stage.tls)
    options = server.environment(SMTP_TLS="true", SMTP_STARTTLS_AUTO="false")
    instance = special(without=["SMTP_HEALTH_CHECK_DISABLED"], ca=True, **options).wait_listening()
    instance.client().warm()
    with pytest.raises(TimeoutError):
        instance.health(seconds=6)


def test_smtp_check_ignores_ssl_verify_false(special: Special, stage: kit.Stage) -> None:
    """A server with a private certificate: mail would go, the check fails."""
    server = kit.FakeSMTP(tls="starttls", context=stage.tls)
    instance = special(without=["SMTP_HEALTH_CHECK_DISABLED"], **server.environment(SMTP_SSL_VERIFY="false")).wait_listening()
    instance.client().warm()
    answer = instance.health()
    assert (answer.status, "certificate" in answer.text.lower()) == (500, True)


def test_health_switches_want_exactly_true(special: Special) -> None:
    """ "1" is not "true": the check still runs."""
    instance = special(SMTP_HEALTH_CHECK_DISABLED="1").wait_listening()
    instance.client().warm()
    assert "SMTP" in instance.health().text


def test_database_check_can_be_switched_off(special: Special) -> None:
    """DATABASE_HEALTH_CHECK_DISABLED=true: healthy from the first moment."""
    instance = special(DATABASE_HEALTH_CHECK_DISABLED="true").wait_listening()
    assert instance.health().status == 200


def test_bbb_check_asks_is_meeting_running_with_sha1(stage: kit.Stage, greenlight: kit.Instance) -> None:
    """GET isMeetingRunning?meetingID=0, SHA-1; "/api/" is appended to the endpoint; anything but SUCCESS is a 500."""
    greenlight.client().warm()
    assert greenlight.health().status == 200
    call = stage.bbb.last("isMeetingRunning")
    assert (call.method, call.path, call.parameters["meetingID"]) == ("GET", "/bigbluebutton/api/isMeetingRunning", "0")
    assert call.signed_with_sha1
    stage.bbb.answers["isMeetingRunning"] = "<response><returncode>FAILED</returncode></response>"
    try:
        answer = greenlight.health()
        assert (answer.status, "Unable to connect to BigBlueButton" in answer.text) == (500, True)
    finally:
        del stage.bbb.answers["isMeetingRunning"]


def test_redis_check_pings(special: Special, stage: kit.Stage) -> None:
    """A wrong Redis password: the server starts, the check fails."""
    instance = special(REDIS_URL=f"redis://:wrong@{stage.name}-redis:6379").wait_listening()
    instance.client().warm()
    answer = instance.health()
    assert (answer.status, "Unable to connect to Redis" in answer.text) == (500, True)


def test_server_ends_gracefully_on_sigterm(special: Special, stage: kit.Stage) -> None:
    """docker stop is answered at once by the server (PID 1 by exec)."""
    instance = special().wait_listening()
    instance.client().warm()
    began = time.monotonic()
    instance.container.stop(timeout=20)
    instance.container.reload()
    assert time.monotonic() - began < 15
    assert instance.container.attrs["State"]["ExitCode"] == 1


def test_request_in_flight_is_finished(special: Special, stage: kit.Stage, rows: kit.Rows) -> None:
    """SIGTERM during a meeting start: the answer still comes, then the server ends."""
    instance = special().wait_listening()
    user_id = rows.user("flight@sunflower.test")
    client = instance.client()
    assert client.sign_in("flight@sunflower.test").status == 200
    friendly_id = client.post("rooms.json", {"room": {"name": "R", "user_id": user_id}}).data.rsplit("/", 1)[-1]
    stage.bbb.delay = 3
    answers: list[kit.Answer] = []
    request = threading.Thread(target=lambda: answers.append(client.post(f"meetings/{friendly_id}/start.json")))
    try:
        before = len(stage.bbb.calls)
        request.start()
        kit.wait_for(lambda: len(stage.bbb.calls) > before, 10, "the create call")
        instance.container.stop(timeout=20)
        request.join(10)
    finally:
        stage.bbb.delay = 0
    assert [answer.status for answer in answers] == [201]
    assert instance.wait_exit() == 1


@pytest.mark.skipif(not kit.is_double(), reason="the older and the broken release exist as doubles only")
class TestOtherReleases:
    """Upgrade from 3.7.1, and a release whose migration fails."""

    def test_upgrade_from_3_7_1(self, stage: kit.Stage) -> None:
        """3.7.1 lacks AccessibilityStatement, AllowNameUpdate, invitations.name; 3.8.2.4 adds exactly these."""
        url = stage.database("upgraded")
        old = stage.start(url, image=f"{build.REPOSITORY}:v3.7.1").wait_listening()
        assert old.client().get("env.json").data["VERSION_TAG"] == "v3.7.1"
        with stage.sql("upgraded") as connection:
            rows = kit.Rows(connection)
            assert rows.value("SELECT count(*) FROM schema_migrations") == 34
            assert rows.value("SELECT count(*) FROM data_migrations") == 26
            assert rows.value("SELECT count(*) FROM site_settings") == 18
            assert (
                rows.value("SELECT count(*) FROM information_schema.columns WHERE table_name = 'invitations' AND column_name = 'name'") == 0
            )
            stage.stop(old)
            new = stage.start(url).wait_listening()
            assert new.run("bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data")[0] == 0
            assert rows.value("SELECT count(*) FROM schema_migrations") == 35
            assert rows.value("SELECT count(*) FROM data_migrations") == 28
            assert rows.value("SELECT count(*) FROM site_settings") == 20
            stage.stop(new)

    def test_failing_migration_starts_the_server_on_a_half_migrated_database(self, stage: kit.Stage) -> None:
        """No "set -e" in bin/start: the server is up, the health check and the exit code tell."""
        url = stage.database("broken")
        stage.stop(stage.start(url).wait_listening())
        broken = stage.start(url, image=f"{build.REPOSITORY}:v3.9.0-broken").wait_listening()
        assert "aborted" in broken.log()
        assert broken.client().warm().status == 200
        assert broken.health().status == 500
        assert broken.run("bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data")[0] != 0
        with stage.sql("broken") as connection:
            rows = kit.Rows(connection)
            assert rows.value("SELECT count(*) FROM schema_migrations WHERE version > '20260402000000'") == 1
            assert rows.value("SELECT count(*) FROM data_migrations") == 28
        stage.stop(broken)
