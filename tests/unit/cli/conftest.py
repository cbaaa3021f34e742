"""A private store for commands that are called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless.store.paths import Paths


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "r").mkdir(mode=0o700)
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "s"))
    monkeypatch.setenv("RL_RUNTIME_DIR", str(tmp_path / "r"))
    return Paths(str(tmp_path / "s"), str(tmp_path / "r"))
