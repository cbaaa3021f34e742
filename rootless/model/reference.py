"""Image references as docker and podman read them.

The grammar is distribution/reference's (github.com/distribution/reference, reference.go):

    [domain[:port]/]path[:tag][@digest]

A first component is a domain when it has a dot, a colon or an uppercase letter, or is
"localhost"; without one the reference is short. Pure and on the start path: checks are
hand-written, so that no pattern is compiled to read a name.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model import digest as digests
from rootless.model.digits import number
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL_NAMESPACE = "library"
_MAX_NAME = 255
_MAX_TAG = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALNUM = _LOWER | _UPPER
_WORD = _ALNUM | {"_"}
_HEX = frozenset("0123456789abcdef")

# containers-transports(5); the ones that hold no registry image name.
_OTHER_TRANSPORTS = (
    "containers-storage", "dir", "docker-archive", "docker-daemon", "oci-archive", "ostree", "sif",
)  # fmt: skip


class Reference(Value):
    """A parsed reference; `domain` is "" while a short name has not been resolved."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str = "", digest: str = "") -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def is_short(self) -> bool:
        """Whether no registry is named: search registries and aliases apply."""
        return not self.domain

    @property
    def repository(self) -> str:
        """Domain and path, without tag and digest."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest, which wins, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def name(self) -> str:
        """The normalised name that the store keeps: a digest displaces the tag, as in podman."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag or DEFAULT_TAG}"

    def within(self, domain: str) -> Reference:
        """The same short name in registry `domain`; docker.io's one-word names are official."""
        path = self.path
        if domain == DEFAULT_DOMAIN and "/" not in path:
            path = f"{_OFFICIAL_NAMESPACE}/{path}"
        return Reference(domain, path, self.tag, self.digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


class OciPath:
    """`oci:DIR[:REF]`: an image in an OCI image layout on disk."""

    __slots__ = ("directory", "ref")

    def __init__(self, directory: str, ref: str = "") -> None:
        self.directory = directory
        self.ref = ref

    def __str__(self) -> str:
        return f"oci:{self.directory}" + (f":{self.ref}" if self.ref else "")


def parse_source(text: str) -> Reference | OciPath:
    """What `text` names: `docker://NAME`, `oci:DIR[:REF]` or NAME. Raises UsageError."""
    if text.startswith("docker://"):
        return parse_qualified(text[len("docker://") :])
    transport, colon, rest = text.partition(":")
    if colon and transport == "oci":
        return _parse_oci_path(text, rest)
    if colon and transport in _OTHER_TRANSPORTS:
        raise UsageError(
            f"{text}: transport {transport!r} is not supported",
            hint=f"skopeo copy {text} oci:DIR && rl pull oci:DIR",
        )
    return parse(text)


def _parse_oci_path(text: str, rest: str) -> OciPath:
    directory, _, ref = rest.partition(":")
    if not directory:
        raise UsageError(f"{text}: no directory; the form is oci:DIR or oci:DIR:REF")
    return OciPath(directory, ref)


def parse_qualified(text: str) -> Reference:
    """`text` with docker.io as the registry where it names none. Raises UsageError."""
    reference = parse(text)
    return reference.within(DEFAULT_DOMAIN) if reference.is_short else reference


def parse(text: str) -> Reference:
    """The reference in `text`, short or not; the tag stays "" where none is given.

    Raises UsageError that names `text` and the rule it breaks.
    """
    if not text:
        raise UsageError("an image reference is empty")
    rest, at, digest = text.partition("@")
    if at and digests.problem_of(digest):
        _fail(text, digests.problem_of(digest))
    name, tag = _split_tag(text, rest)
    domain, path = _split_domain(name)
    if domain:
        _check_domain(text, domain)
    _check_path(text, path)
    if len(name) > _MAX_NAME:
        _fail(text, f"a repository name has at most {_MAX_NAME} characters, this has {len(name)}")
    if not domain and len(path) == 64 and _HEX.issuperset(path):
        _fail(text, "64 hexadecimal digits are an image id and cannot be a repository name")
    if digests.is_digest(text):
        _fail(text, "a digest alone names no repository; the form is NAME@DIGEST")
    return _normalised(domain, path, tag, digest)


def _normalised(domain: str, path: str, tag: str, digest: str) -> Reference:
    if domain == _LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    reference = Reference(domain, path, tag, digest)
    return reference.within(domain) if domain else reference


def _fail(text: str, rule: str) -> NoReturn:
    shown = "".join(c if c.isprintable() else "?" for c in text[:300])
    raise UsageError(f"{shown}: not an image reference: {rule}")


def _split_tag(text: str, rest: str) -> tuple[str, str]:
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag or tag.endswith("]"):
        return rest, ""
    if not tag:
        _fail(text, "the tag after ':' is empty")
    if len(tag) > _MAX_TAG:
        _fail(text, f"a tag has at most {_MAX_TAG} characters, this one has {len(tag)}")
    if tag[0] not in _WORD or not all(c in _WORD or c in ".-" for c in tag):
        _fail(text, f"tag {tag!r}: a tag is made of letters, digits, '_', '.' and '-', "
              "and starts with neither '.' nor '-'")  # fmt: skip
    return name, tag


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", name


def _check_domain(text: str, domain: str) -> None:
    host, port = split_port(domain)
    if port is not None and number(port, 1, 65535) is None:
        _fail(text, f"port {port!r} of the registry is not a number from 1 to 65535")
    if host.startswith("["):
        if not host.endswith("]") or not all(c in _HEX or c in "ABCDEF:." for c in host[1:-1]):
            _fail(text, f"registry {host!r} is not an IPv6 address in brackets")
        return
    for label in host.split("."):
        if not _is_label(label):
            _fail(text, f"registry {host!r} is not a host name")


def _is_label(label: str) -> bool:
    return bool(label) and all(c in _ALNUM or c == "-" for c in label) and "-" not in (
        label[0], label[-1],
    )  # fmt: skip


def split_port(domain: str) -> tuple[str, str | None]:
    """Host and port of `domain`; brackets of an IPv6 address stay; None without a port."""
    host, colon, port = domain.rpartition(":")
    if not colon or port.endswith("]"):
        return domain, None
    return host, port


def _check_path(text: str, path: str) -> None:
    if not path:
        _fail(text, "the repository name is empty")
    for component in path.split("/"):
        problem = _component_problem(component)
        if problem:
            _fail(text, problem)


def _component_problem(component: str) -> str:
    if not component:
        return "a repository name has an empty component between slashes"
    if not _UPPER.isdisjoint(component):
        return f"repository name must be lowercase, {component!r} has uppercase letters"
    foreign = [c for c in component if c not in _LOWER and c not in "._-"]
    if foreign:
        return f"character {foreign[0]!r} cannot be in a repository name"
    for run in _separator_runs(component):
        if run not in (".", "_", "__") and run.strip("-"):
            return f"{run!r} in {component!r}: separators are one '.', one or two '_', or '-'s"
    if component[0] not in _LOWER or component[-1] not in _LOWER:
        return f"{component!r} must start and end with a letter or a digit"
    return ""


def _separator_runs(component: str) -> list[str]:
    return "".join(" " if c in _LOWER else c for c in component).split()
