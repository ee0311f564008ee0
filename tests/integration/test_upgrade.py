# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades beside the running version, behind a real edge: nobody is cut off, and whatever the new one does, the old one serves on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.containers import BROKEN, HOST, IMAGE, OLDER, STATE
from tests.support.edge import Edge
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab
from tests.support.roles import apply_role
from tests.support.upgrades import Quick, Site, make_image

BESIDE = {"image_change": "beside"}
HOLDERS_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'"
BOTH = {"": "running", "-redis": "running", ".previous": "running"}
ONE = {"": "running", "-redis": "running"}


@pytest.fixture(scope="module")
def site(lab: RunningLab) -> Iterator[Site]:
    """An instance of 3.7.1 behind the edge, with somebody who signs in."""
    if lab.exec(HOST, ["sh", "-c", "docker info && ss -ltn | grep -q 10.213.0.1:5432"]).returncode:
        done = apply_role("container_host", HOST)
        assert done.returncode == 0, done.stdout[-4000:]
    edge = Edge(lab)
    edge.role()
    instance = Quick(lab, "t-upgrade", (47800, 47819))
    instance.remove()
    instance.provide_database()
    found = Site(edge, instance)
    port = instance.good(image=OLDER)["port"]
    instance.account()
    found.route(port, wait=60)
    yield found
    edge.clean()
    instance.remove()


@pytest.fixture
def instance(site: Site) -> Quick:
    return site.instance


def running(instance: Quick) -> str:
    return str(instance.inspect()["Config"]["Image"])


def write(instance: Quick) -> str:
    """Something that people write meanwhile; its name, to look for."""
    count = int(instance.sql("SELECT count(*) FROM invitations"))
    instance.sql(
        "INSERT INTO invitations (email, provider, token, created_at, updated_at)"
        f" VALUES ('guest{count}@x.test', 'greenlight', 'token{count}', now(), now())"
    )
    return f"guest{count}@x.test"


def there(instance: Quick, written: str) -> bool:
    return instance.sql(f"SELECT count(*) FROM invitations WHERE email = '{written}'") == "1"


# --- What stands in the way -------------------------------------------------------------------------------------------


def look(instance: Quick, image: str, **options: Any) -> dict[str, Any]:
    arguments = {"name": instance.name, "image": image, "login_db": instance.database, **options}
    return run_directly(instance.lab, HOST, "greenlight_upgrade_info", arguments)


def test_gates(instance: Quick) -> None:
    """Breaking changes, unknown versions, duplicate rows; each refusal says what to do."""
    told = look(instance, IMAGE)
    assert (told["kind"], told["needed"], told["breaking"], told["running"]["version"]) == ("forward", True, ["v3.8.0"], "v3.7.1")
    assert "upgrade_validated: v3.8.0" in told["refusals"][0]
    assert look(instance, IMAGE, validated="v3.8.0")["refusals"] == []
    assert "upgrade_unknown: v3.9.0-broken" in look(instance, BROKEN, validated="v3.8.0")["refusals"][0]
    assert look(instance, BROKEN, validated="v3.8.0", unknown="v3.9.0-broken")["refusals"] == []
    assert "restore" in look(instance, "elsewhere/greenlight:v3.6.3")["refusals"][0]
    same = look(instance, OLDER)
    assert (same["kind"], same["needed"], same["refusals"]) == ("same", False, [])
    assert "none to go back to" in look(instance, IMAGE, back=True)["msg"]
    twice = (
        "INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)"
        " SELECT v.setting_id, v.value, v.provider, now(), now() FROM site_settings v"
        " JOIN settings s ON s.id = v.setting_id WHERE s.name = 'HelpCenter'"
    )
    instance.sql(twice)
    told = look(instance, IMAGE, validated="v3.8.0")
    assert "site_settings holds 2 rows for HelpCenter" in told["refusals"][0] and "#5697" in told["refusals"][0]
    instance.sql("DELETE FROM site_settings a USING site_settings b WHERE a.setting_id = b.setting_id AND a.ctid > b.ctid")
    assert look(instance, IMAGE, validated="v3.8.0")["refusals"] == []


def test_a_waiting_image_waits(instance: Quick) -> None:
    """The nightly run keeps what serves, and says what waits."""
    before = instance.inspect()["Id"]
    kept = instance.truthful(image=IMAGE, image_change="keep")
    assert (kept["changed"], kept["image_waiting"], kept["version"], kept["container_id"]) == (False, IMAGE, "v3.7.1", before)
    assert instance.bad(image=IMAGE, **BESIDE, rehearse=False)["msg"].startswith("image_change 'beside' needs dump and rehearse")


