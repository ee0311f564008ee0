# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_container with engine swarm on two real nodes: what it makes and mends, how it updates, and what a dead node costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import swarm
from tests.support.containers import BROKEN, HOST, OLDER, STATE, brought_up
from tests.support.lab import RunningLab
from tests.support.swarm import SwarmInstance, Watch

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def nodes(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with swarm.two_nodes(lab, tmp_path_factory.mktemp("swarm")):
        yield lab


@pytest.fixture(scope="module")
def make(nodes: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[Callable[[str], SwarmInstance]]:
    with brought_up(lambda name, ports: SwarmInstance(nodes, run_module, f"s-{name}", ports), 5900) as make:
        yield make


@pytest.fixture(scope="module")
def steady(make: Callable[[str], SwarmInstance]) -> SwarmInstance:
    """An instance that runs; each test leaves it running."""
    instance = make("steady")
    instance.truthful()
    return instance


def test_a_new_instance_is_ready_and_shows_no_secret(steady: SwarmInstance) -> None:
    result = steady.good()
    assert result["version"] == "v3.8.2.4"
    assert len(result["upstreams"]) == 2 and all(one.endswith(f":{result['port']}") for one in result["upstreams"])
    assert len(steady.answers(result["upstreams"])) == 1
    container = steady.task_container()
    for said in (
        steady.docker("service", "inspect", steady.container, f"{steady.container}-redis"),
        steady.lab.exec(steady.node(), ["docker", "inspect", container]).stdout,
        *(steady.lab.exec(node, ["ps", "-eo", "args", "ww"]).stdout for node in swarm.NODES),
        steady.docker("secret", "ls"),
        steady.lab.exec(steady.node(), ["docker", "logs", container]).stdout,
    ):
        assert said
        steady.assert_silent(said)
    assert steady.lab.exec(HOST, ["find", STATE, "-perm", "/077", "-path", f"*{steady.name}*"]).stdout == ""
    background = steady.start(locale="fr")
    assert background.wait() == 0, background.output
    steady.assert_silent(background.output)


def test_only_nodes_reach_what_it_publishes(steady: SwarmInstance) -> None:
    result = steady.good()
    serving = steady.answers(result["upstreams"])[0]
    assert steady.asked(serving, "services").endswith(" 000")


def test_changes_by_hand_are_found_and_mended(steady: SwarmInstance) -> None:
    steady.good()
    steady.docker("service", "update", "--detach", "--env-add", "LOG_LEVEL=debug", "--limit-memory", "300m", steady.container)
    steady.docker("service", "scale", "--detach", f"{steady.container}-redis=0")
    result = steady.truthful()
    assert result["actions"] == [f"update service {steady.container}-redis", f"update service {steady.container}"]
    assert {"environment.LOG_LEVEL", "memory"} <= result["diff"]["before"]["service"].keys()
    steady.docker("service", "rm", f"{steady.container}-redis")
    assert steady.truthful()["actions"] == [f"create service {steady.container}-redis"]


def test_an_update_cuts_nobody_off(steady: SwarmInstance) -> None:
    """The new task is well before the old one ends; the secret that changed is in neither."""
    upstreams = steady.good()["upstreams"]
    old = steady.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretName"]
    with Watch(lambda: bool(steady.answers(upstreams))) as watch:
        result = steady.truthful(bigbluebutton={**steady.arguments["bigbluebutton"], "secret": "another-BBBSECRET-4711"})
    assert (watch.lost, result["actions"]) == (0, ["create 1 secret", f"update service {steady.container}"])
    assert watch.asked > 5
    assert "another-BBBSECRET-4711" not in json.dumps(result) + steady.docker("service", "inspect", steady.container)
    assert old in steady.docker("secret", "ls")  # Swarm goes back to it, should it have to
    # With the next change the one after that is what Swarm would go back to.
    third = steady.truthful(bigbluebutton={**steady.arguments["bigbluebutton"], "secret": "a-third-BBBSECRET-4711"})
    assert "remove 1 old secret" in third["actions"] and old not in steady.docker("secret", "ls")


def test_a_bad_image_is_taken_back_by_swarm(steady: SwarmInstance) -> None:
    before = steady.good()
    with Watch(lambda: bool(steady.answers(before["upstreams"]))) as watch:
        failed = steady.bad(image=BROKEN, ready_timeout=15)
    assert "Swarm went back to meet-coop-lab/greenlight:v3.8.2.4" in failed["msg"]
    assert "the database as it was before is in " in failed["msg"] and watch.lost == 0
    assert steady.lab.exec(HOST, ["test", "-s", failed["msg"].rsplit(" is in ", 1)[1]]).returncode == 0
    assert "cannot try" in steady.bad(image=BROKEN, rehearse=True)["msg"]
    assert steady.run(image=BROKEN, image_change="keep")["image_waiting"] == BROKEN


@pytest.mark.parametrize("event", ["network create {c}_overlay", "service create {c}-redis", "service create {c}"])
def test_a_killed_run_is_put_right(make: Callable[[str], SwarmInstance], event: str) -> None:
    instance = make("killed")
    instance.killed(event)
    result = instance.truthful()
    assert len(instance.answers(result["upstreams"])) == 1
    instance.remove()


def test_a_lost_node_is_survived_without_a_run(steady: SwarmInstance, nodes: RunningLab) -> None:
    upstreams = steady.good()["upstreams"]
    steady.docker("node", "update", "--availability", "drain", "host1.lab.test")
    running = f"docker service ps --filter desired-state=running --format '{{{{.Node}}}} {{{{.CurrentState}}}}' {steady.container}"
    nodes.wait_for(HOST, f"{running} | grep -q '^host2[^ ]* Running'", 180)
    steady.docker("node", "update", "--availability", "active", "host1.lab.test")
    assert steady.node() == "host2"
    swarm.lose(nodes, "host2")
    try:
        nodes.wait_for(HOST, f"{running} | grep -q '^host1[^ ]* Running'", 300)
        assert [one.split(":")[0] for one in steady.answers(upstreams)] == [nodes.ip("host1")]
        result = steady.good()
        assert (result["changed"], result["upstreams"]) == (False, upstreams)
    finally:
        swarm.find_again(nodes, "host2")
    assert steady.good()["upstreams"] == upstreams


def test_stopped_and_absent(make: Callable[[str], SwarmInstance]) -> None:
    instance = make("away")
    instance.truthful(image=OLDER)
    stopped = instance.truthful_state("stopped")
    assert stopped["actions"] == [f"stop service {instance.container}", f"stop service {instance.container}-redis"]
    assert instance.good(image=OLDER)["changed"] is True
    gone = instance.truthful_state("absent")
    assert f"remove network {instance.container}_overlay" in gone["actions"]
    assert instance.snapshot()[:3] == ([], "", "")


UPLOADED = "/usr/src/app/storage/ab/cd/abcdupload"


def test_from_one_engine_to_the_other_and_back(make: Callable[[str], SwarmInstance]) -> None:
    """Each refuses what the other runs, unless it is to take it over; what people wrote comes along, and a killed run is finished."""
    instance = make("switched")
    docker = {"engine": "docker", "database": {**instance.arguments["database"], "host": "10.213.0.1"}}
    port = instance.good(**docker)["port"]
    instance.sql("CREATE TABLE what_people_wrote AS SELECT 1")
    instance.docker("exec", instance.container, "sh", "-c", "mkdir -p ${0%/*} && echo mine >$0", UPLOADED)
    assert "of engine docker on this host; use engine docker, or take it over" in instance.bad()["msg"]

    instance.killed("service create {c}", switch_engine=True)
    result = instance.truthful(switch_engine=True)
    assert result["port"] == port and not {"", "-redis"} & instance.names().keys()
    assert len(instance.answers(result["upstreams"])) == 1 and instance.in_task(f"cat {UPLOADED}") == "mine\n"
    assert instance.container not in instance.docker("volume", "ls") + instance.docker("network", "ls", "--filter", "driver=bridge")
    instance.in_task(f"rm {UPLOADED}; echo newer >{UPLOADED}-2")
    assert "use engine swarm, or take it over" in instance.bad(**docker)["msg"]

    instance.killed("container create {c}", **docker, switch_engine=True)
    result = instance.truthful(**docker, switch_engine=True)
    assert (result["port"], result["upstreams"]) == (port, [f"127.0.0.1:{port}"]) and instance.serves(port)
    assert instance.inside(f"cat {UPLOADED}*").stdout == "newer\n"
    assert instance.sql("SELECT count(*) FROM what_people_wrote") == "1"
    assert instance.snapshot()[:3] == ([], "", "") and instance.lab.exec(HOST, ["test", "-e", instance.uploads]).returncode != 0


def test_what_does_not_become_well_there_serves_again_here(make: Callable[[str], SwarmInstance]) -> None:
    instance = make("returned")
    docker = {"engine": "docker", "database": {**instance.arguments["database"], "host": "10.213.0.1"}}
    port = instance.good(**docker)["port"]
    failed = instance.bad(switch_engine=True, database={**instance.arguments["database"], "host": "10.0.0.1"}, ready_timeout=10)
    assert failed["msg"].endswith("; engine docker serves it again") and instance.serves(port)
    assert instance.snapshot()[:3] == ([], "", "") and instance.good(**docker)["changed"] is False
    assert (
        "no directory on this host" in instance.bad(switch_engine=True, swarm={"storage": "shared", "path": "/nowhere/s-returned"})["msg"]
    )
    assert "not on swarm.node host9" in instance.bad(switch_engine=True, swarm={"node": "host9"})["msg"]
    pinned = {"swarm": {"node": "host1.lab.test", "monitor": 3}}
    instance.docker("exec", instance.container, "sh", "-c", "mkdir -p ${0%/*} && echo mine >$0", UPLOADED)
    instance.truthful(switch_engine=True, **pinned)
    assert instance.node() == "host1" and instance.in_task(f"cat {UPLOADED}") == "mine\n"
    assert f"the uploads of {instance.name} are in volume" in instance.bad()["msg"]


def test_what_no_node_can_take_is_said(make: Callable[[str], SwarmInstance]) -> None:
    instance = make("homeless")
    assert "has the label coop.meet.nobody=true" in instance.bad(swarm={**instance.arguments["swarm"], "label": "coop.meet.nobody"})["msg"]
    assert "node host9 is ready and active" in instance.bad(swarm={"node": "host9"})["msg"]
    assert "no node can take" in instance.bad(resources={"memory": "900g"})["msg"]
    assert instance.service()["Spec"]["Mode"]["Replicated"]["Replicas"] == 0
    assert "swarm.node" in instance.bad(swarm={})["msg"]
    assert "S3_ACCESS_KEY_ID" in instance.bad(swarm={"storage": "s3"})["msg"]
    instance.truthful()
