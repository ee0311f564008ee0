# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restic says against something as one clear line, which snapshot is meant, and what is kept. Its words are those of 0.14 and 0.18."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._backup import config, restic, runs
from ansible_collections.meet.coop.plugins.module_utils._backup.restic import Keep, Repository, ResticError, Snapshot
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

REPOSITORY = Repository("rest:https://coop:s3cr3t@backup.example/coop", password="the-key")
LOCKED = """unable to create lock in backend: repository is already locked exclusively by PID 8818 on host1 by root (UID 0, GID 0)
lock was created at 2026-11-25 19:40:18 (30.111912649s ago)
storage ID bb4ddbd0
the `unlock` command can be used to remove stale locks"""


def as_json(code: int, message: str) -> str:
    return json.dumps({"message_type": "exit_error", "code": code, "message": message})


SAID: dict[str, tuple[str, int, str, str]] = {
    "wrong key, 0.14": (restic.KEY, 1, "Fatal: wrong password or no key found", "the key is wrong"),
    "wrong key, 0.18": (restic.KEY, 12, as_json(12, "Fatal: wrong password or no key found"), "the key is wrong"),
    "locked, 0.14": (restic.LOCKED, 1, LOCKED, "is locked by PID 8818 on host1 by root since 2026-11-25 19:40:18"),
    "locked, 0.18": (
        restic.LOCKED, 11, "repo already locked, waiting up to 0s for the lock\n" + LOCKED, "is locked by PID 8818 on host1 by root"
    ),
    "absent, 0.14": (
        restic.ABSENT, 1, "Fatal: unable to open config file: stat /r/config: no such file or directory\nIs there a repository at the"
        " following location?\n/r", "is not there",
    ),
    "absent, 0.18": (
        restic.ABSENT,
        10,
        as_json(
            10,
            "Fatal: repository does not exist: unable to open config file: stat /r/config: no such file or"
            " directory\nIs there a repository at the following location?\n/r",
        ),
        "is not there",
    ),
    "ssh refused, 0.14": (
        restic.AWAY, 1, "subprocess ssh: ssh: connect to host h port 22: Connection refused\nFatal: unable to open repository at sftp:h:/x:"
        " unable to start the sftp session, error: EOF", "cannot be reached (subprocess ssh: ssh: connect to host h port 22",
    ),
    "key not admitted, 0.18": (
        restic.AWAY,
        1,
        "subprocess ssh: u@h: Permission denied (publickey).\n"
        + as_json(
            1,
            "Fatal: unable to open repository at sftp:h:/x: unable to start the sftp session, error: error receiving version packet from"
            " server: read |0: file already closed",
        ),
        "cannot be reached (subprocess ssh: u@h: Permission denied",
    ),
    "refused, 0.14": (
        restic.AWAY, 1, 'Fatal: unable to open config file: client.Head: Head "http://127.0.0.1:1/config": dial tcp 127.0.0.1:1: connect:'
        " connection refused\nIs there a repository at the following location?\nrest:http://127.0.0.1:1/", "cannot be reached",
    ),
    "full, 0.14": (restic.FULL, 1, "Fatal: unable to save snapshot: write /r/data/9f: no space left on device", "the disk is full"),
    "full, 0.18": (restic.FULL, 1, as_json(1, "Fatal: unable to save snapshot: write /r/01: no space left on device"), "the disk is full"),
    "flipped bit, 0.14": (
        restic.DAMAGED, 1, "error for tree efdd3664:\n  decrypting blob efdd failed: ciphertext verification failed\nread all data\nPack ID"
        " does not match, want 4aea, got 05f9", "is damaged",
    ),
    "flipped bit, 0.18": (
        restic.DAMAGED, 1, "pack 5bc8 contains 2 errors: [blob 73cb: decrypting blob <data/73cb3858> from 5bc828f3 failed: ciphertext"
        " verification failed]\nFatal: repository contains errors", "is damaged",
    ),
    "lost pack, 0.14": (restic.DAMAGED, 1, "pack 4aeaa7447d: does not exist", "is damaged"),
    "no such snapshot": (restic.MISSING, 1, 'Fatal: failed to find snapshot: no matching ID found for prefix "deadbeef"', "no matching ID"),
    "something new": (restic.OTHER, 1, "Fatal: the moon is too near", "the moon is too near"),
    "nothing": (restic.OTHER, 1, "", "restic ended with 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_restic_says_becomes_one_line(case: str) -> None:
    kind, code, said, expected = SAID[case]
    error = restic.explained(REPOSITORY, code, "", said)
    assert error.kind == kind
    assert expected in str(error) and "\n" not in str(error)
    assert str(error).startswith("repository rest:https://backup.example/coop")
    assert "s3cr3t" not in str(error)


@given(st.text(), st.integers(1, 130))
def test_whatever_it_says_no_line_break_and_no_password_come_through(said: str, code: int) -> None:
    text = str(restic.explained(REPOSITORY, code, "", f"{said}\nFatal: https://coop:s3cr3t@backup.example/coop {said}"))
    assert "\n" not in text and "coop:s3cr3t@" not in text


def program(tmp_path: pathlib.Path, script: str) -> Repository:
    """A repository whose restic is a shell script."""
    path = tmp_path / "restic"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Repository("/srv/r", password="the-key", cache=str(tmp_path / "cache"), program=str(path), lock_wait=1)


def test_secrets_are_told_by_the_environment_alone(tmp_path: pathlib.Path) -> None:
    one = program(tmp_path, 'echo "$*"; echo "$RESTIC_REPOSITORY $RESTIC_PASSWORD $AWS_SECRET_ACCESS_KEY"')
    told = restic.run(Repository(**{**vars(one), "environment": {"AWS_SECRET_ACCESS_KEY": "aws"}}), ["snapshots", "--json"]).splitlines()
    assert told == ["snapshots --json", "/srv/r the-key aws"]
    assert "the-key" not in repr(one) and "s3cr3t" not in restic.shown(REPOSITORY.url)


def test_a_stale_lock_is_removed_and_the_call_made_again(tmp_path: pathlib.Path) -> None:
    flag, calls = tmp_path / "unlocked", tmp_path / "calls"
    one = program(
        tmp_path,
        f'echo "$1" >>{calls}; [ "$1" = unlock ] && exec touch {flag}; [ -e {flag} ] && exec echo done; echo already locked >&2; exit 11',
    )
    assert restic.run(one, ["prune"]) == "done\n"
    assert calls.read_text().split() == ["prune", "unlock", "prune"]


def test_a_living_lock_is_waited_for_and_then_told(tmp_path: pathlib.Path) -> None:
    one = program(tmp_path, f"[ \"$1\" = unlock ] && exit 0; cat >&2 <<'X'\n{LOCKED}\nX\nexit 1")
    begun = datetime.now(timezone.utc)
    with pytest.raises(ResticError, match="is locked by PID 8818 on host1"):
        restic.run(one, ["prune"])
    assert timedelta(seconds=1) <= datetime.now(timezone.utc) - begun < timedelta(seconds=20)


def test_a_repository_that_does_not_answer_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    one = program(tmp_path, 'echo "Stat(<config/>) returned error, retrying after 1s: dial tcp 192.0.2.1:8000" >&2; sleep 60')
    with pytest.raises(ResticError, match="has not answered for 1 s .*192.0.2.1") as caught:
        restic.run(one, ["snapshots"], timeout=1)
    assert caught.value.kind == restic.AWAY


def test_a_missing_program_and_a_missing_key_are_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ResticError, match="Debian package restic"):
        restic.run(Repository("/r", password="x", cache=str(tmp_path), program=str(tmp_path / "none")), ["snapshots"])
    (tmp_path / "empty").write_text("\n")
    key_files = ((None, "has no key"), (str(tmp_path / "no"), "No such file"), (str(tmp_path / "empty"), "is empty"))
    for key_file, said in key_files:
        with pytest.raises(ResticError, match=said) as caught:
            restic.run(Repository("/r", password_file=key_file), ["snapshots"])
        assert caught.value.kind == restic.KEY


def test_an_incomplete_snapshot_is_taken_away_again(tmp_path: pathlib.Path) -> None:
    calls = tmp_path / "calls"
    summary = json.dumps({"message_type": "summary", "snapshot_id": "abcdef12"})
    trouble = json.dumps({"message_type": "error", "error": {"message": "open a: permission denied"}, "item": "a"})
    one = program(
        tmp_path,
        f'echo "$1" >>{calls}; [ "$1" = forget ] && exit 0; printf \'%s\\n\' {shlex.quote(trouble)} {shlex.quote(summary)}; exit 3',
    )
    with pytest.raises(ResticError, match="open a: permission denied"):
        restic.backup(one, str(tmp_path), ["kind=instance"], "h")
    assert calls.read_text().split() == ["backup", "forget"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sftp:coop@h.example:/srv/r", ["coop@h.example", "-s", "sftp"]),
        ("sftp:h.example:r", ["h.example", "-s", "sftp"]),
        ("sftp://coop@h.example:2222/r", ["-p", "2222", "coop@h.example", "-s", "sftp"]),
    ],
)
def test_ssh_is_called_with_its_key_and_asks_nobody(url: str, expected: list[str]) -> None:
    option, value = restic.sftp_options(Repository(url, password="x", ssh_key="/etc/k", known_hosts="/etc/kn own"))
    words = shlex.split(value.removeprefix("sftp.command="))
    assert option == "-o" and words[0] == "ssh" and words[-len(expected) :] == expected
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/etc/kn own", "IdentitiesOnly=yes"} <= set(words)
    assert restic.sftp_options(Repository(url, password="x")) == []
    assert restic.sftp_options(Repository("/srv/sftp:r", password="x", ssh_key="/etc/k")) == []


