# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned for an instance, from made-up observations: names, ports, limits, and where a killed run left off."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import container, engine, instance, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import Observed, diff

IMAGE = {
    "Id": "sha256:" + "a" * 64,
    "Config": {"Env": ["PATH=/bin", "VERSION_TAG=v3.8.2.4"], "Labels": {"made": "there"}, "Entrypoint": ["./bin/start"]},
}
NEWER = {"Id": "sha256:" + "b" * 64, "Config": {"Env": ["PATH=/bin", "VERSION_TAG=v3.9.0"], "Entrypoint": ["./bin/start"]}}
REDIS = {"Id": "sha256:" + "c" * 64, "Config": {"Env": ["PATH=/bin"], "Cmd": ["redis-server"]}}
SPEC = instance.Spec(
    name="sunflower",
    image="greenlight:v3.8.2.4",
    redis_image="redis:7",
    hostname="meet.sunflower.example",
    environment={"SECRET_KEY_BASE": "5e" * 64, "DATABASE_URL": "postgres://u:word@h:5432/d", "LOG_LEVEL": "info"},
    redis_password="r" * 40,
)
READY = ports.State(port=5105, served=True, proven="id-main")


def inspected(body: dict[str, Any], image: dict[str, Any], identity: str, state: str = "running") -> dict[str, Any]:
    """A container as Docker describes it once it is made from this body."""
    body = copy.deepcopy(body)
    host = body.pop("HostConfig")
    networking = body.pop("NetworkingConfig")["EndpointsConfig"]
    config = {"Entrypoint": image["Config"].get("Entrypoint"), "Cmd": image["Config"].get("Cmd"), "User": "", **body}
    config["Env"] = [*config["Env"], *(image["Config"].get("Env") or [])]
    config["Labels"] = {**(image["Config"].get("Labels") or {}), **config["Labels"]}
    host["CapAdd"] = [f"CAP_{name}" for name in host.get("CapAdd") or []] or None
    running = state in ("running", "paused")
    return {
        "Id": identity,
        "Image": image["Id"],
        "Config": config,
        "HostConfig": host,
        "State": {"Status": state, "Running": running, "Restarting": False, "Paused": state == "paused"},
        "NetworkSettings": {"Networks": {name: {"NetworkID": "net-id"} for name in networking}},
    }


def main(
    spec: instance.Spec = SPEC, port: int = 5105, identity: str = "id-main", image: dict[str, Any] | None = None, state: str = "running"
) -> dict[str, Any]:
    return inspected(instance.greenlight_body(spec, port, None), image or IMAGE, identity, state)


def steady(**changes: Any) -> Observed:
    """The instance as it is when all is well."""
    observed = Observed(
        main=main(),
        redis=inspected(instance.redis_body(SPEC), REDIS, "id-redis"),
        network={"Id": "net-id"},
        volume=True,
        image=IMAGE,
        redis_image=REDIS,
        images={one["Id"]: one for one in (IMAGE, NEWER, REDIS)},
        state=READY,
    )
    return replace(observed, **changes)


def test_nothing_to_do() -> None:
    plan = diff(SPEC, steady())
    assert (plan.steps, plan.before, plan.after, plan.port) == ((), {}, {}, 5105)


def test_a_new_instance() -> None:
    """All four parts, the first free port, and no secret in the diff."""
    plan = diff(SPEC, Observed(image=IMAGE, redis_image=REDIS), lambda: {5100, 5101, 5103})
    assert plan.steps == (
        "create network greenlight-sunflower",
        "create volume greenlight-sunflower-storage",
        "create container greenlight-sunflower-redis",
        "create container greenlight-sunflower",
    )
    assert plan.port == 5102
    assert plan.before == {"network": None, "volume": None, "redis": None, "container": None}
    shown = json.dumps(plan.after)
    assert "5e5e" not in shown and "word" not in shown and "rrr" not in shown
    assert plan.after["container"]["ports"] == ["127.0.0.1:5102->3000/tcp"]


def test_a_host_without_docker() -> None:
    plan = diff(SPEC, Observed(docker=False))
    assert plan.port == 5100
    assert plan.steps[:2] == ("pull image greenlight:v3.8.2.4", "pull image redis:7")


