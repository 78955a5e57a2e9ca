"""What a statement may be called and shown as: its summary and its shape, without any literal.

A tokeniser of our own, not a parser: it must take what no parser takes (odd dialects, broken
statements), in microseconds, for an application may run any number of different texts. Where the
dialects disagree on where a literal ends, it stops there and shows nothing of the rest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

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
    \s*(?:
    (?P<word>[^\W\d][\w$]*)
    |(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<string>{_STRING}(?:\s*,\s*{_STRING})*)
    |(?P<double>"[^"]*(?:""[^"]*)*")
    |(?P<back>`[^`]*(?:``[^`]*)*`)
    |(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |(?P<sign>::|<=>|<=|>=|<>|!=|\|\||&&|->>|->|\#>>|\#>|@>|<@)
    |(?P<mark>{_MARK}(?:\s*,\s*{_MARK})*)
    |(?P<number>{_NUMBER}(?:\s*,\s*{_NUMBER})*)
    |(?P<other>\S)
    )
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
_NAMES = frozenset({"word", "name"})
_TOLD = _AFTER_TARGETS | {"FROM", "JOIN", "STRAIGHT_JOIN", "INTO", "USING"}
_LEVEL_OF_SELECT = frozenset({"SELECT", "DELETE"})


class Name(NamedTuple):
    """What a statement is called, of few values.

    summary: its verbs and what they act on. operation: its main verb.
    """

    summary: str
    operation: str


def tokens(statement: str, system: str) -> tuple[list[str], list[str]]:
    """Return the kinds and the texts of a statement's tokens, without its comments and literals.

    Kinds are word, name (in quotes), literal, mark (of a parameter), sign, and cut, which is the
    last where what follows cannot be told for sure. system: the database's, by OpenTelemetry's
    name, for quotes differ.
    """
    mysql = system in _MYSQL
    whole = len(statement) <= READ
    text = statement if whole else statement[:READ]
    kinds: list[str] = []
    texts: list[str] = []
    match, position, end = _TOKEN.match, 0, len(text)
    while position < end:
        found = match(text, position)
        if found is None:  # nothing but spaces
            position = end
            continue
        kind, position = str(found.lastgroup), found.end()
        piece = found[kind]
        if kind == "word" or kind == "sign":  # noqa: PLR1714  # the path of most
            kinds.append(kind)
            texts.append(piece)
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
                position = end
            continue
        if kind in ("string", "double") and ("\\'" in piece or '\\"' in piece):
            break  # whether it ends there depends on a setting
        if kind in ("string", "number"):
            if kind == "string" and texts and texts[-1].lower() in ("q", "nq"):
                break  # Oracle's own quotes, in which a quote may stand
            kind, piece = "literal", "?"
        elif kind == "double":
            sure = system in _NAMES_IN_DOUBLE_QUOTES or (
                not mysql
                and (
                    (texts and texts[-1].upper() in _BEFORE_NAMES)
                    or text[position : position + 1] == "."
                )
            )
            kind, piece = ("name", piece) if sure else ("literal", "?")
        elif kind == "back":
            if system in _NAMES_IN_DOUBLE_QUOTES:
                break
            kind = "name"
        elif kind in ("dollar", "tag"):
            if system != "postgresql":
                break
            kind, piece = "literal", "?"
        elif kind == "mark":
            if piece[0] == "$" and text[position : position + 1] == "$":
                break  # a quote of PostgreSQL's that never ends
            piece = "?"
        elif piece == "[" and system in _BRACKETS:
            closing = text.find("]", position)
            if closing < 0:
                break
            kind, piece, position = "name", text[position - 1 : closing + 1], closing + 1
        elif piece in "'\"`" or text.startswith("/*", position - 1):
            break  # it never ends
        else:
            kind = "sign"
            if not piece.isprintable():
                continue
        kinds.append(kind)
        texts.append(piece)
    else:
        if whole:
            return kinds, texts
    kinds.append("cut")
    texts.append(CUT)
    return kinds, texts


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
    for kind, text in zip(*tokens(statement, system), strict=True):
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
    kinds, texts = tokens(statement, system)
    words = [
        text.upper() if kind == "word" else "" for kind, text in zip(kinds, texts, strict=True)
    ]
    local = _local_names(kinds, texts, words) if "AS" in words else set()
    summary: list[str] = []
    operation = ""
    level = _Level()
    levels = [level]
    index, count = 0, len(kinds)
    while index < count:
        word, kind, text = words[index], kinds[index], texts[index]
        if kind == "sign":
            if text == "(":
                level.wants = False
                level = _Level()
                levels.append(level)
            elif text == ")":
                if len(levels) > 1:
                    levels.pop()
                    level = levels[-1]
            elif text == ",":
                level.wants = level.lists
            elif text == ";":
                level = _Level()
                levels = [level]
        elif level.wants and kind in _NAMES and word not in _AFTER_TARGETS:
            if word not in _BEFORE_TARGETS or (level.verb == "REPLACE" and word != "INTO"):
                target, index = _target(kinds, texts, index)
                level.wants = False
                if target.lower() not in local:
                    summary.append(target)
        elif word in _VERBS and _begins(level.verb, word, len(levels), texts, index):
            level.begin(word)
            summary.append(word)
            if not operation and len(levels) == 1:
                operation = word
            if word in _DEFINITIONS:
                more, index = _defined(kinds, texts, words, index)
                summary += more
                level.wants = level.lists = False
            elif word in _CALLS and index + 1 < count and kinds[index + 1] in _NAMES:
                target, index = _target(kinds, texts, index + 1)
                summary.append(target)
        elif word in _TOLD:
            level.read(word, texts[index - 1].upper() if index else "")
        index += 1
    if not summary:
        return Name(OTHER, OTHER)
    told = ""
    for part in summary:
        if len(told) + len(part) >= SUMMARY:
            break
        told = f"{told} {part}" if told else part
    return Name(told or OTHER, operation or next(part for part in summary if part in _VERBS))


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


def _begins(verb: str, word: str, depth: int, texts: list[str], index: int) -> bool:
    """Whether a word is a verb here: UPDATE in FOR UPDATE is not, nor is a column called start.

    verb: the one that this level has already, "" for none. depth: 1 outside of parentheses.
    """
    if word == "SELECT":
        return True
    before = texts[index - 1] if index else ";"
    if verb:
        return False
    if depth == 1:
        return before == ";" or (before == ")" and word in _CHANGES)
    following = texts[index + 1] if index + 1 < len(texts) else ""
    return before == "(" and (
        word == "VALUES" or (word in _WITHIN_WITH and following not in ("(", ",", ")"))
    )


def _local_names(kinds: list[str], texts: list[str], words: list[str]) -> set[str]:
    """Return the names of common table expressions: ``name AS (SELECT``."""
    local = set()
    for index, word in enumerate(words):
        if word != "AS" or not index or kinds[index - 1] not in _NAMES:
            continue
        after = index + 1
        while after < len(words) and words[after] in ("NOT", "MATERIALIZED"):
            after += 1
        following = words[after + 1] if after + 1 < len(words) else ""
        if following in _WITHIN_WITH and texts[after] == "(":
            local.add(_plain(kinds[index - 1], texts[index - 1]).lower())
    return local


def _plain(kind: str, text: str) -> str:
    """Return a name without its quotes."""
    return text[1:-1] if kind == "name" else text


def _target(kinds: list[str], texts: list[str], index: int) -> tuple[str, int]:
    """Return the name with its qualifiers that begins at a token, and the index of its last."""
    name = _plain(kinds[index], texts[index])
    while index + 2 < len(kinds) and texts[index + 1] == "." and kinds[index + 2] in _NAMES:
        index += 2
        name = f"{name}.{_plain(kinds[index], texts[index])}"
    return name, index


def _defined(
    kinds: list[str], texts: list[str], words: list[str], index: int
) -> tuple[list[str], int]:
    """Return what a definition defines: the kind of object, and its name if it names no person."""
    last = len(kinds) - 1
    kind = ""
    while index < last:
        index += 1
        if words[index] in _OBJECTS and not kind:
            kind = words[index]
        elif words[index] not in _BEFORE_OBJECTS:
            break
    else:
        return ([kind] if kind else []), index
    if kinds[index] in _NAMES and (kind in _NAMED_OBJECTS or not kind):
        target, index = _target(kinds, texts, index)
        return [kind, target] if kind else [target], index
    return ([kind] if kind else []), index
