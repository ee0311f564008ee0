# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore drill against what nobody can do without: restic restore, pg_restore, and a start of Greenlight, each by hand."""

from __future__ import annotations

import json
import os
import statistics
from typing import Any

from tests.support.ansible import run_module
from tests.support.containers import HOST, REDIS, Instance
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab, bring_up
from tests.support.roles import apply_role

NAME, ROOT = "bench-drill", "/srv/bench-drill"
RUNS = 3
PEOPLE = int(os.environ.get("BENCH_DRILL_PEOPLE") or 2000)
UPLOADS = int(os.environ.get("BENCH_DRILL_UPLOADS") or 200)
UPLOAD_KIB = 256
PEOPLE_SQL = f"""
INSERT INTO users (id, name, email, provider, role_id, language, verified, status, session_token, session_expiry, created_at, updated_at)
SELECT gen_random_uuid(), 'Person ' || n, 'person' || n || '@bench.test', 'greenlight', (SELECT id FROM roles WHERE name = 'User'), 'en',
       true, 0, md5(n::text) || md5('x' || n), now(), now(), now() FROM generate_series(1, {PEOPLE}) n;
INSERT INTO rooms (id, user_id, name, friendly_id, meeting_id, created_at, updated_at)
SELECT gen_random_uuid(), id, 'Room of ' || name, md5(email), md5('m' || email), now(), now() FROM users;
INSERT INTO room_meeting_options (id, room_id, meeting_option_id, value, created_at, updated_at)
SELECT gen_random_uuid(), r.id, o.id, o.default_value, now(), now() FROM rooms r CROSS JOIN meeting_options o;
"""
BARE = f"""
export RESTIC_REPOSITORY={ROOT}/repository RESTIC_PASSWORD_FILE={ROOT}/key PGUSER=postgres
begin=$(date +%s.%N)
restic restore latest --target {ROOT}/bare >/dev/null
createdb bench_drill_bare
pg_restore --no-owner --dbname bench_drill_bare {ROOT}/bare/database.dump
end=$(date +%s.%N)
dropdb bench_drill_bare; rm -rf {ROOT}/bare
echo "$begin $end" | awk '{{print $2 - $1}}'
"""


def start_by_hand(lab: RunningLab, instance: Instance, port: int) -> float:
    """Seconds from starting the container until it answers."""
    ask = f"curl -sf -o /dev/null -H 'Accept: application/json' -H 'X-Forwarded-Proto: https' http://127.0.0.1:{port}/api/v1/env.json"
    ask += f" -H 'Host: {instance.name}.meet.test'"
    instance.docker("stop", "--time", "5", instance.container)
    begin, end = "begin=$(date +%s%N)", "echo $(($(date +%s%N) - begin))"
    return int(instance.on_host(f"{begin}; docker start {instance.container} >/dev/null; until {ask}; do sleep 0.05; done; {end}")) / 1e9


def measure() -> dict[str, Any]:
    """One instance of some size, drilled several times, and the same by hand in between."""
    lab = bring_up()
    for role, variables in (("container_host", {}), ("restore_drill", {"restore_drill_instances": []})):
        done = apply_role(role, HOST, variables)
        if done.returncode:
            raise SystemExit(f"bench: role {role} failed:\n{done.stdout[-2000:]}")
    instance = Instance(lab, run_module, NAME, (47950, 47959))
    try:
        return _measure(lab, instance)
    finally:
        instance.remove()
        lab.exec(HOST, ["rm", "-rf", ROOT])


def _measure(lab: RunningLab, instance: Instance) -> dict[str, Any]:
    instance.remove()
    instance.provide_database()
    port = instance.good()["port"]
    secrets = {
        "secret_key_base": instance.secrets["secret_key_base"],
        "database_password": instance.secrets["database"],
        "redis_password": instance.secrets["redis_password"],
    }
    lab.exec(HOST, ["sh", "-c", f"umask 077; cat > /var/lib/meet-coop/instances/{NAME}/secrets.json"], json.dumps(secrets))
    instance.on_host(f"rm -rf {ROOT}; mkdir -p -m 700 {ROOT}; printf a-key-for-the-bench > {ROOT}/key")
    instance.sql(PEOPLE_SQL)
    files = f"cd /var/lib/docker/volumes/{instance.container}-storage/_data; for n in $(seq {UPLOADS}); do"
    instance.on_host(f"{files} head -c {UPLOAD_KIB}k /dev/urandom > upload$n; done")
    repository = {"repository": f"{ROOT}/repository", "password_file": f"{ROOT}/key"}
    backup = run_directly(lab, HOST, "greenlight_backup", {"instances": [{"name": NAME}], "work": f"{ROOT}/work", **repository})
    if backup.get("failed"):
        raise SystemExit(f"bench: {backup['msg']}")
    arguments = {
        "instances": [NAME],
        "only": [NAME],
        "directory": f"{ROOT}/drill",
        "receipts": f"{ROOT}/receipts",
        "redis_image": REDIS,
        "pull": "never",
        **repository,
    }
    bare, starts, receipts = [], [], []
    for _run in range(RUNS):
        bare.append(float(instance.on_host(BARE)))
        starts.append(start_by_hand(lab, instance, port))
        drilled = run_directly(lab, HOST, "greenlight_drill", arguments)
        if drilled.get("failed"):
            raise SystemExit(f"bench: {drilled['msg']}")
        receipts.append(drilled["drills"][0])
    drill, by_hand, start = statistics.median(one["seconds"] for one in receipts), statistics.median(bare), statistics.median(starts)
    steps = {step: statistics.median(one["steps"][step] for one in receipts) for step in receipts[0]["steps"]}
    return {
        "drill: rows, MiB": f"{receipts[0]['rows']}, {receipts[0]['bytes'] / 2**20:.0f}",
        "drill of one instance, s": drill,
        "of it, s": ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items()),
        "restic restore + pg_restore by hand, s": by_hand,
        "start of the same Greenlight by hand, s": start,
        "drill / restic restore + pg_restore": drill / by_hand,
        "drill / the three by hand": drill / (by_hand + start),
    }
