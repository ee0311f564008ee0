# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where those that a producer looks after find help."""

from __future__ import annotations

import pytest

from .base import BASE, built, changed, lines

HELP = {"page": "https://agaric.example/help", "email": "help@agaric.example", "hours": "Mon-Fri 9-17 CET"}


def test_the_producers_page_is_the_help_link_of_those_it_looks_after() -> None:
    data = changed(
        members__agaric__support=HELP,
        services__own={"tier": "dedicated_container", "member": "agaric", "accounts": {"registration": "open"}},
    )
    found = built(data)
    assert {name: one["branding"]["help_center"] for name, one in found.services.items()} == dict.fromkeys(
        ("rosa", "cafe", "own"), HELP["page"]
    )
    assert found.owners["rosa"]["support"] == {"producer": "agaric", "name": "Agaric", **HELP}


def test_what_is_nearer_counts() -> None:
    website = changed(members__agaric__website="https://agaric.example/")
    assert built(website).services["rosa"]["branding"]["help_center"] == "https://agaric.example/"
    own = changed(members__agaric__support=HELP, services__rosa__branding={"help_center": "https://rosa.example/help"})
    assert built(own).services["rosa"]["branding"]["help_center"] == "https://rosa.example/help"
    everybody = changed(members__agaric__support=HELP, defaults__branding={"help_center": "https://meet.example/help"})
    assert built(everybody).services["cafe"]["branding"]["help_center"] == "https://meet.example/help"


def test_who_has_nobody_has_no_help_link() -> None:
    data = changed(members__rosa__supported_by=None, members__agaric__support=HELP)
    found = built(data)
    assert found.owners["rosa"]["support"] is None and found.services["rosa"]["branding"]["help_center"] == ""
    assert built(BASE).services["rosa"]["branding"]["help_center"] == ""


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("members__rosa__support", HELP, 'member "rosa", field support: only a producer supports others; write producer under classes'),
        (
            "members__agaric__support",
            {"page": "agaric.example"},
            'member "agaric", field support.page: "agaric.example" is not an https address',
        ),
        ("members__agaric__support", {"alerts": []}, 'member "agaric", field support.alerts: the list is empty'),
        ("members__agaric__support", {"phone": "1"}, 'member "agaric", field support: unknown key "phone"; write one of page'),
        ("members__agaric__support", {"hours": "9\n17"}, 'member "agaric", field support.hours: '),
    ],
)
def test_mistakes_are_told(place: str, value: object, said: str) -> None:
    found = lines(changed(**{place: value}))
    assert len(found) == 1 and found[0].startswith(said)
