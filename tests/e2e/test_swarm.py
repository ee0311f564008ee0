# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A co-op whose container host runs its instances in a Docker Swarm: onboarded, kept, upgraded, restored, bereft of a node, and taken back.

The tests follow one another: one co-op goes through all of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import swarm
from tests.support.ansible import ROOT, environment
from tests.support.containers import BROKEN, IMAGE, KILLER, STATE
from tests.support.swarm_coop import FILE, HOST, INSTANCES, Coop, coop_on_two_nodes, shared
from tests.support.upgrades import Outside, make_account, make_image

from .conftest import Play, command

ROSA, SITE = "rosa", "meet.rosa.test"
ALL = {f"greenlight-{instance}{part}" for instance in INSTANCES for part in ("", "-redis")}

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def coop(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coop]:
    with coop_on_two_nodes(lab, tmp_path_factory.mktemp("swarm")) as made:
        yield made


@pytest.fixture
def run(coop: Coop, play: Callable[..., Play]) -> Callable[..., Play]:
    """Runs a playbook, whatever comes of it."""
    return lambda *arguments: play(*arguments, inventory=coop.inventory, timeout=1800)


@pytest.fixture
def good(run: Callable[..., Play]) -> Callable[..., Play]:
    """Runs a playbook, which must end well."""

    def go(*arguments: str) -> Play:
        done = run(*arguments)
        assert done.code == 0, done.output[-6000:]
        return done

    return go


def words(outcome: Play) -> str:
    return " ".join(outcome.output.split())


# --- Onboarded and kept ---------------------------------------------------------------------------------------------


def test_on_bare_hosts_check_mode_foretells_and_makes_nothing(coop: Coop, good: Callable[..., Play]) -> None:
    foretold = good("onboard.yml", "--check", "--diff")
    assert {*INSTANCES, *swarm.NODES} <= foretold.changed.keys()
    assert coop.on(HOST, "ls -d /var/lib/meet-coop /etc/docker/daemon.json 2>/dev/null || true") == ""


def test_onboarding_ends_with_verified_instances(coop: Coop, good: Callable[..., Play], receipts: Callable[[str], dict[str, Any]]) -> None:
    good("onboard.yml")
    for instance in INSTANCES:
        receipt = receipts(instance)
        assert receipt["ok"] is True, receipt
    assert coop.services() == {f"{name} 1/1" for name in ALL}
    assert coop.containers() == set()


def test_the_second_run_changes_nothing_and_check_mode_foretells_nothing(good: Callable[..., Play]) -> None:
    assert good("onboard.yml").changed == {}
    foretold = good("site.yml", "--check", "--diff")
    assert foretold.changed == {} and f"{len(INSTANCES)} in sync" in words(foretold), foretold.output[-3000:]


def test_what_was_changed_by_hand_is_planned_and_mended(coop: Coop, good: Callable[..., Play]) -> None:
    coop.on(HOST, "docker service update --detach --env-add LOG_LEVEL=debug greenlight-rosa")
    foretold = good("converge.yml", "--check", "--diff")
    assert "update service greenlight-rosa" in words(foretold) and foretold.changed.keys() & {*INSTANCES} == {ROSA}
    assert good("converge.yml").changed.keys() & {*INSTANCES} <= {ROSA}
    assert "LOG_LEVEL=debug" not in coop.on(HOST, "docker service inspect --format '{{json .Spec}}' greenlight-rosa")
    assert good("converge.yml", "--check").changed == {}


# --- Upgraded -------------------------------------------------------------------------------------------------------


def wanted(image: str, **more: Any) -> list[str]:
    return ["-l", ROSA, "-e", json.dumps({"upgrade_image": image, "upgrade_unknown": image.rpartition(":")[2], **more})]


@pytest.fixture(scope="module")
def site(coop: Coop) -> Outside:
    make_account(coop.lab, "greenlight_rosa")
    return Outside(coop.lab, SITE)


def test_a_release_that_does_not_become_well_is_taken_back_by_swarm(
    coop: Coop, site: Outside, run: Callable[..., Play], receipts: Callable[[str], dict[str, Any]]
) -> None:
    """Its first migration stays. The database is as before once the dump that is named has been put back."""
    newest = "psql -U postgres -d greenlight_rosa -Atc 'SELECT max(version) FROM schema_migrations'"
    before = coop.on(HOST, newest)
    with site.load() as load:
        failed = run("upgrade.yml", *wanted(BROKEN, upgrade_ready_timeout=60))
    assert failed.failed == {ROSA} and "not upgraded, v3.8.2.4 serves as before" in words(failed), failed.output[-5000:]
    why = receipts(f"upgrade/{ROSA}")["why"]
    assert f"Swarm went back to {IMAGE}" in why and load.failed == [] and site.version() == "v3.8.2.4"
    dump = why.rpartition("the database as it was before is in ")[2]
    assert coop.on(HOST, newest) != before
    coop.on(HOST, f"pg_restore -U postgres --clean --if-exists --exit-on-error -d greenlight_rosa '{dump}'")
    assert coop.on(HOST, newest) == before and site.version() == "v3.8.2.4"


