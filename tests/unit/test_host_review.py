# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the review, with what is in order and what is not."""

from __future__ import annotations

import ipaddress
import pathlib
import stat
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from hypothesis import given as given_any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review import (
    containers,
    databases,
    edge,
    files,
    model,
    observe,
    review,
    sockets,
    ssh,
    units,
    updates,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIR, FILE, SOCK, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK, stat.S_IFLNK


def told(findings: list[model.Finding]) -> list[tuple[str, str]]:
    return [(one.id, one.where) for one in sorted(findings)]


# --- What listens -----------------------------------------------------------------------------------------------------

SS = """\
udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=1,fd=3))
udp UNCONN 0 0 192.0.2.5%eth0:68 0.0.0.0:* users:(("systemd-network",pid=2,fd=9))
udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:* users:(("systemd-network",pid=2,fd=9))
tcp LISTEN 0 600 10.213.0.1:5432 0.0.0.0:* users:(("postgres",pid=3,fd=7))
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=4,fd=3))
tcp LISTEN 0 4096 *:2222 *:* users:(("systemd",pid=1,fd=40))
tcp LISTEN 0 4096 *:443 *:* users:(("caddy",pid=5,fd=8))
tcp LISTEN 0 4096 [::1]:8080 [::]:* users:(("python3",pid=6,fd=8))
tcp LISTEN 0 4096 [::ffff:127.0.0.1]:9999 *:* users:(("java",pid=7,fd=8))
"""
MAY = sockets.expected(["tcp/443", "tcp/10.213.0.1:5432"])


def listens(text: str, may: list[sockets.Expected] | None = None, opened: Any = None) -> list[tuple[str, str]]:
    return told(sockets.judge(sockets.listening(text), MAY if may is None else may, [2222], opened))


def test_what_is_stated_local_ssh_or_a_dhcp_client_may_listen() -> None:
    assert listens(SS) == []
    assert len(sockets.listening(SS)) == 9


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('tcp LISTEN 0 5 0.0.0.0:8080 0.0.0.0:* users:(("python3",pid=9,fd=3))', "tcp/8080"),
        ('tcp LISTEN 0 5 [::]:8080 [::]:* users:(("python3",pid=9,fd=3))', "tcp/8080"),
        ('tcp LISTEN 0 5 0.0.0.0:5432 0.0.0.0:* users:(("postgres",pid=9,fd=3))', "tcp/5432"),
        ('tcp LISTEN 0 5 0.0.0.0:2200 0.0.0.0:* users:(("systemd",pid=1,fd=3))', "tcp/2200"),
        ('udp UNCONN 0 0 0.0.0.0:443 0.0.0.0:* users:(("caddy",pid=9,fd=3))', "udp/443"),
        ('udp UNCONN 0 0 0.0.0.0:68 0.0.0.0:* users:(("python3",pid=9,fd=3))', "udp/68"),
        ("udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*", "udp/51820"),
    ],
)
def test_what_nobody_stated_is_found(line: str, where: str) -> None:
    assert listens(SS + line + "\n") == [("listens", where)]


def test_one_finding_for_a_port_names_who_listens_and_what_to_write() -> None:
    text = 'tcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=9,fd=3))\ntcp LISTEN 0 5 [::]:80 [::]:* users:(("nginx",pid=9,fd=4))\n'
    (finding,) = sockets.judge(sockets.listening(text), [], [], None)
    assert finding.seen == "nginx listens on all addresses" and "review_listens: [tcp/80]" in finding.todo


def test_a_firewall_hides_ports_but_not_those_that_docker_forwards() -> None:
    inner = 'udp UNCONN 0 0 *:5060 *:* users:(("freeswitch",pid=9,fd=3))\n'
    inner += 'tcp LISTEN 0 5 0.0.0.0:8082 0.0.0.0:* users:(("docker-proxy",pid=9,fd=3))\n'
    assert listens(inner) == [("listens", "tcp/8082"), ("listens", "udp/5060")]
    assert listens(inner, opened=[("tcp", 443, 443)]) == [("listens", "tcp/8082")]
    assert listens(inner, opened=[("udp", 5000, 6000)]) == [("listens", "tcp/8082"), ("listens", "udp/5060")]


