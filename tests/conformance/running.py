"""How a program of somebody else's suite is run on a runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
CRUN = "/usr/bin/crun"


def run(
    where: str, command: list[str], cwd: Path, home: Path, variables: dict[str, str], limit: float
) -> subprocess.CompletedProcess[str]:
    """Run `command` where place.py says, with `home` for its files; `limit` in seconds.

    When the time is over nothing of it stays: all of it is below the first process of a pid
    namespace ("namespace"), which ends with place.py.
    """
    env = {
        "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": f"{CHECKOUT}:{HERE}", "PYTHONDONTWRITEBYTECODE": "1", **variables,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, str(HERE / "place.py"), where, *command],
        cwd=cwd, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", timeout=limit, check=False,
    )  # fmt: skip
