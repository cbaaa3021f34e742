"""What has to be undone when a block ends, in reverse order: contextlib.ExitStack's way.

`contextlib` brings collections and functools along, which nothing else on the start path needs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Undo:
    """Calls the callbacks, last first, when the block is left, also by an exception.

    A callback that fails does not keep the others from being called; the first failure is raised.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], object]] = []

    def callback(self, function: Callable[[], object]) -> None:
        """Call `function` at the end."""
        self._callbacks.append(function)

    def forget(self) -> None:
        """All went well: nothing is to be undone."""
        self._callbacks.clear()

    def __enter__(self) -> Undo:
        return self

    def __exit__(self, *exception: object) -> None:
        failure = None
        while self._callbacks:
            try:
                self._callbacks.pop()()
            except BaseException as problem:
                failure = failure or problem
        if failure is not None:
            raise failure
