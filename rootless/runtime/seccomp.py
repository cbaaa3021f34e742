"""The seccomp filter of a container: from a profile to the program, and the cache between.

Compiling takes about ten milliseconds and the default document is nearly always the same, so the
program is kept in a file of the private runtime directory. The file holds the whole document beside
the program and counts only where that is equal, byte for byte: neither a collision of names nor a
damaged file can put another filter in place.
"""

from __future__ import annotations

import marshal
import os
import zlib

from rootless import config, log
from rootless.errors import RlError, StoreError, UsageError
from rootless.model import jsontext
from rootless.model import seccomp as model
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

_PROFILE = "seccomp.json"
# Changes with the meaning of the file or of the compiler's work, so that older files are left out.
_MAGIC = b"rl-seccomp-1\n"
# Without interned strings and back references, which differ between equal documents.
_MARSHAL_VERSION = 2


def default_document(caps: Collection[str]) -> dict[str, Any]:
    """The OCI `linux.seccomp` document of rl's default profile for the bounding set `caps`.

    A seccomp.json of the administrator or of the user takes the place of the shipped one.
    """
    own = config.user_files(_PROFILE)
    return _document(own[-1] if own else config.shipped(_PROFILE), caps)


def load_document(path: str, caps: Collection[str]) -> dict[str, Any]:
    """The same of the profile at `path`, which --security-opt seccomp= named.

    Raises UsageError when there is none or when it is no profile.
    """
    try:
        return _document(path, caps)
    except RlError as error:
        raise UsageError(f"--security-opt seccomp={path}: {error.message}", error.hint) from error


def _document(path: str, caps: Collection[str]) -> dict[str, Any]:
    host = os.uname()
    try:
        with open(path, "rb") as file:
            profile = jsontext.loads(file.read())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=f"ls -l {path}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint=f"python3 -m json.tool {path}") from error
    return model.resolve(profile, caps, host.machine, host.release)


def program_for(document: Mapping[str, Any], cache_dir: str) -> bytes:
    """The compiled program of `document`, from `cache_dir` where it is there already.

    The directory is made when missing (0700). One that cannot be used is no failure; one that
    others can write to is not used. Raises HostError and UsageError as `compile_filter` does.
    """
    # The machine counts too: a document without architectures means the machine's own.
    key = marshal.dumps([os.uname().machine, document], _MARSHAL_VERSION)
    head = _MAGIC + b"%d %d\n" % (len(key), zlib.crc32(key)) + key
    path = f"{cache_dir}/seccomp-{zlib.crc32(key):08x}"
    usable = files.is_private(cache_dir, os.geteuid())
    program = _cached(path, head) if usable else None
    if program is None:
        program = _compile(document)
        _keep(cache_dir, path, head, program)
    return program


def _cached(path: str, head: bytes) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        content = os.read(fd, os.fstat(fd).st_size)
    except OSError:
        return None
    finally:
        os.close(fd)
    program = content[len(head) + 4 :]
    check = zlib.crc32(program).to_bytes(4, "little")
    if not program or not content.startswith(head + check):
        return None
    return program


def _compile(document: Mapping[str, Any]) -> bytes:
    # Loads libseccomp: not for a start that finds its program in the cache.
    from rootless.kernel import seccomp

    return seccomp.compile_filter(document)


def _keep(cache_dir: str, path: str, head: bytes, program: bytes) -> None:
    check = zlib.crc32(program).to_bytes(4, "little")
    try:
        files.make_dirs(cache_dir)
        if files.is_private(cache_dir, os.geteuid()):
            log.effect(f"write {path}")
            files.write_atomic(path, head + check + program, mode=0o600)
    except StoreError as error:
        log.effect(f"seccomp: the program is not kept: {error.message}")
