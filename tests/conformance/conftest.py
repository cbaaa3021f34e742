from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.running import CHECKOUT

LAUNCHER = Path(sys.executable).parent / "rl-oci"


@pytest.fixture(scope="session")
def rl_oci(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the program, made where the installed one is missing."""
    if LAUNCHER.exists():
        return str(LAUNCHER)
    path = tmp_path_factory.mktemp("bin") / "rl-oci"
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path += {[str(CHECKOUT), *sys.path[-1:]]!r}\n"
        "from rootless.cli.oci_program import main\nmain()\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def normal_user() -> None:
    if os.geteuid() == 0:
        pytest.skip("needs a normal user: ./dev test makes one")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short path, since tests bind sockets below it, whose paths end at 107 bytes.

    Others may pass through: crun looks for the bundle as the root of the new user namespace.
    """
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp") as path:
        os.chmod(path, 0o711)
        yield Path(path)
