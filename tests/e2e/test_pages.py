# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages of members, welcome, hand-over, register and decisions in Debian's Chromium: axe-core finds nothing to mend, at three sizes, in
light, in the dark and on paper, in every language."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from tests.support.ansible import ROOT, environment, run_playbook
from tests.unit.cooperative.coop import PROPOSAL, RULES
from tests.unit.support import test_welcome as welcome
from tests.unit.support.test_handover import Handover
from tests.unit.support.test_member_page import HEAD, Members
from tests.unit.support.test_status import PLAN

LONG = "Wohnungsbaugenossenschaftsverbandsversammlung der Mitgliedsgenossenschaften"
LANGUAGES = ("en", "es", "ca", "de", "fr")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages with everything on them that there can be, by name."""
    base = tmp_path_factory.mktemp("pages")
    found: dict[str, Path] = {}
    for language in LANGUAGES:
        coop = Members(base / language, members__rosa__language=language, services__rosa__title=LONG,
                       defaults__limits={"participants": 30, "decided_by": "D-0001"})  # fmt: skip
        coop.receipt_of("rosa", ok=False)
        coop.write("maintenance/nodes.yml", {**PLAN, "title": LONG})
        coop.write("decisions/rules.yml", RULES)
        coop.write("decisions/D-0001/proposal.yml", {**PROPOSAL, "proposer": "rosa", "title": LONG})
        for member in ("rosa", "agaric"):
            said = {"member": member, "proposal": "D-0001", "stage": "consensus", "revision": 1, "position": "agree", "by": "x"}
            coop.write(f"decisions/D-0001/positions/{member}.yml", {**said, "at": "2026-01-12"})
        metrics = ("participant_minutes", "meeting_minutes", "voice_minutes", "video_minutes", "peak_participants", "peak_meetings")
        for month in ("2026-01", "2026-02"):
            rows = (f"rosa,rosa,{metric},123456,meter,{month}-01,{month}-28,100,99\n" for metric in metrics)
            coop.write(f"money/usage/{month}.csv", HEAD + "".join(rows))
        coop.run(decisions_url="https://meet.example/decisions.html", time_zone="Europe/Madrid")
        found[f"member-{language}"] = coop.out / "rosa.html"
        facts = {"domains": [welcome.FINDING], "mail_records": welcome.RECORDS, "restore_proved_on": "2026-02-27", "checks": welcome.CHECKS}
        members = {**welcome.everything(language), "services__rosa__title": LONG}
        found[f"welcome-{language}"] = base / f"welcome-{language}.html"
        welcome.write(found[f"welcome-{language}"], members=members, **facts)
        found[f"farewell-{language}"] = base / f"farewell-{language}.html"
        dangling = [{"name": welcome.OWN, "records": [f"{welcome.OWN}. A 203.0.113.10"]}]
        welcome.write(found[f"farewell-{language}"], members=members, farewell=True, dangling=dangling, mail_records=welcome.RECORDS)
    coop = Handover(base / "handover", members__agaric__contacts=[{"name": LONG, "email": "mo@agaric.example"}])
    holder = {"member": "agaric", "contact": LONG}
    coop.items(vault={"holders": [holder], "name": LONG, "renew_by": "2026-03-01"}, domain__meet={"holders": [holder, welcome_rosa()]})
    coop.run()
    found["handover"] = coop.out
    found.update(of_the_example(base))
    return found


def of_the_example(base: Path) -> dict[str, Path]:
    """Register and log of decisions of the example, by their playbooks."""
    example = base / "example"
    shutil.copytree(ROOT / "inventories" / "example", example)
    found = {"register": base / "register.html", "decisions": base / "decisions.html"}
    day = "2026-04-01"
    given = {
        "register_page": str(found["register"]), "register_as_of": day,
        "decision_log_page": str(found["decisions"]), "decision_log_as_of": day,
    }  # fmt: skip
    (base / "given.json").write_text(json.dumps(given))
    books = [str(ROOT / "playbooks" / f"{name}.yml") for name in ("register", "decide")]
    done = run_playbook(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(example), "-e", f"@{base}/given.json", *books],
        cwd=ROOT,
        env=environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return found


def welcome_rosa() -> dict[str, str]:
    return {"member": "rosa", "contact": "Rosa"}


def of_language(pages: dict[str, Path], language: str) -> dict[str, Path]:
    """Pages of one language, and those that are in English only."""
    return {name: path for name, path in pages.items() if "-" not in name or name.endswith(f"-{language}")}


@pytest.mark.parametrize(("scheme", "width", "language"), [
    ("light", 1280, "en"), ("dark", 768, "es"), ("light", 360, "de"), ("dark", 360, "fr"),
])  # fmt: skip
def test_axe_finds_nothing_to_mend(browser: Browser, pages: dict[str, Path], scheme: str, width: int, language: str) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    for name, path in of_language(pages, language).items():
        page.goto(f"file://{path}")
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        # Nothing comes from elsewhere, and nothing runs.
        assert page.evaluate("performance.getEntriesByType('resource').length + document.scripts.length") == 0
    page.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_the_screen(browser: Browser, pages: dict[str, Path], width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for name, path in pages.items():
        page.goto(f"file://{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()


def test_on_paper_it_is_black_on_white_and_whole(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(color_scheme="dark")
    page.emulate_media(media="print")
    for name, path in pages.items():
        page.goto(f"file://{path}")
        # A sheet of A4 with usual margins.
        page.set_viewport_size({"width": 680, "height": 960})
        body = page.evaluate("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))")
        assert body == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"], name
        assert page.evaluate("[...document.querySelectorAll('.table')].every(one => one.scrollWidth <= 700)"), name
        assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
