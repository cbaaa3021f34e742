"""A whole tree compared with the layers that it came from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.image import tree_changes, whiteouts
from rootless.runtime import copytree
from rootless.tools import idmap


def make_layers(top: Path) -> None:
    for name in ("low/d/e", "low/gone", "low/kept", "high/d", "tree"):
        (top / name).mkdir(parents=True)
    for name in ("low/d/one", "low/d/e/two", "low/gone/x", "low/kept/y", "high/d/three"):
        (top / name).write_text(name)
    os.symlink("one", top / "low/d/link")
    os.mkfifo(top / "low/fifo")
    os.link(top / "low/d/one", top / "low/d/same")
    os.chown(top / "low/kept", 3, 4)
    whiteouts.make(os.open(top / "high", os.O_RDONLY), b"gone")
    copytree.copy_layers([str(top / "low"), str(top / "high")], str(top / "tree"))


Change = Callable[[Path], object]


def rewrite(tree: Path) -> None:
    """The same size and time as before, told by the attribute alone."""
    info = (tree / "d/three").stat()
    os.setxattr(tree / "d/three", "user.note", b"1")
    os.utime(tree / "d/three", ns=(info.st_atime_ns, info.st_mtime_ns))


def replace_folder(tree: Path) -> None:
    os.unlink(tree / "kept/y")
    os.rmdir(tree / "kept")
    (tree / "kept").write_text("a file now")


CHANGES: dict[str, tuple[Change, list[str]]] = {
    "nothing": (lambda tree: None, []),
    "a new file": (lambda tree: (tree / "new").write_text("x"), ["new"]),
    "a new empty directory": (lambda tree: (tree / "d/n").mkdir(), ["d", "d/n"]),
    "a mode": (lambda tree: os.chmod(tree / "d/one", 0o600), ["d", "d/one", "d/same"]),
    "an owner": (lambda tree: os.chown(tree / "d/e", 7, 8), ["d", "d/e"]),
    "an attribute": (rewrite, ["d", "d/three"]),
    "a link": (
        lambda tree: (os.unlink(tree / "d/link"), os.symlink("two", tree / "d/link")),
        ["d", "d/link"],
    ),
    "a removal": (lambda tree: os.unlink(tree / "d/e/two"), ["d", "d/e", "d/e/two (gone)"]),
    "a file for a directory": (replace_folder, ["kept"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_is_in_it(short_dir: Path, what: str) -> None:
    change, expected = CHANGES[what]
    tree, upper = short_dir / "tree", short_dir / "upper"

    def work() -> list[str]:
        make_layers(short_dir)
        change(tree)
        below = [str(short_dir / "high"), str(short_dir / "low")]
        tree_changes.fill(str(tree), below, str(upper))
        found = []
        for folder, folders, names in os.walk(upper):
            for name in folders + names:
                info = os.lstat(f"{folder}/{name}")
                path = os.path.relpath(f"{folder}/{name}", upper)
                found.append(f"{path} (gone)" if whiteouts.is_whiteout(info) else path)
                if stat.S_ISDIR(info.st_mode):
                    original = os.stat(tree / path)
                    assert (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns) == (
                        original.st_mode, original.st_uid, original.st_gid, original.st_mtime_ns,
                    )  # fmt: skip
        return sorted(found)

    assert idmap.call(work) == expected
