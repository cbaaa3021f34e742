"""Commands for several containers, images or volumes: they go on after an error."""

from __future__ import annotations

from rootless.cli import diagnostics, output
from rootless.errors import EXIT_ENGINE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    # Does something to what a word names; the lines that tell of it.
    Act = Callable[[str], Iterable[str]]


def complain_as_engine(error: RlError) -> int:
    """Print the error; podman's exit code for one that has no code of its own."""
    return diagnostics.complain(error, EXIT_ENGINE if error.exit_code == 1 else None)


def do_each(
    words: Iterable[str],
    act: Act,
    complain: Callable[[RlError], int] = complain_as_engine,
    *,
    at_once: int = 1,
) -> int:
    """Call `act` with each of `words`; the exit code of the first error, 0 without any.

    complain: prints an error and gives its exit code. at_once: how many may be under way.
    """
    codes = [_tell(outcome, complain) for outcome in _outcomes(list(words), act, at_once)]
    return next(filter(None, codes), 0)


def _outcomes(words: list[str], act: Act, at_once: int) -> Iterator[list[str] | RlError]:
    if at_once > 1 and len(words) > 1:
        from rootless.tools import parallel

        yield from parallel.each(words, lambda word: list(act(word)), at_once)
        return
    for word in words:
        try:
            yield list(act(word))
        except RlError as error:
            yield error


def _tell(outcome: list[str] | RlError, complain: Callable[[RlError], int]) -> int:
    if isinstance(outcome, RlError):
        return complain(outcome)
    for line in outcome:
        output.write_line(line)
    return 0
