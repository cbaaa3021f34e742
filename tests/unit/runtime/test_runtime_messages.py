"""Failures cross processes as what they are."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from rootless.errors import HostError, RlError, RuntimeSetupError, UsageError
from rootless.kernel import channel
from rootless.runtime import messages


def carried(error: BaseException, doing: str = "mounting") -> RlError:
    """`error` after a journey through a channel."""
    left, right = channel.pair()
    messages.send_failure(left, error, doing)
    received = right.receive()
    left.close()
    right.close()
    assert received is not None
    assert received[0][0] == messages.FAILED
    return messages.failure_of(received[0])


@pytest.mark.parametrize(
    "error",
    [
        UsageError("-v x: no such thing", hint="ls x"),
        HostError("/dev/fuse: missing"),
        RuntimeSetupError('exec "x": permission denied', exit_code=126),
    ],
)
def test_our_errors_arrive_as_they_were(error: RlError) -> None:
    arrived = carried(error)
    assert type(arrived) is type(error)
    assert (arrived.message, arrived.hint, arrived.exit_code) == (
        error.message, error.hint, error.exit_code,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(2, "No such file or directory", "/x"), "mounting: /x: No such file or directory"),
        (OSError(28, "No space left on device"), "mounting: No space left on device"),
        (ValueError("embedded null byte"), "mounting: ValueError('embedded null byte')"),
        (KeyboardInterrupt(), "mounting: KeyboardInterrupt()"),
    ],
)
def test_other_errors_name_what_was_being_done(error: BaseException, message: str) -> None:
    arrived = carried(error)
    assert type(arrived) is RuntimeSetupError
    assert (arrived.message, arrived.exit_code) == (message, 125)


def test_an_error_that_this_version_does_not_know() -> None:
    arrived = messages.failure_of((messages.FAILED, "NoSuchError", "text", "hint", 7))
    assert type(arrived) is RlError
    assert (arrived.message, arrived.hint, arrived.exit_code) == ("text", "hint", 7)


def test_a_kernel_that_is_too_old_is_named() -> None:
    missing = OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    assert carried(missing).hint == "uname -r  # Linux 5.6 or newer is needed"
    assert carried(RuntimeSetupError(f"mount: {missing.strerror}", "a hint")).hint == "a hint"
    assert carried(OSError(errno.EIO, os.strerror(errno.EIO))).hint == ""


def test_nobody_listens() -> None:
    left, right = channel.pair()
    right.close()
    messages.send_failure(left, ValueError("x"), "mounting")
    left.close()


def test_each_message_has_a_name_of_its_own() -> None:
    names: dict[str, Any] = {
        key: value for key, value in vars(messages).items() if key.isupper() and key.isascii()
    }
    names.pop("TYPE_CHECKING")
    assert {"GO", "OOM", "EXITED"} <= set(names)
    assert len(set(names.values())) == len(names)
