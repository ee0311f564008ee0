# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin through Ansible's own inventory manager, and once through its command line."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from tests.unit.membership.base import BASE, changed

ROOT = pathlib.Path(__file__).parents[3]
CONFIG = "plugin: meet.coop.members\npaths: [../membership]\n"


@pytest.fixture(autouse=True)
def refuse_quietly_skipped_sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", True)
    yield


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings and errors that Ansible would show."""
    from ansible.utils.display import Display

    found: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, msg, *args, **kwargs: found.append(msg))
    if hasattr(Display, "error_as_warning"):
        monkeypatch.setattr(Display, "error_as_warning", lambda self, msg, exception, **kwargs: found.append(str(exception)))
    return found


def inventory(*sources: pathlib.Path) -> InventoryManager:
    return InventoryManager(loader=DataLoader(), sources=[str(source) for source in sources])


def groups_of(manager: InventoryManager, host: str) -> set[str]:
    return {group.name for group in manager.get_host(host).get_groups()} - {"all"}


@pytest.fixture
def put(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes a file below the test's folder and returns its path."""

    def write(name: str, content: Any) -> pathlib.Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def own(data: dict[str, Any]) -> dict[str, Any]:
    return {"plugin": "meet.coop.members", **data}


def test_hosts_groups_and_variables(put: Callable[..., pathlib.Path]) -> None:
    manager = inventory(put("members.yml", own(BASE)))
    assert set(manager.hosts) == {"rosa", "cafe", "host1"}
    assert groups_of(manager, "rosa") == {"coop_services", "members", "member_rosa", "class_consumer", "tier_consumer", "on_host1"}
    assert groups_of(manager, "cafe") == {"coop_services", "clients", "client_cafe", "tier_dedicated_container", "on_host1"}
    assert groups_of(manager, "host1") == {"container_hosts"}
    assert (
        not manager.groups["member_agaric"].get_hosts() and manager.groups["member_agaric"] in manager.groups["class_producer"].child_groups
    )
    variables = manager.get_host("rosa").get_vars()
    assert variables["ansible_host"] == "203.0.113.10"
    assert variables["coop_service"]["hostname"] == "rosa.meet.example"
    assert variables["coop_owner"]["name"] == "Rosa"
    assert variables["coop_cooperative"]["domain"] == "meet.example"
    assert {"inventory_hostname", "coop_service", "coop_owner", "coop_cooperative"} <= set(variables)


def test_ids_with_dashes_and_hosts_with_dots_make_safe_groups(put: Callable[..., pathlib.Path]) -> None:
    data = changed(
        members={**BASE["members"], "sun-flower": BASE["members"]["rosa"]}, container_hosts={"host-1.example": {"address": "203.0.113.10"}}
    )
    data["services"]["sun-flower"] = {**BASE["services"]["rosa"], "member": "sun-flower"}
    manager = inventory(put("members.yml", own(data)))
    assert {"member_sun_flower", "on_host_1_example"} <= groups_of(manager, "sun-flower")


def test_a_configuration_file_with_paths_and_constructed_groups(put: Callable[..., pathlib.Path]) -> None:
    put("membership/a.yml", {key: value for key, value in BASE.items() if key != "services"})
    put("membership/b.yml", {"services": BASE["services"]})
    config = put(
        "inventory/members.coop.yml",
        CONFIG + "strict: true\ncompose: {minutes: coop_service.limits.meeting_minutes}\n"
        "groups: {short: coop_service.limits.meeting_minutes <= 120}\n"
        "keyed_groups: [{key: coop_owner.evidence.country | default('none'), prefix: country}]\n",
    )
    manager = inventory(config)
    assert manager.get_host("rosa").get_vars()["minutes"] in (120, "120")
    assert {"short", "country_ES"} <= groups_of(manager, "rosa")
    assert "short" not in groups_of(manager, "cafe")


