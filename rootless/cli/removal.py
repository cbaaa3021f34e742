"""What `rl rm`, `rl rmi` and `rl volume rm` have in common: they go on after an error."""

from __future__ import annotations

from rootless.cli import diagnostics, output
from rootless.errors import InUseError, NotFoundError, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Removes what a word names; the lines that tell of it.
    Remove = Callable[[str], Iterable[str]]

# podman-rm(1), podman-rmi(1), podman-volume-rm(1): "Exit Status".
_EXIT_IN_USE = 2


def remove_each(words: Iterable[str], remove: Remove, *, gone_is_well: bool) -> int:
    """Call `remove` with each of `words`; the exit code of the first error, 0 without any.

    gone_is_well: whether it is no error that there is nothing of that name.
    """
    codes = [_remove_one(word, remove, gone_is_well=gone_is_well) for word in words]
    return next(filter(None, codes), 0)


def _remove_one(word: str, remove: Remove, *, gone_is_well: bool) -> int:
    try:
        for line in remove(word):
            output.write_line(line)
    except NotFoundError as error:
        return 0 if gone_is_well else diagnostics.complain(error)
    except InUseError as error:
        return diagnostics.complain(error, _EXIT_IN_USE)
    except RlError as error:
        return diagnostics.complain(error)
    return 0
