# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of every kind of test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from tests.support import ansible, examples
from tests.support.lab import RunningLab, bring_up

# The command line may name the other one, see there.
hypothesis.settings.load_profile(examples.PLAIN)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "programs: whole programs, plays on this machine among them; runs with ./dev test programs")
    config.addinivalue_line("markers", "thorough: takes minutes; runs with ./dev test thorough, and not with ./dev test alone")


@pytest.fixture(scope="session")
def lab() -> RunningLab:
    """The running lab, brought up when it is not."""
    return bring_up()


@pytest.fixture(scope="session")
def run_module(lab: RunningLab) -> Callable[..., dict[str, Any]]:
    """Runs one module by the real ansible on a host of the lab: ``run_module(host, module, args, check=False, diff=True, become=None)``."""
    return ansible.run_module
