# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_container against a real Docker and PostgreSQL: what it makes, repairs, refuses, and survives."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.containers import BROKEN, HOST, IMAGE, OLDER, REDIS, STATE, Instance, SmallDocker, brought_up
from tests.support.lab import RunningLab
from tests.support.roles import apply_role

HOLDERS_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'"


@pytest.fixture(scope="module")
def container_host(lab: RunningLab) -> RunningLab:
    """The lab, with a container host as the role leaves it (what the role does is test_container_host's matter)."""
    if lab.exec(
        HOST, ["sh", "-c", "nft list table inet meet_coop_isolation && docker info && ss -ltn | grep -q 10.213.0.1:5432"]
    ).returncode:
        done = apply_role("container_host", HOST)
        assert done.returncode == 0, done.stdout[-4000:]
    return lab


@pytest.fixture(scope="module")
def make_instance(container_host: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[Callable[[str], Instance]]:
    with brought_up(lambda name, ports: Instance(container_host, run_module, f"t-{name}", ports), 47000) as make:
        yield make


@pytest.fixture
def make(make_instance: Callable[[str], Instance]) -> Iterator[Callable[[str], Instance]]:
    made: list[Instance] = []

    def one(name: str) -> Instance:
        made.append(make_instance(name))
        return made[-1]

    yield one
    for instance in made:
        instance.remove()


@pytest.fixture(scope="module")
def steady(make_instance: Callable[[str], Instance]) -> Instance:
    """An instance that runs; each test leaves it running."""
    instance = make_instance("steady")
    instance.truthful()
    return instance


# --- What it makes --------------------------------------------------------------------------------------------------


def test_a_new_instance_is_ready_and_closed(steady: Instance) -> None:
    result = steady.good()
    assert result["version"] == "v3.8.2.4"
    assert steady.ports[0] <= result["port"] <= steady.ports[1]
    assert steady.names() == {"": "running", "-redis": "running"}
    assert steady.http("/health_check", result["port"]) == "success 200"
    assert steady.http("/api/v1/env.json", result["port"]).endswith(" 200")

    main, redis = steady.inspect(), steady.inspect("-redis")
    host = main["HostConfig"]
    assert host["PortBindings"] == {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(result["port"])}]}
    assert redis["HostConfig"]["PortBindings"] in ({}, None)
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (1024**3, 1024**3, 10**9, 512)
    assert 0 < redis["HostConfig"]["Memory"] < 128 * 1024**2
    assert redis["HostConfig"]["ReadonlyRootfs"] is True
    # The kernel counts processes by user: it is nobody's on the host, whose services have limits.
    assert steady.on_host(f"getent passwd {redis['Config']['User'].partition(':')[0]} || echo nobody").strip() == "nobody"
    for one in (main, redis):
        assert one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert "no-new-privileges:true" in one["HostConfig"]["SecurityOpt"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"]
        assert one["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
        assert list(one["NetworkSettings"]["Networks"]) == [steady.container]
        assert one["Config"]["Labels"]["coop.meet.instance"] == steady.name
        assert one["Config"]["Labels"]["coop.meet.managed-by"] == "meet.coop"
    assert [(mount["Type"], mount["Name"], mount["Destination"]) for mount in main["Mounts"]] == [
        ("volume", f"{steady.container}-storage", "/usr/src/app/storage")
    ]
    assert redis["Mounts"] == []

    environment = dict(entry.partition("=")[::2] for entry in main["Config"]["Env"])
    assert environment["URL_HOST"] == f"{steady.name}.meet.test"
    assert environment["SMTP_HEALTH_CHECK_DISABLED"] == "true"
    assert environment["SMTP_STARTTLS"] == "true"
    assert environment["BIGBLUEBUTTON_ENDPOINT"] == "https://pool.meet.test/bigbluebutton/api/"
    assert [name for name, value in environment.items() if value == ""] == []


def test_secrets_show_nowhere(steady: Instance) -> None:
    """Not in a verbose run's output, not in the process list, not in Docker's logs, not in readable files."""
    background = steady.start(locale="fr")
    assert background.wait() == 0, background.output
    assert f"recreate container {steady.container}" in background.output
    steady.assert_silent(background.output)
    steady.assert_silent(steady.lab.exec(HOST, ["ps", "-eo", "args", "ww"]).stdout)
    for container in (steady.container, f"{steady.container}-redis"):
        steady.assert_silent(steady.docker("logs", container))
    state = steady.lab.exec(HOST, ["find", STATE, "-perm", "/077", "-path", f"*{steady.name}*"]).stdout
    assert state == ""
    background = steady.start(database={**steady.arguments["database"], "password": "not-the-PASSWORD-9999"}, ready_timeout=40)
    assert background.wait() != 0
    steady.assert_silent(background.output)
    assert "not-the-PASSWORD-9999" not in background.output
    steady.good()


def test_redis_asks_for_its_password(steady: Instance) -> None:
    redis = steady.lab.exec(HOST, ["docker", "exec", "--env", "REDISCLI_AUTH=", f"{steady.container}-redis", "redis-cli", "ping"])
    assert "NOAUTH" in redis.stdout + redis.stderr
    assert steady.docker("exec", f"{steady.container}-redis", "redis-cli", "ping") == "PONG"
    command = steady.docker("top", f"{steady.container}-redis", "-o", "pid,args")
    assert "redis-server" in command and "requirepass" not in command


# --- Predictions on a bare host -------------------------------------------------------------------------------------


def test_a_host_without_docker(make: Callable[[str], Instance]) -> None:
    """Predicted as new, port included; a real run says what is wrong."""
    instance = make("bare")
    predicted = instance.run(check=True, docker_host="unix:///nowhere/docker.sock")
    assert predicted["changed"] is True
    assert predicted["port"] == instance.ports[0]
    assert f"create container {instance.container}" in predicted["actions"]
    assert instance.names() == {}
    assert instance.lab.exec(HOST, ["test", "-e", f"{STATE}/{instance.name}"]).returncode != 0
    failed = instance.bad(docker_host="unix:///nowhere/docker.sock")
    assert "/nowhere/docker.sock" in failed["msg"]


# --- Drift ----------------------------------------------------------------------------------------------------------


DRIFT: dict[str, tuple[list[str], list[str]]] = {
    "limits, restart policies and a foreign network": (
        [
            "update --restart no --memory 700m --memory-swap 700m --cpus 0.7 --pids-limit 200 {c}",
            "update --restart on-failure {c}-redis",
            "network connect bridge {c}",
        ],
        ["update container {c}-redis", "disconnect container {c} from network bridge", "update container {c}"],
    ),
    "stopped": (["stop {c} {c}-redis"], ["start container {c}-redis", "start container {c}"]),
    "paused, Redis removed": (["pause {c}", "rm --force {c}-redis"], ["create container {c}-redis", "unpause container {c}"]),
    "cut off": (["network disconnect {c} {c}"], ["connect container {c} to network {c}"]),
    "removed": (["rm --force {c}"], ["create container {c}"]),
}


@pytest.mark.parametrize("case", DRIFT)
def test_changes_by_hand_are_found_and_mended(steady: Instance, case: str) -> None:
    by_hand, actions = DRIFT[case]
    before = steady.good()
    for command in by_hand:
        steady.docker(*command.format(c=steady.container).split())
    result = steady.truthful()
    assert result["actions"] == [action.format(c=steady.container) for action in actions]
    assert result["port"] == before["port"]
    assert (result["container_id"] == before["container_id"]) == (case != "removed")
    assert steady.serves(result["port"])


def test_an_environment_changed_by_hand(steady: Instance) -> None:
    """Somebody runs the container anew with other variables, other labels and an open port."""
    before = steady.good()
    environment = [entry for entry in steady.inspect()["Config"]["Env"] if not entry.startswith(("LOG_LEVEL", "BIGBLUEBUTTON_SECRET"))]
    steady.docker("rm", "--force", steady.container)
    options = [word for entry in environment for word in ("--env", entry)]
    steady.docker(
        "run", "--detach", "--name", steady.container, "--network", steady.container, "--publish", f"{before['port']}:3000",
        *options, "--env", "LOG_LEVEL=debug", "--env", "BIGBLUEBUTTON_SECRET=guessed", "--label", "who=me", IMAGE,
    )  # fmt: skip
    result = steady.truthful()
    assert result["actions"] == [f"recreate container {steady.container}"]
    changed = result["diff"]["before"]["container"].keys()
    assert {"environment.LOG_LEVEL", "environment.BIGBLUEBUTTON_SECRET", "labels.who", "labels.coop.meet.instance", "ports",
            "mounts", "memory", "security", "restart_policy"} <= changed  # fmt: skip
    assert result["diff"]["after"]["container"]["environment.BIGBLUEBUTTON_SECRET"] == "******** (changed)"
    assert "guessed" not in json.dumps(result)
    assert result["port"] == before["port"]
    assert steady.names() == {"": "running", "-redis": "running"}


def test_a_network_made_anew_by_hand(steady: Instance) -> None:
    """The containers still name a network that is gone."""
    steady.docker("stop", steady.container, f"{steady.container}-redis")
    steady.docker("network", "rm", steady.container)
    result = steady.truthful()
    assert f"create network {steady.container}" in result["actions"]
    assert steady.serves(result["port"])


def test_wanted_changes(steady: Instance) -> None:
    """Limits change on the living container; variables mean a new one; the port stays."""
    before = steady.good()
    resources = {"memory": "900m", "cpus": 1.5, "pids": 300, "redis_memory": "80m"}
    result = steady.truthful(resources={**resources, "redis_memory": "96m"})
    assert result["actions"] == [f"update container {steady.container}"]
    assert result["container_id"] == before["container_id"]
    steady.docker("exec", steady.container, "sh", "-c", "echo kept > /usr/src/app/storage/kept")
    result = steady.truthful(resources=resources, locale="de", environment={"LOG_LEVEL": "warn", "EMPTY": ""})
    assert result["actions"] == [f"recreate container {steady.container}-redis", f"recreate container {steady.container}"]
    assert result["diff"]["after"]["container"] == {"environment.DEFAULT_LOCALE": "de", "environment.LOG_LEVEL": "warn"}
    assert result["port"] == before["port"]
    assert steady.docker("exec", steady.container, "cat", "/usr/src/app/storage/kept") == "kept"
    steady.truthful()


def test_the_authority_file_is_mounted_and_followed(steady: Instance) -> None:
    """A bundle replaced on the host would stay as it was in a container that has it mounted."""
    bundle = f"/etc/meet-coop/{steady.name}-ca.pem"
    steady.lab.exec(HOST, ["sh", "-c", f"echo first > {bundle}"])
    steady.truthful(ca_file=bundle)
    assert steady.inside('cat "$SSL_CERT_FILE"').stdout == "first\n"
    steady.lab.exec(HOST, ["sh", "-c", f"echo second > {bundle}.new && mv {bundle}.new {bundle}"])
    result = steady.truthful(ca_file=bundle)
    assert result["actions"] == [f"recreate container {steady.container}"]
    assert steady.inside('cat "$SSL_CERT_FILE"').stdout == "second\n"
    failed = steady.bad(ca_file="/etc/meet-coop/there-is-none.pem")
    assert "/etc/meet-coop/there-is-none.pem" in failed["msg"]
    assert steady.names()[""] == "running"
    steady.truthful()
    steady.lab.exec(HOST, ["rm", bundle])


# --- Stop, remove ---------------------------------------------------------------------------------------------------


def test_stopped_absent_and_back(make: Callable[[str], Instance]) -> None:
    instance = make("states")
    first = instance.good()
    instance.docker("exec", instance.container, "sh", "-c", "echo kept > /usr/src/app/storage/kept")
    only_name = {key: None for key in instance.arguments if key not in ("name", "port_range")}

    def truthful(**changes: Any) -> dict[str, Any]:
        arguments = {key: value for key, value in {**instance.arguments, **only_name, **changes}.items() if value is not None}
        before = instance.snapshot()
        predicted = instance.run_module(HOST, "meet.coop.greenlight_container", arguments, check=True)
        assert instance.snapshot() == before
        result = instance.run_module(HOST, "meet.coop.greenlight_container", arguments)
        for key in ("changed", "actions", "port", "diff"):
            assert predicted[key] == result[key], key
        assert result["changed"] is True
        assert instance.run_module(HOST, "meet.coop.greenlight_container", arguments)["changed"] is False
        return result

    stopped = truthful(state="stopped")
    assert stopped["port"] == first["port"]
    assert instance.names() == {"": "exited", "-redis": "exited"}
    back = instance.truthful()
    assert (back["port"], back["container_id"]) == (first["port"], first["container_id"])
    truthful(state="absent")
    assert instance.names() == {}
    assert instance.docker("network", "ls", "--quiet", "--filter", f"name={instance.container}") == ""
    assert instance.docker("volume", "ls", "--quiet", "--filter", f"name={instance.container}") != ""
    instance.truthful()
    assert instance.docker("exec", instance.container, "cat", "/usr/src/app/storage/kept") == "kept"
    truthful(state="absent", purge=True)
    assert instance.docker("volume", "ls", "--quiet", "--filter", f"name={instance.container}") == ""


# --- Ports ----------------------------------------------------------------------------------------------------------

LISTENER = """import socket, sys, time
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind(("0.0.0.0", int(sys.argv[1])))
one.listen()
time.sleep(300)"""


@pytest.fixture
def listen(container_host: RunningLab) -> Iterator[Callable[[int], None]]:
    """Take a port of the container host, as some other program would."""
    pids: list[str] = []

    def take(port: int) -> None:
        script = f"nohup python3 -c '{LISTENER}' {port} >/dev/null 2>&1 & echo $!"
        pids.append(container_host.exec(HOST, ["sh", "-c", script]).stdout.strip())
        container_host.wait_for(HOST, f"ss -ltn | grep -q ':{port} '", 10)

    yield take
    for pid in pids:
        container_host.exec(HOST, ["kill", pid])


def test_a_port_taken_by_others(make: Callable[[str], Instance], listen: Callable[[int], None]) -> None:
    """A new instance goes round it; one that has served says who has it, and gets it back."""
    instance = make("taken")
    first = instance.ports[0]
    listen(first)
    result = instance.truthful()
    assert result["port"] == first + 1
    instance.docker("stop", instance.container)
    listen(first + 1)
    predicted = instance.run(check=True)
    failed = instance.bad()
    assert predicted["failed"] and predicted["msg"] == failed["msg"]
    assert f"port {first + 1}" in failed["msg"] and "python3" in failed["msg"]


def test_a_port_taken_before_the_first_start(make: Callable[[str], Instance], listen: Callable[[int], None]) -> None:
    """Nobody relies on the port of an instance that never was ready: it moves."""
    instance = make("moved")
    instance.killed("container start {c}-redis")
    instance.docker("stop", instance.container, check=False)
    listen(instance.ports[0])
    result = instance.truthful()
    assert result["port"] == instance.ports[0] + 1
    assert instance.serves(result["port"])


def test_ports_of_stopped_and_simultaneous_instances(make: Callable[[str], Instance]) -> None:
    """No two instances get one port: neither two that are made at the same time nor one made while another is stopped."""
    one, two, three = make("pa"), make("pb"), make("pc")
    shared = list(one.ports)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda instance: instance.good(port_range=shared), (one, two)))
    assert sorted(result["port"] for result in results) == [shared[0], shared[0] + 1]
    one.run(state="stopped")
    assert three.good(port_range=shared)["port"] == shared[0] + 2
    assert one.good()["port"] == results[0]["port"]


