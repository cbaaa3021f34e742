"""What registries.toml says: search registries, aliases, rewrites, mirrors (pure).

The words and their meaning are containers-registries.conf(5)'s, version 2: `[[registry]]` with
prefix, location, insecure, blocked and `[[registry.mirror]]`. Reading the files is
`rootless.image.registries_config`'s. On the start path as far as `candidates`.
"""

from __future__ import annotations

from rootless.errors import RegistryError, UsageError
from rootless.model import reference as references
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.reference import Reference

LOCAL_DOMAIN = "localhost"
_TOP_KEYS = {"unqualified-search-registries", "aliases", "registry"}
_MIRROR_KEYS = {"location", "insecure", "pull-from-mirror"}
_REGISTRY_KEYS = {"prefix", "location", "insecure", "blocked", "mirror"}
_MIRROR_RULES = ("all", "digest-only", "tag-only")
# The name that people write and the host that answers (docker's own mapping).
_HOSTS = {"docker.io": "registry-1.docker.io"}


class Endpoint(Value):
    """One place to ask for an image: host[:port], repository path, and whether TLS is optional."""

    __slots__ = ("domain", "insecure", "path")

    def __init__(self, domain: str, path: str, *, insecure: bool) -> None:
        self.domain = domain
        self.path = path
        # Loopback traffic does not leave the machine: docker's rule, no configuration needed.
        self.insecure = insecure or is_loopback(domain)

    @property
    def host(self) -> str:
        """The host[:port] to connect to."""
        return _HOSTS.get(self.domain, self.domain)

    @property
    def repository(self) -> str:
        """Domain and path: the key for credentials."""
        return f"{self.domain}/{self.path}"


class Mirror:
    """One `[[registry.mirror]]`, and also the location of a `[[registry]]` itself."""

    __slots__ = ("insecure", "location", "rule")

    def __init__(self, location: str, *, insecure: bool, rule: str = "all") -> None:
        self.location = location
        self.insecure = insecure
        self.rule = rule

    def serves(self, reference: Reference) -> bool:
        """Whether pull-from-mirror lets this reference be asked for here."""
        return self.rule == "all" or (self.rule == "digest-only") == bool(reference.digest)


class Registry:
    """One `[[registry]]`."""

    __slots__ = ("blocked", "mirrors", "prefix", "primary")

    def __init__(
        self, prefix: str, primary: Mirror, mirrors: list[Mirror], *, blocked: bool
    ) -> None:
        self.prefix = prefix
        self.primary = primary
        self.mirrors = mirrors
        self.blocked = blocked

    def match_length(self, reference: Reference) -> int:
        """How many characters of the repository the prefix covers, 0 when it does not match."""
        name = reference.repository
        if self.prefix.startswith("*."):
            host = references.split_port(reference.domain)[0]
            return len(reference.domain) if host.endswith(self.prefix[1:]) else 0
        if name == self.prefix or name.startswith(f"{self.prefix}/"):
            return len(self.prefix)
        return 0


class Registries:
    """The merged configuration; the default one is docker.io alone."""

    __slots__ = ("aliases", "registries", "search")

    def __init__(self) -> None:
        self.search = [references.DEFAULT_DOMAIN]
        self.aliases: dict[str, str] = {}
        self.registries: dict[str, Registry] = {}

    def candidates(self, short_or_full: Reference) -> list[Reference]:
        """The qualified references to ask registries for, in order."""
        if not short_or_full.is_short:
            return [short_or_full]
        alias = self.aliases.get(short_or_full.path)
        if alias:
            found = references.parse_qualified(alias)
            found.tag, found.digest = short_or_full.tag, short_or_full.digest
            return [found]
        return [short_or_full.within(domain) for domain in self.search]

    def local_candidates(self, short_or_full: Reference) -> list[Reference]:
        """What to look for in the store: as `candidates`, after an image built here."""
        found = self.candidates(short_or_full)
        if short_or_full.is_short:
            found.insert(0, short_or_full.within(LOCAL_DOMAIN))
        return found

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """Where to ask for a qualified `reference`: mirrors, then the registry itself.

        Raises RegistryError when the configuration blocks it.
        """
        registry = self._match(reference)
        if registry is None:
            return [Endpoint(reference.domain, reference.path, insecure=False)]
        if registry.blocked:
            raise RegistryError(
                f"{reference}: registry {registry.prefix} is blocked in registries.toml"
            )
        places = [m for m in registry.mirrors if m.serves(reference)] + [registry.primary]
        matched = registry.match_length(reference)
        return [_rewritten(reference, matched, place) for place in places]

    def _match(self, reference: Reference) -> Registry | None:
        best = max(
            self.registries.values(), key=lambda one: one.match_length(reference), default=None
        )
        return best if best is not None and best.match_length(reference) else None

    def merge(self, document: dict[str, object], file: str) -> None:
        """Lay the contents of `file` over what is here. Raises UsageError naming file and key."""
        _check_keys(document, _TOP_KEYS, file, "")
        if "unqualified-search-registries" in document:
            self.search = _strings(document, "unqualified-search-registries", file)
        self.aliases.update(_aliases(document.get("aliases", {}), file))
        for table in _tables(document, "registry", file, ""):
            registry = _registry(table, file)
            self.registries[registry.prefix] = registry


