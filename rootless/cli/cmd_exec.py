"""`rl exec`: flags → ExecSpec, and one call down."""

from __future__ import annotations

from rootless.cli import process_flags
from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE
from rootless.model.exec_spec import DEFAULT_DETACH_KEYS, ExecSpec


def exec_(parsed: Parsed) -> int:
    """Run a command in a running container; the exit code is the command's."""
    import gc

    from rootless.runtime import selfcopy

    selfcopy.run_from_copy()
    from rootless.engine import exec as engine_exec
    from rootless.store import paths

    # It makes no cycles worth a search, and each touches the pages that its forks share.
    gc.disable()
    spec = ExecSpec(
        parsed.arguments[1:],
        env=process_flags.environment(parsed),
        user=parsed.text("user"),
        workdir=process_flags.workdir(parsed),
        interactive=parsed.flag("interactive") and not parsed.flag("detach"),
        tty=parsed.flag("tty"),
        detach=parsed.flag("detach"),
        privileged=parsed.flag("privileged"),
        detach_keys=parsed.text("detach-keys"),
    )
    return engine_exec.run(paths.discover(), parsed.arguments[0], spec)


EXEC = Signature(
    exec_,
    "Run a command in a running container.",
    (
        flag("-i --interactive", "Keep standard input open"),
        flag("-t --tty", "Give the process a terminal"),
        flag("-d --detach", "Do not wait for its end"),
        repeat(
            "-e --env", "NAME[=VALUE]", "Set a variable, or pass the host's on; PRE* passes all"
        ),
        repeat("--env-file", "FILE", "Read variables from a file, one NAME=VALUE a line"),
        value("-u --user", "USER[:GROUP]", "Names or ids to run as (default the container's)"),
        value("-w --workdir", "DIR", "Working directory (default the container's)"),
        flag("--privileged", "All capabilities inside the user namespace, no seccomp filter"),
        value("--detach-keys", "KEYS", "Keys that leave a terminal", default=DEFAULT_DETACH_KEYS),
        flag("--debug", "Show every change to the host before it is made"),
    ),
    (Argument("CONTAINER"), Argument("COMMAND"), Argument("ARG", 0, None)),
    intermixed=False,
    error_code=EXIT_ENGINE,
    examples=(
        "rl exec -it web sh",
        "rl exec -u postgres db pg_dump app",
        "rl exec -d web touch /tmp/started",
    ),
)
