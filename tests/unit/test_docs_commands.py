# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command that a page shows is one that works: playbooks, options, variables, hosts and tags that exist, documentation that comes.

Plays themselves are run by the tests of the lab. Here ansible-playbook reads them with the inventory of the example (--syntax-check), all
in one call, and the options of each command are held against what Ansible and our roles take.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.cli.vault import VaultCLI
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from tests.bench.__main__ import BENCHMARKS
from tests.support.ansible import environment
from tests.support.docs_commands import Command, commands

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventories" / "example"
# What a reader puts in, and what stands for it here.
PLACEHOLDERS = {"<id>": "sunflower", "SERVICE": "sunflower", "HOST": "host1", "NODE": "bbb1.meet.example", "…": "sunflower"}
# Inventories of the reader's own: the example stands for them.
OWN_INVENTORIES = {"inventories/coop", "inventories/ours", "inventories/ourcoop", "inventory", "inventories/ourcoop/members.yml"}
# Hosts that a page has its reader add first.
ADDED = {
    "host2": "docs/move.md: the new container host",
    "sunflower-staging": "docs/backup.md: a service of its own for a copy",
}
# Plays that the page has its reader write.
OWN_PLAYS = {"playbooks/names.yml": "docs/dns.md: a play with octodns_zone"}
# Programs that are not ours and are not run here, and why not.
OTHERS = {
    "$EDITOR": "is the reader",
    "age": "reads an export with a key that only a member has",
    "age-keygen": "is Debian's age, which the tests of exports run",
    "ansible-builder": "fetches a base image; tests/unit/test_execution_environment.py runs it as far as that",
    "apt-get": "changes the machine",
    "bbb-conf": "is there on BigBlueButton servers alone",
    "cd": "goes to a folder",
    "cp": "copies the reader's files",
    "dig": "asks the reader's name server",
    "git": "is the reader's own repository",
    "hledger": "reads the books of the example year in tests/unit/cooperative",
    "journalctl": "is run on the reader's machines",
    "keymgr": "is there on a Knot server alone",
    "knotc": "is there on a Knot server alone",
    "pip": "is the controller's own",
    "python3": "makes the controller's own environment",
    "ssh": "goes to the reader's machines",
    "ssh-copy-id": "goes to the reader's machines",
    "ssh-keygen": "signs with the reader's key; tests of decisions run it",
    "systemctl": "is run on the reader's machines",
}


def pages() -> list[pathlib.Path]:
    return [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "docs" / "example-year" / "README.md",
        *sorted((ROOT / "roles").glob("*/README.md")),
    ]


SHOWN = [command for page in pages() for command in commands(page, str(page.relative_to(ROOT)))]


def whole(command: Command) -> Command:
    """A command with its playbook's program before it, and its placeholders filled in."""
    words = command.words if not command.words[0].startswith("meet.coop.") else ("ansible-playbook", *command.words)
    return Command(command.place, tuple(PLACEHOLDERS.get(word, word) for word in words))


def of(program: str) -> list[Command]:
    return [found for found in map(whole, SHOWN) if found.words[0] == program]


@functools.cache
def parsed(command: Command, cli: type[Any]) -> argparse.Namespace:
    """The options of a command as Ansible's own parser takes them; no state of Ansible's is touched."""
    program = cli(list(command.words))
    program.init_parser()
    try:
        return program.parser.parse_args(list(command.words[1:]))
    except SystemExit:
        pytest.fail(f"{command}: Ansible does not take these options")


@functools.cache
def inventory() -> InventoryManager:
    return InventoryManager(loader=DataLoader(), sources=[str(EXAMPLE)])


@functools.cache
def variables() -> frozenset[str]:
    """What -e may set: the variables of all roles, and what playbooks ask for by default(...)."""
    found: set[str] = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= set(entry.get("options") or {})
    for path in (ROOT / "playbooks").glob("*.yml"):
        found |= set(re.findall(r"\b([a-z_]+) \| default\(", path.read_text()))
    return frozenset(found)


@functools.cache
def tags() -> frozenset[str]:
    found: set[str] = set()
    for path in itertools.chain((ROOT / "roles").glob("*/tasks/*.yml"), (ROOT / "playbooks").glob("*.yml")):
        for task in yaml.safe_load(path.read_text()) or []:
            value = task.get("tags") or []
            found |= {value} if isinstance(value, str) else set(value)
    return frozenset(found)


def extra_names(values: list[str]) -> Iterator[str]:
    for value in values:
        if value.startswith("@"):
            continue  # a file that the page shows, or one of the reader's
        if value.startswith("{"):
            yield from yaml.safe_load(value)
        else:
            yield from (part.split("=")[0] for part in value.split())


def playbook(name: str) -> pathlib.Path:
    return ROOT / "playbooks" / f"{name.removeprefix('meet.coop.')}.yml" if name.startswith("meet.coop.") else ROOT / name


