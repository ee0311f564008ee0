# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The account that Caddy keeps: found where it is certain, never guessed. That Caddy writes it so is tried in test_edge_eab.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._edge.account import account_uri
from ansible_collections.meet.coop.plugins.module_utils._edge.base import Base

AUTHORITY = "acme-v02.api.letsencrypt.org-directory"


def keep(storage: Path, contact: str, number: int, authority: str = AUTHORITY, **more: Any) -> None:
    place = storage / "acme" / authority / "users" / contact
    place.mkdir(parents=True)
    account = {"status": "valid", "location": f"https://ca.example/acct/{number}", **more}
    (place / f"{contact.partition('@')[0]}.json").write_text(json.dumps(account))


def test_it_is_the_one_of_the_authority_and_the_contact(tmp_path: Path) -> None:
    keep(tmp_path, "it@meet.example", 1)
    keep(tmp_path, "former@meet.example", 2)
    keep(tmp_path, "it@meet.example", 3, "acme-staging-v02.api.letsencrypt.org-directory")
    keep(tmp_path, "it@meet.example", 4, "ca.example-14000-a-dir")
    assert account_uri(Base(acme_email="IT@meet.example").as_config(), str(tmp_path)) == "https://ca.example/acct/1"
    other = Base(acme_email="it@meet.example", acme_directory="https://ca.example:14000/a/dir")
    assert account_uri(other.as_config(), str(tmp_path)) == "https://ca.example/acct/4"


@pytest.mark.parametrize("config", [None, {}, {"apps": None}, {"apps": {"tls": {"automation": {"policies": [{"issuers": [{}]}]}}}}])
def test_configurations_of_others(tmp_path: Path, config: Any) -> None:
    keep(tmp_path, "default", 1)
    assert account_uri(config, str(tmp_path)) is None


def test_without_a_contact_it_is_told_when_there_is_but_one(tmp_path: Path) -> None:
    config = Base().as_config()
    assert account_uri(config, str(tmp_path)) is None
    keep(tmp_path, "default", 1)
    assert account_uri(config, str(tmp_path)) == "https://ca.example/acct/1"
    keep(tmp_path, "it@meet.example", 2)
    assert account_uri(config, str(tmp_path)) is None


def test_what_is_not_an_account_in_use_is_not_told(tmp_path: Path) -> None:
    keep(tmp_path, "it@meet.example", 1, status="deactivated")
    keep(tmp_path, "a@meet.example", 2)
    (tmp_path / "acme" / AUTHORITY / "users" / "a@meet.example" / "a.json").write_text("{half")
    assert account_uri(Base(acme_email="it@meet.example").as_config(), str(tmp_path)) is None
    assert account_uri(Base(acme_email="a@meet.example").as_config(), str(tmp_path)) is None
