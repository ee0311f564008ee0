# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the membership file to accounts that are sold on a member's Greenlight, and to sign-in at a member's own provider."""

from __future__ import annotations

import http.client
import pathlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conformance import greenlight_kit as kit
from tests.support.identity_provider import IdentityProvider, certificate

from .conftest import Play

SOLD, HOLDER, DATABASE = "rosa-guests", "sunflower", "greenlight_sunflower"
EXTERNAL, SITE = "sunflower-training", "https://sunflower-training.meet.test"
SECRET = "secret-of-the-training-site"
BOTH = f"{SOLD}:{EXTERNAL}"


class Visitor(kit.Client):
    """The stage's client, over the site's own https."""

    def __init__(self, address: str, host: str, ca_file: str) -> None:
        super().__init__(address, host)
        self.trust = ssl.create_default_context(cafile=ca_file)

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str | None] | None = None, seconds: float = 20
    ) -> kit.Answer:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
        connection = http.client.HTTPSConnection(self.host, timeout=seconds)
        connection.sock = self.trust.wrap_socket(socket.create_connection((self.address, 443), seconds), server_hostname=self.host)
        try:
            connection.request(method, path, body=body, headers={name: value for name, value in sent.items() if value})
            got = connection.getresponse()
            answer = kit.Answer(got.status, got.getheaders(), got.read())
        finally:
            connection.close()
        for line in answer.all("set-cookie"):
            name, _other, value = line.split(";")[0].partition("=")
            self.cookies[name] = value
        return answer


@pytest.fixture
def provider(lab: Any, tmp_path: pathlib.Path) -> Iterator[IdentityProvider]:
    """On this machine, as the lab's hosts and the containers on them reach it, with a certificate of the lab's authority."""
    address = lab.exec("host1", ["ip", "-4", "route", "show", "default"]).stdout.split()[2]
    authority = (lab.state / "ca" / "ca.crt", lab.state / "ca" / "ca.key")
    made = IdentityProvider(address, *certificate(tmp_path, [address], authority))
    made.register("greenlight", SECRET, SITE)
    yield made
    made.close()


def sold(term: str) -> str:
    """Accounts on Sunflower's Greenlight for guests of Rosa."""
    return f"""
  {SOLD}:
    tier: accounts
    member: rosa
    instance: {HOLDER}
    accounts:
      users: [{{name: Gus Guest, email: gus@mail.lab.test}}, {{name: Gil Guest, email: gil@mail.lab.test}}]
    limits: {{rooms_per_account: 1}}
    term: {{{term}}}
"""


