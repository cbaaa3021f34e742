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
from rootless.image import layer_stream, lowers
from rootless.image.layer_stream import GZIP, LayerStream
from rootless.image.layer_tree import CopiedTree, GivenTree
from rootless.image.layer_walk import LayerWalk
from rootless.image.lowers import Places
from rootless.kernel import libc, rlimits, signals
from rootless.store import blobs, files, layers
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

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
    ) -> NewLayer:
        """Make a layer of the directory `upper`.

        below: the trees of the layers under it, topmost first, as overlays mount them; None when
        all that is in `upper` is a change. give: `upper` is moved and becomes the unpacked layer,
        also when this raises; else it is copied. leave_out: paths ("/etc/hosts") at which
        something of ours is mounted (lowers.Places). compression: one of
        layer_stream.COMPRESSIONS; docker: for a manifest of docker's. epoch: later times become
        that one, seconds since 1970.
        Raises UsageError, StoreError, HostError.
        """
        kind = layer_stream.media_type(compression, docker=docker)
        self._count += 1
        directory = f"{self._workspace.path}/{os.getpid()}-{self._count}"
        wish = _Wish(upper, below, directory, Places(leave_out), compression, epoch, give=give)
        log.effect(f"make a layer of {upper}")
        owner = os.getpid()
        try:
            report = idmap.call(lambda: wish.carry_out(owner))
        except OSError as error:
            raise files.explain(error, upper) from error
        return NewLayer(self._paths, directory, kind, tuple(report))


class _Wish:
    """What `LayerWriter.write` was asked for."""

    def __init__(
        self,
        upper: str,
        below: Sequence[str] | None,
        directory: str,
        places: Places,
        compression: str,
        epoch: int | None,
        *,
        give: bool,
    ) -> None:
        self.upper = upper
        self.below = below
        self.directory = directory
        self.places = places
        self.compression = compression
        self.epoch = epoch
        self.give = give

    def carry_out(self, owner: int) -> Report:
        """In the user namespace."""
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        if os.getppid() != owner:
            os._exit(1)
        # Ctrl-C is for the parent, whose end is ours.
        signals.signal(signals.SIGINT, signals.SIG_IGN)
        rlimits.raise_open_files()
        os.umask(0)
        os.mkdir(self.directory, 0o755)
        upper = self._take_in()
        blob = os.open(f"{self.directory}/blob", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stream = LayerStream(blob, self.compression)
        try:
            walk = self._walk(upper, stream)
            stream.finish()
        finally:
            stream.close()
            os.close(blob)
        lines = walk.notes.lines()
        document = {"size": walk.size, "files": walk.files, "notes": lines}
        files.write_atomic(f"{self.directory}/layer.json", json.dumps(document).encode())
        return stream.diff_id, stream.digest, stream.size, walk.size, walk.files, lines

    def _take_in(self) -> str:
        """Where the upper directory is now."""
        tree = f"{self.directory}/diff"
        if self.give:
            try:
                os.rename(self.upper, tree)
                os.chown(tree, 0, 0)
                os.chmod(tree, 0o755)
                return tree
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.give = False
        os.mkdir(tree, 0o755)
        return self.upper

    def _walk(self, upper: str, stream: LayerStream) -> LayerWalk:
        folder = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        copy = None if self.give else CopiedTree(f"{self.directory}/diff")
        tree = copy or GivenTree()
        walk = LayerWalk(
            stream, tree, self.places, compares=self.below is not None, epoch=self.epoch
        )
        walk.run(folder, lowers.open_all(self.below or ()), copy.root if copy else -1)
        return walk
