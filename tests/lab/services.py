# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services host: Knot, BIND, a resolver, Pebble, mail in and out. Configuration is written here, the programs are Debian's."""

from __future__ import annotations

import json
import time
from pathlib import Path

from . import hosts
from .config import ACCOUNTS, FILES, HOSTS, Lab
from .engine import LabError, docker, run
from .hosts import File

HOST = "services"
UNITS = ("lab-address", "knot", "named", "unbound", "lab-pebble", "lab-acme", "lab-smtp", "dovecot")
MAILDIR = "/var/mail/lab/verify"
PEBBLE_ROOT = "/var/lib/lab-pebble/root.pem"
ZONES: dict[str, str] = {"meet.test": "coop.", "rosa.test": "rosa.", "lab.test": "lab.", "signed.test": "coop."}
"""Zone at Knot -> TSIG key that may update and transfer it."""
BIND_ZONES: dict[str, str] = {"bind.test": "bind.", "bind-signed.test": "bind."}
"""The same at BIND."""
SIGNED = ("signed.test", "bind-signed.test")
"""Zones that their server signs (DNSSEC)."""
WRITER = "writer."
"""A key that may update meet.test and bind.test, but not transfer them."""
WAIT = 40  # seconds

SETUP = """
getent group lab >/dev/null || groupadd --system lab
getent passwd lab >/dev/null || useradd --system --gid lab --home-dir /var/mail/lab --no-create-home --shell /usr/sbin/nologin lab
install -d -o lab -g lab -m 0750 /var/mail/lab /var/mail/lab/verify
chown root:lab /etc/lab /etc/lab/services.key /etc/lab/smtp.json
chown root:knot /etc/knot/knot.conf
chown root:bind /etc/bind/named.conf
chown root:dovecot /etc/dovecot/lab-users
install -d -o knot -g knot -m 0770 /var/lib/knot
for zone in /etc/lab/zones/*.zone; do
    kept="/var/lib/knot/${zone##*/}"
    [ -s "$kept" ] || install -o knot -g knot -m 0640 "$zone" "$kept"
done
for zone in /etc/lab/zones/bind/*.zone; do
    kept="/var/lib/bind/${zone##*/}"
    [ -s "$kept" ] || install -o bind -g bind -m 0640 "$zone" "$kept"
done
# As systemctl enable does, without a reload for each of those that have an init script too.
mkdir -p /etc/systemd/system/multi-user.target.wants
for unit in UNITS; do
    for place in /etc/systemd/system /usr/lib/systemd/system; do
        [ ! -f "$place/$unit" ] || { ln -sf "$place/$unit" /etc/systemd/system/multi-user.target.wants/; break; }
    done
done
systemctl daemon-reload
[ -z "UNITS" ] || systemctl restart UNITS
"""