# --- Which snapshot -------------------------------------------------------------------------------------------------

START = datetime(2026, 4, 1, 3, 0, tzinfo=timezone.utc)
NIGHTS = [Snapshot(f"{number:08x}{'0' * 56}", START + timedelta(days=number)) for number in range(5)]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("latest", 4), ("2026-04-03", 2), ("2026-04-03T03:00:00Z", 2), ("2026-04-03T02:59:59Z", 1), ("2026-04-03 04:00", 2),
        ("2026-04-03T04:00:00+02:00", 1), ("00000003", 3), (NIGHTS[1].id, 1),
    ],
)  # fmt: skip
def test_a_snapshot_is_chosen(wanted: str, number: int) -> None:
    assert restic.choose(NIGHTS, wanted, "sunflower", "repository /r") == NIGHTS[number]
    assert restic.choose(NIGHTS[::-1], wanted, "sunflower", "repository /r") == NIGHTS[number]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("2026-03-31", "no snapshot of sunflower that is as old as 2026-03-31T23:59:59Z; there are 5, from 2026-04-01T03:00:00Z"),
        ("deadbeef", "no snapshot deadbeef of sunflower"),
        ("yesterday", "neither latest, nor a time"),
        ("", "neither latest, nor a time"),
        ("2026-13-01", "neither latest, nor a time"),
    ],
)
def test_a_snapshot_that_is_not_there_is_told(wanted: str, said: str) -> None:
    with pytest.raises(CoopError, match=said):
        restic.choose(NIGHTS, wanted, "sunflower", "repository /r")


