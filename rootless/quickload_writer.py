"""`python -m rootless.quickload_writer FILE`: write the file that `quickload` reads. For set-up."""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
import sys

from rootless import quickload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

_PACKAGE = "rootless."
# What each start needs of the standard library and Python has not built in.
_OF_PYTHON = ("__future__", "ctypes", "ctypes._endian", "struct", "types")


def write(path: str) -> None:
    """Compile all modules of the package into the file at `path`, in place of one that is there."""
    index: dict[str, quickload.Entry] = {}
    codes = []
    start = 0
    sources = dict(_sources())
    for name, source in sources.items():
        # Before it is read: a change meanwhile makes the entry out of date.
        info = os.stat(source)
        with open(source, "rb") as file:
            text = file.read()
        code = marshal.dumps(_compile(text, source))
        is_package = os.path.basename(source) == "__init__.py"
        needed = tuple(_needed(name, text, sources)) if name.startswith(_PACKAGE) else ()
        index[name] = (source, info.st_mtime_ns, info.st_size, is_package, start, len(code), needed)
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


def _needed(name: str, text: bytes, sources: dict[str, str]) -> list[str]:
    """What of ours the module imports when it is loaded, in its order, packages before their
    modules; each once."""
    found: dict[str, None] = {}
    for statement in ast.parse(text).body:
        for wanted in _imported(statement):
            if wanted in sources and wanted.startswith(_PACKAGE):
                found.update(dict.fromkeys(_with_packages(wanted)))
    return [one for one in found if one != name]


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        module = statement.module
        return [module, *(f"{module}.{alias.name}" for alias in statement.names)]
    return []


def _with_packages(name: str) -> list[str]:
    """`a.b.c`: a.b and a.b.c; a itself, which has this module, is there."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts) + 1)]


def _compile(text: bytes, source: str) -> CodeType:
    code: CodeType = compile(text, source, "exec", dont_inherit=True)
    return code


if __name__ == "__main__":
    write(sys.argv[1])
