"""mksquashfs and unsquashfs, as root of a user namespace. Their command lines and what they say."""

from __future__ import annotations

import os

from rootless.tools import spawn

PACKAGE = "squashfs-tools"
# What a user namespace cannot make, whoever asks: device nodes, and owners that it has not.
_DEVICE = "create_inode: failed to create "
_OWNER = "set_attributes: failed to change uid and gids on "
# Where a compressor has levels; mksquashfs's own choice for zstd, 15, takes ten times as long as
# this one for files that are an eighth smaller.
_LEVELS = {"zstd": 3}
# Bytes of memory for its caches: a quarter of the machine's, as it would take, is not ours.
_MEMORY = "512M"


def making(program: str, target: str, compression: str, level: int, seconds: int) -> list[str]:
    """The command that makes the file `target` of its working directory.

    level: 0 for the usual one. seconds: the file system's time, since 1970.
    """
    kind = (
        ["-comp", "gzip", "-noI", "-noD", "-noF", "-noX"]
        if compression == "none"
        else ["-comp", compression]
    )
    chosen = level or _LEVELS.get(compression, 0)
    if chosen:
        kind += ["-Xcompression-level", str(chosen)]
    return [
        program, ".", target, "-noappend", "-no-progress", "-quiet", "-exit-on-error", *kind,
        "-mkfs-time", str(seconds), "-processors", _processors(), "-mem", _MEMORY,
    ]  # fmt: skip


def unpacking(program: str, path: str, target: str, *, plain: bool) -> list[str]:
    """The command that unpacks the file `path` into the new directory `target`.

    plain: of extended attributes only user.*.
    """
    attributes = ["-user-xattrs"] if plain else []
    return [
        program, "-no-progress", "-quiet", "-processors", _processors(), *attributes,
        "-dest", target, path,
    ]  # fmt: skip


def _processors() -> str:
    return str(len(os.sched_getaffinity(0)))


class Unpacked:
    """What unsquashfs has said. lost: how many files could not be made or given to their owner.

    problem: why the tree is not whole, "" when it is."""

    __slots__ = ("devices", "owners", "problem")

    def __init__(self, ended: spawn.Completed) -> None:
        words = ended.stderr.decode(errors="replace").splitlines()
        lines = [line.strip() for line in words if line.strip()]
        self.devices = sum(line.startswith(_DEVICE) and "device " in line for line in lines)
        self.owners = sum(line.startswith(_OWNER) for line in lines)
        known = (_DEVICE, _OWNER)
        others = [line for line in lines if not line.startswith(known)]
        # 2 is for errors that it has gone on after (from version 4.5 on).
        ended_well = ended.code in (0, 2) and not others
        self.problem = "" if ended_well else (others[-1] if others else f"exit code {ended.code}")

    @property
    def is_about_attributes(self) -> bool:
        """Whether it failed on an extended attribute that only root may write."""
        return "write_xattr" in self.problem
