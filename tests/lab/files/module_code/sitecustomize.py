# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the compiled code of Ansible's modules.

They come as a zip, and Python compiles what is in one anew in every process: half of what a module costs, and the tests start thousands.
A kept piece is found by the hash of its source, so that no other code is ever run. A .pth file loads this on the lab's hosts,
and PYTHONPATH in what the tests start.
"""

import _imp
import contextlib
import importlib.util
import marshal
import os
import sys
import zipimport

PLACE = os.environ.get("MODULE_CODE", "/var/cache/module-code")
compile_source = zipimport._compile_source


def kept_or_compiled(path, source):
    import hashlib

    name = hashlib.sha256(importlib.util.MAGIC_NUMBER + bytes([sys.flags.optimize]) + source).hexdigest()
    kept = f"{PLACE}/{name}"
    try:
        with open(kept, "rb") as file:
            code = marshal.load(file)
    except (OSError, EOFError, ValueError, TypeError):
        code = compile_source(path, source)
        keep(kept, code)
        return code
    _imp._fix_co_filename(code, path)
    return code


def keep(kept, code):
    partial = f"{kept}.{os.getpid()}"
    # Not root, or no room: it is compiled again next time.
    with contextlib.suppress(OSError):
        try:
            with open(partial, "wb") as file:
                marshal.dump(code, file)
            os.rename(partial, kept)
        except OSError:
            os.unlink(partial)


zipimport._compile_source = kept_or_compiled
