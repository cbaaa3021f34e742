"""`rl login` and `rl logout` at a registry with a password; pushes with what they keep."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import Rl
from tests.user.registry.fake_registry import FakeRegistry, Handler
from tests.user.registry.secure_registry import PASSWORD, USER, SecureRegistry

WITH_STDIN = ("login", "--username", USER, "--password-stdin")


@pytest.fixture
def host(secure: SecureRegistry) -> str:
    """Loopback: any certificate will do."""
    return f"127.0.0.1:{secure.port}"


@pytest.fixture
def auth(rl: Rl) -> Path:
    """The auth file of a login session."""
    session = rl.home / "session"
    session.mkdir(mode=0o700)
    rl.env["XDG_RUNTIME_DIR"] = str(session)
    return session / "containers" / "auth.json"


def entries(auth: Path) -> Any:
    return json.loads(auth.read_text())["auths"]


def test_login_push_pull_logout(rl: Rl, busybox_image: str, host: str, auth: Path) -> None:
    name = f"{host}/login/app:1"
    done = rl("push", "-q", busybox_image, name, code=125)
    assert "unauthorized: access denied" in done.stderr and f"hint: rl login {host}" in done.stderr
    done = rl(*WITH_STDIN, host, input=f"{PASSWORD}\n")
    assert (done.stdout, done.stderr) == ("Login Succeeded!\n", "")
    assert list(entries(auth)) == [host]
    assert auth.stat().st_mode & 0o777 == 0o600 and auth.parent.stat().st_mode & 0o777 == 0o700
    rl("push", "-q", busybox_image, name)
    rl("rmi", "-f", busybox_image)
    rl("pull", "-q", name)
    assert rl("login", "--get-login", host).stdout == f"{USER}\n"
    again = rl("login", host).stdout
    assert again == f"Existing credentials are valid. Already logged in to {host}\n"
    assert rl("logout", host).stdout == f"Removed login credentials for {host}\n"
    assert entries(auth) == {}
    assert f"not logged in to {host}" in rl("logout", host, code=125).stderr
    assert "not logged in" in rl("login", "--get-login", host, code=125).stderr


def test_a_wrong_password_is_not_kept(rl: Rl, host: str, auth: Path) -> None:
    done = rl(*WITH_STDIN, host, input="wrong\n", code=125)
    assert "login failed: credentials were refused" in done.stderr and "wrong" not in done.stderr
    assert not auth.exists()


def test_skopeo_uses_what_is_kept(rl: Rl, host: str, auth: Path) -> None:
    rl(*WITH_STDIN, host, input=PASSWORD)
    env = {**os.environ, **rl.env, "REGISTRY_AUTH_FILE": str(auth)}
    argv = ["skopeo", "login", "--get-login", host]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    assert done.stdout == f"{USER}\n", done.stderr
    argv = ["skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/none/such"]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    assert "404 (Not Found)" in done.stderr


def test_what_else_is_in_the_file_stays(rl: Rl, host: str, auth: Path) -> None:
    real = rl.home / "real.json"
    real.write_text(json.dumps({"auths": {"other": {"auth": "eDp5"}}, "extra": [1]}))
    real.chmod(0o644)
    auth.parent.mkdir()
    auth.symlink_to(real)
    rl(*WITH_STDIN, f"https://{host}/v2/", input=PASSWORD)
    document = json.loads(real.read_text())
    assert set(document["auths"]) == {"other", host} and document["extra"] == [1]
    assert auth.is_symlink() and real.stat().st_mode & 0o777 == 0o600
    done = rl("logout", "--all")
    assert done.stdout == "Removed login credentials for all registries\n"
    assert json.loads(real.read_text()) == {"auths": {}, "extra": [1]}


def test_a_file_that_cannot_be_read_is_left_alone(rl: Rl, host: str, auth: Path) -> None:
    auth.parent.mkdir()
    auth.write_text("{ not json")
    done = rl(*WITH_STDIN, host, input=PASSWORD, code=125)
    assert f"{auth}: not readable as JSON" in done.stderr
    assert auth.read_text() == "{ not json"


def test_the_file_can_be_named(rl: Rl, host: str, auth: Path) -> None:
    file = rl.home / "own.json"
    done = rl(*WITH_STDIN, "-v", "--authfile", str(file), host, input=PASSWORD)
    assert done.stdout == f"Used: {file}\nLogin Succeeded!\n" and not auth.exists()
    assert rl("login", "--get-login", f"--authfile={file}", host).stdout == f"{USER}\n"
    rl.env["REGISTRY_AUTH_FILE"] = str(file)
    rl("logout", host)
    assert entries(file) == {}


def test_credentials_of_docker_are_read_and_left_to_docker(rl: Rl, host: str, auth: Path) -> None:
    rl(*WITH_STDIN, host, input=PASSWORD)
    docker = rl.home / ".docker" / "config.json"
    docker.parent.mkdir()
    auth.rename(docker)
    assert rl("login", "--get-login", host).stdout == f"{USER}\n"
    done = rl("logout", host, code=125)
    assert f"its credentials are in {docker}" in done.stderr
    assert host in entries(docker)


HELPER = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
case $1 in
store) cat > stored ;;
erase) cat > erased; rm stored ;;
get) if [ -e stored ]; then cat stored; else echo credentials not found; exit 1; fi ;;
esac
"""


