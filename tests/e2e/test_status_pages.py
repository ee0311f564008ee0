# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Status page and rota in Debian's Chromium: axe-core finds nothing to mend, in light, in the dark, on a small screen, and it prints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from tests.unit.support.coop import RULES, Support
from tests.unit.support.test_status import INCIDENT, PLAN, Coop

LONG = "Wohnungsbaugenossenschaftsverbandsversammlung der Mitgliedsgenossenschaften"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pages with everything on them that there can be."""
    coop = Coop(tmp_path_factory.mktemp("status"), services__rosa__title=LONG)
    coop.write("maintenance/now.yml", {**PLAN, "from": "2026-03-04T11:00Z", "until": "2026-03-04T13:00Z", "services": ["cafe"]})
    coop.write("maintenance/nodes.yml", PLAN)
    coop.write("incidents/sound.yml", INCIDENT)
    coop.write("incidents/old.yml", {**INCIDENT, "severity": "notice", "began": "2026-02-04T09:00Z", "ended": "2026-02-04T10:00Z"})
    coop.receipt("rosa", ok=False)
    coop.receipt("cafe")
    coop.status(languages=["en", "es", "ca", "de", "fr"], time_zone="Europe/Madrid")
    support = Support(tmp_path_factory.mktemp("rota"))
    support.members({"ada": {"name": LONG, "support": {"page": "https://ada.example/help"}}, "bob": {}, "sun": {"classes": ["consumer"]}})
    support.rota(RULES, swaps=[{"turn": "2026-01-05", "with": "2026-01-12"}])
    rota = support.path / "rota.html"
    support.run("2026-02-04T00:00:00Z", page=str(rota), calendar=str(support.path / "rota.ics"))
    return [coop.out / "index.html", coop.out / "index.de.html", coop.out / "index.ca.html", rota]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 768), ("light", 360)])
def test_axe_finds_nothing_to_mend(browser: Browser, pages: list[Path], scheme: str, width: int) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    for path in pages:
        page.goto(f"file://{path}")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        # Nothing comes from elsewhere, and nothing runs.
        assert page.evaluate("performance.getEntriesByType('resource').length + document.scripts.length") == 0
    page.close()


def test_it_leads_through_the_languages_and_prints(browser: Browser, pages: list[Path]) -> None:
    page = browser.new_page()
    page.goto(f"file://{pages[0]}")
    assert page.locator("html").get_attribute("lang") == "en" and "Something does not work." in page.inner_text("header")
    page.click("text=Deutsch")
    assert page.locator("html").get_attribute("lang") == "de" and "Etwas funktioniert nicht." in page.inner_text("header")
    assert page.locator("nav [aria-current=page]").inner_text() == "Deutsch"
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and page.pdf(format="A4").startswith(b"%PDF")
    page.close()
