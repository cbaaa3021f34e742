"""What is asked of `rl build`."""

from __future__ import annotations

from rootless.model.container import ContainerSpec


class Secret:
    """--secret: id, and where it is: a file, or a variable of ours."""

    __slots__ = ("id", "path", "variable")

    def __init__(self, secret_id: str, path: str, variable: str) -> None:
        self.id = secret_id
        self.path = path
        self.variable = variable


class BuildSpec:
    """context: as written; file: of -f, "" for the usual names; epoch: seconds since 1970, None to
    keep times; ssh: id → socket; pull: a policy; image_format: oci or docker; jobs: 0 for as many
    as there are CPUs; container: what RUN's containers have of flags."""

    __slots__ = (
        "annotations", "args", "cache_from", "cache_to", "compression", "container", "context",
        "epoch", "file", "image_format", "jobs", "labels", "names", "no_cache", "platform", "pull",
        "secrets", "squash", "ssh", "target",
    )  # fmt: skip

    def __init__(self, context: str) -> None:
        self.context = context
        self.file = ""
        self.names: list[str] = []
        self.args: dict[str, str] = {}
        self.target = ""
        self.no_cache = False
        self.cache_from: list[str] = []
        self.cache_to: list[str] = []
        self.pull = "missing"
        self.platform = ""
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.secrets: dict[str, Secret] = {}
        self.ssh: dict[str, str] = {}
        self.squash = False
        self.epoch: int | None = None
        self.image_format = "oci"
        self.compression = "gzip"
        self.jobs = 0
        self.container = ContainerSpec()
