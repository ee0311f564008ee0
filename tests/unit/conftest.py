# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets Ansible's own import hook find the collection, before any test imports from it: plugins can then be loaded by name.

Beside it a guard: a test that starts ansible belongs to the part ``programs``, for unit tests are done in a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

if "ansible_collections" not in sys.modules:
    init_plugin_loader()

RUNNING: list[pytest.Item] = []


def starts_ansible(event: str, words: tuple[Any, ...]) -> None:
    """Refuse to start one of ansible's programs, or the process that runs them, for a test that is not marked for it."""
    if event != "subprocess.Popen" or not RUNNING or RUNNING[-1].get_closest_marker("programs"):
        return
    argv = [str(word) for word in words[1]] if not isinstance(words[1], (str, bytes)) else str(words[1]).split()
    if any(word.rsplit("/", 1)[-1].startswith("ansible") or word == "tests.support.nursery" for word in argv[:3]):
        raise AssertionError(f"{RUNNING[-1].nodeid} starts {' '.join(argv[:4])}: mark it with pytest.mark.programs")


sys.addaudithook(starts_ansible)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    RUNNING.append(item)
    try:
        return (yield)
    finally:
        RUNNING.pop()
