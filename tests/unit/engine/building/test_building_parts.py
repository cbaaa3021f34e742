"""Archives, addresses of repositories, keys and automatic arguments."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.engine.building import archives, gitsource, stage, state
from rootless.engine.building.state import State
from rootless.model.image_config import Step


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_archives_are_known_by_their_content(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(pack(archive()))
    fd = os.open(path, os.O_RDONLY)
    found = archives.pieces(fd)
    assert found is not None
    assert b"".join(found) == archive()
    os.close(fd)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"text"), lzma.compress(b"x" * 999), b"\x1f\x8b damaged"],
)
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    assert archives.pieces(fd) is None
    os.close(fd)


def test_archives_older_than_ustar_have_a_checksum_alone(tmp_path: Path) -> None:
    header = bytearray(archive()[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert archives.is_header(bytes(header))
    header[0] += 1
    assert not archives.is_header(bytes(header))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org/a.git", True),
        ("https://example.org/a.git#main:sub", True),
        ("git://example.org/a", True),
        ("ssh://git@example.org/a", True),
        ("git@example.org:a/b", True),
        ("https://example.org/a.tar.gz", False),
        ("directory.git", False),
        (".", False),
        ("file:///a.git", False),
    ],
)
def test_which_addresses_are_of_repositories(text: str, *, expected: bool) -> None:
    assert gitsource.is_git(text) is expected


def test_keys_tell_everything_apart() -> None:
    keys = {
        state.key_of("p", "RUN", ["a"]),
        state.key_of("q", "RUN", ["a"]),
        state.key_of("p", "RUN", ["a", ""]),
        state.key_of("p", "RUN", "a"),
        state.key_of("p", "COPY", ["a"]),
    }
    assert len(keys) == 5
    assert state.key_of("p", {"a": 1, "b": 2}) == state.key_of("p", {"b": 2, "a": 1})


def test_a_copy_of_a_state_stands_alone() -> None:
    first = State({"config": {"Env": ["A=1=2"]}, "rootfs": {}, "history": []}, [], "key")
    first.args["B"] = "arg"
    second = state.from_fields(first.to_fields())
    second.args["C"] = "other"
    second.advance(Step("now", "RUN x"), "next", {"diff_id": "sha256:1"})
    assert first.variables == {"A": "1=2", "B": "arg"}
    assert (first.key, first.layers) == ("key", [])
    assert (second.key, second.diff_ids) == ("next", ["sha256:1"])
    assert second.config["history"] == [{"created": "now", "created_by": "RUN x"}]


def test_automatic_arguments() -> None:
    found = stage.platform_args("linux/arm/v7", "linux/amd64", "")
    assert found["TARGETPLATFORM"] == "linux/arm/v7"
    assert (found["TARGETOS"], found["TARGETARCH"], found["TARGETVARIANT"]) == (
        "linux", "arm", "v7",
    )  # fmt: skip
    assert (found["BUILDARCH"], found["BUILDVARIANT"]) == ("amd64", "")
    assert found["TARGETSTAGE"] == "default"
