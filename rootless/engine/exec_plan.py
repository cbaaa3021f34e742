"""The OCI `process` of a command in a running container. Pure."""

from __future__ import annotations

from rootless.model import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.exec_spec import ExecSpec

# Of the container's own process, what every other one in it gets as well.
_INHERITED = ("noNewPrivileges", "rlimits", "oomScoreAdj", "apparmorProfile")


def process_of(
    spec: ExecSpec, config: dict[str, Any], size: tuple[int, int] | None
) -> dict[str, Any]:
    """The process that `spec` asks for in the container with the OCI document `config`.

    size: rows and columns of the user's terminal. With spec.user it is the container's own user
    still: who that is stands in the container's files.
    """
    own = config["process"]
    process = {key: own[key] for key in _INHERITED if key in own}
    process |= {
        "terminal": spec.tty,
        "user": dict(own["user"]),
        "args": spec.command,
        "env": _environment(spec, own["env"]),
        "cwd": spec.workdir or own["cwd"],
        "capabilities": own.get("capabilities", {}),
    }
    if spec.privileged:
        _lift(process)
    if spec.tty and size:
        process["consoleSize"] = {"height": size[0], "width": size[1]}
    return process


def _lift(process: dict[str, Any]) -> None:
    """--privileged, as docker-exec(1) has it: every capability for root, none for others."""
    everything = capabilities.resolve([], [], privileged=True)
    is_root = process["user"]["uid"] == 0
    process["capabilities"] = capabilities.process_capabilities(everything, is_root=is_root)
    process["noNewPrivileges"] = False
    process.pop("apparmorProfile", None)


def _environment(spec: ExecSpec, own: list[str]) -> list[str]:
    env = dict(entry.split("=", 1) for entry in own)
    if spec.tty:
        env.setdefault("TERM", "xterm")
    env.update(spec.env)
    return [f"{name}={value}" for name, value in env.items()]


def mapped(mappings: list[dict[str, int]]) -> list[tuple[int, int]]:
    """The ids of a container as (first, how many), from linux.uidMappings or gidMappings."""
    return [(row["containerID"], row["size"]) for row in mappings]
