# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of members and clients alone: what is on them, for whom, in which language, and errors that say where."""

from __future__ import annotations

import json
import pathlib
import re
import stat
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import member_page
from ansible_collections.meet.coop.plugins.plugin_utils._support.member_task import MemberTask
from tests.unit.cooperative.coop import PROPOSAL, RULES
from tests.unit.support.test_status import AT, PLAN, Coop

HEAD = "member,tenant,metric,value,source,sampled_from,sampled_to,samples_expected,samples_got\n"
DECISION = {**PROPOSAL, "id": "D-0003", "title": "Smaller meetings", "proposer": "rosa"}


class Members(Coop):
    """The co-operative of the status page, with receipts that say more."""

    def __init__(self, path: pathlib.Path, **changes: Any) -> None:
        super().__init__(path, **changes)
        self.out = path / "member-pages"

    def receipt_of(self, name: str, **more: Any) -> None:
        self.write(f"receipts/{name}.json", json.dumps({
            "at": "2026-03-04T03:00:00Z", "ok": True, "hostname": f"{name}.meet.example", "certificate_until": "2026-05-21",
            "restore_proved_on": "2026-02-27", "restore": {"seconds": 41.3, "rows": 1204}, "backup_at": "2026-03-04T01:30:00Z",
            "checks": [{"check": "mail", "result": "ok", "detail": "<x>"}, {"check": "rooms", "result": "failed", "detail": "y"}], **more,
        }))  # fmt: skip

    def run(self, at: str = AT, check: bool = False, **options: Any) -> dict[str, Any]:
        params = {name: option.get("default") for name, option in member_page.ARGUMENT_SPEC.items()}
        given = {"membership": [str(self.path / "members.yml")], "directory": str(self.out), "receipts": str(self.path / "receipts")}
        return MemberTask({**params, **given, "at": at, **options}).run(check)

    def page(self, name: str) -> str:
        return " ".join((self.out / f"{name}.html").read_text().split())


