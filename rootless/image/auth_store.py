"""Keeping credentials, as podman and docker keep them (containers-auth.json(5)).

Written is $REGISTRY_AUTH_FILE, else ${XDG_RUNTIME_DIR}/containers/auth.json, which a reboot
forgets, else ~/.config/containers/auth.json; docker's own file is read only. Where one of these
files names a credential helper for the registry, the helper keeps the secret instead. A file is
replaced as a whole and readable by its owner alone; what else is in it stays.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os

from rootless import config, log
from rootless.errors import RegistryError, StoreError, UsageError
from rootless.image import auth
from rootless.model import reference as references
from rootless.store import files
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.image.auth import Credentials, Json


def key_of(text: str) -> str:
    """The key of a registry or a namespace in it: HOST[:PORT][/PATH]. Raises UsageError.

    The many names of Docker Hub are one.
    """
    _, separator, rest = text.partition("://")
    host, slash, path = (rest if separator else text).rstrip("/").partition("/")
    if separator and path in ("v1", "v2"):
        # What old docker's messages and files show.
        path = ""
    if host in auth.HUB_NAMES:
        host = references.DEFAULT_DOMAIN
    try:
        # The grammar of names has the rules for both parts.
        parsed = references.parse(f"{host}/{path or 'x'}")
    except UsageError:
        parsed = None
    if parsed is None or parsed.tag or parsed.digest or (slash and not path and not separator):
        raise UsageError(f"{text}: not a registry; the form is HOST[:PORT]", "rl login docker.io")
    return f"{host}/{path}" if path else host


def target_file() -> str:
    """The file that is written."""
    explicit = os.environ.get("REGISTRY_AUTH_FILE")
    if explicit:
        return explicit
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    folder = runtime if os.access(runtime, os.W_OK | os.X_OK) else config.home()
    return f"{folder}/containers/auth.json"


def save(key: str, credentials: Credentials) -> str:
    """Keep `credentials` for `key`; where they are now, in words. Raises RegistryError."""
    path = target_file()
    helper = auth.helper_for(key)
    if helper:
        name, server = helper
        secret = {
            "ServerURL": server, "Username": credentials.username, "Secret": credentials.password,
        }  # fmt: skip
        _run_helper(name, "store", json.dumps(secret))
        # An entry in the file would stand before it.
        _change(path, lambda auths: _take(auths, key))
        return f"docker-credential-{name}"
    pair = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()

    def put(auths: Json) -> None:
        _take(auths, key)
        auths[key] = {"auth": pair}

    _change(path, put)
    return path


def _take(auths: Json, key: str) -> bool:
    """Whether there was an entry for `key`, which is gone now, however it was spelled."""
    fitting = [one for one in auths if auth.is_same_key(one, key)]
    for one in fitting:
        del auths[one]
    return bool(fitting)


def remove(key: str) -> bool:
    """Forget the credentials for `key`; whether there were any that are ours to forget."""
    found: list[bool] = []
    _change(target_file(), lambda auths: found.append(_take(auths, key)))
    helper = auth.helper_for(key)
    if helper and auth.ask_helper(*helper):
        _run_helper(helper[0], "erase", helper[1])
        return True
    return any(found)


def remove_all() -> int:
    """Forget every credential in the file; how many there were."""
    counted: list[int] = []

    def clear(auths: Json) -> None:
        counted.append(len(auths))
        auths.clear()

    _change(target_file(), clear)
    return sum(counted)


def _change(path: str, change: Callable[[Json], object]) -> None:
    """Call `change` with the file's "auths", and write the file if that made a difference."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        if not os.path.isdir(folder):
            files.make_dirs(folder)
        with _Locked(folder):
            document = auth.read_file(target) or {}
            auths = document.setdefault("auths", {})
            if not isinstance(auths, dict):
                raise RegistryError(f"{path}: auths is not an object")
            before = dict(auths)
            change(auths)
            if auths != before:
                log.effect(f"write {target}")
                text = json.dumps(document, indent="\t") + "\n"
                files.write_atomic(target, text.encode(), mode=0o600, durable=True)
    except StoreError as error:
        raise RegistryError(error.message, hint="rl login --authfile FILE …") from error


class _Locked:
    """The lock on a directory, against another rl that writes the same file."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


def _run_helper(name: str, verb: str, said: str) -> None:
    program = f"docker-credential-{name}"
    path = spawn.which(program) if "/" not in name else None
    if path is None:
        raise RegistryError(f"{program}: not installed, although an auth file names it")
    # Helpers reach a keyring or an agent: they need the user's environment.
    done = spawn.run([path, verb], stdin=said.encode(), env=dict(os.environ))
    if done.code:
        raise RegistryError(f"{program} {verb}: {done.complaint()}")