def files(lab: Lab, secrets: dict[str, dict[str, str]], ca: Path) -> dict[str, dict[str, File]]:
    """Every file of the services host, by the service that reads it; "common" holds what all of them read."""
    address = lab.address(HOST)
    maildomain = "mail.lab.test"
    accounts = {
        f"{name}@smtp.lab.test": {
            "password": secrets["smtp"][name],
            "senders": [f"{name}@smtp.lab.test", f"{name}@{maildomain}", f"*@{name}.meet.test", f"*@{name}.test"],
        }
        for name in ACCOUNTS
    }
    smtp = {
        "listen": address, "port": 587, "hostname": "smtp.lab.test", "certificate": "/etc/lab/services.crt", "key": "/etc/lab/services.key",
        "maildir": f"{MAILDIR}/Maildir", "accounts": accounts,
    }
    pebble = {
        "pebble": {
            "listenAddress": "127.0.0.1:14001", "managementListenAddress": f"{address}:15000",
            "certificate": "/etc/lab/services.crt", "privateKey": "/etc/lab/services.key", "httpPort": 80, "tlsPort": 443,
            "ocspResponderURL": "", "externalAccountBindingRequired": False, "retryAfter": {"authz": 0, "order": 0},
            "certificateValidityPeriod": 90 * 24 * 3600,
        }
    }
    front = {
        "listen": address, "port": 14000, "behind": ["127.0.0.1", 14001],
        "certificate": "/etc/lab/services.crt", "key": "/etc/lab/services.key",
    }
    zones = {zone: File(text.encode()) for zone, text in _zones(lab).items()}
    return {
        "common": {
            "/etc/lab/services.crt": File((ca / "services.crt").read_bytes() + (ca / "ca.crt").read_bytes()),
            "/etc/lab/services.key": File((ca / "services.key").read_bytes(), 0o640),
        },
        "lab-address": {"/etc/systemd/system/lab-address.service": _unit(
            "Further addresses of the lab's services host", f"""Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/ip address replace {lab.resolver}/{lab.subnet.prefixlen} dev eth0
ExecStart=/bin/ip address replace {lab.second_dns_server}/{lab.subnet.prefixlen} dev eth0""",
            before="unbound.service knot.service named.service")},
        "knot": {
            "/etc/knot/knot.conf": File(_knot(lab, secrets).encode(), 0o640),
            **{f"/etc/lab/zones/{zone}.zone": zones[zone] for zone in ZONES},
        },
        "named": {
            "/etc/bind/named.conf": File(_named(lab, secrets).encode(), 0o640),
            **{f"/etc/lab/zones/bind/{zone}.zone": zones[zone] for zone in BIND_ZONES},
        },
        "unbound": {"/etc/unbound/unbound.conf": File(_unbound(lab).encode())},
        "lab-pebble": {
            "/etc/lab/pebble.json": File(json.dumps(pebble, indent=2).encode()),
            "/etc/systemd/system/lab-pebble.service": _unit(
                "Pebble, the lab's ACME authority", f"""User=lab
Group=lab
Environment=PEBBLE_VA_NOSLEEP=1
StateDirectory=lab-pebble
ExecStartPre=/bin/rm -f {PEBBLE_ROOT}
ExecStart=/usr/bin/pebble -config /etc/lab/pebble.json -dnsserver {lab.resolver}:53
ExecStartPost=/usr/bin/curl --silent --show-error --fail --retry 100 --retry-delay 1 --retry-all-errors --cacert /etc/lab/services.crt \\
    --resolve services.lab.test:15000:{address} --output {PEBBLE_ROOT} https://services.lab.test:15000/roots/0
Restart=on-failure""", after="unbound.service knot.service"),
        },
        "lab-acme": {
            "/etc/lab/acme.json": File(json.dumps(front, indent=2).encode()),
            "/usr/local/lib/lab/acme_front.py": File((FILES / "acme_front.py").read_bytes(), 0o755),
            "/etc/systemd/system/lab-acme.service": _unit(
                "What stands before Pebble", """User=lab
Group=lab
ExecStart=/usr/bin/python3 -u /usr/local/lib/lab/acme_front.py /etc/lab/acme.json
Restart=on-failure"""),
        },
        "lab-smtp": {
            "/etc/lab/smtp.json": File(json.dumps(smtp, indent=2).encode(), 0o640),
            "/usr/local/lib/lab/smtp.py": File((FILES / "smtp.py").read_bytes(), 0o755),
            "/etc/systemd/system/lab-smtp.service": _unit(
                "The lab's mail server", """User=lab
Group=lab
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
UMask=0077
ExecStart=/usr/bin/python3 -u /usr/local/lib/lab/smtp.py /etc/lab/smtp.json
Restart=on-failure"""),
        },
        "dovecot": {
            "/etc/dovecot/dovecot.conf": File(_dovecot(address).encode()),
            "/etc/dovecot/lab-users": File(f"verify:{{PLAIN}}{secrets['imap']['verify']}\n".encode(), 0o640),
        },
    }


def ensure(lab: Lab, secrets: dict[str, dict[str, str]], ca: Path, stamps: dict[str, str]) -> list[str]:
    """Configure and start the services, and start again what does not answer; returns what was done. Waits until each one answers.

    Only the services whose own files changed are restarted: a restart of Pebble costs every host its certificates.
    """
    parts = files(lab, secrets, ca)
    wanted = {f"service-{unit}": hosts.fingerprint({**part, **parts["common"]}, SETUP) for unit, part in parts.items()}
    changed = [unit for unit in parts if stamps.get(f"service-{unit}") != wanted[f"service-{unit}"]]
    if changed:
        units = [f"{unit}.service" for unit in changed if unit in UNITS]
        everything = {path: file for part in parts.values() for path, file in part.items()}
        hosts.apply(lab, HOST, everything, SETUP.replace("UNITS", " ".join(units)), wanted)
        wait(lab)
        return ["services"]
    failing = [unit for unit, good in health(lab).items() if not good]
    if failing:
        docker("exec", lab.container(HOST), "systemctl", "restart", *(f"{unit}.service" for unit in failing))
        wait(lab)
    return [f"started {unit}" for unit in failing]


