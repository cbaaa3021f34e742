"""The file of all modules: what comes out of it, and when it does not count."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rootless import quickload

CHECKOUT = Path(__file__).parents[2]
SHOW = """
import sys
sys.path[:0] = [{tree!r}]
from rootless import quickload
quickload.install({file!r})
from rootless.{name} import *
import rootless.{name} as module
print(type(module.__spec__.loader).__name__, module.__file__, getattr(module, "VALUE", ""))
"""


class Tree:
    """A checkout of a few modules, and its file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "rl.modules"
        package = root / "rootless"
        package.mkdir()
        for name in ("__init__", "quickload", "quickload_writer", "errors"):
            shutil.copy(CHECKOUT / f"rootless/{name}.py", package)
        (package / "model").mkdir()
        (package / "model/__init__.py").write_text("")
        (package / "model/thing.py").write_text("VALUE = 1\n")

    def write(self) -> None:
        command = [sys.executable, "-m", "rootless.quickload_writer", str(self.file)]
        subprocess.run(command, cwd=self.root, check=True, timeout=60)

    def show(self, name: str) -> list[str]:
        """The kind of loader of rootless.NAME, its file, its VALUE."""
        program = SHOW.format(tree=str(self.root), file=str(self.file), name=name)
        command = [sys.executable, "-ISc", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_modules_and_packages_come_from_the_file(tree: Tree) -> None:
    tree.write()
    assert tree.show("model.thing") == ["Finder", str(tree.root / "rootless/model/thing.py"), "1"]
    assert tree.show("errors")[0] == "Finder"
    assert tree.show("model")[:1] == ["Finder"]


def test_without_the_file_they_come_from_their_own(tree: Tree) -> None:
    assert tree.show("model.thing")[::2] == ["SourceFileLoader", "1"]


def test_a_source_that_has_changed_counts(tree: Tree) -> None:
    tree.write()
    source = tree.root / "rootless/model/thing.py"
    source.write_text("VALUE = 22\n")
    assert tree.show("model.thing")[::2] == ["SourceFileLoader", "22"]
    assert tree.show("errors")[0] == "Finder"


def test_a_source_of_the_same_size_and_another_time_counts(tree: Tree) -> None:
    tree.write()
    source = tree.root / "rootless/model/thing.py"
    source.write_text("VALUE = 2\n")
    os.utime(source, ns=(1, 1))
    assert tree.show("model.thing")[::2] == ["SourceFileLoader", "2"]


def test_a_module_that_is_gone_is_not_found(tree: Tree) -> None:
    tree.write()
    (tree.root / "rootless/model/thing.py").unlink()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        tree.show("model.thing")
    assert "ModuleNotFoundError" in caught.value.stderr


LOG = """
import sys
sys.path[:0] = [{tree!r}]
from rootless import quickload
quickload.install({file!r})
finder = sys.meta_path[0]
found = []
plain = quickload.Finder.find_spec
quickload.Finder.find_spec = lambda self, name, *rest: found.append(name) or plain(self, name)
import rootless.model.user
thing = sys.modules["rootless.model.thing"]
import rootless.model.thing as again
print(found, thing is again, rootless.model.thing is again, thing.__name__, thing.__package__,
      thing.__file__, type(thing.__spec__.loader).__name__, rootless.model.user.SEEN)
"""


def test_a_module_comes_with_those_that_it_imports(tree: Tree) -> None:
    """Loaded beforehand, each is what an import would have made of it."""
    folder = tree.root / "rootless/model"
    folder.joinpath("user.py").write_text("from rootless.model.thing import VALUE\nSEEN = VALUE\n")
    tree.write()
    program = LOG.format(tree=str(tree.root), file=str(tree.file))
    done = subprocess.run(
        [sys.executable, "-ISc", program], capture_output=True, text=True, check=True, timeout=60
    )
    expected = (
        "['rootless.model', 'rootless.model.user'] True True rootless.model.thing rootless.model"
        f" {folder}/thing.py Finder 1\n"
    )
    assert done.stdout == expected


def test_one_of_them_that_has_changed_counts(tree: Tree) -> None:
    folder = tree.root / "rootless/model"
    folder.joinpath("user.py").write_text("from rootless.model.thing import VALUE\n")
    tree.write()
    folder.joinpath("thing.py").write_text("VALUE = 22\n")
    assert tree.show("model.user")[::2] == ["Finder", "22"]


def test_one_of_them_that_fails_leaves_nothing(tree: Tree) -> None:
    folder = tree.root / "rootless/model"
    folder.joinpath("thing.py").write_text("raise ImportError('broken')\n")
    folder.joinpath("user.py").write_text(
        "import sys\ntry:\n    from rootless.model import thing\nexcept ImportError:\n"
        "    VALUE = 'rootless.model.thing' in sys.modules\n"
    )
    tree.write()
    assert tree.show("model.user")[::2] == ["Finder", "False"]


FORGET = """
import sys
sys.path[:0] = [{tree!r}]
from rootless import quickload
quickload.install({file!r})
quickload.forget()
try:
    import rootless.model.thing
except ModuleNotFoundError as error:
    print(error.name)
"""


def test_what_is_forgotten_finds_nothing_any_more(tree: Tree) -> None:
    tree.write()
    program = FORGET.format(tree=str(tree.root), file=str(tree.file))
    done = subprocess.run(
        [sys.executable, "-ISc", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "rootless.model\n"


@pytest.mark.parametrize("content", [b"", b"something else", quickload.HEAD, quickload.HEAD[:5]])
def test_another_file_in_its_place_does_not_count(tree: Tree, content: bytes) -> None:
    tree.file.write_bytes(content)
    assert tree.show("model.thing")[0] == "SourceFileLoader"


def test_that_of_another_python_does_not_count(tree: Tree) -> None:
    tree.write()
    written = bytearray(tree.file.read_bytes())
    written[len(quickload.HEAD) - 4] ^= 1
    tree.file.write_bytes(written)
    assert tree.show("model.thing")[0] == "SourceFileLoader"


def test_the_whole_package_is_in_it(tmp_path: Path) -> None:
    """Also what it needs of the standard library."""
    file = tmp_path / "rl.modules"
    command = [sys.executable, "-m", "rootless.quickload_writer", str(file)]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=60)
    before = list(sys.meta_path)
    try:
        quickload.install(str(file))
        finder = sys.meta_path[0]
        assert isinstance(finder, quickload.Finder)
        for path in (CHECKOUT / "rootless").rglob("*.py"):
            name = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
            assert finder.find_spec(name.removesuffix(".__init__")), name
        assert finder.find_spec("ctypes")
        assert finder.find_spec("json") is None
    finally:
        sys.meta_path[:] = before
        import gc

        gc.enable()
