"""The blobs of stored images as open files, for what is read out of the store for long."""

from __future__ import annotations

import os

from rootless.errors import StoreError
from rootless.model import digest as digests
from rootless.model import media
from rootless.store import blobs, guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.store.paths import Paths

_READ_BYTES = 1 << 20
_HINT = "rl rmi --force IMAGE, then rl pull IMAGE"


class Blob:
    """A blob in an open file; closing it is the owner's."""

    __slots__ = ("digest", "fd", "path", "size")

    def __init__(self, digest: str, size: int, fd: int, path: str) -> None:
        self.digest = digest
        self.size = size
        self.fd = fd
        self.path = path

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it. Raises StoreError where there are none."""
        data = os.pread(self.fd, length, offset)
        if not data and length:
            raise StoreError(f"{self.path}: became shorter than {self.size} bytes")
        return data

    def is_damaged(self) -> bool:
        """Whether the content has another digest."""
        import hashlib

        state, offset = hashlib.sha256(), 0
        while data := os.pread(self.fd, _READ_BYTES, offset):
            state.update(data)
            offset += len(data)
        return digests.PREFIX + state.hexdigest() != self.digest


def parts(paths: Paths, manifest_digest: str) -> dict[str, int]:
    """The blobs of an image and their sizes in bytes: layers, then the configuration."""
    document = media.parse_json(blobs.read_trusted(paths, manifest_digest), manifest_digest)
    manifest = media.parse_manifest(document, media.OCI_MANIFEST, manifest_digest)
    return {part.digest: part.size for part in (*manifest.layers, manifest.config)}


class OpenBlobs:
    """The blobs of images, opened before anything is sent: a removal does not reach them.

    A context manager. Raises StoreError for one that is missing or has another size.
    """

    def __init__(self, paths: Paths, manifests: Iterable[str]) -> None:
        self.blobs: list[Blob] = []
        wanted: dict[str, int] = {}
        with guard.adding(paths):
            for manifest in manifests:
                wanted.update(parts(paths, manifest))
            try:
                for digest, size in wanted.items():
                    self.blobs.append(_open(paths, digest, size))
            except BaseException:
                self.close()
                raise

    def take(self, digest: str) -> Blob | None:
        """Hand the blob out: closing it is the caller's then. None when it is not among them."""
        for blob in self.blobs:
            if blob.digest == digest:
                self.blobs.remove(blob)
                return blob
        return None

    def close(self) -> None:
        """Close the files."""
        for blob in self.blobs:
            os.close(blob.fd)
        self.blobs = []

    def __enter__(self) -> OpenBlobs:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open(paths: Paths, digest: str, size: int) -> Blob:
    path = paths.found_blob(digest)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", _HINT) from error
    actual = os.fstat(fd).st_size
    if actual != size:
        os.close(fd)
        raise StoreError(f"{path}: damaged, it has {actual} bytes instead of {size}", _HINT)
    return Blob(digest, size, fd, path)
