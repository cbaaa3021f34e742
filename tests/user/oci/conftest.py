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


@pytest.fixture
def runtime(request: pytest.FixtureRequest, rl_oci: str, short_dir: Path) -> str:
    """A program for --runtime, by its name in a parameter: crun, runc or rl-oci.

    crun refuses a host that has both versions of cgroups; there it is shown one of them.
    """
    name = str(request.param)
    if name == "rl-oci":
        return rl_oci
    if name != "crun" or not Path("/sys/fs/cgroup/unified").is_dir():
        return name
    path = short_dir / "bin/crun"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "#!/bin/sh\nif [ -d /sys/fs/cgroup/unified ]; then\n"
        "mount --rbind /sys/fs/cgroup/unified /sys/fs/cgroup || exit\nfi\n"
        'exec /usr/bin/crun "$@"\n'
    )
    path.chmod(0o755)
    return str(path)
