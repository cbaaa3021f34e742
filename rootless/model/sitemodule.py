"""A site module: what a container needs of this host for one purpose, such as MPI or a GPU. Pure.

One TOML file, `modules/NAME.toml`; docs/site.md describes the keys.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.site import check_keys, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = (
    "description", "when", "conflicts", "env", "pass_env", "binds", "devices", "namespaces",
    "userns", "keep_groups",
)  # fmt: skip
NAMESPACES = ("ipc", "pid", "uts", "network")


class SiteModule:
    """when: `env` and `path`, of which a variable and a path (a glob) must exist.

    env: name → value; pass_env: globs of the host's variables. binds: `SOURCE[:TARGET[:OPTIONS]]`;
    devices: globs. namespaces: those of the host; userns: a mode. is_system: of /etc/rl.
    """

    __slots__ = (
        "binds", "conflicts", "description", "devices", "env", "is_system", "keep_groups", "name",
        "namespaces", "pass_env", "path", "userns", "when",
    )  # fmt: skip

    def __init__(
        self, name: str, path: str, document: Mapping[str, object], *, is_system: bool
    ) -> None:
        """Raises UsageError that names the file and the key."""
        check_keys(document, _KEYS, path)
        self.name = name
        self.path = path
        self.is_system = is_system
        self.description = _text(document, "description", path)
        self.userns = _text(document, "userns", path)
        self.when = text_table(document, "when", path)
        check_keys(self.when, ("env", "path"), f"{path}: when")
        self.env = text_table(document, "env", path)
        self.conflicts = _texts(document, "conflicts", path)
        self.pass_env = _texts(document, "pass_env", path)
        self.binds = _texts(document, "binds", path)
        self.devices = _texts(document, "devices", path)
        self.namespaces = _texts(document, "namespaces", path)
        wrong = next((kind for kind in self.namespaces if kind not in NAMESPACES), None)
        if wrong is not None:
            raise UsageError(f"{path}: namespaces: {wrong}: from {', '.join(NAMESPACES)}")
        self.keep_groups = document.get("keep_groups", False) is True
        if not isinstance(document.get("keep_groups", False), bool):
            raise UsageError(f"{path}: keep_groups: neither true nor false")


def _text(document: Mapping[str, object], key: str, path: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{path}: {key}: not a text")
    return value


def _texts(document: Mapping[str, object], key: str, path: str) -> list[str]:
    return texts(document, key, path) if key in document else []


def text_table(document: Mapping[str, object], key: str, path: str) -> dict[str, str]:
    """The table of texts under `key`, empty without one. Raises UsageError."""
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {key}: not a table")
    wrong = next((name for name, value in table.items() if not isinstance(value, str)), None)
    if wrong is not None:
        raise UsageError(f"{path}: {key}: {wrong}: not a text")
    return table
