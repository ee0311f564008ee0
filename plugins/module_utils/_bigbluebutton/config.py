# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the configuration files that BigBlueButton leaves to its operators (docs/administration/customize.md).

observe() reads them and the packages' own files, diff() makes one plan of all, apply() writes it. Nothing is restarted here: the plan says
which units read what is new. A file that is newer than the unit that reads it counts too, so that a run which was killed between writing
and restarting is noticed by the next.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import grp
import hashlib
import os
import re
import stat
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import assignments, hocon, host, properties, turn, yaml_file
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

DIRECTORY = "/etc/bigbluebutton"
GROUP = "bigbluebutton"
FORMATS = "/usr/local/bigbluebutton/core/scripts/process"
MASK = "********"
SECRET_NAME = re.compile(r"(?:secret|salt|password|passphrase)$", re.IGNORECASE)
CRON_NAMES = ("history", "unrecorded_days", "published_days", "log_history")
"""All that /etc/cron.daily/bigbluebutton takes from its file (docs/administration/customize.md)."""
HARMLESS = ("bbb-rap-resque-worker", "bbb-webhooks")
"""Units whose restart no meeting notices."""
_SUFFIX = ".meet-coop-new"


@dataclass(frozen=True)
class File:
    """One file: its kind, where it lies, the package's file that knows all its keys, who reads it, and how it is to be owned."""

    section: str
    kind: str
    path: str
    package: str = ""
    unit: str = ""
    mode: int = 0o640
    group: str = GROUP
    required: bool = False
    """Whether the package makes it, so that one that is missing is damage."""


_SCRIPTS = "/usr/local/bigbluebutton/core/scripts"
FILES: dict[str, File] = {
    file.section: file
    for file in (
        File("web", "properties", f"{DIRECTORY}/bbb-web.properties", "/usr/share/bbb-web/WEB-INF/classes/bigbluebutton.properties",
             "bbb-web"),
        # Read by bbb-apps-akka: client.clientSettingsOverrideFilePath in its application.conf.
        File("html5", "yaml", f"{DIRECTORY}/bbb-html5.yml", "/usr/share/bigbluebutton/html5-client/private/config/settings.yml",
             "bbb-apps-akka"),
        File("apps_akka", "hocon", f"{DIRECTORY}/bbb-apps-akka.conf", "/usr/share/bbb-apps-akka/conf/application.conf", "bbb-apps-akka",
             required=True),
        File("fsesl_akka", "hocon", f"{DIRECTORY}/bbb-fsesl-akka.conf", "/usr/share/bbb-fsesl-akka/conf/application.conf",
             "bbb-fsesl-akka", required=True),
        File("webrtc_sfu", "yaml", f"{DIRECTORY}/bbb-webrtc-sfu/production.yml",
             "/usr/local/bigbluebutton/bbb-webrtc-sfu/config/default.yml", "bbb-webrtc-sfu"),
        File("webrtc_recorder", "yaml", f"{DIRECTORY}/bbb-webrtc-recorder.yml", "/etc/bbb-webrtc-recorder/bbb-webrtc-recorder.yml",
             "bbb-webrtc-recorder"),
        File("graphql_middleware", "yaml", f"{DIRECTORY}/bbb-graphql-middleware.yml", "/usr/share/bbb-graphql-middleware/config.yml",
             "bbb-graphql-middleware"),
        File("webhooks", "yaml", f"{DIRECTORY}/bbb-webhooks/production.yml", "/usr/local/bigbluebutton/bbb-webhooks/config/default.yml",
             "bbb-webhooks"),
        File("recording", "yaml", f"{DIRECTORY}/recording/recording.yml", f"{_SCRIPTS}/bigbluebutton.yml", "bbb-rap-resque-worker"),
        File("presentation", "yaml", f"{DIRECTORY}/recording/presentation.yml", f"{_SCRIPTS}/presentation.yml", "bbb-rap-resque-worker"),
        File("video", "yaml", f"{DIRECTORY}/recording/video.yml", f"{_SCRIPTS}/video.yml", "bbb-rap-resque-worker"),
        File("cron", "assignments", "/etc/default/bigbluebutton-cron-config", mode=0o644, group="root"),
        File("turn", "turn", f"{DIRECTORY}/turn-stun-servers.xml", unit="bbb-web"),
        # Run by every start by bbb-conf, before the units.
        File("apply_config", "script", f"{DIRECTORY}/bbb-conf/apply-config.sh", unit=host.TARGET, mode=0o750),
    )
}  # fmt: skip
SETTINGS = tuple(name for name, file in FILES.items() if file.kind in ("properties", "yaml", "hocon"))
"""Sections that take a mapping of settings and have a package's file to hold them to."""


