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
from _frozen_importlib import BuiltinImporter, FrozenImporter, ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from posix import O_CLOEXEC, O_RDONLY, close, pread, stat
from posix import open as open_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import Loader
    from types import CodeType, ModuleType

    # Of a module: its source, that file's time (nanoseconds) and size, whether it is a package,
    # where its marshalled code begins behind the index, how long it is (bytes), and the modules
    # of the file that it imports as it is loaded.
    Entry = tuple[str, int, int, bool, int, int, tuple[str, ...]]

_Module = type(sys)

# The code of one Python means nothing to another.
HEAD = b"rl-modules-2\n" + MAGIC_NUMBER
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


def forget() -> None:
    """Find no module any more, neither by a path nor in the file: the files here are an image's
    from now on."""
    sys.path.clear()
    # Packages that are loaded have paths of their own.
    sys.meta_path[:] = [one for one in sys.meta_path if one in (BuiltinImporter, FrozenImporter)]


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
        return self._spec(name, entry) if entry is not None and _is_current(entry) else None

    def _spec(self, name: str, entry: Entry) -> ModuleSpec:
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
        entry = self._index[module.__name__]
        for name in entry[6]:
            if name not in sys.modules:
                self._load(name)
        exec(self._code(entry), module.__dict__)  # noqa: S102

    def _load(self, name: str) -> None:
        """Import what a module is about to import: without Python's import system, whose work for
        each is as much as reading its code. It does what is not current."""
        entry = self._index[name]
        if not _is_current(entry):
            return
        spec = self._spec(name, entry)
        module = _Module(name)
        module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, entry[0]
        module.__package__ = spec.parent
        if entry[3]:
            module.__path__ = spec.submodule_search_locations or []
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        parent, _, leaf = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], leaf, module)

    def _code(self, entry: Entry) -> CodeType:
        # Opened for each: a descriptor that stays open would be in the way of the keeper, and the
        # whole file in memory in that of everybody.
        fd = open_file(self._path, O_RDONLY | O_CLOEXEC)
        try:
            code: CodeType = marshal.loads(pread(fd, entry[5], self._base + entry[4]))
        finally:
            close(fd)
        return code


def _is_current(entry: Entry) -> bool:
    try:
        info = stat(entry[0])
    except OSError:
        return False
    return info.st_mtime_ns == entry[1] and info.st_size == entry[2]
