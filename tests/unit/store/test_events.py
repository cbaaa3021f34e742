"""The journal: what was written is read, across rotations, and a failure to write is silent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.store import events
from rootless.store.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "s"), str(tmp_path / "r"))


def names(found: list[events.Event]) -> list[str]:
    return [event["Actor"]["ID"] for event in found]


def test_what_happened_is_told_once_and_in_order(paths: Paths) -> None:
    events.emit(paths, events.VOLUME, "create", "one", {"driver": "local"})
    reader = events.Reader(paths)
    assert names(list(reader.past())) == ["one"]
    events.of_container(paths, "die", {"id": "two", "name": "n", "labels": {"a": "b"}}, exitCode=3)
    (event,) = reader.new()
    assert event["Actor"] == {
        "ID": "two",
        "Attributes": {"a": "b", "image": "", "name": "n", "exitCode": "3"},
    }
    assert event["time"] == event["timeNano"] // 10**9
    assert list(reader.new()) == []
    reader.close()


def test_skip_leaves_the_past_out(paths: Paths) -> None:
    events.emit(paths, events.VOLUME, "create", "old")
    reader = events.Reader(paths)
    reader.skip()
    events.emit(paths, events.VOLUME, "create", "new")
    assert names(list(reader.new())) == ["new"]
    reader.close()


def test_a_reader_loses_nothing_to_a_rotation(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST_BYTES", 1000)
    reader = events.Reader(paths)
    reader.skip()
    seen = []
    for number in range(40):
        events.emit(paths, events.VOLUME, "create", str(number))
        if number % 3 == 0:
            seen += names(list(reader.new()))
    seen += names(list(reader.new()))
    assert seen == [str(number) for number in range(40)]
    assert os.path.getsize(paths.events) <= 1200
    other = events.Reader(paths)
    kept = names(list(other.past()))
    other.close()
    assert kept == [str(number) for number in range(40 - len(kept), 40)]
    assert 5 <= len(kept) < 20
    reader.close()


def test_a_line_that_was_cut_is_passed_over(paths: Paths) -> None:
    events.emit(paths, events.VOLUME, "create", "one")
    with open(paths.events, "a") as file:
        file.write('{"Type": "vol\n')
    events.emit(paths, events.VOLUME, "create", "two")
    reader = events.Reader(paths)
    assert names(list(reader.past())) == ["one", "two"]
    reader.close()


def test_a_journal_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("in the way")
    events.emit(Paths(str(tmp_path / "s"), str(tmp_path / "r")), events.VOLUME, "create", "x")
    assert (tmp_path / "r").read_text() == "in the way"
