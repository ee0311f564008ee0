# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people and programs are told of a run, by the real ansible-playbook, an SMTP server and a hook on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
import http.server
import json
import pathlib
import sys
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from ansible_collections.meet.coop.plugins.plugin_utils import _run_report
from tests.support import ansible

pytestmark = [pytest.mark.programs, pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")]
PASSWORD, TOKEN, PATH = "correct-horse-battery", "staple-token", "/webhook/3f9c-secret-path"
FINE = {"ansible.builtin.debug": {"msg": "fine"}}
CHANGE = {"ansible.builtin.command": {"argv": ["true"]}}
BROKEN = {"name": "Bring it up", "ansible.builtin.fail": {"msg": "the disk of Docker is full:\n<b>free</b> space, größer"}}


class Post:
    """A mail server and a hook, what they have taken, and whom they refuse."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.hooks: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.refuses: set[str] = set()
        self.answer = 200
        self.smtp_port = self.hook_port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuses:
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        assert envelope.content.isascii()
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 2.0.0 Ok"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=True) if good else AuthResult(success=False, handled=False)


@pytest.fixture
def post() -> Iterator[Post]:
    found = Post()

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.hooks.append((self.path, dict(self.headers), data))
            self.send_response(found.answer)
            if found.answer == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    found.hook_port = hooks.server_port
    loop = asyncio.new_event_loop()

    def session() -> SMTP:
        return SMTP(found, hostname="mail.meet.example", authenticator=authenticate, auth_required=True, auth_require_tls=False, loop=loop)

    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0))
    found.smtp_port = server.sockets[0].getsockname()[1]
    threads = [threading.Thread(target=loop.run_forever), threading.Thread(target=hooks.serve_forever)]
    for thread in threads:
        thread.start()
    yield found
    loop.call_soon_threadsafe(loop.stop)
    hooks.shutdown()
    for thread in threads:
        thread.join()
    server.close()
    hooks.server_close()
    loop.close()


class Coop:
    """Runs of a playbook with the callback on."""

    def __init__(self, path: pathlib.Path, post: Post) -> None:
        self.path, self.report = path, path / "reports" / "site.json"
        self.given = {
            "MEET_COOP_REPORT_FILE": str(self.report), "MEET_COOP_REPORT_MAIL_TO": "ana@meet.example,mo@meet.example",
            "MEET_COOP_REPORT_MAIL_FROM": "runs@meet.example", "MEET_COOP_REPORT_SMTP_SERVER": "127.0.0.1",
            "MEET_COOP_REPORT_SMTP_PORT": str(post.smtp_port), "MEET_COOP_REPORT_SMTP_SECURITY": "none",
            "MEET_COOP_REPORT_SMTP_USERNAME": "runs", "MEET_COOP_REPORT_SMTP_PASSWORD": PASSWORD,
            "MEET_COOP_REPORT_HOOK_URL": f"http://127.0.0.1:{post.hook_port}{PATH}", "MEET_COOP_REPORT_TIMEOUT": "60",
        }  # fmt: skip

    def run(self, tasks: list[dict[str, Any]], *options: str, hosts: str = "a,b", **more: str | None) -> tuple[int, str]:
        """Exit code and output, on one line."""
        book = self.path / "site.yml"
        book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        given = {**self.given, **{f"MEET_COOP_REPORT_{name.upper()}": value for name, value in more.items()}}
        env = ansible.environment(ANSIBLE_CALLBACKS_ENABLED="meet.coop.run_report", **{k: v for k, v in given.items() if v is not None})
        command = [sys.executable, "-m", "ansible", "playbook", "-i", f"{hosts},", "-c", "local", *options, str(book)]
        done = ansible.run_playbook(command, cwd=ansible.ROOT, env=env, timeout=300, together=True)
        assert "Traceback" not in done.stdout
        for secret in (PASSWORD, TOKEN, PATH):
            assert secret not in done.stdout
        return done.returncode, " ".join(done.stdout.split())

    def read(self) -> dict[str, Any]:
        assert self.report.stat().st_mode & 0o777 == 0o600
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found


@pytest.fixture
def coop(tmp_path: pathlib.Path, post: Post) -> Coop:
    return Coop(tmp_path, post)


def test_a_failure_is_told_once_by_mail_and_hook(coop: Coop, post: Post) -> None:
    tasks = [{**BROKEN, "when": "inventory_hostname == 'b'"}, CHANGE, {"ansible.builtin.set_stats": {"data": {"plan": ["a"]}}}]
    code, _output = coop.run(tasks, "-e", "awx_job_id=81")
    assert code == 2
    report = coop.read()
    assert report["outcome"] == "failed" and report["by"] == "site.yml (AWX job 81)" and report["stats"] == {"plan": ["a"]}
    assert report["failures"] == [{"host": "b", "task": "Bring it up", "msg": "the disk of Docker is full: <b>free</b> space, größer"}]
    assert report["hosts"]["a"]["changed"] == 1 and report["hosts"]["b"]["failures"] == 1
    [mail] = post.mails
    assert mail["Subject"] == "site: failed (1 of 2 hosts)" and mail["To"] == "ana@meet.example, mo@meet.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "- b: Bring it up: the disk of Docker is full: <b>free</b> space, größer" in mail.get_content()
    [(path, _headers, data)] = post.hooks
    assert path == PATH and set(data) == {"text", "html"} and "&lt;b&gt;free" in data["html"] and "<b>" not in data["html"]


def test_people_hear_of_what_they_want_to_hear_of(coop: Coop, post: Post) -> None:
    assert coop.run([CHANGE])[0] == 0 and coop.read()["outcome"] == "changed"
    assert coop.run([CHANGE], "--check", on="always")[0] == 0 and coop.read()["check_mode"] is True
    assert coop.run([FINE], on="failure,change")[0] == 0 and coop.read()["outcome"] == "ok"
    # What was ignored or rescued is no failure.
    mended = {"block": [BROKEN], "rescue": [FINE]}
    assert coop.run([mended, {**BROKEN, "ignore_errors": True}])[0] == 0 and coop.read()["failures"] == []
    assert (post.mails, post.hooks) == ([], [])
    assert coop.run([CHANGE], on="failure,change", name="nightly")[0] == 0
    assert [mail["Subject"] for mail in post.mails] == ["nightly: changed 2 of 2 hosts"] and len(post.hooks) == 1


@pytest.mark.parametrize(("form", "keys"), [("matrix_webhook", {"body", "key"}), ("json", {"text", "report"})])
def test_each_hook_gets_its_form_and_its_token(coop: Coop, post: Post, form: str, keys: set[str]) -> None:
    coop.run([BROKEN], mail_to=None, hook_format=form, hook_token=TOKEN)
    [(_path, headers, data)] = post.hooks
    assert set(data) == keys
    assert (data.get("key"), headers.get("Authorization")) == ((TOKEN, None) if form == "matrix_webhook" else (None, f"Bearer {TOKEN}"))
    assert TOKEN not in coop.report.read_text()


def test_servers_that_are_down_are_a_warning_each_and_change_nothing_else(coop: Coop, post: Post) -> None:
    """Port 1 of loopback refuses."""
    code, output = coop.run([FINE], on="always", smtp_port="1", hook_url=f"http://127.0.0.1:1{PATH}")
    assert code == 0 and coop.read()["outcome"] == "ok"
    assert output.count("run_report:") == 2, output
    assert "SMTP server 127.0.0.1 port 1 cannot be reached" in output and "the hook at 127.0.0.1:1 cannot be reached" in output, output
    assert coop.run([BROKEN], smtp_port="1", hook_url=None)[0] == 2


def test_servers_that_refuse_are_named_and_the_other_way_still_works(coop: Coop, post: Post) -> None:
    post.answer = 302
    code, output = coop.run([FINE], on="always", smtp_password="wrong")
    assert code == 0 and "refuses the login runs" in output and f"the hook at 127.0.0.1:{post.hook_port} answers 302" in output, output
    assert [path for path, _headers, _data in post.hooks] == [PATH] and post.mails == []
    post.answer, post.refuses = 200, {"mo@meet.example"}
    code, output = coop.run([FINE], on="always")
    assert code == 0 and "takes no mail for mo@meet.example" in output and len(post.mails) == 1, output
    post.refuses.add("ana@meet.example")
    code, output = coop.run([FINE], on="always")
    assert code == 0 and "takes no mail for ana@meet.example, mo@meet.example" in output and len(post.mails) == 1, output


def test_half_a_configuration_is_one_line(coop: Coop, post: Post) -> None:
    code, output = coop.run([FINE], on="always", smtp_server=None, hook_url="matrix.example/hook", file="/proc/report.json")
    assert code == 0 and "smtp_server is not set" in output and "hook_url is not an address" in output, output
    assert "the report /proc/report.json cannot be written" in output


def test_what_a_task_hides_stays_hidden(coop: Coop, post: Post) -> None:
    code, _output = coop.run([{"ansible.builtin.command": {"argv": ["sh", "-c", f"echo {TOKEN}; exit 3"]}, "no_log": True}])
    assert code == 2 and len(post.mails) == 1
    told = coop.report.read_text() + post.mails[0].get_content() + json.dumps(post.hooks[0][2])
    assert TOKEN not in told and "output has been hidden" in told


def test_a_long_list_of_failures_stays_readable() -> None:
    numbers = {"ok": 0, "changed": 0, "unreachable": 1, "failures": 0}
    report = {
        "name": "site\nBcc: all@example.org", "playbook": "site.yml", "begun": "", "ended": "", "by": "", "check_mode": False,
        "outcome": "failed", "hosts": {f"h{number}": numbers for number in range(500)},
        "failures": [{"host": f"h{number}", "task": "t", "msg": "m"} for number in range(500)],
    }  # fmt: skip
    lines = _run_report.text(report).splitlines()
    assert len(lines) < 40 and lines[-1] == "- and 480 more"
    assert "\n" not in _run_report.title(report)
    assert len(_run_report.one_line("x" * 10_000)) == _run_report.LONGEST


def test_a_job_that_told_of_itself_is_told_of_once_and_another_in_its_place(coop: Coop, post: Post) -> None:
    """Playbook run_failed, as systemd starts it after a failure; the variables are systemd's own (systemd.exec, MONITOR_…)."""

    def failed(invocation: str, **more: str) -> tuple[int, str]:
        env = {name: value for name, value in coop.given.items() if name != "MEET_COOP_REPORT_FILE"}
        env |= {"MEET_COOP_REPORT_NAME": "site", "MONITOR_INVOCATION_ID": invocation, **more}
        command = [
            sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", "run_failed_job=site",
            "-e", f"run_failed_reports={coop.report.parent}", str(ansible.ROOT / "playbooks" / "run_failed.yml"),
        ]  # fmt: skip
        done = ansible.run_playbook(command, env=ansible.environment(ANSIBLE_CALLBACKS_ENABLED="meet.coop.run_report", **env), timeout=300)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    # It came to no play, and there is no report yet.
    code, output = failed("1111", MONITOR_SERVICE_RESULT="timeout", MONITOR_EXIT_STATUS="TERM")
    assert code == 2 and len(post.mails) == len(post.hooks) == 1, output
    assert "site ended without a report (timeout, status TERM): journalctl -u meet-coop-run-site.service" in post.mails[0].get_content()
    # It failed and told; its report names the run that systemd asks for.
    coop.given["INVOCATION_ID"] = "2222"
    assert coop.run([BROKEN])[0] == 2 and coop.read()["invocation"] == "2222" and len(post.mails) == 2
    code, output = failed("2222")
    assert code == 0 and len(post.mails) == len(post.hooks) == 2, output
    # The next one was killed; what lies there is the report of the one before.
    code, output = failed("3333")
    assert code == 2 and len(post.mails) == 3, output
