# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's certificate authority and the certificates of its fixed hosts, made with openssl inside a container."""

from __future__ import annotations

import os
from pathlib import Path

from .config import HOST_IMAGE, NODES, Lab
from .engine import run
from .images import RUN_OPTIONS

DAYS = 3650

SCRIPT = f"""
set -e
umask 077
cd /ca
if [ ! -s ca.crt ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -sha256 -days {DAYS} -subj "/O=meet.coop lab/CN=meet.coop lab CA" \\
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.partial
    mv ca.partial ca.crt
fi
for want in "$@"; do
    name="${{want%%=*}}"
    names="${{want#*=}}"
    [ ! -s "$name.crt" ] || continue
    openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$name.lab.test" -out "$name.csr"
    printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth\\nbasicConstraints=CA:FALSE\\n' "$names" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days {DAYS} \\
        -extfile "$name.ext" -out "$name.partial" 2>/dev/null
    mv "$name.partial" "$name.crt"
    rm -f "$name.csr" "$name.ext"
done
chown -R "$OWNER" /ca
"""


def ensure(lab: Lab) -> Path:
    """Directory with ca.crt and <host>.crt/.key of the services host and the nodes."""
    place = lab.state / "ca"
    services = [f"DNS:{name}.lab.test" for name in ("services", "ns1", "smtp", "imap", "mail", "acme")]
    wanted = {
        "services": [*services, f"IP:{lab.address('services')}"],
        **{node: [f"DNS:{node}.lab.test", f"IP:{lab.address(node)}"] for node in NODES},
    }
    if all((place / f"{name}.crt").exists() for name in ("ca", *wanted)):
        return place
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    container = ["docker", "run", "--rm", *RUN_OPTIONS, "--network", "none", "--volume", f"{place}:/ca",
                 "--env", f"OWNER={os.getuid()}:{os.getgid()}", "--entrypoint", "/bin/sh", HOST_IMAGE]
    run([*container, "-c", SCRIPT, "sh", *(f"{name}={','.join(names)}" for name, names in wanted.items())], timeout=120)
    return place
