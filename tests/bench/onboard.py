# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Onboarding one instance: the first time, again, and against the same state kept by community modules."""

from __future__ import annotations

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.support.ansible import INVENTORY

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST, INSTANCE = "host1", "sunflower-training"
RUNS = 3
EDGE_UNIT = "caddy.service"
# Caddy 2.6 accepts an empty Host header on its socket, and no other.
CADDY = "curl -sf -H 'Host;' --unix-socket /run/caddy/admin.sock"


def container(host: str) -> str:
    return f"{os.environ.get('LAB_NAME') or 'meet'}-{host}"


def on_host(script: str, check: bool = True) -> str:
    done = subprocess.run(["docker", "exec", "-i", container(HOST), "sh", "-ec", script], capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"bench: on {HOST}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def play(playbook: pathlib.Path, *arguments: str) -> tuple[float, dict[str, float], str]:
    """Seconds of the whole process, seconds per task (ansible.posix.profile_tasks), output."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                   "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all"}  # fmt: skip
    begun = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", str(INVENTORY), str(playbook), "-l", INSTANCE, *arguments],
                          cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(f"bench: {playbook.name} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    tasks = {match[0].strip(): float(match[1]) for match in re.findall(r"^(.+?) -{3,} ([0-9.]+)s$", done.stdout, re.MULTILINE)}
    return seconds, tasks, done.stdout


def forget() -> None:
    """The instance as if it had never been."""
    database = "greenlight_" + INSTANCE.replace("-", "_")
    on_host(
        f"docker rm -f greenlight-{INSTANCE} greenlight-{INSTANCE}-redis; docker network rm greenlight-{INSTANCE};"
        f" docker volume rm greenlight-{INSTANCE}-storage; dropdb -U postgres --if-exists --force {database};"
        f" dropuser -U postgres --if-exists {database}; rm -rf /var/lib/meet-coop/instances/{INSTANCE};"
        f" {CADDY} -X DELETE http://caddy/id/route-{INSTANCE};"
        f" systemctl stop {EDGE_UNIT}; find /var/lib/caddy -path '*{INSTANCE}.meet.test*' -delete; systemctl start {EDGE_UNIT}",
        check=False,
    )


def bare_container_start() -> float:
    """Seconds from starting the same container by hand until it answers: nobody can onboard faster."""
    port = on_host(f"docker port greenlight-{INSTANCE} 3000/tcp").strip().rsplit(":", 1)[1]
    on_host(f"docker stop -t 5 greenlight-{INSTANCE}")
    begun = time.monotonic()
    on_host(
        f"docker start greenlight-{INSTANCE}; until curl -sf -o /dev/null -H 'Accept: application/json' -H 'X-Forwarded-Proto: https'"
        f" -H 'Host: {INSTANCE}.meet.test' http://127.0.0.1:{port}/api/v1/env.json; do sleep 0.05; done"
    )
    return time.monotonic() - begun


def bare_certificate() -> float:
    """Seconds Caddy and the authority need for one more name, asked for by hand."""
    name = f"bench{int(time.time())}"
    subprocess.run(["docker", "exec", container("services"), "sh", "-ec",
                    f"knotc zone-begin meet.test; knotc zone-set meet.test {name} 60 A $(getent hosts host1.lab.test | cut -d' ' -f1);"
                    " knotc zone-commit meet.test"], check=True, capture_output=True)  # fmt: skip
    answer = {"handler": "static_response", "body": "ok"}
    route = json.dumps({"@id": f"route-{name}", "match": [{"host": [f"{name}.meet.test"]}], "handle": [answer], "terminal": True})
    begun = time.monotonic()
    on_host(
        f"{CADDY} -X PUT -H 'Content-Type: application/json' -d '{route}'"
        " http://caddy/config/apps/http/servers/edge/routes/0;"
        f" until curl -skf -o /dev/null --resolve {name}.meet.test:443:127.0.0.1 https://{name}.meet.test/; do sleep 0.1; done"
    )
    seconds = time.monotonic() - begun
    on_host(f"{CADDY} -X DELETE http://caddy/id/route-{name}")
    subprocess.run(["docker", "exec", container("services"), "sh", "-ec",
                    f"knotc zone-begin meet.test; knotc zone-unset meet.test {name}; knotc zone-commit meet.test"],
                   check=True, capture_output=True)  # fmt: skip
    return seconds


def measure() -> dict[str, Any]:
    """First run, its unavoidable waits, second run, and the same no-op by community modules."""
    services = ROOT / "playbooks" / "services.yml"
    forget()
    first, tasks, _output = play(services)
    container_wait, certificate_wait = bare_container_start(), bare_certificate()
    play(services)
    ours, theirs, empty = [], [], []
    for _run in range(RUNS):
        seconds, _tasks, output = play(services)
        assert re.search(rf"{INSTANCE}\s.*changed=0", output), output[-2000:]
        ours.append(seconds)
        seconds, _tasks, output = play(pathlib.Path(__file__).parent / "community.yml")
        assert re.search(rf"{INSTANCE}\s.*changed=0", output), output[-2000:]
        theirs.append(seconds)
        empty.append(play(pathlib.Path(__file__).parent / "empty.yml")[0])
    again, community, nothing = (statistics.median(values) for values in (ours, theirs, empty))
    slowest = sorted(tasks.items(), key=lambda item: -item[1])[:3]
    return {
        "first onboarding of one instance, s": first,
        "unavoidable: container start until it answers, s": container_wait,
        "unavoidable: one certificate, s": certificate_wait,
        "first onboarding / unavoidable waits": first / (container_wait + certificate_wait),
        "slowest tasks of the first run": ", ".join(f"{name.split(' : ')[-1]} {seconds:.1f} s" for name, seconds in slowest),
        "second run, nothing to change, s": again,
        "same state by community modules, nothing to change, s": community,
        "empty play, s": nothing,
        "community / ours": community / again,
        "community / ours, start of Ansible taken off": (community - nothing) / (again - nothing),
    }
