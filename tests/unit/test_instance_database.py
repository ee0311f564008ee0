# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verifier that stands for a password in PostgreSQL, and the plan made from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases
from tests.support.examples import examples

ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60)


def test_verifier_is_what_rfc_7677_computes() -> None:
    """RFC 7677 section 3: user "user", password "pencil", its salt and 4096 iterations; ServerKey signs the example's messages."""
    import base64
    import hashlib
    import hmac

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = databases.scram_verifier("pencil", salt, 4096)
    server_key = base64.b64decode(verifier.rsplit(":", 1)[1])
    messages = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    assert base64.b64encode(hmac.digest(server_key, messages, hashlib.sha256)) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@examples(25)
@given(ASCII, ASCII)
def test_a_verifier_matches_its_own_password_only(one: str, other: str) -> None:
    verifier = databases.scram_verifier(one)
    assert databases.password_matches(one, verifier)
    assert databases.password_matches(other, verifier) == (one == other)
    assert one not in verifier


@given(st.text(max_size=80))
def test_no_text_in_the_servers_catalogue_breaks_the_comparison(stored: str) -> None:
    assert databases.password_matches("x" * 16, stored) is False


@pytest.mark.parametrize("name", ["", "Greenlight", "1a", "a-b", 'a"b', "a" * 64])
def test_names_that_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(CoopError, match="database name"):
        databases.Desired(name, "x" * 16, 20)


def test_the_diff_shows_that_a_password_differs_but_never_which() -> None:
    desired = databases.Desired("greenlight_a", "p" * 24, 20)
    observed = databases.Observed(
        verifier=databases.scram_verifier("q" * 24),
        role={"login": True, "privileges": ["superuser"], "connection_limit": 20},
        database={"owner": "greenlight_a", "encoding": "UTF8", "open_to_others": True, "connections": True},
    )
    before, after = databases.diff(desired, observed)
    assert before["role"]["password"] != after["role"]["password"]
    assert before["role"]["privileges"] == ["superuser"] and after["role"]["privileges"] == []
    assert before["database"]["open_to_others"] and not after["database"]["open_to_others"]
    assert "pppp" not in str((before, after)) and "qqqq" not in str((before, after))
