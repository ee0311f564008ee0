# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node's list of meetings becomes: numbers, by tenant, and nothing of the people."""

from __future__ import annotations

import email.utils
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import ahead, parse
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import clock_fault, read

Row = tuple[str, str, int, int, int, bool]


def answer(rows: list[Row]) -> bytes:
    """As bbb-web writes it (api.md, getMeetings); the metadata key differs by balancer."""
    meetings = "".join(
        f"<meeting><meetingID>m{number}</meetingID><internalMeetingID>i{number}</internalMeetingID><createTime>17000000000{number:02}</createTime>"
        f"<endTime>{1700000000999 if ended else 0}</endTime><participantCount>{people}</participantCount><listenerCount>1</listenerCount>"
        f"<voiceParticipantCount>{voice}</voiceParticipantCount><videoCount>{video}</videoCount><isBreakout>false</isBreakout>"
        f"<attendees><attendee><fullName>Ana Costa</fullName></attendee></attendees>"
        f"<metadata>{f'<{key}>{escape(tenant)}</{key}>' if tenant else ''}</metadata></meeting>"
        for number, (key, tenant, people, voice, video, ended) in enumerate(rows)
    )
    return f"<response><returncode>SUCCESS</returncode><meetings>{meetings}</meetings></response>".encode()


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["bbblb-tenant", "tenant-name"]), st.sampled_from(["", "sunflower", "rosa", "a&b"]),
        st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@given(ROWS)
def test_numbers_are_those_of_the_meetings_that_live(rows: list[Row]) -> None:
    found = read(parse(answer(rows)))
    alive = [row for row in rows if not row[5]]
    assert found.empty is (not alive)
    assert (found.total.meetings, found.total.participants) == (len(alive), sum(row[2] for row in alive))
    assert {name: count.participants for name, count in found.tenants.items()} == {
        tenant: sum(row[2] for row in alive if row[1] == tenant) for tenant in {row[1] for row in alive}
    }
    for details in (False, True):
        assert "Ana Costa" not in str(found.as_dict(details))
    assert "list" not in found.as_dict(False)


def test_an_answer_without_meetings() -> None:
    nothing = b"<response><returncode>SUCCESS</returncode><meetings/><messageKey>noMeetings</messageKey></response>"
    assert read(parse(nothing)).empty
    odd = nothing.replace(b"<meetings/>", b"<meetings><meeting><participantCount>-1</participantCount></meeting></meetings>")
    assert (read(parse(odd)).total.meetings, read(parse(odd)).total.participants) == (1, 0)


@given(st.integers(0, 4_000_000_000), st.integers(-400_000_000, 400_000_000))
def test_a_clock_is_read_off_the_date_to_half_a_second(now: int, off: int) -> None:
    told = ahead(email.utils.formatdate(max(0, now + off), usegmt=True), now)
    assert told is not None and abs(told - (max(0, now + off) - now)) <= 0.5


@pytest.mark.parametrize("date", [None, "", "soon", "Thu, 31 Feb 2026 12:00:00 GMT", "Thu, 26 Nov 99999999 12:00:00 GMT"])
def test_a_date_that_tells_no_time_is_no_clock_that_is_off(date: str | None) -> None:
    assert ahead(date, 1.0) is None and clock_fault("n1", ahead(date, 1.0)) is None


def test_a_clock_that_is_off_is_one_line() -> None:
    assert clock_fault("n1", 29.6) is None and clock_fault("n1", -30.0) is None
    assert str(clock_fault("n1", 3600.4)).startswith("the clock of n1 is 3600 s ahead of this host's.")
    assert str(clock_fault("n1", -31.0)).startswith("the clock of n1 is 31 s behind this host's.")
