# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of the Greenlight conformance checks.

GREENLIGHT_IMAGE chooses the image (default: the lab's double, built when needed), GREENLIGHT_START_SECONDS and
GREENLIGHT_ANSWER_SECONDS the patience, GREENLIGHT_EXTRA_ENVIRONMENT (JSON) variables for every container.
"""

from __future__ import annotations

import typing as t

import pytest

from tests.conformance import greenlight_kit as kit


@pytest.fixture(scope="session")
def stage() -> t.Iterator[kit.Stage]:
    """PostgreSQL, Redis, fake BigBlueButton."""
    made = kit.Stage()
    yield made
    made.close()


@pytest.fixture(scope="session")
def mail(stage: kit.Stage) -> kit.FakeSMTP:
    """The mail server of the common instance: plain, without login."""
    return kit.FakeSMTP()


@pytest.fixture(scope="session")
def greenlight(stage: kit.Stage, mail: kit.FakeSMTP) -> kit.Instance:
    """The common instance, with mail, on a database of its own."""
    instance = stage.start(stage.database("common"), **mail.environment()).wait_listening()
    kit.wait_for(lambda: instance.client().warm().status == 200, kit.ANSWER_SECONDS, "the first answer from the database")
    return instance


@pytest.fixture(scope="session")
def rows(stage: kit.Stage, greenlight: kit.Instance) -> t.Iterator[kit.Rows]:
    """The common instance's database."""
    with stage.sql("common") as connection:
        yield kit.Rows(connection)


@pytest.fixture
def visitor(greenlight: kit.Instance) -> kit.Client:
    """A visitor who has not signed in."""
    return greenlight.client()


@pytest.fixture(scope="session")
def administrator_id(rows: kit.Rows) -> str:
    """An administrator made in SQL."""
    return rows.user("admin@sunflower.test", "Administrator")


@pytest.fixture(scope="session")
def administrator(greenlight: kit.Instance, administrator_id: str) -> kit.Client:
    """The same, signed in."""
    client = greenlight.client()
    assert client.sign_in("admin@sunflower.test").status == 200
    return client


@pytest.fixture
def special(stage: kit.Stage, greenlight: kit.Instance) -> t.Iterator[t.Callable[..., kit.Instance]]:
    """Starts containers with other environments on the common (already migrated) database; removes them after the test."""
    started: list[kit.Instance] = []

    def start(**options: t.Any) -> kit.Instance:
        options.setdefault("database_url", stage.database_url("common"))
        started.append(stage.start(**options))
        return started[-1]

    yield start
    for instance in started:
        stage.stop(instance)
