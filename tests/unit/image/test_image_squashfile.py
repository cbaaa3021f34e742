"""What is believed of a squashfs file before anything mounts it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import ImageError, NotFoundError
from rootless.image import squashfile
from rootless.model import imagefile


def made(path: Path, told: dict[str, Any] | None = None, *, end: int = 5000) -> Path:
    """A file that begins as a squashfs file does, with the section `told` behind it."""
    head = bytearray(5000)
    head[:4] = b"hsqs"
    head[28] = 4
    head[40:48] = end.to_bytes(8, "little")
    path.write_bytes(bytes(head))
    if told is not None:
        section = imagefile.section({"superblock": bytes(head[:96]).hex(), **told})
        path.write_bytes(bytes(head) + bytes(3192) + section)
    return path


CONFIG = {"config": {"Env": ["A=b"], "User": "x"}, "os": "linux"}


def appended(path: Path, config: dict[str, Any]) -> Path:
    made(path)
    fd = os.open(path, os.O_RDWR)
    squashfile.append(fd, name="n", image_id="0" * 64, config=config, passwd="p", group="g")
    os.close(fd)
    return path


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    found = squashfile.read(str(appended(tmp_path / "i.sqsh", CONFIG)))
    assert (found.name, found.image_id, found.passwd, found.group) == ("n", "0" * 64, "p", "g")
    assert found.section == CONFIG["config"]
    assert found.size == (tmp_path / "i.sqsh").stat().st_size


def test_a_file_of_another_program(tmp_path: Path) -> None:
    found = squashfile.read(str(made(tmp_path / "i.sqsh")))
    assert (found.name, found.image_id, found.passwd, found.section) == ("", "", None, {})


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first = squashfile.read(str(appended(tmp_path / "i.sqsh", CONFIG)))
    os.utime(tmp_path / "i.sqsh", (5, 5))
    os.rename(tmp_path / "i.sqsh", tmp_path / "j.sqsh")
    assert squashfile.read(str(tmp_path / "j.sqsh")).fingerprint == first.fingerprint
    other = squashfile.read(str(made(tmp_path / "o.sqsh", end=4999)))
    os.utime(tmp_path / "o.sqsh", (5, 5))
    assert squashfile.read(str(tmp_path / "o.sqsh")).fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "told",
    [
        {"version": 2, "config": CONFIG},
        {"version": 1, "config": CONFIG, "superblock": "of the file before"},
        {"version": 1, "config": [], "passwd": 5, "group": {}},
        {"version": 1, "config": None},
    ],
)
def test_what_makes_no_sense_is_not_there(tmp_path: Path, told: dict[str, Any]) -> None:
    found = squashfile.read(str(made(tmp_path / "i.sqsh", told)))
    assert (found.section, found.passwd, found.group) == ({}, None, None)


@pytest.mark.parametrize(
    "config",
    [
        {"config": {"Env": 5}}, {"config": {"Cmd": [1]}}, {"os": 5}, {"config": []},
        {"config": {"Healthcheck": {"Retries": "many"}}}, {"config": {"Labels": ["x"]}},
    ],
)  # fmt: skip
def test_a_configuration_of_other_types_is_an_error(tmp_path: Path, config: dict[str, Any]) -> None:
    path = made(tmp_path / "i.sqsh", {"version": 1, "config": config})
    with pytest.raises(ImageError, match="configuration"):
        squashfile.read(str(path))


def test_deep_json_is_no_section(tmp_path: Path) -> None:
    path = made(tmp_path / "i.sqsh", {})
    deep = b"[" * 200_000
    head = b"rl-image-config\n" + len(deep).to_bytes(8, "little")
    path.write_bytes(path.read_bytes()[:8192] + head + deep)
    assert squashfile.read(str(path)).section == {}


def test_what_is_no_image_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "short").write_bytes(made(tmp_path / "i.sqsh").read_bytes()[:3000])
    huge = made(tmp_path / "huge", end=2**64 - 1)
    for name, words in (
        ("text", "is not a squashfs file"),
        ("fifo", "is no regular file"),
        ("short", "is cut short: has 3000 of 5000 bytes"),
        (huge.name, "is cut short"),
    ):
        with pytest.raises(ImageError, match=words):
            squashfile.read(str(tmp_path / name))
    with pytest.raises(NotFoundError, match="No such file"):
        squashfile.read(str(tmp_path / "none"))
