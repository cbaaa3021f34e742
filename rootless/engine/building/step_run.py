"""RUN: what is run, in which environment, and the key of the step."""

from __future__ import annotations

import os

from rootless.engine import images as engine_images
from rootless.engine.building import roots, run_mounts, running, state
from rootless.engine.building.run_mounts import RunMounts
from rootless.engine.plan import ImageFacts
from rootless.errors import RlError
from rootless.model import image_config
from rootless.model.container import ContainerSpec
from rootless.model.dockerfile import lines
from rootless.model.dockerfile.place import DockerfileError
from rootless.model.logspec import NONE
from rootless.model.mountspec import BIND, MountSpec
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.building.run_mounts import SourceOf
    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.engine.changes import WritableLayer
    from rootless.image.layer_writer import LayerWriter, NewLayer
    from rootless.model.dockerfile.instructions import Run

# Where BuildKit has the scripts that are heredocs with "#!".
_SCRIPTS = "/dev/pipes"
# What the command finds of the configuration; no entry point, no health check, no volumes: what is
# written there is part of the image.
_OF_THE_IMAGE = ("Env", "User", "WorkingDir")
# Of the flags' wish for each container.
_OF_FLAGS = (
    "add_hosts", "cap_add", "cap_drop", "cgroup_manager", "cgroup_parent", "cpu_affinity",
    "devices", "dns", "dns_option", "dns_search", "limits", "no_hosts", "oom_score_adj", "procview",
    "resources", "security_opt", "shm_size", "sysinfo", "ulimits",
)  # fmt: skip
# Known without an ARG, and not part of a step's key nor of the history (Dockerfile reference).
PROXIES = tuple(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)


def run(shop: Workshop, now: State, found: Run, source_of: SourceOf) -> None:
    """Do RUN. Raises DockerfileError that names the line."""
    try:
        _Running(shop, now, found, source_of).take()
    except DockerfileError:
        raise
    except RlError as error:
        raise found.place.error(error.message, error.hint) from error


class _Running:
    def __init__(self, shop: Workshop, now: State, found: Run, source_of: SourceOf) -> None:
        self._shop = shop
        self._now = now
        self._found = found
        self._source_of = source_of
        self._script: tuple[str, str] | None = None
        self._argv = self._command()
        env = now.env
        self._args = {name: value for name, value in now.args.items() if name not in env}

    def _command(self) -> list[str]:
        """The argv; a heredoc with "#!" is put into `_script`."""
        found = self._found
        if not found.shell:
            return found.words
        text = found.words[0]
        if found.heredocs:
            alone = lines.heredoc_of(text)
            if alone is None:
                # The shell has to read it itself.
                text += "".join(f"\n{one.content}{one.name}" for one in found.heredocs)
            elif found.heredocs[0].content.startswith("#!"):
                self._script = f"{_SCRIPTS}/{alone.name}", found.heredocs[0].text
                text = self._script[0]
                return [text]
            else:
                text = found.heredocs[0].text
        return image_config.in_shell(self._now.section, text)

    def take(self) -> None:
        shop, found = self._shop, self._found
        if found.security != "sandbox":
            raise found.place.error("--security=insecure is not supported", "--security=sandbox")
        mounts = [
            run_mounts.key_of(shop, mount, self._source_of, found.place) for mount in found.mounts
        ]
        visible = {name: value for name, value in self._args.items() if name not in PROXIES}
        key = state.key_of(
            self._now.key, "RUN", self._argv, self._script, visible, mounts, self._network(),
            [repr(mount) for mount in shop.spec.container.mounts],
        )  # fmt: skip
        shown = self._script[1] if self._script else " ".join(self._argv)
        counted = [f"|{len(visible)}", *(f"{name}={visible[name]}" for name in sorted(visible))]
        by = " ".join(["RUN", *(counted if visible else ()), shown])
        shop.take(self._now, key, by, self._make)

    def _network(self) -> str:
        wish = self._found.network
        return self._shop.spec.container.network if wish == "default" else wish

    def _make(self, writer: LayerWriter) -> NewLayer | None:
        made: list[NewLayer] = []
        with layers.Workspace(self._shop.paths) as workspace:
            ready = RunMounts(
                self._shop, self._now, self._found.place, workspace.path, self._source_of
            )
            try:
                for mount in self._found.mounts:
                    ready.add(mount)
                spec = self._spec(ready, workspace.path)
                targets = [mount.target for mount in spec.mounts]

                def take(folder: WritableLayer) -> None:
                    ours = [*folder.ours, *targets]
                    made.append(
                        self._shop.write(writer, folder.upper, folder.layers, ours, folder.owner)
                    )

                code = running.run(
                    spec, self._shop.stored(self._now), self._facts(workspace.path), take
                )
            finally:
                ready.close()
        if code:
            raise self._found.place.error(f"RUN: the command ended with exit code {code}")
        return made[0]

    def _spec(self, ready: RunMounts, folder: str) -> ContainerSpec:
        shop, wish = self._shop, self._shop.spec.container
        proxies = {name: shop.spec.args[name] for name in PROXIES if name in shop.spec.args}
        extra = []
        if self._script is not None:
            path = f"{folder}/script"
            with open(path, "w", encoding="utf-8") as file:
                file.write(self._script[1])
            os.chmod(path, 0o755)
            extra = [MountSpec(BIND, path, self._script[0], ("ro",))]
        return ContainerSpec(
            image=self._now.base[0] or "scratch",
            command=self._argv,
            entrypoint=[],
            env={**proxies, **self._args, **ready.env},
            mounts=[*wish.mounts, *ready.specs, *extra],
            network=self._network(),
            log_driver=NONE,
            sig_proxy=False,
            **{name: getattr(wish, name) for name in _OF_FLAGS},
        )

    def _facts(self, folder: str) -> ImageFacts:
        trees = self._shop.trees(self._now) or [roots.empty_tree(folder)]
        section = self._now.section
        config = {name: section[name] for name in _OF_THE_IMAGE if name in section}
        return ImageFacts(
            config, trees,
            engine_images.read_in_layers(trees, "etc/passwd"),
            engine_images.read_in_layers(trees, "etc/group"),
            shared=layers.is_any_shared(trees),
        )  # fmt: skip
