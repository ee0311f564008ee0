# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Welcome packs and pages of members by mail, to a real SMTP server on loopback."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import page_mail
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Outbox
from ansible_collections.meet.coop.plugins.plugin_utils._support import pages
from ansible_collections.meet.coop.plugins.plugin_utils._support.page_mail_task import PageMailTask, _number
from tests.support import ansible
from tests.support.post import SECRET, Post, serving, smtp
from tests.unit.membership.base import BASE, built, changed
from tests.unit.support.test_member_page import Members
from tests.unit.support.test_welcome import CHECKS, FINDING, write

# The library warns of a login without TLS. Nothing leaves loopback here; TLS is what module smtp_check is tested for.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
AT = "2026-03-04T12:00:00Z"
GOOD = [{"check": "mail", "result": "ok"}, {"check": "cap", "result": "skipped"}]


@pytest.fixture
def post() -> Iterator[Post]:
    with serving() as found:
        yield found


def mail(folder: pathlib.Path, port: int, given: list[dict[str, Any]], kind: str = "welcome", check: bool = False, **options: Any) -> Any:
    """The module's result."""
    params = {name: option.get("default") for name, option in page_mail.ARGUMENT_SPEC.items()}
    params |= {
        "kind": kind, "pages": [{"about": None, **one} for one in given], "cooperative": built(changed()).cooperative,
        "record": str(folder / "mailed"), "at": AT, "smtp": smtp(port), "timeout": 5,
    }  # fmt: skip
    return PageMailTask({**params, **options}).run(check)


def welcome(folder: pathlib.Path, **facts: Any) -> dict[str, Any]:
    """What welcome_page says of the page that it wrote."""
    return write(folder / "rosa.html", **{"checks": GOOD, **facts})["page"]


def some(folder: pathlib.Path, *names: str, **more: Any) -> list[dict[str, Any]]:
    """Pages of members, as member_page gives them."""
    found = []
    for name in names:
        path = folder / f"{name}.html"
        path.write_text(f"<p>{name}</p>")
        address = f"{name}@{name}.example"
        found.append({"id": name, "title": name, "language": "en", "path": str(path), "for": [address], "verified": True, **more})
    return found


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {one["address"]: one["outcome"] for one in result["mails"]}


def test_a_pack_goes_out_once_and_again_when_it_matters(tmp_path: pathlib.Path, post: Post) -> None:
    page = welcome(tmp_path)
    told = mail(tmp_path, post.port, [page], check=True)
    assert outcomes(told) == {"rosa@rosa.example": "to send"} and told["changed"]
    assert post.tried == [] and not (tmp_path / "mailed").exists()
    done = mail(tmp_path, post.port, [page])
    assert outcomes(done) == {"rosa@rosa.example": "sent"} and done["changed"]
    assert [one["message_id"] for one in told["mails"]] == [one["message_id"] for one in done["mails"]]
    assert not mail(tmp_path, post.port, [page])["changed"] and not mail(tmp_path, post.port, [page], check=True)["changed"]
    # What a coordinator need not hear of: another check, a restore, a colour.
    colour = {"services__rosa__branding": {"primary_color": "#123456"}}
    same = welcome(tmp_path, restore_proved_on="2026-02-27", checks=[*GOOD, {"check": "rooms", "result": "ok"}], members=colour)
    assert not mail(tmp_path, post.port, [same])["changed"] and len(post.taken) == 1
    # What it has to: a limit, and that it was taken back.
    other = welcome(tmp_path, members={"services__rosa__limits": {"participants": 7}})
    assert mail(tmp_path, post.port, [other])["changed"] and mail(tmp_path, post.port, [welcome(tmp_path)])["changed"]
    assert not mail(tmp_path, post.port, [welcome(tmp_path)])["changed"]
    assert len(post.taken) == 3 and len({message["Message-ID"] for message in post.taken}) == 3
    texts = [message.get_body().get_content() for message in post.taken]
    assert ["It takes the place of the one" in text for text in texts] == [False, True, True]
    assert "Questions: Office, office@meet.example" in texts[0]
    assert post.taken[0]["Subject"] == "meet.coop: Welcome, Rosa" and "meet.coop" in post.taken[0]["From"]
    (part,) = post.taken[2].iter_attachments()
    assert part.get_filename() == "meet-welcome-rosa.html" and part.get_payload(decode=True) == (tmp_path / "rosa.html").read_bytes()
    record = tmp_path / "mailed" / "welcome" / "rosa.json"
    assert record.stat().st_mode & 0o777 == 0o600 and SECRET not in record.read_text() + str(done) + "".join(map(str, post.taken))


