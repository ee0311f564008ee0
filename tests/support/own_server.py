# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A BigBlueButton server that is in no pool: the double on the lab's services host, beside everything that runs there."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.bbb import disk, install

from .lab import RunningLab

HOST = "services"
DOMAIN = "services.lab.test"
DROP_IN = "/etc/systemd/system/bbb-double.service.d/resolver.conf"
"""The services host itself asks Docker's name server, which knows none of the lab's zones; a server out there would find them."""

RESOLVER = "/etc/meet-coop/own-server-resolv.conf"
CERTIFICATE, KEY = "/etc/lab/services.crt", "/etc/lab/services.key"


def provide(lab: RunningLab, secret: str) -> None:
    """Run it, with nothing in it."""
    files = install.files(secret, DOMAIN, certificate=CERTIFICATE, key=KEY)
    files[RESOLVER] = (f"nameserver {lab.resolver}\n", 0o644)
    files[DROP_IN] = (f"[Service]\nBindReadOnlyPaths={RESOLVER}:/etc/resolv.conf\n", 0o644)
    for path, (content, mode) in files.items():
        folder, name = shlex.quote(str(Path(path).parent)), shlex.quote(path)
        done = lab.exec(HOST, ["sh", "-c", f"umask 077; mkdir -p -m 755 {folder} && cat > {name} && chmod {mode:o} {name}"], content)
        assert done.returncode == 0, done.stderr
    for command in install.COMMANDS:
        done = lab.exec(HOST, list(command))
        assert done.returncode == 0, done.stderr
    lab.wait_for(HOST, f"python3 {install.PROGRAM} control GET / >/dev/null 2>&1", 20)


def remove(lab: RunningLab) -> None:
    """Take it away; the services host is as it was."""
    units = ["bigbluebutton.target", "bbb-web.service", *(f"{unit}.service" for unit in disk.UNITS)]
    folders = [*(str(Path(path).parent) for path in (install.PROGRAM, DROP_IN)), "/etc/bigbluebutton", "/var/bigbluebutton"]
    ours = [*install.files("", DOMAIN), *folders, RESOLVER, "/etc/default/bigbluebutton-cron-config"]
    for command in (["disable", "--quiet", "--now", *units], None, ["daemon-reload"]):
        done = lab.exec(HOST, ["systemctl", *command] if command else ["rm", "-rf", *ours])
        assert done.returncode == 0, done.stderr


def control(lab: RunningLab, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The double's control side."""
    done = lab.exec(HOST, ["python3", install.PROGRAM, "control", method, path, json.dumps(body or {})])
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
