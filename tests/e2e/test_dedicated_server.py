# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client with a BigBlueButton server of its own: onboarded, recording, and four systems with access that clients of others can use."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site
from tests.support import own_server
from tests.support.ansible import INVENTORY, ROOT
from tests.support.pool import wait_for

from .conftest import Play

pytestmark = pytest.mark.thorough


SERVICE = "cafe-live"
API = "cafe-live-api.meet.test"
SECRETS = f"/var/lib/meet-coop/instances/{SERVICE}/secrets.json"
CMS = {"cloud": "nextcloud", "school": "moodle", "blog": "wordpress", "site": "drupal"}
OUTSIDE = "node2"
"""Where clients of others run: a machine that is neither the balancer's nor the server's."""

CLIENTS = ("bbbctl.py", "bigbluebutton", "bigbluebutton_api_python", "jxmlease")
"""Clients that others wrote, as they are on PyPI, and what one of them needs."""


@dataclasses.dataclass
class Dedicated:
    """The service, onboarded, and everything that a test needs to ask and change."""

    lab: Any
    play: Callable[..., Play]
    folder: pathlib.Path
    key: str
    first: Play
    secret: str

    @property
    def inventory(self) -> pathlib.Path:
        return self.folder / "inventories" / "lab"

    def run(self, playbook: str, *arguments: str) -> Play:
        limit = f"host1,{SERVICE}"
        return self.play(playbook, "-l", limit, "-e", f"@{self.folder / 'extra.json'}", *arguments, inventory=self.inventory)

    def access(self, **variables: Any) -> Play:
        return self.run("cms_access.yml", "-e", json.dumps(variables))

    def recordings(self, variables: dict[str, Any], *arguments: str) -> Play:
        limit = ["-l", f"{SERVICE}-bbb", "-e", json.dumps(variables)]
        return self.play("recordings.yml", *limit, *arguments, inventory=self.inventory)

    def members(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Change the membership file."""
        path = self.inventory / "members.yml"
        data = yaml.safe_load(path.read_text())
        edit(data)
        # Days are text in a membership file, and so they stay.
        path.write_text(yaml.safe_dump(json.loads(json.dumps(data, default=str)), allow_unicode=True, sort_keys=False))

    def kept(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.lab.exec("host1", ["cat", SECRETS]).stdout)
        return found

    def handed_over(self, name: str) -> dict[str, Any]:
        """What the system's administrator finds in the encrypted file."""
        file = self.folder / "handover" / f"{SERVICE}-{name}.json.age"
        assert file.stat().st_mode & 0o077 == 0
        done = self.lab.exec("services", ["sh", "-c", "umask 077; cat > /tmp/cms.age"], file.read_bytes())
        assert done.returncode == 0, done.stderr
        done = self.lab.exec("services", ["age", "--decrypt", "--identity", "-", "/tmp/cms.age"], self.key)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def client(self, script: str, *arguments: str) -> Any:
        """A script with somebody else's client, on a machine outside the pool that trusts the lab's authorities."""
        trust = "/etc/meet-coop/ca-bundle.pem"
        environment = ["PYTHONPATH=/tmp/clients", f"SSL_CERT_FILE={trust}", f"REQUESTS_CA_BUNDLE={trust}"]
        done = self.lab.exec(OUTSIDE, ["env", *environment, "python3", "-W", "ignore", "-", *arguments], script)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)


def service(lab: Any) -> dict[str, Any]:
    return {
        "tier": "dedicated_server",
        "client": "cafe",
        "title": "Café Central, own server",
        "smtp": None,
        "accounts": {"administrators": [{"name": "Kim Lee", "email": "kim@mail.lab.test"}]},
        "record": True,
        "server": {
            "domain": own_server.DOMAIN,
            "secret_var": "vault_cafe_bbb_secret",
            "balancer": "host1",
            "address": lab.ip(own_server.HOST),
            "connection": {"ansible_connection": "community.docker.docker", "ansible_host": lab.host(own_server.HOST)},
            "recordings": {"formats": ["presentation", "video"], "consent": "This meeting may be recorded.", "delete_after_days": 30},
        },
        "cms": {name: {"kind": kind} for name, kind in CMS.items()},
        "resources": {"memory": "512m", "cpus": 1.0, "pids": 256},
    }


