# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Greenlight's rules for accounts as greenlight_user applies them, and what it plans from rows it found."""

from __future__ import annotations

import hashlib
import pathlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, passwords, remembrance

SCHEMA = database.Schema("3.8.1", "20260402000000", "20260402000001", database.KNOWN_DATA, ())
GOOD = "Correct-Horse 7"


def found(**changes: Any) -> accounts.User:
    row: dict[str, Any] = {
        "id": "id-1", "name": "Ada", "email": "ada@x.test", "provider": "greenlight", "external_id": None, "digest": None, "role": "User",
        "language": "en", "verified": True, "status": accounts.ACTIVE, "session": False, "tokens": False, "mailed": False,
    }  # fmt: skip
    return accounts.User(**{**row, **changes})


def plan(user: accounts.User | None, wish: accounts.Desired, without_token: int = 0) -> accounts.AccountPlan:
    seen = accounts.Observed(schema=SCHEMA, roles={("greenlight", "User"): 1, ("greenlight", "Administrator"): 2, ("bn", "SuperAdmin"): 3})
    if user is not None:
        seen.users[user.provider, user.email.lower()] = [user]
    seen.without_token = [(number, f"{number}@x.test") for number in range(without_token)]
    return accounts.diff(seen, wish, accounts.Hashes())


