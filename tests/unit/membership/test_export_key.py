# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that a member gives for its export: checked when it is written, since on the day it is needed nobody may be there to ask."""

from __future__ import annotations

import re

import pytest

from ansible_collections.meet.coop.plugins.module_utils import _age
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError

from .base import built, changed, lines

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0rc1Tew4ktWfrb5LVCtZgzi0JNTbpbYxGVRqEEs3Dh"
SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"


def test_one_key_or_several() -> None:
    assert built(changed(members__rosa__export_key=AGE)).owners["rosa"]["export_keys"] == [AGE]
    assert built(changed(clients__cafe__export_key=[AGE, f"{SSH} kim@laptop"])).owners["cafe"]["export_keys"] == [AGE, f"{SSH} kim@laptop"]
    assert built(changed()).owners["rosa"]["export_keys"] == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (SECRET, "is a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is a private key"),
        (AGE[:-1], "is not a whole age key"),
        (AGE.replace("hjy", "hyj"), "is not a whole age key"),
        (AGE.upper(), "is not a whole age key"),
        (f"{AGE} laptop", "is not a public key"),
        (SSH[:-1], "is not a whole ssh-ed25519 key"),
        ("ssh-ed25519 laptop", "is not a whole ssh-ed25519 key"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ kim", "is an SSH key of another kind"),
        ("", "is not a public key"),
    ],
)
def test_what_is_no_key_is_told_and_never_repeated(key: str, said: str) -> None:
    for value in (key, [AGE, key]):
        (line,) = lines(changed(members__rosa__export_key=value))
        assert said in line and not [word for word in key.split() if len(word) > 11 and word in line]
    with pytest.raises(MembershipError, match=re.escape("members.yml:")):
        built(changed(members__rosa__export_key=key))


def test_every_single_wrong_letter_of_an_age_key_is_seen() -> None:
    for place in range(4, len(AGE)):
        for letter in "qpz":
            if AGE[place] != letter:
                assert _age.problem(AGE[:place] + letter + AGE[place + 1 :]), place


def test_a_comment_is_no_part_of_a_recipient() -> None:
    assert _age.recipient(f"  {SSH}   kim@laptop\n") == SSH and _age.recipient(AGE) == AGE
