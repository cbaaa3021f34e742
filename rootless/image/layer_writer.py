"""Layers made of upper directories: the blob, both digests and the unpacked layer in one walk.

    with LayerWriter(paths) as writer:
        layer = writer.write(upper, lowers, give=True)
        made = make.make(paths, config, [..., layer.descriptor], names, fresh=[layer])

The work is done by a process that is root of the user namespace, in a workspace of the store
(`layers.Workspace`): whatever is killed, nothing half-written is ever seen, and the next command
removes what is left.
"""

from __future__ import annotations

import errno
import json
import os

from rootless import log
from rootless.errors import ImageError
from rootless.image import decompress, layer_stream, lowers, unpack
from rootless.image.layer_stream import GZIP, LayerStream
from rootless.image.layer_tree import CopiedTree, GivenTree
from rootless.image.layer_walk import LayerWalk
from rootless.image.lowers import Places
from rootless.kernel import libc, rlimits, signals
from rootless.store import blobs, files, layers
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from rootless.model.idmap import IdMaps
    from rootless.store.paths import Paths

    # What the walk reports: diff id, digest, size of the blob; size, files and notes of the tree.
    Report = tuple[str, str, int, int, int, list[str]]

# The archive of an upper directory without a change: two blocks of zeros.
EMPTY_DIFF_ID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


class NewLayer:
    """A layer that is written and not yet in the store: `adopt`.

    diff_id: of the archive; digest and blob_size: of the blob; size: bytes in its files; files: how
    many entries; notes: what had to be left out, one line each.
    """

    __slots__ = (
        "_directory", "_paths", "blob_size", "diff_id", "digest", "files", "media_type", "notes",
        "size",
    )  # fmt: skip

    def __init__(self, paths: Paths, directory: str, media_type: str, report: Report) -> None:
        self._paths = paths
        self._directory = directory
        self.media_type = media_type
        self.diff_id, self.digest, self.blob_size, self.size, self.files, self.notes = report

    @property
    def is_empty(self) -> bool:
        """Whether it has no entry at all; docker makes no layer of that."""
        return self.files == 0

    @property
    def descriptor(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.blob_size}

    def adopt(self) -> None:
        """Put blob and unpacked layer into the store; that they are there already is no error.

        The caller holds `guard.adding` until an image with a name, or a descriptor in the index,
        has the layer. Once only, while its LayerWriter is open. Raises StoreError.
        """
        if not blobs.has(self._paths, self.digest, self.blob_size):
            blobs.adopt(self._paths, f"{self._directory}/blob", self.digest)
        else:
            os.unlink(f"{self._directory}/blob")
        layers.commit(self._paths, self._directory, self.diff_id)


