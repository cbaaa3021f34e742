"""Platforms of images: os/architecture[/variant] in Go's words (image-spec, image-index.md)."""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.model.value import Value

# os.uname().machine → GOARCH and variant, as containerd's platforms package maps them.
_MACHINES = {
    "x86_64": ("amd64", ""), "amd64": ("amd64", ""), "i386": ("386", ""), "i686": ("386", ""),
    "aarch64": ("arm64", "v8"), "arm64": ("arm64", "v8"), "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "armv5tel": ("arm", "v5"),
    "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", ""),
    "mips64": ("mips64le", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip
_ALIASES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", "v8"),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "i386": ("386", ""), "i686": ("386", ""),
}  # fmt: skip
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


class Platform(Value):
    """What an image was built for; `variant` may be ""."""

    __slots__ = ("architecture", "os", "variant")

    def __init__(self, system: str, architecture: str, variant: str = "") -> None:
        self.os = system
        self.architecture = architecture
        self.variant = variant

    def __str__(self) -> str:
        tail = f"/{self.variant}" if self.variant else ""
        return f"{self.os}/{self.architecture}{tail}"

    @property
    def level(self) -> int:
        """The variant as a number, the architecture's default for none, -1 when it is no number."""
        variant = self.variant or _DEFAULT_VARIANTS.get(self.architecture, "v0")
        digits = variant[1:].partition(".")[0]
        return int(digits) if variant[0] == "v" and digits.isdigit() and len(digits) < 4 else -1

    def rank_for(self, wanted: Platform) -> int | None:
        """How well this image runs on `wanted`: 0 is exact, more is worse, None not at all.

        A processor runs code of lower variants: an image for arm/v6 runs on arm/v7.
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        if self.variant == wanted.variant:
            return 0
        if self.level < 0 or wanted.level < 0 or self.level > wanted.level:
            return None
        return wanted.level - self.level

    def as_document(self) -> dict[str, str]:
        """The `platform` object of a descriptor."""
        document = {"architecture": self.architecture, "os": self.os}
        return {**document, "variant": self.variant} if self.variant else document


def host() -> Platform:
    """The platform of this machine."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def parse(text: str) -> Platform:
    """`--platform`'s value: OS/ARCH[/VARIANT], ARCH[/VARIANT] for Linux, or "linux". UsageError."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(part and _ALLOWED.issuperset(part) for part in parts):
        raise UsageError(f"platform {text!r}: the form is OS/ARCH or OS/ARCH/VARIANT",
                         hint="--platform linux/arm64")  # fmt: skip
    if parts == ["linux"]:
        return host()
    if len(parts) == 1:
        parts.insert(0, "linux")
    if len(parts) == 2 and parts[0] in (*_MACHINES, "amd64", "arm64", "arm", "386"):
        parts.insert(0, "linux")
    architecture, variant = _ALIASES.get(parts[1], (parts[1], ""))
    if len(parts) == 3:
        variant = parts[2]
    if architecture == "arm64" and not variant:
        variant = "v8"
    return Platform(parts[0], architecture, variant)
