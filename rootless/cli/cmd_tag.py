"""`rl tag` and `rl untag`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import EXIT_ENGINE


def tag(parsed: Parsed) -> int:
    """Name an image. Nothing is said, as with docker and podman."""
    from rootless.image import tag as image_tag
    from rootless.store import paths

    source, *targets = parsed.arguments
    image_tag.tag(paths.discover(), source, targets)
    return 0


def untag(parsed: Parsed) -> int:
    """Take names from an image."""
    from rootless.image import tag as image_tag
    from rootless.store import paths

    source, *names = parsed.arguments
    image_tag.untag(paths.discover(), source, names)
    return 0


TAG = Signature(
    tag,
    "Give an image more names. A name without a registry is below localhost/.",
    (),
    (Argument("IMAGE"), Argument("NAME", 1, None)),
    error_code=EXIT_ENGINE,
    examples=("rl tag helloworld registry.example.org/team/helloworld:1.2",),
)

UNTAG = Signature(
    untag,
    "Take names from an image, all of them where none is given. The image stays.",
    (),
    (Argument("IMAGE"), Argument("NAME", 0, None)),
    error_code=EXIT_ENGINE,
    examples=(
        "rl untag helloworld helloworld:old",
        "rl untag 3f2a9b1c helloworld:1.1 helloworld:1.2",
    ),
)
