"""The rules of docs/architecture.md, read off the syntax trees of the package.

An import inside a function counts like one at the top: it is the same dependency, only later.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "rootless"

FLOORS = {
    "errors": 0, "log": 0, "config": 0, "quickload": 0, "quickload_writer": 0,
    "model": 1, "kernel": 2, "tools": 3, "store": 4, "image": 5, "net": 5, "cgroup": 5,
    "procview": 5,
    "runtime": 6, "oci": 7, "engine": 8, "cli": 9,
}  # fmt: skip
# The single modules of floor 0 may know those before them.
GROUND = ["errors", "log", "config", "quickload", "quickload_writer"]

# What `rl run` of a present image must not pay for; see "Rules" in docs/architecture.md.
HEAVY = {
    "argparse", "asyncio", "backports", "click", "dataclasses", "hashlib", "http",
    "importlib.metadata", "inspect", "isal", "logging", "pathlib", "pyroute2", "shutil",
    "socketserver", "ssl", "subprocess", "tarfile", "tempfile", "tomli", "tomllib", "typing",
    "urllib", "urllib3", "zipfile",
}  # fmt: skip


class Module:
    """One source file: its dotted name, its tree, and what it imports."""

    def __init__(self, path: Path) -> None:
        relative = path.relative_to(CHECKOUT).with_suffix("")
        self.path = path
        self.name = ".".join(relative.parts).removesuffix(".__init__")
        self.text = path.read_text()
        self.tree = ast.parse(self.text, str(path))

    def __repr__(self) -> str:
        return self.name

    @property
    def area(self) -> str:
        """The package or single module below `rootless` that it belongs to."""
        return (self.name.split(".") + [""])[1]

    def imports(self) -> Iterator[str]:
        """Dotted names of everything imported, for annotations too; `from a import b` as a.b."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: relative import"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def _bound_names(self) -> dict[str, str]:
        """What each imported name stands for: {"libc": "rootless.kernel.libc", "os": "os"}."""
        bound = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    bound[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return bound

    def attributes(self) -> Iterator[tuple[int, str]]:
        """(line, "os.fork") for each use of an attribute of something imported."""
        bound = self._bound_names()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield node.lineno, f"{bound.get(node.value.id, '?')}.{node.attr}"

    def functions(self) -> Iterator[ast.FunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef))


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def known_module(dotted: str) -> str | None:
    """The module of ours that `dotted` is, or is a name in."""
    if dotted in NAMES:
        return dotted
    parent = dotted.rpartition(".")[0]
    return parent if parent in NAMES else None


def own_imports(module: Module) -> set[str]:
    known = (known_module(name) for name in module.imports())
    return {name for name in known if name is not None and name != module.name}


def is_below(area: str, importer: str) -> bool:
    if area == importer:
        return True
    if FLOORS[area] == FLOORS[importer] == 0:
        return GROUND.index(area) < GROUND.index(importer)
    return FLOORS[area] < FLOORS[importer]


def test_every_module_has_a_floor() -> None:
    assert {module.area for module in MODULES} - set(FLOORS) == {""}


def test_imports_go_down_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in own_imports(module)
        if name != "rootless" and not is_below(name.split(".")[1], module.area)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles() -> None:
    graph = {module.name: own_imports(module) for module in MODULES}
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"cycles among {sorted(graph)}"


def breaches(forbidden: re.Pattern[str], allowed: tuple[str, ...]) -> list[str]:
    """Uses of names that match `forbidden` outside the areas or modules `allowed`."""
    found = []
    for module in MODULES:
        if module.area in allowed or module.name.removeprefix("rootless.") in allowed:
            continue
        found += [f"{module}: imports {name}" for name in module.imports() if forbidden.match(name)]
        found += [
            f"{module}:{line}: {name}"
            for line, name in module.attributes()
            if forbidden.match(name)
        ]
    return found


@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        (r"(ctypes|_ctypes|cffi)\b", ("kernel",)),
        (r"os\.(fork|forkpty|exec\w+|posix_spawn\w*)$", ("tools", "runtime", "oci", "kernel")),
        (r"os\.(system|popen|spawn\w+)$|(subprocess|multiprocessing)\b|pty\.(fork|spawn)$", ()),
        (r"(http|urllib3|urllib\.request|requests|httpx|socketserver)\b", ("image.http",)),
        (r"ssl\b", ("image.http", "image.tls")),
        (r"sys\.(stdout|stderr|exit|__stdout__|__stderr__)$", ("cli",)),
    ],
    ids=[
        "ctypes",
        "fork and exec",
        "no other way to start a process",
        "http",
        "tls",
        "output and exit",
    ],
)
def test_one_door(what: str, allowed: tuple[str, ...]) -> None:
    found = breaches(re.compile(what), allowed)
    assert not found, "\n".join(found)


