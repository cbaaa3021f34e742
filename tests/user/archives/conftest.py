"""Images to save, and archives made by hand."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.registry.oci_layout import Layout
from tests.user.run.run_images import ImageMaker, folder, member

Archive = Callable[..., Path]


@pytest.fixture
def image(rl: Rl, images: ImageMaker) -> str:
    """An image of two layers, as localhost/app:v1."""
    first = [folder("etc"), member("etc/one", content=b"1\n")]
    second = [folder("etc"), member("etc/.wh.one"), member("etc/two", content=b"2\n" * 5000)]
    pulled = rl("pull", "-q", images(first, second)).stdout.strip()
    rl("tag", pulled, "app:v1")
    rl("untag", pulled, *[n for n in names(rl) if n != "localhost/app:v1"])
    return "localhost/app:v1"


def names(rl: Rl) -> list[str]:
    return rl("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Make a tar archive of {name: content}, or of (TarInfo, content)."""

    def make(*members: tuple[str | tarfile.TarInfo, bytes], name: str = "made.tar") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w") as tar:
            for one, content in members:
                info = tarfile.TarInfo(one) if isinstance(one, str) else one
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return make
