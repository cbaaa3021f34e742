"""Owner and mode that are kept beside a file, as fuse-overlayfs and containers/storage keep them.

The extended attribute `user.containers.override_stat` with the value `UID:GID:MODE`, octal
(override_stat in fuse-overlayfs's utils.c; podman's `force_mask`). A layer whose root has it has it
on every directory and regular file. Pure.
"""

from __future__ import annotations

NAME = "user.containers.override_stat"

_MOST = 2**32 - 2


def text(uid: int, gid: int, mode: int) -> bytes:
    """The attribute's value; mode: permissions, with the set-id and sticky bits."""
    return f"{uid}:{gid}:{mode:04o}".encode()


def parse(value: bytes) -> tuple[int, int, int] | None:
    """uid, gid and mode of the attribute's value, None for one that is damaged."""
    fields = value.decode("ascii", "replace").split(":")
    try:
        uid, gid, mode = int(fields[0]), int(fields[1]), int(fields[2], 8)
    except (ValueError, IndexError):
        return None
    is_possible = 0 <= uid <= _MOST and 0 <= gid <= _MOST and 0 <= mode <= 0o7777
    return (uid, gid, mode) if is_possible else None
