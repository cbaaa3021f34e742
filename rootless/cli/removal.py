"""What `rl rm`, `rl rmi` and `rl volume rm` have in common."""

from __future__ import annotations

from rootless.cli import diagnostics, each
from rootless.errors import InUseError, NotFoundError, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.cli.each import Act

# podman-rm(1), podman-rmi(1), podman-volume-rm(1): "Exit Status".
_EXIT_IN_USE = 2


def remove_each(words: Iterable[str], remove: Act, *, gone_is_well: bool) -> int:
    """Call `remove` with each of `words`; the exit code of the first error, 0 without any.

    gone_is_well: whether it is no error that there is nothing of that name.
    """

    def complain(error: RlError) -> int:
        if gone_is_well and isinstance(error, NotFoundError):
            return 0
        return diagnostics.complain(error, _EXIT_IN_USE if isinstance(error, InUseError) else None)

    return each.do_each(words, remove, complain)
