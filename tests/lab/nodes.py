# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BigBlueButton doubles on the lab's node hosts."""

from __future__ import annotations

import shlex
from pathlib import Path

from . import hosts
from .bbb import install
from .config import NODES, Lab
from .hosts import File

SECRETS = NODES
CERTIFICATE, KEY = "/etc/meet-coop/node.crt", "/etc/meet-coop/node.key"


def ensure(lab: Lab, name: str, stamps: dict[str, str], ca: Path, secret: str) -> list[str]:
    """Run the double as https://<name>.lab.test/bigbluebutton/api/ with a certificate of the lab's authority."""
    files = {path: File(content.encode(), mode) for path, (content, mode) in install.files(secret, f"{name}.lab.test").items()}
    files[CERTIFICATE] = File((ca / f"{name}.crt").read_bytes())
    files[KEY] = File((ca / f"{name}.key").read_bytes(), 0o600)
    script = "\n".join(shlex.join(command) for command in install.COMMANDS)
    return [f"double on {name}"] if hosts.provision(lab, name, "bbb-double", stamps, files, script) else []
