"""Commands for several containers, images or volumes: they go on after an error."""

from __future__ import annotations

from rootless.cli import diagnostics, output
from rootless.errors import EXIT_ENGINE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Does something to what a word names; the lines that tell of it.
    Act = Callable[[str], Iterable[str]]


def complain_as_engine(error: RlError) -> int:
    """Print the error; podman's exit code for one that has no code of its own."""
    return diagnostics.complain(error, EXIT_ENGINE if error.exit_code == 1 else None)


def do_each(
    words: Iterable[str], act: Act, complain: Callable[[RlError], int] = complain_as_engine
) -> int:
    """Call `act` with each of `words`; the exit code of the first error, 0 without any.

    complain: prints an error and gives its exit code.
    """
    codes = [_do_one(word, act, complain) for word in words]
    return next(filter(None, codes), 0)


def _do_one(word: str, act: Act, complain: Callable[[RlError], int]) -> int:
    try:
        for line in act(word):
            output.write_line(line)
    except RlError as error:
        return complain(error)
    return 0
