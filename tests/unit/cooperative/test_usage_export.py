# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A month of people meeting, metered, exported and settled: what the nodes know is what the statement says, gaps and all."""

from __future__ import annotations

import json
import os
import pathlib
import random
import sys
import tempfile

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.metered import ExportTask
from tests.support import ansible
from tests.support.meter import Meter, Stay, World, epoch

from .year import MONTHS, Year

INTERVAL = 600
BEGIN, END = epoch("2025-01-01T00:00"), epoch("2025-02-01T00:00")
DOWN = epoch("2025-01-14T09:00"), epoch("2025-01-14T15:00")
MISSED = (DOWN[1] - DOWN[0]) // INTERVAL * 2
"""Looks at both nodes that were not taken."""
NODES = ("bbb1.test", "bbb2.test")
SERVICES = ("agaric", "clover", "daisy", "sunflower", "sunflower-training")


@pytest.fixture(scope="module")
def month():
    """The meter, and the participant-minutes of each service that the nodes know of while it ran."""
    chance = random.Random(7)
    stays = []
    for number in range(600):
        begin = BEGIN + chance.randrange(0, END - BEGIN, INTERVAL)
        length = chance.randrange(INTERVAL, 3 * 3600, INTERVAL)
        tenant = tenant_name(chance.choice(SERVICES))
        stays.append(Stay(chance.choice(NODES), tenant, begin, begin + length, chance.randint(2, 30), f"m{number}"))
    # Somebody that has left the membership file meets still, and somebody that is no member yet.
    stays.append(Stay(NODES[0], "gone", BEGIN + 600, BEGIN + 1200, 3, "gone"))
    stays.append(Stay(NODES[0], "rosa", BEGIN + 600, BEGIN + 1200, 2, "rosa"))
    # In memory: each of thousands of polls is written through to the disk.
    scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    meter = Meter(pathlib.Path(scratch.name), [{"domain": name} for name in NODES], INTERVAL)
    world = World(stays, BEGIN)
    meter.run(world, DOWN[0])
    world.now = DOWN[1]
    meter.run(world, END)
    measured = [(BEGIN, DOWN[0]), (DOWN[1], END)]
    known = {name: sum(stay.people * stay.within(measured) for stay in stays if stay.tenant == tenant_name(name)) / 60 for name in SERVICES}
    with scratch:
        yield meter, known


def export(year: Year, measured: dict, check: bool = False, **given) -> dict:
    params = {"measured": measured, "membership": [str(year.path / "members.yml")], "directory": None, "metrics": ["participant_minutes"]}
    return ExportTask({**params, **given}).run(check)


