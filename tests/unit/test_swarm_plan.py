# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned for an instance in a Swarm, from made-up observations: the same options, the same services; and nothing secret shows."""

from __future__ import annotations

import copy
import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance, ports, swarm, swarm_operations
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.swarm import Observed, Swarm, diff

SPEC = instance.Spec(
    name="sunflower",
    image="greenlight:v3.8.2.4",
    redis_image="redis:7",
    hostname="meet.sunflower.example",
    environment={
        "SECRET_KEY_BASE": "5e" * 64,
        "DATABASE_URL": "postgres://u:password@h:5432/d",
        "LOG_LEVEL": "info",
        "SOMETHING": "of ours, hidden",
    },
    redis_password="r" * 40,
    secret_names=frozenset({"SOMETHING"}),
)
SHARED = Swarm(storage="shared", path="/srv/uploads/sunflower")
PINNED = Swarm(node="host1")
NETWORK = {"Id": "net-id", "Name": "greenlight-sunflower_overlay"}
NODE = {
    "ID": "node-1",
    "Spec": {"Availability": "active", "Labels": {"coop.meet.instances": "true"}},
    "Description": {"Hostname": "host1"},
    "Status": {"State": "ready", "Addr": "10.0.0.1"},
}
EMPTY = Observed(nodes=(NODE,), labelled=1)


def inspected(body: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    """A service as Docker describes it once it is made from this body."""
    body = copy.deepcopy(body)
    task = body["TaskTemplate"]
    task["Networks"] = [{"Target": "net-id"}]
    task["ContainerSpec"]["Isolation"] = "default"
    task["ContainerSpec"]["CapabilityDrop"] = [f"CAP_{name}" for name in task["ContainerSpec"]["CapabilityDrop"]]
    task["ForceUpdate"], task["Runtime"] = 0, "container"
    return {"ID": "id", "Version": {"Index": 7}, "Spec": body, **({"PreviousSpec": before} if before else {})}


def running(spec: instance.Spec, how: Swarm, port: int = 5105, previous: Observed | None = None) -> Observed:
    """What there is after a run of the plan."""
    old = {name: (getattr(previous, name) or {}).get("Spec") if previous else None for name in ("service", "redis")}
    bodies = {"service": swarm.greenlight_service(spec, how, port, None), "redis": swarm.redis_service(spec, how)}
    made = {}
    for name, body in bodies.items():
        made[name] = inspected(body, old[name])
        if previous and swarm.view(made[name]["Spec"], {}) == swarm.view(old[name] or {}, {}):
            made[name] = getattr(previous, name)
    return Observed(
        **made,
        network=NETWORK,
        secrets={**(dict(previous.secrets) if previous else {}), **{name: f"id-{name}" for name in swarm.wanted_secrets(spec)}},
        nodes=(NODE,),
        labelled=1,
        state=ports.State(port=port, served=True, swarm=True),
    )


SPECS = st.builds(
    replace,
    st.just(SPEC),
    environment=st.dictionaries(
        st.sampled_from(["SECRET_KEY_BASE", "LOG_LEVEL", "SMTP_PASSWORD", "REDIS_URL", "DEFAULT_LOCALE"]),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    ),
    memory=st.integers(64, 4096).map(lambda number: number * 1024**2),
    cpus=st.floats(0.01, 8).map(lambda number: round(number, 2)),
    pids=st.integers(16, 1024),
    ready_timeout=st.integers(1, 900),
    image=st.sampled_from(["greenlight:v3.8.2.4", "registry.example:5000/greenlight:v3.7.1"]),
    redis_password=st.text("abc123", min_size=16, max_size=40),
)
SWARMS = st.sampled_from([SHARED, PINNED, Swarm(storage="s3"), Swarm(storage="s3", monitor=5, label="other")])


@given(SPECS, SWARMS, st.integers(5001, 5999))
def test_the_same_options_are_the_same_services(spec: instance.Spec, how: Swarm, port: int) -> None:
    first = diff(spec, how, replace(EMPTY, state=ports.State(port=port)))
    assert first.steps[:2] == ("create network greenlight-sunflower_overlay", "create 2 secrets")
    again = diff(spec, how, running(spec, how, port))
    assert (again.steps, again.before, again.after, again.port) == ((), {}, {}, port)


@given(SPECS, SPECS, SWARMS)
def test_a_change_is_made_once_and_old_secrets_go_with_the_next(one: instance.Spec, other: instance.Spec, how: Swarm) -> None:
    first = running(one, how)
    second = running(other, how, previous=first)
    plan = diff(other, how, second)
    # Swarm may still go back to what the first secrets belong to; nothing else is ever left to do.
    assert plan.steps in ((), ("remove 1 old secret",), ("remove 2 old secrets",))
    for service in (second.service, second.redis):
        for kept in ("Spec", "PreviousSpec"):
            assert not swarm._secrets_of(service, kept) & set(plan.stale)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=60))
