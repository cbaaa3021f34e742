"""Contexts of builds, and what they gave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import Rl


class Builds:
    """Builds with the context `context`, a directory of the test's."""

    def __init__(self, rl: Rl, context: Path) -> None:
        self.rl = rl
        self.context = context

    def write(self, name: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        os.utime(path, (1_500_000_000, 1_500_000_000))
        return path

    def __call__(self, dockerfile: str, *flags: str, **options: Any) -> str:
        """Build it; the image's id."""
        self.write("Dockerfile", dockerfile)
        return self.rl("build", "-t", "t", *flags, str(self.context), **options).stdout.strip()

    def said(self, dockerfile: str, *flags: str, **options: Any) -> str:
        """Build it; what stood on standard error."""
        self.write("Dockerfile", dockerfile)
        return self.rl("build", "-t", "t", *flags, str(self.context), **options).stderr

    def fails(self, dockerfile: str, *flags: str) -> str:
        """Build it in vain; what was said."""
        return self.said(dockerfile, *flags, code=125)

    def run(self, *command: str) -> str:
        """What a command in the last image says."""
        return self.rl("run", "--rm", "--network", "none", "t", *command).stdout

    def config(self) -> dict[str, Any]:
        """The `Config` of the last image."""
        return self.document()["Config"]  # type: ignore[no-any-return]

    def document(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.rl("image", "inspect", "t").stdout)
        return found[0]


@pytest.fixture
def builds(rl: Rl, busybox_image: str, short_dir: Path) -> Builds:
    context = short_dir / "c"
    context.mkdir()
    return Builds(rl, context)