def test_bcrypt_is_the_gems() -> None:
    """A vector of Openwall's crypt_blowfish, the code inside the bcrypt gem and inside libxcrypt."""
    assert passwords.verify_password("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    assert not passwords.verify_password("U*V", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    one, two = passwords.hash_password(GOOD, cost=4), passwords.hash_password(GOOD, cost=4)
    assert one != two and one.startswith("$2a$04$") and len(one) == 60
    assert passwords.verify_password(GOOD, one) and passwords.verify_password(GOOD, two.replace("$2a$", "$2b$"))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
def test_any_password_is_known_again(password: str) -> None:
    digest = passwords.hash_password(password, cost=4)
    assert passwords.verify_password(password, digest)
    if len(password.encode()) < 72:
        assert not passwords.verify_password(password + "x", digest)


@pytest.mark.parametrize("digest", ["", "x", "*0", "$2a$12$short", "$1$abcdefgh$0123456789", "$6$salt$hash"])
def test_what_is_no_bcrypt_digest_matches_nothing(digest: str) -> None:
    assert passwords.verify_password(GOOD, digest) is False


@pytest.mark.parametrize(
    ("password", "words"),
    [
        (GOOD, None), ("Aa1!Aa1!", None), ("Aa1 Aa1 ", None), ("Aa1£Aa1£", None), ("Aa1_Aa1_", None), ("Aa1'" * 60, None),
        ("Aa1!Aa1", "8 characters"), ("aa1!aa1!", "upper-case"), ("AA1!AA1!", "lower-case"), ("Aaa!Aaa!", "digit"), ("Aa11Aa11", "symbol"),
        ("Aa1!" * 64, "255"), ("Ää1!Ää1!", "upper-case"), ("Aa1!\nAa1!", "line break"), ("Aa1!\0Aa1!", "NUL"), ("Aa٣!Aa٣!", "digit"),
        ("Aa1§Aa1§", "symbol"),
    ],
)  # fmt: skip
def test_password_policy(password: str, words: str | None) -> None:
    problem = passwords.password_problem(password)
    assert (problem is None) if words is None else (problem is not None and words in problem)


@pytest.mark.parametrize("symbol", list("`@%~!#£$\\^&*()][+={}/|:;\"'<>-,.?_ "))
def test_every_symbol_of_greenlights_list_counts(symbol: str) -> None:
    assert passwords.password_problem(f"Aa1{symbol}Aa1a") is None


@pytest.mark.parametrize(
    ("email", "good"),
    [
        ("ada@sunflower.example", True), ("a.b-c_d+e@x-y.z_q.coop", True), ("a@b.c", True), ("a@.c", False), ("ada@x.c0m", False),
        ("o'hara@x.test", False), ("ada@x", False), ("ada@münchen.de", False), ("ada@x.test\n", False), ("ada@x@y.test", False),
        ("a" * 250 + "@x.test", False),
    ],
)  # fmt: skip
def test_mail_addresses(email: str, good: bool) -> None:
    assert (passwords.email_problem(email) is None) == good


WISHED = st.dictionaries(st.sampled_from(["email", "name", "role", "state", "password", "language"]), st.text(max_size=12))


@given(st.lists(WISHED, max_size=4))
def test_any_list_is_taken_or_refused_without_its_passwords(users: list[dict[str, str]]) -> None:
    try:
        wish = accounts.desired(users)
    except CoopError as exc:
        # What may be shown of anybody on the list: one's password can be another's address.
        shown = {user.get(key, "") for user in users for key in ("email", "state", "language")}
        for user in users:
            password = user.get("password", "")
            assert len(password) < 6 or password not in str(exc) or any(password in text.lower() or password in text for text in shown)
        return
    assert all(account.email == account.email.lower() for account in wish.accounts)


def test_a_wish_never_prints_its_password() -> None:
    wish = accounts.desired([{"email": "ada@x.test", "name": "Ada", "password": GOOD}], update_password="always")
    assert GOOD not in repr(wish)
    made = plan(found(digest="$2a$04$" + "a" * 53), wish)
    assert GOOD not in repr(made) and made.after == {"ada@x.test.password": "given"}
    assert "$2a$04$aaaa" not in repr(found(digest="$2a$04$" + "a" * 53))


def test_tokens_are_as_upstream_makes_them() -> None:
    assert re.fullmatch("[A-Za-z0-9]{40}", accounts.reset_token()) and re.fullmatch("[0-9a-f]{64}", accounts.session_token())
    assert accounts.reset_token() != accounts.reset_token()
    assert accounts.digest_of("abc") == hashlib.sha256(b"abc").hexdigest()
    assert accounts.reset_url("https://x.test/", "t") == "https://x.test/reset_password/t"


STATES = st.builds(
    found,
    name=st.sampled_from(["Ada", "Other"]),
    email=st.sampled_from(["ada@x.test", "ADA@x.test"]),
    external_id=st.sampled_from([None, "sub"]),
    role=st.sampled_from(["User", "Administrator", None]),
    verified=st.booleans(),
    status=st.sampled_from([accounts.ACTIVE, accounts.PENDING, accounts.BANNED]),
    session=st.booleans(),
    tokens=st.booleans(),
)


@given(st.none() | STATES, st.sampled_from(["present", "disabled", "absent"]), st.integers(0, 2))
def test_what_is_planned_is_what_differs(user: accounts.User | None, state: str, without_token: int) -> None:
    made = plan(user, accounts.desired([{"email": "ada@x.test", "name": "Ada", "state": state}]), without_token)
    assert made.changed == bool(made.after) and set(made.before) == set(made.after)
    assert ("users_without_session_token" in made.after) == bool(without_token)
    own = {key.removeprefix("ada@x.test.") for key in made.after if key.startswith("ada@")}
    action = made.outcomes[0].action
    if state == "absent" or (state == "disabled" and user is None):
        assert action == ("removed" if user is not None else "none")
    elif state == "disabled":
        assert user is not None
        assert action == ("none" if user.status == accounts.BANNED and not user.session and not user.tokens else "disabled")
    elif user is None:
        assert action == "created"
    else:
        drifted = {
            # The provider's word counts for name and address of an account that signs in there.
            "name": user.name != "Ada" and not user.external_id, "email": user.email != "ada@x.test" and not user.external_id,
            "role": user.role != "User", "verified": not user.verified,
            "status": user.status != accounts.ACTIVE,
        }  # fmt: skip
        assert own == {key for key, differs in drifted.items() if differs}
        assert action == ("changed" if own else "none")
    for step in made.steps:
        if "INSERT INTO public.users" in step.sql:
            assert step.parameters["token"] and step.parameters["email"] == "ada@x.test"


def test_an_identity_providers_account_gets_neither_password_nor_link() -> None:
    wish = accounts.desired([{"email": "ada@x.test", "name": "Ada", "password": GOOD}], update_password="always", reset_link="always")
    made = plan(found(external_id="sub"), wish)
    assert not made.changed and made.outcomes[0].skipped and made.outcomes[0].token is None


def test_an_account_is_taken_back_from_an_identity_provider() -> None:
    wish = accounts.desired([{"email": "ada@x.test", "name": "Ada"}], release_external=True)
    made = plan(found(external_id="sub", name="A. Lovelace"), wish)
    assert made.after == {"ada@x.test.name": "Ada", "ada@x.test.external": False}
    assert made.outcomes[0].waiting is True and made.outcomes[0].external is False
    (step,) = made.steps
    assert step.parameters["external_id"] is None and step.parameters["session_token"]
    assert not plan(found(), wish).changed


def test_a_role_is_for_those_named_only() -> None:
    def others(*users: accounts.User) -> accounts.AccountPlan:
        wish = accounts.desired([{"email": "ada@x.test", "name": "Ada", "role": "team"}], close_others_of="team")
        roles = {("greenlight", "User"): 1, ("greenlight", "team"): 4}
        seen = accounts.Observed(schema=SCHEMA, roles=roles, users={("greenlight", user.email): [user] for user in users})
        return accounts.diff(seen, wish, accounts.Hashes())

    ada, bob = found(role="team"), found(id="id-2", email="bob@x.test", role="team", session=True)
    made = others(ada, bob)
    assert made.closed == ["bob@x.test"] and made.after == {"bob@x.test.status": "banned", "bob@x.test.session": "ended"}
    assert made.outcomes[0].action == "none" and len(made.outcomes) == 1
    assert not others(ada, found(id="id-2", email="bob@x.test", role="User")).changed
    assert not others(ada, found(id="id-2", email="bob@x.test", role="team", status=accounts.BANNED)).changed


@pytest.mark.parametrize("role", ["Administrator", "User", "Guest", "SuperAdmin"])
def test_nobody_is_closed_for_having_a_role_of_greenlights_own(role: str) -> None:
    with pytest.raises(CoopError, match="close_others_of"):
        accounts.desired([], close_others_of=role)


def test_an_account_is_taken_over_from_stated_roles_only() -> None:
    wish = accounts.desired([{"email": "ada@x.test", "name": "Ada"}], take_from=[])
    assert not plan(found(), wish).changed
    with pytest.raises(CoopError, match="has an account of role 'Administrator' already"):
        plan(found(role="Administrator"), wish)
    wish = accounts.desired([{"email": "ada@x.test", "name": "Ada"}], take_from=["Administrator"])
    assert plan(found(role="Administrator"), wish).after == {"ada@x.test.role": "User"}


def test_who_waits_for_a_first_password_is_told() -> None:
    users = [{"email": "ada@x.test", "name": "Ada"}]
    assert plan(None, accounts.desired(users)).outcomes[0].waiting is True
    assert plan(None, accounts.desired(users, reset_link="on_create")).outcomes[0].waiting is False
    assert plan(found(), accounts.desired(users)).outcomes[0].waiting is True
    assert plan(found(mailed=True, tokens=True), accounts.desired(users)).outcomes[0].waiting is False
    assert plan(found(digest="$2a$"), accounts.desired(users)).outcomes[0].waiting is False
    assert plan(found(external_id="sub"), accounts.desired(users)).outcomes[0].waiting is False


def test_rooms_are_not_removed_by_accident() -> None:
    user = found()
    user.rooms, user.room_names, user.recordings = ["r1"], ["Mine"], ["rec"]
    users = [{"email": "ada@x.test", "state": "absent"}]
    with pytest.raises(accounts.AccountError, match="owns 1 room"):
        plan(user, accounts.desired(users))
    made = plan(user, accounts.desired(users, remove_rooms=True))
    tables = [match[1] for step in made.steps if (match := re.search(r"DELETE FROM public\.(\w+)", step.sql))]
    assert tables.index("formats") < tables.index("recordings") < tables.index("rooms") < tables.index("users")
    assert tables.index("room_meeting_options") < tables.index("rooms") and tables.index("shared_accesses") < tables.index("rooms")


def test_a_deleted_person_is_not_made_again_unless_the_instance_is_new() -> None:
    wish = accounts.desired(
        [{"email": "Ada@x.test", "name": "Ada"}], reset_link="always", remembered=frozenset({remembrance.digest("ada@X.test")})
    )
    seen = accounts.Observed(schema=SCHEMA, roles={("greenlight", "User"): 1}, total=1)
    made = accounts.diff(seen, wish, accounts.Hashes())
    assert (
        not made.changed and made.outcomes[0].deleted and not made.outcomes[0].waiting and "state absent" in str(made.outcomes[0].skipped)
    )
    seen.total = 0
    made = accounts.diff(seen, wish, accounts.Hashes())
    assert made.changed and made.outcomes[0].action == "created" and not made.outcomes[0].deleted


def test_what_is_remembered_names_nobody_and_a_damaged_file_is_told(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "accounts.json"
    assert remembrance.load(str(file)) == frozenset()
    remembrance.save(str(file), {remembrance.digest("ada@x.test")})
    assert remembrance.load(str(file)) == {remembrance.digest("ADA@x.test")} and "ada" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600 and [path.name for path in tmp_path.iterdir()] == ["accounts.json"]
    for text in ("[1", "{}", "[1]", "é"):
        file.write_text(text)
        with pytest.raises(CoopError, match="is damaged; restore it"):
            remembrance.load(str(file))
    with pytest.raises(CoopError, match="cannot be written"):
        remembrance.save(str(tmp_path / "nowhere" / "x.json"), [])
