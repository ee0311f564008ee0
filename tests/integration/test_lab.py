# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: its parts do what real ones do, and refuse what real ones refuse."""

from __future__ import annotations

import base64
import imaplib
import json
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import dns.zone
import pytest

from tests.lab import lifecycle
from tests.lab.config import REPOSITORY
from tests.support.lab import RunningLab


def trust(lab: RunningLab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=lab.ca_file)


# Names


def signed(lab: RunningLab, key: str = "coop") -> dns.tsig.Key:
    return dns.tsig.Key(f"{key}.", lab.secrets["tsig"][key], dns.tsig.HMAC_SHA256)


def rcode(lab: RunningLab, message: dns.message.Message) -> dns.rcode.Rcode:
    """What the server answers, signed or not: a refusal need not be signed."""
    with socket.create_connection((lab.dns_server, 53), timeout=5) as connection:
        wire = message.to_wire()
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        return dns.rcode.from_flags(int.from_bytes(connection.recv(512)[4:6], "big"), 0)


def test_knot_answers_for_the_lab_s_zones(lab: RunningLab) -> None:
    assert lab.query("meet.test", "NS") == ["ns1.lab.test."]
    assert lab.query("host1.lab.test") == [lab.ip("host1")]
    assert lab.query("pool.meet.test") == [lab.ip("pool")]
    assert lab.query("no-such-name.meet.test") == []


def test_the_co_op_s_key_updates_and_transfers_its_zone(lab: RunningLab) -> None:
    name = f"probe-{uuid.uuid4().hex[:8]}"
    change = dns.update.UpdateMessage("meet.test", keyring=signed(lab))
    change.add(name, 60, "A", "192.0.2.1")
    assert dns.query.tcp(change, lab.dns_server, timeout=5).rcode() == dns.rcode.NOERROR
    try:
        assert lab.query(f"{name}.meet.test") == ["192.0.2.1"]
        zone = dns.zone.from_xfr(dns.query.xfr(lab.dns_server, "meet.test", keyring=signed(lab), timeout=5))
        assert name in {str(node) for node in zone.nodes}
    finally:
        change = dns.update.UpdateMessage("meet.test", keyring=signed(lab))
        change.delete(name)
        dns.query.tcp(change, lab.dns_server, timeout=5)
    assert lab.query(f"{name}.meet.test") == []


@pytest.mark.parametrize("key", [None, "rosa"], ids=["unsigned", "another owner's key"])
def test_updates_by_others_are_refused(lab: RunningLab, key: str | None) -> None:
    change = dns.update.UpdateMessage("meet.test", keyring=signed(lab, key) if key else None)
    change.add("intruder", 60, "A", "192.0.2.66")
    assert rcode(lab, change) in (dns.rcode.REFUSED, dns.rcode.NOTAUTH)
    assert lab.query("intruder.meet.test") == []


def test_a_wrong_secret_is_refused(lab: RunningLab) -> None:
    wrong = dns.tsig.Key("coop.", "d3JvbmcgYnV0IGxvbmcgZW5vdWdoIGZvciBhIGtleQ==", dns.tsig.HMAC_SHA256)
    change = dns.update.UpdateMessage("meet.test", keyring=wrong)
    change.add("intruder", 60, "A", "192.0.2.66")
    assert rcode(lab, change) == dns.rcode.NOTAUTH
    assert lab.query("intruder.meet.test") == []


def test_an_unsigned_transfer_is_refused(lab: RunningLab) -> None:
    with pytest.raises(dns.query.TransferError) as refused:
        dns.zone.from_xfr(dns.query.xfr(lab.dns_server, "meet.test", timeout=5))
    assert refused.value.rcode in (dns.rcode.REFUSED, dns.rcode.NOTAUTH)


@pytest.mark.parametrize("zone", ["signed.test", "bind-signed.test"])
def test_signed_zones_are_signed_by_their_server(lab: RunningLab, zone: str) -> None:
    server = lab.second_dns_server if zone.startswith("bind") else lab.dns_server
    query = dns.message.make_query(zone, "SOA", want_dnssec=True)
    assert "RRSIG" in dns.query.tcp(query, server, timeout=5).answer[1].to_text()
    assert lab.query(zone, "DNSKEY", server=server)


