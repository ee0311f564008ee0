# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL and Redis as throwaway containers, for checks that need a bare Greenlight and nothing else of the lab."""

from __future__ import annotations

import typing as t

import docker

from tests.lab import images
from tests.lab.config import HOST_IMAGE

from . import build

# fsync off: the data lives as long as one test run
_POSTGRES = """set -e
cd /tmp
conf=$(ls -d /etc/postgresql/*/main)
printf "listen_addresses = '*'\\nfsync = off\\nfull_page_writes = off\\nmax_connections = 300\\n" > $conf/conf.d/lab.conf
printf 'local all all trust\\nhost all all 0.0.0.0/0 scram-sha-256\\n' > $conf/pg_hba.conf
ln -sf "$(ls /usr/lib/postgresql/*/bin/psql)" /usr/local/bin/psql
exec runuser -u postgres -- "$(ls /usr/lib/postgresql/*/bin/postgres)" -D "$(ls -d /var/lib/postgresql/*/main)" \
  -c "config_file=$conf/postgresql.conf"
"""


def ensure(say: t.Callable[[str], None]) -> str:
    """The image both run from: the lab's host image, which has their packages. Built when missing; returns its name."""
    images.ensure_host(say)
    return HOST_IMAGE


def start_postgres(client: docker.DockerClient, image: str, name: str, network: str, password: str) -> t.Any:
    """A PostgreSQL whose superuser `postgres` has this password over TCP; ready when this returns."""
    container = client.containers.run(
        image,
        ["-c", _POSTGRES],
        entrypoint="/bin/sh",
        name=name,
        network=network,
        detach=True,
        security_opt=build.SECURITY,
        environment={"PGHOST": "/var/run/postgresql"},
    )
    wait = "for i in $(seq 100); do psql -U postgres -Atqc 'SELECT 1' && exit 0; sleep 0.2; done; exit 1"
    if container.exec_run(["sh", "-c", wait]).exit_code != 0:
        raise RuntimeError("PostgreSQL did not come up: " + container.logs(tail=15).decode(errors="replace"))
    done = container.exec_run(["psql", "-U", "postgres", "-c", f"ALTER ROLE postgres PASSWORD '{password}'"])
    if done.exit_code != 0:
        raise RuntimeError(done.output.decode(errors="replace"))
    return container


def start_redis(client: docker.DockerClient, image: str, name: str, network: str, password: str) -> t.Any:
    """A Redis with this password, keeping nothing on disk."""
    command = ["--bind", "0.0.0.0", "--requirepass", password, "--save", "", "--appendonly", "no"]
    return client.containers.run(
        image, command, entrypoint="redis-server", name=name, network=network, detach=True, security_opt=build.SECURITY
    )
