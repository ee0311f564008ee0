# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The membership file as inventory, against Ansible's own YAML and INI inventories with the same hosts, groups and variables."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZES = (100, 1000)
"""Of 10,000, the YAML inventory takes ten minutes; ours alone is told at that size."""
ALONE = 10000
TURNS = 1
"""The time of the processor is measured, which another program on the machine does not change much."""


def membership(number: int) -> str:
    """A membership file of so many members with one service each."""
    head = """plugin: meet.coop.members
cooperative: {id: meet, name: meet.coop, domain: meet.example, contact: {name: Office, email: office@meet.example}}
container_hosts:
  host1: {address: 203.0.113.10}
defaults:
  image: bigbluebutton/greenlight:v3.8.2.4
members:
"""
    member = """  m{index}:
    name: Co-operative {index}
    classes: [consumer]
    joined: 2021-03-01
    contacts:
      - {{name: Ana Costa, email: ana@m{index}.example}}
    evidence: {{country: GB, form: community benefit society, register: FCA Mutuals Public Register, number: RS{index}}}
"""
    service = """  m{index}:
    tier: consumer
    member: m{index}
    title: Meetings of {index}
    smtp: {{server: smtp.example, username: u{index}, password_var: vault_smtp, sender_email: meet@m{index}.example}}
    accounts:
      administrators:
        - {{name: Ana Costa, email: ana@m{index}.example}}
    limits: {{rooms_per_account: 3, meeting_minutes: 60, participants: 25}}
    branding: {{primary_color: "#e8a200"}}
"""
    parts = [head, *(member.format(index=index) for index in range(number))]
    return "".join([*parts, "services:\n", *(service.format(index=index) for index in range(number))])


PROGRAM = """
import re, sys, time
from ansible.parsing.dataloader import DataLoader
from ansible.inventory.manager import InventoryManager
from ansible.plugins.loader import init_plugin_loader
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
init_plugin_loader([])
before = peak()
begun = time.process_time()
inventory = InventoryManager(loader=DataLoader(), sources=[sys.argv[1]])
print(time.process_time() - begun, peak() - before, len(inventory.hosts))
"""


def parsed(source: pathlib.Path, number: int, **environment: str) -> tuple[float, float]:
    """Seconds of processor time and MiB that Ansible needs to read an inventory source, without its own start."""
    found = []
    for _turn in range(TURNS):
        done = subprocess.run([sys.executable, "-c", PROGRAM, str(source)], capture_output=True, text=True, check=False, cwd=ROOT,
                              env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment})  # fmt: skip
        if done.returncode:
            sys.exit(f"bench: {source.name}: {done.stderr[-2000:]}")
        seconds, memory, hosts = done.stdout.split()
        if int(hosts) < number:
            sys.exit(f"bench: {source.name} has {hosts} hosts, not {number}")
        found.append((float(seconds), float(memory)))
    return statistics.median(seconds for seconds, _memory in found), max(memory for _seconds, memory in found)


def the_same(members: pathlib.Path, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """What the membership file gives, written as YAML and as INI inventory."""
    done = subprocess.run(["ansible-inventory", "-i", str(members), "--list"], capture_output=True, text=True, check=True, cwd=ROOT)
    listed: dict[str, Any] = json.loads(done.stdout)
    for group in [name for entry in listed.values() for name in entry.get("children", [])]:
        listed.setdefault(group, {})
    variables: dict[str, Any] = listed.pop("_meta")["hostvars"]
    groups = {name: group for name, group in listed.items() if name not in ("all", "ungrouped")}
    tree: dict[str, Any] = {"all": {"hosts": variables, "children": {}}}
    lines = []
    for name, found in variables.items():
        lines.append(" ".join([name, *(f"{key}={json.dumps(json.dumps(value))}" for key, value in found.items())]))
    for name, group in groups.items():
        entry: dict[str, Any] = {}
        lines += [f"[{name}]", *group.get("hosts", [])]
        if group.get("hosts"):
            entry["hosts"] = dict.fromkeys(group["hosts"], {})
        if group.get("children"):
            entry["children"] = dict.fromkeys(group["children"], {})
            lines += [f"[{name}:children]", *group["children"]]
        tree["all"]["children"][name] = entry
    as_yaml, as_ini = folder / "same.yml", folder / "same.ini"
    as_yaml.write_text(yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    as_ini.write_text("\n".join(lines) + "\n")
    return as_yaml, as_ini


def _cached(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
    """The membership file below a configuration file with a cache, and the environment that says where that is."""
    place = folder / "cached.members.coop.yml"
    place.write_text("plugin: meet.coop.members\npaths: [members.yml]\ncache: true\n")
    kind = {"ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile"}
    return place, {**kind, "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(folder / "cache")}


def measure(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Seconds and MiB of each, and how they compare."""
    figures: dict[str, Any] = {}
    for number in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            members = folder / "members.yml"
            members.write_text(membership(number))
            as_yaml, as_ini = the_same(members, folder)
            ours, our_memory = parsed(members, number)
            builtin, their_memory = parsed(as_yaml, number)
            ini, _memory = parsed(as_ini, number)
            cached, cache = _cached(folder)
            parsed(cached, number, **cache)
            begun = parsed(cached, number, **cache)[0]
        figures |= {
            f"{number}: membership file, checked, s": ours,
            f"{number}: the same from the cache, s": begun,
            f"{number}: YAML inventory, s": builtin,
            f"{number}: INI inventory, s": ini,
            f"{number}: ours / YAML": ours / builtin,
            f"{number}: memory, ours / YAML": our_memory / their_memory,
        }
    with tempfile.TemporaryDirectory() as name:
        (pathlib.Path(name) / "members.yml").write_text(membership(ALONE))
        seconds, memory = parsed(pathlib.Path(name) / "members.yml", ALONE)
        cached, cache = _cached(pathlib.Path(name))
        parsed(cached, ALONE, **cache)
        again = parsed(cached, ALONE, **cache)[0]
    return figures | {
        f"{ALONE}: membership file, checked, s": seconds,
        f"{ALONE}: the same from the cache, s": again,
        f"{ALONE}: membership file, MiB": memory,
    }
