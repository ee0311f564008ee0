# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL and Redis as throwaway containers, for checks that need a bare Greenlight and nothing else of the lab."""

from __future__ import annotations

import typing as t

import docker

from . import build as images

REPOSITORY = "meet-coop-lab/greenlight-services"
PACKAGES = ("postgresql", "redis-server")
_INSTALL = f"""set -e
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -y -q --no-install-recommends {" ".join(PACKAGES)}
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""
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


def build(client: docker.DockerClient, base_image: str = images.DEFAULT_BASE) -> str:
    """An image with PostgreSQL and Redis on the double's own Debian; returns its id."""
    base = images.build_base(client, base_image)
    inputs = images.digest([base.encode(), _INSTALL.encode()])
    tag = f"{REPOSITORY}:{inputs[:12]}"
    if found := images.labelled(client, tag, inputs):
        return found
    container = client.containers.create(
        base, command=["-c", _INSTALL], entrypoint="/bin/sh", user="root", security_opt=images.SECURITY, network_mode="host"
    )
    try:
        container.start()
        if container.wait()["StatusCode"] != 0:
            raise RuntimeError("PostgreSQL and Redis could not be installed: " + container.logs(tail=15).decode(errors="replace"))
        container.commit(repository=REPOSITORY, tag=inputs[:12], conf={"Labels": {images.LABEL: inputs}})
    finally:
        container.remove(force=True)
    return t.cast(str, client.images.get(tag).id)


def start_postgres(client: docker.DockerClient, image: str, name: str, network: str, password: str) -> t.Any:
    """A PostgreSQL whose superuser `postgres` has this password over TCP; ready when this returns."""
    container = client.containers.run(
        image,
        ["-c", _POSTGRES],
        entrypoint="/bin/sh",
        name=name,
        network=network,
        detach=True,
        security_opt=images.SECURITY,
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
        image, command, entrypoint="redis-server", name=name, network=network, detach=True, security_opt=images.SECURITY
    )
