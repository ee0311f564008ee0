# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nobody can go below: the bare calls that read the state of N instances, and nothing made of it. Runs on a container host."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time

import psycopg

names = json.load(sys.stdin)


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers={"Host": ""})
    return connection.getresponse().read()


begun = time.monotonic()
docker = Unix("/var/run/docker.sock")
for path in ("/containers/json?all=1", "/networks", "/volumes"):
    get(docker, path)
for name in names:
    get(docker, f"/containers/greenlight-{name}/json")
    get(docker, f"/containers/greenlight-{name}-redis/json")
containers = time.monotonic()
for name in names:
    with psycopg.connect(dbname="greenlight_" + name.replace("-", "_"), user="postgres") as one:
        one.execute("SELECT s.name, v.value FROM site_settings v JOIN settings s ON s.id = v.setting_id").fetchall()
databases = time.monotonic()
get(Unix("/run/caddy/admin.sock"), "/config/")
end = time.monotonic()
print(json.dumps({"containers": containers - begun, "databases": databases - containers, "all": end - begun}))
