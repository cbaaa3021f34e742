"""Processes that unpack layers: forked early, root of the user namespace, one layer at a time each.

The parent's side is `Unpackers` and `Job`, the child's is `_serve`. All workers receive from one
SOCK_SEQPACKET socket, so the kernel gives the next waiting job to the next idle worker. A request
carries two descriptors: the compressed blob (a pipe or a file) and the job's own reply socket. When
a worker dies, its copy of the reply socket closes, and the job fails instead of hanging.

A worker reads the blob once: decompress, hash, unpack into a directory of the parent's workspace.
A failed job removes its directory itself; what a killed worker leaves goes with the workspace.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import socket
import threading

from rootless.errors import ImageError, RlError, StoreError, from_fields, to_fields
from rootless.image import unpack
from rootless.image.unpack import Summary
from rootless.kernel import libc
from rootless.store import files, layers, trees
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.idmap import IdMaps
    from rootless.store.paths import Paths
    from rootless.tools.spawn import Child

_MAX_MESSAGE = 64 * 1024


class Job:
    """One layer on its way into the store. `wait`, then `commit` or `discard`."""

    def __init__(self, paths: Paths, diff_id: str, directory: str, reply: socket.socket) -> None:
        self.diff_id = diff_id
        self._paths = paths
        self._directory = directory
        self._reply = reply
        self._outcome: tuple[str, Any] | None = None
        self._is_committed = False
        self._lock = threading.Lock()

    def wait(self) -> Summary:
        """Block until the layer is unpacked and its diff id checked; may be called again.

        Raises ImageError (the layer is bad) or StoreError (the disk is full, the worker died).
        """
        with self._lock:
            if self._outcome is None:
                self._outcome = self._receive()
        kind, value = self._outcome
        if kind == "ok":
            return Summary(self.diff_id, *value)
        raise from_fields(*value)

    def _receive(self) -> tuple[str, Any]:
        with self._reply:
            answer = self._reply.recv(_MAX_MESSAGE)
        if not answer:
            message = f"layer {self.diff_id}: the process that unpacked it was killed"
            return ("rl", to_fields(StoreError(message, "free -m; dmesg | tail")))
        outcome: tuple[str, Any] = marshal.loads(answer)
        return outcome

    def commit(self) -> None:
        """Let the layer appear in the store; that another process was faster is no error."""
        self.wait()
        if not self._is_committed:
            layers.commit(self._paths, self._directory, self.diff_id)
            self._is_committed = True

    def discard(self) -> None:
        """Give the layer up. Its files go when the `Unpackers` are closed."""
        with self._lock:
            if self._outcome is None:
                self._outcome = ("rl", to_fields(StoreError(f"layer {self.diff_id}: given up")))
                self._reply.close()


class Unpackers:
    """A pool of workers and the workspace they unpack into; a context manager."""

    def __init__(
        self,
        paths: Paths,
        workspace: layers.Workspace,
        workers: list[Child],
        requests: socket.socket,
    ) -> None:
        self._paths = paths
        self._workspace = workspace
        self._workers = workers
        self._requests = requests
        self._lock = threading.Lock()
        self._count = 0

    @classmethod
    def start(cls, paths: Paths, count: int) -> Unpackers:
        """Fork `count` workers. Call it from the main thread, before there are others.

        The workers die with the calling thread. Raises HostError, StoreError.
        """
        maps = idmap.canonical_maps()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        workspace = layers.Workspace(paths)
        owner, is_shared = os.getpid(), paths.is_shared

        def work() -> None:
            ours.close()
            _serve(theirs, maps, owner, publish=is_shared)

        workers: list[Child] = []
        unpackers = cls(paths, workspace, workers, ours)
        try:
            for _ in range(max(1, count)):
                workers.append(idmap.start(work, maps))
        except BaseException:
            theirs.close()
            unpackers.close()
            raise
        theirs.close()
        return unpackers

    def submit(self, diff_id: str, media_type: str, source_fd: int) -> Job:
        """Queue the layer that is read from `source_fd`, compressed as it says itself.

        source_fd: a pipe's read end or a file; it is duplicated and stays the caller's. A bad
        layer makes the worker close its copy: a writer into the pipe gets BrokenPipeError and
        should then call `wait`, which raises the reason. media_type only serves in messages.
        """
        with self._lock:
            self._count += 1
            # ext4 places it by its name: not where a layer that was just removed had been.
            directory = f"{self._workspace.path}/{os.getpid()}-{self._count}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = marshal.dumps((diff_id, media_type, directory))
        try:
            with theirs:
                socket.send_fds(self._requests, [request], [source_fd, theirs.fileno()])
        except OSError as error:
            ours.close()
            raise StoreError(f"layer {diff_id}: no process is left to unpack it") from error
        return Job(self._paths, diff_id, directory, ours)

    def close(self) -> None:
        """End the workers, in the middle of a layer too, and remove what was not committed."""
        self._requests.close()
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()
        self._workers.clear()
        self._workspace.close()

    def __enter__(self) -> Unpackers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(requests: socket.socket, maps: IdMaps, owner: int, *, publish: bool) -> None:
    """A worker's life: jobs until the parent closes its end or dies.

    publish: the layers are for all users.
    """
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        return
    # Ctrl-C is for the parent to handle; it ends the workers when it unwinds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc.prctl_name("rl-unpack")
    os.umask(0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _MAX_MESSAGE, 2)
        if not message:
            return
        source_fd, reply_fd = descriptors
        diff_id, media_type, directory = marshal.loads(message)
        outcome = _outcome_of(source_fd, diff_id, media_type, directory, maps, publish=publish)
        os.close(source_fd)
        with socket.socket(fileno=reply_fd) as reply:
            _send(reply, outcome)


def _send(reply: socket.socket, outcome: tuple[str, Any]) -> None:
    try:
        reply.send(marshal.dumps(outcome))
    except (BrokenPipeError, ConnectionResetError):
        # The job was discarded: nobody waits for the outcome.
        pass


def _outcome_of(
    source_fd: int, diff_id: str, media_type: str, directory: str, maps: IdMaps, *, publish: bool
) -> tuple[str, Any]:
    failure: RlError
    try:
        return ("ok", _unpack(source_fd, diff_id, directory, maps, publish=publish))
    except RlError as error:
        error.message = f"layer {diff_id} ({media_type}): {error.message}"
        failure = error
    except OSError as error:
        failure = files.explain(error, directory)
        failure.message = f"layer {diff_id}: {failure.message}"
    except MemoryError:
        failure = StoreError(f"layer {diff_id}: out of memory", "free -m")
    trees.remove_tree(directory)
    return ("rl", to_fields(failure))


def _unpack(
    source_fd: int, diff_id: str, directory: str, maps: IdMaps, *, publish: bool
) -> tuple[int, int, list[str]]:
    os.mkdir(directory, 0o755)
    tree = f"{directory}/diff"
    os.mkdir(tree, 0o755)
    summary = unpack.unpack(source_fd, tree, maps)
    if summary.diff_id != diff_id:
        raise ImageError(f"its content has the digest {summary.diff_id}, not the expected one")
    if publish:
        from rootless.image import publishing

        publishing.publish(tree)
    document = {"size": summary.size, "files": summary.files, "notes": summary.notes}
    files.write_atomic(f"{directory}/layer.json", json.dumps(document).encode())
    return summary.size, summary.files, summary.notes
