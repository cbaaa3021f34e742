"""crun's own tests, from Debian's source package of the crun that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rl-conformance"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class NotToBeHad(Exception):
    """The source package cannot be fetched here."""


def tests() -> Path:
    """A directory with `tests/`, and the program `init` built, of the installed version."""
    version, source_line = _installed()
    place = CACHE / f"crun-{version.replace(':', '_')}"
    if not (place / "tests/init").exists():
        _fetch(place, version, source_line)
        _build(place)
    return place


def _installed() -> tuple[str, str]:
    """The version of crun that is installed, and where its sources are, for sources.list(5)."""
    policy = subprocess.run(
        ["apt-cache", "policy", "crun"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"^ \*\*\* (\S+) \d+\n +\d+ (\S+) (\S+)/(\S+) \S+ Packages", policy, re.M)
    if found is None:
        raise NotToBeHad(f"crun is not installed from a repository:\n{policy}")
    version, url, suite, component = found.groups()
    signed = f"[signed-by={_KEYRING}] " if os.path.exists(_KEYRING) else ""
    return version, f"deb-src {signed}{url} {suite} {component}\n"


def _fetch(place: Path, version: str, source_line: str) -> None:
    """With lists of our own: a normal user can change no others."""
    apt = place / "apt"
    shutil.rmtree(place, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "sources.list").write_text(source_line)
    (apt / "conf").write_text(
        f'Dir::Etc::SourceList "{apt}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{apt}/lists";\nDir::Cache "{apt}/cache";\n'
    )
    env = {**os.environ, "APT_CONFIG": str(apt / "conf"), "LC_ALL": "C"}
    for words in (["update"], ["source", "--download-only", f"crun={version}"]):
        done = subprocess.run(
            ["apt-get", "-qq", *words], cwd=place, env=env, capture_output=True, text=True,
            check=False, timeout=100,
        )  # fmt: skip
        if done.returncode:
            raise NotToBeHad(f"apt-get {' '.join(words)}: {done.stderr}")
    shutil.rmtree(apt)


def _build(place: Path) -> None:
    archive = min(place.glob("crun_*.orig.tar.*"), key=lambda path: len(path.name))
    names = ["--wildcards", "--strip-components=1", "*/tests/*"]
    subprocess.run(["tar", "-xf", archive.name, *names], cwd=place, check=True)
    (place / "config.h").write_text("#define HAVE_ERROR_H 1\n")
    subprocess.run(
        ["cc", "-static", "-w", "-I", str(place), "-o", "tests/init", "tests/init.c"],
        cwd=place, check=True,
    )  # fmt: skip