NFT = """\
table inet meet_coop_bbb {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif "lo" accept
        iifname { "docker0", "br-*" } accept
        tcp dport 22 accept
        tcp dport { 80, 443 } accept
        udp dport { 443, 16384-65535 } accept
        ip saddr 192.0.2.9 accept
        ip saddr 192.0.2.9 tcp dport 9100 accept
    }
}
""".replace("    ", "\t")


def test_what_a_firewall_lets_in() -> None:
    assert sockets.let_in(NFT) == [("tcp", 22, 22), ("tcp", 80, 80), ("tcp", 443, 443), ("udp", 443, 443), ("udp", 16384, 65535)]
    assert sockets.judge_tables(["meet_coop_bbb"], {"meet_coop_bbb": NFT}, "meet_coop_bbb") == []
    open_to_all = NFT.replace("policy drop", "policy accept")
    assert told(sockets.judge_tables(["meet_coop_bbb"], {"meet_coop_bbb": open_to_all}, "meet_coop_bbb")) == [("firewall", "meet_coop_bbb")]
    assert told(sockets.judge_tables(["meet_coop_isolation"], {}, "")) == [("firewall", "meet_coop_isolation")]


@pytest.mark.parametrize("text", ["443", "tcp/0", "tcp/70000", "tcp/90-80", "http/80", "tcp/host:80", "tcp/1.2.3.4.5:80", "", "tcp/443 "])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CoopError, match="write tcp/443"):
        sockets.expected([text])


@given_any(st.sampled_from(["tcp", "udp"]), st.integers(1, 65535), st.ip_addresses())
def test_stating_the_finding_ends_it(transport: str, port: int, address: Any) -> None:
    """Whatever listens wherever: what the finding says to write is what makes it go."""
    host = f"[{address}]" if address.version == 6 else str(address)
    seen = sockets.listening(f'{transport} LISTEN 0 5 {host}:{port} *:* users:(("x",pid=1,fd=1))\n')
    findings = sockets.judge(seen, [], [], None)
    assert len(findings) == (0 if seen[0].local else 1)
    assert sockets.judge(seen, sockets.expected(one.where for one in findings), [], None) == []


# --- SSH --------------------------------------------------------------------------------------------------------------

SSHD = "port 22\nlistenaddress 0.0.0.0:2222\nusepam yes\npermitrootlogin without-password\npasswordauthentication no\n"
SSHD += "kbdinteractiveauthentication no\npermitemptypasswords no\npubkeyauthentication yes\n"


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (("", ""), []),
        # Without a password, root's own way in is by key whatever stands there.
        (("permitrootlogin without-password", "permitrootlogin yes"), []),
        (("passwordauthentication no", "passwordauthentication yes"), ["ssh-password"]),
        (("kbdinteractiveauthentication no", "kbdinteractiveauthentication yes"), ["ssh-password"]),
        (("permitemptypasswords no", "permitemptypasswords yes"), ["ssh-empty-password"]),
        (
            (
                "permitrootlogin without-password\npasswordauthentication no",
                "permitrootlogin yes\npasswordauthentication yes",
            ),
            ["ssh-password", "ssh-root-password"],
        ),
    ],
)
def test_ssh(change: tuple[str, str], rules: list[str]) -> None:
    assert [one.id for one in ssh.judge(SSHD.replace(*change))] == rules


def test_ports_of_ssh() -> None:
    assert ssh.ports(SSHD) == [22, 2222]
    assert ssh.ports("") == []


# --- Docker -----------------------------------------------------------------------------------------------------------

INFO = {"RegistryConfig": {"InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"], "IndexConfigs": {"docker.io": {"Secure": True}}}}
DOCKERD = 'tcp LISTEN 0 5 {} 0.0.0.0:* users:(("dockerd",pid=9,fd=3))\n'


