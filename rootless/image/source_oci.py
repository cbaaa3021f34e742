"""An image in an OCI image layout on disk (image-spec, image-layout.md), as a Source."""

from __future__ import annotations

import os
import stat
import threading

from rootless.errors import ImageError, NotFoundError, RegistryError, UsageError, describe_os_error
from rootless.model import digest as digests
from rootless.model import media
from rootless.model import reference as references
from rootless.store.index import REF_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.media import Descriptor
    from rootless.model.platform import Platform
    from rootless.model.reference import OciPath


class FileStream:
    """A file's bytes from an offset on."""

    def __init__(self, fd: int, offset: int) -> None:
        self.offset = offset
        self._fd = fd
        os.lseek(fd, offset, os.SEEK_SET)

    def read_some(self, limit: int) -> bytes:
        """At most `limit` bytes. Raises ImageError."""
        try:
            return os.read(self._fd, limit)
        except OSError as error:
            raise ImageError(describe_os_error(error)) from error

    def __enter__(self) -> FileStream:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


class LocalSource:
    """What sources on this machine have in common."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def check(self) -> None:
        """See Source."""
        if self._cancelled.is_set():
            raise RegistryError("interrupted")

    def pause(self, seconds: float) -> None:
        """See Source."""
        self._cancelled.wait(seconds)
        self.check()

    def cancel(self) -> None:
        """See Source."""
        self._cancelled.set()

    def close(self) -> None:
        """See Source: nothing is held."""


class OciSource(LocalSource):
    """`oci:DIR[:REF]`. Every file read here is verified by its digest, here or by the transfer."""

    def __init__(self, place: OciPath, platform: Platform) -> None:
        super().__init__()
        self._folder = os.path.abspath(place.directory)
        self._root = self._find(place, platform)
        self.name = _name_for(self._root.annotations.get(REF_NAME, ""), place)

    def _find(self, place: OciPath, platform: Platform) -> Descriptor:
        path = f"{self._folder}/index.json"
        data = self._read(path, media.MAX_MANIFEST_BYTES)
        entries = media.parse_index(media.parse_json(data, path), path)
        if place.ref:
            entries = [one for one in entries if one.annotations.get(REF_NAME) == place.ref]
        if len(entries) == 1:
            return entries[0]
        if not entries:
            raise NotFoundError(f"{place}: no such image in {path}")
        names = {one.annotations.get(REF_NAME, "") for one in entries}
        if len(names) > 1:
            shown = ", ".join(sorted(names - {""})[:20])
            raise UsageError(f"{place}: holds several images: {shown}",
                             hint=f"rl pull oci:{place.directory}:{min(names - {''})}")  # fmt: skip
        return media.choose(entries, platform, str(place))

    @property
    def digest(self) -> str:
        """Of the image's manifest, or of its index of several platforms."""
        return self._root.digest

    def root(self) -> tuple[bytes, str]:
        """See Source."""
        return self.manifest(self._root.digest)[0], self._root.media_type

    def manifest(self, digest: str) -> tuple[bytes, str]:
        """See Source."""
        data = self._read(self._blob(digest), media.MAX_MANIFEST_BYTES)
        if digests.of(data) != digest:
            raise ImageError(f"{self._blob(digest)}: its content has another digest")
        return data, ""

    def read_blob(self, digest: str, size: int) -> bytes:
        """See Source."""
        return self._read(self._blob(digest), size)

    def open_blob(self, digest: str, size: int, offset: int) -> FileStream:
        """See Source."""
        path = self._blob(digest)
        fd, actual = self._open(path)
        if actual != size:
            os.close(fd)
            raise ImageError(f"{path}: has {actual} bytes, its descriptor says {size}")
        return FileStream(fd, offset)

    def _blob(self, digest: str) -> str:
        return f"{self._folder}/blobs/sha256/{digests.hex_of(digest)}"

    def _read(self, path: str, limit: int) -> bytes:
        fd, size = self._open(path)
        with FileStream(fd, 0) as stream:
            if size > limit:
                raise ImageError(f"{path}: larger than {limit} bytes")
            return stream.read_some(limit)

    def _open(self, path: str) -> tuple[int, int]:
        try:
            # O_NONBLOCK: a FIFO in its place must not hang the pull.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            hint = f"ls {self._folder}  # an OCI layout has index.json and blobs/sha256/"
            raise NotFoundError(describe_os_error(error), hint=hint) from error
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise ImageError(f"{path}: not a regular file")
        return fd, info.st_size


def _name_for(annotation: str, place: OciPath) -> str:
    """The layout's own name for the image where that is a full one, else localhost/DIR:TAG."""
    folder = os.path.basename(os.path.abspath(place.directory)).lower()
    for text in (annotation, f"{folder}:{annotation or place.ref}", folder):
        try:
            parsed = references.parse(text)
        except UsageError:
            continue
        # A word alone, as umoci writes it, is a tag and not a name.
        if text != annotation or "/" in text or ":" in text:
            return (parsed.within("localhost") if parsed.is_short else parsed).name
    return "localhost/image:latest"