def test_bind_takes_updates_of_its_key_and_the_resolver_finds_its_zones(lab: RunningLab) -> None:
    lab.update("bind.test", "add probe 60 A 192.0.2.7")
    try:
        assert lab.query("probe.bind.test", server=lab.second_dns_server) == ["192.0.2.7"]
        assert lab.query("probe.bind.test", server=lab.resolver) == ["192.0.2.7"]
    finally:
        lab.update("bind.test", "del probe")
    assert lab.query("probe.bind.test", server=lab.resolver) == []


def test_a_member_s_own_zone_is_changed_by_its_owner(lab: RunningLab) -> None:
    lab.update("rosa.test", "add probe 60 A 192.0.2.7")
    try:
        assert lab.query("probe.rosa.test") == ["192.0.2.7"]
        # The resolver keeps nothing of the lab's zones, so a change is seen at once.
        assert lab.query("probe.rosa.test", server=lab.resolver) == ["192.0.2.7"]
    finally:
        lab.update("rosa.test", "del probe")
    assert lab.query("probe.rosa.test", server=lab.resolver) == []


@pytest.mark.parametrize("host", ["host1", "pool", "node1"])
def test_hosts_resolve_the_lab_s_zones(lab: RunningLab, host: str) -> None:
    for name, where in (("services.lab.test", "services"), ("meet.rosa.test", "host1"), ("pool.meet.test", "pool")):
        address = lab.ip(where)
        assert lab.exec(host, ["getent", "ahostsv4", name]).stdout.split()[:1] == [address]


# Certificates


def test_pebble_s_directory_is_reachable_and_vouched_for(lab: RunningLab) -> None:
    done = lab.exec("host1", ["curl", "-sS", "--fail", "https://services.lab.test:14000/dir"])
    assert done.returncode == 0 and "newOrder" in done.stdout, done
    stranger = lab.exec("host1", ["curl", "-sS", "--cacert", "/dev/null", "https://services.lab.test:14000/dir"])
    assert stranger.returncode != 0


CERTIFY = """
import json, os, subprocess, sys, tempfile, threading
with tempfile.TemporaryDirectory() as store:
    issuer = {"module": "acme", "ca": "https://services.lab.test:14000/dir", "trusted_roots_pem_files": ["/etc/meet-coop/ca-bundle.pem"]}
    route = {"match": [{"host": [sys.argv[1]]}], "handle": [{"handler": "static_response", "body": "seen"}]}
    config = {"admin": {"disabled": True}, "storage": {"module": "file_system", "root": store},
              "apps": {"http": {"servers": {"s": {"listen": [":80", ":443"], "routes": [route]}}},
                       "tls": {"automation": {"policies": [{"issuers": [issuer]}]}}}}
    path = os.path.join(store, "caddy.json")
    with open(path, "w") as file:
        json.dump(config, file)
    caddy = subprocess.Popen(["caddy", "run", "--config", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    threading.Timer(40, caddy.kill).start()
    for line in caddy.stdout:
        print(line, end="")
        if "certificate obtained successfully" in line or "urn:ietf:params:acme:error:" in line:
            break
    caddy.kill()
    os._exit(0)
"""


def ask_for_certificate(lab: RunningLab, name: str) -> str:
    """Has Caddy on the services host's own ports 80 and 443 ask Pebble for a name's certificate; gives what it logged."""
    done = lab.exec("services", ["python3", "-u", "-c", CERTIFY, name])
    return done.stdout + done.stderr


def test_pebble_validates_for_real(lab: RunningLab) -> None:
    """A name that leads here gets a certificate; one that leads elsewhere does not."""
    assert "certificate obtained successfully" in ask_for_certificate(lab, "services.lab.test")
    log = ask_for_certificate(lab, "node1.lab.test")
    assert "certificate obtained successfully" not in log
    assert "urn:ietf:params:acme:error:" in log


