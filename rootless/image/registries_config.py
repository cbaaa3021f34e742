"""Reading registries.toml: /etc/rl, then the user's, then $RL_CONFIG; later ones win.

On the start path: without a file that says anything, no TOML reader is imported.
"""

from __future__ import annotations

import os
import sys

from rootless import config
from rootless.errors import UsageError, describe_os_error
from rootless.model.registries import Registries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.reference import Reference

_NAME = "registries.toml"


def load() -> Registries:
    """The merged configuration. Raises UsageError that names the file and the key or line."""
    registries = Registries()
    for path in config.user_files(_NAME):
        content = _read(path)
        if content:
            registries.merge(_parse(content, path), path)
    return registries


def candidates(reference: Reference) -> list[Reference]:
    """The qualified references that `reference` stands for, in the order to ask for them."""
    return [reference] if not reference.is_short else load().candidates(reference)


def local_candidates(reference: Reference) -> list[Reference]:
    """The names under which the store may hold what `reference` means, best first."""
    return [reference] if not reference.is_short else load().local_candidates(reference)


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""
    except OSError as error:
        raise UsageError(describe_os_error(error)) from error
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read()


def _parse(content: str, path: str) -> dict[str, object]:
    # A file of comments alone, as the shipped one is, must not cost the import below.
    if all(not line.strip() or line.lstrip().startswith("#") for line in content.splitlines()):
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, object] = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    return document
