"""What a container has changed in its image: its writable layer, compared with those below.

What of it goes into an image, `rootless.image.layer_writer` decides by the same comparison.
Runs as root of the user namespace; no link is followed.
"""

from __future__ import annotations

import os
import stat

from rootless.image import lowers as lower_layers
from rootless.image import owners, whiteouts
from rootless.image.lowers import Places
from rootless.kernel import rlimits
from rootless.runtime import inside

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
    search = _Search(Places(ours))
    search.directory(os.open(upper, _FOLDER), lower_layers.open_all(layers), "")
    return sorted(search.found, key=lambda change: change[1])


class _Search:
    def __init__(self, places: Places) -> None:
        self.found: list[tuple[str, str]] = []
        self._places = places
        self._has_one_id = inside.own_maps().is_single

    def directory(self, upper: int, lowers: list[int], path: str) -> None:
        """Compare one directory with those below it, topmost first; closes all of them."""
        try:
            names = os.listdir(upper)
            for name in sorted(names):
                self._entry(upper, lowers, name, f"{path}/{name}")
            if whiteouts.is_opaque(upper):
                self._hidden(lowers, {*names}, path)
        finally:
            lower_layers.close((upper, *lowers))

    def _entry(self, upper: int, lowers: list[int], name: str, path: str) -> None:
        if path in self._places.ours:
            return
        if whiteouts.is_mark(name):
            hidden = whiteouts.hidden_by(name)
            folder = os.path.dirname(path).rstrip("/")
            if hidden and lower_layers.shows(lowers, hidden):
                self.found.append((DELETED, f"{folder}/{hidden}"))
            return
        try:
            info = os.stat(name, dir_fd=upper, follow_symlinks=False)
        except FileNotFoundError:
            return  # removed since it was listed
        below, folders = lower_layers.find(lowers, name)
        if whiteouts.is_whiteout(info):
            lower_layers.close(folders)
            if below is not None:
                self.found.append((DELETED, path))
        elif stat.S_ISDIR(info.st_mode):
            self._folder(upper, name, path, info, below, folders)
        else:
            lower_layers.close(folders)
            self.found.append((ADDED if below is None else MODIFIED, path))

    def _folder(
        self, upper: int, name: str, path: str,
        info: os.stat_result, below: os.stat_result | None, folders: list[int],
    ) -> None:  # fmt: skip
        inner = lower_layers.open_unchanged(name, _FOLDER, upper)
        if inner < 0:
            lower_layers.close(folders)
            return
        before = len(self.found)
        has_moved = self._has_one_id and bool(folders) and not owners.is_same(inner, folders[0])
        self.directory(inner, folders, path)
        has_changes = len(self.found) > before
        if below is None:
            if has_changes or not self._places.is_only_way(path):
                self.found.append((ADDED, path))
        elif has_changes or has_moved or self._places.differs(path, info, below):
            self.found.append((MODIFIED, path))

    def _hidden(self, lowers: list[int], names: set[str], path: str) -> None:
        """What an opaque directory hides of those below it."""
        visible = {name for folder in lowers for name in os.listdir(folder)}
        for name in sorted(visible - names):
            if not whiteouts.is_mark(name) and lower_layers.shows(lowers, name):
                self.found.append((DELETED, f"{path}/{name}"))
