# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A resolver that validates, for a while, beside the lab's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.lab import RunningLab

PORT = 5353
ZONE = "rosa.test"
ZONES = (ZONE, "meet.test", "lab.test")
# Trusts a key that the zone was never signed with: what broken DNSSEC looks like from outside.
CONFIGURATION = f"""
server:
    interface: ADDRESS@{PORT}
    access-control: 0.0.0.0/0 allow
    module-config: "validator iterator"
    local-zone: "test." nodefault
    do-not-query-localhost: no
    do-ip6: no
    do-daemonize: no
    use-syslog: no
    logfile: ""
    pidfile: ""
    chroot: ""
    username: ""
    trust-anchor: "{ZONE}. DS 4242 13 2 {'00ff' * 16}"
remote-control:
    control-enable: no
"""


@contextlib.contextmanager
def validating_resolver(lab: RunningLab) -> Iterator[int]:
    """Its port on the lab's resolver address. It takes rosa.test for badly signed, and everything else for unsigned."""
    text = CONFIGURATION.replace("ADDRESS", lab.resolver)
    text += "".join(f'stub-zone:\n    name: "{zone}"\n    stub-addr: {lab.dns_server}\n    stub-no-cache: yes\n' for zone in ZONES)
    lab.exec("services", ["sh", "-c", "mkdir -p /etc/lab && cat > /etc/lab/validating.conf"], text)
    lab.exec("services", ["systemctl", "stop", "test-validating"])
    argv = ["systemd-run", "--quiet", "--collect", "--unit=test-validating", "unbound", "-d", "-c", "/etc/lab/validating.conf"]
    done = lab.exec("services", argv)
    assert done.returncode == 0, done
    try:
        lab.wait_for("services", f"kdig +short +timeout=2 @{lab.resolver} -p {PORT} services.lab.test A | grep -q .", 20)
        yield PORT
    finally:
        lab.exec("services", ["systemctl", "stop", "test-validating"])
        lab.exec("services", ["rm", "-f", "/etc/lab/validating.conf"])
