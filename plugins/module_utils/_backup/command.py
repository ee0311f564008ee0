# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: C(coop-backup), the door to the backups of a container host that needs no controller."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._backup import config, restic, runs
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

UPKEEP = "upkeep.json"
_DAY = 86400


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 all is well, 1 something failed (a line each on standard error)."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options, config.read(options.config)))
    except CoopError as error:
        sys.stderr.write(f"coop-backup: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coop-backup", description="Backups of the Greenlight instances of this host.")
    parser.add_argument("--config", default=config.PATH, help="the configuration that role backup wrote")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="back up all instances and the host's own files, or only the instances named")
    one.add_argument("instance", nargs="*")
    one.set_defaults(run=_run)
    one = commands.add_parser("list", help="list the snapshots, of all or of one instance")
    one.add_argument("instance", nargs="?")
    one.set_defaults(run=_list)
    one = commands.add_parser("check", help="check the repository, and read a share of it or all")
    one.add_argument("--share", default="100%", help="how much of the data is read, such as 5%%")
    one.set_defaults(run=_check)
    one = commands.add_parser("host", help="bring the host's own files of its newest snapshot back, below a directory")
    one.add_argument("--target", required=True, help="the directory; / puts them where they were")
    one.add_argument("--snapshot", default="latest", help="latest, a time (UTC), or an id")
    one.add_argument("--of", help="the host they were of; this one by default")
    one.set_defaults(run=_restore_host)
    one = commands.add_parser("restic", help="restic itself, with this host's repository and key: coop-backup restic -- snapshots")
    one.add_argument("argument", nargs=argparse.REMAINDER)
    one.set_defaults(run=_restic)
    return parser


def _host(kept: Mapping[str, Any]) -> str:
    return str(kept["host_name"] or platform.node())


def _run(options: argparse.Namespace, kept: Mapping[str, Any]) -> int:
    wanted: dict[str, Any] = dict(kept)
    if options.instance:
        wanted.update(instances=[{"name": name} for name in options.instance], host_paths=[])
    job = runs.job_of(wanted, _host(kept))
    path = os.path.join(job.work, UPKEEP)
    done = _upkeep(path)
    now = int(time.time())
    # An hour less than the days: a timer that comes a minute early does not put it off by a day.
    prune = not options.instance and kept["prune_days"] and now - done.get("pruned", 0) > kept["prune_days"] * _DAY - 3600
    check = not options.instance and kept["check_days"] and now - done.get("checked", 0) > kept["check_days"] * _DAY - 3600
    job = replace(job, prune=bool(prune), check=kept["check_share"] if check else None)
    report = runs.run(job, True, kept["metrics"] or None)
    for outcome in report.outcomes:
        if not outcome.error:
            sys.stdout.write(f"{outcome.name}: snapshot {(outcome.snapshot or '')[:8]}, {outcome.size} bytes, {outcome.seconds:.1f} s\n")
    for action in report.upkeep:
        sys.stdout.write(f"{action}\n")
    if not report.errors:
        done.update({name: now for name, due in (("pruned", prune), ("checked", check)) if due})
        runs.write_file(path, json.dumps(done) + "\n")
    for error in report.failed:
        sys.stderr.write(f"coop-backup: {error}\n")
    return 1 if report.failed else 0


def _upkeep(path: str) -> dict[str, int]:
    """When the repository was pruned and checked last (seconds since 1970). Where that is not known it is done again."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, int)} if isinstance(found, dict) else {}


def _list(options: argparse.Namespace, kept: Mapping[str, Any]) -> int:
    tags = runs.tags_of(options.instance) if options.instance else []
    for one in restic.snapshots(restic.repository_of(kept), *tags):
        sys.stdout.write(f"{one.short}  {restic.stamp(one.time)}  {one.mark('instance') or 'host ' + one.host}\n")
    return 0


def _check(options: argparse.Namespace, kept: Mapping[str, Any]) -> int:
    repositories = [restic.repository_of(one) for one in (kept, *kept["copies"])]
    failed = 0
    for repository in repositories:
        try:
            restic.verify(repository, options.share)
            sys.stdout.write(f"repository {repository.shown} is whole\n")
        except CoopError as error:
            sys.stderr.write(f"coop-backup: {error}\n")
            failed = 1
    return failed


def _restore_host(options: argparse.Namespace, kept: Mapping[str, Any]) -> int:
    repository = restic.repository_of(kept)
    of = options.of or _host(kept)
    found = [one for one in restic.snapshots(repository, runs.HOST) if one.host == of]
    chosen = restic.choose(found, options.snapshot, f"host {of}", f"repository {repository.shown}")
    restic.restore(repository, chosen.id, options.target)
    sys.stdout.write(f"the files of host {of} from {restic.stamp(chosen.time)} are below {options.target}\n")
    return 0


def _restic(options: argparse.Namespace, kept: Mapping[str, Any]) -> int:
    repository = restic.repository_of(kept)
    restic.check(repository)
    arguments = options.argument[1:] if options.argument[:1] == ["--"] else options.argument
    argv = [repository.program, *restic.sftp_options(repository), *arguments]
    try:
        os.execvpe(argv[0], argv, {**os.environ, **restic.environment(repository)})
    except FileNotFoundError:
        raise CoopError("restic is not on this host; role backup installs it (Debian package restic)") from None
