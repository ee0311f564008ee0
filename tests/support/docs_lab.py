# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How commands of the pages are run: which, as they stand or in check mode, in the folder of a co-op that keeps the lab."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.lab import hosts, lifecycle
from tests.lab.config import HOSTS
from tests.support import own_server, swarm
from tests.support.ansible import INVENTORY, ROOT, environment, run_playbook
from tests.support.docs_commands import Command
from tests.support.lab import RunningLab
from tests.support.upgrades import make_image

EXAMPLE = ROOT / "inventories" / "example"
# What is not run, by the words a command begins with, and why. A line that fits no command of the pages fails a test.
EXCUSED = {
    "$EDITOR": "is the reader",
    "./dev bench": "takes minutes to an hour each, in labs of its own",
    "./dev demo": "brings up a lab and onboards it, as tests/e2e/test_onboard.py does",
    "./dev lab down": "takes away what the others run in",
    "./dev test": "is what runs the tests",
    "ansible-builder": "fetches a base image; tests/unit/test_execution_environment.py runs it as far as that",
    "ansible-playbook playbooks/names.yml": "is the reader's own, for a provider's API; tests/integration/test_octodns_zone.py has one",
    "ansible-playbook -i localhost, meet.coop.scheduler_project -e scheduler_for=awx": "needs an AWX",
    "journalctl": "needs a controller with timers; tests/integration/test_scheduler.py starts one of its jobs",
    "pip install": "fetches half a gigabyte that is there already",
    "ssh": "goes to the reader's machine; the lab is reached by Docker",
    "ssh-copy-id": "goes to the reader's machine; the lab is reached by Docker",
    "systemctl": "needs a controller with timers; tests/integration/test_scheduler.py starts one of its jobs",
}
# Plays that are run as they stand. The others would make another lab of it, and are run with --check --diff.
AS_SHOWN = {
    "announce", "backup", "converge", "decide", "handover", "member_pages", "monitoring", "month", "names", "new_coop", "onboard",
    "placement", "plan", "platform", "recordings", "register", "restore_drill", "review", "scheduler_project", "services", "site",
    "statements", "status", "support", "usage", "verify",
}  # fmt: skip
ANSIBLE = ("ansible", "ansible-doc", "ansible-galaxy", "ansible-inventory", "ansible-playbook", "ansible-vault")
HERE = ("./dev", "cd", "git", "hledger", "python3", "ssh-keygen")
# Programs of the name server, which the lab has on a host of its own, and what they are called there.
NAME_SERVER = {"dig": "kdig", "keymgr": "keymgr", "knotc": "knotc"}
# What the lab has for a name of the pages. A word is changed where all of it, or a part between commas, is the name.
NAMES = {"agaric": "cafe", "bbb1.meet.example": "node1"}
PASSWORD = "correct horse battery staple"
OWN = "cafe-live"
Edit = Callable[["Coop", Path, dict[str, Any]], None]
# What a play could change on a host, but for what programs write by themselves, such as the empty production.yml of bbb-conf.
SEEN = r"""
find /etc /usr/local /opt /srv /root /var/lib/meet-coop /var/backups /var/bigbluebutton -xdev -type f \
  -printf '%p %T@ %s %m %u\n' 2>/dev/null |
  grep -vE '^(/etc/(hosts|hostname|resolv.conf|mtab)|/root/.ansible/|/etc/bigbluebutton/bbb-webrtc-sfu/production.yml [0-9.]+ 0 )'
dpkg -l | sha256sum; cat /etc/passwd /etc/group | sha256sum
systemctl list-units --type=service,timer --state=active --no-legend --plain |
  grep -oE '^(meet|coop|caddy|docker|bbb|postgres|prometheus)[^ ]*'
if command -v docker >/dev/null; then
  docker ps --all --no-trunc --format '{{.Names}} {{.ID}} {{.State}}'; docker network ls --format '{{.Name}} {{.ID}}'
  docker volume ls --quiet; docker images --quiet --no-trunc
fi
if command -v psql >/dev/null; then
  for base in $(psql -U postgres -AtqXc "SELECT datname FROM pg_database WHERE datname LIKE 'greenlight%'"); do
    echo $base $(pg_dump -U postgres $base | grep -vE '^.(un)?restrict ' | sha256sum)
  done
  psql -U postgres -d bbblb -AtqXc 'SELECT name, secret FROM tenants' 2>/dev/null
fi
true
"""


