# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements by mail, to a real SMTP server on loopback that refuses, goes away, and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._smtp import check
from ansible_collections.meet.coop.plugins.modules.statement_mail import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.mailing import MailTask
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Outbox
from tests.support import ansible, example_year
from tests.support.post import SECRET, Post, serving, smtp

from .year import MONTHS, Year

# The library warns of a login without TLS. Nothing leaves loopback here; TLS is what module smtp_check is tested for.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
ADDRESSES = [
    "ada@clover.example", "ana@sunflower.example", "eli@daisy.example", "lin@birch.example", "mo@agaric.example", "rosa@rosa.example",
]  # fmt: skip


@pytest.fixture
def post() -> Iterator[Post]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> Year:
    year = Year(tmp_path_factory.mktemp("mail") / "coop")
    year.close(*MONTHS[:3])
    example_year.invoice(year.path, MONTHS[2])
    return year


@pytest.fixture
def year(closed, tmp_path) -> Year:
    """Three closed months and the invoices of the last one."""
    found = Year.__new__(Year)
    found.path, found.money = tmp_path / "coop", tmp_path / "coop" / "money"
    subprocess.run(["cp", "-a", str(closed.path), str(found.path)], check=True)
    return found


def run(year: Year, port: int, check: bool = False, account: dict | None = None, **given) -> dict:
    params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    params |= {"membership": [str(year.path / "members.yml")], "as_of": "2025-04-08", "smtp": {**smtp(port), **(account or {})}}
    return MailTask({**params, "timeout": 5, **given}).run(check)


def outcomes(result: dict) -> dict[str, str]:
    return {one["address"]: one["outcome"] for one in result["mails"]}


def test_each_gets_its_own_once(year, post):
    before = year.tree()
    told = run(year, post.port, check=True)
    assert year.tree() == before and post.taken == [] and post.tried == []
    assert outcomes(told) == dict.fromkeys(ADDRESSES, "to send") and told["changed"]
    done = run(year, post.port)
    assert outcomes(done) == dict.fromkeys(ADDRESSES, "sent") and post.addresses == ADDRESSES
    assert [one["message_id"] for one in told["mails"]] == [one["message_id"] for one in done["mails"]]
    again = run(year, post.port)
    assert not again["changed"] and outcomes(again) == dict.fromkeys(ADDRESSES, "sent before") and len(post.taken) == 6
    assert not run(year, post.port, check=True)["changed"]
    records = list((year.money / "mailed").rglob("*.json"))
    assert len(records) == 6 and all(record.stat().st_mode & 0o777 == 0o600 for record in records)
    assert SECRET not in json.dumps(done) and all(SECRET.encode() not in data for data in year.tree().values())


def test_what_comes_is_what_lies_there(year, post):
    year.edit("members.yml", "name: Sunflower Housing Co-operative", "name: Sønnenblume & Søn")
    run(year, post.port)
    by_address = {str(message["To"]): message for message in post.taken}
    mine = by_address["ana@sunflower.example"]
    assert mine["Subject"] == "meet.coop: your statement for 2025-03"
    assert mine["From"] == '"meet.coop" <treasurer@meet.example>' or str(mine["From"]) == "meet.coop <treasurer@meet.example>"
    files = {part.get_filename(): part.get_payload(decode=True) for part in mine.iter_attachments()}
    assert sorted(files) == ["MEET-2025-03-SUNFLOWER.cii.xml", "MEET-2025-03-SUNFLOWER.ubl.xml", "meet-2025-03-sunflower.html"]
    assert files["meet-2025-03-sunflower.html"] == (year.money / "closed/2025-03/statements/sunflower.html").read_bytes()
    assert files["MEET-2025-03-SUNFLOWER.ubl.xml"] == (year.money / "documents/2025-03/MEET-2025-03-SUNFLOWER.ubl.xml").read_bytes()
    figures = json.loads((year.money / "closed/2025-03/allocation.json").read_text())
    owed = next(one["closing"] for one in figures["members"] if one["id"] == "sunflower")
    assert f"To pay: {owed / 100:.2f} EUR, with the reference SUNFLOWER-2025-03." in mine.get_body().get_content()
    assert "Dear Sønnenblume & Søn," in mine.get_body().get_content()
    # The seller hands on what it sold; nobody else sees it.
    for address, message in by_address.items():
        names = [part.get_filename() for part in message.iter_attachments()]
        assert ("AGARIC-2025-03-CAFE-1.ubl.xml" in names) == (address == "mo@agaric.example")
        assert len({name.split("-")[-1] for name in names if name.endswith(".html")}) == 1
    assert len({message["Message-ID"] for message in post.taken}) == 6