def test_ids_that_begin_alike_are_not_guessed() -> None:
    twins = [Snapshot("aaaaaaaa1" + "0" * 55, START), Snapshot("aaaaaaaa2" + "0" * 55, START)]
    with pytest.raises(ResticError, match="several snapshots aaaaaaaa"):
        restic.choose(twins, "aaaaaaaa", "sunflower", "repository /r")
    assert restic.choose(twins, "aaaaaaaa2", "sunflower", "repository /r") == twins[1]
    with pytest.raises(ResticError, match="has no snapshot of sunflower"):
        restic.choose([], "latest", "sunflower", "repository /r")


@given(
    st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), min_size=1), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))
)
def test_a_time_never_means_a_younger_snapshot(times: list[datetime], until: datetime) -> None:
    found = [Snapshot(f"{number:064x}", one.replace(tzinfo=timezone.utc)) for number, one in enumerate(times)]
    limit = until.replace(tzinfo=timezone.utc)
    earlier = [one for one in found if one.time <= limit]
    if earlier:
        assert restic.choose(found, limit.isoformat(), "x", "r").time == max(one.time for one in earlier)
    else:
        with pytest.raises(ResticError):
            restic.choose(found, limit.isoformat(), "x", "r")


@pytest.mark.parametrize("text", ["2026-11-25T19:39:37.673433457Z", "2026-11-25T20:39:37.673433+01:00", "2026-11-25T19:39:37.673433Z"])
def test_times_of_restic_are_read(text: str) -> None:
    assert restic.moment(text) == datetime(2026, 11, 25, 19, 39, 37, 673433, tzinfo=timezone.utc)


