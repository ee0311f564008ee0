# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new image beside the old one: what is planned, what is kept, the way back, and where a killed run left off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._greenlight import container, copies, instance_database, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import Observed, diff
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from tests.unit.test_container_plan import NEWER, READY, SPEC, main, steady

C = "greenlight-sunflower"
BESIDE = replace(SPEC, image="greenlight:v3.9.0", image_change="beside", dump=Login("greenlight_sunflower"))
V4 = {"Id": "sha256:" + "d" * 64, "Config": {"Env": ["PATH=/bin", "VERSION_TAG=v4"], "Entrypoint": ["./bin/start"]}}
KEPT = ports.State(port=5106, served=True, proven="id-new", previous_until=1000.0)


def new(state: str = "running") -> dict[str, Any]:
    return main(BESIDE, port=5106, identity="id-new", image=NEWER, state=state)


def upgraded(**changes: Any) -> Observed:
    """The new one in its place, the old one still running."""
    return replace(steady(main=new(), previous=main(), image=NEWER, state=KEPT, now=500.0), **changes)


def test_the_new_one_gets_a_port_of_its_own() -> None:
    plan = diff(BESIDE, steady(image=NEWER), lambda: {5100, 5105})
    assert plan.steps == (
        "dump database greenlight_sunflower",
        "rehearse image greenlight:v3.9.0 on a copy of database greenlight_sunflower",
        f"start container {C}.next beside {C}",
        f"put container {C}.next in place of {C}",
    )
    assert plan.beside and plan.port == 5101
    assert (plan.before["serving"], plan.after["serving"]) == ("127.0.0.1:5105", "127.0.0.1:5101")


def test_beside_is_for_images_only() -> None:
    """Another variable means another container on the same port, as ever."""
    changed = replace(SPEC, image_change="beside", environment={**SPEC.environment, "LOG_LEVEL": "warn"})
    plan = diff(changed, steady())
    assert (plan.steps, plan.beside, plan.port) == ((f"recreate container {C}",), False, 5105)


@pytest.mark.parametrize("change", [{"state": READY.with_(proven="another")}, {"main": main(state="exited")}])
def test_nothing_is_put_beside_what_does_not_serve(change: dict[str, Any]) -> None:
    plan = diff(BESIDE, steady(image=NEWER, **change))
    assert not plan.beside and plan.port == 5105 and plan.steps[-1] == f"recreate container {C}"


def test_the_old_one_is_kept_for_its_time() -> None:
    assert diff(BESIDE, upgraded()).steps == ()
    assert diff(BESIDE, upgraded(now=999.9)).port == 5106
    assert diff(BESIDE, upgraded(now=1000.0)).steps == (f"remove container {C}.previous",)
    assert diff(BESIDE, upgraded(previous=main(state="exited"))).steps == (f"remove container {C}.previous",)


def test_the_old_one_makes_room_for_the_next_replacement() -> None:
    changed = replace(BESIDE, environment={**SPEC.environment, "LOG_LEVEL": "warn"})
    assert diff(changed, upgraded()).steps == (f"remove container {C}.previous", f"recreate container {C}")


def test_back_to_the_old_one() -> None:
    """It still runs, so it only gets its name and its port back."""
    back = replace(BESIDE, image=SPEC.image)
    plan = diff(back, upgraded(image=container_image()))
    assert plan.swap and plan.port == 5105
    assert plan.steps == (f"put container {C}.previous in place of {C}",)
    assert (plan.before["serving"], plan.after["serving"]) == ("127.0.0.1:5106", "127.0.0.1:5105")
    gone = diff(back, upgraded(image=container_image(), previous=None))
    assert gone.beside and not gone.swap


def container_image() -> dict[str, Any]:
    from tests.unit.test_container_plan import IMAGE

    return IMAGE


@pytest.mark.parametrize("main_there", [True, False])
def test_killed_before_the_new_one_had_its_name(main_there: bool) -> None:
    """It was proven, so it gets its place, and the old one runs on."""
    old = {"main": main()} if main_there else {"main": None, "previous": main()}
    plan = diff(BESIDE, steady(image=NEWER, next=new(), state=KEPT, now=500.0, **old))
    assert plan.promote and plan.port == 5106
    assert plan.steps == (f"put container {C}.next in place of {C}",)


