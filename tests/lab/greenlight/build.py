# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the images of the Greenlight double on the Docker Engine of this machine.

Two steps, each skipped when its inputs did not change (a label holds the hash of the inputs):

1. a flat Debian image with the packages the double needs (``meet-coop-lab/greenlight-base``),
2. on top of it one small layer per version with the double itself.

``docker build`` is not used: the classic builder cannot run its steps without the default seccomp and AppArmor
profiles, which many lab machines lack.

Run as a program: ``python tests/lab/greenlight/build.py [--base IMAGE] [VERSION ...]``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tarfile
import tempfile
import typing as t
from pathlib import Path

import docker
from docker.errors import ImageNotFound

HERE = Path(__file__).resolve().parent
IMAGE_DIR = HERE / "image"
REPOSITORY = "meet-coop-lab/greenlight"
BASE_REPOSITORY = "meet-coop-lab/greenlight-base"
DEFAULT_BASE = "meet-coop-lab/base"
LABEL = "coop.meet.lab.inputs"
VERSIONS = ("v3.8.2.4", "v3.7.1", "v3.9.0-broken")
PACKAGES = ("bash", "ca-certificates", "netcat-openbsd", "python3-minimal", "python3", "python3-psycopg2", "python3-bcrypt", "python3-jwt",
            "python3-cryptography")  # fmt: skip
SECURITY = ["seccomp=unconfined", "apparmor=unconfined"]
ROOT = "/usr/src/app"

_INSTALL = f"""set -e
export DEBIAN_FRONTEND=noninteractive
if ! dpkg -s {" ".join(PACKAGES)} >/dev/null 2>&1; then
  apt-get update -q
  apt-get install -y -q --no-install-recommends {" ".join(PACKAGES)}
fi
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/* /usr/share/doc/* /usr/share/man/* \
  /usr/share/locale/* /usr/share/info/* /root/.cache
"""


def digest(parts: t.Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()[:32]


def _files() -> list[tuple[str, bytes, int]]:
    """The double's files as (path below the root, content, mode), in a fixed order."""
    found = []
    for path in sorted(p for p in IMAGE_DIR.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        relative = path.relative_to(IMAGE_DIR)
        found.append((relative.as_posix(), path.read_bytes(), 0o755 if relative.parts[0] == "bin" else 0o644))
    return found


def labelled(client: docker.DockerClient, tag: str, inputs: str) -> str | None:
    """The id of the image `tag` if it was made from these inputs."""
    try:
        image = client.images.get(tag)
    except ImageNotFound:
        return None
    return image.id if image.labels.get(LABEL) == inputs else None


def build_base(client: docker.DockerClient, base_image: str = DEFAULT_BASE) -> str:
    """A flat image holding Debian and the packages; returns its id. `base_image` must have apt."""
    source = client.images.get(base_image)
    inputs = digest([str(source.id).encode(), _INSTALL.encode()])
    tag = f"{BASE_REPOSITORY}:{inputs[:12]}"
    if found := labelled(client, tag, inputs):
        return found
    container = client.containers.create(
        base_image, command=["-c", _INSTALL], entrypoint="/bin/sh", user="root", security_opt=SECURITY, network_mode="host"
    )
    try:
        container.start()
        if container.wait()["StatusCode"] != 0:
            raise RuntimeError(
                f"packages for the Greenlight double could not be installed on {base_image}: "
                + container.logs(tail=15).decode(errors="replace")
            )
        with tempfile.TemporaryFile() as flat:
            for chunk in container.export(chunk_size=1 << 20):
                flat.write(chunk)
            flat.seek(0)
            client.api.import_image_from_data(flat, repository=BASE_REPOSITORY, tag=inputs[:12], changes=[f"LABEL {LABEL}={inputs}"])
    finally:
        container.remove(force=True)
    return t.cast(str, client.images.get(tag).id)


def _archive(files: list[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, mode in files:
            entry = tarfile.TarInfo(f"{ROOT.lstrip('/')}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, 1_767_225_600
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def build(version: str, base_image: str = DEFAULT_BASE, client: docker.DockerClient | None = None) -> str:
    """Make (or find) ``meet-coop-lab/greenlight:<version>``; returns the image id."""
    if version not in VERSIONS:
        raise ValueError(f"version {version!r} of the Greenlight double is unknown; known: {', '.join(VERSIONS)}")
    client = client or docker.from_env(timeout=600)
    base = build_base(client, base_image)
    files = _files()
    inputs = digest(
        [base.encode(), version.encode(), *(part for name, data, mode in files for part in (name.encode(), data, str(mode).encode()))]
    )
    tag = f"{REPOSITORY}:{version}"
    if found := labelled(client, tag, inputs):
        return found
    compile_step = f"cd {ROOT} && mkdir -p storage tmp log && python3 -m compileall -q double"
    container = client.containers.create(
        base, command=["-c", compile_step], entrypoint="/bin/sh", user="root", security_opt=SECURITY, network_mode="none"
    )
    try:
        container.put_archive("/", _archive(files))
        container.start()
        if container.wait()["StatusCode"] != 0:
            raise RuntimeError("the Greenlight double does not compile: " + container.logs(tail=15).decode(errors="replace"))
        # The same contract as greenlight Dockerfile: working directory, root, port, entry point, environment.
        container.commit(
            repository=REPOSITORY,
            tag=version,
            conf={
                "WorkingDir": ROOT,
                "User": "",
                "ExposedPorts": {"3000/tcp": {}},
                "Entrypoint": ["./bin/start"],
                "Cmd": None,
                "Env": [
                    f"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{ROOT}/bin",
                    f"RAILS_ROOT={ROOT}",
                    "RAILS_ENV=production",
                    "NODE_ENV=production",
                    "RAILS_LOG_TO_STDOUT=true",
                    "RAILS_SERVE_STATIC_FILES=true",
                    "PORT=3000",
                    f"VERSION_TAG={version}",
                ],
                "Labels": {LABEL: inputs},
            },
        )
    finally:
        container.remove(force=True)
    return t.cast(str, client.images.get(tag).id)


def build_all(base_image: str = DEFAULT_BASE, client: docker.DockerClient | None = None) -> dict[str, str]:
    """All versions; returns {image name: image id}."""
    client = client or docker.from_env(timeout=600)
    return {f"{REPOSITORY}:{version}": build(version, base_image, client) for version in VERSIONS}


def main() -> None:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description="Build the Greenlight double's images.")
    parser.add_argument("--base", default=DEFAULT_BASE, help="Debian image with apt to start from")
    parser.add_argument("versions", nargs="*", default=list(VERSIONS), metavar="VERSION")
    arguments = parser.parse_args()
    for version in arguments.versions:
        print(f"{REPOSITORY}:{version} {build(version, arguments.base)}")


if __name__ == "__main__":
    main()
