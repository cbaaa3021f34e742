"""Content-addressed blobs: manifests, configurations and compressed layers.

The store's root is an OCI image layout (image-spec, image-layout.md): `oci-layout`, `index.json`
and `blobs/sha256/HEX`. A blob that is there is whole: it got its name by rename(2) after its digest
was checked. Names come from hostile documents, so every digest is checked before it is a path.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import ImageError, StoreError
from rootless.model import digest as digests
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY_INDEX = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
)


def ensure_layout(paths: Paths) -> None:
    """Create the directories and the two files of an empty store where they are missing.

    Raises StoreError, also for a private store that the site lists as one for everybody.
    """
    if os.path.exists(paths.oci_layout) and os.path.isdir(paths.tmp):
        if paths.is_listed and not paths.is_shared:
            raise StoreError(
                f"{paths.root}: is listed in additional_image_stores, but was made before that,"
                " with files that only their owner can read",
                hint=f"rl system reset --force; rm -r {paths.root}; and pull the images again",
            )
        return
    log.effect(f"create the store {paths.root}")
    _make_folders(paths)
    with files.Lock(f"{paths.locks}/index"):
        if not os.path.exists(paths.index):
            files.write_atomic(paths.index, _EMPTY_INDEX)
    # The mark of a layout comes last: it promises everything else.
    files.write_atomic(paths.oci_layout, _LAYOUT)


def _make_folders(paths: Paths) -> None:
    if paths.is_listed:
        for folder in (paths.root, f"{paths.root}/blobs", paths.blobs, paths.layers):
            files.make_dirs(folder, mode=0o755)
        os.chmod(paths.root, 0o755)
        files.write_atomic(paths.shared_mark, b"")
    for folder in (paths.root, paths.blobs, paths.layers, paths.tmp, paths.locks):
        files.make_dirs(folder)


def check_digest(digest: object) -> str:
    """`digest` if it is a well-formed sha256 digest. Raises ImageError."""
    if not isinstance(digest, str):
        raise ImageError(f"{digest!r}: not a digest")
    problem = digests.problem_of(digest)
    if problem:
        raise ImageError(f"{digest[:100]!r}: {problem}")
    return digest


def has(paths: Paths, digest: str, size: int | None = None) -> bool:
    """Whether the blob is present and, where `size` (bytes) is known, of that size."""
    try:
        info = os.stat(paths.found_blob(check_digest(digest)))
    except FileNotFoundError:
        return False
    return size is None or info.st_size == size


def adopt(paths: Paths, partial_path: str, digest: str) -> None:
    """Rename `partial_path`, a file that the caller has verified, to the blob `digest`."""
    target = paths.blob(check_digest(digest))
    try:
        if paths.is_shared:
            os.chmod(partial_path, 0o644)
        os.rename(partial_path, target)
    except OSError as error:
        raise files.explain(error, target) from error


def write(paths: Paths, data: bytes) -> str:
    """Store `data` and return its digest; storing it again changes nothing.

    What an additional store has is stored all the same: an image's documents are small.
    """
    digest = digests.of(data)
    path = paths.blob(digest)
    if not os.path.exists(path) or os.stat(path).st_size != len(data):
        files.write_atomic(path, data)
    return digest


def read(paths: Paths, digest: str) -> bytes:
    """The content of a blob, checked against its digest.

    Raises StoreError when it is missing or was damaged on disk.
    """
    data = read_trusted(paths, digest)
    if digests.of(data) != digest:
        raise StoreError(f"{paths.found_blob(digest)}: damaged, its content has another digest")
    return data


def read_trusted(paths: Paths, digest: str) -> bytes:
    """The content of a blob as it is on disk: for the start path, where no hash is loaded.

    It was verified when it came in, and only this user can write to the store, or whom the site
    trusts to fill an additional one.
    """
    path = paths.found_blob(check_digest(digest))
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise files.explain(error, path) from error


def remove(paths: Paths, digest: str) -> bool:
    """Delete a blob that nothing refers to any more; False when it was not there."""
    path = paths.blob(check_digest(digest))
    log.effect(f"remove {path}")
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise files.explain(error, path) from error
    return True


def stored(paths: Paths) -> list[str]:
    """The digests of all blobs that are present."""
    return digests_in(paths.blobs)


def digests_in(folder: str) -> list[str]:
    """The entries of `folder` that are named by a digest's digits, as digests."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = (digests.PREFIX + name for name in names)
    return sorted(digest for digest in found if digests.is_digest(digest))
