# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The meter by its program's door, in simulated time: as much as was used, and never more than was seen."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Count
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._meter import command
from ansible_collections.meet.coop.plugins.module_utils._meter.record import Record
from tests.support.ansible import ROOT
from tests.support.examples import examples
from tests.support.meter import MEETING, PERSON, Meter, Stay, World, epoch

NODES = [{"domain": "n1.test"}, {"domain": "n2.test"}]
DAY = epoch("2026-03-10T00:00")
AFTER = "2026-03-11"


RAM = "/dev/shm" if os.path.isdir("/dev/shm") else None


@pytest.fixture
def tmp_path():
    """In memory: each poll is written through to the disk, and there are many here."""
    with tempfile.TemporaryDirectory(dir=RAM) as folder:
        yield pathlib.Path(folder)


def meter(folder: pathlib.Path, **given) -> Meter:
    return Meter(folder, **{"nodes": NODES, "interval": 60, **given})


def minutes(found: dict, tenant: str) -> int:
    return found["tenants"].get(tenant, {}).get("participant_minutes", 0)


def test_a_day_is_metered_exactly(tmp_path):
    """Who comes and goes on the minute is metered to the minute, whatever the engine's mark is called."""
    for mark in ("bbblb-tenant", "tenant-name"):
        stays = [
            Stay("n1.test", "rosa", DAY + 3600, DAY + 7200, people=10),
            Stay("n1.test", "rosa", DAY + 3600, DAY + 5400, people=5),
            Stay("n2.test", "cafe", DAY + 600, DAY + 660, people=1),
        ]
        ours = meter(tmp_path / mark)
        ours.folder.mkdir()
        assert ours.run(World(stays, DAY, mark=mark), DAY + 86400) == 0
        found = ours.month("2026-03", AFTER)
        rosa = {"participant_minutes": 750, "meeting_minutes": 60, "voice_minutes": 750, "video_minutes": 0, "peak_participants": 15,
                "peak_meetings": 1}  # fmt: skip
        assert found["tenants"]["rosa"] == rosa and minutes(found, "cafe") == 1
        # Nine days went by before the meter was there; they are told as not measured.
        assert found["samples_got"] == 1440 * 2 and found["samples_expected"] == 10 * 1440 * 2 and found["coverage"] == "10.00"
        assert found["gaps"] == [{"from": "2026-03-01T00:00:00Z", "to": "2026-03-10T00:00:00Z", "minutes": 9 * 1440}]


def test_six_hours_without_the_meter_are_shown_and_not_filled_in(tmp_path):
    stays = [Stay("n1.test", "rosa", DAY, DAY + 86400, people=2)]
    ours = meter(tmp_path)
    world = World(stays, DAY)
    ours.run(world, DAY + 6 * 3600)
    world.now = DAY + 12 * 3600
    ours.run(world, DAY + 86400)
    found = ours.month("2026-03", AFTER)
    assert minutes(found, "rosa") == 2 * 18 * 60
    assert {"from": "2026-03-10T06:00:00Z", "to": "2026-03-10T12:00:00Z", "minutes": 360} in found["gaps"]
    assert found["samples_got"] == 18 * 60 * 2


def test_a_poll_that_fails_once_and_a_node_that_dies_and_comes_back(tmp_path):
    """Of a node that is silent nothing is counted and its samples are missing; the other is metered on."""
    stays = [Stay("n1.test", "rosa", DAY, DAY + 7200, people=3), Stay("n2.test", "cafe", DAY, DAY + 7200, people=1)]

    def faults(node: str, now: float) -> str | None:
        dead = node == "n1.test" and DAY + 1800 <= now < DAY + 3600
        return "n.test: getMeetings could not be asked: refused" if dead or (node == "n2.test" and now == DAY + 600) else None

    ours = meter(tmp_path)
    ours.run(World(stays, DAY, faults=faults), DAY + 7200)
    found = ours.month("2026-03", AFTER)
    assert minutes(found, "rosa") == 3 * 90 and minutes(found, "cafe") == 119
    assert found["silent"] == {"n1.test": 30, "n2.test": 1} and found["samples_got"] == 240 - 31


@pytest.mark.parametrize("jump", [-3600, -90, -7, 3600, 90])
def test_a_clock_that_jumps_counts_nothing_twice(tmp_path, jump):
    """An hour lived twice by the clock is counted once; one that the clock leaves out is a gap. The meter never sleeps through it."""
    stays = [Stay("n1.test", "rosa", DAY - 9000, DAY + 9000, people=4)]
    ours = meter(tmp_path, nodes=NODES[:1])
    world = World(stays, DAY)
    ours.run(world, DAY + 7200, [(DAY + 3570, lambda now: setattr(now, "offset", float(jump)))])
    found = ours.month("2026-03", AFTER)
    slots = found["samples_got"]
    assert minutes(found, "rosa") == 4 * slots
    assert slots <= min(120, math.ceil((7200 + jump) / 60))
    if jump <= -3600:
        assert slots == 60
    elif jump < 0:
        assert slots >= 120 - 3
    else:
        assert slots >= 118 and any(gap["minutes"] == math.ceil(jump / 60) for gap in found["gaps"])
    longest = max(after - before for (before, *_rest), (after, *_others) in zip(world.asked, world.asked[1:], strict=False))
    assert longest <= 120


