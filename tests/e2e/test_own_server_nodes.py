# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's own BigBlueButton server is configured as the membership file says, and never while people meet there."""

from __future__ import annotations

import json
import pathlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.lab.bbb import disk
from tests.support import own_server
from tests.support.ansible import INVENTORY

from .conftest import Play

pytestmark = pytest.mark.thorough

SERVER = "cafe-live-bbb"
CRON = "/etc/default/bigbluebutton-cron-config"
CREATE = """
import hashlib, ssl, sys, urllib.parse, urllib.request
base, secret, meeting = sys.argv[1:]
query = urllib.parse.urlencode({"meetingID": meeting, "name": "Assembly"})
digest = hashlib.sha256(("create" + query + secret).encode()).hexdigest()
trust = ssl.create_default_context(cafile="/etc/meet-coop/ca-bundle.pem")
print(urllib.request.urlopen(f"{base}create?{query}&checksum={digest}", context=trust).read().decode())
"""


class Server:
    """The server, and the play that configures it."""

    def __init__(self, lab: Any, play: Callable[..., Play], folder: pathlib.Path) -> None:
        self.lab, self.play, self.folder = lab, play, folder
        self.secret = secrets.token_hex(24)
        self.recordings: dict[str, Any] = {"formats": ["presentation"], "published_days": 30, "unrecorded_days": 3, "history": 7}
        # What the lab's services host is beside: its firewall and packages are not BigBlueButton's.
        self.variables: dict[str, Any] = {
            "vault_cafe_bbb_secret": self.secret, "bbb_node_domain": own_server.DOMAIN, "bbb_node_firewall": False,
            "bbb_node_hold_upgrades": False,
        }  # fmt: skip

    def run(self, *arguments: str) -> Play:
        """Playbook nodes with a membership file beside the lab's group variables."""
        data = yaml.safe_load((INVENTORY / "members.yml").read_text())
        data["services"]["cafe-live"] = {
            "tier": "dedicated_server",
            "client": "cafe",
            "smtp": None,
            "accounts": {"administrators": [{"name": "Kim Lee", "email": "kim@mail.lab.test"}]},
            "record": True,
            "server": {
                "domain": own_server.DOMAIN,
                "secret_var": "vault_cafe_bbb_secret",
                "address": self.lab.ip(own_server.HOST),
                "connection": {"ansible_connection": "community.docker.docker", "ansible_host": self.lab.host(own_server.HOST)},
                "recordings": self.recordings,
            },
        }
        inventory = self.folder / "inventory"
        inventory.mkdir(exist_ok=True)
        # Days are text in a membership file, and so they stay.
        (inventory / "members.yml").write_text(yaml.safe_dump(json.loads(json.dumps(data, default=str)), sort_keys=False))
        for name in ("hosts.yml", "group_vars"):
            if not (inventory / name).exists():
                (inventory / name).symlink_to((INVENTORY / name).resolve())
        given = self.folder / "given.json"
        given.touch(0o600)
        given.write_text(json.dumps(self.variables))
        return self.play("nodes.yml", "--diff", "-l", SERVER, "-e", f"@{given}", *arguments, inventory=inventory)

    def text(self, path: str) -> str:
        done = self.lab.exec(own_server.HOST, ["cat", path])
        assert done.returncode == 0, done.stderr
        found: str = done.stdout
        return found

    def started(self) -> str:
        found: str = self.lab.exec(own_server.HOST, ["systemctl", "show", "-P", "MainPID", "bbb-web"]).stdout.strip()
        return found


@pytest.fixture(scope="module")
def server(lab: Any, play: Callable[..., Play], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ours = Server(lab, play, tmp_path_factory.mktemp("own"))
    own_server.provide(lab, ours.secret)
    yield ours
    own_server.remove(lab)


def test_recordings_get_there_and_nobody_is_cut_off(server: Server) -> None:
    since = server.started()
    meeting = "m-" + secrets.token_hex(4)
    api = f"https://{own_server.DOMAIN}/bigbluebutton/api/"
    made = server.lab.exec("node2", ["python3", "-", api, server.secret, meeting], CREATE)
    assert "SUCCESS" in made.stdout, made.stdout + made.stderr

    # bbb-web has to start anew for what it was not installed with, so nothing that would be half done is written while people meet.
    busy = server.run()
    assert busy.code == 0 and "put off, people meet there" in busy.output, busy.output[-4000:]
    assert server.started() == since and [one["meetingID"] for one in own_server.control(server.lab, "GET", "/meetings")] == [meeting]
    own_server.control(server.lab, "POST", "/end", {"meetingID": meeting})

    foretold = server.run("--check")
    assert foretold.code == 0 and server.started() == since, foretold.output[-4000:]
    done = server.run()
    assert done.code == 0 and done.changed.keys() == {SERVER}, done.output[-4000:]
    assert server.started() != since
    cron = server.text(CRON)
    assert {"published_days=30", "unrecorded_days=3", "history=7"} <= {line.strip() for line in cron.splitlines()}, cron
    steps = yaml.safe_load(server.text("/etc/bigbluebutton/recording/recording.yml"))["steps"]
    assert "process:presentation" in json.dumps(steps) and "video" not in json.dumps(steps)
    web = server.text(disk.WEB)
    assert "disableRecordingDefault=false\n" in web and "allowStartStopRecording=true\n" in web
    assert server.secret not in busy.output + foretold.output + done.output

    again = server.run()
    assert again.code == 0 and not again.changed, again.output[-3000:]


def test_days_change_without_a_restart_while_people_meet(server: Server) -> None:
    since = server.started()
    server.recordings["published_days"] = 60
    done = server.run()
    assert done.code == 0 and done.changed.keys() == {SERVER}, done.output[-4000:]
    assert "published_days=60" in server.text(CRON) and server.started() == since
