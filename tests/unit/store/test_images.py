"""Images found by what a user may write, and what a run needs of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootless.errors import ImageError, NotFoundError, StoreError, UsageError
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


def test_find_takes_full_names_only(paths: Paths) -> None:
    digest = add(paths, "docker.io/library/alpine:latest", ["a"], os="linux")
    image = images.find(paths, "docker.io/library/alpine:latest")
    assert image is not None
    assert (image.manifest_digest, image.config["os"]) == (digest, "linux")
    assert image.image_id == json.loads(blobs.read(paths, digest))["config"]["digest"][7:]
    assert images.find(paths, "alpine") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("library/alpine", "docker.io/library/alpine:latest"),
        ("mine", "localhost/mine:latest"),
        ("both", "localhost/both:latest"),
        ("docker.io/library/both", "docker.io/library/both:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("abc", "docker.io/library/abc:latest"),
    ],
)
def test_names_as_users_write_them(paths: Paths, text: str, name: str) -> None:
    for number, full in enumerate(
        [
            "docker.io/library/alpine:latest",
            "docker.io/library/alpine:3.20",
            "quay.io/other/alpine:latest",
            "docker.io/library/both:latest",
            "localhost/both:latest",
            "localhost/mine:latest",
            "localhost:5000/x:latest",
            "docker.io/library/abc:latest",
        ]
    ):
        add(paths, full, [str(number)])
    assert images.resolve(paths, text).name == name


def test_digests_and_ids(paths: Paths) -> None:
    digest = add(paths, "quay.io/x/y:1", ["a"])
    image = images.resolve(paths, digest)
    for text in (
        image.image_id,
        image.image_id[:12],
        f"sha256:{image.image_id}",
        f"quay.io/x/y@{digest}",
    ):
        assert images.resolve(paths, text).manifest_digest == digest
    for text in ("quay.io/x/y", f"quay.io/other@{digest}", "quay.io/x/y:2", "zzz", "sha256:"):
        with pytest.raises(NotFoundError, match="no such image"):
            images.resolve(paths, text)


def test_an_ambiguous_id_is_refused(paths: Paths) -> None:
    ids: dict[str, str] = {}
    number = 0
    while True:
        name = f"localhost/i{number}:latest"
        add(paths, name, [str(number)])
        found = images.find(paths, name)
        assert found is not None
        if found.image_id[0] in ids:
            break
        ids[found.image_id[0]] = name
        number += 1
    with pytest.raises(UsageError, match="several image ids"):
        images.resolve(paths, found.image_id[0])
    assert images.resolve(paths, found.image_id).name == name


def test_layers_are_listed_from_the_top_and_once(paths: Paths) -> None:
    add(paths, "localhost/x:latest", ["base", "empty", "app", "empty"])
    image = images.resolve(paths, "x")
    expected = [paths.layer_diff(diff_id(text)) for text in ("empty", "app", "base")]
    assert image.layer_diffs(paths) == expected


def test_size_counts_the_layers(paths: Paths) -> None:
    add(paths, "localhost/x:latest", ["a", "b"])
    add_layer(paths, "a", 1000)
    add_layer(paths, "b", 24)
    assert images.size(paths, images.resolve(paths, "x")) == 1024


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
        images.resolve(paths, "x")
    assert images.list_all(paths) == []


def test_a_layer_cannot_be_a_path(paths: Paths) -> None:
    rootfs = {"type": "layers", "diff_ids": ["sha256:../../../../etc"]}
    config = blobs.write(paths, json.dumps({"rootfs": rootfs}).encode())
    data = json.dumps({"config": {"digest": config}, "layers": []}).encode()
    digest = blobs.write(paths, data)
    index.set_name(paths, "localhost/x:latest", digest, media_type=TYPE, size=len(data))
    with pytest.raises(ImageError, match="sha256 digest has 64"):
        images.resolve(paths, "x")