@pytest.mark.parametrize(
    ("config", "info", "listening", "found"),
    [
        ("", INFO, "", []),
        ('{"bip": "10.213.0.1/24", "hosts": ["fd://"], "insecure-registries": ["localhost:5000", "127.0.0.1:5000"]}', INFO, "", []),
        ("{}", INFO, DOCKERD.format("*:2377") + DOCKERD.format("*:7946"), []),
        ('{"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": true}', INFO, DOCKERD.format("0.0.0.0:2376"), []),
        ('{"hosts": ["tcp://127.0.0.1:2375"]}', INFO, DOCKERD.format("127.0.0.1:2375"), [("docker-tcp", "127.0.0.1:2375")]),
        ("{}", INFO, DOCKERD.format("0.0.0.0:2375"), [("docker-tcp", "0.0.0.0:2375")]),
        ('{"insecure-registries": ["10.0.0.0/8"]}', {}, "", [("docker-insecure-registry", "10.0.0.0/8")]),
        ("", {"RegistryConfig": {"IndexConfigs": {"r.example:5000": {"Secure": False}}}}, "",
         [("docker-insecure-registry", "r.example:5000")]),
        ("{", {}, "", [("unreadable", "/etc/docker/daemon.json")]),
    ],
)  # fmt: skip
def test_dockers_daemon(config: str, info: dict[str, Any], listening: str, found: list[tuple[str, str]]) -> None:
    assert told(containers.judge_daemon(config, info, sockets.listening(listening))) == found


@pytest.mark.parametrize(
    ("mode", "owner", "group", "members", "rules"),
    [
        (0o660, "root", "docker", [], []),
        (0o660, "root", "root", ["root"], []),
        (0o666, "root", "docker", [], ["docker-socket-mode"]),
        (0o660, "mo", "docker", [], ["docker-socket-mode"]),
        (0o660, "root", "docker", ["mo"], ["docker-group"]),
    ],
)
def test_dockers_socket(mode: int, owner: str, group: str, members: list[str], rules: list[str]) -> None:
    assert [one.id for one in containers.judge_socket(mode, owner, group, members)] == rules


