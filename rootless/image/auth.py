"""Credentials: where they are found, and what a registry wants to see of them.

Files, in the order of containers-auth.json(5): $REGISTRY_AUTH_FILE alone when it is set, else
${XDG_RUNTIME_DIR}/containers/auth.json, ~/.config/containers/auth.json, $DOCKER_CONFIG or
~/.docker/config.json. Helpers speak docker-credential-helpers' protocol over stdin and stdout.
Secrets are never put into messages, logs or arguments.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

from rootless import config, log
from rootless.errors import RegistryError, describe_os_error
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

# The key that `docker login` writes for Docker Hub.
_HUB_KEY = "https://index.docker.io/v1/"
HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")
_MAX_FILE_BYTES = 1 << 20


class Credentials:
    """A user name and password, or an identity (refresh) token instead of the password."""

    __slots__ = ("identity_token", "password", "username")

    def __init__(self, username: str, password: str, identity_token: str = "") -> None:
        self.username = username
        self.password = password
        self.identity_token = identity_token

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"

    @property
    def basic_header(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def find(repository: str) -> Credentials | None:
    """The credentials for `repository` (host[:port]/path), None when no file has any.

    The most specific key of the first file that has one wins. Raises RegistryError for a file
    that cannot be understood.
    """
    for path in _files():
        document = read_file(path)
        found = _from_document(document, repository, path) if document else None
        if found:
            log.effect(f"credentials for {repository} from {path}")
            return found
    return None


def helper_for(repository: str) -> tuple[str, str] | None:
    """The credential helper that a file names for `repository`, and the URL to ask it for."""
    for path in _files():
        document = read_file(path)
        found = _helper_for(document, _keys_for(repository)) if document else None
        if found:
            return found
    return None


def file_with(key: str) -> str:
    """The first file that has an entry for just `key`, "" when none has."""
    for path in _files():
        auths = (read_file(path) or {}).get("auths")
        if isinstance(auths, dict) and any(is_same_key(one, key) for one in auths):
            return path
    return ""


def is_same_key(one: str, key: str) -> bool:
    """Whether both mean the same registry or namespace."""
    normal = [_normal_key(text) for text in (one, key)]
    return normal[0] == normal[1] or all(text in HUB_NAMES for text in normal)


def _files() -> list[str]:
    explicit = os.environ.get("REGISTRY_AUTH_FILE")
    if explicit:
        return [explicit]
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    docker = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return [
        f"{runtime}/containers/auth.json", f"{config.home()}/containers/auth.json",
        f"{docker}/config.json",
    ]  # fmt: skip


def read_file(path: str) -> Json | None:
    """The document in an auth file, None when it is missing. Raises RegistryError."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(_MAX_FILE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RegistryError(describe_os_error(error)) from error
    except (ValueError, RecursionError):
        raise RegistryError(f"{path}: not readable as JSON") from None
    return document if isinstance(document, dict) else None


def _from_document(document: Json, repository: str, path: str) -> Credentials | None:
    keys = _keys_for(repository)
    helper = _helper_for(document, keys)
    if helper:
        found = ask_helper(*helper)
        if found:
            return found
    auths = document.get("auths")
    if not isinstance(auths, dict):
        return None
    by_key = {_normal_key(key): value for key, value in auths.items()}
    for key in keys:
        if isinstance(by_key.get(key), dict):
            return _decode(by_key[key], f"{path}: {key}")
    return None


def _keys_for(repository: str) -> list[str]:
    """host/a/b, host/a, host: most specific first."""
    parts = repository.split("/")
    keys = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return keys + ([_normal_key(_HUB_KEY)] if parts[0] in HUB_NAMES else [])


def _normal_key(key: str) -> str:
    """Old docker files hold URLs: only their host counts. Namespaces stand without a scheme."""
    scheme, separator, rest = key.partition("://")
    host = (rest if separator else scheme).rstrip("/")
    return host.partition("/")[0] if separator else host


def _helper_for(document: Json, keys: list[str]) -> tuple[str, str] | None:
    """The helper's name and the server URL to ask it for."""
    helpers = document.get("credHelpers")
    host = next(key for key in reversed(keys) if "/" not in key)
    if isinstance(helpers, dict):
        for key in keys:
            if isinstance(helpers.get(key), str):
                return helpers[key], key
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        return store, _HUB_KEY if host in HUB_NAMES else host
    return None


def ask_helper(name: str, server: str) -> Credentials | None:
    """What the helper `name` keeps for `server`; None, with a warning, where it fails."""
    program = f"docker-credential-{name}"
    path = spawn.which(program) if "/" not in name else None
    if path is None:
        log.warn(f"{program}: not installed, although an auth file names it")
        return None
    # Helpers reach a keyring or an agent: they need the user's environment.
    done = spawn.run([path, "get"], stdin=server.encode(), env=dict(os.environ))
    if done.code != 0:
        text = (done.stdout or done.stderr).decode(errors="replace")
        if "not found" not in text:
            log.warn(f"{program}: failed with exit code {done.code}; going on without credentials")
        return None
    return _parse_helper_answer(done.stdout, program)


def _parse_helper_answer(data: bytes, program: str) -> Credentials | None:
    try:
        answer = json.loads(data)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        log.warn(f"{program}: its answer cannot be read; going on without credentials")
        return None
    if username == "<token>":
        return Credentials("", "", str(secret))
    return Credentials(str(username), str(secret))


def _decode(entry: Json, where: str) -> Credentials | None:
    token = entry.get("identitytoken")
    encoded = entry.get("auth")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if isinstance(encoded, str) and encoded:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise RegistryError(f"{where}: auth is not base64 of USER:PASSWORD") from None
        username, _, password = text.partition(":")
        # docker pads the password with NULs.
        password = password.rstrip("\0")
    if isinstance(token, str) and token:
        return Credentials(username, "", token)
    return Credentials(username, password) if username else None


class Challenge:
    """One WWW-Authenticate challenge (RFC 9110, section 11.6.1)."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """The challenges in WWW-Authenticate headers; parts that break the grammar are dropped."""
    found: list[Challenge] = []
    for header in headers:
        for word in _split_outside_quotes(header[:8192]):
            name, equals, value = word.partition("=")
            scheme, space, key = name.strip().rpartition(" ")
            if not equals or space:
                found.append(Challenge((scheme or name).strip().lower(), {}))
            if equals and found:
                found[-1].parameters[key.strip().lower()] = _unquoted(value.strip())
    return found


def _split_outside_quotes(text: str) -> list[str]:
    words, current, quoted, escaped = [], "", False, False
    for c in text:
        if c == "," and not quoted:
            words.append(current)
            current = ""
            continue
        if c == '"' and not escaped:
            quoted = not quoted
        escaped = c == "\\" and not escaped
        current += c
    return [word for word in (*words, current) if word.strip()]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
