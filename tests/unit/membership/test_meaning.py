# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Meaning: what the file comes to once every default is filled in, and the rules between its parts."""

from __future__ import annotations

import datetime
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import defaults, names
from tests.unit.membership.base import BASE, built, changed, lines


def test_everything_is_filled_in() -> None:
    rosa = built(BASE).services["rosa"]
    assert rosa == {
        "id": "rosa",
        "tier": "consumer",
        "member": "rosa",
        "client": None,
        "sold_by": None,
        "title": "Rosa",
        "state": "present",
        "instance": None,
        "container_host": "host1",
        "address": "203.0.113.10",
        "address6": None,
        "subdomain_fqdn": "rosa.meet.example",
        "own_domains": [],
        "former_domains": [],
        "hostname": "rosa.meet.example",
        "hostnames": ["rosa.meet.example"],
        "image": "bigbluebutton/greenlight:v3.8.2.4",
        "smtp": None,
        "mail_records": [],
        "mail_records_offered": [],
        "accounts": {
            "registration": "invite",
            "allowed_domains": [],
            "administrators": [{"name": "Rosa", "email": "rosa@rosa.example"}],
            "people_file": None,
            "users": [],
            "roles": [],
            "default_role": None,
            "sold_roles": [],
            "oidc": None,
        },
        "term": None,
        "price": None,
        "limits": {"rooms_per_account": 5, "meeting_minutes": 120, "participants": 50},
        "fair_use": {"participants": 0, "meetings": 0, "policy": "notify"},
        "record": False,
        "server": None,
        "cms": [],
        "branding": {
            "primary_color": "#467fcf",
            "primary_color_light": "#e8eff9",
            "logo": None,
            "terms": "",
            "privacy_policy": "",
            "accessibility_statement": "",
            "help_center": "",
            "welcome": None,
            "language": "en",
            "overrides": None,
        },
        "resources": {"memory": "1g", "cpus": 1.0, "pids": 512},
    }


def test_owner_and_cooperative() -> None:
    found = built(BASE)
    assert found.owners["cafe"] == {
        "id": "cafe",
        "kind": "client",
        "name": "Café",
        "classes": [],
        "contacts": [{"name": "Kim", "email": "kim@cafe.example", "role": "coordinator"}],
        "joined": None,
        "leaving": None,
        "left": None,
        "export_keys": [],
        "supported_by": None,
        "support": {"producer": "agaric", "name": "Agaric", "page": None, "email": None, "hours": None},
        "sold_by": "agaric",
        "website": None,
        "language": None,
        "evidence": {},
    }
    assert found.owners["rosa"]["supported_by"] == "agaric" and found.owners["rosa"]["evidence"]["number"] == "B-1"
    assert found.services["cafe"]["sold_by"] == "agaric" and found.services["cafe"]["client"] == "cafe"
    assert found.cooperative == {
        "id": "meet",
        "name": "meet.coop",
        "domain": "meet.example",
        "decisions": None,
        "contact": {"name": "Office", "email": "office@meet.example"},
        "smtp": None,
        "mailing": {"welcome": False, "pages": None},
    }


def test_every_service_has_the_same_keys() -> None:
    data = changed(
        services__agaric={"tier": "dedicated_container", "member": "agaric", "accounts": {"registration": "open"}},
        services__team={
            "tier": "accounts",
            "client": "cafe",
            "instance": "agaric",
            "accounts": {"users": [{"name": "A", "email": "A@cafe.example"}]},
        },
    )
    found = built(data).services
    assert {frozenset(service) for service in found.values()} == {frozenset(found["rosa"])}
    assert {frozenset(service["accounts"]) for service in found.values()} == {frozenset(found["rosa"]["accounts"])}
    team = found["team"]
    assert (team["hostname"], team["hostnames"], team["client"], team["member"]) == ("agaric.meet.example", [], "cafe", None)
    assert team["accounts"]["users"] == [{"name": "A", "email": "a@cafe.example"}]


def test_defaults_nearest_first() -> None:
    data = changed(
        defaults__limits={"rooms_per_account": 7, "participants": 30},
        defaults__tiers={"consumer": {"limits": {"participants": 20}, "image": "example.test:5000/own/greenlight:v1"}},
        services__rosa__limits={"rooms_per_account": 9},
    )
    found = built(data).services
    assert found["rosa"]["limits"] == {"rooms_per_account": 9, "meeting_minutes": 120, "participants": 20}
    assert found["cafe"]["limits"] == {"rooms_per_account": 7, "meeting_minutes": 240, "participants": 30}
    assert found["rosa"]["image"] == "example.test:5000/own/greenlight:v1" and found["cafe"]["image"] == "bigbluebutton/greenlight:v3.8.2.4"


