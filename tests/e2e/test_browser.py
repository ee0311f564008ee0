# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an administrator sees: Debian's Chromium signs in on the member's site and reads the welcome page."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from .conftest import Play

INSTANCE, HOSTNAME, COLOUR = "sunflower", "sunflower.meet.test", "rgb(232, 162, 0)"


@pytest.fixture
def browser(lab: Any) -> Iterator[Browser]:
    """Names resolve to the container host; the chain of certificates is verified elsewhere, by clients that refuse a wrong one."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", f"--host-resolver-rules=MAP *.test {lab.ip('host1')}"],
        )  # fmt: skip
        yield chromium
        chromium.close()


@pytest.fixture
def administrator(onboarded: Play, run_module: Callable[..., dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Mail and password of an administrator made for the test."""
    mail, password = "browser@mail.lab.test", f"{secrets.token_urlsafe(18)}aA1!"
    account = {"email": mail, "name": "Browser", "role": "Administrator"}
    wanted = {"login_db": f"greenlight_{INSTANCE}", "users": [{**account, "password": password}], "update_password": "always"}
    made = run_module("host1", "meet.coop.greenlight_user", wanted)
    assert not made.get("failed"), made
    yield mail, password
    gone = {"login_db": f"greenlight_{INSTANCE}", "users": [{"email": mail, "state": "absent"}], "remove_rooms": True}
    assert not run_module("host1", "meet.coop.greenlight_user", gone).get("failed")


def test_the_administrator_signs_in_and_reads_the_welcome_page(browser: Browser, lab: Any, administrator: tuple[str, str]) -> None:
    mail, password = administrator
    page = browser.new_page(ignore_https_errors=True)
    page.goto((lab.state / "welcome" / f"{INSTANCE}.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome, Sunflower meetings")
    limits = page.get_by_role("row").all_inner_texts()
    assert any("Rooms per account" in row and "3" in row for row in limits)
    assert any("Length of a meeting" in row and "60 minutes" in row for row in limits)
    assert any("People in a meeting" in row and "25" in row for row in limits)

    page.get_by_role("link", name=f"https://{HOSTNAME}/", exact=True).click()
    page.goto(f"https://{HOSTNAME}/signin")
    page.locator("input[name=email]").fill(mail)
    page.locator("input[name=password]").fill("wrong" + password)
    button = page.get_by_role("button", name="Sign In")
    assert button.evaluate("element => getComputedStyle(element).backgroundColor") == COLOUR
    button.click()
    page.wait_for_timeout(500)
    assert not page.url.endswith("/rooms")

    page.locator("input[name=password]").fill(password)
    button.click()
    page.wait_for_url(f"https://{HOSTNAME}/rooms")
    logo = page.locator("header img, nav img, img").first
    assert logo.get_attribute("src") == f"https://{HOSTNAME}/branding/logo.svg"
    assert logo.evaluate("image => image.complete && image.naturalWidth") > 0
