"""What is asked of a health check: docker's document of it, by flags and by the image. Pure.

{"Test": ["CMD", WORD, …], ["CMD-SHELL", TEXT] or ["NONE"]; "Interval", "Timeout", "StartPeriod",
"StartInterval" in nanoseconds; "Retries"}, as in an image's config (moby, api/types/container,
HealthConfig). What is absent, or 0, is the image's, then the default of docker-run(1).
"""

from __future__ import annotations

from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Json = Mapping[str, Any]

NONE, COMMAND, SHELL = "NONE", "CMD", "CMD-SHELL"
TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")
RETRIES = "Retries"

_SECOND = 1_000_000_000
_DEFAULTS = {
    "Interval": 30 * _SECOND, "Timeout": 30 * _SECOND, "StartPeriod": 0,
    "StartInterval": 5 * _SECOND, RETRIES: 3,
}  # fmt: skip
_DEFAULT_SHELL = ["/bin/sh", "-c"]


class Check(Value):
    """A check with everything decided. command: its argv. Times in nanoseconds.

    retries: failures in a row that make a container unhealthy. on_failure: one of
    model.container.HEALTH_ACTIONS.
    """

    __slots__ = (
        "command", "interval", "on_failure", "retries", "start_interval", "start_period", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        *,
        command: list[str],
        interval: int,
        timeout: int,
        start_period: int,
        start_interval: int,
        retries: int,
        on_failure: str = "none",
    ) -> None:
        self.command = command
        self.interval = interval
        self.timeout = timeout
        self.start_period = start_period
        self.start_interval = start_interval
        self.retries = retries
        self.on_failure = on_failure

    def fields(self) -> dict[str, Any]:
        """What Check(**fields) was made of, for a record."""
        return {name: getattr(self, name) for name in self.__slots__}


def merged(wish: Json, image: Json | None) -> dict[str, Any]:
    """The document of `wish` (of the flags, {} for none) completed by the image's."""
    known = image if isinstance(image, dict) else {}
    keys = ("Test", *TIMES, RETRIES)
    found = {key: wish.get(key) or known.get(key) for key in keys}
    return {key: value for key, value in found.items() if value}


def resolve(document: Json, shell: list[str] | None, on_failure: str = "none") -> Check | None:
    """The check that a merged `document` asks for; None when none is to be made.

    shell: the image's, for CMD-SHELL.
    """
    kind, *words = document.get("Test") or [NONE]
    if kind == SHELL and words:
        command = [*(shell or _DEFAULT_SHELL), words[0]]
    elif kind == COMMAND and words:
        command = words
    else:
        return None
    numbers = {key: document.get(key) or default for key, default in _DEFAULTS.items()}
    return Check(
        command=command,
        interval=numbers["Interval"],
        timeout=numbers["Timeout"],
        start_period=numbers["StartPeriod"],
        start_interval=numbers["StartInterval"],
        retries=numbers[RETRIES],
        on_failure=on_failure,
    )


def of(wish: Json, on_failure: str, config: Json) -> Check | None:
    """The check of a container with the flags' `wish` and an image with `config`."""
    document = merged(wish, config.get("Healthcheck"))
    return resolve(document, config.get("Shell"), on_failure or "none")


def parse_command(text: str) -> list[str]:
    """ "Test" for --health-cmd: a JSON array of words, "none", or a line for the shell."""
    if text.startswith("["):
        import json

        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return words if words[0] in (NONE, COMMAND, SHELL) else [COMMAND, *words]
    return [NONE] if text == "none" else [SHELL, text]