class LayerWriter:
    """A workspace in which layers are written; a context manager. What was not adopted goes."""

    def __init__(self, paths: Paths) -> None:
        blobs.ensure_layout(paths)
        self._paths = paths
        self._workspace = layers.Workspace(paths)
        self._count = 0

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._workspace.close()

    def write(
        self,
        upper: str,
        below: Sequence[str] | None = None,
        *,
        give: bool,
        leave_out: Iterable[str] = (),
        compression: str = GZIP,
        docker: bool = False,
        epoch: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> NewLayer:
        """Make a layer of the directory `upper`.

        below: the trees of the layers under it, topmost first, as overlays mount them; None when
        all that is in `upper` is a change. give: `upper` is moved and becomes the unpacked layer,
        also when this raises; else it is copied. leave_out: paths ("/etc/hosts") at which
        something of ours is mounted (lowers.Places). compression: one of
        layer_stream.COMPRESSIONS; docker: for a manifest of docker's. epoch: later times become
        that one, seconds since 1970. owner: of what is new and
        has no mark, where it was made with one id alone: marks count then, as they do where this
        user has no other id now.
        Raises UsageError, StoreError, HostError.
        """
        has_one_id = idmap.canonical_maps().is_single
        work = _OfUpper(
            self._next(), compression, upper, below, Places(leave_out), epoch,
            (0, 0) if owner is None and has_one_id else owner, give=give, has_one_id=has_one_id,
        )  # fmt: skip
        log.effect(f"make a layer of {upper}")
        return self._carry_out(work, upper, layer_stream.media_type(compression, docker=docker))

    def from_archive(
        self, source_fd: int, what: str, *, compression: str = GZIP, docker: bool = False
    ) -> NewLayer:
        """Make a layer of the tar archive that is read from `source_fd`, maybe compressed.

        The archive stays as it is, byte for byte. what: its name for messages. Raises ImageError
        for what is no archive or no layer, UsageError, StoreError, HostError.
        """
        work = _OfArchive(self._next(), compression, source_fd, idmap.canonical_maps())
        log.effect(f"make a layer of the archive {what}")
        try:
            kind = layer_stream.media_type(compression, docker=docker)
            return self._carry_out(work, self._workspace.path, kind)
        except ImageError as error:
            error.message = f"{what}: {error.message}"
            raise

    def file(self) -> str:
        """A path in the workspace, for a file that goes with it."""
        return f"{self._next()}.file"

    def _next(self) -> str:
        self._count += 1
        return f"{self._workspace.path}/{os.getpid()}-{self._count}"

    def _carry_out(self, work: _Work, place: str, media_type: str) -> NewLayer:
        owner, work.is_shared = os.getpid(), self._paths.is_shared
        try:
            report = idmap.call(lambda: work.carry_out(owner))
        except OSError as error:
            raise files.explain(error, place) from error
        return NewLayer(self._paths, work.directory, media_type, tuple(report))


class _Work:
    """One layer, made in the new directory `directory` by a process in the user namespace."""

    def __init__(self, directory: str, compression: str) -> None:
        self.directory = directory
        self.compression = compression
        self.is_shared = False
        self.tree = f"{directory}/diff"

    def carry_out(self, owner: int) -> Report:
        """Be that process."""
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        if os.getppid() != owner:
            os._exit(1)
        # Ctrl-C is for the parent, whose end is ours.
        signals.signal(signals.SIGINT, signals.SIG_IGN)
        rlimits.raise_open_files()
        os.umask(0)
        os.mkdir(self.directory, 0o755)
        blob = os.open(f"{self.directory}/blob", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stream = LayerStream(blob, self.compression)
        try:
            size, count, notes = self.fill(stream)
            stream.finish()
        finally:
            stream.close()
            os.close(blob)
        if self.is_shared:
            from rootless.image import publishing

            publishing.publish(self.tree)
        document = {"size": size, "files": count, "notes": notes}
        files.write_atomic(f"{self.directory}/layer.json", json.dumps(document).encode())
        return stream.diff_id, stream.digest, stream.size, size, count, notes

    def fill(self, stream: LayerStream) -> tuple[int, int, list[str]]:
        """Write the archive to `stream` and make `tree`; the tree's size, files and notes."""
        raise NotImplementedError


class _OfUpper(_Work):
    """Of an upper directory: see LayerWriter.write."""

    def __init__(
        self,
        directory: str,
        compression: str,
        upper: str,
        below: Sequence[str] | None,
        places: Places,
        epoch: int | None,
        owner: tuple[int, int] | None,
        *,
        give: bool,
        has_one_id: bool,
    ) -> None:
        super().__init__(directory, compression)
        self._has_one_id = has_one_id
        self._upper = upper
        self._below = below
        self._places = places
        self._epoch = epoch
        self._owner = owner
        self._give = give

    def fill(self, stream: LayerStream) -> tuple[int, int, list[str]]:
        upper = self._take_in()
        folder = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        copy = None
        if upper != self.tree:
            copy = CopiedTree(self.tree, has_one_id=self._has_one_id)
        walk = LayerWalk(
            stream, copy or GivenTree(), self._places,
            compares=self._below is not None, epoch=self._epoch, owner=self._owner,
        )  # fmt: skip
        walk.run(folder, lowers.open_all(self._below or ()), copy.root if copy else -1)
        return walk.size, walk.files, walk.notes.lines()

    def _take_in(self) -> str:
        """Where the upper directory is now."""
        if self._give:
            try:
                os.rename(self._upper, self.tree)
                os.chown(self.tree, 0, 0)
                os.chmod(self.tree, 0o755)
                return self.tree
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        os.mkdir(self.tree, 0o755)
        return self._upper


class _OfArchive(_Work):
    """Of a tar archive: see LayerWriter.from_archive."""

    def __init__(self, directory: str, compression: str, source_fd: int, maps: IdMaps) -> None:
        super().__init__(directory, compression)
        self._source_fd = source_fd
        self._maps = maps

    def fill(self, stream: LayerStream) -> tuple[int, int, list[str]]:
        os.mkdir(self.tree, 0o755)
        pieces = decompress.pieces(self._source_fd)
        summary = unpack.unpack_pieces(_copied(pieces, stream), self.tree, self._maps)
        return summary.size, summary.files, summary.notes


def _copied(pieces: Iterator[bytes], stream: LayerStream) -> Iterator[bytes]:
    for piece in pieces:
        stream.write(piece)
        yield piece
