"""`rl rm`."""

from __future__ import annotations

from rootless.cli import choosing
from rootless.cli.options import Argument, Parsed, Signature, flag


def remove(parsed: Parsed) -> int:
    """Remove containers; goes on after an error, and ends with the first one's exit code."""
    from rootless.cli import removal
    from rootless.engine import recover
    from rootless.engine import remove as engine_remove
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    force = parsed.flag("force")
    everything = choosing.all_there_are if parsed.flag("all") else None
    gone_is_well = force or parsed.flag("ignore") or parsed.flag("all")
    words = choosing.chosen(parsed, "rm", everything, gone_is_well=gone_is_well)

    def one(text: str) -> list[str]:
        engine_remove.remove(places, text, force=force, with_volumes=parsed.flag("volumes"))
        return [text]

    # One of --all may have gone by itself since we looked.
    return removal.remove_each(words, one, gone_is_well=gone_is_well)


RM = Signature(
    remove,
    "Remove containers with their files.",
    (
        flag("-f --force", "Also those that run; one that does not exist is no error"),
        flag("-a --all", "Every container"),
        flag("-v --volumes", "Their anonymous volumes as well"),
        flag("-i --ignore", "One that does not exist is no error"),
        choosing.FILTER_ALONE,
        choosing.CIDFILE,
        choosing.LATEST,
    ),
    (Argument("CONTAINER", 0, None),),
)
