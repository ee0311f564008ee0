# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a member's image of Greenlight, made from upstream's image and a folder of overrides.

The image's tag is made from the upstream image's digest and the overrides' hash, so that the same wish always has the same name: what is
there under it needs no second build. The build runs in a container without network: it copies the changed files in, compiles the assets
as Greenlight's start script would, and commits the result. No Dockerfile and no BuildKit is involved. The name is given last, so that a
killed build leaves nothing but its container, which the next run finds by name and removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import image_overrides, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, explained, variables, why

RECIPE = 1
"""Goes up whenever the same upstream image and overrides shall give another image than before."""
LOCKS = "/run/meet-coop-images"
LABEL_NAME = "coop.meet.image"
LABEL_RECIPE = "coop.meet.image.recipe"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"
TITLE = "org.opencontainers.image.title"
"""Annotations of the OCI image format (opencontainers/image-spec annotations.md). C(created) is left out: the same wish gives the same."""
PREBUILT = {"SKIP_YARN_INSTALL": "1", "SKIP_JS_BUILD": "1", "SKIP_CSS_BUILD": "1"}
"""Starts of the image install nothing and compile no script (rails/jsbundling-rails lib/tasks/jsbundling/build.rake, cssbundling-rails)."""
ROOT = "/usr/src/app"
MODIFIED = 1_767_225_600
"""Time of the files copied in, in seconds since 1970: always the same, so that their layer does not depend on the clock."""
BUILD = """set -e
cd "$RAILS_ROOT"
export SECRET_KEY_BASE_DUMMY=1 SKIP_YARN_INSTALL=1
rails assets:precompile
ls public/assets/.sprockets-manifest-*.json >/dev/null
"""
"""The same step as in Greenlight's bin/start. Rails takes SECRET_KEY_BASE_DUMMY for a build (railties 7.1 and later); yarn has nothing to
install, for the image has its modules (Dockerfile). Sprockets writes its manifest last. Its cache stays, for a start looks at every asset
again."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_REPOSITORY = re.compile(r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


@dataclass(frozen=True)
class Spec:
    """The image as it should be."""

    name: str
    upstream: str
    content: Mapping[str, Any]
    repository: str
    pull: str = "missing"
    push: bool = False
    #: User name and password at the registry of the repository.
    login: Mapping[str, str] | None = field(default=None, repr=False)
    source: str = ""
    #: The instance whose running container is asked what it lacks.
    instance: str | None = None
    #: Seconds that compiling the assets may take.
    timeout: int = 900
    #: Bytes of memory for it.
    memory: int = 2 * 1024**3
    #: How many earlier images of the fork stay that no container uses, the newest first.
    keep: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise CoopError(
                f"name '{self.name}' is no name of an image: lower-case letters, digits and inner hyphens, at most 63 characters"
            )
        if not _REPOSITORY.fullmatch(self.repository):
            raise CoopError(f"repository '{self.repository}' is no name without a tag, such as meet-coop/greenlight-{self.name}")
        if self.push and "/" not in self.repository:
            raise CoopError(f"repository '{self.repository}' names no registry to push to; write registry.example/{self.repository}")

    @property
    def build_container(self) -> str:
        return f"greenlight-image-{self.name}.build"

    @property
    def probe_container(self) -> str:
        return f"greenlight-image-{self.name}.probe"

    @property
    def revision(self) -> str:
        return image_overrides.revision(self.content)

    def tag(self, digest: str) -> str:
        """The tag for an upstream image with this digest: its version, and a hash of all that goes in."""
        _repository, version = split(self.upstream)
        total = hashlib.sha256(f"{digest}\n{self.revision}\n{RECIPE}\n".encode()).hexdigest()[:12]
        return f"{version[:100]}-{total}"

    def image(self, digest: str) -> str:
        return f"{self.repository}:{self.tag(digest)}"

    def labels(self, digest: str) -> dict[str, str]:
        """Where the image comes from."""
        title = (self.content.get("title") or {}).get("text")
        return {
            LABEL_NAME: self.name,
            LABEL_RECIPE: str(RECIPE),
            BASE_NAME: self.upstream,
            BASE_DIGEST: digest,
            REVISION: self.revision,
            **({SOURCE: self.source} if self.source else {}),
            **({TITLE: title} if title else {}),
        }


@dataclass(frozen=True)
class Observed:
    """What there is."""

    #: The upstream image on this host; None when it would have to be pulled.
    upstream: Mapping[str, Any] | None
    digest: str
    #: Somebody else's registry has another image under upstream's name now.
    stale: bool
    #: The wanted image on this host.
    built: Mapping[str, Any] | None
    in_registry: bool
    #: Containers that killed runs left.
    leftovers: tuple[str, ...] = ()
    #: The image of the instance's container.
    running: Mapping[str, Any] | None = None
    #: Earlier images of this fork that no container uses, newest first: name and id.
    unused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be done, in words."""

    image: str
    steps: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    pull_upstream: bool = False
    build: bool = False
    pull: bool = False
    push: bool = False
    #: Name and id of each earlier image whose time is over.
    prune: tuple[tuple[str, str], ...] = ()