def test_fair_use_nearest_first() -> None:
    data = changed(
        defaults__fair_use={"participants": 60, "meetings": 4}, services__rosa__fair_use={"participants": 90, "policy": "soft_limit"}
    )
    found = built(data).services
    assert found["rosa"]["fair_use"] == {"participants": 90, "meetings": 4, "policy": "soft_limit"}
    assert found["cafe"]["fair_use"] == {"participants": 60, "meetings": 4, "policy": "notify"}


RELAY = {
    "server": "relay.meet.example",
    "username": "coop",
    "password_var": "vault_relay",
    "sender_email": "meet@meet.example",
    "port": 2525,
}


def test_mail_comes_from_the_relay_when_nothing_is_said() -> None:
    smtp = built(changed(defaults__smtp=RELAY)).services["rosa"]["smtp"]
    assert smtp == {**RELAY, "security": "starttls", "auth": "plain", "sender_name": "Rosa", "helo_domain": "rosa.meet.example"}


def test_own_account_on_the_relay() -> None:
    own = {"username": "rosa", "password_var": "vault_rosa", "sender_email": "meet@rosa.example"}
    smtp = built(changed(defaults__smtp=RELAY, services__rosa__smtp=own)).services["rosa"]["smtp"]
    assert (smtp["server"], smtp["port"], smtp["username"], smtp["password_var"]) == ("relay.meet.example", 2525, "rosa", "vault_rosa")


def test_the_relays_password_never_goes_to_another_server() -> None:
    own = {"server": "Smtp.Rosa.Example.", "sender_email": "meet@rosa.example", "security": "tls"}
    smtp = built(changed(defaults__smtp=RELAY, services__rosa__smtp=own)).services["rosa"]["smtp"]
    assert smtp == {
        "server": "smtp.rosa.example",
        "port": 465,
        "security": "tls",
        "auth": None,
        "username": None,
        "password_var": None,
        "sender_email": "meet@rosa.example",
        "sender_name": "Rosa",
        "helo_domain": "rosa.meet.example",
    }


def test_the_cooperatives_own_account_and_what_it_mails() -> None:
    found = built(changed(defaults__smtp=RELAY, cooperative__mailing={"welcome": True, "pages": "month"})).cooperative
    assert found["mailing"] == {"welcome": True, "pages": "month"}
    assert found["smtp"] == {
        **RELAY, "security": "starttls", "auth": "plain", "sender_name": "meet.coop", "helo_domain": "meet.example",
    }  # fmt: skip
    own = {"server": "smtp.office.example", "sender_email": "office@meet.example", "sender_name": "Office"}
    found = built(changed(defaults__smtp=RELAY, cooperative__smtp=own)).cooperative
    assert (found["smtp"]["server"], found["smtp"]["username"], found["smtp"]["sender_name"]) == ("smtp.office.example", None, "Office")


def test_mailing_needs_a_whole_account_of_the_cooperatives_own() -> None:
    assert lines(changed(cooperative__mailing={"welcome": True})) == [
        "cooperative, field mailing.welcome: needs a mail account; write the account it goes out through as smtp: below cooperative, "
        "with server: and sender_email:"
    ]
    assert lines(changed(cooperative__mailing={"pages": "week"}, cooperative__smtp={"server": "smtp.office.example"})) == [
        "cooperative, field smtp.sender_email: is missing; write the address mails come from, such as meet@sunflower.example"
    ]
    relay = {name: value for name, value in RELAY.items() if name != "sender_email"}
    assert [
        line.partition(":")[0] for line in lines(changed(cooperative__mailing={"welcome": True}, defaults__smtp=relay, services={}))
    ] == ["cooperative, field smtp.sender_email"]
    own = {**RELAY, "dns": {"spf": "include:relay.example"}}
    assert [line.partition(";")[0] for line in lines(changed(cooperative__smtp=own))] == [
        "cooperative, field smtp.dns: is for accounts that services send with"
    ]
    # Nothing is mailed: half an account in the defaults is for services to complete.
    assert built(changed(cooperative__mailing={"welcome": False}, defaults__smtp=relay, services={})).cooperative["smtp"] is None
    assert "did you mean month?" in " ".join(lines(changed(cooperative__mailing={"pages": "moth"}, cooperative__smtp=RELAY)))


def test_no_mail_on_purpose() -> None:
    assert built(changed(defaults__smtp=RELAY, services__rosa__smtp=None)).services["rosa"]["smtp"] is None


