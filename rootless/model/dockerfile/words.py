"""Quotes, escapes and variables in the arguments of instructions, as BuildKit has them. Pure.

Forms of a variable: `$x ${x} ${x:-word} ${x-word} ${x:+word} ${x+word} ${x:?word} ${x?word}
${x#pattern} ${x##pattern} ${x%pattern} ${x%%pattern} ${x/pattern/text} ${x//pattern/text}`
(docs.docker.com/reference/dockerfile, "Environment replacement").
"""

from __future__ import annotations

from rootless.model.dockerfile import patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = "@*#?-$!0"


class Lexer:
    """How words are read. quotes: whether ' and " mean something (not in heredocs); keep_quotes
    and keep_escapes: leave them in the result; keep_unset: leave unset variables as they stand."""

    def __init__(
        self,
        escape: str = "\\",
        *,
        quotes: bool = True,
        keep_quotes: bool = False,
        keep_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self.escape = escape
        self.quotes = quotes
        self.keep_quotes = keep_quotes
        self.keep_escapes = keep_escapes
        self.keep_unset = keep_unset

    def word(self, text: str, variables: Mapping[str, str]) -> str:
        """`text` as one word, spaces kept. Raises ValueError: what is wrong with it."""
        return _Reading(self, text, variables).to_end()[0]

    def words(self, text: str, variables: Mapping[str, str]) -> list[str]:
        """`text` split at spaces outside of quotes, after substitution. Raises ValueError."""
        return _Reading(self, text, variables).to_end()[1]


class _Words:
    """The words that come out, a character at a time."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word = ""

    def add(self, text: str) -> None:
        """What can separate words."""
        for character in text:
            if not character.isspace():
                self._word += character
            elif self._word:
                self._done.append(self._word)
                self._word = ""

    def add_raw(self, text: str) -> None:
        self._word += text

    def all(self) -> list[str]:
        return [*self._done, self._word] if self._word else self._done


class _Reading:
    """One pass over one text."""

    def __init__(self, lexer: Lexer, text: str, variables: Mapping[str, str]) -> None:
        self._lexer = lexer
        self._text = text
        self._variables = variables
        self._position = 0
        self._keep_escapes = lexer.keep_escapes

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._peek()
        self._position += 1
        return character

    def to_end(self) -> tuple[str, list[str]]:
        out: list[str] = []
        words = _Words()
        while self._peek():
            self._one(out, words)
        return "".join(out), words.all()

    def _until(self, stop: str, *, keep_escapes: bool) -> str:
        """The part of a substitution that ends at `stop`."""
        before, self._keep_escapes = self._keep_escapes, keep_escapes
        out: list[str] = []
        words = _Words()
        while self._peek() != stop:
            if not self._peek():
                raise ValueError(f"'${{' without '{stop}'")
            self._one(out, words)
        self._next()
        self._keep_escapes = before
        return "".join(out)

    def _one(self, out: list[str], words: _Words) -> None:
        character = self._peek()
        if character == "$":
            text = self._variable()
            words.add(text)
        elif character in ("'", '"') and self._lexer.quotes:
            text = self._single() if character == "'" else self._double()
            words.add_raw(text)
        elif character == self._lexer.escape:
            text = self._escaped()
            words.add_raw(text)
        else:
            text = self._next()
            words.add(text)
        out.append(text)

    def _escaped(self) -> str:
        kept = self._next() if self._keep_escapes else self._next()[:0]
        return kept + self._next()

    def _single(self) -> str:
        quote = self._next()
        end = self._text.find("'", self._position)
        if end < 0:
            raise ValueError("' without another '")
        inner = self._text[self._position : end]
        self._position = end + 1
        return quote + inner + quote if self._lexer.keep_quotes else inner

    def _double(self) -> str:
        quote = self._next()
        out = [quote] if self._lexer.keep_quotes else []
        while self._peek() != '"':
            if not self._peek():
                raise ValueError('" without another "')
            out.append(self._variable() if self._peek() == "$" else self._quoted_character())
        self._next()
        if self._lexer.keep_quotes:
            out.append(quote)
        return "".join(out)

    def _quoted_character(self) -> str:
        character = self._next()
        if character != self._lexer.escape:
            return character
        kept = character if self._keep_escapes else ""
        following = self._peek()
        if following in ('"', "$", self._lexer.escape) and following:
            return kept + self._next()
        return kept if not following else kept + character

    def _variable(self) -> str:
        start = self._position
        self._next()
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            return self._or_as_it_stands(name, self._variables.get(name), start)
        self._next()
        return self._braced(start)

    def _or_as_it_stands(self, name: str, value: str | None, start: int) -> str:
        if value is None and self._lexer.keep_unset:
            return self._text[start : self._position]
        return value or ""

    def _name(self) -> str:
        start = self._position
        if self._peek().isdigit():
            while self._peek().isdigit():
                self._next()
        elif self._peek() and self._peek() in _SPECIAL:
            self._next()
        else:
            while self._peek().isalnum() or self._peek() == "_":
                self._next()
        return self._text[start : self._position]

    def _braced(self, start: int) -> str:
        if not self._peek():
            raise ValueError("'${' without '}'")
        name = self._name()
        if not name:
            raise ValueError("'${' without the name of a variable")
        value = self._variables.get(name)
        operator = self._next()
        if operator == "}":
            return self._or_as_it_stands(name, value, start)
        if operator == "/":
            changed = self._replaced(value)
        elif operator in "#%" and operator:
            changed = self._trimmed(operator, value)
        else:
            changed = self._defaulted(name, operator, value)
        return self._or_as_it_stands(name, None, start) if changed is None else changed

    def _replaced(self, value: str | None) -> str | None:
        everywhere = self._peek() == "/"
        if everywhere:
            self._next()
        pattern = self._until("/", keep_escapes=True)
        replacement = self._until("}", keep_escapes=True)
        if value is None:
            return None
        return patterns.replaced(value, pattern, replacement, everywhere=everywhere)

    def _trimmed(self, operator: str, value: str | None) -> str | None:
        pattern = self._until("}", keep_escapes=True)
        greedy = pattern.startswith(operator)
        if value is None:
            return None
        cut = patterns.without_prefix if operator == "#" else patterns.without_suffix
        return cut(value, pattern[greedy:], greedy=greedy)

    def _defaulted(self, name: str, operator: str, value: str | None) -> str | None:
        empty_counts = operator != ":"
        if operator == ":":
            operator = self._next()
        if not operator:
            raise ValueError("'${' without '}'")
        if operator not in "-+?":
            shown = operator if empty_counts else ":" + operator
            raise ValueError(f"{shown!r} is not known after '${{{name}'")
        word = self._until("}", keep_escapes=False)
        if value is None and self._lexer.keep_unset:
            return None
        is_set = value is not None and (empty_counts or value != "")
        if operator == "-":
            return value if is_set else word
        if operator == "+":
            return word if is_set else ""
        if not is_set:
            state = "unset" if value is None else "empty"
            raise ValueError(f"{name}: {word or f'is {state}, and must not be'}")
        return value
