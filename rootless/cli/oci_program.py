"""The entry point of `rl-oci`: `rl oci` for callers that take the path of a program."""

from __future__ import annotations

import sys

from rootless.cli import main as whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """The console script. Does not return."""
    sys.argv.insert(1, "oci")
    whole.main()