def test_half_an_account_over_the_relays_is_refused() -> None:
    assert lines(changed(defaults__smtp=RELAY, services__rosa__smtp={"username": "rosa"})) == [
        'service "rosa", field smtp.username: there is a user name but no password; '
        "write password_var: and the name of the variable that holds it"
    ]


@pytest.mark.parametrize(
    ("security", "port", "hint"),
    [("starttls", 465, "write security: tls"), ("tls", 587, "write security: starttls"), ("starttls", 587, None)],
)
def test_odd_ports_are_hints_not_errors(security: str, port: int, hint: str | None) -> None:
    smtp = {"server": "smtp.rosa.example", "sender_email": "meet@rosa.example", "security": security, "port": port}
    warnings = built(changed(services__rosa__smtp=smtp)).warnings
    assert (not warnings) if hint is None else (len(warnings) == 1 and hint in warnings[0] and warnings[0].startswith("members.yml:"))


def test_domains() -> None:
    service = built(
        changed(services__rosa__domains=["Treffen.Rosa.Example.", "münchen.example"], services__rosa__subdomain="roses")
    ).services["rosa"]
    assert service["own_domains"] == ["treffen.rosa.example", "xn--mnchen-3ya.example"]
    assert service["subdomain_fqdn"] == "roses.meet.example"
    assert service["hostname"] == "treffen.rosa.example"
    assert service["hostnames"] == ["treffen.rosa.example", "xn--mnchen-3ya.example", "roses.meet.example"]


def test_former_domains_lead_to_the_present_one() -> None:
    moved = changed(services__rosa__domains=["new.example"], services__rosa__former_domains=["Old.example", "roses.meet.example"])
    service = built(moved).services["rosa"]
    assert service["former_domains"] == ["old.example", "roses.meet.example"]
    assert service["hostname"] == "new.example"
    assert service["hostnames"] == ["new.example", "rosa.meet.example", "old.example", "roses.meet.example"]
    for taken in ("new.example", "cafe.meet.example", "meet.example"):
        assert len(lines(changed(services__rosa__domains=["new.example"], services__rosa__former_domains=[taken]))) == 1, taken


def test_a_removed_service_frees_its_names() -> None:
    moved = changed(services__rosa__domains=["a.example"], services__cafe__domains=["a.example"])
    assert len(lines(moved)) == 1
    moved["services"]["rosa"]["state"] = "absent"
    assert lines(moved) == []
    moved["services"]["rosa"]["state"] = "stopped"
    assert len(lines(moved)) == 1


def test_reserved_subdomains_can_be_chosen() -> None:
    assert len(lines(changed(services__rosa__subdomain="www"))) == 1
    assert lines(changed(services__rosa__subdomain="www", cooperative__reserved_subdomains=["pool"])) == []


def test_a_membership_ends_on_its_day() -> None:
    data = changed(members__rosa__left="2026-01-02")
    assert lines(data, datetime.date(2026, 1, 1)) == []
    assert "left on 2026-01-02" in lines(data, datetime.date(2026, 1, 2))[0]
    for state in ("stopped", "absent"):
        data["services"]["rosa"]["state"] = state
        assert lines(data, datetime.date(2026, 1, 2)) == []


def test_a_client_that_left_needs_no_seller() -> None:
    data = changed(
        members__agaric__left="2025-06-30",
        members__rosa__supported_by=None,
        clients__cafe__left="2025-06-30",
        services__cafe__state="absent",
    )
    assert lines(data) == []
    del data["clients"]["cafe"]["left"]
    assert len(lines(data)) == 1


def test_unlimited_is_for_dedicated_tiers() -> None:
    limits = {"meeting_minutes": 0, "participants": 0}
    assert lines(changed(services__cafe__limits=limits)) == []
    assert len(lines(changed(services__rosa__limits=limits))) == 2


def test_sign_in_elsewhere_is_pointed_out() -> None:
    oidc = {"issuer": "https://id.rosa.example", "client_id": "gl", "client_secret_var": "vault_rosa_oidc"}
    found = built(changed(services__rosa__accounts={"oidc": oidc, "registration": "open"}))
    assert found.services["rosa"]["accounts"]["oidc"] == {
        **oidc, "redirect": None, "uid_field": "sub", "match_email": True, "logout_path": None
    }  # fmt: skip
    assert len(found.warnings) == 1 and "turns sign-in by password off" in found.warnings[0]


def test_allowed_domains_cannot_let_a_longer_name_in() -> None:
    accounts = {"registration": "open", "allowed_domains": ["Coop.example", "@other.example"]}
    assert built(changed(services__rosa__accounts=accounts)).services["rosa"]["accounts"]["allowed_domains"] == [
        "@coop.example",
        "@other.example",
    ]


