"""Hostile archives: a clear error that names the entry, and nothing changed outside the tree."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootless.errors import ImageError, StoreError
from rootless.image.notes import Notes
from rootless.model.idmap import IdMaps
from rootless.store import trees
from tests.unit.image.archives import (
    Member,
    archive,
    device,
    file,
    folder,
    hardlink,
    symlink,
    unpack_bytes,
    unpack_members,
)


def state_of(folder: Path) -> list[tuple[str, int, int, bytes]]:
    rows = []
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        rows.append((str(path), info.st_mode, info.st_mtime_ns, content))
    return rows


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the tree that must stay as it is, whatever an archive holds."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"precious")
    (folder / "sub/file").write_bytes(b"precious too")
    before = state_of(tmp_path)
    yield folder
    assert state_of(folder) == [row for row in before if row[0].startswith(f"{folder}/")]
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "tree"}


@pytest.fixture
def tree(tmp_path: Path, outside: Path) -> Iterator[Path]:
    yield tmp_path / "tree"
    # pytest's own removal recurses: a deep tree that a failed test left would break later runs.
    subprocess.run(["rm", "-rf", tmp_path / "tree"], check=True)


def raw(
    name: bytes, link: bytes = b"", kind: bytes = tarfile.REGTYPE, content: bytes = b""
) -> bytes:
    """An archive of one entry with a GNU long name and link, whatever bytes they have."""
    parts = []
    for long_kind, text in ((b"L", name), (b"K", link)):
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = long_kind, len(text)
        parts.append(info.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512))
    info = tarfile.TarInfo("short")
    info.type, info.size = kind, len(content)
    padding = bytes(-len(content) % 512)
    return b"".join(parts) + info.tobuf(tarfile.GNU_FORMAT) + content + padding + bytes(1024)


@pytest.mark.parametrize(
    "name",
    [
        b"..",
        b"../outside/file",
        b"a/../../outside/file",
        b"a/..",
        b"/../outside/file",
        b"./..",
        b"../",
    ],
)
def test_dots_in_names(tree: Path, name: bytes) -> None:
    with pytest.raises(ImageError, match=r"'\.\.' in a name"):
        unpack_bytes(raw(name, content=b"hostile"), tree)


def test_absolute_names_stay_inside(tree: Path, outside: Path) -> None:
    unpack_members(tree, file(f"{outside}/file", b"hostile"))
    assert (tree / str(outside).lstrip("/") / "file").read_bytes() == b"hostile"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"n" * 256, "too long"),
        (b"a/" + b"n" * 256 + b"/b", "too long"),
        (b"a/" * 2100, "too long"),
        (b"a\0b", "a NUL in a name"),
        (b".wh.", "a whiteout of nothing"),
        (b"d/.wh...", "a whiteout of nothing"),
        (b"d/.wh..", "a whiteout of nothing"),
        (b".wh.x/y", "below a whiteout"),
        (b"", "the root of the layer is not a directory"),
        (b"/", None),
    ],
)
def test_impossible_names(tree: Path, name: bytes, reason: str | None) -> None:
    if reason is None:
        assert unpack_bytes(raw(name), tree).files == 1
        return
    with pytest.raises(ImageError, match=reason):
        unpack_bytes(raw(name), tree)


def test_links_out_of_the_tree_are_not_followed(tree: Path, outside: Path) -> None:
    for target in ("../outside", str(outside), "../../../../../../.." + str(outside)):
        members = [symlink("esc", target), file("esc/file", b"hostile")]
        with pytest.raises(ImageError, match="esc: not a directory, but other entries are below"):
            unpack_members(tree, *members)
        trees.remove_tree(str(tree))


def test_a_link_to_the_root_is_the_layers_root(tree: Path) -> None:
    unpack_members(tree, symlink("up", "../../.."), symlink("abs", "/"), file("up/f", b"1"),
                   file("abs/g", b"2"))  # fmt: skip
    assert sorted(os.listdir(tree)) == ["abs", "f", "g", "up"]


def test_a_directory_swapped_for_a_link(tree: Path) -> None:
    members = [folder("d"), file("d/a"), symlink("d", "../outside"), file("d/file", b"hostile")]
    with pytest.raises(ImageError, match="d: not a directory"):
        unpack_members(tree, *members)


def test_a_link_swapped_below_an_open_directory(tree: Path) -> None:
    unpack_members(
        tree,
        folder("real/sub"),
        symlink("d", "real"),
        file("d/sub/one", b"1"),
        symlink("real", "/"),
        folder("sub"),
        file("d/sub/two", b"2"),
    )
    assert (tree / "sub/two").read_bytes() == b"2"


def test_loops_of_links(tree: Path) -> None:
    with pytest.raises(ImageError, match="a: not a directory"):
        unpack_members(tree, symlink("a", "b"), symlink("b", "a"), file("a/f", b"x"))


def test_files_are_written_over_links_not_through_them(tree: Path, outside: Path) -> None:
    unpack_members(
        tree,
        symlink("f", f"{outside}/file"),
        file("f", b"hostile"),
        symlink("g", "../outside/new"),
        file("g", b"hostile"),
        symlink("p", f"{outside}/fifo"),
        file("p", type=tarfile.FIFOTYPE),
        symlink("d", "../outside"),
        folder("d", mode=0o700, mtime=1),
    )
    assert [(tree / name).is_symlink() for name in "fgpd"] == [False] * 4


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([hardlink("h", "../outside/file")], "h: '..' in a name"),
        ([hardlink("h", "/etc/passwd")], "etc: no such directory in this layer"),
        ([symlink("s", "../outside"), hardlink("h", "s/file")], "s: not a directory"),
        ([file(".wh.w"), hardlink("h", "w/x")], "w: not a directory"),
        ([hardlink("h", "missing")], "h: hard link to missing, which is not in the layer"),
        ([folder("d"), hardlink("h", "d")], "h: hard link to a directory"),
        ([hardlink("h", "/")], "h: hard link to a directory"),
        ([folder("d"), file("d/f"), hardlink("d", "d/f")], "d: No such file"),
    ],
)
def test_hard_links(tree: Path, members: list[Member], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        unpack_members(tree, *members)


def test_a_hard_link_to_a_link_outside_then_written(tree: Path, outside: Path) -> None:
    unpack_members(
        tree,
        symlink("s", f"{outside}/file"),
        hardlink("h", "s"),
        file("h", b"hostile"),
    )
    assert (tree / "h").read_bytes() == b"hostile"
    assert (tree / "s").is_symlink()


@pytest.mark.parametrize(
    ("link", "kind"), [(b"a\0b", b"2"), (b"t" * 5000, b"2"), (b"", b"2"), (b"a\0b", b"1")]
)
def test_impossible_targets(tree: Path, link: bytes, kind: bytes) -> None:
    with pytest.raises(ImageError, match=r"^name: "):
        unpack_bytes(raw(b"name", link, kind), tree)


def test_a_file_in_the_way_of_a_directory(tree: Path) -> None:
    with pytest.raises(ImageError, match="f: not a directory, but other entries are below it"):
        unpack_members(tree, file("f"), file("f/below"))


def test_a_device_that_would_be_a_whiteout_is_not_made(tree: Path) -> None:
    unpack_members(tree, device("etc/passwd", major=0, minor=0))
    assert os.listdir(tree / "etc") == []


@pytest.mark.parametrize("field", ["uid", "gid"])
@pytest.mark.parametrize("number", [65536, 2**32, 2**40])
def test_owners_outside_the_maps(tree: Path, field: str, number: int) -> None:
    ids = ((0, 1000, 1), (1, 100000, 65535))
    data = archive([file("some/file", **{field: number})])
    with pytest.raises(ImageError) as caught:
        unpack_bytes(data, tree, IdMaps(ids, ids))
    text = (
        f"some/file: is owned by {field} {number}, and only 65536 {field}s are mapped for this user"
    )
    assert caught.value.message == text
    assert f"/etc/sub{field}" in caught.value.hint


def test_a_file_that_does_not_fit_is_refused_before_it_is_written(tree: Path) -> None:
    info, _ = file("huge")
    info.size = 1 << 60
    with pytest.raises(StoreError, match="huge: its 1152921504606846976 bytes do not fit"):
        unpack_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096), tree)
    assert (os.listdir(tree)) == []


def test_a_sparse_file_of_impossible_size(tree: Path) -> None:
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**62)}
    with pytest.raises(ImageError, match="s: File too large"):
        unpack_members(tree, file("s", b"x", pax_headers=headers))


def test_trees_deeper_than_descriptors_and_paths(tree: Path) -> None:
    """Each link goes down further, so that no single name is too long."""
    members, prefix = [], ""
    for number in range(8):
        deep = prefix + "/".join(["d"] * 300)
        members += [folder(deep), symlink(f"s{number}", deep)]
        prefix = f"s{number}/"
    members.append(file("s7/bottom", b"x"))
    unpack_members(tree, *members)
    size, count = trees.du(str(tree))
    assert count == 8 * 300 + 8 + 2
    assert size > 0
    trees.remove_tree(str(tree))
    assert not tree.exists()


KINDS = st.sampled_from(["file", "dir", "sym", "hard", "fifo", "white", "opaque"])
PATHS = st.lists(st.sampled_from(["a", "b", "c", "s"]), min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(PATHS, st.sampled_from(["..", "/", "../outside", "../../outside", "a/..", "."]))


def member_of(kind: str, path: str, target: str) -> Member:
    if kind == "file":
        return file(path, b"hostile")
    if kind == "dir":
        return folder(path, mode=0o700)
    if kind == "sym":
        return symlink(path, target)
    if kind == "hard":
        return hardlink(path, target)
    if kind == "fifo":
        return file(path, type=tarfile.FIFOTYPE)
    head, _, tail = path.rpartition("/")
    return file(f"{head}/.wh..wh..opq" if kind == "opaque" else f"{head}/.wh.{tail}")


@settings(
    max_examples=150, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(st.tuples(KINDS, PATHS, TARGETS), max_size=12))
def test_any_sequence_of_entries_stays_inside(
    tree: Path, outside: Path, rows: list[tuple[str, str, str]]
) -> None:
    before = state_of(outside)
    open_before = len(os.listdir("/proc/self/fd"))
    try:
        unpack_members(tree, *(member_of(*row) for row in rows))
    except ImageError as error:
        assert error.message
    finally:
        trees.remove_tree(str(tree))
    assert state_of(outside) == before
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_the_limit_of_memory_for_notes(tree: Path) -> None:
    notes = Notes()
    for number in range(1000):
        notes.add("device nodes not made", b"n%d" % number)
    assert notes.lines() == ["device nodes not made: 1000 (n0, n1, n2, …)"]