def is_loopback(domain: str) -> bool:
    """Whether `domain` (host[:port]) is this machine: localhost, 127.0.0.0/8 or [::1]."""
    host = references.split_port(domain)[0].lower()
    if host in ("localhost", "[::1]"):
        return True
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(n.isdigit() for n in numbers)


def _rewritten(reference: Reference, matched: int, place: Mirror) -> Endpoint:
    if not place.location:
        return Endpoint(reference.domain, reference.path, insecure=place.insecure)
    domain, _, path = (place.location + reference.repository[matched:]).partition("/")
    return Endpoint(domain, path, insecure=place.insecure)


def _registry(table: dict[str, object], file: str) -> Registry:
    where = "registry."
    _check_keys(table, _REGISTRY_KEYS, file, where)
    location = _string(table, "location", file, where)
    prefix = _string(table, "prefix", file, where) or location
    if not prefix:
        raise UsageError(f"{file}: a [[registry]] needs a prefix or a location")
    mirrors = [_mirror(one, file) for one in _tables(table, "mirror", file, where)]
    primary = Mirror(location, insecure=_flag(table, "insecure", file, where))
    return Registry(prefix, primary, mirrors, blocked=_flag(table, "blocked", file, where))


def _mirror(table: dict[str, object], file: str) -> Mirror:
    where = "registry.mirror."
    _check_keys(table, _MIRROR_KEYS, file, where)
    location = _string(table, "location", file, where)
    rule = _string(table, "pull-from-mirror", file, where) or "all"
    if not location:
        raise UsageError(f"{file}: a [[registry.mirror]] needs a location")
    if rule not in _MIRROR_RULES:
        raise UsageError(f"{file}: {where}pull-from-mirror must be one of {_MIRROR_RULES}")
    return Mirror(location, insecure=_flag(table, "insecure", file, where), rule=rule)


def _aliases(table: object, file: str) -> dict[str, str]:
    if not isinstance(table, dict):
        raise UsageError(f"{file}: aliases must be a table")
    for short, full in table.items():
        if not isinstance(full, str):
            raise UsageError(f"{file}: aliases.{short} must be a string")
        parsed = references.parse(full)
        if parsed.is_short or parsed.tag or parsed.digest:
            raise UsageError(f"{file}: aliases.{short} must be REGISTRY/NAME without a tag")
    return table


def _check_keys(table: dict[str, object], known: set[str], file: str, where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise UsageError(f"{file}: unknown key {where}{unknown[0]}", hint=f"known keys: {names}")


def _string(table: dict[str, object], key: str, file: str, where: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or "://" in value:
        raise UsageError(f"{file}: {where}{key} must be a HOST[:PORT][/PATH] without a scheme")
    return value.rstrip("/")


def _flag(table: dict[str, object], key: str, file: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"{file}: {where}{key} must be true or false")
    return value


def _strings(table: dict[str, object], key: str, file: str) -> list[str]:
    value = table[key]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{file}: {key} must be a list of strings")
    return list(value)


def _tables(table: dict[str, object], key: str, file: str, where: str) -> list[dict[str, object]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UsageError(f"{file}: {where}{key} must be written as [[{where}{key}]]")
    return value
