"""Source packages of Debian's, fetched by a normal user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rl-conformance"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class NotToBeHad(Exception):
    """The source package cannot be fetched here."""


def or_skip(fetch: Callable[[], Path], whose: str) -> Path:
    """What `fetch` has fetched; without it the test is skipped, which on CI is a failure."""
    try:
        return fetch()
    except NotToBeHad as reason:
        pytest.skip(f"needs {whose} source package: {reason}")


class Origin:
    """Where apt has an installed package from."""

    def __init__(self, package: str) -> None:
        policy = subprocess.run(
            ["apt-cache", "policy", package], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"^ \*\*\* (\S+) \d+\n +\d+ (\S+) (\S+)/(\S+) \S+ Packages", policy, re.M)
        if found is None:
            raise NotToBeHad(f"{package} is not installed from a repository:\n{policy}")
        self.version, self._url, self._suite, self._component = found.groups()

    def sources(self, suite: str = "") -> str:
        """The line for sources.list(5), of another suite when asked for."""
        signed = f"[signed-by={_KEYRING}] " if os.path.exists(_KEYRING) else ""
        return f"deb-src {signed}{self._url} {suite or self._suite} {self._component}\n"


def fetch(place: Path, source_line: str, words: list[str]) -> None:
    """Make `place`, and have `apt-get source` put there what `words` say.

    With lists of our own: a normal user can change no others.
    """
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
    for command in (["update"], ["source", "--download-only", *words]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], cwd=place, env=env, capture_output=True, text=True,
            check=False, timeout=100,
        )  # fmt: skip
        if done.returncode:
            raise NotToBeHad(f"apt-get {' '.join(command)}: {done.stderr}")
    shutil.rmtree(apt)
