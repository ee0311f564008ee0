# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stdout callback C(meet.coop.progress)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: How far a run is with each member, and a recap that says what to do next
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Says for each member which stage of the chain it is in (DNS, database, container, route and certificate, ...), and leaves out the
    tasks that had nothing to do.
  - On a terminal the members at work stand below the output, with a bar and the time that has gone by. Where the output is kept
    (no terminal, CI, AWX, Semaphore, C(TERM=dumb)) each member and stage is one plain line, without any code that moves a cursor.
  - Failures, diffs, warnings and messages are shown as by P(ansible.builtin.default#callback), and what it hides, such as results of tasks
    with C(no_log), is hidden here. With C(-v) results are shown as there.
  - The recap names who is in sync, who was changed, and of each that failed the reason in one line.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  live:
    description:
      - V(auto) shows members at work below the output where it is a terminal that somebody watches, V(never) writes plain lines only.
    type: str
    choices: [auto, never]
    default: auto
    env:
      - name: MEET_COOP_PROGRESS_LIVE
    ini:
      - section: callback_meet_coop_progress
        key: live
requirements:
  - to be set as stdout callback, C(stdout_callback = meet.coop.progress) in C(ansible.cfg)
seealso:
  - plugin: ansible.builtin.default
    plugin_type: callback
"""

import atexit
import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.meet.coop.plugins.plugin_utils._progress.board import Board, Outcome, one_line, recap, stage_of

TICK = 0.25
"""Seconds between two looks of the live view."""
#: What sets one of these keeps the output, though it may give the run a terminal: GitLab and GitHub, ansible-runner and AWX, Semaphore.
_KEEPERS = ("CI", "AWX_", "RUNNER_", "JOB_ID", "SEMAPHORE_")
_COLORS = {"title": "COLOR_HIGHLIGHT", "ok": "COLOR_OK", "changed": "COLOR_CHANGED", "failed": "COLOR_ERROR", "next": "COLOR_HIGHLIGHT"}


def watched() -> bool:
    """Whether somebody looks at a terminal that can move its cursor."""
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", "") or any(name.startswith(_KEEPERS) for name in os.environ):
        return False
    try:
        return sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).columns > 0
    except (OSError, ValueError):
        return False


class _Screen:
    """Lines at the bottom of a terminal that come and go.

    They are drawn with the cursor left on the first of them, so that whatever else is written takes their place.
    """

    def __init__(self, file: Any) -> None:
        self._file = file.fileno()
        self.signs = "█░" if "utf" in (getattr(file, "encoding", "") or "").lower() else "#-"
        self._encoding = getattr(file, "encoding", None) or "utf-8"
        self._shown = False

    def draw(self, lines: Callable[[int, int], list[str]]) -> None:
        size = os.get_terminal_size(self._file)
        found = lines(size.columns - 1, size.lines)
        back = f"\x1b[{len(found) - 1}A" if len(found) > 1 else ""
        self._write("\r\x1b[J" + "\r\n".join(found) + "\r" + back)
        self._shown = True

    def clear(self) -> None:
        if self._shown:
            self._write("\r\x1b[J")
            self._shown = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to end a run
            os.write(self._file, text.encode(self._encoding, "replace"))


class _Shy:
    """Ansible's display, for which the live view makes room."""

    def __init__(self, display: Any, make_room: Callable[[], None], lock: Any) -> None:
        self._display, self._make_room, self._lock = display, make_room, lock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._display, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._make_room()
                return found(*arguments, **options)

        return call


class CallbackModule(Default):  # type: ignore[misc]
    """See the documentation of the plugin."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "meet.coop.progress"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lock = threading.RLock()
        self._board = Board(time.monotonic())
        self._screen: _Screen | None = None
        self._display: Any = _Shy(self._display, self._make_room, self._lock)
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None
        self._headline = ""
        self._check = self._check_play = False
        self._positions: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._told_changed: set[tuple[str, str]] = set()
        self._item_reasons: dict[tuple[str, str], str] = {}
        self._paused: set[str] = set()

    # -- the live view

    def _make_room(self) -> None:
        if self._screen is not None:
            self._screen.clear()

    def _tick(self) -> None:
        while not self._stop.wait(TICK):
            with self._lock:
                if self._paused:
                    continue
                if self._screen is None:
                    for name, stage in self._board.waiting(time.monotonic()):
                        self._tell(name, stage)
                else:
                    self._draw()

    def _draw(self) -> None:
        screen, now = self._screen, time.monotonic()
        if screen is not None and self._board.members:
            screen.draw(lambda width, height: self._board.lines(width, height, now, screen.signs))

    def _begin(self) -> None:
        if self._ticker is None:
            if self.get_option("live") == "auto" and watched():
                self._screen = _Screen(sys.stdout)
            atexit.register(self._end)
            self._ticker = threading.Thread(target=self._tick, name="meet.coop.progress", daemon=True)
            self._ticker.start()

    def _end(self) -> None:
        self._stop.set()
        with self._lock:
            self._make_room()
            self._screen = None

    # -- words

    def _head(self) -> None:
        """The play's own line, once somebody has something to do in it."""
        if self._headline:
            title, self._headline = self._headline, ""
            count = len(self._board.members)
            mark = " (check mode)" if self._check_play else ""
            self._display.display(f"\n{title}: {count} {'host' if count == 1 else 'hosts'}{mark}", color=C.COLOR_HIGHLIGHT)

    def _tell(self, name: str, what: str, color: str | None = None) -> None:
        self._head()
        seconds = int(time.monotonic() - self._board.started)
        self._display.display(f"[{seconds // 60:>3}:{seconds % 60:02}] {name}: {what}", color=color)

    def _task_name(self, task: Any) -> str:
        found = self._names.get(task._uuid) or task.get_name()
        return one_line(found.rpartition(" : ")[2], 120)

    def _ended(self, result: Any, skipped: bool = False) -> None:
        name = result._host.get_name()
        with self._lock:
            self._paused.discard(name)
            stage = self._board.end(name, skipped)
            if stage and self._screen is None:
                self._tell(name, stage)

    def _tell_changed(self, result: Any) -> None:
        key = (result._host.get_name(), result._task._uuid)
        if key not in self._told_changed:
            self._told_changed.add(key)
            self._board.changed.add(key[0])
            word = "would change" if self._check or result._task.check_mode else "changed"
            self._tell(key[0], f"{word}: {self._task_name(result._task)}", C.COLOR_CHANGED)

    def _reason(self, result: Any) -> str:
        said, key = result._result, (result._host.get_name(), result._task._uuid)
        why = (
            self._item_reasons.pop(key, None) or said.get("msg") or said.get("censored") or said.get("module_stderr") or said.get("stderr")
        )
        if not why:
            why = "it failed" if said.get("rc") is None else f"it ended with {said['rc']}"
        return f"{self._task_name(result._task)}: {one_line(why)}"

    def _print_task_banner(self, task: Any) -> None:
        self._head()
        self._last_task_name = self._names.get(task._uuid)
        super()._print_task_banner(task)

    def _handle_exception(self, result: Any, use_stderr: bool = False) -> None:
        if result.get("censored"):
            # The default callback would show what a task with no_log failed at.
            result.pop("exception", None)
            return
        super()._handle_exception(result, use_stderr)

    # -- what Ansible tells

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._check = bool(context.CLIARGS.get("check"))
        super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play
        names: list[str] = []
        manager = play.get_variable_manager()
        if manager is not None:
            names = [str(name) for name in manager.get_vars(play=play, include_hostvars=False).get("ansible_play_batch") or []]
        title = one_line(play.get_name())
        self._check_play = bool(play.check_mode)
        tasks = [task for block in play.compile() for task in _flat(block)]
        with self._lock:
            self._make_room()
            self._board.open(title, names)
            self._positions = {task._uuid: number / len(tasks) for number, task in enumerate(tasks)}
            self._paused.clear()
            self._told_changed.clear()
            self._headline = title
        self._begin()

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._headline = ""

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        self._task_type_cache[task._uuid] = prefix or "TASK"
        self._names[task._uuid] = task.get_name().strip()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        name = host.get_name()
        role = task._role.get_name() if task._role is not None else None
        with self._lock:
            member = self._board.members.get(name)
            stage = stage_of(str(task.resolved_action or task.action), role, self._board.play, member.stage if member else None)
            self._board.begin(name, stage, self._task_name(task), self._positions.get(task._uuid, 0.0), time.monotonic())
            if task.action in ("pause", "ansible.builtin.pause"):
                # It asks on this terminal.
                self._paused.add(name)
                self._make_room()
        super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result)
        if isinstance(result._task, TaskInclude):
            return
        if self._run_is_verbose(result):
            if result._result.get("changed"):
                self._tell_changed(result)
            super().v2_runner_on_ok(result)
            return
        if result._result.get("changed"):
            self._tell_changed(result)
        self._handle_warnings(result._result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._ended(result, skipped=True)
        if self._run_is_verbose(result):
            super().v2_runner_on_skipped(result)
        else:
            self._handle_warnings(result._result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result)
        if not ignore_errors:
            with self._lock:
                self._board.fail(result._host.get_name(), self._reason(result))
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result)
        if not result._task.ignore_unreachable:
            with self._lock:
                self._board.fail(result._host.get_name(), self._reason(result))
        super().v2_runner_on_unreachable(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._run_is_verbose(result):
            super().v2_runner_item_on_ok(result)
        else:
            self._handle_warnings(result._result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._run_is_verbose(result):
            super().v2_runner_item_on_skipped(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        said, key = result._result, (result._host.get_name(), result._task._uuid)
        self._item_reasons[key] = one_line(f"{self._get_item_label(said)}: {said.get('msg') or said.get('censored') or 'it failed'}")
        super().v2_runner_item_on_failed(result)

    def v2_on_file_diff(self, result: Any) -> None:
        found = result._result
        many = found.get("results") if result._task.loop else None
        parts = [one for one in (many if isinstance(many, list) else [found]) if isinstance(one, dict)]
        if any(one.get("diff") and one.get("changed") for one in parts):
            self._tell_changed(result)
            self._last_task_banner = result._task._uuid  # the line before says which task and whose
            super().v2_on_file_diff(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._display.verbosity:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_vars_prompt(self, *arguments: Any, **options: Any) -> None:
        with self._lock:
            self._make_room()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end()
        outcomes = [
            Outcome(name, stats.changed.get(name, 0), bool(stats.failures.get(name)), bool(stats.dark.get(name)))
            for name in sorted(stats.processed)
        ]
        # Without extra variables, which may be secrets.
        words = ["ansible-playbook", *(word for source in context.CLIARGS.get("inventory") or () for word in ("-i", source))]
        words += [*(context.CLIARGS.get("args") or ()), *(["--check"] if self._check else [])]
        seconds = time.monotonic() - self._board.started
        self._display.display("")
        for kind, line in recap(outcomes, self._board.reasons, seconds, self._check, shlex.join(words)):
            self._display.display(line, color=getattr(C, _COLORS[kind]))
        if stats.custom and self.get_option("show_custom_stats"):
            for name, value in sorted(stats.custom.items()):
                self._display.display(f"{'run' if name == '_run' else name}: {self._dump_results(value, indent=1)}")


def _flat(block: Any) -> list[Any]:
    """All tasks of a block, in order."""
    found: list[Any] = []
    for part in (block.block, block.rescue, block.always):
        for one in part:
            found += _flat(one) if hasattr(one, "rescue") else [one]
    return found
