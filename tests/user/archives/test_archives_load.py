"""Archives of other programs and of other times, and such as are made to do harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.model import platform
from rootless.store import blobs, index, layers
from tests.user.archives.conftest import Archive, names
from tests.user.conftest import Rl
from tests.user.registry.oci_layout import OCI, Layout, digest_of, tar_of

ARCHITECTURE = platform.host().architecture
ONE, TWO = tar_of({"one": b"1"}), tar_of({"two": b"2"})


def config_of(*tars: bytes) -> bytes:
    diff_ids = [digest_of(tar) for tar in tars]
    document = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"diff_ids": diff_ids}}
    return json.dumps(document).encode()


def manifest_of(config: str, *layer_names: str, tags: Any = ("app:v1",)) -> tuple[str, bytes]:
    row = {"Config": config, "RepoTags": tags and list(tags), "Layers": list(layer_names)}
    return "manifest.json", json.dumps([row]).encode()


def is_empty(rl: Rl) -> bool:
    """Whether there is no image, and nothing of one that anybody could see."""
    return not index.entries(rl.paths)


def tree(rl: Rl, diff_id: str) -> set[str]:
    return set(os.listdir(rl.paths.layer_diff(diff_id)))


def test_an_archive_as_docker_wrote_them_until_25(rl: Rl, archive: Archive) -> None:
    config = config_of(ONE, TWO, ONE)
    link = tarfile.TarInfo("c/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
    hard = tarfile.TarInfo("./b/layer.tar")
    hard.type, hard.linkname = tarfile.LNKTYPE, "b/real.tar"
    path = archive(
        ("a/VERSION", b"1.0"), ("a/layer.tar", ONE), ("b/real.tar", TWO), (hard, b""), (link, b""),
        ("x.json", config),
        manifest_of("x.json", "a/layer.tar", "b/layer.tar", "c/layer.tar"), ("repositories", b"{}"),
    )  # fmt: skip
    assert rl("load", "-q", "-i", str(path)).stdout == "Loaded image: docker.io/library/app:v1\n"
    (entry,) = index.entries(rl.paths)
    manifest = json.loads(blobs.read(rl.paths, entry["digest"]))
    assert manifest["config"]["digest"] == digest_of(config)
    assert tree(rl, digest_of(TWO)) == {"two"}


def test_compressed_layers_in_a_docker_archive(rl: Rl, archive: Archive) -> None:
    packed = gzip.compress(ONE)
    path = archive(("l", packed), ("c", config_of(ONE)), manifest_of("c", "l", tags=None))
    image_id = digest_of(config_of(ONE))
    assert rl("load", "-q", "-i", str(path)).stdout == f"Loaded image ID: {image_id}\n"
    assert blobs.read(rl.paths, digest_of(packed)) == packed
    assert rl("run", "--rm", "--dry-run", image_id, "x").returncode == 0


def test_a_tag_alone_is_no_name(rl: Rl, layout: Layout) -> None:
    layout.name(layout.image([{"a": b""}], architecture=ARCHITECTURE), "v1")
    done = rl("load", "-q", "-i", str(layout.folder))
    assert done.stdout.startswith("Loaded image ID: sha256:")
    assert [index.name_of(entry) for entry in index.entries(rl.paths)] == [""]


def test_the_platform_is_chosen(rl: Rl, layout: Layout) -> None:
    entries = [
        (layout.image([{name: b""}], architecture=name), {"os": "linux", "architecture": name})
        for name in ("amd64", "arm64")
    ]
    layout.name(layout.index(entries), "example.org/multi:1")
    for name, (descriptor, _) in zip(("amd64", "arm64"), entries, strict=True):
        rl("load", "-q", "-i", str(layout.folder), "--platform", f"linux/{name}")
        entry = index.find(rl.paths, "example.org/multi:1")
        assert entry is not None and entry["digest"] == descriptor["digest"]


def test_a_name_moves_to_the_image_that_is_loaded(rl: Rl, layout: Layout) -> None:
    for content in (b"old", b"new"):
        layout.manifests = []
        layout.name(layout.image([{"a": content}], architecture=ARCHITECTURE), "x.org/app:1")
        rl("load", "-q", "-i", str(layout.folder))
    assert sorted(index.name_of(entry) for entry in index.entries(rl.paths)) == ["", "x.org/app:1"]


GOOD = ("l", ONE), ("c", config_of(ONE)), manifest_of("c", "l")


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ((("l", ONE),), "holds no images"),
        ((("repositories", b"{}"),), "before 1.10"),
        ((("manifest.json", b"{nonsense"),), "manifest.json: not readable as JSON"),
        ((("manifest.json", b"[7]"),), "Config, RepoTags and Layers are expected"),
        ((("manifest.json", b'[{"Config":"c","Layers":[1]}]'),), "are expected"),
        ((("manifest.json", b"[" * 100_000),), "not readable as JSON"),
        ((("index.json", b"[]"), ("manifest.json", b"[]")), "holds no images"),
        ((("index.json", b'{"manifests":[{"digest":"../x"}]}'),), "digest ../x"),
        (GOOD[1:], "names 'l', which is missing"),
        ((GOOD[0], GOOD[2]), "names 'c', which is missing"),
        ((*GOOD[:2], manifest_of("c", "l", "l")), "2 layers, the configuration has 1"),
        ((*GOOD[:2], manifest_of("../../../../etc/passwd", "l")), "which is missing"),
        ((*GOOD[:2], manifest_of("c", "/etc/passwd")), "which is missing"),
        ((*GOOD[:2], manifest_of("c", "l", tags=["Bad Name"])), "not an image reference"),
        ((("l", TWO), *GOOD[1:]), "have the digest"),
        ((("l", ONE[:-1024] + b"\1" * 1024), *GOOD[1:]), "have the digest"),
        ((("l", gzip.compress(ONE)[:-9]), *GOOD[1:]), "gzip stream"),
    ],
)  # fmt: skip
def test_archives_that_are_none(rl: Rl, archive: Archive, members: Any, complaint: str) -> None:
    done = rl("load", "-q", "-i", str(archive(*members)), code=125)
    assert complaint in done.stderr and done.stdout == ""
    assert is_empty(rl)


def test_a_link_out_of_the_archive_leads_nowhere(rl: Rl, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(ONE)
    for target in (str(tmp_path / "outside"), "../outside", "l"):
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, target
        done = rl("load", "-q", "-i", str(archive((link, b""), *GOOD[1:])), code=125)
        assert "which is missing" in done.stderr or "too many links" in done.stderr
        assert is_empty(rl)


def test_names_in_the_archive_are_no_paths(rl: Rl, archive: Archive, tmp_path: Path) -> None:
    odd = [("../../planted", b"x"), ("/planted", b"x"), (f"{tmp_path}/planted", b"x")]
    rl("load", "-q", "-i", str(archive(*odd, *GOOD)))
    assert names(rl) == ["docker.io/library/app:v1"]
    assert not (tmp_path / "planted").exists() and not Path("/planted").exists()
    assert not list(tmp_path.parent.glob("planted"))


def test_an_archive_that_is_cut(rl: Rl, archive: Archive, tmp_path: Path) -> None:
    whole = archive(GOOD[1], GOOD[2], GOOD[0]).read_bytes()
    cut = tmp_path / "cut.tar"
    for size in (700, len(whole) - 10240 - 600, 100, 0):
        cut.write_bytes(whole[:size])
        done = rl("load", "-q", "-i", str(cut), code=125)
        assert done.stderr.startswith("rl: error: ") and done.stderr.count("\n") <= 2
        assert is_empty(rl)
    cut.write_bytes(gzip.compress(whole)[:-20])
    assert "cut in the middle of the gzip" in rl("load", "-qi", str(cut), code=125).stderr
    assert "gzip" in rl("load", "-q", code=125, input="\x1f\x0b").stderr or is_empty(rl)


@pytest.mark.parametrize("where", ["manifest", "config", "layer"])
def test_a_layout_whose_blob_lies(rl: Rl, layout: Layout, where: str) -> None:
    descriptor = layout.image([{"a": b"1"}], architecture=ARCHITECTURE)
    layout.name(descriptor, "x.org/app:1")
    manifest = layout.read(descriptor)
    parts = {"manifest": descriptor, "config": manifest["config"], "layer": manifest["layers"][0]}
    path = layout.path(parts[where]["digest"])
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    done = rl("load", "-q", "-i", str(layout.folder), code=125)
    assert "digest" in done.stderr and is_empty(rl)
    path.unlink()
    assert "missing" in rl("load", "-q", "-i", str(layout.folder), code=125).stderr
    os.mkfifo(path)
    assert "not a regular file" in rl("load", "-qi", str(layout.folder), code=125).stderr
    assert is_empty(rl)


def test_the_second_image_is_damaged_and_the_first_one_is_there(rl: Rl, layout: Layout) -> None:
    for name in ("good", "bad"):
        descriptor = layout.image([{name: b"1"}], architecture=ARCHITECTURE)
        layout.name(descriptor, f"x.org/{name}:1")
    layout.path(layout.read(descriptor)["layers"][0]["digest"]).unlink()
    done = rl("load", "-q", "-i", str(layout.folder), code=125)
    assert done.stdout == "Loaded image: x.org/good:1\n" and "missing" in done.stderr
    assert names(rl) == ["x.org/good:1"]


def test_a_layer_that_breaks_out_is_refused(rl: Rl, archive: Archive) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("x")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("x/../../../planted-by-a-layer"))
    layer = buffer.getvalue()
    path = archive(("l", layer), ("c", config_of(layer)), manifest_of("c", "l"))
    done = rl("load", "-q", "-i", str(path), code=None)
    assert not Path("/tmp/planted-by-a-layer").exists()
    assert done.returncode == 125 or "app" in done.stdout


def test_an_artifact_is_no_image(rl: Rl, layout: Layout) -> None:
    manifest = {
        "schemaVersion": 2,
        "config": layout.document({}, "application/vnd.oci.empty.v1+json"),
        "layers": [],
    }
    layout.name(layout.document(manifest, f"{OCI}.manifest.v1+json"), "x.org/chart:1")
    assert "not a container image" in rl("load", "-i", str(layout.folder), code=125).stderr


def test_what_cannot_be_opened(rl: Rl, tmp_path: Path) -> None:
    assert "No such file" in rl("load", "-i", str(tmp_path / "none"), code=125).stderr
    assert "holds no images" in rl("load", "-i", str(tmp_path), code=125).stderr
    assert rl("load", code=125).stderr.startswith("rl: error: standard input: ")
    done = rl("load", input="", code=125)
    assert "standard input: holds no images" in done.stderr
    assert "hint: rl import -  # " in done.stderr


def test_what_is_wrong_with_an_archive_names_it(rl: Rl, archive: Archive, tmp_path: Path) -> None:
    none, cut = tmp_path / "none", tmp_path / "cut"
    none.write_text("text")
    said = rl("load", "-i", str(none), code=125).stderr
    assert said.startswith(f"rl: error: {none}: the beginning of the archive: ")
    cut.write_bytes(archive(*GOOD).read_bytes()[:1500])
    said = rl("load", "-i", str(cut), code=125).stderr
    assert said.startswith(f"rl: error: {cut}: ") and "cut" in said
    assert is_empty(rl)


def test_a_kill_leaves_nothing_that_is_seen(rl: Rl, archive: Archive, tmp_path: Path) -> None:
    big = tar_of({"big": os.urandom(20 << 20)})
    path = archive(("c", config_of(big)), manifest_of("c", "l"), ("l", big))
    packed = tmp_path / "packed"
    subprocess.run(f"gzip -1c {path} > {packed}", shell=True, check=True)
    for pause in (0.15, 0.4, 0.6):
        loading = rl.popen("load", "-q", "-i", str(packed))
        time.sleep(pause)
        loading.send_signal(signal.SIGKILL)
        loading.wait()
        assert is_empty(rl) or names(rl) == ["docker.io/library/app:v1"]
    assert list(Path(rl.paths.tmp).glob("load-*")) == []
    rl("load", "-q", "-i", str(packed))
    assert layers.has(rl.paths, digest_of(big))
    rl("image", "prune", "-f")
