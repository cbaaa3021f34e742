"""`rl image squash`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, UsageError
from rootless.model.digits import number

# As tools.squashfs_tools has them.
_COMPRESSIONS = ("zstd", "lz4", "gzip", "xz", "none")

_LEVELS = {"zstd": 22, "gzip": 9}


def squash(parsed: Parsed) -> int:
    """Write an image as one file, and print the file's name and size."""
    from rootless.cli import progress
    from rootless.engine import recover
    from rootless.engine import squash as engine_squash
    from rootless.store import paths

    image, path = parsed.arguments
    spec = engine_squash.SquashSpec(
        image,
        path,
        compression=parsed.text("compression"),
        level=_level(parsed.text("compression"), parsed.optional("compression-level")),
        force=parsed.flag("force"),
        platform=parsed.text("platform"),
    )
    places = paths.discover()
    recover.tidy(places)
    with progress.choose(quiet=parsed.flag("quiet"), doing="squashing") as shown:
        size = engine_squash.squash(places, spec, shown)
    if not parsed.flag("quiet"):
        output.write_line(f"{path}: {output.human_size(size)}")
    return 0


def _level(compression: str, text: str | None) -> int:
    """0 for the usual one. Raises UsageError."""
    if text is None:
        return 0
    most = _LEVELS.get(compression, 0)
    level = number(text, 1, most)
    if level is None:
        range_of_it = f"has 1 to {most}" if most else "has no levels"
        raise UsageError(f"--compression-level {text}: {compression} {range_of_it}")
    return level


SQUASH = Signature(
    squash,
    "Write an image as one squashfs file, which rl run takes in an image's place: on a network"
    " file system one file instead of thousands.",
    (
        value("--compression", "KIND", "Of the file", default="zstd", choices=_COMPRESSIONS),
        value("--compression-level", "N", "1 to 22 for zstd (usually 3), 1 to 9 for gzip"),
        flag("-f --force", "Replace the file if it is there"),
        value("--platform", "OS/ARCH", "Of the image, where it is pulled"),
        flag("-q --quiet", "No progress, and no name at the end"),
    ),
    (Argument("IMAGE"), Argument("FILE")),
    error_code=EXIT_ENGINE,
    examples=(
        "rl image squash debian:12 debian.sqsh; rl run --rm debian.sqsh cat /etc/os-release",
        "SOURCE_DATE_EPOCH=0 rl image squash --compression lz4 -f web /scratch/web.sqsh",
    ),
)
