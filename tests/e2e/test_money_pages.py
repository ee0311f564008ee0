# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages of the example year in Debian's Chromium: axe-core finds nothing to mend, in light, in the dark, on a small screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from tests.support.ansible import ROOT

CLOSED = ROOT / "docs" / "example-year" / "money" / "closed"
PAGES = ("2025-04/summary.html", "2025-11/statements/agaric.html", "2025-10/statements/rosa.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_axe_finds_nothing_to_mend(browser: Browser, scheme: str, width: int) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    for name in PAGES:
        page.goto(f"file://{CLOSED / name}")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        # Nothing runs out of the page: wide tables scroll by themselves.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_axe_sees_what_is_wrong(browser: Browser, tmp_path) -> None:
    """The check is a real one: a page with its language and a head of a table taken away is refused."""
    broken = tmp_path / "broken.html"
    broken.write_text((CLOSED / PAGES[1]).read_text().replace('<html lang="en">', "<html>").replace("<title>", "<x>", 1))
    page = browser.new_page()
    page.goto(f"file://{broken}")
    assert {violation["id"] for violation in Axe().run(page).response["violations"]} >= {"html-has-lang"}
    page.close()