def test_a_refused_recipient_holds_up_nobody_and_is_tried_again(year, post):
    post.refuses = {"eli@daisy.example"}
    done = run(year, post.port)
    assert done["failed"] and "daisy <eli@daisy.example>: refused: 550 <eli@daisy.example>: no such mailbox" in done["msg"].replace(
        "5.1.1 ", ""
    )
    assert outcomes(done) == {**dict.fromkeys(ADDRESSES, "sent"), "eli@daisy.example": "refused"}
    # The address is mended in the register, and only that one gets a mail.
    year.edit("members.yml", "eli@daisy.example, role: treasurer", "money@daisy.example, role: treasurer")
    mended = run(year, post.port)
    assert not mended.get("failed") and [a for a, outcome in outcomes(mended).items() if outcome == "sent"] == ["money@daisy.example"]


def test_a_server_that_goes_away_in_the_middle(year, post):
    post.dies_at = 3
    done = run(year, post.port)
    assert done["failed"] and "4 mails did not go out, run again when that is mended" in done["msg"]
    found = list(outcomes(done).values())
    assert found == ["sent", "sent", "unknown", "not tried", "not tried", "not tried"] and len(post.taken) == 2
    again = run(year, post.port)
    assert list(outcomes(again).values()) == ["sent before", "sent before", "sent again", "sent", "sent", "sent"]
    assert post.addresses == ADDRESSES


def test_no_server_and_a_wrong_password_send_nothing_and_say_why(year, post):
    with pytest.raises(CoopError, match="SMTP server 127.0.0.1 port 1 cannot be reached"):
        run(year, 1)
    with pytest.raises(CoopError, match="refuses the login relay") as failed:
        run(year, post.port, account={"password": "guessed-it"})
    assert "guessed-it" not in str(failed.value)
    assert post.taken == [] and not list((year.money / "mailed").rglob("*.json"))


def test_the_account_is_checked_by_the_same_way_in(post):
    assert check(smtp(post.port), None, 5) == {"tls": None, "login": True}
    with pytest.raises(CoopError, match="does not offer what smtp.security=starttls"):
        check(smtp(post.port, security="starttls"), None, 5)


