# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill of materials of a built collection, as CycloneDX 1.6: what it brings, and what it has installed on the machines it manages.

``python -m release.sbom dist/meet-coop-X.tar.gz`` writes it to standard output. Read are the files that decide, not a list beside them:
galaxy.yml (collections), the execution environment (Python packages of the controller), the roles (packages and images).
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
#: Lists of packages that a role takes off or holds back, not puts on.
NOT_INSTALLED = ("held_packages", "extra_packages", "missing_packages")
#: What no list in a role's files names: chosen by the membership file, or by what the host is.
CHOSEN = (("docker", "bigbluebutton/greenlight", "membership file"), ("deb", "docker.io", "role container_host"))


def load(path: Path) -> Any:
    """A YAML file of the checkout."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def component(kind: str, name: str, where: str, wanted: str = "", namespace: str | None = None) -> Component:
    """One part; ``wanted`` is the version or the range of them that is asked for, ``where`` who installs it on which machine."""
    properties = [Property(name="meet.coop:installed", value=where)]
    version = wanted.removeprefix("==") if wanted.startswith("==") else wanted if kind == "docker" else ""
    if wanted and not version:
        properties.append(Property(name="meet.coop:wanted", value=wanted))
    purl = PackageURL(kind, namespace, name, version or None)
    what = ComponentType.CONTAINER if kind == "docker" else ComponentType.LIBRARY
    return Component(
        type=what, name=name, group=namespace, version=version or None, purl=purl, bom_ref=purl.to_string(), properties=properties
    )


def collections() -> Iterator[Component]:
    """Collections that ansible-galaxy installs with this one."""
    for name, wanted in load(ROOT / "galaxy.yml")["dependencies"].items():
        namespace, short = name.split(".")
        yield component("generic", short, "controller, as a collection", wanted, namespace)


def python_packages(requirements: Path, where: str) -> Iterator[Component]:
    """Python packages of a requirements file."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*([=<>!~][^\s;\\#]*)?", line)
        if found:
            yield component("pypi", found[1].lower(), where, found[2] or "")


def names(value: Any) -> Iterator[str]:
    """Packages in a list, or in lists of which one is chosen; not what an expression makes of others."""
    if isinstance(value, dict):
        for one in value.values():
            yield from names(one)
    elif isinstance(value, list):
        yield from value


def of_roles() -> Iterator[Component]:
    """Debian packages, Python packages and container images that the roles put on the machines they manage."""
    for role in sorted((ROOT / "roles").iterdir()):
        where = f"role {role.name}"
        for path in (role / "defaults" / "main.yml", role / "vars" / "main.yml"):
            for variable, value in (load(path) or {}).items() if path.exists() else ():
                if variable.endswith(("_packages", "_packages_of")) and not variable.endswith(NOT_INSTALLED):
                    for name in names(value):
                        yield component("deb", name, where, namespace="debian")
                elif variable.endswith("_image") and isinstance(value, str) and re.fullmatch(r"[a-z0-9./_-]+(:[\w.-]+)?", value):
                    image, _colon, tag = value.partition(":")
                    yield component("docker", image, where, tag)
        for requirements in sorted(role.glob("files/**/requirements*.txt")):
            yield from python_packages(requirements, where)
    for kind, name, where in CHOSEN:
        yield component(kind, name, where, namespace="debian" if kind == "deb" else None)


def bill(tarball: Path) -> Bom:
    """The whole bill of the collection in a tarball."""
    about = load(ROOT / "galaxy.yml")
    purl = PackageURL("generic", about["namespace"], about["name"], about["version"])
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}"))
    bom.metadata.component = Component(
        type=ComponentType.APPLICATION, name=about["name"], group=about["namespace"], version=about["version"], purl=purl,
        bom_ref=purl.to_string(), description=about["description"], licenses=[DisjunctiveLicense(id="GPL-3.0-or-later")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )  # fmt: skip
    parts: dict[str, Component] = {}
    controller = ROOT / load(ROOT / "meta" / "execution-environment.yml")["dependencies"]["python"]
    for part in (*collections(), *python_packages(controller, "controller"), *of_roles()):
        known = parts.setdefault(str(part.purl), part)
        known.properties.update(part.properties)
    bom.components.update(parts.values())
    bom.register_dependency(bom.metadata.component, parts.values())
    return bom


if __name__ == "__main__":
    print(JsonV1Dot6(bill(Path(sys.argv[1]))).output_as_string(indent=2))
