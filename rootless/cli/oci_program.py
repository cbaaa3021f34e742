"""The entry point of `rl-oci`: `rl oci` for callers that take the path of a program.

Without the table of rl's commands, which costs a tenth of what a short container takes.
"""

from __future__ import annotations

from rootless import log
from rootless.cli import argv as fast
from rootless.cli import cmd_oci, diagnostics, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_INTERRUPTED = 130


def main() -> NoReturn:
    """The console script. Does not return."""
    program.leave(_run)


def _run(argv: Sequence[str]) -> int:
    parsed = fast.parse(cmd_oci.OCI, argv)
    if parsed is None:
        from rootless.cli import main as whole

        return whole.run_cli(["oci", *argv])
    try:
        return cmd_oci.main(parsed)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if log.is_debug():
            raise
        diagnostics.say_line(f"rl-oci: internal error: {type(error).__name__}: {error}")
        return 1