def test_a_pack_waits_until_its_service_was_seen_to_work(tmp_path: pathlib.Path, post: Post) -> None:
    for checks in ([], CHECKS):
        done = mail(tmp_path, post.port, [welcome(tmp_path, checks=checks)])
        assert done["waits"] == ["rosa"] and not done["changed"] and post.tried == []
        assert done["summary"][-1] == "rosa: not verified yet, so nothing goes out"
    # Own names that are not ready: what to do stands on the page, so it goes out, and again when they are.
    late = [*GOOD, {"check": "domains", "result": "failed"}]
    assert mail(tmp_path, post.port, [welcome(tmp_path, checks=late, domains=[FINDING])])["changed"]
    again = {**FINDING, "reason": "the name server gave no answer"}
    assert not mail(tmp_path, post.port, [welcome(tmp_path, checks=late, domains=[again])])["changed"]
    ready = ["treffen.rosa.example", "rosa.meet.example"]
    assert mail(tmp_path, post.port, [welcome(tmp_path, hostnames=ready)])["changed"] and len(post.taken) == 2


@hypothesis.given(st.lists(st.sampled_from("abc"), max_size=12))
def test_a_pack_is_sent_as_often_as_it_changes(abouts: list[str]) -> None:
    record: dict[str, dict[str, Any]] = {}
    sent = []
    for about in abouts:
        number = _number(record, "x@x.example", about)
        if str(number) not in record:
            sent.append(about)
            record[str(number)] = {"address": "x@x.example", "about": about, "number": number}
    assert sent == [about for index, about in enumerate(abouts) if index == 0 or abouts[index - 1] != about]


@pytest.mark.parametrize(("every", "same", "after"), [
    ("week", "2026-03-08T23:59:00Z", "2026-03-09T00:00:00Z"),
    ("month", "2026-03-31T23:00:00Z", "2026-04-01T00:00:00Z"),
    ("quarter", "2026-03-31T23:00:00Z", "2026-04-01T01:00:00+00:30"),
])  # fmt: skip
def test_a_members_page_goes_out_once_in_a_while(every: str, same: str, after: str, tmp_path: pathlib.Path, post: Post) -> None:
    given = some(tmp_path, "rosa", "agaric")
    assert set(outcomes(mail(tmp_path, post.port, given, "page", every=every)).values()) == {"sent"}
    (tmp_path / "rosa.html").write_text("<p>as it is later</p>")
    assert not mail(tmp_path, post.port, given, "page", every=every, at=same)["changed"]
    assert set(outcomes(mail(tmp_path, post.port, given, "page", check=True, every=every, at=after)).values()) == {"to send"}
    assert mail(tmp_path, post.port, given, "page", every=every, at=after)["changed"] and len(post.taken) == 4
    assert post.addresses == ["agaric@agaric.example"] * 2 + ["rosa@rosa.example"] * 2
    by = [message for message in post.taken if message["To"] == "rosa@rosa.example"]
    assert [next(message.iter_attachments()).get_content() for message in by] == ["<p>rosa</p>", "<p>as it is later</p>"]
    # Nobody sees another's.
    assert all("agaric" not in str(message) for message in by)


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_mails_are_in_the_language_of_the_page(language: str, tmp_path: pathlib.Path, post: Post) -> None:
    said = pages.catalogue(language).gettext
    mail(tmp_path, post.port, some(tmp_path, "rosa", language=language), "page")
    mail(tmp_path, post.port, some(tmp_path, "rosa", language=language, about="x"))
    page, pack = post.taken
    assert page["Subject"] == "meet.coop: " + said("How your meetings are: %(title)s") % {"title": "rosa"}
    assert said("It is for you alone; please do not publish it.") in page.get_body().get_content()
    assert said("Welcome, %(title)s") % {"title": "rosa"} in pack["Subject"]
    assert said("The page that comes with this mail says where your meeting rooms are, how you sign in, and what your limits are.") in (
        pack.get_body().get_content()
    )


def test_a_refused_address_holds_up_nobody(tmp_path: pathlib.Path, post: Post) -> None:
    given = some(tmp_path, "agaric", "cafe", "rosa")
    post.refuses = {"cafe@cafe.example"}
    done = mail(tmp_path, post.port, given, "page")
    assert done["failed"] and "1 mails did not go out" in done["msg"] and "cafe <cafe@cafe.example>: refused: 550" in done["msg"]
    assert list(outcomes(done).values()) == ["sent", "refused", "sent"]
    post.refuses = set()
    again = mail(tmp_path, post.port, given, "page")
    assert list(outcomes(again).values()) == ["sent before", "sent", "sent before"] and not again.get("failed")


