# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: C(coop-meter), the program that meters the pool."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import threading
import time
import typing as t

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

from . import config as configuration
from .exposition import Exposition
from .poll import Ask, Poller, over_https
from .record import Measured, Month, Record

MAX_GAPS = 50
EARLY = 0.5
"""Seconds that a clock may wake us before a slot begins."""


class Clock:
    """The system's time. Tests have one of their own."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> bool:
        """Whether to go on after so many seconds, which do not depend on what is set on the clock."""
        return not self._over.wait(seconds)

    def stop(self, *_signal: t.Any) -> None:
        """End the sleep, and all that follow."""
        self._over.set()


def main(argv: t.Sequence[str] | None = None, clock: Clock | None = None, ask: Ask | None = None) -> int:
    """Returns the exit status: 0 all is well, 1 something failed (a line on standard error)."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options, clock, ask))
    except CoopError as error:
        sys.stderr.write(f"coop-meter: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coop-meter", description="Meters the meetings of the co-operative's BigBlueButton servers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="poll, keep the record, and answer Prometheus; systemd runs this")
    one.add_argument("--config", default=configuration.PATH)
    one.add_argument("--secrets", help="JSON object of the nodes' secrets by domain; by default systemd's credential secrets.json")
    one.set_defaults(run=_run)
    one = commands.add_parser("month", help="what a month came to, as JSON")
    one.add_argument("month", help="such as 2026-03")
    one.add_argument("--record", default=configuration.RECORD)
    one.set_defaults(run=_month)
    return parser


def _run(options: argparse.Namespace, clock: Clock | None, ask: Ask | None) -> int:
    config = configuration.read(options.config)
    if ask is None:
        ask = over_https(config, configuration.read_secrets(options.secrets, config))
    record = Record.open(config.record)
    exposition = Exposition(config)
    if clock is None:
        clock = Clock()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, clock.stop)
        exposition.serve()
    poller = Poller(config, ask)
    try:
        _meter(config, clock, poller, record, exposition)
    finally:
        poller.close()
        record.close()
    return 0


def _meter(config: configuration.Config, clock: Clock, poller: Poller, record: Record, exposition: Exposition) -> None:
    """Poll at the beginning of each slot until the clock says stop."""
    said = ""
    while True:
        now = clock.now()
        start = int((now + EARLY) // config.interval) * config.interval
        begun = time.monotonic()
        sample = poller.poll()
        outcome, fault = "recorded", ""
        if now - start > config.interval / 6:
            # Started within a slot: what is seen now may not hold for all of it.
            outcome = "late"
        else:
            try:
                if not record.add(start, config.interval, sample.tenants, len(sample.answers), sample.silent):
                    outcome = "repeated"
            except CoopError as error:
                outcome, fault = "failed", str(error)
        exposition.update(sample, now, time.monotonic() - begun, outcome)
        # Names of nodes and reasons, said when they change.
        faults = "; ".join([*(answer.live.fault for answer in sample.answers if answer.live.fault), *([fault] if fault else [])])
        if faults != said:
            sys.stderr.write(f"coop-meter: {faults or 'all nodes answer'}\n")
            said = faults
        # Read anew: whatever is set on the clock, the next poll is at most an interval away.
        after = clock.now()
        if not clock.sleep((int((after + EARLY) // config.interval) + 1) * config.interval - after):
            return


def _month(options: argparse.Namespace, clock: Clock | None, _ask: Ask | None) -> int:
    today = datetime.datetime.fromtimestamp((clock or Clock()).now(), datetime.timezone.utc).date()
    sys.stdout.write(json.dumps(month(options.record, options.month, today), indent=1) + "\n")
    return 0


def month(path: str, name: str, today: datetime.date) -> dict[str, t.Any]:
    """What a month came to, of the days that are over (UTC). Raises CoopError."""
    wanted = Month.parse(name)
    last = min(wanted.last, today - datetime.timedelta(days=1))
    if last < wanted.first:
        raise CoopError(f"month: no day of {wanted} is over on {today} (UTC); name an earlier month, or wait a day")
    record = Record.look(path)
    try:
        return as_dict(wanted, record.measured(wanted.first, last))
    finally:
        record.close()


def as_dict(wanted: Month, found: Measured) -> dict[str, t.Any]:
    """For JSON and for a module's result."""
    return {
        "month": str(wanted),
        "sampled_from": str(found.first),
        "sampled_to": str(found.last),
        "complete": found.last == wanted.last,
        "interval": found.interval,
        "samples_expected": found.expected,
        "samples_got": found.got,
        "coverage": f"{100 * found.got / found.expected:.2f}" if found.expected else "0.00",
        "tenants": {name: used.metrics() for name, used in found.tenants.items()},
        "gaps": [{"from": _stamp(begin), "to": _stamp(end), "minutes": (end - begin) // 60} for begin, end in found.gaps[:MAX_GAPS]],
        "gaps_left_out": max(0, len(found.gaps) - MAX_GAPS),
        "silent": found.silent,
    }


def _stamp(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
