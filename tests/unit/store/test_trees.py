"""Removing and measuring trees that a hostile archive could have made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.store import trees


def make_deep(top: Path, levels: int) -> None:
    """A chain of directories that no path can name."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    tree = tmp_path / "tree"
    tree.mkdir()
    yield tree
    # pytest's own removal recurses: a deep tree that a failed test left would break later runs.
    subprocess.run(["rm", "-rf", tree], check=True)


def test_everything_goes_and_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("x")
    (tree / "a/link").symlink_to(precious)
    (tree / "link").symlink_to(precious / "file")
    os.mkfifo(tree / "fifo")
    assert trees.du(str(tree))[1] == 7
    trees.remove_tree(str(tree))
    assert sorted(tmp_path.iterdir()) == [precious]
    assert (precious / "file").read_text() == "x"


def test_a_link_in_the_place_of_the_tree_is_unlinked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    trees.remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["real"]


def test_a_missing_tree_is_fine_but_a_missing_parent_is_not(tmp_path: Path) -> None:
    trees.remove_tree(str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        trees.remove_tree(str(tmp_path / "missing/tree"))


def test_directories_without_permissions(tree: Path) -> None:
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/b/file").write_text("x")
    for name, mode in (("a/b/c", 0), ("a/b", 0o500), ("a", 0)):
        (tree / name).chmod(mode)
    tree.chmod(0o500)
    trees.remove_tree(str(tree))
    assert not tree.exists()


@pytest.mark.parametrize("levels", [47, 48, 49, 97, 3000])
def test_deep_trees(tree: Path, levels: int) -> None:
    make_deep(tree, levels)
    assert trees.du(str(tree))[1] == levels + 2
    trees.remove_tree(str(tree))
    assert not tree.exists()


def test_deep_trees_with_many_branches(tree: Path) -> None:
    for number in range(5):
        (tree / f"t{number}").mkdir()
        make_deep(tree / f"t{number}", 120)
    (tree / f".rl-{os.getpid()}-1").mkdir()
    trees.remove_tree(str(tree))
    assert not tree.exists()


def test_few_descriptors_are_open_at_once(tree: Path) -> None:
    import resource

    make_deep(tree, 500)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, before[1]))
    try:
        assert trees.du(str(tree))[1] == 502
        trees.remove_tree(str(tree))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not tree.exists()


def test_du_counts_a_hard_link_once_and_holes_not(tree: Path) -> None:
    (tree / "a").write_bytes(b"x" * 100_000)
    os.link(tree / "a", tree / "b")
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    size, files = trees.du(str(tree))
    assert 100_000 <= size < 200_000
    assert files == 3


def test_du_does_not_follow_a_link(tree: Path) -> None:
    (tree / "link").symlink_to("/")
    with pytest.raises(NotADirectoryError):
        trees.du(str(tree / "link"))


def test_a_directory_that_became_a_link_is_not_entered(tree: Path) -> None:
    """As if somebody swapped it after it was seen to be a directory."""
    (tree / "link").symlink_to("/")
    fd = os.open(tree, os.O_RDONLY)
    try:
        with pytest.raises(NotADirectoryError):
            trees._open(fd, "link")
    finally:
        os.close(fd)