# --- Failures -------------------------------------------------------------------------------------------------------


def test_a_wrong_database_password(make: Callable[[str], Instance]) -> None:
    instance = make("wrong")
    failed = instance.bad(database={**instance.arguments["database"], "password": "not-the-PASSWORD-9999"})
    assert "migrat" in failed["msg"] and "password authentication failed" in failed["msg"]
    assert 1 <= len(failed["log"]) <= 15
    assert "not-the-PASSWORD-9999" not in json.dumps(failed)
    result = instance.good()
    assert result["changed"] is True
    assert instance.serves(result["port"])


def test_a_database_that_is_away(make: Callable[[str], Instance]) -> None:
    """The start script waits for ever; the module does not, and the next run finds it healed."""
    instance = make("away")
    failed = instance.bad(database={**instance.arguments["database"], "port": 5999}, ready_timeout=8)
    assert "not ready after 8 s" in failed["msg"]
    assert any("Waiting for postgres" in line and "times)" in line for line in failed["log"])
    instance.truthful()


def test_a_balancer_that_is_away(make: Callable[[str], Instance]) -> None:
    instance = make("nobbb")
    endpoint = {"endpoint": "http://127.0.0.1:9/bigbluebutton/api/", "secret": instance.secrets["bigbluebutton"]}
    failed = instance.bad(bigbluebutton=endpoint, skip_health_checks=[])
    assert "/health_check answers 500" in failed["msg"] and "BigBlueButton" in failed["msg"]


