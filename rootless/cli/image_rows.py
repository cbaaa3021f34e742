"""Stored images as rows of `rl images` and as docker's documents of `rl image inspect`."""

from __future__ import annotations

from fnmatch import fnmatchcase

from rootless.cli import output
from rootless.model.filters import Filters
from rootless.model.gotemplate.values import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.image.squashfile import SquashFile
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

_NONE = "<none>"
KEYS = {
    "reference": "PATTERN", "dangling": "true|false", "label": "KEY[=VALUE]",
    "label!": "KEY[=VALUE]", "readonly": "true|false", "before": "IMAGE", "since": "IMAGE",
}  # fmt: skip
HEADS = {
    "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
    "ReadOnly": "R/O",
}  # fmt: skip


class Row:
    """One name of an image, or a dangling image. read_only: of an additional store."""

    __slots__ = (
        "created", "digest", "image_id", "labels", "name", "read_only", "repository", "size", "tag",
    )  # fmt: skip

    def __init__(self, image: StoredImage, size: int, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.name = image.name
        self.repository, self.tag = split_name(image.name)
        self.digest = image.manifest_digest
        self.image_id = image.image_id
        self.created = str(image.config.get("created") or "")
        self.size = size
        self.labels: dict[str, Any] = (image.config.get("config") or {}).get("Labels") or {}

    @property
    def created_seconds(self) -> float:
        """When the image was built, seconds since 1970, 0 when it does not say."""
        return output.parse_time(self.created) or 0.0

    def shown_id(self, *, full: bool) -> str:
        """The id as it is listed."""
        return f"sha256:{self.image_id}" if full else output.short_id(self.image_id)

    def document(self) -> dict[str, Any]:
        """The row for `--format json`."""
        return {
            "Id": self.image_id,
            "Names": [self.name] if self.name else [],
            "Repository": self.repository,
            "Tag": self.tag,
            "Digest": self.digest,
            "Created": self.created,
            "Size": self.size,
            "ReadOnly": self.read_only,
            "Labels": self.labels,
        }


def row_of(paths: Paths, image: StoredImage, *, read_only: bool = False) -> Row:
    """The row of `image`. read_only: it is of an additional store."""
    from rootless.store import images

    return Row(image, images.size(paths, image), read_only=read_only)


def split_name(name: str) -> tuple[str, str]:
    """Repository and tag of a full name; `<none>` for what it lacks."""
    if not name:
        return _NONE, _NONE
    if "@" in name:
        return name.partition("@")[0], _NONE
    repository, _, tag = name.rpartition(":")
    return repository, tag


class Shown:
    """A row as it is listed, at the time `now`. full: with the whole id."""

    __slots__ = ("full", "now", "row")

    def __init__(self, row: Row, now: float, *, full: bool) -> None:
        self.row = row
        self.now = now
        self.full = full

    def view(self) -> View:
        """For a template."""
        return View("image", self, FIELDS, {})

    def created_at(self) -> str:
        """As Go's time.String; nothing when the image does not say."""
        seconds = self.row.created_seconds
        return output.local_time(seconds) if seconds else ""


# docker's fields; what would need a count over the whole store is not told, as by docker.
FIELDS: dict[str, Callable[[Shown], Any]] = {
    "ID": lambda shown: shown.row.shown_id(full=shown.full),
    "Repository": lambda shown: shown.row.repository,
    "Tag": lambda shown: shown.row.tag,
    "Digest": lambda shown: shown.row.digest,
    "CreatedSince": lambda shown: output.age_of(shown.row.created, shown.now),
    "CreatedAt": Shown.created_at,
    "Size": lambda shown: output.human_size(shown.row.size),
    "Containers": lambda shown: "N/A",
    "SharedSize": lambda shown: "N/A",
    "UniqueSize": lambda shown: "N/A",
    "ReadOnly": lambda shown: "true" if shown.row.read_only else "false",
}


class Filter:
    """`--filter` and the argument of `rl images`. born: when an image that a word names was built.

    Raises UsageError for a filter that is none, and what `born` raises.
    """

    def __init__(
        self, words: list[str], repository: str, born: Callable[[str], float] | None = None
    ) -> None:
        self._filters = Filters(words, KEYS, "rl images")
        self._dangling = self._filters.boolean("dangling")
        self._read_only = self._filters.boolean("readonly")
        self._patterns = [*([repository] if repository else []), *self._filters.values("reference")]
        self._before = [born(word) for word in self._filters.values("before") if born]
        self._since = [born(word) for word in self._filters.values("since") if born]

    def takes(self, row: Row) -> bool:
        """Whether `row` is to be shown."""
        if self._dangling is not None and self._dangling != (not row.name):
            return False
        if self._read_only is not None and self._read_only != row.read_only:
            return False
        seconds = row.created_seconds
        return (
            self._filters.labels_fit(row.labels)
            and (not self._before or seconds < min(self._before))
            and (not self._since or seconds > max(self._since))
            and (not self._patterns or any(_matches(row, each) for each in self._patterns))
        )


def _matches(row: Row, pattern: str) -> bool:
    """`alpine`, `alpine:3*`, `quay.io/*/hello`: against the end of the name, at a slash."""
    if not row.name:
        return False
    parts = row.name.split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    return any(fnmatchcase(t, pattern) or fnmatchcase(split_name(t)[0], pattern) for t in tails)


def inspect_document(
    paths: Paths, image: StoredImage, everything: list[StoredImage]
) -> dict[str, Any]:
    """Docker's document of `image`; `everything` is searched for its other names."""
    from rootless.store import images

    alike = [other for other in everything if other.image_id == image.image_id and other.name]
    repository_digests = (f"{split_name(one.name)[0]}@{one.manifest_digest}" for one in alike)
    return {
        "Id": f"sha256:{image.image_id}",
        "Digest": image.manifest_digest,
        "RepoTags": [one.name for one in alike if "@" not in one.name],
        "RepoDigests": list(dict.fromkeys(repository_digests)),
        **_of_config(image.config),
        "Size": images.size(paths, image),
        "GraphDriver": {"Name": "overlay", "Data": _layer_paths(image.layer_diffs(paths))},
        "RootFS": {"Type": "layers", "Layers": image.diff_ids},
    }


def inspect_file(found: SquashFile) -> dict[str, Any]:
    """The same of an image file: what that says of itself, and no layers."""
    return {
        "Id": f"sha256:{found.image_id}" if found.image_id else "",
        "Digest": "",
        "RepoTags": [found.name] if found.name else [],
        "RepoDigests": [],
        **_of_config(found.config),
        "Size": found.size,
        "GraphDriver": {
            "Name": "squashfs", "Data": {"File": found.path, "Compression": found.compression},
        },
        "RootFS": {"Type": "squashfs"},
    }  # fmt: skip


def _of_config(config: dict[str, Any]) -> dict[str, Any]:
    history = config.get("history") or []
    return {
        "Parent": "",
        "Comment": _comment(history),
        "Created": config.get("created", ""),
        "Author": config.get("author", ""),
        "Architecture": config.get("architecture", ""),
        "Variant": config.get("variant", ""),
        "Os": config.get("os", ""),
        "OsVersion": config.get("os.version", ""),
        "Config": config.get("config") or {},
        "Labels": (config.get("config") or {}).get("Labels") or {},
        "History": history,
    }


def _comment(history: object) -> str:
    last = history[-1] if isinstance(history, list) and history else None
    return str(last.get("comment") or "") if isinstance(last, dict) else ""


def _layer_paths(trees: list[str]) -> dict[str, str]:
    """The image's layers (topmost first) as docker's overlay2 driver tells them."""
    lower = {"LowerDir": ":".join(trees[1:])} if trees[1:] else {}
    return {**lower, "UpperDir": trees[0]} if trees else {}
