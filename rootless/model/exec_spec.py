"""What `rl exec` is asked for."""

from __future__ import annotations

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"


class ExecSpec:
    """One command in a running container. user, workdir: "" for the container's own.

    detach_keys: as model.detach_keys reads them.
    """

    __slots__ = (
        "command", "detach", "detach_keys", "env", "interactive", "privileged", "tty", "user",
        "workdir",
    )  # fmt: skip

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str] | None = None,
        user: str = "",
        workdir: str = "",
        interactive: bool = False,
        tty: bool = False,
        detach: bool = False,
        privileged: bool = False,
        detach_keys: str = DEFAULT_DETACH_KEYS,
    ) -> None:
        self.command = command
        self.env = env or {}
        self.user = user
        self.workdir = workdir
        self.interactive = interactive
        self.tty = tty
        self.detach = detach
        self.privileged = privileged
        self.detach_keys = detach_keys
