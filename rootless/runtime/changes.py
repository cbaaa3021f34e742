"""What a container has changed in its image: its writable layer, compared with those below.

The layers are read as fuse-overlayfs and the kernel's overlay leave them (docs/architecture.md):
whiteouts are character devices 0:0 or files `.wh.NAME`, a directory may hide all that is below it.
Runs as root of the user namespace; no link is followed.
"""

from __future__ import annotations

import os
import stat

from rootless.image import whiteouts
from rootless.kernel import rlimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MODIFIED, ADDED, DELETED = "C", "A", "D"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find(upper: str, layers: list[str], ours: Iterable[str]) -> list[tuple[str, str]]:
    """(MODIFIED, ADDED or DELETED; path) in the order of the paths. Raises OSError.

    upper: the writable layer. layers: those below it, topmost first. ours: paths at which rl mounts
    something; what is there only for that is no change.
    """
    rlimits.raise_open_files()
    search = _Search(frozenset(ours))
    lowers = [os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    search.directory(os.open(upper, _FOLDER), lowers, "")
    return sorted(search.found, key=lambda change: change[1])


class _Search:
    def __init__(self, ours: frozenset[str]) -> None:
        self.found: list[tuple[str, str]] = []
        self._ours = ours
        self._parents = {os.path.dirname(path) for path in ours}
        self._above = {above for path in ours for above in _above(path)}

    def directory(self, upper: int, lowers: list[int], path: str) -> None:
        """Compare one directory with those below it, topmost first; closes all of them."""
        try:
            names = os.listdir(upper)
            for name in sorted(names):
                self._entry(upper, lowers, name, f"{path}/{name}")
            if whiteouts.is_opaque(upper):
                self._hidden(lowers, {*names}, path)
        finally:
            for fd in (upper, *lowers):
                os.close(fd)

    def _entry(self, upper: int, lowers: list[int], name: str, path: str) -> None:
        if path in self._ours:
            return
        if whiteouts.is_mark(name):
            hidden = whiteouts.hidden_by(name)
            folder = os.path.dirname(path).rstrip("/")
            if hidden and _seen(lowers, hidden):
                self.found.append((DELETED, f"{folder}/{hidden}"))
            return
        info = os.stat(name, dir_fd=upper, follow_symlinks=False)
        below, folders = _find(lowers, name)
        if whiteouts.is_whiteout(info):
            _close(folders)
            if below is not None:
                self.found.append((DELETED, path))
        elif stat.S_ISDIR(info.st_mode):
            self._folder(upper, name, path, info, below, folders)
        else:
            _close(folders)
            self.found.append((ADDED if below is None else MODIFIED, path))

    def _folder(
        self, upper: int, name: str, path: str,
        info: os.stat_result, below: os.stat_result | None, folders: list[int],
    ) -> None:  # fmt: skip
        before = len(self.found)
        self.directory(os.open(name, _FOLDER, dir_fd=upper), folders, path)
        has_changes = len(self.found) > before
        if below is None:
            # One that stands there for nothing but a mount point.
            if has_changes or path not in self._above:
                self.found.append((ADDED, path))
        elif has_changes or self._differs(path, info, below):
            self.found.append((MODIFIED, path))

    def _differs(self, path: str, info: os.stat_result, below: os.stat_result) -> bool:
        if (info.st_mode, info.st_uid, info.st_gid) != (below.st_mode, below.st_uid, below.st_gid):
            return True
        # Making a mount point changes the time of the directory that it is in.
        return info.st_mtime_ns != below.st_mtime_ns and path not in self._parents

    def _hidden(self, lowers: list[int], names: set[str], path: str) -> None:
        """What an opaque directory hides of those below it."""
        visible = {name for folder in lowers for name in os.listdir(folder)}
        for name in sorted(visible - names):
            if not whiteouts.is_mark(name) and _seen(lowers, name):
                self.found.append((DELETED, f"{path}/{name}"))


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts))]


def _close(folders: list[int]) -> None:
    for fd in folders:
        os.close(fd)


def _seen(lowers: list[int], name: str) -> bool:
    info, folders = _find(lowers, name)
    _close(folders)
    return info is not None


def _find(lowers: list[int], name: str) -> tuple[os.stat_result | None, list[int]]:
    """`name` as the layers show it together: what it is, and the directories that make it up."""
    first: os.stat_result | None = None
    folders: list[int] = []
    for lower in lowers:
        try:
            info = os.stat(name, dir_fd=lower, follow_symlinks=False)
        except FileNotFoundError:
            if whiteouts.hides(lower, name):
                break
            continue
        if whiteouts.is_whiteout(info) or (first is not None and not stat.S_ISDIR(info.st_mode)):
            break
        first = first or info
        if not stat.S_ISDIR(info.st_mode):
            break
        folders.append(os.open(name, _FOLDER, dir_fd=lower))
        if whiteouts.is_opaque(folders[-1]) or whiteouts.is_opaque(lower):
            break
    return first, folders