def test_deactivations_do_not_reach_pebble(lab: RunningLab) -> None:
    """They would lock it for good; everything else passes."""

    def post(payload: dict[str, str] | None) -> str:
        encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=") if payload else ""
        body = json.dumps({"protected": "e30", "payload": encoded, "signature": ""})
        address = "https://services.lab.test:14000/authZ/none"
        return lab.exec("services", ["curl", "-sS", "-H", "Content-Type: application/jose+json", "--data", body, address]).stdout

    assert "deactivates no authorizations" in post({"status": "deactivated"})
    for passed in (post(None), post({"status": "valid"})):
        assert "urn:ietf:params:acme:error" in passed and "deactivates" not in passed


@pytest.mark.parametrize("host", ["services", "pool", "node1", "node2", "node3", "host1"])
def test_every_host_has_the_bundle_of_the_day(lab: RunningLab, host: str) -> None:
    with open(lab.ca_file, encoding="ascii") as file:
        authorities = [part + "-----END CERTIFICATE-----" for part in file.read().split("-----END CERTIFICATE-----")[:-1]]
    assert len(authorities) == 2
    bundle = lab.exec(host, ["cat", "/etc/meet-coop/ca-bundle.pem"]).stdout
    assert all(authority.strip() in bundle for authority in authorities)
    assert bundle.count("BEGIN CERTIFICATE") > 100, "Debian's own authorities belong to it"


def test_nodes_speak_the_api_with_a_certificate_of_the_lab(lab: RunningLab) -> None:
    for node in ("node1", "node2", "node3"):
        with socket.create_connection((lab.ip(node), 443), timeout=5) as plain:
            trust(lab).wrap_socket(plain, server_hostname=f"{node}.lab.test").close()
        done = lab.exec("pool", ["curl", "-sS", "--fail", f"https://{node}.lab.test/bigbluebutton/api/"])
        assert "<returncode>SUCCESS</returncode>" in done.stdout, done


# Mail


