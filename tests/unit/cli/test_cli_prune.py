"""`rl image prune` on a small store: who is asked, what goes, what stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rootless.cli import cmd_prune, main
from rootless.store import blobs, containers, index, places
from rootless.store.paths import Paths
from rootless.tools import idmap

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "r").mkdir(mode=0o700)
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "s"))
    monkeypatch.setenv("RL_RUNTIME_DIR", str(tmp_path / "r"))
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    blobs.ensure_layout(paths)
    # Every file here is this user's own: a user namespace, which a unit test may not need, is not.
    monkeypatch.setattr(idmap, "call", lambda function, maps=None: function())
    return paths


def add_image(paths: Paths, content: str, *names: str, **more: object) -> str:
    """The manifest's digest of a new image without layers; each name is taken from its owner."""
    rootfs = {"type": "layers", "diff_ids": []}
    config = json.dumps({"rootfs": rootfs, "author": content, **more}).encode()
    digest = blobs.write(paths, config)
    manifest = {"config": {"digest": digest, "size": len(config)}, "layers": []}
    data = json.dumps(manifest).encode()
    digest = blobs.write(paths, data)
    for name in names:
        index.set_name(paths, name, digest, media_type=MANIFEST, size=len(data))
    return digest


def add_container(paths: Paths, name: str, manifest: str) -> None:
    container_id = os.urandom(32).hex()
    Path(containers.directory(paths, container_id)).mkdir(parents=True)
    containers.write_record(paths, {"id": container_id, "name": name, "manifest": manifest})


def stored_names(paths: Paths) -> list[str]:
    return [index.name_of(entry) for entry in index.entries(paths)]


def test_dangling_images_go(paths: Paths, capsys: Capture) -> None:
    old = add_image(paths, "old", "localhost/x:latest")
    add_image(paths, "new" * 100, "localhost/x:latest")
    before = {digest: Path(paths.blob(digest)).stat().st_size for digest in blobs.stored(paths)}
    assert main.run_cli(["image", "prune", "-f"]) == 0
    size = sum(before[digest] for digest in before if not blobs.has(paths, digest))
    assert not blobs.has(paths, old) and stored_names(paths) == ["localhost/x:latest"]
    deleted, total = capsys.readouterr().out.splitlines()
    assert deleted.startswith("Deleted: sha256:") and size > 100
    assert total == f"Total reclaimed space: {size}B"


def test_what_belongs_to_no_image_goes(paths: Paths, capsys: Capture) -> None:
    kept = add_image(paths, "kept", "localhost/x:latest")
    stray = blobs.write(paths, b"stray")
    layer = "sha256:" + "a" * 64
    Path(paths.layer_diff(layer)).mkdir(parents=True)
    Path(paths.layer(layer), "layer.json").write_text('{"size": 2000}')
    Path(paths.tmp, f"download-{'b' * 64}.partial").write_bytes(bytes(500))
    assert main.run_cli(["image", "prune", "--force"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Deleted: {layer}", f"Deleted: {stray}", "Total reclaimed space: 2.5kB",
    ]  # fmt: skip
    assert os.listdir(paths.tmp) == [] and os.listdir(paths.layers) == []
    assert blobs.has(paths, kept)


def test_all_leaves_what_containers_use(paths: Paths, capsys: Capture) -> None:
    add_image(paths, "unused", "localhost/a:1", "localhost/a:2")
    used = add_image(paths, "used", "localhost/b:1")
    dangling = add_image(paths, "dangling but used", "localhost/c:1")
    add_image(paths, "newer", "localhost/c:1")
    add_container(paths, "one", used)
    add_container(paths, "two", dangling)
    assert main.run_cli(["image", "prune", "--all", "--force"]) == 0
    said = capsys.readouterr().out
    untagged = [line for line in said.splitlines() if line.startswith("Untagged: ")]
    assert untagged == [f"Untagged: localhost/{name}" for name in ("a:1", "a:2", "c:1")]
    assert [one["digest"] for one in index.entries(paths)] == [used, dangling]
    assert len(blobs.stored(paths)) == 4


def test_without_force_it_asks(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def __init__(self, text: str) -> None:
            self.text = text

        def readline(self) -> str:
            return self.text

    stray = blobs.write(paths, b"stray")
    monkeypatch.setattr(cmd_prune.os, "isatty", lambda fd: True)
    for refusal in ("n\n", "\n", "", "yess\n"):
        monkeypatch.setattr(cmd_prune.sys, "stdin", Answer(refusal))
        assert main.run_cli(["image", "prune"]) == 1
        assert blobs.has(paths, stray)
    monkeypatch.setattr(cmd_prune.sys, "stdin", Answer("Y\n"))
    assert main.run_cli(["image", "prune"]) == 0
    assert not blobs.has(paths, stray)


def test_without_a_terminal_it_needs_force(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    stray = blobs.write(paths, b"stray")
    monkeypatch.setattr(cmd_prune.os, "isatty", lambda fd: False)
    assert main.run_cli(["image", "prune"]) == 125
    assert "hint: rl image prune --force\n" in capfd.readouterr().err
    assert blobs.has(paths, stray)


def test_before_the_first_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: Paths,
                               capsys: Capture) -> None:  # fmt: skip
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "nothing"))
    # It cannot be told without a user namespace, see above.
    monkeypatch.setattr(places, "judge", lambda place: "")
    assert main.run_cli(["image", "prune", "-af"]) == 0
    assert capsys.readouterr().out == "Total reclaimed space: 0B\n"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["until=24h"], {"new", "label"}),
        (["until=2000-01-01"], {"new", "label"}),
        (["until=1980-01-01"], {"old", "new", "label"}),
        (["label=keep"], {"old", "new"}),
        (["label!=keep"], {"label"}),
        (["label!=keep", "until=24h"], {"new", "label"}),
    ],
)
def test_image_filters(paths: Paths, words: list[str], left: set[str]) -> None:
    add_image(paths, "old", "localhost/old:1", created="1990-01-01T00:00:00Z")
    add_image(paths, "new", "localhost/new:1", created="2999-01-01T00:00:00Z")
    config = {"Labels": {"keep": "yes"}}
    add_image(paths, "x", "localhost/label:1", created="2999-01-01T00:00:00Z", config=config)
    flags = [flag for word in words for flag in ("--filter", word)]
    assert main.run_cli(["image", "prune", "--all", "--force", *flags]) == 0
    assert {name[len("localhost/") : -2] for name in stored_names(paths)} == left


@pytest.mark.parametrize("word", ["until=tomorrow", "name=x", "label"])
def test_a_filter_that_is_none_removes_nothing(
    paths: Paths, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    add_image(paths, "x", "localhost/x:1")
    assert main.run_cli(["image", "prune", "--all", "--force", "--filter", word]) == 125
    assert f"--filter {word}: not a" in capfd.readouterr().err.replace("until t", "until=t")
    assert stored_names(paths) == ["localhost/x:1"]


@pytest.mark.parametrize(
    ("words", "left"),
    [([], ["named"]), (["all=true"], []), (["label=x"], ["a" * 64, "named"]),
     (["label!=x", "all=1"], [])],
)  # fmt: skip
def test_volume_filters(paths: Paths, words: list[str], left: list[str]) -> None:
    for name in ("named", "a" * 64):
        Path(paths.volumes, name, "_data").mkdir(parents=True)
    flags = [f"--filter={word}" for word in words]
    assert main.run_cli(["volume", "prune", "--force", *flags]) == 0
    assert sorted(os.listdir(paths.volumes)) == left