GREENLIGHT = {
    "Name": "/greenlight-sunflower",
    "HostConfig": {"NetworkMode": "greenlight-sunflower", "CapAdd": ["CAP_CHOWN", "SETUID"], "SecurityOpt": ["no-new-privileges"],
                   "Privileged": False, "PidMode": "", "IpcMode": "private"},
    "Mounts": [{"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data"}, {"Type": "bind", "Source": "/srv/ca.pem"}],
    "NetworkSettings": {"Ports": {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20000"}], "6379/tcp": None}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("host", "mounts", "rules"),
    [
        ({}, [], []),
        ({"Privileged": True, "SecurityOpt": ["seccomp=unconfined"]}, [], ["container-privileged"]),
        ({"NetworkMode": "host"}, [], ["container-host-network"]),
        ({"PidMode": "host"}, [], ["container-host-processes"]),
        ({"IpcMode": "host"}, [], ["container-host-processes"]),
        ({"CapAdd": ["CAP_SYS_ADMIN", "CHOWN"]}, [], ["container-capability"]),
        ({"CapAdd": ["ALL"]}, [], ["container-capability"]),
        ({"SecurityOpt": ["apparmor:unconfined"]}, [], ["container-unconfined"]),
        ({}, [{"Type": "bind", "Source": "/var/run/docker.sock"}], ["container-docker-socket"]),
        ({}, [{"Type": "bind", "Source": "/"}], ["container-host-files"]),
        ({}, [{"Type": "bind", "Source": "/etc/"}], ["container-host-files"]),
        ({}, [{"Type": "bind", "Source": "/run/caddy"}], ["caddy-admin"]),
    ],
)
def test_containers(host: dict[str, Any], mounts: list[dict[str, Any]], rules: list[str]) -> None:
    given = {**GREENLIGHT, "HostConfig": {**GREENLIGHT["HostConfig"], **host}, "Mounts": GREENLIGHT["Mounts"] + mounts}  # type: ignore[dict-item,operator]
    assert [one.id for one in containers.judge_container(given)] == rules


def test_ports_of_containers_are_seen_without_a_proxy() -> None:
    """With Docker's userland-proxy off, ss knows nothing of them."""
    (bound,) = containers.published(GREENLIGHT)
    assert (bound.transport, bound.address, bound.port, bound.local) == ("tcp", "127.0.0.1", 20000, True)
    loose = {**GREENLIGHT, "NetworkSettings": {"Ports": {"3000/tcp": [{"HostIp": "", "HostPort": "3000"}]}}}
    seen = observe.Seen("", {}, containers=[loose])
    assert told(review.judge(seen, [], [], "", {}, "")) == [("listens", "tcp/3000")]


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def rule(number: int, kind: str, database: str, user: str, address: str | None, method: str, mask: str | None = None) -> dict[str, Any]:
    return {"line_number": number, "type": kind, "database": database.split(","), "user_name": user.split(","), "address": address,
            "netmask": mask, "auth_method": method, "error": None, "options": ["ldapbindpasswd=hunter2"]}  # fmt: skip


OURS = [
    rule(1, "local", "all", "postgres", None, "peer"),
    rule(2, "host", "samerole", "all", "10.214.0.0", "scram-sha-256", "255.255.0.0"),
    rule(3, "host", "all", "all", "10.214.0.0", "reject", "255.255.0.0"),
    rule(4, "local", "all", "all", None, "peer"),
    rule(5, "host", "all", "all", "127.0.0.1", "scram-sha-256", "255.255.255.255"),
    rule(6, "host", "all", "all", "::1", "scram-sha-256", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    rule(7, "host", "replication", "all", "samehost", "scram-sha-256"),
]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        # After a line that refuses the same, it leads nowhere.
        ("host all all 10.214.3.0/24 scram-sha-256", []),
        ("host greenlight_rosa greenlight_rosa 10.9.0.0/16 scram-sha-256", []),
        ("local all all trust", ["pg-hba-trust"]),
        ("host all all 127.0.0.1/32 trust", ["pg-hba-trust"]),
        ("host all all 10.9.0.0/16 scram-sha-256", ["pg-hba-all"]),
        ("host all all 10.0.0.0/8 scram-sha-256", ["pg-hba-all"]),
        ("host rosa all 10.9.0.1/32 scram-sha-256", ["pg-hba-all"]),
        ("hostssl samerole all all scram-sha-256", ["pg-hba-all"]),
        ("host rosa rosa ::/0 scram-sha-256", ["pg-hba-all"]),
        ("host samerole all samenet scram-sha-256", ["pg-hba-all"]),
        ("host rosa rosa 10.9.0.1/32 password", ["pg-hba-weak"]),
        ("host rosa rosa 2001:db8::/32 ident", ["pg-hba-weak"]),
        ("host all all 10.9.0.0/16 trust", ["pg-hba-all", "pg-hba-trust"]),
    ],
)
def test_pg_hba(line: str, found: list[str]) -> None:
    assert databases.judge("5432", {"rules": OURS, "superusers": []}) == []
    kind, database, user, *address, method = line.split()
    host, _slash, length = (address or [""])[0].partition("/")
    mask = str(ipaddress.ip_network(f"{'::' if ':' in host else '0.0.0.0'}/{length}").netmask) if length else None
    findings = databases.judge("5432", {"rules": [*OURS, rule(8, kind, database, user, host or None, method, mask)]})
    assert told(findings) == [(name, f"5432: {line}") for name in found]
    assert "hunter2" not in str(findings)


def test_a_line_that_postgresql_does_not_understand() -> None:
    broken = {"line_number": 8, "error": "invalid connection type"}
    assert told(databases.judge("5432", {"rules": [*OURS, broken]})) == [("pg-hba-error", "5432: line 8 of pg_hba.conf")]


def test_without_the_line_that_refuses_a_wide_one_counts() -> None:
    wide = rule(8, "host", "all", "all", "10.214.3.0", "scram-sha-256", "255.255.255.0")
    assert [one.id for one in databases.judge("5432", {"rules": [wide, *OURS]})] == ["pg-hba-all"]
    half = {**OURS[2], "type": "hostssl"}
    assert [one.id for one in databases.judge("5432", {"rules": [half, wide]})] == ["pg-hba-all"]


def test_superusers() -> None:
    assert told(databases.judge("5432", {"rules": [], "superusers": ["mo"]})) == [("pg-superuser", "5432: mo")]


# --- Files ------------------------------------------------------------------------------------------------------------


def entry(path: str, mode: int, uid: int = 0, key: bool = False) -> files.Entry:
    return files.Entry(path, mode, uid, "root" if uid == 0 else "somebody", "root", key)


@pytest.mark.parametrize(
    "fine",
    [
        entry("/etc/meet-coop", DIR | 0o755),
        entry("/etc/meet-coop/meter.json", FILE | 0o644),
        entry("/etc/meet-coop/meter-secrets.json", FILE | 0o600),
        entry("/etc/meet-coop/exporter.key", FILE | 0o640),
        entry("/usr/local/lib/x/_secrets.py", FILE | 0o644),
        entry("/var/lib/meet-coop/drop", DIR | stat.S_ISVTX | 0o777),
        entry("/var/lib/meet-coop/admin.sock", SOCK | 0o777),
        entry("/var/lib/meet-coop/uploads", FILE | 0o644, uid=1000),
    ],
)
def test_files_in_order(fine: files.Entry) -> None:
    assert files.judge([fine], {"/etc/meet-coop": 0o755}) == []


@pytest.mark.parametrize(
    ("entry_", "todo"),
    [
        (entry("/etc/meet-coop/isolation.nft", FILE | 0o666), "chmod 0664 /etc/meet-coop/isolation.nft"),
        (entry("/etc/meet-coop", DIR | 0o777), "chmod 0755 /etc/meet-coop"),
        (entry("/etc/meet-coop/meter-secrets.json", FILE | 0o644), "chmod 0640 /etc/meet-coop/meter-secrets.json, and change the secret"),
        (entry("/etc/meet-coop/password", FILE | 0o604), "chmod 0600 /etc/meet-coop/password, and change the secret"),
        (entry("/var/lib/caddy/x.key", FILE | 0o644), "chmod 0640 /var/lib/caddy/x.key, and change the secret"),
        (entry("/etc/meet-coop/bundle.pem", FILE | 0o644, key=True), "chmod 0640 /etc/meet-coop/bundle.pem, and change the secret"),
        (entry("/etc/meet-coop/x", FILE | 0o644, uid=1000), "chown root /etc/meet-coop/x"),
    ],
)
def test_files_open_to_more(entry_: files.Entry, todo: str) -> None:
    (finding,) = files.judge([entry_], files.ceilings([{"path": "/etc/meet-coop", "mode": "0755"}]))
    assert (finding.id, finding.where) == ("mode", entry_.path) and finding.todo.startswith(todo)


@pytest.mark.parametrize("mode", ["rwx", "755 ", "1755", "0o755", ""])
def test_a_mode_that_is_none_is_refused(mode: str) -> None:
    with pytest.raises(CoopError, match="is no mode; write it in quotes"):
        files.ceilings([{"path": "/x", "mode": mode}])


def test_a_walk_goes_where_others_could_and_follows_no_link(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o755)
    key = "-----BEGIN " + "PRIVATE KEY-----\n"
    for name, folder, mode, text in (("open", 0o755, 0o644, key), ("closed", 0o700, 0o666, key), ("plain", 0o755, 0o644, "nothing")):
        place = tmp_path / name
        place.mkdir()
        (place / "file.pem").write_text(text)
        (place / "file.pem").chmod(mode)
        place.chmod(folder)
    (tmp_path / "open" / "up").symlink_to(tmp_path / "closed")
    (tmp_path / "open" / "round").symlink_to(tmp_path)
    met = {one.path.removeprefix(str(tmp_path)): one.key for one in observe.walk([str(tmp_path), f"{tmp_path}/open/", "/does/not/exist"])}
    assert met == {"": False, "/open": False, "/open/file.pem": True, "/closed": False, "/plain": False, "/plain/file.pem": False}


# --- Units ------------------------------------------------------------------------------------------------------------

SECURITY = """\
  NAME                       DESCRIPTION                        EXPOSURE
x User=/DynamicUser=         Service runs as root user               0.4

-> Overall exposure level for caddy.service: 4.2 OK :-)
-> Overall exposure level for meet-coop-run-failed@review.service: 9.6 UNSAFE :-{
"""


def test_units() -> None:
    rated = units.exposures(SECURITY)
    assert rated == {"caddy.service": 4.2, "meet-coop-run-failed@review.service": 9.6}
    assert told(units.judge(rated, 5.0)) == [("unit-exposed", "meet-coop-run-failed@.service")]
    assert units.judge(rated, 9.6) == []


def test_which_units_are_ours() -> None:
    found = units.ours({
        "bbblb.service": "# Written by Ansible role meet.coop.pool.\n[Service]\n",
        "meet-coop-run-failed@.service": "# Written by Ansible role meet.coop.scheduler.\n[Service]\n",
        "nextcloud.service": "[Service]\n",
        "caddy.service.d/meet-coop.conf": "# Ansible\n[Service]\nExecStart=\n",
        "postgresql@.service.d/meet-coop.conf": "[Unit]\nAfter=docker.service\n",
    })  # fmt: skip
    assert found == ["bbblb.service", "caddy.service", "meet-coop-run-failed@review.service"]


def test_every_unit_of_our_roles_is_known_as_ours() -> None:
    shipped = [*ROOT.glob("roles/*/files/*.service"), *ROOT.glob("roles/*/templates/*.service.j2")]
    assert len(shipped) >= 8
    for path in shipped:
        assert units.ours({path.name.removesuffix(".j2"): path.read_text()}), path


# --- The edge ---------------------------------------------------------------------------------------------------------

ADMIN = "/run/caddy/admin.sock"
CADDY = 'tcp LISTEN 0 5 127.0.0.1:2019 0.0.0.0:* users:(("caddy",pid=9,fd=3))\n'


@pytest.mark.parametrize(
    ("config", "listening", "modes", "found"),
    [
        (None, "", (0o700, 0o700), []),
        ('{"admin": {"listen": "unix//run/caddy/admin.sock"}}', "", (0o700, 0o777), []),
        ('{"admin": {"listen": "unix//run/caddy/admin.sock|0200"}}', "", (0o755, 0o200), []),
        ('{"admin": {"disabled": true}}', "", (0o755, 0o777), []),
        ('{"admin": {"listen": "unix//run/caddy/admin.sock"}}', "", (0o755, 0o777), [("caddy-admin", ADMIN)]),
        ('{"admin": {"listen": "10.213.0.1:2019"}}', "", (0o700, 0o700), [("caddy-admin", "10.213.0.1:2019")]),
        ('{"admin": {"disabled": true, "remote": {"listen": ":2021"}}}', "", (0o700, 0o700), [("caddy-admin", "remote")]),
        ('{"apps": {}}', "", (0o700, 0o700), [("caddy-admin", "localhost:2019")]),
        (None, CADDY, (0o700, 0o700), [("caddy-admin", "127.0.0.1:2019")]),
        ("{", "", (0o700, 0o700), [("unreadable", "/etc/caddy/edge.json")]),
    ],
)  # fmt: skip
def test_the_edges_administration(config: str | None, listening: str, modes: tuple[int, int], found: list[tuple[str, str]]) -> None:
    met = {"/run/caddy": entry("/run/caddy", DIR | modes[0]), ADMIN: entry(ADMIN, SOCK | modes[1])}
    assert told(edge.judge(config, "/etc/caddy/edge.json", sockets.listening(listening), met)) == found


# --- Updates ----------------------------------------------------------------------------------------------------------

PERIODIC = 'APT::Periodic "";\nAPT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'


@pytest.mark.parametrize(
    ("settings", "installed", "timer", "seen"),
    [
        (PERIODIC, True, "active", None),
        (PERIODIC, False, "active", "is not installed"),
        (PERIODIC.replace('Upgrade "1"', 'Upgrade "0"'), True, "active", "does not run"),
        (PERIODIC + 'APT::Periodic::Enable "0";\n', True, "active", "does not run"),
        ("", True, "active", "does not run"),
        (PERIODIC, True, "inactive", "timer does not run"),
    ],
)
def test_security_updates(settings: str, installed: bool, timer: str, seen: str | None) -> None:
    findings = updates.judge(settings, installed, timer)
    assert [one.id for one in findings] == ([] if seen is None else ["no-security-updates"])
    assert seen is None or seen in findings[0].seen


# --- Accepting --------------------------------------------------------------------------------------------------------


def test_what_is_accepted_and_what_is_left() -> None:
    one, two = model.Finding("listens", "tcp/25", "a", "b"), model.Finding("mode", "/etc/x", "a", "b")
    given = [{"id": "listens", "where": "tcp/2*", "why": "mail "}, {"id": "mode", "where": "/srv/*", "why": "old"}]
    findings, unused = model.verdict([one, two, one], model.acceptances(given))
    assert [(found["id"], found["accepted"], found["why"]) for found in findings] == [("mode", False, ""), ("listens", True, "mail")]
    assert unused == [model.Acceptance("mode", "/srv/*", "old")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id": "listen", "where": "*", "why": "x"}, "entry 1: there is no finding 'listen'; write one of listens, "),
        ({"id": "mode", "where": "*", "why": "  "}, "entry 1 \\(mode\\): write in why"),
    ],
)
def test_an_acceptance_that_says_nothing_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(CoopError, match=message):
        model.acceptances([given])


