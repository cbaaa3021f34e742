from __future__ import annotations

import os

import pytest

from rootless.errors import UsageError
from rootless.model import platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("arm64", "linux/arm64/v8"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("arm/v7", "linux/arm/v7"),
        ("LINUX/ARM64", "linux/arm64/v8"),
        ("windows/amd64", "windows/amd64"),
        ("s390x", "linux/s390x"),
    ],
)
def test_platforms_as_people_write_them(text: str, expected: str) -> None:
    assert str(platform.parse(text)) == expected


def test_the_system_alone_is_this_machine() -> None:
    assert str(platform.parse("linux")) == str(platform.host())


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/am d64", "linux//v8"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError, match="OS/ARCH"):
        platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64/v8"), ("armv7l", "linux/arm/v7"),
     ("riscv64", "linux/riscv64"), ("strange", "linux/strange")],
)  # fmt: skip
def test_the_host(machine: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = ("Linux", "node", "6.1", "1", machine)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(fields))
    assert str(platform.host()) == expected


@pytest.mark.parametrize(
    ("image", "wanted", "rank"),
    [
        ("linux/amd64", "linux/amd64", 0),
        ("linux/arm/v6", "linux/arm/v7", 1),
        ("linux/arm/v7", "linux/arm/v6", None),
        ("linux/arm64", "linux/arm64/v8", 0),
        ("linux/amd64/v2", "linux/amd64", None),
        ("linux/amd64", "linux/amd64/v3", 2),
        ("linux/arm64/weird", "linux/arm64", None),
        ("windows/amd64", "linux/amd64", None),
    ],
)
def test_rank(image: str, wanted: str, rank: int | None) -> None:
    asked = platform.Platform(*wanted.split("/"))
    assert platform.Platform(*image.split("/")).rank_for(asked) == rank
