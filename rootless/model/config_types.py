"""Whether the parts of an image configuration that we use have the right types. Pure.

Format: image-spec, config.md. A document comes from a registry, an archive or a file of anybody's.
"""

from __future__ import annotations

from rootless.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


def check(document: Json, what: str) -> None:
    """Raises ImageError; `what` names the document's owner in it."""
    for key in ("architecture", "os", "variant", "created", "author"):
        _expect(document, key, str, what)
    _expect(document, "config", dict, what)
    _expect(document, "history", list, what)
    section = document.get("config") or {}
    for key in ("User", "WorkingDir", "StopSignal"):
        _expect(section, key, str, what)
    for key in ("Env", "Entrypoint", "Cmd", "OnBuild", "Shell"):
        _expect_strings(section, key, what)
    for key in ("Volumes", "Labels", "ExposedPorts", "Healthcheck"):
        _expect(section, key, dict, what)
    if section.get("Healthcheck"):
        _expect_healthcheck(section["Healthcheck"], what)


def _expect_healthcheck(check: Json, what: str) -> None:
    from rootless.model import healthcheck

    _expect_strings(check, "Test", f"{what}: Healthcheck")
    for key in (*healthcheck.TIMES, healthcheck.RETRIES):
        value = check.get(key)
        if value is not None and (type(value) is not int or not 0 <= value < 2**63):
            raise ImageError(f"{what}: Healthcheck: {key} must be a number, not {shown(value)}")


def _expect(document: Json, key: str, kind: type, what: str) -> None:
    value = document.get(key)
    if value is not None and not isinstance(value, kind):
        raise ImageError(f"{what}: {key} must be a {kind.__name__}, not {type(value).__name__}")


def _expect_strings(document: Json, key: str, what: str) -> None:
    value = document.get(key)
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ImageError(f"{what}: {key} must be a list of strings")


def shown(value: object) -> str:
    """`value` for a message."""
    # Hostile text must not reach a terminal as it is, nor fill it.
    return "".join(c if c.isprintable() else "?" for c in str(value)[:100])
