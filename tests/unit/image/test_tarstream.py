"""The tar reader against archives of Python's tarfile and of GNU tar, and against damaged ones."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import ImageError
from rootless.image import tarentry
from rootless.image.bytestream import ByteStream
from rootless.image.tarentry import Entry
from rootless.image.tarstream import TarReader

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def read(data: bytes, piece: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    reader = TarReader(ByteStream(pieces(data, piece)))
    return [(entry, b"".join(reader.data())) for entry in reader]


def names(data: bytes) -> list[bytes]:
    return [entry.name for entry, _ in read(data)]


def member(
    name: str, content: bytes | None = None, **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content or b"")
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content or b""


def archive(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("piece", [1, 100, 512, 1 << 20])
def test_all_fields_of_all_formats(form: int, piece: int) -> None:
    data = archive(
        [
            member("d", type=tarfile.DIRTYPE, mode=0o1755, uid=1, gid=2, mtime=1700000000),
            member("d/file", b"x" * 700, mode=0o4751, uid=1000, gid=65534, mtime=5),
            member("d/sym", type=tarfile.SYMTYPE, linkname="../x"),
            member("d/hard", type=tarfile.LNKTYPE, linkname="d/file"),
            member("fifo", type=tarfile.FIFOTYPE),
            member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        ],
        form,
    )
    found = read(data, piece)
    assert [(e.name, e.kind, e.link) for e, _ in found] == [
        (b"d/", b"5", b""),
        (b"d/file", b"0", b""),
        (b"d/sym", b"2", b"../x"),
        (b"d/hard", b"1", b"d/file"),
        (b"fifo", b"6", b""),
        (b"null", b"3", b""),
    ]
    folder, file = found[0][0], found[1][0]
    assert (folder.mode, folder.uid, folder.gid, folder.mtime_ns) == (
        0o1755, 1, 2, 1700000000 * 10**9,
    )  # fmt: skip
    assert (file.mode, file.uid, file.gid, file.size) == (0o4751, 1000, 65534, 700)
    assert found[1][1] == b"x" * 700


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_long_names_and_large_numbers(form: int) -> None:
    name, link = "/".join(["directory" * 5] * 20), "target/" * 60
    data = archive(
        [
            member(name, b"content", uid=3_000_000, gid=2**31),
            member("link", type=tarfile.SYMTYPE, linkname=link),
        ],
        form,
    )
    (first, content), (second, _) = read(data)
    assert (first.name, content) == (name.encode(), b"content")
    assert (first.uid, first.gid) == (3_000_000, 2**31)
    assert second.link == link.encode()


def test_ustar_prefix() -> None:
    name = "p" * 90 + "/" + "n" * 90
    assert names(archive([member(name)], tarfile.USTAR_FORMAT)) == [name.encode()]


def test_v7_has_no_prefix_and_knows_directories_by_their_slash() -> None:
    header = bytearray(tarfile.TarInfo("old/").tobuf(tarfile.USTAR_FORMAT))
    header[156:157] = b"\0"
    header[257:512] = b"junk where ustar has its magic".ljust(255, b"z")
    rechecksum(header)
    (entry, _), *rest = read(bytes(header) + bytes(1024))
    assert (entry.name, entry.kind, rest) == (b"old/", tarentry.DIRECTORY, [])


def rechecksum(header: bytearray) -> None:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])


def test_checksum_of_signed_bytes_is_taken() -> None:
    header = bytearray(tarfile.TarInfo("f\u00fc").tobuf(tarfile.USTAR_FORMAT, "latin-1"))
    header[148:156] = b" " * 8
    total = sum(byte - 256 if byte > 127 else byte for byte in header)
    header[148:156] = b"%06o\0 " % total
    assert names(bytes(header) + bytes(1024)) == [b"f\xfc"]


def test_pax_times_and_xattrs() -> None:
    headers = {
        "mtime": "1700000000.123456789",
        "SCHILY.xattr.user.x": "value=1\nmore",
        "LIBARCHIVE.xattr.user.a%3Db": "Ynl0ZXM",
        "comment": "nothing",
    }
    ((entry, _),) = read(archive([member("f", pax_headers=headers)]))
    assert entry.mtime_ns == 1_700_000_000_123_456_789
    assert entry.xattrs == {b"user.x": b"value=1\nmore", b"user.a=b": b"bytes"}


def test_negative_times() -> None:
    ((entry, _),) = read(archive([member("f", mtime=-1.5)]))
    assert entry.mtime_ns == -1_500_000_000
    ((entry, _),) = read(archive([member("f", mtime=-7)], tarfile.GNU_FORMAT))
    assert entry.mtime_ns == -7_000_000_000


def test_global_headers_hold_until_overridden() -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "77"}
    ) as tar:
        tar.addfile(tarfile.TarInfo("a"))
        tar.addfile(member("b", pax_headers={"mtime": "5"})[0])
        tar.addfile(tarfile.TarInfo("c"))
    assert [e.mtime_ns // 10**9 for e, _ in read(buffer.getvalue())] == [77, 5, 77]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_only_files_have_data_whatever_a_size_says(kind: bytes) -> None:
    odd = tarfile.TarInfo("odd")
    odd.type, odd.size, odd.linkname = kind, 5000, "f"
    found = read(odd.tobuf(tarfile.USTAR_FORMAT) + archive([member("f", b"data")]))
    assert [(e.name.rstrip(b"/"), e.size, content) for e, content in found] == [
        (b"odd", 0, b""),
        (b"f", 4, b"data"),
    ]


def test_a_volume_label_is_no_entry() -> None:
    label = tarfile.TarInfo("label")
    label.type = b"V"
    assert names(label.tobuf(tarfile.GNU_FORMAT) + archive([member("f")])) == [b"f"]


def test_the_end_may_be_missing() -> None:
    data = archive([member("f", b"12345")])
    assert names(data[:1024]) == [b"f"]
    assert names(data[: 1024 + 512]) == [b"f"]
    assert names(b"") == []


@pytest.fixture
def sparse_file(tmp_path: Path) -> Path:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for number in range(40):
            file.seek(number * 64 * 1024)
            file.write(b"%04d" % number * 1024)
        file.truncate(4 * 1024 * 1024)
    return path


def assembled(entry: Entry, data: bytes) -> bytes:
    assert entry.sparse is not None
    whole, position = bytearray(entry.real_size), 0
    for offset, length in entry.sparse:
        whole[offset : offset + length] = data[position : position + length]
        position += length
    return bytes(whole)


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
    ids=["gnu", "0.0", "0.1", "1.0"],
)
def test_sparse_files_of_gnu_tar(sparse_file: Path, options: list[str]) -> None:
    data = subprocess.run(
        ["tar", "-C", sparse_file.parent, "-c", "--sparse", *options, "sparse"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    ((entry, stored),) = read(data, 1000)
    assert entry.name == b"sparse"
    assert len(stored) == 40 * 4096
    assert assembled(entry, stored) == sparse_file.read_bytes()


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_a_tree_of_gnu_tar(tmp_path: Path, form: str) -> None:
    (tmp_path / "t" / "sub").mkdir(parents=True)
    (tmp_path / "t" / "sub" / "file").write_bytes(b"y" * 3000)
    (tmp_path / "t" / "link").symlink_to("sub/file")
    os.link(tmp_path / "t" / "sub" / "file", tmp_path / "t" / "zz")
    command = ["tar", "-C", tmp_path, "-c", f"--format={form}", "--sort=name", "t"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    found = [(e.name.rstrip(b"/"), e.kind, e.link, len(content)) for e, content in read(data)]
    assert found == [
        (b"t", b"5", b"", 0),
        (b"t/link", b"2", b"sub/file", 0),
        (b"t/sub", b"5", b"", 0),
        (b"t/sub/file", b"0", b"", 3000),
        (b"t/zz", b"1", b"t/sub/file", 0),
    ]


@pytest.mark.parametrize("size", [0, 1, 500, 512, 513])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_the_last_blocks_filling_and_the_end_may_be_missing(size: int, form: int) -> None:
    buffer = io.BytesIO()
    content = b"z" * size
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        tar.addfile(member("first", b"1")[0], io.BytesIO(b"1"))
        tar.addfile(member("é", content)[0], io.BytesIO(content))
        ends = tar.offset
    start_of_filling = ends - (-size % 512)
    for end in {start_of_filling, (start_of_filling + ends) // 2, ends, ends + 512, ends + 1024}:
        found = [(entry.name, data) for entry, data in read(buffer.getvalue()[:end])]
        assert found == [(b"first", b"1"), ("é".encode(), content)]
    if size:
        with pytest.raises(ImageError, match="cut in the middle"):
            read(buffer.getvalue()[: start_of_filling - 1])


def pax_archive(records: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(records)
    return (
        info.tobuf(tarfile.USTAR_FORMAT)
        + records
        + bytes(-len(records) % 512)
        + archive([member("f", b"data")])
    )


def record(text: bytes) -> bytes:
    """A PAX record with its length, for lengths of two digits."""
    return b"%d %b\n" % (len(text) + 4, text)


def header_with(offset: int, value: bytes, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo("some/file")
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[offset : offset + len(value)] = value
    rechecksum(header)
    return bytes(header) + bytes(1024)


def base256(number: int, width: int = 12) -> bytes:
    return (number & ((1 << (8 * width)) - 1) | 0x80 << (8 * (width - 1))).to_bytes(width, "big")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (archive([member("some/file", b"x" * 5000)])[:3000], "some/file: .* cut in the middle"),
        (archive([member("some/file", b"x" * 500)])[:700], "some/file: .* cut in the middle"),
        (archive([member("f")])[:300], "archive: .* cut"),
        (b"garbage" * 500, "archive: not a number .* checksum"),
        (b"\0" * 512 + archive([member("f")]), "lone block of zeros"),
        (bytes(header_with(124, b"999999\0")), "some/file: not a number .* size"),
        (bytes(header_with(108, b"1_0\0\0\0\0\0")), "not a number .* uid"),
        (bytes(header_with(124, base256(-1))), "some/file: impossible size -1"),
        (bytes(header_with(124, base256(2**70))), "some/file: impossible size"),
        (bytes(header_with(124, base256(2**40), b"L")), "extended header of 1099511627776 bytes"),
        (bytes(header_with(124, base256(2**40), b"x")), "extended header of 1099511627776 bytes"),
        (header_with(0, b"", b"M"), "some/file: unknown type of entry b'M'"),
        (header_with(0, b"", b"L"), "ends after an extended header"),
        (pax_archive(b"path=x\n"), "a record without a length"),
        (pax_archive(b"99 path=x\n"), "a record of the wrong length"),
        (pax_archive(b"10 path=xy"), "a record of the wrong length"),
        (pax_archive(b"3 \n"), "a record"),
        (pax_archive(record(b"no equals sign")), "a record without a key"),
        (pax_archive(record(b"uid=-500")), "not a number"),
        (pax_archive(record(b"mtime=1e99999")), "not a time"),
        (pax_archive(record(b"size=99999999999999999")), "impossible size|cut"),
        (pax_archive(record(b"GNU.sparse.major=9")), "unknown version of GNU.sparse"),
        (pax_archive(record(b"GNU.sparse.map=0,1")), "damaged sparse map: 1 bytes of data, but 4"),
        (pax_archive(record(b"GNU.sparse.map=9,4,1")), "odd number"),
        (pax_archive(record(b"GNU.sparse.map=0,2,1,2")), "damaged sparse map: part 1"),
    ],
)  # fmt: skip
def test_damaged_archives_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read(data)


def test_names_in_messages_are_printable_and_short() -> None:
    assert tarentry.shown(b"a\x1b[31m\n\xff") == "a\\x1b[31m\\n\\\\xff"
    assert len(tarentry.shown(b"n" * 9000)) <= 201


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=3000))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    try:
        total = sum(len(content) for _, content in read(data))
    except ImageError:
        return
    assert total <= len(data)


@settings(max_examples=200, deadline=None, database=None)
@given(st.integers(0, 2**32))
def test_archives_with_flipped_bytes_are_read_or_refused(seed: int) -> None:
    source = random.Random(seed)
    data = bytearray(SAMPLE)
    for _ in range(source.randrange(1, 4)):
        data[source.randrange(len(data))] = source.randrange(256)
    for start in range(0, len(data) - 511, 512):
        if source.random() < 0.9 and data[start + 257 : start + 262] == b"ustar":
            header = data[start : start + 512]
            rechecksum(header)
            data[start : start + 512] = header
    try:
        found = read(bytes(data))
    except ImageError:
        return
    assert all(entry.size >= 0 and isinstance(entry.name, bytes) for entry, _ in found)


SAMPLE = archive(
    [
        member("dir", type=tarfile.DIRTYPE),
        member("dir/" + "x" * 120, b"content" * 40, mtime=1.5),
        member("s", b"abcd", pax_headers={"GNU.sparse.map": "0,2,100,2", "GNU.sparse.size": "200"}),
        member("l", type=tarfile.SYMTYPE, linkname="y" * 130),
    ]
)  # fmt: skip


@settings(max_examples=80, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1),
            st.binary(max_size=2000),
            st.integers(0, 2**21 - 1),
        ),
        max_size=5,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 5000),
)
def test_what_tarfile_writes_is_read_back(
    rows: list[tuple[str, bytes, int]], form: int, piece: int
) -> None:
    data = archive([member(name, content, uid=uid) for name, content, uid in rows], form)
    found = [(e.name, content, e.uid) for e, content in read(data, piece)]
    assert found == [(name.encode(), content, uid) for name, content, uid in rows]
