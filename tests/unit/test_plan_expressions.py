# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan's own evaluation of the roles says what Ansible's says: for every task, of services of every kind and state."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.release import __version__ as core
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.meet.coop.plugins.action import instance_apply
from ansible_collections.meet.coop.plugins.action.instance_plan import TIERS, Around, AroundOne, Desk
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._plan.expressions import Unrenderable, Variables, plain
from ansible_collections.meet.coop.plugins.plugin_utils._plan.steps import read
from ansible_collections.meet.coop.plugins.plugin_utils._plan.wanted import wanted

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
  host2: {address: 203.0.113.11, address6: "2001:db8::11"}
defaults:
  image: bigbluebutton/greenlight:v3.8.2.4
  smtp:
    {server: smtp.meet.example, port: 587, security: starttls, auth: plain, username: m, password_var: vault_rosa,
     sender_email: m@meet.example}
members:
  rosa: &member
    name: Rosa
    classes: [consumer]
    joined: 2021-03-01
    contacts: [{name: Ana Costa, email: ana@rosa.example}]
    evidence: {country: GB, form: community benefit society, register: FCA, number: RS007654}
  agaric:
    <<: *member
    name: Agaric
    classes: [producer]
clients:
  cafe: {name: "Café {{ 'Central' }}", sold_by: agaric, joined: 2024-02-01, contacts: [{name: Kim, email: kim@cafe.example}]}
services:
  plain: &service
    tier: consumer
    member: rosa
    title: Rosa's {{ lookup('pipe', 'false') }} & more
    container_host: host1
    smtp: {username: rosa, password_var: vault_rosa, sender_email: meet@rosa.example, sender_name: Rosa}
    accounts: &accounts
      administrators: [{name: Ana Costa, email: ana@rosa.example}]
    limits: {rooms_per_account: 3, meeting_minutes: 60, participants: 25}
  named:
    <<: *service
    container_host: host2
    domains: [meet.rosa.example, treffen.rosa.example]
    former_domains: [alt.rosa.example, old.meet.example]
    branding: {primary_color: "#e8a200", welcome: "Hello {{ you }}", help_center: "https://rosa.example/help"}
  signed:
    <<: *service
    accounts:
      <<: *accounts
      default_role: Board
      roles:
        - {name: Board, rooms_per_account: 2, permissions: {CanRecord: true}}
      oidc: {issuer: "https://id.rosa.example", client_id: meet, client_secret_var: vault_oidc}
  logo:
    <<: *service
    branding: {logo: "https://rosa.example/logo.svg"}
  halted:
    <<: *service
    state: stopped
  gone:
    <<: *service
    domains: [gone.rosa.example]
    state: absent
  tearoom:
    tier: dedicated_container
    client: cafe
    container_host: host1
    accounts: *accounts
    limits: {meeting_minutes: 90, participants: 20}
  large:
    tier: dedicated_server
    member: agaric
    container_host: host1
    accounts: *accounts
    record: true
    server: {domain: bbb.agaric.example, secret_var: vault_bbb}
  sold:
    tier: accounts
    member: rosa
    instance: large
    accounts:
      users: [{name: Kim Lee, email: kim@rosa.example}]
    limits: {rooms_per_account: 2}
"""
VARIABLES = """
vault_rosa: "{{ vault_all.rosa }}"
vault_all: {rosa: "hush {{ '-' ~ inventory_hostname }}"}
vault_oidc: very secret
vault_bbb: "{{ 'x' * 20 }}"
instance_dns_tsig: {name: coop., algorithm: hmac-sha256, secret: "{{ 'c2VjcmV0' }}"}
instance_ca_file: "{{ '/etc/ca.pem' if inventory_hostname != 'logo' else '' }}"
instance_environment: {LOG_LEVEL: "{{ 'debug' }}"}
instance_redis_image: redis:8
"""
OLD = tuple(map(int, core.split(".")[:2])) < (2, 19)


class Stub:
    """All of a member's names but the last are open; nothing in a zone differs."""

    def edge(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"hosts": [], "token": "t0ken", "account_uri": None, "pace": {"allowance": 4, "wait": 0}}

    def domains(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        assert arguments["edge_token"] == "t0ken" and "account_uri" not in arguments
        return {"open": arguments["names"][:-1], "notes": ["one is not ready"], "waiting": []}

    def zone(self, module: str, arguments: Mapping[str, Any]) -> list[str]:
        assert module == "dns_zone"
        return []


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("inventory")
    (folder / "members.yml").write_text(MEMBERS)
    (folder / "hosts.ini").write_text("[pool_hosts]\npool\n")
    (folder / "group_vars").mkdir()
    (folder / "group_vars" / "all.yml").write_text(VARIABLES)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(folder / "hosts.ini"), str(folder / "members.yml")])
    manager = VariableManager(loader=loader, inventory=inventory)
    yield Desk(loader, {"hostvars": HostVars(inventory, manager, loader)})


