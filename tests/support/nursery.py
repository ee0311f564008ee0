# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process with ansible imported, which forks one child per ansible-playbook run: most of a short run's time is imports.

Reads requests as lines of JSON from its standard input ({argv, cwd, env, input, out, err}), answers each with the child's process id and
then its exit status, a line each. It ends with its input.

What belongs to this checkout is not imported here, only in the children, so each run sees it as it is then. The archives of modules that
ansible makes (its ansiballz_cache) stay for the next run; they are those of ansible and of other collections, see _forget.
"""

from __future__ import annotations

import gc
import glob
import importlib
import json
import os
import sys
import traceback

OURS = "meet.coop."


def child(request: dict[str, object]) -> None:
    """Be ansible-playbook."""
    argv, env, cwd = request["argv"], request["env"], request["cwd"]
    assert isinstance(argv, list) and isinstance(env, dict)
    os.setsid()
    for number, path in ((1, request["out"]), (2, request["err"])):
        handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    handle = os.open(str(request["input"]), os.O_RDONLY)
    os.dup2(handle, 0)
    os.close(handle)
    os.chdir(str(cwd))
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ansible-playbook", *argv]
    import ansible.cli
    from ansible.cli.playbook import PlaybookCLI

    # It is in place already, see prepare; a second time is only a warning.
    ansible.cli.init_plugin_loader = lambda *_paths: None
    PlaybookCLI.cli_executor(sys.argv)


def prepare() -> None:
    """Import what nearly every run imports, and read the documentation of plugins that every task asks for its options."""
    for name in (
        "ansible.cli.playbook", "ansible.executor.playbook_executor", "ansible.executor.process.worker", "ansible.executor.task_executor",
        "ansible.module_utils.basic", "ansible.plugins.strategy.linear", "ansible.plugins.inventory.yaml", "jinja2", "jsonschema",
    ):  # fmt: skip
        importlib.import_module(name)
    from ansible.plugins import loader

    loader.init_plugin_loader()
    for kind, names in (
        ("action", ("normal", "assert", "command", "copy", "debug", "fail", "include_tasks", "include_role", "set_fact", "template",
                    "uri", "wait_for_connection")),
        ("connection", ("local", "community.docker.docker")),
        ("shell", ("sh",)), ("cache", ("memory",)), ("strategy", ("linear",)), ("lookup", ("env", "file", "template")),
        ("callback", ("default",)),
        ("inventory", ("host_list", "script", "auto", "yaml", "ini")),
    ):  # fmt: skip
        for name in names:
            getattr(loader, f"{kind}_loader").get(name if "." in name else f"ansible.builtin.{name}", class_only=True)
    # The children share this memory as long as nothing writes to it; the collector would.
    gc.collect()
    gc.freeze()


def _forget() -> None:
    """Modules of this checkout are packed anew by each run, for their files may have changed."""
    from ansible import constants

    for path in glob.glob(os.path.join(glob.escape(constants.DEFAULT_LOCAL_TMP), "ansiballz_cache", OURS + "*")):
        os.unlink(path)


def main() -> None:
    prepare()
    print("ready", flush=True)
    for line in sys.stdin:
        _forget()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                child(json.loads(line))
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
