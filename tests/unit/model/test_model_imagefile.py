"""Names of image files, and what stands in and behind a squashfs file."""

from __future__ import annotations

import pytest

from rootless.model import imagefile, jsontext
from rootless.model.imagefile import Superblock


def superblock(*, end: int = 5000, magic: bytes = b"hsqs", major: int = 4, kind: int = 6) -> bytes:
    data = bytearray(imagefile.SUPERBLOCK_SIZE)
    data[:4] = magic
    data[20:22] = kind.to_bytes(2, "little")
    data[28:30] = major.to_bytes(2, "little")
    data[40:48] = end.to_bytes(8, "little")
    return bytes(data)


@pytest.mark.parametrize(
    "word",
    ["/", "/x", "./x", "../x", ".", "..", "./x:1", "web.sqsh", "images/web.squashfs", "a.sqfs"],
)
def test_paths(word: str) -> None:
    assert imagefile.is_path(word)


@pytest.mark.parametrize(
    "word",
    [
        "busybox", "web.sqsh:latest", "localhost:5000/web.sqsh", "web.sqsh@sha256:00", "oci:x.sqsh",
        "docker://web.sqsh", "sqsh", ".sqshx", "a/b", "web.sqsh/x",
    ],
)  # fmt: skip
def test_names(word: str) -> None:
    assert not imagefile.is_path(word)


def test_superblock() -> None:
    block = Superblock(superblock(end=5000))
    assert (block.compression, block.end, block.section) == ("zstd", 5000, 8192)
    assert Superblock(superblock(end=8192)).section == 8192
    assert Superblock(superblock(kind=77)).compression == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a squashfs file"),
        (superblock()[:95], "is not a squashfs file"),
        (superblock(magic=b"sqsh"), "is not a squashfs file"),
        (superblock(major=3), "version 3.0, not 4.0"),
    ],
)
def test_what_is_no_superblock(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Superblock(data)


def test_section_there_and_back() -> None:
    data = imagefile.section({"name": "ä", "n": 1})
    head, rest = data[: imagefile.HEAD_SIZE], data[imagefile.HEAD_SIZE :]
    assert imagefile.section_length(head) == len(rest)
    assert jsontext.loads(rest) == {"name": "ä", "n": 1}


@pytest.mark.parametrize("head", [b"", bytes(24), b"rl-image-config\n" + b"\xff" * 8])
def test_what_is_no_section(head: bytes) -> None:
    assert imagefile.section_length(head) == -1


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("dir", ("dir", "")),
        ("dir:O", ("dir", "O")),
        ("a:b", ("a:b", "")),
        ("a:b:O", ("a:b", "O")),
    ],
)
def test_options_of_rootfs(word: str, parts: tuple[str, str]) -> None:
    assert imagefile.split_option(word) == parts
