# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook new_coop: what it writes is an inventory that the other playbooks take, and nothing that is there is written over."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.support.ansible import environment, run_playbook

pytestmark = pytest.mark.programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventories" / "example"
ANSWERS: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "unit" / "data" / "example_coop.yml").read_text())


def run(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ansible", program, *arguments]
    if program == "playbook":
        return run_playbook(argv, env=environment(**env))
    return subprocess.run(argv, cwd=ROOT, env=environment(**env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def new_coop(folder: pathlib.Path, answers: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    extra = json.dumps({**answers, "new_coop_directory": str(folder)})
    return run("playbook", "-i", "localhost,", "meet.coop.new_coop", "-e", extra, *options)


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def plain(value: Any) -> Any:
    """What ansible-inventory shows, without the marks of what is never run as a template."""
    if isinstance(value, dict):
        return plain(value["__ansible_unsafe"]) if "__ansible_unsafe" in value else {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def changed(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.rsplit("changed=", 1)[1].split()[0])


@pytest.fixture(scope="module")
def coop(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder made from the answers of the example."""
    folder = tmp_path_factory.mktemp("coops") / "meet"
    foretold = new_coop(folder, ANSWERS, "--check", "--diff")
    assert changed(foretold) == 2 and not folder.exists()
    assert changed(new_coop(folder, ANSWERS)) == 2
    for text in files(folder).values():
        # Check mode had shown every line.
        assert [line for line in text.decode().splitlines() if f"+{line}" not in foretold.stdout.splitlines()] == []
    return folder


def test_the_example_is_what_it_writes(coop: pathlib.Path) -> None:
    written = files(coop)
    for name in ("ansible.cfg", "hosts.yml", "group_vars/all/vars.yml", "money/opening.yml", "money/rules/1.yml"):
        assert written[name] == (EXAMPLE / name).read_bytes(), (
            f"{name}: run playbook new_coop with tests/unit/data/example_coop.yml, and copy it"
        )
    assert not [name for name in written if name != "README.md" and not (EXAMPLE / name).exists()]
    assert (coop / "group_vars" / "all" / "vault.yml").stat().st_mode & 0o777 == 0o600


def test_it_is_an_inventory(coop: pathlib.Path) -> None:
    done = run("inventory", "-i", str(coop), "--list", ANSIBLE_CONFIG=str(coop / "ansible.cfg"))
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    found = plain(json.loads(done.stdout))
    assert found["coop_services"]["children"] and found["tier_consumer"]["hosts"] == ["sunflower"]
    assert {name: found[name]["hosts"] for name in ("container_hosts", "pool_hosts", "bbb_nodes")} == {
        "container_hosts": ["host1"],
        "pool_hosts": ["pool"],
        "bbb_nodes": ["bbb1.meet.example", "bbb2.meet.example"],
    }
    assert found["_meta"]["hostvars"]["sunflower"]["coop_service"]["hostname"] == "sunflower.meet.example"
    for name in ("onboard", "names"):
        syntax = run("playbook", "-i", str(coop), f"meet.coop.{name}", "--syntax-check")
        assert syntax.returncode == 0 and "WARNING" not in syntax.stderr, syntax.stderr


def test_its_books_can_be_opened(coop: pathlib.Path) -> None:
    done = run("playbook", "-i", str(coop), "meet.coop.month", "--check")
    assert done.returncode == 0 and "0.00 EUR to raise" in done.stdout, done.stdout


def test_what_is_there_stays_and_what_is_missing_comes_back(coop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = files(coop)
    (coop / "members.yml").write_bytes(before["members.yml"] + b"# ours\n")
    (coop / "money" / "opening.yml").unlink()  # as a run that was killed leaves it
    # Other answers do not touch what is there either.
    assert changed(new_coop(coop, {**ANSWERS, "new_coop_name": "Another"})) == 1
    assert files(coop) == {**before, "members.yml": before["members.yml"] + b"# ours\n"}
    assert changed(new_coop(coop, ANSWERS)) == 0
    (coop / "members.yml").write_bytes(before["members.yml"])


def test_bad_answers_are_told_together_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    bad = {
        **ANSWERS,
        "new_coop_country": "Spain",
        "new_coop_container_address": "203.0.113.300",
        "new_coop_nodes": "bbb1",
        "new_coop_member_number": "",
    }
    done = new_coop(tmp_path / "coop", bad)
    assert done.returncode == 2 and not (tmp_path / "coop").exists()
    told = " ".join(done.stdout.split())
    for name, instead in {
        "new_coop_country": "write two capital letters, such as ES",
        "new_coop_container_address": "write the container host's, such as 203.0.113.10",
        "new_coop_nodes": "write names such as bbb1.meet.example, with commas between them",
        "new_coop_member_number": "write the first member's in that register",
    }.items():
        assert f"{name}: " in told and instead in told
    assert "new_coop_domain: " not in told and "Traceback" not in done.stdout + done.stderr


def test_words_of_people_are_not_run_and_empty_answers_follow_from_others(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "coop"
    answers = {name: value for name, value in ANSWERS.items() if name not in ("new_coop_id", "new_coop_pool_host", "new_coop_pool_address")}
    answers |= {
        "new_coop_name": 'Café "Öl": # 1',
        "new_coop_member_name": "L'Été, {coop}",
        "new_coop_nodes": "bbb1.meet.example, bbb2.meet.example",
        "new_coop_dns_provider": "octodns_hetzner.HetznerProvider",
    }
    assert changed(new_coop(folder, answers)) == 2
    done = run("inventory", "-i", str(folder), "--list", ANSIBLE_CONFIG=str(folder / "ansible.cfg"))
    assert done.returncode == 0, done.stderr
    found = plain(json.loads(done.stdout))
    seen = found["_meta"]["hostvars"]["sunflower"]
    assert seen["coop_cooperative"]["name"] == 'Café "Öl": # 1' and seen["coop_owner"]["name"] == "L'Été, {coop}"
    assert seen["coop_cooperative"]["id"] == "caf-l-1"
    assert found["pool_hosts"]["hosts"] == ["host1"] and len(found["bbb_nodes"]["hosts"]) == 2
    assert seen["instance_dns_provider"]["class"] == "octodns_hetzner.HetznerProvider" and "dns_server" not in seen