def test_an_upgrade_cuts_nobody_off(coop: Coop, site: Outside, good: Callable[..., Play]) -> None:
    """The new task is well before the old one ends."""
    for node in swarm.NODES:
        fine = make_image(coop.lab, "fine", host=node)
    foretold = good("upgrade.yml", "--check", "--diff", *wanted(fine))
    assert foretold.changed.keys() == {ROSA} and site.version() == "v3.8.2.4"
    with site.load() as load:
        good("upgrade.yml", *wanted(fine))
    assert load.failed == [] and set(load.versions) == {"v3.8.2.4", "v3.9.0-fine"}
    assert site.version() == "v3.9.0-fine"
    nightly = good("services.yml", "-l", ROSA)
    assert nightly.changed == {} and f"{IMAGE} waits for meet.coop.upgrade" in words(nightly)


# --- What it cannot do ----------------------------------------------------------------------------------------------


@contextmanager
def edited(coop: Coop, old: str, new: str) -> Iterator[None]:
    """The operator edits the membership file, and thinks better of it."""
    path = coop.inventory / "members.yml"
    before = path.read_text()
    assert before.count(old) == 1, old
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)


def test_there_is_no_way_back_after_an_upgrade(run: Callable[..., Play]) -> None:
    refused = run("upgrade.yml", "-l", ROSA, "-e", "upgrade_back=true")
    assert refused.failed == {ROSA} and refused.changed == {}
    assert "rosa: a Swarm keeps no container to go back to; restore the backup instead" in words(refused)


def test_nothing_moves_to_or_from_it(coop: Coop, run: Callable[..., Play]) -> None:
    with edited(coop, "    member: rosa\n", "    member: rosa\n    container_host: host2\n"):
        refused = run("move.yml", "-l", ROSA)
    assert refused.failed == {ROSA} and refused.changed == {}
    said = "host1 runs its instances in a Docker Swarm, from and to which nothing is moved; take it to engine docker first"
    assert said in words(refused), refused.output[-3000:]


def test_an_image_that_one_host_alone_has_is_refused(coop: Coop, run: Callable[..., Play]) -> None:
    folder = coop.inventory / "overrides" / "rosa" / "public"
    folder.mkdir(parents=True)
    (folder / "robots.txt").write_text("User-agent: *\n")
    with edited(coop, '      primary_color: "#b3123f"\n', '      primary_color: "#b3123f"\n      overrides: overrides/rosa\n'):
        refused = run("services.yml", "-l", ROSA)
    assert refused.failed == {ROSA} and refused.changed == {}
    assert "rosa has branding.overrides, which make an image that host1 alone has, and Swarm may start it on another node" in words(refused)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"storage": "s3"}, "swarm.storage 's3' needs S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_REGION, S3_BUCKET"),
        ({"storage": "node", "node": "host1.lab.test"}, f"the uploads of rosa are in {shared(ROSA)}, not in volume"),
    ],
)
def test_uploads_go_nowhere_by_a_change_of_variables(run: Callable[..., Play], how: dict[str, str], said: str) -> None:
    refused = run("services.yml", "-l", ROSA, "-e", json.dumps({"instance_swarm": how}))
    assert refused.failed == {ROSA} and refused.changed == {} and said in words(refused), refused.output[-3000:]


def test_only_the_first_host_of_a_swarm_has_instances_in_it(coop: Coop, run: Callable[..., Play]) -> None:
    coop.use("swarm", "host2")
    refused = run("platform.yml", "-l", "host2")
    coop.use("docker", "host2")
    assert refused.failed == {"host2"} and refused.changed == {}
    assert "container_host_engine of host2 is swarm, and container_host_swarm begins with host1" in words(refused)


# --- Restored, and bereft of a node ---------------------------------------------------------------------------------


def test_a_backup_brings_rows_and_uploads_of_one_instance_back(coop: Coop, good: Callable[..., Play]) -> None:
    mine, others = f"{shared(ROSA)}/{FILE}", f"{shared('cafe')}/{FILE}"
    coop.on(HOST, f"for one in {mine} {others}; do mkdir -p ${{one%/*}}; echo kept >$one; done")
    people = coop.people()
    good("backup.yml", "-l", ROSA)
    coop.on(HOST, f"rm {mine}; echo newer >{others}")
    coop.on(HOST, "psql -U postgres -d greenlight_rosa -c \"UPDATE users SET email = 'gone-' || id || '@mail.lab.test'\"")
    good("restore.yml", "-l", ROSA, "-e", "restore_replace=true")
    assert (coop.people(), coop.on(HOST, f"cat {mine} {others}")) == (people, "kept\nnewer")
    assert coop.services() == {f"{name} 1/1" for name in ALL} and coop.status(SITE) == 200
    assert good("converge.yml", "--check").changed == {}


