"""Layers merged by our own copy, in the forms that old kernels and poor file systems leave them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.image import whiteouts
from rootless.runtime import copytree


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two layers, the lower one with files, and the directory that they are merged into."""
    lower, upper, merged = (tmp_path / name for name in ("lower", "upper", "merged"))
    for name in ("hidden", "kept", "folder/hidden", "opaque/hidden"):
        (lower / name).parent.mkdir(parents=True, exist_ok=True)
        (lower / name).write_text(name)
    for folder in (upper / "folder", upper / "opaque", merged):
        folder.mkdir(parents=True)
    return lower, upper, merged


def names_in(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def test_marks_hide_what_is_below_them(layers: tuple[Path, Path, Path]) -> None:
    lower, upper, merged = layers
    for name in (".wh.hidden", ".wh.never", "folder/.wh.hidden", "opaque/.wh..wh..opq", "opaque/x"):
        (upper / name).touch()
    copytree.copy_layers([str(lower), str(upper)], str(merged))
    assert names_in(merged) == {"kept", "opaque/x"}


@pytest.mark.parametrize("mark", [".wh.", ".wh..", ".wh..."])
def test_a_mark_never_hides_what_is_above_it(layers: tuple[Path, Path, Path], mark: str) -> None:
    lower, upper, merged = layers
    (upper / "folder" / mark).touch()
    copytree.copy_layers([str(lower), str(upper)], str(merged))
    assert names_in(merged) == names_in(lower)


def test_a_directory_of_a_volume_has_no_marks(layers: tuple[Path, Path, Path]) -> None:
    lower, _, merged = layers
    (lower / "folder/.wh.kept").touch()
    root = os.open(lower, os.O_PATH)
    copytree.copy_from_root(root, "/folder", str(merged))
    os.close(root)
    assert names_in(merged) == {"hidden", ".wh.kept"}


def test_both_forms_are_opaque(tmp_path: Path) -> None:
    by_file, by_xattr, plain = (tmp_path / name for name in ("file", "xattr", "plain"))
    for folder in (by_file, by_xattr, plain):
        folder.mkdir()
    (by_file / ".wh..wh..opq").touch()
    try:
        os.setxattr(by_xattr, "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("user xattrs on this file system")
    opened = [os.open(folder, os.O_RDONLY) for folder in (by_file, by_xattr, plain)]
    assert [whiteouts.is_opaque(fd) for fd in opened] == [True, True, False]
    for fd in opened:
        os.close(fd)