SERVICES = ("plain", "named", "signed", "logo", "halted", "gone", "tearoom", "large", "sold")


def without(value: Any, omitted: str) -> Any:
    if isinstance(value, dict):
        return {key: without(entry, omitted) for key, entry in value.items() if entry != omitted}
    return [without(entry, omitted) for entry in value] if isinstance(value, list) else value


def by_ansible(desk: Desk, known: Variables, value: Any) -> Any:
    """The same value by Ansible's own engine."""
    variables = {**known.raw(), "omit": "__omitted__", "hostvars": desk.hostvars}
    return without(plain(Templar(loader=desk.loader, variables=variables).template(value)), "__omitted__")


@pytest.mark.parametrize("service", SERVICES)
def test_every_task_is_evaluated_as_ansible_does(desk: Desk, service: str) -> None:
    raw = desk.hostvars.raw_get(service)
    chain = read(str(ROOT / "roles"), str(raw["coop_service"]["tier"]), desk._load)
    known = desk._variables(service, chain, raw)
    plan = wanted(service, chain, known, Stub())
    assert plan.broken is None
    compared = 0
    for step in chain.steps:
        layered = known.with_layer(step.variables)
        holding = True
        for condition in (*step.gates, *step.conditions):
            source = desk.loader.load(f'{{"x": "{{{{ ({str(condition).replace(chr(34), chr(39))}) | bool }}}}"}}')["x"]
            trusted = _trusted(source)
            ours = layered.holds(condition)
            assert ours == by_ansible(desk, layered, trusted), (step.name, condition)
            if not ours:
                holding = False
                break
        if not holding or step.loop is not None or "meet.coop" not in step.module:
            continue
        if step.module.endswith(("debug", "greenlight_image", "move_record")):
            continue
        assert as_read(plain(layered.render(step.arguments))) == as_read(by_ansible(desk, layered, step.arguments)), step.name
        compared += 1
    assert compared >= {"halted": 4, "gone": 4, "sold": 2}.get(service, 8)


