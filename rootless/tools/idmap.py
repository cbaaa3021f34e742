"""The user's own user namespace: who may be mapped, and how to get inside.

The *canonical* maps of a user are always the same (0 is the user, 1 and up the subordinate ids), so
that every layer in the store is owned alike whichever container uses it. Wherever files that
subordinate ids own are made, read or removed, that happens in a process that `start` or `call`
forks into a namespace with these maps.
"""

from __future__ import annotations

import errno
import marshal
import os

from rootless import log
from rootless.errors import EXIT_ENGINE, HostError, RlError, from_fields, to_fields
from rootless.model.idmap import IdMaps, format_map, parse_map, rootful_map
from rootless.tools import spawn, subids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from rootless.model.idmap import IdMap

    class Helpers(Protocol):
        """Who writes maps."""

        def wait(self) -> None:
            """Until they are written. Raises HostError where they could not be."""


_READY = b"r"
_MAPPED = b"m"


def canonical_maps() -> IdMaps:
    """The maps of every store and container of this user.

    Without subordinate ids, or without helpers that can map them, only the user itself is mapped
    (IdMaps.is_single). For the root of a user namespace (rl inside a container) all ids that it
    has are mapped to themselves.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return IdMaps(_all_of("/proc/self/uid_map"), _all_of("/proc/self/gid_map"))
    if not subids.can_be_mapped():
        return IdMaps(rootful_map(uid, []), rootful_map(gid, []))
    uids, gids = subordinate_ids("/etc/subuid"), subordinate_ids("/etc/subgid")
    if not uids or not gids:
        return IdMaps(rootful_map(uid, []), rootful_map(gid, []))
    return IdMaps(rootful_map(uid, uids), rootful_map(gid, gids))


def _all_of(path: str) -> tuple[tuple[int, int, int], ...]:
    with open(path) as file:
        own = parse_map(file.read())
    return tuple((inside, inside, size) for inside, _, size in own)


# Asked for several times in a start, and where users come from a directory server each time costs.
_names: dict[int, str] = {}


def user_name() -> str:
    """This user's name on the host, the uid as text where it has none."""
    import pwd

    uid = os.geteuid()
    if uid not in _names:
        try:
            _names[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            _names[uid] = str(uid)
    return _names[uid]


def subordinate_ids(path: str) -> list[tuple[int, int]]:
    """This user's ranges in `path` (/etc/subuid or /etc/subgid), or where they are instead."""
    return subids.ranges(path, user_name(), os.geteuid())


class Pending:
    """A child whose maps are being written; between the steps the caller may do other work."""

    def __init__(self, pid: int, from_child: int, to_child: int, *, joins: bool = False) -> None:
        self.pid = pid
        self._joins = joins
        self._from_child = from_child
        self._to_child = to_child
        self._helpers: Helpers | None = None

    def request(self, maps: IdMaps, write: Callable[[int, IdMaps], Helpers] | None = None) -> None:
        """Start writing `maps`; waits for the child's unshare, not for the helpers.

        A namespace that was joined has its maps. write: in place of `write_maps`. Raises HostError
        when the host forbids user namespaces.
        """
        answer = os.read(self._from_child, 16)
        if answer != _READY:
            os.waitpid(self.pid, 0)
            self.abandon()
            number = int(answer[1:] or 0)
            raise _not_joined(number) if self._joins else _refused(number)
        if not self._joins:
            self._helpers = (write or write_maps)(self.pid, maps)

    def finish(self) -> spawn.Child:
        """Wait for the maps and let the child go on. Raises HostError; the child is gone then."""
        try:
            if self._helpers is not None:
                self._helpers.wait()
            os.write(self._to_child, _MAPPED)
        except BaseException:
            self.abandon()
            os.waitpid(self.pid, 0)
            raise
        self.abandon()
        return spawn.Child(self.pid)

    def abandon(self) -> None:
        """Close our ends; a child that still waits for its maps ends. Harmless when repeated."""
        if self._from_child >= 0:
            os.close(self._from_child)
            os.close(self._to_child)
            self._from_child = self._to_child = -1


def begin(
    function: Callable[[], None], join: int = -1, prepare: Callable[[], None] | None = None
) -> Pending:
    """Fork a child that unshares a user namespace, waits for its maps and calls `function`.

    join: a descriptor of a user namespace to be in instead. prepare: called in the child while the
    maps are being written; the child has no name of its own then, in either namespace.
    The child ends with exit code 0 when `function` returns; `function` has to report its own
    failures.
    """
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(from_child)
        os.close(to_child)
        _run_child(function, from_parent, to_parent, join, prepare)
    os.close(to_parent)
    os.close(from_parent)
    return Pending(pid, from_child, to_child, joins=join >= 0)


def start(function: Callable[[], None], maps: IdMaps | None = None) -> spawn.Child:
    """`begin` with `maps` (the canonical ones by default), until `function` runs."""
    pending = begin(function)
    pending.request(canonical_maps() if maps is None else maps)
    return pending.finish()


def _run_child(
    function: Callable[[], None],
    from_parent: int,
    to_parent: int,
    join: int,
    prepare: Callable[[], None] | None,
) -> None:
    """The child's side; never returns to the caller's stack."""
    code = 1
    try:
        join_new_namespace(from_parent, to_parent, join, prepare)
        function()
        code = 0
    except BrokenPipeError:
        pass  # the parent has given up, and says why
    except BaseException as error:
        os.write(2, f"rl: internal error in a user namespace: {error!r}\n".encode())
    finally:
        os._exit(code)


def join_new_namespace(
    from_parent: int,
    to_parent: int,
    join: int = -1,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Unshare a user namespace and become its root once the parent has written the maps.

    join, prepare: see `begin`.
    A failed unshare is told to the parent as its errno; then this process ends.
    """
    from rootless.kernel import libc

    try:
        if join < 0:
            libc.unshare(libc.CLONE_NEWUSER)
        else:
            libc.setns(join, libc.CLONE_NEWUSER)
    except OSError as error:
        os.write(to_parent, b"e%d" % (error.errno or 0))
        os._exit(1)
    os.write(to_parent, _READY)
    os.close(to_parent)
    if prepare is not None:
        prepare()
    if os.read(from_parent, 1) != _MAPPED:
        os._exit(1)
    os.close(from_parent)
    _become_root()
    # setresuid made the process undumpable: its /proc/PID would belong to the host's root and
    # neither slirp4netns nor we could open its namespaces.
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def _become_root() -> None:
    try:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    except OSError as error:
        # One id that is not root's is mapped (--userns keep-id without subordinate ids): who is
        # new in a namespace has all capabilities, as whoever it is.
        if error.errno != errno.EINVAL:
            raise


def _refused(number: int) -> HostError:
    from rootless.tools import userns_forbidden

    return userns_forbidden.explain(number)


def _not_joined(number: int) -> RlError:
    reason = os.strerror(number) if number else "the process for it was killed"
    text = f"the user namespace of the other container: {reason}"
    return RlError(text, "rl ps", EXIT_ENGINE)


class MapHelpers:
    """newuidmap and newgidmap at work, side by side; none where we may write the maps ourselves."""

    def __init__(self) -> None:
        self._children: list[spawn.Child] = []
        self._complaints, self._write_end = os.pipe()

    def start(self, name: str, pid: int, id_map: IdMap) -> None:
        """Run helper `name` for process `pid`."""
        argv = [spawn.find(name, "uidmap"), str(pid)]
        argv += [str(number) for row in id_map for number in row]
        self._children.append(spawn.spawn(argv, stderr=self._write_end))

    def wait(self) -> None:
        """Wait for both. Raises HostError with the words of the one that failed."""
        os.close(self._write_end)
        codes = [child.wait() for child in self._children]
        with open(self._complaints, "rb") as file:
            complaint = file.read().decode(errors="replace").strip()
        if any(codes):
            raise HostError(
                complaint.splitlines()[-1] if complaint else "newuidmap: failed",
                hint='grep "$(id -un)" /etc/subuid /etc/subgid; ls -l "$(command -v newuidmap)"',
            )


def write_maps(pid: int, maps: IdMaps) -> MapHelpers:
    """Start giving the user namespace of process `pid` its maps; call `wait` on the result."""
    helpers = MapHelpers()
    if os.geteuid() == 0:
        _write_directly(pid, maps)
    elif maps.is_single:
        _write_own_id(pid, maps)
    else:
        helpers.start("newuidmap", pid, maps.uids)
        helpers.start("newgidmap", pid, maps.gids)
    return helpers


def _write_directly(pid: int, maps: IdMaps) -> None:
    for name, id_map in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        log.effect(f"write /proc/{pid}/{name}: {format_map(id_map).strip()!r}")
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(format_map(id_map))


def _write_own_id(pid: int, maps: IdMaps) -> None:
    # Without privileges a gid may be mapped only after setgroups(2) is given up.
    with open(f"/proc/{pid}/setgroups", "w") as file:
        file.write("deny")
    _write_directly(pid, maps)


def call(function: Callable[[], Any], maps: IdMaps | None = None) -> Any:
    """Run `function` as root of a user namespace and return what it returns.

    The result must be of the types that `marshal` carries (dict, list, str, bytes, int, None).
    RlError and OSError raised inside are raised here again.
    """
    read_end, write_end = os.pipe()

    def report() -> None:
        os.close(read_end)
        with open(write_end, "wb") as file:
            file.write(marshal.dumps(_outcome(function)))

    with open(read_end, "rb") as file:
        try:
            child = start(report, maps)
        finally:
            os.close(write_end)
        answer = file.read()
    code = child.wait()
    if not answer:
        raise RlError(f"a helper process ended with exit code {code}")
    return _unwrap(marshal.loads(answer))


def _outcome(function: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return ("ok", function())
    except RlError as error:
        return ("rl", to_fields(error))
    except OSError as error:
        return ("os", (error.errno, error.strerror, error.filename))


def _unwrap(outcome: tuple[str, Any]) -> Any:
    kind, value = outcome
    if kind == "ok":
        return value
    if kind == "os":
        raise OSError(*value)
    raise from_fields(*value)