def test_a_start_that_cannot_work(make: Callable[[str], Instance]) -> None:
    """A container that stops right after each start is found out before the time is over, and not left to spin."""
    instance = make("loop")
    failed = instance.bad(resources={"memory": "12m"})
    assert "memory" in failed["msg"] or "exit code" in failed["msg"]
    # "created" where the kernel ends runc itself for want of memory, before the container's first process.
    assert instance.names()[""] in ("created", "exited")
    instance.truthful()


def test_an_image_that_is_not_there(steady: Instance) -> None:
    before = steady.snapshot()
    failed = steady.bad(image="meet-coop-lab/greenlight:v0.0.0")
    assert "meet-coop-lab/greenlight:v0.0.0" in failed["msg"] and "pull" in failed["msg"]
    failed = steady.bad(image="127.0.0.1:9/greenlight:v0.0.0", pull="missing")
    assert "127.0.0.1:9/greenlight:v0.0.0" in failed["msg"] and "registry" in failed["msg"]
    assert steady.snapshot() == before


@pytest.fixture
def small_docker(container_host: RunningLab) -> Iterator[SmallDocker]:
    docker = SmallDocker(container_host)
    docker.start(60)
    yield docker
    docker.stop()


def test_a_disk_too_full_for_an_image(make: Callable[[str], Instance], small_docker: SmallDocker) -> None:
    """Pulled for real: one clear line, nothing left behind, and with more space the next run goes on."""
    instance = make("tight")
    there = {"docker_host": small_docker.SOCKET, "pull": "missing"}
    there |= {"image": small_docker.pulled(IMAGE), "redis_image": small_docker.pulled(REDIS)}
    predicted = instance.run(check=True, **there)
    assert predicted["actions"][:2] == [f"pull image {there['image']}", f"pull image {there['redis_image']}"]
    failed = instance.bad(**there)
    assert failed["msg"] == (
        f"image {there['image']}: the disk of Docker is full; free space (docker system df shows what takes it), then run again"
    )
    assert small_docker.docker("ps", "--all", "--quiet") == ""
    assert small_docker.docker("volume", "ls", "--quiet") == ""
    small_docker.grow(1000)
    result = instance.good(**there)
    assert result["version"] == "v3.8.2.4" and instance.serves(result["port"])
    assert instance.good(**there)["changed"] is False
    assert instance.good(**{**there, "pull": "always"})["changed"] is False


