# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the very code that a module of this collection runs, put on a host to run there without a controller.

What is imported here is what is installed: a part that the code needs cannot be forgotten.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

PACKAGE = "ansible_collections.meet.coop.plugins.module_utils"
COMMAND = """\
#!/usr/bin/python3
# Installed by meet.coop; changes here are lost.
import sys

sys.path.insert(0, {library!r})
sys.dont_write_bytecode = True
from {package} import main

sys.exit(main())
"""


def arguments(library: str, command: str) -> dict[str, dict[str, Any]]:
    """Argument spec of a module that installs a program, with its default places."""
    return {
        "library": {"type": "path", "default": library},
        "command": {"type": "path", "default": command},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def keep(package: str, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Observe, compare, change: the program whose main() is in ``package``, as the options say. The module's result; raises CoopError."""
    library, door = params["library"], params["command"]
    want = wanted(package, library, door) if params["state"] == "present" else {}
    write, remove = diff(want, observe(library, door))
    if not check_mode:
        apply(want, write, remove)
    before = "".join(f"{path}\n" for path in remove)
    after = "".join(f"{path}\n" for path in write)
    return {"changed": bool(write or remove), "files": write + remove, "diff": {"before": before, "after": after}}


def wanted(package: str, library: str, door: str) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and mode: the code below ``library``, and the command ``door``, which runs main() of ``package``.

    Raises CoopError.
    """
    files: dict[str, tuple[bytes, int]] = {
        door: (COMMAND.format(library=library, package=package).encode(), 0o755),
    }
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        # A regular package wherever it is found: else one that Ansible brings to this host would hide ours.
        files[os.path.join(library, *parts[:depth], "__init__.py")] = (b"", 0o644)
    for name in sorted(name for name in sys.modules if name.startswith(f"{PACKAGE}.") and sys.modules[name] is not None):
        module = sys.modules[name]
        folder = hasattr(module, "__path__")
        relative = [*name.split("."), "__init__.py"] if folder else [*name.split(".")[:-1], f"{name.rsplit('.', 1)[1]}.py"]
        files[os.path.join(library, *relative)] = (_source(name, folder), 0o644)
    return files


def _source(name: str, package: bool) -> bytes:
    """A module's source, from a file or from the archive that Ansible sends."""
    holder, base = (name, "__init__.py") if package else (name.rpartition(".")[0], f"{name.rpartition('.')[2]}.py")
    content = pkgutil.get_data(holder, base)
    if content is None:
        raise CoopError(f"the source of {name} cannot be found; install the collection again")
    return content


def observe(library: str, door: str) -> dict[str, tuple[bytes, int]]:
    """What is installed. Raises CoopError."""
    paths = [door]
    for parent, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths += [os.path.join(parent, name) for name in names]
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            try:
                with open(path, "rb") as stream:
                    found[path] = (stream.read(), os.fstat(stream.fileno()).st_mode & 0o7777)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    return found


def diff(want: dict[str, tuple[bytes, int]], have: dict[str, tuple[bytes, int]]) -> tuple[list[str], list[str]]:
    """Files to be written, and files to be removed."""
    return [path for path, what in sorted(want.items()) if have.get(path) != what], sorted(set(have) - set(want))


def apply(want: dict[str, tuple[bytes, int]], write: list[str], remove: list[str]) -> None:
    """Write and remove, each file in one step and the command last. Raises CoopError."""
    path = ""
    try:
        for path in sorted(write, key=lambda one: want[one][1]):
            content, mode = want[path]
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), mode)
            os.replace(f"{path}.new", path)
        for path in remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