def test_killed_then_something_else_is_wanted() -> None:
    """The proven one gets its place all the same; the old one makes room for the one that is wanted now."""
    plan = diff(replace(BESIDE, image="greenlight:v4"), steady(image=V4, next=new(), state=KEPT, now=500.0))
    assert plan.promote and plan.clear and plan.beside
    assert plan.steps[:2] == (f"put container {C}.next in place of {C}", f"remove container {C}.previous")
    plan = diff(BESIDE, upgraded(state=KEPT.with_(port=5105, proven="id-main")))
    assert plan.swap and plan.clear and plan.beside
    assert plan.steps[:2] == (f"put container {C}.previous in place of {C}", f"remove container {C}.previous")


def test_killed_before_the_new_one_was_proven() -> None:
    left = steady(image=NEWER, next=new(), state=READY.with_(next_port=5106))
    assert diff(replace(BESIDE, image=SPEC.image), replace(left, image=container_image())).steps == (f"remove container {C}.next",)
    assert diff(BESIDE, left).steps[0] == f"remove container {C}.next" and diff(BESIDE, left).beside


def test_killed_on_the_way_back() -> None:
    """Written down is that the old one counts; the names follow."""
    back = replace(BESIDE, image=SPEC.image)
    plan = diff(back, upgraded(image=container_image(), state=KEPT.with_(port=5105, proven="id-main")))
    assert plan.swap and plan.port == 5105 and plan.steps == (f"put container {C}.previous in place of {C}",)


def test_killed_while_nobody_was_served() -> None:
    """The database goes back to the dump before anything else happens."""
    left = steady(image=NEWER, next=new(), main=main(state="exited"), state=READY.with_(put_back="/dumps/x.dump"))
    held, observed, waiting = container.hold(replace(BESIDE, image_change="keep"), left)
    plan = diff(held, observed)
    assert waiting == BESIDE.image and plan.put_back == "/dumps/x.dump"
    assert plan.steps == (f"remove container {C}.next", "put back database greenlight_sunflower from /dumps/x.dump", f"start container {C}")
    assert diff(BESIDE, left).beside


def test_keep_holds_the_image_that_serves() -> None:
    keep = replace(BESIDE, image_change="keep")
    spec, observed, waiting = container.hold(keep, steady(image=NEWER))
    assert (spec.image, waiting) == (SPEC.image, BESIDE.image)
    assert diff(spec, observed).steps == ()
    # The same name, other content.
    _spec, observed, waiting = container.hold(replace(keep, image=SPEC.image), steady(image=NEWER))
    assert waiting == SPEC.image and observed.image == container_image()
    # The image is not on this host: it is not fetched either.
    spec, observed, waiting = container.hold(replace(keep, pull="never"), steady(image=None))
    assert waiting == BESIDE.image and diff(spec, observed).steps == ()


def test_keep_holds_nothing_that_never_served() -> None:
    keep = replace(BESIDE, image_change="keep")
    assert container.hold(keep, steady(image=NEWER, state=ports.State(port=5105)))[2] is None
    assert container.hold(keep, Observed(image=NEWER))[2] is None


def test_keep_after_an_upgrade_that_was_killed() -> None:
    """The new one was proven: it is what serves next."""
    keep = replace(BESIDE, image_change="keep", image="greenlight:v4")
    spec, observed, _waiting = container.hold(keep, steady(image=None, next=new(), state=KEPT, now=500.0))
    plan = diff(spec, observed)
    assert spec.image == BESIDE.image and plan.promote and plan.steps == (f"put container {C}.next in place of {C}",)


# --- What an old version can live with --------------------------------------------------------------------------------

BEFORE = copies.Shape(
    migrations=frozenset({"schema_migrations 1"}),
    columns={("rooms", "id"): "uuid", ("rooms", "name"): "character varying", ("users", "id"): "uuid"},
    required=frozenset({("rooms", "id")}),
    rules=frozenset({"rooms: UNIQUE (id)"}),
    names=frozenset({"settings PrimaryColor"}),
)