def test_upgrades_good_and_bad(make: Callable[[str], Instance]) -> None:
    """A new image is tried beside what serves; one that cannot migrate is refused and disturbs nobody."""
    instance = make("upgrade")
    first = instance.truthful(image=OLDER)
    assert first["version"] == "v3.7.1"
    instance.docker("exec", instance.container, "sh", "-c", "echo kept > /usr/src/app/storage/kept")
    started = instance.inspect()["State"]["StartedAt"]
    failed = instance.bad(image=BROKEN)
    assert "refused" in failed["msg"] and "migrat" in failed["msg"] and failed["log"]
    assert instance.names() == {"": "running", "-redis": "running"}
    assert instance.inspect()["State"]["StartedAt"] == started
    assert instance.serves(first["port"])
    result = instance.truthful(image=IMAGE)
    steps = [
        f"dump database {instance.database}",
        f"rehearse image {IMAGE} on a copy of database {instance.database}",
        f"recreate container {instance.container}",
    ]
    assert result["actions"] == steps
    assert (result["version"], result["port"]) == ("v3.8.2.4", first["port"])
    assert instance.docker("exec", instance.container, "cat", "/usr/src/app/storage/kept") == "kept"
    failed = instance.bad(image=BROKEN, rehearse=False)
    assert "serves again" in failed["msg"]
    assert instance.serves(first["port"])
    assert instance.names() == {"": "running", "-redis": "running"}
    assert instance.good()["changed"] is False


