# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority that asks for external account binding, a second Pebble: Caddy and the wildcard with the key, a wrong one and none."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.edge import BACKEND_PORT, CA_FILE, Wildcard
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab

PLACE = "/etc/caddy/wildcard"
UNIT = "edge-test-eab"
PORT, MANAGEMENT = 14002, 15002
DIRECTORY = f"https://services.lab.test:{PORT}/dir"
KEPT = [f"/var/lib/caddy/certificates/{kind}/services.lab.test-{PORT}-dir" for kind in ("acme", "certificates")]
"""What Caddy has of this authority, which begins anew with each run of these tests."""
ROOT = "/etc/meet-coop/edge-test-eab.pem"


class Bound(Wildcard):
    """An edge at that authority, with a name of ours, which the wildcard is for, and an own one, which Caddy asks for."""

    name = f"eab{secrets.token_hex(3)}.rosa.test"
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

    def binding(self, key: str, *options: str) -> str:
        """Apply the role; its output, whether it fails or not."""
        given = {"edge_acme_eab": {"key_id": "coop-1", "mac_key": key}} if key else {}
        try:
            return self.apply(*options, edge_acme_directory=DIRECTORY, **given)
        except AssertionError as error:
            return str(error)

    def own(self, seconds: int) -> dict[str, Any]:
        route = {"id": "eab", "hosts": [self.name], "upstream": f"127.0.0.1:{BACKEND_PORT}"}
        return self.module({**route, "wait_certificate": seconds, "ca_file": ROOT})


@pytest.fixture(scope="module")
def edge(lab: RunningLab) -> Iterator[Bound]:
    found = Bound(lab)
    config = {
        "listenAddress": f"0.0.0.0:{PORT}", "managementListenAddress": f"0.0.0.0:{MANAGEMENT}", "httpPort": 80, "tlsPort": 443,
        "certificate": "/etc/lab/services.crt", "privateKey": "/etc/lab/services.key", "retryAfter": {"authz": 0, "order": 0},
        "externalAccountBindingRequired": True, "externalAccountMACKeys": {"coop-1": found.key.rstrip("=")},
    }  # fmt: skip
    file = f"/etc/lab/{UNIT}.json"
    lab.exec("services", ["sh", "-c", f"umask 027; cat > {file}; chgrp lab {file}"], json.dumps({"pebble": config}))
    program = ["/usr/bin/pebble", "-config", file, "-dnsserver", f"{lab.resolver}:53"]
    unit = ["--quiet", "--collect", f"--unit={UNIT}", "--uid=lab", "--gid=lab", "--setenv=PEBBLE_VA_NOSLEEP=1"]
    started = lab.exec("services", ["systemd-run", *unit, *program])
    assert started.returncode == 0, started
    try:
        root = f"curl -sS --fail --cacert {CA_FILE} https://services.lab.test:{MANAGEMENT}/roots/0 > {ROOT}"
        lab.wait_for(found.host, root, 20)
        lab.exec(found.host, ["rm", "-rf", PLACE, *KEPT])
        lab.update("rosa.test", f"add {found.name.partition('.')[0]} 5 A {lab.ip(found.host)}")
        yield found
    finally:
        found.clean()
        lab.update("rosa.test", f"del {found.name.partition('.')[0]} A")
        lab.exec("services", ["systemctl", "stop", UNIT])
        lab.exec("services", ["rm", "-f", file])
        lab.exec(found.host, ["rm", "-rf", PLACE, ROOT, *KEPT])
        found.role(**found.variables())


@pytest.mark.parametrize(
    ("key", "said"),
    [("", ("binding must be specified. Give the role edge_acme_eab", "must include a value for the 'externalAccountBinding' field")),
     (base64.urlsafe_b64encode(bytes(32)).decode(), ("external account binding JWS verification error",) * 2)],
    ids=["none", "wrong"],
)  # fmt: skip
def test_no_key_or_a_wrong_one_is_told_for_both_ways(edge: Bound, key: str, said: tuple[str, str]) -> None:
    output = " ".join(edge.binding(key).split())
    told = output.partition("*.meet.test: ")[2].partition(" Origin: ")[0]
    assert told.startswith("Keep the account at the authority: ") and said[0] in told and "The edge serves on" in told, output[-3000:]
    result = edge.own(6)
    assert result["failed"] and result["msg"].count(f"{edge.name}: ") == 1 and said[1] in result["msg"], result
    assert "\n" not in result["msg"] and (not key or key.rstrip("=") not in output + json.dumps(result))


def test_with_the_key_both_ways_get_theirs_and_it_is_kept_secret(edge: Bound) -> None:
    bare = edge.key.rstrip("=")
    output = edge.binding(edge.key, "-vvv", "--diff")
    result = edge.own(40)
    assert not result.get("failed"), result
    account = run_directly(edge.lab, edge.host, "caddy_info", {"id": "eab"})["account_uri"]
    assert account.startswith(f"https://services.lab.test:{PORT}/my-account/"), "what a CAA record with accounturi has to name"
    assert "*.meet.test" in edge.lab.exec(edge.host, ["openssl", "x509", "-in", f"{PLACE}/meet.test.pem", "-noout", "-text"]).stdout
    assert bare not in output + json.dumps(result) and "coop-1" in output
    found = edge.lab.exec(edge.host, ["sh", "-c", "grep -rlF -f - /etc /var /root /tmp /run 2>/dev/null; true"], bare).stdout.split()
    assert found == ["/etc/caddy/edge.json"]
    assert edge.lab.exec(edge.host, ["stat", "-c", "%a %U %G", found[0]]).stdout.split() == ["640", "root", "caddy"]
    assert edge.lab.exec(edge.host, ["sh", "-c", "journalctl --no-pager -n 5000 | grep -cF -f -; true"], bare).stdout.strip() == "0"