@dataclass
class Result:
    """What was done and what came of it."""

    image: str
    actions: list[str]
    image_id: str | None
    base_digest: str
    revision: str
    files: list[str]
    behind: list[dict[str, str]]
    before: dict[str, Any]
    after: dict[str, Any]


def split(image: str) -> tuple[str, str]:
    """Repository and tag of an image's name; of a name with a digest, the digest's beginning."""
    name, _at, digest = image.partition("@sha256:")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, ""
    if not tag and not digest:
        raise CoopError(f"upstream '{image}' has no tag; write the version, such as {image}:v3.8.2.4")
    return repository, tag or f"sha256-{digest[:12]}"


# --- Observe --------------------------------------------------------------------------------------------------------


def observe(engine: Engine, spec: Spec) -> Observed:
    """Everything there is. Raises ContainerError."""
    upstream = engine.image(spec.upstream)
    stale = False
    if upstream is None:
        if spec.pull == "never":
            raise ContainerError(
                f"image {spec.upstream} is not on this host and pull is 'never'; load it (docker load) or set pull to 'missing'"
            )
        digest = engine.registry_digest(spec.upstream)
    else:
        digest = digest_of(upstream, spec.upstream)
        if spec.pull == "always" and "@sha256:" not in spec.upstream:
            now = engine.registry_digest(spec.upstream)
            stale, digest = now != digest, now
    image = spec.image(digest)
    built = engine.image(image)
    if built is not None and not made_by(built, spec, digest):
        built = None  # somebody gave our name to something else
    running = None
    if spec.instance:
        container = engine.container(f"greenlight-{spec.instance}")
        running = engine.image(container["Image"]) if container else None
    return Observed(
        upstream=upstream,
        digest=digest,
        stale=stale,
        built=built,
        in_registry=spec.push and _in_registry(engine, image, spec.login),
        leftovers=tuple(name for name in (spec.build_container, spec.probe_container) if engine.container(name)),
        running=running,
        unused=_unused(engine, spec, image),
    )


def _unused(engine: Engine, spec: Spec, wanted: str) -> tuple[tuple[str, str], ...]:
    """The fork's images that are neither wanted nor used by any container, whether it runs or not; newest first."""
    with explained(f"images of {spec.name}"):
        rows = engine.sdk.images(filters={"label": f"{LABEL_NAME}={spec.name}"})
        used = {row["ImageID"] for row in engine.containers()}
    rest = [row for row in rows if row["Id"] not in used and wanted not in (row.get("RepoTags") or [])]
    ordered = sorted(rest, key=lambda row: (-int(row["Created"]), str(row["Id"])))
    return tuple(((row.get("RepoTags") or [row["Id"]])[0], str(row["Id"])) for row in ordered)


def digest_of(image: Mapping[str, Any], name: str) -> str:
    """The digest under which a registry has an image; of one that was never in a registry, its id."""
    repository = split(name)[0]
    known = [entry.rpartition("@") for entry in image.get("RepoDigests") or []]
    ours = [digest for found, _at, digest in known if found == repository]
    return str(sorted(ours or [digest for _found, _at, digest in known] or [image["Id"]])[0])


def made_by(image: Mapping[str, Any], spec: Spec, digest: str) -> bool:
    """Whether an image says of itself that it was made from this."""
    labels = (image.get("Config") or {}).get("Labels") or {}
    wanted = spec.labels(digest)
    return all(labels.get(key) == wanted[key] for key in (LABEL_RECIPE, BASE_DIGEST, REVISION))


def _in_registry(engine: Engine, image: str, login: Mapping[str, str] | None) -> bool:
    with explained(f"image {image}"):
        sdk = engine.sdk
        import docker.errors

        try:
            sdk.inspect_distribution(image, auth_config=dict(login) if login else None)
        except docker.errors.APIError as error:
            # A repository that nobody has pushed to yet is refused as 404, or (docker.io) as 403 "denied".
            if error.status_code == 404 or re.search(r"manifest unknown|not found|name unknown", str(error.explanation), re.IGNORECASE):
                return False
            if error.status_code in (401, 403) or "unauthorized" in str(error.explanation).lower():
                raise ContainerError(f"image {image}: its registry refuses the user name or password; see registry") from error
            raise
    return True


# --- Compare --------------------------------------------------------------------------------------------------------


