"""Which stored image a text means: the one answer for all commands. On the start path.

Names come first, as in docker: a full one is looked for as it is, a short one under each full name
that it may stand for (`localhost/NAME`, then its alias or the search registries). An image of any
other registry never answers to a short name, however alike it ends: that would let whoever got one
image pulled replace another. What is no name may be an image id, of which the first digits are
enough. A whole digest is never a name.
"""

from __future__ import annotations

from rootless import log
from rootless.errors import ImageError, NotFoundError, StoreError, UsageError
from rootless.image import registries_config
from rootless.model import digest as digests
from rootless.model import reference as references
from rootless.store import blobs, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.platform import Platform
    from rootless.model.reference import Reference
    from rootless.store.index import Descriptor
    from rootless.store.paths import Paths

_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 3


class LocalImage:
    """An image of the store: its full name ("" for a nameless one) and manifest descriptor.

    is_by_name tells whether it was found by that name, and not by a digest or an id.
    """

    __slots__ = ("descriptor", "is_by_name", "name")

    def __init__(self, descriptor: Descriptor, *, is_by_name: bool) -> None:
        self.name = index.name_of(descriptor)
        self.descriptor = descriptor
        self.is_by_name = is_by_name

    @property
    def manifest_digest(self) -> str:
        """The digest of the manifest."""
        return str(self.descriptor["digest"])


def require(paths: Paths, text: str) -> LocalImage:
    """As `find_local`. Raises NotFoundError when there is no such image, UsageError."""
    found = find_local(paths, text)
    if found is None:
        raise NotFoundError(f"{text}: no such image", hint=f"rl pull {text}; rl images")
    return found


def find_local(paths: Paths, text: str, platform: Platform | None = None) -> LocalImage | None:
    """The stored image that `text` means, for `platform` when one is asked for.

    text: a name, the digest of a manifest, or an image id or its first digits (at least three).
    Raises UsageError when it can be none of these or begins several ids, StoreError when the
    store's index is damaged. A damaged image is found by name and digest, to be removed or mended.
    An `oci:DIR` is never in the store. Images of additional stores are found after the own ones.
    """
    found = _find(paths, [entry for entry, _ in index.visible(paths)], text)
    return found if found is None or _fits(found, platform) else None


def _find(paths: Paths, entries: list[Descriptor], text: str) -> LocalImage | None:
    if is_whole_id(text):
        return _by_digest(entries, text) or _by_id(paths, entries, text)
    try:
        source = references.parse_source(text)
        if isinstance(source, references.OciPath):
            return None
        found = _by_reference(entries, source)
    except UsageError:
        if not _is_id(text):
            raise
        found = None
    return _by_id(paths, entries, text) if found is None and _is_id(text) else found


def is_whole_id(text: str) -> bool:
    """Whether `text` is an id or a digest and cannot be a name, so that no registry may know it."""
    return digests.is_digest(digests.PREFIX + text.removeprefix(digests.PREFIX))


def _by_reference(entries: list[Descriptor], reference: Reference) -> LocalImage | None:
    by_name = {index.name_of(entry): entry for entry in entries}
    for candidate in registries_config.local_candidates(reference):
        if candidate.name in by_name:
            return LocalImage(by_name[candidate.name], is_by_name=True)
        if candidate.digest:
            found = _in_repository(entries, candidate)
            if found:
                return found
    return None


def _in_repository(entries: list[Descriptor], wanted: Reference) -> LocalImage | None:
    """An image that was pulled by tag is also there under its manifest's digest."""
    beginnings = (f"{wanted.repository}:", f"{wanted.repository}@")
    for entry in entries:
        if entry.get("digest") == wanted.digest and index.name_of(entry).startswith(beginnings):
            return LocalImage(entry, is_by_name=True)
    return None


def _by_digest(entries: list[Descriptor], digest: str) -> LocalImage | None:
    for entry in entries:
        if entry.get("digest") == digest:
            return LocalImage(entry, is_by_name=False)
    return None


def _is_id(text: str) -> bool:
    digits = text.removeprefix(digests.PREFIX)
    return _SHORTEST_ID <= len(digits) <= 64 and _HEX.issuperset(digits)


def _by_id(paths: Paths, entries: list[Descriptor], text: str) -> LocalImage | None:
    prefix = digests.PREFIX + text.removeprefix(digests.PREFIX)
    found: dict[str, LocalImage] = {}
    for entry in entries:
        image_id = _id_or_warn(paths, entry)
        if image_id.startswith(prefix):
            found.setdefault(image_id, LocalImage(entry, is_by_name=False))
    if len(found) > 1:
        raise UsageError(
            f"{text}: the beginning of {len(found)} image ids", hint="rl images --no-trunc"
        )
    return next(iter(found.values()), None)


def _id_or_warn(paths: Paths, entry: Descriptor) -> str:
    try:
        return config_digest(paths, entry.get("digest"))
    except (ImageError, StoreError) as error:
        log.warn(f"{index.name_of(entry) or 'an image without a name'}: {error.message}")
        return ""


def config_digest(paths: Paths, manifest_digest: object) -> str:
    """The image id: the digest of the configuration that a stored manifest names.

    Raises StoreError when the manifest is missing or damaged, ImageError for what is no digest.
    """
    from rootless.model import jsontext

    digest = blobs.check_digest(manifest_digest)
    try:
        return blobs.check_digest(
            jsontext.loads(blobs.read_trusted(paths, digest))["config"]["digest"]
        )
    except (ValueError, KeyError, TypeError) as error:
        hint = f"rl rmi --force {digest}"
        raise StoreError(f"{digest}: the manifest in the store is damaged", hint=hint) from error


def _fits(found: LocalImage, wanted: Platform | None) -> bool:
    if wanted is None:
        return True
    from rootless.model.platform import Platform

    has = found.descriptor.get("platform") or {}
    own = Platform(has.get("os", ""), has.get("architecture", ""), has.get("variant", ""))
    return own.rank_for(wanted) is not None
