# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places by free capacity: never more than there is, the same whatever the order, and nobody who has one is moved."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._placement import record, task
from ansible_collections.meet.coop.plugins.plugin_utils._placement.proposal import Host, Instance, NoRoom, Proposal, Rules, propose, rooms

HOSTS = st.lists(
    st.builds(
        Host,
        st.sampled_from([f"host{number}" for number in range(6)]),
        st.integers(512, 32_000),
        st.integers(0, 32_000),
        st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda host: host.name,
)
RULES = st.builds(Rules, st.integers(0, 2048), st.integers(0, 8192), st.integers(0, 4096), st.integers(0, 6))


@st.composite
def coops(draw: Any) -> tuple[list[Host], list[Instance], Rules]:
    hosts = draw(HOSTS)
    names = draw(st.lists(st.integers(0, 99), max_size=25, unique=True))
    places = st.one_of(st.none(), st.sampled_from([host.name for host in hosts]))
    return hosts, [Instance(f"coop{number}", draw(st.integers(64, 4096)), draw(places)) for number in names], draw(RULES)


def outcome(hosts: list[Host], instances: list[Instance], rules: Rules) -> Proposal | str:
    try:
        return propose(hosts, instances, rules)
    except NoRoom as error:
        return str(error)


@given(coops())
def test_no_host_is_promised_more_than_it_has(coop: tuple[list[Host], list[Instance], Rules]) -> None:
    hosts, instances, rules = coop
    found = outcome(hosts, instances, rules)
    if isinstance(found, str):
        assert any(one.host is None and one.name in found for one in instances)
        return
    assert found.places.keys() == {one.name for one in instances if one.host is None}
    for host in hosts:
        own = [one for one in instances if one.host == host.name]
        new = [one for one in instances if found.places.get(one.name) == host.name]
        if new:
            assert sum(one.memory for one in own + new) <= host.memory - rules.reserved_memory
            assert sum(one.memory for one in new) <= host.available
            assert len(new) * rules.instance_disk <= host.disk - rules.reserved_disk
            assert not rules.instances or len(own) + len(new) <= rules.instances


@given(coops(), st.randoms(use_true_random=False))
def test_the_order_means_nothing(coop: tuple[list[Host], list[Instance], Rules], chance: random.Random) -> None:
    hosts, instances, rules = coop
    shuffled = (chance.sample(hosts, len(hosts)), chance.sample(instances, len(instances)))
    assert outcome(hosts, instances, rules) == outcome(*shuffled, rules)


@given(coops(), HOSTS, st.integers(64, 4096))
def test_growth_moves_nobody(coop: tuple[list[Host], list[Instance], Rules], more: list[Host], memory: int) -> None:
    """What was proposed once is a place like any other, however many members and hosts come."""
    hosts, instances, rules = coop
    found = outcome(hosts, instances, rules)
    if isinstance(found, str):
        return
    placed = [dataclasses.replace(one, host=one.host or found.places[one.name]) for one in instances]
    grown = hosts + [host for host in more if host.name not in {one.name for one in hosts}]
    assert propose(grown, placed, rules).places == {}
    later = outcome(grown, [*placed, Instance("new", memory)], rules)
    assert isinstance(later, str) or later.places.keys() == {"new"}


@given(coops())
def test_no_room_is_said_only_where_there_is_none(coop: tuple[list[Host], list[Instance], Rules]) -> None:
    """A single instance that is refused fits on no host."""
    hosts, instances, rules = coop
    placed = [dataclasses.replace(one, host=one.host or hosts[0].name) for one in instances]
    one = Instance("new", 512)
    refused = isinstance(outcome(hosts, [*placed, one], rules), str)
    fits = [
        room
        for room in rooms(hosts, placed, rules)
        if room.memory >= 512 and room.disk >= rules.instance_disk and (not rules.instances or room.instances < rules.instances)
    ]
    assert refused == (not fits)


# --- The task and its file ------------------------------------------------------------------------------------------

PARAMS: dict[str, Any] = {
    "hosts": [
        {"name": "host1", "memory": 8000, "available": 5000, "disk": 40_000},
        {"name": "host2", "memory": 8000, "available": 7000, "disk": 40_000},
    ],
    "instances": [{"name": "sunflower", "memory": "1g", "host": "host1"}, {"name": "rosa", "memory": "1g", "host": None}],
    "redis_memory": "96m",
    "reserved_memory": 1024,
    "reserved_disk": 5120,
    "instance_disk": 2048,
    "instances_max": 0,
    "record": None,
}


def run(check: bool = False, **changes: Any) -> dict[str, Any]:
    return task.run({**PARAMS, **changes}, check)


def test_the_emptier_host_is_proposed_with_lines_to_paste() -> None:
    found = run()
    assert (found["placed"], found["changed"]) == ({"rosa": "host2"}, False)
    assert yaml.safe_load(found["lines"]) == {"placement": {"rosa": "host2"}}
    assert {one["host"]: one["instances"] for one in found["room"]} == {"host1": 1, "host2": 1}


def test_full_hosts_are_said_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "placement.yml"
    with pytest.raises(CoopError, match=r"room for rosa \(65632 MiB\).*host1 has .* left.*add a container host"):
        run(instances=[{"name": "rosa", "memory": "64g", "host": None}, {"name": "cafe", "memory": "1g", "host": None}], record=str(path))
    assert not path.exists()


def test_the_record_is_foretold_kept_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "placement.yml"
    foretold = run(check=True, record=str(path))
    assert foretold["changed"] and not path.exists()
    done = run(record=str(path))
    assert done == foretold and path.read_text() == done["diff"]["after"]
    assert record.read(str(path))[1] == {"rosa": "host2"}
    # Somebody's words on a place stay.
    path.write_text(path.read_text().replace("rosa: host2", "rosa: host2  # near its people"))
    instances = [*PARAMS["instances"][:1], {"name": "rosa", "memory": "1g", "host": "host2"}, {"name": "no", "memory": "1g", "host": None}]
    run(record=str(path), instances=instances)
    assert record.read(str(path))[1] == {"rosa": "host2", "no": "host1"} or record.read(str(path))[1] == {"rosa": "host2", "no": "host2"}
    assert "# near its people" in path.read_text()
    again = run(record=str(path), instances=[{**one, "host": one["host"] or "host2"} for one in instances])
    assert (again["changed"], again["placed"]) == (False, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["placement.yml"]


@given(st.dictionaries(st.sampled_from(["no", "1e3", "a", "rosa", "null"]), st.sampled_from(["host1", "on", "1.5"]), min_size=1), st.data())
def test_what_is_written_is_read(places: dict[str, str], data: st.DataObject) -> None:
    known = {name: places[name] for name in data.draw(st.lists(st.sampled_from(sorted(places)), unique=True))}
    fresh = {name: host for name, host in places.items() if name not in known}
    layout = data.draw(st.sampled_from(["placement:\n", "placement:\n# mine\n", "{}\n"]))
    before = layout + record.lines(known).partition("\n")[2] if known and layout != "{}\n" else yaml.safe_dump({"placement": known})
    if fresh:
        assert yaml.safe_load(record.with_more(before, known, fresh)) == {"placement": places}


@pytest.mark.parametrize("text", ["services: {}\n", "- a\n", "placement: {rosa: 3}\n", "placement: [\n", "text"])
def test_another_file_is_never_written_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "members.yml"
    path.write_text(text)
    with pytest.raises(CoopError, match=r"members\.yml"):
        run(record=str(path))
    assert path.read_text() == text


def test_a_record_that_the_inventory_does_not_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "placement.yml"
    run(record=str(path))
    with pytest.raises(CoopError, match=r"rosa, but the inventory does not know them.*paths"):
        run(record=str(path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reserved_memory": -1}, "reserved_memory -1"),
        ({"instances": [{"name": "rosa", "memory": "lots", "host": None}]}, "memory of rosa 'lots'"),
        ({"instances": [PARAMS["instances"][1]] * 2}, "instances names rosa twice"),
        ({"hosts": []}, "no container host that answers"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CoopError, match=said):
        run(**changes)
