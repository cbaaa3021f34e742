"""`rl tag`, `rl untag`, and `rl rmi` of what they left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootless.cli import main
from rootless.store import blobs, containers, index
from rootless.store.paths import Paths
from tests.unit.cli.test_cli_images import add_image

Capture = pytest.CaptureFixture[str]
ONE, TWO = "docker.io/library/one:1", "quay.io/x/two:2"


@pytest.fixture
def store(places: Paths) -> Paths:
    blobs.ensure_layout(places)
    return places


@pytest.fixture
def image(store: Paths) -> tuple[str, str]:
    """The ids of configuration and manifest."""
    return add_image(store, "2020-01-01T00:00:00Z", ONE, TWO)


def names(store: Paths) -> list[str]:
    return [index.name_of(entry) for entry in index.entries(store)]


def test_a_short_name_is_below_localhost(store: Paths, image: tuple[str, str]) -> None:
    assert main.run_cli(["tag", "one:1", "app", "me/app:v2", "Reg.example:5000/a/b"]) == 0
    added = ["localhost/app:latest", "localhost/me/app:v2", "Reg.example:5000/a/b:latest"]
    assert names(store) == [ONE, TWO, *added]
    entries = [index.find(store, name) for name in (ONE, added[0])]
    first, new = ({k: v for k, v in (e or {}).items() if k != "annotations"} for e in entries)
    assert first == new
    assert main.run_cli(["image", "tag", image[0][7:19], "byid:1"]) == 0
    assert names(store)[-1] == "localhost/byid:1"


def test_a_name_moves_and_its_image_stays(store: Paths, image: tuple[str, str]) -> None:
    other = add_image(store, "2021-01-01T00:00:00Z", "localhost/app:latest")
    assert main.run_cli(["tag", "one:1", "app"]) == 0
    entry = index.find(store, "localhost/app:latest")
    assert entry is not None and entry["digest"] == image[1]
    assert "" in names(store) and blobs.has(store, other[1])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none", "x"], "none: no such image"),
        (["one:1", "Upper"], "must be lowercase"),
        (["one:1", f"x@sha256:{'0' * 64}"], "a name with a digest is not given"),
        (["one:1", "good", "bad:"], "the tag after ':' is empty"),
    ],
)
def test_what_cannot_be_tagged(
    store: Paths, image: tuple[str, str], capfd: Capture, words: list[str], complaint: str
) -> None:
    assert main.run_cli(["tag", *words]) == 125
    assert complaint in capfd.readouterr().err
    assert names(store) == [ONE, TWO]


def test_untag_takes_the_names_that_are_given(store: Paths, image: tuple[str, str]) -> None:
    assert main.run_cli(["untag", "one:1", TWO]) == 0
    assert names(store) == [ONE]
    assert main.run_cli(["image", "untag", image[0][7:19]]) == 0
    assert names(store) == [""]
    assert blobs.has(store, image[1])


def test_untag_of_another_images_name_takes_none(
    store: Paths, image: tuple[str, str], capfd: Capture
) -> None:
    add_image(store, "2021-01-01T00:00:00Z", "localhost/app:latest")
    assert main.run_cli(["untag", "one:1", TWO, "app"]) == 125
    assert "app: not a name of image docker.io/library/one:1" in capfd.readouterr().err
    assert names(store) == [ONE, TWO, "localhost/app:latest"]


def test_tagging_is_told(store: Paths, image: tuple[str, str]) -> None:
    main.run_cli(["tag", "one:1", "app"])
    main.run_cli(["untag", "app", "app"])
    told = [json.loads(line) for line in Path(store.events).read_text().splitlines()]
    assert [(one["Type"], one["Action"]) for one in told] == [("image", "tag"), ("image", "untag")]
    named = {"ID": image[0], "Attributes": {"name": "localhost/app:latest"}}
    assert [one["Actor"] for one in told] == [named, named]


def used_by(store: Paths, manifest: str) -> None:
    Path(containers.directory(store, "c" * 64)).mkdir(parents=True)
    containers.write_record(store, {"id": "c" * 64, "name": "user", "manifest": manifest})


def test_rmi_by_force_takes_the_last_name_from_an_image_in_use(
    store: Paths, image: tuple[str, str], capfd: Capture
) -> None:
    used_by(store, image[1])
    main.run_cli(["untag", "one:1", TWO])
    assert main.run_cli(["rmi", "one:1"]) == 2
    assert "used by container user" in capfd.readouterr().err
    assert main.run_cli(["rmi", "-f", "one:1"]) == 0
    assert capfd.readouterr().out == f"Untagged: {ONE}\n"
    assert names(store) == [""] and blobs.has(store, image[1])
    assert main.run_cli(["rmi", "-f", image[0]]) == 2
    assert blobs.has(store, image[1])


def test_rmi_of_a_dangling_image(store: Paths, image: tuple[str, str], capfd: Capture) -> None:
    main.run_cli(["untag", image[0]])
    capfd.readouterr()
    assert main.run_cli(["images", "-q", "--no-trunc", "-f", "dangling=true"]) == 0
    shown = capfd.readouterr().out.split()
    assert shown == [image[0]]
    assert main.run_cli(["rmi", *shown]) == 0
    assert capfd.readouterr().out == f"Deleted: {image[0]}\n"
    assert index.entries(store) == [] and not blobs.has(store, image[1])
