"""The embedded image's layer: which busybox, and always the same bytes."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from pathlib import Path

import pytest

from rootless.errors import HostError
from rootless.image import embedded
from rootless.tools import spawn


def elf(*types: int, wide: bool = True, order: str = "<") -> bytes:
    """The beginning of an ELF file with program headers of these types."""
    size = 56 if wide else 32
    head = bytearray(64)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
    struct.pack_into(f"{order}Q" if wide else f"{order}I", head, 32 if wide else 28, 64)
    struct.pack_into(f"{order}HH", head, 54 if wide else 42, size, len(types))
    table = b"".join(struct.pack(f"{order}I", kind).ljust(size, b"\0") for kind in types)
    return bytes(head) + table


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_interpreter_makes_a_program_dynamic(tmp_path: Path, wide: bool, order: str) -> None:
    path = tmp_path / "program"
    for types, expected in (((6, 1, 1), True), ((6, 3, 1), False), ((), True)):
        path.write_bytes(elf(*types, wide=wide, order=order))
        assert embedded.is_static(str(path)) is expected


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF"])
def test_what_is_no_program_is_not_static(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "program"
    path.write_bytes(content)
    assert not embedded.is_static(str(path))


def test_a_dynamic_busybox_will_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "which", lambda name: "/bin/sh" if name == "busybox" else None)
    assert not embedded.is_static("/bin/sh")
    with pytest.raises(HostError) as caught:
        embedded.find_busybox()
    assert caught.value.hint == "sudo apt-get install busybox-static"


@pytest.fixture
def fake_busybox(tmp_path: Path) -> str:
    """A program that lists applets as busybox does, one of them not ours to place."""
    path = tmp_path / "busybox"
    path.write_text("#!/bin/sh\nprintf '%s\\n' linuxrc usr/bin/env bin/sh bin/busybox ../../etc\n")
    path.chmod(0o755)
    return str(path)


def test_the_layer_is_deterministic_and_complete(fake_busybox: str) -> None:
    data = embedded._archive(fake_busybox)
    os.utime(fake_busybox, (1, 1))
    assert embedded._archive(fake_busybox) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {member.name: member for member in archive}
        assert archive.extractfile("etc/passwd").read().startswith(b"root:x:0:0:")  # type: ignore[union-attr]
        assert archive.extractfile("bin/busybox").read() == Path(fake_busybox).read_bytes()  # type: ignore[union-attr]
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {"bin/sh": "/bin/busybox", "usr/bin/env": "/bin/busybox"}
    assert members["tmp"].mode == 0o1777
    assert members["bin/busybox"].mode == 0o755
    assert {member.mtime for member in members.values()} == {embedded._TIME}
    assert {"proc", "sys", "dev", "run", "var/tmp", "root"} <= members.keys()


def test_a_program_without_applets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "busybox"
    path.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    path.chmod(0o755)
    with pytest.raises(HostError, match="does not list its applets: broken"):
        embedded._archive(str(path))
