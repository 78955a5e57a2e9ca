"""What a statement may be called and shown as: its summary and its shape, without any literal.

A tokeniser of our own, not a parser: it must take what no parser takes (odd dialects, broken
statements), in microseconds, for an application may run any number of different texts. Where the
dialects disagree on where a literal ends, it stops there and shows nothing of the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longest part of a statement that is looked at, in characters.
READ = 16384

#: Longest summary, in characters, as OpenTelemetry's rule has it.
SUMMARY = 255

#: Longest shape, in characters.
SHAPE = 2000

#: What a statement is called whose first word is none of a statement's.
OTHER = "_OTHER"

#: How a shape ends that does not show everything.
CUT = "…"

#: Systems in which a text in double quotes is a name and never a literal.
_NAMES_IN_DOUBLE_QUOTES = frozenset({"postgresql", "oracle.db"})
#: Systems in which two dashes begin a comment whatever follows.
_DASHES = frozenset({"postgresql", "sqlite", "microsoft.sql_server", "oracle.db"})
_MYSQL = frozenset({"mysql", "mariadb"})
_BRACKETS = frozenset({"sqlite", "microsoft.sql_server"})

_NUMBER = r"\.?\d(?:[\w.]|(?<=[eE])[+-](?=\d))*"
_STRING = r"'[^']*(?:''[^']*)*'"
_MARK = r"(?:\$\w+|[:@?]\w+|\?|%s|%\(\w*\)s)"
# A list of literals is one token: statements with thousands are not rare.
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
    |(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<string>{_STRING}(?:\s*,\s*{_STRING})*)
    |(?P<double>"[^"]*(?:""[^"]*)*")
    |(?P<back>`[^`]*(?:``[^`]*)*`)
    |(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |(?P<sign>::|<=>|<=|>=|<>|!=|\|\||&&|->>|->|\#>>|\#>|@>|<@)
    |(?P<mark>{_MARK}(?:\s*,\s*{_MARK})*)
    |(?P<number>{_NUMBER}(?:\s*,\s*{_NUMBER})*)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

#: Between them a name may stand that is no literal, in a system where quotes do not tell.
_BEFORE_NAMES = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "AS", "."})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIGHT = frozenset({",", ")", ".", "::", "]", "[", ";"})
_OPENING = frozenset({"", "(", ".", "::", "["})
_SPACED = _words(
    "ALL AND ANY AS BETWEEN BY CASE ELSE EXCEPT EXISTS FROM HAVING IN INTERSECT JOIN LATERAL"
    " MATERIALIZED NOT ON OR OVER RETURNING SELECT SET SOME THEN UNION USING VALUES WHEN WHERE"
    " WITH"
)

_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "UPSERT"})
_QUERIES = frozenset({"SELECT", "VALUES", "TABLE"})
_DEFINITIONS = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "COMMENT"})
_CALLS = frozenset({"CALL", "EXEC", "EXECUTE", "PRAGMA"})
_VERBS = (
    _CHANGES
    | _QUERIES
    | _DEFINITIONS
    | _CALLS
    | _words(
        "ANALYZE ANALYSE ATTACH BEGIN CHECK CHECKPOINT CLOSE CLUSTER COMMIT COPY DEALLOCATE DECLARE"
        " DESC DESCRIBE DETACH DISCARD DO END EXPLAIN FETCH FLUSH GRANT HANDLER KILL LISTEN LOAD"
        " LOCK MOVE NOTIFY OPTIMIZE PREPARE REASSIGN REFRESH REINDEX RELEASE REPAIR RESET REVOKE"
        " ROLLBACK SAVEPOINT SET SHOW START UNLISTEN UNLOCK USE VACUUM XA"
    )
)
_OBJECTS = _words(
    "DATABASE DOMAIN EVENT EXTENSION FUNCTION INDEX POLICY PROCEDURE PUBLICATION ROLE SCHEMA"
    " SEQUENCE SERVER STATISTICS SUBSCRIPTION TABLE TABLESPACE TRIGGER TYPE USER VIEW"
)
_NAMED_OBJECTS = _OBJECTS - {"DATABASE", "ROLE", "SERVER", "SUBSCRIPTION", "USER"}
_BEFORE_OBJECTS = _words(
    "OR REPLACE TEMPORARY TEMP UNIQUE UNLOGGED GLOBAL LOCAL MATERIALIZED VIRTUAL RECURSIVE FOREIGN"
    " FULLTEXT SPATIAL ONLINE OFFLINE IGNORE CONCURRENTLY IF NOT EXISTS ONLY"
)
_BEFORE_TARGETS = _words(
    "ONLY LATERAL OR ABORT FAIL IGNORE ROLLBACK REPLACE LOW_PRIORITY HIGH_PRIORITY DELAYED QUICK"
    " INTO"
)
_AFTER_TARGETS = _words(
    "WHERE GROUP ORDER HAVING LIMIT OFFSET FETCH UNION INTERSECT EXCEPT SET RETURNING FOR WINDOW"
    " VALUES SELECT WHEN"
)
_WITHIN_WITH = _CHANGES | {"SELECT", "VALUES", "WITH"}
_LEVEL_OF_SELECT = frozenset({"SELECT", "DELETE"})


class Token(NamedTuple):
    """A piece of a statement: word, name (quoted), literal, mark, cut or sign."""

    kind: str
    text: str


class Name(NamedTuple):
    """What a statement is called, of few values.

    summary: its verbs and what they act on. operation: its main verb.
    """

    summary: str
    operation: str


def tokens(statement: str, system: str) -> Iterator[Token]:
    """Yield a statement's tokens without spaces, comments and literals.

    system: the database's, by OpenTelemetry's name, for quotes differ. Ends with a token of kind
    cut where what follows cannot be told for sure.
    """
    mysql = system in _MYSQL
    whole = len(statement) <= READ
    text = statement if whole else statement[:READ]
    previous, position, end = "", 0, len(text)
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:  # pragma: no cover  # the last alternative takes anything
            break
        kind, piece, position = str(found.lastgroup), found.group(), found.end()
        if kind == "tag":
            kind = "dollar"
        if kind == "space":
            continue
        if kind == "comment":
            # In PostgreSQL comments nest; in MySQL some run as code, and -- needs a space.
            nested = piece.startswith("/*") and "/*" in piece[2:]
            code = mysql and (piece[:3] == "/*!" or piece[:4] == "/*M!")
            sign = piece.startswith("--") and piece[2:3].strip() and system not in _DASHES
            if nested or code or sign:
                break
            continue
        if mysql and piece[0] == "#":
            position = text.find("\n", position)
            if position < 0:
                return
            continue
        if kind in ("string", "double") and ("\\'" in piece or '\\"' in piece):
            break  # whether it ends there depends on a setting
        if kind == "string":
            if previous.lower() in ("q", "nq"):
                break  # Oracle's own quotes, in which a quote may stand
            token = Token("literal", "?")
        elif kind == "double":
            sure = system in _NAMES_IN_DOUBLE_QUOTES or (
                not mysql
                and (previous.upper() in _BEFORE_NAMES or text[position : position + 1] == ".")
            )
            token = Token("name", piece) if sure else Token("literal", "?")
        elif kind == "back":
            if system in _NAMES_IN_DOUBLE_QUOTES:
                break
            token = Token("name", piece)
        elif kind == "dollar":
            if system != "postgresql":
                break
            token = Token("literal", "?")
        elif kind == "mark":
            if piece[0] == "$" and text[position : position + 1] == "$":
                break  # a quote of PostgreSQL's that never ends
            token = Token("mark", "?")
        elif kind == "number":
            token = Token("literal", "?")
        elif kind in ("word", "sign"):
            token = Token(kind, piece)
        elif piece == "[" and system in _BRACKETS:
            closing = text.find("]", position)
            if closing < 0:
                break
            token = Token("name", text[position - 1 : closing + 1])
            position = closing + 1
        elif piece in "'\"`" or text.startswith("/*", position - 1):
            break  # it never ends
        elif piece.isprintable():
            token = Token("sign", piece)
        else:
            continue
        previous = token.text
        yield token
    else:
        if whole:
            return
    yield Token("cut", CUT)


def shape(statement: str, system: str) -> str:
    """Return a statement with a ? for each literal and parameter, without comments.

    Lists of them are one, whatever their length, so that a statement has one shape. Of statements
    that neither query nor change rows there is only the summary: settings and definitions take
    words that are values.
    """
    called = name(statement, system)
    if called.operation not in _QUERIES and called.operation not in _CHANGES:
        return called.summary
    words: list[str] = []
    length = 0
    for kind, text in tokens(statement, system):
        if length > SHAPE:
            words.append(CUT)
            break
        if text == "?" and words[-2:] == ["?", ","]:
            words.pop()
            continue
        words.append(text if kind != "sign" or text.isascii() else "?")
        length += len(text) + 1
        if text == ")" and words[-7:] == ["(", "?", ")", ",", "(", "?", ")"]:
            del words[-4:]
    return _joined(words).rstrip("; ")[:SHAPE]


def _joined(words: list[str]) -> str:
    text = before = ""
    for word in words:
        tight = (
            word in _TIGHT
            or before in _OPENING
            or (word == "(" and before[-1:].isalnum() and before.upper() not in _SPACED)
        )
        text += word if tight else f" {word}"
        before = word
    return text.strip()


def name(statement: str, system: str) -> Name:
    """Return what a statement is called, by OpenTelemetry's rule for summaries.

    Its verbs with what each acts on, in their order: ``SELECT orders customers``. Names of common
    table expressions are left out, for they name nothing in the database.
    """
    found = list(tokens(statement, system))
    words = [token.text.upper() if token.kind == "word" else "" for token in found]
    local = _local_names(found, words)
    summary: list[str] = []
    operation = ""
    levels = [_Level()]
    index, count = 0, len(found)
    while index < count:
        level, word, kind = levels[-1], words[index], found[index].kind
        if kind == "sign" and found[index].text in "();,":
            sign = found[index].text
            if sign == "(":
                level.wants = False
                levels.append(_Level())
            elif sign == ")" and len(levels) > 1:
                levels.pop()
            elif sign == ",":
                level.wants = level.lists
            elif sign == ";":
                levels = [_Level()]
        elif level.wants and kind in ("word", "name") and word not in _AFTER_TARGETS:
            if word not in _BEFORE_TARGETS or (level.verb == "REPLACE" and word != "INTO"):
                target, index = _target(found, index)
                level.wants = False
                if target.lower() not in local:
                    summary.append(target)
        elif word in _VERBS and _begins(level, word, words[index - 1] if index else ""):
            level.begin(word)
            summary.append(word)
            if not operation and len(levels) == 1:
                operation = word
            if word in _DEFINITIONS:
                more, index = _defined(found, words, index)
                summary += more
                level.wants = level.lists = False
            elif word in _CALLS and index + 1 < count and found[index + 1].kind in ("word", "name"):
                target, index = _target(found, index + 1)
                summary.append(target)
        else:
            level.read(word, words[index - 1] if index else "")
        index += 1
    if not summary:
        return Name(OTHER, OTHER)
    text = ""
    for part in summary:
        if len(text) + len(part) >= SUMMARY:
            break
        text = f"{text} {part}" if text else part
    return Name(text or OTHER, operation or next(part for part in summary if part in _VERBS))


class _Level:
    """What is being read between two parentheses, or outside of any."""

    __slots__ = ("lists", "verb", "wants")

    def __init__(self) -> None:
        self.verb = ""
        #: Whether the next word names a target.
        self.wants = False
        #: Whether a comma leads to another target.
        self.lists = False

    def begin(self, verb: str) -> None:
        """Take a verb."""
        self.verb = verb
        self.wants = verb == "UPDATE"
        self.lists = False

    def read(self, word: str, before: str) -> None:
        """Take any other word."""
        if word == "FROM":
            if self.verb in _LEVEL_OF_SELECT and before != "DISTINCT":
                self.wants = self.lists = True
        elif word in ("JOIN", "STRAIGHT_JOIN", "INTO"):
            self.wants = bool(self.verb)
        elif word == "USING":
            self.wants = self.verb in ("DELETE", "MERGE") and before != ")"
        elif word in _AFTER_TARGETS:
            self.wants = self.lists = False


def _begins(level: _Level, word: str, before: str) -> bool:
    """Whether a word is a verb here: UPDATE in FOR UPDATE is not."""
    if word == "SELECT":
        return True
    if word in ("VALUES", "TABLE", "REPLACE", "SET", "DO", "END"):
        return not level.verb and before not in ("AS", ".")
    return not level.verb


def _local_names(found: list[Token], words: list[str]) -> set[str]:
    """Return the names of common table expressions: ``name AS (SELECT``."""
    local = set()
    for index, word in enumerate(words):
        if word != "AS" or not index or found[index - 1].kind not in ("word", "name"):
            continue
        after = index + 1
        while after < len(words) and words[after] in ("NOT", "MATERIALIZED"):
            after += 1
        following = words[after + 1] if after + 1 < len(words) else ""
        if following in _WITHIN_WITH and found[after].text == "(":
            local.add(_plain(found[index - 1]).lower())
    return local


def _plain(token: Token) -> str:
    """Return a name without its quotes."""
    return token.text[1:-1] if token.kind == "name" else token.text


def _target(found: list[Token], index: int) -> tuple[str, int]:
    """Return the name with its qualifiers that begins at a token, and the index of its last."""
    parts = [_plain(found[index])]
    while (
        index + 2 < len(found)
        and found[index + 1].text == "."
        and found[index + 2].kind in ("word", "name")
    ):
        parts.append(_plain(found[index + 2]))
        index += 2
    return ".".join(parts), index


def _defined(found: list[Token], words: list[str], index: int) -> tuple[list[str], int]:
    """Return what a definition defines: the kind of object, and its name if it names no person."""
    last = len(found) - 1
    kind = ""
    while index < last:
        index += 1
        if words[index] in _OBJECTS and not kind:
            kind = words[index]
        elif words[index] not in _BEFORE_OBJECTS:
            break
    else:
        return ([kind] if kind else []), index
    if found[index].kind in ("word", "name") and (kind in _NAMED_OBJECTS or not kind):
        target, index = _target(found, index)
        return [kind, target] if kind else [target], index
    return ([kind] if kind else []), index
