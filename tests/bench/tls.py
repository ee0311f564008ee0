# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Own names: from "ready in DNS" to "all served", against Caddy alone with the same names; and reloads of many routes under load."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.ansible import run_module
from tests.support.edge import CA_FILE, DIRECTORY, Wildcard
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab, bring_up

NAMES = int(os.environ.get("BENCH_TLS_NAMES") or 200)
ROUTES = 500
RELOADS = 10
CLIENTS = 4
ZONE = "rosa.test"
ALONE = "/var/lib/caddy/bench-alone"
ANSWER = [{"handler": "static_response", "body": "here"}]


def names_in_zone(lab: RunningLab, labels: list[str], verb: str) -> None:
    """Add or remove addresses and the records that show for whom they are, some at a time."""
    for start in range(0, len(labels), 50):
        lines = []
        for label in labels[start : start + 50]:
            if verb == "add":
                lines += [f"add {label} 5 A {lab.ip('host1')}", f'add _coop-verify.{label} 5 TXT "coop-verify=meet/bench"']
            else:
                lines += [f"del {label}", f"del _coop-verify.{label}"]
        lab.update(ZONE, *lines)


def all_served(lab: RunningLab, names: list[str], limit: float) -> float:
    """Seconds from now until every name is served with a certificate that a client accepts."""
    trust = ssl.create_default_context(cafile=lab.ca_file)
    begun = time.monotonic()
    waiting = list(names)
    while waiting:
        if time.monotonic() - begun > limit:
            raise SystemExit(f"bench: after {limit:.0f} s not served: {', '.join(waiting[:5])} and others, {len(waiting)} in all")
        try:
            with (
                socket.create_connection((lab.ip("host1"), 443), timeout=5) as plain,
                trust.wrap_socket(plain, server_hostname=waiting[0]),
            ):
                waiting.pop(0)
        except OSError:
            time.sleep(0.2)
    return time.monotonic() - begun


def by_us(edge: Wildcard, names: list[str], limit: float) -> dict[str, float]:
    """Checked by domain_check, opened by caddy_routes."""
    lab = edge.lab
    token = run_directly(lab, edge.host, "caddy_info", {"id": "bench"})["token"]
    begun = time.monotonic()
    options = {
        "names": names, "addresses": [lab.ip(edge.host)], "verification": "meet/bench", "edge_token": token,
        "caa_identities": ["pebble.lab.test"], "resolver": lab.resolver,
    }  # fmt: skip
    found = run_module("localhost", "meet.coop.domain_check", options)
    if len(found.get("open", [])) != len(names):
        raise SystemExit(f"bench: not every name is ready: {str(found)[:600]}")
    checked = time.monotonic() - begun
    routes = [{"id": f"bench{number}", "hosts": [name], "handlers": ANSWER} for number, name in enumerate(names)]
    done = run_directly(lab, edge.host, "caddy_routes", {"routes": routes})
    if done.get("failed"):
        raise SystemExit(f"bench: {done['msg']}")
    opened = time.monotonic() - begun - checked
    all_served(lab, names, limit)
    return {"check": checked, "open": opened, "total": time.monotonic() - begun}


def alone(edge: Wildcard, names: list[str], limit: float) -> float:
    """A Caddy with nothing but these names, an empty storage and an account of its own."""
    server = {"listen": [":443"], "protocols": ["h1", "h2"], "routes": [{"match": [{"host": names}], "handle": ANSWER}]}
    config: dict[str, Any] = {
        "admin": {"disabled": True},
        "storage": {"module": "file_system", "root": ALONE},
        "apps": {
            "http": {"servers": {"alone": server}},
            "tls": {"automation": {"policies": [{"issuers": [{"module": "acme", "ca": DIRECTORY, "trusted_roots_pem_files": [CA_FILE]}]}]}},
        },
    }
    lab = edge.lab
    lab.exec(edge.host, ["sh", "-c", f"rm -rf {ALONE}; systemctl stop caddy; cat > /run/bench-alone.json"], json.dumps(config))
    try:
        begun = time.monotonic()
        done = lab.exec(
            edge.host,
            ["systemd-run", "--quiet", "--collect", "--unit=bench-alone", "/usr/bin/caddy", "run", "--config", "/run/bench-alone.json"],
        )
        if done.returncode:
            raise SystemExit(f"bench: {done.stderr}")
        all_served(lab, names, limit)
        return time.monotonic() - begun
    finally:
        script = f"systemctl stop bench-alone; systemctl start caddy; rm -rf {ALONE} /run/bench-alone.json"
        lab.exec(edge.host, ["sh", "-c", script])


