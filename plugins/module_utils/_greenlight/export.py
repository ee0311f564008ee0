# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one Greenlight as a file that its owner, and nobody else, can open; proven readable before it counts.

An export is a tar archive encrypted with age to the owner's keys. It counts from the moment its proof (C(proof.json)) stands beside it:
until then a killed run has left nothing but scraps, which the next one clears away.

We do not have the owner's key, so the archive is encrypted to a second key too, one that exists in this run's memory only. With it the
finished file is decrypted, and every file in it compared with the manifest. Then that key is forgotten; the digest of the file that was
proven stays in the proof.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.meet.coop.plugins.module_utils import _age
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import contents, database, dumps, storage
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.readme import readme

FORMAT = "meet.coop greenlight export 1"
PROOF = "proof.json"
MANIFEST = "manifest.json"
DUMP = "greenlight.dump"
SUFFIX = ".tar.age"
LOCAL_SERVICES = ("local", "mirror")
"""Names of Active Storage's services that keep files on disk (greenlight config/storage.yml)."""
_WORK = ".work"
_CHUNK = 1024 * 1024


class ExportError(CoopError):
    """There is no export, or none that can be trusted."""


@dataclass(frozen=True)
class Source:
    """What is exported: an instance by its id, its database, and the directory of its uploads (None: it has none)."""

    instance: str
    login: Login
    uploads: str | None
    hostnames: tuple[str, ...] = ()


@dataclass
class Proof:
    """What is known of an export that was proven readable. Times are UTC, sizes octets."""

    instance: str
    file: str
    size: int
    sha256: str
    made_at: str
    recipients: list[str]
    release: str
    tables: dict[str, int]
    files: int
    missing: list[dict[str, Any]]
    manifest_sha256: str
    fingerprint: str
    format: str = FORMAT
    proven: bool = True


# -- observe


def read_proof(directory: str) -> Proof | None:
    """The proof that stands in the directory, None without one. Raises ExportError for one that cannot be understood."""
    path = os.path.join(directory, PROOF)
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        if found["format"] != FORMAT or found["proven"] is not True or os.path.basename(found["file"]) != found["file"]:
            raise ValueError
        return Proof(**found)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise ExportError(f"{path} is damaged; remove it together with the export beside it, then run again for a new export") from None


def check(directory: str, proof: Proof) -> str:
    """The path of the export, which is octet for octet the one that was proven. Raises ExportError when it is not."""
    path = os.path.join(directory, proof.file)
    advice = f"nothing is closed or erased on the strength of it; remove {os.path.join(directory, PROOF)}, then run again for a new export"
    try:
        size, digest = os.path.getsize(path), _digest(path)
    except OSError as error:
        raise ExportError(f"the export {path} cannot be read: {error.strerror}; {advice}") from None
    if (size, digest) != (proof.size, proof.sha256):
        raise ExportError(f"the export {path} is not the one that was proven readable on {proof.made_at}: it was changed since; {advice}")
    return path


def current(source: Source, recipients: Sequence[str], directory: str) -> tuple[Proof | None, list[str]]:
    """The proof that stands, and in words why another export is to be made; nothing when the one that stands is of today's contents.

    Raises ExportError when the export is not the one that was proven, DatabaseError when the database cannot be read.
    """
    wanted = sorted({_age.recipient(one) for one in recipients})
    if not wanted:
        raise ExportError(f"{source.instance}: there is no key to encrypt the export to; ask its owner for one, and write it as export_key")
    with database.connect(source.login, "meet.coop greenlight_export") as conn:
        fingerprint = database.snapshot(conn, lambda conn: _fingerprint(source, contents.read(conn)))
    proof = read_proof(directory)
    if proof is None:
        return None, ["there is none yet"]
    check(directory, proof)
    why = []
    if proof.recipients != wanted:
        why.append("it is for other keys")
    if proof.fingerprint != fingerprint:
        why.append("what the instance holds has changed")
    if proof.instance != source.instance:
        why.append(f"it is of {proof.instance}")
    return proof, why


def _fingerprint(source: Source, held: contents.Contents) -> str:
    """A digest that changes with any row, and with an upload that comes or goes."""
    total = hashlib.sha256(held.fingerprint.encode())
    for blob in sorted(held.blobs, key=lambda blob: blob.key):
        total.update(f"{blob.key}\0{storage.size(source.uploads, blob.key)}\n".encode())
    return total.hexdigest()