def test_paths_from_the_environment(put: Callable[..., pathlib.Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEET_COOP_MEMBERS_PATHS", str(put("anywhere.yml", BASE)))
    assert "rosa" in inventory(put("x/prod.coop.yml", "plugin: meet.coop.members\n")).hosts


def test_a_configuration_file_that_names_nothing(put: Callable[..., pathlib.Path], shown: list[str]) -> None:
    with pytest.raises(AnsibleError):
        inventory(put("members.coop.yml", "plugin: meet.coop.members\n"))
    assert any("names no membership file; write paths: [members.yml]" in message for message in shown)


def test_beside_other_sources_in_a_folder(put: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    hosts = {
        "all": {
            "vars": {"prefix": "lab"},
            "children": {
                "container_hosts": {
                    "vars": {"ansible_user": "deploy"},
                    "hosts": {
                        "host1": {
                            "ansible_connection": "ssh",
                            "ansible_host": "{{ prefix }}-{{ inventory_hostname }}",
                            "ansible_port": 2222,
                            "not_ours": 1,
                        }
                    },
                }
            },
        }
    }
    put("inv/hosts.yml", hosts)
    put("inv/group_vars/container_hosts.yml", {"ansible_python_interpreter": "/usr/bin/python3"})
    put("inv/members.yml", own(changed(container_hosts__host1__connection={"ansible_user": "ignored", "ansible_become": True})))
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(tmp_path / "inv")])
    assert groups_of(manager, "host1") == {"container_hosts"}
    manage = VariableManager(loader=loader, inventory=manager)
    variables = manage.get_vars(host=manager.get_host("rosa"))
    assert (variables["ansible_user"], variables["ansible_port"], variables["ansible_become"]) == ("deploy", 2222, True)
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"
    assert "not_ours" not in manager.get_host("rosa").get_vars()
    # A template is run for the machine it was written for, not for the service.
    variables["hostvars"] = HostVars(manager, manage, loader)
    assert Templar(loader=loader, variables=variables).template(variables["ansible_host"]) == "lab-host1"


def test_a_machine_without_ansible_host_is_reached_by_its_name(put: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    put("inv/hosts.yml", {"container_hosts": {"hosts": {"host1": {"ansible_user": "root"}}}})
    put("inv/members.yml", own(BASE))
    assert inventory(tmp_path / "inv").get_host("rosa").get_vars()["ansible_host"] == "host1"


def test_a_host_of_the_same_name_elsewhere_is_refused(put: Callable[..., pathlib.Path], tmp_path: pathlib.Path, shown: list[str]) -> None:
    put("inv/hosts.yml", {"all": {"hosts": {"rosa": None}}})
    put("inv/members.yml", own(BASE))
    with pytest.raises(AnsibleError):
        inventory(tmp_path / "inv")
    assert any(
        'service "rosa": another inventory source already has a host of this name; choose another id' in message for message in shown
    )


def test_all_mistakes_come_out(
    put: Callable[..., pathlib.Path], shown: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.chdir(tmp_path)
    file = put("members.yml", own(changed(services__rosa__limits={"participants": "many"}, services__cafe__client="nobody")))
    with pytest.raises(AnsibleError):
        inventory(file)
    message = next(message for message in shown if "many" in message)
    assert 'members.yml:58: service "rosa", field limits.participants: "many" is not a whole number; write a number such as 25' in message
    assert 'members.yml:61: service "cafe", field client: "nobody" is not a client; add it under clients, or write cafe' in message
    assert "Traceback" not in message


def test_warnings_are_shown(put: Callable[..., pathlib.Path], shown: list[str]) -> None:
    smtp = {"server": "smtp.rosa.example", "port": 465, "sender_email": "meet@rosa.example"}
    inventory(put("members.yml", own(changed(services__rosa__smtp=smtp))))
    assert any("if mails fail, write security: tls" in message for message in shown)


def test_a_missing_library_is_said_plainly(put: Callable[..., pathlib.Path], shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.meet.coop.plugins.plugin_utils._membership import shape

    shape._validator.cache_clear()
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert inventory(put("members.yml", own(BASE))).hosts  # only mistakes are described by it
    with pytest.raises(AnsibleError):
        inventory(put("members.yml", own({**BASE, "nonsense": 1})))
    assert any(
        "needs the Python library jsonschema where ansible itself runs; install it there: pip install jsonschema" in message
        for message in shown
    )


@pytest.mark.parametrize(
    ("name", "content", "ours"),
    [
        ("members.coop.yml", "paths: [x]", True),
        ("prod.members.coop.yaml", "", True),
        ("anything.yml", "plugin: meet.coop.members\n", True),
        ("anything.yaml", "---\n# hello\nplugin: 'meet.coop.members'  # ours\n", True),
        ("hosts.yml", "all: {hosts: {a: }}\n", False),
        ("members.yml", "cooperative: {}\n", False),
        ("other.yml", "plugin: community.docker.docker_containers\n", False),
        ("members.coop.ini", "plugin: meet.coop.members\n", False),
    ],
)
def test_which_files_are_ours(put: Callable[..., pathlib.Path], name: str, content: str, ours: bool) -> None:
    assert inventory_loader.get("meet.coop.members").verify_file(str(put(name, content))) is ours


def test_what_does_not_exist_is_not_ours(tmp_path: pathlib.Path) -> None:
    assert inventory_loader.get("meet.coop.members").verify_file(str(tmp_path / "members.coop.yml")) is False


@pytest.fixture
def cached(put: Callable[..., pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("ANSIBLE_INVENTORY_CACHE_CONNECTION", str(tmp_path / "cache"))
    put("membership/members.yml", BASE)
    return put("inventory/members.coop.yml", CONFIG + "cache: true\ncache_plugin: ansible.builtin.jsonfile\n")


def read(source: pathlib.Path) -> dict[str, Any]:
    manager = inventory()
    manager._sources = [str(source)]
    manager.parse_sources(cache=True)
    return {name: host.get_vars() for name, host in manager.hosts.items()}


def test_the_cache_is_used_and_gives_the_same(cached: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    from ansible_collections.meet.coop.plugins.plugin_utils._membership import model

    first = read(cached)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    monkeypatch.setattr(model, "build", lambda *args: pytest.fail("read again although nothing has changed"))
    second = read(cached)
    drop = ("inventory_file", "inventory_dir")
    assert [{k: v for k, v in h.items() if k not in drop} for h in first.values()] == [
        {k: v for k, v in h.items() if k not in drop} for h in second.values()
    ]


def test_a_changed_file_changes_a_cached_answer(cached: pathlib.Path, put: Callable[..., pathlib.Path]) -> None:
    read(cached)
    before = os.stat(cached.parent.parent / "membership" / "members.yml")
    changed_file = put(
        "membership/members.yml", yaml.safe_dump(BASE, allow_unicode=True, sort_keys=False).replace("name: Rosa", "name: Asor")
    )
    # Same size, same times: only the content differs.
    os.utime(changed_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(changed_file).st_size == before.st_size
    assert read(cached)["rosa"]["coop_owner"]["name"] == "Asor"


def test_a_new_file_in_the_folder_changes_a_cached_answer(cached: pathlib.Path, put: Callable[..., pathlib.Path]) -> None:
    read(cached)
    put("membership/more.yml", {"services": {"rosa-two": BASE["services"]["rosa"]}})
    assert "rosa-two" in read(cached)


def test_a_broken_cache_is_no_problem(cached: pathlib.Path, tmp_path: pathlib.Path) -> None:
    read(cached)
    (file,) = (tmp_path / "cache").iterdir()
    kept = json.loads(file.read_text())
    for content in ("{}", json.dumps([1]), json.dumps({**kept, "fingerprint": "0"}) if isinstance(kept, dict) else "{}"):
        file.write_text(content)
        assert "rosa" in read(cached)


EVIL = "{{ 1+1 }} {% raw %} {{ lookup('pipe', 'touch ran') }}"


@pytest.mark.programs
def test_nothing_in_the_file_is_run(put: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    """Through the real command: a name full of template syntax comes out as it went in, also by way of compose and of the cache."""
    data = changed(members__rosa__name=EVIL, container_hosts__host1__connection={"ansible_connection": "local"})
    put("membership/members.yml", data)
    config = put(
        "inventory/members.coop.yml", CONFIG + "cache: true\ncache_plugin: ansible.builtin.jsonfile\ncompose: {copied: coop_owner.name}\n"
    )
    for _other in range(2):
        done = subprocess.run(
            [
                str(pathlib.Path(sys.executable).with_name("ansible")),
                "rosa",
                "-i",
                str(config),
                "-m",
                "ansible.builtin.debug",
                "-a",
                "msg={{ [coop_service.title, copied] }}",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env={
                **os.environ,
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path / "cache"),
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(EVIL) == 2, done.stdout
        assert not list(tmp_path.rglob("ran"))


def test_the_example_and_the_lab_are_good(shown: list[str]) -> None:
    services = {"sunflower", "sunflower-training", "agaric", "cafe-live", "cafe-live-bbb", "cafe-team"}
    ours = services | {"host1", "pool", "bbb1.meet.example", "bbb2.meet.example"}
    assert ours == set(inventory(ROOT / "inventories" / "example").hosts)
    lab = inventory(ROOT / "inventories" / "lab")
    assert {"sunflower", "sunflower-training", "rosa", "cafe", "host1", "pool", "node1", "node2", "node3"} <= set(lab.hosts)
    assert shown == []


def test_the_examples_of_the_documentation_work(put: Callable[..., pathlib.Path]) -> None:
    from ansible_collections.meet.coop.plugins.inventory import members

    own_file, config = yaml.safe_load_all(members.EXAMPLES)
    assert groups_of(inventory(put("a/members.yml", own_file)), "sunflower") >= {"member_sunflower", "tier_consumer"}
    put("membership/members.yml", own_file)
    assert "country_GB" in groups_of(inventory(put("inventories/prod/members.coop.yml", config)), "sunflower")
