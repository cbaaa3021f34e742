"""`rl login` and `rl logout`."""

from __future__ import annotations

from rootless.cli import output, registry_options, secrets
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, RlError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.auth import Credentials


def login(parsed: Parsed) -> int:
    """Ask for what is missing, let the registry say whether it is right, and keep it."""
    from rootless import log
    from rootless.image import auth_store
    from rootless.image import login as image_login

    _refuse_password(parsed)
    registry_options.use_auth_file(parsed)
    key = _key(parsed)
    if parsed.flag("get-login"):
        return _show_login(key)
    insecure = not parsed.flag("tls-verify")
    if _is_logged_in(parsed, key, insecure=insecure):
        output.write_line(f"Existing credentials are valid. Already logged in to {key}")
        return 0
    credentials = _ask(parsed, key)
    if not image_login.verify(key, credentials, insecure=insecure):
        log.warn(f"{key}: asks nobody for credentials")
    place = auth_store.save(key, credentials)
    if parsed.flag("verbose"):
        output.write_line(f"Used: {place}")
    output.write_line("Login Succeeded!")
    return 0


def _refuse_password(parsed: Parsed) -> None:
    if parsed.optional("password") is not None:
        user = parsed.text("username") or "USER"
        words = ["rl login --password-stdin --username", user, *parsed.arguments, "< FILE"]
        raise UsageError(
            "--password: one on the command line can be read by everybody on this machine",
            hint=" ".join(words),
        )


def _key(parsed: Parsed) -> str:
    """The registry that is meant; by default the one where short names are looked for first."""
    from rootless.image import auth_store, registries_config

    if parsed.arguments:
        return auth_store.key_of(parsed.arguments[0])
    search = registries_config.load().search
    if not search:
        raise UsageError("no registry was named, and registries.toml has none to search in",
                         hint="rl login docker.io")  # fmt: skip
    return search[0]


def _show_login(key: str) -> int:
    output.write_line(_known_user(key))
    return 0


def _known_user(key: str) -> str:
    from rootless.image import auth

    found = auth.find(key)
    if found is None:
        raise RlError(f"not logged in to {key}", hint=f"rl login {key}")
    return found.username


def _is_logged_in(parsed: Parsed, key: str, *, insecure: bool) -> bool:
    """Whether nothing was given on the command line, and what is kept still works."""
    from rootless import log
    from rootless.image import auth
    from rootless.image import login as image_login

    known = auth.find(key)
    if parsed.text("username") or parsed.flag("password-stdin") or known is None:
        return False
    try:
        return image_login.verify(key, known, insecure=insecure)
    except RlError as error:
        log.notice(f"what is kept does not work any more: {error.message}")
        return False


def _ask(parsed: Parsed, key: str) -> Credentials:
    from rootless.image import auth

    user = parsed.text("username")
    if parsed.flag("password-stdin"):
        if not user:
            raise UsageError("--password-stdin: needs --username too",
                             hint=f"rl login --username USER --password-stdin {key}")  # fmt: skip
        password = secrets.read_password()
        if not password:
            raise UsageError("--password-stdin: standard input is empty")
        return auth.Credentials(user, password)
    known = auth.find(key)
    user = user or secrets.ask_username(known.username if known else "")
    return auth.Credentials(user, secrets.ask_password_at_terminal())


def logout(parsed: Parsed) -> int:
    """Forget credentials."""
    from rootless import log
    from rootless.image import auth, auth_store

    registry_options.use_auth_file(parsed)
    if parsed.flag("all"):
        if parsed.arguments:
            raise UsageError("rl logout: --all and a registry exclude each other")
        auth_store.remove_all()
        output.write_line("Removed login credentials for all registries")
        return 0
    key = _key(parsed)
    is_removed = auth_store.remove(key)
    other = auth.file_with(key)
    if is_removed:
        output.write_line(f"Removed login credentials for {key}")
        if other:
            log.warn(f"{other}: has credentials for {key} as well")
        return 0
    if other:
        raise RlError(f"{key}: its credentials are in {other}",
                      hint=f"rl logout --authfile {other} {key}")  # fmt: skip
    raise RlError(f"not logged in to {key}")


_COMMON = (registry_options.AUTH_FILE,)

LOGIN = Signature(
    login,
    "Keep a user name and a password for a registry, once it has taken them.",
    (
        value("-u --username", "USER", "User name"),
        flag("--password-stdin", "Read the password from standard input"),
        value("-p --password", "PASSWORD", "Refused: use --password-stdin"),
        flag("--get-login", "Show who is logged in, and nothing else"),
        flag("-v --verbose", "Tell where it is kept"),
        registry_options.TLS_VERIFY,
        *_COMMON,
    ),
    (Argument("REGISTRY", 0, 1),),
    error_code=EXIT_ENGINE,
    examples=(
        "rl login",
        "rl login -u me --password-stdin registry.example.org < token",
        "rl login --get-login quay.io",
    ),
)

LOGOUT = Signature(
    logout,
    "Forget the user name and password for a registry.",
    (flag("-a --all", "Those for all registries"), *_COMMON),
    (Argument("REGISTRY", 0, 1),),
    error_code=EXIT_ENGINE,
)