def test_the_page_has_every_rule() -> None:
    page = (ROOT / "docs" / "hardening.md").read_text()
    assert [name for name in model.RULES if f"`{name}`" not in page] == []


# --- The role ---------------------------------------------------------------------------------------------------------

OTHERS = {"edge_http_listen": [":80"], "edge_https_listen": [":443"], "edge_http3": False, "edge_config_file": "/etc/caddy/edge.json",
          "edge_storage": "/var/lib/caddy/certificates", "edge_wildcard_directory": "/etc/caddy/wildcard",
          "container_host_docker_bip": "10.213.0.1/24", "container_host_swarm": [], "container_host_swarm_ports": "5001-5999",
          "container_host_isolation": True, "bbb_node_firewall": True, "bbb_node_firewall_tcp": [],
          "bbb_node_firewall_udp": ["16384-32768", "32769-65535"], "host_metrics_listen": "", "host_metrics_port": 9100,
          "pool_engine": "bbblb"}  # fmt: skip
"""Defaults of other roles that stand in vars/main.yml again."""


def test_defaults_of_other_roles_are_theirs() -> None:
    theirs: dict[str, Any] = {}
    for path in ROOT.glob("roles/*/defaults/main.yml"):
        theirs.update(yaml.safe_load(path.read_text()) or {})
    text = (ROOT / "roles" / "review" / "vars" / "main.yml").read_text()
    for name, value in OTHERS.items():
        assert theirs[name] == value
        shown = {str: f"default('{value}')", bool: f"default({str(value).lower()})"}.get(type(value), f"default({value})")
        assert f"{name} | {shown}" in text, name


