"""Patterns, --exclude, --parents, ignore files, ADD, and contexts with odd things in them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user.building.conftest import Builds

FROM = "FROM localhost/busybox\n"


def tree(builds: Builds, path: str) -> list[str]:
    """The files below `path` in the last image."""
    found = builds.run("sh", "-c", f"cd {path} && find . ! -type d").split("\n")
    return sorted(line[2:] for line in found if line)


@pytest.fixture
def files(builds: Builds) -> Builds:
    for name in ("a.txt", "b.txt", "c.md", "src/x.py", "src/x.o", "src/deep/y.py", "src/deep/y.o"):
        builds.write(name, name)
    return builds


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY *.txt /t/", ["a.txt", "b.txt"]),
        ("COPY [ab].txt c.md /t/", ["a.txt", "b.txt", "c.md"]),
        ("COPY src /t", ["deep/y.o", "deep/y.py", "x.o", "x.py"]),
        ("COPY src/ /t/", ["deep/y.o", "deep/y.py", "x.o", "x.py"]),
        ("COPY src/*.py /t/", ["x.py"]),
        ("COPY src/**/*.py /t/", ["x.py", "y.py"]),
        ("COPY --exclude=*.o --exclude=deep/*.o src /t", ["deep/y.py", "x.py"]),
        ("COPY --exclude=**/*.o src /t", ["deep/y.py", "x.py"]),
        ("COPY --exclude=b* *.txt /t/", ["a.txt"]),
        ("COPY --parents src/deep a.txt /t/", ["a.txt", "src/deep/y.o", "src/deep/y.py"]),
        ("COPY --parents src/**/*.py /t/", ["src/deep/y.py", "src/x.py"]),
        ("COPY --parents src/./deep/y.py /t/", ["deep/y.py"]),
        ("COPY /src/deep /t/", ["y.o", "y.py"]),
        ("COPY a.txt /t/new.txt", ["new.txt"]),
        ("WORKDIR /t\nCOPY a.txt .", ["a.txt"]),
        ("WORKDIR /t\nCOPY a.txt x", ["x"]),
        ('COPY ["a.txt", "/t/with space"]', ["with space"]),
        ("COPY --link src/x.py /t/", ["x.py"]),
    ],
)
def test_what_is_copied(files: Builds, line: str, expected: list[str]) -> None:
    files(FROM + line)
    assert tree(files, "/t") == expected


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        ("**/*.o\n*.md", ["Dockerfile", "a.txt", "b.txt", "src/deep/y.py", "src/x.py"]),
        ("*\n!src\nsrc/deep", ["src/x.o", "src/x.py"]),
        ("src\n!src/deep/y.py\n*.*", ["Dockerfile", "src/deep/y.py"]),
    ],
)
def test_ignore_files(files: Builds, ignored: str, expected: list[str]) -> None:
    files.write(".dockerignore", ignored)
    files(FROM + "COPY . /t")
    assert [name for name in tree(files, "/t") if name != ".dockerignore"] == expected


def test_which_ignore_file(files: Builds) -> None:
    files.write(".dockerignore", "*")
    files.write(".containerignore", "*\n!a.txt")
    files(FROM + "COPY . /t")
    assert tree(files, "/t") == ["a.txt"]
    files.write("Dockerfile.dockerignore", "*\n!b.txt")
    files(FROM + "COPY . /t")
    assert tree(files, "/t") == ["b.txt"]
    said = files.fails(FROM + "COPY a.txt /t")
    assert "a.txt: left out of the context" in said


def test_local_archives_are_unpacked(builds: Builds) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("d/f")
        info.size, info.uid, info.gid, info.mode = 4, 7, 8, 0o640
        archive.addfile(info, io.BytesIO(b"data"))
    plain = buffer.getvalue()
    builds.write("p.tar", plain)
    builds.write("misnamed", gzip.compress(plain))
    builds.write("only.gz", gzip.compress(b"no archive"))
    for kind in ("xz", "bz2"):
        path = builds.context / f"a.tar.{kind}"
        with tarfile.open(path, f"w:{kind}") as archive:
            archive.addfile(info, io.BytesIO(b"data"))
    text = FROM + "".join(
        f"ADD {name} /{number}/\n"
        for number, name in enumerate(("p.tar", "misnamed", "a.tar.xz", "a.tar.bz2"))
    )
    builds(text + "ADD only.gz /4/\nCOPY p.tar /5/\nADD --unpack=false p.tar /6/\n")
    out = builds.run(
        "sh", "-c", "cat /[0-3]/d/f; echo; stat -c '%u:%g %a' /0/d/f /3/d/f; ls /4 /5 /6"
    )
    assert out.split() == [
        "datadatadatadata", "7:8", "640", "7:8", "640",
        "/4:", "only.gz", "/5:", "p.tar", "/6:", "p.tar",
    ]  # fmt: skip


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(URL, directory) of a web server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()
        thread.join()


def test_urls(builds: Builds, web: tuple[str, Path]) -> None:
    url, folder = web
    (folder / "f.txt").write_text("remote")
    os.utime(folder / "f.txt", (1_500_000_000, 1_500_000_000))
    right = hashlib.sha256(b"remote").hexdigest()
    text = FROM + f"ADD --checksum=sha256:{right} {url}/f.txt /d/\nADD {url}/f.txt /e"
    builds(text)
    assert builds.run("cat", "/d/f.txt", "/e") == "remoteremote"
    assert builds.run("stat", "-c", "%a %Y", "/e") == "600 1500000000\n"
    assert builds.said(text).count("Using cache") == 2
    said = builds.fails(FROM + f"ADD --checksum=sha256:{'0' * 64} {url}/f.txt /d/")
    assert f"has the digest sha256:{right}" in said
    assert "the server answers 404" in builds.fails(FROM + f"ADD {url}/missing /d/")


def repository(folder: Path) -> None:
    """A Git repository that a plain web server can serve."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder)}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]

    def git(*words: str) -> None:
        subprocess.run(["git", *identity, *words], cwd=folder, env=env, check=True)

    git("init", "-q", "-b", "main", "work")
    (folder / "work/sub").mkdir()
    (folder / "work/Dockerfile").write_text(FROM + "COPY . /t\n")
    (folder / "work/sub/Dockerfile").write_text(FROM + "COPY . /t\nRUN echo sub > /which\n")
    git("-C", "work", "add", ".")
    git("-C", "work", "commit", "-qm", "one")
    git("clone", "-q", "--bare", "work", "r.git")
    git("-C", "r.git", "update-server-info")


