# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates when not all goes well: some names of many are refused, the disk under Caddy's storage is full."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator

import pytest

from tests.support.edge import BACKEND_PORT, CA_FILE, Edge
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab

UPSTREAM = f"127.0.0.1:{BACKEND_PORT}"
STORAGE = "/var/lib/caddy"
MANY = 40


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Edge]:
    found = Edge(lab)
    found.role()
    found.start_backend()
    yield found
    run_directly(lab, found.host, "caddy_routes", {"routes": [{"id": route, "state": "absent"} for route in found.routes]})
    found.routes = []
    found.clean()
    found.stop_backend()


def served(edge: Edge, name: str) -> bool:
    try:
        return edge.request(name).status == 200
    except (OSError, ssl.SSLError):
        return False


def test_names_that_are_refused_hold_back_no_other(edge: Edge) -> None:
    names = [edge.new_name("lot") for _number in range(MANY)]
    absent, elsewhere = (name.split(".")[0] for name in (names[7], names[31]))
    edge.lab.update("meet.test", f"del {absent} A", f"del {elsewhere} A", f"add {elsewhere} 5 A {edge.lab.ip('node1')}")
    routes = [{"id": name.split(".")[0], "hosts": [name], "upstream": UPSTREAM} for name in names]
    edge.routes += [route["id"] for route in routes]
    opened = run_directly(edge.lab, edge.host, "caddy_routes", {"routes": routes})
    assert opened.get("changed"), opened
    refused = {f"{absent}.meet.test", f"{elsewhere}.meet.test"}
    waiting, until = set(names) - refused, time.monotonic() + 120
    while waiting and time.monotonic() < until:
        waiting = {name for name in waiting if not served(edge, name)}
    assert waiting == set()
    assert not any(served(edge, name) for name in refused)


def test_a_full_disk_under_the_storage(edge: Edge) -> None:
    """What is served stays served, also after a restart; what is new is told, and comes with the first run after there is room again."""
    old, new = edge.new_name("old"), edge.new_name("new")
    wanted = {name: {"id": name.split(".")[0], "hosts": [name], "upstream": UPSTREAM, "ca_file": CA_FILE} for name in (old, new)}
    assert not edge.module({**wanted[old], "wait_certificate": 60}).get("failed")

    def on_host(script: str) -> None:
        done = edge.lab.exec(edge.host, ["sh", "-euc", script])
        assert done.returncode == 0, done

    # The storage as it is, on a file system of its own that is then filled.
    on_host(
        f"mkdir /srv/storage; mount -t tmpfs -o size=16m,mode=0750,uid=$(id -u caddy),gid=$(id -g caddy) tmpfs /srv/storage; "
        f"cp -a {STORAGE}/. /srv/storage/; mount --move /srv/storage {STORAGE} || mount --bind /srv/storage {STORAGE}; "
        f"head -c 64M /dev/zero > {STORAGE}/filler 2>/dev/null || true"
    )
    try:
        on_host("systemctl restart caddy")
        assert served(edge, old)
        told = edge.module({**wanted[new], "wait_certificate": 10})
        assert told["failed"] and new in told["msg"] and "no space left on device" in told["msg"], told
        assert served(edge, old)
        on_host(f"rm {STORAGE}/filler")
        healed = edge.module({**wanted[new], "wait_certificate": 60})
        assert not healed.get("failed") and healed["changed"] is False, healed
        assert served(edge, new) and served(edge, old)
    finally:
        on_host(f"umount --lazy {STORAGE}; umount --lazy /srv/storage 2>/dev/null || true; rmdir /srv/storage; systemctl restart caddy")