def test_secrets_stand_in_no_service(value: str) -> None:
    hidden = f"hidden-{value}"
    spec = replace(SPEC, environment={**SPEC.environment, "SMTP_PASSWORD": hidden, "SOMETHING": hidden}, redis_password="r3d1sPASSWORD" * 3)
    plan = diff(spec, SHARED, EMPTY)
    bodies = [swarm.greenlight_service(spec, SHARED, 5105, None), swarm.redis_service(spec, SHARED)]
    said = json.dumps([bodies, plan.steps, plan.before, plan.after], ensure_ascii=False)
    for secret in (hidden, "5e5e5e", "password@", "r3d1sPASSWORD"):
        assert json.dumps(secret, ensure_ascii=False)[1:-1] not in said
    # What a shell makes of the file is what Greenlight is to read.
    words = shlex.split(swarm.environment_file(spec).decode())
    assert dict(word.split("=", 1) for word in words) == swarm.secret_part(spec)
    assert swarm.secret_part(spec).keys() == {"SECRET_KEY_BASE", "DATABASE_URL", "SMTP_PASSWORD", "SOMETHING"}


def test_a_changed_secret_is_a_changed_service() -> None:
    changed = replace(SPEC, environment={**SPEC.environment, "SOMETHING": "else"})
    plan = diff(changed, SHARED, running(SPEC, SHARED))
    assert plan.steps == ("create 1 secret", "update service greenlight-sunflower")
    assert plan.after["service"].keys() == {"secrets"}
    assert "else" not in json.dumps([plan.before, plan.after])
    # The same value under another key has another name: names cannot be compared between instances.
    assert not swarm.wanted_secrets(SPEC).keys() & swarm.wanted_secrets(replace(SPEC, environment={"SECRET_KEY_BASE": "6f" * 64})).keys()


def test_a_new_image_is_dumped_for_first_and_kept_out_where_upgrades_wait() -> None:
    there = running(SPEC, SHARED)
    newer = replace(SPEC, image="greenlight:v3.9", dump=Login(db="greenlight_sunflower", unix_socket="/run/postgresql", user="postgres"))
    assert diff(newer, SHARED, there).dump is True
    assert diff(newer, SHARED, replace(there, state=ports.State(port=5105))).dump is False
    assert swarm.hold(newer, there) == ("greenlight:v3.8.2.4", "greenlight:v3.9")
    assert swarm.hold(SPEC, there) == ("greenlight:v3.8.2.4", None)


def test_movable_instances_start_first_and_pinned_ones_stop_first() -> None:
    def order(how: Swarm) -> list[str]:
        body = swarm.greenlight_service(SPEC, how, 5105, None)
        return [body[key]["Order"] for key in ("UpdateConfig", "RollbackConfig")]

    assert order(SHARED) == ["start-first"] * 2 and order(PINNED) == ["stop-first"] * 2
    constraints = swarm.greenlight_service(SPEC, PINNED, 5105, None)["TaskTemplate"]["Placement"]["Constraints"]
    assert constraints == ["node.labels.coop.meet.instances==true", "node.hostname==host1"]


def test_the_port_stays_and_is_nobody_elses() -> None:
    spec = replace(SPEC, port_range=(5100, 5102))
    assert diff(spec, SHARED, EMPTY, {5100, 5101}).port == 5102
    assert diff(spec, SHARED, running(spec, SHARED, 5999), {5999}).port == 5999
    with pytest.raises(CoopError, match="port_range 5100-5102"):
        diff(spec, SHARED, EMPTY, {5100, 5101, 5102})


def test_upstreams_are_the_nodes_that_may_run_it() -> None:
    away = {**NODE, "ID": "node-2", "Status": {"State": "down", "Addr": "10.0.0.2"}}
    observed = replace(EMPTY, nodes=(NODE,), places=(away, NODE), own_id="node-1", own_address="10.0.0.9")
    assert swarm.upstreams(observed, 5105) == ["10.0.0.2:5105", "10.0.0.9:5105"]


