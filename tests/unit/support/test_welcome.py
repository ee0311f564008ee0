# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The welcome page and the farewell: what they say in every language, and for whom."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import welcome_page
from ansible_collections.meet.coop.plugins.plugin_utils._support import pages
from ansible_collections.meet.coop.plugins.plugin_utils._support.welcome_task import WelcomeTask
from tests.unit.membership.base import built, changed

OWN = "treffen.rosa.example"
FINDING = {
    "name": OWN, "status": "wrong_target", "reason": "it has no CNAME", "advice": "Create it.",
    "create": [f"{OWN}. CNAME rosa.meet.example."], "remove": [f"{OWN}. A 192.0.2.9"],
}  # fmt: skip
RECORDS = [
    {"name": "rosa.example.", "type": "TXT", "values": ["v=spf1 include:_spf.relay.example -all"]},
    {"name": "_dmarc.rosa.example.", "type": "TXT", "values": ["v=DMARC1; p=none"]},
]
CHECKS = [{"check": "mail", "result": "ok", "detail": "", "seconds": 1.0}, {"check": "rooms", "result": "failed"}]
SMTP = {
    "server": "relay.meet.example", "port": 587, "username": "rosa", "password_var": "vault_rosa", "sender_email": "meet@rosa.example",
}  # fmt: skip


def write(path: pathlib.Path, service: str = "rosa", check: bool = False, members: dict[str, Any] | None = None, **options: Any) -> Any:
    """The module's result for a service of the small co-operative."""
    found = built(changed(**(members or {})))
    its = found.services[service]
    given = {
        "path": str(path), "service": its, "owner": found.owners[its["member"] or its["client"]], "cooperative": found.cooperative,
        **options,
    }  # fmt: skip
    params = {name: option.get("default") for name, option in welcome_page.ARGUMENT_SPEC.items()}
    return WelcomeTask({**params, **given}).run(check)


def everything(language: str) -> dict[str, Any]:
    """A member that has everything there is to say of."""
    return {
        "members__rosa__language": language, "services__rosa__smtp": SMTP, "services__rosa__title": "Rosa <b> & {{ more }}",
        "services__rosa__accounts": {"registration": "open", "allowed_domains": ["rosa.example"],
                                     "administrators": [{"name": "Rosa", "email": "rosa@rosa.example"}]},
    }  # fmt: skip


def test_it_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "welcome" / "rosa.html"
    told = write(path, check=True)
    assert told["changed"] and not path.exists()
    assert write(path) == told and not write(path)["changed"]
    path.write_text("half")
    assert write(path)["changed"] and path.read_text().endswith("</html>\n")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_everything_is_said_in_the_language(language: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rosa.html"
    facts = {"domains": [FINDING], "checks": CHECKS, "mail_records": RECORDS, "restore_proved_on": "2026-02-27"}
    assert write(path, members=everything(language), **facts)["language"] == language
    page = path.read_text()
    said = pages.catalogue(language).gettext
    assert f'<html lang="{language}">' in page and "Rosa &lt;b&gt; &amp; {{ more }}" in page and "<b>" not in page
    for text in ("Your own names", "First steps", "Your limits", "Length of a meeting", "What we tried from outside", "does not work yet",
                 "Sign in and make a room; its link is what you send to the people you meet.", "Your data", "Help"):  # fmt: skip
        assert said(text) in page, text
    for fact in (f"{said('create')}: <code>{OWN}. CNAME rosa.meet.example.</code>", f"{said('remove')}: <code>{OWN}. A 192.0.2.9</code>",
                 "It has no CNAME. Create it.", "2026-02-27", "<code>meet@rosa.example</code>", "<code>v=spf1</code>", "@rosa.example",
                 "<code>v=DMARC1; p=none</code>", 'href="https://rosa.meet.example/forget_password"',
                 "mailto:office@meet.example"):  # fmt: skip
        assert fact in page, fact
    # What the program found is in English, and says so to who has it read aloud.
    assert ('<span lang="en">It has no CNAME' in page) == (language != "en")
    english = tmp_path / "en.html"
    write(english, members=everything("en"), **facts)
    assert (page == english.read_text()) == (language == "en")


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_a_farewell_says_what_to_drop(language: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rosa.html"
    dangling = [{"name": OWN, "records": [f"{OWN}. A 203.0.113.10"]}]
    write(path, members=everything(language), farewell=True, dangling=dangling, mail_records=RECORDS)
    page, said = path.read_text(), pages.catalogue(language).gettext
    assert said("Please remove these records") in page and f"{said('remove')}: <code>{OWN}. A 203.0.113.10</code>" in page
    assert f"<code>_coop-verify.{OWN}. TXT</code>" in page and "<code>_dmarc.rosa.example.</code>" in page
    write(path, members={**everything(language), "services__rosa__domains": [OWN]}, farewell=True)
    assert OWN in path.read_text() and said("Please remove these records") not in path.read_text()


@pytest.mark.parametrize(("registration", "said"), [
    ("open", "Other people can make an account themselves."), ("approval", "you approve it"), ("invite", "You invite other people"),
])  # fmt: skip
def test_first_steps_depend_on_how_accounts_come_about(registration: str, said: str, tmp_path: pathlib.Path) -> None:
    accounts = {"registration": registration, "administrators": [{"name": "Rosa", "email": "rosa@rosa.example"}]}
    write(tmp_path / "x.html", members={"services__rosa__accounts": accounts})
    assert said in (tmp_path / "x.html").read_text()


def test_sign_in_elsewhere_nobody_named_and_sold_accounts(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.html"
    write(path, issuer="https://id.rosa.example")
    assert "Everybody signs in at your own provider, https://id.rosa.example." in path.read_text()
    write(path, service="cafe")
    assert "No administrator is named in the membership file yet. Tell Office" in path.read_text()
    assert "you are served by the member agaric" in path.read_text() and "Agaric looks after you." in path.read_text()
    team = {
        "services__agaric": {"tier": "dedicated_container", "member": "agaric", "accounts": {"registration": "open"}},
        "services__team": {"tier": "accounts", "client": "cafe", "instance": "agaric", "term": {"until": "2036-12-31"},
                           "accounts": {"users": [{"name": "Kim", "email": "kim@cafe.example"}]}},
    }  # fmt: skip
    with pytest.raises(CoopError, match=r"^hostnames: .*; write "):
        write(path, service="team", members=team)
    write(path, service="team", members=team, hostnames=["agaric.meet.example"])
    assert "https://agaric.meet.example/forget_password" in path.read_text() and "2036-12-31" in path.read_text()


def test_what_is_missing_is_told(tmp_path: pathlib.Path) -> None:
    found = built(changed())
    bare = {key: value for key, value in found.services["rosa"].items() if key != "limits"}
    with pytest.raises(CoopError, match=r"^service: limits is missing; write what the inventory plugin"):
        WelcomeTask({"path": "x.html", "service": bare, "owner": found.owners["rosa"], "cooperative": found.cooperative, "hostnames": []})
    with pytest.raises(CoopError, match=r"^domains: .* is no result of domain_check; write "):
        write(tmp_path / "x.html", domains=[{"name": "x.example"}])
    assert not (tmp_path / "x.html").exists()
