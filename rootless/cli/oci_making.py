"""`rl oci create`, `run`, `start`."""

from __future__ import annotations

import os

from rootless.cli import oci_options
from rootless.cli.cmd_oci import manager_of, number_of, root_of
from rootless.oci.create import create
from rootless.oci.planning import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.options import Parsed


def _options(parsed: Parsed, *, waits: bool) -> Options:
    options = Options(os.path.abspath(parsed.text("bundle")), waits=waits)
    options.config = parsed.text("config")
    options.manager = manager_of(parsed)
    options.console_socket = _absolute(parsed.text("console-socket"))
    options.pid_file = _absolute(parsed.text("pid-file"))
    options.pidfd_socket = _absolute(parsed.text("pidfd-socket"))
    options.preserved = number_of(parsed, "preserve-fds")
    options.new_keyring = not parsed.flag("no-new-keyring")
    options.no_pivot = parsed.flag("no-pivot")
    return options


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""


def _create(parsed: Parsed) -> int:
    create(root_of(parsed), parsed.arguments[0], _options(parsed, waits=True))
    return 0


def _run(parsed: Parsed) -> int:
    from rootless.oci import run

    options = _options(parsed, waits=False)
    options.detached = parsed.flag("detach")
    return run.run(root_of(parsed), parsed.arguments[0], options)


def _start(parsed: Parsed) -> int:
    from rootless.oci import lifecycle

    lifecycle.start(lifecycle.find(root_of(parsed), parsed.arguments[0]))
    return 0


SIGNATURES = {
    "create": oci_options.create(_create),
    "run": oci_options.run(_run),
    "start": oci_options.simple(_start, "Let a container that was made run."),
}
