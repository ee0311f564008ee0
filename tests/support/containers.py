# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances on the lab's container host, for the tests of `greenlight_container`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.support import ansible
from tests.support.lab import RunningLab

Made = TypeVar("Made", bound="Instance")
HOST = "host1"
IMAGE = "meet-coop-lab/greenlight:v3.8.2.4"
OLDER = "meet-coop-lab/greenlight:v3.7.1"
BROKEN = "meet-coop-lab/greenlight:v3.9.0-broken"
REDIS = "meet-coop-lab/redis:7"
MODULE = "meet.coop.greenlight_container"
STATE = "/var/lib/meet-coop/instances"

#: Kills a run of the module, told by the lock it holds on the instance's directory, at the moment Docker reports an event.
#: Runs on the host. Events since the run began are replayed, so that none is missed.
KILLER = r"""
import http.client, json, os, signal, socket, sys, threading, time
directory, wanted, since = sys.argv[1:4]
class Docker(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect("/var/run/docker.sock")
def holders():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid() and any(os.readlink(f"/proc/{pid}/fd/{fd}") == directory for fd in os.listdir(f"/proc/{pid}/fd")):
                found.append(int(pid))
        except OSError:
            pass
    return found
if not wanted:
    for pid in holders():
        os.kill(pid, signal.SIGKILL)
        print(pid)
    sys.exit()
known = []
def watch():
    while True:
        known[:] = holders() or known
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
api = Docker("localhost")
api.request("GET", f"/events?since={since}")
for line in api.getresponse():
    event = json.loads(line)
    said = f"{event['Type']} {event['Action']} {event['Actor']['Attributes'].get('name')}"
    if said == wanted:
        for pid in known or holders():
            os.kill(pid, signal.SIGKILL)
            print(said)
        break
"""


