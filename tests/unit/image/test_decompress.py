"""Compressed blobs become the plain stream, in bounded pieces, or a clear error."""

from __future__ import annotations

import builtins
import gzip
import os
import random
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from rootless.errors import HostError, ImageError
from rootless.image import decompress

DATA = random.Random(1).randbytes(300_000) + bytes(3_000_000)


def zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression.zstd import compress
    else:
        from backports.zstd import compress
    return bytes(compress(data))


def plain(data: bytes) -> bytes:
    return data


COMPRESSORS: list[Callable[[bytes], bytes]] = [plain, gzip.compress, zstd]


def pieces_of(data: bytes) -> list[bytes]:
    """Through a pipe, as a download arrives."""
    read_end, write_end = os.pipe()

    def feed() -> None:
        with open(write_end, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        return list(decompress.pieces(read_end))
    finally:
        while os.read(read_end, 1 << 20):
            pass
        thread.join()
        os.close(read_end)


@pytest.fixture(params=["isal", "zlib"])
def gzip_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        forbid_import(monkeypatch, "isal")
        assert decompress._gzip_library().__name__ == "zlib"


def forbid_import(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = builtins.__import__

    def refuse(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> object:
        if name.partition(".")[0] in names:
            raise ImportError(name)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("compress", COMPRESSORS)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 1000, len(DATA)])
def test_every_kind_is_known_by_its_first_bytes(
    compress: Callable[[bytes], bytes], size: int
) -> None:
    found = pieces_of(compress(DATA[:size]))
    assert b"".join(found) == DATA[:size]
    assert all(0 < len(piece) <= decompress.PIECE for piece in found)


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_several_members_or_frames(compress: Callable[[bytes], bytes]) -> None:
    parts = [DATA[:200_000], b"", b"b", DATA]
    assert b"".join(pieces_of(b"".join(map(compress, parts)))) == b"".join(parts)


@pytest.mark.usefixtures("gzip_library")
def test_gzip_with_padding_of_zeros() -> None:
    assert b"".join(pieces_of(gzip.compress(b"data") + bytes(500_000))) == b"data"


def test_a_skippable_zstd_frame_comes_first() -> None:
    skippable = b"\x53\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"estargz!"
    assert b"".join(pieces_of(skippable + zstd(DATA))) == DATA


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(DATA)[:-9], "cut in the middle of the gzip stream"),
        (gzip.compress(DATA)[:7], "cut in the middle of the gzip stream"),
        (gzip.compress(DATA)[:10] + b"\x07" * 500, "damaged gzip stream"),
        (gzip.compress(DATA)[:-6] + b"junk56", "damaged gzip stream"),
        (gzip.compress(DATA) + b"garbage", "something that is not gzip follows"),
        (gzip.compress(DATA) + bytes(200_000) + b"x", "something that is not gzip follows"),
        (zstd(DATA)[:-9], "cut in the middle of the zstd stream"),
        (zstd(DATA)[:9] + b"junk" * 500, "damaged zstd stream"),
        (zstd(DATA) + b"garbage", "damaged zstd stream"),
    ],
    ids=range(9),
)
def test_damaged_streams(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        pieces_of(data)


def test_a_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    assert len(bomb) < 100_000
    total = largest = 0
    read_end = os.memfd_create("bomb")
    os.write(read_end, bomb)
    os.lseek(read_end, 0, os.SEEK_SET)
    for piece in decompress.pieces(read_end):
        total, largest = total + len(piece), max(largest, len(piece))
    os.close(read_end)
    assert (total, largest) == (64 << 20, decompress.PIECE)


def test_without_a_zstd_library(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zstd(b"data")
    forbid_import(monkeypatch, "backports", "compression")
    with pytest.raises(HostError) as caught:
        pieces_of(data)
    assert caught.value.hint == "python3 -m pip install backports.zstd"