def test_a_lost_node_is_survived_without_a_run(coop: Coop, good: Callable[..., Play]) -> None:
    """All are on the node that dies; the edge leads to wherever Swarm starts them, and nobody is told."""
    coop.gather("host2")
    swarm.lose(coop.lab, "host2")
    try:
        for name in (SITE, *(f"{instance}.meet.test" for instance in INSTANCES if instance != ROSA)):
            coop.lab.wait_for(HOST, f"test $({coop.ask(name)}) = 200", 300)
        # It answers before Docker has asked it for the first time.
        well = "docker ps --filter health=healthy --format '{{.Names}}' | cut -d. -f1 | grep -v -e -redis$"
        coop.lab.wait_for(HOST, f'test "$({well} | sort | xargs)" = "{" ".join(sorted(f"greenlight-{one}" for one in INSTANCES))}"', 120)
    finally:
        swarm.find_again(coop.lab, "host2")
    assert good("converge.yml", "--check").changed == {}


# --- From one engine to the other -----------------------------------------------------------------------------------


def killed_at(coop: Coop, event: str, *arguments: str) -> Play:
    """A run whose module is killed on the host as soon as Docker there reports an event."""
    since = coop.on(HOST, "date +%s.%N")
    with subprocess.Popen(
        command(*arguments, inventory=coop.inventory), cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        seen = coop.lab.exec(HOST, ["timeout", "600", "python3", "-c", KILLER, f"{STATE}/{ROSA}", event, since], timeout=660)
        output = process.communicate(timeout=600)[0]
    assert event in seen.stdout, (seen, output[-4000:])
    return Play(process.returncode, output)


def test_the_way_back_to_docker_has_to_be_asked_for(coop: Coop, run: Callable[..., Play], good: Callable[..., Play]) -> None:
    coop.use("docker")
    refused = run("services.yml", "-l", ROSA)
    assert refused.failed == {ROSA} and "rosa runs as services of a Docker Swarm" in words(refused), refused.output[-3000:]
    assert "meet.coop.engine" in words(refused)
    foretold = good("engine.yml", "--check", "-l", ROSA)
    assert foretold.changed.keys() == {ROSA} and coop.containers() == set()


def test_back_to_docker_with_everything_though_a_run_was_killed(
    coop: Coop, good: Callable[..., Play], receipts: Callable[[str], dict[str, Any]]
) -> None:
    people = coop.people()
    killed = killed_at(coop, "container create greenlight-rosa", "engine.yml", "-l", ROSA)
    assert killed.failed == {ROSA}
    good("engine.yml")
    assert coop.services() == set() and coop.containers() == ALL
    assert all(receipts(instance)["ok"] for instance in INSTANCES)
    assert (coop.people(), coop.on(HOST, f"cat {coop.volume(ROSA)}/{FILE}")) == (people, "kept")
    assert coop.on(HOST, f"cat {coop.volume('cafe')}/{FILE}") == "newer" and coop.on(HOST, f"ls {shared('')}") == ""
    assert good("engine.yml").changed == {}


def test_into_the_swarm_again_though_runs_were_killed(coop: Coop, good: Callable[..., Play], play_killed_at: Callable[..., bool]) -> None:
    people = coop.people()
    coop.use("swarm")
    foretold = good("engine.yml", "--check", "-l", ROSA)
    assert foretold.changed.keys() == {ROSA} and coop.services() == set()
    killed = killed_at(coop, "service create greenlight-rosa", "engine.yml", "-l", ROSA)
    assert killed.failed == {ROSA}
    # Moved, and the edge does not know it yet.
    assert play_killed_at("Open the instance's names to the world", 0.0, "engine.yml", "-l", ROSA, inventory=coop.inventory)
    good("engine.yml", "-l", ROSA)
    assert coop.services() == {"greenlight-rosa 1/1", "greenlight-rosa-redis 1/1"} and coop.status(SITE) == 200
    assert (coop.people(), coop.on(HOST, f"cat {shared(ROSA)}/{FILE}")) == (people, "kept")
    assert coop.containers() == {name for name in ALL if "rosa" not in name}
    assert good("engine.yml", "-l", ROSA).changed == {}


def test_and_to_docker_once_more(coop: Coop, good: Callable[..., Play]) -> None:
    people = coop.people()
    coop.use("docker")
    good("engine.yml", "-l", ROSA)
    assert (coop.services(), coop.containers()) == (set(), ALL)
    assert (coop.people(), coop.on(HOST, f"cat {coop.volume(ROSA)}/{FILE}")) == (people, "kept") and coop.status(SITE) == 200
