# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that run in the lab's hosts: the Greenlight double (or another Greenlight) and Redis, in the pool Scalelite's.

They are built in the machine's Docker, kept as an archive for each kind of host under .cache/lab/images, which these hosts see, and loaded
by the host's own Docker whenever that starts. So a play that installs Docker there finds the images as if a registry had them.
"""

from __future__ import annotations

from collections.abc import Callable

from . import hosts
from .config import BASE_IMAGE, CACHE, HOST_IMAGE, HOSTS, REDIS_IMAGE, Lab
from .engine import LabError, docker, inspect, run
from .hosts import IMAGES_MOUNT, File
from .images import LABEL, RUN_OPTIONS, digest
from .images import ensure as ensure_image
from .scalelite.build import build_all as build_scalelite
from .scalelite.build import named as named_scalelite

SHELF = CACHE / "images"

REDIS_SCRIPT = """\
set -e
mkdir -p /slim
cd /slim
mkdir -p usr/bin usr/lib etc tmp data run var/lib
ln -s usr/bin bin; ln -s usr/bin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64; mkdir -p usr/lib64
chmod 1777 tmp
for tool in redis-server redis-cli sh dash cat ls id env sleep true false test chown chmod mkdir rm date grep sed head tail timeout stat; do
    path="$(command -v "$tool" || true)"
    case "$path" in /*) cp -L "$path" usr/bin/ ;; esac
done
for binary in usr/bin/*; do ldd "$binary" 2>/dev/null | grep -oE '/[^ ]+\\.so[^ ]*' || true; done | sort -u | while read -r library; do
    mkdir -p ".$(dirname "$library" | sed -e 's,^/lib,/usr/lib,')"
    cp -L "$library" ".$(echo "$library" | sed -e 's,^/lib,/usr/lib,')"
done
printf 'root:x:0:0:root:/root:/bin/sh\\nredis:x:999:999::/data:/bin/sh\\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\\n' > etc/passwd
printf 'root:x:0:\\nredis:x:999:\\nnogroup:x:65534:\\n' > etc/group
printf 'hosts: files dns\\npasswd: files\\ngroup: files\\n' > etc/nsswitch.conf
cp /usr/lib/x86_64-linux-gnu/libnss_* usr/lib/x86_64-linux-gnu/ 2>/dev/null || true
chown 999:999 data
tar -C /slim -cf - .
"""

LOADER = """\
#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Load the lab's images into this host's Docker where they are missing or old.
while read -r tag id; do
    [ "$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null)" = "$id" ] || {
        echo "loading the lab's images"
        exec docker load --quiet --input @ARCHIVE@.tar
    }
done < @ARCHIVE@.txt
"""

DROPIN = """\
# The lab has no registry: its images are there as soon as Docker is.
[Service]
ExecStartPost=-/usr/local/lib/lab/load-images
"""


def ensure(say: Callable[[str], None], greenlight_image: str | None = None) -> list[str]:
    """Build the images and keep them on the shelf; returns what was done. A Greenlight image named by hand is pulled when missing."""
    done = []
    wanted = {**_doubles(say), REDIS_IMAGE: _redis(say)}
    own = SHELF / "own.txt"
    if greenlight_image and greenlight_image not in wanted:
        if not inspect("image", greenlight_image):
            say(f"pulling {greenlight_image}")
            run(["docker", "pull", "--quiet", greenlight_image], timeout=1800)
        SHELF.mkdir(parents=True, exist_ok=True)
        own.write_text(f"{greenlight_image}\n")
    if own.exists() and (found := inspect("image", own.read_text().strip())):
        wanted[own.read_text().strip()] = str(found["Id"])
    for shelf, images in (("images", wanted), ("pool", {**build_scalelite(say), **named_scalelite()})):
        listing = "".join(f"{tag} {identity}\n" for tag, identity in sorted(images.items()))
        index, archive = SHELF / f"{shelf}.txt", SHELF / f"{shelf}.tar"
        if not index.exists() or index.read_text() != listing or not archive.exists():
            say("putting the containers' images on the shelf")
            SHELF.mkdir(parents=True, exist_ok=True)
            partial = SHELF / f"{shelf}.partial"
            docker("save", "--output", str(partial), *sorted(images), timeout=900)
            partial.chmod(0o644)
            partial.replace(archive)
            index.write_text(listing)
            done.append(shelf)
    return done


def load(lab: Lab, name: str, stamps: dict[str, str]) -> list[str]:
    """Make a host load the images whenever its Docker starts, and now if it runs; returns what was done."""
    files = {
        "/usr/local/lib/lab/load-images": File(LOADER.replace("@ARCHIVE@", f"{IMAGES_MOUNT}/{HOSTS[name].shelf}").encode(), 0o755),
        "/etc/systemd/system/docker.service.d/lab-images.conf": File(DROPIN.encode()),
    }
    done = ["images at Docker's start"] if hosts.provision(lab, name, "images", stamps, files, "systemctl daemon-reload") else []
    script = "docker version >/dev/null 2>&1 && exec /usr/local/lib/lab/load-images; true"
    said = run(["docker", "exec", lab.container(name), "sh", "-c", script], timeout=600).stdout.decode()
    return [*done, f"images into {name}"] if "loading" in said else done


def _doubles(say: Callable[[str], None]) -> dict[str, str]:
    try:
        from .greenlight import build
    except ImportError as error:
        raise LabError(f"building the Greenlight double takes the Python library {error.name}: run the lab by ./dev") from error
    if any(inspect("image", f"{build.REPOSITORY}:{version}") is None for version in build.VERSIONS):
        say("building the Greenlight double")
    return build.build_all(BASE_IMAGE)


def _redis(say: Callable[[str], None]) -> str:
    """A small image with Debian's Redis, made from the files of the host image."""
    host = inspect("image", HOST_IMAGE)
    if host is None:
        raise LabError(f"image {HOST_IMAGE} is missing: ./dev lab up makes it")
    recipe = digest((host["Config"].get("Labels") or {}).get(LABEL, ""), REDIS_SCRIPT)

    def build() -> None:
        container = ["docker", "run", "--rm", *RUN_OPTIONS, "--network", "none", "--entrypoint", "/bin/sh", HOST_IMAGE]
        made = run([*container, "-c", REDIS_SCRIPT], timeout=120)
        changes = ['CMD ["redis-server"]', "WORKDIR /data", "EXPOSE 6379", f"LABEL {LABEL}={recipe}",
                   "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        docker("import", *(part for change in changes for part in ("--change", change)), "-", REDIS_IMAGE, data=made.stdout)

    ensure_image(REDIS_IMAGE, recipe, build, say=say)
    found = inspect("image", REDIS_IMAGE)
    if found is None:
        raise LabError(f"image {REDIS_IMAGE} could not be made")
    return str(found["Id"])
