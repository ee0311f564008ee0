# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: signatures of positions, checked by OpenSSH itself; no library reads its signature format and its list of keys."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

NAMESPACE = "omc-vote"
_SECONDS = 20


def verify(data: bytes, signature: str, signers: str, member: str, on: datetime.date) -> str | None:
    """Fingerprint of the member's key, valid at noon UTC of a day, that made a file's signature; None when none did.

    C(signature) and C(signers) are paths. Raises CoopError when ssh-keygen cannot be run.
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        raise CoopError("positions are signed, and ssh-keygen is not installed on the controller; install OpenSSH's client")
    command = [program, "-Y", "verify", "-f", signers, "-I", member, "-n", NAMESPACE, "-s", signature, f"-Overify-time={on:%Y%m%d}120000"]
    try:
        # ssh-keygen reads valid-after, valid-before and verify-time in the local time zone.
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=_SECONDS, check=False, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CoopError(f"ssh-keygen could not check {signature}: {exc}; try the same again, or check the machine") from exc
    found = re.search(r"\bSHA256:[A-Za-z0-9+/]{43}\b", done.stdout.decode(errors="replace"))
    return found.group() if done.returncode == 0 and found else None
