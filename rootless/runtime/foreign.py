"""Init's last step where another OCI runtime does the rest: that program takes its place."""

from __future__ import annotations

import os

from rootless.kernel import libc, signals
from rootless.runtime import payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.kernel.channel import Channel
    from rootless.runtime.messages import Request
    from rootless.runtime.stdio import Stdio


def start(request: Request, setup: Channel, stdio: Stdio) -> NoReturn:
    """Become `runtime run`; the channel's end tells that it runs. Reports failures."""
    program, bundle, state, name = request["foreign"]
    os.setsid()
    stdio.install(interactive=request["interactive"])
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    os.chdir(bundle)
    # Our control group is the container's already, and we need the program for nothing else of it.
    args = [program, "--root", state, "--cgroup-manager=disabled", "run", "--bundle", bundle, name]
    if os.path.basename(program) == "runc":
        args.remove("--cgroup-manager=disabled")
    env = [f"PATH={os.environ.get('PATH', os.defpath)}", f"XDG_RUNTIME_DIR={state}"]
    payload.execute(program, {"args": args, "env": env}, setup)
