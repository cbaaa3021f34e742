"""What a source of COPY means in a directory, and the digest of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.engine.building import selection
from rootless.engine.building.selection import Wish
from rootless.errors import RlError
from rootless.model.dockerfile import ignore


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    for name in ("a.txt", "b.txt", "d/x", "d/e/y", "d/e/z.o"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").write_text("secret")
    fd = os.open(tmp_path / "tree", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def wish(*sources: str, ignored: str = "", excluded: str = "", parents: bool = False) -> Wish:
    return Wish(
        list(sources), "the context",
        ignore=ignore.parse(ignored.encode(), ".dockerignore"),
        exclude=ignore.of_patterns(excluded.split(), "--exclude") if excluded else None,
        parents=parents, owned=False,
    )  # fmt: skip


def paths(root: int, wanted: Wish) -> list[str]:
    return [
        "/".join(part for part in (top.target or top.name, one.path) if part)
        for top in selection.tops(root, wanted)
        for one in selection.walk(root, wanted, top)
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (wish("a.txt"), ["a.txt"]),
        (wish("/a.txt", "./b.txt"), ["a.txt", "b.txt"]),
        (wish("*.txt"), ["a.txt", "b.txt"]),
        (wish("d"), ["d", "d/e", "d/e/y", "d/e/z.o", "d/x"]),
        (wish("d/../d/e"), ["e", "e/y", "e/z.o"]),
        (wish("d", excluded="**/*.o"), ["d", "d/e", "d/e/y", "d/x"]),
        (wish("d", ignored="d\n!d/e/y"), ["d", "d/e", "d/e/y"]),
        (wish("d", ignored="d/e"), ["d", "d/x"]),
        (wish("**/y", parents=True), ["d/e/y"]),
        (wish("d/./e/y", parents=True), ["e/y"]),
        (wish("d/e", parents=True), ["d/e", "d/e/y", "d/e/z.o"]),
    ],
)
def test_what_is_meant(root: int, wanted: Wish, expected: list[str]) -> None:
    assert paths(root, wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (wish("../outside"), r"^\.\./outside: outside of the context$"),
        (wish("d/../../outside"), "outside of the context"),
        (wish("missing"), r"^missing: not found in the context$"),
        (wish("*.none"), r"^\*\.none: matches nothing"),
        (wish("[z"), "not a pattern"),
        (wish("a.txt", ignored="*"), "left out of the context by its ignore file"),
        (wish("a.txt/x"), "not found"),
    ],
)
def test_what_is_not_there(root: int, wanted: Wish, message: str) -> None:
    with pytest.raises(RlError, match=message):
        selection.tops(root, wanted)


def test_links_lead_nowhere_else(root: int, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "out").symlink_to(tmp_path / "outside")
    (tree / "up").symlink_to("../outside")
    (tree / "folder").symlink_to("d")
    (tree / "loop").symlink_to("loop")
    assert paths(root, wish("folder/x")) == ["x"]
    for name in ("out", "up"):
        with pytest.raises(RlError, match="a link that leads nowhere"):
            selection.tops(root, wish(name))
    with pytest.raises(RlError, match="links that lead in a circle"):
        selection.tops(root, wish("loop"))
    # Below a directory a link is a link.
    (file,) = [
        one
        for top in selection.tops(root, wish("."))
        for one in selection.walk(root, wish("."), top)
        if one.path == "out"
    ]
    assert file.path == "out"


def test_the_digest_is_of_everything_but_times(root: int, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    before = selection.digest(root, wish("d"))
    os.utime(tree / "d/x", (1, 1))
    os.utime(tree / "d", (1, 1))
    (tree / "a.txt").write_text("not of it")
    assert selection.digest(root, wish("d")) == before
    seen = {before}
    for change in (
        lambda: (tree / "d/x").write_text("other"),
        lambda: (tree / "d/x").chmod(0o600),
        lambda: (tree / "d/x").rename(tree / "d/w"),
        lambda: (tree / "d/empty").mkdir(),
        lambda: (tree / "d/link").symlink_to("a"),
        lambda: ((tree / "d/link").unlink(), (tree / "d/link").symlink_to("b")),
    ):
        change()
        seen.add(selection.digest(root, wish("d")))
    assert len(seen) == 7


def test_holes_are_not_read(root: int, tmp_path: Path) -> None:
    with (tmp_path / "tree/sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"in the middle")
    assert len(selection.digest(root, wish("sparse"))) == 64
