# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF, DKIM and DMARC: from what a co-operative states to records a name server takes, each name kept by one service."""

from __future__ import annotations

import base64
from typing import Any

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._dns.records import make_rrset
from tests.unit.membership.base import BASE, built, changed, lines

ORIGIN = dns.name.from_text("meet.example.")
LABEL = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
ASKING = st.one_of(
    NAME.map("include:{}".format), NAME.map("exists:{}".format), NAME.map("a:{}".format), st.sampled_from(["a", "mx", "a/24", "mx//64"])
)
SILENT = st.one_of(st.ip_addresses(v=4).map("ip4:{}".format), st.ip_addresses(v=6).map("ip6:{}".format))
END = st.sampled_from(["", "~all", "-all", "?all"])
KEY = st.binary(min_size=32, max_size=550)


def account(sender: str, **stated: Any) -> dict[str, Any]:
    return {"server": "smtp.relay.example", "sender_email": sender, "dns": stated}


def service(member: str, sender: str, **stated: Any) -> dict[str, Any]:
    people = [{"name": "Rosa", "email": "rosa@rosa.example"}]
    return {"tier": "consumer", "member": member, "accounts": {"administrators": people}, "smtp": account(sender, **stated)}


def rosa(sender: str = "meet@rosa.meet.example", **stated: Any) -> dict[str, Any]:
    return changed(services__rosa__smtp=account(sender, **stated))


@given(asking=st.lists(ASKING, max_size=13), silent=st.lists(SILENT, max_size=3), end=END)
def test_spf_says_what_was_stated_and_never_asks_too_much(asking: list[str], silent: list[str], end: str) -> None:
    terms = " ".join([*silent, *asking, end]).strip()
    if not terms or len(terms) > 400:
        return
    if len(asking) > 10:
        (line,) = lines(rosa(spf=terms))
        assert f"has {len(asking)} terms that ask DNS again" in line
        return
    (record,) = built(rosa(spf=terms)).services["rosa"]["mail_records"]
    assert record["values"] == [f"v=spf1 {terms}" + ("" if end else " ~all")]
    rrset = make_rrset(record["name"], record["type"], 300, record["values"], ORIGIN)
    assert (rrset.name, rrset.canonical) == ("rosa", {record["values"][0].encode()})


@given(selector=LABEL, key=KEY, target=NAME)
def test_a_dkim_key_of_any_length_arrives_whole_and_a_name_is_passed_through(selector: str, key: bytes, target: str) -> None:
    text = base64.b64encode(key).decode()
    made = built(rosa(dkim={selector: f"k=rsa; p={text}", f"{selector}.x": target})).services["rosa"]["mail_records"]
    by_name = {record["name"]: make_rrset(record["name"], record["type"], 300, record["values"], ORIGIN) for record in made}
    txt, cname = (by_name[f"{name}._domainkey.rosa.meet.example."] for name in (selector, f"{selector}.x"))
    assert txt.canonical == {f"v=DKIM1; k=rsa; p={text}".encode()}
    assert all(len(string) <= 255 for rdata in txt.rdatas for string in rdata.strings)
    assert (cname.type, cname.values) == ("CNAME", [f"{target}."])


@given(policy=st.sampled_from(["none", "quarantine", "reject"]))
def test_dmarc_is_the_policy(policy: str) -> None:
    assert built(rosa(dmarc=policy)).services["rosa"]["mail_records"] == [
        {"name": "_dmarc.rosa.meet.example.", "type": "TXT", "values": [f"v=DMARC1; p={policy}"]}
    ]


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_whatever_is_written_becomes_one_line_or_a_record(text: str) -> None:
    for stated in ({"spf": text}, {"dkim": {"s1": text}}, {"dkim": {text: "s1.relay.example"}}):
        data = rosa(**stated)
        said = lines(data)
        if not said:
            for record in built(data).services["rosa"]["mail_records"]:
                make_rrset(record["name"], record["type"], 300, record["values"], ORIGIN)


def test_a_domain_that_is_not_ours_is_offered_and_nothing_published() -> None:
    found = built(rosa("meet@rosa.example", spf="mx", dmarc="none")).services["rosa"]
    assert found["mail_records"] == []
    assert [(record["name"], record["values"]) for record in found["mail_records_offered"]] == [
        ("rosa.example.", ["v=spf1 mx ~all"]),
        ("_dmarc.rosa.example.", ["v=DMARC1; p=none"]),
    ]


def test_a_service_that_is_gone_is_told_what_it_may_drop_in_its_own_domain() -> None:
    for sender, told in (("meet@rosa.example", 2), ("meet@rosa.meet.example", 0)):
        data = rosa(sender, spf="mx", dmarc="none")
        data["services"]["rosa"]["state"] = "absent"
        found = built(data).services["rosa"]
        assert (len(found["mail_records_offered"]), found["mail_records"]) == (told, [])


def test_who_has_the_sub_domain_keeps_the_records_of_all_who_send_with_it() -> None:
    data = rosa(spf="mx", dkim={"s1": "s1.relay.example"})
    data["services"]["training"] = service("rosa", "t@ROSA.meet.example", spf="mx", dkim={"s2": "s2.relay.example"})
    services = built(data).services
    assert [record["name"].split(".")[0] for record in services["rosa"]["mail_records"]] == ["rosa", "s1", "s2"]
    assert services["training"]["mail_records"] == services["training"]["mail_records_offered"] == []
    data["services"]["training"]["state"] = "absent"
    assert [record["name"].split(".")[0] for record in built(data).services["rosa"]["mail_records"]] == ["rosa", "s1"]


@pytest.mark.parametrize("sender", ["meet@meet.example", "meet@agaric.meet.example", "meet@deep.rosa.meet.example"])
def test_a_name_of_ours_that_is_nobodys_sub_domain_is_refused(sender: str) -> None:
    (line,) = lines(rosa(sender, spf="mx"))
    assert "write a sender such as meet@rosa.meet.example" in line


def test_a_name_of_another_owner_is_refused() -> None:
    data = changed()
    data["services"]["cafe"]["smtp"] = account("meet@rosa.meet.example", spf="mx")
    (line,) = lines(data)
    assert 'service "cafe", field smtp.sender_email' in line and "write a sender such as meet@cafe.meet.example" in line


def test_a_service_that_states_nothing_has_no_records() -> None:
    assert built(BASE).services["rosa"]["mail_records"] == []
    assert built(rosa()).services["rosa"]["mail_records"] == []