def under_load(edge: Wildcard, work: Callable[[], None]) -> tuple[int, list[str]]:
    """Requests made while something is done, each on a connection of its own to a name of ours, and what those that failed met."""
    trust = ssl.create_default_context(cafile=edge.lab.ca_file)
    address = (edge.lab.ip(edge.host), 443)
    made, stop = [0] * CLIENTS, threading.Event()
    failed: list[str] = []

    def client(number: int) -> None:
        while not stop.is_set():
            name = f"load{(made[number] * CLIENTS + number) % (ROUTES - 1) + 1}.meet.test"
            made[number] += 1
            try:
                with (
                    socket.create_connection(address, timeout=10) as plain,
                    trust.wrap_socket(plain, server_hostname=name) as secure,
                ):
                    connection = http.client.HTTPConnection(name)
                    connection.sock = secure
                    connection.request("GET", "/", headers={"Host": name})
                    answer = connection.getresponse()
                    if answer.status != 200 or answer.read() != b"here":
                        failed.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return sum(made), failed


def reloads(edge: Wildcard) -> dict[str, Any]:
    """Changes of one among many routes while clients ask for the others."""
    routes = [{"id": f"load{number}", "hosts": [f"load{number}.meet.test"], "handlers": ANSWER} for number in range(ROUTES)]

    def change(state: list[dict[str, Any]]) -> float:
        begun = time.monotonic()
        done = run_directly(edge.lab, edge.host, "caddy_routes", {"routes": state})
        if done.get("failed"):
            raise SystemExit(f"bench: {done['msg']}")
        return time.monotonic() - begun

    first = change(routes)
    seconds: list[float] = []

    def work() -> None:
        for number in range(RELOADS):
            seconds.append(change([{**routes[0], "handlers": [{"handler": "static_response", "body": f"change {number}"}]}]))

    made, failed = under_load(edge, work)
    change([{"id": route["id"], "state": "absent"} for route in routes])
    return {
        f"{ROUTES} routes opened in one reload, s": first,
        f"one of {ROUTES} routes changed under load, s": statistics.median(seconds),
        f"requests during {RELOADS} reloads": made,
        "of these failed": len(failed),
        "what the failed ones met": "; ".join(sorted(set(failed))) or "-",
    }


def measure() -> dict[str, Any]:
    """Ours and Caddy alone with the same names in one run, then reloads."""
    edge = Wildcard(bring_up())
    # Pebble makes itself a new root at each start: a certificate from before is nobody's.
    edge.lab.exec(edge.host, ["rm", "-rf", "/etc/caddy/wildcard"])
    edge.apply()
    labels = [f"b{int(time.time())}-{number}" for number in range(NAMES)]
    names = [f"{label}.{ZONE}" for label in labels]
    limit = 120 + 5.0 * NAMES
    names_in_zone(edge.lab, labels, "add")
    try:
        theirs = alone(edge, names, limit)
        ours = by_us(edge, names, limit)
    finally:
        gone = [{"id": f"bench{number}", "state": "absent"} for number in range(NAMES)]
        run_directly(edge.lab, edge.host, "caddy_routes", {"routes": gone})
        names_in_zone(edge.lab, labels, "del")
    return {
        "own names": NAMES,
        "names ready to all served, s": ours["total"],
        "of that, all names checked, s": ours["check"],
        "of that, opened at the edge in one reload, s": ours["open"],
        "Caddy alone with the same names, s": theirs,
        "ours / Caddy alone": ours["total"] / theirs,
        **reloads(edge),
    }
