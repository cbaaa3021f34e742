"""Content digests, `sha256:HEX` (image-spec, descriptor.md, "Digests").

Only sha256 is accepted for content: every registry speaks it and the store is keyed by it.
"""

from __future__ import annotations

PREFIX = "sha256:"
_HEX_LENGTH = 64
_HEX = frozenset("0123456789abcdef")


def is_digest(text: object) -> bool:
    """Whether `text` is a well-formed sha256 digest; any object may be asked about."""
    return isinstance(text, str) and problem_of(text) == ""


def problem_of(text: str) -> str:
    """The rule that `text` breaks as a digest, "" when it breaks none."""
    algorithm, colon, value = text.partition(":")
    if not colon:
        return "a digest is ALGORITHM:HEX, such as sha256:" + "0" * 8 + "…"
    if algorithm != "sha256":
        return f"digest algorithm {algorithm!r} is not supported, only sha256 is"
    if len(value) != _HEX_LENGTH:
        return f"a sha256 digest has {_HEX_LENGTH} hexadecimal digits, this one has {len(value)}"
    if not _HEX.issuperset(value):
        return "a digest is made of the digits 0-9 and a-f"
    return ""


def hex_of(digest: str) -> str:
    """The part after `sha256:`."""
    return digest.partition(":")[2]


def of(data: bytes) -> str:
    """The digest of `data`."""
    import hashlib

    return PREFIX + hashlib.sha256(data).hexdigest()


def short(digest: str) -> str:
    """Twelve digits, as docker and podman print ids."""
    return hex_of(digest)[:12]
