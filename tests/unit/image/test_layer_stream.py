"""The bytes of a layer: hashed, compressed by several threads, the same every time."""

from __future__ import annotations

import gzip
import hashlib
import os
import random

import pytest

from rootless.errors import UsageError
from rootless.image import decompress, layer_stream
from rootless.image.layer_stream import COMPRESSIONS, LayerStream

MIB = 1 << 20


def blob_of(pieces: list[bytes | int], compression: str) -> tuple[bytes, LayerStream]:
    """The blob of the pieces; a number is that many zeros."""
    fd = os.memfd_create("blob")
    stream = LayerStream(fd, compression)
    try:
        for piece in pieces:
            if isinstance(piece, int):
                stream.write_zeros(piece)
            else:
                stream.write(piece)
        stream.finish()
        blob = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        stream.close()
        os.close(fd)
    return blob, stream


def plain_of(blob: bytes) -> bytes:
    fd = os.memfd_create("blob")
    try:
        os.write(fd, blob)
        os.lseek(fd, 0, os.SEEK_SET)
        return b"".join(decompress.pieces(fd))
    finally:
        os.close(fd)


def noise(size: int) -> bytes:
    source = random.Random(size)
    return bytes(source.choices(b"abcdefgh", k=size))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
def test_what_goes_in_comes_out(compression: str, size: int) -> None:
    data = noise(size)
    blob, stream = blob_of([data], compression)
    assert plain_of(blob) == data
    assert stream.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert stream.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert stream.size == len(blob)


def test_the_blob_depends_on_the_bytes_alone_and_gzip_reads_it() -> None:
    data = noise(3 * MIB + 5)
    pieces: list[bytes | int] = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    blob, _ = blob_of(pieces, "gzip")
    assert blob == blob_of([data], "gzip")[0]
    assert gzip.decompress(blob) == data
    # No name, no time, no system.
    assert blob[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert len(blob) < len(data) // 2


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_zeros_are_the_same_whichever_way_they_come(compression: str) -> None:
    before, after = b"start" * 100, b"end"
    for count in (0, 1, MIB - 500, MIB, 4 * MIB + 17):
        by_number = blob_of([before, count, after], compression)
        by_bytes = blob_of([before, bytes(count), after], compression)
        assert by_number[0] == by_bytes[0]
        assert by_number[1].diff_id == by_bytes[1].diff_id
        assert plain_of(by_number[0]) == before + bytes(count) + after


def test_a_failed_write_is_raised_to_who_writes() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = LayerStream(write_end, "none")
    try:
        with pytest.raises(BrokenPipeError):
            for _ in range(100):
                stream.write(bytes(MIB))
            stream.finish()
    finally:
        stream.close()
        os.close(write_end)


def test_media_types() -> None:
    assert layer_stream.media_type("gzip") == "application/vnd.oci.image.layer.v1.tar+gzip"
    docker = "application/vnd.docker.image.rootfs.diff.tar"
    assert layer_stream.media_type("gzip", docker=True) == f"{docker}.gzip"
    assert layer_stream.media_type("none", docker=True) == docker
    with pytest.raises(UsageError, match="zstd"):
        layer_stream.media_type("zstd", docker=True)
    with pytest.raises(UsageError, match="lzma"):
        layer_stream.media_type("lzma")
