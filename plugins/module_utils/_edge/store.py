# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the running Caddy and the file it starts from, kept equal.

Changes go to the running Caddy first, which refuses what it can't serve; then its whole configuration is written to the file, by
rename, under a lock. A run killed in between is seen by the next one: the file lacks what the running configuration has.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._edge.admin import Admin, AdminUnreachable, ConfigChanged
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

STORE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "admin": {"type": "str", "default": "/run/caddy/admin.sock"},
    "config_file": {"type": "path", "default": "/etc/caddy/edge.json"},
}
"""Argument spec of where Caddy's configuration is, running and kept."""
TRIES = 10
"""How often a change is planned anew when somebody else changes the configuration meanwhile."""


class Store:
    """Caddy at C(admin), starting from C(path)."""

    def __init__(self, admin: str, path: str) -> None:
        self.admin = Admin(admin)
        self.path = path

    def running(self) -> tuple[dict[str, Any] | None, str]:
        """The running configuration and its ETag. Raises AdminUnreachable."""
        return self.admin.get("/config/")

    def saved(self) -> dict[str, Any] | None:
        """What Caddy would start from; None when there is no file, or none that can be read as configuration."""
        try:
            with open(self.path, encoding="utf-8") as file:
                found = json.load(file)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            raise CoopError(f"{self.path} can't be read: {error.strerror}") from error
        return found if isinstance(found, dict) else None

    def observe(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """(running, saved); running is None where Caddy doesn't answer or has no configuration."""
        try:
            running = self.running()[0]
        except AdminUnreachable:
            running = None
        return running, self.saved()

    def change(self, path: str, plan: Callable[[Any], Any]) -> None:
        """Replace the value at a path of the running configuration by plan(value), unless that is None; then save.

        Raises AdminUnreachable, AdminRefused (the old configuration stays), CoopError.
        """
        with self._lock() as handle:
            for _attempt in range(TRIES):
                current, etag = self.admin.get(path)
                wanted = plan(current)
                if wanted is None:
                    break
                try:
                    self.admin.send("POST" if path == "/config/" else "PATCH", path, wanted, etag=etag)
                except ConfigChanged:
                    continue
                os.utime(handle)
                break
            else:
                raise CoopError(f"Caddy's configuration changed {TRIES} times while being updated: find out who else writes it")
            running = self.running()[0]
            if running is not None and running != self.saved():
                self.save(running)

    def save(self, config: Mapping[str, Any]) -> None:
        """Write the file by rename: root's, readable by Caddy's group."""
        directory = os.path.dirname(self.path)
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(prefix=".edge-", dir=directory)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(config, file, indent=1, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
                with contextlib.suppress(KeyError, PermissionError):
                    os.fchown(file.fileno(), -1, grp.getgrnam("caddy").gr_gid)
                os.fchmod(file.fileno(), 0o640)
            os.rename(temporary, self.path)
        except OSError as error:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise CoopError(
                f"{self.path} can't be written ({error.strerror}): Caddy serves the change now, but would forget it at a restart; run again"
            ) from error

    def locked_save(self, config: Mapping[str, Any]) -> None:
        with self._lock():
            self.save(config)

    def restart_attempts(self, failed_at: float) -> None:
        """Load the running configuration again, so that Caddy asks for missing certificates at once instead of after its pause.

        Not when it was loaded by any run since the Unix time given: each load starts attempts anew, and breaks off those under way.
        """
        with self._lock() as handle:
            if os.fstat(handle).st_mtime > failed_at:
                return
            config, etag = self.running()
            if config is not None:
                with contextlib.suppress(ConfigChanged):
                    self.admin.send("POST", "/config/", config, etag=etag, force=True)
                os.utime(handle)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """One writer at a time among the modules on this host. The file's time of change is when the configuration was last loaded."""
        name = os.path.join(os.path.dirname(self.path), ".edge.lock")
        try:
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CoopError(f"{name} can't be opened ({error.strerror}): role edge prepares this directory") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)
