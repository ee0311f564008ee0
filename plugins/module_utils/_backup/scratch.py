# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the scratch instance of a restore drill: its database, container, Redis, network and volume, and their end.

There is one of each on a host, under names that no service can have (a service's id begins with a letter), so whatever a killed drill
left is found by its name. It can mail nobody and reach no pool: it is told of no mail server, its pool has a name that cannot exist
(RFC 6761, "invalid."), and the host's fence, without which it is not started, rejects all that leaves its bridge but PostgreSQL.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, dumps, instance_database, operations, session
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, explained
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import build_environment
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import (
    LABEL,
    LABEL_MANAGER,
    LOOPBACK,
    MANAGER,
    Spec,
    redis_name,
)

NAME = "0-restore-drill"
DATABASE = "greenlight_0_restore_drill"
BRIDGE = "coop-drill"
FENCE = "meet_coop_drill"
"""Name of the nftables table that keeps the scratch instance in."""
HOSTNAME = "restore-drill.invalid"
POOL = "https://pool.restore-drill.invalid/bigbluebutton/api/"
CANARY = "canary@restore-drill.invalid"


class FenceDown(CoopError):
    """The scratch instance could get out, so nothing was started."""


@dataclass(frozen=True)
class Place:
    """Where a scratch instance is made: the host's engine, its database server, and what Redis to take."""

    directory: str
    """Of the drill; the restored files are below it."""
    server: Login
    """A login that may make databases; its ``db`` is the one to connect to for that."""
    database_host: str
    """The same server as the container reaches it."""
    database_port: int = 5432
    docker: str = "unix:///var/run/docker.sock"
    redis_image: str = "redis:7-alpine"
    pull: str = "missing"
    port_range: tuple[int, int] = (6000, 6009)
    ready_timeout: int = 300
    memory: int = 1024**3
    password: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    """Of the scratch database's owner."""

    @property
    def restored(self) -> str:
        return os.path.join(self.directory, "restored")

    @property
    def state(self) -> str:
        """Where the scratch instance's port is kept. Not the drill's own directory, which is locked while it runs."""
        return os.path.join(self.directory, "state")

    @property
    def owner(self) -> Login:
        """The scratch database's owner. What is in a backup runs with no other rights than its."""
        host = self.server.host or "127.0.0.1"
        return Login(DATABASE, host=host, port=self.server.port, user=DATABASE, password=self.password)

    @property
    def admin(self) -> Login:
        """The server's administrator, in the scratch database."""
        server = self.server
        return Login(DATABASE, server.host, server.unix_socket, server.port, server.user, server.password)


# --- The database ---------------------------------------------------------------------------------------------------


def make_database(place: Place) -> None:
    """An empty database with an owner of its own. Raises CoopError."""
    desired = instance_database.Desired(DATABASE, place.password, connection_limit=20)
    with database.connect(place.server, "meet.coop restore drill") as conn, database.translated(DATABASE):
        instance_database.apply(conn, desired, instance_database.observe(conn, DATABASE))


def load(place: Place, path: str) -> None:
    """Load a dump as the scratch database's owner. Raises CoopError with what PostgreSQL says."""
    dumps.load(place.owner, path)


# --- The instance ---------------------------------------------------------------------------------------------------


def spec(place: Place, image: str, secret_key_base: str) -> Spec:
    """The scratch instance: no mail account, no sign-in provider, no pool, no variable of the real one. Raises CoopError."""
    redis_password = secrets.token_hex(20)
    environment = build_environment(
        hostname=HOSTNAME,
        secret_key_base=secret_key_base,
        redis_host=redis_name(NAME),
        redis_password=redis_password,
        database={
            "host": place.database_host,
            "port": place.database_port,
            "name": DATABASE,
            "user": DATABASE,
            "password": place.password,
        },
        bigbluebutton={"endpoint": POOL, "secret": secrets.token_hex(20)},
        skip_health_checks=["bigbluebutton"],
    )
    return Spec(
        name=NAME,
        image=image,
        redis_image=place.redis_image,
        hostname=HOSTNAME,
        environment=environment,
        redis_password=redis_password,
        memory=place.memory,
        port_range=place.port_range,
        pull=place.pull,
        rehearse=False,
        ready_timeout=place.ready_timeout,
        state_root=place.state,
    )


def fence_holds() -> None:
    """Raises FenceDown unless the host's rules keep the scratch instance in."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["nft", "list", "table", "inet", FENCE], stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True
        )
        rules = done.stdout if done.returncode == 0 else ""
    except FileNotFoundError:
        rules = ""
    if rules.count(f'iifname "{BRIDGE}" jump fence') < 2 or "reject" not in rules:
        raise FenceDown(
            f"the scratch instance is not started: the fence that keeps it from mail and pool (nftables, table inet {FENCE})"
            " is not up on this host; run role meet.coop.restore_drill, or systemctl start meet-coop-drill-fence"
        )


def start(engine: Engine, place: Place, wanted: Spec, storage: str | None) -> operations.Result:
    """Run the scratch instance on the scratch database with the restored uploads, until it is ready. Raises CoopError."""
    fence_holds()
    labels = {LABEL: NAME, LABEL_MANAGER: MANAGER}
    with explained("the scratch instance"):
        # Made here, so that the bridge has the name the fence knows, and the uploads need no second place on the disk.
        engine.sdk.create_network(
            wanted.network, driver="bridge", check_duplicate=True, labels=labels, options={"com.docker.network.bridge.name": BRIDGE}
        )
        if storage is not None:
            bind = {"type": "none", "o": "bind", "device": storage}
            engine.sdk.create_volume(wanted.volume, driver="local", driver_opts=bind, labels=labels)
    result, _before, _after = operations.converge(engine, wanted, write=True)
    return result


def sign_in(place: Place, port: int | None) -> None:
    """Make an account in the scratch database and sign in with it over HTTP. Raises CoopError."""
    password = f"{secrets.token_urlsafe(24)}aA1!"
    wish = accounts.desired([{"email": CANARY, "name": "Canary", "role": "User", "password": password}], update_password="always")
    with database.connect(place.owner, "meet.coop restore drill") as conn:
        accounts.apply(conn, wish, accounts.Hashes())
    session.sign_in((LOOPBACK, port or 0), HOSTNAME, CANARY, password)


# --- The end --------------------------------------------------------------------------------------------------------


def leftovers(place: Place) -> list[str]:
    """What there is of a scratch instance, in words. Raises CoopError."""
    found = []
    engine = Engine(place.docker)
    empty = _nothing(place)
    _result, before, _after = operations.withdraw(engine, empty, "absent", True, write=False)
    found += [f"{name} of the scratch instance" for name in before]
    with database.connect(place.server, "meet.coop restore drill") as conn, database.translated(DATABASE):
        observed = instance_database.observe(conn, DATABASE)
    if observed.database is not None or observed.role is not None:
        found.append(f"database {DATABASE}")
    if os.path.lexists(place.restored):
        found.append(f"directory {place.restored}")
    return found


def tear_down(place: Place) -> list[str]:
    """Remove everything of the scratch instance. Goes on where one part resists, and tells each that did."""
    problems = []
    engine = Engine(place.docker)
    for job in (_remove_containers, _drop_database, _remove_files):
        try:
            job(engine, place)
        except CoopError as error:
            problems.append(f"left over: {error}")
    return problems


def _nothing(place: Place) -> Spec:
    return Spec(name=NAME, image="", redis_image="", hostname="", state_root=place.state)


def _remove_containers(engine: Engine, place: Place) -> None:
    operations.withdraw(engine, _nothing(place), "absent", True, write=True)


def _drop_database(_engine: Engine, place: Place) -> None:
    with database.connect(place.server, "meet.coop restore drill") as conn, database.translated(DATABASE):
        instance_database.drop(conn, DATABASE, instance_database.observe(conn, DATABASE))


def _remove_files(engine: Engine, place: Place) -> None:
    if engine.volume(_nothing(place).volume) is not None:
        raise ContainerError(f"{place.restored} stays, because a volume still shows it")
    try:
        for path in (place.restored, place.state):
            if os.path.lexists(path):
                shutil.rmtree(path)
    except OSError as error:
        raise CoopError(f"{error.filename or place.restored} cannot be removed: {error.strerror}") from error


def running_image(engine: Engine, manifest: Any) -> str:
    """The image the backup was made with: by its id where this host still has it, by its name otherwise. Raises CoopError."""
    name, image_id = manifest["image"], manifest["image_id"]
    if image_id and engine.image(image_id) is not None:
        named = engine.image(name) if name else None
        return name if named is not None and named["Id"] == image_id else image_id
    if not name:
        raise CoopError("the manifest names no image that it could be tried with: the instance had no container when it was backed up")
    return name