@pytest.fixture(scope="module")
def dedicated(lab: Any, play: Callable[..., Play], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dedicated]:
    folder = tmp_path_factory.mktemp("dedicated")
    (folder / ".lab").symlink_to(ROOT / ".lab")
    shutil.copytree(INVENTORY, folder / "inventories" / "lab")
    made = lab.exec("services", ["age-keygen"]).stdout
    public = re.search(r"public key: (age1\S+)", made)
    assert public
    secret = secrets.token_hex(24)
    own_server.provide(lab, secret)
    variables = {
        "vault_cafe_bbb_secret": secret,
        "cms_access_settle": 2,
        "pool_tenant_cache": 1,
        "cms_access_handover_directory": str(folder / "handover"),
        "welcome_directory": str(folder / "pages"),
    }
    with os.fdopen(os.open(folder / "extra.json", os.O_CREAT | os.O_WRONLY, 0o600), "w") as stream:
        json.dump(variables, stream)
    ours = Dedicated(lab, play, folder, made, Play(1, ""), secret)

    def edit(data: dict[str, Any]) -> None:
        data["clients"]["cafe"]["export_key"] = public[1]
        data["services"][SERVICE] = service(lab)

    ours.members(edit)
    packages = pathlib.Path(yaml.__file__).parents[1]
    archive = subprocess.run(["tar", "-C", str(packages), "-cf", "-", *CLIENTS], capture_output=True, check=True).stdout
    done = lab.exec(OUTSIDE, ["sh", "-c", "mkdir -p /tmp/clients && tar -C /tmp/clients -xf -"], archive)
    assert done.returncode == 0, done.stderr
    ours.first = ours.run("onboard.yml")
    yield ours
    ours.members(lambda data: data["services"][SERVICE].update(state="absent"))
    ours.run("services.yml")
    own_server.remove(lab)


def test_it_is_onboarded_with_proof_and_stays_so(dedicated: Dedicated) -> None:
    assert dedicated.first.code == 0, dedicated.first.output[-6000:]
    for name in CMS:
        for check in ("address", "signature", "meeting", "guarded", "apart"):
            assert re.search(rf"ok\s+{name}\s+{check}\b", dedicated.first.output), (name, check)
    again = dedicated.run("services.yml")
    assert again.code == 0 and not again.changed, again.output[-4000:]


def test_no_secret_is_anywhere_it_can_be_read(dedicated: Dedicated) -> None:
    kept = dedicated.kept()
    ours = [dedicated.secret, *(kept[f"cms_{name}"] for name in CMS)]
    assert len(set(ours)) == 5
    pages = "".join(path.read_text() for path in (dedicated.folder / "pages").iterdir())
    assert all(f"{SERVICE}-{name}.html" in {path.name for path in (dedicated.folder / "pages").iterdir()} for name in CMS)
    assert not [secret for secret in ours if secret in dedicated.first.output + pages]
    loose = dedicated.lab.exec("host1", ["find", f"/var/lib/meet-coop/instances/{SERVICE}", "-perm", "/077"]).stdout
    assert not loose
    journal = dedicated.lab.exec("host1", ["journalctl", "--no-pager", "-o", "cat"]).stdout
    assert not [secret for secret in ours if secret in journal]


