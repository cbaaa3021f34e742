"""Archives for tests of unpacking, and unpacking them as a user without subordinate ids."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from rootless.image import unpack
from rootless.model.idmap import IdMaps

Member = tuple[tarfile.TarInfo, bytes]
SINGLE = IdMaps(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))


def file(name: str, content: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str, **fields: object) -> Member:
    return file(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name: str, target: str, **fields: object) -> Member:
    return file(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def hardlink(name: str, target: str) -> Member:
    return file(name, type=tarfile.LNKTYPE, linkname=target)


def device(name: str, kind: bytes = tarfile.CHRTYPE, major: int = 1, minor: int = 3) -> Member:
    return file(name, type=kind, devmajor=major, devminor=minor)


def archive(members: Iterable[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def unpack_bytes(data: bytes, tree: Path, maps: IdMaps = SINGLE) -> unpack.Summary:
    """Unpack `data` into `tree`, a directory that is made."""
    tree.mkdir()
    fd = os.memfd_create("layer")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return unpack.unpack(fd, str(tree), maps)
    finally:
        os.close(fd)


def unpack_members(tree: Path, *members: Member) -> unpack.Summary:
    return unpack_bytes(archive(members), tree)
