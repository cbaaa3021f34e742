"""Threads that share work of which the first failure ends all."""

from __future__ import annotations

import threading

from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class Owner(Protocol):
        """Whose work it is; both methods are called from any thread."""

        def cancel(self) -> None:
            """Make the work in every thread end soon."""

        def close(self) -> None:
            """The calling thread does nothing more."""


class _Crew:
    def __init__(self, owner: Owner, jobs: Sequence[Callable[[], None]]) -> None:
        self._owner = owner
        self._jobs = iter(jobs)
        self._guard = threading.Lock()
        self.failure: BaseException | None = None

    def work(self) -> None:
        """A thread's life."""
        try:
            while (job := self._next()) is not None:
                job()
        except BaseException as error:
            self._fail(error)
        finally:
            self._owner.close()

    def _next(self) -> Callable[[], None] | None:
        with self._guard:
            return None if self.failure else next(self._jobs, None)

    def _fail(self, error: BaseException) -> None:
        with self._guard:
            # The others fail because of the cancelling: only the first failure is the reason.
            if self.failure is not None:
                return
            self.failure = error
        self._owner.cancel()


def work_all(owner: Owner, jobs: Sequence[Callable[[], None]], count: int) -> None:
    """Do all `jobs` on `count` threads.

    Raises the first failure, after all threads have ended; whatever a signal handler raises here,
    such as KeyboardInterrupt, cancels them too.
    """
    crew = _Crew(owner, jobs)
    threads = [
        threading.Thread(target=crew.work, name=f"blob-{number}", daemon=True)
        for number in range(min(count, len(jobs)))
    ]
    started: list[threading.Thread] = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
        for thread in started:
            thread.join()
    except BaseException:
        owner.cancel()
        for thread in started:
            thread.join()
        raise
    if crew.failure is not None:
        raise _explained(crew.failure) from crew.failure


def _explained(failure: BaseException) -> BaseException:
    if isinstance(failure, OSError):
        return files.explain(failure, failure.filename or "store")
    return failure
