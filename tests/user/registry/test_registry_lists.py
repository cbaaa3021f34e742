"""Manifest lists: put together, pushed to Debian's docker-registry, chosen from by others."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from rootless.store import index
from tests.user.conftest import Registry, Rl
from tests.user.registry.oci_layout import Layout, push

PLATFORMS = ("amd64", "arm64")
LIST = "localhost/app:1"


@pytest.fixture
def made(rl: Rl, layout: Layout) -> dict[str, dict[str, Any]]:
    """An image for each platform, in the store as localhost/app:1-ARCHITECTURE."""
    found = {}
    for name in PLATFORMS:
        layout.manifests = []
        found[name] = layout.image([{"both": b"x"}, {"arch": name.encode()}], architecture=name)
        layout.name(found[name], f"{LIST}-{name}")
        rl("load", "-q", "-i", str(layout.folder))
    return found


@pytest.fixture
def place(registry: Registry, request: pytest.FixtureRequest) -> str:
    return f"{registry.host}/lists/{request.node.name.split('[')[0]}"


def inspect(rl: Rl, *words: str) -> Any:
    return json.loads(rl("manifest", "inspect", *words).stdout)


def raw(place: str) -> bytes:
    argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def test_create_push_and_choose(rl: Rl, made: Any, layout: Layout, place: str) -> None:
    digest = rl("manifest", "create", "app:1", "app:1-amd64", "app:1-arm64").stdout.strip()
    entries = [
        {**made[name], "platform": {"os": "linux", "architecture": name}} for name in PLATFORMS
    ]
    assert inspect(rl, "app:1")["manifests"] == entries
    pushed = rl("manifest", "push", "-q", "app:1", f"{place}:1").stdout.strip()
    assert pushed == digest
    assert json.loads(raw(f"{place}:1"))["manifests"] == entries
    rl("rmi", "app:1-amd64", "app:1-arm64")
    for name in PLATFORMS:
        rl("pull", "-q", "--platform", f"linux/{name}", f"{place}:1")
        entry = index.find(rl.paths, f"{place}:1")
        assert entry is not None and entry["digest"] == made[name]["digest"]
    assert inspect(rl, f"docker://{place}:1")["manifests"] == entries
    argv = ["skopeo", "inspect", "--override-arch=arm64", "--tls-verify=false"]
    done = subprocess.run([*argv, f"docker://{place}:1"], capture_output=True, check=True)
    assert json.loads(done.stdout)["Architecture"] == "arm64"


def test_push_knows_that_it_is_a_list(rl: Rl, made: Any) -> None:
    rl("manifest", "create", "app:1", "app:1-amd64")
    done = rl("push", "app:1", "127.0.0.1:9/x", code=125)
    assert "app:1: no such image" in done.stderr and "hint: rl manifest push app:1" in done.stderr


def test_docker_push_output_and_files(rl: Rl, made: Any, place: str, tmp_path: Any) -> None:
    digest = rl("manifest", "create", "app:1", "app:1-arm64").stdout.strip()
    file = tmp_path / "digest"
    done = rl("manifest", "push", "--rm", "--digestfile", str(file), "app:1", f"{place}:7")
    size = len(raw(f"{place}:7"))
    assert done.stdout == f"7: digest: {digest} size: {size}\n" and file.read_text() == digest
    rl("manifest", "exists", "app:1", code=1)


def test_images_that_are_in_the_registry_already(
    rl: Rl, layout: Layout, made: Any, place: str
) -> None:
    for name in PLATFORMS:
        layout.manifests = []
        layout.name(made[name], name)
        push(layout, name, f"{place}-parts:{name}")
    rl("rmi", "--all")
    names = [f"docker://{place}-parts:{name}" for name in PLATFORMS]
    rl("manifest", "create", "app:1", *names)
    rl("manifest", "annotate", "--variant=v8", "app:1", names[1])
    assert inspect(rl, "app:1")["manifests"][1]["platform"]["variant"] == "v8"
    done = rl("manifest", "annotate", "--variant=v8", "app:1", f"{place}-parts", code=125)
    assert "not in the list" in done.stderr
    rl("manifest", "push", "app:1", f"{place}:1")
    # Nothing had to be fetched for it.
    assert index.entries(rl.paths) == []
    for name in PLATFORMS:
        rl("pull", "-q", "--platform", f"linux/{name}", f"{place}:1")
        entry = index.find(rl.paths, f"{place}:1")
        assert entry is not None and entry["digest"] == made[name]["digest"]


def test_images_of_another_registry_are_fetched(
    rl: Rl, layout: Layout, made: Any, place: str, registry: Registry
) -> None:
    entries = [(made[name], {"os": "linux", "architecture": name}) for name in PLATFORMS]
    layout.manifests = []
    layout.name(layout.index(entries), "multi")
    # localhost and 127.0.0.1 are two registries to everybody.
    push(layout, "multi", f"{place}-parts:1")
    rl("rmi", "--all")
    other = place.replace("127.0.0.1", "localhost")
    rl("manifest", "create", "--all", "app:1", f"docker://{other}-parts:1")
    assert [one["digest"] for one in inspect(rl, "app:1")["manifests"]] == [
        made[name]["digest"] for name in PLATFORMS
    ]
    done = rl("manifest", "annotate", "--os=x", "app:1", f"docker://{other}-parts:1", code=125)
    assert "several images in the list" in done.stderr
    rl("manifest", "push", "-q", "app:1", f"{place}:1")
    for name in PLATFORMS:
        rl("pull", "-q", "--platform", f"linux/{name}", f"{place}:1")


def test_annotate_remove_and_forget(rl: Rl, made: Any) -> None:
    rl("manifest", "create", "app:1", "app:1-amd64")
    done = rl("manifest", "add", "--variant", "v8", "--annotation", "a=b=c", "app:1", "app:1-arm64")
    entry = {
        **made["arm64"], "annotations": {"a": "b=c"},
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
    }  # fmt: skip
    assert inspect(rl, "app:1")["manifests"][1] == entry
    words = ("--os-features", "x,y", "--os-version", "10", "--arch", "arm")
    again = rl("manifest", "annotate", *words, "app:1", made["arm64"]["digest"]).stdout
    assert again != done.stdout
    assert inspect(rl, "app:1")["manifests"][1]["platform"] == {
        "os": "linux", "architecture": "arm", "variant": "v8", "os.features": ["x", "y"],
        "os.version": "10",
    }  # fmt: skip
    # The same image again is not added twice.
    rl("manifest", "add", "app:1", "app:1-arm64")
    assert len(inspect(rl, "app:1")["manifests"]) == 2
    rl("manifest", "remove", "app:1", "app:1-amd64")
    assert [one["digest"] for one in inspect(rl, "app:1")["manifests"]] == [made["arm64"]["digest"]]
    rl("manifest", "exists", "app:1")
    assert rl("manifest", "rm", "app:1").stdout == f"Untagged: {LIST}\n"
    rl("manifest", "exists", "app:1", code=1)
    assert "no such manifest list" in rl("manifest", "rm", "app:1", code=1).stderr


def test_prune_spares_what_is_listed(rl: Rl, made: Any, place: str) -> None:
    rl("manifest", "create", "app:1", "app:1-arm64")
    rl("untag", "app:1-arm64")
    rl("untag", "app:1-amd64")
    rl("image", "prune", "-f")
    assert [entry["digest"] for entry in index.entries(rl.paths)] == [made["arm64"]["digest"]]
    rl("manifest", "push", "-q", "app:1", f"{place}:1")


def test_an_image_that_is_gone(rl: Rl, made: Any, place: str) -> None:
    rl("manifest", "create", "app:1", "app:1-arm64")
    rl("rmi", "app:1-arm64")
    done = rl("manifest", "push", "app:1", f"{place}:1", code=125)
    assert "for linux/arm64 is not in the store any more" in done.stderr
    assert f"hint: rl manifest remove {LIST} {made['arm64']['digest']}" in done.stderr
    with pytest.raises(subprocess.CalledProcessError):
        raw(f"{place}:1")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["create", "app:1-amd64"], "is the name of an image"),
        (["create", "there"], "there is such a list already"),
        (["add", "none", "app:1-amd64"], "no such manifest list"),
        (["add", "there", "127.0.0.1:9/none"], "127.0.0.1:9: Connection refused"),
        (["annotate", "--annotation", "x", "there", "app:1-amd64"], "the form is KEY=VALUE"),
        (["annotate", "--os=x", "there", "app:1-amd64"], "not in the list"),
        (["push", "there"], "its name says no registry"),
        (["push", "--format=v2s2", "full", "127.0.0.1:9/x"], "not all of its images"),
    ],
)
def test_what_is_refused(rl: Rl, made: Any, words: list[str], complaint: str) -> None:
    rl("manifest", "create", "there")
    rl("manifest", "create", "full", "app:1-arm64")
    assert complaint in rl("manifest", *words, code=125).stderr
    rl("manifest", "create", "--amend", "there", "app:1-amd64")
    assert len(inspect(rl, "there")["manifests"]) == 1