def test_a_killed_run_sends_again_with_the_same_name(year, post):
    """Killed for real after the server took the third mail and before that was written down."""
    program = f"""
import os, signal, sys
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Outbox
from tests.unit.cooperative.test_mailing import Year, run
import pathlib
plain, count = Outbox.note, 0
def note(self, letter, state, said=""):
    global count
    count += state == "sent"
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, letter, state, said)
Outbox.note = note
year = Year.__new__(Year)
year.path = pathlib.Path({str(year.path)!r})
run(year, {post.port})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ansible.ROOT, env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL and len(post.taken) == 3
    told = run(year, post.port, check=True)
    assert list(outcomes(told).values()) == ["sent before", "sent before", "to send", "to send", "to send", "to send"]
    found = run(year, post.port)
    assert list(outcomes(found).values()) == ["sent before", "sent before", "sent again", "sent", "sent", "sent"]
    twice = [message for message in post.taken if message["To"] == found["mails"][2]["address"]]
    assert len(twice) == 2 and twice[0]["Message-ID"] == twice[1]["Message-ID"]
    assert [part.get_content() for part in twice[0].iter_attachments()] == [part.get_content() for part in twice[1].iter_attachments()]
    assert len(post.taken) == 7


def test_two_runs_at_once_send_once(year, post):
    held = Outbox(str(year.money / "mailed/2025-03"), [str(year.money / "mailed/.lock")], {}, None, 5, "meet.coop", "2025-04-08")
    with held.alone(), pytest.raises(CoopError, match="another run is sending these mails"):
        run(year, post.port)
    assert post.taken == []
    assert outcomes(run(year, post.port)) == dict.fromkeys(ADDRESSES, "sent")


def test_whom_it_goes_to(year, post):
    text = (year.path / "members.yml").read_text()
    text = text.replace("      reference: MEETINGS-2025", "      reference: MEETINGS-2025\n      email: invoices@sunflower.example")
    text = text.replace(
        "eli@daisy.example, role: treasurer}",
        "eli@daisy.example, role: treasurer}\n      - {name: B, email: b@daisy.example, role: treasurer}",
    )
    text = text.replace(
        "{name: Rosa Diaz, email: rosa@rosa.example, role: treasurer}",
        "{name: T, email: t@rosa.example, role: technical}\n      - {name: R, email: r@rosa.example}",
    )
    (year.path / "members.yml").write_text(text)
    found = outcomes(run(year, post.port, check=True))
    changed = {"ana@sunflower.example", "rosa@rosa.example"}
    assert set(found) == {*ADDRESSES} - changed | {"invoices@sunflower.example", "b@daisy.example", "r@rosa.example"}


def test_only_closed_months_unless_asked_and_a_draft_again_when_it_changed(year, post):
    with pytest.raises(CoopError, match="2025-04 is not closed"):
        run(year, post.port, month="2025-04")
    with pytest.raises(CoopError, match=r"draft/2025-04/allocation.json: is not there; settle 2025-04 first"):
        run(year, post.port, draft=True)
    year.run(as_of="2025-04-08")
    done = run(year, post.port, draft=True)
    assert (
        set(outcomes(done).values()) == {"sent"}
        and "draft" in post.taken[0]["Subject"]
        and "draft" in post.taken[0].get_body().get_content()
    )
    assert not run(year, post.port, draft=True)["changed"]
    year.edit("bills/2025-04/hetzner.yml", "date: 2025-04-0", "date: 2025-04-1")
    year.run(as_of="2025-04-09")
    assert "sent" in outcomes(run(year, post.port, draft=True)).values()


def test_invoices_that_are_asked_for_come_first(year, post):
    with pytest.raises(
        CoopError, match=r"sunflower: MEET-2025-02-SUNFLOWER.ubl.xml is asked for and not made yet; run statement_documents for 2025-02"
    ):
        run(year, post.port, month="2025-02")
    assert post.tried == []


def test_check_mode_takes_invoices_that_are_to_come_for_made(year, post):
    coming = ["documents/2025-02/MEET-2025-02-SUNFLOWER.ubl.xml", "documents/2025-02/MEET-2025-02-SUNFLOWER.cii.xml"]
    told = run(year, post.port, check=True, month="2025-02", expected_documents=coming)
    example_year.invoice(year.path, MONTHS[1])
    done = run(year, post.port, month="2025-02")
    assert [(one["address"], one["files"], one["message_id"]) for one in told["mails"]] == [
        (one["address"], one["files"], one["message_id"]) for one in done["mails"]
    ]
    with pytest.raises(CoopError, match="MEET-2025-01-SUNFLOWER.ubl.xml is asked for and not made yet"):
        run(year, post.port, month="2025-01", expected_documents=["documents/2025-01/MEET-2025-01-SUNFLOWER.ubl.xml"])


@pytest.mark.programs
def test_the_play_makes_and_mails_and_keeps_the_secret(year, post, tmp_path):
    """The playbook by the real ansible-playbook, in check mode and for real, twice."""
    inventory = year.path / "hosts.yml"
    inventory.write_text("all:\n")
    variables = tmp_path / "variables.json"
    account = {name: value for name, value in smtp(post.port).items() if value is not None}
    variables.write_text(json.dumps({"statements_smtp": account, "statements_as_of": "2025-04-08", "statements_month": "2025-02"}))
    command = [
        sys.executable, "-m", "ansible", "playbook", "-vvv", "-i", str(inventory), "-e", f"@{variables}",
        str(ansible.ROOT / "playbooks" / "statements.yml"),
    ]  # fmt: skip
    said = []
    for more in (["--check", "--diff"], [], []):
        done = ansible.run_playbook([*command, *more], cwd=ansible.ROOT, env=ansible.environment(), timeout=120, together=True)
        assert done.returncode == 0, done.stdout
        assert SECRET not in done.stdout and "Traceback" not in done.stdout
        said.append(done.stdout)
    assert "sunflower <ana@sunflower.example>: to send" in said[0] and "sunflower <ana@sunflower.example>: sent" in said[1]
    assert "changed=2" in said[0] and "changed=2" in said[1] and "changed=0" in said[2]
    assert post.addresses == [address for address in ADDRESSES if not address.startswith("rosa")]


def test_a_broken_record_sends_nothing(year, post):
    run(year, post.port)
    (year.money / "mailed/2025-03/daisy.json").write_text("{")
    with pytest.raises(CoopError, match=r"mailed/2025-03/daisy.json: is not what this module wrote; put it back"):
        run(year, post.port)
    assert len(post.taken) == 6