def test_two_meters_at_once_count_once(tmp_path):
    stays = [Stay("n1.test", "rosa", DAY, DAY + 3600, people=4)]
    ours = meter(tmp_path)
    for _each in range(2):
        ours.run(World(stays, DAY), DAY + 3600)
    assert minutes(ours.month("2026-03", AFTER), "rosa") == 240


def test_one_server_under_two_names_and_one_meeting_id_twice(tmp_path):
    """Scalelite can have a second meeting of one meetingID made; both are real. What has one internal id is one meeting."""
    stays = [Stay("n1.test", "rosa", DAY, DAY + 3600, 2, "same"), Stay("n2.test", "rosa", DAY, DAY + 3600, 3, "same")]
    ours = meter(tmp_path)
    ours.run(World(stays, DAY), DAY + 3600)
    assert minutes(ours.month("2026-03", AFTER), "rosa") == 300

    class Alias(World):
        def answer(self, node: str) -> bytes:
            return super().answer("n1.test")

    second = meter(tmp_path / "alias")
    second.folder.mkdir()
    second.run(Alias(stays, DAY), DAY + 3600)
    assert minutes(second.month("2026-03", AFTER), "rosa") == 120


def test_meetings_without_a_mark(tmp_path):
    """They are the tenant's of a dedicated server, else nobody's; text that is no tenant's name is nobody's too."""
    stays = [
        Stay("n1.test", "", DAY, DAY + 3600, 1, "a"), Stay("n2.test", "", DAY, DAY + 3600, 2, "b"),
        Stay("n2.test", 'x"} 1\n<b>', DAY, DAY + 3600, 4, "c"),
    ]  # fmt: skip
    ours = meter(tmp_path, nodes=[{"domain": "n1.test", "tenant": "cafe"}, {"domain": "n2.test"}])
    ours.run(World(stays, DAY), DAY + 3600)
    found = ours.month("2026-03", AFTER)
    assert minutes(found, "cafe") == 60 and minutes(found, "") == 360 and set(found["tenants"]) == {"", "cafe"}


def test_names_of_people_and_meetings_are_not_kept(tmp_path, capsys):
    ours = meter(tmp_path)
    ours.run(World([Stay("n1.test", "rosa", DAY, DAY + 3600, meeting="secret-room")], DAY), DAY + 3600)
    said = capsys.readouterr()
    kept = ours.record.read_bytes() + said.out.encode() + said.err.encode()
    assert b"rosa" in kept
    for text in (PERSON, MEETING, "secret-room"):
        assert text.encode() not in kept


# -- ground truth

T = 60
SPAN = 40 * T
_TIMES = st.integers(-2 * T, SPAN + 2 * T)


