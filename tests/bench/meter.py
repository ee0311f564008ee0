# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The meter with 200 nodes and 5,000 meetings: a poll over real HTTPS on loopback, and a day of metering against the truth."""

from __future__ import annotations

import datetime
import http.server
import json
import pathlib
import random
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from tests.support.ansible import ROOT
from tests.support.meter import Meter, Stay, World, epoch

NODES, MEETINGS, TENANTS = 200, 5000, 300
POLLS = 5
NAMES = [f"127.0.{number // 250}.{number % 250 + 1}:18443" for number in range(NODES)]
BEGIN = epoch("2026-03-02T00:00")


def worlds(seed: int = 1) -> list[Stay]:
    """All meetings, 25 on each node, of 12 people on average."""
    chance = random.Random(seed)
    return [
        Stay(NAMES[number % NODES], f"t{chance.randrange(TENANTS)}", 0, 2**40, chance.randint(2, 22), f"m{number}")
        for number in range(MEETINGS)
    ]  # fmt: skip


class Servers(threading.Thread):
    """All nodes in one process apart: what they cost is not the meter's. Their answers have attendees, as real ones."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(daemon=True)
        world = World(worlds(), 1.0)
        person = b"<attendee><userID>w_1</userID><fullName>Ana Costa</fullName><role>VIEWER</role><hasVideo>false</hasVideo></attendee>"
        self.answers = {}
        for name in NAMES:
            self.answers[name] = world.answer(name).replace(b"</attendees>", person * 11 + b"</attendees>")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "node.crt", folder / "node.key")
        answers = self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = answers[self.headers["Host"]]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 18443), Handler)
        self.server.socket.listen(512)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    def run(self) -> None:
        self.server.serve_forever()


def certificate(folder: pathlib.Path) -> None:
    names = ",".join(f"IP:{name.split(':')[0]}" for name in NAMES)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
         "-addext", f"subjectAltName={names}", "-keyout", folder / "node.key", "-out", folder / "node.crt"],
        check=True, capture_output=True,
    )  # fmt: skip


def polls(folder: pathlib.Path) -> dict[str, Any]:
    """The meter itself, in a process of its own, for some polls."""
    certificate(folder)
    Servers(folder).start()
    done = subprocess.run([sys.executable, "-m", "tests.bench.meter", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def child(folder: pathlib.Path) -> None:
    """Polls, and says what they took. What the imports took is no part of it."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()
    from ansible_collections.meet.coop.plugins.module_utils._meter.config import Config, Node
    from ansible_collections.meet.coop.plugins.module_utils._meter.poll import Poller, over_https
    from ansible_collections.meet.coop.plugins.module_utils._meter.record import Record

    config = Config(nodes=tuple(Node(name) for name in NAMES), ca_file=str(folder / "node.crt"), timeout=20)
    poller = Poller(config, over_https(config, dict.fromkeys(NAMES, "secret")))
    record = Record.open(str(folder / "record.sqlite"))
    begun, used = time.monotonic(), time.process_time()
    wrote = 0.0
    for number in range(POLLS):
        sample = poller.poll()
        assert not sample.silent and sum(count.meetings for count in sample.tenants.values()) == MEETINGS, sample.silent[:3]
        before = time.monotonic()
        assert record.add(BEGIN + number * 60, 60, sample.tenants, NODES, [])
        wrote += time.monotonic() - before
    print(json.dumps({
        "nodes": NODES, "meetings": MEETINGS, "tenants": TENANTS,
        "seconds for a poll (the doubles on the same machine)": (time.monotonic() - begun) / POLLS,
        "processor seconds of the meter for a poll": (time.process_time() - used) / POLLS,
        "seconds to write a poll down": wrote / POLLS,
        "memory of the meter at most, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))  # fmt: skip


def truth(folder: pathlib.Path) -> dict[str, float]:
    """A day of people who come and go at any second, metered each minute, against what really was."""
    chance = random.Random(3)
    stays = []
    for number in range(3000):
        begin = BEGIN + chance.uniform(0, 86400)
        end = min(begin + chance.expovariate(1 / 2400), BEGIN + 86400)
        stays.append(Stay(f"n{number % 4}", f"t{number % 20}", begin, end, 1, f"m{number}"))
    meter = Meter(folder, [{"domain": f"n{number}"} for number in range(4)], 60)
    meter.run(World(stays, BEGIN), BEGIN + 86400)
    found = meter.month("2026-03", str(datetime.date(2026, 3, 3)))["tenants"]
    known = {name: sum(stay.end - stay.begin for stay in stays if stay.tenant == name) / 60 for name in found}
    visits = len(stays) / 20
    total = sum(known.values())
    errors = [abs(found[name]["participant_minutes"] - known[name]) for name in known]
    return {
        "visits of a tenant in the day": visits,
        "error of a tenant's minutes at most, minutes": max(errors),
        "the same for each visit, in intervals (below 1)": max(errors) / visits,
        "error of all minutes, percent": 100 * abs(sum(one["participant_minutes"] for one in found.values()) - total) / total,
    }


def measure() -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="bench-meter-") as scratch:
        first, second = pathlib.Path(scratch) / "polls", pathlib.Path(scratch) / "truth"
        first.mkdir()
        second.mkdir()
        return {**polls(first), **truth(second)}


if __name__ == "__main__":
    child(pathlib.Path(sys.argv[1]))
