"""`rl import`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.platform import Platform


def import_(parsed: Parsed) -> int:
    """Make an image of an archive; its id on standard output."""
    import sys

    from rootless.cli import output
    from rootless.engine import recover
    from rootless.image import rootfs_import
    from rootless.model import platform
    from rootless.store import paths

    source, *name = parsed.arguments
    if source == "-" and sys.stdin.isatty():
        raise UsageError("rl import -: an archive is not typed", "rl import - NAME < rootfs.tar")
    places = paths.discover()
    recover.tidy(places)
    made = rootfs_import.import_rootfs(
        places, source, "".join(name), _platform(parsed, platform.host()),
        message=parsed.text("message"), changes=parsed.all("change"),
    )  # fmt: skip
    output.write_line(made.image_id)
    return 0


def _platform(parsed: Parsed, host: Platform) -> Platform:
    from rootless.model import platform

    asked = parsed.text("platform")
    if asked:
        return platform.parse(asked)
    system, machine = parsed.text("os"), parsed.text("arch")
    variant = parsed.text("variant") or ("" if machine else host.variant)
    return platform.Platform(system or host.os, machine or host.architecture, variant)


IMPORT = Signature(
    import_,
    "Make an image of the tar archive of a root file system: a file, a URL, or - for standard"
    " input; compressed or not.",
    (
        repeat("-c --change", "INSTRUCTION", "Set the image's configuration, such as 'CMD sh'"),
        value("-m --message", "TEXT", "A comment in the image's history"),
        value("--platform", "OS/ARCH", "What is in it is for another platform than this one"),
        value("--os", "OS", "The same in parts"),
        value("--arch", "ARCH", "The same in parts"),
        value("--variant", "VARIANT", "The same in parts"),
        flag("-q --quiet", "Taken for the sake of podman: only the id is printed anyway"),
    ),
    (Argument("SOURCE"), Argument("NAME", 0, 1)),
    error_code=EXIT_ENGINE,
    examples=(
        "rl import -c 'CMD [\"bash\"]' debian.tar.gz debian:mine",
        "rl export web | rl import - web:flat",
    ),
)
