"""A container's settings in the words of an image's config: what flags and image come to. Pure."""

from __future__ import annotations

from rootless.model import healthcheck, image_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = Mapping[str, Any]
    Section = dict[str, Any]


def words(record: Record, image: Mapping[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """Entrypoint and command, as engine.plan_process put them together. image: its section."""
    spec = record.get("spec")
    if spec is None:
        return None, record["command"]
    wished, command = spec.get("entrypoint"), spec.get("command")
    if wished is None:
        return image.get("Entrypoint") or None, command or image.get("Cmd") or None
    return wished or None, command or None


def user(record: Record, image: Mapping[str, Any]) -> str:
    """As the flags, or else the image, wrote it."""
    spec = record.get("spec")
    if spec is None:
        return str(record.get("user", ""))
    return str(spec.get("user") or image.get("User") or "")


def section(record: Record, image: Mapping[str, Any]) -> Section:
    """The section "config" of an image that starts containers like this one, as docker commits it.

    The image's ONBUILD was for who built on that one.
    """
    spec = record.get("spec") or {}
    entrypoint, command = words(record, image)
    check = healthcheck.merged(spec.get("health") or {}, image.get("Healthcheck"))
    found = {
        **image_config.without_onbuild(dict(image)),
        "User": user(record, image),
        "Entrypoint": entrypoint,
        "Cmd": command,
        "WorkingDir": spec.get("workdir") or image.get("WorkingDir"),
        "StopSignal": spec.get("stop_signal") or image.get("StopSignal"),
        "Healthcheck": check,
        "Labels": {**(image.get("Labels") or {}), **(spec.get("labels") or {})},
        "ExposedPorts": {**(image.get("ExposedPorts") or {}), **_published(spec)},
    }
    changed = image_config.env(spec.get("env") or {})(found)
    return {key: value for key, value in changed.items() if value}


def _published(spec: Mapping[str, Any]) -> dict[str, Any]:
    rows = spec.get("ports") or ()
    return {f"{row['container_port']}/{row['protocol']}": {} for row in rows}