BBBCTL = """
import json, sys
from bbbctl import BBBApiClient, ApiError
api, secret, meeting = sys.argv[1:]
client = BBBApiClient(api, secret)
client.createMeeting(meeting, "Assembly", moderatorPW="moderator", attendeePW="attendee")
seen = [one.findtext("meetingID") for one in client.getMeetings()]
client.end(meeting, password="moderator")
print(json.dumps(seen))
"""
API_PYTHON = """
import json, sys
from bigbluebutton_api_python import BigBlueButton
api, secret, meeting = sys.argv[1:]
client = BigBlueButton(api, secret)
client.create_meeting(meeting, {"name": "Assembly", "moderatorPW": "moderator", "attendeePW": "attendee"})
seen = client.get_meeting_info(meeting)
client.end_meeting(meeting, "moderator")
print(json.dumps([str(seen.get_meetinginfo().get_meetingid())]))
"""
WITHDRAW = """
import json, sys
from bbbctl import BBBApiClient
api, secret, record = sys.argv[1:]
print(json.dumps(BBBApiClient(api, secret).call("publishRecordings", recordID=record, publish="false").findtext("published")))
"""
LISTED = """
import json, sys
from bbbctl import BBBApiClient
found = BBBApiClient(*sys.argv[1:]).getRecordings(state="any")
print(json.dumps([[one.findtext("recordID"), one.findtext("playback/format/url")] for one in found]))
"""
REFUSED = """
import json, sys
from bbbctl import BBBApiClient, ApiError
try:
    BBBApiClient(*sys.argv[1:]).getMeetings()
except ApiError as error:
    print(json.dumps(error.tree.findtext("messageKey")))
else:
    print(json.dumps("answered"))
"""
BIGBLUEBUTTON = """
import json, sys
from bigbluebutton import BigBlueButton
api, secret, meeting = sys.argv[1:]
client = BigBlueButton(api, secret)
made = client.create_meeting(meeting, "Assembly", attendee_password="attendee", moderator_password="moderator")
print(json.dumps([made, client.is_meeting_running(meeting), client.end_meeting(meeting, "moderator")]))
"""


def test_clients_that_others_wrote_can_use_each_credential(dedicated: Dedicated) -> None:
    for name in CMS:
        told = dedicated.handed_over(name)
        assert told["secret"] == dedicated.kept()[f"cms_{name}"] and told["secret"] in told["settings"].values()
        arguments = told["url"] + "api/", told["secret"], f"assembly-{name}"
        assert dedicated.client(BBBCTL, *arguments) == [f"assembly-{name}"], name
        assert dedicated.client(API_PYTHON, *arguments[:2], "second") == ["second"], name
        # Nobody is in it, so it is not running; made and ended it was.
        assert dedicated.client(BIGBLUEBUTTON, *arguments[:2], "third") == [True, False, True], name


def test_what_is_broken_is_said_in_one_red_line(dedicated: Dedicated, run_module: Callable[..., dict[str, Any]]) -> None:
    kept, told = dedicated.kept(), {name: dedicated.handed_over(name) for name in ("cloud", "blog", "school")}
    good = [{"name": name, "kind": CMS[name], "url": one["url"], "secret": one["secret"]} for name, one in told.items()]

    def tried(*changes: dict[str, str]) -> dict[str, Any]:
        credentials = [{**one, **change} for one, change in zip(good, changes, strict=True)]
        outside = {"resolver": dedicated.lab.resolver, "ca_file": dedicated.lab.ca_file}
        return run_module("localhost", "meet.coop.bbb_credential_check", {"credentials": credentials, **outside})

    found = tried(
        {"secret": secrets.token_hex(20)}, {"url": told["blog"]["url"].rstrip("/")}, {"url": "https://test-install.blindsidenetworks.com/"}
    )
    assert found["failed"] and not found["changed"]
    for said in (
        "cloud, signature: getMeetings signed with sha1 is refused (checksumError): the secret is not the one in force",
        "blog, address: the address for WordPress has to end in /bigbluebutton/",
        "school, address: the address leads to test-install.blindsidenetworks.com, somebody else's public test server",
    ):
        assert said in found["msg"], found["msg"]
    # The server's own secret in two systems: each sees the other's meetings.
    direct = {"url": f"https://{own_server.DOMAIN}/bigbluebutton/", "secret": dedicated.secret}
    found = tried(direct, direct, {})
    assert found["failed"] and "cloud, apart: it has the same secret as blog; give each a secret of its own" in found["msg"]
    assert not [secret for secret in (dedicated.secret, *kept.values()) if secret in json.dumps(found)]


