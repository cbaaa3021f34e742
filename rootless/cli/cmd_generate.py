"""`rl generate systemd`: a unit that runs a container under the user's systemd."""

from __future__ import annotations

import os

from rootless.cli.options import Argument, Parsed, Signature, value
from rootless.errors import EXIT_ENGINE
from rootless.model.unitfile import RESTARTS

# What says where the store is, when it is not at its usual place.
_VARIABLES = ("RL_ROOT", "RL_RUNTIME_DIR", "RL_CONFIG", "XDG_DATA_HOME")


def generate(parsed: Parsed) -> int:
    """Print the unit of a container."""
    from rootless.cli import output
    from rootless.engine import lifecycle
    from rootless.model import unitfile
    from rootless.store import containers, paths
    from rootless.tools import spawn

    places = paths.discover()
    record = containers.read_record(places, containers.find(places, parsed.arguments[0]))
    timeout = record.get("stop_timeout")
    text = unitfile.unit(
        str(record["name"]),
        spawn.command_of_rl(),
        {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)},
        restart=parsed.text("restart-policy"),
        stop_timeout=lifecycle.DEFAULT_TIMEOUT if timeout is None else max(0, timeout),
    )
    for line in text.splitlines():
        output.write_line(line)
    return 0


SYSTEMD = Signature(
    generate,
    "Print a unit that runs a container under the user's systemd.",
    (
        value(
            "--restart-policy", "POLICY", "Restart= of it", default="on-failure", choices=RESTARTS
        ),
    ),
    (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
    examples=(
        "rl create --name web -p 8080:80 nginx",
        "rl generate systemd web > ~/.config/systemd/user/web.service",
        "systemctl --user daemon-reload; systemctl --user enable --now web",
        "loginctl enable-linger  # so that it starts with the machine, and outlives the session",
    ),
)
