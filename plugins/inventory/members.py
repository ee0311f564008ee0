# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: members
short_description: The membership file of a co-operative as inventory
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Turns a membership file (the co-operative, its members, their clients, their services) into one inventory host per service.
  - A service's host has the connection variables of its container host, so that tasks run there.
  - "Groups: C(coop_services), C(members), C(clients), C(member_<id>), C(client_<id>), C(tier_<tier>), C(class_consumer), C(class_producer),
    C(on_<container host>) and C(container_hosts); in group names C(-) and C(.) become C(_). Members without a service have a group too."
  - "A BigBlueButton server of a service's own that has an C(address) is a host too, in the group C(dedicated_servers), with the variables
    that role C(bbb_node) reads. The host that runs its balancer is in the group C(dedicated_balancers)."
  - "Variables of each service: C(coop_service) (what it is, all defaults filled in), C(coop_owner) (whose it is) and C(coop_cooperative),
    which all other hosts have too: those of the last inventory source, where several describe a co-operative."
  - "Variables of each container host: C(coop_address) and C(coop_address6), the addresses that names of its instances lead to."
  - All hosts have C(coop_written), the folder C(written) beside the (first) membership file, where roles write pages and receipts unless
    told otherwise. Set it in C(group_vars/all) to have them elsewhere.
  - Services without a place (C(container_host=auto), and no line under C(placement)) are in the group C(unplaced_services) and in no other.
  - Container hosts that no other inventory source has defined before are added to the group C(container_hosts).
  - Nothing in a membership file is run as a template. The options of a configuration file of this plugin can be templates.
  - The membership file itself is an inventory source if it says C(plugin=meet.coop.members) at the top. To set options, or to keep the
    membership in several files, write a configuration file with O(paths).
notes:
  - Other inventory sources that define the container hosts have to come first. In a folder, Ansible reads sources in alphabetical order.
  - A folder used as inventory must not hold membership files without the C(plugin) line; Ansible would take them for another kind of
    inventory.
  - A membership file with a mistake is refused as a whole, with one line for each mistake. Ansible goes on without it unless
    C(any_unparsed_is_failed) is set in the C([inventory]) section of C(ansible.cfg); set it.
requirements:
  - jsonschema (Python library)
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Has to be V(meet.coop.members).
    type: str
    required: true
    choices: [meet.coop.members]
  paths:
    description:
      - Membership files, or folders of them. Relative paths are relative to the configuration file.
      - Files are merged; what stands in two of them is refused, with both places.
      - Without it, the configuration file itself is read as the membership file.
    type: list
    elements: str
    env:
      - name: MEET_COOP_MEMBERS_PATHS
    ini:
      - section: inventory_plugin_meet_coop_members
        key: paths
  strict:
    ini:
      - section: inventory_plugin_meet_coop_members
        key: strict
    env:
      - name: MEET_COOP_MEMBERS_STRICT
  cache:
    description:
      - Keep the checked membership in Ansible's inventory cache.
      - What was kept is used only while all files are byte for byte the same, so a changed file always changes the answer.
"""

EXAMPLES = r"""
# The membership file as its own inventory source: members.yml
# ansible-inventory -i members.yml --graph
plugin: meet.coop.members
cooperative:
  id: meet
  name: meet.coop
  domain: meet.example
  contact: {name: Office, email: office@meet.example}
container_hosts:
  host1: {address: 203.0.113.10}
members:
  sunflower:
    name: Sunflower Housing Co-operative
    classes: [consumer]
    joined: 2021-03-01
    contacts:
      - {name: Ana Costa, email: ana@sunflower.example}
    evidence: {country: GB, form: community benefit society, register: FCA Mutuals Public Register, number: RS007654}
services:
  sunflower:
    tier: consumer
    member: sunflower
    image: bigbluebutton/greenlight:v3.8.2.4
    accounts:
      administrators:
        - {name: Ana Costa, email: ana@sunflower.example}