def test_only_cli_prints_and_exits() -> None:
    names = {"print", "exit", "quit", "SystemExit", "input"}
    found = [
        f"{module}:{node.lineno}: {node.id}"
        for module in MODULES
        if module.area != "cli"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names
    ]
    assert not found, "\n".join(found)


def test_package_files_are_empty() -> None:
    assert [m.name for m in MODULES if m.path.name == "__init__.py" and m.text] == []
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_file_is_over_500_lines() -> None:
    assert [m.name for m in MODULES if m.text.count("\n") > 500] == []


def lines_of(function: ast.FunctionDef) -> int:
    """The lines of a function without its docstring."""
    first, *_ = function.body
    docstring = 0
    if ast.get_docstring(function) is not None:
        docstring = (first.end_lineno or 0) - first.lineno + 1
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_the_median_function_is_under_10_lines() -> None:
    lengths = [lines_of(function) for module in MODULES for function in module.functions()]
    assert statistics.median(lengths) < 10


def public_definitions(module: Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_public_functions_and_classes_have_docstrings() -> None:
    bare = [
        f"{module}:{node.lineno}: {node.name}"
        for module in MODULES
        for node in public_definitions(module)
        if not ast.get_docstring(node)
    ]
    assert not bare, "\n".join(bare)


def test_every_module_says_what_it_is_for() -> None:
    assert [m.name for m in MODULES if m.text and not ast.get_docstring(m.tree)] == []


# Import names of the packages that are called otherwise in pyproject.toml.
IMPORT_NAMES = {"backports.zstd": "backports"}


def declared_packages() -> set[str]:
    """Import names of what pyproject.toml's dependencies and its extra `fast` bring."""
    text = (CHECKOUT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|fast) = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert len(lists) == 2, "pyproject.toml: dependencies or the extra `fast` not found"
    entries = re.findall(
        r"""["']([A-Za-z0-9_.-]+)""", re.sub(r"python_version.*", "", "".join(lists))
    )
    return {IMPORT_NAMES.get(name, name) for name in entries}


def test_dependencies_are_declared_and_used() -> None:
    imported = {name.split(".")[0] for module in MODULES for name in module.imports()}
    # New in 3.14 and 3.11: standard library there, absent from the list of an older Python.
    standard = sys.stdlib_module_names | {"compression", "tomllib", "__future__"}
    assert imported - standard - {"rootless"} == declared_packages()


def imported_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    script = f"import sys; sys.path.append({str(CHECKOUT)!r})\n{code}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True, text=True, check=True, env={"PATH": os.defpath},
    )  # fmt: skip
    return set(result.stdout.split())


def heavy_among(modules: set[str]) -> set[str]:
    return {heavy for heavy in HEAVY if any(f"{name}.".startswith(f"{heavy}.") for name in modules)}


def test_the_deny_list_sees_a_heavy_import() -> None:
    assert heavy_among(imported_by("import subprocess, importlib.metadata")) >= {
        "subprocess",
        "importlib.metadata",
    }


# The areas that a run goes through, whole: a heavy import at the top of any of their modules is
# paid for at each start, or will be by the next change. A real run is looked at in
# tests/user/test_start_path.py.
START_PATH = (
    "errors", "log", "config", "model", "kernel", "tools", "runtime", "net", "cgroup", "procview",
    "oci",
)  # fmt: skip
# Imported inside functions, for what the usual start does not do.
NOT_ON_IT = {
    "rootless.runtime.containerfiles": "rl cp and rl export",
    "rootless.runtime.copytree": "fills new volumes and copies of images",
}


@pytest.mark.parametrize(
    "module",
    [m.name for m in MODULES if m.area in START_PATH and m.text and m.name not in NOT_ON_IT],
)
def test_the_start_path_imports_nothing_heavy(module: str) -> None:
    assert heavy_among(imported_by(f"import {module}")) == set()
