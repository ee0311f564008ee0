# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New secrets, as an operator has them made: begun, killed, finished, while people use the site."""

from __future__ import annotations

import hashlib
import http.client
import json
import pathlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from .conftest import Play

INSTANCE, DATABASE = "sunflower-training", "greenlight_sunflower_training"
HOSTNAME = "sunflower-training.meet.test"
OURS = ["database_password", "pool_secret", "redis_password", "secret_key_base"]


class Visitors:
    """People who load the page, again and again, as long as the block lasts."""

    def __init__(self, lab: Any) -> None:
        self.address, self.trust = lab.ip("host1"), ssl.create_default_context(cafile=lab.ca_file)
        self.trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.bad: list[str] = []
        self.seconds: list[float] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._visit, args=(path,)) for path in ("/", "/api/v1/env.json")]

    def _visit(self, path: str) -> None:
        while not self.over.wait(0.2):
            began = time.monotonic()
            try:
                with socket.create_connection((self.address, 443), 10) as plain:
                    plain.settimeout(150)
                    with self.trust.wrap_socket(plain, server_hostname=HOSTNAME) as secure:
                        lines = [f"GET {path} HTTP/1.1", f"Host: {HOSTNAME}", "Accept: */*", "Connection: close", "", ""]
                        if path.endswith(".json"):
                            lines[2] = "Accept: application/json"
                        secure.sendall("\r\n".join(lines).encode())
                        answer = http.client.HTTPResponse(secure)
                        answer.begin()
                        answer.read()
                        if answer.status != 200:
                            self.bad.append(f"{path}: {answer.status} after {time.monotonic() - began:.1f} s")
            except (OSError, http.client.HTTPException) as error:
                self.bad.append(f"{path}: {error!r} after {time.monotonic() - began:.1f} s")
            self.seconds.append(time.monotonic() - began)

    def __enter__(self) -> Visitors:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_secrets_are_changed_on_both_sides_while_people_use_the_site(
    onboarded: Play, lab: Any, play: Callable[..., Play], play_killed_at: Callable[..., bool], tmp_path: pathlib.Path
) -> None:
    def kept() -> dict[str, str]:
        found: dict[str, str] = json.loads(lab.exec("host1", ["cat", f"/var/lib/meet-coop/instances/{INSTANCE}/secrets.json"]).stdout)
        return found

    def variables(readers: list[str], secrets: list[str]) -> tuple[str, str]:
        wanted = {"instance_secret_readers": readers, "rotate_secrets": secrets, "rotate_report_directory": str(tmp_path / "secrets")}
        return "-e", json.dumps(wanted)

    old = kept()
    environment = container_environment(lab)
    assert sorted(old) == OURS and environment["SECRET_KEY_BASE"] == old["secret_key_base"]
    # Both sides have the new values when the run is broken off, and the file still says the old ones.
    with Visitors(lab) as visitors:
        begun = variables(["agaric", "rosa"], [*OURS, "smtp_password"])
        assert play_killed_at("Let the new values take the place of the old ones", 0, "rotate.yml", "-l", INSTANCE, *begun)
        between = kept()
        assert {name: between[name] for name in OURS} == old and sorted(set(between) - set(old)) == [f"{name}.next" for name in OURS]
        assert container_environment(lab)["SECRET_KEY_BASE"] == between["secret_key_base.next"]
        assert container_environment(lab)["DATABASE_URL"].startswith(f"postgres://{DATABASE}_next:")
        # The next run names the mail password only: what was begun, and what rosa could read, is due by itself. It is broken off too, when
        # the file says the new values and the container still has the second login.
        assert play_killed_at(
            "Bring the instance to its ordinary state with the new values",
            0, "rotate.yml", "-l", INSTANCE, *variables(["agaric"], ["smtp_password"]),
        )  # fmt: skip
        assert kept() == {name: between[f"{name}.next"] for name in OURS}
        assert container_environment(lab)["DATABASE_URL"].startswith(f"postgres://{DATABASE}_next:")
        # Nothing is named and nothing is due any more, and it is finished all the same.
        outcome = play("rotate.yml", "-l", INSTANCE, *variables(["agaric"], []))
        assert outcome.code == 0, outcome.output[-5000:]
    assert visitors.bad == [] and len(visitors.seconds) > 40, (visitors.bad, max(visitors.seconds))

    new = kept()
    assert new == {name: between[f"{name}.next"] for name in OURS} and not set(new.values()) & set(old.values())
    environment = container_environment(lab)
    assert environment["SECRET_KEY_BASE"] == new["secret_key_base"]
    assert environment["DATABASE_URL"].startswith(f"postgres://{DATABASE}:{new['database_password']}@")
    for secrets, good in ((old, False), (new, True)):
        assert opens_database(lab, secrets["database_password"]) is good
        assert opens_redis(lab, secrets["redis_password"]) is good
        assert opens_pool(lab, environment["BIGBLUEBUTTON_ENDPOINT"], secrets["pool_secret"]) is good
    logins = lab.exec("host1", ["psql", "-U", "postgres", "-Atc", f"SELECT rolname FROM pg_roles WHERE rolname LIKE '{DATABASE}%'"])
    assert logins.stdout.split() == [DATABASE]

    report = json.loads((tmp_path / "secrets" / "report.json").read_text())
    (part,) = report
    assert part["instance"] == INSTANCE and part["due"] == []
    assert {entry["name"]: entry["readers"] for entry in part["secrets"]} == {name: ["agaric"] for name in sorted([*OURS, "smtp_password"])}
    again = play("rotate.yml", "-l", INSTANCE, *variables(["agaric"], []))
    assert again.code == 0 and again.changed == {} and kept() == new, again.output[-3000:]
    everything = "\n".join([outcome.output, again.output, json.dumps(report)])
    values = [*old.values(), *new.values(), lab.secrets["smtp"]["sunflower"]]
    assert [value for value in values if value in everything] == []
    assert "Traceback" not in everything


def container_environment(lab: Any) -> dict[str, str]:
    done = lab.exec("host1", ["docker", "inspect", "--format", "{{json .Config.Env}}", f"greenlight-{INSTANCE}"])
    return dict(entry.partition("=")[::2] for entry in json.loads(done.stdout))


def opens_database(lab: Any, password: str) -> bool:
    # From where an instance asks: PostgreSQL lets nobody else in.
    program = (
        f"import psycopg2, sys; psycopg2.connect(host='10.213.0.1', dbname='{DATABASE}', user='{DATABASE}', password=sys.stdin.read())"
    )
    done = lab.exec("host1", ["docker", "exec", "--interactive", f"greenlight-{INSTANCE}", "python3", "-c", program], password)
    assert done.returncode == 0 or "password authentication failed" in done.stderr, done
    return bool(done.returncode == 0)


def opens_redis(lab: Any, password: str) -> bool:
    argv = ["docker", "exec", "-e", f"REDISCLI_AUTH={password}", f"greenlight-{INSTANCE}-redis", "redis-cli", "ping"]
    return "PONG" in lab.exec("host1", argv).stdout.splitlines()


def opens_pool(lab: Any, endpoint: str, secret: str) -> bool:
    checksum = hashlib.sha1(f"getMeetings{secret}".encode(), usedforsecurity=False).hexdigest()
    answer = lab.exec("host1", ["curl", "-s", "--cacert", "/etc/meet-coop/ca-bundle.pem", f"{endpoint}getMeetings?checksum={checksum}"])
    assert "returncode" in answer.stdout, answer
    return "SUCCESS" in answer.stdout