def git_daemon(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all",
         f"--base-path={folder}", str(folder)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        threading.Event().wait(0.05)
    return process, f"git://127.0.0.1:{port}/r.git"


def test_git_repositories(builds: Builds, tmp_path: Path) -> None:
    repository(tmp_path)
    process, url = git_daemon(tmp_path)
    try:
        builds.rl("build", "-t", "t", url)
        assert tree(builds, "/t") == ["Dockerfile", "sub/Dockerfile"]
        builds.rl("build", "-t", "t", f"{url}#main:sub")
        assert builds.run("cat", "/which") == "sub\n"
        builds(FROM + f"ADD {url}#main /t")
        assert tree(builds, "/t") == ["Dockerfile", "sub/Dockerfile"]
        done = builds.rl("build", f"{url}#nowhere", code=125)
        assert "nowhere" in done.stderr
    finally:
        process.terminate()
        process.wait()


def archive_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, ".")
    return buffer.getvalue()


def test_archives_as_contexts(files: Builds, short_dir: Path, web: tuple[str, Path]) -> None:
    files.write("Dockerfile", FROM + "COPY src/x.py /t/")
    content = archive_of(files.context)
    url, folder = web
    (folder / "context.tgz").write_bytes(content)
    for where in (str(folder / "context.tgz"), f"{url}/context.tgz"):
        files.rl("build", "-t", "t", "--no-cache", where)
        assert tree(files, "/t") == ["x.py"]
    done = subprocess.run(
        [*files.rl.argv, "build", "-t", "t", "-"],
        input=content, env=files.rl.env, capture_output=True, check=True,
    )  # fmt: skip
    assert len(done.stdout) == 65


