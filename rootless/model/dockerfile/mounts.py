"""`RUN --mount=type=…,…`: what is there while the command runs, and not in its layer. Pure.

docs.docker.com/reference/dockerfile, "RUN --mount".
"""

from __future__ import annotations

import csv

from rootless.errors import UsageError
from rootless.model import units
from rootless.model.dockerfile.place import did_you_mean
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.model.dockerfile.place import Place

BIND, CACHE, TMPFS, SECRET, SSH = "bind", "cache", "tmpfs", "secret", "ssh"
_ACCESS = {"rw", "readwrite", "ro", "readonly"}
_TARGET = {"target", "dst", "destination"}
_OWNED = {"mode", "uid", "gid"}
_KEYS = {
    BIND: _TARGET | _ACCESS | {"source", "src", "from"},
    CACHE: _TARGET | _ACCESS | _OWNED | {"id", "source", "src", "from", "sharing"},
    TMPFS: _TARGET | {"size"},
    SECRET: _TARGET | _OWNED | {"id", "required", "env"},
    SSH: _TARGET | _OWNED | {"id", "required"},
}
_SAME = {
    "dst": "target", "destination": "target", "src": "source", "readwrite": "rw", "readonly": "ro"
}  # fmt: skip
_SHARING = ("shared", "private", "locked")
_EXPANDED = ("target", "source", "id", "size", "env")


class RunMount(Value):
    """kind: one of the above; options: as given, the names the long ones; `rw` says whether the
    command may write there."""

    __slots__ = ("kind", "options", "rw")

    def __init__(self, kind: str, options: dict[str, str], *, rw: bool) -> None:
        self.kind = kind
        self.options = options
        self.rw = rw

    def get(self, name: str) -> str:
        """The option `name`, "" without it."""
        return self.options.get(name, "")

    @property
    def required(self) -> bool:
        """Whether a secret or an agent has to be there."""
        return self.options.get("required", "false") == "true"

    def number(self, name: str, default: int) -> int:
        """uid and gid are decimal, mode octal; `read` has looked."""
        return int(self.options.get(name, "") or str(default), 8 if name == "mode" else 10)


def parse(text: str, place: Place) -> RunMount:
    """Raises DockerfileError. Variables are still in it: check with `check` after `expanded`."""
    options: dict[str, str] = {}
    access = ""
    for word in next(csv.reader([text]), []):
        name, equals, value = word.partition("=")
        name = _SAME.get(name.lower(), name.lower())
        if name in ("rw", "ro") or (name == "required" and not equals):
            value = value or "true"
            if value not in ("true", "false"):
                raise place.error(f"--mount: {word}: true or false was expected")
        elif not equals:
            raise place.error(f"--mount: {word}: NAME=VALUE was expected")
        if name in ("rw", "ro"):
            access = "rw" if (name == "rw") == (value == "true") else "ro"
            name = access
        options[name] = value
    kind = options.pop("type", BIND)
    _check_names(kind, options, place)
    options.pop("rw", None)
    options.pop("ro", None)
    return RunMount(kind, options, rw=access == "rw" or (kind in (CACHE, TMPFS) and access == ""))


def _check_names(kind: str, options: dict[str, str], place: Place) -> None:
    if kind not in _KEYS:
        raise place.error(f"--mount: unknown type {kind}", did_you_mean(kind, _KEYS))
    for name in options:
        if name not in _KEYS[kind]:
            known = {_SAME.get(one, one) for one in _KEYS[kind]}
            raise place.error(f"--mount: type={kind} knows no {name}", did_you_mean(name, known))
    if kind in (BIND, CACHE, TMPFS) and not options.get("target"):
        raise place.error(f"--mount: type={kind} needs target=PATH")
    if "$" in options.get("from", ""):
        raise place.error(
            "--mount: variables are not possible in from=", "FROM … AS NAME and from=NAME"
        )
    if options.get("sharing", "shared") not in _SHARING:
        hint = did_you_mean(options["sharing"], _SHARING)
        raise place.error(f"--mount: unknown sharing={options['sharing']}", hint)
    if options.get("required", "true") not in ("true", "false"):
        raise place.error(f"--mount: required={options['required']}: true or false was expected")


def expanded(mount: RunMount, expand: Callable[[str], str], place: Place) -> RunMount:
    """With variables replaced. Raises DockerfileError where a number is none."""
    options = {
        name: expand(value) if name in _EXPANDED or name in _OWNED else value
        for name, value in mount.options.items()
    }
    for name in _OWNED & options.keys():
        base = 8 if name == "mode" else 10
        if not _is_number(options[name], base):
            raise place.error(f"--mount: {name}={options[name]} is no number")
    if "size" in options:
        try:
            options["size"] = str(units.parse_size(options["size"]))
        except UsageError:
            raise place.error(
                f"--mount: size={options['size']} is no size", "as in size=64m"
            ) from None
    return RunMount(mount.kind, options, rw=mount.rw)


def _is_number(text: str, base: int) -> bool:
    digits = "01234567" if base == 8 else "0123456789"
    return bool(text) and all(character in digits for character in text)
