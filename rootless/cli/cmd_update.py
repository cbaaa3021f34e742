"""`rl update`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature
from rootless.cli.resource_options import RESOURCE_OPTIONS
from rootless.errors import EXIT_ENGINE, UsageError


def update(parsed: Parsed) -> int:
    """Change the limits of containers; goes on after an error."""
    from rootless.cli import each, resource_flags
    from rootless.engine import recover
    from rootless.engine import update as engine_update
    from rootless.store import paths

    if not parsed.values:
        raise UsageError("rl update: no limit is given", hint="rl update --memory 512m …")
    wanted = resource_flags.requested(parsed)
    if not wanted:
        # docker's 0 is no wish; to change nothing in silence would look like a success.
        raise UsageError("rl update: 0 changes nothing", hint="rl update --pids-limit -1 …")
    places = paths.discover()
    recover.tidy(places)

    def one(text: str) -> list[str]:
        engine_update.update(places, text, wanted)
        return [text]

    return each.do_each(parsed.arguments, one)


UPDATE = Signature(
    update,
    "Change the limits of containers, of those that run at once.",
    RESOURCE_OPTIONS,
    (Argument("CONTAINER", 1, None),),
    error_code=EXIT_ENGINE,
    examples=("rl update --memory 512m --cpus 1.5 web", "rl update --pids-limit -1 web"),
)