@pytest.mark.parametrize(
    ("path", "value", "action", "parameter"),
    [
        (("HostConfig", "Memory"), 1, "update", "memory"),
        (("HostConfig", "MemorySwap"), -1, "update", "memory_swap"),
        (("HostConfig", "NanoCpus"), 0, "update", "cpus"),
        (("HostConfig", "PidsLimit"), None, "update", "pids"),
        (("HostConfig", "RestartPolicy"), {"Name": "always"}, "update", "restart_policy"),
        (("HostConfig", "Privileged"), True, "recreate", "privileged"),
        (("HostConfig", "CapAdd"), ["CAP_SYS_ADMIN"], "recreate", "capabilities_added"),
        (("HostConfig", "CapDrop"), None, "recreate", "capabilities_dropped"),
        (("HostConfig", "SecurityOpt"), None, "recreate", "security"),
        (("HostConfig", "Binds"), ["/etc:/host"], "recreate", "mounts"),
        (("HostConfig", "PidMode"), "host", "recreate", "pidmode"),
        (("HostConfig", "PortBindings"), {"3000/tcp": [{"HostIp": "", "HostPort": "5105"}]}, "recreate", "ports"),
        (("HostConfig", "LogConfig"), {"Type": "json-file", "Config": {}}, "recreate", "log"),
        (("Config", "Env"), ["LOG_LEVEL=debug"], "recreate", "environment.LOG_LEVEL"),
        (("Config", "Labels"), {}, "recreate", "labels.coop.meet.instance"),
        (("Config", "Entrypoint"), ["sleep"], "recreate", "entrypoint"),
        (("Config", "Cmd"), ["3600"], "recreate", "command"),
        (("Config", "User"), "1000", "recreate", "user"),
        (("Image",), NEWER["Id"], "recreate", "image_id"),
        (("NetworkSettings", "Networks"), {"greenlight-sunflower": {"NetworkID": "gone"}}, "recreate", "network"),
    ],
)
def test_each_difference_is_found_and_named(path: tuple[str, ...], value: Any, action: str, parameter: str) -> None:
    found = main()
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    plan = diff(SPEC, steady(main=found))
    assert plan.steps[-1] == f"{action} container greenlight-sunflower"
    assert parameter in plan.before["container"] or parameter in plan.after["container"]
    assert plan.port == 5105


def test_limits_that_the_kernel_cannot_keep_are_no_drift() -> None:
    found = main()
    found["HostConfig"]["MemorySwap"] = -1
    assert diff(SPEC, steady(main=found, limits={"memory": True, "memory_swap": False, "cpus": True, "pids": True})).steps == ()


def test_what_the_image_brings_is_not_ours() -> None:
    found = main(image=NEWER)
    assert diff(SPEC, steady(main=found, image=NEWER)).steps == ()


@pytest.mark.parametrize(("state", "action"), [("exited", "start"), ("created", "start"), ("paused", "unpause")])
def test_not_running(state: str, action: str) -> None:
    plan = diff(SPEC, steady(main=main(state=state)))
    assert plan.steps == (f"{action} container greenlight-sunflower",)


def test_networks() -> None:
    found = main()
    found["NetworkSettings"]["Networks"]["bridge"] = {"NetworkID": "other"}
    assert diff(SPEC, steady(main=found)).steps == ("disconnect container greenlight-sunflower from network bridge",)
    found["NetworkSettings"]["Networks"] = {}
    assert diff(SPEC, steady(main=found)).steps == ("connect container greenlight-sunflower to network greenlight-sunflower",)
    plan = diff(SPEC, steady(network=None))
    assert plan.steps == (
        "create network greenlight-sunflower",
        "recreate container greenlight-sunflower-redis",
        "recreate container greenlight-sunflower",
    )


# --- Images ---------------------------------------------------------------------------------------------------------


def test_a_new_image_is_rehearsed_only_beside_what_serves() -> None:
    newer = replace(SPEC, image="greenlight:v3.9.0")
    observed = steady(image=NEWER)
    assert diff(newer, observed).steps == ("rehearse image greenlight:v3.9.0", "recreate container greenlight-sunflower")
    assert not diff(replace(newer, rehearse=False), observed).rehearse
    assert not diff(newer, replace(observed, main=main(state="exited"))).rehearse
    assert not diff(newer, replace(observed, state=READY.with_(proven="another"))).rehearse
    assert not diff(replace(SPEC, environment={**SPEC.environment, "LOG_LEVEL": "warn"}), steady()).rehearse


def test_pulling() -> None:
    with pytest.raises(CoopError, match="greenlight:v3.9.0.*pull"):
        diff(replace(SPEC, image="greenlight:v3.9.0", pull="never"), steady(image=None))
    plan = diff(replace(SPEC, image="greenlight:v3.9.0"), steady(image=None))
    assert plan.steps == ("pull image greenlight:v3.9.0", "rehearse image greenlight:v3.9.0", "recreate container greenlight-sunflower")
    plan = diff(SPEC, steady(stale_images=frozenset({SPEC.image})))
    assert plan.after["container"] == {"image": "greenlight:v3.8.2.4 (newer)"}


# --- Ports ----------------------------------------------------------------------------------------------------------


