"""`rl limits`."""

from __future__ import annotations

from rootless.cli import templates
from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import EXIT_ENGINE


def show(parsed: Parsed) -> int:
    """Print what limits one container."""
    from rootless.cli import limits_view
    from rootless.engine import limits, recover
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    report = limits.report(places, parsed.arguments[0])
    if parsed.text("format"):
        templates.write_document(limits_view.document(report), parsed.text("format"))
    else:
        limits_view.show(report)
    return 0


LIMITS = Signature(
    show,
    "Show what limits a container: what was requested, what is set for it, what holds (the smallest"
    " limit of its own group, of all groups above it and of the machine) and whose limit that is,"
    " how much is used; then how long it waited for memory and CPU, and what the kernel killed when"
    " memory ran out.",
    (templates.FORMAT,),
    (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
)
