"""A search for changes beside a container that goes on working."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.runtime import changes


@pytest.mark.parametrize("becomes", ["nothing", "file", "link"])
@pytest.mark.parametrize("moment", ["listed", "looked at"])
def test_a_directory_that_goes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, becomes: str
) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for directory in (upper / "a", upper / "goes", upper / "z", lower / "goes"):
        directory.mkdir(parents=True)
    fds = len(os.listdir("/proc/self/fd"))

    def go() -> None:
        if (upper / "goes").is_dir() and not (upper / "goes").is_symlink():
            (upper / "goes").rmdir()
            if becomes == "file":
                (upper / "goes").touch()
            if becomes == "link":
                (upper / "goes").symlink_to("a")

    module, name = {"listed": (os, "listdir"), "looked at": (changes.lower_layers, "find")}[moment]
    real = getattr(module, name)

    def then_go(*arguments: object) -> object:
        found = real(*arguments)
        if moment == "listed" or arguments[1] == "goes":
            go()
        return found

    monkeypatch.setattr(module, name, then_go)
    found = changes.find(str(upper), [str(lower)], [])
    monkeypatch.undo()
    replaced = [("C", "/goes")] if (moment, becomes != "nothing") == ("listed", True) else []
    assert found == [("A", "/a"), *replaced, ("A", "/z")]
    assert len(os.listdir("/proc/self/fd")) == fds
