"""A systemd unit that runs a container (systemd.service(5)). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What Restart= takes (systemd.service(5)).
RESTARTS = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
# What the stop of a service may take beyond the container's own time, in seconds.
_MARGIN = 20


def unit(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    restart: str,
    stop_timeout: int,
) -> str:
    """The unit for the container `name`: it is started when the user's systemd is.

    command: how rl is called, up to its own words. environment: variables that it needs. restart:
    one of RESTARTS. stop_timeout: seconds that the container has for its end.

    `rl start --attach` stays as the service's process, so that systemd knows the exit code and the
    journal has the output; the container itself is in a scope of its own.
    """
    variables = [f"Environment={_quoted(f'{key}={value}')}" for key, value in environment.items()]
    return "\n".join(
        [
            "# Made by rl generate systemd.",
            "[Unit]",
            f"Description=Container {_escaped(name)}",
            "",
            "[Service]",
            "Type=exec",
            *variables,
            f"ExecStart={_line([*command, 'start', '--attach', name])}",
            f"ExecStop={_line([*command, 'stop', '--ignore', name])}",
            f"Restart={restart}",
            f"TimeoutStopSec={stop_timeout + _MARGIN}",
            # The supervisor and its helpers are moved into the scope while they come up.
            "KillMode=mixed",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def _line(words: Sequence[str]) -> str:
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """One word of a command line (systemd.service(5), "Command Lines")."""
    if word and all(each.isalnum() or each in "/._-=:+@," for each in word):
        return word
    text = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return '"' + text.replace("\n", "\\n") + '"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