@pytest.mark.programs
def test_a_month_of_use_is_settled_as_the_nodes_know_it(month, tmp_path):
    """By the playbooks: usage and then month. The six hours that the meter was down are in the statement, and nothing stands for them."""
    meter, known = month
    year = Year(tmp_path / "coop")
    (year.path / "hosts.yml").write_text(json.dumps({"all": {"children": {"monitoring_hosts": {"hosts": {"watch": {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}}}}))  # fmt: skip
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({
        "usage_record": str(meter.record), "usage_month": "2025-01", "usage_as_of": "2025-02-01", "month_close_as_of": "2025-02-10",
        "ansible_become": False}))  # fmt: skip
    base = ["-i", str(year.path / "hosts.yml"), "-e", f"@{variables}"]

    def play(*arguments: str) -> str:
        done = ansible.run_playbook(
            [sys.executable, "-m", "ansible", "playbook", *base, *arguments],
            cwd=ansible.ROOT,
            env=ansible.environment(),
            timeout=180,
            together=True,
        )
        assert done.returncode == 0 and "Traceback" not in done.stdout, done.stdout
        return " ".join(done.stdout.split())

    shipped = (year.money / "usage" / "2025-01.csv").read_bytes()
    predicted = play("playbooks/usage.yml", "--check", "--diff")
    assert "changed=1" in predicted and (year.money / "usage" / "2025-01.csv").read_bytes() == shipped
    said = play("playbooks/usage.yml")
    assert "changed=1" in said and "Not measured: 2025-01-14T09:00:00Z to 2025-01-14T15:00:00Z (360 minutes)" in said
    assert "Tenant gone: 30 participant-minutes are in no line: no service in the membership file has this tenant" in said
    written = (year.money / "usage" / "2025-01.csv").read_bytes()
    again = play("playbooks/usage.yml")
    assert "changed=0" in again and (year.money / "usage" / "2025-01.csv").read_bytes() == written

    rows = [line.split(",") for line in written.decode().splitlines()[1:]]
    assert {row[1]: int(row[3]) for row in rows} == known and sum(known.values()) > 10_000
    expected = (END - BEGIN) // INTERVAL * 2
    assert {tuple(row[4:]) for row in rows} == {("meter", "2025-01-01", "2025-01-31", str(expected), str(expected - MISSED))}

    play("playbooks/month.yml")
    page = (year.money / "draft" / "2025-01" / "statements" / "sunflower.html").read_text()
    assert str(round(known["sunflower-training"])) in page.replace(",", "").replace("\u202f", "").replace("\u00a0", "")
    assert f"sunflower-training was measured 99 % of the time ({expected - MISSED} of {expected} samples)" in page.replace("\u00a0", " ")


def test_lines_of_others_stay_and_a_closed_month_is_not_touched(month, tmp_path):
    meter, _known = month
    year = Year(tmp_path / "coop")
    measured = meter.month("2025-01", "2025-02-01")
    by_hand = "daisy,daisy-phone,participant_minutes,77,hand,2025-01-01,2025-01-31,31,31"
    path = year.money / "usage" / "2025-01.csv"
    path.write_text("member,tenant,metric,value,source,sampled_from,sampled_to,samples_expected,samples_got\n" + by_hand + "\n")
    predicted = export(year, measured, check=True)
    assert path.read_text().count("\n") == 2 and predicted["changed"]
    found = export(year, measured)
    assert path.read_text().splitlines()[-1] == by_hand and found["diff"] == predicted["diff"]
    assert not export(year, measured)["changed"]
    year.close(MONTHS[0])
    kept = path.read_bytes()
    other = {**measured, "tenants": {**measured["tenants"], "daisy": {"participant_minutes": 1}}}
    late = export(year, other)
    assert not late["changed"] and late["closed"] and late["differs"] and late["warnings"] and path.read_bytes() == kept
    assert not export(year, measured)["differs"] and year.run("verified")["identical"]


def test_a_killed_run_is_repaired_by_the_next(month, tmp_path):
    """What it leaves is a file beside, which the next one uses up."""
    meter, _known = month
    year = Year(tmp_path / "coop")
    measured = meter.month("2025-01", "2025-02-01")
    (year.money / "usage" / ".2025-01.csv.new").write_text("member,ten")
    assert export(year, measured)["changed"]
    assert not (year.money / "usage" / ".2025-01.csv.new").exists() and not export(year, measured)["changed"]


def test_a_month_of_which_only_days_are_over(month, tmp_path):
    meter, _known = month
    year = Year(tmp_path / "coop")
    found = export(year, meter.month("2025-01", "2025-01-20"))
    assert {(line["sampled_from"], line["sampled_to"]) for line in found["lines"]} == {("2025-01-01", "2025-01-19")}
    assert not meter.month("2025-01", "2025-01-20")["complete"]


def test_clients_count_for_who_serves_them_and_leavers_for_nobody(month, tmp_path):
    meter, _known = month
    year = Year(tmp_path / "coop")
    text = (year.path / "members.yml").read_text()
    (year.path / "members.yml").write_text(
        text
        + "  cafe-hall:\n    tier: dedicated_container\n    client: cafe\n    image: bigbluebutton/greenlight:v3.8.2.4\n"
        + "    accounts:\n      administrators:\n        - {name: Kim Lee, email: kim@cafe.example}\n"
    )
    measured = meter.month("2025-01", "2025-02-01")
    measured["tenants"] = {**measured["tenants"], tenant_name("cafe-hall"): {"participant_minutes": 12}, "": {"participant_minutes": 5}}
    found = export(year, measured)
    line = next(line for line in found["lines"] if line["tenant"] == "cafe-hall")
    assert line["member"] == "agaric" and line["value"] == "12"
    assert {one["tenant"] for one in found["unattributed"]} == {"", "gone", "rosa"}
    assert next(one["why"] for one in found["unattributed"] if one["tenant"] == "rosa") == "rosa was no active member in 2025-01"
    assert any("5 participant-minutes are in no line: the meetings bear no tenant's mark" in line for line in found["summary"])


def test_tenants_of_one_service_are_added_up():
    parts = [{"participant_minutes": 5, "peak_meetings": 2}, {}, {"participant_minutes": 7, "peak_meetings": 1}]
    assert ExportTask.together(parts) == {"participant_minutes": 12, "peak_meetings": 2}


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, "measured: has no month; give the result of usage_info"),
        ({"failed": True, "msg": "nothing was metered"}, "which said: nothing was metered"),
    ],
)
def test_a_result_that_is_none_is_refused(tmp_path, measured, said):
    with pytest.raises(CoopError, match=said):
        export(Year(tmp_path / "coop"), measured)


def test_a_file_that_cannot_be_read_is_not_overwritten(month, tmp_path):
    meter, _known = month
    year = Year(tmp_path / "coop")
    path = year.money / "usage" / "2025-01.csv"
    path.write_text("member,tenant,metric\nrosa,rosa,x\n")
    with pytest.raises(CoopError, match=r"usage/2025-01.csv:1: column value is missing"):
        export(year, meter.month("2025-01", "2025-02-01"))
    assert path.read_text() == "member,tenant,metric\nrosa,rosa,x\n"