def test_the_database_is_dumped_before_a_new_image_touches_it(make: Callable[[str], Instance]) -> None:
    """The dump brings back what was before, whatever the new image did; a refused image says where it lies."""
    instance = make("dump")
    old = instance.good(image=OLDER)["container_id"][:12]
    directory = f"{STATE}/{instance.name}/dumps"
    before = instance.sql("SELECT max(version) FROM schema_migrations")
    # Of earlier replacements: the two containers before this one, the older of which is forgotten.
    left = {"a" * 12: 1, "b" * 12: 4}
    for container, number in left.items():
        for second in range(number):
            instance.on_host(f"mkdir -pm 700 {directory}; touch {directory}/{container}-20260101T00000{second}.dump")
    instance.on_host(f"touch {directory}/{old}-20260101T000000.dump.partial")
    refused = instance.bad(image=BROKEN)
    first = instance.on_host(f"ls {directory} | grep ^{old}").strip()
    assert f"{directory}/{first}" in refused["msg"]
    assert instance.on_host(f"stat -c '%a %U' {directory} {directory}/{first}").split() == ["700", "root", "600", "root"]
    dumped = instance.good(image=IMAGE)["dump"]
    assert instance.on_host(f"ls {directory}").split() == sorted(
        [f"{'b' * 12}-20260101T000000.dump", f"{'b' * 12}-20260101T000003.dump", first, dumped.rpartition("/")[2]]
    )
    assert instance.sql("SELECT max(version) FROM schema_migrations") != before
    scratch = f"{instance.database}_scratch"
    restored = f"createdb -U postgres {scratch} && pg_restore -U postgres --no-owner -d {scratch} {directory}/{first}"
    try:
        instance.on_host(restored)
        assert instance.sql("SELECT max(version) FROM schema_migrations", scratch) == before
    finally:
        instance.on_host(f"dropdb -U postgres --if-exists {scratch}")
    assert instance.good(image=IMAGE)["dump"] is None
    instance.good(state="absent", purge=True)
    assert instance.on_host(f"ls {STATE}/{instance.name}").split() == []