---
# A configuration file, members.coop.yml, with the membership in a folder outside the inventory
plugin: meet.coop.members
paths:
  - ../../membership
cache: true
keyed_groups:
  - key: coop_owner.evidence.country
    prefix: country
"""

import datetime
import os
import re
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

try:
    from ansible.template import trust_as_template as as_template
except ImportError:
    # ansible-core 2.18: text is a template unless it is marked as unsafe.
    from ansible.utils.unsafe_proxy import wrap_var as as_data

    def as_template(value: str) -> str:
        """The text as a template."""
        return value
else:
    # Later ones run nothing as a template that is not marked as trusted; what we read never is.
    def as_data(value: Any) -> Any:
        """The value as something that is never run as a template."""
        return value


_PLUGIN_LINE = re.compile(r"""^plugin[ ]*:[ ]*["']?meet\.coop\.members["']?[ ]*(?:#.*)?$""", re.MULTILINE)
_SECTION_LINE = re.compile(r"^(?:cooperative|container_hosts|members|clients|services|defaults)[ ]*:", re.MULTILINE)
_NOT_IN_GROUPS = re.compile(r"[^A-Za-z0-9_]")


def group_name(prefix: str, name: str) -> str:
    """The group for an id: C(member_a_b) for C(a-b)."""
    return prefix + _NOT_IN_GROUPS.sub("_", name)


def head(path: str) -> str:
    """The text of a file as far as it is text; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """One host per service of a membership file."""

    NAME = "meet.coop.members"

    def verify_file(self, path: str) -> bool:
        """Any YAML file that names this plugin, and C(*members.coop.yml) in any case."""
        if not super().verify_file(path) or os.path.isdir(path) or not path.endswith((".yml", ".yaml")):
            return False
        return path.endswith(("members.coop.yml", "members.coop.yaml")) or bool(_PLUGIN_LINE.search(head(path)))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Fills the inventory; AnsibleParserError has one line per mistake in the membership file."""
        super().parse(inventory, loader, path, cache)
        try:
            paths = self._paths(path)
            membership = self._membership(paths, path, cache)
        except MembershipError as exc:
            raise AnsibleParserError(str(exc)) from None
        except ImportError as exc:
            raise AnsibleParserError(
                f"meet.coop.members needs the Python library {exc.name} where ansible itself runs; install it there: pip install {exc.name}"
            ) from None
        for warning in membership["warnings"]:
            self.display.warning(warning)
        # Without it roles would write beside the playbook, which may be the installed collection.
        folder = paths[0][0] if os.path.isdir(paths[0][0]) else os.path.dirname(paths[0][0])
        inventory.set_variable("all", "coop_written", os.path.join(os.path.abspath(folder), "written"))
        self._populate(membership, path)

    # -- where the membership comes from

    def _paths(self, path: str) -> list[tuple[str, str]]:
        """Files and folders to read, each with the name to show in messages."""
        text = head(path)
        own = bool(_SECTION_LINE.search(text)) and not re.search(r"^paths[ ]*:", text, re.MULTILINE)
        if own:
            # No option is taken from a membership file: those who edit members do not configure Ansible.
            self.set_options(direct={"plugin": self.NAME})
            return [(path, self._shown(path))]
        self._read_config_data(path)
        paths = self.get_option("paths")
        if not paths:
            raise AnsibleParserError(f"{self._shown(path)}: names no membership file; write paths: [members.yml], relative to this file")
        folder = os.path.dirname(os.path.abspath(path))
        found = [os.path.normpath(os.path.join(folder, os.path.expanduser(item))) for item in paths]
        return [(item, self._shown(item)) for item in found]

    @staticmethod
    def _shown(path: str) -> str:
        """Relative to where the user stands when the file is below, else in full."""
        relative = os.path.relpath(path)
        return os.path.abspath(path) if relative.startswith("..") else relative

    def _membership(self, paths: list[tuple[str, str]], path: str, cache: bool) -> dict[str, Any]:
        """The checked membership, from the cache while no file has changed."""
        texts = model.read_files(paths)
        today = datetime.date.today()
        if not self.get_option("cache"):
            return model.as_dict(model.build(texts, today))
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        mark = model.fingerprint(texts, today)
        if cache:
            try:
                kept = self._cache[key]
                if kept["fingerprint"] == mark:
                    return kept["membership"]
            except (KeyError, TypeError):
                pass
        membership = model.as_dict(model.build(texts, today))
        self._cache[key] = {"fingerprint": mark, "membership": membership}
        return membership

    # -- what the inventory gets

    def _populate(self, membership: dict[str, Any], path: str) -> None:
        inventory = self.inventory
        groups = ("coop_services", "members", "clients", "container_hosts", "class_consumer", "class_producer", "unplaced_services")
        for name in (*groups, "dedicated_servers", "dedicated_balancers"):
            inventory.add_group(name)
        for name in ("consumer", "dedicated_container", "dedicated_server", "accounts"):
            inventory.add_group(f"tier_{name}")
        inventory.add_child("coop_services", "members")
        inventory.add_child("coop_services", "clients")
        nested: dict[str, list[str]] = {}
        for owner in membership["owners"]:
            group = inventory.add_group(group_name(f"{owner['kind']}_", owner["id"]))
            for parent in (f"{owner['kind']}s", *(f"class_{name}" for name in owner["classes"])):
                nested.setdefault(parent, []).append(group)
        for parent, children in nested.items():
            self._nest(parent, children)

        taken = [service["id"] for service in membership["services"] if service["id"] in inventory.hosts]
        if taken:
            raise AnsibleParserError(
                "\n".join(
                    f'{self._shown(path)}: service "{name}": another inventory source already has a host of this name; '
                    "choose another id for the service (variables of a service belong in host_vars)"
                    for name in taken
                )
            )
        connections = {name: self._container_host(name, host, path) for name, host in membership["container_hosts"].items()}

        cooperative = as_data(membership["cooperative"])
        # For plays that work on the controller.
        inventory.set_variable("all", "coop_cooperative", cooperative)
        owners = {owner["id"]: as_data(owner) for owner in membership["owners"]}
        for service in membership["services"]:
            service_id = service["id"]
            owner = owners[service["member"] or service["client"]]
            if service["container_host"] is None:
                # There is no machine to work on: known, so that it can be placed, and in no group that a play works through.
                inventory.add_host(service_id, group="unplaced_services")
                inventory.hosts[service_id].set_variable("coop_service", as_data(service))
                inventory.hosts[service_id].set_variable("coop_owner", owner)
                continue
            inventory.add_host(service_id, group=group_name(f"{owner['kind']}_", owner["id"]))
            inventory.add_child(f"tier_{service['tier']}", service_id)
            inventory.add_child(group_name("on_", service["container_host"]), service_id)
            # Straight to the host: the values are plain data of our own making, and inventory.set_variable would copy all of
            # them node by node (half of the time for 10,000 services).
            host = inventory.hosts[service_id]
            host.set_variable("coop_service", as_data(service))
            host.set_variable("coop_owner", owner)
            host.set_variable("coop_cooperative", cooperative)
            for name, value in connections[service["container_host"]].items():
                host.set_variable(name, value)
            if service["server"] is not None:
                self._server(service)
        self._construct([service["id"] for service in membership["services"] if service["container_host"] is not None])

    def _server(self, service: dict[str, Any]) -> None:
        """The service's own BigBlueButton server and the balancer before it, where they are machines that Ansible looks after."""
        inventory, server = self.inventory, service["server"]
        if service["state"] == "absent":
            return
        if server["host"] is not None:
            variables = {"ansible_host": server["address"], **server["connection"]}
            if server["host"] in inventory.hosts:
                # Another source says how to reach it.
                variables = {}
            inventory.add_host(server["host"], group="dedicated_servers")
            variables["coop_server"] = {"service": service["id"], "domain": server["domain"], "secret_var": server["secret_var"]}
            variables["bbb_node_recording"] = service["record"]
            if server["recordings"] is not None:
                retention = ("published_days", "unrecorded_days", "history")
                variables["bbb_node_recording_formats"] = server["recordings"]["formats"]
                variables["bbb_node_recording_retention"] = {key: server["recordings"][key] for key in retention}
                variables["coop_server"]["delete_after_days"] = server["recordings"]["delete_after_days"]
            for key, value in variables.items():
                inventory.hosts[server["host"]].set_variable(key, as_data(value))
        if server["balancer"] is not None:
            inventory.add_host(server["balancer"], group="dedicated_balancers")
            mine = {"service": service["id"], "domain": server["balancer_domain"], "node": server["domain"]}
            inventory.hosts[server["balancer"]].set_variable("coop_balancer", as_data({**mine, "secret_var": server["secret_var"]}))

    def _nest(self, parent: str, children: list[str]) -> None:
        """Groups below a group. Ansible searches all children it has for each new one: with 10,000, more than all the rest takes."""
        group = self.inventory.groups[parent]
        kept, known = group.child_groups, set(group.child_groups)
        for child in children:
            if self.inventory.groups[child] not in known:
                group.child_groups = []
                self.inventory.add_child(parent, child)
                kept.extend(group.child_groups)
        group.child_groups = kept

    def _container_host(self, name: str, host: dict[str, Any], path: str) -> dict[str, Any]:
        """Makes the host known and returns the connection variables its services get."""
        inventory = self.inventory
        connection = {key: as_data(value) for key, value in host["connection"].items()}
        if name in inventory.hosts:
            known = inventory.hosts[name]
            sources = [*getattr(inventory, "processed_sources", ()), path]
            found = get_vars_from_inventory_sources(self.loader, sources, [*known.get_groups(), known], "all")
            found = {**connection, **self._group_vars(known), **found, **known.get_vars()}
            # The name is what Ansible connects to when nothing else is said.
            variables = {"ansible_host": name}
            for key, value in found.items():
                if key.startswith("ansible_"):
                    # A template has to be run for its own host: it may use inventory_hostname or variables of that host alone.
                    lazy = isinstance(value, dict | list) or (isinstance(value, str) and ("{{" in value or "{%" in value))
                    variables[key] = as_template(f"{{{{ hostvars['{name}']['{key}'] }}}}") if lazy else value
            inventory.add_child("container_hosts", name)
        else:
            variables = {"ansible_host": host["address"], **connection}
            inventory.add_host(name, group="container_hosts")
            for key, value in variables.items():
                inventory.set_variable(name, key, value)
        inventory.add_group(group_name("on_", name))
        for key in ("address", "address6"):
            inventory.set_variable(name, f"coop_{key}", host.get(key))
        return variables

    @staticmethod
    def _group_vars(host: Any) -> dict[str, Any]:
        """Variables of the groups a host is in, as inventory sources gave them; nearer groups win."""
        found: dict[str, Any] = {}
        for group in sorted(host.get_groups(), key=lambda group: (group.depth, group.priority, group.name)):
            found.update(group.get_vars())
        return found

    def _construct(self, services: list[str]) -> None:
        """The options C(compose), C(groups) and C(keyed_groups), for services only."""
        compose, groups, keyed = self.get_option("compose"), self.get_option("groups"), self.get_option("keyed_groups")
        if not (compose or groups or keyed):
            return
        strict = self.get_option("strict")
        for name in services:
            host = self.inventory.hosts[name]
            self._set_composite_vars(compose, host.get_vars(), name, strict=strict)
            variables = host.get_vars()
            self._add_host_to_composed_groups(groups, variables, name, strict=strict, fetch_hostvars=False)
            self._add_host_to_keyed_groups(keyed, variables, name, strict=strict, fetch_hostvars=False)
