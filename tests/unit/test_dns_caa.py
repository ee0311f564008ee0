# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CAA records as an authority reads them (RFC 8659, RFC 8657), without a name server."""

from __future__ import annotations

from typing import Any

import dns.rdata
import pytest

from ansible_collections.meet.coop.plugins.module_utils._dns.caa import Issuance, climb, objection, parse

OURS = Issuance(("ca.example",), "https://ca.example/acct/1")


def caa(*texts: str) -> list[Any]:
    return [dns.rdata.from_text("IN", "CAA", text) for text in texts]


def test_climbing_goes_up_to_the_top_level() -> None:
    assert climb("meet.rosa.example") == ["meet.rosa.example", "rosa.example", "example"]
    assert climb("*.rosa.example.") == ["rosa.example", "example"]


def test_a_property_is_taken_apart() -> None:
    found = parse(b" CA.example. ; validationmethods=http-01 ; accounturi=https://ca.example/acct/1?a=b;;")
    assert found.issuer == "ca.example"
    assert found.get("validationmethods") == "http-01" and found.get("accounturi") == "https://ca.example/acct/1?a=b"
    assert parse(b";").issuer == "" and parse(b"").issuer == ""


@pytest.mark.parametrize(
    ("records", "plain", "wildcard"),
    [
        ([], True, True),
        (['0 issue "ca.example"'], True, True),
        (['0 issue "CA.Example"'], True, True),
        (['0 issue "other.example"'], False, False),
        (['0 issue "other.example"', '0 issue "ca.example"'], True, True),
        (['0 issue ";"'], False, False),
        (['0 issue ";"', '0 issuewild "ca.example"'], False, True),
        (['0 issue "ca.example"', '0 issuewild ";"'], True, False),
        (['0 issuewild "other.example"'], True, False),
        (['0 iodef "mailto:a@b.example"'], True, True),
        (['0 ISSUE "other.example"'], False, False),
        (['128 issue "ca.example"'], True, True),
        (['128 tbs "x"', '0 issue "ca.example"'], False, False),
        (['0 tbs "x"'], True, True),
        (['0 issue "ca.example; accounturi=https://ca.example/acct/1"'], True, True),
        (['0 issue "ca.example; accounturi=https://ca.example/acct/2"'], False, False),
        (['0 issue "ca.example; validationmethods=tls-alpn-01"'], True, True),
        (['0 issue "ca.example; validationmethods=dns-01, HTTP-01"'], True, True),
        (['0 issue "ca.example; validationmethods=dns-01"'], False, False),
        (['0 issue "ca.example; validationmethods=dns-01"', '0 issue "ca.example; validationmethods=http-01"'], True, True),
    ],
)
def test_who_may_issue(records: list[str], plain: bool, wildcard: bool) -> None:
    assert (objection(caa(*records), OURS) is None) is plain
    assert (objection(caa(*records), OURS, wildcard=True) is None) is wildcard


def test_an_account_that_was_not_told_is_said() -> None:
    why = objection(caa('0 issue "ca.example; accounturi=https://ca.example/acct/1"'), Issuance(("ca.example",)))
    assert why is not None and "ours is not told to this check" in why
