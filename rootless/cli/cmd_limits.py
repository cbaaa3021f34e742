"""`rl limits`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, value
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
        output.write_json(limits_view.document(report))
    else:
        limits_view.show(report)
    return 0


LIMITS = Signature(
    show,
    "Show what limits a container: what was requested, what is set for it, what holds (the smallest"
    " limit of its own group, of all groups above it and of the machine) and whose limit that is,"
    " how much is used; then how long it waited for memory and CPU, and what the kernel killed when"
    " memory ran out.",
    (value("--format", "FORMAT", "json for a document", choices=("json",)),),
    (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
)
