"""What the commands that talk to registries have in common: TLS and credentials."""

from __future__ import annotations

import os

from rootless.cli.options import flag, value
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.options import Parsed
    from rootless.image.auth import Credentials

TLS_VERIFY = flag("--tls-verify", "Speak TLS and verify the certificate", default=True)
AUTH_FILE = value("--authfile", "FILE", "Auth file (default $REGISTRY_AUTH_FILE)")
ACCESS = (
    TLS_VERIFY,
    value("--creds", "USER", "User name; the password is asked for, or read from standard input"),
    AUTH_FILE,
)


def access(parsed: Parsed) -> tuple[bool, Credentials | None]:
    """(whether TLS may be missing or not be verified, the credentials that were given)."""
    use_auth_file(parsed)
    creds = parsed.optional("creds")
    return not parsed.flag("tls-verify"), None if creds is None else _credentials(creds)


def use_auth_file(parsed: Parsed) -> None:
    """Let --authfile stand for the variable that does the same."""
    if parsed.text("authfile"):
        os.environ["REGISTRY_AUTH_FILE"] = os.path.abspath(parsed.text("authfile"))


def _credentials(creds: str) -> Credentials:
    from rootless.cli import secrets
    from rootless.image.auth import Credentials

    user, colon, _ = creds.partition(":")
    if colon:
        raise UsageError(
            "--creds: a password on the command line can be read by everybody on this machine",
            hint=f"--creds {user}, which asks for it, or before: rl login",
        )
    return Credentials(user or secrets.ask_username(), secrets.ask_password())
