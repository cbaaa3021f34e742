"""What --sysinfo says where it cannot be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rootless.errors import HostError, RuntimeSetupError
from rootless.kernel import notify
from rootless.kernel.channel import pair
from rootless.runtime import answering


@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        (errno.EBUSY, "one listener at most", "Seccomp_filters"),
        (errno.EINVAL, "from outside: Invalid argument", "5.19"),
        (errno.ENOSYS, "from outside: Function not implemented", "5.19"),
    ],
)
def test_a_listener_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, number: int, message: str, hint: str
) -> None:
    def refuse(program: bytes, **options: bool) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(notify, "install", refuse)
    ours, theirs = pair()
    with pytest.raises(RuntimeSetupError, match=message) as caught:
        answering.install(b"", os.dup(theirs.fd))
    theirs.close()
    assert ours.receive() is None, "init's side is still open"
    ours.close()
    assert (hint in caught.value.hint, caught.value.exit_code) == (True, 125)


@pytest.mark.parametrize("scope", ["0", "1", "2", None])
def test_yama_lets_us(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: str | None) -> None:
    if scope is not None:
        (tmp_path / "scope").write_text(f"{scope}\n")
    monkeypatch.setattr(answering, "_YAMA", str(tmp_path / "scope"))
    answering._check_yama()


def test_yama_forbids_it_to_everybody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scope").write_text("3\n")
    monkeypatch.setattr(answering, "_YAMA", str(tmp_path / "scope"))
    with pytest.raises(HostError, match="--sysinfo: nobody may write"):
        answering._check_yama()