def as_read(value: Any) -> Any:
    """What a module makes of arguments: with ansible-core 2.18 numbers and nothing come out of a template as texts, until it reads them."""
    if not OLD:
        return value
    if isinstance(value, dict):
        return {key: as_read(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [as_read(entry) for entry in value]
    return "" if value is None else str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _trusted(source: str) -> str:
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return source
    return trust_as_template(source)


def test_what_the_membership_file_says_is_never_run(desk: Desk) -> None:
    """The title and the welcome text look like templates; they arrive as they stand."""
    plan = desk.plan("plain", _edge())
    logo = next(step for step in plan.steps if step["module"] == "copy")
    assert "{{ lookup(&#39;pipe&#39;, &#39;false&#39;) }}" in logo["arguments"]["content"]
    named = next(step for step in desk.plan("tearoom", _edge()).steps if step["module"] == "greenlight_settings")
    assert named["arguments"]["meeting_options"] == {"welcome": None, "notifyRecordingIsOn": ""}


def _edge() -> Around:
    class Quiet(Around):
        def of(self, name: str) -> Any:
            return Stub()

    return Quiet()


@pytest.mark.parametrize("service", ["plain", "gone"])
def test_the_container_host_says_that_its_instances_are_in_a_swarm(tmp_path: pathlib.Path, service: str) -> None:
    (tmp_path / "members.yml").write_text(MEMBERS)
    (tmp_path / "hosts.ini").write_text("[pool_hosts]\npool\n")
    (tmp_path / "group_vars").mkdir()
    swarm = "container_host_engine: swarm\ncontainer_host_swarm_addresses: {host1: 10.0.0.1, host2: 10.0.0.2}\n"
    (tmp_path / "group_vars" / "all.yml").write_text(VARIABLES)
    (tmp_path / "group_vars" / "container_hosts.yml").write_text(swarm)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.ini"), str(tmp_path / "members.yml")])
    desk = Desk(loader, {"hostvars": HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)})
    plan = desk.plan(service, _edge())
    assert plan.broken is None
    step = next(one["arguments"] for one in plan.steps if one["module"] == "greenlight_container")
    place = f"/srv/meet-coop/uploads/{service}"
    assert (step["engine"], step["swarm"]) == ("swarm", {"storage": "shared", "path": place})
    if step["state"] == "present":
        assert step["database"]["host"] == "10.0.0.1" and (step["rehearse"], step["image_change"]) == (True, "keep")
        assert any(one["module"] == "file" and one["arguments"]["path"] == place for one in plan.steps)


def test_every_task_of_a_tier_is_planned_or_told(desk: Desk) -> None:
    """A new kind of task in a role has to be taught to the plan, or it would be told as drift of every service for ever."""
    for service in SERVICES:
        plan = desk.plan(service, _edge())
        expected = ["domains"] if service == "named" else []
        assert (plan.broken, sorted({entry["kind"] for entry in plan.drift})) == (None, expected), plan


def test_of_a_service_without_systems_the_kept_secrets_say_whether_it_had_some(desk: Desk) -> None:
    plans = {service: desk.plan(service, _edge()) for service in SERVICES}
    steps = {service: [step["arguments"] for step in plan.steps if step["module"] == "cms_access"] for service, plan in plans.items()}
    assert steps["halted"] == [{"path": "/var/lib/meet-coop/instances/halted/secrets.json"}]
    assert steps["gone"] == [{"path": "/var/lib/meet-coop/instances/gone/secrets.json"}]
    assert not steps["plain"]  # there, the task of the secrets looks


def test_a_tier_without_services_is_read_too() -> None:
    loader = DataLoader()
    for tier in TIERS:
        chain = read(str(ROOT / "roles"), tier, loader.load_from_file)
        assert chain.steps and any(step.module.startswith("meet.coop.") for step in chain.steps)


@pytest.mark.parametrize(
    ("service", "variable", "said"),
    [
        ("plain", {"instance_service": "{{ coop_service | combine({'limits': {'meeting_minutes': 0, 'participants': 3}}) }}"}, None),
        ("large", {"dedicated_server_secret": "short"}, "tier dedicated_server needs the server's address"),
        ("large", {"dedicated_server_secret": "{{ never_said }}"}, "never_said"),
        ("plain", {"vault_rosa": "{{ vault_rosa }}"}, "refers to itself"),
    ],
)
def test_a_damaged_desired_state_is_told_in_one_line(desk: Desk, service: str, variable: dict[str, str], said: str | None) -> None:
    other = Desk(desk.loader, {"hostvars": desk.hostvars})
    other.extra = {name: _trusted(value) for name, value in variable.items()}
    plan = other.plan(service, _edge())
    if said is None:
        assert plan.broken is None
    else:
        assert plan.broken and said in plan.broken and "\n" not in plan.broken and "Traceback" not in plan.broken


def test_a_name_server_that_is_down_is_waited_for_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import ServerError
    from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ZoneTask

    asked = []

    def down(task: ZoneTask) -> None:
        asked.append(task.wanted.scope.member)
        raise ServerError("ns1.meet.example does not answer")

    monkeypatch.setattr(ZoneTask, "observe", down)
    around = Around()
    plans = [desk.plan(name, around) for name in ("plain", "logo", "nobody")]
    assert [plan.broken for plan in plans] == ["ns1.meet.example does not answer"] * 2 + ["nobody is no service of the membership file"]
    assert asked == ["plain"]


def test_an_expression_that_cannot_be_evaluated_raises_one_kind_of_error(desk: Desk) -> None:
    known = desk.other("plain")
    with pytest.raises(Unrenderable):
        known.with_layer({"a": _trusted("{{ a }}")})["a"]


def test_a_value_that_is_kept_encrypted_arrives_as_its_text() -> None:
    class Kept:
        """As Ansible's EncryptedString: like a text in all but type."""

        def __str__(self) -> str:
            return "hush"

        def __iter__(self) -> Iterator[str]:
            return iter("hush")

    assert plain({"a": [Kept()], "b": (1, None, True, 0.5)}) == {"a": ["hush"], "b": [1, None, True, 0.5]}


def test_three_broken_among_many_are_named_and_all_others_planned(tmp_path: pathlib.Path) -> None:
    number, broken = 60, {7: "instance_dns_port: '{{ nobody_said }}'", 21: "", 42: "instance_image: '{{ [1] | no_such_filter }}'"}
    head = MEMBERS.partition("services:")[0]
    services = "".join(
        f"  s{index}:\n    tier: consumer\n    member: rosa\n    container_host: host1\n    accounts: {{administrators: []}}\n"
        f"    smtp: {{password_var: {'vault_unset' if index == 21 else 'vault_rosa'}, username: u, sender_email: meet@rosa.example}}\n"
        "    limits: {rooms_per_account: 3, meeting_minutes: 60, participants: 25}\n"
        for index in range(number)
    ).replace("administrators: []", "administrators: [{name: Ana, email: ana@rosa.example}]")
    (tmp_path / "members.yml").write_text(f"{head}services:\n{services}")
    (tmp_path / "hosts.ini").write_text("[pool_hosts]\npool\n")
    for folder, name, text in (("group_vars", "all", VARIABLES), *(("host_vars", f"s{index}", text) for index, text in broken.items())):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.yml").write_text(text)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.ini"), str(tmp_path / "members.yml")])
    desk = Desk(loader, {"hostvars": HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)})
    plans = [desk.plan(f"s{index}", _edge()) for index in range(number)]
    told = {plan.name: plan.broken for plan in plans if plan.broken}
    assert set(told) == {"s7", "s21", "s42"}
    assert "nobody_said" in told["s7"] and "vault_unset, which is not set" in told["s21"] and "no_such_filter" in told["s42"]
    assert all(len(plan.steps) >= 8 and plan.tenants and not plan.drift for plan in plans if not plan.broken)


