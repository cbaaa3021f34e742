"""What a pull tells while it runs; drawing it is the caller's business."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Progress(Protocol):
        """Called from several threads, never after `pull` has returned or raised."""

        def message(self, text: str) -> None:
            """One line of news: what is fetched from where, what is waited for."""

        def begin(self, digest: str, total: int, have: int) -> None:
            """Blob `digest` of `total` bytes starts; `have` of them are there from before."""

        def advance(self, digest: str, count: int) -> None:
            """`count` more bytes have arrived."""

        def finish(self, digest: str, outcome: str) -> None:
            """The blob is in the store: "present", "downloaded" or (layers) "unpacked"."""


class Silent:
    """A Progress that says nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def begin(self, digest: str, total: int, have: int) -> None:
        """Say nothing."""

    def advance(self, digest: str, count: int) -> None:
        """Say nothing."""

    def finish(self, digest: str, outcome: str) -> None:
        """Say nothing."""
