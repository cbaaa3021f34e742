"""`rl commit`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE


def commit(parsed: Parsed) -> int:
    """Make an image of a container; its id on standard output, as docker writes it."""
    from rootless.cli import output
    from rootless.engine import commit as engine_commit
    from rootless.engine import recover
    from rootless.store import files, paths

    places = paths.discover()
    recover.tidy(places)
    container, *name = parsed.arguments
    spec = engine_commit.CommitSpec(
        name="".join(name),
        author=parsed.text("author"),
        message=parsed.text("message"),
        changes=parsed.all("change"),
        image_format=parsed.text("format"),
        pause=parsed.flag("pause"),
        squash=parsed.flag("squash"),
    )
    made = engine_commit.commit(places, container, spec)
    if parsed.text("iidfile"):
        files.write_atomic(parsed.text("iidfile"), made.image_id.encode())
    output.write_line(made.image_id)
    return 0


COMMIT = Signature(
    commit,
    "Make an image of a container: of its image, and of what it has changed in that. Volumes are"
    " not in it, nor what rl mounts, such as /etc/hosts.",
    (
        value("-a --author", "NAME", "Who made the image"),
        repeat("-c --change", "INSTRUCTION", "Change the image's configuration, such as 'CMD sh'"),
        value(
            "-f --format", "FORMAT", "The manifest's format",
            default="oci", choices=("oci", "docker"),
        ),
        value("--iidfile", "FILE", "Write the image's id to FILE"),
        value("-m --message", "TEXT", "A comment in the image's history"),
        flag("-p --pause", "Pause the container meanwhile, if it runs", default=True),
        flag("-q --quiet", "Taken for the sake of podman: only the id is printed anyway"),
        flag("-s --squash", "One layer of the image's and the container's files together"),
    ),
    (Argument("CONTAINER"), Argument("NAME", 0, 1)),
    error_code=EXIT_ENGINE,
    examples=(
        "rl commit web registry.example.org/team/web:fixed",
        "rl commit -m 'with curl' -c 'CMD [\"sh\"]' -c ENV=DEBUG=1 web web:debug",
    ),
)  # fmt: skip
