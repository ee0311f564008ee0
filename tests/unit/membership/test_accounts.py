# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in: roles, sign-in elsewhere, and accounts that a member sells on its Greenlight."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import defaults
from tests.unit.membership.base import built, changed, lines

KIM = {"name": "Kim", "email": "kim@cafe.example"}
TEAM: dict[str, Any] = {"tier": "accounts", "client": "cafe", "instance": "agaric", "accounts": {"users": [KIM]}}
HOST: dict[str, Any] = {
    "tier": "dedicated_container",
    "member": "agaric",
    "accounts": {"administrators": [{"name": "Mo", "email": "mo@x.example"}]},
}
OIDC = {"issuer": "https://id.rosa.example", "client_id": "gl", "client_secret_var": "vault_rosa_oidc"}


def sold(**more: Any) -> dict[str, Any]:
    """Agaric's Greenlight and accounts that it sells there; ``more`` overrides the service (``host`` its instance)."""
    host = {**HOST, **more.pop("host", {})}
    return changed(services__agaric=host, services__team={**TEAM, **more})


def with_roles(*roles: Any, **more: Any) -> dict[str, Any]:
    administrators = [{"name": "Rosa", "email": "rosa@rosa.example"}]
    return changed(services__rosa__accounts={"administrators": administrators, "roles": list(roles), **more})


def test_accounts_that_are_sold() -> None:
    data = sold(
        limits={"rooms_per_account": 2},
        term={"from": "2026-01-01", "until": "2026-01-31"},
        price={"amount": "12.50", "currency": "EUR"},
        accounts={"users": [KIM], "people_file": "people/cafe.csv"},
    )
    found = built(data).services
    team, host = found["team"], found["agaric"]
    assert team["limits"] == {"rooms_per_account": 2, "meeting_minutes": 240, "participants": 100}
    assert team["term"] == {"from": "2026-01-01", "until": "2026-01-31", "now": "running"}
    assert team["price"] == {"amount": "12.50", "currency": "EUR", "per": "month"}
    assert team["accounts"]["people_file"] == str(pathlib.Path.cwd() / "people" / "cafe.csv")
    # The instance knows the role, so that its own run does not give it the instance's limit.
    assert team["accounts"]["sold_roles"] == host["accounts"]["sold_roles"] == [{"name": "team", "rooms_per_account": 2}]
    assert (host["term"], host["price"], host["accounts"]["users"]) == (None, None, [])


def test_rooms_of_sold_accounts_nearest_first() -> None:
    def rooms(data: dict[str, Any]) -> int:
        return built(data).services["team"]["limits"]["rooms_per_account"]

    assert rooms(sold()) == defaults.LIMITS["dedicated_container"]["rooms_per_account"]
    assert rooms(sold(host={"limits": {"rooms_per_account": 3}})) == 3
    tier = {**sold(), "defaults": {"image": "a/b:v1", "tiers": {"accounts": {"limits": {"rooms_per_account": 1}}}}}
    assert rooms(tier) == 1
    assert rooms({**tier, "services": {**tier["services"], "team": {**TEAM, "limits": {"rooms_per_account": 4}}}}) == 4
    tier["defaults"]["tiers"]["accounts"]["limits"]["rooms_per_account"] = 21
    assert len(lines(tier)) == 1 and "write at most 20" in lines(tier)[0]


@pytest.mark.parametrize(
    ("begins", "ends", "now"),
    [
        (None, None, "running"), ("2026-01-01", None, "running"), ("2026-01-02", None, "ahead"), (None, "2026-01-01", "running"),
        (None, "2025-12-31", "over"), ("2025-12-31", "2025-12-31", "over"),
    ],
)  # fmt: skip
def test_a_term_holds_both_its_days(begins: str | None, ends: str | None, now: str) -> None:
    term = {key: day for key, day in (("from", begins), ("until", ends)) if day}
    found = built(sold(term=term))
    assert found.services["team"]["term"]["now"] == now
    assert [line for line in found.warnings if "is over, so the accounts are closed" in line] == found.warnings
    assert len(found.warnings) == (now == "over")


