"""What is asked of `rl build`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.mountspec import MountSpec


class Secret:
    """--secret: id, and where it is: a file, or a variable of ours."""

    __slots__ = ("id", "path", "variable")

    def __init__(self, secret_id: str, path: str, variable: str) -> None:
        self.id = secret_id
        self.path = path
        self.variable = variable


class BuildSpec:
    """context: as written; file: of -f, "" for the usual names; epoch: seconds since 1970, None to
    keep times; ssh: id → socket; pull: a policy; image_format: oci or docker."""

    __slots__ = (
        "annotations", "args", "compression", "container", "context", "epoch", "file",
        "image_format", "jobs", "labels", "mounts", "names", "network", "no_cache", "platform",
        "pull", "secrets", "squash", "ssh", "target",
    )  # fmt: skip

    def __init__(self, context: str) -> None:
        self.context = context
        self.file = ""
        self.names: list[str] = []
        self.args: dict[str, str] = {}
        self.target = ""
        self.no_cache = False
        self.pull = "missing"
        self.platform = ""
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.secrets: dict[str, Secret] = {}
        self.ssh: dict[str, str] = {}
        self.network = ""
        self.mounts: list[MountSpec] = []
        self.squash = False
        self.epoch: int | None = None
        self.image_format = "oci"
        self.compression = "gzip"
        self.jobs = 0
        # Further arguments for the ContainerSpec of RUN: limits, hosts, and so on.
        self.container: dict[str, Any] = {}