def plain(page: str) -> str:
    """What a page says, without its elements."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_it_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.receipt_of("rosa")
    coop.receipt_of("cafe", ok=False)
    coop.write("maintenance/nodes.yml", {**PLAN, "services": ["rosa"]})
    coop.write("money/usage/2026-02.csv", HEAD + "rosa,rosa,participant_minutes,9000,meter,2026-02-01,2026-02-28,100,99\n"
               "rosa,rosa,peak_participants,12,meter,2026-02-01,2026-02-14,50,50\n"
               "rosa,rosa,peak_participants,17,meter,2026-02-15,2026-02-28,50,50\n")  # fmt: skip
    told = coop.run(check=True)
    assert told["changed"] and not coop.out.exists()
    done = coop.run()
    assert done == told and [one["owner"] for one in done["pages"]] == ["rosa", "cafe"]
    assert done["pages"][0]["for"] == ["rosa@rosa.example"] and done["pages"][0]["language"] == "es"
    assert stat.S_IMODE(coop.out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in coop.out.iterdir()} == {0o600}
    again = coop.run("2026-03-04T13:00:00Z")
    assert not again["changed"] and again["diff"] == []

    rosa, cafe = coop.page("rosa"), coop.page("cafe")
    # In the language of its site, with everything that is known.
    for said in ('<html lang="es">', "Funciona", "2026-05-21", "2026-03-04 01:30", "2026-02-27", "41 segundos, 1204 filas",
                 "Servidores nuevos", ">9000<", ">17<", ">99 %<", "igual para todo el mundo",
                 'href="https://agaric.example/help"'):  # fmt: skip
        assert said in rosa, said
    assert '<html lang="en">' in cafe and "Does not work fully" in cafe and "New &lt;servers&gt;" not in cafe
    # One page has nothing of another's, and none of what verification wrote down for operators.
    assert "Café" not in rosa and "cafe" not in rosa and "Rosa" not in cafe and "&lt;x&gt;" not in rosa + cafe
    assert "Kim" not in rosa


def test_the_language_of_the_member_counts_before_that_of_its_site(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path, members__rosa__language="de", clients__cafe__language="fr")
    assert {one["owner"]: one["language"] for one in coop.run()["pages"]} == {"rosa": "de", "cafe": "fr"}
    assert "Noch nicht" in coop.page("rosa") or "noch nicht" in coop.page("rosa")
    assert "Dernière sauvegarde" in coop.page("cafe")
    # A site in a language that there are no texts in.
    other = Members(tmp_path / "other", services__rosa__branding={"language": "pt_BR"})
    assert other.run()["pages"][0]["language"] == "en"


def test_limits_say_who_decided_them(tmp_path: pathlib.Path) -> None:
    coop = Members(
        tmp_path,
        defaults__limits={"participants": 30, "decided_by": "D-0003"},
        services__rosa__limits={"meeting_minutes": 45},
        members__rosa__language="en",
    )
    coop.write("decisions/rules.yml", RULES)
    coop.write("decisions/D-0003/proposal.yml", DECISION)
    with pytest.raises(CoopError, match="members.yml:[0-9]+: .*limits.decided_by: decision D-0003 is still open") as caught:
        coop.run("2026-01-12T00:00:00Z")
    assert not coop.out.exists() and "Traceback" not in str(caught.value)
    for member in ("rosa", "agaric"):
        said = {
            "member": member,
            "proposal": "D-0003",
            "stage": "consensus",
            "revision": 1,
            "position": "agree",
            "by": "x",
            "at": "2026-01-12",
        }
        coop.write(f"decisions/D-0003/positions/{member}.yml", said)
    coop.run(decisions_url="https://meet.example/decisions.html")
    page = coop.page("rosa")
    assert '<a href="https://meet.example/decisions.html#D-0003">D-0003</a>: Smaller meetings' in page
    words = plain(page)
    assert "45 minutes agreed with you" in words and "Rooms per account 5 the same for everybody" in words
    assert coop.run(only=["cafe"], check=True)["pages"][0]["owner"] == "cafe"


def test_sold_accounts_show_what_they_have(tmp_path: pathlib.Path) -> None:
    agaric = {"tier": "dedicated_container", "member": "agaric", "accounts": {"registration": "open"}}
    team = {
        "tier": "accounts", "client": "cafe", "instance": "agaric", "limits": {"rooms_per_account": 3},
        "accounts": {"users": [{"name": "Kim", "email": "kim@cafe.example"}]}, "term": {"until": "2036-12-31"},
    }  # fmt: skip
    coop = Members(tmp_path, services__agaric=agaric, services__team=team)
    coop.run()
    page = coop.page("cafe")
    assert "https://agaric.meet.example/" in page and "2036-12-31" in page and "3 agreed with you" in plain(page)


def test_who_has_left_keeps_no_page_and_other_files_stay(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.run()
    (coop.out / "README.html.txt").write_text("ours")
    changed = Members(tmp_path, services__cafe__state="absent")
    told = changed.run(check=True)
    assert told["files"] == [str(coop.out / "cafe.html")] and (coop.out / "cafe.html").exists()
    changed.run()
    assert {path.name for path in coop.out.iterdir()} == {"rosa.html", "README.html.txt"}
    assert not changed.run()["changed"]


def test_a_run_that_was_killed_is_repaired_and_open_files_are_closed(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.run()
    whole = {path.name: path.read_bytes() for path in coop.out.iterdir()}
    (coop.out / "rosa.html").unlink()
    (coop.out / ".rosa.html.new").write_text("half")
    (coop.out / "cafe.html").chmod(0o644)
    told = coop.run(check=True)
    assert told["files"] == [str(coop.out / "rosa.html"), str(coop.out / "cafe.html")]
    assert coop.run()["files"] == told["files"]
    assert {path.name: path.read_bytes() for path in coop.out.iterdir() if path.suffix == ".html"} == whole
    assert {stat.S_IMODE(path.stat().st_mode) for path in coop.out.glob("*.html")} == {0o600}
    assert not coop.run()["changed"]


@pytest.mark.parametrize("broken", [
    {"checks": "all"}, {"checks": [3, {"check": "x", "result": "y"}]}, {"restore": 3}, {"restore": {"seconds": True, "rows": "many"}},
    {"certificate_until": 3}, {"certificate_until": "<b>"}, {"backup_at": "<b>"}, {"restore_proved_on": ["x"]},
])  # fmt: skip
def test_what_a_receipt_does_not_say_well_is_not_known(broken: dict[str, Any], tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.receipt_of("rosa", **broken)
    coop.run()
    assert "&lt;b&gt;" not in coop.page("rosa") and "<b>" not in coop.page("rosa") and "many" not in coop.page("rosa")


@pytest.mark.parametrize(("options", "said"), [
    ({"at": "today"}, "at: "), ({"time_zone": "Mars"}, "time_zone: "), ({"months": 0}, "months: "), ({"stale_hours": 0}, "stale_hours: "),
    ({"only": ["nobody"]}, "only: "), ({"decisions_url": "decisions.html"}, "decisions_url: "),
])  # fmt: skip
def test_bad_options_are_told(options: dict[str, Any], said: str, tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    with pytest.raises(CoopError) as caught:
        coop.run(**options)
    assert str(caught.value).startswith(said) and "; write " in str(caught.value) and not coop.out.exists()


def test_bad_use_is_told_with_its_line_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    coop = Members(tmp_path)
    coop.write("money/usage/2026-02.csv", HEAD + "rosa,rosa,participant_minutes,many,meter,2026-02-01,2026-02-28,100,99\n")
    with pytest.raises(CoopError, match=r"2026-02\.csv:2: "):
        coop.run()
    assert not coop.out.exists()
