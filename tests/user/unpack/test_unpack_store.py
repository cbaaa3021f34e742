"""Images in a real store: the embedded one, skopeo's view of it, and removal."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from rootless.errors import InUseError, NotFoundError
from rootless.image import embedded, remove, resolve
from rootless.store import blobs, guard, images, index, layers
from rootless.store.images import StoredImage
from rootless.store.paths import Paths
from rootless.tools import spawn


@pytest.fixture
def paths(store: Paths) -> Paths:
    embedded.build(store)
    return store


def nobody(image: StoredImage) -> list[str]:
    return []


def tag(paths: Paths, name: str, digest: str) -> None:
    size = len(blobs.read(paths, digest))
    index.set_name(paths, name, digest, media_type="application/vnd.oci.image.manifest.v1+json",
                   size=size)  # fmt: skip


def second_image(paths: Paths, name: str) -> StoredImage:
    """An image that shares the embedded one's layer."""
    image = stored(paths, "busybox")
    config = json.dumps({**image.config, "created": "2020-01-01T00:00:00Z"}).encode()
    manifest = {**image.manifest, "config": {"digest": blobs.write(paths, config), "size": 1}}
    tag(paths, name, blobs.write(paths, json.dumps(manifest).encode()))
    return stored(paths, name)


def stored(paths: Paths, text: str) -> StoredImage:
    return images.load(paths, resolve.require(paths, text).descriptor)


def files_in(paths: Paths) -> list[str]:
    return blobs.stored(paths) + layers.stored(paths) + os.listdir(paths.tmp)


def test_the_embedded_image_is_complete_and_stays_the_same(paths: Paths) -> None:
    image = stored(paths, "localhost/busybox")
    assert images.missing(paths, image.manifest_digest) == []
    assert image.config["config"]["Cmd"] == ["sh"]
    assert images.size(paths, image) > 100_000
    (tree,) = image.layer_diffs(paths)
    done = spawn.run([f"{tree}/bin/busybox", "echo", "works"])
    assert (done.code, done.stdout) == (0, b"works\n")
    assert os.readlink(f"{tree}/bin/sh") == "/bin/busybox"
    before = Path(paths.index).stat()
    assert embedded.build(paths) == "localhost/busybox:latest"
    assert Path(paths.index).stat() == before


