"""What every program of ours does around its work: the standard streams, and the end."""

from __future__ import annotations

import os
import sys

from rootless.cli import diagnostics
from rootless.errors import EXIT_ENGINE, EXIT_SIGNAL_BASE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

_SIGPIPE = 13


def leave(run: Callable[[Sequence[str]], int]) -> NoReturn:
    """Call `run` with the arguments and end with the exit code that it gives: the interpreter's own
    teardown is skipped."""
    _open_standard_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or EXIT_SIGNAL_BASE + _SIGPIPE
    except OSError as error:
        code = diagnostics.complain(RlError(f"standard output: {error.strerror}"), EXIT_ENGINE)
    # Freeing what the process's end frees anyway costs about three milliseconds.
    os._exit(code)


def _open_standard_streams() -> None:
    """Give a closed descriptor 0, 1 or 2 to /dev/null, before a lock or an image's file gets it."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if getattr(sys, "stdout", None) is None:
        sys.stdout = open(1, "w", closefd=False)
    if hasattr(sys.stdout, "reconfigure"):
        # In any locale: an odd name must not end a listing, and file names go out as they are.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
