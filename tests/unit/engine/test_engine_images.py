"""What a plan learns of an image: two files, read as the layers together show them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rootless.engine import images
from rootless.errors import UsageError

OPAQUE = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")


def layer(top: Path, name: str, files: dict[str, str] | None = None) -> Path:
    path = top / name
    path.mkdir()
    for file, text in (files or {}).items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(text)
    return path


def read(*layers: Path) -> str:
    return images.read_in_layers([str(one) for one in layers], "etc/passwd")


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    return layer(tmp_path, "lower", {"etc/passwd": "lower", "etc/group": "g"})


def test_the_topmost_layer_that_has_the_file_counts(tmp_path: Path, lower: Path) -> None:
    upper = layer(tmp_path, "upper", {"etc/passwd": "upper"})
    assert read(upper, lower) == "upper"
    assert read(lower, upper) == "lower"
    assert read(layer(tmp_path, "empty"), lower) == "lower"
    assert read(layer(tmp_path, "other", {"etc/hosts": ""}), lower) == "lower"
    assert read() == ""
    assert read(layer(tmp_path, "alone")) == ""


@pytest.mark.parametrize("mark", ["etc/.wh.passwd", "etc/.wh..wh..opq"])
def test_whiteouts_that_are_names(tmp_path: Path, lower: Path, mark: str) -> None:
    assert read(layer(tmp_path, "upper", {mark: ""}), lower) == ""


@pytest.mark.parametrize("key", OPAQUE)
def test_opaque_directories(tmp_path: Path, lower: Path, key: str) -> None:
    upper = layer(tmp_path, "upper", {"etc/hosts": ""})
    try:
        os.setxattr(upper / "etc", key, b"y")
    except OSError:
        pytest.skip("the file system of the temporary directory has no user xattrs")
    assert read(upper, lower) == ""
    (upper / "etc/passwd").write_text("upper")
    assert read(upper, lower) == "upper"


@pytest.mark.parametrize("place", ["etc/passwd", "etc"])
def test_whiteouts_that_are_devices(tmp_path: Path, lower: Path, place: str) -> None:
    upper = layer(tmp_path, "upper")
    (upper / place).parent.mkdir(exist_ok=True)
    try:
        os.mknod(upper / place, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("this kernel lets nobody but root make whiteouts (Linux before 5.8)")
    assert read(upper, lower) == ""


def test_nothing_is_followed_out_of_the_image(tmp_path: Path, lower: Path) -> None:
    secret = layer(tmp_path, "host", {"passwd": "secret"})
    linked = layer(tmp_path, "linked", {"etc/x": ""})
    (linked / "etc/passwd").symlink_to(secret / "passwd")
    assert read(linked, lower) == ""
    folder = layer(tmp_path, "folder")
    (folder / "etc").symlink_to(secret)
    assert read(folder, lower) == ""


def test_what_is_no_file_hides_and_never_hangs(tmp_path: Path, lower: Path) -> None:
    folder = layer(tmp_path, "folder")
    (folder / "etc/passwd").mkdir(parents=True)
    assert read(folder, lower) == ""
    pipe = layer(tmp_path, "pipe", {"etc/x": ""})
    os.mkfifo(pipe / "etc/passwd")
    assert read(pipe, lower) == ""
    file = layer(tmp_path, "file", {"etc": "a file"})
    assert read(file, lower) == ""


def test_a_huge_file_is_read_in_part_and_damaged_text_is_readable(tmp_path: Path) -> None:
    big = layer(tmp_path, "big", {"etc/passwd": "x" * (3 << 20)})
    assert len(read(big)) == 1 << 20
    (big / "etc/passwd").write_bytes(b"a\xff:b")
    assert read(big) == "a\ufffd:b"


def test_no_descriptor_stays_open(tmp_path: Path, lower: Path) -> None:
    before = os.listdir("/proc/self/fd")
    upper = layer(tmp_path, "upper", {"etc/.wh.passwd": ""})
    read(lower)
    read(upper, lower)
    read(layer(tmp_path, "file", {"etc": ""}), lower)
    assert os.listdir("/proc/self/fd") == before


def test_a_root_file_system_as_a_directory(lower: Path) -> None:
    facts = images.facts_of_directory(str(lower))
    assert (facts.passwd, facts.group, facts.layers) == ("lower", "g", [str(lower)])
    with pytest.raises(UsageError, match=r"--rootfs .*nowhere: no such directory"):
        images.facts_of_directory(f"{lower}/nowhere")
