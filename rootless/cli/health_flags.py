"""--health-* → fields of the ContainerSpec (docker-run(1), podman-run(1))."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model import healthcheck, moment
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed

_TIMES = {
    "health-interval": "Interval", "health-timeout": "Timeout",
    "health-start-period": "StartPeriod", "health-start-interval": "StartInterval",
}  # fmt: skip
# moby, daemon/container.go.
_SHORTEST = 1_000_000
_MOST_RETRIES = 10**9


def health_fields(parsed: Parsed) -> dict[str, Any]:
    """`health` and `health_on_failure` of the ContainerSpec. Raises UsageError."""
    if parsed.flag("no-healthcheck"):
        return {"health": _none(parsed)}
    document: dict[str, Any] = {}
    command = parsed.text("health-cmd")
    if command:
        document["Test"] = healthcheck.parse_command(command)
    for key, name in _TIMES.items():
        if parsed.optional(key) is not None:
            document[name] = _time(key, parsed.text(key))
    if parsed.optional("health-retries") is not None:
        document[healthcheck.RETRIES] = _retries(parsed.text("health-retries"))
    action = parsed.text("health-on-failure")
    return {"health": document, "health_on_failure": "" if action == "none" else action}


def _none(parsed: Parsed) -> dict[str, Any]:
    other = next((name for name in parsed.values if name.startswith("health-")), None)
    if other is not None:
        raise UsageError(f"--no-healthcheck and --{other} exclude each other")
    return {"Test": [healthcheck.NONE]}


def _time(key: str, text: str) -> int:
    span = moment.parse_duration(text)
    if span is None or span < 0 or 0 < span < _SHORTEST or span >= 2**63:
        raise UsageError(f"--{key} {text}: not a time of 1ms or more", hint=f"--{key} 1m30s")
    return span


def _retries(text: str) -> int:
    count = number(text, 0, _MOST_RETRIES)
    if count is None:
        raise UsageError(f"--health-retries {text}: not a number of failures")
    return count
