"""`rl rm`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature, flag
from rootless.errors import EXIT_ENGINE, RlError


def remove(parsed: Parsed) -> int:
    """Remove containers; goes on after an error, and ends with the first one's exit code."""
    from rootless.cli import removal
    from rootless.engine import recover
    from rootless.engine import remove as engine_remove
    from rootless.store import containers, paths

    places = paths.discover()
    recover.tidy(places)
    words = list(parsed.arguments)
    if parsed.flag("all"):
        words = containers.all_ids(places)
    elif not words:
        raise RlError("rl rm: name a container, or give --all", "rl ps --all", EXIT_ENGINE)
    force = parsed.flag("force")

    def one(text: str) -> list[str]:
        engine_remove.remove(places, text, force=force, with_volumes=parsed.flag("volumes"))
        return [text]

    # One of --all may have gone by itself since we looked.
    return removal.remove_each(words, one, gone_is_well=force or parsed.flag("all"))


RM = Signature(
    remove,
    "Remove containers with their files.",
    (
        flag("-f --force", "Also those that run; one that does not exist is no error"),
        flag("-a --all", "Every container"),
        flag("-v --volumes", "Their anonymous volumes as well"),
    ),
    (Argument("CONTAINER", 0, None),),
)
