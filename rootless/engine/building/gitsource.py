"""Git repositories as contexts, and as sources of ADD: `URL[#REF[:DIRECTORY]]`."""

from __future__ import annotations

import os
import re

from rootless.errors import NotFoundError, RlError
from rootless.store import trees
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.tools.spawn import Completed

_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:")
_PROTOCOLS = "git:http:https:ssh"
_PASSED = ("HOME", "SSH_AUTH_SOCK", "PATH", "LANG", "http_proxy", "https_proxy", "no_proxy")


def is_git(text: str) -> bool:
    """Whether `text` means a repository (docker-build(1), "Git repositories")."""
    address = text.partition("#")[0]
    if address.startswith(("git://", "ssh://")) or _SCP.match(address):
        return True
    return address.startswith(("http://", "https://")) and address.endswith(".git")


def is_remote(text: str) -> bool:
    """Whether a source of ADD is to be fetched."""
    return text.startswith(("http://", "https://")) or is_git(text)


def clone(text: str, folder: str, *, keep_git_dir: bool = False) -> str:
    """Check the repository out into the new directory `folder`; the commit. Raises RlError.

    Nothing in it is run: no hook, no filter of the repository's own.
    """
    address, _, rest = text.partition("#")
    ref, _, below = rest.partition(":")
    if address.startswith("-") or ref.startswith("-"):
        raise RlError(f"{text}: not the address of a repository")
    git = spawn.which("git")
    if git is None:
        raise RlError("git: not installed", hint="sudo apt-get install git")
    whole = f"{folder}.git"
    _run(git, text, "init", "--quiet", whole)
    wanted = ref or "HEAD"
    _run(git, text, "-C", whole, "fetch", "--quiet", "--depth", "1", "--", address, wanted)
    _run(git, text, "-C", whole, "-c", "advice.detachedHead=false", "checkout", "--quiet",
         "FETCH_HEAD")  # fmt: skip
    commit = _run(git, text, "-C", whole, "rev-parse", "HEAD").strip()
    if os.path.exists(f"{whole}/.gitmodules"):
        _run(git, text, "-C", whole, "submodule", "--quiet", "update", "--init", "--recursive",
             "--depth", "1")  # fmt: skip
    if not keep_git_dir:
        trees.remove_tree(f"{whole}/.git")
    _take_part(whole, below.strip("/"), folder, text)
    return commit


def _take_part(whole: str, below: str, folder: str, text: str) -> None:
    source = os.path.realpath(f"{whole}/{below}")
    if source != os.path.realpath(whole) and not source.startswith(os.path.realpath(whole) + "/"):
        raise RlError(f"{text}: {below} leads out of the repository")
    if not os.path.isdir(source):
        raise NotFoundError(f"{text}: no directory {below} in the repository")
    os.rename(source, folder)
    trees.remove_tree(whole)


def _complaint(done: Completed) -> str:
    """The lines that say what is wrong: advice for people at a terminal may follow them."""
    lines = done.stderr.decode(errors="replace").splitlines()
    fatal = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    # ssh's own words stand before git's, which do not say more than that it failed.
    if fatal and lines.index(fatal[0]) > 0 and "Could not read from remote" in fatal[0]:
        return f"{lines[lines.index(fatal[0]) - 1]}: {fatal[0].removeprefix('fatal: ')}"
    return fatal[0] if fatal else done.complaint()


def _run(git: str, text: str, *words: str) -> str:
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.update(GIT_TERMINAL_PROMPT="0", GIT_CONFIG_NOSYSTEM="1", GIT_ALLOW_PROTOCOL=_PROTOCOLS)
    done = spawn.run([git, "-c", "core.hooksPath=/dev/null", *words], env=env)
    if done.code:
        raise RlError(
            f"{text}: git {words[0] if words[0] != '-C' else words[2]}: {_complaint(done)}"
        )
    return done.stdout.decode(errors="replace")
