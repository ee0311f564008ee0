# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback C(meet.coop.run_report)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_report
type: notification
short_description: Tells people and programs what a run came to
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Writes a report (JSON) at the end of a run, and sends a mail, posts to a hook, or both, when the run failed or changed something.
  - It is a callback and no task, so that a play that failed is told too.
  - Each is tried once. What cannot be told is a warning, and never changes how the run ended.
  - A run that comes to no play at all (a broken membership file, a killed process) calls no callback. Role P(meet.coop.scheduler#role)
    has a unit for that, and AWX and Semaphore have notifications of their own.
requirements:
  - enabled by C(callbacks_enabled = meet.coop.run_report) in ansible.cfg, or E(ANSIBLE_CALLBACKS_ENABLED)
options:
  name:
    description: What the run is called; the playbook when left out.
    type: str
    env: [{name: MEET_COOP_REPORT_NAME}]
    ini: [{section: callback_run_report, key: name}]
  file:
    description: Where the report is kept. Left out, none is.
    type: path
    env: [{name: MEET_COOP_REPORT_FILE}]
    ini: [{section: callback_run_report, key: file}]
  'on':
    description: What people are told. Of a run in check mode nobody is.
    type: list
    elements: str
    choices: [failure, change, always]
    default: [failure]
    env: [{name: MEET_COOP_REPORT_ON}]
    ini: [{section: callback_run_report, key: 'on'}]
  mail_to:
    description: Addresses that are mailed. Left out, none are.
    type: list
    elements: str
    default: []
    env: [{name: MEET_COOP_REPORT_MAIL_TO}]
    ini: [{section: callback_run_report, key: mail_to}]
  mail_from:
    description: The address that mails come from; it must belong to the account.
    type: str
    env: [{name: MEET_COOP_REPORT_MAIL_FROM}]
    ini: [{section: callback_run_report, key: mail_from}]
  smtp_server:
    description: The co-operative's SMTP server.
    type: str
    env: [{name: MEET_COOP_REPORT_SMTP_SERVER}]
    ini: [{section: callback_run_report, key: smtp_server}]
  smtp_port:
    description: Its port, 587 for STARTTLS and 465 for TLS as a rule.
    type: int
    default: 587
    env: [{name: MEET_COOP_REPORT_SMTP_PORT}]
    ini: [{section: callback_run_report, key: smtp_port}]
  smtp_security:
    description: V(starttls) insists on STARTTLS, V(tls) encrypts from the start, V(none) does neither.
    type: str
    choices: [starttls, tls, none]
    default: starttls
    env: [{name: MEET_COOP_REPORT_SMTP_SECURITY}]
    ini: [{section: callback_run_report, key: smtp_security}]
  smtp_username:
    description: Login name.
    type: str
    env: [{name: MEET_COOP_REPORT_SMTP_USERNAME}]
    ini: [{section: callback_run_report, key: smtp_username}]
  smtp_password:
    description: Login password. It has no place in a file of the project, so only in the environment.
    type: str
    env: [{name: MEET_COOP_REPORT_SMTP_PASSWORD}]
  smtp_ca_file:
    description: Authorities that the server's certificate is checked against; the system's when left out.
    type: path
    env: [{name: MEET_COOP_REPORT_SMTP_CA_FILE}]
    ini: [{section: callback_run_report, key: smtp_ca_file}]
  hook_url:
    description: The address of a hook that takes JSON by POST. It is often a secret itself, so only in the environment.
    type: str
    env: [{name: MEET_COOP_REPORT_HOOK_URL}]
  hook_format:
    description:
      - V(hookshot) is matrix-hookshot's generic hook (C(text) and C(html)), V(matrix_webhook) that bot's (C(body) and C(key)), V(json)
        gives C(text) and the whole C(report).
    type: str
    choices: [hookshot, matrix_webhook, json]
    default: hookshot
    env: [{name: MEET_COOP_REPORT_HOOK_FORMAT}]
    ini: [{section: callback_run_report, key: hook_format}]
  hook_token:
    description: The key of V(matrix_webhook), or a bearer token for V(json).
    type: str
    env: [{name: MEET_COOP_REPORT_HOOK_TOKEN}]
  timeout:
    description: Seconds for each step of telling.
    type: int
    default: 20
    env: [{name: MEET_COOP_REPORT_TIMEOUT}]
    ini: [{section: callback_run_report, key: timeout}]
"""

import os
import time
from collections.abc import Callable
from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils import _run_report, _this_run


class CallbackModule(CallbackBase):
    """Collects failures on the way, and tells at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "meet.coop.run_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._begun = time.time()
        self._playbook = ""
        self._check = False
        self._variables: dict[str, Any] = {}
        self._faults: dict[str, dict[str, str]] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = os.path.basename(str(playbook._file_name))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._check = bool(play.check_mode)
        manager = play.get_variable_manager()
        self._variables = manager.extra_vars if manager else {}

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._keep(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep(result)

    def _keep(self, result: Any) -> None:
        """The last failure of each host; one that was rescued is dropped at the end."""
        host, found = result._host.get_name(), result._result
        items = [str(item["msg"]) for item in found.get("results", []) if isinstance(item, dict) and item.get("failed") and item.get("msg")]
        message = found.get("censored") or "; ".join(items) or found.get("msg") or found.get("stderr") or "no message"
        self._faults[host] = {"host": host, "task": _run_report.one_line(result._task.get_name()), "msg": _run_report.one_line(message)}

    def v2_playbook_on_stats(self, stats: Any) -> None:
        report = self._report(stats)
        self._attempt(lambda: self._write(report))
        if _run_report.matters(report, self.get_option("on")):
            self._attempt(lambda: self._mail(report))
            self._attempt(lambda: self._post(report))

    def _report(self, stats: Any) -> _run_report.Report:
        names = ("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored")
        hosts = {host: {name: int(stats.summarize(host)[name]) for name in names} for host in sorted(stats.processed)}
        bad = {host for host, numbers in hosts.items() if numbers["failures"] or numbers["unreachable"]}
        return {
            "format": _run_report.FORMAT,
            "name": self.get_option("name") or self._playbook.rpartition(".")[0] or self._playbook,
            "playbook": self._playbook,
            "by": _this_run.described(os.getpid(), self._variables),
            # systemd's name of the run, which the unit for failures asks for.
            "invocation": os.environ.get("INVOCATION_ID", ""),
            "begun": _time(self._begun),
            "ended": _time(time.time()),
            "check_mode": self._check,
            "outcome": _run_report.outcome(hosts),
            "hosts": hosts,
            "failures": [fault for host, fault in sorted(self._faults.items()) if host in bad],
            "stats": dict(stats.custom.get("_run", {})),
        }

    def _write(self, report: _run_report.Report) -> None:
        if self.get_option("file"):
            _run_report.write(self.get_option("file"), report)

    def _mail(self, report: _run_report.Report) -> None:
        to = [address for address in self.get_option("mail_to") if address]
        if not to:
            return
        for name in ("smtp_server", "mail_from"):
            if not self.get_option(name):
                raise CoopError(f"{name} is not set, so {', '.join(to)} cannot be mailed; set MEET_COOP_REPORT_{name.upper()}")
        account = {
            "server": self.get_option("smtp_server"), "port": self.get_option("smtp_port"), "security": self.get_option("smtp_security"),
            "auth": None, "username": self.get_option("smtp_username"), "password": self.get_option("smtp_password"),
            "sender_email": self.get_option("mail_from"), "helo_domain": None, "verify": True,
        }  # fmt: skip
        _run_report.mail(report, to, account, self.get_option("smtp_ca_file"), self.get_option("timeout"))

    def _post(self, report: _run_report.Report) -> None:
        url = self.get_option("hook_url")
        if url:
            _run_report.post(report, url, self.get_option("hook_format"), self.get_option("hook_token") or "", self.get_option("timeout"))

    def _attempt(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong in telling is a line, and no other end of the run."""
        try:
            work()
        except CoopError as error:
            self._display.warning(f"run_report: {error}")


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
