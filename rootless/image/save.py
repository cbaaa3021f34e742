"""Save: images of the store as an archive or a directory, byte for byte as they are here.

Each is an OCI image layout (image-spec, image-layout.md). The one that is called docker-archive has
a `manifest.json` in addition, as docker writes them since version 25: what reads either kind finds
the same blobs. The same images give the same bytes: members are sorted and have no times.
"""

from __future__ import annotations

import errno
import json
import os
import tarfile

from rootless.errors import RlError, StoreError, UsageError
from rootless.image import resolve
from rootless.image.openblobs import OpenBlobs
from rootless.model import digest as digests
from rootless.model import media
from rootless.store import blobs, events, trees
from rootless.store.index import REF_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from rootless.image.openblobs import Blob
    from rootless.image.progress import Progress
    from rootless.store.index import Descriptor
    from rootless.store.paths import Paths

    class Sink(Protocol):
        """Where the files of a layout go."""

        def folder(self, name: str) -> None:
            """A directory."""

        def small(self, name: str, data: bytes) -> None:
            """A file with `data`."""

        def blob(self, name: str, blob: Blob, progress: Progress) -> None:
            """A file with the bytes of `blob`."""


DOCKER_ARCHIVE, OCI_ARCHIVE, OCI_DIRECTORY = "docker-archive", "oci-archive", "oci-dir"
FORMATS = (DOCKER_ARCHIVE, OCI_ARCHIVE, OCI_DIRECTORY)
# Where containerd and docker look for the whole name; their ref.name is the tag alone.
FULL_NAME = "io.containerd.image.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_COPY_BYTES = 4 << 20
# A file that was opened for appending, and file systems that have no such way.
_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class _Chosen:
    """The images that go out: each manifest with its descriptor and the names asked for."""

    def __init__(self, paths: Paths, texts: Sequence[str]) -> None:
        self.descriptors: dict[str, Descriptor] = {}
        self.names: dict[str, list[str]] = {}
        for text in texts:
            found = resolve.require(paths, text)
            digest = found.manifest_digest
            self.descriptors[digest] = found.descriptor
            names = self.names.setdefault(digest, [])
            # As docker: who names an image by its id gets it without a name.
            if found.is_by_name and "@" not in found.name and found.name not in names:
                names.append(found.name)


def to_descriptor(
    paths: Paths, texts: Sequence[str], fd: int, image_format: str, progress: Progress
) -> None:
    """Write the archive of the images `texts` to `fd`.

    Raises NotFoundError, StoreError, and OSError for `fd`.
    """
    sink = _Archive(fd)
    _write(paths, _Chosen(paths, texts), sink, image_format, progress)
    sink.close()


def to_directory(paths: Paths, texts: Sequence[str], folder: str, progress: Progress) -> None:
    """Make the OCI layout `folder`, which must not be there, or be empty. Raises RlError."""
    chosen = _Chosen(paths, texts)
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise UsageError(f"{folder}: exists", hint=f"rl save --format oci-dir -o {folder}.new …")
    temporary = f"{os.path.abspath(folder)}.{os.getpid()}.tmp"
    try:
        os.mkdir(temporary, 0o777)
        try:
            _write(paths, chosen, _Directory(temporary), OCI_DIRECTORY, progress)
            os.rename(temporary, folder)
        except BaseException:
            trees.remove_tree(temporary)
            raise
    except OSError as error:
        raise RlError(f"{folder}: {error.strerror}") from error


def _write(
    paths: Paths, chosen: _Chosen, sink: Sink, image_format: str, progress: Progress
) -> None:
    with OpenBlobs(paths, chosen.descriptors) as opened:
        manifests = {digest: blobs.read(paths, digest) for digest in chosen.descriptors}
        sink.small("oci-layout", _LAYOUT)
        sink.small("index.json", _json({
            "schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": _descriptors(chosen),
        }))  # fmt: skip
        if image_format == DOCKER_ARCHIVE:
            sink.small("manifest.json", _json(_docker_manifest(paths, chosen, manifests)))
        sink.folder("blobs")
        sink.folder("blobs/sha256")
        large = {blob.digest: blob for blob in opened.blobs}
        for digest in sorted({*large, *manifests}):
            if digest in manifests:
                sink.small(_member(digest), manifests[digest])
            else:
                sink.blob(_member(digest), large[digest], progress)
    for digest, names in chosen.names.items():
        name = (names or [digest])[0]
        events.emit(paths, events.IMAGE, "save", name, {"name": name})