def test_a_dockerfile_on_standard_input(files: Builds) -> None:
    files.rl("build", "-t", "t", "-", input=FROM + "RUN echo alone > /x")
    assert files.run("cat", "/x") == "alone\n"
    files.rl("build", "-t", "t", "-f", "-", str(files.context), input=FROM + "COPY a.txt /t/")
    assert tree(files, "/t") == ["a.txt"]
    done = files.rl("build", "-", input=FROM + "COPY a.txt /t/", code=125)
    assert "a.txt: not found in the empty context" in done.stderr


def test_a_checksum_of_a_local_file_is_refused(files: Builds) -> None:
    """It would be believed to have been compared."""
    said = files.fails(FROM + "ADD --checksum=sha256:" + "0" * 64 + " a.txt /t/")
    assert "Dockerfile:2: --checksum goes with a URL" in said


def test_a_dockerfile_that_is_a_directory(builds: Builds) -> None:
    (builds.context / "Dockerfile").mkdir()
    done = builds.rl("build", str(builds.context), code=125)
    assert done.stderr == "rl: error: Dockerfile: is a directory\n"


def test_odd_files_in_a_context(builds: Builds, short_dir: Path) -> None:
    context = builds.context
    secret = short_dir / "secret"
    secret.write_text("not yours")
    (context / "d").mkdir()
    (context / "d/out").symlink_to(secret)
    (context / "d/abs").symlink_to("/etc/passwd")
    (context / "up").symlink_to("..")
    (context / "dangling").symlink_to("nowhere")
    (context / "loop").symlink_to("loop")
    os.mkfifo(context / "d/fifo")
    (context / os.fsdecode(b"d/\xff\xfe")).write_text("bytes")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(context / "d/sock"))
    with (context / "d/sparse").open("wb") as file:
        file.truncate(3 << 30)
    said = builds.said(FROM + "COPY d /t/")
    assert "sockets not copied: 1 (t/sock)" in said
    out = builds.run("sh", "-c", "readlink /t/out; stat -c '%F %s %b' /t/fifo /t/sparse")
    assert out.split("\n")[:3] == [str(secret), "fifo 0 0", f"regular file {3 << 30} 0"]
    layer = builds.document()["RootFS"]["Layers"][-1]
    assert b"\xff\xfe" in os.listdir(os.fsencode(builds.rl.paths.layer_diff(layer)) + b"/t")
    for source, what in (
        ("d/out", "a link that leads nowhere"),
        ("dangling", "a link that leads nowhere"),
        ("loop", "links that lead in a circle"),
        ("up/x", "not found"),
        ("../secret", "outside of the context"),
    ):
        assert what in builds.fails(FROM + f"COPY {source} /t/")
    builds(FROM + "COPY up /u/")
    found = builds.run("sh", "-c", "find /u -type f -size -9 -exec cat {} +")
    assert "not yours" not in found
    assert "COPY up" in found


def test_files_that_cannot_be_read_and_deep_directories(builds: Builds) -> None:
    builds.write("closed/file", "x")
    (builds.context / "closed").chmod(0)
    builds.write("secret", "x", 0)
    try:
        for name in ("closed", "secret"):
            said = builds.fails(FROM + f"COPY {name} /x/")
            assert "Dockerfile:2: " in said
            assert "Permission denied" in said
            assert "internal error" not in said
    finally:
        (builds.context / "closed").chmod(0o755)
    folder = builds.context / "deep"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(700):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    said = builds.fails(FROM + "COPY deep /x/")
    assert "Dockerfile:2: deep: directories too deep in each other" in said
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_dockerfile_outside_of_the_context_has_its_ignore_file_beside_it(
    files: Builds, short_dir: Path
) -> None:
    (short_dir / "Other").write_text(FROM + "COPY . /t")
    (short_dir / "Other.dockerignore").write_text("*\n!c.md")
    files.rl("build", "-t", "t", "-f", str(short_dir / "Other"), str(files.context))
    assert tree(files, "/t") == ["c.md"]
