# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member leaves: notice, export, closing, erasing, receipt, each step interrupted; then its export comes back to life elsewhere.

The tests are steps of one story and run in their order; at its end the lab's co-operative is whole again.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site
from tests.support.ansible import INVENTORY, ROOT, environment

from .conftest import Play, command

INSTANCE, DATABASE, NAME = "rosa", "greenlight_rosa", "meet.rosa.test"
PERSON, PASSWORD = "pia@rosa.test", "Old-Passw0rd!"
RECORD = f"/var/lib/meet-coop/offboarding/{INSTANCE}"
UPLOAD, KEY = b"%PDF slides of Rosa " * 200, "rosaslides" * 3
TODAY = datetime.date.today()


class Leaving:
    """The co-operative that leaves: its key, what the membership file says of it, and what can be seen of it."""

    def __init__(self, lab: Any, play: Callable[..., Play], folder: pathlib.Path) -> None:
        self.lab, self.play, self.folder = lab, play, folder
        made = lab.exec("host1", ["age-keygen"])
        assert made.returncode == 0, made.stderr
        self.identity, self.key = made.stdout.splitlines()[-1], made.stdout.splitlines()[1].removeprefix("# public key: ")
        self.inventory = folder / "inventories" / "lab"
        shutil.copytree(INVENTORY, self.inventory)
        (folder / ".lab").symlink_to(ROOT / ".lab")
        self.out = folder / "offboarding"
        self.text = (self.inventory / "members.yml").read_text()

    def state(self, member: str, state: str) -> None:
        """Write the membership file: lines for the member, and the state of its service."""
        text = self.text.replace("  rosa:\n    name: Cooperativa Rosa\n", f"  rosa:\n    name: Cooperativa Rosa\n{member}")
        text = text.replace("    title: Reunions de la Rosa\n", f"    title: Reunions de la Rosa\n    state: {state}\n")
        (self.inventory / "members.yml").write_text(text)

    def arguments(self, *more: str) -> list[str]:
        return ["-l", INSTANCE, "-e", f"offboarding_directory={self.out}", "-e", f"welcome_directory={self.folder}/welcome", *more]

    def run(self, *more: str) -> Play:
        return self.play("offboard.yml", *self.arguments(*more), inventory=self.inventory)

    def kill_at(self, task: str, *more: str) -> None:
        """Run the play and kill all of it (SIGKILL) as soon as the task begins."""
        process = subprocess.Popen(
            command("offboard.yml", *self.arguments(*more), inventory=self.inventory), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if line.startswith("TASK [") and task in line:
                    return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        raise AssertionError(f"it never came to {task}:\n{''.join(said)[-3000:]}")

    def sh(self, script: str, input: str | bytes | None = None) -> str:
        done = self.lab.exec("host1", ["sh", "-c", script], input)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def sql(self, query: str) -> str:
        return self.sh(f"psql -U postgres -d {DATABASE} -AtqX", query).strip()

    def site(self) -> Site:
        return Site(NAME, Names(self.lab.resolver), self.lab.ca_file)

    def there(self) -> dict[str, bool]:
        """What of the instance is left on its host and in the zone."""
        found = self.sh(
            f"docker ps -aq --filter name=^greenlight-{INSTANCE}$ | grep -c .;"
            f" docker volume ls -q | grep -c ^greenlight-{INSTANCE}-storage$;"
            f" psql -U postgres -AtqXc \"SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'\";"
            f" ls -d /var/lib/meet-coop/instances/{INSTANCE} 2>/dev/null | grep -c .;"
            f" grep -c '\"@id\":\\s*\"route-{INSTANCE}\"' /etc/caddy/edge.json; true"
        ).split()
        told = dict(zip(("container", "volume", "database", "directory", "route"), (number != "0" for number in found), strict=True))
        return {**told, "name": self.lab.query("rosa.meet.test") != []}

    def forget(self) -> None:
        """Remove the person of this story."""
        self.sql(
            f"""
            DELETE FROM active_storage_attachments WHERE blob_id IN (SELECT id FROM active_storage_blobs WHERE key = '{KEY}');
            DELETE FROM active_storage_blobs WHERE key = '{KEY}';
            DELETE FROM room_meeting_options WHERE room_id IN (SELECT id FROM rooms WHERE friendly_id = 'pia-pia-pia-pia');
            DELETE FROM rooms WHERE friendly_id = 'pia-pia-pia-pia';
            DELETE FROM users WHERE email = '{PERSON}';
            """
        )

    def export(self) -> pathlib.Path:
        (found,) = self.out.glob(f"{INSTANCE}/*.tar.age")
        return found

    def opened(self) -> bytes:
        """The archive, as the member decrypts it."""
        script = "umask 077; cat > /run/x.age; age -d -i /run/member.key /run/x.age"
        argv = ["docker", "exec", "-i", self.lab.host("host1"), "sh", "-c", script]
        self.sh("umask 077; cat > /run/member.key", self.identity + "\n")
        done = subprocess.run(argv, input=self.export().read_bytes(), capture_output=True, check=False)
        self.sh("rm -f /run/member.key /run/x.age")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def receipt(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / INSTANCE / "receipt.json").read_text())
        return found


