"""A tar stream unpacked into a tree that is in use: never outside of it, never over a directory."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.errors import RlError
from rootless.image import extract, tarwriter


def archive(*entries: tuple[str, bytes, str]) -> bytes:
    """(name, type, content or target of a link) of each entry."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            if kind == tarfile.REGTYPE:
                info.size = len(text)
            else:
                info.linkname = text
            made.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def unpack(data: bytes, target: Path, naming: extract.Naming | None = None) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY
    owners = extract.Owners(extract.OWN_FILES, keep=False, special=False)
    pieces: Iterator[bytes] = iter([data])
    extract.extract(
        pieces,
        os.open(target, flags),
        os.open(target, flags),
        naming or extract.Naming(b""),
        owners,
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", FILE, "x")],
        [("l", LINK, "/"), ("l/evil", FILE, "x")],
        [("l", LINK, ".."), ("l/evil", FILE, "x")],
        [("h", HARD, "../secret"), ("h", FILE, "x")],
    ],
    ids=["dots", "absolute link", "link upwards", "hard link upwards"],
)
def test_nothing_lands_outside(entries: list[tuple[str, bytes, str]], target: Path) -> None:
    secret = target.parent / "secret"
    secret.write_text("kept")
    try:
        unpack(archive(*entries), target)
    except RlError:
        pass
    assert secret.read_text() == "kept"
    assert sorted(os.listdir(target.parent)) == ["secret", "target"]
    assert not Path("/evil").exists()


def test_a_directory_is_not_overwritten_by_a_file(target: Path) -> None:
    (target / "d").mkdir()
    with pytest.raises(RlError, match="cannot overwrite directory d"):
        unpack(archive(("d", FILE, "x")), target)
    assert (target / "d").is_dir()


def test_a_file_or_a_link_is_not_overwritten_by_a_directory(target: Path) -> None:
    (target / "l").symlink_to("/tmp")
    with pytest.raises(RlError, match="cannot overwrite non-directory l"):
        unpack(archive(("l", FOLDER, "")), target)
    assert (target / "l").is_symlink()


def test_a_link_in_the_way_is_replaced_not_followed(target: Path) -> None:
    outside = target.parent / "outside"
    outside.write_text("kept")
    (target / "f").symlink_to(outside)
    unpack(archive(("f", FILE, "new")), target)
    assert outside.read_text() == "kept"
    assert (target / "f").read_text() == "new"


def test_entries_get_their_new_name(target: Path) -> None:
    data = archive(("old", FOLDER, ""), ("old/f", FILE, "x"), ("old/h", HARD, "old/f"))
    unpack(data, target, extract.Naming(b"", b"old", b"new"))
    assert sorted(os.listdir(target / "new")) == ["f", "h"]
    assert (target / "new/f").stat().st_ino == (target / "new/h").stat().st_ino


def test_whiteouts_are_files_like_others(target: Path) -> None:
    (target / "x").write_text("kept")
    unpack(archive((".wh.x", FILE, "")), target)
    assert sorted(os.listdir(target)) == [".wh.x", "x"]


def test_the_mtime_of_a_directory_that_was_there_changes(target: Path) -> None:
    os.utime(target, ns=(0, 0))
    unpack(archive(("f", FILE, "x")), target)
    assert target.stat().st_mtime > 0


def test_a_tree_comes_back_as_it_was(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "closed").mkdir(parents=True)
    (source / "closed/f").write_bytes(os.urandom(300_000))
    (source / "set").write_text("x")
    (source / "set").chmod(0o4755)
    os.link(source / "closed/f", source / "h")
    (source / ("n" * 200)).symlink_to("/nowhere")
    os.mkfifo(source / "p")
    os.utime(source / "closed/f", ns=(5, 1_234_567_890_123_456_789))
    (source / "closed").chmod(0o555)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        writer = tarwriter.TarWriter(write_end)
        writer.add_open(os.open(source, os.O_PATH), "s")
        writer.close()
        os._exit(0)
    os.close(write_end)
    flags = os.O_RDONLY | os.O_DIRECTORY
    owners = extract.Owners(extract.OWN_FILES, keep=False, special=False)
    extract.extract(
        extract.pieces(read_end), os.open(target, flags), os.open(target, flags),
        extract.Naming(b""), owners,
    )  # fmt: skip
    os.close(read_end)
    assert os.waitpid(pid, 0)[1] == 0
    copy = target / "s"
    assert (copy / "closed/f").read_bytes() == (source / "closed/f").read_bytes()
    assert (copy / "closed/f").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert stat.S_IMODE((copy / "closed").stat().st_mode) == 0o555
    assert (copy / "closed/f").stat().st_ino == (copy / "h").stat().st_ino
    assert os.readlink(copy / ("n" * 200)) == "/nowhere"
    assert stat.S_ISFIFO((copy / "p").stat().st_mode)
    # Whoever started it would have our rights.
    assert stat.S_IMODE((copy / "set").stat().st_mode) == 0o755
    for folder in (source, copy):
        (folder / "closed").chmod(0o755)
