"""Images in the store, and what a run needs of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootless.errors import ImageError, StoreError
from rootless.model import digest as digests
from rootless.store import blobs, images, index
from rootless.store.paths import Paths

TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    blobs.ensure_layout(paths)
    return paths


def diff_id(text: str) -> str:
    return digests.of(text.encode())


def add_layer(paths: Paths, text: str, size: int) -> None:
    folder = Path(paths.layer(diff_id(text)))
    (folder / "diff").mkdir(parents=True)
    (folder / "layer.json").write_text(json.dumps({"size": size, "files": 1, "notes": []}))


def add(paths: Paths, name: str, layers: list[str], **more: object) -> str:
    """An image whose compressed layers are missing; its manifest's digest."""
    rootfs = {"type": "layers", "diff_ids": [diff_id(text) for text in layers]}
    config = json.dumps({"rootfs": rootfs, **more}).encode()
    manifest = {
        "config": {"digest": blobs.write(paths, config), "size": len(config)},
        "layers": [{"digest": diff_id(f"compressed {text}"), "size": 1} for text in layers],
    }
    data = json.dumps(manifest).encode()
    digest = blobs.write(paths, data)
    if name:
        index.set_name(paths, name, digest, media_type=TYPE, size=len(data))
    return digest


def found(paths: Paths, name: str) -> images.StoredImage:
    image = images.find(paths, name)
    assert image is not None
    return image


def test_find_takes_full_names_only(paths: Paths) -> None:
    digest = add(paths, "docker.io/library/alpine:latest", ["a"], os="linux")
    image = images.find(paths, "docker.io/library/alpine:latest")
    assert image is not None
    assert (image.manifest_digest, image.config["os"]) == (digest, "linux")
    assert image.image_id == json.loads(blobs.read(paths, digest))["config"]["digest"][7:]
    assert images.find(paths, "alpine") is None


def test_layers_are_listed_from_the_top_and_once(paths: Paths) -> None:
    add(paths, "localhost/x:latest", ["base", "empty", "app", "empty"])
    image = found(paths, "localhost/x:latest")
    expected = [paths.layer_diff(diff_id(text)) for text in ("empty", "app", "base")]
    assert image.layer_diffs(paths) == expected


def test_size_counts_the_layers(paths: Paths) -> None:
    add(paths, "localhost/x:latest", ["a", "b"])
    add_layer(paths, "a", 1000)
    add_layer(paths, "b", 24)
    assert images.size(paths, found(paths, "localhost/x:latest")) == 1024


def test_what_is_missing(paths: Paths) -> None:
    digest = add(paths, "", ["a"])
    compressed = diff_id("compressed a")
    assert images.missing(paths, digest) == [compressed, diff_id("a")]
    add_layer(paths, "a", 1)
    Path(paths.blob(compressed)).write_bytes(b"x")
    assert images.missing(paths, digest) == []
    config = json.loads(blobs.read(paths, digest))["config"]["digest"]
    blobs.remove(paths, config)
    assert images.missing(paths, digest) == [config]
    blobs.remove(paths, digest)
    assert images.missing(paths, digest) == [digest]


def test_dangling_images_are_listed_without_a_name(paths: Paths) -> None:
    first = add(paths, "localhost/x:latest", ["a"])
    second = add(paths, "localhost/x:latest", ["b"])
    listed = [(image.name, image.manifest_digest) for image in images.list_all(paths)]
    assert listed == [("", first), ("localhost/x:latest", second)]


def test_damaged_documents(paths: Paths) -> None:
    digest = add(paths, "localhost/x:latest", ["a"])
    Path(paths.blob(digest)).write_bytes(b"{}")
    with pytest.raises(StoreError, match=r"image localhost/x:latest: .* damaged"):
        found(paths, "localhost/x:latest")
    assert images.list_all(paths) == []


def test_a_layer_cannot_be_a_path(paths: Paths) -> None:
    rootfs = {"type": "layers", "diff_ids": ["sha256:../../../../etc"]}
    config = blobs.write(paths, json.dumps({"rootfs": rootfs}).encode())
    data = json.dumps({"config": {"digest": config}, "layers": []}).encode()
    digest = blobs.write(paths, data)
    index.set_name(paths, "localhost/x:latest", digest, media_type=TYPE, size=len(data))
    with pytest.raises(ImageError, match="sha256 digest has 64"):
        found(paths, "localhost/x:latest")