def test_a_helper_keeps_the_secret_instead(rl: Rl, host: str, auth: Path) -> None:
    folder = rl.home / "helper"
    folder.mkdir()
    (folder / "docker-credential-own").write_text(HELPER)
    (folder / "docker-credential-own").chmod(0o755)
    rl.env["PATH"] = f"{folder}:{rl.env['PATH']}"
    docker = rl.home / ".docker" / "config.json"
    docker.parent.mkdir()
    docker.write_text(json.dumps({"credHelpers": {host: "own"}}))
    done = rl(*WITH_STDIN, "-v", host, input=PASSWORD)
    assert done.stdout.startswith("Used: docker-credential-own\n")
    kept = {"ServerURL": host, "Username": USER, "Secret": PASSWORD}
    assert json.loads((folder / "stored").read_text()) == kept
    assert not auth.exists() or entries(auth) == {}
    assert rl("login", "--get-login", host).stdout == f"{USER}\n"
    rl("logout", host)
    assert (folder / "erased").read_text() == host and not (folder / "stored").exists()
    (folder / "docker-credential-own").unlink()
    done = rl(*WITH_STDIN, host, input=PASSWORD, code=125)
    assert "docker-credential-own: not installed" in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-u", "me", "-p", "secret"], "can be read by everybody"),
        (["--password-stdin"], "needs --username"),
        (["-u", "me", "--password-stdin"], "standard input is empty"),
        (["-u", "me"], "standard input is not a terminal"),
        (["--", "Not/A Host"], "not a registry"),
    ],
)
def test_what_is_refused(rl: Rl, auth: Path, words: list[str], complaint: str) -> None:
    registry = [] if "--" in words else ["127.0.0.1:9"]
    done = rl("login", *words, *registry, code=125, input="")
    assert complaint in done.stderr and "secret" not in done.stderr
    assert not auth.exists()


def test_no_registry_there(rl: Rl, auth: Path, fake: FakeRegistry) -> None:
    done = rl(*WITH_STDIN, "127.0.0.1:9", input="x", code=125)
    assert "127.0.0.1:9: Connection refused" in done.stderr

    def absent(handler: Handler) -> bool:
        handler.answer(404, b"<html>")
        return True

    fake.gate = absent
    done = rl(*WITH_STDIN, fake.host, input="x", code=125)
    assert f"{fake.host}: no registry" in done.stderr and not auth.exists()


def test_a_registry_that_asks_nobody(rl: Rl, auth: Path, fake: FakeRegistry) -> None:
    done = rl(*WITH_STDIN, fake.host, input="x")
    assert "asks nobody for credentials" in done.stderr and fake.host in entries(auth)


def test_the_token_server_says_whether_it_is_right(rl: Rl, auth: Path, fake: FakeRegistry) -> None:
    asked: list[str] = []

    def gate(handler: Handler) -> bool:
        given = handler.headers.get("Authorization", "")
        if handler.path.startswith("/token"):
            asked.append(handler.path)
            # An anonymous token is given to anybody, and opens nothing.
            right = given == "Basic bWU6cmlnaHQ="
            token = b'{"token":"good"}' if right else b'{"token":"anonymous"}'
            handler.answer(401 if given and not right else 200, token)
            return True
        if given == "Bearer good":
            return False
        realm = f'Bearer realm="http://{fake.host}/token",service="fake"'
        handler.answer(401, b"{}", {"WWW-Authenticate": realm})
        return True

    fake.gate = gate
    done = rl(*WITH_STDIN, fake.host, input="wrong", code=125)
    assert "credentials were refused" in done.stderr
    rl(*WITH_STDIN, fake.host, input="right")
    assert asked == ["/token?service=fake"] * 2
    assert fake.host in entries(auth)


def at_a_terminal(rl: Rl, *words: str, answers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """The exit code and all that is seen at a terminal where each prompt gets its answer."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(rl.argv[0], [*rl.argv, *words], rl.env)
    seen, deadline = b"", time.monotonic() + 20
    for prompt, answer in answers:
        mark = len(seen)
        while prompt not in seen[mark:]:
            assert time.monotonic() < deadline
            seen += os.read(fd, 1000)
        os.write(fd, answer)
    try:
        while piece := os.read(fd, 1000):
            seen += piece
    except OSError:
        pass  # the other end is closed
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def test_both_are_asked_for_and_the_password_is_not_shown(rl: Rl, host: str, auth: Path) -> None:
    answers = [(b"Username: ", f"{USER}\n".encode()), (b"Password: ", f"{PASSWORD}\n".encode())]
    code, seen = at_a_terminal(rl, "login", host, answers=answers)
    assert code == 0 and b"Login Succeeded!" in seen
    assert USER.encode() in seen and PASSWORD.encode() not in seen
    assert list(entries(auth)) == [host]


def test_push_asks_for_the_password_of_creds(rl: Rl, busybox_image: str, host: str) -> None:
    name = f"{host}/login/creds:1"
    done = rl("push", "-q", "--creds", USER, busybox_image, name, input=PASSWORD)
    assert done.stdout.startswith("sha256:")
    assert "credentials were refused" in rl(
        "pull", "--creds", USER, name, input="wrong", code=125
    ).stderr  # fmt: skip