@given(st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1)), st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1)))
def test_any_two_days_are_a_term_or_refused(begins: datetime.date, ends: datetime.date) -> None:
    data = sold(term={"from": begins.isoformat(), "until": ends.isoformat()})
    if ends < begins:
        assert len(lines(data)) == 1 and "mend one of the two dates" in lines(data)[0]
    else:
        today = datetime.date(2026, 1, 1)
        expected = "ahead" if today < begins else "over" if today > ends else "running"
        assert built(data).services["team"]["term"]["now"] == expected


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"client": "bistro"}, 'service "agaric" is run by member "agaric", but client "bistro" is served by "rosa"; write rosa'),
        ({"limits": {"rooms_per_account": 21}}, 'more than an account of service "agaric" may have; write at most 20'),
        ({"limits": {"participants": 5}}, "is the same for all meetings of an instance; remove it"),
        ({"term": {"from": "2026-02-30"}}, "is not a day of the calendar"),
        ({"term": {"until": "soon"}}, "is not a date; write year-month-day"),
        ({"price": {"amount": "12.505"}}, 'cannot be paid: an amount has two decimal places; write an amount such as "12.50"'),
        ({"price": {"amount": "12.5", "currency": "JPY"}}, 'JPY has no decimal places; write an amount such as "12"'),
        ({"price": {"amount": 12.5}}, 'put it in quotes: "12.5"'),
        ({"price": {"amount": "12,50"}}, "write digits, with a point where there are minor units"),
        ({"price": {"amount": "-1"}}, "is not an amount"),
        ({"price": {"currency": "EUR"}}, "field price.amount is missing; write amount: 12.50"),
        ({"accounts": {}}, "accounts.users is missing"), ({"accounts": {"users": []}}, "state: absent to close all accounts"),
        ({"accounts": {"users": [KIM], "roles": [{"name": "x"}]}}, "does not go with tier accounts"),
        ({"accounts": {"users": [{**KIM, "email": "MO@x.example"}]}}, 'has an account on service "agaric" by service "agaric" already'),
    ],
)  # fmt: skip
def test_what_cannot_be_sold(more: dict[str, Any], words: str) -> None:
    data = sold(**more)
    data["members"]["rosa"]["classes"] = ["consumer", "producer"]
    data["clients"]["bistro"] = {"name": "Bistro", "sold_by": "rosa", "contacts": [KIM]}
    found = lines(data)
    assert len(found) == 1 and words.replace("accounts.users is missing", "accounts.users") in found[0].replace(
        ": is missing", " is missing"
    ), found


def test_two_buyers_do_not_share_a_person() -> None:
    data = sold()
    data["services"]["crew"] = {**TEAM, "accounts": {"users": [{"name": "K", "email": "KIM@cafe.example"}]}}
    assert len(lines(data)) == 1 and 'by service "team" already' in lines(data)[0]
    data["services"]["team"]["state"] = "absent"
    assert lines(data) == []


def test_a_price_is_for_what_is_sold() -> None:
    price = {"amount": "90", "per": "year"}
    assert built(changed(services__cafe__price=price)).services["cafe"]["price"] == {"amount": "90", "currency": None, "per": "year"}
    assert "members pay by the co-operative's rules" in lines(changed(services__rosa__price=price))[0]
    assert lines({**sold(price={"amount": "1.234", "currency": "KWD"})}) == []
    assert "is for tier accounts only" in lines(changed(services__rosa__term={"from": "2026-01-01"}))[0]


@given(st.text("0123456789.,-+e ", max_size=8), st.sampled_from([None, "EUR", "JPY", "KWD"]))
def test_an_amount_is_whole_minor_units_or_refused(amount: str, currency: str | None) -> None:
    data = sold(price={"amount": amount, **({"currency": currency} if currency else {})})
    if lines(data):
        return
    places = {"JPY": 0, "KWD": 3}.get(currency or "", 2)
    whole, _point, minor = built(data).services["team"]["price"]["amount"].partition(".")
    assert whole.isdigit() and len(minor) <= places and int(whole) >= 0