# -- apply


def make(source: Source, recipients: Sequence[str], directory: str) -> Proof:
    """Make an export, prove it, and put it in the place of the one before. Raises CoopError; what stood there before then still stands."""
    wanted = sorted({_age.recipient(one) for one in recipients})
    work = os.path.join(directory, _WORK)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _clear(directory)
        os.mkdir(work, 0o700)
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        manifest = _collect(source, work, made_at)
        name = f"{source.instance}-{made_at.replace('-', '').replace(':', '')}{SUFFIX}"
        path = os.path.join(directory, name)
        identity, ours = _age.one_run_identity()
        text = _json(manifest)
        with _age.encrypting(path, [*wanted, ours]) as stream:
            _pack(stream, f"{source.instance}-export", work, manifest, text)
        with open(path, "rb") as handle:
            os.fsync(handle.fileno())
        prove(path, identity, hashlib.sha256(text).hexdigest())
        proof = Proof(
            instance=source.instance,
            file=name,
            size=os.path.getsize(path),
            sha256=_digest(path),
            made_at=made_at,
            recipients=wanted,
            release=manifest["greenlight_version"],
            tables=manifest["tables"],
            files=len(manifest["files"]),
            missing=manifest["missing"],
            manifest_sha256=hashlib.sha256(text).hexdigest(),
            fingerprint=manifest.pop("fingerprint"),
        )
        _write(os.path.join(directory, PROOF), _json(vars(proof)))
        _clear(directory)
        return proof
    except OSError as error:
        full = "the disk is full; free space, then run again" if error.errno == 28 else error.strerror
        raise ExportError(f"{source.instance} cannot be exported to {directory}: {full}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _clear(directory: str) -> None:
    """Remove what a killed run left, and exports that no proof speaks of."""
    proof = read_proof(directory)
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name == _WORK:
            shutil.rmtree(path)
        elif name.startswith(f".{PROOF}.") or (name.endswith(SUFFIX) and not (proof and name == proof.file)):
            os.unlink(path)


def _collect(source: Source, work: str, made_at: str) -> dict[str, Any]:
    """Write every file of the export below ``work`` and return the manifest. Documents, counts and dump are of one database snapshot."""
    dump = os.path.join(work, DUMP)
    with database.connect(source.login, "meet.coop greenlight_export") as conn:

        def work_on(conn: Any) -> contents.Contents:
            # The dump may take longer than a session may idle.
            conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = conn.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
            held = contents.read(conn)
            dumps.write(source.login, dump, snapshot=row[0])
            return held

        held = database.snapshot(conn, work_on)
    files: dict[str, dict[str, Any]] = {}
    kept: dict[str, str] = {}
    missing: list[dict[str, Any]] = []
    for blob in held.blobs:
        target = os.path.join(work, blob.path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        why = storage.copy_out(source.uploads, blob.key, target) if blob.service in LOCAL_SERVICES else f"kept by storage {blob.service}"
        if why is None and blob.md5 and storage.md5(target) != blob.md5:
            why = "damaged: it is not what was uploaded"
            os.unlink(target)
        if why:
            missing.append({"path": blob.path, "key": blob.key, "why": why})
        else:
            kept[blob.key] = blob.path
    about = {
        "instance": source.instance,
        "hostnames": list(source.hostnames),
        "made_at": made_at,
        "greenlight_version": held.schema.release,
        "schema_version": held.schema.newest_schema,
        "postgresql": held.postgresql,
    }
    documents = {**held.documents, "README.txt": readme(about, held.tables, missing).encode()}
    for name, data in documents.items():
        _write(os.path.join(work, name), data)
    for path in sorted([*documents, DUMP, *kept.values()]):
        full = os.path.join(work, path)
        files[path] = {"size": os.path.getsize(full), "sha256": _digest(full)}
    return {
        "format": FORMAT,
        **about,
        "postgresql_major": int(held.postgresql.split(".")[0]),
        "data_migrations": held.data_migrations,
        "tables": held.tables,
        "files": files,
        "uploads": dict(sorted(kept.items())),
        "missing": missing,
        "fingerprint": _fingerprint(source, held),
    }


def _pack(stream: IO[bytes], root: str, work: str, manifest: dict[str, Any], text: bytes) -> None:
    """The archive: the manifest first, so that it can be checked while it is read."""
    moment = int(time.time())

    def entry(path: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{root}/{path}")
        info.size, info.mode, info.mtime = size, 0o600, moment
        return info

    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry(MANIFEST, len(text)), io.BytesIO(text))
        for path, known in manifest["files"].items():
            with open(os.path.join(work, path), "rb") as handle:
                archive.addfile(entry(path, known["size"]), handle)


# -- prove


def prove(path: str, identity: str, manifest_sha256: str) -> None:
    """Decrypt an export, and compare every file in it with the manifest in it. Raises CoopError at the first difference."""
    try:
        with _age.decrypting(path, identity) as stream:
            manifest, text = walk(stream, None)
    except _age.AgeError as error:
        raise ExportError(f"the export {path} cannot be read back: {error}") from None
    if hashlib.sha256(text).hexdigest() != manifest_sha256 or manifest.get("format") != FORMAT:
        raise ExportError(f"the export {path} cannot be read back: its manifest is not the one that was written")


def walk(stream: IO[bytes], into: str | None) -> tuple[dict[str, Any], bytes]:
    """Read an export's archive to its end, and below ``into`` write its files as they are found right.

    Returns the manifest, parsed and as it stands. Raises ExportError for anything but exactly the files the manifest names, so that a
    stranger's archive can neither write elsewhere nor bring more than it says.
    """
    manifest: dict[str, Any] | None = None
    text = b""
    left: dict[str, Any] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                path = info.name.partition("/")[2]
                data = archive.extractfile(info) if info.isreg() else None
                if data is None:
                    raise ExportError(f"the archive holds {info.name!r}, which is no plain file")
                if manifest is None:
                    if path != MANIFEST or info.size > 64 * _CHUNK:
                        raise ExportError(f"the archive does not begin with {MANIFEST}; it is no export of this collection")
                    text = data.read()
                    manifest = parse_manifest(text)
                    left = dict(manifest["files"])
                    continue
                known = left.pop(path, None)
                if known is None:
                    raise ExportError(f"the archive holds {path!r}, which its manifest does not name (or names once)")
                if info.size != known["size"]:
                    raise ExportError(f"{path} has {info.size} octets in the archive, not {known['size']}")
                target = os.path.join(into, path) if into is not None else None
                if _drain(data, target) != known["sha256"]:
                    raise ExportError(f"{path} in the archive is not what the manifest says (its sha256 differs)")
    except (tarfile.TarError, EOFError) as error:
        raise ExportError(f"the archive is damaged: {error}") from None
    if manifest is None:
        raise ExportError("the archive is empty")
    if left:
        raise ExportError(f"the archive lacks {', '.join(sorted(left)[:5])}{' and more' if len(left) > 5 else ''}")
    return manifest, text


def parse_manifest(text: bytes) -> dict[str, Any]:
    """A manifest whose parts have the right shapes, and whose paths stay inside. Raises ExportError."""
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise ExportError(f"the archive is of format {manifest['format']!r}; this collection reads {FORMAT!r}")
        shapes = (
            all(_inside(path) and isinstance(one["size"], int) and len(one["sha256"]) == 64 for path, one in manifest["files"].items())
            and all(storage.KEY.fullmatch(key) and path in manifest["files"] for key, path in manifest["uploads"].items())
            and all(isinstance(number, int) for number in manifest["tables"].values())
            and DUMP in manifest["files"]
            and isinstance(manifest["postgresql_major"], int)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        shapes = False
    if not shapes:
        raise ExportError(f"the archive's {MANIFEST} is damaged; it is no export that this collection has made")
    return manifest


def _inside(path: str) -> bool:
    return path == os.path.normpath(path) and not path.startswith(("/", "..")) and "\0" not in path and path not in (".", MANIFEST)


def _drain(data: IO[bytes], target: str | None) -> str:
    """The digest of a stream's octets, which are written to ``target`` if there is one."""
    total = hashlib.sha256()
    handle = None
    if target is not None:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        handle = open(target, "xb")  # noqa: SIM115
    try:
        while chunk := data.read(_CHUNK):
            total.update(chunk)
            if handle is not None:
                handle.write(chunk)
    finally:
        if handle is not None:
            handle.close()
    return total.hexdigest()


def _digest(path: str) -> str:
    with open(path, "rb") as handle:
        return _drain(handle, None)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8", "surrogatepass")


def _write(path: str, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
