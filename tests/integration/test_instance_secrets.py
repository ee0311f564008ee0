# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""instance_secrets on a host: predictions, idempotence, killed runs, runs at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import RunningLab

HOST = "host1"
MODULE = "meet.coop.instance_secrets"
WANTED = {"key": {"length": 128, "alphabet": "hex"}, "password": {"length": 40, "alphabet": "alphanumeric"}}
CODE = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"

#: Rotates the secret for ever; prints nothing.
WRITER = """
import sys, types
sys.path.insert(0, "/tmp/secrets-test")
for name in ("ansible_collections", "ansible_collections.meet", "ansible_collections.meet.coop", "ansible_collections.meet.coop.plugins",
             "ansible_collections.meet.coop.plugins.module_utils"):
    module = types.ModuleType(name)
    module.__path__ = ["/tmp/secrets-test"]
    sys.modules[name] = module
import _secrets
path, wanted = sys.argv[1], {"key": {"length": 4000}}
while True:
    observed = _secrets.observe(path)
    plan = _secrets.diff(observed, wanted, ["key"])
    _secrets.apply(path, plan, _secrets.generate(plan, observed, wanted))
"""

#: Runs the writer; kills it so many seconds after it has written for the first time.
KILLED = """
changed() { stat -c %z "$1"; }
before=$(changed "$1")
python3 /tmp/secrets-test/writer.py "$1" & writer=$!
until [ "$(changed "$1")" != "$before" ]; do kill -0 $writer || exit 1; done
sleep "$2"
kill -KILL $writer
"""


@pytest.fixture
def path(lab: RunningLab) -> Iterator[str]:
    lab.exec(HOST, ["rm", "-rf", "/var/lib/secrets-test"])
    yield "/var/lib/secrets-test/one/secrets.json"
    lab.exec(HOST, ["rm", "-rf", "/var/lib/secrets-test", "/tmp/secrets-test"])


def test_truth_idempotence_and_modes(lab: RunningLab, run_module: Callable[..., dict[str, Any]], path: str) -> None:
    args = {"path": path, "secrets": WANTED}
    predicted = run_module(HOST, MODULE, args, check=True)
    assert lab.exec(HOST, ["test", "-e", "/var/lib/secrets-test"]).returncode != 0
    result = run_module(HOST, MODULE, args)
    for key in ("changed", "created", "rotated", "diff"):
        assert predicted[key] == result[key]
    assert result["changed"] is True and result["created"] == ["key", "password"]
    assert predicted["secrets"].keys() == result["secrets"].keys()
    assert predicted["secrets"]["key"] != result["secrets"]["key"]
    assert not [value for value in result["secrets"].values() if value in json.dumps(result["diff"])]
    again = run_module(HOST, MODULE, args)
    assert again["changed"] is False and again["secrets"] == result["secrets"]
    assert run_module(HOST, MODULE, {"path": path, "secrets": {}})["secrets"] == result["secrets"]
    modes = lab.exec(HOST, ["stat", "-c", "%a %U", path, path.rpartition("/")[0]]).stdout.split()
    assert modes == ["600", "root", "700", "root"]

    rotated = run_module(HOST, MODULE, {**args, "rotate": ["password"]})
    assert rotated["rotated"] == ["password"] and rotated["secrets"]["key"] == result["secrets"]["key"]
    assert rotated["secrets"]["password"] != result["secrets"]["password"]
    assert not [value for value in rotated["secrets"].values() if value in json.dumps(rotated["diff"])]


def test_a_damaged_file(lab: RunningLab, run_module: Callable[..., dict[str, Any]], path: str) -> None:
    run_module(HOST, MODULE, {"path": path, "secrets": WANTED})
    lab.exec(HOST, ["truncate", "--size", "100", path])
    before = lab.exec(HOST, ["sha256sum", path]).stdout
    for check in (True, False):
        failed = run_module(HOST, MODULE, {"path": path, "secrets": WANTED}, check=check)
        assert failed["failed"] and path in failed["msg"] and "damaged" in failed["msg"] and "\n" not in failed["msg"]
    assert lab.exec(HOST, ["sha256sum", path]).stdout == before


def test_two_runs_at_once_agree(run_module: Callable[..., dict[str, Any]], path: str) -> None:
    """Both find no file; they must not go home with two different passwords."""
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _number: run_module(HOST, MODULE, {"path": path, "secrets": WANTED}), range(3)))
    assert len({json.dumps(result["secrets"], sort_keys=True) for result in results}) == 1


def test_killed_at_any_moment(lab: RunningLab, run_module: Callable[..., dict[str, Any]], path: str) -> None:
    """Killed fifteen times while it writes: the file is there and whole each time, and the next run clears up."""
    first = run_module(HOST, MODULE, {"path": path, "secrets": {"key": {"length": 4000}}})
    assert first["changed"]
    lab.exec(HOST, ["mkdir", "-p", "/tmp/secrets-test"])
    for name in ("_secrets.py", "_errors.py"):
        lab.exec(HOST, ["sh", "-c", f"cat > /tmp/secrets-test/{name}"], (CODE / name).read_text())
    lab.exec(HOST, ["sh", "-c", "cat > /tmp/secrets-test/writer.py"], WRITER)
    seen = {first["secrets"]["key"]}
    for number in range(15):
        done = lab.exec(HOST, ["sh", "-c", KILLED, "sh", path, f"{number * 0.013:.3f}"])
        assert (done.returncode, done.stderr) == (0, ""), done
        kept = json.loads(lab.exec(HOST, ["cat", path]).stdout)
        assert len(kept["key"]) == 4000
        seen.add(kept["key"])
    assert len(seen) == 16, "the writer must have been at work, or this test proves nothing"
    after = run_module(HOST, MODULE, {"path": path, "secrets": {"key": {"length": 4000}}})
    assert after["secrets"]["key"] in seen
    assert lab.exec(HOST, ["ls", "-A", path.rpartition("/")[0]]).stdout.split() == ["secrets.json"]
    assert run_module(HOST, MODULE, {"path": path, "secrets": {"key": {"length": 4000}}})["changed"] is False
