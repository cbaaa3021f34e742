"""Headers that we write, as Python's own reader and ours understand them."""

from __future__ import annotations

import io
import tarfile

import pytest

from rootless.image import tarentry, tarheader
from rootless.image.bytestream import ByteStream
from rootless.image.tarheader import Member
from rootless.image.tarstream import TarReader


def read_back(member: Member, data: bytes = b"") -> tarfile.TarInfo:
    archive = tarheader.header(member) + data + tarheader.padding(len(data)) + bytes(1024)
    assert len(archive) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as opened:
        (info,) = opened.getmembers()
    (ours,) = TarReader(ByteStream(iter([archive])))
    assert (ours.name.rstrip(b"/"), ours.uid, ours.gid, ours.mode, ours.link) == (
        info.name.encode(errors="surrogateescape"), info.uid, info.gid, info.mode,
        info.linkname.encode(errors="surrogateescape"),
    )  # fmt: skip
    assert ours.mtime_ns == int(info.mtime) * 10**9
    assert ours.xattrs == {key.encode(): value for key, value in (member.xattrs or {}).items()}
    return info


def test_a_file_with_everything_usual() -> None:
    member = Member(b"a/b", tarentry.FILE, mode=0o4755, uid=33, gid=44, size=3, mtime=1_700_000_000)
    info = read_back(member, b"abc")
    assert (info.mode, info.size, info.uid, info.gid, info.uname) == (0o4755, 3, 33, 44, "")
    assert len(tarheader.header(member)) == 512


@pytest.mark.parametrize("length", [99, 100, 101, 200, 255, 256, 257, 300, 4000])
@pytest.mark.parametrize("component", [b"n" * 20, b"n" * 99, b"n" * 255, "ü".encode() * 60])
def test_names_of_any_length(length: int, component: bytes) -> None:
    path = b"/".join([component] * (length // len(component) + 1))[:length].rstrip(b"/\xc3")
    assert read_back(Member(path, tarentry.FILE)).name.encode() == path
    folder = read_back(Member(path + b"/", tarentry.DIRECTORY))
    assert folder.isdir()
    assert folder.name.encode() == path


def test_names_that_are_not_utf_8() -> None:
    assert read_back(Member(b"a\xff\xfe", tarentry.FILE)).name == "a\udcff\udcfe"
    long_name = b"\xff" * 200
    assert read_back(Member(long_name, tarentry.FILE)).name == "\udcff" * 200


@pytest.mark.parametrize("length", [10, 100, 101, 3000])
def test_links(length: int) -> None:
    target = b"t" * length
    info = read_back(Member(b"link", tarentry.SYMLINK, link=target))
    assert (info.issym(), info.linkname) == (True, target.decode())
    assert read_back(Member(b"hard", tarentry.LINK, link=target)).islnk()


def test_numbers_that_no_octal_field_holds() -> None:
    size = 8 * 1024**3
    member = Member(b"big", tarentry.FILE, uid=0o7777777 + 1, gid=4294967294, size=size, mtime=-5)
    records = tarheader.header(member)
    for record in (b"uid=2097152\n", b"gid=4294967294\n", b"size=8589934592\n", b"mtime=-5\n"):
        assert record in records
    member.size = 0
    info = read_back(member)
    assert (info.uid, info.gid, info.mtime) == (2097152, 4294967294, -5)


def test_extended_attributes_are_sorted_and_kept_byte_for_byte() -> None:
    xattrs = {"user.z": b"\x00\xff\n=", "security.capability": bytes(range(20)), "user.a": b""}
    first = tarheader.header(Member(b"x", tarentry.FILE, xattrs=xattrs))
    other = dict(reversed(xattrs.items()))
    assert first == tarheader.header(Member(b"x", tarentry.FILE, xattrs=other))
    assert read_back(Member(b"x", tarentry.FILE, xattrs=xattrs)).isreg()


@pytest.mark.parametrize("size", [85, 86, 87, 88, 975, 976, 977, 978, 979, 980])
def test_the_length_of_a_record_counts_itself(size: int) -> None:
    xattrs = {"user.v": b"v" * size}
    read_back(Member(b"x", tarentry.FILE, xattrs=xattrs))


def test_devices_and_fifos() -> None:
    info = read_back(Member(b"d", tarentry.CHAR, device=(10, 229)))
    assert (info.ischr(), info.devmajor, info.devminor) == (True, 10, 229)
    assert read_back(Member(b"f", tarentry.FIFO)).isfifo()
