"""Bringing an image's layers into the store: several at once, each verified before it is visible.

For each layer, under its lock: download what is missing, unpack what is missing, and only after
the blob's digest and the tree's diff id were both right, `adopt` the one and `commit` the other.
The first failure cancels the rest.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial

from rootless.errors import ImageError, RegistryError
from rootless.image import crew, transfer
from rootless.model import digest as digests
from rootless.store import blobs, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.image.layer_worker import Job, Unpackers
    from rootless.image.progress import Progress
    from rootless.image.source import Source
    from rootless.model.media import Descriptor
    from rootless.store.paths import Paths


class Bringer:
    """What the layers of one pull have in common; `bring` is called from several threads."""

    def __init__(
        self, paths: Paths, source: Source, unpackers: Unpackers | None, progress: Progress
    ) -> None:
        self._paths = paths
        self._source = source
        self._unpackers = unpackers
        self._progress = progress
        self._guard = threading.Lock()
        self._feeders: set[transfer.Feeder] = set()
        self.notes: list[str] = []

    def bring(self, layer: Descriptor, diff_id: str) -> None:
        """Make the blob and, unless `diff_id` is "", the unpacked layer present.

        Raises RegistryError, ImageError, StoreError; nothing half done is visible then.
        """
        with transfer.BlobLock(self._paths, layer.digest, self._source, self._tell_wait(layer)):
            is_here = blobs.has(self._paths, layer.digest, layer.size)
            is_unpacked = not diff_id or layers.has(self._paths, diff_id)
            if is_here and is_unpacked:
                self._progress.finish(layer.digest, "present")
            elif not is_here:
                self._download(layer, "" if is_unpacked else diff_id)
            elif not self._unpack_blob(layer, diff_id):
                self._progress.message(f"{digests.short(layer.digest)}: damaged on disk, again")
                self._download(layer, diff_id)

    def _tell_wait(self, layer: Descriptor) -> Callable[[], None]:
        name = digests.short(layer.digest)
        return lambda: self._progress.message(f"{name}: waiting for another pull that fetches it")

    def _download(self, layer: Descriptor, diff_id: str) -> None:
        with transfer.Partial(self._paths, layer) as partial:
            has_old_bytes = partial.size > 0
            try:
                self._receive(partial, diff_id)
            except RegistryError:
                # Emptied: the content was wrong. Bytes of an older pull may have been the reason.
                if not has_old_bytes or partial.size:
                    raise
                self._receive(partial, diff_id)

    def _receive(self, partial: transfer.Partial, diff_id: str) -> None:
        if diff_id:
            with self._feeding(partial.fd) as feeder:
                self._receive_and_unpack(partial, self._submit(partial, diff_id, feeder), feeder)
            return
        transfer.receive(self._source, partial, self._progress, lambda size: None)
        blobs.adopt(self._paths, partial.path, partial.descriptor.digest)
        self._progress.finish(partial.descriptor.digest, "downloaded")

    def _submit(self, partial: transfer.Partial, diff_id: str, feeder: transfer.Feeder) -> Job:
        assert self._unpackers is not None
        job = self._unpackers.submit(diff_id, partial.descriptor.media_type, feeder.read_fd)
        feeder.close_reader()
        return job

    def _receive_and_unpack(
        self, partial: transfer.Partial, job: Job, feeder: transfer.Feeder
    ) -> None:
        def offer(size: int) -> None:
            if feeder.is_refused:
                _raise_unless_bad_layer(job)
            feeder.offer(size)

        try:
            transfer.receive(self._source, partial, self._progress, offer)
            self._settle(job, feeder)
            blobs.adopt(self._paths, partial.path, partial.descriptor.digest)
            job.commit()
        except ImageError:
            # The bytes are what the manifest promises, and no layer: nothing to go on with.
            partial.reset()
            raise
        finally:
            job.discard()
        self._progress.finish(partial.descriptor.digest, "unpacked")

    def _settle(self, job: Job, feeder: transfer.Feeder) -> None:
        """Wait until everything offered is unpacked. Raises ImageError, StoreError, Cancelled."""
        feeder.end()
        # A cancelled feeder ends early too, and that would look like a truncated layer.
        self._source.check()
        report = job.wait()
        with self._guard:
            self.notes += report.notes

    def _unpack_blob(self, layer: Descriptor, diff_id: str) -> bool:
        """Unpack from the blob that is here; False when that turned out to be damaged."""
        path = self._paths.found_blob(layer.digest)
        try:
            self._unpack_file(path, layer, diff_id)
        except ImageError:
            if _digest_of_file(path) == layer.digest:
                raise
            blobs.remove(self._paths, layer.digest)
            return False
        self._progress.finish(layer.digest, "unpacked")
        return True

    def _unpack_file(self, path: str, layer: Descriptor, diff_id: str) -> None:
        assert self._unpackers is not None
        with open(path, "rb", buffering=0) as file, self._feeding(file.fileno()) as feeder:
            job = self._unpackers.submit(diff_id, layer.media_type, feeder.read_fd)
            feeder.close_reader()
            try:
                feeder.offer(layer.size)
                self._settle(job, feeder)
                job.commit()
            finally:
                job.discard()

    @contextlib.contextmanager
    def _feeding(self, fd: int) -> Iterator[transfer.Feeder]:
        feeder = transfer.Feeder(fd)
        with self._guard:
            self._feeders.add(feeder)
        try:
            yield feeder
        finally:
            with self._guard:
                self._feeders.discard(feeder)
            feeder.close()

    def close(self) -> None:
        """The calling thread brings nothing more."""
        self._source.close()

    def cancel(self) -> None:
        """Make `bring` in every thread end soon: connections are cut, unpackers see an end."""
        self._source.cancel()
        with self._guard:
            for feeder in self._feeders:
                feeder.abandon()


def _raise_unless_bad_layer(job: Job) -> None:
    """The unpacker gave up. A full disk ends the work here; of bytes that are no layer, the rest is
    fetched all the same: their digest tells whether the registry or the image is to blame."""
    try:
        job.wait()
    except ImageError:
        pass


def _digest_of_file(path: str) -> str:
    import hashlib

    state = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(1 << 20):
            state.update(data)
    return digests.PREFIX + state.hexdigest()


def bring_all(bringer: Bringer, wanted: list[tuple[Descriptor, str]], count: int) -> None:
    """Bring all `(layer, diff id)` on `count` threads, as `crew.work_all` does."""
    crew.work_all(bringer, [partial(bringer.bring, *one) for one in wanted], count)