# --- What is kept ---------------------------------------------------------------------------------------------------


def test_retention_is_read_strictly() -> None:
    assert restic.keep(None, "keep") == restic.keep({}, "keep") == Keep()
    assert restic.keep({"daily": 30, "monthly": "24"}, "keep") == Keep(0, 0, 30, 0, 24, 0)
    assert restic.keep({"daily": 30, "monthly": 24}, "keep").options == ["--keep-daily=30", "--keep-monthly=24"]
    for wrong, said in (
        ({"days": 3}, "not days"),
        ({"daily": -1}, "whole number"),
        ({"daily": True}, "whole number"),
        ({"daily": 0}, "nothing at all"),
    ):
        with pytest.raises(CoopError, match=said):
            restic.keep(wrong, "keep of sunflower")


def test_a_job_refuses_what_it_would_mix_up(tmp_path: pathlib.Path) -> None:
    options = {**config.DEFAULTS, "repository": "/r", "state_root": str(tmp_path)}
    assert runs.job_of(options, "h").instances == []
    for name, secrets in (("sunflower", True), ("empty", False)):
        (tmp_path / name).mkdir()
        if secrets:
            (tmp_path / name / "secrets.json").write_text("{}")
    job = runs.job_of({**options, "keep_instances": {"sunflower": {"daily": 3}}}, "h")
    assert [one.name for one in job.instances] == ["sunflower"] and job.instances[0].login.db == "greenlight_sunflower"
    assert job.keep_of("sunflower") == Keep(0, 0, 3, 0, 0, 0) and job.keep_of("meadow") == Keep()
    for instances, said in (
        ([{"name": "a"}, {"name": "a"}], "a twice"),
        ([{"name": "../x"}], "not an instance id"),
        ([{"name": "host"}], "cannot be called host"),
    ):
        with pytest.raises(CoopError, match=said):
            runs.job_of({**options, "instances": instances}, "h")


# --- The host's configuration and figures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"), ("[]", "holds no options"), ('{"repositry": "/r"}', "knows no repositry"),
        ('{"repository": 3}', "repository is no str"), ('{"keep": {}}', "names no repository"),
    ],
)  # fmt: skip
def test_a_broken_configuration_is_told(tmp_path: pathlib.Path, text: str, said: str) -> None:
    path = tmp_path / "backup.json"
    path.write_text(text)
    with pytest.raises(CoopError, match=said):
        config.read(str(path))
    with pytest.raises(CoopError, match="is not there: apply role backup"):
        config.read(str(tmp_path / "none.json"))


def test_figures_name_every_service_and_survive_a_bad_run(tmp_path: pathlib.Path) -> None:
    job = runs.Job(repository=REPOSITORY, work=str(tmp_path))
    metrics = str(tmp_path / "backup.prom")
    good = runs.Outcome("sunflower", snapshot="a" * 64, time="2026-04-02T03:15:00Z", size=10, seconds=1.5)
    runs.note(job, runs.Report(outcomes=[good]), metrics)
    runs.note(job, runs.Report(outcomes=[runs.Outcome("sunflower", "fail", error="it was away")], errors=["copy: away"]), metrics)
    text = pathlib.Path(metrics).read_text()
    assert os.stat(metrics).st_mode & 0o777 == 0o644
    assert 'meet_coop_backup_last_success_timestamp_seconds{service="sunflower"} 1775099700\n' in text
    assert 'meet_coop_backup_ok{service="sunflower"} 0\n' in text and "meet_coop_backup_upkeep_ok 0\n" in text
    status = runs.read_status(str(tmp_path))["sunflower"]
    assert status["snapshot"] == "a" * 64 and status["error"] == "it was away"
