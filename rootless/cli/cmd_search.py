"""`rl search`."""

from __future__ import annotations

from operator import attrgetter, itemgetter

from rootless.cli import diagnostics, output, registry_options, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE, RlError, UsageError
from rootless.model.filters import Filters
from rootless.model.gotemplate.values import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.image.push import Wishes
    from rootless.image.search import Found

_KEYS = {"stars": "NUMBER", "is-official": "true|false"}
_HEADS = {
    "Index": "INDEX", "Name": "NAME", "Description": "DESCRIPTION", "Stars": "STARS",
    "StarCount": "STARS", "Official": "OFFICIAL", "IsOfficial": "OFFICIAL", "Tag": "TAG",
}  # fmt: skip
_SHORT_DESCRIPTION = 45


def search(parsed: Parsed) -> int:
    """Search in each registry that short names stand for, or in the one that is named."""
    from rootless.image.push import Wishes

    insecure, credentials = registry_options.access(parsed)
    wishes = Wishes(insecure=insecure, credentials=credentials)
    limit = _limit(parsed.text("limit"))
    if parsed.flag("list-tags"):
        return _list_tags(parsed, limit, wishes)
    filters = Filters(parsed.all("filter"), _KEYS, "rl search")
    official = filters.boolean("is-official")
    least = max([_number(text) for text in filters.values("stars")], default=0)
    registries, term = _meant(parsed.arguments[0])
    found: list[Found] = []
    failures = _search_all(registries, term, limit, wishes, found)
    found = [one for one in found if one.stars >= least and official in (None, one.is_official)]
    if found or not failures:
        _write(parsed, found)
    return next((diagnostics.complain(error, EXIT_ENGINE) for error in failures), 0)


def _search_all(
    registries: list[str], term: str, limit: int, wishes: Wishes, found: list[Found]
) -> list[RlError]:
    """Fill `found`; what went wrong, registry by registry."""
    from rootless.image import search as image_search

    failures: list[RlError] = []
    for registry in registries:
        try:
            found += image_search.search(registry, term, limit, wishes)
        except RlError as error:
            failures.append(error)
    return failures


def _limit(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise UsageError(f"--limit {text}: a number from 1 up is expected")
    return int(text)


def _meant(text: str) -> tuple[list[str], str]:
    """The registries to ask, and what for: HOST/TERM names one."""
    from rootless.image import registries_config

    first, slash, rest = text.removeprefix("docker://").partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return [first], rest
    registries = registries_config.load().search
    if not registries:
        raise UsageError(f"{text}: names no registry, and registries.toml has none to search in",
                         hint=f"rl search docker.io/{text}")  # fmt: skip
    return registries, text


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--filter stars={text}: a number is expected")
    return int(text)


def _write(parsed: Parsed, found: list[Found]) -> None:
    full = parsed.flag("no-trunc")

    def description(one: Found) -> str:
        text = one.description
        is_long = len(text) > _SHORT_DESCRIPTION and not full
        return f"{text[: _SHORT_DESCRIPTION - 1]}…" if is_long else text

    fields: dict[str, Callable[[Found], object]] = {
        "Index": attrgetter("registry"), "Name": attrgetter("name"), "Description": description,
        "Stars": attrgetter("stars"), "StarCount": attrgetter("stars"),
        "Official": lambda one: "[OK]" if one.is_official else "",
        "IsOfficial": attrgetter("is_official"),
    }  # fmt: skip
    rows = [View("image", one, fields, {}) for one in found]
    if parsed.text("format") == "json":
        output.write_json([row.plain() for row in rows])
        return
    columns = ["Name", "Description", "Stars", "Official"]
    templates.write_listing(parsed.text("format"), columns, rows, _HEADS)


def _list_tags(parsed: Parsed, limit: int, wishes: Wishes) -> int:
    from rootless.image import registries_config
    from rootless.image import search as image_search
    from rootless.model import reference as references

    place = references.parse_source(parsed.arguments[0])
    if isinstance(place, references.OciPath) or place.tag or place.digest:
        raise UsageError(f"{parsed.arguments[0]}: a repository is expected, without a tag",
                         hint="rl search --list-tags docker.io/library/alpine")  # fmt: skip
    where = registries_config.candidates(place)[0]
    tags = image_search.tags(where, limit, wishes)
    rows = [{"Name": where.repository, "Tag": tag} for tag in tags]
    if parsed.text("format") == "json":
        output.write_json(rows)
        return 0
    fields = {"Name": itemgetter("Name"), "Tag": itemgetter("Tag")}
    views = [View("tag", row, fields, {}) for row in rows]
    templates.write_listing(parsed.text("format"), ["Name", "Tag"], views, _HEADS)
    return 0


SEARCH = Signature(
    search,
    "Look for images in the registries where short names are looked for, or in that of HOST/TERM.",
    (
        value("--limit", "NUMBER", "At most so many from each registry", default="25"),
        flag("--list-tags", "List the tags of a repository instead"),
        flag("--no-trunc", "Show whole descriptions"),
        templates.LIST_FORMAT,
        repeat("-f --filter", "KEY=VALUE", "stars, is-official"),
        *registry_options.ACCESS,
    ),
    (Argument("TERM"),),
    error_code=EXIT_ENGINE,
    examples=(
        "rl search nginx",
        "rl search registry.example.org/team",
        "rl search --list-tags quay.io/podman/hello",
    ),
)
