# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rota of restore drills, its receipts and metrics, and what is known before anything is started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._backup import drill, rota, scratch
from ansible_collections.meet.coop.plugins.module_utils._backup.rota import FAILED, GOOD, Record
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import environment, instance, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login

NOW = datetime(2026, 4, 2, 3, 15, tzinfo=timezone.utc)
MONTH = timedelta(days=28)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def receipt(began: datetime, result: str = GOOD, **more: Any) -> dict[str, Any]:
    return {"began_at": rota.text(began), "result": result, "seconds": 41.5, **more}


# --- The rota -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(0, 8), st.sets(st.integers(0, 59)), st.integers(0, 27))
def test_every_instance_is_proved_within_the_month_whatever_others_do(instances: int, number: int, broken: set[int], first: int) -> None:
    """Run daily, whoever can be proved is never later than 28 days and the days that the broken ones of its round take."""
    names = [f"i{index:02}" for index in range(instances)]
    bad = {names[index] for index in broken if index < instances}
    daily = number or -(-instances // 28)
    records = {name: Record(ago(first), GOOD, ago(first)) if name not in bad else Record() for name in names}
    round_ = -(-instances // daily)
    for day in range(120):
        today = NOW + timedelta(days=day)
        chosen = rota.choose(records, today, MONTH, number)
        assert len(chosen) <= daily and len(set(chosen)) == len(chosen)
        for name in chosen:
            records[name] = Record(today, FAILED) if name in bad else Record(today, GOOD, today)
        for name, record in records.items():
            if name not in bad:
                assert record.proved is not None and today - record.proved <= MONTH + timedelta(days=round_)


def test_the_one_drilled_longest_ago_comes_first_and_a_failure_holds_up_nobody() -> None:
    records = {
        "fresh": Record(ago(1), GOOD, ago(1)),
        "failing": Record(ago(2), FAILED, ago(100)),
        "old": Record(ago(40), GOOD, ago(40)),
        "older": Record(ago(50), GOOD, ago(50)),
        "never": Record(),
    }
    assert rota.choose(records, NOW, MONTH, 10) == ["never", "older", "old", "failing"]
    assert rota.choose(records, NOW, MONTH, 1) == ["never"]
    assert rota.choose({"fresh": records["fresh"]}, NOW, MONTH, 5) == []


def test_a_receipt_from_the_future_proves_nothing_for_ever() -> None:
    assert rota.choose({"clock": Record(ago(-400), GOOD, ago(-400))}, NOW, MONTH) == ["clock"]


def test_who_is_overdue() -> None:
    records = {"good": Record(ago(1), GOOD, ago(1)), "late": Record(ago(1), FAILED, ago(36)), "never": Record(), "new": Record()}
    known = {"never": ago(50), "new": ago(2), "late": ago(90)}
    assert rota.overdue(records, known, NOW, timedelta(days=35)) == [
        "late: the last proved restore is 36 days old, 35 are the most",
        "never: no restore was ever proved, and it has backups since 50 days; 35 are the most",
    ]


# --- Receipts -------------------------------------------------------------------------------------------------------


def test_receipts_are_the_memory(tmp_path: Path) -> None:
    assert rota.read(str(tmp_path), "sunflower") == Record()
    rota.write(str(tmp_path), "sunflower", receipt(ago(3)))
    rota.write(str(tmp_path), "sunflower", receipt(ago(2), FAILED, findings=["\udcff"]))
    found = rota.read(str(tmp_path), "sunflower")
    assert (found.last, found.result, found.proved) == (ago(2), FAILED, ago(3))
    assert found.receipt is not None and found.receipt["seconds"] == 41.5
    assert rota.read(str(tmp_path), "meadow") == Record()


@pytest.mark.parametrize("damage", ["", "[]", '{"result": "good"}', '{"began_at": "soon", "result": "good", "seconds": 1}', "\x00"])
def test_a_damaged_receipt_proves_nothing(tmp_path: Path, damage: str) -> None:
    rota.write(str(tmp_path), "sunflower", receipt(ago(3)))
    (tmp_path / "sunflower" / "20260402T030000Z.json").write_text(damage)
    assert rota.read(str(tmp_path), "sunflower").proved == ago(3)


def test_old_receipts_go_and_the_last_proof_stays(tmp_path: Path) -> None:
    rota.write(str(tmp_path), "sunflower", receipt(ago(100)))
    for days in range(60, 0, -1):
        rota.write(str(tmp_path), "sunflower", receipt(ago(days), FAILED))
    kept = sorted(path.name for path in (tmp_path / "sunflower").iterdir())
    assert len(kept) == rota.KEPT + 1 and kept[0] == "20251223T031500Z.json"
    assert rota.read(str(tmp_path), "sunflower").proved == ago(100)


def test_receipts_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    (tmp_path / "sunflower").write_text("a file where the folder should be")
    with pytest.raises(CoopError, match="cannot be written: "):
        rota.write(str(tmp_path), "sunflower", receipt(NOW))


def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    path = tmp_path / rota.METRICS_FILE
    records = {"sunflower": Record(ago(1), FAILED, ago(3), receipt(ago(3))), "meadow": Record()}
    rota.write_metrics(str(path), records)
    lines = path.read_text().splitlines()
    assert f'meet_coop_restore_proved_timestamp_seconds{{service="sunflower"}} {int(ago(3).timestamp())}' in lines
    assert 'meet_coop_restore_proved_timestamp_seconds{service="meadow"} 0' in lines
    assert 'meet_coop_restore_drill_good{service="sunflower"} 0' in lines
    assert 'meet_coop_restore_drill_duration_seconds{service="sunflower"} 41.5' in lines
    assert not any("drill_good" in line and "meadow" in line for line in lines)
    assert path.stat().st_mode & 0o777 == 0o644 and [one.name for one in tmp_path.iterdir()] == [path.name]


# --- Before anything is started -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "data", "image", "found"),
    [
        ("20260402000000", "20260402000001", "v3.8.2.4", False),
        ("20260402000000", "20260402000001", "v3.8", False),
        ("20260402000000", "20260402000001", "v3.7.1", True),
        ("20260402000000", "20260402000001", "v3", False),
        ("20230705183747", "20260119170745", "3.7.1-ours", True),
        ("20260109153256", "20250501185954", "v3.8.2.4", False),
        ("20260109153256", "20250501185954", "master", False),
        ("20260109153256", "20250501185954", None, False),
        ("20990101000000", "20990101000000", "v3.7.1", False),
    ],
)
def test_a_schema_newer_than_the_image_is_seen(schema: str, data: str, image: str | None, found: bool) -> None:
    findings = drill._too_new({"schema_version": schema, "data_migrations": [data]}, image)
    assert bool(findings) == found
    if found:
        assert str(image) in findings[0] and "older" in findings[0]


def place(**more: Any) -> scratch.Place:
    return scratch.Place(directory="/nowhere", server=Login("postgres"), database_host="10.213.0.1", **more)


def test_a_scratch_instance_knows_no_mail_server_and_no_pool() -> None:
    wanted = scratch.spec(place(), "greenlight", "0" * 64)
    told: Mapping[str, str] = wanted.environment
    assert {name for name in told if "SMTP" in name} == {"SMTP_HEALTH_CHECK_DISABLED"}
    assert not [name for name in told if name.startswith(("OPENID", "S3_", "GCS_", "LOADBALANCER", "HCAPTCHA"))]
    assert told["BIGBLUEBUTTON_ENDPOINT"].split("/")[2].endswith(".invalid")
    assert told["DATABASE_URL"].endswith("@10.213.0.1:5432/greenlight_0_restore_drill")
    other = scratch.spec(place(), "greenlight", "0" * 64).environment
    for name in ("BIGBLUEBUTTON_SECRET", "REDIS_URL", "DATABASE_URL"):
        assert told[name] != other[name]
    body = instance.greenlight_body(wanted, 6000, None)
    assert list(body["NetworkingConfig"]["EndpointsConfig"]) == ["greenlight-0-restore-drill"]
    assert environment.is_secret("BIGBLUEBUTTON_SECRET") and place().password not in repr(place())


def test_no_service_can_have_the_names_of_a_scratch_instance() -> None:
    """A service's id begins with a letter (members.schema.json), and its database is named after it (role instance)."""
    assert instance.check_name(scratch.NAME) and not scratch.NAME[0].isalpha()
    assert f"greenlight_{scratch.NAME.replace('-', '_')}" == scratch.DATABASE
    assert len(scratch.BRIDGE) < 16


def test_without_its_fence_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for rules in (None, "", "table inet meet_coop_drill { }", 'iifname "coop-drill" jump fence\niifname "coop-drill" jump fence'):
        if rules is not None:
            (tmp_path / "nft").write_text(f"#!/bin/sh\ncat <<'END'\n{rules}\nEND\n".replace("cat", "/bin/cat"))
            (tmp_path / "nft").chmod(0o755)
        with pytest.raises(scratch.FenceDown, match="not up on this host; run role meet.coop.restore_drill"):
            scratch.fence_holds()


# --- Runs -----------------------------------------------------------------------------------------------------------


class Away:
    """A repository that does not answer."""

    def snapshots(self) -> list[drill.Snapshot]:
        raise CoopError("repository /away is not there")

    def restore(self, snapshot: drill.Snapshot, directory: str) -> None:
        raise AssertionError


def test_a_name_that_is_none_of_the_hosts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CoopError, match=r"tulip: not among the instances of this host \(sunflower\)"):
        drill.run(Away(), place(), ["sunflower"], ["tulip"], drill.Options(str(tmp_path)), write=False)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A host with nothing on it but what a killed drill left, and what of that resists."""
    state: dict[str, list[str]] = {"left": [], "stuck": []}

    def tear_down(_place: scratch.Place) -> list[str]:
        state["left"] = list(state["stuck"])
        return [f"left over: {what}" for what in state["stuck"]]

    monkeypatch.setattr(scratch, "leftovers", lambda _place: list(state["left"]))
    monkeypatch.setattr(scratch, "tear_down", tear_down)
    return state


def on(tmp_path: Path) -> scratch.Place:
    return scratch.Place(directory=str(tmp_path / "work"), server=Login("postgres"), database_host="10.213.0.1")


def test_every_instance_due_says_that_the_repository_is_away(tmp_path: Path, host: dict[str, list[str]]) -> None:
    outcome = drill.run(Away(), on(tmp_path), ["sunflower", "meadow"], [], drill.Options(str(tmp_path / "receipts"), number=5))
    assert outcome.failures == [f"{name}: repository /away is not there" for name in ("meadow", "sunflower")]
    assert rota.read(str(tmp_path / "receipts"), "meadow").result == FAILED
    quiet = drill.run(Away(), on(tmp_path), ["sunflower"], [], drill.Options(str(tmp_path / "receipts")), write=False)
    assert quiet.failures == ["repository /away is not there"] and quiet.chosen == ["sunflower"]


def test_what_resists_being_removed_is_told_and_nothing_is_begun(tmp_path: Path, host: dict[str, list[str]]) -> None:
    host.update(left=["volume of the scratch instance"], stuck=["volume in use"])
    with pytest.raises(CoopError, match="cannot be removed, so none was begun: left over: volume in use"):
        drill.run(Away(), on(tmp_path), ["sunflower"], [], drill.Options(str(tmp_path / "receipts")))
    assert not (tmp_path / "receipts").exists()


def test_a_receipt_that_cannot_be_kept_takes_no_finding_with_it(tmp_path: Path, host: dict[str, list[str]]) -> None:
    (tmp_path / "receipts").write_text("a file where the folder should be")
    with pytest.raises(CoopError, match="cannot be read: Not a directory"):
        drill.run(Away(), on(tmp_path), ["sunflower"], [], drill.Options(str(tmp_path / "receipts")))
    metrics = str(tmp_path / "nowhere" / "file.prom")
    outcome = drill.run(Away(), on(tmp_path), ["sunflower"], [], drill.Options(str(tmp_path / "kept"), metrics))
    assert outcome.failures == ["sunflower: repository /away is not there", f"{metrics} cannot be written: No such file or directory"]


def test_two_drills_on_one_host_do_not_meet(tmp_path: Path, host: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "LOCK_WAIT", 0.1)
    with (
        ports.locked(str(tmp_path / "work"), "a drill", 1),
        pytest.raises(CoopError, match="another run has been working on a restore drill on this host"),
    ):
        drill.run(Away(), on(tmp_path), ["sunflower"], [], drill.Options(str(tmp_path / "receipts")))


def test_failures_are_a_line_each() -> None:
    outcome = drill.Outcome(
        drills=[{"instance": "a", "result": GOOD, "findings": []}, {"instance": "b", "result": FAILED, "findings": ["one", "two"]}],
        overdue=["c: the last proved restore is 40 days old, 35 are the most"],
    )
    assert outcome.failures == ["b: one; two", "c: the last proved restore is 40 days old, 35 are the most"]
    json.dumps(outcome.drills)
