"""Where an image comes from: the interface that a pull reads registries and directories through."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Stream(Protocol):
        """Bytes of one blob; a context manager."""

        # Where in the blob the stream starts, which may be before what was asked for.
        offset: int

        def read_some(self, limit: int) -> bytes:
            """At most `limit` bytes, b"" at the end. Raises RegistryError or ImageError."""

        def __enter__(self) -> Stream: ...

        def __exit__(self, *exception: object) -> None: ...

    class Source(Protocol):
        """One image's home. `open_blob`, `check` and `pause` are called from several threads."""

        # The full name that the image gets in the store.
        name: str

        def root(self) -> tuple[bytes, str]:
            """The manifest or index that the reference means, and its declared media type."""

        def manifest(self, digest: str) -> tuple[bytes, str]:
            """The manifest or index with `digest`, verified, and its declared media type."""

        def read_blob(self, digest: str, size: int) -> bytes:
            """A small blob, whole; the caller verifies it."""

        def open_blob(self, digest: str, size: int, offset: int) -> Stream:
            """The blob's bytes from `offset` on, or from an earlier place. Raises RegistryError."""

        def check(self) -> None:
            """Raise when the work was cancelled."""

        def pause(self, seconds: float) -> None:
            """Sleep, ended early by `cancel`."""

        def cancel(self) -> None:
            """Make calls in other threads end soon."""

        def close(self) -> None:
            """Give up what the calling thread holds open; the source stays usable."""
