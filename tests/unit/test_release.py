# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ./dev build makes, as somebody gets it who has no checkout: nothing else in it, signed, and it works from where it was installed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

pytestmark = pytest.mark.programs

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Release:
    """A built collection, and the key it is signed with."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place
        self.keys = place / "keys"
        self.keys.mkdir(mode=0o700)
        self.readers = place / "readers"
        self.readers.mkdir(mode=0o700)
        self.key("release")
        self.run(str(ROOT / "dev"), "build", "--into", str(place), "--sign", "release", cwd=ROOT)
        (self.tarball,) = place.glob("*.tar.gz")
        self.signature = place / f"{self.tarball.name.removesuffix('.tar.gz')}.MANIFEST.json.asc"

    def run(self, *argv: str, fails: bool = False, cwd: pathlib.Path | None = None, keys: pathlib.Path | None = None) -> str:
        """A command on a machine that has no configuration of ours."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        env |= {"GNUPGHOME": str(keys or self.keys), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(self.place / "installed")}
        done = subprocess.run(argv, cwd=cwd or self.place, env=env, text=True, capture_output=True, check=False, timeout=300)
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def key(self, name: str) -> pathlib.Path:
        """A new key and the keyring with its public half."""
        self.run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        ring = self.place / f"{name}.gpg"
        self.run("gpg", "--batch", "--yes", "--output", str(ring), "--export", name)
        return ring

    def install(self, tarball: pathlib.Path) -> None:
        self.run(
            "ansible-galaxy",
            "collection",
            "install",
            "--force",
            "--no-deps",
            "--collections-path",
            str(self.place / "installed"),
            str(tarball),
        )

    def verify(self, ring: pathlib.Path, fails: bool = False) -> str:
        """What was installed, against the signature: ansible-core takes signatures of files here only, not when it installs them."""
        return self.run(
            "ansible-galaxy", "collection", "verify", "--offline", "-vvvv", "--keyring", str(ring),
            "--signature", self.signature.as_uri(), "meet.coop", fails=fails, keys=self.readers,
        )  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(tmp_path_factory.mktemp("release"))


def test_it_holds_the_collection_and_nothing_else(release: Release) -> None:
    known = set(subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, text=True, capture_output=True, check=True).stdout.split("\0"))
    with tarfile.open(release.tarball) as archive:
        files = {member.name for member in archive if member.isfile()}
    assert files - known == {"MANIFEST.json", "FILES.json"}
    top = {name.partition("/")[0] for name in files}
    assert {"plugins", "roles", "playbooks", "docs", "inventories", "meta", "LICENSES", "README.md"} <= top
    assert not top & {"tests", "molecule", "release", "dev", "dist", ".ci", ".cache", ".venv", ".lab"}


def test_checksums_and_the_bill_of_materials(release: Release) -> None:
    lines = dict(reversed(line.split("  ")) for line in (release.place / "SHA256SUMS").read_text().splitlines())
    assert set(lines) == {path.name for path in release.place.glob("meet-coop-*")} and len(lines) == 3
    for name, digest in lines.items():
        assert hashlib.sha256((release.place / name).read_bytes()).hexdigest() == digest
    text = (release.place / f"{release.tarball.name.removesuffix('.tar.gz')}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": lines[release.tarball.name]}]
    parts = {part["purl"] for part in bill["components"]}
    for purl in ("pkg:docker/bigbluebutton/greenlight", "pkg:docker/redis@7", "pkg:deb/debian/caddy", "pkg:deb/debian/restic"):
        assert purl in parts
    assert "pkg:generic/community/docker" in parts and any(purl.startswith("pkg:pypi/bbblb@") for purl in parts)


def test_it_is_installed_verified_and_works_from_there(release: Release) -> None:
    release.install(release.tarball)
    release.verify(release.place / "release.gpg")
    told = release.run("ansible-playbook", "-i", "localhost,", "--syntax-check", "meet.coop.onboard")
    assert f"playbook: {release.place}/installed/ansible_collections/meet/coop/playbooks/onboard.yml" in told
    modules = json.loads(release.run("ansible-doc", "--json", "--list", "meet.coop").partition("{")[2].join(("{", "")))
    assert set(modules) == {f"meet.coop.{path.stem}" for path in (ROOT / "plugins" / "modules").glob("*.py")}


def test_a_changed_collection_is_found_out(release: Release, tmp_path: pathlib.Path) -> None:
    """One byte of one task changed, and every checksum within set right again: only the signature can tell."""
    with tarfile.open(release.tarball) as archive:
        members = archive.getmembers()
        contents = {member.name: archive.extractfile(member).read() for member in members if member.isfile()}  # type: ignore[union-attr]
    victim = "roles/instance/tasks/main.yml"
    contents[victim] += b"\n"
    files, manifest = (json.loads(contents[name]) for name in ("FILES.json", "MANIFEST.json"))
    next(one for one in files["files"] if one["name"] == victim)["chksum_sha256"] = hashlib.sha256(contents[victim]).hexdigest()
    contents["FILES.json"] = json.dumps(files).encode()
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(contents["FILES.json"]).hexdigest()
    contents["MANIFEST.json"] = json.dumps(manifest).encode()
    changed = tmp_path / release.tarball.name
    with tarfile.open(changed, "w:gz") as archive:
        for member in members:
            content = contents.get(member.name, b"")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if member.isfile() else None)
    release.install(changed)
    assert "BADSIG" in release.verify(release.place / "release.gpg", fails=True)


def test_a_key_that_nobody_trusts_signs_nothing(release: Release) -> None:
    release.install(release.tarball)
    assert "NO_PUBKEY" in release.verify(release.key("stranger"), fails=True)
    release.verify(release.place / "release.gpg")
