# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who trusts whom: the lab's authority in every host's store, and bundles that also hold Pebble's root of the day."""

from __future__ import annotations

from pathlib import Path

from . import hosts, services
from .config import Lab
from .engine import run
from .hosts import File

BUNDLE = "/etc/meet-coop/ca-bundle.pem"
CA = "/usr/local/share/ca-certificates/meet-coop-lab.crt"
ROOT = f"{hosts.STAMPS}/pebble-root.pem"
ACME_CLIENTS = ("host1", "pool")

# What update-ca-certificates comes to for one more file, without its seconds.
INSTALL_CA = f"""
ln -sf {CA} /etc/ssl/certs/meet-coop-lab.pem
ln -sf meet-coop-lab.pem "/etc/ssl/certs/$(openssl x509 -noout -hash -in {CA}).0"
cat {CA} >> /etc/ssl/certs/ca-certificates.crt
"""

# Written in place: containers have the file mounted, and a mount follows the file, not the name.
INSTALL_BUNDLE = f"""
mkdir -p /etc/meet-coop
chmod 755 /etc/meet-coop
cat /etc/ssl/certs/ca-certificates.crt {ROOT} > {BUNDLE}
chmod 644 {BUNDLE}
"""

# Accounts and certificates of an authority that is gone are worth nothing; Caddy would not ask the new one while it keeps them.
FORGET = """
for place in /var/lib/caddy /var/lib/caddy/.local/share/caddy; do
    rm -rf "$place/acme" "$place/certificates" "$place/ocsp" "$place/locks"
done
if systemctl is-active --quiet caddy.service; then systemctl restart caddy.service; fi
"""


def ensure_outside(lab: Lab, ca: Path, root: bytes) -> list[str]:
    """What clients on this machine trust (ca.pem), brought up to date; returns what was done."""
    bundle = (ca / "ca.crt").read_bytes() + root
    if lab.ca_file.exists() and lab.ca_file.read_bytes() == bundle:
        return []
    lab.ca_file.write_bytes(bundle)
    return ["ca.pem"]


def ensure(lab: Lab, name: str, stamps: dict[str, str], ca: Path, root: bytes) -> list[str]:
    """Bring a host's store and bundle up to date; returns what was done."""
    done = []
    authority = (ca / "ca.crt").read_bytes()
    if hosts.provision(lab, name, "lab-ca", stamps, {CA: File(authority)}, INSTALL_CA):
        done.append(f"{name} trusts the lab")
    script = INSTALL_BUNDLE + (FORGET if name in ACME_CLIENTS else "")
    if hosts.provision(lab, name, "pebble-root", stamps, {ROOT: File(root), f"{ROOT}.ca": File(authority)}, script):
        # The balancer reads the bundle once, when it starts.
        balancers = ("bbblb.service", "scalelite-api.service", "scalelite-poller.service")
        run(["docker", "exec", lab.container(name), "systemctl", "try-restart", *balancers], check=False)
        done.append(f"{name} trusts Pebble")
    return done


def current(lab: Lab, name: str) -> bool:
    """Whether a host's bundle has the root that Pebble uses now."""
    there = run(["docker", "exec", lab.container(name), "cat", ROOT], check=False).stdout
    return there == services.pebble_root(lab)
