# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process with ansible imported, which forks one child per ansible-playbook run: half of a short run's time is imports.

Reads requests as lines of JSON from its standard input ({argv, env, out, err}), answers each with the exit status as a line. It ends with
its input. Plugins and modules of this checkout are not imported here, only in the children, so each run sees them as they are then.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def child(request: dict[str, object]) -> None:
    """Be ansible-playbook."""
    argv, env = request["argv"], request["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    os.setsid()
    for number, path in ((1, request["out"]), (2, request["err"])):
        handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(env)
    from ansible.cli.playbook import PlaybookCLI

    PlaybookCLI.cli_executor(["ansible-playbook", *argv])


def main() -> None:
    for name in (
        "ansible.cli.playbook", "ansible.executor.playbook_executor", "ansible.executor.process.worker", "ansible.executor.task_executor",
        "ansible.module_utils.basic", "ansible.plugins.action.normal", "ansible.plugins.strategy.linear", "jinja2",
    ):  # fmt: skip
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                child(json.loads(line))
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(end.code if isinstance(end.code, int) else 1)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
