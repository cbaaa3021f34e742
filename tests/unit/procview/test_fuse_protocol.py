"""Bytes in, bytes out; the sizes are those of struct … in include/uapi/linux/fuse.h."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.procview import fuse


def request(opcode: int, body: bytes = b"", *, node: int = 1, unique: int = 7) -> bytes:
    return struct.pack("=IIQQIIII", 40 + len(body), opcode, unique, node, 0, 0, 1, 0) + body


def init_body(major: int, minor: int) -> bytes:
    return struct.pack("=IIII", major, minor, 131072, 0xFFFFFFFF).ljust(64, b"\0")


@pytest.mark.parametrize(
    ("payload", "size"),
    [
        (fuse.init(fuse.Request(request(fuse.INIT, init_body(7, 45)))), 64),
        (fuse.attributes(1, 0o100444), 88),
        (fuse.entry(2, fuse.attributes(2, 0o100444), 0, 0), 128),
        (fuse.known(fuse.attributes(2, 0o100444), 0), 104),
        (fuse.opened(1), 16),
        (fuse.statfs(), 80),
        (fuse.reply(1, b""), 16),
        (fuse.refusal(1, 5), 16),
    ],
)
def test_sizes_are_the_kernels(payload: bytes, size: int) -> None:
    assert len(payload) == size


@pytest.mark.parametrize(
    ("offered", "told"), [((7, 31), 31), ((7, 45), 31), ((7, 27), 27), ((8, 0), 31)]
)
def test_init_agrees_on_the_older_version(offered: tuple[int, int], told: int) -> None:
    answer = fuse.init(fuse.Request(request(fuse.INIT, init_body(*offered))))
    major, minor = struct.unpack_from("=II", answer)
    (max_write,) = struct.unpack_from("=I", answer, 20)
    assert (major, minor, max_write) == (7, told, 4096)


@pytest.mark.parametrize("offered", [(7, 22), (6, 40), (0, 0)])
def test_init_refuses_what_is_too_old(offered: tuple[int, int]) -> None:
    with pytest.raises(fuse.Refusal) as caught:
        fuse.init(fuse.Request(request(fuse.INIT, init_body(*offered))))
    assert caught.value.number == errno.EPROTO


def test_a_short_init_of_linux_5_6_is_enough() -> None:
    answer = fuse.init(fuse.Request(request(fuse.INIT, init_body(7, 31)[:16])))
    assert struct.unpack_from("=II", answer) == (7, 31)


def test_a_request_is_taken_apart() -> None:
    got = fuse.Request(request(fuse.LOOKUP, b"meminfo\0", node=5, unique=12))
    assert (got.opcode, got.node, got.unique) == (fuse.LOOKUP, 5, 12)
    assert got.name() == b"meminfo"


@pytest.mark.parametrize("change", [-1, 1, -40, 2**31])
def test_a_wrong_length_is_no_request(change: int) -> None:
    raw = request(fuse.LOOKUP, b"meminfo\0")
    raw = struct.pack("=I", (len(raw) + change) & 0xFFFFFFFF) + raw[4:]
    with pytest.raises(fuse.Refusal):
        fuse.Request(raw)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"", errno.EIO),
        (b"\0", errno.EIO),
        (b"unended", errno.EIO),
        (b"x" * 256 + b"\0", errno.ENAMETOOLONG),
        (b"a/b\0", errno.ENOENT),
        (b"/\0", errno.ENOENT),
        (b".\0", errno.ENOENT),
        (b"..\0", errno.ENOENT),
    ],
)
def test_names_that_are_none(body: bytes, number: int) -> None:
    with pytest.raises(fuse.Refusal) as caught:
        fuse.Request(request(fuse.LOOKUP, body)).name()
    assert caught.value.number == number


def test_a_name_ends_at_its_nul() -> None:
    assert fuse.Request(request(fuse.LOOKUP, b"a\0/../b\0")).name() == b"a"
    assert len(fuse.Request(request(fuse.LOOKUP, b"x" * 255 + b"\0")).name()) == 255


def test_arguments_that_are_cut_off() -> None:
    with pytest.raises(fuse.Refusal) as caught:
        fuse.Request(request(fuse.READ, b"\0" * 39)).fields(fuse.READ_IN)
    assert caught.value.number == errno.EIO


def test_answers_carry_the_number_of_the_request() -> None:
    assert struct.unpack("=IiQ", fuse.reply(9, b"ab")[:16]) == (18, 0, 9)
    assert struct.unpack("=IiQ", fuse.refusal(9, errno.EIO)) == (16, -errno.EIO, 9)
    assert fuse.unique_of(request(fuse.INIT, unique=2**64 - 1)) == 2**64 - 1
    assert fuse.unique_of(b"x" * 15) is None


def unpack_dirents(raw: bytes) -> list[tuple[int, int, bytes, int]]:
    """(node, kind, name, offset) as fs/fuse/readdir.c takes them."""
    rows = []
    while raw:
        node, offset, length, kind = struct.unpack_from("=QQII", raw)
        rows.append((node, kind, raw[24 : 24 + length], offset))
        raw = raw[(24 + length + 7) // 8 * 8 :]
    return rows


ROWS = st.lists(
    st.tuples(
        st.integers(1, 2**63), st.sampled_from([4, 8, 10]), st.binary(min_size=1, max_size=60)
    ),
    max_size=40,
)


@given(ROWS, st.integers(100, 5000))
def test_a_listing_is_read_whole_in_pieces_of_any_size(
    rows: list[tuple[int, int, bytes]], size: int
) -> None:
    listing = fuse.dirents(rows)
    seen: list[tuple[int, int, bytes]] = []
    offset = 0
    while piece := fuse.some_dirents(listing, offset, size):
        assert len(piece) <= size
        got = unpack_dirents(piece)
        seen += [row[:3] for row in got]
        offset = got[-1][3]
    assert seen == rows


@given(ROWS, st.integers(0, 2**64 - 1) | st.integers(0, 3000), st.integers(0, 2**32 - 1))
def test_any_offset_gives_whole_entries(
    rows: list[tuple[int, int, bytes]], offset: int, size: int
) -> None:
    listing = fuse.dirents(rows)
    expected = b""
    start = 0
    for *_, end in unpack_dirents(listing):
        if start >= offset:
            if len(expected) + end - start > size:
                break
            expected += listing[start:end]
        start = end
    assert fuse.some_dirents(listing, offset, size) == expected
