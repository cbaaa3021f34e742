"""What `rl` tells beside its results: warnings, each said once, and the transcript of effects.

This module does not print. `rootless.cli` installs a sink; without one (a library user, a unit
test) nothing is said. A forked child inherits the sink.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[str, str], None]

_sink: Sink | None = None
_debug = False
_said: set[str] = set()


def install(sink: Sink, *, debug: bool) -> None:
    """Send `(level, text)` to `sink`; level is "warning", "notice" or "debug"."""
    global _sink, _debug
    _sink, _debug = sink, debug
    _said.clear()


def is_debug() -> bool:
    """Whether effects are wanted: callers skip building costly texts otherwise."""
    return _debug and _sink is not None


def warn(text: str) -> None:
    """Say `text` once in the life of the process, as a warning."""
    _say_once("warning", text)


def notice(text: str) -> None:
    """Say `text` once, without the word warning: something reduced or chosen."""
    _say_once("notice", text)


def effect(text: str) -> None:
    """One line of the transcript: what is done to the host, just before it is done."""
    if _debug and _sink is not None:
        _sink("debug", text)


def _say_once(level: str, text: str) -> None:
    if _sink is None or text in _said:
        return
    _said.add(text)
    _sink(level, text)
