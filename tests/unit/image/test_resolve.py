"""Stored images found by what a user may write, and by nothing that only looks like it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootless import log
from rootless.errors import NotFoundError, StoreError, UsageError
from rootless.image.resolve import config_digest, find_local, require
from rootless.model import digest as digests
from rootless.store import blobs, index
from rootless.store.paths import Paths

TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RL_CONFIG", str(tmp_path))
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    blobs.ensure_layout(paths)
    return paths


def config_of(content: object) -> bytes:
    return json.dumps({"content": content, "rootfs": {"diff_ids": []}}).encode()


def add(paths: Paths, name: str, content: object) -> str:
    """An image without layers; its manifest's digest."""
    config = blobs.write(paths, config_of(content))
    data = json.dumps({"config": {"digest": config}, "layers": []}).encode()
    digest = blobs.write(paths, data)
    index.set_name(paths, name, digest, media_type=TYPE, size=len(data))
    return digest


def configure(tmp_path: Path, text: str) -> None:
    (tmp_path / "registries.toml").write_text(text)


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
    names = [
        "quay.io/other/alpine:latest",
        "docker.io/library/alpine:latest",
        "docker.io/library/alpine:3.20",
        "docker.io/library/both:latest",
        "localhost/both:latest",
        "localhost/mine:latest",
        "localhost:5000/x:latest",
        "docker.io/library/abc:latest",
    ]
    for number, full in enumerate(names):
        add(paths, full, number)
    found = require(paths, text)
    assert (found.name, found.is_by_name) == (name, True)


@pytest.mark.parametrize(
    "other",
    [
        "quay.io/evil/alpine:latest",
        "quay.io/library/alpine:latest",
        "quay.io/docker.io/library/alpine:latest",
        "docker.io/evil/alpine:latest",
        "localhost:5000/alpine:latest",
        "docker.io/library/alpine:3",
    ],
)
def test_a_short_name_never_means_what_only_ends_alike(paths: Paths, other: str) -> None:
    digest = add(paths, other, "x")
    for text in ("alpine", "alpine:latest", "library/alpine", f"alpine@{digest}"):
        if other == "docker.io/library/alpine:3" and "@" in text:
            continue  # the same repository: that is the image
        assert find_local(paths, text) is None
    with pytest.raises(NotFoundError, match="alpine: no such image"):
        require(paths, "alpine")


def test_search_registries_and_aliases(paths: Paths, tmp_path: Path) -> None:
    add(paths, "docker.io/library/one:latest", 1)
    add(paths, "quay.io/one:latest", 2)
    add(paths, "quay.io/far/away:1", 3)
    configure(
        tmp_path,
        'unqualified-search-registries = ["quay.io"]\naliases = {near = "quay.io/far/away"}\n',
    )
    assert require(paths, "one").name == "quay.io/one:latest"
    assert require(paths, "near:1").name == "quay.io/far/away:1"
    assert find_local(paths, "far/near:1") is None


def test_digests_and_ids(paths: Paths) -> None:
    digest = add(paths, "quay.io/x/y:1", "a")
    image_id = config_digest(paths, digest)
    for text in (digest, image_id, image_id[7:], image_id[7:10], image_id[:19]):
        found = require(paths, text)
        assert (found.manifest_digest, found.is_by_name) == (digest, False)
    assert require(paths, f"quay.io/x/y@{digest}").is_by_name
    for text in ("quay.io/x/y", f"quay.io/other@{digest}", "quay.io/x/y:2", "zzz", image_id[7:9]):
        assert find_local(paths, text) is None
    assert find_local(paths, "oci:/dir") is None
    for text in ("sha256:", "Upper", ""):
        with pytest.raises(UsageError):
            find_local(paths, text)


def test_a_digest_is_never_a_name(paths: Paths) -> None:
    digest = digests.of(b"wanted")
    add(paths, f"docker.io/library/{digest}", "another image with an odd name")
    assert find_local(paths, digest) is None
    assert find_local(paths, digest[7:]) is None


def test_an_ambiguous_id_is_refused(paths: Paths) -> None:
    seen: dict[str, int] = {}
    number = 0
    while (start := digests.of(config_of(number))[7:10]) not in seen:
        seen[start] = number
        number += 1
    add(paths, "localhost/first:latest", seen[start])
    second = add(paths, "localhost/second:latest", number)
    add(paths, "localhost/again:latest", number)
    with pytest.raises(UsageError, match="beginning of 2 image ids") as raised:
        find_local(paths, start)
    assert raised.value.hint == "rl images --no-trunc"
    assert require(paths, config_digest(paths, second)).manifest_digest == second


def test_damaged_images_are_passed_over_with_a_warning(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = add(paths, "localhost/damaged:latest", 1)
    gone = add(paths, "localhost/gone:latest", 2)
    good = config_digest(paths, add(paths, "localhost/good:latest", 3))
    Path(paths.blob(damaged)).write_bytes(b"{}")
    Path(paths.blob(gone)).unlink()
    said: list[str] = []
    monkeypatch.setattr(log, "warn", said.append)
    assert require(paths, good[:20]).name == "localhost/good:latest"
    assert [line.partition(":")[0] for line in said] == ["localhost/damaged", "localhost/gone"]
    assert require(paths, "damaged").manifest_digest == damaged
    assert require(paths, gone).name == "localhost/gone:latest"
    with pytest.raises(StoreError, match="damaged"):
        config_digest(paths, damaged)
