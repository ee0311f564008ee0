# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The execution environment: its definition is one, and what the collection says it needs is what its controller code imports."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
import yaml

pytestmark = pytest.mark.programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILDER = pathlib.Path(sys.executable).with_name("ansible-builder")
# Code that is only run on hosts, by modules; there its packages are Debian's, installed by the roles.
ON_HOSTS = {"docker", "requests", "psycopg", "prometheus_client"}
# Every installation of ansible-core has these.
OF_ANSIBLE = {"ansible", "ansible_collections", "jinja2", "yaml"}


def imported() -> set[str]:
    """Packages outside of the standard library that code of the controller imports, at its head or inside of functions."""
    found: set[str] = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        if path.parent.name == "modules":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".", maxsplit=1)[0])
    return found - set(sys.stdlib_module_names) - OF_ANSIBLE - ON_HOSTS


def required() -> set[str]:
    lines = (ROOT / "meta" / "ee-requirements.txt").read_text().splitlines()
    return {re.split(r"[<>=!~\[ ]", line)[0].lower() for line in lines if line and not line.startswith("#")}


def test_the_environment_has_every_library_that_controller_code_imports() -> None:
    providers = packages_distributions()
    missing = {name for name in imported() if not {each.lower() for each in providers.get(name, [name])} & required()}
    assert missing == set()


def test_an_image_can_be_built_of_it(tmp_path: pathlib.Path) -> None:
    """ansible-builder holds the file against its own schema; the context is all it makes without an engine."""
    command = [
        str(BUILDER),
        "create",
        "-f",
        str(ROOT / "execution-environment.yml"),
        "-c",
        str(tmp_path),
        "--output-filename",
        "Containerfile",
    ]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quay.io/centos/centos:stream10" in (tmp_path / "Containerfile").read_text()
    asked = yaml.safe_load((tmp_path / "_build" / "requirements.yml").read_text())["collections"]
    assert "meet.coop" in {entry["name"] for entry in asked}


@pytest.mark.parametrize("kind", ["python", "system"])
def test_the_collection_tells_the_builder_what_it_needs(kind: str, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "ansible_collections" / "meet"
    place.mkdir(parents=True)
    (place / "coop").symlink_to(ROOT)
    done = subprocess.run([str(BUILDER), "introspect", str(tmp_path)], text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split("  #")[0].strip() for line in yaml.safe_load(done.stdout)[kind]]
    file = {"python": "ee-requirements.txt", "system": "ee-bindep.txt"}[kind]
    ours = [line.strip() for line in (ROOT / "meta" / file).read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert ours and set(ours) <= set(told)