def test_the_store_is_read_by_skopeo(paths: Paths) -> None:
    if spawn.which("skopeo") is None:
        pytest.skip("no skopeo")
    image = stored(paths, "busybox")
    for name in ("localhost/busybox:latest", "docker.io/library/x:1", "localhost:5000/a/b:c",
                 f"quay.io/x/y@sha256:{'a' * 64}"):  # fmt: skip
        tag(paths, name, image.manifest_digest)
        done = subprocess.run(
            ["skopeo", "inspect", f"oci:{paths.root}:{name}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        document = json.loads(done.stdout)
        assert document["Digest"] == image.manifest_digest
        assert document["Layers"] == image.diff_ids


def test_rmi_of_the_last_name_removes_everything(paths: Paths) -> None:
    image = stored(paths, "busybox")
    said = remove.rmi(paths, "busybox", force=False, in_use=nobody)
    assert said == [
        "Untagged: localhost/busybox:latest",
        f"Deleted: sha256:{image.image_id}",
        f"Deleted: {image.diff_ids[0]}",
    ]
    assert index.entries(paths) == files_in(paths) == []
    with pytest.raises(NotFoundError):
        remove.rmi(paths, "busybox", force=False, in_use=nobody)


def test_rmi_of_one_of_two_names_untags(paths: Paths) -> None:
    image = stored(paths, "busybox")
    tag(paths, "localhost/other:1", image.manifest_digest)
    used = lambda image: ["web"]  # noqa: E731
    assert remove.rmi(paths, "other:1", force=False, in_use=used) == ["Untagged: localhost/other:1"]
    assert images.missing(paths, image.manifest_digest) == []


def test_rmi_by_id(paths: Paths) -> None:
    image = stored(paths, "busybox")
    tag(paths, "localhost/other:1", image.manifest_digest)
    with pytest.raises(
        InUseError, match="several names: localhost/busybox:latest, localhost/other"
    ):
        remove.rmi(paths, image.image_id[:12], force=False, in_use=nobody)
    said = remove.rmi(paths, image.image_id[:12], force=True, in_use=nobody)
    assert said[:2] == ["Untagged: localhost/busybox:latest", "Untagged: localhost/other:1"]
    assert files_in(paths) == []


def test_an_image_in_use_stays(paths: Paths) -> None:
    used = lambda image: ["web", "db"]  # noqa: E731
    with pytest.raises(InUseError) as caught:
        remove.rmi(paths, "busybox", force=False, in_use=used)
    assert caught.value.message == "busybox: the image is used by container web, db"
    assert caught.value.hint == "rl rm web db"
    image = stored(paths, "busybox")
    assert image.name == "localhost/busybox:latest"
    # By force it loses its name, and nothing else.
    said = remove.rmi(paths, "busybox", force=True, in_use=used)
    assert said == ["Untagged: localhost/busybox:latest"]
    assert images.missing(paths, image.manifest_digest) == []
    with pytest.raises(InUseError):
        remove.rmi(paths, image.image_id, force=True, in_use=used)


def test_what_another_image_needs_stays(paths: Paths) -> None:
    other = second_image(paths, "localhost/other:1")
    said = remove.rmi(paths, "busybox", force=False, in_use=nobody)
    assert len(said) == 2, "no layer was deleted"
    assert images.missing(paths, other.manifest_digest) == []
    remove.rmi(paths, "other:1", force=False, in_use=nobody)
    assert files_in(paths) == []


def test_a_damaged_image_goes_by_force(paths: Paths) -> None:
    image = stored(paths, "busybox")
    Path(paths.blob(f"sha256:{image.image_id}")).write_bytes(b"{")
    with pytest.raises(Exception, match="damaged"):
        remove.rmi(paths, "busybox", force=False, in_use=nobody)
    said = remove.rmi(paths, "busybox", force=True, in_use=nobody)
    assert said[0] == "Untagged: localhost/busybox:latest"
    assert index.entries(paths) == []
    assert len(remove.prune_unreferenced(paths)) == 3
    assert files_in(paths) == []


def test_nothing_goes_while_an_image_cannot_be_read(paths: Paths) -> None:
    """It may only be away for a moment, as what it shares with a store on another disk."""
    image = stored(paths, "busybox")
    other = second_image(paths, "localhost/other:1")
    manifest = Path(paths.blob(other.manifest_digest))
    content = manifest.read_bytes()
    manifest.unlink()
    stray = blobs.write(paths, b"stray")
    assert remove.prune_unreferenced(paths) == []
    said = remove.rmi(paths, "busybox", force=False, in_use=nobody)
    assert said == ["Untagged: localhost/busybox:latest", f"Deleted: {image.manifest_digest}"]
    manifest.write_bytes(content)
    assert images.missing(paths, other.manifest_digest) == []
    assert stray in remove.prune_unreferenced(paths)
    assert images.missing(paths, other.manifest_digest) == []


def test_prune_takes_only_what_no_image_needs(paths: Paths) -> None:
    image = stored(paths, "busybox")
    stray = blobs.write(paths, b"stray")
    assert remove.prune_unreferenced(paths) == [stray]
    assert images.missing(paths, image.manifest_digest) == []


def test_a_removal_waits_for_who_is_adding(paths: Paths) -> None:
    done = threading.Event()

    def remove_it() -> None:
        remove.rmi(paths, "busybox", force=False, in_use=nobody)
        done.set()

    thread = threading.Thread(target=remove_it)
    with guard.adding(paths), guard.adding(paths):
        thread.start()
        assert not done.wait(0.2)
        assert images.find(paths, "localhost/busybox:latest") is not None
    thread.join()
    assert done.is_set()
    assert files_in(paths) == []


def test_building_and_removing_at_once(paths: Paths) -> None:
    """Whatever the order, an image that has its name is whole."""
    failures: list[str] = []

    def remove_often() -> None:
        for _ in range(15):
            try:
                remove.rmi(paths, "busybox", force=False, in_use=nobody)
            except NotFoundError:
                continue

    remover = threading.Thread(target=remove_often)
    remover.start()
    for _ in range(15):
        embedded.build(paths)
        with guard.adding(paths):
            image = images.find(paths, "localhost/busybox:latest")
            if image is not None and images.missing(paths, image.manifest_digest):
                failures.append("an image without its parts")
    remover.join()
    assert failures == []