def test_it_records_and_greenlight_is_told(dedicated: Dedicated, run_module: Callable[..., dict[str, Any]]) -> None:
    lab, password = dedicated.lab, secrets.token_hex(12) + "aA1!"
    account = {"email": "ana@mail.lab.test", "name": "Ana", "role": "Administrator", "state": "present", "password": password}
    made = run_module(
        "host1", "meet.coop.greenlight_user", {"login_db": "greenlight_cafe_live", "users": [account], "update_password": "always"}
    )
    assert not made.get("failed"), made
    site = Site(f"{SERVICE}.meet.test", Names(lab.resolver), lab.ca_file)
    me = site.sign_in(account["email"], password).json()["data"]
    room = site.request("POST", "/api/v1/rooms.json", {"room": {"name": "Assembly", "user_id": me["id"]}}).json()["data"].rsplit("/", 1)[-1]
    wish = {"room_setting": {"settingName": "record", "settingValue": "true"}}
    assert site.request("PATCH", f"/api/v1/room_settings/{room}.json", wish).status == 200
    assert site.request("POST", f"/api/v1/meetings/{room}/start.json").status == 201
    (meeting,) = [one for one in own_server.control(lab, "GET", "/meetings") if one["parameters"].get("record") == "true"]
    told = meeting["parameters"]
    # Who enters reads it, and everybody sees when recording begins.
    assert "This meeting may be recorded." in told["welcome"] and told["notifyRecordingIsOn"] == "true"
    for path in ("/record", "/end"):
        own_server.control(lab, "POST", path, {"meetingID": told["meetingID"]})
    wait_for(lambda: [one for one in own_server.control(lab, "GET", "/callbacks") if one["url"].endswith("/recording_ready")])
    # Greenlight takes it only with the secret of the server that it uses.
    assert [one["status"] for one in own_server.control(lab, "GET", "/callbacks") if one["url"].endswith("/recording_ready")] == [200]
    seen = run_module("services", "meet.coop.bbb_recording_info", {})
    assert [(one["meeting_id"], one["formats"]) for one in seen["recordings"]] == [(told["meetingID"], {"presentation": "published"})]
    # A system's meetings are not recorded, whatever it asks for: it could not get the recordings back.
    cloud = dedicated.handed_over("cloud")
    script = BBBCTL.replace('attendeePW="attendee"', 'attendeePW="attendee", record="true", autoStartRecording="true"')
    dedicated.client(script, cloud["url"] + "api/", cloud["secret"], "quiet")
    assert len(run_module("services", "meet.coop.bbb_recording_info", {})["recordings"]) == 1