def test_a_disk_too_full_for_the_dump(make: Callable[[str], Instance]) -> None:
    """Nothing is replaced without a dump, and half a dump is none."""
    instance = make("full")
    first = instance.good(image=OLDER)
    directory = f"{STATE}/{instance.name}/dumps"
    instance.on_host(f"mkdir -m 700 {directory} && mount -t tmpfs -o size=16k,mode=700 tmpfs {directory}")
    try:
        failed = instance.bad(image=IMAGE)
        assert "the disk is full" in failed["msg"] and instance.database in failed["msg"]
        assert instance.on_host(f"ls {directory}") == ""
        assert (instance.inspect()["Id"], instance.names()) == (first["container_id"], {"": "running", "-redis": "running"})
        assert instance.serves(first["port"])
    finally:
        instance.on_host(f"umount {directory}")
    assert instance.good(image=IMAGE)["version"] == "v3.8.2.4"


def test_a_dump_that_was_killed(make: Callable[[str], Instance]) -> None:
    """pg_dump is held up by a lock; the run dies meanwhile, and the next one makes a whole dump."""
    instance = make("dumpkill")
    instance.good(image=OLDER)
    directory = f"{STATE}/{instance.name}/dumps"
    holder = f"psql -U postgres -d {instance.database} -c 'BEGIN; LOCK TABLE users; SELECT pg_sleep(120)' >/dev/null 2>&1 &"
    instance.on_host(f"{holder} sleep 1")
    background = instance.start(image=IMAGE)
    try:
        instance.lab.wait_for(HOST, f"ls {directory}/*.partial")
        assert instance.kill_run() == 1
        code = background.wait()
    finally:
        instance.sql(HOLDERS_END)
    assert code != 0
    result = instance.good(image=IMAGE)
    assert instance.on_host(f"ls {directory}").split() == [result["dump"].rpartition("/")[2]]


