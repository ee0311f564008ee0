# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: age encryption (https://age-encryption.org/v1) to public keys that somebody gave us.

Recipients are age's own X25519 keys (C(age1...)) and ssh-ed25519 keys. Identities, the secret halves, are only ever held in memory: they
go to the program through a pipe, never as an argument or a file.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_AGE = re.compile(rf"age1[{_BECH32}]{{58}}")
_SSH_PREFIX = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
_SECRET = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY", re.IGNORECASE)


class AgeError(CoopError):
    """age is not there, or refuses."""


def problem(text: str) -> str | None:
    """What is wrong with a recipient, in words that never repeat it; None for a good one."""
    if _SECRET.search(text):
        return (
            "is a private key, which nobody but its owner may have: consider it lost, make a new one (age-keygen), and write its public key"
        )
    words = text.split()
    if len(words) > 1 and words[0] == "ssh-ed25519":
        try:
            blob = base64.b64decode(words[1], validate=True)
        except (binascii.Error, ValueError):
            blob = b""
        if len(blob) != len(_SSH_PREFIX) + 32 or not blob.startswith(_SSH_PREFIX):
            return "is not a whole ssh-ed25519 key; copy the line of the .pub file again"
        return None
    if len(words) > 1 and words[0].startswith(("ssh-", "ecdsa-")):
        return "is an SSH key of another kind; write an ssh-ed25519 one, or one made by age-keygen"
    if len(words) == 1 and words[0].lower().startswith("age1"):
        if not _AGE.fullmatch(words[0]) or _checksum(words[0]) != 1:
            return "is not a whole age key: it has a letter wrong, or some are missing; copy it again"
        return None
    return "is not a public key; write one such as age1... (made by age-keygen), or ssh-ed25519 AAAA..."


def recipient(text: str) -> str:
    """The recipient as age takes it, without a comment. Raises AgeError."""
    wrong = problem(text)
    if wrong:
        raise AgeError(f"the key to encrypt to {wrong}")
    return " ".join(text.split()[:2])


def _checksum(text: str) -> int:
    """The checksum of bech32 (BIP 173) over a whole key; 1 for one without a mistake."""
    human, _one, data = text.rpartition("1")
    values = (
        [ord(letter) >> 5 for letter in human] + [0] + [ord(letter) & 31 for letter in human] + [_BECH32.index(letter) for letter in data]
    )
    total = 1
    for value in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                total ^= generator
    return total


def one_run_identity() -> tuple[str, str]:
    """A new identity and its recipient, for proving what was just encrypted; it is gone when the caller forgets it. Raises AgeError."""
    with _started(["age-keygen"], subprocess.DEVNULL, subprocess.PIPE) as process:
        said, complaint = process.communicate()
    _check(process, complaint)
    text = said.decode("ascii", "replace")
    identity, public = re.search(r"^AGE-SECRET-KEY-1\S+$", text, re.MULTILINE), re.search(r"^# public key: (age1\S+)$", text, re.MULTILINE)
    if not identity or not public:
        raise AgeError("age-keygen said something unexpected; see that Debian's package age is whole (apt-get install --reinstall age)")
    return identity.group(0), public.group(1)


@contextmanager
def encrypting(path: str, recipients: Sequence[str]) -> Iterator[IO[bytes]]:
    """A stream whose octets arrive encrypted in a new file, readable by its owner only. Raises AgeError; the file is then worth nothing."""
    argv = ["age", "--encrypt", "--output", path]
    for one in recipients:
        argv += ["--recipient", recipient(one)]
    with _started(argv, subprocess.PIPE, subprocess.DEVNULL) as process:
        stream = process.stdin
        if stream is None:
            raise AgeError("age has no standard input")
        try:
            yield stream
            stream.close()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                stream.close()  # age ended early: what it said is told below
        except BaseException:
            process.kill()
            with suppress(BrokenPipeError):
                stream.close()
            raise
        complaint = process.stderr.read() if process.stderr else b""
    _check(process, complaint)
    if os.path.getsize(path) == 0:
        raise AgeError(f"age wrote nothing to {path}")


@contextmanager
def decrypting(path: str, identity: str) -> Iterator[IO[bytes]]:
    """What is in an encrypted file, as a stream. Raises AgeError when age found it damaged or not meant for the identity."""
    with _started(["age", "--decrypt", "--identity", "-", path], subprocess.PIPE, subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise AgeError("age has no standard input or output")
        with suppress(BrokenPipeError), process.stdin as keys:
            keys.write(identity.encode("ascii") + b"\n")
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            process.wait()
            complaint = process.stderr.read() if process.stderr else b""
            if complaint:
                _check(process, complaint)  # what age said explains why the reader choked
            raise
        process.stdout.read()
        complaint = process.stderr.read() if process.stderr else b""
    _check(process, complaint)


@contextmanager
def _started(argv: Sequence[str], stdin: int, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(argv), env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, umask=0o077
        )
    except FileNotFoundError:
        raise AgeError(f"{argv[0]} is not on this host; install Debian's package age") from None
    with process:
        yield process


def _check(process: subprocess.Popen[bytes], complaint: bytes) -> None:
    if process.returncode == 0:
        return
    lines = [line.removeprefix("age: ").removeprefix("error: ") for line in complaint.decode("utf-8", "replace").splitlines()]
    said = "; ".join(line for line in lines if line and "report" not in line)[:300] or f"it ended with {process.returncode}"
    if "no space left on device" in said:
        raise AgeError("the disk is full; free space, then run again")
    raise AgeError(f"age refuses: {said}")
