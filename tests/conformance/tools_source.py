"""The validation programs of opencontainers/runtime-tools, built from Debian's source package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.conformance.source_package import CACHE, NotToBeHad, Origin, fetch

# No binary package has the programs. Older suites have an older version of them.
_SUITE = "trixie"
_PACKAGE = "golang-github-opencontainers-runtime-tools"
_IMPORT_PATH = "src/github.com/opencontainers/runtime-tools"
_TAP = Path(__file__).parent / "tap.go"


def programs() -> Path:
    """A directory with the programs and the files that they look for in the working directory."""
    place = CACHE / f"runtime-tools-{_SUITE}"
    if not (place / "programs").exists():
        # The description of the package is not on every mirror; apt checks the archive without it.
        fetch(place, Origin("crun").sources(_SUITE), ["--tar-only", _PACKAGE])
        _build(place)
    return place / "programs"


def _build(place: Path) -> None:
    source = place / _IMPORT_PATH
    source.mkdir(parents=True)
    archive = next(place.glob(f"{_PACKAGE}_*.orig.tar.*"))
    subprocess.run(
        ["tar", "-xf", archive.name, "--strip-components=1", "-C", str(source)],
        cwd=place, check=True,
    )  # fmt: skip
    tap = place / "src/github.com/mndrix/tap-go"
    tap.mkdir(parents=True)
    shutil.copy(_TAP, tap)
    made = place / "made"
    made.mkdir()
    _go_build(place, source, made)
    for root in source.glob("rootfs-*.tar.gz"):
        shutil.copy(root, made)
    shutil.rmtree(place / "src")
    made.rename(place / "programs")


def _go_build(place: Path, source: Path, made: Path) -> None:
    """With Debian's packages of what they import. Not linked to libc: one runs in containers."""
    env = {
        "HOME": str(place), "PATH": os.environ["PATH"], "GOCACHE": str(place / "go-cache"),
        "GO111MODULE": "off", "GOPATH": f"{place}:/usr/share/gocode", "CGO_ENABLED": "0",
    }  # fmt: skip
    arch = subprocess.run(
        ["go", "env", "GOARCH"], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()
    if not (source / f"rootfs-{arch}.tar.gz").exists():
        raise NotToBeHad(f"runtime-tools has no root file system for {arch}")
    subprocess.run(
        ["go", "build", "-ldflags=-s -w", "-o", str(made), "./cmd/runtimetest", "./validation/..."],
        cwd=source, env=env, check=True,
    )  # fmt: skip
    shutil.rmtree(place / "go-cache")
