"""The options that stand before the command."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE


def _nothing(parsed: Parsed) -> int:
    raise AssertionError("`rl` itself is dispatched by cli.main")


MAIN = Signature(
    _nothing,
    "Run containers without root and without a daemon.",
    (
        flag("--debug", "Show every change to the host before it is made, and tracebacks"),
        value("--root", "DIR", "Where images, layers and volumes are kept (RL_ROOT)"),
        value("--runtime-dir", "DIR", "Where running containers are kept (RL_RUNTIME_DIR)"),
        flag("-v --version", "Show the version"),
    ),
    (Argument("COMMAND"), Argument("ARG", 0, None)),
    intermixed=False,
    error_code=EXIT_ENGINE,
)
