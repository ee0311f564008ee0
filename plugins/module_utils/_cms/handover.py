# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a content management system's administrator gets: a file with the secret, and a page's worth without it.

Files lie on the container host, for root alone. For an owner with public keys there is one more beside each, encrypted to them; it can be
sent by any way. What was encrypted stays as it is for as long as its content and keys do.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils import _age, _secrets
from ansible_collections.meet.coop.plugins.module_utils._cms import kinds
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

INDEX = "encrypted.json"
"""By file, a digest of what was encrypted and to whom: encryption never gives the same octets twice."""
NEW = ".new"
_OURS = re.compile(r"[a-z][a-z0-9-]{0,30}[.]json(?:[.]age)?\Z")


@dataclass(frozen=True)
class Credential:
    """Access of one system: where, and with which secret."""

    name: str
    kind: str
    endpoint: str
    secret: str = field(repr=False)
    access: str = "tenant"


@dataclass
class Written:
    """What a run did or, in check mode, would do: names of files, and one entry for each credential, without its secret."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    entries: list[dict[str, t.Any]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def public(credential: Credential) -> dict[str, t.Any]:
    """What may be shown of a credential. Raises CoopError."""
    kind, url = kinds.kind_of(credential.kind), kinds.address(credential.endpoint)
    return {
        "name": credential.name,
        "kind": credential.kind,
        "title": kind.title,
        "access": credential.access,
        "url": url,
        "settings": kinds.settings(kind, url),
        "commands": kinds.commands(kind, url),
        "checksums": list(kind.algorithms),
        "notes": list(kind.notes),
    }


def content(credential: Credential) -> str:
    """The file for the system's administrator, with the secret in it."""
    kind, url = kinds.kind_of(credential.kind), kinds.address(credential.endpoint)
    told = {**public(credential), "settings": kinds.settings(kind, url, credential.secret), "secret": credential.secret}
    return json.dumps(told, indent=2) + "\n"


def converge(directory: str, credentials: t.Sequence[Credential], recipients: t.Sequence[str], check_mode: bool) -> Written:
    """Write each credential's file, and an encrypted one where there are recipients; remove those of credentials that are gone.

    Raises CoopError.
    """
    names = [credential.name for credential in credentials]
    for name in names:
        if not _OURS.match(f"{name}.json") or f"{name}.json" == INDEX:
            raise CoopError(f"{name!r} cannot be a credential's name: it is up to 31 lower-case letters, digits and '-', not encrypted")
        if names.count(name) > 1:
            raise CoopError(f"credential {name} is listed twice; write it once")
    keys = sorted({_age.recipient(one) for one in recipients})
    wanted = {f"{credential.name}.json": content(credential) for credential in credentials}
    marks = {f"{file}.age": _digest(text, keys) for file, text in wanted.items()} if keys else {}
    found, index = _observe(directory)
    written = Written(entries=[public(credential) for credential in credentials])
    for file in sorted({*wanted, *marks, *found}):
        old = found.get(file)
        new = _digest(wanted[file], []) if file in wanted else marks.get(file)
        if file.endswith(".age"):
            old = index.get(file, "unknown") if old else None
        if old != new:
            written.before[file], written.after[file] = _state(old), _state(new, old)
    for entry, credential in zip(written.entries, credentials, strict=True):
        file = f"{credential.name}.json"
        entry["file"] = os.path.join(directory, file)
        entry["encrypted_file"] = os.path.join(directory, f"{file}.age") if keys else None
    leftovers = [file for file in _list(directory) if file.endswith(NEW)]
    if _open(directory, found):
        written.before["permissions"], written.after["permissions"] = "others may read", "root alone"
    if leftovers:
        written.before["leftovers"], written.after["leftovers"] = ", ".join(leftovers), ""
    if check_mode or not written.changed:
        return written
    with _secrets.locked(os.path.join(directory, INDEX)):
        _apply(directory, wanted, marks, keys, index, [*found, *leftovers], [file for file in written.after if _OURS.match(file)])
    return written


def _apply(
    directory: str,
    wanted: t.Mapping[str, str],
    marks: t.Mapping[str, str],
    keys: t.Sequence[str],
    index: dict[str, str],
    present: t.Sequence[str],
    changed: t.Sequence[str],
) -> None:
    """Write and remove what changed. The index comes after what it speaks of: a run that is killed between encrypts once more."""
    try:
        os.chmod(directory, 0o700)
        for file in present:
            path = os.path.join(directory, file)
            if file.endswith(NEW):
                os.unlink(path)
            else:
                os.chmod(path, 0o600)
        for file in changed:
            path = os.path.join(directory, file)
            if file in wanted:
                _replace(path, wanted[file].encode())
            elif file in marks:
                _encrypt(path, wanted[file.removesuffix(".age")].encode(), keys)
                index[file] = marks[file]
                _replace(os.path.join(directory, INDEX), json.dumps(index, indent=1, sort_keys=True).encode())
            else:
                os.unlink(path)
        kept = {file: mark for file, mark in index.items() if file in marks}
        if kept != index or (kept and not os.path.exists(os.path.join(directory, INDEX))):
            _replace(os.path.join(directory, INDEX), json.dumps(kept, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise CoopError(f"{directory} cannot be written: {error.strerror}; free space or mend its permissions, then run again") from error


def _state(mark: str | None, before: str | None = None) -> str:
    return "absent" if mark is None else "present" if before in (None, mark) else "present (new)"


def _digest(text: str, keys: t.Sequence[str]) -> str:
    return hashlib.sha256("\0".join([text, *keys]).encode()).hexdigest()


def _observe(directory: str) -> tuple[dict[str, str], dict[str, str]]:
    """Digest of each file of ours that is there, and the index of those encrypted; a damaged index counts as none."""
    found: dict[str, str] = {}
    index: dict[str, str] = {}
    try:
        for file in _list(directory):
            if _OURS.match(file) and file != INDEX:
                with open(os.path.join(directory, file), encoding="utf-8", errors="replace") as stream:
                    found[file] = _digest(stream.read(), [])
        with open(os.path.join(directory, INDEX), encoding="utf-8") as stream:
            index = {str(file): str(mark) for file, mark in json.load(stream).items()}
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise CoopError(f"{directory} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError):
        index = {}
    return found, index


def _list(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(directory: str, found: t.Iterable[str]) -> bool:
    """Whether anybody but the owner may read what lies there."""
    paths = [directory, *(os.path.join(directory, file) for file in found)]
    return any(os.path.exists(path) and os.stat(path).st_mode & 0o077 for path in paths)


def _replace(path: str, data: bytes) -> None:
    temporary = path + NEW
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def _encrypt(path: str, data: bytes, keys: t.Sequence[str]) -> None:
    temporary = path + NEW
    if os.path.exists(temporary):
        os.unlink(temporary)
    with _age.encrypting(temporary, keys) as stream:
        stream.write(data)
    os.replace(temporary, path)