def wait(lab: Lab) -> None:
    """Wait until every service answers."""
    deadline = time.monotonic() + WAIT
    failing = list(UNITS)
    while failing:
        failing = [name for name, good in health(lab).items() if not good]
        if failing and time.monotonic() > deadline:
            logs = docker("exec", lab.container(HOST), "journalctl", "--no-pager", "-n", "15", "-u", failing[0], check=False)
            raise LabError(f"on the services host {', '.join(failing)} did not start within {WAIT} s:\n{logs}")
        if failing:
            time.sleep(0.5)


HEALTH = """
address=$1 resolver=$2 second=$3
ask() { kdig +short +timeout=2 +retry=0 "$@" 2>/dev/null | grep -q .; }
port() {
    python3 -c 'import socket, sys; sys.exit(not socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).recv(4))' "$@" 2>/dev/null
}
ask @"$address" meet.test SOA && echo knot
ask @"$second" bind.test SOA && echo named
ask @"$resolver" services.lab.test A && echo unbound
say() {
    curl --silent --max-time 5 --cacert /etc/lab/services.crt --resolve "services.lab.test:14000:$address" \\
        --resolve "services.lab.test:15000:$address" -o /dev/null "$@"
}
# The second question is one that Pebble answers from its memory; the first it answers even when that is locked for good.
say --fail https://services.lab.test:14000/dir && echo lab-acme
say https://services.lab.test:15000/cert-status-by-serial/1 && [ -s /var/lib/lab-pebble/root.pem ] && echo lab-pebble
port "$address" 587 && echo lab-smtp
port "$address" 143 && echo dovecot
ip -o address show dev eth0 | grep -q " $resolver/" && ip -o address show dev eth0 | grep -q " $second/" && echo lab-address
true
"""


def health(lab: Lab) -> dict[str, bool]:
    """Which services answer a real question."""
    command = ["docker", "exec", "-i", lab.container(HOST), "sh", "-s", lab.address(HOST), lab.resolver, lab.second_dns_server]
    done = run(command, data=HEALTH.encode(), check=False, timeout=60)
    good = done.stdout.decode().split()
    return {unit: unit in good for unit in UNITS}


def pebble_root(lab: Lab) -> bytes:
    """Certificate of the authority Pebble made for itself when it started, PEM."""
    return run(["docker", "exec", lab.container(HOST), "cat", PEBBLE_ROOT]).stdout


def _unit(description: str, service: str, *, after: str = "", before: str = "") -> File:
    order = f"Before={before}\n" if before else ""
    head = f"[Unit]\nDescription={description}\nAfter=network.target {after}\n{order}"
    return File(f"{head}\n[Service]\n{service}\n\n[Install]\nWantedBy=multi-user.target\n".encode())


def _zones(lab: Lab) -> dict[str, str]:
    """Zone files as the lab begins; what is changed by UPDATE later stays."""
    def head(zone: str) -> str:
        server = "ns2" if zone in BIND_ZONES else "ns1"
        soa = f"{server}.lab.test. hostmaster.lab.test. 1 3600 600 604800 5"
        return f"$ORIGIN {zone}.\n$TTL 60\n@ SOA {soa}\n@ NS {server}.lab.test.\n"

    names = "".join(f"{host.name} A {lab.address(host.name)}\n" + "".join(f"{alias} A {lab.address(host.name)}\n" for alias in host.aliases)
                    for host in HOSTS.values())
    return {
        "lab.test": head("lab.test") + names + f"ns2 A {lab.second_dns_server}\nmail MX 10 smtp\n",
        "meet.test": head("meet.test") + f"pool A {lab.address('pool')}\n",
        "rosa.test": head("rosa.test") + f"meet A {lab.address('host1')}\nwww A 192.0.2.80\n"
        '_coop-verify.meet TXT "coop-verify=meet/rosa"\n',
        **{zone: head(zone) for zone in ("signed.test", *BIND_ZONES)},
    }


