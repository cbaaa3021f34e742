"""The context of a build: the directory that COPY and ADD take from, and the Dockerfile.

It is opened once; from then on everything is looked for below that descriptor (`selection`).
"""

from __future__ import annotations

import os
import stat

from rootless.engine.building import archives
from rootless.errors import NotFoundError, RlError, UsageError, describe_os_error
from rootless.image import extract
from rootless.kernel import mounts
from rootless.model.dockerfile import ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.model.dockerfile.ignore import Ignore

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAMES = ("Containerfile", "Dockerfile")
_IGNORE_FILES = (".containerignore", ".dockerignore")
MOST = 16 << 20
STDIN = "-"


class Context:
    """fd: the directory; shown: how messages name it; dockerfile: its text; file: its name."""

    def __init__(self, fd: int, shown: str) -> None:
        self.fd = fd
        self.shown = shown
        self.file = ""
        self.dockerfile = b""
        self.ignore: Ignore = ignore.Ignore([])

    def read(self, name: str) -> bytes | None:
        """The file `name` of the context, None without it. Raises RlError."""
        try:
            fd = mounts.open_in_root(self.fd, name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RlError(f"{self.shown}: {name}: {error.strerror}") from None
        return _content(fd, name)

    def _find_dockerfile(self) -> None:
        for name in _NAMES:
            content = self.read(name)
            if content is not None:
                self.file, self.dockerfile = name, content
                return
        raise NotFoundError(
            f"{self.shown}: neither a Containerfile nor a Dockerfile is in it",
            hint="rl build -f FILE CONTEXT",
        )

    def take_dockerfile(self, given: str, *, is_local: bool) -> None:
        """Read what -f names, else the usual file. is_local: the context is the user's own
        directory, so that a path of the host is meant where there is one."""
        if not given:
            self._find_dockerfile()
        elif given == STDIN:
            self.file, self.dockerfile = "Dockerfile", _content(os.dup(0), "standard input")
        else:
            self.file, self.dockerfile = given, self._given(given, is_local=is_local)
            if is_local and os.path.exists(given) and self._read_ignore_beside(given):
                return
        self._read_ignore()

    def _read_ignore_beside(self, path: str) -> bool:
        """Read the one of a Dockerfile outside of the context; whether it is there."""
        for name in _IGNORE_FILES:
            if os.path.isfile(path + name):
                fd = os.open(path + name, os.O_RDONLY | os.O_CLOEXEC)
                self.ignore = ignore.parse(_content(fd, path + name), path + name)
                return True
        return False

    def _given(self, given: str, *, is_local: bool) -> bytes:
        if is_local and os.path.exists(given):
            try:
                return _content(os.open(given, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), given)
            except OSError as error:
                raise RlError(describe_os_error(error)) from error
        content = self.read(given)
        if content is None:
            raise NotFoundError(f"-f {given}: no such file, nor one in {self.shown}")
        return content

    def _read_ignore(self) -> None:
        own = tuple(f"{self.file}{name}" for name in _IGNORE_FILES)
        for name in (*own, *_IGNORE_FILES):
            content = None if name.startswith("/") else self.read(name)
            if content is not None:
                self.ignore = ignore.parse(content, name)
                return

    def close(self) -> None:
        """Close the directory."""
        os.close(self.fd)


def _content(fd: int, name: str) -> bytes:
    # open() itself refuses a directory, in words that do not name it.
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{name}: is a directory", exit_code=1)
    with open(fd, "rb") as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise UsageError(f"{name}: is larger than {MOST >> 20} MiB", exit_code=1)
    return content


def of_directory(path: str, given: str) -> Context:
    """The user's own directory. Raises NotFoundError, UsageError."""
    try:
        fd = os.open(path, _FOLDER)
    except NotADirectoryError:
        raise UsageError(
            f"{path}: is neither a directory nor an archive", hint="rl build [-f FILE] DIRECTORY",
            exit_code=1,
        ) from None  # fmt: skip
    except OSError as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else RlError
        raise kind(f"{path}: {error.strerror}") from error
    context = Context(fd, f"the context {path}")
    try:
        context.take_dockerfile(given, is_local=True)
    except BaseException:
        context.close()
        raise
    return context


def of_stream(pieces: Iterator[bytes], shown: str, folder: str, given: str) -> Context:
    """An archive, unpacked into `folder`, which the caller removes."""
    os.mkdir(folder, 0o700)
    fd = os.open(folder, _FOLDER)
    owners = extract.Owners(extract.OWN_FILES, keep=False, special=False)
    extract.extract(pieces, os.dup(fd), os.dup(fd), extract.Naming(b""), owners)
    context = Context(fd, f"the context {shown}")
    context.take_dockerfile(given, is_local=False)
    return context


def of_stdin(folder: str, given: str) -> Context:
    """`rl build -`: an archive, or a Dockerfile without a context."""
    head = b""
    while len(head) < 512 and (more := os.read(0, 512 - len(head))):
        head += more
    is_archive = archives.is_header(head) or head.startswith(archives.COMPRESSED)
    if is_archive:
        spool = os.open(os.path.dirname(folder), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        with open(spool, "r+b") as file:
            file.write(head)
            while piece := os.read(0, 1 << 18):
                file.write(piece)
            file.seek(0)
            return of_stream(archives.plain(spool), "on standard input", folder, given)
    with open(os.dup(0), "rb") as rest:
        return of_text(head + rest.read(MOST), folder)


def of_text(dockerfile: bytes, folder: str) -> Context:
    """A Dockerfile without a context."""
    os.mkdir(folder, 0o700)
    context = Context(os.open(folder, _FOLDER), "the empty context")
    context.file, context.dockerfile = "Dockerfile", dockerfile
    return context


def of_tree(folder: str, shown: str, given: str) -> Context:
    """A directory that is ours alone: a repository."""
    context = Context(os.open(folder, _FOLDER), f"the context {shown}")
    context.take_dockerfile(given, is_local=False)
    return context


def of_archive(path: str, folder: str, given: str) -> Context | None:
    """The archive `path` as a context; None when it is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        found = archives.pieces(fd)
        return of_stream(found, path, folder, given) if found is not None else None
    finally:
        os.close(fd)
