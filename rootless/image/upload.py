"""One blob on its way into a registry: in one piece or in several, resumed after a cut.

Everything is offered in one request first, which every registry takes and which is the fastest.
After a cut the registry is asked how much it has, and the rest goes in pieces, so that what has
arrived counts; where a request was too large (413) the pieces get smaller. An upload that the
registry has forgotten begins again. Failures are counted as for downloads: a connection that
carried a mebibyte was none.
"""

from __future__ import annotations

from rootless.errors import RegistryError, StoreError
from rootless.image import http
from rootless.image.registry_writer import UnexpectedAnswer, received
from rootless.model import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.image.openblobs import Blob
    from rootless.image.progress import Progress
    from rootless.image.registry_writer import Destination

_READ_BYTES = 1 << 18
# Up to here the bytes go with the request that ends the upload: two requests less.
_SMALL_BYTES = 64 << 10
_PIECE_BYTES = 16 << 20
_SMALLEST_PIECE_BYTES = 1 << 20
_WORTHWHILE_BYTES = 1 << 20
_ATTEMPTS = http.ATTEMPTS
_TOO_LARGE = 413
# The session is gone, or is elsewhere than was thought: what the registry has must be asked for.
_LOST = (404, 416)


class _Piece:
    """Part of a blob as a request's body; may be gone through again."""

    def __init__(self, blob: Blob, offset: int, length: int, sent: Callable[[int], None]) -> None:
        self._blob = blob
        self._offset = offset
        self.length = length
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        offset, end = self._offset, self._offset + self.length
        while offset < end:
            data = self._blob.read(offset, min(_READ_BYTES, end - offset))
            yield data
            offset += len(data)
            self._sent(len(data))


class Upload:
    """Sends `blob` to `target`. url: an upload that was begun already, "" for none."""

    def __init__(self, target: Destination, blob: Blob, progress: Progress, url: str) -> None:
        self._target = target
        self._blob = blob
        self._progress = progress
        self._url = url
        self._offset = 0
        self._limit = max(blob.size, 1)

    def run(self) -> None:
        """Bring the whole blob there. Raises RegistryError, StoreError."""
        self._progress.begin(self._blob.digest, self._blob.size, 0)
        failures = 0
        while True:
            before = self._offset
            try:
                self._send_all()
                return
            except http.TransportError as error:
                if not error.is_temporary:
                    raise
                failures += 1
                self._bear(error, failures)
                if self._is_there():
                    return
                self._resume()
                if self._offset - before >= _WORTHWHILE_BYTES:
                    failures = 0
            except UnexpectedAnswer as error:
                failures += 1
                if error.status in _LOST and self._is_there():
                    # A request that was repeated for its lost answer finds the upload closed.
                    return
                if not self._adapt(error) or failures >= _ATTEMPTS:
                    raise self._explained(error) from error

    def _bear(self, error: http.TransportError, failures: int) -> None:
        if failures >= _ATTEMPTS:
            raise error
        name = digests.short(self._blob.digest)
        self._progress.message(f"{name}: {error.message}; trying again")
        asked = getattr(error, "seconds", None)
        self._target.session.client.pause(http.backoff(failures) if asked is None else asked)

    def _send_all(self) -> None:
        blob = self._blob
        self._url = self._url or self._target.begin()
        if blob.size <= _SMALL_BYTES and not self._offset:
            self._target.finish(self._url, blob.digest, blob.read(0, blob.size))
            return
        while self._offset < blob.size:
            self._send_piece()
        self._target.finish(self._url, blob.digest, b"")

    def _send_piece(self) -> None:
        length = min(self._limit, self._blob.size - self._offset)
        body = _Piece(self._blob, self._offset, length, self._advance)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        if length < self._blob.size:
            # Of a whole blob it says nothing, and some registries take it for a mistake.
            headers["Content-Range"] = f"{self._offset}-{self._offset + length - 1}"
        response = self._target.send(self._url, headers, body)
        self._url = self._target.session.located(response) or self._url
        end, has = self._offset + length, received(response)
        if has > end:
            raise RegistryError(f"{self._target}: blob {self._blob.digest}: the registry says "
                                f"that it has {has} bytes and was sent {end}")  # fmt: skip
        # Some name the last piece alone: less than before is no answer to the question.
        self._offset = has if has > self._offset else end

    def _advance(self, count: int) -> None:
        self._progress.advance(self._blob.digest, count)

    def _is_there(self) -> bool:
        """Whether only the last answer was lost."""
        is_sent = self._offset == self._blob.size or self._blob.size <= _SMALL_BYTES
        return is_sent and self._target.has_blob(self._blob.digest, self._blob.size)

    def _resume(self) -> None:
        """After a cut: from where the registry has it, else from the beginning."""
        self._limit = min(self._limit, _PIECE_BYTES)
        try:
            self._offset, self._url = self._target.state(self._url) if self._url else (0, "")
        except RegistryError:
            self._offset, self._url = 0, ""
        if self._offset > self._blob.size:
            self._offset, self._url = 0, ""
        self._progress.begin(self._blob.digest, self._blob.size, self._offset)

    def _adapt(self, error: UnexpectedAnswer) -> bool:
        """Whether there is another way that is worth a try."""
        if error.status == _TOO_LARGE and self._limit > _SMALLEST_PIECE_BYTES:
            self._limit = max(self._limit // 4, _SMALLEST_PIECE_BYTES)
            self._resume()
            return True
        if error.status in _LOST and self._url:
            self._resume()
            return True
        return False

    def _explained(self, error: UnexpectedAnswer) -> Exception:
        if error.status == _TOO_LARGE:
            error.hint = "the registry, or a proxy before it, limits the size of requests"
        elif error.status == 400 and self._blob.is_damaged():
            return StoreError(
                f"{self._blob.path}: damaged, its content has another digest",
                hint="rl rmi --force IMAGE, then rl pull IMAGE",
            )
        return error
