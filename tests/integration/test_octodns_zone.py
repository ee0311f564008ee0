# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""octodns_zone against Knot and BIND by octodns-bind: our rules hold, octoDNS carries out, and dns_zone agrees."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from octodns.manager import Manager

from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import ARGUMENT_SPEC, OctodnsTask
from ansible_collections.meet.coop.plugins.module_utils._dns.plan import PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.support.lab import RunningLab
from tests.support.zones import RunModule, Zone

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=["meet.test", "bind.test"])
def zone(lab: RunningLab, run_module: RunModule, request: pytest.FixtureRequest) -> Iterator[Zone]:
    found = Zone(lab, run_module, request.param)
    yield found
    found.clean()


def options(zone: Zone, *records: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "zone": zone.origin,
        "provider": {
            "class": "octodns_bind.Rfc2136Provider",
            "options": {"host": zone.server, "key_name": zone.tsig["name"], "key_secret": "env/LAB_TSIG", "key_algorithm": "hmac-sha256"},
        },
        "secrets": {"LAB_TSIG": zone.tsig["secret"]},
        "deployment": zone.tag, "member": "sunflower", "records": list(records), **more,
    }  # fmt: skip


def run(zone: Zone, *records: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    defaults = {name: option["default"] for name, option in ARGUMENT_SPEC.items() if "default" in option}
    return OctodnsTask({**defaults, **options(zone, *records, **more)}).run(check)


def play(zone: Zone, *records: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    return zone.run_module("localhost", "meet.coop.octodns_zone", options(zone, *records, **more), check=check)


def every_type(zone: Zone) -> list[dict[str, Any]]:
    return [
        zone.record("s", "A", "192.0.2.1", "192.0.2.2"),
        zone.record("s", "AAAA", "2001:DB8::1"),
        zone.record("s", "TXT", "v=DKIM1; k=rsa; p=" + "x" * 400, 'some "quoted" text'),
        zone.record("s", "MX", "10 Mail.Example.org"),
        zone.record("s", "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"'),
        zone.record("_sip._tcp", "SRV", "0 5 443 host.example.org"),
        zone.record("_443._tcp.s", "TLSA", "3 1 1 " + "AB" * 32),
        zone.record("*.wild", "CNAME", "bücher.example"),
        zone.record("sub", "NS", "ns1.example.org", "ns2.example.org"),
    ]


def test_both_doors_lead_to_the_same_zone(zone: Zone) -> None:
    records = every_type(zone)
    foretold = play(zone, *records, check=True)
    assert foretold["changed"] is True and zone.content() == [], foretold
    real = play(zone, *records)
    for key in ("changed", "changes", "diff", "checksum", "plan"):
        assert real[key] == foretold[key]
    assert play(zone, *records)["changed"] is False
    assert zone.run(*records)["changed"] is False, "dns_zone finds nothing to do"
    zone.run(*records[:2], max_delete_share=1.0)
    assert run(zone, *records[:2])["changed"] is False
    gone = play(zone, max_delete_share=1.0)
    assert gone["changed"] is True and zone.content() == []


def test_nothing_unmarked_is_taken_over(zone: Zone) -> None:
    """What octoDNS alone does: an unmarked record is taken over."""
    zone.by_hand(f"add {zone.label('agaric')} 60 A 192.0.2.99", f'add {zone.label("s")} 60 TXT "by hand"')
    before = zone.content()
    for check in (True, False):
        result = play(zone, zone.record("agaric", "A", "192.0.2.1"), check=check)
        assert result["failed"] and "carries no mark of ours" in result["msg"] and "\n" not in result["msg"]
    assert zone.content() == before
    assert run(zone, zone.record("s", "A", "192.0.2.1"))["changed"] is True
    run(zone)
    assert zone.content() == before, "foreign records at our own names stay too"
    run(zone, zone.record("agaric", "A", "192.0.2.1"), adopt=[f"{zone.label('agaric')}/A"])
    assert zone.query("agaric") == ["192.0.2.1"]


def test_other_owners_and_the_brake(zone: Zone) -> None:
    records = [zone.record(f"n{number}", "A", "192.0.2.1") for number in range(12)]
    run(zone, *records)
    with pytest.raises(PlanRefused, match="marked for 'sunflower', not 'rosa'"):
        run(zone, records[0], member="rosa")
    with pytest.raises(PlanRefused, match=r"remove 12 of the 12 names"):
        run(zone)
    moved = [zone.record(f"n{number}", "A", "192.0.2.2") for number in range(12)]
    assert len(run(zone, *moved)["changes"]) == 12, "our brake counts removed names; octoDNS's would have stopped this"
    assert run(zone, max_delete_share=1.0)["changed"] is True


def test_only_the_reviewed_plan_is_applied(zone: Zone) -> None:
    record = zone.record("s", "A", "192.0.2.1")
    reviewed = run(zone, record, check=True)["checksum"]
    with pytest.raises(CoopError, match=rf"the plan has the checksum [0-9a-f]{{64}}, not {reviewed} which was reviewed"):
        run(zone, zone.record("s", "A", "192.0.2.2"), checksum=reviewed)
    assert zone.content() == []
    assert play(zone, record, checksum=reviewed)["changed"] is True
    assert run(zone, record, checksum=reviewed)["changed"] is False, "what was applied already needs no review"


def test_a_zone_changed_between_plan_and_apply_is_planned_again(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, interventions = Manager.sync, iter([f"add {zone.label('s')} 60 A 192.0.2.99"])

    def after_somebody(manager: Manager, *args: Any, **kwargs: Any) -> Any:
        line = None if kwargs["dry_run"] else next(interventions, None)
        if line:
            zone.by_hand(line)
        return sync(manager, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Manager, "sync", after_somebody)
        with pytest.raises(PlanRefused, match="carries no mark of ours"):
            run(zone, zone.record("s", "A", "192.0.2.1"))
    assert zone.content() == [f"{zone.absolute('s')}. 60 IN A 192.0.2.99"]


def test_a_failure_half_way_is_known_and_the_next_run_heals(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    from octodns_bind import Rfc2136Provider

    records = [zone.record(f"n{number}", "A", "192.0.2.1") for number in range(5)]
    batches = Rfc2136Provider._batch_changes

    def breaks_off(provider: Any, changes: list[Any]) -> Iterator[Any]:
        yield changes[:4]
        raise ConnectionError("the line is down")

    with monkeypatch.context() as patch:
        patch.setattr(Rfc2136Provider, "_batch_changes", breaks_off)
        with pytest.raises(CoopError, match=r"the line is down; 4 of 5 names were changed before that"):
            run(zone, *records)
    assert Rfc2136Provider._batch_changes is batches
    assert run(zone, *records)["changed"] is True and run(zone, *records)["changed"] is False


def test_files_for_octodns_sync(zone: Zone, tmp_path: pathlib.Path) -> None:
    record, place = zone.record("s", "A", "192.0.2.1"), tmp_path / "octodns"
    assert len(play(zone, record, directory=str(place), check=True)["files"]) == 2 and not place.exists()
    assert play(zone, record, directory=str(place))["changed"] is True
    assert play(zone, record, directory=str(place))["changed"] is False
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert files == ["config.yaml", f"zones/{zone.origin}.yaml"]
    assert zone.tsig["secret"] not in "".join((place / name).read_text() for name in files)
    assert set(yaml.safe_load((place / files[1]).read_text())) == {zone.label("s"), f"_coop.{zone.label('s')}"}
    zone.by_hand(f"del {zone.label('s')} A")
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("octodns-sync"), "--config-file", place / "config.yaml", "--force"],
        env={**os.environ, "LAB_TSIG": zone.tsig["secret"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Create" in done.stdout + done.stderr
    assert run(zone, record)["changed"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": "octodns_nothing.Provider"}, "Unknown provider class"),
        ({"options": {"host": "127.0.0.1", "port": 1}}, "refused"),
        ({"options": {"key_secret": "cGxhaW4="}}, "write env/NAME"),
        ({"options": {"key_secret": "env/NO_SUCH_SECRET"}}, "neither in secrets nor in the controller's environment"),
    ],
)
def test_faults_get_one_line_and_no_secret(zone: Zone, change: dict[str, Any], message: str) -> None:
    provider = {**options(zone)["provider"], **change}
    result = play(zone, zone.record("s", "A", "192.0.2.1"), provider=provider)
    assert result["failed"] and message in result["msg"] and "\n" not in result["msg"], result
    assert zone.tsig["secret"] not in json.dumps(result) and zone.content() == []


def test_texts_that_octodns_cannot_carry_are_refused(zone: Zone) -> None:
    for text in ("ends with \\", "grüße", '"\\001"'):
        with pytest.raises(PlanRefused, match="printable ASCII without backslashes"):
            run(zone, zone.record("s", "TXT", text))


def test_module_file_serves_where_the_action_plugin_is_not_used(zone: Zone) -> None:
    arguments = {**options(zone, zone.record("s", "A", "192.0.2.1")), "_ansible_check_mode": True, "_ansible_diff": True}
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.meet.coop.plugins.modules.octodns_zone"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["changed"] is True and zone.tsig["secret"] not in done.stdout + done.stderr, done