@pytest.mark.parametrize(
    ("group", "given", "wanted"),
    [
        ("container_hosts", {}, ["tcp/80", "tcp/443", "tcp/10.213.0.1:5432", "tcp/9100"]),
        ("container_hosts",
         {"edge_http3": True, "edge_https_listen": ["203.0.113.5:443", "unix//run/x"], "host_metrics_listen": "10.0.0.5"},
         ["tcp/80", "tcp/203.0.113.5:443", "udp/203.0.113.5:443", "tcp/10.213.0.1:5432", "tcp/10.0.0.5:9100"]),
        ("container_hosts", {"container_host_swarm": ["one"], "container_host_swarm_addresses": {"one": "10.1.0.1"}},
         ["tcp/80", "tcp/443", "tcp/10.213.0.1:5432", "tcp/10.1.0.1:5432", "tcp/5001-5999", "tcp/2377", "tcp/7946", "udp/7946", "udp/4789",
          "tcp/9100"]),
        ("dedicated_balancers", {}, ["tcp/80", "tcp/443"]),
        ("bbb_nodes", {"bbb_node_firewall_tcp": [8443]},
         ["tcp/80", "tcp/443", "tcp/8443", "udp/443", "udp/16384-32768", "udp/32769-65535", "tcp/9100"]),
        ("scheduler_hosts", {}, []),
    ],
)  # fmt: skip
def test_what_may_be_reached_follows_from_groups_and_variables(group: str, given: dict[str, Any], wanted: list[str]) -> None:
    loader = DataLoader()
    inventory = InventoryManager(loader=loader)
    inventory.add_group(group)
    inventory.add_host("one", group=group)
    known = VariableManager(loader=loader, inventory=inventory).get_vars(host=inventory.get_host("one"))
    path = str(ROOT / "roles" / "review" / "vars" / "main.yml")
    try:
        known |= loader.load_from_file(path, trusted_as_template=True)
    except TypeError:  # ansible-core 2.18
        known |= loader.load_from_file(path)
    found = Templar(loader=loader, variables={**known, **given}).template(known["__review_listens"])
    assert found == wanted
    assert len(sockets.expected(found)) == len(wanted)
