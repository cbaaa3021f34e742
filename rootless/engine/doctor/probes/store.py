"""The places where things are kept: what they are on, what fits in, what they let us do.

The run's own search for them is asked; what it makes on its way is taken back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from rootless.errors import RlError
from rootless.kernel import libc
from rootless.store import files, instead, paths, places, site, trees

_ESCAPED = re.compile(r"\\([0-7]{3})")
_ATTRIBUTE = "user.rl-doctor"
_SESSION = "/run/user/{0}"


def look(with_place: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    """The facts that `engine.doctor.store` judges.

    error: why there is no place, as [message, hint]; then there is nothing else. root, runtime: the
    directories that a run would use. instead_of: a better place and why it is not taken. place: the
    part of the root's path that is there. refused: why no store can be there; attributes: why no
    extended attribute, "" where it can. quota: of kernel.libc.user_quota, None where not known.
    more: what `with_place` found, called with the root and the place.
    """
    try:
        had = {path for path in _what_could_be_made() if os.path.lexists(path)}
        found = paths.discover()
    except RlError as error:
        return {"error": [error.message, error.hint]}
    try:
        told = _look(found.root, found.runtime)
        told["more"] = {} if told["refused"] else with_place(found.root, told["place"])
    finally:
        _take_back(found, had)
    return told


def _what_could_be_made() -> list[str]:
    """The directories that the search itself may make."""
    configured = site.load()
    named = [os.environ.get("RL_RUNTIME_DIR", ""), configured.runtime if configured else ""]
    stores = [path for path, _ in paths.store_candidates()]
    runtimes = [os.path.abspath(path) for path in named if path]
    return [*stores, *runtimes, *paths.runtime_candidates()]


def _take_back(found: paths.Paths, had: set[str]) -> None:
    if found.runtime not in had:
        _remove_if_empty(found.runtime)
    # Made only in the stead of another place, and another command may use it by now.
    if found.root not in had and instead.read(found.root) and _is_untouched(found.root):
        trees.remove_tree(found.root)


def _is_untouched(root: str) -> bool:
    return set(os.listdir(root)) <= {"tmp", instead.NAME} and not os.listdir(f"{root}/tmp")


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # another command uses it by now


def _look(root: str, runtime: str) -> dict[str, Any]:
    place = _standing(root)
    kind, device = _mount_of(place)
    told: dict[str, Any] = {
        "error": None, "root": root, "runtime": runtime, "place": place, "quota": None,
        "kind": places.file_system_kind(place) or kind,
        "instead_of": next(([*row] for row in instead.read(root).items()), None),
        "refused": places.judge(root),
        "session": _session(runtime),
    }  # fmt: skip
    told.update(_room(place))
    told["attributes"] = "" if told["refused"] else _try_attribute(place)
    try:
        told["quota"] = list(libc.user_quota(device, os.geteuid()))
    except OSError:
        pass  # no quotas, or a file system whose server has them
    return told


def _standing(root: str) -> str:
    while not os.path.isdir(root):
        root = os.path.dirname(root)
    return root


def _session(runtime: str) -> dict[str, Any]:
    """What the environment says of a runtime directory, which rl does not need."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    usual = _SESSION.format(os.geteuid())
    return {
        "named": named,
        "named_works": files.is_private(named, os.geteuid()) if named else False,
        "usual": usual,
        "is_usual": runtime.startswith(f"{usual}/"),
    }


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
    }


def _try_attribute(place: str) -> str:
    try:
        fd = files.nameless(place)
    except OSError as error:
        return error.strerror or str(error)
    try:
        os.setxattr(f"/proc/self/fd/{fd}", _ATTRIBUTE, b"x")
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(fd)
    return ""