def test_a_port_stays_even_outside_the_range() -> None:
    assert diff(replace(SPEC, port_range=(6000, 6001)), steady()).port == 5105
    assert diff(SPEC, Observed(image=IMAGE, redis_image=REDIS, state=ports.State(port=5107))).port == 5107


def test_a_taken_port_moves_only_before_it_ever_served() -> None:
    stopped = steady(main=main(state="exited"), port_taken_by="caddy (pid 7)")
    with pytest.raises(container.PortTaken, match=r"5105.*caddy \(pid 7\)"):
        diff(SPEC, stopped)
    plan = diff(SPEC, replace(stopped, state=ports.State(port=5105)), lambda: {5100})
    assert (plan.port, plan.steps) == (5101, ("recreate container greenlight-sunflower",))
    assert diff(SPEC, Observed(image=IMAGE, redis_image=REDIS), set, frozenset({5100})).port == 5101


def test_a_full_range_says_so() -> None:
    with pytest.raises(CoopError, match="port_range 5100-5101"):
        diff(replace(SPEC, port_range=(5100, 5101)), Observed(image=IMAGE, redis_image=REDIS), lambda: {5100, 5101})


# --- Where a killed run left off ------------------------------------------------------------------------------------

CHANGED = replace(SPEC, environment={**SPEC.environment, "LOG_LEVEL": "warn"})


def test_made_and_never_started() -> None:
    left = steady(next=main(CHANGED, identity="id-next", state="created"))
    assert diff(SPEC, left).steps == ("remove container greenlight-sunflower.next",)
    assert diff(CHANGED, left).steps == ("remove container greenlight-sunflower.next", "recreate container greenlight-sunflower")


def test_an_abandoned_rehearsal() -> None:
    assert diff(SPEC, steady(rehearsal=main(identity="id-r"))).steps == ("remove container greenlight-sunflower.rehearsal",)


def test_the_old_one_renamed_and_no_new_one() -> None:
    left = steady(main=None, previous=main(state="exited"), next=main(CHANGED, identity="id-next", state="created"))
    assert diff(SPEC, left).steps == (
        "remove container greenlight-sunflower.next",
        "rename container greenlight-sunflower.previous to greenlight-sunflower",
        "start container greenlight-sunflower",
    )
    assert diff(CHANGED, left).steps[-2:] == (
        "rename container greenlight-sunflower.previous to greenlight-sunflower",
        "recreate container greenlight-sunflower",
    )


def test_the_new_one_not_proven_yet() -> None:
    """Wanted as it is: it gets its chance, and the old one waits. Not wanted any more: the old one comes back."""
    left = steady(main=main(CHANGED, identity="id-new"), previous=main(state="exited"))
    plan = diff(CHANGED, left)
    assert plan.finish and plan.steps == ("remove container greenlight-sunflower.previous",)
    plan = diff(SPEC, left)
    assert plan.steps == (
        "remove container greenlight-sunflower",
        "rename container greenlight-sunflower.previous to greenlight-sunflower",
        "start container greenlight-sunflower",
    )


def test_the_new_one_proven_and_the_old_one_still_there() -> None:
    left = steady(main=main(CHANGED, identity="id-new"), previous=main(state="exited"), state=READY.with_(proven="id-new"))
    plan = diff(CHANGED, left)
    assert plan.steps == ("remove container greenlight-sunflower.previous",) and not plan.finish


# --- Words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "-x", "x-", "X", "a_b", "a.b", "x" * 64, "sunflower-redis", "a/b"])
def test_ids_that_cannot_be(name: str) -> None:
    with pytest.raises(CoopError):
        instance.check_name(name)


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 * 1024**2), ("1g", 1024**3), ("1.5G", 1536 * 1024**2), ("64MiB", 64 * 1024**2), (2**30, 2**30)]
)
def test_memory(text: Any, size: int) -> None:
    assert instance.parse_memory(text, "memory") == size


@pytest.mark.parametrize("text", ["", "much", "1t", "-1g", "1m", None])
def test_memory_that_cannot_be(text: Any) -> None:
    with pytest.raises(CoopError, match="resources.memory"):
        instance.parse_memory(text, "resources.memory")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("write /var/lib/docker/x: no space left on device", "disk of Docker is full"),
        ("manifest for x:y not found: manifest unknown", "no such image"),
        ("Get https://r.example/v2/: dial tcp: lookup r.example: no such host", "registry cannot be reached"),
        ("could not find an available, non-overlapping IPv4 address pool among the defaults", "container_host"),
        ("something\nelse", "something else"),
    ],
)
def test_dockers_complaints_are_explained(text: str, wanted: str) -> None:
    message = engine.why("image x", text)
    assert wanted in message and "\n" not in message


@pytest.mark.parametrize("address", ["", "/var/run/docker.sock", "ssh://host", "unix://"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(CoopError, match="docker_host"):
        engine.Engine(address)