# --- Bad images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("broken", "db:abort_if_pending_migrations:with_data exits 1"),
        ("halves", "db:abort_if_pending_migrations:with_data exits 1"),
        ("hangs", "not ready after 6 s"),
        ("silent", "not ready after 6 s"),
        ("twice", "stand more than once: site_settings: HelpCenter"),
        ("drops", "column recordings.participants is gone"),
    ],
)
def test_an_image_that_is_no_good(site: Site, instance: Quick, end: str, said: str) -> None:
    """It is found out on the copy: not one row of the real database is touched, and not one container that serves."""
    image = (
        make_image(instance.lab, end, '--change \'ENTRYPOINT ["sleep", "600"]\'' if end == "silent" else "") if end != "broken" else BROKEN
    )
    before, migrations, port = instance.inspect(), instance.migrations(), site.version()
    failed = instance.bad(image=image, **BESIDE, ready_timeout=6 if said.startswith("not ready") else 60)
    assert "is refused" in failed["msg"] and "serves on as it was" in failed["msg"] and said in failed["msg"]
    assert instance.names() == ONE and instance.copies() == ""
    after = instance.inspect()
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert instance.migrations() == migrations and site.version() == port
    assert site.signed_in(site.sign_in())


def test_a_disk_too_full_for_the_dump(site: Site, instance: Quick) -> None:
    directory = f"{STATE}/{instance.name}/dumps"
    instance.on_host(f"mkdir -pm 700 {directory}; mount -t tmpfs -o size=16k,mode=700 tmpfs {directory}")
    try:
        assert "the disk is full" in instance.bad(image=IMAGE, **BESIDE)["msg"]
    finally:
        instance.on_host(f"umount {directory}")
    assert instance.names() == ONE and instance.copies() == "" and site.version() == "v3.7.1"


def test_an_old_version_that_cannot_live_with_what_was_migrated(site: Site, instance: Quick) -> None:
    """A table stays locked, and the old version has lost its rights on others: the dump goes back, what was written since is kept aside.

    Before the test below, which leaves behind what had been migrated.
    """
    user = f"psql -U postgres -d {instance.database} -Atc"
    count = f'$({user} "SELECT count(*) FROM (TABLE schema_migrations UNION ALL TABLE data_migrations) AS done")'
    holder = f"psql -U postgres -d {instance.database} -c 'BEGIN; SELECT 1 FROM invitations; SELECT pg_sleep(100)' >/dev/null 2>&1 &"
    # As soon as the first migration is through on the real database; rights come back with the dump.
    breaker = (
        f"n={count}; (for i in $(seq 900); do [ {count} = $n ] || break; sleep 0.1; done;"
        f' {user} "INSERT INTO invitations (email, provider, token, created_at, updated_at)'
        " VALUES ('late@x.test', 'greenlight', 'late', now(), now());"
        f' REVOKE ALL ON settings, site_settings FROM {instance.database}") >/dev/null 2>&1 &'
    )
    migrations = instance.migrations()
    instance.on_host(f"{holder} {breaker} sleep 1")
    try:
        failed = instance.bad(image=IMAGE, **BESIDE)
    finally:
        instance.sql(HOLDERS_END)
    aside = f"aside_of_{instance.database}"
    assert "is refused" in failed["msg"] and "could not live with what had been migrated" in failed["msg"], failed
    assert failed["msg"].count(aside) == 1 and "does not serve well" not in failed["msg"]
    assert instance.names() == ONE and site.version() == "v3.7.1" and site.signed_in(site.sign_in())
    assert instance.migrations() == migrations and not there(instance, "late@x.test")
    assert instance.sql("SELECT count(*) FROM invitations WHERE email = 'late@x.test'", aside) == "1"
    # A run that changes nothing leaves it alone; it goes when somebody has taken out what is wanted.
    assert instance.good(image=OLDER)["changed"] is False and aside in instance.copies()
    instance.sql(f"DROP DATABASE {aside}", "postgres")


def test_a_migration_that_finds_a_table_locked(site: Site, instance: Quick) -> None:
    """It went well on the copy; on the real database it gives up soon, and the old version keeps what people wrote meanwhile."""
    holder = f"psql -U postgres -d {instance.database} -c 'BEGIN; SELECT 1 FROM invitations; SELECT pg_sleep(100)' >/dev/null 2>&1 &"
    instance.on_host(f"{holder} sleep 1")
    try:
        failed = instance.bad(image=IMAGE, **BESIDE)
    finally:
        instance.sql(HOLDERS_END)
    assert "is refused" in failed["msg"] and "serves on" in failed["msg"] and "nothing that people wrote is taken back" in failed["msg"]
    assert "the database as it was before is in" in failed["msg"]
    assert instance.names() == ONE and site.version() == "v3.7.1" and site.signed_in(site.sign_in())
    assert (
        instance.sql(
            f"SELECT count(*) FROM pg_db_role_setting r JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{instance.database}'"
        )
        == "0"
    )


# --- Upgrades ---------------------------------------------------------------------------------------------------------


