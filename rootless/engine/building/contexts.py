"""Where a context comes from: a directory, an archive, standard input, or a Git repository."""

from __future__ import annotations

import os
from contextlib import contextmanager

from rootless.engine.building import archives, context, gitsource
from rootless.engine.building.context import STDIN, Context
from rootless.errors import RlError, UsageError
from rootless.store import files, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine.building.spec import BuildSpec
    from rootless.store.paths import Paths

_PIECE = 1 << 18
_OK = 200


@contextmanager
def opened(paths: Paths, spec: BuildSpec) -> Iterator[Context]:
    """The context of `spec` while the block runs. Raises RlError."""
    where = spec.context
    if where == STDIN and spec.file == STDIN:
        raise UsageError("rl build -f - -: standard input cannot be both", exit_code=1)
    if os.path.isdir(where):
        found = context.of_directory(where, spec.file)
        try:
            yield found
        finally:
            found.close()
        return
    with layers.Workspace(paths) as workspace:
        folder = f"{workspace.path}/context"
        try:
            found = _fetched(where, spec.file, folder)
        except OSError as error:
            raise files.explain(error, folder) from error
        try:
            yield found
        finally:
            found.close()


def _fetched(where: str, given: str, folder: str) -> Context:
    if where == STDIN:
        return context.of_stdin(folder, given)
    if gitsource.is_git(where):
        gitsource.clone(where, folder)
        return context.of_tree(folder, where, given)
    if where.startswith(("http://", "https://")):
        return _of_url(where, given, folder)
    return context.of_archive(where, folder, given) or context.of_directory(where, given)


def _of_url(url: str, given: str, folder: str) -> Context:
    """An archive, or a Dockerfile alone."""
    from rootless.image.http import Client

    client = Client()
    spool = os.open(os.path.dirname(folder), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        with client.open(url, {}) as response:
            if response.status != _OK:
                raise RlError(f"{url}: the server answers {response.status}")
            with open(spool, "wb", closefd=False) as file:
                while piece := response.read_some(_PIECE):
                    file.write(piece)
        os.lseek(spool, 0, os.SEEK_SET)
        found = archives.pieces(spool)
        if found is not None:
            return context.of_stream(found, url, folder, given)
        return context.of_text(os.pread(spool, context.MOST, 0), folder)
    finally:
        client.close()
        os.close(spool)
