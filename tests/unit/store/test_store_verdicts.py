"""What is remembered of trials, and until when."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rootless.kernel import proc
from rootless.store import verdicts
from rootless.store.paths import Paths
from rootless.store.verdicts import Verdicts


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "s"), str(tmp_path / "r"))


def test_a_verdict_is_found_again_by_what_was_tried(store: Paths) -> None:
    known = Verdicts(store)
    assert known.get("overlay") is None
    assert known.put("overlay", "", "") == ""
    assert known.put("slirp4netns", "/bin/a 7", "two\nlines\tand tabs") == "two lines and tabs"
    for one in (known, Verdicts(store)):
        assert one.get("overlay") == ""
        assert one.get("slirp4netns", "/bin/a 7") == "two lines and tabs"
        assert one.get("slirp4netns", "/bin/b 7") is None
    assert Path(store.verdicts).stat().st_mode & 0o777 == 0o600


def test_of_another_boot_nothing_is_known(store: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Verdicts(store).put("overlay", "", "")
    monkeypatch.setattr(proc, "boot_id", lambda: "another")
    assert Verdicts(store).get("overlay") is None


@pytest.mark.parametrize(("seconds", "reason"), [(599, "broken"), (601, None), (-60, None)])
def test_what_does_not_work_is_tried_again_later(
    store: Paths, monkeypatch: pytest.MonkeyPatch, seconds: int, reason: str | None
) -> None:
    known = Verdicts(store)
    known.put("overlay", "", "broken")
    known.put("vfs", "", "")
    then = int(time.time()) + seconds
    monkeypatch.setattr(time, "time", lambda: then)
    assert Verdicts(store).get("overlay") == reason
    assert Verdicts(store).get("vfs") == ""


def test_a_file_that_cannot_be_written_or_read_is_no_failure(store: Paths) -> None:
    Path(store.verdicts).mkdir(parents=True)
    known = Verdicts(store)
    assert known.put("overlay", "", "") == "" == known.get("overlay")
    Path(store.verdicts).rmdir()
    Path(store.verdicts).write_text(f"{proc.boot_id()}\nshort\tline\n\n")
    assert Verdicts(store).get("short") is None


def test_after_an_error_nothing_is_believed(store: Paths) -> None:
    Verdicts(store).put("overlay", "", "")
    verdicts.forget(store)
    verdicts.forget(store)
    assert Verdicts(store).get("overlay") is None