def test_what_is_added_takes_nothing_away() -> None:
    after = copies.Shape(
        columns={**BEFORE.columns, ("rooms", "colour"): "text", ("tags", "id"): "uuid"},
        required=BEFORE.required | {("tags", "id")},
        rules=BEFORE.rules | {"tags: UNIQUE (id)"},
        names=BEFORE.names | {"settings New"},
    )
    assert copies.lost(BEFORE, after) == []


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (replace(BEFORE, columns={("rooms", "id"): "uuid", ("users", "id"): "uuid"}), "column rooms.name is gone"),
        (replace(BEFORE, columns={key: value for key, value in BEFORE.columns.items() if key[0] != "users"}), "table users is gone"),
        (
            replace(BEFORE, columns={**BEFORE.columns, ("rooms", "name"): "integer"}),
            "column rooms.name is of type integer, not character varying",
        ),
        (replace(BEFORE, required=BEFORE.required | {("rooms", "name")}), "column rooms.name has to be filled now"),
        (replace(BEFORE, rules=BEFORE.rules | {"rooms: UNIQUE (name)"}), "a new rule on rooms: UNIQUE (name)"),
        (replace(BEFORE, names=frozenset()), "the row settings PrimaryColor is gone"),
    ],
)
def test_what_is_taken_away_is_told(after: copies.Shape, told: str) -> None:
    assert copies.lost(BEFORE, after) == [told]


# --- Names ------------------------------------------------------------------------------------------------------------


def test_no_copy_is_called_like_an_instance() -> None:
    """An instance sunflower-rehearsal has the database greenlight_sunflower_rehearsal."""
    long = "greenlight_" + "x" * 52
    names = [
        instance_database.copy_name(db, purpose)
        for db in ("greenlight_sunflower", long, long[:-1] + "y")
        for purpose in ("rehearsal", "aside")
    ]
    assert len(set(names)) == len(names)
    assert all(instance_database.NAME.fullmatch(name) and not name.startswith("greenlight_") for name in names)


def test_the_state_file_keeps_what_an_upgrade_needs(tmp_path: Any) -> None:
    state = ports.State(port=5105, served=True, proven="a", next_port=5106, previous_until=12.5, put_back="/x.dump")
    ports.write_state(str(tmp_path / "one"), state)
    assert ports.read_state(str(tmp_path / "one")) == state
    assert ports.reserved(str(tmp_path), "another") == {5105, 5106}


class Daemon:
    """A Docker that knows these containers."""

    def __init__(self, **containers: dict[str, Any]) -> None:
        self.known = {name: {**found, "Name": f"/{C}{name and '.' + name}"} for name, found in containers.items()}

    def containers(self, **_filters: str) -> list[dict[str, Any]]:
        return [{"Id": found["Id"]} for found in self.known.values()]

    def ids_of(self, _container: str) -> list[str]:
        return [found["Id"] for found in self.known.values()]

    def container(self, identity: str) -> dict[str, Any] | None:
        return next((found for found in self.known.values() if found["Id"] == identity), None)

    def network(self, _name: str) -> dict[str, Any]:
        return {"Id": "net-id"}

    def volume(self, _name: str) -> dict[str, Any]:
        return {}

    def image(self, _name: str) -> dict[str, Any]:
        return container_image()

    def info(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("containers", "foreign"),
    [
        ({"previous": main(), "next": new()}, False),  # killed between the two names
        ({"": main(state="exited"), "next": new()}, True),
        ({"": main()}, False),
    ],
)
def test_a_port_of_ours_is_nobody_elses(containers: dict[str, Any], foreign: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "listening", lambda: {5105: set(), 5106: set()})
    spec = replace(BESIDE, state_root=str(tmp_path))
    ports.write_state(spec.directory, KEPT)
    observed = container.observe(Daemon(**containers), spec)  # type: ignore[arg-type]
    assert (observed.port_taken_by is not None) == foreign
