# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command that a page shows is one that works: playbooks, options, variables, hosts and tags that exist, documentation that comes.

The commands themselves are run in the lab, by tests/e2e/test_docs_commands.py. Here ansible-playbook reads them with the inventory of the
example (--syntax-check), all in one call, and the options of each command are held against what Ansible and our roles take.
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
from tests.support import docs_lab
from tests.support.ansible import environment
from tests.support.docs_commands import Command, shown

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventories" / "example"
# Inventories of the reader's own: the example stands for them.
OWN_INVENTORIES = {"inventories/coop", "inventories/ours", "inventories/ourcoop", "inventory", "inventories/ourcoop/members.yml"}
# Hosts that a page has its reader add first.
ADDED = {
    "host2": "docs/move.md: the new container host",
    "sunflower-staging": "docs/backup.md: a service of its own for a copy",
}
# Plays that the page has its reader write.
OWN_PLAYS = {"playbooks/names.yml": "docs/dns.md: a play with octodns_zone"}
SHOWN = shown()


def of(program: str) -> list[Command]:
    return [found for found in SHOWN if found.words[0] == program]


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
        if pattern not in ADDED and not inventory().get_hosts(pattern):
            yield f"-l {pattern} matches no host of inventories/example"
    for tag in [*options.tags, *options.skip_tags]:
        if tag not in {"all", *tags()}:
            yield f"no task has the tag {tag}"


def ansible(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ansible", program, *words]
    return subprocess.run(argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_each_command_is_run_or_excused() -> None:
    """By tests/e2e/test_docs_commands.py, in the lab; the table of excuses has none that is not needed."""
    assert [str(command) for command in SHOWN if not docs_lab.excuse(command) and not docs_lab.runs(command)] == []
    assert set(docs_lab.EXCUSED) - {docs_lab.excuse(command) for command in SHOWN} == set()
    run = [command for command in SHOWN if not docs_lab.excuse(command)]
    assert docs_lab.AS_SHOWN - {docs_lab.playbook(command) for command in run} == set()
    assert {docs_lab.situation(command) for command in run} == {"", *docs_lab.SITUATIONS}
    assert sum(command.words[0] == "ansible-playbook" for command in run) > 100


def test_files_of_the_readers_own_are_no_inventory() -> None:
    """In the folder of an inventory Ansible takes every file for one, and a run ends with the first that is none."""
    ignored = {
        str(path.relative_to(ROOT)): re.findall(r"^ignore_patterns = (.*)$", path.read_text(), re.MULTILINE)
        for path in (ROOT / "ansible.cfg", EXAMPLE / "ansible.cfg", *(ROOT / "roles").glob("*/templates/ansible.cfg.j2"))
    }
    assert len(ignored) == 4 and len({tuple(found) for found in ignored.values()}) == 1, ignored
    patterns = [re.compile(pattern.strip()) for pattern in ignored["ansible.cfg"][0].split(",")]
    named = re.compile(r"(?:.*=|@)?(?:\$PWD/)?([\w-][\w./-]*\.(?:yml|tar|csv))")
    files = {found[1] for command in of("ansible-playbook") for word in command.words if (found := named.fullmatch(word))}
    ours = {name for name in files if not (ROOT / name).exists()} - OWN_INVENTORIES
    assert {"vars/lost.yml", "sunflower.tar"} < ours
    assert [name for name in ours if not any(pattern.search(name.split("/")[0]) for pattern in patterns)] == []


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