def test_no_server_sends_nothing_and_says_why(tmp_path: pathlib.Path, post: Post) -> None:
    given = some(tmp_path, "rosa")
    with pytest.raises(CoopError, match="refuses the login relay") as failed:
        mail(tmp_path, post.port, given, "page", smtp=smtp(post.port, password="guessed-it"))
    assert "guessed-it" not in str(failed.value) and post.taken == []
    assert outcomes(mail(tmp_path, post.port, given, "page")) == {"rosa@rosa.example": "sent"}


@pytest.mark.parametrize(("state", "left", "taken"), [("sent", ["sent before", "sent again", "sent"], 4), ("trying", None, 3)])
def test_a_killed_run_loses_no_mail(state: str, left: list[str] | None, taken: int, tmp_path: pathlib.Path, post: Post) -> None:
    """Killed for real at the second mail: before the server gets it, or after it and before that is written down."""
    given = some(tmp_path, "agaric", "cafe", "rosa")
    program = f"""
import os, pathlib, signal
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Outbox
from tests.unit.support.test_page_mail import mail
plain, count = Outbox.note, 0
def note(self, letter, state, said=""):
    global count
    count += state == {state!r}
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, letter, state, said)
Outbox.note = note
mail(pathlib.Path({str(tmp_path)!r}), {post.port}, {given!r}, "page")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ansible.ROOT, env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    again = mail(tmp_path, post.port, given, "page")
    assert list(outcomes(again).values()) == (left or ["sent before", "sent", "sent"]) and len(post.taken) == taken
    assert {str(message["To"]) for message in post.taken} == {one["for"][0] for one in given}
    assert len({message["Message-ID"] for message in post.taken}) == 3
    assert not mail(tmp_path, post.port, given, "page")["changed"]


def test_two_runs_at_once_send_once(tmp_path: pathlib.Path, post: Post) -> None:
    held = Outbox(str(tmp_path), [str(tmp_path / "mailed" / "welcome" / ".rosa.lock")], {}, None, 5, "meet.coop", AT)
    with held.alone():
        with pytest.raises(CoopError, match="another run is sending these mails; wait"):
            mail(tmp_path, post.port, some(tmp_path, "rosa", about="x"))
        # That of another service goes on.
        assert mail(tmp_path, post.port, some(tmp_path, "cafe", about="x"))["changed"]
    assert mail(tmp_path, post.port, some(tmp_path, "rosa", about="x"))["changed"] and len(post.taken) == 2


def test_what_is_missing_is_told_and_nothing_is_sent(tmp_path: pathlib.Path, post: Post) -> None:
    rosa, agaric = some(tmp_path, "rosa", "agaric", about="x")
    for given, said, options in (
        (
            [agaric, {**rosa, "path": str(tmp_path / "gone.html")}],
            "gone.html: cannot be read: no such file or directory; write the page",
            {},
        ),
        ([agaric, {**rosa, "for": []}], "pages: rosa is for nobody; write at least one address", {}),
        ([agaric, {**rosa, "id": "../rosa"}], 'pages: "../rosa" is no id of the membership file; write one', {}),
        ([agaric, agaric], 'pages: "agaric" is there twice; give each page once', {}),
        ([agaric, {**rosa, "about": None}], "pages: rosa says nothing of what it is about; write what", {}),
        ([agaric], "cooperative: id is missing; write what", {"cooperative": {}}),
        ([agaric], 'at: "noon" is not a time with its offset from UTC; write one', {"at": "noon"}),
    ):
        with pytest.raises(CoopError) as failed:
            mail(tmp_path, post.port, given, **options)
        assert said in str(failed.value)
    assert post.tried == []
    mail(tmp_path, post.port, [rosa])
    (tmp_path / "mailed/welcome/rosa.json").write_text("{")
    with pytest.raises(CoopError, match=r"mailed/welcome/rosa.json: is not what this module wrote; put it back"):
        mail(tmp_path, post.port, [rosa])
    (tmp_path / "file").write_text("")
    with pytest.raises(CoopError, match="rosa.json: cannot be read: not a directory; check"):
        mail(tmp_path, post.port, [rosa], record=str(tmp_path / "file"))
    assert len(post.taken) == 1


def coop_file(post: Post, **mailing: Any) -> dict[str, Any]:
    """Sections of a membership file that mails through the server."""
    account = {
        "server": "mail.meet.example", "port": post.port, "security": "none", "auth": "plain", "username": "relay",
        "password_var": "vault_office_smtp", "sender_email": "office@meet.example",
    }  # fmt: skip
    return {"cooperative": {**BASE["cooperative"], "smtp": account, "mailing": mailing}}


def playbook(inventory: pathlib.Path, book: pathlib.Path, variables: dict[str, Any], *arguments: str) -> tuple[int, str]:
    given = inventory.parent / "variables.json"
    # Names of servers are whole host names, and this machine has none.
    here = "{{ coop_cooperative | combine({'smtp': {'server': '127.0.0.1'}}, recursive=true) }}"
    told = {"vault_office_smtp": SECRET, "member_page_cooperative": here, "welcome_cooperative": here}
    given.write_text(json.dumps({**told, **variables}))
    done = ansible.run_playbook(
        [sys.executable, "-m", "ansible", "playbook", "-vvv", "-i", str(inventory), "-e", f"@{given}", *arguments, str(book)],
        cwd=ansible.ROOT,
        env=ansible.environment(),
        timeout=240,
        together=True,
    )
    assert "Traceback" not in done.stdout and SECRET not in done.stdout
    return done.returncode, done.stdout


@pytest.mark.programs
def test_the_play_of_pages_mails_what_the_membership_file_wants(tmp_path: pathlib.Path, post: Post) -> None:
    coop = Members(tmp_path, **coop_file(post, pages="month"))
    coop.receipt_of("rosa")
    inventory = tmp_path / "members.yml"
    inventory.write_text("plugin: meet.coop.members\n" + inventory.read_text())
    variables = {"member_page_at": AT, "member_page_directory": str(coop.out), "member_page_receipts": str(tmp_path / "receipts")}
    book = ansible.ROOT / "playbooks" / "member_pages.yml"
    code, output = playbook(inventory, book, variables, "--check")
    assert code == 0 and "rosa <rosa@rosa.example>: to send" in output and "cafe: not verified yet" in output and post.tried == [], output
    code, output = playbook(inventory, book, variables)
    assert code == 0 and "rosa <rosa@rosa.example>: sent" in output and post.addresses == ["rosa@rosa.example"], output
    code, output = playbook(inventory, book, variables)
    assert code == 0 and "changed=0" in output and len(post.taken) == 1, output
    assert (tmp_path / "written/mailed/pages/2026-03/rosa.json").exists()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "variables.json"]
    assert not any(SECRET in text for text in files)


@pytest.mark.programs
def test_onboarding_mails_each_its_own_and_fails_for_one_alone(tmp_path: pathlib.Path, post: Post) -> None:
    inventory, book = tmp_path / "members.yml", tmp_path / "play.yml.json"

    def members(**mailing: Any) -> None:
        data = changed(
            **coop_file(post, **mailing), services__cafe__accounts={"administrators": [{"name": "K", "email": "k@cafe.example"}]}
        )
        inventory.write_text(yaml.safe_dump({"plugin": "meet.coop.members", **data}))

    # The last two plays of onboarding, after verification.
    book.write_text(json.dumps(yaml.safe_load((ansible.ROOT / "playbooks" / "onboard.yml").read_text())[-2:]))
    seen = {"checks": GOOD, "ok": True, "table": ["as it was seen"]}
    variables = {"verify_result": seen, "verify_drill": {"stdout": "{}"}, "ansible_connection": "local"}
    members()
    code, output = playbook(inventory, book, variables)
    assert code == 0 and post.tried == [] and not (tmp_path / "written/mailed").exists(), output
    members(welcome=True)
    code, output = playbook(inventory, book, variables, "--check")
    assert code == 0 and "cafe <kim@cafe.example>: to send" in output and post.tried == [], output
    post.refuses = {"kim@cafe.example"}
    code, output = playbook(inventory, book, variables)
    assert code == 2 and "cafe <kim@cafe.example>: refused: 550" in output and post.addresses == ["rosa@rosa.example"], output
    post.refuses = set()
    code, output = playbook(inventory, book, variables)
    assert code == 0 and post.addresses == ["kim@cafe.example", "rosa@rosa.example"], output
    code, output = playbook(inventory, book, variables)
    assert code == 0 and "changed=1" not in output and len(post.taken) == 2, output
    # An own name that is not ready fails the run as ever, and does not keep the page from whoever has to make it ready.
    late = {**seen, "ok": False, "checks": [*GOOD, {"check": "domains", "result": "failed"}]}
    members(welcome=True)
    found = {"results": [FINDING]}
    code, output = playbook(inventory, book, {**variables, "verify_result": late, "instance_domains": found}, "-l", "rosa")
    assert code == 2 and "as it was seen" in output and "rosa <rosa@rosa.example>: sent" in output and len(post.taken) == 3, output