def test_accounts_sold_and_sign_in_elsewhere(
    onboarded: Play,
    lab: Any,
    play: Callable[..., Play],
    receipts: Callable[[str], dict[str, Any]],
    other_inventory: Callable[..., pathlib.Path],
    provider: IdentityProvider,
) -> None:
    oidc = f"      oidc: {{issuer: '{provider.issuer}', client_id: greenlight, client_secret_var: vault_training_oidc_secret}}\n"
    mark = "    accounts:\n      registration: open\n"
    inventory = other_inventory(lambda text: text.replace(mark, mark + oidc) + sold("from: 2026-01-01"))
    (inventory / "host_vars").mkdir(exist_ok=True)
    (inventory / "host_vars" / f"{EXTERNAL}.yml").write_text(f"---\nvault_training_oidc_secret: {SECRET}\n")
    provider.people["ana"] = {"sub": "ana-1", "name": "Ana C.", "email": "ana@mail.lab.test"}

    def psql(query: str) -> str:
        return str(lab.exec("host1", ["psql", "-U", "postgres", "-d", DATABASE, "-Atc", query]).stdout.strip())

    def guests() -> str:
        return psql(
            "SELECT string_agg(u.email || ' ' || u.status || ' ' || r.name, ', ' ORDER BY u.email)"
            " FROM users u JOIN roles r ON r.id = u.role_id WHERE u.email LIKE 'g__@mail.lab.test'"
        )

    def limit() -> str:
        return psql(
            "SELECT v.value FROM role_permissions v JOIN roles r ON r.id = v.role_id JOIN permissions p ON p.id = v.permission_id"
            f" WHERE r.name = '{SOLD}' AND p.name = 'RoomLimit'"
        )

    def visitor() -> Visitor:
        return Visitor(lab.ip("host1"), SITE.removeprefix("https://"), lab.ca_file)

    def run(limit: str, *options: str) -> Play:
        return play("services.yml", "-l", limit, *options, inventory=inventory)

    try:
        foretold = run(SOLD, "--check", "--diff")
        assert foretold.code == 0 and set(foretold.changed) == {SOLD} and guests() == "", foretold.output[-3000:]
        assert "gus@mail.lab.test.state" in foretold.output, "a dry run shows who would change"

        # The provider is down: its site stays as it is, and nobody else waits.
        # (Ansible runs no further play when all hosts of one have failed; so one of that play is there that does not.)
        provider.faults = {"status": 503}
        outcome = run(f"{BOTH}:{HOLDER}")
        assert outcome.failed == {EXTERNAL} and set(outcome.changed) == {SOLD}, outcome.output[-4000:]
        assert f"oidc.issuer {provider.issuer}" in outcome.output and "answers 503" in outcome.output
        assert SECRET not in outcome.output and "Traceback" not in outcome.output
        assert visitor().get("env.json").data["EXTERNAL_AUTH"] is False
        assert guests() == f"gil@mail.lab.test 0 {SOLD}, gus@mail.lab.test 0 {SOLD}" and limit() == "1"

        provider.faults = {}
        outcome = run(BOTH, "--diff")
        assert outcome.code == 0 and set(outcome.changed) == {EXTERNAL} and SECRET not in outcome.output, outcome.output[-4000:]
        client = visitor()
        assert client.sign_in("ana@mail.lab.test").status == 403, "no password lets anybody in"
        body = urlencode({"authenticity_token": client.csrf}).encode()
        sent = client.raw("POST", "/auth/openid_connect", body, {"Content-Type": "application/x-www-form-urlencoded"}).header("location")
        provider.person = "ana"
        back = provider.visit(sent)
        assert client.raw("GET", back.removeprefix(SITE)).header("location") == f"{SITE}/"
        me = client.get("sessions.json").data
        assert (me["email"], me["role"]["name"], me["external_account"]) == ("ana@mail.lab.test", "Administrator", True)
        assert provider.visit(client.delete("sessions/signout.json").data) == f"{SITE}/?success=LogoutSuccessful"

        seen = play("verify.yml", "-l", SOLD, inventory=inventory)
        checks = {check["check"]: (check["result"], check["detail"]) for check in receipts(SOLD)["checks"]}
        assert seen.code == 0 and set(checks) == {"sign_in", "rooms"}, seen.output[-3000:]
        assert checks["sign_in"] == ("ok", f"signed in as {SOLD}, RoomLimit 1") and checks["rooms"] == ("ok", "1 rooms, the next refused")

        # The term is over, and Sunflower's provider gone: the accounts are closed, Ana's is the site's own again, nobody is deleted.
        members = inventory / "members.yml"
        members.write_text(members.read_text().replace(oidc, "").replace("from: 2026-01-01", "until: 2026-01-31"))
        outcome = run(f"{BOTH}:{HOLDER}")
        assert outcome.code == 0 and set(outcome.changed) == {SOLD, EXTERNAL}, outcome.output[-4000:]
        assert guests() == f"gil@mail.lab.test 2 {SOLD}, gus@mail.lab.test 2 {SOLD}"
        assert limit() == "1", "the run of the instance leaves the limit of what is sold there"
        assert visitor().get("env.json").data["EXTERNAL_AUTH"] is False
        query = "SELECT count(*) FROM users WHERE external_id IS NOT NULL"
        found = lab.exec("host1", ["psql", "-U", "postgres", "-d", "greenlight_sunflower_training", "-Atc", query])
        assert found.stdout.strip() == "0"
    finally:
        psql(
            "DELETE FROM users WHERE email LIKE 'g__@mail.lab.test'; DELETE FROM role_permissions p USING roles r"
            f" WHERE r.id = p.role_id AND r.name = '{SOLD}'; DELETE FROM roles WHERE name = '{SOLD}'"
        )
        lab.exec("host1", ["rm", "-f", f"/var/lib/meet-coop/instances/{HOLDER}/accounts-{SOLD}.json"])
        (lab.state / "receipts" / f"{SOLD}.json").unlink(missing_ok=True)
        if visitor().get("env.json").data["EXTERNAL_AUTH"]:
            play("services.yml", "-l", EXTERNAL)