@dataclass(frozen=True)
class Wanted:
    """What is asked. ``sections`` has nested mappings by section, in which None takes a setting away; ``secrets`` has dotted names
    that begin with the section. What is not named stays as it is."""

    server_url: str | None = None
    secret: str | None = None
    sections: Mapping[str, Mapping[str, t.Any]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] | None = None
    servers: turn.Servers | None = None
    cron: Mapping[str, int | None] = field(default_factory=dict)
    apply_config: str | None = None
    also_known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """A file on the disk; ``text`` is None when there is none. ``mode`` and ``group`` are its own, ``changed`` its time (Unix, seconds)."""

    text: str | None = None
    mode: int = 0
    owner: int = -1
    group: int = -1
    changed: float = 0.0


@dataclass(frozen=True)
class Observed:
    """A host: its release, its files and those of the packages by section, leftovers of a killed run, units and recording formats."""

    release: str
    files: dict[str, Found]
    packages: dict[str, str | None]
    leftovers: tuple[str, ...]
    units: dict[str, host.Unit]
    formats: frozenset[str]
    group: int


@dataclass(frozen=True)
class Change:
    """One setting: section and name as the user writes them, before and after as text."""

    section: str
    name: str
    before: str
    after: str


@dataclass
class Plan:
    """What is to be written, file by file, and what has to be restarted for it, with the reasons."""

    texts: dict[str, str] = field(default_factory=dict)
    doors: list[str] = field(default_factory=list)
    leftovers: tuple[str, ...] = ()
    changes: list[Change] = field(default_factory=list)
    restarts: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.texts or self.doors or self.leftovers)

    @property
    def cuts_meetings(self) -> bool:
        """Whether people would notice the restarts."""
        return any(unit not in HARMLESS for unit in self.restarts)


# --- observe ----------------------------------------------------------------------------------------------------------


def observe(root: str = "/", units: t.Callable[[t.Iterable[str]], dict[str, host.Unit]] = host.units) -> Observed:
    """Everything that diff() needs, below ``root``. Raises CoopError when BigBlueButton is not installed."""
    release = host.release(_at(root, host.RELEASE_FILE))
    if release is None:
        raise CoopError(f"BigBlueButton is not installed here ({host.RELEASE_FILE} is missing); install it first, with role bbb_node")
    try:
        group = grp.getgrnam(GROUP).gr_gid if root == "/" else os.getegid()
    except KeyError:
        raise CoopError(f"this host has no group {GROUP}, which BigBlueButton's packages make; install it first") from None
    files = {name: _read(_at(root, file.path)) for name, file in FILES.items()}
    packages = {name: _read(_at(root, file.package)).text for name, file in FILES.items() if file.package}
    formats = [name[:-3] for name in _list(_at(root, FORMATS)) if name.endswith(".rb")]
    leftovers = [file.path + _SUFFIX for file in FILES.values() if os.path.lexists(_at(root, file.path + _SUFFIX))]
    known = units(sorted({file.unit for file in FILES.values() if file.unit}))
    return Observed(release, files, packages, tuple(leftovers), known, frozenset(formats), group)


