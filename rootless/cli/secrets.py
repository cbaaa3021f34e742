"""Asking for user names and passwords: at the terminal, else from standard input."""

from __future__ import annotations

import os
import sys

from rootless.errors import UsageError

_MAX_SECRET_BYTES = 64 << 10


def ask_username(known: str = "") -> str:
    """A user name from the terminal; an empty answer takes `known`. Raises UsageError."""
    shown = f" ({known})" if known else ""
    answer = _ask(f"Username{shown}: ", echo=True) or known
    if not answer:
        raise UsageError("no user name was given", hint="--username USER")
    return answer


def ask_password() -> str:
    """A password, without an echo at a terminal. Raises UsageError for an empty one."""
    password = _ask("Password: ", echo=False) if os.isatty(0) else read_password()
    if not password:
        raise UsageError("no password was given")
    return password


def ask_password_at_terminal() -> str:
    """As `ask_password`, where standard input alone must not be taken for one. UsageError."""
    password = _ask("Password: ", echo=False)
    if not password:
        raise UsageError("no password was given")
    return password


def read_password() -> str:
    """The password on standard input: all of it but for the end of its line, as docker does it."""
    data = sys.stdin.buffer.read(_MAX_SECRET_BYTES + 1)
    if len(data) > _MAX_SECRET_BYTES:
        raise UsageError(f"standard input: more than {_MAX_SECRET_BYTES} bytes are no password")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError("standard input: the password is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _ask(prompt: str, *, echo: bool) -> str:
    """One line from the terminal. The prompt goes to standard error: output is for results."""
    if not os.isatty(0):
        raise UsageError(
            f"{prompt.rstrip(': ')}: standard input is not a terminal to ask at",
            hint="--username USER --password-stdin < FILE",
        )
    if not echo:
        return _ask_hidden(prompt)
    os.write(2, prompt.encode())
    return sys.stdin.readline().strip()


def _ask_hidden(prompt: str) -> str:
    import termios

    before = termios.tcgetattr(0)
    hidden = termios.tcgetattr(0)
    hidden[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(0, termios.TCSAFLUSH, hidden)
        # Not before: what is typed at once must not be shown either.
        os.write(2, prompt.encode())
        return sys.stdin.readline().rstrip("\r\n")
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        os.write(2, b"\n")
