# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the names of a service lead once the membership file names another container host, by IPv4 and IPv6."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.meet.coop.plugins.action.instance_plan import Around, Desk

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEMBERS = """
plugin: meet.coop.members
cooperative:
  id: meet
  name: meet.coop
  domain: meet.example
  contact: {name: Office, email: office@meet.example}
container_hosts:
  host1: {address: 203.0.113.10}
  host2: {address: 203.0.113.11, address6: "ADDRESS6"}
defaults:
  image: bigbluebutton/greenlight:v3.8.2.4
  smtp: {server: smtp.meet.example, sender_email: m@meet.example}
members:
  rosa:
    name: Rosa
    classes: [consumer]
    joined: 2021-03-01
    contacts: [{name: Ana Costa, email: ana@rosa.example}]
    evidence: {country: GB, form: community benefit society, register: FCA, number: RS007654}
services:
  named:
    tier: consumer
    member: rosa
    container_host: HOST
    former_domains: [old.meet.example]
    accounts: &accounts
      administrators: [{name: Ana Costa, email: ana@rosa.example}]
    limits: {rooms_per_account: 3, meeting_minutes: 60, participants: 25}
  own:
    tier: dedicated_server
    member: rosa
    container_host: HOST
    accounts: *accounts
    server: {domain: bbb.rosa.example, secret_var: vault_bbb, balancer: BALANCER}
"""
VARIABLES = """
vault_bbb: xxxxxxxxxxxxxxxxxxxx
instance_dns_tsig: {name: coop., algorithm: hmac-sha256, secret: c2VjcmV0}
"""
ONE, TWO, TWO6 = "203.0.113.10", "203.0.113.11", "2001:db8::11"


class Zone(Around):
    """Keeps the records that a run would publish; nothing else drifts."""

    def __init__(self) -> None:
        self.records: set[tuple[str, str, str]] = set()

    def of(self, name: str) -> Any:
        return self

    def edge(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"hosts": [], "token": "t0ken", "account_uri": None, "pace": {"allowance": 4, "wait": 0}}

    def domains(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"open": [], "notes": [], "waiting": []}

    def zone(self, module: str, arguments: Mapping[str, Any]) -> list[str]:
        self.records = {(record["name"], record["type"], value) for record in arguments["records"] for value in record["values"]}
        return []


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Callable[..., Desk]:
    def make(host: str, balancer: str = "host1", address6: str = TWO6) -> Desk:
        text = MEMBERS.replace("HOST", host).replace("BALANCER", balancer).replace("ADDRESS6", address6)
        (tmp_path / "members.yml").write_text(text)
        (tmp_path / "hosts.ini").write_text("[pool_hosts]\npool\n")
        (tmp_path / "group_vars").mkdir(exist_ok=True)
        (tmp_path / "group_vars" / "all.yml").write_text(VARIABLES)
        loader = DataLoader()
        inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.ini"), str(tmp_path / "members.yml")])
        return Desk(loader, {"hostvars": HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)})

    return make


def published(desk: Desk, service: str) -> set[tuple[str, str, str]]:
    zone = Zone()
    assert desk.plan(service, zone).broken is None
    return {record for record in zone.records if record[1] in ("A", "AAAA")}


def test_after_a_move_its_names_lead_to_all_addresses_of_the_new_host_and_none_of_the_old(desk: Callable[..., Desk]) -> None:
    assert published(desk("host1"), "named") == {("named", "A", ONE), ("old", "A", ONE)}
    there = {("named", "A", TWO), ("named", "AAAA", TWO6), ("old", "A", TWO), ("old", "AAAA", TWO6)}
    assert published(desk("host2"), "named") == there


def test_of_a_service_with_a_server_of_its_own_greenlight_moves_and_the_balancer_stays(desk: Callable[..., Desk]) -> None:
    api = "own-api.meet.example."
    assert published(desk("host1"), "own") == {("own", "A", ONE), (api, "A", ONE)}
    assert published(desk("host2"), "own") == {("own", "A", TWO), ("own", "AAAA", TWO6), (api, "A", ONE)}
    both = {("own", "A", TWO), ("own", "AAAA", TWO6), (api, "A", TWO), (api, "AAAA", TWO6)}
    assert published(desk("host2", "host2"), "own") == both


def test_an_address_is_the_same_however_it_is_written(desk: Callable[..., Desk]) -> None:
    written = desk("host2", address6="2001:DB8:0::0:11")
    assert ("named", "AAAA", TWO6) in published(written, "named")
    assert written.hostvars["host2"]["coop_address6"] == TWO6


@pytest.mark.parametrize(
    ("leads_to", "left"),
    [([TWO, TWO6], False), ([ONE], True), (["2001:db8::10"], True), (["2001:db8::10", TWO], True), (["192.0.2.7"], False)],
)
def test_who_comes_to_the_old_host_by_either_address_keeps_it_from_being_erased(leads_to: list[str], left: bool) -> None:
    loader = DataLoader()
    variables = Desk(loader, {"hostvars": {}})._load(str(ROOT / "roles" / "move" / "vars" / "main.yml"))
    name = {"name": "meet.rosa.test", "status": "ready" if leads_to == [TWO, TWO6] else "elsewhere", "addresses": leads_to}
    known = {
        **variables, "move_origin": "host1", "move_names": {"results": [name]},
        "hostvars": {"host1": {"coop_address": ONE, "coop_address6": "2001:db8::10"}},
    }  # fmt: skip
    assert Templar(loader=loader, variables=known).template(variables["move_stragglers"]) == ([name] if left else [])