@st.composite
def _worlds(draw):
    stays = []
    for number in range(draw(st.integers(0, 6))):
        begin, end = sorted((draw(_TIMES), draw(_TIMES)))
        node, tenant = draw(st.sampled_from(["n1.test", "n2.test"])), draw(st.sampled_from(["rosa", "cafe"]))
        stays.append(Stay(node, tenant, DAY + begin, DAY + end, draw(st.integers(1, 9)), f"m{number}"))
    dead = draw(st.sets(st.tuples(st.sampled_from(["n1.test", "n2.test"]), st.integers(0, SPAN // T - 1)), max_size=12))
    turns = draw(st.lists(st.tuples(st.integers(0, SPAN), st.integers(1, 10 * T)), max_size=3))
    return stays, dead, sorted(turns)


@examples(60)
@given(_worlds())
def test_it_is_within_one_interval_of_the_truth(world):
    """For every stay of a person, on every unbroken stretch that was measured, the error is less than one interval; gaps add nothing."""
    stays, dead, stops = world
    with tempfile.TemporaryDirectory(dir=RAM) as folder:
        ours = meter(pathlib.Path(folder))
        true = World(stays, DAY, faults=lambda node, now: "silent" if (node, int((now - DAY) // T)) in dead else None)
        for at, length in stops:
            # The meter is down from then on, for so long.
            ours.run(true, max(true.now + 1, DAY + at))
            true.now += length
        if true.now < DAY + SPAN:
            ours.run(true, DAY + SPAN)
        found = ours.month("2026-03", AFTER)
        with contextlib.closing(sqlite3.connect(ours.record)) as kept:
            slots = [start for (start,) in kept.execute("select start from slots order by start")]
            silent = set(kept.execute("select start, node from silent"))
            used = dict(kept.execute("select tenant, sum(participants) from used group by tenant"))
    stretches: dict[str, list[list[float]]] = {"n1.test": [], "n2.test": []}
    for node, spans in stretches.items():
        for start in slots:
            if (start, node) in silent:
                continue
            if spans and spans[-1][1] == start:
                spans[-1][1] = start + T
            else:
                spans.append([start, start + T])
    assert found["samples_got"] == 2 * len(slots) - len(silent)
    for tenant in ("rosa", "cafe"):
        truth, allowed = 0.0, 0.0
        for stay in stays:
            if stay.tenant != tenant:
                continue
            for span in stretches[stay.node]:
                seen = stay.within([(span[0], span[1])])
                truth += stay.people * seen
                # The first sample after a start is up to a sixth of an interval late.
                allowed += stay.people * (T + T / 6 if stops else T) if seen else 0
        measured = used.get(tenant, 0)
        assert abs(measured - truth) <= allowed, (measured, truth, allowed)
        assert measured <= truth + allowed and (truth > 0 or measured == 0)


def test_an_hour_of_seconds_on_the_slots_is_within_one_interval(tmp_path):
    """The bound is met, not only kept: a stay of just under two intervals is one or two, by when it begins."""
    for shift, expected in ((1, 1), (0, 2)):
        ours = meter(tmp_path / str(shift))
        ours.folder.mkdir()
        ours.run(World([Stay("n1.test", "rosa", DAY + shift, DAY + shift + 119)], DAY), DAY + 600)
        assert minutes(ours.month("2026-03", AFTER), "rosa") == expected


@pytest.mark.thorough
def test_a_month_of_use_is_metered_to_the_figure_that_is_known(tmp_path):
    """A whole month of many tenants, with six hours without the meter, a node that dies with its meetings, and a poll that fails once: the
    minutes are those that really were, less exactly what was not measured."""
    chance, step, begin, end = random.Random(11), 300, epoch("2026-03-01T00:00"), epoch("2026-04-01T00:00")
    nodes = ["n1.test", "n2.test", "n3.test"]
    stays = []
    for number in range(900):
        first = begin + step * chance.randrange((end - begin) // step - 48)
        last = first + step * chance.randint(1, 48)
        stays.append(Stay(chance.choice(nodes), f"t{number % 12}", first, last, chance.randint(1, 30), f"m{number}"))
    down = (epoch("2026-03-10T08:00"), epoch("2026-03-10T14:00"))
    dead = {"n2.test": (epoch("2026-03-17T19:00"), epoch("2026-03-17T21:00"))}
    dead["n3.test"] = (epoch("2026-03-20T10:00"), epoch("2026-03-20T10:05"))

    def faults(node: str, now: float) -> str | None:
        first, last = dead.get(node, (0, 0))
        return "silent" if first <= now < last else None

    ours = Meter(tmp_path, [{"domain": node} for node in nodes], step)
    world = World(stays, begin, faults=faults)
    ours.run(world, down[0])
    world.now = down[1]
    ours.run(world, end)
    found = ours.month("2026-03", "2026-04-02")
    for tenant in {stay.tenant for stay in stays}:
        seen = 0.0
        for stay in stays:
            if stay.tenant == tenant:
                missed = [down, *([dead[stay.node]] if stay.node in dead else [])]
                seen += stay.people * (stay.end - stay.begin - stay.within(missed))
        assert minutes(found, tenant) == seen / 60
    polls = (end - begin - 6 * 3600) // step
    assert found["samples_got"] == 3 * polls - 24 - 1 and found["samples_expected"] == 3 * (end - begin) // step
    assert found["silent"] == {"n2.test": 24, "n3.test": 1}
    assert found["gaps"] == [{"from": "2026-03-10T08:00:00Z", "to": "2026-03-10T14:00:00Z", "minutes": 360}]


# -- the record

LOOP = """
import sys
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Count
from ansible_collections.meet.coop.plugins.module_utils._meter.record import Record
record = Record.open(sys.argv[1])
start = int(sys.argv[2])
print("ready", flush=True)
while True:
    record.add(start, 60, {"rosa": Count(1, 5)}, 2, ["n2.test"])
    print(start, flush=True)
    start += 60
"""


@pytest.mark.programs
def test_killed_at_any_point_it_loses_at_most_one_poll(tmp_path):
    path, start = str(tmp_path / "record.sqlite"), DAY
    source = "from ansible.plugins.loader import init_plugin_loader; init_plugin_loader()\n" + LOOP
    acknowledged = 0
    for _each in range(4):
        process = subprocess.Popen([sys.executable, "-c", source, path, str(start)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().split("\n")[:-1]
        process.wait()
        acknowledged += len(said)
        record = Record.look(path)
        with contextlib.closing(sqlite3.connect(path)) as kept:
            polls, last, silent = kept.execute("select count(*), max(start), (select count(*) from silent) from slots").fetchone()
            (seconds,) = kept.execute("select sum(participants) from used").fetchone()
        record.close()
        # What was acknowledged is there, wholly; at most the one in the making is there too.
        assert acknowledged <= polls <= acknowledged + 1 and silent == polls and seconds == polls * 300
        acknowledged = polls
        start = last + 60
    assert acknowledged > 8


def test_a_full_disk_is_told_and_the_next_poll_is_kept(tmp_path, capsys):
    stays = [Stay("n1.test", "rosa", DAY, DAY + 3600, people=4)]
    ours = meter(tmp_path)
    world = World(stays, DAY)

    def damage(_world: World) -> None:
        # Somebody else holds the file: what a writer meets on a full or broken disk is an error of SQLite as well.
        with contextlib.closing(sqlite3.connect(ours.record)) as other:
            other.execute("alter table used rename to gone")

    def mend(_world: World) -> None:
        with contextlib.closing(sqlite3.connect(ours.record)) as other:
            other.execute("alter table gone rename to used")

    ours.run(world, DAY + 3600, [(DAY + 600, damage), (DAY + 1200, mend)])
    assert "the record cannot be used" in capsys.readouterr().err
    found = ours.month("2026-03", AFTER)
    assert minutes(found, "rosa") == 4 * 50 and {gap["minutes"] for gap in found["gaps"]} >= {10}


def test_an_interval_may_change_and_slots_never_overlap(tmp_path):
    path = str(tmp_path / "record.sqlite")
    record = Record.open(path)
    one = {"rosa": Count(1, 1)}
    assert record.add(DAY, 300, one, 1, []) and not record.add(DAY + 240, 60, one, 1, []) and record.add(DAY + 300, 60, one, 1, [])
    assert not record.add(DAY + 240, 120, one, 1, [])
    record.close()
    assert minutes(command.month(path, "2026-03", _day(AFTER)), "rosa") == 6


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("month", "as_of", "said"),
    [
        ("2026-3", AFTER, "month: '2026-3' is no month; write year-month, such as 2026-03"),
        ("2026-13", AFTER, "is no month"),
        ("2026-04", AFTER, "no day of 2026-04 is over"),
        ("2026-02", AFTER, "nothing was metered before 2026-03-01; name a later month"),
    ],
)
def test_months_that_cannot_be_told(tmp_path, month, as_of, said):
    ours = meter(tmp_path)
    ours.run(World([], DAY), DAY + 600)
    with pytest.raises(CoopError, match=said):
        ours.month(month, as_of)


def test_a_month_of_which_nothing_was_measured_is_none_of_zero(tmp_path):
    ours = meter(tmp_path)
    ours.run(World([], DAY), DAY + 600)
    found = ours.month("2026-04", "2026-05-02")
    assert found["samples_got"] == 0 and found["samples_expected"] == 30 * 1440 * 2 and found["gaps"][0]["minutes"] == 30 * 1440


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"interval": 70}, "interval is 70; write one of 10, 12"),
        ({"timeout": 0}, "timeout is 0; write seconds above 0"),
        ({"algorithm": "md5"}, "algorithm is 'md5'; write one of sha1"),
        ({"nodes": []}, "nodes is empty; name the servers to ask"),
        ({"nodes": [{"domain": "a"}, {"domain": "a"}]}, "node a is there twice"),
        ({"nodes": [{"name": "a"}]}, "nodes or tenants are not as they should be"),
        ({"colour": 1}, "there is no setting colour; write one of nodes"),
    ],
)
def test_what_is_set_wrong_is_one_line(tmp_path, capsys, more, said):
    ours = meter(tmp_path, more=more)
    assert ours.run(World([], DAY), DAY + 60) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0] and str(tmp_path) in lines[0]


def test_a_secret_that_is_missing_is_named_and_none_is_told(tmp_path, capsys):
    ours = meter(tmp_path)
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"n1.test": "s3cr3t"}))
    assert command.main(["run", "--config", str(ours.config), "--secrets", str(secrets)]) == 1
    said = capsys.readouterr().err
    assert "node n2.test has no secret" in said and "s3cr3t" not in said
    secrets.write_text('{"n1.test": "s3cr3t"')
    assert command.main(["run", "--config", str(ours.config), "--secrets", str(secrets)]) == 1
    said = capsys.readouterr().err
    assert "is no JSON" in said and "s3cr3t" not in said