def mistakes(command: Command) -> Iterator[str]:
    """What is wrong with a command that runs playbooks."""
    options = parsed(command, PlaybookCLI)
    for name in options.args:
        if name not in OWN_PLAYS and not playbook(name).is_file():
            yield f"there is no playbook {name}"
    for source in options.inventory or []:
        if source not in OWN_INVENTORIES and source != "localhost," and not (ROOT / source).exists():
            yield f"there is no inventory {source}"
    if not set(options.args) <= set(OWN_PLAYS):
        yield from (f"no role and no playbook has a variable {name}" for name in extra_names(options.extra_vars) if name not in variables())
    for pattern in filter(None, (options.subset or "").split(",")):
        if pattern not in ADDED and not inventory().get_hosts(PLACEHOLDERS.get(pattern, pattern)):
            yield f"-l {pattern} matches no host of inventories/example"
    for tag in [*options.tags, *options.skip_tags]:
        if tag not in {"all", *tags()}:
            yield f"no task has the tag {tag}"


def ansible(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ansible", program, *words]
    return subprocess.run(argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_every_program_is_known() -> None:
    ours = {"ansible", "ansible-playbook", "ansible-doc", "ansible-inventory", "ansible-galaxy", "ansible-vault", "./dev"}
    assert [str(command) for command in map(whole, SHOWN) if command.words[0] not in ours | set(OTHERS)] == []
    assert len(of("ansible-playbook")) > 50


def test_playbooks_take_what_the_pages_give_them() -> None:
    assert [f"{command}: {mistake}" for command in of("ansible-playbook") for mistake in mistakes(command)] == []


def test_mistakes_are_seen() -> None:
    """What the test above would say of commands that are wrong."""
    wrong = "ansible-playbook -i inventories/nowhere meet.coop.onbord -e instance_imge=x -l rosalind --tags edge_instal"
    assert list(mistakes(Command("here", tuple(wrong.split())))) == [
        "there is no playbook meet.coop.onbord",
        "there is no inventory inventories/nowhere",
        "no role and no playbook has a variable instance_imge",
        "-l rosalind matches no host of inventories/example",
        "no task has the tag edge_instal",
    ]


@pytest.mark.programs
def test_playbooks_can_be_read_with_the_inventory_of_the_example() -> None:
    names = {name for command in of("ansible-playbook") for name in parsed(command, PlaybookCLI).args}
    read = ansible("playbook", "-i", str(EXAMPLE), "--syntax-check", *(str(playbook(name)) for name in sorted(names - set(OWN_PLAYS))))
    assert read.returncode == 0 and read.stdout.count("playbook: ") == len(names - set(OWN_PLAYS)), read.stdout + read.stderr


@pytest.mark.programs
def test_modules_are_called_with_options_that_they_have() -> None:
    for command in of("ansible"):
        options = parsed(command, AdHocCLI)
        assert inventory().get_hosts(options.args), f"{command}: no such host"
        documented = json.loads(ansible("doc", "--json", options.module_name).stdout)[options.module_name]["doc"]["options"]
        given = set(re.findall(r"(\w+)=", options.module_args))
        assert given <= set(documented), f"{command}: {given - set(documented)}"


@pytest.mark.programs
def test_documentation_comes() -> None:
    wanted: dict[str, set[str]] = {}
    for command in of("ansible-doc"):
        options = parsed(command, DocCLI)
        if options.list_dir:
            listed = ansible("doc", "--list", "--json", *options.args)
            assert listed.returncode == 0 and json.loads(listed.stdout), f"{command}: {listed.stderr}"
            continue
        wanted.setdefault(options.type or "module", set()).update(options.args)
    assert {"module", "role", "inventory"} <= set(wanted)
    for kind, names in wanted.items():
        shown = ansible("doc", "-t", kind, "--json", *sorted(names))
        assert shown.returncode == 0 and set(json.loads(shown.stdout)) == names, shown.stderr


@pytest.mark.programs
def test_the_inventory_is_shown() -> None:
    for command in {command.words: command for command in of("ansible-inventory")}.values():
        options = parsed(command, InventoryCLI)
        given = [word for word in command.words[1:] if word not in ("-i", *(options.inventory or []))]
        shown = ansible("inventory", "-i", str(EXAMPLE), *given)
        assert shown.returncode == 0 and "WARNING" not in shown.stderr, f"{command}: {shown.stderr}"


@pytest.mark.programs
def test_other_programs_of_ansible_take_their_options() -> None:
    for command in of("ansible-galaxy"):
        assert parsed(command, GalaxyCLI).args == ["meet.coop"], str(command)
    for command in of("ansible-vault"):
        assert parsed(command, VaultCLI).action in ("encrypt", "edit", "view", "rekey"), str(command)


def test_dev_has_what_the_pages_call() -> None:
    text = (ROOT / "dev").read_text()
    names = set(re.findall(r"^  (\w+)\) need_venv", text, re.MULTILINE))
    words: dict[str, set[str]] = {
        "test": set(re.findall(r"^tally_(\w+)\(\)", text, re.MULTILINE)),
        "lab": {"up", "down", "status"},
        "bench": set(BENCHMARKS),
    }
    wrong = []
    for command in of("./dev"):
        name, *rest = command.words[1:]
        rest = [word for word in rest if not word.startswith("-")]
        if name not in names or (name in words and not set(rest[: None if name == "test" else 1]) <= words[name]):
            wrong.append(str(command))
    assert wrong == []
