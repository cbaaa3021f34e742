"""Records of steps, and what they keep in the store."""

from __future__ import annotations

from pathlib import Path

from rootless.store import blobs, buildcache, files
from rootless.store.paths import Paths


def test_a_step_is_found_as_long_as_its_layer_is_there(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    blobs.ensure_layout(paths)
    digest = blobs.write(paths, b"layer")
    diff_id = "sha256:" + "1" * 64
    layer = {"mediaType": "x", "digest": digest, "size": 5, "diff_id": diff_id}
    buildcache.keep_step(paths, "a", {"created": "now", "layer": layer})
    buildcache.keep_step(paths, "b", {"created": "now", "layer": None})
    assert buildcache.find_step(paths, "a") is None
    files.make_dirs(paths.layer(diff_id))
    assert buildcache.find_step(paths, "a") == {"created": "now", "layer": layer}
    assert buildcache.find_step(paths, "b") == {"created": "now", "layer": None}
    assert buildcache.needed(paths) == ({digest}, {diff_id})
    blobs.remove(paths, digest)
    assert buildcache.find_step(paths, "a") is None
    buildcache.forget_steps(paths)
    assert buildcache.needed(paths) == (set(), set())


def test_nothing_is_there_before_the_first_build(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    assert buildcache.find_step(paths, "a") is None
    assert buildcache.find_content(paths, "a") == ""
    assert buildcache.needed(paths) == (set(), set())
    buildcache.forget_steps(paths)


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    buildcache.keep_content(paths, "a", "digest")
    assert buildcache.find_content(paths, "a") == "digest"
    (tmp_path / "s/build/content/a").write_text("{")
    assert buildcache.find_content(paths, "a") == ""
