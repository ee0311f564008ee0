# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the BigBlueButton double onto a host: files(), then COMMANDS; or install() with a function that runs a command there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from . import disk

CONFIG = "/etc/meet-coop/bbb-double.json"
PROGRAM = "/usr/local/lib/bbb-double/bbb_double.py"
OLD_UNIT = "bbb-double.service"
CONF = "/usr/local/lib/bbb-double/bbb_conf.py"
CONTROL_PORT = 8099
RECORDINGS = "/var/bigbluebutton"
CA_FILE = "/etc/meet-coop/ca-bundle.pem"
"""Whom the node trusts when it calls back; the lab's bundle, as on every host."""

SERVICE = f"""\
[Unit]
Description=BigBlueButton's web application (the double)
After=network.target bbb-apps-akka.service
PartOf=bigbluebutton.target bbb-apps-akka.service
# Tests start it more often than anybody would.
StartLimitIntervalSec=0

[Service]
ExecStartPre=/usr/sbin/runuser -u bigbluebutton -- test -r {disk.WEB}
ExecStart=/usr/bin/python3 -B {PROGRAM} serve {CONFIG}
Restart=always
RestartSec=1

[Install]
WantedBy=bigbluebutton.target
Alias=bbb-double.service
"""

READER = """\
[Unit]
Description={unit} (the double)
PartOf=bigbluebutton.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
User=bigbluebutton
ExecStart=/usr/bin/python3 -B {program} unit {unit} {files}

[Install]
WantedBy=bigbluebutton.target
"""

TARGET = """\
[Unit]
Description=BigBlueButton (the double)

[Install]
WantedBy=multi-user.target
"""

COMMANDS = (
    ("sh", "-c", "id -u bigbluebutton >/dev/null 2>&1 || useradd --system --user-group --no-create-home bigbluebutton"),
    ("sh", "-c", "cd /etc/bigbluebutton && chgrp bigbluebutton *.properties *.conf"),
    # A lab of before had a unit of this name, which is another name of bbb-web.service now.
    ("sh", "-c", f"cd /etc/systemd/system; [ -L {OLD_UNIT} ] || systemctl disable -q --now {OLD_UNIT} 2>/dev/null; rm -f {OLD_UNIT}"),
    ("systemctl", "daemon-reload"),
    ("systemctl", "enable", "--quiet", "bigbluebutton.target", "bbb-web.service", *(f"{unit}.service" for unit in disk.UNITS)),
    ("systemctl", "restart", "bigbluebutton.target"),
)


def files(
    secret: str, host: str, certificate: str = "/etc/meet-coop/node.crt", key: str = "/etc/meet-coop/node.key",
) -> dict[str, tuple[str, int]]:
    """Path -> (content, mode) of everything the double needs on its host besides its certificate."""
    config = {
        "properties": [disk.WEB_PACKAGE, disk.WEB], "release": disk.RELEASE_FILE, "recordings": RECORDINGS, "host": host,
        "certificate": certificate, "key": key, "ca_file": CA_FILE, "control_port": CONTROL_PORT,
    }  # fmt: skip
    here, systemd = Path(__file__).parent, "/etc/systemd/system"
    return {
        CONFIG: (json.dumps(config, indent=2) + "\n", 0o600),
        PROGRAM: ((here / "bbb_double.py").read_text(encoding="utf-8"), 0o755),
        CONF: ((here / "bbb_conf.py").read_text(encoding="utf-8"), 0o755),
        "/usr/bin/bbb-conf": (f'#!/bin/sh\nexec /usr/bin/python3 -B {CONF} conf "$@"\n', 0o755),
        f"{systemd}/bbb-web.service": (SERVICE, 0o644),
        f"{systemd}/bigbluebutton.target": (TARGET, 0o644),
        **{
            f"{systemd}/{unit}.service": (READER.format(unit=unit, program=CONF, files=" ".join(read)), 0o644)
            for unit, read in disk.UNITS.items()
        },
        **{path: (content, 0o644) for path, content in disk.PACKAGE.items()},
        **{path: (content, 0o644 if path == disk.RELEASE_FILE else 0o640) for path, content in disk.operator(secret, host).items()},
    }


def install(run: Callable[[list[str], bytes | None], object], secret: str, host: str) -> None:
    """Write the files and start the service; ``run(argv, input)`` runs a command on the host and raises when it fails."""
    for path, (content, mode) in files(secret, host).items():
        script = f"umask 077; mkdir -p -m 755 {Path(path).parent} && cat > {path}.new && chmod {mode:o} {path}.new && mv {path}.new {path}"
        run(["sh", "-c", script], content.encode())
    for command in COMMANDS:
        run(list(command), None)
