"""Layers made of upper directories, compared with what unpacking their blobs gives."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.errors import RlError
from rootless.image import layer_writer, make, unpack, whiteouts
from rootless.image.layer_writer import LayerWriter, NewLayer
from rootless.model import image_config, platform
from rootless.store import blobs, guard, images, index, layers
from rootless.store.paths import Paths
from rootless.tools import idmap

Row = tuple[object, ...]
CAPABILITY = b"\x01\x00\x00\x02" + b"\x00\x04\x00\x00" + bytes(12)


def fill(upper: str) -> None:
    """One of everything that a container leaves in its upper directory."""
    os.umask(0o022)
    top = Path(upper)
    for name in ("d/e", "opaque", "empty", "new"):
        (top / name).mkdir(parents=True)
    (top / "d/file").write_bytes(b"content" * 1000)
    (top / "d/e/owned").write_bytes(b"x")
    os.chown(top / "d/e/owned", 33, 44)
    os.chown(top / "d/e", 5, 6)
    os.chmod(top / "d/e", 0o2750)
    (top / "setuid").write_bytes(b"s")
    os.chmod(top / "setuid", 0o4755)
    os.link(top / "d/file", top / "second")
    os.symlink("/etc/ü", top / "link")
    os.mkfifo(top / "fifo", 0o622)
    os.setxattr(top / "setuid", "user.note", b"\x00value")
    os.setxattr(top / "d", "user.of.folder", b"1")
    os.setxattr(top / "d/file", "security.capability", CAPABILITY)
    os.setxattr(top / "d/file", "user.overlay.origin", b"\x01")
    (top / os.fsdecode(b"not\xffutf8")).write_bytes(b"1")
    (top / ("long" * 50)).write_bytes(b"2")
    (top / ("/".join(["deeper" * 10] * 5))).mkdir(parents=True)
    with open(top / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(5 << 20)
        file.write(b"here")
    whiteouts.make(os.open(upper, os.O_RDONLY), b"gone")
    os.mknod(top / "d/hidden", stat.S_IFCHR)
    whiteouts.make_opaque(os.open(top / "opaque", os.O_RDONLY))
    (top / "opaque/in").write_bytes(b"o")
    (top / ".wh.byname").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
    for path in (top / "d/file", top / "new"):
        os.utime(path, ns=(10**18, 10**18 + 123_456_789))


def snapshot(tree: str) -> dict[str, Row]:
    """Everything about a tree that a container can see; what is one file has one number."""
    rows: dict[str, Row] = {}
    numbers: dict[int, int] = {}
    for folder, folders, names in os.walk(tree):
        for name in sorted(folders + names):
            path = f"{folder}/{name}"
            info = os.lstat(path)
            inode = numbers.setdefault(info.st_ino, len(numbers)) if info.st_nlink > 1 else 0
            kind = stat.S_IFMT(info.st_mode)
            content: object = None
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = hash(file.read())
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            xattrs = {} if stat.S_ISLNK(info.st_mode) else {
                key: os.getxattr(path, key) for key in os.listxattr(path)
            }  # fmt: skip
            is_whiteout = whiteouts.is_whiteout(info)
            links = info.st_nlink if not stat.S_ISDIR(info.st_mode) else 0
            rows[os.path.relpath(path, tree)] = (
                kind, None if is_whiteout else stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid,
                None if is_whiteout else info.st_mtime_ns, sorted(xattrs.items()), content,
                inode if not stat.S_ISDIR(info.st_mode) else 0, links, info.st_rdev,
            )  # fmt: skip
    return rows


def unpacked(paths: Paths, layer: NewLayer, place: Path) -> dict[str, Row]:
    """What the blob of the layer, which is in the store, unpacks to."""
    maps = idmap.canonical_maps()

    def work() -> None:
        os.mkdir(place)
        fd = os.open(paths.blob(layer.digest), os.O_RDONLY)
        summary = unpack.unpack(fd, str(place), maps)
        assert summary.diff_id == layer.diff_id
        assert (summary.size, summary.files) == (layer.size, layer.files)
        assert summary.notes == []

    idmap.call(work)
    return inside(lambda: snapshot(str(place)))


def inside(look: Callable[[], dict[str, Row]]) -> dict[str, Row]:
    found: dict[str, Row] = idmap.call(lambda: {key: repr(row) for key, row in look().items()})
    return found


@pytest.fixture
def upper(short_dir: Path) -> str:
    place = str(short_dir / "upper")

    def work() -> None:
        os.mkdir(place)
        fill(place)

    idmap.call(work)
    return place


@pytest.mark.parametrize("give", [True, False])
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_the_unpacked_layer_is_what_its_blob_unpacks_to(
    store: Paths, upper: str, short_dir: Path, give: bool, compression: str
) -> None:
    before = inside(lambda: snapshot(upper))
    with LayerWriter(store) as writer:
        layer = writer.write(upper, give=give, compression=compression)
        with guard.adding(store):
            layer.adopt()
    kept = inside(lambda: snapshot(store.layer_diff(layer.diff_id)))
    assert kept == unpacked(store, layer, short_dir / "again")
    assert layers.info(store, layer.diff_id)["size"] == layer.size
    assert layer.notes == []
    assert {"gone", "byname", "d/hidden", "sparse", "long" * 50, "not\udcffutf8"} <= kept.keys()
    assert not {"socket", ".wh.byname", ".wh.gone"} & kept.keys()
    assert "user.note" in kept["setuid"]
    assert "origin" not in str(kept)
    assert "user.overlay.opaque" in kept["opaque"]
    if give:
        assert not os.path.exists(upper)
    else:
        assert inside(lambda: snapshot(upper)) == before
    holes = idmap.call(lambda: os.stat(f"{store.layer_diff(layer.diff_id)}/sparse").st_blocks)
    assert holes < 1000


def test_the_same_directory_gives_the_same_digests(store: Paths, upper: str) -> None:
    with LayerWriter(store) as writer:
        first = writer.write(upper, give=False)
        second = writer.write(upper, give=False)
        clamped = writer.write(upper, give=False, epoch=1_000_000)
        given = writer.write(upper, give=True, epoch=1_000_000)
    assert (first.diff_id, first.digest) == (second.diff_id, second.digest)
    assert clamped.diff_id != first.diff_id
    assert (clamped.diff_id, clamped.digest) == (given.diff_id, given.digest)


def test_no_time_is_later_than_the_epoch(store: Paths, upper: str) -> None:
    with LayerWriter(store) as writer:
        layer = writer.write(upper, give=True, epoch=1_000_000)
        with guard.adding(store):
            layer.adopt()
    tree = store.layer_diff(layer.diff_id)

    def latest() -> int:
        found = [os.lstat(f"{top}/{name}") for top, dirs, files in os.walk(tree)
                 for name in dirs + files]  # fmt: skip
        return max(int(info.st_mtime) for info in found if not whiteouts.is_whiteout(info))

    assert idmap.call(latest) == 1_000_000


def test_only_what_differs_from_the_layers_below(store: Paths, short_dir: Path) -> None:
    low, up = short_dir / "low", short_dir / "up"

    def make_trees() -> None:
        for top in (low, up):
            for name in ("same/a", "with", "opaque"):
                (top / name).mkdir(parents=True)
        (low / "there").touch()
        (low / "opaque/old").touch()
        (up / "with/change").write_bytes(b"1")
        (up / "etc").mkdir()
        (up / "etc/hosts").touch()
        fd = os.open(up, os.O_RDONLY)
        whiteouts.make(fd, b"there")
        whiteouts.make(fd, b"never.was")
        whiteouts.make_opaque(os.open(up / "opaque", os.O_RDONLY))
        (up / "new").mkdir()
        whiteouts.make_opaque(os.open(up / "new", os.O_RDONLY))
        for top in (low, up):
            for name in ("same/a", "same", "with", "opaque"):
                os.utime(top / name, (10**9, 10**9))

    idmap.call(make_trees)
    for give in (False, True):
        with LayerWriter(store) as writer:
            layer = writer.write(str(up), [str(low)], give=give, leave_out=["/etc/hosts"])
            with guard.adding(store):
                layer.adopt()
        tree = store.layer_diff(layer.diff_id)
        kept = inside(lambda tree=tree: snapshot(tree))  # type: ignore[misc]
        assert set(kept) == {"there", "with", "with/change", "opaque", "new"}
        assert "opaque" in kept["opaque"]
        assert "opaque" not in kept["new"], "it hides nothing"
        assert kept == unpacked(store, layer, short_dir / f"again{give}")
        layers.remove(store, [layer.diff_id])


def test_nothing_at_all_is_the_well_known_empty_layer(store: Paths, short_dir: Path) -> None:
    (short_dir / "up").mkdir()
    with LayerWriter(store) as writer:
        layer = writer.write(str(short_dir / "up"), [], give=False)
        assert layer.is_empty
    assert layer.diff_id == layer_writer.EMPTY_DIFF_ID


def test_a_sparse_file_of_gigabytes_is_not_read(store: Paths, short_dir: Path) -> None:
    (short_dir / "up").mkdir()
    with open(short_dir / "up/sparse", "wb") as file:
        file.truncate(2 << 30)
    began = time.process_time()
    with LayerWriter(store) as writer:
        layer = writer.write(str(short_dir / "up"), give=False)
    assert time.process_time() - began < 20
    assert layer.size == 2 << 30
    assert layer.blob_size < 10 << 20


def test_a_failure_leaves_nothing(store: Paths, short_dir: Path) -> None:
    with pytest.raises(RlError, match="nowhere"), LayerWriter(store) as writer:
        writer.write(str(short_dir / "nowhere"), give=False)
    assert os.listdir(store.tmp) == []
    assert blobs.stored(store) == []


def test_an_image_is_made_of_layers_and_a_config(store: Paths, upper: str) -> None:
    with LayerWriter(store) as writer:
        layer = writer.write(upper, give=True)
        config = image_config.scratch(platform.host().as_document())
        step = image_config.Step(image_config.created_text(0), "test")
        config = image_config.with_step(config, step, layer.diff_id)
        names = ["localhost/one:latest", "localhost/two:latest"]
        made = make.make(store, config, [layer.descriptor], names, fresh=[layer])
    for name in names:
        image = images.find(store, name)
        assert image is not None
        assert image.diff_ids == [layer.diff_id]
        assert f"sha256:{image.image_id}" == made.image_id
    # Made again, without a name: it is the same.
    again = make.make(store, config, [layer.descriptor])
    assert again.manifest_digest == made.manifest_digest
    assert [index.name_of(entry) for entry in index.entries(store)] == names


def test_an_image_without_a_name_is_dangling(store: Paths, short_dir: Path) -> None:
    config = image_config.scratch(platform.host().as_document())
    blobs.ensure_layout(store)
    made = make.make(store, config, [], image_format="docker")
    (entry,) = index.entries(store)
    assert (index.name_of(entry), entry["digest"]) == ("", made.manifest_digest)
    assert entry["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_a_part_that_is_gone_makes_no_image(store: Paths, short_dir: Path) -> None:
    blobs.ensure_layout(store)
    config = image_config.scratch(platform.host().as_document())
    gone = "sha256:" + "0" * 64
    config = image_config.with_step(config, image_config.Step("", "x"), gone)
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": gone, "size": 1}
    with pytest.raises(RlError, match="gone"):
        make.make(store, config, [layer], ["localhost/x:latest"])
    assert index.entries(store) == []