def test_who_is_left_to_its_role_and_what_is_published_for_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the many-at-once do not do themselves is told before anything is changed."""
    written: list[str] = []

    class Task:
        def __init__(self, arguments: Mapping[str, Any]) -> None:
            self.member = arguments["member"]

        def run(self) -> None:
            if self.member == "logo":
                raise CoopError("the zone is refused")
            written.append(self.member)

    monkeypatch.setattr(AroundOne, "zone", lambda self, module, arguments: ["create " + arguments["member"]])
    monkeypatch.setattr(instance_apply, "_zone_task", lambda _module, arguments: Task(arguments))
    around = instance_apply._Publishing()
    plans = {name: desk.plan(name, around) for name in (*SERVICES, "nobody")}
    left = {name: instance_apply._left(plan, desk.hostvars.raw_get(name) if name in desk.hostvars else {}) for name, plan in plans.items()}
    assert {name for name, why in left.items() if why is None} == {"plain", "signed", "logo", "tearoom"}
    assert left["named"] == "its own names are judged by its role alone"
    assert left["halted"] == "its state is stopped" and "gone" in left and "nobody is no service" in str(left["nobody"])
    assert left["large"] == "tier dedicated_server is brought up by its role alone"
    told = {name: instance_apply.Told(name) for name in ("plain", "logo")}
    for name, one in told.items():
        one.do("DNS", lambda name=name: around.publish(name, check=False))
    assert written == ["plain"] and told["plain"].actions == ["DNS: create plain"]
    assert told["logo"].failed == "DNS: the zone is refused" and told["logo"].actions == []
    assert around.publish("plain", check=True) == ["create plain"] and written == ["plain"]  # foretold, not done
    assert [check["smtp"]["password"] for check in plans["plain"].checks] == ["hush -plain"]
    assert plans["signed"].checks == []  # its people come by their provider, and nobody is mailed