def test_the_same_register_entry_twice_is_pointed_out() -> None:
    warnings = built(changed(members__rosa__evidence=BASE["members"]["agaric"]["evidence"])).warnings
    assert len(warnings) == 1
    assert warnings[0].endswith(
        'member "rosa", field evidence.number: "7" is also the number of member "agaric"; one co-operative is one member'
    )


def test_light_colour_follows_the_primary_one() -> None:
    branding = {"primary_color": "#B3123F"}
    data = changed(defaults__branding={"primary_color_light": "#ffffff"}, services__rosa__branding=branding)
    found = built(data).services
    assert found["rosa"]["branding"]["primary_color"] == "#b3123f"
    assert found["rosa"]["branding"]["primary_color_light"] == names.light("#b3123f") != "#ffffff"
    assert found["cafe"]["branding"]["primary_color_light"] == "#ffffff"


def test_light_is_greenlights_own_pair() -> None:
    assert names.light(defaults.BRANDING["primary_color"]) == defaults.BRANDING["primary_color_light"]


@given(st.text(max_size=80))
def test_host_names_settle(text: str) -> None:
    name, wrong = names.hostname(text)
    assert (name is None) == bool(wrong)
    if name is not None:
        assert name.isascii() and name == name.lower() and len(name) <= 253 and "." in name
        assert names.hostname(name) == (name, "")
        assert names.hostname(name.upper() + ".") == (name, "")


@given(st.permutations(list(BASE["services"])), st.permutations(list(BASE["members"])))
def test_order_makes_no_difference(services: list[str], members: list[str]) -> None:
    data = changed(services={name: BASE["services"][name] for name in services}, members={name: BASE["members"][name] for name in members})
    assert json.dumps(built(data).services, sort_keys=True) == json.dumps(built(BASE).services, sort_keys=True)


def test_a_table_of_people_lies_beside_its_membership_file() -> None:
    one = changed(services__rosa__accounts__people_file="people/rosa 2026.csv")
    found = built(one).services["rosa"]["accounts"]["people_file"]
    assert found == str(pathlib.Path.cwd() / "people" / "rosa 2026.csv")


@pytest.mark.parametrize(
    "name", ["/etc/shadow.csv", "../vault.csv", "people/../../x.csv", ".hidden.csv", "people.xlsx", "{{ x }}.csv", "a\n.csv"]
)
def test_a_table_of_people_elsewhere_is_refused(name: str) -> None:
    found = lines(changed(services__rosa__accounts__people_file=name))
    assert len(found) == 1 and "write one such as people/sunflower.csv" in found[0]


def test_a_folder_of_overrides_lies_beside_its_membership_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = changed(services__rosa__branding={"overrides": "overrides/rosa"})
    assert any('there is no folder "overrides/rosa"' in line for line in lines(one))
    (tmp_path / "overrides" / "rosa").mkdir(parents=True)
    assert built(one).services["rosa"]["branding"]["overrides"] == str(tmp_path / "overrides" / "rosa")


def test_an_image_of_its_own_may_come_from_the_defaults(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "overrides" / "all").mkdir(parents=True)
    one = changed(defaults__branding={"overrides": "overrides/all"})
    assert built(one).services["rosa"]["branding"]["overrides"] == str(tmp_path / "overrides" / "all")


def test_a_place_comes_from_placement_where_the_service_says_auto() -> None:
    hosts = {name: {"address": f"203.0.113.{number}"} for number, name in enumerate(("host1", "host2"), 1)}
    auto = {"container_hosts": hosts, "defaults__container_host": "auto", "services__cafe__container_host": "host1"}
    unplaced = built(changed(**auto))
    assert unplaced.services["rosa"]["container_host"] is None
    assert [warning for warning in unplaced.warnings if "has no place yet" in warning and '"rosa"' in warning]
    placed = built(changed(**auto, placement={"rosa": "host2"}))
    assert (placed.services["rosa"]["container_host"], placed.services["rosa"]["address"]) == ("host2", "203.0.113.2")
    assert not [warning for warning in placed.warnings if "place" in warning]
    assert lines(changed(**auto, placement={"rosa": "host9", "nobody": "host1", "cafe": "host2"})) == [
        'place of "rosa": container host "host9" is not among container_hosts; write one of host1, host2',
        'place of "nobody": there is no service "nobody"; remove the line',
        'place of "cafe": service "cafe" says itself where it is; write container_host: auto there, or remove this line',
    ]
    assert "call the host something else" in lines(changed(container_hosts={"auto": {"address": "203.0.113.1"}}))[0]