def test_two_upgrades_and_a_way_back_under_load(site: Site, instance: Quick) -> None:
    """3.7.1 to 3.8.2.4 to one more, and back, while people ask: not one of them gets an error, and nobody has to sign in again."""
    fine = make_image(instance.lab, "fine")
    first = instance.good(image=OLDER)["port"]
    cable = site.cable()
    with site.load() as load:
        second = instance.truthful(image=IMAGE, **BESIDE)
        assert second["port"] != first and second["version"] == "v3.8.2.4"
        assert second["previous"] is not None and (second["previous"]["image"], second["previous"]["port"]) == (OLDER, first)
        assert site.version() == "v3.7.1", "nobody has told the edge yet"
        site.route(second["port"])
        assert site.version() == "v3.8.2.4"
        written = write(instance)
        assert instance.names() == BOTH
        third = instance.good(image=fine, **BESIDE)
        site.route(third["port"])
        assert site.version() == "v3.9.0-fine"
        back = instance.truthful(image=IMAGE, **BESIDE)
        assert back["actions"] == [f"put container {instance.container}.previous in place of {instance.container}"]
        assert (back["port"], back["container_id"]) == (second["port"], second["container_id"])
        site.route(back["port"])
        assert site.version() == "v3.8.2.4"
    assert load.failed == [] and load.made > 100
    assert set(load.versions) == {"v3.7.1", "v3.8.2.4", "v3.9.0-fine"}
    assert site.signed_in(load.cookies) and there(instance, written)
    assert instance.copies() == ""
    cable.close()
    site.cable().close()
    # Its time over, the other one goes with the next run.
    assert instance.good(image=IMAGE)["changed"] is False
    instance.on_host(f'sed -i \'s/"previous_until": [0-9.]*/"previous_until": 1.0/\' {STATE}/{instance.name}/container.json')
    assert instance.truthful(image=IMAGE)["actions"] == [f"remove container {instance.container}.previous"]
    assert instance.names() == ONE


# --- Migrations that the old version cannot live with -----------------------------------------------------------------


def test_an_interruption_that_fails_is_put_back(site: Site, instance: Quick) -> None:
    """Nobody is served while the column goes away; it does not, so the database is what it was."""
    drops = make_image(instance.lab, "drops")
    holder = f"psql -U postgres -d {instance.database} -c 'BEGIN; SELECT 1 FROM recordings; SELECT pg_sleep(100)' >/dev/null 2>&1 &"
    before, migrations, written = instance.inspect()["Id"], instance.migrations(), write(instance)
    instance.on_host(f"{holder} sleep 1")
    try:
        failed = instance.bad(image=drops, **BESIDE, allow_interruption=True, ready_timeout=15)
    finally:
        instance.sql(HOLDERS_END, "postgres")
    assert "its database put back" in failed["msg"] and "nothing is lost" in failed["msg"]
    assert (instance.inspect()["Id"], instance.migrations(), instance.names()) == (before, migrations, ONE)
    assert there(instance, written) and instance.copies() == "" and site.signed_in(site.sign_in())


def test_an_interruption_that_was_killed_is_put_back(site: Site, instance: Quick) -> None:
    """By the nightly run, which knows nothing of upgrades."""
    drops = make_image(instance.lab, "drops")
    before, migrations, written = instance.inspect()["Id"], instance.migrations(), write(instance)
    instance.killed("container start {c}.next", image=drops, **BESIDE, allow_interruption=True)
    assert instance.names()[""] == "exited"
    result = instance.truthful(image=drops, image_change="keep")
    assert result["actions"][1].startswith(f"put back database {instance.database} from {STATE}/{instance.name}/dumps/")
    assert (instance.inspect()["Id"], instance.migrations(), instance.names()) == (before, migrations, ONE)
    assert there(instance, written) and instance.copies() == "" and site.signed_in(site.sign_in())


# --- Killed runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "nightly"),
    [
        ("container start {c}.rehearsal", True),
        ("container start {c}.next", True),
        ("container rename {c}.previous", False),
    ],
    ids=["on-the-copy", "migrating", "half-named"],
)
def test_an_upgrade_that_was_killed(site: Site, instance: Quick, event: str, nightly: bool) -> None:
    """Whoever was served is served on; the next run, of whatever kind, leaves one version or the other, and nothing between."""
    fine = make_image(instance.lab, "fine")
    instance.good(image=IMAGE, image_change="replace", dump=False)
    site.route(instance.good(image=IMAGE)["port"])
    written = write(instance)
    instance.killed(event, image=fine, **BESIDE)
    assert site.version() == "v3.8.2.4"
    result = instance.truthful(image=fine, **({"image_change": "keep"} if nightly else BESIDE))
    assert site.version() == "v3.8.2.4", "the edge still leads to the old one"
    site.route(result["port"])
    assert site.version() == ("v3.8.2.4" if nightly else "v3.9.0-fine")
    assert set(instance.names().values()) == {"running"} and not {".next", ".rehearsal"} & set(instance.names())
    assert there(instance, written) and site.signed_in(site.sign_in())


def test_nothing_is_left_and_no_secret_was_told(instance: Quick) -> None:
    result = instance.good(image=IMAGE, image_change="replace", dump=False)
    instance.assert_silent(json.dumps(result))
    assert instance.lab.exec(HOST, ["find", f"{STATE}/{instance.name}", "-perm", "/077"]).stdout == ""
    instance.good(state="absent", purge=True)
    assert instance.names() == {}
    done = run_directly(instance.lab, HOST, "greenlight_database", {"name": instance.database, "state": "absent"})
    assert done["changed"] and instance.sql("SELECT count(*) FROM pg_database WHERE datname LIKE '%t_upgrade%'", "postgres") == "0"
