# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports without a database: archives that are not what they say, uploads behind links, names that do no harm, the record of steps."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pathlib
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils import _offboarding
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import contents, export, imports, storage
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.readme import readme

KEY = "k" * 28
FILES = {export.DUMP: b"PGDMP and so on", "users.csv": b"id,name\r\n", "files/avatars/1/me.png": b"face"}

# -- archives


def manifest(files: dict[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
    named = FILES if files is None else files
    known = {path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in named.items()}
    about = {"format": export.FORMAT, "postgresql_major": 17, "tables": {"users": 2}, "uploads": {KEY: "files/avatars/1/me.png"}}
    return {**about, "files": known, **more}


def archive(*entries: tuple[str, bytes], first: Any = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        head = json.dumps(manifest() if first is None else first).encode() if not isinstance(first, bytes) else first
        for path, data in (("x/manifest.json", head), *entries):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


WHOLE = tuple((f"x/{path}", data) for path, data in FILES.items())


def walked(data: bytes, into: str | None = None) -> dict[str, Any]:
    return export.walk(io.BytesIO(data), into)[0]


def test_a_whole_archive_is_read_and_written_below_its_directory(tmp_path: pathlib.Path) -> None:
    assert walked(archive(*WHOLE), str(tmp_path))["tables"] == {"users": 2}
    assert {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == FILES


def special(kind: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("x/manifest.json")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "archive"),
        (b"no tar at all" * 100, "archive is damaged"),
        (archive(*WHOLE)[:700], "damaged"),
        (archive(*WHOLE[:2]), "lacks files/avatars/1/me.png"),
        (archive(*WHOLE, ("x/more", b"")), "'more', which its manifest does not name"),
        (archive(*WHOLE, WHOLE[0]), "does not name (or names once)"),
        (archive(("x/" + export.DUMP, b"PGDMP and so oN"), *WHOLE[1:]), "its sha256 differs"),
        (archive(("x/" + export.DUMP, b"PGDMP"), *WHOLE[1:]), "has 5 octets in the archive, not 15"),
        (archive(("x/../../evil", b"x"), *WHOLE), "does not name"),
        (archive(*WHOLE, first=manifest(format="meet.coop greenlight export 9")), "of format"),
        (archive(*WHOLE, first=b"{"), "manifest.json is damaged"),
        (archive(*WHOLE, first=b"[]"), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(files={"users.csv": b""})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(uploads={"../../etc": "users.csv"})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(uploads={KEY: "nowhere"})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(tables={"users": "many"})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(files={**FILES, "/etc/cron.d/x": b""})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(files={**FILES, "../x": b""})), "manifest.json is damaged"),
        (archive(*WHOLE, first=manifest(files={**FILES, "a/../../x": b""})), "manifest.json is damaged"),
        (special(tarfile.SYMTYPE), "no plain file"),
        (special(tarfile.LNKTYPE), "no plain file"),
        (special(tarfile.FIFOTYPE), "no plain file"),
        (special(tarfile.DIRTYPE), "no plain file"),
    ],
)  # fmt: skip
def test_archives_that_are_not_what_they_say(data: bytes, said: str, tmp_path: pathlib.Path) -> None:
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    for into in (None, str(inside)):
        with pytest.raises(export.ExportError, match="archive") as caught:
            walked(data, into)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"] and [path.name for path in (tmp_path / "deep").iterdir()] == ["inside"]


@given(st.integers(min_value=0, max_value=len(archive(*WHOLE)) - 1), st.integers(min_value=1, max_value=255))
def test_no_single_wrong_octet_of_a_document_goes_unseen(place: int, change: int) -> None:
    good = archive(*WHOLE)
    bad = bytearray(good)
    bad[place] ^= change
    try:
        found = walked(bytes(bad))
    except export.ExportError:
        return
    # What may change is padding and what tar says of owner, mode and time; never a document, nor what the manifest says of one.
    assert found["files"] == manifest()["files"]


def test_one_that_is_still_encrypted_is_told_how_to_decrypt(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"age-encryption.org/v1\n-> X25519 ...")
    with pytest.raises(imports.ImportRefused, match="still encrypted; decrypt it .*age -d -i KEY"):
        imports.read(str(path))


def test_what_an_instance_holds_decides_about_an_import() -> None:
    target = imports.Target("rosa", "/nowhere", Login("greenlight_rosa"))

    def needed(empty: bool, noted: str | None, major: int = 17) -> bool:
        return imports.needed(target, imports.Found(empty, noted, major), manifest(), "digest")

    assert needed(True, None) and needed(True, "digest") and needed(True, "another", 18)
    assert not needed(False, "digest")
    for empty, noted, major, said in (
        (False, None, 17, "already holds"), (False, "another", 17, "already holds"), (True, None, 16, "upgrade the server")
    ):  # fmt: skip
        with pytest.raises(imports.ImportRefused, match=said):
            needed(empty, noted, major)


# -- what was proven


@pytest.fixture
def proven(tmp_path: pathlib.Path) -> export.Proof:
    data = b"age-encryption.org/v1 and so on"
    (tmp_path / "rosa.tar.age").write_bytes(data)
    proof = export.Proof(
        instance="rosa", file="rosa.tar.age", size=len(data), sha256=hashlib.sha256(data).hexdigest(), made_at="2026-12-31T00:00:00Z",
        recipients=[], release="3.8.1", tables={}, files=3, missing=[], manifest_sha256="", fingerprint="",
    )  # fmt: skip
    (tmp_path / export.PROOF).write_text(json.dumps(vars(proof)))
    return proof


def test_an_export_is_the_one_that_was_proven(proven: export.Proof, tmp_path: pathlib.Path) -> None:
    assert export.read_proof(str(tmp_path)) == proven
    assert export.check(str(tmp_path), proven) == str(tmp_path / "rosa.tar.age")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"b" + data[1:], lambda data: b"", None])
