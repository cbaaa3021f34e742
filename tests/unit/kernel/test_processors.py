from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from rootless.kernel import libc, processors


@pytest.fixture
def child() -> Generator[int, None, None]:
    """A process that waits."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    os.close(ours)
    yield pid
    os.close(theirs)
    os.waitpid(pid, 0)


@pytest.mark.skipif(len(processors.ALL) < 2, reason="needs two processors")
def test_a_child_begins_on_another_processor(child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "current_cpu", lambda: min(processors.ALL))
    processors.begin_elsewhere(child)
    assert os.sched_getaffinity(child) == processors.ALL - {min(processors.ALL)}
    processors.run_anywhere(child)
    assert os.sched_getaffinity(child) == processors.ALL


def test_where_there_is_one_processor_it_has_that(
    child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.sched_getaffinity(child)
    monkeypatch.setattr(processors, "ALL", {libc.current_cpu()})
    processors.begin_elsewhere(child)
    assert os.sched_getaffinity(child) == before


def test_a_process_that_has_ended_is_no_error() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    processors.begin_elsewhere(pid)
    processors.run_anywhere(pid)
