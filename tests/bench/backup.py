# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many small instances into a restic repository: greenlight_backup against a plain loop of pg_dump, pg_restore --list and restic."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.support.ansible import run_module
from tests.support.greenlight_database import GreenlightDatabase, ensure_server, run_directly
from tests.support.lab import RunningLab, bring_up

INSTANCES = int(os.environ.get("BENCH_BACKUP_INSTANCES") or 100)
HOST = "host1"
PLACE = "/srv/backup-bench"
# What people write: it proves the file's list, counts no row, holds no manifest, and stops at the first that fails.
LOOP = f"""
set -e
export RESTIC_PASSWORD_FILE={PLACE}/key RESTIC_CACHE_DIR={PLACE}/loop-cache RESTIC_REPOSITORY={PLACE}/loop-repository
mkdir -p {PLACE}/loop
for n in $(seq 1 {INSTANCES}); do
    runuser -u postgres -- pg_dump -Fc -d greenlight_bench_$n >{PLACE}/loop/database.dump
    pg_restore --list {PLACE}/loop/database.dump >/dev/null
    cp {PLACE}/instances/bench-$n/secrets.json {PLACE}/loop/
    restic --quiet backup --tag bench-$n {PLACE}/loop
done
"""


def on_host(lab: RunningLab, script: str) -> str:
    done = lab.exec(HOST, ["sh", "-ec", script], timeout=1800)
    if done.returncode:
        raise SystemExit(f"bench: on {HOST}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def prepare(lab: RunningLab, template: GreenlightDatabase) -> None:
    """Instances as databases with a few people and rooms, each with its secrets."""
    remove(lab, template)
    template.create()
    for number in range(5):
        template.room(template.user(f"u{number}@bench.test"))
    names = range(1, INSTANCES + 1)
    template.psql("\n".join(f"CREATE DATABASE greenlight_bench_{name} TEMPLATE {template.name};" for name in names), db="postgres")
    on_host(
        lab,
        f"mkdir -p {PLACE}; echo bench >{PLACE}/key; for n in $(seq 1 {INSTANCES}); do mkdir -p {PLACE}/instances/bench-$n;"
        f' echo "{{\\"database_password\\": \\"secret-$n-of-the-bench\\"}}" >{PLACE}/instances/bench-$n/secrets.json; done;'
        f" RESTIC_PASSWORD_FILE={PLACE}/key restic --quiet -r {PLACE}/loop-repository init",
    )


def remove(lab: RunningLab, template: GreenlightDatabase) -> None:
    found = template.psql("SELECT datname FROM pg_database WHERE datname ~ '^greenlight_bench_'", db="postgres")
    template.psql("\n".join(f"DROP DATABASE {name} WITH (FORCE);" for name in found), db="postgres")
    template.drop()
    on_host(lab, f"rm -rf {PLACE}")


def by_us(lab: RunningLab) -> float:
    """Seconds of one run over all of them, the module's start included."""
    options = {
        "repository": f"{PLACE}/repository", "password_file": f"{PLACE}/key", "state_root": f"{PLACE}/instances", "work": f"{PLACE}/work",
        "branding_root": f"{PLACE}/branding", "cache": f"{PLACE}/cache",
    }  # fmt: skip
    begun = time.monotonic()
    done = run_directly(lab, HOST, "greenlight_backup", options)
    if done.get("failed") or len(done["instances"]) != INSTANCES:
        raise SystemExit(f"bench: {done.get('msg')}")
    return time.monotonic() - begun


def by_loop(lab: RunningLab) -> float:
    begun = time.monotonic()
    on_host(lab, LOOP)
    return time.monotonic() - begun


def measure() -> dict[str, Any]:
    """Both side by side, twice: into an empty repository, and as every night after."""
    lab = bring_up()
    ensure_server(lab, HOST)
    template = GreenlightDatabase(lab, run_module, name="greenlight_backup_bench")
    try:
        prepare(lab, template)
        first_loop, first_ours = by_loop(lab), by_us(lab)
        loop, ours = by_loop(lab), by_us(lab)
        sizes = [float(word) for word in on_host(lab, f"du -sk {PLACE}/loop-repository {PLACE}/repository | cut -f1").split()]
    finally:
        remove(lab, template)
    return {
        "instances": INSTANCES,
        "first backup of all, s": first_ours,
        "the same by a plain loop, s": first_loop,
        "plain loop / ours, first backup": first_loop / first_ours,
        "second backup of all, s": ours,
        "the same by the plain loop again, s": loop,
        "plain loop / ours": loop / ours,
        "repository after two, MB": sizes[1] / 1024,
        "the plain loop's, MB": sizes[0] / 1024,
        "plain loop / ours, size": sizes[0] / sizes[1],
    }
