"""What a copied file or directory is called and where it goes: the rules of docker-cp(1). Pure."""

from __future__ import annotations

from rootless.errors import UsageError


class Source:
    """What is copied. name: its last component, "" for the root and where only its content is
    meant (SRC ends in `/.`); is_dir: whether it is a directory."""

    __slots__ = ("is_dir", "name")

    def __init__(self, name: str, *, is_dir: bool) -> None:
        self.name = name
        self.is_dir = is_dir


class Target:
    """Where it goes. name: the last component; asserts_dir: DST ends in a slash."""

    __slots__ = ("asserts_dir", "exists", "is_dir", "name", "shown")

    def __init__(
        self, shown: str, name: str, *, exists: bool, is_dir: bool, asserts_dir: bool
    ) -> None:
        self.shown = shown
        self.name = name
        self.exists = exists
        self.is_dir = is_dir
        self.asserts_dir = asserts_dir


def new_name(source: Source, target: Target) -> str:
    """What `source` is called in the target's parent, "" to go into the target under its own name.

    Raises UsageError where the two do not go together.
    """
    if target.exists and target.is_dir:
        return ""
    if target.exists and source.is_dir:
        raise UsageError(
            f"{target.shown}: is not a directory, a directory cannot be copied onto it", exit_code=1
        )
    if target.asserts_dir and not source.is_dir:
        reason = "is not a directory" if target.exists else "no such directory"
        raise UsageError(f"{target.shown}: {reason}", exit_code=1)
    return target.name


def split_operand(text: str) -> tuple[str, str]:
    """(container, path) of `CONTAINER:PATH`; the container is "" for a path of the host and `-`.

    As docker has it, what begins with `/` or `.` is never a container's.
    """
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or "/" in container:
        return "", text
    return container, path


def trailing(path: str) -> str:
    """What the end of `path` says about it: "." or "/" or "", as docker keeps it when cleaning."""
    if path == "." or path.endswith("/."):
        return "."
    return "/" if path.endswith("/") else ""


def clean(path: str) -> str:
    """`path` below a root, without "..", empty components and slashes at either end."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