@pytest.mark.parametrize(
    ("observed", "how", "said"),
    [
        (replace(EMPTY, containers=("greenlight-sunflower",)), SHARED, "of engine docker on this host; use engine docker, or take it over"),
        (Observed(), SHARED, "docker node update --label-add coop.meet.instances=true NODE"),
        (Observed(labelled=2), SHARED, "none of the 2 nodes"),
        (Observed(labelled=2), PINNED, "node host1 is ready and active"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_made(observed: Observed, how: Swarm, said: str) -> None:
    with pytest.raises(CoopError, match=said):
        diff(SPEC, how, observed)


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        (None, "name it in swarm.node"),
        ({"storage": "shared"}, "needs swarm.path"),
        ({"storage": "shared", "path": "/srv", "node": "host1"}, "does not need"),
        ({"storage": "shared", "path": "/srv/uploads"}, "does not end in /sunflower"),
        ({"storage": "s3", "path": "/srv"}, "belongs to swarm.storage 'shared'"),
        ({"storage": "s3"}, "needs S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_REGION, S3_BUCKET"),
        ({"node": "host1", "monitor": 0}, "swarm.monitor 0"),
        ({"node": "host1", "label": "a b"}, "swarm.label 'a b'"),
    ],
)
def test_options_that_do_not_go_together(given_options: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(CoopError, match=said):
        swarm.options(given_options, SPEC)


def test_a_name_too_long_for_a_service() -> None:
    with pytest.raises(CoopError, match="at most 63 characters"):
        swarm.options({"node": "host1"}, replace(SPEC, name="a" * 47))
    assert swarm.options({"node": "host1"}, replace(SPEC, name="a" * 46)).node == "host1"


def test_a_log_is_read_out_of_dockers_frames() -> None:
    frames = b"".join(bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for kind, text in ((1, b"one\n"), (2, b"two\n")))
    assert swarm_operations._demultiplexed(frames) == "one\ntwo\n"


# --- Waiting --------------------------------------------------------------------------------------------------------


class Manager:
    """A Swarm that answers one thing after the other."""

    def __init__(self, *moments: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        self.moments, self.posted = list(moments), []  # type: ignore[var-annotated]

    def get(self, path: str, **_query: Any) -> Any:
        if path.startswith("/services/"):
            return self.moments[0][0]
        tasks = self.moments[0][1]
        if len(self.moments) > 1:
            self.moments.pop(0)
        return tasks


def service(state: str = "", image: str = SPEC.image) -> dict[str, Any]:
    found = inspected(swarm.greenlight_service(replace(SPEC, image=image), SHARED, 5105, None))
    return {**found, "UpdateStatus": {"State": state}} if state else found


def task(state: str, image: str = SPEC.image, number: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "ID": f"task-{number}",
        "CreatedAt": f"2026-01-01T00:00:{number:02}Z",
        "DesiredState": "running",
        "Spec": service(image=image)["Spec"]["TaskTemplate"],
        "Status": {"State": state, **status},
    }


def wait(manager: Manager, action: str | None) -> Any:
    return swarm_operations._wait(manager, SPEC, swarm.Plan(service=action), 60.0, sleep=lambda _seconds: None)  # type: ignore[arg-type]


def test_waiting_ends_with_the_task_that_was_asked_for() -> None:
    old, new = task("running", "greenlight:old"), task("running", number=2)
    manager = Manager(
        (service("updating"), [old, task("starting", number=2)]), (service("updating"), [old, new]), (service("completed"), [new])
    )
    assert wait(manager, "update")["ID"] == "task-2"


def test_waiting_ends_when_swarm_went_back() -> None:
    failed = task("failed", number=2, Err="task: non-zero exit (1)", ContainerStatus={"ExitCode": 1})
    with pytest.raises(CoopError, match=r"non-zero exit \(1\) \(exit code 1\)\), and Swarm went back to greenlight:old"):
        wait(Manager((service("updating"), []), (service("rollback_completed", "greenlight:old"), [failed])), "update")
    # What was taken back long ago is no matter for a run that changes nothing.
    assert wait(Manager((service("rollback_completed"), [task("running")])), None)["ID"] == "task-1"


def test_a_new_instance_that_ends_again_and_again_is_given_up() -> None:
    ended = [task("failed", number=number, Err="no space left") for number in (1, 2, 3)]
    with pytest.raises(CoopError, match="is not well: no space left"):
        wait(Manager((service(), ended)), "create")


class Alone:
    """A host whose Docker is no node of any Swarm."""

    state = "inactive"

    def info(self) -> dict[str, Any]:
        return {"Swarm": {"LocalNodeState": self.state, "ControlAvailable": False}}

    def ids_of(self, container: str) -> list[str]:
        return []


def test_a_host_that_is_about_to_become_a_node_is_foretold_as_a_bare_one() -> None:
    foretold = swarm.observe(Alone(), SPEC, SHARED, foretell=True)  # type: ignore[arg-type]
    assert diff(SPEC, SHARED, foretold).steps[-1] == "create service greenlight-sunflower"
    with pytest.raises(CoopError, match="manages no Docker Swarm"):
        swarm.observe(Alone(), SPEC, SHARED)  # type: ignore[arg-type]
    worker = Alone()
    worker.state = "active"
    with pytest.raises(CoopError, match="run this on one of its managers"):
        swarm.observe(worker, SPEC, SHARED, foretell=True)  # type: ignore[arg-type]


def test_a_host_that_was_made_anew_is_one_place() -> None:
    old = {**NODE, "ID": "node-0", "Status": {"State": "down", "Addr": "10.0.0.1"}}
    assert swarm.upstreams(replace(EMPTY, places=(old, NODE)), 5105) == ["10.0.0.1:5105"]