def diff(spec: Spec, observed: Observed) -> Plan:
    """What is to be done."""
    image = spec.image(observed.digest)
    missing = observed.built is None
    build = missing and not observed.in_registry
    pull_upstream = build and (observed.upstream is None or observed.stale)
    plan = Plan(
        image=image,
        remove=observed.leftovers,
        pull_upstream=pull_upstream,
        build=build,
        pull=missing and observed.in_registry,
        push=spec.push and not observed.in_registry,
        prune=observed.unused[spec.keep :],
    )
    steps = [
        *((True, f"remove container {name}") for name in plan.remove),
        (plan.pull_upstream, f"pull image {spec.upstream}"),
        (plan.build, f"build image {image}"),
        (plan.pull, f"pull image {image}"),
        (plan.push, f"push image {image}"),
        *((True, f"remove image {name}") for name, _id in plan.prune),
    ]
    return replace(plan, steps=tuple(step for wanted, step in steps if wanted))


def behind(spec: Spec, observed: Observed) -> list[dict[str, str]]:
    """What the instance's running container lacks: nothing when it runs the wanted image or does not run."""
    if observed.running is None:
        return []
    labels = (observed.running.get("Config") or {}).get("Labels") or {}
    if LABEL_NAME not in labels:
        return [
            {
                "what": "fork",
                "is": (observed.running.get("RepoTags") or ["an image without name"])[0],
                "wanted": spec.image(observed.digest),
            }
        ]
    found = []
    for what, label in (("version", BASE_NAME), ("upstream", BASE_DIGEST), ("overrides", REVISION), ("recipe", LABEL_RECIPE)):
        wanted = spec.labels(observed.digest)[label]
        if labels.get(label, "") != wanted:
            found.append({"what": what, "is": labels.get(label, ""), "wanted": wanted})
    return found


# --- Do -------------------------------------------------------------------------------------------------------------


def converge(engine: Engine | None, spec: Spec, write: bool) -> Result:
    """Have the image on this host, and in the registry where it shall be; with ``write`` false say what that would take.

    The overrides are held against the upstream image before anything else is done, also when only predicting. Raises ContainerError, and
    OverridesError with one line for each override that does not fit. No engine: a host without Docker yet, only to be predicted.
    """
    if engine is None:
        image = f"{spec.repository}:{split(spec.upstream)[1]}-predicted"
        steps = [f"build image {image}", *([f"push image {image}"] if spec.push else [])]
        return Result(image, steps, None, "", spec.revision, [], [], {"image": None}, {"image": {"name": image}})
    with ports.locked(posixpath.join(LOCKS, spec.name), f"image {spec.name}", spec.timeout + 60) if write else nullcontext():
        observed = observe(engine, spec)
        plan = diff(spec, observed)
        lag = behind(spec, observed)
        files: dict[str, bytes] = {}
        with explained(f"image {plan.image}"):
            for name in plan.remove if write else ():
                engine.sdk.remove_container(name, force=True, v=True)
            if write and plan.pull_upstream:
                _pull(engine, spec.upstream, None)
                _same_digest(engine, spec, observed)
            if plan.build and (write or not plan.pull_upstream):
                files = _build(engine, spec, observed.digest, plan.image, observed.leftovers, write)
            if write and plan.pull:
                _pull(engine, plan.image, spec.login)
            if write and plan.push:
                _push(engine, plan.image, spec.login)
            # Last, and never what a container uses: there is the wanted image now, and one to go back to.
            for _name, one in plan.prune if write else ():
                engine.sdk.remove_image(one, force=True)
        found = engine.image(plan.image) if write or observed.built else None
        if write and (found is None or not made_by(found, spec, observed.digest)):
            raise ContainerError(
                f"image {plan.image} is not what was made a moment ago; somebody else works under this name, choose another"
            )
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if plan.build or plan.pull:
        before["image"] = None
        after["image"] = {"name": plan.image, "labels": spec.labels(observed.digest), **({"files": sorted(files)} if files else {})}
    if plan.push:
        before["registry"], after["registry"] = None, plan.image
    if plan.remove:
        before["leftovers"], after["leftovers"] = list(plan.remove), []
    if plan.prune:
        before["earlier"], after["earlier"] = [name for name, _id in plan.prune], []
    return Result(
        image=plan.image,
        actions=list(plan.steps),
        image_id=found["Id"] if found else None,
        base_digest=observed.digest,
        revision=spec.revision,
        files=sorted(files),
        behind=lag,
        before=before,
        after=after,
    )


def _same_digest(engine: Engine, spec: Spec, observed: Observed) -> None:
    found = engine.image(spec.upstream)
    if found is None or digest_of(found, spec.upstream) != observed.digest:
        raise ContainerError(f"image {spec.upstream} changed in its registry while it was being pulled; run again")


def _pull(engine: Engine, name: str, login: Mapping[str, str] | None) -> None:
    repository, tag = (name, None) if "@" in name else split(name)
    for row in engine.sdk.pull(repository, tag=tag, stream=True, decode=True, auth_config=dict(login) if login else None):
        if row.get("error"):
            raise ContainerError(why(f"image {name}", row["error"]))


