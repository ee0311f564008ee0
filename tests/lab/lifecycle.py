# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's commands do. Every step looks first and does only what is missing."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from . import engine, hosts, images, pki, secrets, services, trust
from .config import HOSTS, Lab

Say = Callable[[str], None]


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """One change of a lab at a time."""
    lab.state.mkdir(parents=True, exist_ok=True)
    with (lab.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up(lab: Lab, names: Sequence[str], say: Say) -> list[str]:
    """Bring hosts up; returns what was done, nothing when all was there."""
    done: list[str] = []
    with locked(lab):
        if engine.ensure_daemon():
            say("started the Docker daemon")
            done.append("daemon")
        images.ensure_host(say)
        (lab.state / "resolv.conf").write_text(f"nameserver {lab.resolver}\nsearch lab.test\noptions timeout:2 attempts:3\n")
        if hosts.ensure_network(lab):
            done.append("network")

        def start(name: str) -> list[str]:
            return [f"host {name}"] if hosts.ensure_host(lab, HOSTS[name]) else []

        with ThreadPoolExecutor(max_workers=3) as pool:
            for part in pool.map(start, names):
                done += part
        if services.HOST in names:
            known, ca = secrets.ensure(lab), pki.ensure(lab)
            if services.ensure(lab, known, ca):
                say("services host configured")
                done.append("services")
            done += trust.ensure(lab, running(lab), ca, services.pebble_root(lab))
    return done


def running(lab: Lab) -> list[str]:
    """Names of the hosts that run now."""
    names = set(engine.docker("ps", "--filter", f"label={hosts.LABEL}={lab.name}", "--format", "{{.Names}}").split())
    return [name for name in HOSTS if lab.container(name) in names]


def down(lab: Lab, *, images: bool, say: Say) -> None:
    """Remove the lab's containers, volumes and network, and end a daemon the lab started."""
    with locked(lab):
        if engine.answering():
            for host in HOSTS.values():
                if hosts.remove_host(lab, host):
                    say(f"removed {lab.container(host.name)}")
            engine.run(["docker", "network", "rm", lab.network], check=False)
        if engine.stop_daemon():
            say("ended the Docker daemon")


def status(lab: Lab) -> int:
    return 0


def load_images(lab: Lab, host: str, say: Say) -> list[str]:
    return []


DEFAULT_HOSTS = tuple(HOSTS)


def reboot(lab: Lab, name: str) -> None:
    """Restart a host in an orderly way; returns when it has booted."""
    engine.docker("restart", lab.container(name), timeout=120)
    hosts.wait_booted(lab.container(name))


def renew(lab: Lab, names: Sequence[str], say: Say) -> None:
    """Remove hosts with all their data and make them anew."""
    with locked(lab):
        for name in names:
            hosts.remove_host(lab, HOSTS[name])
    up(lab, names, say)
