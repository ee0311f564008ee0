# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""2,000 tenants into the pool: pool_tenant against the engine's own bulk import, and a run without changes against one listing of all.

The engine is the one that runs the lab's pool: BBBLB, or Scalelite after the platform's play with pool_engine=scalelite.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab, bring_up
from tests.support.pool import Pool, ScalelitePool, provide

TENANTS = int(os.environ.get("BENCH_POOL_TENANTS") or 2000)
HOST = "pool"
CREATE = """
require 'json'
JSON.parse(%s).each do |name, secret|
  tenant = Tenant.new(name: name, secrets: secret).save!
  { duration: '60', maxParticipants: '25', record: 'false', autoStartRecording: 'false', allowStartStopRecording: 'false',
    recordFullDurationMedia: 'false', meetingKeepEvents: 'false' }.each do |param, value|
    TenantSetting.new(tenant_id: tenant.id, param: param.to_s, value: value, override: 'true').save!
  end
end
"""
LIST = "puts Tenant.all.map { |tenant| [tenant.name, TenantSetting.all(tenant.id).map { |one| [one.param, one.value] }] }.size"
REMOVE = """
redis = ->(&block) { RedisStore.with_connection(&block) }
Tenant.all.select { |tenant| tenant.name.start_with?('bench') }.each do |tenant|
  TenantSetting.all(tenant.id).each { |one| redis.call { |store| store.del(TenantSetting.key(one.id)) } }
  redis.call { |store| store.del("tenant_settings:#{tenant.id}") }
  tenant.destroy!
end
"""


def tenants(letter: str) -> list[dict[str, Any]]:
    return [
        {"name": f"bench{letter}{number}", "secret": f"secret-of-bench-{letter}{number}", "duration_max": 60, "participants_max": 25}
        for number in range(TENANTS)
    ]


def by_us(lab: RunningLab, engine: str, wanted: list[dict[str, Any]], changed: bool) -> float:
    """Seconds of one run of the module over all of them, its start included."""
    begun = time.monotonic()
    done = run_directly(lab, HOST, "pool_tenant", {"engine": engine, "tenants": wanted})
    if done.get("failed") or done["changed"] is not changed:
        raise SystemExit(f"bench: {done.get('msg') or 'not what was expected of pool_tenant'}")
    return time.monotonic() - begun


def timed(work: Any) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def measure() -> dict[str, Any]:
    lab = bring_up()
    if lab.exec(HOST, ["cat", "/var/lib/meet-coop/pool-engine"]).stdout.strip() == "scalelite":
        return _scalelite(lab)
    return _bbblb(lab, provide(lab))


def _bbblb(lab: RunningLab, pool: Pool) -> dict[str, Any]:
    def remove() -> None:
        pool.psql(
            "delete from tenant_override using tenants t where t.id = tenant_fk and t.name like 'bench%';"
            "delete from tenants where name like 'bench%';"
        )

    remove()
    there = pool.state()["tenants"]
    sample = {"duration": "<60", "maxParticipants": "<25", "record": "=false"}
    own = {one["name"]: {"enabled": True, "secret": one["secret"], "realm": one["name"], "overrides": {"create": sample, "join": {}}}
           for one in tenants("a")}  # fmt: skip
    text = json.dumps({"v": 1, "tenants": {**there, **own}})
    try:
        bulk = timed(lambda: pool.bbblb("state", "import", "--include", "tenants", "-", given=text))
        remove()
        created = by_us(lab, "bbblb", tenants("b"), True)
        listing = timed(lambda: pool.bbblb("state", "export", "--include", "tenants", "-"))
        nothing = by_us(lab, "bbblb", tenants("b"), False)
    finally:
        remove()
    return _figures("bbblb", bulk, created, listing, nothing)


def _scalelite(lab: RunningLab) -> dict[str, Any]:
    pool = ScalelitePool(lab)
    pairs = json.dumps([[one["name"], one["secret"]] for one in tenants("a")])
    pool.ruby(REMOVE)
    try:
        bulk = timed(lambda: pool.ruby(CREATE % json.dumps(pairs)))
        pool.ruby(REMOVE)
        created = by_us(lab, "scalelite", tenants("b"), True)
        listing = timed(lambda: pool.ruby(LIST))
        nothing = by_us(lab, "scalelite", tenants("b"), False)
    finally:
        pool.ruby(REMOVE)
    return _figures("scalelite", bulk, created, listing, nothing)


def _figures(engine: str, bulk: float, created: float, listing: float, nothing: float) -> dict[str, Any]:
    return {
        "engine": engine,
        "tenants": TENANTS,
        "the engine's own bulk import, s": bulk,
        "pool_tenant, all new, s": created,
        "ratio": created / bulk,
        "one listing by the engine itself, s": listing,
        "pool_tenant, nothing to do, s": nothing,
        "ratio without changes": nothing / listing,
    }
