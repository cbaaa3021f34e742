"""`rl push`."""

from __future__ import annotations

import os

from rootless.cli import output, registry_options
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.auth import Credentials


def push(parsed: Parsed) -> int:
    """Push an image, or all of a repository; only digests go to standard output."""
    texts, destination = _meant(parsed)
    insecure, credentials = registry_options.access(parsed)
    for text in texts:
        _push(parsed, text, destination, insecure=insecure, credentials=credentials)
    return 0


def _meant(parsed: Parsed) -> tuple[list[str], str]:
    """The images to push, and where to: "" is where their names say."""
    text, *rest = parsed.arguments
    if not parsed.flag("all-tags"):
        return [text], rest[0] if rest else ""
    if rest:
        raise UsageError("rl push --all-tags: pushes to where the names say, not to a DESTINATION")
    from rootless.image import tag
    from rootless.store import paths

    names = tag.of_repository(paths.discover(), text)
    if not names:
        raise NotFoundError(f"{text}: no image has a name of that repository", "rl images")
    return names, ""


def _push(
    parsed: Parsed, text: str, destination: str, *, insecure: bool, credentials: Credentials | None
) -> None:
    from rootless.cli import progress
    from rootless.image import push as image_push
    from rootless.store import paths

    with progress.choose(quiet=parsed.flag("quiet"), doing="pushing") as shown:
        wishes = image_push.Wishes(
            insecure=insecure, credentials=credentials, progress=shown,
            compression=parsed.text("compression-format"),
        )  # fmt: skip
        try:
            pushed = image_push.push(paths.discover(), text, destination, wishes)
        except NotFoundError as error:
            raise _hinted(error, text) from error
    write_digest(parsed.text("digestfile"), pushed.digest)
    quiet = parsed.flag("quiet")
    output.write_line(pushed.digest if quiet else image_push.shown_digest(pushed))


def _hinted(error: NotFoundError, text: str) -> NotFoundError:
    """What is no image may be a manifest list."""
    from rootless.image import tag
    from rootless.store import lists, paths

    try:
        is_list = lists.find(paths.discover(), tag.new_name(text)) is not None
    except RlError:
        is_list = False
    return NotFoundError(error.message, f"rl manifest push {text}") if is_list else error


def write_digest(path: str, digest: str) -> None:
    """--digestfile, which gets nothing but the digest."""
    if not path:
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        with open(fd, "w") as file:
            file.write(digest)
    except OSError as error:
        raise RlError(f"{path}: {error.strerror}") from error


DIGEST_FILE = value("--digestfile", "FILE", "Write the digest that the image has there to FILE")

PUSH = Signature(
    push,
    "Send an image to a registry: to the one in its name, or to DESTINATION.",
    (
        flag("-a --all-tags", "All tags of the repository IMAGE, to where the names say"),
        flag("-q --quiet", "Print only the digest"),
        DIGEST_FILE,
        value(
            "--compression-format",
            "FORMAT",
            "Pack the layers so first; the digest changes",
            choices=("gzip", "zstd"),
        ),
        *registry_options.ACCESS,
    ),
    (Argument("IMAGE"), Argument("DESTINATION", 0, 1)),
    error_code=EXIT_ENGINE,
    examples=(
        "rl push registry.example.org/team/app:1.2",
        "rl push helloworld docker.io/me/helloworld",
        "rl push --digestfile app.digest app localhost:5000/app",
    ),
)