def _read(path: str) -> Found:
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CoopError(f"{path} is not a regular file; remove whatever stands there")
            return Found(stream.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return Found()
    except UnicodeDecodeError:
        raise CoopError(f"{path} is not written in UTF-8; convert it, for example with iconv") from None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error


# --- diff -------------------------------------------------------------------------------------------------------------


def diff(observed: Observed, wanted: Wanted) -> Plan:
    """One plan for all files. Raises CoopError for a setting this release does not know, and for values that cannot be."""
    plan = Plan(leftovers=observed.leftovers)
    for section, settings in _settings(observed, wanted).items():
        _merge(plan, observed, FILES[section], settings, wanted.also_known)
    if wanted.cron:
        _cron(plan, observed, wanted.cron)
    if wanted.servers is not None:
        _turn(plan, observed, wanted.servers)
    if wanted.apply_config is not None:
        _script(plan, observed, wanted.apply_config)
    for section in dict.fromkeys((*plan.texts, *_named(wanted))):
        file, found = FILES[section], observed.files[section]
        right = (file.mode, *_owner(file, observed))
        if section not in plan.texts and found.text is not None and (found.mode, found.owner, found.group) != right:
            plan.doors.append(section)
    for change in plan.changes:
        unit = FILES[change.section].unit
        if unit in observed.units:
            plan.restarts.setdefault(unit, []).append(f"{change.section}.{change.name}" if change.name else change.section)
    for section, file in FILES.items():
        unit_state, found = observed.units.get(file.unit), observed.files[section]
        if section in plan.texts or found.text is None or unit_state is None or unit_state.since is None:
            continue
        if found.changed > unit_state.since:
            plan.restarts.setdefault(file.unit, []).append(f"{file.path} is newer than its start")
    return plan


def _named(wanted: Wanted) -> Iterator[str]:
    """Sections whose files are looked after, changed or not."""
    yield from (section for section, settings in wanted.sections.items() if settings)
    yield from (name.partition(".")[0] for name in wanted.secrets)
    if wanted.secret or wanted.server_url:
        yield from ("web", "apps_akka")
    yield from (("apply_config",) if wanted.apply_config is not None else ())
    yield from (("turn",) if wanted.servers is not None else ())


def _settings(observed: Observed, wanted: Wanted) -> dict[str, dict[str, t.Any]]:
    """All settings by section, with those that are repeated in several files. Raises CoopError."""
    result: dict[str, dict[str, t.Any]] = {}
    for section, settings in wanted.sections.items():
        for path in _leaves(settings, section):
            if SECRET_NAME.search(path[-1]) and _lookup(settings, path) not in (None, ""):
                raise CoopError(f"{section}.{'.'.join(path)} looks like a secret and would be logged; write it below secret_values, "
                                f"as {section}.{'.'.join(path)}")  # fmt: skip
        result[section] = _kept(settings)
    repeated: list[tuple[str, t.Any]] = []
    if wanted.secret is not None:
        if not re.fullmatch(r"[A-Za-z0-9]{16,}", wanted.secret):
            raise CoopError("secret is no secret of a BigBlueButton server; use 16 or more letters and digits, since shell scripts read it")
        repeated += [("web.securitySalt", wanted.secret), ("apps_akka.services.sharedSecret", wanted.secret)]
        if observed.packages["webhooks"] is not None:
            repeated.append(("webhooks.bbb.sharedSecret", wanted.secret))
    if wanted.server_url is not None:
        parts = urlsplit(wanted.server_url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise CoopError(f"server_url is {wanted.server_url}; write https:// and the server's name, such as https://bbb1.example.org")
        base = f"https://{parts.netloc}"
        repeated += [("web.bigbluebutton.web.serverURL", base), ("apps_akka.services.bbbWebAPI", f"{base}/bigbluebutton/api")]
        if observed.packages["recording"] is not None:
            repeated += [("recording.playback_host", parts.netloc), ("recording.playback_protocol", "https")]
        if observed.packages["webhooks"] is not None:
            repeated.append(("webhooks.bbb.serverDomain", parts.netloc))
    for name, value in (*repeated, *wanted.secrets.items()):
        section, _dot, rest = name.partition(".")
        if section not in SETTINGS or not rest:
            raise CoopError(f"secret_values names {name}; begin with one of {', '.join(SETTINGS)} and a dot")
        here = result.setdefault(section, {})
        path = (rest,) if FILES[section].kind == "properties" else tuple(rest.split("."))
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise CoopError(f"{name} lies below {part}, for which another value is asked; leave one of them out")
        if path[-1] in here and here[path[-1]] != value:
            raise CoopError(f"{name} is given twice with different values; leave it out of {section}, or server_url and secret out")
        here[path[-1]] = value
    if wanted.formats is not None:
        missing = [name for name in wanted.formats if name not in observed.formats]
        if missing:
            there = ", ".join(sorted(observed.formats)) or "none"
            raise CoopError(f"recording_formats has {', '.join(missing)}, for which nothing is installed; install "
                            f"bbb-playback-{missing[0]}, or choose from {there}")  # fmt: skip
        own = yaml_file.parse(observed.files["recording"].text or "", FILES["recording"].path).get("steps")
        former: dict[str, t.Any] = dict.fromkeys(own) if isinstance(own, dict) else {}
        result.setdefault("recording", {})["steps"] = {**former, **steps(wanted.formats)}
    return result


def _kept(settings: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A copy in which None is still there: it is an order."""
    return {key: _kept(value) if isinstance(value, dict) else value for key, value in settings.items()}


def steps(formats: t.Sequence[str]) -> dict[str, t.Any]:
    """The order of work on a recording (docs/administration/customize.md, "Enable generating mp4"): captions, then each format."""
    found: dict[str, t.Any] = {"archive": "sanity", "sanity": "captions"}
    if formats:
        found["captions"] = [f"process:{name}" for name in formats]
    found.update({f"process:{name}": f"publish:{name}" for name in formats})
    return found


def _merge(plan: Plan, observed: Observed, file: File, settings: Mapping[str, t.Any], also_known: frozenset[str]) -> None:
    if not settings:
        return
    package = observed.packages[file.section]
    if package is None:
        raise CoopError(f"{file.section}: this host has no {file.package}, so its package is missing or names its file differently; "
                        f"install it, or leave {file.section} out")  # fmt: skip
    found = observed.files[file.section]
    if found.text is None and file.required:
        raise CoopError(f"{file.path} is missing, which its package makes; reinstall the package")
    text = found.text or ""
    if file.kind == "properties":
        known: dict[tuple[str, ...], t.Any] = {(key,): value for key, value in properties.parse(package, file.package).items()}
        known.update({(key,): None for key in properties.commented(package) if (key,) not in known})
        flat = {(key,): value for key, value in settings.items()}
        own: dict[tuple[str, ...], t.Any] = {(key,): value for key, value in properties.parse(text, file.path).items()}
    elif file.kind == "hocon":
        known = hocon.parse(package, file.package)
        flat = {path: _lookup(settings, path) for path in _leaves(settings, file.section)}
        own = hocon.parse(text, file.path)
    else:
        loaded = yaml_file.parse(package, file.package)
        known = {path: _lookup(loaded, path) for path in _paths(loaded)}
        flat = {path: _lookup(settings, path) for path in _leaves(settings, file.section)}
        mine = yaml_file.parse(text, file.path)
        own = {path: _lookup(mine, path) for path in _paths(mine)}
    # A list of steps and the like is replaced as a whole, and its names are its own.
    for path, value in flat.items():
        if value is not None:
            _check(observed, file, path, value, known, also_known)
    strange = [path for path, value in own.items() if path not in flat and value != {} and not _open(path, known)]
    stale = sorted(name for name in map(".".join, strange) if f"{file.section}.{name}" not in also_known)
    if stale:
        plan.warnings.append(f"{file.path} has {', '.join(stale)}, which BigBlueButton {observed.release} does not know; it is left there")
    if file.kind == "properties":
        words = {path[0]: None if value is None else _word(value) for path, value in flat.items()}
        after = properties.merge(text, words, file.path)
        flat = {(key,): value for key, value in words.items()}
    elif file.kind == "hocon":
        after = hocon.merge(text, flat, file.path)
    else:
        after = yaml_file.merge(text, settings, file.path)
    for path, value in flat.items():
        before = own.get(path)
        if not yaml_file.same(before, value) and not (path not in own and value is None):
            _note(plan, file, ".".join(path), _shown(before), _shown(value), bool(SECRET_NAME.search(path[-1])))
    if after != text:
        plan.texts[file.section] = after


def _check(
    observed: Observed, file: File, path: tuple[str, ...], value: t.Any, known: Mapping[tuple[str, ...], t.Any], also_known: frozenset[str]
) -> None:
    name = ".".join(path)
    if f"{file.section}.{name}" in also_known:
        return
    if not _open(path, known):
        names = [".".join(one) for one in known]
        near = difflib.get_close_matches(name, names, 1, 0.6)
        if not near:
            # Perhaps the right name in the wrong place.
            near = [one for one in names if one.rpartition(".")[2].lower() == path[-1].lower()][:1]
        hint = f"did you mean {near[0]}?" if near else "see that file for those there are"
        raise CoopError(f"{file.section}.{name} is no setting of BigBlueButton {observed.release} ({file.package} has none of this name); "
                        f"{hint} If it is right nevertheless, name it in also_known")  # fmt: skip
    there = known.get(path)
    if file.kind == "properties" and isinstance(there, str):
        there = {"true": True, "false": False}.get(there, int(there) if re.fullmatch(r"-?[0-9]{1,9}", there) else there)
        value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value) and isinstance(there, int) and not isinstance(there, bool):
        value = int(value)
    kinds = (("true or false", bool), ("a number", (int, float)), ("a list", list), ("a section of settings", dict))
    for what, kind in kinds:
        if isinstance(there, kind) and not (what == "a number" and isinstance(there, bool)):
            good = isinstance(value, kind) and not (what == "a number" and isinstance(value, bool))
            if not good and not (what == "a list" and file.kind == "properties"):
                raise CoopError(f"{file.section}.{name} is {value!r}, and the package's own value is {what} ({there!r}); write such a one")
            return


def _open(path: tuple[str, ...], known: Mapping[tuple[str, ...], t.Any]) -> bool:
    """Whether a package's file has this path, or leaves open what stands at it (an empty section, or nothing, above it)."""
    if path in known:
        return True
    above = [path[:length] for length in range(1, len(path)) if path[:length] in known]
    if above == [("steps",)]:
        # Its names are those of recording formats.
        return True
    return any(known[one] in (None, {}) and not any(len(other) > len(one) and other[: len(one)] == one for other in known) for one in above)


def _cron(plan: Plan, observed: Observed, wanted: Mapping[str, int | None]) -> None:
    file = FILES["cron"]
    for name, value in wanted.items():
        if name not in CRON_NAMES:
            near = difflib.get_close_matches(name, CRON_NAMES, 1, 0.5)
            raise CoopError(f"cron.{name} is unknown to {file.path}; {'did you mean ' + near[0] + '?' if near else 'it takes '}"
                            f"{'' if near else ', '.join(CRON_NAMES)}")  # fmt: skip
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise CoopError(f"cron.{name} is {value!r}; write a number of days, 0 or more")
    text = observed.files["cron"].text or ""
    own = assignments.parse(text)
    words = {name: None if value is None else str(value) for name, value in wanted.items()}
    for name, word in words.items():
        if own.get(name) != word:
            _note(plan, file, name, own.get(name, ""), word or "", False)
    after = assignments.merge(text, words)
    if after != text:
        plan.texts["cron"] = after


def _turn(plan: Plan, observed: Observed, wanted: turn.Servers) -> None:
    for url, kinds in ((*((one, ("stun:", "stuns:")) for one in wanted.stun), *((one.url, ("turn:", "turns:")) for one in wanted.turn))):
        if not url.startswith(kinds):
            raise CoopError(f"{url} is no {kinds[0]} URL; write one such as {kinds[1]}turn.example.org:443")
    for one in wanted.turn:
        if one.ttl < 60:
            raise CoopError(f"ttl of {one.url} is {one.ttl}; write seconds, 60 or more")
    file, text = FILES["turn"], observed.files["turn"].text
    before = turn.parse(text, file.path) if text is not None else None
    if before == wanted:
        return

    def shown(servers: turn.Servers | None) -> str:
        if servers is None:
            return ""
        return ", ".join((*servers.stun, *(f"{one.url} ({one.ttl} s)" for one in servers.turn)))

    change = Change("turn", "", shown(before), shown(wanted))
    if change.before == change.after:
        change = Change("turn", "", f"{change.before} with secret {MASK} (old)", f"{change.after} with secret {MASK} (new)")
    plan.changes.append(change)
    plan.texts["turn"] = turn.render(wanted)


def _script(plan: Plan, observed: Observed, wanted: str) -> None:
    if not wanted.startswith("#!"):
        raise CoopError("apply_config has no first line such as #!/bin/bash; bbb-conf runs it as a program")
    text = wanted if wanted.endswith("\n") else wanted + "\n"
    before = observed.files["apply_config"].text
    if before == text:
        return
    _note(plan, FILES["apply_config"], "", _digest(before), _digest(text), False)
    plan.texts["apply_config"] = text


def _digest(text: str | None) -> str:
    return "" if text is None else f"{text.count(chr(10))} lines, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _note(plan: Plan, file: File, name: str, before: str, after: str, secret: bool) -> None:
    if secret:
        before, after = (f"{MASK} ({age})" if text else "" for text, age in ((before, "old"), (after, "new")))
    plan.changes.append(Change(file.section, name, before, after))


def _leaves(settings: Mapping[str, t.Any], section: str, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in settings.items():
        path = (*prefix, str(key))
        if isinstance(value, dict) and value and FILES[section].kind != "properties":
            yield from _leaves(value, section, path)
        elif isinstance(value, dict) and FILES[section].kind != "yaml":
            raise CoopError(f"{section}.{'.'.join(path)} is a mapping; write one value")
        else:
            yield path


def _paths(settings: Mapping[str, t.Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in settings.items():
        yield (*prefix, str(key))
        if isinstance(value, dict):
            yield from _paths(value, (*prefix, str(key)))


def _lookup(settings: t.Any, path: tuple[str, ...]) -> t.Any:
    for part in path:
        settings = next((value for key, value in settings.items() if str(key) == part), None)
    return settings


def _word(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_word, value))
    return str(value)


def _shown(value: t.Any) -> str:
    return "" if value is None else _word(value) if not isinstance(value, dict) else str(value)


# --- apply ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(root: str = "/") -> Iterator[None]:
    """One writer at a time."""
    try:
        handle = os.open(_at(root, DIRECTORY), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CoopError(f"{DIRECTORY} cannot be opened: {error.strerror}; is BigBlueButton installed?") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def apply(plan: Plan, observed: Observed, root: str = "/") -> None:
    """Carry the plan out. Each file is replaced in one step; a run that is killed between two is gone on with by the next. No copy of what
    was there before is kept: it may hold a secret, and all but what was asked is still in the new one."""
    try:
        for path in plan.leftovers:
            os.unlink(_at(root, path))
        for section in plan.doors:
            file = FILES[section]
            os.chown(_at(root, file.path), *_owner(file, observed))
            os.chmod(_at(root, file.path), file.mode)
        for section, text in plan.texts.items():
            _write(FILES[section], text, observed, root)
    except OSError as error:
        where = error.filename or DIRECTORY
        raise CoopError(f"{where} cannot be written: {error.strerror}; what stood there before is untouched") from error


def _write(file: File, text: str, observed: Observed, root: str) -> None:
    path = _at(root, file.path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + _SUFFIX)
    handle = os.open(path + _SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fchown(stream.fileno(), *_owner(file, observed))
        os.fchmod(stream.fileno(), file.mode)
        os.fsync(stream.fileno())
    os.replace(path + _SUFFIX, path)


def _owner(file: File, observed: Observed) -> tuple[int, int]:
    return os.geteuid(), (observed.group if file.group == GROUP else os.getegid())


def _at(root: str, path: str) -> str:
    return os.path.join(root, path.lstrip("/"))


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
