"""What is compared: how each program is told to run, pull and forget an image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import Command

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class Rl:
    """`rl` of this checkout, with a store below `place`."""

    name = "rl"
    helpers: Sequence[str] = ()

    def __init__(self, place: Path, registry: str) -> None:
        self.argv = [str(Path(sys.executable).parent / "rl")]
        self.env = {
            "HOME": str(place),
            "PATH": PATH,
            "RL_ROOT": str(place / "store"),
            "RL_RUNTIME_DIR": str(place / "run"),
        }

    def run(self, image: str, *words: str, net: str = "") -> Command:
        network = ("--net", net) if net else ()
        return [*self.argv, "run", "--rm", *network, image, *words], self.env

    def keep(self, image: str) -> Command:
        """Make a container that stays."""
        return [*self.argv, "run", "--net", "none", image, "true"], self.env

    def list(self) -> Command:
        """List all of them."""
        return [*self.argv, "ps", "--all"], self.env

    def pull(self, image: str) -> Command:
        return [*self.argv, "pull", "-q", image], self.env

    def push(self, image: str, destination: str) -> Command:
        return [*self.argv, "push", "-q", "--tls-verify=false", image, destination], self.env

    def forget(self, image: str) -> Command:
        return [*self.argv, "rmi", "-f", image], self.env

    def squash(self, image: str, file: str) -> Command:
        """Make `file` of the image, anew."""
        return [*self.argv, "image", "squash", "--force", "-q", image, file], self.env

    def close(self) -> None:
        pass


class Podman(Rl):
    """podman as the same user, with the same layer driver and network as `rl`'s defaults.

    A home of its own: podman keeps a database that ties a store to its first settings.
    """

    name = "podman"
    helpers = ("conmon",)

    def __init__(self, place: Path, registry: str) -> None:
        self.argv = ["podman"]
        self.place = place
        settings = place / "settings"
        for folder in (settings, place / "home", place / "xdg"):
            folder.mkdir(mode=0o700)
        self.env = {
            "HOME": str(place / "home"),
            "PATH": PATH,
            "XDG_RUNTIME_DIR": str(place / "xdg"),
            "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
            "CONTAINERS_CONF": str(settings / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(settings / "registries.conf"),
        }
        (settings / "storage.conf").write_text(
            '[storage]\ndriver = "overlay"\n'
            f'graphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
            f'[storage.options.overlay]\nmount_program = "{shutil.which("fuse-overlayfs")}"\n'
        )
        (settings / "containers.conf").write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "crun"\n'
            '[network]\ndefault_rootless_network_cmd = "slirp4netns"\n'
        )
        (settings / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
        )
        policy = place / "home/.config/containers/policy.json"
        policy.parent.mkdir(parents=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def keep(self, image: str) -> Command:
        """Make a container that stays."""
        return [*self.argv, "create", image, "true"], self.env

    def close(self) -> None:
        """End the process that podman keeps for the user's namespaces."""
        subprocess.run(
            [*self.argv, "system", "migrate"], env=self.env, capture_output=True, check=False
        )


class Bubblewrap:
    """bwrap on a plain directory: no image, no layers, no network to speak of."""

    name = "bubblewrap"

    def __init__(self, rootfs: Path) -> None:
        self.rootfs = rootfs

    def run(self, *words: str) -> Command:
        argv = ["bwrap", "--unshare-all", "--bind", str(self.rootfs), "/", "--proc", "/proc"]
        return [*argv, "--dev", "/dev", "--die-with-parent", *words], {"PATH": PATH}


class Crun:
    """crun on a bundle with a plain directory and one mapped id."""

    name = "crun"

    def __init__(self, place: Path, rootfs: Path, words: Sequence[str]) -> None:
        self.place = place
        self.counter = 0
        self.env = {"PATH": PATH, "XDG_RUNTIME_DIR": str(place)}
        subprocess.run(["crun", "spec", "--rootless"], cwd=place, env=self.env, check=True)
        path = place / "config.json"
        spec = json.loads(path.read_text())
        spec["process"].update(terminal=False, args=list(words))
        spec["root"] = {"path": str(rootfs), "readonly": True}
        spec["linux"]["namespaces"].append({"type": "network"})
        path.write_text(json.dumps(spec))

    def run(self) -> Command:
        self.counter += 1
        argv = ["crun", "--cgroup-manager=disabled", "run", "--bundle", str(self.place)]
        return [*argv, f"bench{os.getpid()}.{self.counter}"], self.env


def installed(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None
