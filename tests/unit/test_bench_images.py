"""The image that pulls are measured with is the same everywhere: ratios can be compared."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path

_SOURCE = Path(__file__).parents[1] / "bench" / "images.py"
_spec = importlib.util.spec_from_file_location("bench_images", _SOURCE)
assert _spec is not None and _spec.loader is not None
images = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(images)

DIGEST = "4051daec9dc9c48ad353546fe5f3b71e9a713bd6e5c6776b486d8af9523a5742"


def test_a_layer_has_the_advertised_size_and_the_same_bytes_everywhere() -> None:
    plain = images.many_files_layer(1)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = [m for m in archive.getmembers() if m.isfile() and ".wh." not in m.name]
    regular = [member for member in members if member.type == tarfile.REGTYPE]
    assert len(regular) * images.LAYERS == 25_000
    assert sum(member.size for member in regular) * images.LAYERS == 200_000_000
    assert images.digest_of(plain) == f"sha256:{DIGEST}"


def test_layers_differ() -> None:
    assert images.file_sizes(images.random.Random(0)) != images.file_sizes(images.random.Random(1))
