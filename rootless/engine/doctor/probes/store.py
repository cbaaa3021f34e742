"""The places where things are kept: what they are on, what fits in, what they let us do."""

from __future__ import annotations

import os
import re
from typing import Any

from rootless.errors import StoreError
from rootless.kernel import libc
from rootless.store import files, paths

_ESCAPED = re.compile(r"\\([0-7]{3})")
_ATTRIBUTE = "user.rl-doctor"
# Of what a runtime directory is made in.
_SESSIONS = "/run/user/{0}"


def places() -> dict[str, Any]:
    """root and runtime: the directories that a run would use; had: whether the latter was there.

    Nothing stays that was not there before. error: why there is no place, as [message, hint].
    """
    uid = os.geteuid()
    before = {path for path in _runtimes(uid) if os.path.lexists(path)}
    try:
        found = paths.discover()
    except StoreError as error:
        return {"root": "", "runtime": "", "error": [error.message, error.hint]}
    if found.runtime not in before:
        _remove_if_empty(found.runtime)
    return {"root": found.root, "runtime": found.runtime, "error": None}


def _runtimes(uid: int) -> list[str]:
    explicit = os.environ.get("RL_RUNTIME_DIR", "")
    return [os.path.abspath(explicit), f"/run/user/{uid}/rl", f"/tmp/rl-{uid}"]


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # another command uses it by now


def standing(root: str) -> str:
    """`root`, or the nearest directory above it that is there."""
    while not os.path.isdir(root):
        root = os.path.dirname(root)
    return root


def look() -> dict[str, Any]:
    """The facts that `engine.doctor.store` judges.

    error: as of `places`; then there is nothing else. place: where it could be tried. refused, attributes: why no file could be written there, or no
    extended attribute; "" where it could. quota: of kernel.libc.user_quota, None where not known.
    """
    told = places()
    if told["error"]:
        return told
    place = told["place"] = standing(told["root"])
    told["quota"] = None
    told["kind"], device = _mount_of(place)
    told.update(_room(place))
    told["refused"], told["attributes"] = _write(place)
    try:
        told["quota"] = list(libc.user_quota(device, os.geteuid()))
    except OSError:
        pass  # no quotas, or a file system whose server has them
    told["session"] = _session(told["runtime"])
    return told


def _session(runtime: str) -> dict[str, Any]:
    """What the environment says of a runtime directory, which rl does not need."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    usual = _SESSIONS.format(os.geteuid())
    return {
        "named": named,
        "named_works": bool(named) and files_are_ours(named),
        "usual": usual,
        "is_usual": runtime.startswith(f"{usual}/"),
    }


def files_are_ours(path: str) -> bool:
    """Whether `path` is a private directory of ours."""
    return paths.is_private(path, os.geteuid())


def _mount_of(place: str) -> tuple[str, str]:
    """The type and the device of the file system that `place` is on (proc_pid_mountinfo(5))."""
    wanted = os.path.realpath(place)
    best, kind, device = "", "", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split(" - ", 1) for line in file if " - " in line]
    for head, tail in rows:
        point = _plain(head.split(" ")[4])
        is_above = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        # Of several on one another the last is seen.
        if is_above and len(point) >= len(best):
            best, (kind, device) = point, tail.split(" ")[:2]
    return kind, _plain(device)


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)


def _room(place: str) -> dict[str, Any]:
    info = os.statvfs(place)
    return {
        "free": info.f_bavail * info.f_frsize,
        "size": info.f_blocks * info.f_frsize,
        # Where files are not counted, as on btrfs, all of it is 0.
        "free_files": info.f_favail if info.f_files else None,
        "noexec": bool(info.f_flag & os.ST_NOEXEC),
        "nodev": bool(info.f_flag & os.ST_NODEV),
        "read_only": bool(info.f_flag & os.ST_RDONLY),
    }


def _write(place: str) -> tuple[str, str]:
    """Why nothing can be written there, and why no extended attribute."""
    try:
        fd = files.nameless(place)
    except OSError as error:
        return error.strerror or str(error), ""
    try:
        os.write(fd, b"x")
        os.setxattr(f"/proc/self/fd/{fd}", _ATTRIBUTE, b"x")
    except OSError as error:
        return "", error.strerror or str(error)
    finally:
        os.close(fd)
    return "", ""
