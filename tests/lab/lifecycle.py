# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's commands do. Every step looks first and does only what is missing."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import containers, engine, hosts, images, inventory, nodes, pki, secrets, services, trust
from .config import CACHE, HOSTS, Lab

Say = Callable[[str], None]
DEFAULT_HOSTS = tuple(name for name, host in HOSTS.items() if not host.optional)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """One change of a lab, or of what all labs share, at a time."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up(lab: Lab, names: Sequence[str], say: Say, greenlight_image: str | None = None) -> list[str]:
    """Bring hosts up, the services host always with them; returns what was done, nothing when all was there."""
    done: list[str] = []
    wanted = [name for name in HOSTS if name in names or name == services.HOST]
    with locked(lab.state):
        if engine.ensure_daemon():
            say("started the Docker daemon")
            done.append("daemon")
        with locked(CACHE):
            images.ensure_host(say)
        known, ca = secrets.ensure(lab), pki.ensure(lab)
        if inventory.ensure(lab):
            done.append("inventory")
        for place in ("receipts", "welcome"):
            (lab.state / place).mkdir(exist_ok=True)
        resolv = lab.state / "resolv.conf"
        text = f"nameserver {lab.resolver}\nsearch lab.test\noptions timeout:2 attempts:3\n"
        if not resolv.exists() or resolv.read_text() != text:
            resolv.write_text(text)
        if hosts.ensure_network(lab):
            done.append("network")

        def start(name: str) -> list[str]:
            return [f"host {name}"] if hosts.ensure_host(lab, HOSTS[name]) else []

        with ThreadPoolExecutor(max_workers=3) as pool:
            done += [entry for part in pool.map(start, wanted) for entry in part]
            if done:
                say("hosts booted")
            running_now = running(lab)
            stamps = dict(zip(running_now, pool.map(lambda name: hosts.stamps(lab, name), running_now), strict=True))
            done += services.ensure(lab, known, ca, stamps[services.HOST])
            root = services.pebble_root(lab)
            done += trust.ensure_outside(lab, ca, root)

            def equip(name: str) -> list[str]:
                found = trust.ensure(lab, name, stamps[name], ca, root)
                if name in nodes.SECRETS:
                    found += nodes.ensure(lab, name, stamps[name], ca, known["bbb"][name])
                return found

            done += [entry for part in pool.map(equip, running_now) for entry in part]
        if any(HOSTS[name].containers for name in running_now):
            with locked(CACHE):
                done += containers.ensure(say, greenlight_image)
            for name in running_now:
                if HOSTS[name].containers:
                    done += containers.load(lab, name, stamps[name])
    return done


def down(lab: Lab, *, images_too: bool, say: Say) -> None:
    """Remove the lab's containers, volumes and network, and end a daemon that the lab started and nobody else uses."""
    with locked(lab.state):
        if engine.answering():
            for host in HOSTS.values():
                if hosts.remove_host(lab, host):
                    say(f"removed {lab.container(host.name)}")
            if engine.run(["docker", "network", "rm", lab.network], check=False).returncode == 0:
                say(f"removed the network {lab.network}")
            if images_too:
                images.remove_all()
                say("removed the images")
            others = engine.docker("ps", "--quiet")
            if not others and engine.stop_daemon():
                say("ended the Docker daemon")


def reboot(lab: Lab, name: str) -> None:
    """Restart a host in an orderly way; returns when it has booted."""
    engine.docker("restart", lab.container(name), timeout=120)
    hosts.wait_booted(lab.container(name))


def renew(lab: Lab, names: Sequence[str], say: Say) -> None:
    """Remove hosts with all their data and make them anew."""
    with locked(lab.state):
        for name in names:
            hosts.remove_host(lab, HOSTS[name])
    up(lab, names, say)


def running(lab: Lab) -> list[str]:
    """Names of the hosts that run now."""
    names = set(engine.docker("ps", "--filter", f"label={hosts.LABEL}={lab.name}", "--format", "{{.Names}}").split())
    return [name for name in HOSTS if lab.container(name) in names]


def status(lab: Lab) -> tuple[list[tuple[str, str, str, str]], bool]:
    """Rows (host, state, address, what works) and whether all is well."""
    if not engine.answering():
        return [(name, "no Docker daemon", lab.address(name), "") for name in HOSTS], False
    there = running(lab)

    def row(name: str) -> tuple[str, str, str, str]:
        if name not in there:
            found = engine.inspect("container", lab.container(name))
            return name, found["State"]["Status"] if found else "absent", lab.address(name), ""
        units = services.health(lab) if name == services.HOST else hosts.units(lab, name)
        what = ", ".join(f"{unit} {'ok' if good else 'DOWN'}" for unit, good in units.items())
        if name != services.HOST and services.HOST in there and not trust.current(lab, name):
            what = f"{what}, bundle OLD (./dev lab up)".lstrip(", ")
        return name, hosts.boot_state(lab.container(name)), lab.address(name), what

    with ThreadPoolExecutor(max_workers=3) as pool:
        rows = list(pool.map(row, [name for name, host in HOSTS.items() if name in there or not host.optional]))
    return rows, all(state == "running" and "DOWN" not in what and "OLD" not in what for _name, state, _address, what in rows)
