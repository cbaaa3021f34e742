"""Names for containers: what may be one, and `brisk_heron` for those that were given none."""

from __future__ import annotations

_FIRST = (
    "able amber brave brisk calm clear clever cosy crisp eager early easy fair fast fine firm "
    "fond frank fresh gentle glad golden good grand green happy hardy jolly keen kind lively loyal "
    "lucid lucky mellow merry mild neat nimble noble plain polite prime proud quick quiet rapid "
    "ready royal sharp silent silver sleek smart snug sober solid spry steady stout strong sunny "
    "sure swift tidy tough trim true vivid warm wise witty young zesty"
).split()
_SECOND = (
    "alder aspen badger beaver beech birch bison cedar clover condor crane curlew daisy dove "
    "eagle egret elm falcon fern finch fir fox gecko goose grouse gull hare hawk hazel heron "
    "ibex ibis iris ivy jackdaw jay juniper kestrel kite lark larch lemur lily linden linnet lynx "
    "magpie maple marten mole moth newt oak oriole osprey otter owl petrel pine plover puffin "
    "quail raven robin rowan sable sedge seal shrew snipe sorrel sparrow spruce stork swan swift "
    "tern thistle thrush viper vole walnut weasel willow wren yew"
).split()


def is_name(text: str) -> bool:
    """Whether a container can be called so: a letter or digit, then these and `_`, `.`, `-`."""
    if not text.isascii() or not text[:1].isalnum():
        return False
    return all(each.isalnum() or each in "_.-" for each in text)


def pick(random: bytes) -> str:
    """A name that follows from `random`, four bytes of it."""
    first = int.from_bytes(random[:2], "big") % len(_FIRST)
    second = int.from_bytes(random[2:4], "big") % len(_SECOND)
    return f"{_FIRST[first]}_{_SECOND[second]}"
