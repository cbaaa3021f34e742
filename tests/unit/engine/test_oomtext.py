from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rootless.engine import oomtext

if TYPE_CHECKING:
    from rootless.runtime.oom import OomKill

MIB = 1 << 20
TOP = "/sys/fs/cgroup/user.slice/rl-1.scope"
PAYLOAD = f"{TOP}/payload"


def kill(**changes: Any) -> OomKill:
    known: OomKill = {
        "at": 1.5, "count": 1, "pid": 42, "command": "hog", "rss": 64 * MIB,
        "limit_of": PAYLOAD, "limit": 128 * MIB,
    }  # fmt: skip
    return {**known, **changes}  # type: ignore[typeddict-item]


UNSEEN: dict[str, Any] = {"pid": 0, "command": "", "rss": 0}


@pytest.mark.parametrize(
    ("kills", "victim"),
    [
        ([kill()], "hog (process 42, 64MiB)"),
        ([kill(**UNSEEN)], "a process"),
        ([kill(count=3)], "3 processes, the last hog (process 42, 64MiB)"),
        ([kill(), kill(pid=43)], "2 processes, the last hog (process 43, 64MiB)"),
        ([kill(count=2), kill(**UNSEEN, count=3)], "5 processes"),
        ([kill(**UNSEEN), kill()], "2 processes, the last hog (process 42, 64MiB)"),
    ],
    ids=str,
)
def test_who_was_killed(kills: list[OomKill], victim: str) -> None:
    assert oomtext.sentence(kills, TOP) == (
        f"out of memory: the kernel killed {victim} at the container's limit of 128MiB"
    )


@pytest.mark.parametrize(
    ("limit_of", "limit", "expected"),
    [
        (PAYLOAD, 128 * MIB, "the container's limit of 128MiB"),
        (TOP, 128 * MIB + 1, "the container's limit of 128MiB"),
        (PAYLOAD, 0, "the container's limit"),
        ("", 0, "the end of the host's memory"),
        (
            "/sys/fs/cgroup/user.slice",
            1 << 30,
            "the limit of 1GiB of user.slice, which is not the container's own",
        ),
        (
            "/sys/fs/cgroup/user.slice",
            0,
            "the limit of user.slice, which is not the container's own",
        ),
    ],
)
def test_whose_limit_it_was(limit_of: str, limit: int, expected: str) -> None:
    assert oomtext.whose_limit(kill(limit_of=limit_of, limit=limit), TOP) == expected


def test_the_last_kill_tells_whose_limit() -> None:
    kills = [kill(), kill(limit_of="", limit=0)]
    assert oomtext.sentence(kills, TOP).endswith(" at the end of the host's memory")
