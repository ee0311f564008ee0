# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One zone, 10 to 10,000 records: dns_zone against octoDNS with octodns-bind, a loop of nsupdate tasks, and one bare transfer."""

from __future__ import annotations

import io
import logging
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import dns.query
import dns.tsigkeyring
import yaml
from octodns.manager import Manager

from tests.lab import lifecycle
from tests.lab.config import Lab
from tests.support.ansible import ROOT, environment
from tests.support.lab import RunningLab
from tests.support.zones import Zone

SIZES = (10, 100, 1000, 10_000)
LOOP_SIZES = (10, 50)
"""The loop takes some tenths of a second for each record, so it is measured with few and never extrapolated."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    result = work()
    return time.monotonic() - begun, result


def transfer(zone: Zone) -> float:
    """Seconds of one transfer that nobody looks at (the best of three)."""
    keyring = dns.tsigkeyring.from_text({zone.tsig["name"]: zone.tsig["secret"]})

    def bare() -> None:
        for _message in dns.query.xfr(zone.server, zone.origin, keyring=keyring, relativize=False, lifetime=60):
            pass

    return min(timed(bare)[0] for _number in range(3))


def ours(zone: Zone, count: int, figures: dict[str, Any]) -> None:
    records = [zone.record(f"n{number}", "A", "192.0.2.1") for number in range(count)]
    plan, foretold = timed(lambda: zone.run(*records, check=True, timeout=60))
    apply, _made = timed(lambda: zone.run(*records, timeout=60))
    again, nothing = timed(lambda: zone.run(*records, timeout=60))
    bare = transfer(zone)
    assert len(foretold["changes"]) == 2 * count and not nothing["changed"]
    zone.run(max_delete_share=1.0, timeout=60)
    figures[f"dns_zone, {count} records: plan [s]"] = plan
    figures[f"dns_zone, {count} records: plan and apply [s]"] = apply
    figures[f"dns_zone, {count} records: nothing to do [s]"] = again
    figures[f"one bare transfer of these {2 * count} [s]"] = bare
    figures[f"nothing to do, dns_zone / bare transfer, {count}"] = again / bare


def octodns(zone: Zone, count: int, figures: dict[str, Any]) -> None:
    """octoDNS as the field uses it in a shared zone: with its processor for ownership, which also makes one mark for each record."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        records = {zone.label(f"n{number}"): {"type": "A", "ttl": 60, "value": "192.0.2.1"} for number in range(count)}
        target = {"host": zone.server, "key_name": zone.tsig["name"], "key_secret": zone.tsig["secret"], "key_algorithm": "hmac-sha256",
                  "timeout": 60}  # fmt: skip
        (folder / "config.yaml").write_text(yaml.safe_dump({
            "providers": {
                "records": {"class": "octodns.provider.yaml.YamlProvider", "directory": place, "enforce_order": False},
                "server": {"class": "octodns_bind.Rfc2136Provider", **target},
            },
            "processors": {"ours": {"class": "octodns.processor.ownership.OwnershipProcessor", "txt_name": f"_bench-{zone.tag}"}},
            "zones": {f"{zone.origin}.": {"sources": ["records"], "targets": ["server"], "processors": ["ours"]}},
        }))  # fmt: skip

        def sync(held: dict[str, Any], *, dry_run: bool) -> Any:
            (folder / f"{zone.origin}.yaml").write_text(yaml.safe_dump(held))
            manager = Manager(str(folder / "config.yaml"))
            manager.plan_outputs = {}
            return manager.sync(dry_run=dry_run, force=True, plan_output_fh=io.StringIO())

        figures[f"octoDNS, {count} records: plan [s]"] = timed(lambda: sync(records, dry_run=True))[0]
        seconds, made = timed(lambda: sync(records, dry_run=False))
        assert made == 2 * count, made
        figures[f"octoDNS, {count} records: plan and apply [s]"] = seconds
        seconds, nothing = timed(lambda: sync(records, dry_run=False))
        assert nothing == 0
        figures[f"octoDNS, {count} records: nothing to do [s]"] = seconds
        sync({}, dry_run=False)


def loop(zone: Zone, count: int, figures: dict[str, Any]) -> None:
    """community.general.nsupdate once for each record, in one play. No marks, no view of the zone; seconds of its task alone."""
    with tempfile.TemporaryDirectory() as place:
        play = pathlib.Path(place) / "loop.yml"
        task = {
            "name": "Records one by one",
            "community.general.nsupdate": {
                "key_name": zone.tsig["name"].rstrip("."), "key_secret": "{{ lookup('env', 'BENCH_TSIG') }}",
                "key_algorithm": "hmac-sha256", "server": zone.server, "zone": zone.origin, "record": zone.label("n{{ item }}"),
                "type": "A", "ttl": 60, "value": "192.0.2.1", "state": "{{ bench_state }}",
            },
            "loop": f"{{{{ range({count}) | list }}}}",
        }  # fmt: skip
        play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))

        def run(state: str) -> float:
            done = subprocess.run(
                [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(play), "-e", f"bench_state={state}"],
                cwd=ROOT, capture_output=True, text=True, check=False,
                env=environment(BENCH_TSIG=zone.tsig["secret"], ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks"),
            )  # fmt: skip
            found = re.search(r"^Records one by one -+ ([0-9.]+)s$", done.stdout, re.MULTILINE)
            if done.returncode or not found:
                sys.exit(f"bench: the loop failed:\n{done.stdout[-2000:]}{done.stderr[-500:]}")
            return float(found[1])

        figures[f"loop of nsupdate, {count} records: apply [s]"] = run("present")
        figures[f"loop of nsupdate, {count} records: nothing to do [s]"] = run("present")
        run("absent")


def measure() -> dict[str, Any]:
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    lab = Lab.from_environment()
    lifecycle.up(lab, ["services"], lambda message: None)
    zone = Zone(RunningLab(lab), lambda *_arguments, **_more: {})
    figures: dict[str, Any] = {}
    try:
        for count in SIZES:
            ours(zone, count, figures)
            octodns(zone, count, figures)
            for what in ("plan", "plan and apply", "nothing to do"):
                ratio = figures[f"octoDNS, {count} records: {what} [s]"] / figures[f"dns_zone, {count} records: {what} [s]"]
                figures[f"octoDNS / dns_zone, {what}, {count}"] = ratio
        for count in LOOP_SIZES:
            loop(zone, count, figures)
    finally:
        zone.clean()
    for who in ("dns_zone", "octoDNS"):
        for what in ("plan", "plan and apply", "nothing to do"):
            few, many = (figures[f"{who}, {count} records: {what} [s]"] for count in SIZES[-2:])
            figures[f"growth of {who}, {what}, 1000 to 10,000 (exponent)"] = math.log10(many / few)
    for count in LOOP_SIZES:
        figures[f"loop of nsupdate, {count} records: each [s]"] = figures[f"loop of nsupdate, {count} records: apply [s]"] / count
    return figures
