# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw key, certificate and password of a host's exporter: draw.py FOLDER NAME.

Prints nothing. The password comes last, and then all is there. The exporter reads exporter.yml, which holds the password's hash only.
"""

import grp
import os
import secrets
import subprocess
import sys

import bcrypt

folder, name = sys.argv[1:]
os.umask(0o077)
group = grp.getgrnam("prometheus").gr_gid


def place(path, mode, owner):
    os.chown(f"{path}.new", 0, owner)
    os.chmod(f"{path}.new", mode)
    os.rename(f"{path}.new", path)


def write(path, text, mode, owner):
    with open(f"{path}.new", "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    place(path, mode, owner)


key, certificate = os.path.join(folder, "exporter.key"), os.path.join(folder, "exporter.crt")
subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
     "-subj", f"/CN={name[:64]}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", f"{key}.new", "-out", f"{certificate}.new"],
    check=True, capture_output=True,
)  # fmt: skip
place(key, 0o640, group)
place(certificate, 0o644, group)
password = secrets.token_urlsafe(32)
hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode()
write(
    os.path.join(folder, "exporter.yml"),
    f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\nbasic_auth_users:\n  meet-coop: {hashed}\n",
    0o640,
    group,
)
write(os.path.join(folder, "password"), password, 0o600, 0)