@pytest.fixture(scope="module")
def rosa(onboarded: Play, lab: Any, play: Callable[..., Play], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaving]:
    found = Leaving(lab, play, tmp_path_factory.mktemp("leaving"))
    lab.exec("host1", ["rm", "-rf", RECORD])
    found.forget()
    found.sql(
        f"""
        INSERT INTO users (name, email, provider, language, verified, status, session_token, session_expiry, role_id, password_digest,
                           created_at, updated_at)
        SELECT 'Pia Serra', '{PERSON}', 'greenlight', 'ca', true, 0, 'offboard-session-token', now(), id,
               public.crypt('{PASSWORD}', public.gen_salt('bf', 4)), now(), now() FROM roles WHERE name = 'User';
        INSERT INTO rooms (user_id, name, friendly_id, meeting_id, created_at, updated_at)
        SELECT id, 'Assemblea', 'pia-pia-pia-pia', 'meeting-of-pia', now(), now() FROM users WHERE email = '{PERSON}';
        INSERT INTO active_storage_blobs (key, filename, content_type, service_name, byte_size, checksum, created_at)
        VALUES ('{KEY}', 'acta.pdf', 'application/pdf', 'local', {len(UPLOAD)}, '', now());
        INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)
        SELECT 'presentation', 'Room', r.id, b.id, now() FROM rooms r, active_storage_blobs b
         WHERE r.friendly_id = 'pia-pia-pia-pia' AND b.key = '{KEY}';
        """
    )
    volume = found.sh(f"docker volume inspect --format '{{{{.Mountpoint}}}}' greenlight-{INSTANCE}-storage").strip()
    found.sh(f"mkdir -p {volume}/{KEY[:2]}/{KEY[2:4]}; cat > {volume}/{KEY[:2]}/{KEY[2:4]}/{KEY}", UPLOAD)
    yield found
    lab.exec("host1", ["rm", "-rf", RECORD])


def test_nothing_is_closed_before_the_day_nor_without_a_key_nor_while_the_file_wants_it_open(rosa: Leaving) -> None:
    rosa.state(f"    leaving: {TODAY}\n", "present")
    due, key = ("-e", "offboarding_notice_days=0"), ("-e", json.dumps({"offboarding_recipients": [rosa.key]}))
    for more, said in (
        ((), f"nothing is closed before {TODAY + datetime.timedelta(days=30)}"),
        (due, "write it as export_key: under members.rosa"),
        ((*due, *key), "write state: absent under services.rosa"),
    ):
        refused = rosa.run(*more)
        assert refused.failed == {INSTANCE} and refused.changed == {}, refused.output[-3000:]
        assert said in " ".join(refused.output.split()) and "Traceback" not in refused.output, refused.output[-3000:]
    assert set(rosa.there().values()) == {True} and not rosa.out.exists()


def test_an_export_can_be_had_at_any_time(rosa: Leaving) -> None:
    rosa.state(f"    leaving: {TODAY}\n    export_key: {rosa.key}\n", "present")
    made = rosa.run("-e", "offboarding_until=export")
    assert made.code == 0, made.output[-3000:]
    with tarfile.open(fileobj=io.BytesIO(rosa.opened())) as archive:
        people = archive.extractfile(f"{INSTANCE}-export/users.csv")
        assert people is not None and PERSON in people.read().decode()
    assert rosa.site().sign_in(PERSON, PASSWORD).status == 200


def test_closing_interrupted_anywhere_is_finished_and_keeps_the_data(rosa: Leaving) -> None:
    rosa.state(f"    leaving: {TODAY}\n    export_key: {rosa.key}\n", "absent")
    now = ("-e", "offboarding_notice_days=0")
    before = rosa.there()
    foretold = rosa.run(*now, "--check", "--diff")
    assert foretold.code == 0 and foretold.changed[INSTANCE] >= 4 and rosa.there() == before, foretold.output[-3000:]
    for task in ("Close the tenant of the pool", "Write down that it is closed"):
        rosa.kill_at(task, *now)
    closed = rosa.run(*now)
    assert closed.code == 0, closed.output[-3000:]
    assert rosa.there() == {"container": False, "volume": True, "database": True, "directory": True, "route": False, "name": False}
    receipt = rosa.receipt()
    assert receipt["erased_at"] is None and receipt["closed_at"][:10] == datetime.datetime.now(datetime.UTC).date().isoformat()
    assert receipt["export"]["sha256"] == hashlib.sha256(rosa.export().read_bytes()).hexdigest()
    assert f"write left: {receipt['closed_at'][:10]} under members.rosa" in " ".join(closed.output.split())
    farewell = (rosa.folder / "welcome" / f"{INSTANCE}.html").read_text()
    assert "meet.rosa.test" in farewell and "v=spf1 include:_spf.lab.test -all" in farewell and "_dmarc.rosa.test." in farewell
    again = rosa.run(*now)
    assert again.code == 0 and again.changed == {}, again.output[-3000:]


