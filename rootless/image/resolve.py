"""Which stored image a name means. On the start path.

A name is looked for under each full name it may stand for (`localhost/NAME` first, then aliases
and search registries), then as an image id: the first digits of the configuration's digest.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.image import registries_config
from rootless.model import reference as references
from rootless.store import blobs, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.platform import Platform
    from rootless.model.reference import Reference
    from rootless.store.paths import Paths

_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 3


class LocalImage:
    """An image of the store: its full name ("" for a nameless one) and manifest descriptor."""

    __slots__ = ("descriptor", "name")

    def __init__(self, name: str, descriptor: dict[str, Any]) -> None:
        self.name = name
        self.descriptor = descriptor

    @property
    def manifest_digest(self) -> str:
        """The digest of the manifest."""
        return str(self.descriptor["digest"])


def find_local(paths: Paths, text: str, platform: Platform | None = None) -> LocalImage | None:
    """The stored image that `text` (a name or an id) means, for `platform` when one is asked for.

    Raises UsageError when `text` is neither, StoreError when the store is damaged.
    """
    entries = index.entries(paths)
    try:
        found = _by_reference(entries, _reference_of(text))
    except UsageError:
        if not _is_id(text):
            raise
        found = None
    if found is None and _is_id(text):
        found = _by_id(paths, entries, text)
    return found if found is None or _fits(found, platform) else None


def _reference_of(text: str) -> Reference:
    source = references.parse_source(text)
    if isinstance(source, references.OciPath):
        raise UsageError(f"{text}: a directory, not the name of a stored image",
                         hint=f"rl pull {text}")  # fmt: skip
    return source


def _by_reference(entries: list[dict[str, Any]], reference: Reference) -> LocalImage | None:
    by_name = {index.name_of(entry): entry for entry in entries}
    for candidate in registries_config.local_candidates(reference):
        if candidate.name in by_name:
            return LocalImage(candidate.name, by_name[candidate.name])
        if candidate.digest:
            found = _by_digest(by_name, candidate)
            if found:
                return found
    return None


def _by_digest(by_name: dict[str, dict[str, Any]], wanted: Reference) -> LocalImage | None:
    """An image that was pulled by tag is also there under its manifest's digest."""
    for name, entry in by_name.items():
        if entry.get("digest") == wanted.digest and name.startswith(
            (f"{wanted.repository}:", f"{wanted.repository}@")
        ):
            return LocalImage(name, entry)
    return None


def _is_id(text: str) -> bool:
    digits = text.removeprefix("sha256:")
    return _SHORTEST_ID <= len(digits) <= 64 and _HEX.issuperset(digits)


def _by_id(paths: Paths, entries: list[dict[str, Any]], text: str) -> LocalImage | None:
    prefix = "sha256:" + text.removeprefix("sha256:")
    found: dict[str, LocalImage] = {}
    for entry in entries:
        image_id = config_digest(paths, entry["digest"])
        if image_id.startswith(prefix):
            found.setdefault(image_id, LocalImage(index.name_of(entry), entry))
    if len(found) > 1:
        raise UsageError(f"{text}: the beginning of {len(found)} image ids", hint="rl images")
    return next(iter(found.values()), None)


def config_digest(paths: Paths, manifest_digest: str) -> str:
    """The image id: the digest of the configuration that a stored manifest names."""
    import json

    manifest = json.loads(blobs.read_trusted(paths, manifest_digest))
    return str(manifest["config"]["digest"])


def _fits(found: LocalImage, wanted: Platform | None) -> bool:
    if wanted is None:
        return True
    from rootless.model.platform import Platform

    has = found.descriptor.get("platform") or {}
    own = Platform(has.get("os", ""), has.get("architecture", ""), has.get("variant", ""))
    return own.rank_for(wanted) is not None
