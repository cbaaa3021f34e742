"""`rl pause` and `rl unpause`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature, flag
from rootless.errors import EXIT_ENGINE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.live import Live
    from rootless.store.paths import Paths


def pause(parsed: Parsed) -> int:
    """Pause containers; goes on after an error."""
    from rootless.engine import pause as engine_pause

    return _each(parsed, "pause", engine_pause.pause, frozen=False)


def unpause(parsed: Parsed) -> int:
    """Let paused containers go on; goes on after an error."""
    from rootless.engine import pause as engine_pause

    return _each(parsed, "unpause", engine_pause.unpause, frozen=True)


def _each(parsed: Parsed, verb: str, act: Callable[[Live], None], *, frozen: bool) -> int:
    """frozen: which containers --all stands for."""
    from rootless.cli import each
    from rootless.engine import live, recover
    from rootless.store import events, paths

    places = paths.discover()
    recover.tidy(places)

    def one(text: str) -> list[str]:
        found = live.find(places, text)
        act(found)
        events.of_container(places, verb, recover.record_or_nothing(places, found.id))
        return [text]

    return each.do_each(_words(parsed, verb, places, frozen=frozen), one)


def _words(parsed: Parsed, verb: str, places: Paths, *, frozen: bool) -> list[str]:
    from rootless.engine import live

    if parsed.flag("all"):
        running = live.find_all(places)
        return [found.id for found in running if live.is_frozen(found.group) == frozen]
    if not parsed.arguments:
        raise RlError(f"rl {verb}: name a container, or give --all", "rl ps", EXIT_ENGINE)
    return list(parsed.arguments)


PAUSE = Signature(
    pause,
    "Stop all processes of containers where they are; they use no CPU until `rl unpause`.",
    (flag("-a --all", "Every container that runs"),),
    (Argument("CONTAINER", 0, None),),
    error_code=EXIT_ENGINE,
)

UNPAUSE = Signature(
    unpause,
    "Let paused containers go on.",
    (flag("-a --all", "Every paused container"),),
    (Argument("CONTAINER", 0, None),),
    error_code=EXIT_ENGINE,
)
