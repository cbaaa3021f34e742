"""Restart policies: when a container that has ended is started again (docker-run(1), "--restart").

`no`, `on-failure[:MOST]`, `always`, `unless-stopped`. Pure.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number

NO, ON_FAILURE, ALWAYS, UNLESS_STOPPED = "no", "on-failure", "always", "unless-stopped"
_POLICIES = (NO, ON_FAILURE, ALWAYS, UNLESS_STOPPED)
_MAXIMUM = 10**9
# Docker's: 100 ms, doubled each time up to a minute, from the beginning again once the container
# has run for ten seconds.
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 60.0
_SECONDS_OF_A_GOOD_RUN = 10.0


class RestartPolicy:
    """A policy that was read. most: the most restarts in a row, 0 for no end."""

    __slots__ = ("most", "name")

    def __init__(self, name: str, most: int = 0) -> None:
        self.name = name
        self.most = most

    def wants(self, exit_code: int, restarts: int, *, stop_requested: bool) -> bool:
        """Whether to start again after `restarts` restarts in a row and an end with `exit_code`."""
        if stop_requested or self.name == NO:
            return False
        if self.name != ON_FAILURE:
            return True
        return exit_code != 0 and (not self.most or restarts < self.most)


def parse(text: str) -> RestartPolicy:
    """The policy that `text`, "" for no, names. Raises UsageError."""
    name, colon, count = (text or NO).partition(":")
    if name not in _POLICIES:
        raise UsageError(f"--restart {text}: no such policy", f"--restart {'|'.join(_POLICIES)}")
    if not colon:
        return RestartPolicy(name)
    most = number(count, 0, _MAXIMUM)
    if name != ON_FAILURE or most is None:
        raise UsageError(f"--restart {text}: a number of restarts goes with on-failure only",
                         "--restart on-failure:3")  # fmt: skip
    return RestartPolicy(name, most)


def delay(restarts: int, seconds_run: float) -> tuple[float, int]:
    """After a run of `seconds_run`, before the next: how long to wait in seconds, and the number of
    restarts in a row that counts from now on. restarts: that number so far."""
    if seconds_run >= _SECONDS_OF_A_GOOD_RUN:
        restarts = 0
    wait = min(_FIRST_DELAY * 2.0 ** min(restarts, 20), _LONGEST_DELAY)
    return wait, restarts + 1
