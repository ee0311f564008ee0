# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's images, made from the distribution's packages alone: no image registry is asked.

An image carries the hash of its recipe as a label and is made again only when the recipe changes. The slow part, the
bootstrapped root directory, is kept under ``.cache/lab`` by the same kind of hash, so that a lab without images is back in seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .config import BASE_IMAGE, CACHE, FILES, HOST_IMAGE
from .engine import LabError, docker, inspect, run

SUITE = "trixie"
LABEL = "coop.meet.lab.recipe"
RUN_OPTIONS = ("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
SYSTEM_CAS = Path("/usr/local/share/ca-certificates")
INIT = "/usr/local/sbin/lab-init"
OVERLAY = {"lab-init": "usr/local/sbin/lab-init", "module_code/sitecustomize.py": "usr/lib/python3/dist-packages/lab_module_code.py"}
"""Files of the lab that are in every host, and where."""

BASE_PACKAGES = ("systemd-sysv", "dbus", "python3", "iproute2", "ca-certificates")

HOST_PACKAGES = (
    "acl", "age", "bind9", "caddy", "curl", "docker-cli", "docker-registry", "docker.io", "dovecot-imapd", "iptables", "iputils-ping",
    "knot", "knot-dnsutils", "locales", "nftables", "openssh-server", "openssl", "pebble", "postgresql", "procps", "prometheus",
    "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter", "python3-aiosmtpd", "python3-bcrypt",
    "python3-dnspython", "python3-docker", "python3-pip", "python3-prometheus-client", "python3-psycopg", "python3-psycopg2",
    "python3-requests", "python3-venv", "python3-yaml", "redis-server", "redis-tools", "restic", "sudo", "unbound", "xz-utils",
)

QUIET_UNITS = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer", "man-db.timer")
MASKED_UNITS = (
    "console-getty.service", "getty@tty1.service", "getty.target", "systemd-udevd.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-binfmt.service",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "dev-hugepages.mount", "dev-mqueue.mount",
    "systemd-journald-audit.socket", "systemd-networkd-wait-online.service", "proc-sys-fs-binfmt_misc.automount",
)

CONFIGURE_BASE = f"""\
set -e
printf 'LANG=C.UTF-8\\n' > /etc/default/locale
printf 'LANG=C.UTF-8\\n' > /etc/locale.conf
: > /etc/machine-id
ln -sf /dev/null /etc/systemd/system/systemd-remount-fs.service
for unit in {' '.join(MASKED_UNITS)}; do ln -sf /dev/null "/etc/systemd/system/$unit"; done
mkdir -p /etc/systemd/journald.conf.d /var/cache/module-code
echo 'import lab_module_code' > /usr/lib/python3/dist-packages/lab_module_code.pth
python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3/dist-packages/lab_module_code.py
printf '[Journal]\\nStorage=volatile\\nRuntimeMaxUse=64M\\n' > /etc/systemd/journald.conf.d/lab.conf
update-ca-certificates >/dev/null 2>&1
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/cache/apt/*.bin
"""

INSTALL_HOST = f"""\
set -e
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
systemctl list-unit-files --root=/ --state=enabled --no-legend --no-pager 2>/dev/null | awk '{{print $1}}' | sort > /tmp/before
apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends {' '.join(HOST_PACKAGES)} >/tmp/apt.log 2>&1 ||
    {{ tail -20 /tmp/apt.log >&2; exit 1; }}
systemctl list-unit-files --root=/ --state=enabled --no-legend --no-pager 2>/dev/null | awk '{{print $1}}' | sort > /tmp/after
comm -13 /tmp/before /tmp/after | while read -r unit; do systemctl --root=/ disable "$unit" >/dev/null 2>&1 || true; done
for unit in {' '.join(QUIET_UNITS)}; do systemctl --root=/ disable "$unit" >/dev/null 2>&1 || true; done
rm -f /usr/sbin/policy-rc.d /tmp/before /tmp/after /tmp/apt.log
apt-get clean
"""


def digest(*parts: str | bytes) -> str:
    """Short hash of a recipe."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:16]


def extra_cas() -> list[Path]:
    """Certificates of authorities this machine trusts beside Debian's: LAB_EXTRA_CA (files or directories, separated by ":"),
    by default those its administrator put into /usr/local/share/ca-certificates."""
    given = os.environ.get("LAB_EXTRA_CA")
    places = [Path(place) for place in given.split(":") if place] if given is not None else [SYSTEM_CAS]
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted([*place.rglob("*.crt"), *place.rglob("*.pem")])
        elif place.is_file():
            found.append(place)
        elif given is not None:
            raise LabError(f"LAB_EXTRA_CA names {place}, which does not exist")
    return found


def ensure(tag: str, recipe: str, build: Callable[[], None], *, say: Callable[[str], None]) -> bool:
    """Build the image ``tag`` unless it is there with this recipe; returns whether it was built."""
    found = inspect("image", tag)
    if found and (found["Config"].get("Labels") or {}).get(LABEL) == recipe:
        return False
    say(f"building {tag}")
    build()
    return True


def ensure_base(say: Callable[[str], None]) -> str:
    """A bare Debian with systemd and Python; returns its recipe's hash."""
    cas = extra_cas()
    root = digest(SUITE, platform.machine(), *BASE_PACKAGES)
    recipe = digest(root, CONFIGURE_BASE, *((FILES / name).read_bytes() for name in OVERLAY), *(ca.read_bytes() for ca in cas))

    def build() -> None:
        archive = _bootstrap(root, say)
        with tempfile.TemporaryDirectory(prefix="lab-image-") as scratch:
            overlay = Path(scratch) / "overlay"
            for name, place in OVERLAY.items():
                (overlay / place).parent.mkdir(parents=True)
                shutil.copy(FILES / name, overlay / place)
            (overlay / "usr/local/share/ca-certificates").mkdir(parents=True)
            for number, ca in enumerate(cas):
                shutil.copy(ca, overlay / "usr/local/share/ca-certificates" / f"machine-{number}-{ca.stem}.crt")
            run(["chmod", "-R", "go-w,a+rX", str(overlay)])
            imported = run(["docker", "import", str(archive)], timeout=600).stdout.decode().strip()
            try:
                changes = [f'ENTRYPOINT ["{INIT}"]', "ENV LANG=C.UTF-8", "ENV container=docker"]
                commit(imported, CONFIGURE_BASE, BASE_IMAGE, recipe, changes=changes, overlay=overlay)
            finally:
                run(["docker", "rmi", imported], check=False)

    ensure(BASE_IMAGE, recipe, build, say=say)
    return recipe


def ensure_host(say: Callable[[str], None]) -> str:
    """Base with the packages of every role in it, all their services off; returns its recipe's hash."""
    base = ensure_base(say)
    recipe = digest(base, INSTALL_HOST)
    ensure(HOST_IMAGE, recipe, lambda: commit(BASE_IMAGE, INSTALL_HOST, HOST_IMAGE, recipe, cache_packages=True), say=say)
    return recipe


def commit(source: str, script: str, tag: str, recipe: str, *, changes: Iterable[str] = (), overlay: Path | None = None,
           cache_packages: bool = False) -> None:
    """Run a shell script in a container of ``source`` and keep the result as ``tag``, labelled with its recipe.

    Packages fetched on the way are kept under .cache/lab/apt when ``cache_packages`` is set.
    """
    options: list[str] = []
    if cache_packages:
        packages = CACHE / "apt"
        (packages / "partial").mkdir(parents=True, exist_ok=True)
        options += ["--volume", f"{packages}:/lab-apt"]
        keep = 'Binary::apt::APT::Keep-Downloaded-Packages "true";'
        script = (
            "mkdir -p /var/cache/apt/archives && cp -n /lab-apt/*.deb /var/cache/apt/archives/ 2>/dev/null; "
            f"echo '{keep}' > /etc/apt/apt.conf.d/99lab-keep\n"
            + script.replace("apt-get clean\n", "cp -n /var/cache/apt/archives/*.deb /lab-apt/ 2>/dev/null || true\napt-get clean\n")
            + "rm -f /etc/apt/apt.conf.d/99lab-keep\n"
        )
    container = docker("create", *RUN_OPTIONS, *options, "--entrypoint", "/bin/sh", source, "-c", script)
    try:
        if overlay is not None:
            docker("cp", f"{overlay}/.", f"{container}:/")
        run(["docker", "start", "--attach", container], timeout=1800)
        given = [*changes, f"LABEL {LABEL}={recipe}"]
        if not any(change.startswith("ENTRYPOINT") for change in given):
            old = inspect("image", source) or {}
            entry = (old.get("Config") or {}).get("Entrypoint")
            given.append(f"ENTRYPOINT {json.dumps(entry)}" if entry else "ENTRYPOINT []")
        if not any(change.startswith("CMD") for change in given):
            given.append("CMD []")
        docker("commit", *(part for change in given for part in ("--change", change)), container, tag, timeout=600)
    finally:
        run(["docker", "rm", "--force", container], check=False)


def _bootstrap(recipe: str, say: Callable[[str], None]) -> Path:
    """Tar archive of a minimal Debian made by debootstrap from the mirror it takes by default."""
    archive = CACHE / f"base-{recipe}.tar"
    if archive.exists():
        return archive
    CACHE.mkdir(parents=True, exist_ok=True)
    say(f"bootstrapping Debian {SUITE} (once)")
    with tempfile.TemporaryDirectory(prefix="bootstrap-", dir=CACHE) as scratch:
        root = Path(scratch) / "root"
        run(["debootstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}", SUITE, str(root)], timeout=1800)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            for package in (root / leftover).glob("*"):
                if package.is_file():
                    package.unlink()
        partial = archive.with_suffix(".partial")
        subprocess.run(["tar", "--numeric-owner", "--one-file-system", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*",
                        "-C", str(root), "-cf", str(partial), "."], check=True)
        partial.rename(archive)
    return archive


def remove_all() -> None:
    """Remove every image the lab made, and what it cached."""
    for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.startswith("meet-coop-lab/"):
            run(["docker", "rmi", "--force", name], check=False)
    shutil.rmtree(CACHE, ignore_errors=True)
