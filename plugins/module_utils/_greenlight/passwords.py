# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Greenlight's rules for mail addresses, names and passwords, and bcrypt as its gem computes it.

Passwords are hashed here and not by PostgreSQL's pgcrypto: a bound parameter can reach the server's log
(``log_statement``, ``log_min_duration_statement``, ``log_parameter_max_length_on_error``), and ``crypt()`` in the instance's
own schema is a function the instance may replace. Debian's libcrypt is on every host and holds the same crypt_blowfish as the
bcrypt gem, cut at 72 bytes included; Python's own ``crypt`` is gone since 3.13.
"""

from __future__ import annotations

import ctypes
import functools
import hmac
import re
import string
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

COST = 12
"""bcrypt-ruby's default cost; about a quarter of a second."""
_BUFFER = 32768
"""sizeof(struct crypt_data), fixed by libxcrypt's ABI."""

_EMAIL = re.compile(r"[\w\-.+]+@[\w\-.]+\.[a-z]+", re.ASCII | re.IGNORECASE)
_SYMBOLS = frozenset(string.punctuation + "£ ")


class PasswordError(CoopError):
    """This machine cannot hash passwords the way Greenlight does."""


def email_problem(email: str) -> str | None:
    """Why Greenlight would refuse this mail address (greenlight app/models/user.rb), or None."""
    if not 5 <= len(email) <= 255:
        return "must have 5 to 255 characters"
    if not _EMAIL.fullmatch(email):
        return "is no mail address Greenlight accepts (letters, digits, _ - . + before the @; a domain ending in a-z)"
    return None


def name_problem(name: str) -> str | None:
    """Why Greenlight would refuse this user name, or None."""
    if not name.strip():
        return "must not be empty"
    if len(name) > 255:
        return "must have at most 255 characters"
    if "\0" in name:
        return "must not hold a NUL character"
    return None


def password_problem(password: str) -> str | None:
    """Why Greenlight would refuse this password, or None. Never repeats the password."""
    lacking = []
    if len(password) < 8:
        lacking.append("at least 8 characters")
    if not re.search("[a-z]", password):
        lacking.append("a lower-case letter a-z")
    if not re.search("[A-Z]", password):
        lacking.append("an upper-case letter A-Z")
    if not re.search("[0-9]", password):
        lacking.append("a digit")
    if not _SYMBOLS & set(password):
        lacking.append("a symbol (punctuation or a space)")
    if len(password) > 255:
        lacking.append("at most 255 characters")
    if "\n" in password or "\0" in password:
        lacking.append("no line break and no NUL character")
    return "needs " + ", ".join(lacking) if lacking else None


@functools.cache
def _library() -> Any:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
            library.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
            library.crypt_rn.restype = ctypes.c_char_p
            library.crypt_gensalt_rn.argtypes = [
                ctypes.c_char_p,
                ctypes.c_ulong,
                ctypes.c_char_p,
                ctypes.c_int,
                ctypes.c_void_p,
                ctypes.c_int,
            ]
            library.crypt_gensalt_rn.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return library
    raise PasswordError("libxcrypt (libcrypt.so.1, Debian package libcrypt1) is missing on this host: it is needed to hash passwords")


def _crypt(password: str, setting: bytes) -> str:
    data = ctypes.create_string_buffer(_BUFFER)
    try:
        digest = _library().crypt_rn(password.encode(), setting, data, _BUFFER)
        if digest is None or digest.startswith(b"*"):
            raise PasswordError("libcrypt on this host cannot compute bcrypt ($2a$)")
        return digest.decode("ascii")
    finally:
        ctypes.memset(data, 0, _BUFFER)


def hash_password(password: str, cost: int = COST) -> str:
    """A ``$2a$`` bcrypt digest with a fresh salt of the operating system."""
    output = ctypes.create_string_buffer(192)
    setting = _library().crypt_gensalt_rn(b"$2a$", cost, None, 0, output, 192)
    if setting is None:
        raise PasswordError("libcrypt on this host cannot make a bcrypt salt")
    return _crypt(password, setting)


def verify_password(password: str, digest: str) -> bool:
    """Whether ``digest`` (any 60-character bcrypt form) is of this password."""
    if not re.fullmatch(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}", digest):
        return False
    return hmac.compare_digest(_crypt(password, digest.encode("ascii")), digest)
