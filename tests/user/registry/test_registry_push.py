"""Push to Debian's docker-registry: what skopeo and a fresh store find there afterwards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import NotFoundError, RegistryError, StoreError, UsageError
from rootless.image.push import Pushed, Wishes, push
from rootless.image.tag import tag
from rootless.model import platform
from rootless.store import blobs, index
from rootless.store.paths import Paths
from tests.user.conftest import Registry, Rl
from tests.user.registry.conftest import Pull, Recorder, has_all
from tests.user.registry.oci_layout import Layout

ARCHITECTURE = platform.host().architecture
FILES = [{"etc/one": b"1\n"}, {"etc/two": b"2\n" * 100_000}]


@pytest.fixture
def image(layout: Layout, fetch: Pull) -> dict[str, Any]:
    """An image of two layers, in the store as localhost/app:v1."""
    descriptor = layout.image(FILES, architecture=ARCHITECTURE)
    layout.name(descriptor, "localhost/app:v1")
    fetch(f"oci:{layout.folder}")
    return descriptor


@pytest.fixture
def place(registry: Registry, request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"{registry.host}/push/{request.node.name.split('[')[0]}"


def skopeo(*words: str) -> Any:
    argv = ["skopeo", *words[:1], "--tls-verify=false", *words[1:]]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


def send(store: Paths, told: Recorder, text: str, place: str = "") -> Pushed:
    told.outcomes.clear()
    return push(store, text, place, Wishes(progress=told))


def test_skopeo_and_a_fresh_store_find_the_same_image(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str, short_dir: Path
) -> None:
    pushed = send(store, told, "app:v1", f"{place}:v1")
    assert pushed.digest == image["digest"] and pushed.size == image["size"]
    assert told.outcomes == ["pushed"] * 3
    assert skopeo("inspect", "--raw", f"docker://{place}:v1") == layout.read(image)
    assert skopeo("inspect", "--config", f"docker://{place}:v1") == layout.read(
        layout.read(image)["config"]
    )
    from rootless.image.pull import pull

    (short_dir / "r2").mkdir(mode=0o700)
    fresh = Paths(str(short_dir / "s2"), str(short_dir / "r2"))
    assert pull(fresh, f"{place}:v1").manifest_digest == image["digest"]
    assert has_all(fresh, layout, image)


def test_what_is_there_is_not_sent_again(
    store: Paths, told: Recorder, image: Any, place: str
) -> None:
    send(store, told, "app:v1", f"{place}:v1")
    send(store, told, "app:v1", f"{place}:v2")
    assert told.outcomes == ["already there"] * 3
    assert sorted(skopeo("list-tags", f"docker://{place}")["Tags"]) == ["v1", "v2"]


def test_blobs_are_mounted_from_where_the_image_was(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    tag(store, "app:v1", [f"{place}:v1"])
    send(store, told, f"{place}:v1")
    base = place.partition("/")[2]
    pushed = send(store, told, f"{place}:v1", f"{place}-copy:v1")
    assert told.outcomes == [f"mounted from {base}"] * 3
    assert pushed.name == f"{place}-copy:v1"
    assert skopeo("inspect", "--raw", f"docker://{place}-copy:v1") == layout.read(image)


def test_an_origin_that_has_it_not(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    tag(store, "app:v1", [f"{place}-never:v1"])
    send(store, told, "app:v1", f"{place}:v1")
    assert told.outcomes == ["pushed"] * 3
    assert skopeo("inspect", "--raw", f"docker://{place}:v1") == layout.read(image)


def test_by_digest_and_by_id(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    image_id = layout.read(image)["config"]["digest"]
    pushed = send(store, told, image_id[7:19], f"{place}@{image['digest']}")
    assert pushed.name == f"{place}@{image['digest']}"
    assert skopeo("inspect", "--raw", f"docker://{place}@{image['digest']}") == layout.read(image)
    with pytest.raises(UsageError, match="the image has the digest"):
        send(store, told, image_id, f"{place}@sha256:{'0' * 64}")


def test_places_that_are_none(store: Paths, told: Recorder, image: Any, layout: Layout) -> None:
    image_id = layout.read(image)["config"]["digest"]
    with pytest.raises(UsageError, match="does not say where to push to"):
        send(store, told, image_id)
    with pytest.raises(UsageError, match="its name says no registry") as caught:
        send(store, told, "app:v1")
    assert caught.value.hint == "rl push app:v1 REGISTRY/app"
    with pytest.raises(UsageError, match="not in a registry"):
        send(store, told, "app:v1", "oci:/tmp/x")
    with pytest.raises(NotFoundError, match="none: no such image"):
        send(store, told, "none", "127.0.0.1:9/x")
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9: Connection refused"):
        send(store, told, "app:v1", "127.0.0.1:9/x")


def test_nothing_is_sent_of_a_damaged_store(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    layer = layout.read(image)["layers"][1]["digest"]
    blobs.remove(store, layer)
    with pytest.raises(StoreError, match="No such file"):
        send(store, told, "app:v1", place)
    Path(store.blob(layer)).write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged, it has 5 bytes") as caught:
        send(store, told, "app:v1", place)
    assert "rl pull" in caught.value.hint and told.outcomes == []


def test_a_blob_with_other_bytes_is_told_from_a_lying_registry(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    layer = layout.read(image)["layers"][0]
    Path(store.blob(layer["digest"])).write_bytes(bytes(layer["size"]))
    with pytest.raises(StoreError, match="damaged, its content has another digest"):
        send(store, told, "app:v1", place)
    with pytest.raises(subprocess.CalledProcessError):
        skopeo("inspect", f"docker://{place}:latest")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_layers_packed_otherwise(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str, compression: str
) -> None:
    plain = layout.image([*FILES, FILES[0]], architecture=ARCHITECTURE, compress=False)
    layout.manifests = []
    layout.name(plain, "localhost/plain:1")
    from rootless.image.pull import pull

    pull(store, f"oci:{layout.folder}")
    pushed = push(store, "plain:1", place, Wishes(compression=compression))
    assert pushed.digest not in (plain["digest"], image["digest"])
    manifest = skopeo("inspect", "--raw", f"docker://{place}:latest")
    before = layout.read(plain)
    assert manifest["config"] == before["config"]
    kinds = {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]}
    assert kinds == {compression} and manifest["layers"][0] == manifest["layers"][2]
    assert manifest["layers"][1]["size"] < before["layers"][1]["size"] / 10
    again = pull(store, place)
    assert again.image_id == before["config"]["digest"]
    assert again.manifest_digest == pushed.digest
    # What is packed so already stays as it is.
    other = push(store, f"{place}:latest", f"{place}:2", Wishes(compression=compression))
    assert other.digest == pushed.digest
    assert index.find(store, "localhost/plain:1") is not None


def test_a_damaged_layer_is_not_packed(
    store: Paths, told: Recorder, image: Any, layout: Layout, place: str
) -> None:
    import gzip

    layer = layout.read(image)["layers"][0]
    other = gzip.compress(b"\1" * 10240, mtime=0)
    Path(store.blob(layer["digest"])).write_bytes(other.ljust(layer["size"], b"\0"))
    with pytest.raises(StoreError, match="damaged, "):
        push(store, "app:v1", place, Wishes(compression="zstd"))
    with pytest.raises(subprocess.CalledProcessError):
        skopeo("inspect", f"docker://{place}:latest")


def test_the_command(rl: Rl, registry: Registry, busybox_image: str, short_dir: Path) -> None:
    name = f"{registry.host}/push/command:1"
    rl("tag", busybox_image, name)
    file = short_dir / "digest"
    done = rl("push", "--digestfile", str(file), name)
    entry = index.find(rl.paths, busybox_image)
    assert entry is not None
    assert done.stdout == f"1: digest: {entry['digest']} size: {entry['size']}\n"
    assert f"Pushing {name} to {name}" in done.stderr and ": pushed\n" in done.stderr
    assert file.read_text() == entry["digest"]
    done = rl("image", "push", "-q", busybox_image, f"docker://{registry.host}/push/command:2")
    assert (done.stdout, done.stderr) == (f"{entry['digest']}\n", "")
    rl("rmi", "-f", busybox_image, name)
    rl("pull", "-q", f"{registry.host}/push/command:2")
    assert rl("run", "--rm", f"{registry.host}/push/command:2", "echo", "hi").stdout == "hi\n"


def test_all_tags_of_a_repository(rl: Rl, registry: Registry, busybox_image: str) -> None:
    place = f"{registry.host}/push/all"
    rl("tag", busybox_image, f"{place}:1", f"{place}:2", f"{place}-not:3")
    done = rl("push", "--all-tags", place)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["1", "2"]
    assert sorted(skopeo("list-tags", f"docker://{place}")["Tags"]) == ["1", "2"]
    for words, complaint in (
        ([f"{place}:1"], "without a tag"), (["none"], "no image has a name"),
        ([place, "elsewhere"], "not to a DESTINATION"),
    ):  # fmt: skip
        assert complaint in rl("push", "-a", *words, code=125).stderr


def test_a_password_is_no_argument(rl: Rl, busybox_image: str) -> None:
    done = rl("push", "--creds", "me:secret", busybox_image, "127.0.0.1:9/x", code=125)
    assert "can be read by everybody" in done.stderr and "secret" not in done.stderr
