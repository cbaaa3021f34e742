"""`rl tag` and `rl untag`: more names for an image, or fewer."""

from __future__ import annotations

from rootless.errors import NotFoundError, UsageError
from rootless.image import registries_config, remove, resolve
from rootless.model import reference as references
from rootless.model.registries import LOCAL_DOMAIN
from rootless.store import blobs, events, guard, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.resolve import LocalImage
    from rootless.store.paths import Paths


def new_name(text: str) -> str:
    """The full name that `text` gives to an image of this machine. Raises UsageError.

    A short one is below `localhost`, as with podman: it says nothing about a registry.
    """
    reference = references.parse(text)
    if reference.digest:
        raise UsageError(f"{text}: a name with a digest is not given, the content has it",
                         hint=f"rl tag IMAGE {text.partition('@')[0]}")  # fmt: skip
    return (reference.within(LOCAL_DOMAIN) if reference.is_short else reference).name


def tag(paths: Paths, text: str, targets: list[str]) -> None:
    """Let each of `targets` mean the image `text` too. Raises NotFoundError, UsageError."""
    names = [new_name(target) for target in targets]
    # Also before the lock is taken, for which there is no place before the first pull.
    resolve.require(paths, text)
    blobs.ensure_layout(paths)
    with guard.adding(paths):
        found = resolve.require(paths, text)
        _own_documents(paths, found.manifest_digest)
        for name in names:
            _set(paths, name, found)
            _tell(paths, "tag", found, name)


def _own_documents(paths: Paths, digest: str) -> None:
    """Of an additional store's image; the layers stay there."""
    if paths.additional:
        blobs.write(paths, blobs.read(paths, digest))
        blobs.write(paths, blobs.read(paths, resolve.config_digest(paths, digest)))


def _set(paths: Paths, name: str, found: LocalImage) -> None:
    entry = found.descriptor
    index.set_name(
        paths, name, found.manifest_digest, media_type=str(entry.get("mediaType", "")),
        size=int(entry.get("size", 0)), platform=entry.get("platform"),
    )  # fmt: skip


def untag(paths: Paths, text: str, names: list[str]) -> list[str]:
    """Take `names`, or all that it has, from the image `text`, which stays; the names that went.

    Raises NotFoundError, also for a name that is another image's: none is taken then.
    """
    resolve.require(paths, text)
    with guard.adding(paths):
        found = resolve.require(paths, text)
        remove.refuse_others(paths, found, text)
        of_it = [name for name, entry in index.names(paths)
                 if entry.get("digest") == found.manifest_digest]  # fmt: skip
        chosen = [_own(paths, name, found, of_it) for name in names] if names else of_it
        for name in chosen:
            index.release_name(paths, name)
            _tell(paths, "untag", found, name)
    return chosen


def of_repository(paths: Paths, text: str) -> list[str]:
    """The names of images whose repository is `text`, under the first one that it may mean."""
    wanted = references.parse(text)
    if wanted.tag or wanted.digest:
        raise UsageError(f"{text}: a repository is expected, without a tag",
                         hint=f"rl push --all-tags {wanted.repository}")  # fmt: skip
    names = [name for name, _ in index.names(paths)]
    for candidate in registries_config.local_candidates(wanted):
        found = [name for name in names if name.startswith(f"{candidate.repository}:")]
        if found:
            return found
    return []


def _own(paths: Paths, name: str, image: LocalImage, of_it: list[str]) -> str:
    named = resolve.require(paths, name)
    if not named.is_by_name or named.name not in of_it:
        shown = ", ".join(of_it) or "none"
        raise NotFoundError(f"{name}: not a name of image {image.name}; its names: {shown}")
    return named.name


def _tell(paths: Paths, action: str, found: LocalImage, name: str) -> None:
    image_id = resolve.config_digest(paths, found.manifest_digest)
    events.emit(paths, events.IMAGE, action, image_id, {"name": name})