def _knot(lab: Lab, secrets: dict[str, dict[str, str]]) -> str:
    keys = "".join(f'  - id: {name}.\n    algorithm: hmac-sha256\n    secret: "{secret}"\n' for name, secret in secrets["tsig"].items())
    rules = "".join(
        f"  - id: {name}\n    key: {name}.\n    action: [{'update' if f'{name}.' == WRITER else 'transfer, update'}]\n"
        for name in secrets["tsig"]
    )
    zones = "".join(
        f"  - domain: {zone}\n    acl: [{key.rstrip('.')}{', ' + WRITER.rstrip('.') if zone == 'meet.test' else ''}]\n"
        + ("    dnssec-signing: on\n    dnssec-policy: lab\n" if zone in SIGNED else "")
        for zone, key in ZONES.items()
    )
    return f"""# The lab's authoritative server.
server:
    rundir: "/run/knot"
    user: knot:knot
    listen: {lab.dns_server}@53
log:
  - target: stderr
    any: info
database:
    storage: "/var/lib/knot"
key:
{keys}acl:
{rules}policy:
  - id: lab
    single-type-signing: on
template:
  - id: default
    storage: "/var/lib/knot"
    file: "%s.zone"
    zonefile-sync: 0
    zonefile-load: difference
zone:
{zones}"""


def _named(lab: Lab, secrets: dict[str, dict[str, str]]) -> str:
    keys = "".join(
        f'key "{name}." {{ algorithm hmac-sha256; secret "{secrets["tsig"][name]}"; }};\n'
        for name in sorted({key.rstrip(".") for key in (*BIND_ZONES.values(), WRITER)})
    )
    zones = "".join(
        f'zone "{zone}" {{\n    type primary;\n    file "/var/lib/bind/{zone}.zone";\n    allow-transfer {{ key {key}; }};\n'
        f"    update-policy {{ grant {key} zonesub ANY; {f'grant {WRITER} zonesub ANY; ' if zone == 'bind.test' else ''}}};\n"
        + ("    dnssec-policy default;\n    inline-signing yes;\n" if zone in SIGNED else "")
        + "};\n"
        for zone, key in BIND_ZONES.items()
    )
    return f"""// The lab's second authoritative server.
options {{
    directory "/var/cache/bind";
    listen-on {{ {lab.second_dns_server}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    notify no;
    allow-transfer {{ none; }};
}};
controls {{ }};
{keys}{zones}"""


def _unbound(lab: Lab) -> str:
    servers = {**dict.fromkeys(ZONES, lab.dns_server), **dict.fromkeys(BIND_ZONES, lab.second_dns_server)}
    stubs = "".join(
        f'stub-zone:\n    name: "{zone}"\n    stub-addr: {server}\n    stub-no-cache: yes\n' for zone, server in servers.items()
    )
    return f"""# The lab's resolver: its own zones from Knot and BIND, uncached; everything else from where this machine asks.
server:
    interface: {lab.resolver}
    interface: 127.0.0.1
    access-control: {lab.subnet} allow
    access-control: 127.0.0.0/8 allow
    access-control: 10.0.0.0/8 allow
    module-config: "iterator"
    local-zone: "test." nodefault
    do-not-query-localhost: no
    do-ip6: no
    use-syslog: no
    logfile: ""
    cache-max-negative-ttl: 5
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.11
{stubs}"""


def _dovecot(address: str) -> str:
    return f"""# The mailbox of the lab's checks.
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap
listen = {address}
ssl = yes
ssl_server_cert_file = /etc/lab/services.crt
ssl_server_key_file = /etc/lab/services.key
auth_allow_cleartext = yes
auth_mechanisms = plain login
log_path = /dev/stderr
mail_driver = maildir
mail_path = ~/Maildir
first_valid_uid = 1
passdb passwd-file {{
  passwd_file_path = /etc/dovecot/lab-users
}}
userdb static {{
  fields {{
    uid = lab
    gid = lab
    home = /var/mail/lab/%{{user}}
  }}
}}
"""
