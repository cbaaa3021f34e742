"""The owner that an image wants a file to have, kept beside the file where only one id is mapped.

An extended attribute with a value as fuse-overlayfs and containers/storage have in theirs
("uid:gid:mode", and ":type" where the file itself cannot be of that type; override_stat in
fuse-overlayfs's utils.c). Its name is our own: theirs cannot be set through a mount of
fuse-overlayfs, and where it shows them, it shows ids that are not mapped, which nobody may then
write to. A file without the mark is 0:0. Of the mode, only that of devices counts: others have
theirs. Pure.
"""

from __future__ import annotations

import os
import stat

from rootless.model.value import Value

NAME = "user.rl.override_stat"
# What an archive cannot bring and no archive gets.
PREFIX = "user.rl."

_MOST = 2**32 - 2
_KINDS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK}


class OwnerMark(Value):
    """kind: S_IFCHR or S_IFBLK for a device that a regular file stands for, with its numbers in
    `device`; else 0. mode: permissions."""

    __slots__ = ("device", "gid", "kind", "mode", "uid")

    def __init__(
        self, uid: int, gid: int, mode: int, kind: int = 0, device: tuple[int, int] = (0, 0)
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.mode = mode
        self.kind = kind
        self.device = device

    @property
    def is_needed(self) -> bool:
        """Whether a file without a mark would be another."""
        return bool(self.uid or self.gid or self.kind)

    def text(self) -> bytes:
        """The attribute's value."""
        text = f"{self.uid}:{self.gid}:{self.mode:04o}"
        if self.kind:
            name = "char" if self.kind == stat.S_IFCHR else "block"
            text += f":{name}-{self.device[0]}-{self.device[1]}"
        return text.encode()


def parse(value: bytes) -> OwnerMark | None:
    """The mark of an attribute, None where it is none of ours: a container can write anything."""
    fields = value.decode("ascii", "replace").split(":")
    try:
        uid, gid, mode = int(fields[0]), int(fields[1]), int(fields[2], 8)
        kind, device = _device(fields[3]) if len(fields) > 3 else (0, (0, 0))
    except (ValueError, IndexError, KeyError, OverflowError):
        return None
    if not (0 <= uid <= _MOST and 0 <= gid <= _MOST and 0 <= mode <= 0o7777):
        return None
    return OwnerMark(uid, gid, mode, kind, device)


def _device(text: str) -> tuple[int, tuple[int, int]]:
    name, major, minor = text.split("-")
    device = int(major), int(minor)
    os.makedev(*device)
    # 0:0 would be a whiteout, which hides what layers below have.
    if min(device) < 0 or (name == "char" and device == (0, 0)):
        raise ValueError(text)
    return _KINDS[name], device
