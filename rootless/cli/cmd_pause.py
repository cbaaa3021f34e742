"""`rl pause` and `rl unpause`."""

from __future__ import annotations

from rootless.cli import choosing
from rootless.cli.options import Argument, Parsed, Signature, flag
from rootless.errors import EXIT_ENGINE

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

    everything = (lambda _: _all(places, frozen=frozen)) if parsed.flag("all") else None
    return each.do_each(choosing.chosen(parsed, verb, everything), one)


def _all(places: Paths, *, frozen: bool) -> list[str]:
    from rootless.engine import live

    return [one.id for one in live.find_all(places) if live.is_frozen(one.group) == frozen]


PAUSE = Signature(
    pause,
    "Stop all processes of containers where they are; they use no CPU until `rl unpause`.",
    (flag("-a --all", "Every container that runs"), *choosing.FLAGS),
    (Argument("CONTAINER", 0, None),),
    error_code=EXIT_ENGINE,
)

UNPAUSE = Signature(
    unpause,
    "Let paused containers go on.",
    (flag("-a --all", "Every paused container"), *choosing.FLAGS),
    (Argument("CONTAINER", 0, None),),
    error_code=EXIT_ENGINE,
)