def excuse(command: Command) -> str | None:
    """The line of EXCUSED that a command is excused by."""
    return next((line for line in EXCUSED if list(command.words[: len(line.split())]) == line.split()), None)


def runs(command: Command) -> bool:
    """Whether there is a way to run it."""
    return command.words[0] in (*ANSIBLE, *HERE, *NAME_SERVER)


def playbook(command: Command) -> str:
    """The short name of what a command plays, and nothing for a command that plays nothing."""
    if command.words[0] != "ansible-playbook":
        return ""
    found = [word for word in command.words[1:] if re.fullmatch(r"meet\.coop\.[a-z_]+|playbooks/[a-z_]+\.yml", word)]
    assert len(found) == 1, command
    return found[0].removeprefix("meet.coop.").removeprefix("playbooks/").removesuffix(".yml")


def in_check_mode(command: Command) -> bool:
    """Whether it is run in check mode, because it says so or because it had better be."""
    # An export to look at: nothing else is touched by it.
    if "--check" in command.words or "offboarding_until=export" in command.words:
        return "--check" in command.words
    if situation(command) in ("lost instances", "upgraded"):
        return False  # the command puts the lab right again
    far = situation(command) == "other engine" or any("recordings_move_from" in word for word in command.words)
    return bool(playbook(command)) and (playbook(command) not in AS_SHOWN or far)


# -- what the reader has changed before a command ------------------------------------------------------------------------------------


