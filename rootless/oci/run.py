"""`run`: create and start in one, and stay with the container unless told not to."""

from __future__ import annotations

import os

from rootless.oci import create, notifying
from rootless.tools.spawn import exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.create import Made
    from rootless.oci.planning import Options


def run(root: str, container_id: str, options: Options) -> int:
    """The exit code of the container's program, 0 where it is not waited for. Raises RlError."""
    made = create.create(root, container_id, options)
    # Imported meanwhile, while the container was on its way.
    from rootless.oci import lifecycle

    record = made.job.record
    try:
        made.wait_for_exec()
        lifecycle.after_start(record)
        if options.detached:
            _wait_until_ready(made)
            return 0
        status = _follow(made)
    except BaseException:
        lifecycle.delete(record, force=True)
        raise
    if not record.status["own_pids"]:
        from rootless.runtime import orphans

        # What the first process has left came to us: no pid namespace ends it.
        orphans.end()
    lifecycle.delete(record, force=True)
    return exit_code_of(status)


def _wait_until_ready(made: Made) -> None:
    if made.listener < 0:
        return
    pidfd = os.pidfd_open(made.pid)
    notifying.wait_until_ready(made.listener, pidfd, made.pid)


def _follow(made: Made) -> int:
    from rootless.oci.foreground import Foreground

    listener = made.listener
    others = {listener: lambda: _pass_on(made)} if listener >= 0 else {}
    return Foreground(made.pid, made.terminal, others).wait()


def _pass_on(made: Made) -> None:
    notifying.pass_on(made.listener, made.pid)
