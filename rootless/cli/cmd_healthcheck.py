"""`rl healthcheck run`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import EXIT_ENGINE


def run(parsed: Parsed) -> int:
    """Check a container's health now: 0 when it is well, 1 when not."""
    from rootless.runtime import selfcopy

    selfcopy.run_from_copy()
    from rootless.engine import health_probe, healthcheck
    from rootless.store import paths

    if health_probe.run(paths.discover(), parsed.arguments[0]):
        return healthcheck.HEALTHY
    from rootless.cli import output

    output.write_line("unhealthy")
    return healthcheck.UNHEALTHY


RUN = Signature(
    run,
    "Check a container's health now: 0 when it is well, 1 when not.",
    (),
    (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
    examples=("rl healthcheck run web || rl restart web",),
)
