"""One blob on its way into the store: resumed, hashed, fed to an unpacker while it arrives.

A download grows in tmp/download-HEX.partial under the lock tmp/download-HEX.lock. Another pull
that wants the same blob waits for the lock and then finds the work done. A partial file that a
killed or failed pull left is hashed and continued by the next one; `adopt` renames it only after
its digest was right, so nothing else ever sees it.

The unpacker reads the bytes from the partial file through a pipe that a second thread fills: a
slow unpacker never slows the download down, and the copy is the kernel's (splice).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import select
import threading
import time

from rootless.errors import RegistryError
from rootless.image import http
from rootless.model import digest as digests
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.image.progress import Progress
    from rootless.image.source import Source
    from rootless.model.media import Descriptor
    from rootless.store.paths import Paths

_CHUNK_BYTES = 1 << 18
_REHASH_BYTES = 1 << 20
_PIPE_BYTES = 1 << 20
# Failures in a row that are endured; a connection that brought this much was none.
_ATTEMPTS = http.ATTEMPTS
_WORTHWHILE_BYTES = 1 << 20
_POLL_SECONDS = 0.1
_F_SETPIPE_SZ = 1031
_PREFIX = "download-"
_PARTIAL = ".partial"
_LOCK = ".lock"


class BlobLock:
    """The right to bring one blob (and its layer) into the store; a context manager."""

    def __init__(
        self, paths: Paths, digest: str, source: Source, on_wait: Callable[[], None]
    ) -> None:
        path = f"{paths.tmp}/{_PREFIX}{digests.hex_of(digest)}{_LOCK}"
        self._lock = files.Lock(path, blocking=False)
        self._source = source
        self._on_wait = on_wait

    def __enter__(self) -> BlobLock:
        is_told = False
        while not self._try():
            if not is_told:
                self._on_wait()
                is_told = True
            self._source.pause(_POLL_SECONDS)
        return self

    def _try(self) -> bool:
        try:
            if not self._lock.acquire():
                return False
        except OSError as error:
            raise files.explain(error, self._lock.path) from error
        if self._lock.is_current():
            return True
        # Its holder unlinked it between our open and our flock.
        self._lock.release()
        return False

    def __exit__(self, *exception: object) -> None:
        os.unlink(self._lock.path)
        self._lock.release()


class Partial:
    """The bytes of a blob that have arrived, and their running hash; a context manager."""

    def __init__(self, paths: Paths, descriptor: Descriptor) -> None:
        self.path = f"{paths.tmp}/{_PREFIX}{digests.hex_of(descriptor.digest)}{_PARTIAL}"
        self.descriptor = descriptor
        self.size = 0
        self._hash = hashlib.sha256()
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise files.explain(error, self.path) from error
        self._resume()

    def _resume(self) -> None:
        if os.fstat(self.fd).st_size > self.descriptor.size:
            self.reset()
        while data := os.pread(self.fd, _REHASH_BYTES, self.size):
            self._hash.update(data)
            self.size += len(data)

    def reset(self) -> None:
        """Forget every byte."""
        os.ftruncate(self.fd, 0)
        self.size = 0
        self._hash = hashlib.sha256()

    def append(self, data: bytes) -> None:
        """Add `data`. Raises StoreError; what had been written by then stays for another time."""
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self.fd, view, self.size)
                self._hash.update(view[:count])
                self.size += count
                view = view[count:]
        except OSError as error:
            raise files.explain(error, self.path) from error

    @property
    def digest(self) -> str:
        """The digest of what is here."""
        return digests.PREFIX + self._hash.hexdigest()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.size == 0:
            files.unlink_if_there(self.path)
        os.close(self.fd)


def receive(
    source: Source, partial: Partial, progress: Progress, offer: Callable[[int], None]
) -> None:
    """Complete `partial` and verify it; `offer(size)` is called as it grows.

    Raises RegistryError (the partial file is emptied when its content is wrong, and kept when the
    connection failed), StoreError when it cannot be written.
    """
    descriptor = partial.descriptor
    progress.begin(descriptor.digest, descriptor.size, partial.size)
    offer(partial.size)
    failures = 0
    while partial.size < descriptor.size:
        before = partial.size
        try:
            _receive_some(source, partial, progress, offer)
        except http.TransportError as error:
            failures = 1 if partial.size - before >= _WORTHWHILE_BYTES else failures + 1
            if not error.is_temporary or failures >= _ATTEMPTS:
                raise
            progress.message(f"{digests.short(descriptor.digest)}: {error.message}; trying again")
            source.pause(http.backoff(failures))
    if partial.digest != descriptor.digest:
        found = partial.digest
        partial.reset()
        raise RegistryError(f"blob {descriptor.digest}: the bytes sent have the digest {found}")


def _receive_some(
    source: Source, partial: Partial, progress: Progress, offer: Callable[[int], None]
) -> None:
    digest, size = partial.descriptor.digest, partial.descriptor.size
    with source.open_blob(digest, size, partial.size) as stream:
        _skip(stream.read_some, partial.size - stream.offset, digest)
        while data := stream.read_some(_CHUNK_BYTES):
            source.check()
            if partial.size + len(data) > size:
                partial.reset()
                raise RegistryError(f"blob {digest}: more than the {size} bytes of its descriptor")
            partial.append(data)
            progress.advance(digest, len(data))
            offer(partial.size)
    if partial.size < size:
        text = f"blob {digest}: ended after {partial.size} of {size} bytes"
        raise http.TransportError(text, is_temporary=True)


def _skip(read_some: Callable[[int], bytes], count: int, digest: str) -> None:
    """Read past what is here already: the server began at an earlier place."""
    while count > 0:
        data = read_some(min(count, _CHUNK_BYTES))
        if not data:
            raise http.TransportError(f"blob {digest}: ended early", is_temporary=True)
        count -= len(data)


class Feeder:
    """A thread that copies a growing file into a pipe, up to what has been offered."""

    def __init__(self, source_fd: int) -> None:
        self.read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        try:
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            # Above the user's share of pipe pages (pipe(7)): the default size works too.
            pass
        self._source_fd = source_fd
        self._changed = threading.Condition()
        self._offered = 0
        self._is_ended = False
        self._is_stopped = False
        # Whether the reader went away: it has found the layer bad, and says why when asked.
        self.is_refused = False
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()

    def offer(self, size: int) -> None:
        """The first `size` bytes of the file are there."""
        with self._changed:
            self._offered = size
            self._changed.notify()

    def end(self) -> None:
        """Everything was offered: return when it has been read, or refused."""
        with self._changed:
            self._is_ended = True
            self._changed.notify()
        self._thread.join()

    def abandon(self) -> None:
        """Make the reader see an early end, soon; from any thread."""
        with self._changed:
            self._is_stopped = self._is_ended = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread, early where there is more to copy, and free the pipe."""
        self.abandon()
        self._thread.join()
        self.close_reader()

    def close_reader(self) -> None:
        """Our copy of the read end, once the unpacker has its own."""
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    def _run(self) -> None:
        try:
            position = 0
            while (available := self._wait(position)) > position:
                position += self._copy(position, available)
        except OSError:
            # EPIPE nearly always. Whatever it is, the unpacker misses bytes and will say so.
            self.is_refused = True
        finally:
            os.close(self._write_fd)

    def _wait(self, position: int) -> int:
        with self._changed:
            while self._offered <= position and not self._is_ended:
                self._changed.wait()
            return position if self._is_stopped else self._offered

    def _copy(self, position: int, available: int) -> int:
        """Bytes copied; 0 never: it waits for room, a refusal or a stop."""
        poller = select.poll()
        poller.register(self._write_fd, select.POLLOUT)
        while not self._is_stopped:
            if poller.poll(_POLL_SECONDS * 1000):
                try:
                    return self._splice(min(available - position, _PIPE_BYTES), position)
                except BlockingIOError:
                    continue
        return 0

    def _splice(self, count: int, position: int) -> int:
        fd, flags = self._source_fd, os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
        try:
            return os.splice(fd, self._write_fd, count, offset_src=position, flags=flags)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        # File systems that cannot splice, some of FUSE among them.
        return os.write(self._write_fd, os.pread(fd, min(count, _CHUNK_BYTES), position))


def sweep(paths: Paths, older_than_seconds: float) -> int:
    """Remove partial downloads that nobody continued for so long; the bytes that this frees.

    Locks that killed pulls left go too.
    """
    stems = {name.rpartition(".")[0] for name in os.listdir(paths.tmp) if _is_ours(name)}
    return sum(_sweep_one(f"{paths.tmp}/{stem}", older_than_seconds) for stem in sorted(stems))


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith((_PARTIAL, _LOCK))


def _sweep_one(stem: str, older_than_seconds: float) -> int:
    lock = files.Lock(stem + _LOCK, blocking=False)
    if not lock.acquire():
        return 0
    try:
        if not lock.is_current():
            return 0
        freed = _remove_if_old(stem + _PARTIAL, older_than_seconds)
        os.unlink(lock.path)
        return freed
    finally:
        lock.release()


def _remove_if_old(path: str, older_than_seconds: float) -> int:
    try:
        info = os.stat(path)
        if time.time() - info.st_mtime < older_than_seconds:
            return 0
        os.unlink(path)
    except FileNotFoundError:
        return 0
    return info.st_size
