# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtp_check against the lab's mail server: what it accepts, and the one line for each thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.lab import RunningLab

HOST = "host1"
MODULE = "meet.coop.smtp_check"
MAILBOX = "find /var/mail/lab/verify -type f | wc -l"


@pytest.fixture
def account(lab: RunningLab) -> dict[str, Any]:
    return {
        "smtp": {"server": "smtp.lab.test", "username": "rosa@smtp.lab.test", "password": lab.secrets["smtp"]["rosa"],
                 "sender_email": "meet@rosa.test"},
        "ca_file": "/etc/meet-coop/ca-bundle.pem", "timeout": 5,
    }  # fmt: skip


@pytest.mark.parametrize("auth", [None, "plain", "login"])
@pytest.mark.parametrize("check", [True, False])
def test_an_account_that_works(
    lab: RunningLab, run_module: Callable[..., dict[str, Any]], account: dict[str, Any], auth: str | None, check: bool
) -> None:
    before = lab.exec("services", ["sh", "-c", MAILBOX]).stdout
    account["smtp"] |= {"auth": auth} if auth else {}
    result = run_module(HOST, MODULE, account, check=check)
    assert (result.get("failed", False), result["changed"], result["login"]) == (False, False, True), result
    assert result["tls"].startswith("TLSv1.")
    assert lab.exec("services", ["sh", "-c", MAILBOX]).stdout == before


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "password": ({"password": "not-the-password-4711"}, "refuses the login rosa@smtp.lab.test"),
    "sender": ({"sender_email": "office@sunflower.test"}, "refuses mail from office@sunflower.test"),
    "no login": ({"username": None, "password": None}, "530"),
    "port": ({"port": 588}, "cannot be reached (Connection refused)"),
    "security": ({"security": "tls"}, "smtp.security is tls"),
    "name": ({"server": "services.meet.test"}, "cannot be reached"),
    "method": ({"auth": "cram_md5"}, "refuses the login"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_wrong_is_told_in_one_line(
    run_module: Callable[..., dict[str, Any]], account: dict[str, Any], case: str
) -> None:
    change, said = WRONG[case]
    account["smtp"] |= change
    result = run_module(HOST, MODULE, account)
    assert result["failed"] and said in result["msg"], result
    assert "\n" not in result["msg"] and "Traceback" not in json.dumps(result)
    assert account["smtp"]["password"] is None or account["smtp"]["password"] not in json.dumps(result)


def test_a_certificate_of_an_unknown_authority(run_module: Callable[..., dict[str, Any]], account: dict[str, Any]) -> None:
    result = run_module(HOST, MODULE, {**account, "ca_file": "/etc/ssl/certs/ISRG_Root_X1.pem"})
    assert result["failed"] and "certificate is not accepted" in result["msg"], result
    trusting = run_module(HOST, MODULE, {**account, "ca_file": None, "smtp": {**account["smtp"], "verify": False}})
    assert not trusting.get("failed"), trusting


def test_a_server_that_is_down_or_silent(lab: RunningLab, run_module: Callable[..., dict[str, Any]], account: dict[str, Any]) -> None:
    ways = (("kill --signal STOP", "kill --signal CONT", "no answer within 5 s, or hung up"), ("stop", "start", "Connection refused"))
    for stop, start, said in ways:
        lab.exec("services", ["sh", "-c", f"systemctl {stop} lab-smtp"])
        try:
            result = run_module(HOST, MODULE, account)
        finally:
            lab.exec("services", ["sh", "-c", f"systemctl {start} lab-smtp"])
        assert result["failed"] and said in result["msg"], result
    lab.wait_for("services", "ss -ltn | grep -q :587")
    assert not run_module(HOST, MODULE, account).get("failed")
