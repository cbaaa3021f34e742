"""What becomes of a container's output: the log drivers and their options.

docker-run(1) and podman-run(1), "--log-driver" and "--log-opt".
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON_FILE, JOURNALD, NONE = "json-file", "journald", "none"
# Other engines' names for files that the engine itself looks after.
_ALIASES = {"k8s-file": JSON_FILE, "local": JSON_FILE}
_ATTRIBUTES = ("tag", "labels", "labels-regex", "env", "env-regex")
_OPTIONS = {
    JSON_FILE: ("max-size", "max-file", *_ATTRIBUTES), JOURNALD: _ATTRIBUTES, NONE: (),
}  # fmt: skip
_MOST_FILES = 100
# docker, "Customize log driver output"; what follows from the record of a container.
_TAG_FIELDS = ("ID", "FullID", "Name", "ImageName", "ImageID", "ImageFullID")
_SHORT = 12


def parse_driver(word: str, place: str) -> str:
    """The driver that `word` means. Raises UsageError that begins with `place`."""
    driver = _ALIASES.get(word, word)
    if driver not in _OPTIONS:
        raise UsageError(f"{place}: not one of {', '.join([*_OPTIONS, *_ALIASES])}")
    return driver


def check_options(driver: str, options: Mapping[str, str], flag: str) -> None:
    """Raises UsageError for an option that `driver` does not have, or cannot read."""
    for name, text in options.items():
        place = f"{flag} {name}={text}"
        if name not in _OPTIONS[driver]:
            known = ", ".join(_OPTIONS[driver]) or "no options"
            raise UsageError(f"{place}: the log driver {driver} takes {known}")
        try:
            _CHECKS[name](text)
        except UsageError as error:
            raise UsageError(f"{place}: {error.message}") from None


def limits(options: Mapping[str, str], size: int, files: int) -> tuple[int, int]:
    """(bytes of a file, files) that checked `options` ask for; the given ones by default."""
    if "max-size" in options:
        size = _max_size(options["max-size"])
    return size, _max_file(options.get("max-file", str(files)))


def _max_size(text: str) -> int:
    """In bytes; -1 for no limit."""
    if text == "-1":
        return -1
    from rootless.model.units import parse_size

    size = parse_size(text)
    if not size:
        raise UsageError("nothing would be left; -1 is for no limit")
    return size


def _max_file(text: str) -> int:
    count = number(text, 1, _MOST_FILES)
    if count is None:
        raise UsageError(f"not a number from 1 to {_MOST_FILES}")
    return count


def _check_tag(text: str) -> None:
    rest = text
    for name in _TAG_FIELDS:
        rest = rest.replace("{{." + name + "}}", "")
    if "{{" in rest or not text.isprintable():
        known = ", ".join("{{." + name + "}}" for name in _TAG_FIELDS)
        raise UsageError(f"fields of a tag are {known}")


def _check_pattern(text: str) -> None:
    import re

    try:
        re.compile(text)
    except re.error as error:
        raise UsageError(f"not a regular expression: {error}") from None


def _check_nothing(text: str) -> None:
    """Names, with commas: any will do."""


_CHECKS: dict[str, Callable[[str], object]] = {
    "max-size": _max_size,
    "max-file": _max_file,
    "tag": _check_tag,
    "labels": _check_nothing,
    "env": _check_nothing,
    "labels-regex": _check_pattern,
    "env-regex": _check_pattern,
}


def fill_tag(tag: str, container_id: str, name: str, image: str, image_id: str) -> str:
    """A checked `tag` for one container; the beginning of its id where there is none."""
    digest = image_id.rpartition(":")[2]
    values = (container_id[:_SHORT], container_id, name, image, digest[:_SHORT], image_id)
    for field, value in zip(_TAG_FIELDS, values, strict=True):
        tag = tag.replace("{{." + field + "}}", value)
    return tag or container_id[:_SHORT]
