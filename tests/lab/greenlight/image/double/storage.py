# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments on disk under storage/ as Active Storage lays them out (greenlight config/storage.yml, service "local")."""

from __future__ import annotations

import base64
import hashlib
import typing as t
from pathlib import Path

from .accounts import random_text
from .db import Connection, Row, now

ROOT = Path("/usr/src/app/storage")
PRESENTATIONS = (
    *(".doc", ".docx", ".ppt", ".pptx", ".pdf", ".xls", ".xlsx", ".txt", ".rtf"),
    *(".odt", ".ods", ".odp", ".odg", ".odc", ".odi", ".jpg", ".jpeg", ".png"),
)
IMAGE_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/svg+xml")  # greenlight config/application.rb uploads


def _path(key: str) -> Path:
    return ROOT / key[:2] / key[2:4] / key


def attach(db: Connection, record_type: str, record_id: str, name: str, upload: t.Any) -> None:
    """Store the file, replace what was attached under that name."""
    key = random_text(28).lower()
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(upload.data)
    purge(db, record_type, record_id, name)
    with db.transaction():
        checksum = base64.b64encode(hashlib.md5(upload.data, usedforsecurity=False).digest()).decode()
        blob = db.one(
            """INSERT INTO active_storage_blobs (key, filename, content_type, metadata, service_name, byte_size, checksum, created_at)
            VALUES (%s, %s, %s, '{"identified":true}', 'local', %s, %s, %s) RETURNING id""",
            key,
            upload.filename,
            upload.content_type,
            len(upload.data),
            checksum,
            now(),
        )
        assert blob is not None
        db.execute(
            """INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at) VALUES (%s, %s, %s, %s, %s)""",
            [name, record_type, record_id, blob["id"], now()],
        )


def purge(db: Connection, record_type: str, record_id: str, name: str) -> None:
    """Forget the attachment and its file."""
    for blob in db.all(
        """SELECT b.id, b.key, a.id AS attachment FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id
            WHERE a.record_type = %s AND a.record_id = %s AND a.name = %s""",
        record_type,
        record_id,
        name,
    ):
        db.execute("DELETE FROM active_storage_attachments WHERE id = %s", [blob["attachment"]])
        db.execute("DELETE FROM active_storage_blobs WHERE id = %s", [blob["id"]])
        _path(blob["key"]).unlink(missing_ok=True)


def read(blob: Row) -> bytes | None:
    """The file's content; None when it is gone."""
    path = _path(blob["key"])
    return path.read_bytes() if path.is_file() else None
