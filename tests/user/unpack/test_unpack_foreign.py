"""Layers as other tools write them."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from rootless.tools import spawn
from tests.user.conftest import Rl


def test_umoci_insert_leaves_the_end_of_the_archive_out(rl: Rl, short_dir: Path) -> None:
    if spawn.which("umoci") is None:
        pytest.skip("no umoci")
    (short_dir / "file").write_text("eleven byte")
    layout = short_dir / "layout"
    image = f"{layout}:new"
    for words in (
        ["init", "--layout", str(layout)],
        ["new", "--image", image],
        ["insert", "--rootless", "--image", image, str(short_dir / "file"), "/etc/file"],
    ):
        subprocess.run(["umoci", *words], check=True, capture_output=True)
    rl("pull", f"oci:{image}")
    (document,) = json.loads(rl("inspect", "localhost/layout:new").stdout)
    (diff_id,) = document["RootFS"]["Layers"]
    tree = Path(rl.paths.layer_diff(diff_id))
    assert (tree / "etc/file").read_text() == "eleven byte"
    blobs = (path.read_bytes() for path in Path(rl.paths.blobs).iterdir())
    (layer,) = (gzip.decompress(data) for data in blobs if data[:2] == b"\x1f\x8b")
    assert len(layer) % 512, "umoci does it right now: this test shows nothing any more"
