"""Pull from Debian's docker-registry and from directories: what ends up in the store."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from rootless.errors import ImageError, NotFoundError, RegistryError, UsageError
from rootless.image.resolve import find_local
from rootless.model import platform
from rootless.model.platform import Platform
from rootless.store import index
from rootless.store.paths import Paths
from tests.user.conftest import Registry
from tests.user.registry.conftest import Pull, Recorder, content_of, has_all
from tests.user.registry.oci_layout import OCI, Layout, push

ARCHITECTURE = platform.host().architecture
FILES = [{"etc/one": b"1\n"}, {"etc/two": b"2\n"}]


@pytest.fixture
def pushed(registry: Registry, layout: Layout, request: pytest.FixtureRequest) -> dict[str, Any]:
    """An image of two layers, in the registry as REPOSITORY:v1."""
    descriptor = layout.image(FILES, architecture=ARCHITECTURE)
    layout.name(descriptor, "v1")
    repository = f"{registry.host}/pull/{request.node.name.split('[')[0]}"
    push(layout, "v1", f"{repository}:v1")
    return {**descriptor, "repository": repository}


def test_a_pull_brings_everything(
    fetch: Pull, store: Paths, layout: Layout, pushed: dict[str, Any]
) -> None:
    pulled = fetch(f"{pushed['repository']}:v1")
    assert pulled.name == f"{pushed['repository']}:v1"
    assert pulled.manifest_digest == pushed["digest"]
    assert pulled.image_id == layout.read(pushed)["config"]["digest"]
    assert has_all(store, layout, pushed)
    diff_ids = layout.read(layout.read(pushed)["config"])["rootfs"]["diff_ids"]
    assert content_of(store, diff_ids[1], "etc/two") == b"2\n"


def test_skopeo_reads_the_store(
    fetch: Pull, store: Paths, layout: Layout, pushed: dict[str, Any]
) -> None:
    fetch(f"{pushed['repository']}:v1")
    argv = ["skopeo", "inspect", "--raw", f"oci:{store.root}"]
    done = subprocess.run(argv, capture_output=True, check=True)
    assert json.loads(done.stdout) == layout.read(pushed)


def test_a_second_pull_fetches_nothing(
    fetch: Pull, store: Paths, told: Recorder, pushed: dict[str, Any]
) -> None:
    first = fetch(f"{pushed['repository']}:v1")
    before = os.stat(store.index)
    told.outcomes.clear()
    assert fetch(f"{pushed['repository']}:v1").image_id == first.image_id
    assert told.outcomes == []
    assert os.path.samestat(os.stat(store.index), before)


def test_by_digest(fetch: Pull, store: Paths, pushed: dict[str, Any]) -> None:
    name = f"{pushed['repository']}@{pushed['digest']}"
    assert fetch(name).name == name
    assert find_local(store, name) is not None


def test_a_tag_and_a_digest_mean_the_digest(fetch: Pull, pushed: dict[str, Any]) -> None:
    pulled = fetch(f"docker://{pushed['repository']}:other@{pushed['digest']}")
    assert pulled.name == f"{pushed['repository']}@{pushed['digest']}"


def test_layers_are_shared_between_images(
    fetch: Pull, told: Recorder, layout: Layout, registry: Registry
) -> None:
    for name, files in (("one", FILES[:1]), ("both", FILES)):
        layout.name(layout.image(files, architecture=ARCHITECTURE), name)
        push(layout, name, f"{registry.host}/pull/shared:{name}")
    fetch(f"{registry.host}/pull/shared:one")
    fetch(f"{registry.host}/pull/shared:both")
    assert told.outcomes == ["unpacked", "unpacked"]


def test_a_blob_without_its_layer_is_unpacked_from_the_store(
    fetch: Pull, store: Paths, told: Recorder, layout: Layout, pushed: dict[str, Any]
) -> None:
    from rootless.store import layers

    fetch(f"{pushed['repository']}:v1")
    diff_ids = layout.read(layout.read(pushed)["config"])["rootfs"]["diff_ids"]
    layers.remove(store, diff_ids)
    told.resumed.clear()
    fetch(f"{pushed['repository']}:v1", policy="missing")
    assert has_all(store, layout, pushed)
    assert told.resumed == {}


def test_a_damaged_blob_is_fetched_again(
    fetch: Pull, store: Paths, told: Recorder, layout: Layout, pushed: dict[str, Any]
) -> None:
    from rootless.store import layers

    fetch(f"{pushed['repository']}:v1")
    layer = layout.read(pushed)["layers"][0]
    diff_ids = layout.read(layout.read(pushed)["config"])["rootfs"]["diff_ids"]
    layers.remove(store, diff_ids)
    with open(store.blob(layer["digest"]), "r+b") as file:
        file.seek(20)
        file.write(b"\xff\xff\xff\xff")
    fetch(f"{pushed['repository']}:v1", policy="missing")
    assert has_all(store, layout, pushed)
    assert any("damaged" in message for message in told.messages)


def test_a_layer_without_its_blob_is_only_downloaded(
    fetch: Pull, store: Paths, told: Recorder, layout: Layout, pushed: dict[str, Any]
) -> None:
    fetch(f"{pushed['repository']}:v1")
    os.unlink(store.blob(layout.read(pushed)["layers"][0]["digest"]))
    told.outcomes.clear()
    fetch(f"{pushed['repository']}:v1")
    assert told.outcomes == ["downloaded"]
    assert has_all(store, layout, pushed)


def test_plain_and_repeated_layers(fetch: Pull, store: Paths, layout: Layout) -> None:
    descriptor = layout.image([FILES[0], FILES[1], FILES[0]], compress=False)
    layout.name(descriptor, "v1")
    fetch(f"oci:{layout.folder}:v1", platform=Platform("linux", "amd64"))
    assert has_all(store, layout, descriptor)


def test_the_platform_is_chosen_from_an_index(
    fetch: Pull, store: Paths, layout: Layout, registry: Registry
) -> None:
    images = {
        name: layout.image([{"arch": name.encode()}], architecture=name)
        for name in ("amd64", "arm64", "s390x")
    }
    entries = [(one, {"os": "linux", "architecture": name}) for name, one in images.items()]
    layout.name(layout.index(entries), "multi")
    target = f"{registry.host}/pull/multi:v1"
    push(layout, "multi", target)
    assert fetch(target).manifest_digest == images[ARCHITECTURE]["digest"]
    other = fetch(target, platform=platform.parse("linux/s390x"))
    assert other.manifest_digest == images["s390x"]["digest"]
    assert find_local(store, target, platform.parse("s390x")) is not None
    assert find_local(store, target, platform.host()) is None
    with pytest.raises(ImageError, match="there is: linux/amd64, linux/arm64, linux/s390x"):
        fetch(target, platform=platform.parse("linux/riscv64"))


def test_policies(fetch: Pull, registry: Registry, layout: Layout, pushed: dict[str, Any]) -> None:
    name = f"{pushed['repository']}:v1"
    with pytest.raises(NotFoundError, match="pulling is not allowed"):
        fetch(name, policy="never")
    fetch(name, policy="missing")
    layout.name(layout.image([{"new": b""}], architecture=ARCHITECTURE), "v2")
    push(layout, "v2", name)
    assert fetch(name, policy="never").manifest_digest == pushed["digest"]
    assert fetch(name, policy="missing").manifest_digest == pushed["digest"]
    assert fetch(name, policy="newer").manifest_digest != pushed["digest"]
    with pytest.raises(UsageError, match="always, missing, newer, never"):
        fetch(name, policy="sometimes")


def test_newer_without_its_registry_uses_what_is_here(fetch: Pull, layout: Layout) -> None:
    name = "127.0.0.1:9/gone/image:v1"
    layout.name(layout.image(FILES), name)
    pulled = fetch(f"oci:{layout.folder}", platform=Platform("linux", "amd64"))
    assert pulled.name == name
    assert fetch(name, policy="newer").manifest_digest == pulled.manifest_digest
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9: Connection refused"):
        fetch(name, policy="always")


def test_an_image_is_found_by_its_id(fetch: Pull, store: Paths, pushed: dict[str, Any]) -> None:
    pulled = fetch(f"{pushed['repository']}:v1")
    found = find_local(store, pulled.image_id.removeprefix("sha256:")[:12])
    assert found is not None
    assert found.name == pulled.name


def test_missing_names_and_tags(fetch: Pull, store: Paths, pushed: dict[str, Any]) -> None:
    for name in (f"{pushed['repository']}:none", f"{pushed['repository']}x"):
        with pytest.raises(NotFoundError, match=f"{name}.*not found"):
            fetch(name)
    assert index.entries(store) == []


def test_search_registries_are_tried_and_all_errors_shown(
    fetch: Pull, pushed: dict[str, Any], registry: Registry, settings: Any
) -> None:
    short = pushed["repository"].partition("/")[2]
    settings(f'unqualified-search-registries = ["127.0.0.1:9", "{registry.host}"]')
    assert fetch(f"{short}:v1").name == f"{pushed['repository']}:v1"
    with pytest.raises(RegistryError, match=r"127.0.0.1:9: Connection refused.*not found"):
        fetch(f"{short}:none")


def test_mirrors_come_first_and_names_stay(
    fetch: Pull, pushed: dict[str, Any], registry: Registry, settings: Any
) -> None:
    path = pushed["repository"].partition("/")[2]
    settings(f"""
        [[registry]]
        prefix = "example.invalid/team"
        location = "127.0.0.1:9"
        [[registry.mirror]]
        location = "127.0.0.1:9/dead"
        [[registry.mirror]]
        location = "{registry.host}"
    """)
    assert fetch(f"example.invalid/team/{path}:v1").name == f"example.invalid/team/{path}:v1"


def test_a_blocked_registry(fetch: Pull, settings: Any) -> None:
    settings('[[registry]]\nprefix = "example.invalid"\nblocked = true')
    with pytest.raises(RegistryError, match=r"registry example\.invalid is blocked"):
        fetch("example.invalid/x")


def test_an_alias(fetch: Pull, pushed: dict[str, Any], settings: Any) -> None:
    settings(f'[aliases]\ntool = "{pushed["repository"]}"')
    assert fetch("tool:v1").name == f"{pushed['repository']}:v1"


def test_an_artifact_is_no_image(fetch: Pull, layout: Layout) -> None:
    manifest = {
        "schemaVersion": 2,
        "config": layout.document({}, "application/vnd.oci.empty.v1+json"),
        "layers": [],
    }
    layout.name(layout.document(manifest, f"{OCI}.manifest.v1+json"), "chart")
    with pytest.raises(ImageError, match=r"not a container image but .*empty"):
        fetch(f"oci:{layout.folder}:chart")


def test_directories_that_cannot_be_read(fetch: Pull, layout: Layout) -> None:
    with pytest.raises(NotFoundError, match="No such file"):
        fetch("oci:/nonexistent")
    for name in ("a", "b"):
        layout.name(layout.image([{name: b""}]), name)
    with pytest.raises(UsageError, match="several images: a, b"):
        fetch(f"oci:{layout.folder}")
    with pytest.raises(NotFoundError, match="no such image"):
        fetch(f"oci:{layout.folder}:c")


def test_a_fifo_in_a_layout_does_not_hang(fetch: Pull, layout: Layout) -> None:
    descriptor = layout.image(FILES)
    layout.name(descriptor, "v1")
    path = layout.path(descriptor["digest"])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageError, match="not a regular file"):
        fetch(f"oci:{layout.folder}:v1")


def test_the_embedded_image_is_made_instead_of_fetched(fetch: Pull, store: Paths) -> None:
    with pytest.raises(NotFoundError):
        fetch("localhost/busybox", policy="never")
    first = fetch("localhost/busybox")
    before = os.stat(store.index)
    second = fetch("localhost/busybox:latest")
    assert (first.name, second.name) == ("localhost/busybox:latest",) * 2
    assert os.path.samestat(os.stat(store.index), before)
    assert find_local(store, "busybox") is not None
