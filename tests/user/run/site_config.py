"""An /etc/rl of a test: the command with another directory in its place."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
_MAIN = """
import sys
sys.path += {paths!r}
from rootless import config
config.SYSTEM_FOLDER = {folder!r}
from rootless.engine import cdi
cdi.FOLDERS = ({folder!r} + "/cdi",)
from rootless.cli.main import main
main()
"""


def argv(folder: Path) -> list[str]:
    """The words that run `rl` with `folder` for /etc/rl, and `cdi` in it for /etc/cdi.

    No variable and no flag does that, or users could get round what an administrator forbids:
    test_site.py has a look at a real /etc/rl, too.
    """
    code = _MAIN.format(paths=[str(CHECKOUT), *sys.path[-1:]], folder=str(folder))
    return [sys.executable, "-IS", "-c", code]
