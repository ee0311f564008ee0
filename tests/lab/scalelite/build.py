# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the images of the Scalelite double: Debian's Ruby and Redis client, and the double on top, once as API and once as poller.

The models have the real ones' names and keep the real keys, so that the very program the collection feeds to ``rails runner`` runs here,
and so does the correction that role pool mounts into the container. Run as a program: ``python -m tests.lab.scalelite.build``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import images
from ..config import BASE_IMAGE
from ..engine import LabError, inspect, run
from ..images import LABEL, digest

IMAGE_DIR = Path(__file__).resolve().parent / "image"
REPOSITORY = "meet-coop-lab/scalelite"
VERSION = "v1.8.5"
COMMANDS = {"api": "bin/start", "poller": "bin/start-poller"}
RUBY_IMAGE = "meet-coop-lab/scalelite-base"
ROOT = "srv/scalelite"
PACKAGES = ("ca-certificates", "ruby", "ruby-pg", "ruby-redis", "ruby-redis-namespace", "ruby-rexml", "ruby-webrick")
INSTALL = f"""\
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends {" ".join(PACKAGES)} >/tmp/apt.log 2>&1 ||
    {{ tail -20 /tmp/apt.log >&2; exit 1; }}
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/doc/* /usr/share/man/* /tmp/apt.log
"""
# The same contract as the upstream image (Dockerfile): directory, user, environment, commands. It has no entry point; Docker keeps an empty
# one as that of the container it was made from, so this one adds nothing.
PREPARE = f"""\
set -e
id scalelite >/dev/null 2>&1 || useradd --uid 1000 --home-dir /{ROOT} --no-create-home scalelite
mkdir -p /{ROOT}/config/initializers
for file in /{ROOT}/double/*.rb /{ROOT}/bin/rails; do ruby -c "$file" >/dev/null; done
chown -R scalelite:scalelite /{ROOT}
"""


def named() -> dict[str, str]:
    """Both images of the Scalelite that C(SCALELITE_IMAGE) names, with the double's tags; none where it names none."""
    name = os.environ.get("SCALELITE_IMAGE")
    found = {}
    for kind in COMMANDS if name else ():
        tag = f"{name}:{VERSION}-{kind}"
        image = inspect("image", tag)
        if image is None:
            raise LabError(f"SCALELITE_IMAGE is {name}, and this machine's Docker has no {tag}")
        found[tag] = str(image["Id"])
    return found


def build_all(say: Callable[[str], None]) -> dict[str, str]:
    """Make (or find) both images; returns {image name: image id}."""
    base = inspect("image", BASE_IMAGE)
    if base is None:
        raise LabError(f"image {BASE_IMAGE} is missing: ./dev lab up makes it")
    ruby = digest((base["Config"].get("Labels") or {}).get(LABEL, ""), INSTALL)
    images.ensure(RUBY_IMAGE, ruby, lambda: images.commit(BASE_IMAGE, INSTALL, RUBY_IMAGE, ruby, cache_packages=True), say=say)
    files = [path for path in sorted(IMAGE_DIR.rglob("*")) if path.is_file()]
    recipe = digest(ruby, PREPARE, *(part for path in files for part in (path.relative_to(IMAGE_DIR).as_posix(), path.read_bytes())))
    found = {}
    for kind, command in COMMANDS.items():
        tag = f"{REPOSITORY}:{VERSION}-{kind}"
        changes = [
            'ENTRYPOINT ["/usr/bin/env"]', f'CMD ["{command}"]', f"WORKDIR /{ROOT}", "USER scalelite", "ENV RAILS_ENV=production",
            "ENV RAILS_LOG_TO_STDOUT=true", "ENV PATH=/usr/local/bin:/usr/bin:/bin", "ENV LANG=C.UTF-8",
        ]  # fmt: skip

        def build(tag: str = tag, changes: tuple[str, ...] = tuple(changes)) -> None:
            with tempfile.TemporaryDirectory(prefix="lab-image-") as scratch:
                overlay = Path(scratch) / "overlay"
                shutil.copytree(IMAGE_DIR, overlay / ROOT)
                run(["chmod", "-R", "go-w,a+rX", str(overlay)])
                images.commit(RUBY_IMAGE, PREPARE, tag, recipe, changes=changes, overlay=overlay)

        images.ensure(tag, recipe, build, say=say)
        made = inspect("image", tag)
        if made is None:
            raise LabError(f"image {tag} could not be made")
        found[tag] = str(made["Id"])
    return found


if __name__ == "__main__":
    for name, identity in build_all(print).items():
        print(name, identity)