def test_roles_as_plays_see_them() -> None:
    board = {
        "name": "Board",
        "color": "#AABBCC",
        "rooms_per_account": 4,
        "permissions": {"CanRecord": False},
        "mail_domains": ["B.example"],
    }
    found = built(with_roles(board, {"name": "Old", "state": "absent"}, default_role="Board")).services["rosa"]["accounts"]
    assert found["roles"] == [
        {"name": "Board", "color": "#aabbcc", "state": "present", "rooms_per_account": 4, "permissions": {"CanRecord": False},
         "mail_domains": ["@b.example"]},
        {"name": "Old", "color": None, "state": "absent", "rooms_per_account": None, "permissions": {}, "mail_domains": []},
    ]  # fmt: skip
    assert found["default_role"] == "Board"


@pytest.mark.parametrize(
    ("roles", "more", "words"),
    [
        ([{"name": "Board"}, {"name": "board"}], {}, "is named twice"),
        ([{"name": "superadmin"}], {}, "passes every limit"),
        ([{"name": "user"}], {}, "write User"),
        ([{"name": "User", "state": "absent"}], {}, "cannot be removed"),
        ([{"name": "Board", "rooms_per_account": 6}], {}, "write at most 5"),
        ([{"name": "Board", "permissions": {"ManageRoles": True}}], {}, "can raise every limit"),
        ([{"name": "Board", "permissions": {"CanDance": True}}], {}, "unknown key"),
        ([{"name": "Administrator", "permissions": {"ManageUsers": False}}], {}, "keeps what it may"),
        ([{"name": "Administrator", "mail_domains": ["x.example"]}], {}, "by name only"),
        ([{"name": "A", "mail_domains": ["x.example"]}, {"name": "B", "mail_domains": ["@X.example"]}], {}, 'leads to role "A" already'),
        ([{"name": "a,b"}], {}, "write one line without ',' and '='"), ([{"name": " Board"}], {}, "is not the name of a role"),
        ([{"name": "Old", "state": "absent"}], {"default_role": "Old"}, "is not a role of this service; write one of User, Guest"),
        ([], {"default_role": "Administrator"}, "would make everybody who signs up an administrator"),
    ],
)  # fmt: skip
def test_roles_that_cannot_be(roles: list[Any], more: dict[str, Any], words: str) -> None:
    found = lines(with_roles(*roles, **more))
    assert len(found) == 1 and words in found[0], found


def test_a_role_is_not_called_as_accounts_that_are_sold() -> None:
    accounts = {**HOST["accounts"], "roles": [{"name": "Team"}]}
    found = lines(sold(host={"accounts": accounts}))
    assert len(found) == 1 and 'is the role of service "team"' in found[0]


@pytest.mark.parametrize("registration", ["invite", "approval"])
def test_sign_in_elsewhere_does_not_let_the_first_one_in(registration: str) -> None:
    found = lines(changed(services__rosa__accounts={"oidc": OIDC, "registration": registration}))
    assert len(found) == 1 and f"with registration {registration} nobody could ever" in found[0]


def test_named_people_are_matched_at_the_issuer() -> None:
    accounts = {"oidc": {**OIDC, "match_email": False}, "administrators": [{"name": "Rosa", "email": "rosa@rosa.example"}]}
    found = lines(changed(services__rosa__accounts=accounts))
    assert len(found) == 1 and "the issuer's sign-in would find their address taken; remove the line" in found[0]
    assert lines(changed(services__rosa__accounts={"oidc": {**OIDC, "match_email": False}, "registration": "open"})) == []
    host = {"accounts": {"registration": "open", "oidc": {**OIDC, "match_email": False}}}
    assert len(lines(sold(host=host))) == 1 and "keeps those who are written here out" in lines(sold(host=host))[0]
