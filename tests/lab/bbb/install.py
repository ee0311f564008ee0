# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the BigBlueButton double onto a host: files(), then COMMANDS; or install() with a function that runs a command there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

CONFIG = "/etc/meet-coop/bbb-double.json"
PROGRAM = "/usr/local/lib/bbb-double/bbb_double.py"
UNIT = "/etc/systemd/system/bbb-double.service"
CONTROL_PORT = 8099
RECORDINGS = "/var/bigbluebutton"
CA_FILE = "/etc/meet-coop/ca-bundle.pem"
"""Whom the node trusts when it calls back; the lab's bundle, as on every host."""

SERVICE = f"""\
[Unit]
Description=Double of a BigBlueButton node
After=network.target

[Service]
ExecStart=/usr/bin/python3 -B {PROGRAM} serve {CONFIG}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

COMMANDS = (
    ("systemctl", "daemon-reload"),
    ("systemctl", "enable", "--quiet", "bbb-double.service"),
    ("systemctl", "restart", "bbb-double.service"),
)


def files(
    secret: str, host: str, certificate: str = "/etc/meet-coop/node.crt", key: str = "/etc/meet-coop/node.key",
) -> dict[str, tuple[str, int]]:
    """Path -> (content, mode) of everything the double needs on its host besides its certificate."""
    config = {"secret": secret, "host": host, "certificate": certificate, "key": key, "ca_file": CA_FILE, "control_port": CONTROL_PORT}
    config["recordings"] = RECORDINGS
    return {
        CONFIG: (json.dumps(config, indent=2) + "\n", 0o600),
        PROGRAM: ((Path(__file__).parent / "bbb_double.py").read_text(encoding="utf-8"), 0o755),
        UNIT: (SERVICE, 0o644),
    }


def install(run: Callable[[list[str], bytes | None], object], secret: str, host: str) -> None:
    """Write the files and start the service; ``run(argv, input)`` runs a command on the host and raises when it fails."""
    for path, (content, mode) in files(secret, host).items():
        script = f"umask 077; mkdir -p -m 755 {Path(path).parent} && cat > {path}.new && chmod {mode:o} {path}.new && mv {path}.new {path}"
        run(["sh", "-c", script], content.encode())
    for command in COMMANDS:
        run(list(command), None)
