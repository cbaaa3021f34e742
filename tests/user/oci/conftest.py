"""`rl-oci` as a program with a path, which callers such as Podman want."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
LAUNCHER = Path(sys.executable).parent / "rl-oci"


@pytest.fixture
def rl_oci(short_dir: Path) -> str:
    """The installed one where there is one, else what it would be."""
    if LAUNCHER.exists():
        return str(LAUNCHER)
    path = short_dir / "bin/rl-oci"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path += {[str(CHECKOUT), *sys.path[-1:]]!r}\n"
        "from rootless.cli.oci_program import main\nmain()\n"
    )
    path.chmod(0o755)
    return str(path)
