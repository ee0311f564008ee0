# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the meter tells, as C(usage/<yyyy-mm>.csv). Observe the file, diff, apply."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name
from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day

from . import usage
from .closed import closed_months
from .ledger import MoneyError, Period
from .settling import existing, write

SOURCE = "meter"
"""Our own lines; others have another source, and are their writer's."""
_FIELDS = ("month", "sampled_from", "sampled_to", "samples_expected", "samples_got", "coverage", "tenants", "gaps", "silent")


@dataclasses.dataclass(frozen=True)
class Export:
    """Lines to write, and use that belongs to nobody."""

    lines: tuple[dict[str, str], ...]
    unattributed: tuple[dict[str, Any], ...]


class ExportTask:
    """The work of one call of usage_export."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.measured: Mapping[str, Any] = params["measured"]
        self.membership_paths: Sequence[str] = params["membership"]
        self.directory: str | None = params["directory"]
        self.metrics: Sequence[str] = sorted(set(params["metrics"]))
        missing = [name for name in _FIELDS if name not in self.measured]
        if missing:
            said = self.measured.get("msg")
            raise CoopError(f"measured: has no {missing[0]}; give the result of usage_info" + (f", which said: {said}" if said else ""))
        period = Period.parse(str(self.measured["month"]))
        if period is None:
            raise CoopError(f"measured: {self.measured['month']} is no month; give the result of usage_info")
        self.period = period

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; the file is written unless in check mode."""
        last = day(self.measured["sampled_to"])
        if last is None:
            raise CoopError("measured: sampled_to is no day; give the result of usage_info")
        register = model.load_register(*self.membership_paths, today=last)
        folder = self.directory or self.beside("money")
        if not os.path.isdir(folder):
            raise MoneyError([Problem(os.path.relpath(folder), 0, "is not a folder; make it, and put the money files there")])
        export = self.export(register)
        path = os.path.join(folder, "usage", f"{self.period}.csv")
        written = existing(path)
        text = self.text(export, self.others(folder, written))
        differs = written != text.encode()
        closed = self.period in closed_months(folder)
        self.readable(text)
        if differs and not closed and not check_mode:
            write(path, text)
        changed = differs and not closed
        before = (written or b"").decode(errors="replace")
        header = os.path.relpath(path)
        found: dict[str, Any] = {
            "changed": changed,
            "diff": {"before": before if changed else text, "after": text, "before_header": header, "after_header": header},
            "month": str(self.period),
            "file": path,
            "closed": closed,
            "differs": differs and closed,
            "coverage": str(self.measured["coverage"]),
            "lines": list(export.lines),
            "unattributed": list(export.unattributed),
            "summary": self.summary(export, closed, differs),
        }
        if found["differs"]:
            found["warnings"] = [f"{self.period} is closed, and {header} is not what the meter tells now; it stays as it was settled"]
        return found

    def beside(self, name: str) -> str:
        """A folder beside the membership file."""
        first = self.membership_paths[0]
        return os.path.normpath(os.path.join(first if os.path.isdir(first) else os.path.dirname(first), name))

    # -- whose it is

    def export(self, register: model.Register) -> Export:
        """The lines of all services, in the order of members and services."""
        used: dict[str, Mapping[str, int]] = dict(self.measured["tenants"])
        lines: list[dict[str, str]] = []
        nobody: list[dict[str, Any]] = []
        for service in sorted(register.membership.services.values(), key=lambda one: str(one["id"])):
            if service["tier"] == "accounts":
                # Their meetings are the instance's.
                continue
            tenant = tenant_name(service["id"])
            found = self.together([used.pop(name, {}) for name in (tenant, *(cms["tenant"] for cms in service.get("cms") or ()))])
            member = service["member"] or service["sold_by"]
            if not self.was_active(register, member):
                if any(found.values()):
                    nobody.append({"tenant": tenant, **found, "why": f"{member} was no active member in {self.period}"})
                continue
            lines += [self.line(member, service["id"], metric, int(found.get(metric, 0))) for metric in self.metrics]
        for tenant, found in sorted(used.items()):
            if any(found.values()):
                why = "no service in the membership file has this tenant" if tenant else "the meetings bear no tenant's mark"
                nobody.append({"tenant": tenant, **found, "why": why})
        lines.sort(key=lambda line: (line["member"], line["tenant"], line["metric"]))
        return Export(tuple(lines), tuple(nobody))

    @staticmethod
    def together(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
        """What a service's own site and its content management systems used, each of them a tenant.

        Of peaks the highest: when they were is not known.
        """
        names = {name for part in parts for name in part}
        return {name: (max if name.startswith("peak_") else sum)([int(part.get(name, 0)) for part in parts]) for name in sorted(names)}

    def was_active(self, register: model.Register, member: str) -> bool:
        record = register.records.get(member)
        return record is not None and any(record.active(self.period.first.replace(day=number + 1)) for number in range(self.period.days))

    def line(self, member: str, tenant: str, metric: str, value: int) -> dict[str, str]:
        values = {"member": member, "tenant": tenant, "metric": metric, "value": value, "source": SOURCE}
        measure = {name: self.measured[name] for name in ("sampled_from", "sampled_to", "samples_expected", "samples_got")}
        return {name: str(value) for name, value in {**values, **measure}.items()}

    # -- the file

    def others(self, folder: str, written: bytes | None) -> list[dict[str, str]]:
        """Lines that are not the meter's. Raises MoneyError for a file that cannot be read: it is somebody's work."""
        if not written:
            return []
        _records, problems = usage.read(folder, self.period)
        if problems:
            raise MoneyError(problems)
        rows = csv.DictReader(io.StringIO(written.decode("utf-8-sig")), delimiter=";" if b";" in written.split(b"\n")[0] else ",")
        kept = []
        for row in rows:
            cells = {(name or "").strip().lower(): (value or "").strip() for name, value in row.items() if isinstance(name, str)}
            if any(cells.values()) and cells.get("source", "") != SOURCE:
                kept.append({name: cells.get(name, "") for name in usage.COLUMNS})
        return kept

    @staticmethod
    def text(export: Export, others: Sequence[Mapping[str, str]]) -> str:
        """The whole file."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, usage.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*export.lines, *others])
        return stream.getvalue()

    def readable(self, text: str) -> None:
        """Read it as the settlement does. Raises MoneyError with what that would refuse."""
        with tempfile.TemporaryDirectory(prefix="usage-") as scratch:
            os.mkdir(os.path.join(scratch, "usage"))
            with open(os.path.join(scratch, "usage", f"{self.period}.csv"), "w", encoding="utf-8") as stream:
                stream.write(text)
            problems = usage.read(scratch, self.period)[1]
        if problems:
            raise MoneyError([Problem(f"usage/{self.period}.csv (not written)", one.line, one.text) for one in problems])

    # -- in words

    def summary(self, export: Export, closed: bool, differs: bool) -> list[str]:
        """What came out, in a few lines."""
        measured = self.measured
        total = sum(int(line["value"]) for line in export.lines if line["metric"] == "participant_minutes")
        shown = [
            f"{self.period}, {measured['sampled_from']} to {measured['sampled_to']}: {total} participant-minutes, "
            f"{measured['samples_got']} of {measured['samples_expected']} samples ({measured['coverage']} %)"
        ]
        shown += [f"Not measured: {gap['from']} to {gap['to']} ({gap['minutes']} minutes)" for gap in measured["gaps"]]
        if measured.get("gaps_left_out"):
            shown.append(f"and {measured['gaps_left_out']} more spans")
        shown += [f"Node {name} did not answer {number} times" for name, number in sorted(measured["silent"].items())]
        for one in export.unattributed:
            minutes = one.get("participant_minutes", 0)
            shown.append(f"Tenant {one['tenant'] or '(none)'}: {minutes} participant-minutes are in no line: {one['why']}")
        if closed:
            shown.append(f"{self.period} is closed" + ("; its file stays, though the meter tells otherwise now" if differs else ""))
        return shown
