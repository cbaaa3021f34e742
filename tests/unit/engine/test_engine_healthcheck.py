"""Results of checks in the record of a container, and what is told of them."""

from __future__ import annotations

import os
import time

import pytest

from rootless.engine import healthcheck
from rootless.model import health
from rootless.model.healthcheck import Check
from rootless.store import containers, events
from rootless.store.paths import Paths

ID = "a" * 64
CHECK = Check(
    command=["x"], interval=1, timeout=1, start_period=60 * 10**9, start_interval=1, retries=1
)
WELL, ILL = health.result("s", "e", 0, b""), health.result("s", "e", 1, b"")


@pytest.fixture
def note(tmp_path):
    """note(result, …): what `healthcheck.note` makes of the record; changes: of that record."""
    (tmp_path / "run").mkdir(mode=0o700)
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))

    def note(*results, begun=1, **changes):
        os.makedirs(containers.directory(paths, ID))
        record = {
            "id": ID, "name": "box", "image": "i", "labels": {}, "status": "running", "starts": 1,
            "started": time.time() - 61, "health_check": CHECK.fields(),
            "health": health.starting(None), **changes,
        }  # fmt: skip
        containers.write_record(paths, record)
        for result in results:
            healthcheck.note(paths, ID, begun, result)
        return containers.read_record(paths, ID)["health"]

    note.paths = paths
    return note


def told(paths):
    return [event["Action"] for event in events.Reader(paths).past()]


def test_changes_are_told_once(note):
    assert note(WELL, WELL, ILL, ILL)["status"] == "unhealthy"
    assert told(note.paths) == ["health_status: healthy", "health_status: unhealthy"]


def test_the_start_period_counts_from_the_start(note):
    assert note(ILL, started=time.time() - 50)["status"] == "starting"
    assert told(note.paths) == []


def test_after_the_start_period(note):
    assert note(ILL)["status"] == "unhealthy"


def test_by_hand_where_nobody_checks(note):
    assert note(WELL, health=None)["status"] == "healthy"


@pytest.mark.parametrize("changes", [{"begun": 2}, {"status": "exited"}, {"status": "restarting"}])
def test_a_result_of_an_earlier_run_or_after_the_end_is_nothing(note, changes):
    assert note(ILL, **changes) == health.starting(None)
    assert told(note.paths) == []


def test_a_check_that_came_to_nothing_is_a_failure(note):
    note()
    healthcheck.note_broken(note.paths, ID, 1, "words")
    (row,) = containers.read_record(note.paths, ID)["health"]["log"]
    assert (row["exit_code"], row["output"]) == (health.TIMED_OUT, "words")


def test_one_that_is_gone_is_not_missed(note):
    healthcheck.note_broken(note.paths, "b" * 64, 1, "words")
    assert not os.path.exists(containers.directory(note.paths, "b" * 64))