def test_recordings_of_another_server_are_brought_here(dedicated: Dedicated, run_module: Callable[..., dict[str, Any]]) -> None:
    """node1 stands for the old server: a recording that is published, and one that was withdrawn."""
    lab, server = dedicated.lab, f"{SERVICE}-bbb"
    api, secret = "https://node1.lab.test/bigbluebutton/api/", lab.secrets["bbb"]["node1"]
    script = BBBCTL.replace('attendeePW="attendee"', 'attendeePW="attendee", record="true", autoStartRecording="true"')
    for meeting in ("old-one", "old-two"):
        dedicated.client(script, api, secret, meeting)
    # The double ends what is due when it is asked.
    wait_for(lambda: len(dedicated.client(LISTED, api, secret)) == 2)
    old = run_module("node1", "meet.coop.bbb_recording_info", {})["recordings"]
    dedicated.client(WITHDRAW, api, secret, old[1]["id"])
    for command in (["ssh-keygen", "-A"], ["systemctl", "start", "ssh"]):
        assert lab.exec("node1", command).returncode == 0
    variables = {
        "recordings_move_from": "node1",
        "recordings_move_address": lab.ip("node1"),
        "recordings_move_former": ["node1.lab.test"],
        "recordings_owner": "root:root",
        "recordings_minimum_free": 0,
    }
    try:
        foretold = dedicated.recordings(variables, "--check")
        assert foretold.code == 0 and foretold.changed.keys() == {server}, foretold.output[-4000:]
        assert len(run_module("services", "meet.coop.bbb_recording_info", {})["recordings"]) == 1
        done = dedicated.recordings(variables)
        assert done.code == 0, done.output[-4000:]
        here = {one["id"]: one for one in run_module("services", "meet.coop.bbb_recording_info", {})["recordings"]}
        assert [here[one["id"]]["formats"]["presentation"] for one in old] == ["published", "unpublished"]
        assert all(here[one["id"]]["hosts"] == [own_server.DOMAIN] for one in old)
        # The server lists them like its own, with media and all.
        shown = dedicated.client(LISTED, f"https://{own_server.DOMAIN}/bigbluebutton/api/", dedicated.secret)
        assert {one["id"] for one in old} <= {record for record, url in shown if url.startswith(f"https://{own_server.DOMAIN}/")}
        again = dedicated.recordings(variables)
        assert again.code == 0 and not again.changed, again.output[-4000:]
        # Nobody can come in by the key that was used.
        assert "meet.coop" not in lab.exec("node1", ["cat", "/root/.ssh/authorized_keys"]).stdout
        assert lab.exec("services", ["test", "-e", "/run/meet-coop-recordings"]).returncode == 1
        assert lab.exec("node1", ["find", "/var/bigbluebutton", "-name", "metadata.xml"]).stdout.count("metadata.xml") == 2
    finally:
        lab.exec("node1", ["sh", "-c", "systemctl stop ssh; rm -rf /var/bigbluebutton/* /root/.ssh/authorized_keys"])


def test_a_secret_is_changed_without_an_interruption(dedicated: Dedicated) -> None:
    old = dedicated.handed_over("cloud")
    begun = dedicated.access(cms_access_rotate=["cloud"])
    assert begun.code == 0, begun.output[-4000:]
    new = dedicated.handed_over("cloud")
    assert new["secret"] != old["secret"] and new["url"] == old["url"]
    for secret in (old["secret"], new["secret"]):
        assert dedicated.client(BBBCTL, new["url"] + "api/", secret, "both") == ["both"]
    assert "cloud: the old secret works beside the new one" in begun.output
    # Begun again it is the same new secret, and nothing is left to do.
    again = dedicated.access(cms_access_rotate=["cloud"])
    assert not again.changed and dedicated.handed_over("cloud") == new, again.output[-3000:]
    done = dedicated.access(cms_access_finish=["cloud"])
    assert done.code == 0, done.output[-4000:]
    assert dedicated.client(REFUSED, new["url"] + "api/", old["secret"]) == "checksumError"
    assert dedicated.client(BBBCTL, new["url"] + "api/", new["secret"], "new") == ["new"]
    assert dedicated.handed_over("cloud") == new
    assert not [secret for secret in (old["secret"], new["secret"]) if secret in begun.output + again.output + done.output]


def test_one_system_is_locked_out_and_the_others_go_on(dedicated: Dedicated) -> None:
    blog, site = dedicated.handed_over("blog"), dedicated.handed_over("site")
    dedicated.members(lambda data: data["services"][SERVICE]["cms"].pop("blog"))
    outcome = dedicated.access()
    assert outcome.code == 0, outcome.output[-4000:]
    assert dedicated.client(REFUSED, blog["url"] + "api/", blog["secret"]) == "checksumError"
    assert dedicated.client(BBBCTL, site["url"] + "api/", site["secret"], "on") == ["on"]
    assert "cms_blog" not in dedicated.kept()
    left = [path.name for folder in ("handover", "pages") for path in (dedicated.folder / folder).iterdir()]
    assert not [name for name in left if "-blog." in name]
    # Back in the list it has another secret: the old one may be known to whoever was locked out.
    dedicated.members(lambda data: data["services"][SERVICE]["cms"].update(blog={"kind": "wordpress"}))
    assert dedicated.access().code == 0
    assert dedicated.handed_over("blog")["secret"] != blog["secret"]
