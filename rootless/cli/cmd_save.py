"""`rl save` and `rl load`."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, UsageError

# As image.save has them; importing it for the help alone would cost more than the help.
_FORMATS = ("docker-archive", "oci-archive", "oci-dir")


def save(parsed: Parsed) -> int:
    """Write images to a file, a directory or standard output."""
    from rootless.cli import progress
    from rootless.image import save as image_save
    from rootless.store import outfile, paths

    places, kind = paths.discover(), parsed.text("format")
    target = parsed.text("output")
    is_stream = target in ("", "-")
    if is_stream and kind == image_save.OCI_DIRECTORY:
        raise UsageError("--format oci-dir: needs a directory to make", "rl save -o DIR …")
    if is_stream:
        name = parsed.arguments[0]
        output.refuse_terminal("rl save", f"rl save -o {_file_for(name)} {name}")
    quiet = parsed.flag("quiet") or is_stream
    with progress.choose(quiet=quiet, doing="saving") as shown:
        if kind == image_save.OCI_DIRECTORY:
            image_save.to_directory(places, parsed.arguments, target, shown)
        elif is_stream:
            image_save.to_descriptor(places, parsed.arguments, 1, kind, shown)
        else:
            with outfile.OutFile(target) as fd:
                image_save.to_descriptor(places, parsed.arguments, fd, kind, shown)
    return 0


def _file_for(name: str) -> str:
    return f"{name.rpartition('/')[2].partition(':')[0].partition('@')[0]}.tar"


def load(parsed: Parsed) -> int:
    """Bring images in from an archive or a directory; one line for each name."""
    from rootless import log
    from rootless.cli import progress
    from rootless.engine import recover
    from rootless.image import load as image_load
    from rootless.model import platform
    from rootless.store import paths

    source, asked = parsed.text("input"), parsed.text("platform")
    if source in ("", "-") and os.isatty(0):
        raise UsageError("rl load: does not read an archive from a terminal", "rl load -i FILE")
    places = paths.discover()
    recover.tidy(places)
    wanted = platform.parse(asked) if asked else None
    with progress.choose(quiet=parsed.flag("quiet"), doing="loading") as shown:
        loaded = image_load.load(places, "" if source == "-" else source, wanted, shown)
        for image in loaded:
            for note in image.notes:
                log.warn(note)
            for name in image.names:
                output.write_line(f"Loaded image: {name}")
            if not image.names:
                output.write_line(f"Loaded image ID: {image.image_id}")
    return 0


SAVE = Signature(
    save,
    "Save images as an archive (or an OCI directory), whole and byte for byte as they are.",
    (
        value("-o --output", "FILE", "Write there instead of standard output"),
        value("--format", "FORMAT", "What to write", default=_FORMATS[0], choices=_FORMATS),
        flag("-m --multi-image-archive", "Several images in one; that is so in any case"),
        flag("-q --quiet", "No progress"),
    ),
    (Argument("IMAGE", 1, None),),
    error_code=EXIT_ENGINE,
    examples=(
        "rl save -o tools.tar alpine:3.20 localhost/tool",
        "rl save helloworld | gzip > helloworld.tar.gz",
        "rl save --format oci-dir -o layout helloworld",
    ),
)

LOAD = Signature(
    load,
    "Load images from what rl, docker, podman or skopeo saved: docker or OCI archives, plain or"
    " compressed with gzip or zstd, and OCI directories.",
    (
        value("-i --input", "FILE", "Archive or directory (default standard input)"),
        value("--platform", "OS/ARCH[/VARIANT]", "Which of several (default the host's)"),
        flag("-q --quiet", "No progress"),
    ),
    (),
    error_code=EXIT_ENGINE,
    examples=("rl load -i tools.tar", "ssh host podman save app | rl load"),
)
