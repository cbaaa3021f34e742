"""Blobs and index.json: what an OCI image layout promises."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from rootless.errors import ImageError, StoreError
from rootless.store import blobs, index
from rootless.store.paths import Paths

TYPE = "application/vnd.oci.image.manifest.v1+json"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ALPINE = "docker.io/library/alpine:latest"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    blobs.ensure_layout(paths)
    return paths


def name(paths: Paths, text: str, digest: str) -> None:
    index.set_name(paths, text, digest, media_type=TYPE, size=7)


def rows(paths: Paths) -> list[tuple[str, str]]:
    return [(index.name_of(entry), entry["digest"]) for entry in index.entries(paths)]


def test_an_empty_store_is_an_oci_layout(paths: Paths) -> None:
    assert json.loads(Path(paths.oci_layout).read_text()) == {"imageLayoutVersion": "1.0.0"}
    document = json.loads(Path(paths.index).read_text())
    assert (document["schemaVersion"], document["manifests"]) == (2, [])
    name(paths, ALPINE, A)
    blobs.ensure_layout(paths)
    assert rows(paths) == [(ALPINE, A)]


def test_no_store_has_no_names(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "none"), str(tmp_path))
    assert index.names(paths) == []
    assert index.find(paths, ALPINE) is None


def test_a_descriptor_has_what_was_said(paths: Paths) -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    index.set_name(paths, ALPINE, A, media_type=TYPE, size=7, platform=platform)
    assert index.find(paths, ALPINE) == {
        "mediaType": TYPE,
        "digest": A,
        "size": 7,
        "platform": platform,
        "annotations": {"org.opencontainers.image.ref.name": ALPINE},
    }


def test_a_name_that_moves_leaves_a_dangling_image(paths: Paths) -> None:
    name(paths, ALPINE, A)
    name(paths, ALPINE, B)
    assert rows(paths) == [("", A), (ALPINE, B)]
    assert index.names(paths) == [(ALPINE, index.find(paths, ALPINE))]
    name(paths, ALPINE, A)
    assert rows(paths) == [("", B), (ALPINE, A)]


def test_a_manifest_with_another_name_does_not_dangle(paths: Paths) -> None:
    name(paths, "x:1", A)
    name(paths, "x:2", A)
    name(paths, "x:1", B)
    assert rows(paths) == [("x:2", A), ("x:1", B)]


def test_naming_again_changes_nothing(paths: Paths) -> None:
    name(paths, ALPINE, A)
    before = Path(paths.index).read_bytes()
    name(paths, ALPINE, A)
    assert Path(paths.index).read_bytes() == before


def test_removal_of_names_and_manifests(paths: Paths) -> None:
    for text, digest in (("x:1", A), ("x:2", A), ("x:3", B)):
        name(paths, text, digest)
    index.remove_name(paths, "x:1")
    assert rows(paths) == [("x:2", A), ("x:3", B)]
    index.remove_manifest(paths, A)
    assert rows(paths) == [("x:3", B)]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"manifests": 3}', '{"manifests": [3]}'])
def test_a_damaged_index_is_named(paths: Paths, text: str) -> None:
    Path(paths.index).write_text(text)
    with pytest.raises(StoreError, match=r"index\.json: not an OCI image index"):
        index.entries(paths)


@pytest.mark.parametrize("annotations", [None, {}, {index.REF_NAME: 3}])
def test_odd_annotations_are_no_name(annotations: object) -> None:
    assert index.name_of({"annotations": annotations}) == ""


def _add(root: str, worker: int) -> None:
    for number in range(10):
        name(Paths(root, root), f"x:{worker}-{number}", A)


def test_writers_at_once_lose_nothing(paths: Paths) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(paths.root, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(index.names(paths)) == 40


def test_blobs_are_kept_by_their_digest(paths: Paths) -> None:
    digest = blobs.write(paths, b"content")
    assert digest == "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert blobs.write(paths, b"content") == digest
    assert blobs.read(paths, digest) == blobs.read_trusted(paths, digest) == b"content"
    assert blobs.has(paths, digest)
    assert blobs.has(paths, digest, 7)
    assert not blobs.has(paths, digest, 8)
    assert blobs.stored(paths) == [digest]
    assert blobs.remove(paths, digest)
    assert not blobs.remove(paths, digest)
    assert not blobs.has(paths, digest)


def test_a_verified_file_is_adopted(paths: Paths) -> None:
    partial = Path(paths.tmp) / "download"
    partial.write_bytes(b"content")
    blobs.adopt(paths, str(partial), A)
    assert blobs.read_trusted(paths, A) == b"content"
    assert not partial.exists()


def test_damage_is_found_by_read(paths: Paths) -> None:
    digest = blobs.write(paths, b"content")
    Path(paths.blob(digest)).write_bytes(b"contenT")
    with pytest.raises(StoreError, match="damaged"):
        blobs.read(paths, digest)
    with pytest.raises(StoreError, match="No such file"):
        blobs.read(paths, A)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:../../../etc/passwd", "sha512:" + "a" * 128, "sha256:" + "A" * 64, None, 3],
)
def test_only_digests_become_paths(paths: Paths, digest: object) -> None:
    for function in (blobs.has, blobs.read_trusted, blobs.read, blobs.remove):
        with pytest.raises(ImageError):
            function(paths, digest)  # type: ignore[operator]
