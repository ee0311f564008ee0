# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who trusts whom: the lab's authority in every host's store, and bundles that also hold Pebble's root of the day."""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import hosts
from .config import Lab
from .hosts import File

BUNDLE = "/etc/meet-coop/ca-bundle.pem"

INSTALL_CA = "update-ca-certificates >/dev/null 2>&1"

# Written in place: containers have the file mounted, and a mount follows the file, not the name.
INSTALL_BUNDLE = f"""
mkdir -p /etc/meet-coop
chmod 755 /etc/meet-coop
cat /etc/ssl/certs/ca-certificates.crt {hosts.STAMPS}/pebble-root.pem > {BUNDLE}
chmod 644 {BUNDLE}
"""

# Accounts and certificates of an authority that is gone are worth nothing; Caddy would not ask the new one while it keeps them.
FORGET = """
for place in /var/lib/caddy /var/lib/caddy/.local/share/caddy; do
    rm -rf "$place/acme" "$place/certificates" "$place/ocsp" "$place/locks"
done
if systemctl is-active --quiet caddy.service; then systemctl restart caddy.service; fi
"""


def ensure(lab: Lab, names: list[str], ca: Path, root: bytes) -> list[str]:
    """Bring stores and bundles of running hosts and of this machine's ``ca.pem`` up to date; returns what was done."""
    done = []
    authority = (ca / "ca.crt").read_bytes()
    if not lab.ca_file.exists() or lab.ca_file.read_bytes() != authority + root:
        lab.ca_file.write_bytes(authority + root)
        done.append("ca.pem")
    stamp = hashlib.sha256(authority + root).hexdigest()
    for name in names:
        if hosts.provision(lab, name, "lab-ca", {"/usr/local/share/ca-certificates/meet-coop-lab.crt": File(authority)}, INSTALL_CA):
            done.append(f"{name} trusts the lab")
        script = INSTALL_BUNDLE + (FORGET if name in ("host1", "pool") else "")
        if hosts.provision(lab, name, "pebble-root", {f"{hosts.STAMPS}/pebble-root.pem": File(root)}, script, extra=stamp):
            done.append(f"{name} trusts Pebble")
    return done
