"""Whether a network driver works on this host: it is started for a namespace that nobody uses."""

from __future__ import annotations

import os

from rootless.errors import RlError
from rootless.kernel import libc
from rootless.model.network import NetworkChoice
from rootless.net import drivers
from rootless.runtime import namespaces
from rootless.tools import idmap

_MADE = b"made"


def run(driver: str, runtime_dir: str) -> str:
    """The reason why `driver` (slirp4netns, pasta) does not work here, "" if it does.

    Raises HostError without user namespaces.
    """
    namespace = _Namespace()
    try:
        if namespace.reason:
            return namespace.reason
        network = drivers.make(NetworkChoice(driver), [])
        network.check()
        where = f"/proc/{namespace.pid}/ns"
        running = network.start(f"{where}/user", f"{where}/net", runtime_dir=runtime_dir)
        try:
            running.wait_ready()
        finally:
            running.stop()
        return ""
    except RlError as error:
        return error.message
    finally:
        namespace.close()


class _Namespace:
    """A process in a network namespace of its own. reason: why there is none."""

    def __init__(self) -> None:
        said, to_us = os.pipe()
        from_us, self._keep = os.pipe()

        def stay() -> None:
            os.close(self._keep)
            try:
                namespaces.unshare(libc.CLONE_NEWNET)
                os.write(to_us, _MADE)
                os.read(from_us, 1)  # its end
            except RlError as error:
                os.write(to_us, error.message.encode())
            except OSError as error:
                os.write(to_us, f"network namespaces: {error.strerror}".encode())

        try:
            self._child = idmap.start(stay)
        except BaseException:
            os.close(self._keep)
            raise
        finally:
            os.close(to_us)
            os.close(from_us)
        with open(said, "rb", buffering=0) as file:
            answer = file.read(4096)
        self.pid = self._child.pid
        self.reason = "" if answer == _MADE else answer.decode() or "its process was killed"

    def close(self) -> None:
        os.close(self._keep)
        self._child.wait()