class Instance:
    """One instance with its database, as a test drives it."""

    def __init__(self, lab: RunningLab, run_module: Callable[..., dict[str, Any]], name: str, ports: tuple[int, int]) -> None:
        self.lab, self.run_module, self.name, self.ports = lab, run_module, name, ports
        self.container = f"greenlight-{name}"
        self.database = f"greenlight_{name.replace('-', '_')}"
        self.secrets = {
            "secret_key_base": f"{name}-KEYBASE-{'5e' * 40}",
            "redis_password": f"{name}-REDISPASSWORD-4711",
            "database": f"{name}/DB:PASS@WORD?#%4711",
            "bigbluebutton": f"{name}-BBBSECRET-4711",
            "smtp": f"{name}-SMTPPASSWORD-4711",
            "extra": f"{name}-EXTRAVALUE-4711",
        }
        self.arguments: dict[str, Any] = {
            "name": name,
            "image": IMAGE,
            "redis_image": REDIS,
            "pull": "never",
            "hostname": f"{name}.meet.test",
            "secret_key_base": self.secrets["secret_key_base"],
            "redis_password": self.secrets["redis_password"],
            "database": {"host": "10.213.0.1", "name": self.database, "user": self.database, "password": self.secrets["database"]},
            "bigbluebutton": {"endpoint": "https://pool.meet.test/bigbluebutton/api/", "secret": self.secrets["bigbluebutton"]},
            "smtp": {"server": "smtp.lab.test", "auth": "plain", "username": "sunflower", "password": self.secrets["smtp"],
                     "sender_email": "sunflower@lab.test", "sender_name": "Sunflower"},
            "secret_environment": {"SOMETHING_OF_OURS": self.secrets["extra"]},
            "skip_health_checks": ["bigbluebutton"],
            "port_range": list(ports),
            "ready_timeout": 90,
        }  # fmt: skip

    def provide_database(self, password: str | None = None) -> None:
        done = self.run_module(
            HOST, "meet.coop.greenlight_database", {"name": self.database, "password": password or self.secrets["database"]}
        )
        assert not done.get("failed"), done

    def run(self, check: bool = False, **changes: Any) -> dict[str, Any]:
        """One run of the module, whatever comes of it."""
        return self.run_module(HOST, MODULE, {**self.arguments, **changes}, check=check)

    def good(self, **changes: Any) -> dict[str, Any]:
        """A run that must not fail."""
        result = self.run(**changes)
        assert not result.get("failed"), (result.get("msg"), result.get("log"))
        return result

    def bad(self, **changes: Any) -> dict[str, Any]:
        """A run that must fail with one clear line, and show no secret."""
        result = self.run(**changes)
        assert result.get("failed"), result
        assert "Traceback" not in json.dumps(result)
        assert "\n" not in result["msg"]
        self.assert_silent(json.dumps(result))
        return result

    def truthful(self, **changes: Any) -> dict[str, Any]:
        """A run whose prediction must change nothing and say the same, and after which there is nothing left to do."""
        before = self.snapshot()
        predicted = self.run(check=True, **changes)
        assert not predicted.get("failed"), (predicted.get("msg"), predicted.get("log"))
        assert self.snapshot() == before
        result = self.good(**changes)
        assert {key: predicted[key] for key in ("changed", "actions", "port", "diff", "version")} == {
            key: result[key] for key in ("changed", "actions", "port", "diff", "version")
        }
        again = self.good(**changes)
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], {"before": {}, "after": {}})
        assert (again["port"], again["container_id"], again["version"]) == (result["port"], result["container_id"], result["version"])
        return result

    def snapshot(self) -> Any:
        """Everything of the instance that a prediction might touch."""
        rows = self.docker("ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.State}}").splitlines()
        inspected = [self.docker("inspect", "--format", "{{json .HostConfig}} {{json .NetworkSettings.Networks}}", row.split()[0])
                     for row in rows if row.startswith(self.container)]  # fmt: skip
        networks = self.docker("network", "ls", "--quiet", "--no-trunc", "--filter", f"name=^{self.container}$")
        volumes = self.docker("volume", "ls", "--quiet", "--filter", f"name={self.container}-storage")
        state = self.lab.exec(HOST, ["sh", "-c", f"ls -la --time-style=full-iso {STATE}/{self.name} && cat {STATE}/{self.name}/*"]).stdout
        return sorted(row for row in rows if row.startswith(self.container)), inspected, networks, volumes, state

    def docker(self, *argv: str, check: bool = True) -> str:
        """The docker command on the container host."""
        done = self.lab.exec(HOST, ["docker", *argv])
        assert done.returncode == 0 or not check, done
        return done.stdout.strip()

    def inspect(self, suffix: str = "") -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", self.container + suffix))
        return found[0]

    def names(self) -> dict[str, str]:
        """The instance's containers by the end of their name, with their state."""
        rows = (line.split() for line in self.docker("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines())
        return {name.removeprefix(self.container): state for name, state in rows if name.startswith(self.container)}

    def http(self, path: str, port: int) -> str:
        """Status and body of a request as the edge would send it."""
        return self.lab.exec(
            HOST,
            ["curl", "-s", "-m", "10", "-w", " %{http_code}", "-H", f"Host: {self.name}.meet.test", "-H", "Accept: application/json",
             "-H", "X-Forwarded-Proto: https", f"http://127.0.0.1:{port}{path}"],
        ).stdout  # fmt: skip

    def serves(self, port: int) -> bool:
        return self.http("/api/v1/env.json", port).endswith(" 200")

    def inside(self, script: str) -> subprocess.CompletedProcess[str]:
        """A shell script inside the Greenlight container."""
        return self.lab.exec(HOST, ["docker", "exec", self.container, "bash", "-c", script])

    def on_host(self, script: str) -> str:
        """What a shell script on the container host prints; it must end well."""
        done = self.lab.exec(HOST, ["sh", "-c", script])
        assert done.returncode == 0, done
        return done.stdout

    def sql(self, statement: str, database: str | None = None) -> str:
        """What a statement answers in the instance's database, asked as superuser."""
        done = self.lab.exec(HOST, ["psql", "-U", "postgres", "-d", database or self.database, "-Atc", statement])
        assert done.returncode == 0, done
        return done.stdout.strip()

    def assert_silent(self, text: str) -> None:
        shown = [name for name, value in self.secrets.items() if value in text]
        assert shown == []

    def start(self, **changes: Any) -> Background:
        """A run in the background, all its output kept."""
        return Background({**self.arguments, **changes})

    def killed(self, event: str, **changes: Any) -> None:
        """A run that is killed with SIGKILL when Docker reports an event, such as "container create {c}.next" ({c}: the container)."""
        self.lab.exec(HOST, ["mkdir", "-p", "-m", "700", f"{STATE}/{self.name}"])
        since = self.lab.exec(HOST, ["date", "+%s.%N"]).stdout.strip()
        background = self.start(**changes)
        try:
            seen = self.lab.exec(HOST, ["python3", "-c", KILLER, f"{STATE}/{self.name}", event.format(c=self.container), since])
        finally:
            code = background.wait()
        assert seen.returncode == 0 and seen.stdout and code != 0, (seen, background.output)

    def kill_run(self) -> int:
        """Kill (SIGKILL) the runs that are at work on the instance now; how many there were."""
        done = self.lab.exec(HOST, ["python3", "-c", KILLER, f"{STATE}/{self.name}", "", ""])
        assert done.returncode == 0, done
        return len(done.stdout.split())

    def there(self) -> bool:
        """Whether anything of it is on the host, be it left by a test that was killed."""
        kinds = ("ps -a", "network ls", "volume ls")
        script = "; ".join(f"docker {kind} -q --filter name={self.container}" for kind in kinds)
        script += f"; ls -d {STATE}/{self.name} 2>/dev/null"
        script += f"; psql -U postgres -Atc \"SELECT 1 FROM pg_roles WHERE rolname = '{self.database}'\""
        script += f"; psql -U postgres -Atc \"SELECT 1 FROM pg_database WHERE datname = '{self.database}'\""
        return self.on_host(script).strip() != ""

    def remove(self) -> None:
        self.run(state="absent", purge=True)
        self.run_module(HOST, "meet.coop.greenlight_database", {"name": self.database, "state": "absent"})
        self.lab.exec(HOST, ["rm", "-rf", f"{STATE}/{self.name}"])


@contextmanager
def brought_up(build: Callable[[str, tuple[int, int]], Made], first_port: int) -> Iterator[Callable[[str], Made]]:
    """Makes instances by their names, each with a database and ten ports of its own; at the end nothing is left of them."""
    made: list[Made] = []

    def make(name: str) -> Made:
        first = first_port + 10 * len(made)
        instance = build(name, (first, first + 9))
        if instance.there():
            instance.remove()
        made.append(instance)
        instance.provide_database()
        return instance

    try:
        yield make
    finally:
        for instance in made:
            if instance.there():
                instance.remove()


class Background:
    """`ansible-playbook -vvv` with one task, running."""

    def __init__(self, arguments: Mapping[str, Any], module: str = MODULE) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="container-test-")
        playbook = Path(self.scratch.name) / "play.yml"
        task = {"name": "Run the instance", module: dict(arguments)}
        playbook.write_text(yaml.safe_dump([{"hosts": HOST, "gather_facts": False, "tasks": [task]}]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", "-vvv", "--diff", "-i", str(ansible.INVENTORY / "hosts.yml"), str(playbook)],
            cwd=ansible.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ansible.environment(),
        )  # fmt: skip
        self.output = ""

    def wait(self) -> int:
        self.output = self.process.communicate(timeout=300)[0]
        self.scratch.cleanup()
        return self.process.returncode


class SmallDocker:
    """A second Docker on the container host, whose disk is a few megabytes of memory, and a registry to pull from."""

    DISK = "/mnt/small-docker"
    SOCKET = "unix:///run/small-docker.sock"
    REGISTRY = "127.0.0.1:5001"  # Docker needs no certificate of a registry on loopback
    CONFIGURATION = f"{{version: 0.1, storage: {{filesystem: {{rootdirectory: {DISK}-registry}}}}, http: {{addr: '{REGISTRY}'}}}}"

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab

    def run(self, script: str) -> str:
        done = self.lab.exec(HOST, ["sh", "-ec", script])
        assert done.returncode == 0, done
        return done.stdout

    def start(self, megabytes: int) -> None:
        """Both, the registry with the images that instances use."""
        self.stop()
        options = (
            f"--config-file /dev/null --data-root {self.DISK} --exec-root /run/small-docker --pidfile /run/small-docker.pid"
            f" --host {self.SOCKET} --bridge small0 --iptables=false --ip6tables=false"
            " --default-address-pool base=10.214.240.0/20,size=28"
        )
        self.run(
            # A bridge of its own: told to have none, it would take docker0 away from the other Docker.
            "ip link add small0 type bridge; ip address add 10.214.255.1/24 dev small0;"
            f" mkdir -p {self.DISK}; mount -t tmpfs -o size={megabytes}m tmpfs {self.DISK};"
            f" echo \"{self.CONFIGURATION}\" >/run/small-registry.yml;"
            " systemd-run --quiet --unit small-registry docker-registry serve /run/small-registry.yml;"
            f" systemd-run --quiet --unit small-docker dockerd {options}"
        )
        self.lab.wait_for(HOST, f"curl -sf http://{self.REGISTRY}/v2/ && docker --host {self.SOCKET} info")
        for image in (IMAGE, REDIS):
            self.run(f"docker tag {image} {self.pulled(image)}; docker push --quiet {self.pulled(image)}; docker rmi {self.pulled(image)}")

    def pulled(self, image: str) -> str:
        """The name of an image in the registry."""
        return f"{self.REGISTRY}/{image}"

    def docker(self, *argv: str) -> str:
        return self.run(f"docker --host {self.SOCKET} {' '.join(argv)}").strip()

    def grow(self, megabytes: int) -> None:
        """What an operator does about a full disk."""
        self.run(f"mount -o remount,size={megabytes}m {self.DISK}")

    def stop(self) -> None:
        away = "docker ps --all --quiet | xargs -r docker rm --force; docker network prune --force"
        self.lab.exec(HOST, ["sh", "-c", f"export DOCKER_HOST={self.SOCKET}; {away}"])
        self.lab.exec(HOST, ["sh", "-c", "systemctl stop small-docker small-registry; systemctl reset-failed small-docker small-registry"])
        self.lab.exec(HOST, ["ip", "link", "delete", "small0"])
        self.lab.exec(HOST, ["sh", "-c", f"umount -R {self.DISK}; rm -rf {self.DISK} {self.DISK}-registry"])
