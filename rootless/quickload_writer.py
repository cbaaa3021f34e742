"""`python -m rootless.quickload_writer FILE`: write the file that `quickload` reads. For set-up."""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys

from rootless import quickload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

# What each start needs of the standard library and Python has not built in.
_OF_PYTHON = ("__future__", "ctypes", "ctypes._endian", "struct", "types")


def write(path: str) -> None:
    """Compile all modules of the package into the file at `path`, in place of one that is there."""
    index: dict[str, quickload.Entry] = {}
    codes = []
    start = 0
    for name, source in _sources():
        # Before it is read: a change meanwhile makes the entry out of date.
        info = os.stat(source)
        code = marshal.dumps(_compile(source))
        is_package = os.path.basename(source) == "__init__.py"
        index[name] = (source, info.st_mtime_ns, info.st_size, is_package, start, len(code))
        codes.append(code)
        start += len(code)
    _replace(path, marshal.dumps(index), codes)


def _replace(path: str, index: bytes, codes: list[bytes]) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(quickload.HEAD + len(index).to_bytes(quickload.LENGTH, "little") + index)
        file.writelines(codes)
    os.rename(temporary, path)


def _sources() -> Iterator[tuple[str, str]]:
    """Names of modules and the paths of their sources."""
    package = os.path.dirname(os.path.abspath(__file__))
    for folder, folders, names in os.walk(package):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                source = f"{folder}/{name}"
                dotted = source[len(os.path.dirname(package)) + 1 : -3].replace("/", ".")
                yield dotted.removesuffix(".__init__"), source
    for name in _OF_PYTHON:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            yield name, spec.origin


def _compile(source: str) -> CodeType:
    with open(source, "rb") as file:
        code: CodeType = compile(file.read(), source, "exec", dont_inherit=True)
    return code


if __name__ == "__main__":
    write(sys.argv[1])
