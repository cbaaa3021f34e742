"""A container in a user namespace of its own inside the canonical one (`--userns keep-id`, …).

The inner root is another host user than ours, so it can reach nothing below a private home. What it
has to bind, the keeper opens as detached mounts (open_tree(2)) beforehand; the inner side attaches
those to its tree.
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.kernel.channel import Channel, close_all_of, pair
from rootless.kernel.mounts import fd_path
from rootless.model.idmap import format_map, to_inside, to_outside
from rootless.runtime import messages, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.messages import Request
    from rootless.runtime.stdio import Stdio


def start_init(
    request: Request,
    root: str,
    control: Channel,
    setup: Channel,
    stdio: Stdio,
    private: list[int],
) -> int:
    """Fork the container's first process inside a nested user namespace; its pid.

    private: descriptors that it may not have.

    An intermediate process makes the namespaces and ends; the keeper inherits init from it.
    """
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    root_tree = _detach(root)
    opened = [root_tree, *_detach_sources(request)]
    keeper_end, middle_end = pair()
    middle = os.fork()
    if middle == 0:
        control.close()
        keeper_end.close()
        close_all_of(private)
        _run_middle(request, root_tree, setup, stdio, middle_end)
    middle_end.close()
    close_all_of(opened)
    try:
        return _serve_middle(request, keeper_end, middle)
    finally:
        # Closed first: the other side, if it still waits for an answer, gives up.
        keeper_end.close()
        os.waitpid(middle, 0)


def _serve_middle(request: Request, channel: Channel, middle: int) -> int:
    if channel.receive() is None or request["inner_maps"] is None:
        raise RuntimeSetupError("user namespace: the nested one could not be made")
    for name, id_map in zip(("uid_map", "gid_map"), request["inner_maps"], strict=True):
        _write_map(f"/proc/{middle}/{name}", format_map(id_map))
    channel.send("mapped")
    received = channel.receive()
    if received is None:
        raise RuntimeSetupError("user namespace: the nested process ended")
    if received[0][0] == messages.FAILED:
        raise messages.failure_of(received[0])
    return int(received[0][1])


def _write_map(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise RuntimeSetupError(
            f"nested user namespace: {path} refuses {text!r}: {error.strerror}"
        ) from error


def _detach_sources(request: Request) -> list[int]:
    """Open every bind's source and note its descriptor in the request, which init reads."""
    document = request["document"]
    opened = []
    binds = [mount for mount in document["mounts"] if mount["type"] == "bind"]
    for mount in binds:
        mount["rl.tree"] = _detach(mount["source"])
        opened.append(mount["rl.tree"])
    for number, (volume, path) in enumerate(request["copy_up"]):
        _give_to_root(volume, request)
        opened.append(_detach(volume))
        request["copy_up"][number] = (fd_path(opened[-1]), path)
    return opened


def _give_to_root(volume: str, request: Request) -> None:
    """An empty volume is the user's, who is nobody in a namespace that does not map them."""
    maps = request["inner_maps"]
    if maps is None or to_inside(maps[0], 0) is not None:
        return
    uid, gid = to_outside(maps[0], 0), to_outside(maps[1], 0)
    if uid is not None and gid is not None:
        os.chown(volume, uid, gid)


def _detach(path: str) -> int:
    recursive = libc.AT_RECURSIVE if os.path.isdir(path) else 0
    return libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE | recursive)


def _become_root(request: Request) -> None:
    """Where the nested namespace has a root; with a single id mapped, capabilities are enough."""
    maps = request["inner_maps"]
    if maps is not None and to_outside(maps[1], 0) is not None:
        os.setresgid(0, 0, 0)
    if maps is not None and to_outside(maps[0], 0) is not None:
        os.setresuid(0, 0, 0)


def _run_middle(
    request: Request, root_tree: int, setup: Channel, stdio: Stdio, channel: Channel
) -> NoReturn:
    from rootless.runtime import init

    try:
        # Before the change of user namespace: afterwards the group is somebody else's.
        namespaces.enter_cgroup(request)
        libc.unshare(libc.CLONE_NEWUSER)
        channel.send("unshared")
        if channel.receive() is None:
            os._exit(1)
        _become_root(request)
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
        namespaces.enter_for_children(
            request["document"]["linux"]["namespaces"], request["started_ns"]
        )
        pid = os.fork()
        if pid == 0:
            channel.close()
            init.main(request, "", setup, stdio, root_tree)
        channel.send(messages.INIT, pid)
    except BaseException as error:
        messages.send_failure(channel, error, "making the nested user namespace")
    os._exit(0)