def test_nothing_is_erased_without_the_export_that_was_proven(rosa: Leaving) -> None:
    now = ("-e", "offboarding_notice_days=0", "-e", "offboarding_keep_days=0")
    copy, kept = rosa.export(), rosa.export().read_bytes()
    there = f"{RECORD}/{copy.name}"
    before = rosa.there()

    def refused() -> str:
        outcome = rosa.run(*now)
        assert outcome.failed == {INSTANCE} and rosa.there() == before, outcome.output[-3000:]
        return " ".join(outcome.output.split())

    rosa.sh(f"cp {there} /run/kept; printf x | dd of={there} bs=1 seek=3000 conv=notrunc status=none")
    assert "is not the one that was proven readable" in refused() and copy.read_bytes() == kept
    # Past the point where the export is looked at again, too: a run that was cut short between erasing's first word and its first deed.
    rosa.sh(f"cp /run/kept {there}")
    rosa.kill_at("Remove the containers, the uploads and the dumps", *now)
    copy.write_bytes(kept[:-1])
    assert "is not the export that was proven readable" in refused()
    copy.write_bytes(kept)
    rosa.sh("rm /run/kept")


def test_erasing_interrupted_anywhere_is_finished_with_a_receipt(rosa: Leaving, play: Callable[..., Play]) -> None:
    now = ("-e", "offboarding_notice_days=0", "-e", "offboarding_keep_days=0", "-e", "offboarding_backups_age_out_days=100")
    for task in ("Drop the database and its role", "Look for our copy"):
        rosa.kill_at(task, *now)
    erased = rosa.run(*now)
    assert erased.code == 0 and set(rosa.there().values()) == {False}, erased.output[-3000:]
    assert rosa.sh(f"ls -A {RECORD}").split() == ["record.json"]
    receipt = rosa.receipt()
    assert receipt["export"]["sha256"] == hashlib.sha256(rosa.export().read_bytes()).hexdigest()
    assert receipt["backups_age_out"] == (TODAY + datetime.timedelta(days=100)).isoformat() and receipt["erased_at"] > receipt["closed_at"]
    assert any(DATABASE in thing for thing in receipt["erased"]) and receipt["register_entry"] == "kept"
    page = (rosa.out / INSTANCE / "receipt.html").read_text()
    assert "Deletion receipt" in page and receipt["export"]["sha256"] in page and receipt["backups_age_out"] in page
    for again in (rosa.run(*now), play("services.yml", "-l", INSTANCE, inventory=rosa.inventory)):
        assert again.code == 0 and again.changed == {} and set(rosa.there().values()) == {False}, again.output[-3000:]
    assert rosa.receipt() == receipt
    forgotten = rosa.run(*now, "-e", f"offboarding_today={receipt['backups_age_out']}")
    assert forgotten.code == 0 and rosa.receipt()["backups_removed_at"] > receipt["erased_at"], forgotten.output[-3000:]


def test_its_export_comes_back_to_life_and_its_people_sign_in(rosa: Leaving, lab: Any, play: Callable[..., Play]) -> None:
    archive = rosa.folder / "rosa.tar"
    archive.write_bytes(rosa.opened())
    back = play("import.yml", "-l", INSTANCE, "-e", f"instance_archive={archive}", "-e", "verify_checks=sign_in")
    assert back.code == 0, back.output[-6000:]
    site = rosa.site()
    assert site.sign_in(PERSON, PASSWORD).status == 200
    rooms = site.request("GET", "/api/v1/rooms.json").json()
    assert [room["name"] for room in rooms["data"]] == ["Assemblea"]
    volume = rosa.sh(f"docker volume inspect --format '{{{{.Mountpoint}}}}' greenlight-{INSTANCE}-storage").strip()
    assert rosa.sh(f"cat {volume}/{KEY[:2]}/{KEY[2:4]}/{KEY}").encode() == UPLOAD
    assert "import.tar" not in rosa.sh(f"ls -A /var/lib/meet-coop/instances/{INSTANCE}")
    refused = rosa.run("-e", "offboarding_notice_days=0", "-e", "offboarding_keep_days=0")
    assert refused.failed == {INSTANCE} and "exists again since" in " ".join(refused.output.split())
    assert set(rosa.there().values()) == {True}
    rosa.forget()
