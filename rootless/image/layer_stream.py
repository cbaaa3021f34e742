"""The bytes of a layer's archive on their way to a blob: hashed, compressed, hashed again.

`LayerStream` takes the archive in pieces. Blocks of 1 MiB go through threads: each is compressed
on its own (with the 32 KiB before it as dictionary, as pigz does it), and one thread, in their
order, hashes them, writes what came out and hashes that. So the compressed bytes depend on the
archive alone, not on how many threads there are, and both digests are there when the last byte is.

gzip: always zlib, never a faster library that some machine lacks: the same archive is to give the
same blob everywhere (of one zlib: distributions that replace it get other bytes, and the same diff
id). Level and block were measured: decision 0031.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import zlib

from rootless.errors import UsageError
from rootless.image import decompress
from rootless.model import digest as digests
from rootless.model import media

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Compress = Callable[[bytes, bytes], bytes]

GZIP, ZSTD, NONE = "gzip", "zstd", "none"
COMPRESSIONS = (GZIP, ZSTD, NONE)
MEDIA_TYPES = {
    GZIP: f"{media.OCI_LAYER}+gzip", ZSTD: f"{media.OCI_LAYER}+zstd", NONE: media.OCI_LAYER,
}  # fmt: skip
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
_WINDOW = 1 << 15
_LEVEL = 4
_ZSTD_LEVEL = 3
# RFC 1952: no name, no time, and "unknown" as the system that it was made on.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# Blocks on their way: enough that nobody waits, and little memory.
_IN_FLIGHT = 8
_THREADS = 4


def media_type(compression: str, *, docker: bool = False) -> str:
    """The media type of a layer with that compression. Raises UsageError.

    docker: as its own manifests call it, which know no zstd.
    """
    if compression not in COMPRESSIONS:
        raise UsageError(f"compression {compression}: one of {', '.join(COMPRESSIONS)} is expected")
    if not docker:
        return MEDIA_TYPES[compression]
    if compression == ZSTD:
        raise UsageError("compression zstd: docker's format has none", hint="--format oci")
    return _DOCKER_LAYER + (".gzip" if compression == GZIP else "")


class LayerStream:
    """Writes the blob of an archive to the descriptor `fd`. `close` in any case.

    diff_id, digest: of the archive and of the blob; size: the blob's bytes. After `finish`.
    """

    def __init__(self, fd: int, compression: str = GZIP) -> None:
        self.diff_id = self.digest = ""
        self.size = 0
        self._fd = fd
        self._block = bytearray()
        self._window = b""
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._sink = _SINKS[compression](self._put)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ordered: queue.Queue[_Job | None] = queue.Queue(_IN_FLIGHT)
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._write_in_order)]
        for _ in range(
            min(_THREADS, len(os.sched_getaffinity(0))) if self._sink.is_parallel else 0
        ):
            self._threads.append(threading.Thread(target=self._compress))
        for thread in self._threads:
            thread.start()

    def write(self, data: bytes) -> None:
        """Add `data` to the archive. Raises OSError when the blob cannot be written."""
        self._block += data
        while len(self._block) >= _BLOCK:
            self._submit(bytes(self._block[:_BLOCK]))
            del self._block[:_BLOCK]

    def write_zeros(self, count: int) -> None:
        """Add `count` zeros: what a hole in a file is in an archive."""
        filling = min(count, -len(self._block) % _BLOCK)
        self.write(bytes(filling))
        count -= filling
        while count >= _BLOCK:
            self._submit(_ZEROS)
            count -= _BLOCK
        self.write(bytes(count))

    def _submit(self, block: bytes) -> None:
        self._raise_failure()
        job = _Job(block, self._window)
        self._window = block[-_WINDOW:]
        self._ordered.put(job)
        if self._sink.is_parallel:
            self._jobs.put(job)

    def finish(self) -> None:
        """Write what is left. Raises OSError."""
        if self._block:
            self._submit(bytes(self._block))
            self._block.clear()
        self._join()
        self._raise_failure()
        self._sink.finish()
        self.diff_id = digests.PREFIX + self._plain.hexdigest()
        self.digest = digests.PREFIX + self._packed.hexdigest()

    def close(self) -> None:
        """End the threads; of an archive that was not finished nothing is worth keeping."""
        self._join()

    def _join(self) -> None:
        if not self._threads:
            return
        self._ordered.put(None)
        for _ in self._threads[1:]:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _compress(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.packed = self._sink.pack(job)
            except BaseException as error:  # told by the thread that waits for it
                job.failure = error
            job.is_ready.set()

    def _write_in_order(self) -> None:
        while (job := self._ordered.get()) is not None:
            # After a failure blocks are only taken, so that nobody waits for a place in the queue.
            if self._failure is not None:
                continue
            try:
                self._plain.update(job.block)
                if self._sink.is_parallel:
                    job.is_ready.wait()
                if job.failure is not None:
                    raise job.failure
                self._sink.take(job)
            except BaseException as error:  # raised to who writes
                self._failure = error

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


class _Job:
    """A block of the archive. window: what comes before it."""

    __slots__ = ("block", "failure", "is_ready", "packed", "window")

    def __init__(self, block: bytes, window: bytes) -> None:
        self.block = block
        self.window = window
        self.packed = b""
        self.failure: BaseException | None = None
        self.is_ready = threading.Event()


class _Plain:
    """No compression."""

    is_parallel = False

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put

    def pack(self, job: _Job) -> bytes:
        return job.block

    def take(self, job: _Job) -> None:
        self._put(job.block)

    def finish(self) -> None:
        """Nothing is left."""


class _Gzip(_Plain):
    """One gzip member (RFC 1952) of deflate blocks that end at byte boundaries."""

    is_parallel = True

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__(put)
        self._checksum = 0
        self._size = 0
        self._zeros = b""
        self._zero_step: list[int] = []
        put(_GZIP_HEADER)

    def pack(self, job: _Job) -> bytes:
        if job.block is not _ZEROS or job.window != _ZEROS[:_WINDOW]:
            return _deflate(job)
        # Gigabytes of a sparse file's holes: all of these blocks are the same.
        self._zeros = self._zeros or _deflate(job)
        return self._zeros

    def take(self, job: _Job) -> None:
        self._size += len(job.block)
        self._checksum = self._checksum_after(job.block)
        self._put(job.packed)

    def _checksum_after(self, block: bytes) -> int:
        if block is not _ZEROS:
            return zlib.crc32(block, self._checksum)
        # What a CRC becomes by a fixed row of zeros is linear in its bits, but for a constant.
        if not self._zero_step:
            constant = zlib.crc32(_ZEROS)
            self._zero_step = [zlib.crc32(_ZEROS, 1 << bit) ^ constant for bit in range(32)]
            self._zero_step.append(constant)
        *rows, checksum = self._zero_step
        for bit, row in enumerate(rows):
            if self._checksum >> bit & 1:
                checksum ^= row
        return checksum

    def finish(self) -> None:
        """The empty last block, and the trailer."""
        last = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15).flush()
        numbers = (self._checksum, self._size & 0xFFFFFFFF)
        self._put(last + b"".join(number.to_bytes(4, "little") for number in numbers))


def _deflate(job: _Job) -> bytes:
    if job.window:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, zdict=job.window)
    else:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return packer.compress(job.block) + packer.flush(zlib.Z_SYNC_FLUSH)


class _Zstd(_Plain):
    """One zstd frame."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__(put)
        self._packer = decompress.zstd_library().ZstdCompressor(_ZSTD_LEVEL)

    def take(self, job: _Job) -> None:
        self._put(self._packer.compress(job.block))

    def finish(self) -> None:
        self._put(self._packer.flush())


_SINKS: dict[str, Callable[[Callable[[bytes], None]], _Plain]] = {
    GZIP: _Gzip, ZSTD: _Zstd, NONE: _Plain,
}  # fmt: skip