def test_a_replacement_that_fails_gives_back_the_old_one(make: Callable[[str], Instance]) -> None:
    """Redis has a new password by then: the old container gets back the one it knows."""
    instance = make("back")
    first = instance.good()
    failed = instance.bad(
        redis_password="another-REDISPASSWORD-0815", database={**instance.arguments["database"], "password": "not-the-PASSWORD-9999"}
    )
    assert "serves again" in failed["msg"]
    assert instance.serves(first["port"])
    again = instance.good()
    assert (again["changed"], again["container_id"]) == (False, first["container_id"])


def test_migrations_that_were_left_undone(make: Callable[[str], Instance]) -> None:
    """The container runs, but nobody has proven it: the pending migration is found and one more start mends it."""
    instance = make("pending")
    first = instance.good()
    sql = "DELETE FROM data_migrations WHERE version = (SELECT max(version) FROM data_migrations)"
    done = instance.lab.exec(HOST, ["psql", "-U", "postgres", "-h", "/var/run/postgresql", "-d", instance.database, "-c", sql])
    assert "DELETE 1" in done.stdout, done
    instance.lab.exec(HOST, ["rm", f"{STATE}/{instance.name}/container.json"])
    result = instance.truthful()
    assert result["actions"] == [f"restart container {instance.container}"]
    assert result["container_id"] == first["container_id"]


# --- Killed runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["network create {c}", "container create {c}-redis", "container create {c}", "container start {c}"])
def test_a_first_run_that_was_killed(make: Callable[[str], Instance], event: str) -> None:
    instance = make("kill")
    instance.killed(event)
    result = instance.truthful()
    assert instance.names() == {"": "running", "-redis": "running"}
    assert instance.serves(result["port"])


@pytest.fixture(scope="module")
def swapped(make_instance: Callable[[str], Instance]) -> Instance:
    """An instance whose replacements are killed."""
    return make_instance("swap")


