"""What one check has found, what that means for the user, and who can change it."""

from __future__ import annotations

from rootless.model.value import Value

WORKS = "works"
REDUCED = "reduced"
BROKEN = "broken"
# From the best to the worst.
STATES = (WORKS, REDUCED, BROKEN)

YOU = "you"
ADMINISTRATOR = "administrator"


class Fix(Value):
    """One thing to do. whom: YOU or ADMINISTRATOR. why: what for, as a clause that a person who
    does not know rl understands. command: lines for a shell."""

    __slots__ = ("command", "whom", "why")

    def __init__(self, whom: str, why: str, command: str) -> None:
        self.whom = whom
        self.why = why
        self.command = command


class Finding(Value):
    """One line of the report. check: its name, which stays the same for scripts. state: one of
    STATES. found: what there is, in a line; meaning: what that means for the user, "" where it is
    as it should be. absent: it is not there, and all works without it."""

    __slots__ = ("absent", "check", "fix", "found", "meaning", "state")

    def __init__(
        self,
        check: str,
        state: str,
        found: str,
        meaning: str = "",
        fix: Fix | None = None,
        *,
        absent: bool = False,
    ) -> None:
        self.absent = absent
        self.check = check
        self.state = state
        self.found = found
        self.meaning = meaning
        self.fix = fix


def works(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, WORKS, found)


def unneeded(check: str, found: str) -> Finding:
    """Not there, which nobody has to mind; found: why not."""
    return Finding(check, WORKS, found, absent=True)


def open_device(path: str, module: str, container: str) -> str:
    """The command that lets users open the device `path`; container: what this runs in, if any."""
    if container:
        return outer(f"{container if container == 'podman' else 'docker'} run --device {path} …")
    return f"sudo modprobe {module}; sudo chmod 0666 {path}"


def outer(command: str) -> str:
    """How to start the container around this process: nothing that could be pasted as it is."""
    return f"# {command}"


def worst(states: list[str]) -> str:
    """The worst of `states`, WORKS without any."""
    return max(states, key=STATES.index, default=WORKS)
