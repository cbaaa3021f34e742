"""What a site says in rl.toml: where stores live, shared stores, what its users may do. Pure.

docs/site.md describes the file. Several files are merged, the strongest last; `policy` is the
administrator's alone. Every mistake is an error that names the file and the key: a rule with a
spelling mistake must not be no rule.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "rl.toml"
_HINT = "see docs/site.md, or config/rl.toml of rl"


class Policy:
    """What users may do. None means: no rule.

    networks: allowed modes of --network, the first is taken for who names none. registries:
    beginnings of repositories (`quay.io/team`). bind_sources: directories whose content may be
    bound. max_memory: bytes; max_cpus: CPUs; max_containers: that run at the same time; 0 for no
    limit.
    """

    __slots__ = (
        "bind_sources", "build", "max_containers", "max_cpus", "max_memory", "networks",
        "other_places", "privileged", "registries",
    )  # fmt: skip

    def __init__(self) -> None:
        self.privileged = True
        self.build = True
        self.other_places = True
        self.networks: tuple[str, ...] | None = None
        self.registries: tuple[str, ...] | None = None
        self.bind_sources: tuple[str, ...] | None = None
        self.max_memory = 0
        self.max_cpus = 0.0
        self.max_containers = 0


class Site:
    """store, runtime: directories, "" where the site does not say. additional: image stores."""

    __slots__ = ("additional", "policy", "runtime", "store", "store_from")

    def __init__(self) -> None:
        self.store = ""
        self.store_from = ""  # the file that names the store
        self.runtime = ""
        self.additional: tuple[str, ...] = ()
        self.policy = Policy()

    def merge(
        self,
        document: Mapping[str, object],
        path: str,
        values: Mapping[str, str],
        *,
        is_system: bool,
    ) -> None:
        """Take what the file `path` says. values: of the variables in directories' names.

        is_system: it is the administrator's. Raises UsageError.
        """
        known = ("store", "runtime", "additional_image_stores", "policy")
        check_keys(document, known, path)
        if not is_system:
            _check_users(document, path, self.policy)
        if "store" in document:
            self.store, self.store_from = _folder(document["store"], values, f"{path}: store"), path
        if "runtime" in document:
            self.runtime = _folder(document["runtime"], values, f"{path}: runtime")
        if "additional_image_stores" in document:
            self.additional = _folders(document, "additional_image_stores", values, path)
        if "policy" in document:
            self.policy = _policy(document["policy"], values, f"{path}: policy")


def expand(text: str, values: Mapping[str, str], place: str) -> str:
    """`text` with `$NAME` and `${NAME}` replaced. Raises UsageError for a name not in `values`.

    place: what the message begins with.
    """
    head, *rest = text.split("$")
    result = [head]
    for piece in rest:
        name, tail = _name_and_rest(piece)
        if name not in values:
            known = ", ".join(f"${each}" for each in values)
            raise UsageError(f"{place}: ${name}: not one of {known}", hint=_HINT)
        result += [values[name], tail]
    return "".join(result)


def _name_and_rest(text: str) -> tuple[str, str]:
    if text.startswith("{") and "}" in text:
        name, _, tail = text[1:].partition("}")
        return name, tail
    length = next(
        (at for at, each in enumerate(text) if not (each.isalnum() or each == "_")), len(text)
    )
    return text[:length], text[length:]


def safe_values(user: str, uid: int, home: str, host: str) -> dict[str, str]:
    """The variables of a directory's name; one that is no part of a path is left out.

    They come from the user database and not from the environment, which anybody sets and jobs
    lack.
    """
    values = {"USER": user, "UID": str(uid), "HOST": host}
    values = {name: text for name, text in values.items() if _is_one_part(text)}
    return {**values, "HOME": home} if home.startswith("/") else values


def _is_one_part(text: str) -> bool:
    return bool(text) and text not in (".", "..") and "/" not in text and text.isprintable()


def _folder(value: object, values: Mapping[str, str], place: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{place}: not a directory's path", hint=_HINT)
    path = expand(value, values, place)
    if not path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"{place}: {path}: not an absolute path without ..", hint=_HINT)
    return path.rstrip("/") or "/"


def _folders(
    table: Mapping[str, object], key: str, values: Mapping[str, str], path: str
) -> tuple[str, ...]:
    words = texts(table, key, path)
    return tuple(_folder(word, values, f"{path}: {key}") for word in words)


def texts(table: Mapping[str, object], key: str, place: str) -> list[str]:
    """The list of texts under `key`. Raises UsageError for what is none."""
    words = table[key]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f'{place}: {key}: not a list of texts, such as ["a", "b"]', hint=_HINT)
    return words


def check_keys(table: Mapping[str, object], known: tuple[str, ...], place: str) -> None:
    """Raises UsageError for a key of `table` that is not `known`."""
    unknown = next((key for key in table if key not in known), None)
    if unknown is not None:
        raise UsageError(f"{place}: {unknown}: there is no such key", hint=_HINT)


def _check_users(document: Mapping[str, object], path: str, policy: Policy) -> None:
    """Raises UsageError for what only the administrator's file may say."""
    denied = ["policy"] if policy.other_places else ["policy", "store", "runtime"]
    for key in denied:
        if key in document:
            raise UsageError(
                f"{path}: {key}: is for the administrator's file to say",
                hint=f"remove it from {path}",
            )


def _policy(table: object, values: Mapping[str, str], place: str) -> Policy:
    if not isinstance(table, dict):
        raise UsageError(f"{place}: not a table", hint=_HINT)
    check_keys(table, Policy.__slots__, place)
    policy = Policy()
    for key in ("privileged", "build", "other_places"):
        if key in table:
            setattr(policy, key, _boolean(table[key], f"{place}: {key}"))
    if "networks" in table:
        policy.networks = _networks(table, place)
    if "registries" in table:
        policy.registries = tuple(word.rstrip("/") for word in texts(table, "registries", place))
    if "bind_sources" in table:
        policy.bind_sources = _folders(table, "bind_sources", values, place)
    _take_limits(policy, table, place)
    return policy


def _networks(table: Mapping[str, object], place: str) -> tuple[str, ...]:
    words = tuple(texts(table, "networks", place))
    known = ("slirp4netns", "pasta", "host", "none")
    wrong = next((word for word in words if word not in known), None)
    if wrong is not None or not words:
        raise UsageError(f"{place}: networks: {wrong or words}: from {', '.join(known)}")
    return words


def _take_limits(policy: Policy, table: Mapping[str, object], place: str) -> None:
    if "max_memory" in table:
        policy.max_memory = _size(table["max_memory"], f"{place}: max_memory")
    if "max_cpus" in table:
        policy.max_cpus = _number(table["max_cpus"], f"{place}: max_cpus")
    if "max_containers" in table:
        policy.max_containers = int(_number(table["max_containers"], f"{place}: max_containers"))


def _boolean(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{place}: neither true nor false")
    return value


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise UsageError(f"{place}: {value!r}: not a number above 0")
    return value


def _size(value: object, place: str) -> int:
    from rootless.model.units import parse_size

    try:
        return parse_size(str(value))
    except UsageError as error:
        raise UsageError(f"{place}: {error.message}") from None
