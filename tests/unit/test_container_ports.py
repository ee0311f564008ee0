# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports and the state file that keeps them stable."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import ports


def test_state_is_kept_and_forgotten(tmp_path: Path) -> None:
    directory = str(tmp_path / "one")
    assert ports.read_state(directory) == ports.State()
    state = ports.State(port=5100, served=True, proven="abc")
    ports.write_state(directory, state)
    assert ports.read_state(directory) == state
    assert os.stat(f"{directory}/container.json").st_mode & 0o777 == 0o600
    assert ports.reserved(str(tmp_path), "two") == {5100} and ports.reserved(str(tmp_path), "one") == set()
    ports.remove_state(directory)
    ports.remove_state(directory)
    assert ports.read_state(directory) == ports.State()


@given(st.one_of(st.text(max_size=30), st.sampled_from(["[]", "7", "null", '{"port": "x"}', '{"port": 0, "served": 1, "proven": 3}'])))
def test_a_damaged_state_is_an_empty_one(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "container.json").write_text(text, encoding="utf-8")
    assert ports.read_state(str(directory)) == ports.State()


@given(st.sets(st.integers(5100, 5110)), st.integers(5100, 5105), st.integers(0, 5))
def test_allocation(taken: set[int], first: int, more: int) -> None:
    free = [port for port in range(first, first + more + 1) if port not in taken]
    if free:
        assert ports.allocate((first, first + more), taken) == free[0]
    else:
        with pytest.raises(CoopError, match="port_range"):
            ports.allocate((first, first + more), taken)


def test_who_listens() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        assert port not in ports.listening()
        one.listen()
        assert ports.listening()[port]
        assert f"(pid {os.getpid()})" in ports.listener(port)
    assert ports.listener(port) == ""


def test_a_lock_that_somebody_holds(tmp_path: Path) -> None:
    with ports.locked(str(tmp_path), "greenlight-x", 1):
        started = time.monotonic()
        with pytest.raises(CoopError, match="another run .* greenlight-x"), ports.locked(str(tmp_path), "greenlight-x", 0.3):
            pass
        assert time.monotonic() - started < 5
    with ports.locked(str(tmp_path), "greenlight-x", 0.3):
        pass