def second_host(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/move.md: a second container host, on which sunflower is to be."""
    machines = folder / "hosts.yml"
    machines.write_text(swarm.with_host2(machines.read_text()))
    members["container_hosts"]["host2"] = {"address": coop.lab.ip("host2")}
    members["services"]["sunflower"]["container_host"] = "host2"


def lost_host(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/move.md: everything that host1 had is to be on host2."""
    second_host(coop, folder, members)
    for service in members["services"].values():
        service["container_host"] = "host2"
    key = coop.on("host1", "cat /etc/meet-coop/backup.key").strip()
    # The copy that another co-operative has.
    copy = "/srv/of-host1"
    packed = subprocess.run(
        ["docker", "exec", coop.lab.host("host1"), "tar", "-C", coop.repository, "-c", "."], capture_output=True, check=True
    )
    coop.on("host2", f"mkdir -p {copy}; tar -C {copy} -x", packed.stdout)
    lost = {"instance_lost_hosts": ["host1"], "move_repository": {"repository": copy, "password": key}}
    coop.secret(folder / "vars" / "lost.yml", lost)


def lost_instances(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/backup.md: a new machine under the name of the old, which has the backup and nothing else."""
    for name in members["services"]:
        coop.on(
            "host1",
            f"docker rm --force greenlight-{name} greenlight-{name}-redis; docker volume rm greenlight-{name}-storage;"
            f" base=greenlight_$(echo {name} | tr - _); dropdb -U postgres --force $base; dropuser -U postgres $base;"
            f" rm -r /var/lib/meet-coop/instances/{name}",
        )


def staging(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/backup.md: a service of its own for a copy."""
    members["services"]["sunflower-staging"] = {**members["services"]["sunflower"], "title": "A copy"}


def newcomer(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/offboarding.md: somebody comes with an export; its id is another than before."""
    members["services"]["sunflower-again"] = {**members["services"]["sunflower"], "title": "Again"}
    coop.bring_export(folder / "sunflower.tar")


def leaver(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/offboarding.md: the day has come."""
    members["members"]["sunflower"] |= {"leaving": "2026-01-31", "left": "2026-02-28"}
    for service in members["services"].values():
        if service.get("member") == "sunflower":
            service["state"] = "absent"


def newer_image(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/upgrade.md: another image in the membership file."""
    members["defaults"]["image"] = make_image(coop.lab, "docs")
    coop.variables(folder, upgrade_unknown=members["defaults"]["image"].rpartition(":")[2])


def other_engine(coop: Coop, folder: Path, members: dict[str, Any]) -> None:
    """docs/swarm.md: instances are to be Swarm's."""
    second_host(coop, folder, members)
    members["services"]["sunflower"]["container_host"] = "host1"
    nodes = {name: coop.lab.ip(name) for name in swarm.NODES}
    coop.variables(folder, container_host_engine="swarm", container_host_swarm=list(nodes), container_host_swarm_addresses=nodes)


SITUATIONS: dict[str, Edit] = {
    "second host": second_host, "lost host": lost_host, "lost instances": lost_instances, "staging": staging, "newcomer": newcomer,
    "leaver": leaver, "newer image": newer_image, "upgraded": newer_image, "other engine": other_engine,
}  # fmt: skip


def situation(command: Command) -> str:
    """What the page has its reader change in the inventory before this command; nothing where it is as it was."""
    play, text = playbook(command), shlex.join(command.words)
    rules = {
        "lost host": "@vars/lost.yml" in text,
        "second host": play == "move" or "host2" in text,
        "staging": "sunflower-staging" in text,
        "lost instances": play == "restore" and "restore_replace" not in text,
        "newcomer": play == "import",
        "leaver": "member_sunflower" in text,
        "upgraded": "upgrade_back" in text,
        "newer image": play == "upgrade",
        "other engine": play == "engine" or (play == "platform" and command.place.startswith("docs/swarm.md")),
    }
    return next((name for name, holds in rules.items() if holds), "")


# -- the folder, and the lab ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    argv: tuple[str, ...]
    code: int
    output: str
    left: tuple[str, ...] = ()
    """What is other in the lab and in the folder than before; looked at in check mode."""

    @property
    def mistakes(self) -> list[str]:
        """What is wrong with it; nothing when it went well."""
        recap = self.output.partition("PLAY RECAP")[2]
        bad = [line.strip() for line in recap.splitlines() if re.search(r"(failed|unreachable)=[1-9]", line)]
        found = [f"ended with {self.code}"] if self.code else []
        found += [f"in the recap: {line}" for line in bad]
        found += ["it played nothing"] if self.argv[0] == "ansible-playbook" and "ok=" not in recap else []
        found += ["a traceback"] if "Traceback (most recent call last)" in self.output else []
        return found + [f"check mode left something else: {line}" for line in self.left]


class Coop:
    """The lab's co-op as a reader of the pages keeps it: one folder, with records of every kind in it."""

    def __init__(self, lab: RunningLab, root: Path) -> None:
        self.lab, self.root = lab, root
        self.folder, self.elsewhere = root / "plain" / "inventories" / "lab", root / "elsewhere"
        self.elsewhere.mkdir()
        self.password = root / "password"
        self.password.write_text(PASSWORD + "\n")
        self.repository = "/var/backups/meet-coop/restic"
        self.done: dict[tuple[str, ...], Outcome] = {}
        self.home = root / "home"
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        key = self.home / ".ssh" / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        shutil.copytree(INVENTORY, self.folder)
        (root / "plain" / ".lab").symlink_to(ROOT / ".lab")
        self._records()

    def _records(self) -> None:
        """Everything that the example has and the lab's inventory has not."""
        for name in ("decisions", "incidents", "maintenance", "money", "overrides", "support"):
            shutil.copytree(EXAMPLE / name, self.folder / name)
        shutil.copy(EXAMPLE / "ansible.cfg", self.folder)
        for name in ("membership", "tasks", "vars"):
            (self.folder / name).mkdir()
        # What one leaves from, and what the books begin with.
        shutil.rmtree(self.folder / "decisions" / "D-0002-hypha-joins")
        for outcome in self.folder.glob("decisions/*/outcome.yml"):
            outcome.unlink()
        opening = self.folder / "money" / "opening.yml"
        opening.write_text(opening.read_text().replace("2021-03", "2026-03"))
        # Nobody met in the months that are closed.
        (self.folder / "money" / "usage").mkdir()
        columns = (ROOT / "docs" / "example-year" / "money" / "usage" / "2025-03.csv").read_text().splitlines()[0]
        for month in ("2026-03", "2026-04", "2026-05"):
            (self.folder / "money" / "usage" / f"{month}.csv").write_text(columns + "\n")
        everybody = self.folder / "group_vars" / "all"
        everybody.mkdir()
        lab = (self.folder / "group_vars" / "all.yml").rename(everybody / "lab.yml")
        lab.write_text(lab.read_text().replace('coop_written: "{{ lab_state }}"\n', ""))
        vault = everybody / "vault.yml"
        self.server_secret = secrets.token_hex(24)
        self.secret(vault, {"vault_cafe_bbb_secret": self.server_secret})
        made = self.on("services", "age-keygen")
        self.key = made.splitlines()[-1]
        for host in (own_server.HOST, "node3"):
            self.on(host, "mkdir -p /var/bigbluebutton")  # as a server has it from the beginning
        machines = self.folder / "hosts.yml"
        other = '        old-bbb: {ansible_host: "{{ lab_name }}-node3"}\n'
        clock = "    scheduler_hosts:\n      hosts:\n        pool: {}\n"
        machines.write_text(machines.read_text() + f"    old_servers:\n      hosts:\n{other}" + clock)
        (self.folder / "tasks" / "upgrade-bbb.yml").write_text(block(ROOT / "docs" / "maintenance.md", "bbb-install.sh"))
        self.variables(
            self.folder, dns_zone="meet.test", dns_deployment="meet", dns_server="{{ instance_dns_server }}",
            dns_tsig="{{ instance_dns_tsig }}", dns_records=[{"name": "docs", "type": "A", "values": ["192.0.2.7"]}],
            cms_access_settle=2, cms_access_handover_directory=str(self.root / "handover"),
        )  # fmt: skip

        def edit(data: dict[str, Any]) -> None:
            data["cooperative"] |= yaml.safe_load((EXAMPLE / "members.yml").read_text())["cooperative"] | data["cooperative"]
            data["members"]["sunflower"]["export_key"] = data["clients"]["cafe"]["export_key"] = re.findall(r"age1\S+", made)[0]
            data["defaults"]["container_host"] = "host1"
            data["services"][OWN] = {
                "tier": "dedicated_server", "client": "cafe", "title": "Café Central, own server", "smtp": None,
                "accounts": {"administrators": [{"name": "Kim Lee", "email": "kim@mail.lab.test"}]}, "record": True,
                "resources": {"memory": "512m", "cpus": 1.0, "pids": 256},
                "cms": {"cloud": {"kind": "nextcloud"}, "school": {"kind": "moodle"}},
                "server": {
                    "domain": own_server.DOMAIN, "secret_var": "vault_cafe_bbb_secret", "balancer": "host1",
                    "address": self.lab.ip(own_server.HOST), "recordings": {"formats": ["presentation"], "delete_after_days": 30},
                    "connection": {"ansible_connection": "community.docker.docker", "ansible_host": self.lab.host(own_server.HOST)},
                },
            }  # fmt: skip

        self.members(self.folder, edit)

    def members(self, folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
        """Change the membership file of a folder."""
        path = folder / "members.yml"
        data = yaml.safe_load(path.read_text())
        edit(data)
        # Days are text in a membership file, and so they stay.
        path.write_text(yaml.safe_dump(json.loads(json.dumps(data, default=str)), allow_unicode=True, sort_keys=False))

    def variables(self, folder: Path, **values: Any) -> None:
        """Give everybody variables."""
        path = folder / "group_vars" / "all" / "vars.yml"
        there = yaml.safe_load(path.read_text()) if path.exists() else {}
        path.write_text(yaml.safe_dump({**there, **values}))

    def secret(self, path: Path, values: Mapping[str, Any]) -> None:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(values, stream)

    def on(self, host: str, script: str, input: str | bytes | None = None) -> str:
        done = self.lab.exec(host, ["sh", "-ec", script], input)
        assert done.returncode == 0, (host, script, done)
        return str(done.stdout)

    def bring_export(self, path: Path) -> None:
        """The export that a member was given, as it decrypts it itself."""
        export = "ansible-playbook meet.coop.offboard -l sunflower -e offboarding_until=export"
        self.run(Command("docs/offboarding.md", tuple(export.split())))
        newest = max((self.folder / "written" / "offboarding" / "sunflower").glob("*.tar.age"))
        self.on("services", "umask 077; cat > /tmp/docs.age", newest.read_bytes())
        done = subprocess.run(
            ["docker", "exec", "-i", self.lab.host("services"), "age", "--decrypt", "--identity", "-", "/tmp/docs.age"],
            input=self.key.encode(), capture_output=True, check=True,
        )  # fmt: skip
        path.write_bytes(done.stdout)

    def inventory(self, name: str) -> Path:
        """The folder in a situation."""
        if not name:
            return self.folder
        folder = self.root / name.replace(" ", "-") / "inventories" / "lab"
        if not folder.exists():
            if name in ("second host", "lost host", "other engine"):
                lifecycle.up(self.lab.config, ["host2"], lambda message: None)
            shutil.copytree(self.folder, folder)
            (folder.parents[1] / ".lab").symlink_to(ROOT / ".lab")
            self.members(folder, lambda data: SITUATIONS[name](self, folder, data))
            if name == "upgraded":
                code, output = self._execute(("ansible-playbook", "-i", str(folder), "meet.coop.upgrade", "-l", "sunflower"), folder)
                assert code == 0, output
        return folder

    # -- running ---------------------------------------------------------------------------------------------------------------------

    def run(self, command: Command) -> Outcome:
        """Run a command of a page; once for all pages that have it."""
        folder, check = self.inventory(situation(command)), in_check_mode(command)
        argv = self._argv(command, folder, check)
        key = (str(folder), *argv)
        if key not in self.done:
            before = self.seen(folder) if check else {}
            code, output = self._execute(argv, folder)
            after = self.seen(folder) if check else {}
            left = [line for host in before for line in sorted(set(before[host]) ^ set(after[host]))]
            self.done[key] = Outcome(argv, code, output, tuple(left[:20]))
        return self.done[key]

    def _argv(self, command: Command, folder: Path, check: bool) -> tuple[str, ...]:
        """The command with the names that the lab has."""
        words = [self._word(word, folder) for word in command.words]
        program, play = words[0], playbook(command)
        for at, word in enumerate(words[:-1]):
            if word == "-i" and words[at + 1] != "localhost," and not words[at + 1].startswith("docs/"):
                words[at + 1] = str(folder / "members.yml" if words[at + 1].endswith(".yml") else folder)
        if play:
            words = [word for word in words if word != "--ask-vault-pass"]  # the environment names a file
            words += ["--check", "--diff"] if check and "--check" not in words else []
        if play == "new_coop":
            words += ["-e", f"@{ROOT / 'tests' / 'unit' / 'data' / 'example_coop.yml'}"]
        if play == "usage":
            # The lab is metered since today: this month, as one would tomorrow.
            today = datetime.datetime.now(datetime.UTC).date()
            words += ["-e", f"usage_month={today:%Y-%m} usage_as_of={today + datetime.timedelta(days=1)}"]
        if play == "review" and "-l" not in words:
            words += ["-l", "container_hosts:pool_hosts"]  # the doubles and the lab's own services are machines that are none of ours
        if play == "import":
            words[words.index("-l") + 1] = "sunflower-again"
        if program == "ansible-vault" and "rekey" in words:
            words += ["--new-vault-password-file", str(self.password)]
        if program == "ansible-galaxy":
            words = [str(self._tarball()) if word == "meet.coop" else word for word in words]
            # Without --force it finds the checkout, and there is nothing to do.
            words += ["--force", "--no-deps", "--collections-path", str(self.elsewhere / "collections")]
        return tuple(words)

    def _word(self, word: str, folder: Path) -> str:
        word = word.replace("$PWD", str(folder)).replace("~/.coop-vault", str(self.password)).replace("~", str(self.home))
        word = word.replace("bigbluebutton/greenlight:", "meet-coop-lab/greenlight:").replace("pull=always", "pull=never")
        word = word.replace("sftp:coop@backup.other.example:/srv/coop", self.repository)
        if word.startswith("restore_snapshot="):
            word = f"restore_snapshot={datetime.date.today()}T23:59:59Z"
        word = {"@ns1.meet.example": f"@{self.lab.dns_server}", "meet.example": "meet.test"}.get(word, word)
        return ",".join(NAMES.get(part, part) for part in word.split(","))

    def _tarball(self) -> Path:
        into = self.elsewhere / "dist"
        if not into.exists():
            subprocess.run(["./dev", "build", "--into", str(into)], cwd=ROOT, env=environment(), check=True, capture_output=True)
        return next(into.glob("meet-coop-*.tar.gz"))

    def _execute(self, argv: Sequence[str], folder: Path) -> tuple[int, str]:
        env = environment(
            ANSIBLE_CONFIG=str(folder / "ansible.cfg"), ANSIBLE_VAULT_PASSWORD_FILE=str(self.password), PAGER="cat",
            GIT_AUTHOR_NAME="Ana", GIT_AUTHOR_EMAIL="ana@mail.lab.test", GIT_COMMITTER_NAME="Ana", GIT_COMMITTER_EMAIL="ana@mail.lab.test",
        )  # fmt: skip
        program, cwd = argv[0], folder
        if any(word.startswith("docs/example-year") for word in argv) or program == "./dev":
            cwd = ROOT
        elif "meet.coop.new_coop" in argv or program in ("cd", "python3"):
            cwd = self.elsewhere
        env["PWD"] = str(cwd)  # as a shell has it
        if program in NAME_SERVER:
            done = self.lab.exec("services", [NAME_SERVER[program], *argv[1:]])
        elif program == "ansible-playbook":
            done = run_playbook(argv, cwd=cwd, env=env, together=True, timeout=1800)
        elif "&&" in argv or program == "cd":
            line = " ".join(word if word in ("&&", ".") else shlex.quote(word) for word in argv)
            done = subprocess.run(["bash", "-ec", line], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        else:
            done = subprocess.run(
                list(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=1800
            )
        return done.returncode, done.stdout + (done.stderr or "")

    # -- looking -----------------------------------------------------------------------------------------------------------------------

    def seen(self, folder: Path) -> dict[str, list[str]]:
        """What a play could change: files, packages, accounts, units, containers, databases, names, tenants; and the co-op's own folder."""
        asked = [(host, SEEN) for host in ("host1", "pool", "node1", "node2", "node3")]
        asked.append(("services", "knotc zone-read meet.test | grep -v SOA; true"))
        if "host2:" in (folder / "hosts.yml").read_text():
            asked.append(("host2", SEEN))
        with ThreadPoolExecutor() as pool:
            said = pool.map(lambda one: self.lab.exec(one[0], ["sh", "-c", one[1]]).stdout, asked)
            found = {host: [f"{host}: {line}" for line in lines.splitlines()] for (host, _script), lines in zip(asked, said, strict=True)}
        ours = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".git" not in path.parts]
        found["folder"] = [f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in ours]
        return found

    def close(self) -> None:
        """Give back what was lost, and take away what the lab had not before."""
        if (self.root / "lost-instances").exists():
            self.run(Command("docs/backup.md", ("ansible-playbook", "meet.coop.restore", "-e", "restore_all=true")))
        self.members(self.folder, lambda data: data["services"][OWN].update(state="absent"))
        self._execute(("ansible-playbook", "-i", str(self.folder), "meet.coop.services", "-l", OWN), self.folder)
        own_server.remove(self.lab)
        hosts.remove_host(self.lab.config, HOSTS["host2"])
        self.on("services", "rm -f /tmp/docs.age")


def block(page: Path, having: str) -> str:
    """The YAML that a page shows, by a word in it."""
    return next(text for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL) if having in text)
