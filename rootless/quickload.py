"""The modules of `rl` out of one file, for a quick start.

Python looks for each module by listing directories, and reads it with a dozen system calls. Here
one file has the code of all of them behind an index: docs/decisions/0044-modules-in-one-file.md.
Set-up writes the file (quickload_writer); the launcher that set-up writes calls `install`. Without
the file, or where a source has changed since, modules come from their own files as always.
"""

from __future__ import annotations

import gc
import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from posix import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import Loader
    from types import ModuleType

    # Of a module: its source, that file's time (nanoseconds) and size, whether it is a package,
    # and where its marshalled code begins behind the index, and how long it is (bytes).
    Entry = tuple[str, int, int, bool, int, int]

# The code of one Python means nothing to another.
HEAD = b"rl-modules-1\n" + MAGIC_NUMBER
# The index begins with its length, in so many bytes.
LENGTH = 8


def install(path: str) -> None:
    """Let modules come from the file at `path`, if that is there and of this Python.

    Switches the search for cycles off as well, which imports would set off again and again;
    cli.main switches it on.
    """
    gc.disable()
    try:
        with open(path, "rb", buffering=0) as file:
            if file.read(len(HEAD)) != HEAD:
                return
            length = int.from_bytes(file.read(LENGTH), "little")
            index = marshal.loads(file.read(length))
    except (OSError, ValueError, EOFError, TypeError):
        return
    sys.meta_path.insert(0, Finder(path, index, len(HEAD) + LENGTH + length))


class Finder:
    """An importlib.abc.MetaPathFinder and Loader; neither class is imported for it."""

    def __init__(self, path: str, index: dict[str, Entry], base: int) -> None:
        """base: where the code begins."""
        self._path = path
        self._index = index
        self._base = base

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module `name`; None when it is not in the file, or its source has changed since."""
        entry = self._index.get(name)
        if entry is None or not _is_current(entry):
            return None
        # (It is one by what it has; typing is not imported for saying so.)
        loader: Loader = self  # type: ignore[assignment]
        spec = ModuleSpec(name, loader, origin=entry[0], is_package=entry[3])
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(entry[0].rpartition("/")[0])
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of `module` in it."""
        start, length = self._index[module.__name__][4:]
        # Opened for each: a descriptor that stays open would be in the way of the keeper, and the
        # whole file in memory in that of everybody.
        with open(self._path, "rb", buffering=0) as file:
            file.seek(self._base + start)
            code = marshal.loads(file.read(length))
        exec(code, module.__dict__)  # noqa: S102


def _is_current(entry: Entry) -> bool:
    try:
        info = stat(entry[0])
    except OSError:
        return False
    return info.st_mtime_ns == entry[1] and info.st_size == entry[2]
