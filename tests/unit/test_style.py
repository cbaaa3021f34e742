"""Texts that a linter does not read: shell scripts, the files of packages, names that rot."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SCRIPTS = sorted(
    [CHECKOUT / "dev", *CHECKOUT.glob("packaging/*.sh"), *CHECKOUT.glob("tests/**/*.sh")]
)
SOURCES = sorted([*CHECKOUT.glob("rootless/**/*.py"), *CHECKOUT.glob("tests/**/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_posix_sh(script: Path) -> None:
    """dash knows nothing beyond POSIX, and is /bin/sh where this has to start."""
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)


def test_dev_help_needs_nothing_but_sh(tmp_path: Path) -> None:
    for name in ("dirname", "cat"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    result = subprocess.run(
        ["/bin/sh", str(CHECKOUT / "dev"), "help"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for command in ("run", "test", "lint", "bench", "setup"):
        assert re.search(rf"^  {command}\b", result.stdout, re.MULTILINE)


def test_dev_refuses_an_unknown_command() -> None:
    result = subprocess.run(
        [str(CHECKOUT / "dev"), "make-coffee"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith("usage: ./dev COMMAND")


@pytest.mark.parametrize("listing", sorted(CHECKOUT.glob("packaging/apt-*.txt")), ids=str)
def test_package_lists_have_three_columns(listing: Path) -> None:
    rows = [line.split() for line in listing.read_text().splitlines() if not line.startswith("#")]
    assert rows
    assert [row for row in rows if len(row) != 3 or row[2] not in ("need", "want")] == []


def test_no_unfinished_work_in_the_sources() -> None:
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    found = [str(path) for path in SOURCES if marks.search(path.read_text())]
    assert found == []


def test_every_module_postpones_annotations() -> None:
    """`X | None` in a signature costs nothing then, and imports nothing."""
    missing = [
        str(path.relative_to(CHECKOUT))
        for path in SOURCES
        if path.read_text() and "from __future__ import annotations" not in path.read_text()
    ]
    assert missing == []