def test_an_export_that_was_changed_since_is_refused(
    proven: export.Proof, tmp_path: pathlib.Path, damage: Callable[[bytes], bytes] | None
) -> None:
    path = tmp_path / proven.file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(export.ExportError, match="nothing is closed or erased on the strength of it"):
        export.check(str(tmp_path), proven)


@pytest.mark.parametrize("change", [{"proven": False}, {"format": "9"}, {"file": "../x"}, {"surplus": 1}, {"proven": 1}])
def test_a_proof_that_cannot_be_understood_is_no_proof(proven: export.Proof, tmp_path: pathlib.Path, change: dict[str, Any]) -> None:
    (tmp_path / export.PROOF).write_text(json.dumps({**vars(proven), **change}))
    with pytest.raises(export.ExportError, match="damaged"):
        export.read_proof(str(tmp_path))


# -- uploads


def upload(root: pathlib.Path, key: str) -> pathlib.Path:
    path = root / key[:2] / key[2:4] / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_uploads_go_out_and_come_back(tmp_path: pathlib.Path) -> None:
    root, back, out = tmp_path / "storage", tmp_path / "back", tmp_path / "out"
    back.mkdir()
    upload(root, KEY).write_bytes(b"slides")
    assert storage.size(str(root), KEY) == 6 and storage.copy_out(str(root), KEY, str(out)) is None
    assert storage.put(str(back), KEY, str(out)) is True and storage.put(str(back), KEY, str(out)) is False
    assert upload(back, KEY).read_bytes() == b"slides" and upload(back, KEY).stat().st_mode & 0o777 == 0o644
    upload(back, KEY).write_bytes(b"slided")
    assert storage.put(str(back), KEY, str(out)) is True and upload(back, KEY).read_bytes() == b"slides"


def test_nothing_is_read_or_written_through_a_link(tmp_path: pathlib.Path) -> None:
    secret, root = tmp_path / "secrets.json", tmp_path / "storage"
    (tmp_path / "elsewhere" / "kk").mkdir(parents=True)
    (tmp_path / "elsewhere" / "kk" / KEY).write_bytes(b"secret")
    secret.write_bytes(b"secret")
    root.mkdir()

    def refused() -> None:
        assert storage.size(str(root), KEY) is None
        assert storage.copy_out(str(root), KEY, str(tmp_path / "out")) == "not in the storage"
        assert not (tmp_path / "out").exists()

    (root / "kk").symlink_to(tmp_path / "elsewhere")
    refused()
    with pytest.raises(OSError, match="Not a directory|symbolic"):
        storage.put(str(root), KEY, str(secret))
    (root / "kk").unlink()
    upload(root, KEY).symlink_to(secret)
    refused()
    upload(root, KEY).unlink()
    os.mkfifo(upload(root, KEY))
    refused()
    upload(root, KEY).unlink()
    upload(root, KEY).mkdir()
    refused()
    assert storage.size(str(root), "../../secrets.json") is None and storage.size(None, KEY) is None


@given(st.text(max_size=300))
def test_whatever_an_upload_is_called_its_file_can_be_on_any_disk(text: str) -> None:
    name = contents.plain_name(text)
    assert name and len(name.encode("utf-8", "surrogatepass")) <= 200 and not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|\0') and name.isprintable()


# -- documents


def test_people_as_csv_whatever_they_are_called() -> None:
    names = ["Ada, the \"first\"", "line\nbreak", "=cmd()", "Zoë"]
    user = {"role_id": 1, "status": 0, "verified": True, "language": "en", "external_id": None, "created_at": None, "last_login": None}
    rows: contents.Rows = {
        "roles": [{"id": 1, "name": "User"}],
        "rooms": [{"user_id": 2}],
        "users": [{**user, "id": index, "name": name, "email": f"{index}@x.test"} for index, name in enumerate(names)],
    }
    found = list(csv.DictReader(io.StringIO(contents.users_csv(rows).decode(), newline="")))
    assert [row["name"] for row in found] == names and [row["rooms"] for row in found] == ["0", "0", "1", "0"]
    assert list(found[0]) == list(contents.USER_COLUMNS)


def test_the_page_explains_every_column_and_tells_what_is_missing() -> None:
    about = {"instance": "rosa", "hostnames": ["meet.rosa.test"], "made_at": "now", "greenlight_version": "3.8.1", "postgresql": "17.2"}
    page = readme(about, {"users": 3}, [{"path": "files/x.pdf", "why": "not in the storage"}])
    assert all(f" {column} " in page and meaning in page for column, meaning in contents.USER_COLUMNS.items())
    assert "files/x.pdf: not in the storage" in page and "{" not in page.replace('"', "").split("python3 -")[0]
    assert "could not be taken along" not in readme(about, {}, [])


# -- the record of steps


def test_a_step_stands_as_it_was_first_written(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "rosa" / "record.json")
    assert _offboarding.read(path) == {}
    first = _offboarding.diff({}, "closed", {"hostnames": ["a"]})
    _offboarding.apply(path, first)
    assert _offboarding.diff(_offboarding.read(path), "closed", {"hostnames": ["b"]}) == first
    both = _offboarding.diff(first, "erased", {})
    _offboarding.apply(path, both)
    assert list(_offboarding.read(path)) == ["closed", "erased"] and os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(CoopError, match="not a word"):
        _offboarding.diff({}, "Closed!", {})


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "9", "steps": {}}', '{"format": "meet.coop offboarding 1", "steps": {"closed": {}}}']
)
def test_a_damaged_record_is_an_error(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(CoopError, match="damaged; it says how far"):
        _offboarding.read(str(path))
