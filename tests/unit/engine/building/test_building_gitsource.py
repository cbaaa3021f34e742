"""What git's words on standard error become."""

from __future__ import annotations

import pytest

from rootless.engine.building import gitsource
from rootless.errors import RlError
from rootless.tools import spawn
from rootless.tools.spawn import Completed

ADVICE = b"\nPlease make sure you have the correct access rights\nand the repository exists.\n"
REMOTE = b"fatal: Could not read from remote repository.\n"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (
            b"ssh: connect to host h port 22: Connection refused\n" + REMOTE + ADVICE,
            "ssh: connect to host h port 22: Connection refused: "
            "Could not read from remote repository.",
        ),
        (REMOTE + ADVICE, "fatal: Could not read from remote repository."),
        (b"fatal: couldn't find remote ref x\n", "fatal: couldn't find remote ref x"),
        (b"odd words\n", "odd words"),
        (b"", "exit code 128"),
    ],
)
def test_the_cause_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, stderr: bytes, said: str
) -> None:
    monkeypatch.setattr(spawn, "which", lambda _: "git")
    monkeypatch.setattr(spawn, "run", lambda *_, **__: Completed(128, b"", stderr))
    with pytest.raises(RlError) as caught:
        gitsource.clone("git@h:x.git", f"{tmp_path}/new")
    assert caught.value.message == f"git@h:x.git: git init: {said}"
