"""The words of a template (Go's text/template, "Actions" and "Arguments" of its documentation).

`lex` gives the whole list: texts between actions, and inside of actions one token for each operand,
sign and stretch of white space (which separates arguments: `.A.B` is one, `.A .B` are two).
"""

from __future__ import annotations

from rootless.model.gotemplate.errors import TemplateError, parse_error

TEXT, LEFT, RIGHT, SPACE, END = "text", "{{", "}}", "space", "EOF"
FIELD, VARIABLE, WORD, DOT = "field", "variable", "word", "."
STRING, RAW, CHAR, NUMBER = "string", "raw", "char", "number"
PIPE, COMMA, DECLARE, ASSIGN, OPEN, CLOSE = "|", ",", ":=", "=", "(", ")"

_BLANK = " \t\r\n"
_SIGNS = {"|": PIPE, ",": COMMA, "=": ASSIGN, "(": OPEN, ")": CLOSE}
_QUOTES = {'"': STRING, "'": CHAR, "`": RAW}
_UNCLOSED = {
    STRING: "unterminated quoted string",
    CHAR: "unterminated character constant",
    RAW: "unterminated raw quoted string",
}


class Token:
    """kind: one of the names above; text: as it stands in the template; at: its first character."""

    __slots__ = ("at", "kind", "text")

    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind = kind
        self.text = text
        self.at = at

    def __repr__(self) -> str:
        return f"{self.kind}:{self.text!r}"


def lex(source: str) -> list[Token]:
    """The tokens of `source`, the last of kind END. Raises TemplateError."""
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._tokens: list[Token] = []
        self._depth = 0

    def run(self) -> list[Token]:
        trims = False
        while True:
            start = self._source.find("{{", self._at)
            text = self._source[self._at :] if start < 0 else self._source[self._at : start]
            self._text(text, start, trims)
            if start < 0:
                self._tokens.append(Token(END, "", len(self._source)))
                return self._tokens
            trims = self._action(start)

    def _text(self, text: str, next_action: int, trims: bool) -> None:
        at = self._at
        if trims:
            at += len(text) - len(text.lstrip(_BLANK))
            text = text.lstrip(_BLANK)
        if next_action >= 0 and self._trims_before(next_action):
            text = text.rstrip(_BLANK)
        if text:
            self._tokens.append(Token(TEXT, text, at))

    def _trims_before(self, start: int) -> bool:
        mark = self._source[start + 2 : start + 4]
        return len(mark) == 2 and mark[0] == "-" and mark[1] in _BLANK

    def _action(self, start: int) -> bool:
        """One action or comment; whether it trims the text after it."""
        self._at = start + 2 + (2 if self._trims_before(start) else 0)
        if self._source.startswith("/*", self._at):
            return self._comment(start)
        self._tokens.append(Token(LEFT, "{{", start))
        self._depth = 0
        while True:
            right = self._right()
            if right:
                return right == 4
            self._inside(start)

    def _comment(self, start: int) -> bool:
        end = self._source.find("*/", self._at)
        if end < 0:
            raise self._wrong(start, "unclosed comment")
        self._at = end + 2
        for mark in ("}}", *(f"{blank}-}}}}" for blank in _BLANK)):
            if self._source.startswith(mark, self._at):
                self._at += len(mark)
                return len(mark) == 4
        raise self._wrong(start, "comment ends before closing delimiter")

    def _right(self) -> int:
        """Take the end of an action, if it is here: its length, 4 with a trim marker."""
        rest = self._source[self._at : self._at + 4]
        trims = len(rest) == 4 and rest[0] in _BLANK and rest[1:] == "-}}"
        length = 4 if trims else 2
        if not trims and not rest.startswith("}}"):
            return 0
        if self._depth:
            raise self._wrong(self._at, "unclosed left paren")
        self._tokens.append(Token(RIGHT, "}}", self._at))
        self._at += length
        return length

    def _inside(self, start: int) -> None:
        if self._at >= len(self._source):
            raise self._wrong(start, "unclosed action")
        char = self._source[self._at]
        if char in _BLANK:
            self._space()
        elif char in _QUOTES:
            self._quoted(char)
        elif self._source.startswith(":=", self._at):
            self._take(DECLARE, 2)
        elif char in _SIGNS:
            self._sign(char)
        elif char in ".$" or _is_word(char):
            self._operand(char)
        elif char in "+-":
            self._take_while(NUMBER, _is_number)
        else:
            raise self._wrong(self._at, f"unexpected {char!r} in command")

    def _sign(self, char: str) -> None:
        self._depth += {"(": 1, ")": -1}.get(char, 0)
        if self._depth < 0:
            raise self._wrong(self._at, "unexpected right paren")
        self._take(_SIGNS[char], 1)

    def _space(self) -> None:
        end = self._at + 1
        while end < len(self._source) and self._source[end] in _BLANK:
            # The last blank may belong to " -}}".
            if self._source.startswith("-}}", end + 1):
                break
            end += 1
        self._take(SPACE, end - self._at)

    def _quoted(self, quote: str) -> None:
        kind = _QUOTES[quote]
        end = self._at + 1
        while end < len(self._source) and self._source[end] != quote:
            if kind != RAW and self._source[end] == "\n":
                raise self._wrong(self._at, _UNCLOSED[kind])
            end += 2 if kind != RAW and self._source[end] == "\\" else 1
        if end >= len(self._source):
            raise self._wrong(self._at, _UNCLOSED[kind])
        self._take(kind, end + 1 - self._at)

    def _operand(self, char: str) -> None:
        following = self._source[self._at + 1 : self._at + 2]
        if char.isdecimal() or (char == "." and following.isdecimal()):
            self._take_while(NUMBER, _is_number)
        elif char == "." and not _is_word(following):
            self._take(DOT, 1)
        else:
            kind = {".": FIELD, "$": VARIABLE}.get(char, WORD)
            self._take_while(kind, _is_word)

    def _take_while(self, kind: str, belongs: object) -> None:
        assert callable(belongs)
        end = self._at + 1
        while end < len(self._source) and belongs(self._source[end]):
            end += 1
        self._take(kind, end - self._at)

    def _take(self, kind: str, length: int) -> None:
        self._tokens.append(Token(kind, self._source[self._at : self._at + length], self._at))
        self._at += length

    def _wrong(self, at: int, reason: str) -> TemplateError:
        return parse_error(self._source, at, reason)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def _is_number(char: str) -> bool:
    return char in "+-._" or char.isalnum()
