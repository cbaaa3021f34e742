"""crun's own tests, from Debian's source package of the crun that is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conformance.source_package import CACHE, Origin, fetch


def tests() -> Path:
    """A directory with `tests/`, and the program `init` built, of the installed version."""
    origin = Origin("crun")
    place = CACHE / f"crun-{origin.version.replace(':', '_')}"
    if not (place / "tests/init").exists():
        fetch(place, origin.sources(), [f"crun={origin.version}"])
        _build(place)
    return place


def _build(place: Path) -> None:
    archive = min(place.glob("crun_*.orig.tar.*"), key=lambda path: len(path.name))
    names = ["--wildcards", "--strip-components=1", "*/tests/*"]
    subprocess.run(["tar", "-xf", archive.name, *names], cwd=place, check=True)
    (place / "config.h").write_text("#define HAVE_ERROR_H 1\n")
    subprocess.run(
        ["cc", "-static", "-w", "-I", str(place), "-o", "tests/init", "tests/init.c"],
        cwd=place, check=True,
    )  # fmt: skip