def _push(engine: Engine, name: str, login: Mapping[str, str] | None) -> None:
    repository, tag = split(name)
    for row in engine.sdk.push(repository, tag=tag, stream=True, decode=True, auth_config=dict(login) if login else None):
        if row.get("error"):
            raise ContainerError(why(f"image {name}", row["error"]))


@contextmanager
def _container(engine: Engine, spec: Spec, name: str) -> Iterator[str]:
    """A container of the upstream image, not started, without network; removed at the end. Its id."""
    body = {
        "Image": spec.upstream,
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": [BUILD],
        "User": "0",
        "HostConfig": {
            "NetworkMode": "none",
            "Memory": spec.memory,
            "MemorySwap": spec.memory,
            "PidsLimit": 512,
            "SecurityOpt": ["no-new-privileges:true"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        },
    }
    made = engine.sdk.create_container_from_config(body, name)["Id"]
    try:
        yield made
    finally:
        with contextlib.suppress(CoopError), explained("remove"):
            engine.sdk.remove_container(made, force=True, v=True)


def _build(engine: Engine, spec: Spec, digest: str, image: str, leftovers: tuple[str, ...], write: bool) -> dict[str, bytes]:
    """Make the image, or with ``write`` false only see that it can be made. The files that differ from upstream's."""
    base = engine.image(spec.upstream) or {}
    root = variables(base).get("RAILS_ROOT") or (base.get("Config") or {}).get("WorkingDir") or ROOT
    # A prediction has a container of its own: it must not be in the way of a run.
    if not write and spec.probe_container in leftovers:
        engine.sdk.remove_container(spec.probe_container, force=True, v=True)
    with _container(engine, spec, spec.build_container if write else spec.probe_container) as container:
        files = image_overrides.changed_files(spec.content, _upstream(engine, container, root, spec.upstream))
        if write:
            engine.sdk.put_archive(container, root, _archive(files))
            engine.sdk.start(container)
            _finish(engine, container, spec, image)
            _commit(engine, container, spec, digest, image, base)
    return files


def _upstream(engine: Engine, container: str, root: str, image: str) -> image_overrides.Upstream:
    """The files of the image that overrides can concern, read from a container of it."""
    found: dict[str, bytes] = {}
    sdk = engine.sdk
    import docker.errors

    for folder in image_overrides.READ:
        path = posixpath.join(root, folder)
        try:
            stream, _stat = sdk.get_archive(container, path)
        except docker.errors.NotFound as error:
            raise ContainerError(f"image {image} has no {path}; it is no Greenlight 3, see upstream") from error
        buffer = io.BytesIO(b"".join(stream))
        with tarfile.open(fileobj=buffer) as archive:
            for entry in archive:
                below = entry.name.partition("/")[2]
                content = archive.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    found[posixpath.join(folder, below)] = content.read()
    return image_overrides.Upstream(image, frozenset(found), found.__getitem__)


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folders = sorted({parent for path in files for parent in _parents(path) if parent.startswith(image_overrides.OWN.rstrip("/"))})
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, MODIFIED
            archive.addfile(entry)
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, MODIFIED
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _finish(engine: Engine, container: str, spec: Spec, image: str) -> None:
    """Wait until the assets are compiled. Raises ContainerError with the end of what the build said."""
    import requests.exceptions

    try:
        code = engine.sdk.wait(container, timeout=spec.timeout)["StatusCode"]
        said = f"ended with {code}"
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        code, said = 1, f"took more than {spec.timeout} s (timeout)"
    if code:
        log = engine.sdk.logs(container, tail=30).decode("utf-8", "replace").splitlines()
        last = next((line.strip() for line in reversed(log) if line.strip()), "it said nothing")
        raise ContainerError(f"image {image} cannot be built: compiling the assets {said}: {last[:300]}", log)


def _commit(engine: Engine, container: str, spec: Spec, digest: str, image: str, base: Mapping[str, Any]) -> None:
    """Keep the container as an image that starts as upstream's does."""
    repository, tag = split(image)
    config = base.get("Config") or {}
    if not config.get("Entrypoint"):
        raise ContainerError(f"image {spec.upstream} has no entry point; it is no Greenlight 3, see upstream")
    environment = {**variables(base), **PREBUILT}
    engine.sdk.commit(
        container,
        repository=repository,
        tag=tag,
        conf={
            "Entrypoint": config["Entrypoint"],
            "Cmd": config.get("Cmd"),
            "User": config.get("User") or "",
            "WorkingDir": config.get("WorkingDir") or "",
            "ExposedPorts": config.get("ExposedPorts") or {},
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Labels": {**(config.get("Labels") or {}), **spec.labels(digest)},
        },
    )