@pytest.mark.parametrize(
    ("event", "same"),
    [
        ("container create {c}.next", True),
        ("container die {c}", True),
        ("container rename {c}.previous", True),
        ("container start {c}", True),
        ("container die {c}", False),
        ("container start {c}", False),
    ],
    ids=["new-made", "old-stopped", "old-renamed", "new-started", "old-stopped-as-before", "new-started-as-before"],
)
def test_a_replacement_that_was_killed(swapped: Instance, event: str, same: bool) -> None:
    """Whether the next run wants the same or thinks better of it, it puts things right."""
    first = swapped.good()
    swapped.killed(event, locale="de")
    result = swapped.truthful(**({"locale": "de"} if same else {}))
    assert swapped.names() == {"": "running", "-redis": "running"}
    assert result["port"] == first["port"]
    assert swapped.serves(first["port"])
    if not same:
        assert result["container_id"] == first["container_id"]


def test_a_rehearsal_that_was_killed(make: Callable[[str], Instance]) -> None:
    instance = make("rehearse")
    first = instance.good(image=OLDER)
    instance.killed("container start {c}.rehearsal", image=IMAGE)
    assert instance.serves(first["port"])
    result = instance.truthful(image=IMAGE)
    assert instance.names() == {"": "running", "-redis": "running"}
    assert (result["version"], result["port"]) == ("v3.8.2.4", first["port"])


def test_removal_after_a_killed_replacement(make: Callable[[str], Instance]) -> None:
    instance = make("gone")
    instance.good()
    instance.killed("container rename {c}.previous", locale="de")
    assert instance.run(state="absent", purge=True)["changed"] is True
    assert instance.names() == {}
    assert instance.run(state="absent", purge=True)["changed"] is False


# --- Walls ----------------------------------------------------------------------------------------------------------


def test_instances_cannot_reach_each_other(steady: Instance, make: Callable[[str], Instance]) -> None:
    """From inside one instance: the other's Redis, web server, database, and files, and the host's services."""
    other = make("other")
    port = other.good()["port"]
    address = {suffix: other.inspect(suffix)["NetworkSettings"]["Networks"][other.container]["IPAddress"] for suffix in ("", "-redis")}
    gateway = other.inspect()["NetworkSettings"]["Networks"][other.container]["Gateway"]

    def reaches(host: str, number: int) -> bool:
        return steady.inside(f"timeout 3 bash -c '</dev/tcp/{host}/{number}' 2>/dev/null").returncode == 0

    assert reaches(f"{steady.container}-redis", 6379), "its own Redis must be reachable, or this test proves nothing"
    assert reaches("10.213.0.1", 5432), "its database must be reachable, or this test proves nothing"
    assert other.inside(f"timeout 3 bash -c '</dev/tcp/{other.container}-redis/6379'").returncode == 0
    assert not reaches(address["-redis"], 6379)
    assert not reaches(f"{other.container}-redis", 6379)
    assert not reaches(address[""], 3000)
    for host in ("10.213.0.1", gateway, steady.lab.ip(HOST), "127.0.0.1"):
        assert not reaches(host, port)
    steady.lab.exec(HOST, ["sh", "-c", "nohup timeout 60 python3 -m http.server 8099 >/dev/null 2>&1 &"])
    steady.lab.wait_for(HOST, "ss -ltn | grep -q ':8099 '", 10)
    for host in ("10.213.0.1", gateway, steady.lab.ip(HOST)):
        assert not reaches(host, 8099)
    assert not reaches(steady.lab.ip(HOST), 5432)
    assert other.name not in steady.inside("ls -R /usr/src/app/storage /mnt /var 2>/dev/null").stdout

    for database, wanted in ((steady.database, True), (other.database, False), ("postgres", False), ("template1", False)):
        script = (
            "import os, psycopg2\n"
            f"psycopg2.connect(os.environ['DATABASE_URL'].rsplit('/', 1)[0] + '/{database}', connect_timeout=5).close()\n"
        )
        done = steady.lab.exec(HOST, ["docker", "exec", "-i", steady.container, "python3", "-"], script)
        assert (done.returncode == 0) == wanted, (database, done.stderr)
