# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of the house that drift silently where no test holds them."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import ansible.release
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
HEADER = "SPDX-License-Identifier: GPL-3.0-or-later"


def load(path: pathlib.Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def test_sanity_knows_each_core_that_is_let_in() -> None:
    """C(./dev test sanity-all) goes by these files: from the oldest core of meta/runtime.yml to the one that is here, without a gap."""
    cores = sorted(int(path.stem.rpartition(".")[2]) for path in (ROOT / "tests" / "sanity").glob("ignore-2.*.txt"))
    oldest = re.fullmatch(r">=2\.(\d+)\.0", load(ROOT / "meta" / "runtime.yml")["requires_ansible"])
    assert oldest and cores == list(range(int(oldest[1]), max(int(ansible.release.__version__.split(".")[1]), *cores) + 1))


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_of_a_role_say_the_same(role: str) -> None:
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(ROOT / "roles" / role / "defaults" / "main.yml") or {}
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == defaults
    assert [name for name, option in options.items() if "default" not in option and not option.get("required")] == []
    assert [name for name, option in options.items() if not option.get("description")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_begins_with_its_name(role: str) -> None:
    names: set[str] = set()
    for folder in ("defaults", "vars"):
        for path in (ROOT / "roles" / role / folder).glob("*.yml"):
            names |= set(load(path) or {})
    assert [name for name in names if not name.lstrip("_").startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_has_a_comment(role: str) -> None:
    """What a user may set is explained where it is set: a comment above the variable or above its group."""
    explained, bare = False, []
    for line in (ROOT / "roles" / role / "defaults" / "main.yml").read_text().splitlines()[2:]:
        if not line.strip():
            explained = False
        elif line.startswith("#"):
            explained = True
        elif re.match(r"\w+:", line) and not explained:
            bare.append(line.split(":")[0])
    assert bare == []


def test_none_is_asked_of_data_only() -> None:
    """With ansible-core 2.18 a variable whose template gives none holds an empty text; what the inventory plugin gives stays none."""
    found = subprocess.run(["git", "grep", "-nE", r"(^|[^.a-z_])[a-z_]+ is (not )?none", "--", "roles", "playbooks"],
                           cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert found.stdout.splitlines() == []


def tasks_of(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a file of tasks or plays."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from tasks_of(child)


def test_a_host_that_may_be_silent_does_not_end_the_play_of_all() -> None:
    """Ansible takes run_once for any_errors_fatal: an unreachable host that is ignored ends the play, and the run ends well."""
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    ends = [
        f"{path.relative_to(ROOT)}: {task.get('name')}"
        for path in files
        for task in tasks_of(load(path))
        if task.get("run_once") and task.get("ignore_unreachable") and not task.get("ignore_errors")
    ]
    assert files and ends == []


def test_the_action_group_holds_every_module() -> None:
    runtime = load(ROOT / "meta" / "runtime.yml")
    assert runtime["action_groups"]["coop"] == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_examples_use_options_that_exist(module: str) -> None:
    code = importlib.import_module(f"ansible_collections.meet.coop.plugins.modules.{module}")
    documentation = yaml.safe_load(code.DOCUMENTATION)
    options = dict(documentation["options"])
    for fragment in documentation.get("extends_documentation_fragment", []):
        name, _dot, section = fragment.removeprefix("meet.coop.").partition(".")
        holder = importlib.import_module(f"ansible_collections.meet.coop.plugins.doc_fragments.{name}").ModuleDocFragment
        options.update(yaml.safe_load(getattr(holder, section.upper() or "DOCUMENTATION")).get("options") or {})
    used = 0
    for task in yaml.safe_load(code.EXAMPLES):
        arguments = task.get(f"meet.coop.{module}")
        if arguments is None:
            continue
        used += 1
        assert set(arguments) <= set(options), set(arguments) - set(options)
        assert [name for name, option in options.items() if option.get("required") and name not in arguments] == []
    assert used


@pytest.mark.parametrize("module", MODULES)
def test_every_module_states_its_attributes_and_version(module: str) -> None:
    code = importlib.import_module(f"ansible_collections.meet.coop.plugins.modules.{module}")
    documentation = yaml.safe_load(code.DOCUMENTATION)
    assert documentation["version_added"] == "0.1.0"
    assert {name for name, value in documentation["attributes"].items() if "support" in value} >= {"check_mode", "diff_mode", "idempotent"}


def test_every_file_has_its_licence() -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in {".py", ".yml", ".yaml", ".toml", ".sh", ".cfg"} and path.name not in {"dev", "run"}:
            continue
        if path.name == "outcome.yml":
            # Made by decision_tally: a co-operative's own record, not ours.
            continue
        if path.is_file() and path.stat().st_size and HEADER not in path.read_text(errors="replace")[:600]:
            missing.append(name)
    assert [name for name in missing if not name.startswith(("changelogs/fragments", "changelogs/changelog.yaml"))] == []


def test_no_machine_path_or_private_address_of_a_registry_is_named() -> None:
    listed = subprocess.run(["git", "grep", "-nIE", r"/root/\.pyenv|/home/[a-z]+/|registry\.npmjs|files\.pythonhosted", "--", "."],
                            cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert [line for line in listed.stdout.splitlines() if "tests/unit/test_house.py" not in line] == []


def test_the_threat_model_names_tests_that_there_are() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "threat-model.md").read_text())
    assert len(named) > 40
    assert [f"{path}::{name}" for path, name in named if not re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), re.MULTILINE)] == []
