"""What the keeper has running for the container besides its root: processes that answer it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.kernel.channel import Channel
    from rootless.runtime.answering import Answering
    from rootless.runtime.messages import Request
    from rootless.runtime.view import View


class Services:
    """The view of /proc and the answers to system calls, as far as a container has them."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._answering: Answering | None = None
        self._init_side: Channel | None = None

    def begin(self, request: Request) -> None:
        """Start what `request` wants. Raises HostError for what was asked for and cannot be."""
        if request["answered"]:
            from rootless.runtime import answering

            begun = answering.begin(request)
            if begun is not None:
                self._answering, self._init_side = begun
        if request["view"]:
            from rootless.runtime import view

            self._view = view.begin(request)

    def serve(self) -> None:
        """Have the view answered. Harmless when repeated."""
        if self._view:
            self._view.serve()

    @property
    def view_pid(self) -> int:
        """Of the process that answers for the view, 0 without one."""
        return self._view.pid if self._view else 0

    def pids(self) -> list[int]:
        """Of the processes that answer now."""
        return [one.pid for one in self._all() if one.pid]

    def fds(self) -> list[int]:
        """For poll(2): when one of them is readable, `look` has something to do."""
        return [one.fd for one in self._all() if one.fd >= 0]

    def private(self) -> list[int]:
        """Descriptors that the container's processes may not have."""
        return [fd for one in self._all() for fd in one.private]

    def init_is_forked(self) -> None:
        """Let go of what init alone may hold, so that its death is noticed."""
        if self._init_side:
            self._init_side.close()

    def look(self, ready: Sequence[int]) -> None:
        """Put other processes in the place of those that have died; ready: readable descriptors."""
        for one in self._all():
            if one.fd in ready:
                one.look()

    def stop(self) -> None:
        """End them all. Raises OSError."""
        for one in self._all():
            one.stop()

    def _all(self) -> list[View | Answering]:
        return [one for one in (self._view, self._answering) if one is not None]
