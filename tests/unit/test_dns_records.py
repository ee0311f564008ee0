# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records as written and as sent compare equal when, and only when, DNS says so."""

from __future__ import annotations

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._dns.marks import Mark, mark_name, marked_label, parse_mark
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RecordError, RRset, make_rdata, make_rrset, zone_name

ORIGIN = zone_name("meet.test")


def sent(name: str, rtype: str, ttl: int, *values: str) -> RRset:
    """A record set as a server would send it: exactly the given presentation form."""
    return RRset(name, rtype, ttl, frozenset(dns.rdata.from_text("IN", rtype, value) for value in values))


@pytest.mark.parametrize(
    ("rtype", "written", "on_the_wire"),
    [
        ("AAAA", "2001:DB8::0:1", "2001:db8::1"),
        ("CNAME", "Host1.Example.ORG", "host1.example.org."),
        ("MX", "10 mail.example.org", "10 MAIL.example.org."),
        ("MX", "0 .", "0 ."),
        ("SRV", "0 5 443 h.example.org.", "0 5 443 h.example.ORG."),
        ("CNAME", "bücher.example", "xn--bcher-kva.example."),
        ("TXT", "a b", '"a" " " "b"'),
        ("TXT", "x" * 300, f'"{"x" * 100}" "{"x" * 200}"'),
        ("TXT", "grüße", '"gr\\195\\188\\195\\159e"'),
        ("TLSA", f"3 1 1 {'AB' * 20} {'CD' * 12}", f"3 1 1 {'ab' * 20}{'cd' * 12}"),
        ("TXT", '"already" "quoted"', '"alreadyquoted"'),
        ("CAA", '0 issue "letsencrypt.org"', "0 issue letsencrypt.org"),
    ],
)
def test_same_value(rtype: str, written: str, on_the_wire: str) -> None:
    assert make_rrset("x", rtype, 300, [written], ORIGIN).same(sent("x", rtype, 300, on_the_wire))


@pytest.mark.parametrize(
    ("ttl", "rtype", "values"),
    [(301, "A", ["192.0.2.1"]), (300, "A", ["192.0.2.2"]), (300, "A", ["192.0.2.1", "192.0.2.2"])],
)
def test_different_value(ttl: int, rtype: str, values: list[str]) -> None:
    assert not make_rrset("x", "A", 300, ["192.0.2.1"], ORIGIN).same(sent("x", rtype, ttl, *values))


def test_values_that_differ_in_chunks_only_are_one_record() -> None:
    assert len(make_rrset("x", "TXT", 300, ["ab", '"a" "b"'], ORIGIN).rdatas) == 1


def test_a_name_with_line_ends_is_refused_in_one_line() -> None:
    with pytest.raises(RecordError, match=r"record 'x\\ny' A") as caught:
        make_rrset("x\ny", "A", 300, ["192.0.2.1"], ORIGIN)
    assert "\n" not in str(caught.value)


def test_txt_case_matters() -> None:
    assert not make_rrset("x", "TXT", 300, ["Abc"], ORIGIN).same(sent("x", "TXT", 300, '"abc"'))


@pytest.mark.parametrize(
    ("name", "relative"),
    [("@", "@"), ("meet.test.", "@"), ("WWW", "www"), ("www.meet.test.", "www"), ("büro", "xn--bro-hoa"), ("*.w", "*.w"), ("a.b", "a.b")],
)
def test_names_are_relative(name: str, relative: str) -> None:
    assert make_rrset(name, "A", 300, ["192.0.2.1"], ORIGIN).name == relative


@pytest.mark.parametrize(
    ("name", "rtype", "values", "message"),
    [
        ("x", "A", ["host"], "not a value of a A record"),
        ("x", "AAAA", ["192.0.2.1"], "not a value of a AAAA record"),
        ("x", "MX", ["10 mail"], "whole host name"),
        ("x", "MX", ["mail.example.org"], "not a value of a MX record"),
        ("x", "HINFO", ["a b"], "not managed here"),
        ("_x", "A", ["192.0.2.1"], "not a host name"),
        ("x:y", "MX", ["10 m.example.org"], "not a host name"),
        ("x", "MX", ["10 m_x.example.org"], "not a host name"),
        ("x", "TLSA", ["3 1 1 zz"], "not a value of a TLSA record"),
        ("x", "TXT", ["y" * 17_000], "an update takes 16000"),
        ("x", "A", [], "no values"),
        ("x", "CNAME", ["a.b", "c.d"], "takes one value"),
        ("x.example.org.", "A", ["192.0.2.1"], "outside the zone"),
        ("x" * 64, "A", ["192.0.2.1"], "not a DNS name"),
        ("a..b", "A", ["192.0.2.1"], "not a DNS name"),
        ("ü" * 70, "A", ["192.0.2.1"], "internationalised"),
    ],
)
def test_wrong_records_are_named(name: str, rtype: str, values: list[str], message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        make_rrset(name, rtype, 300, values, ORIGIN)
    assert f"record '{name}' {rtype}" in str(caught.value) or f"record '{name}': type" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=700).filter(lambda text: not text.strip().startswith('"')))
def test_any_text_survives_txt(text: str) -> None:
    rdata = make_rdata("TXT", text)
    assert b"".join(rdata.strings) == text.strip().encode("utf-8")
    assert all(len(chunk) <= 255 for chunk in rdata.strings)


@given(st.text(max_size=60), st.sampled_from(["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT", "X"]), st.text(max_size=60))
def test_any_input_is_a_record_or_one_clear_line(name: str, rtype: str, value: str) -> None:
    try:
        rrset = make_rrset(name, rtype, 300, [value], ORIGIN)
    except RecordError as error:
        assert str(error)
    else:
        assert rrset.same(rrset)
        assert rrset.name == rrset.name.lower()


LABELS = st.one_of(
    st.just("@"),
    st.from_regex(r"(\*\.)?[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.just("*"),
)


@given(LABELS)
def test_mark_names_go_both_ways(label: str) -> None:
    assert marked_label(mark_name(label)) == label


@given(LABELS, st.sets(st.sampled_from(["A", "AAAA", "TXT"]), min_size=1))
def test_marks_are_read_as_written(label: str, types: set[str]) -> None:
    mark = Mark(label, "ours", "sunflower", frozenset(types))
    assert parse_mark(mark_name(label), mark.rrset()) == mark


def test_the_mark_is_the_documented_one() -> None:
    rrset = Mark("meet", "ours", "sunflower", frozenset({"AAAA", "A"})).rrset()
    assert (rrset.name, rrset.values) == ("_coop.meet", ['"heritage=meet.coop,owner=ours,member=sunflower,types=A+AAAA,v=1"'])


@pytest.mark.parametrize(
    "values",
    [['"v=spf1 -all"'], ['"heritage=meet.coop,owner=a,member=b,types=A,v=2"'], ['"a"', '"b"'], ['"\\255"'], ['""']],
)
def test_anything_else_is_no_mark(values: list[str]) -> None:
    assert not parse_mark("_coop.x", sent("_coop.x", "TXT", 60, *values)).readable
