# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the Docker daemon as this collection uses it.

Reading goes straight to the daemon's API, writing through the Docker SDK: importing the SDK takes longer than all reading
together, and most runs find nothing to write.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TIMEOUT = 120.0
SUFFIXES = (".next", ".rehearsal", ".previous", "-redis")
"""What follows the name of an instance's container in the names of its other ones."""


class ContainerError(CoopError):
    """A failure with the container's last log lines, secrets masked."""

    def __init__(self, message: str, log: list[str] | None = None) -> None:
        super().__init__(message)
        self.log = log or []


class MissingSdk(CoopError):
    """The Docker SDK for Python is not there, or too old."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """A Docker daemon at `unix:///path` or `tcp://host:port`."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("unix", "tcp", "http") or not (parts.path if parts.scheme == "unix" else parts.netloc):
            raise CoopError(f"docker_host '{address}' is neither unix:///path nor tcp://host:port")
        self.address = address
        self.socket = parts.path if parts.scheme == "unix" else None
        self._netloc = parts.netloc
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: Any) -> Any:
        """What the daemon answers to a GET, parsed; None when there is no such thing (404). Raises ContainerError."""
        if query:
            path += "?" + urlencode({key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()})
        for fresh in (self._connection is None, True):
            try:
                if fresh:
                    self.close()
                    self._connection = (
                        _UnixConnection(self.socket) if self.socket else http.client.HTTPConnection(self._netloc, timeout=TIMEOUT)
                    )
                connection = self._connection
                connection.request("GET", path)
                response = connection.getresponse()
                status, body = response.status, response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh:
                    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                    raise ContainerError(f"Docker does not answer on {self.address} ({why}); see systemctl status docker") from error
        if status == 404:
            return None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"message": body[:200].decode("utf-8", "replace")}
        if status >= 400:
            raise ContainerError(why(f"Docker on {self.address}", str(answer.get("message") or status)))
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        return _UnixConnection(self.socket) if self.socket else http.client.HTTPConnection(self._netloc, timeout=TIMEOUT)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def containers(self, **filters: str) -> list[dict[str, Any]]:
        """A line for every container, running or not."""
        return self.get("/containers/json", all="1", filters={key: [value] for key, value in filters.items()})

    def ids_of(self, container: str) -> list[str]:
        """Ids of an instance's containers, by the name of its first: that one, its Redis, and what replacements leave."""
        pattern = rf"^/?{re.escape(container)}({'|'.join(map(re.escape, SUFFIXES))})?$"
        return [row["Id"] for row in self.containers(name=pattern)]

    def container(self, name: str) -> dict[str, Any] | None:
        return self.get(f"/containers/{quote(name, safe='')}/json")

    def network(self, name: str) -> dict[str, Any] | None:
        return self.get(f"/networks/{quote(name, safe='')}")

    def volume(self, name: str) -> dict[str, Any] | None:
        return self.get(f"/volumes/{quote(name, safe='')}")

    def image(self, name: str) -> dict[str, Any] | None:
        return self.get(f"/images/{quote(name, safe='/:@')}/json")

    def info(self) -> dict[str, Any]:
        return self.get("/info")

    def registry_digest(self, name: str) -> str:
        """What an image's name stands for in its registry at this moment. Downloads nothing. Raises ContainerError."""
        with explained(f"image {name}"):
            return self.sdk.inspect_distribution(name)["Descriptor"]["digest"]

    @cached_property
    def sdk(self) -> Any:
        """The SDK's low-level client. Raises MissingSdk."""
        try:
            import docker
            import docker.errors
        except ImportError as error:
            raise MissingSdk(str(error)) from error
        if int(docker.__version__.split(".")[0]) < 5:
            raise MissingSdk(f"the Docker SDK for Python on this host is {docker.__version__}; 5.0.0 or newer is needed")
        with explained(f"Docker on {self.address}"):
            return docker.APIClient(base_url=self.address, version="auto", timeout=int(TIMEOUT))


@contextmanager
def explained(subject: str) -> Iterator[None]:
    """The SDK's errors as one clear line that begins with the subject."""
    try:
        yield
    except CoopError:
        raise
    except Exception as error:
        import docker.errors
        import requests.exceptions

        if isinstance(error, docker.errors.APIError):
            raise ContainerError(why(subject, str(error.explanation or error))) from error
        if isinstance(error, (requests.exceptions.RequestException, docker.errors.DockerException)):
            raise ContainerError(f"{subject}: Docker stopped answering ({type(error).__name__}); see systemctl status docker") from error
        raise


_FULL = r"no space left on device"
_NO_IMAGE = r"no such image|manifest unknown|repository does not exist|pull access denied|manifest for .* not found"
_UNREACHABLE = r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|Client.Timeout"
_NO_NETWORK = r"non-overlapping IPv4 address pool|predefined address pools have been fully subnetted"


def why(subject: str, text: str) -> str:
    """What Docker complains about, and what to do where that is known."""
    line = " ".join(str(text).split())
    if re.search(_FULL, line, re.IGNORECASE):
        return f"{subject}: the disk of Docker is full; free space (docker system df shows what takes it), then run again"
    if re.search(_NO_IMAGE, line, re.IGNORECASE):
        return f"{subject}: no such image, on this host or in its registry ({line[:200]})"
    if subject.startswith("image") and re.search(_UNREACHABLE, line):
        return f"{subject}: its registry cannot be reached ({line[:200]})"
    if re.search(_NO_NETWORK, line):
        return f"{subject}: Docker has no free network left; role container_host gives it more (container_host_instance_network_size)"
    return f"{subject}: {line[:400]}"


def variables(container_or_image: Mapping[str, Any] | None) -> dict[str, str]:
    """The environment of an inspected container or image."""
    return dict(entry.partition("=")[::2] for entry in ((container_or_image or {}).get("Config") or {}).get("Env") or [])