def _descriptors(chosen: _Chosen) -> list[Descriptor]:
    found = []
    for digest, entry in chosen.descriptors.items():
        plain = {key: value for key, value in entry.items() if key != "annotations"}
        for name in chosen.names[digest]:
            found.append({**plain, "annotations": {FULL_NAME: name, REF_NAME: name}})
        if not chosen.names[digest]:
            found.append(plain)
    return found


def _docker_manifest(
    paths: Paths, chosen: _Chosen, manifests: dict[str, bytes]
) -> list[dict[str, object]]:
    """docker's manifest.json (moby, image/spec/v1.2.md), with the blobs as its files."""
    rows: list[dict[str, object]] = []
    for digest, data in manifests.items():
        what = f"image {digest}"
        document = media.parse_json(data, what)
        manifest = media.parse_manifest(document, media.OCI_MANIFEST, what)
        rows.append({
            "Config": _member(manifest.config.digest),
            "RepoTags": chosen.names[digest] or None,
            "Layers": [_member(layer.digest) for layer in manifest.layers],
        })  # fmt: skip
    return rows


def _member(digest: str) -> str:
    return f"blobs/sha256/{digests.hex_of(digest)}"


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


class _Archive:
    """A Sink that writes a tar archive."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def folder(self, name: str) -> None:
        """See Sink."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        self._all(member.tobuf(tarfile.PAX_FORMAT))

    def small(self, name: str, data: bytes) -> None:
        """See Sink."""
        self._header(name, len(data))
        self._all(data + bytes(-len(data) % tarfile.BLOCKSIZE))

    def blob(self, name: str, blob: Blob, progress: Progress) -> None:
        """See Sink."""
        self._header(name, blob.size)
        _copy(blob, self._fd, progress)
        self._all(bytes(-blob.size % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """The end of the archive."""
        self._all(bytes(2 * tarfile.BLOCKSIZE))

    def _header(self, name: str, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size = size
        self._all(member.tobuf(tarfile.PAX_FORMAT))

    def _all(self, data: bytes) -> None:
        _write_all(self._fd, data)


class _Directory:
    """A Sink that makes files below `top`."""

    def __init__(self, top: str) -> None:
        self._top = top

    def folder(self, name: str) -> None:
        """See Sink."""
        os.mkdir(f"{self._top}/{name}", 0o777)

    def small(self, name: str, data: bytes) -> None:
        """See Sink."""
        with open(f"{self._top}/{name}", "xb") as file:
            file.write(data)

    def blob(self, name: str, blob: Blob, progress: Progress) -> None:
        """See Sink."""
        with open(f"{self._top}/{name}", "xb", buffering=0) as file:
            _copy(blob, file.fileno(), progress)


def _copy(blob: Blob, fd: int, progress: Progress) -> None:
    progress.begin(blob.digest, blob.size, 0)
    offset = 0
    while offset < blob.size:
        count = _copy_some(blob, fd, offset, min(blob.size - offset, _COPY_BYTES))
        offset += count
        progress.advance(blob.digest, count)
    progress.finish(blob.digest, "saved")


def _copy_some(blob: Blob, fd: int, offset: int, count: int) -> int:
    try:
        done = os.sendfile(fd, blob.fd, offset, count)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:
            raise
        data = blob.read(offset, count)
        _write_all(fd, data)
        return len(data)
    if done == 0:
        raise StoreError(f"{blob.path}: became shorter than {blob.size} bytes")
    return done


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