@pytest.fixture
def server(lab: RunningLab) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server, before STARTTLS."""
    connection = smtplib.SMTP(lab.ip("services"), 587, timeout=10)
    yield connection
    connection.close()


def start_tls(lab: RunningLab, server: smtplib.SMTP) -> None:
    server.ehlo()
    server._host = "smtp.lab.test"  # type: ignore[attr-defined]  # the certificate's name; the machine outside does not resolve it
    server.starttls(context=trust(lab))
    server.ehlo()


def letter(sender: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "someone@mail.lab.test", subject
    message.set_content("A line.\n")
    return message


def test_mail_of_an_account_is_kept_and_says_whose_it_is(lab: RunningLab, server: smtplib.SMTP) -> None:
    subject = f"kept {uuid.uuid4().hex}"
    start_tls(lab, server)
    server.login("rosa@smtp.lab.test", lab.secrets["smtp"]["rosa"])
    assert server.send_message(letter("meet@rosa.test", subject)) == {}
    with imaplib.IMAP4(lab.ip("services"), 143, timeout=10) as box:
        box.login("verify", lab.secrets["imap"]["verify"])
        box.select()
        found = box.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        assert len(found) == 1
        header = box.fetch(found[0], "(BODY.PEEK[HEADER])")[1][0][1].decode()  # type: ignore[index, union-attr]
        assert "X-Lab-Login: rosa@smtp.lab.test" in header and "X-Lab-Recipients: someone@mail.lab.test" in header
        box.store(found[0].decode(), "+FLAGS", "\\Deleted")
        box.expunge()


def test_no_login_before_starttls(lab: RunningLab, server: smtplib.SMTP) -> None:
    server.ehlo()
    assert not server.has_extn("auth") and server.has_extn("starttls")
    assert server.docmd("AUTH", "PLAIN AHJvc2EAeA==")[0] == 538


def test_no_mail_without_a_login(lab: RunningLab, server: smtplib.SMTP) -> None:
    start_tls(lab, server)
    assert server.mail("rosa@smtp.lab.test")[0] == 530


@pytest.mark.parametrize("login", ["rosa@smtp.lab.test", "nobody@smtp.lab.test"])
def test_a_wrong_password_is_refused(lab: RunningLab, server: smtplib.SMTP, login: str) -> None:
    start_tls(lab, server)
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        server.login(login, lab.secrets["smtp"]["cafe"])
    assert refused.value.smtp_code == 535


def test_a_sender_of_somebody_else_is_refused(lab: RunningLab, server: smtplib.SMTP) -> None:
    start_tls(lab, server)
    server.login("rosa@smtp.lab.test", lab.secrets["smtp"]["rosa"])
    code, text = server.mail("sunflower@smtp.lab.test")
    assert code == 553 and b"not owned" in text
    # Nor may the letter itself say so, whatever the envelope says.
    with pytest.raises(smtplib.SMTPDataError) as refused:
        server.sendmail("rosa@smtp.lab.test", ["someone@mail.lab.test"], letter("sunflower@smtp.lab.test", "false").as_bytes())
    assert refused.value.smtp_code == 553


def test_a_recipient_nobody_can_have_is_refused(lab: RunningLab, server: smtplib.SMTP) -> None:
    start_tls(lab, server)
    server.login("rosa@smtp.lab.test", lab.secrets["smtp"]["rosa"])
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.sendmail("rosa@smtp.lab.test", ["someone@nowhere.invalid"], letter("rosa@smtp.lab.test", "lost").as_bytes())


def test_a_wrong_mailbox_password_is_refused(lab: RunningLab) -> None:
    with imaplib.IMAP4(lab.ip("services"), 143, timeout=10) as box, pytest.raises(imaplib.IMAP4.error):
        box.login("verify", "wrong")


# The lab as a whole


def test_a_second_up_does_nothing_and_takes_seconds(lab: RunningLab) -> None:
    begun = time.monotonic()
    assert lifecycle.up(lab.config, lifecycle.DEFAULT_HOSTS, lambda message: None) == []
    assert time.monotonic() - begun < 15


def test_a_service_that_fell_is_seen_and_started_again(lab: RunningLab) -> None:
    assert lab.exec("services", ["systemctl", "stop", "lab-smtp"]).returncode == 0
    rows, good = lifecycle.status(lab.config)
    assert not good and "lab-smtp DOWN" in next(row[3] for row in rows if row[0] == "services")
    assert lifecycle.up(lab.config, ["services"], lambda message: None) == ["started lab-smtp"]
    assert lifecycle.status(lab.config)[1]


def test_status_says_every_host(lab: RunningLab) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.lab", "status"], cwd=REPOSITORY, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["HOST", "services", "pool", "node1", "node2", "node3", "host1"]


def test_an_unknown_host_is_one_clear_line(lab: RunningLab) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.lab", "up", "nowhere"], cwd=REPOSITORY, text=True, capture_output=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    there = "services, pool, node1, node2, node3, host1, host2"
    assert done.stderr.splitlines() == [f"lab {lab.name}: no such host: nowhere (there are {there})"]


def test_secrets_are_for_their_owner_only(lab: RunningLab) -> None:
    assert (lab.state / "secrets.yml").stat().st_mode & 0o777 == 0o600
    assert (lab.state / "ca").stat().st_mode & 0o077 == 0


def test_run_module_is_the_real_thing(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> None:
    path = f"/run/probe-{uuid.uuid4().hex}"
    planned = run_module("node1", "ansible.builtin.copy", {"content": "text\n", "dest": path}, check=True)
    assert planned["changed"] and lab.exec("node1", ["test", "-e", path]).returncode == 1
    made = run_module("node1", "ansible.builtin.copy", {"content": "text\n", "dest": path})
    assert made["changed"] and made["diff"] and lab.exec("node1", ["cat", path]).stdout == "text\n"
    assert not run_module("node1", "ansible.builtin.copy", {"content": "text\n", "dest": path})["changed"]
    failed = run_module("node1", "ansible.builtin.copy", {"dest": "/nonexistent/place", "src": "/nonexistent"})
    assert failed["failed"] and failed["msg"]
    assert run_module("localhost", "ansible.builtin.ping", {"data": "here"})["ping"] == "here"
    lab.exec("node1", ["rm", path])
